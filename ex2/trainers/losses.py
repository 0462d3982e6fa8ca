"""PPO's clipped losses over the response tokens of one minibatch. Source: arXiv:1707.06347, eq. 7 and 9."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

LossMean = Literal["tokens", "responses"]


class PPOLoss(NamedTuple):
    """Loss of one minibatch (or of this process's part of it) with what is logged of it.

    Attributes:
        loss: policy_loss + value_coef · value_loss, or 0 if the guard struck; has a gradient.
        policy_loss: Mean of max(−A·ρ, −A·clip(ρ)).
        value_loss: Half the mean of the larger squared error.
        ratio_mean: Masked mean of ρ = π/π_old.
        ratio_max: Largest ρ on the mask.
        clip_fraction: Share of tokens where the clipped policy term is the larger one.
        value_clip_fraction: The same of the value term.
        skipped: True if the guard struck, on the whole or on a response.
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
    weights: torch.Tensor | None = None,
    guard_responses: bool = False,
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
        weights: Of each token in the means, 0 off the mask; default: 1 / tokens on the mask. See `token_weights`.
        guard_responses: The ratio threshold is on each response's mean ratio, and only that response is left out.

    Returns:
        The loss and its parts. A minibatch without a token that counts has loss 0.

    Raises:
        ValueError: If shapes differ.
    """
    shapes = {tuple(t.shape) for t in (logprobs, values, old_logprobs, old_values, advantages, returns, mask)}
    if len(shapes) != 1:
        raise ValueError(f"shapes differ: {sorted(shapes)}")
    weight = mask.to(logprobs.dtype)
    own_count = weight.sum().clamp(min=1)
    weights = weight / own_count if weights is None else weights.to(logprobs.dtype)

    # off the mask the ratio is exp(0): padding must not overflow into NaN · 0
    ratio = torch.exp((logprobs - old_logprobs) * weight)
    unclipped = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_range, 1 + clip_range)
    policy_losses = torch.max(unclipped, clipped) * weights

    near_values = torch.clamp(values, old_values - value_clip_range, old_values + value_clip_range)
    error, near_error = (values - returns) ** 2, (near_values - returns) ** 2
    value_losses = 0.5 * torch.max(error, near_error) * weights

    ratios = ratio.detach() * weight
    ratio_mean = ratios.sum() / own_count
    if guard_responses:
        kept = (ratios.sum(-1, keepdim=True) / weight.sum(-1, keepdim=True).clamp(min=1)) <= ratio_threshold
    else:
        kept = (ratio_mean <= ratio_threshold).reshape(1, 1)
    return PPOLoss(
        loss=((policy_losses + value_coef * value_losses) * kept).sum(),
        policy_loss=float(policy_losses.detach().sum()),
        value_loss=float(value_losses.detach().sum()),
        ratio_mean=float(ratio_mean),
        ratio_max=float(ratio.detach().masked_fill(~mask.bool(), 0).max()),
        clip_fraction=float(((clipped > unclipped) * weight).sum() / own_count),
        value_clip_fraction=float(((near_error > error) * weight).sum() / own_count),
        skipped=not bool(kept.all()),
    )


def token_weights(mask: torch.Tensor, minibatch_mask: torch.Tensor, mean: LossMean) -> torch.Tensor:
    """Weight of each token of some rows of a minibatch; over all its rows they sum to 1.

    Args:
        mask: True on tokens that count, of the rows, shape (B, T).
        minibatch_mask: The same of the whole minibatch, over all forwards and processes, shape (N, T).
        mean: `tokens`: a mean over the minibatch's tokens. `responses`: over responses of each one's own token mean,
            which is what one response per forward gives when gradients are accumulated over forwards.

    Returns:
        Shape (B, T), 0 off the mask. A response without a token that counts has no share in the mean.
    """
    weight = mask.float()
    if mean == "tokens":
        return weight / minibatch_mask.sum().clamp(min=1)
    responses = minibatch_mask.any(-1).sum().clamp(min=1)
    return weight / (weight.sum(-1, keepdim=True).clamp(min=1) * responses)
