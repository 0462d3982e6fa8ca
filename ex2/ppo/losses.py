"""PPO's clipped losses over the response tokens of one minibatch. Source: arXiv:1707.06347, eq. 7 and 9."""

from __future__ import annotations

from typing import NamedTuple

import torch


class PPOLoss(NamedTuple):
    """Loss of one minibatch (or of this process's part of it) with what is logged of it.

    Attributes:
        loss: policy_loss + value_coef · value_loss, or 0 if the guard struck; has a gradient.
        policy_loss: Masked token mean of max(−A·ρ, −A·clip(ρ)).
        value_loss: Half the masked token mean of the larger squared error.
        ratio_mean: Masked mean of ρ = π/π_old.
        ratio_max: Largest ρ on the mask.
        clip_fraction: Share of tokens where the clipped policy term is the larger one.
        value_clip_fraction: The same of the value term.
        skipped: True if ratio_mean exceeded the threshold.
    """

    loss: torch.Tensor
    policy_loss: float
    value_loss: float
    ratio_mean: float
    ratio_max: float
    clip_fraction: float
    value_clip_fraction: float
    skipped: bool


def ppo_loss(
    logprobs: torch.Tensor,
    values: torch.Tensor,
    old_logprobs: torch.Tensor,
    old_values: torch.Tensor,
    advantages: torch.Tensor,
    returns: torch.Tensor,
    mask: torch.Tensor,
    *,
    clip_range: float,
    value_clip_range: float,
    value_coef: float,
    ratio_threshold: float,
    tokens: torch.Tensor | None = None,
) -> PPOLoss:
    """Clipped policy and value loss; all tensors have shape (B, T).

    Args:
        logprobs: Of the response tokens under the policy being updated; has a gradient.
        values: Of the value head being updated; has a gradient.
        old_logprobs: Before the update.
        old_values: Before the update.
        advantages: Whitened.
        returns: Targets of the value head.
        mask: True on tokens that count.
        clip_range: ε of the policy's ratio.
        value_clip_range: Furthest a value may move from its old one, in units of the reward.
        value_coef: Weight of the value loss.
        ratio_threshold: A minibatch with a larger mean ratio gives no gradient.
        tokens: Denominator of the token means, if this is a part of a minibatch; default: tokens on the mask.

    Returns:
        The loss and its parts. A minibatch without a token that counts has loss 0.

    Raises:
        ValueError: If shapes differ.
    """
    shapes = {tuple(t.shape) for t in (logprobs, values, old_logprobs, old_values, advantages, returns, mask)}
    if len(shapes) != 1:
        raise ValueError(f"shapes differ: {sorted(shapes)}")
    weight = mask.to(logprobs.dtype)
    count = (weight.sum() if tokens is None else tokens.to(logprobs.dtype)).clamp(min=1)
    own_count = weight.sum().clamp(min=1)

    # off the mask the ratio is exp(0): padding must not overflow into NaN · 0
    ratio = torch.exp((logprobs - old_logprobs) * weight)
    unclipped = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_range, 1 + clip_range)
    policy_loss = (torch.max(unclipped, clipped) * weight).sum() / count

    near_values = torch.clamp(values, old_values - value_clip_range, old_values + value_clip_range)
    error, near_error = (values - returns) ** 2, (near_values - returns) ** 2
    value_loss = 0.5 * (torch.max(error, near_error) * weight).sum() / count

    ratio_mean = float((ratio.detach() * weight).sum() / own_count)
    skipped = ratio_mean > ratio_threshold
    loss = policy_loss + value_coef * value_loss
    return PPOLoss(
        loss=loss * 0.0 if skipped else loss,
        policy_loss=float(policy_loss.detach()),
        value_loss=float(value_loss.detach()),
        ratio_mean=ratio_mean,
        ratio_max=float(ratio.detach().masked_fill(~mask.bool(), 0).max()),
        clip_fraction=float(((clipped > unclipped) * weight).sum() / own_count),
        value_clip_fraction=float(((near_error > error) * weight).sum() / own_count),
        skipped=skipped,
    )
