"""PPO's clipped losses over the response tokens of one minibatch. Source: arXiv:1707.06347, eq. 7 and 9."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

LossMean = Literal["tokens", "responses"]

LARGEST_EXPONENT = 40.0
"""Largest log-ratio that is told from larger ones; a mean ratio that holds one is above every threshold."""


class PPOLoss(NamedTuple):
    """Loss of one minibatch, or of this process's part of it, and numbers for the log.

    Attributes:
        loss: policy_loss + value_coef · value_loss, with a gradient. The guard sets it to 0 if the mean ratio exceeds
            `ratio_threshold`.
        policy_loss: Weighted mean of max(−A·ρ, −A·clip(ρ)) over tokens; what the guard leaves out counts as 0.
        value_loss: Half the weighted mean of the larger of two squared errors, of the value and of the clipped value,
            in squares of the values' unit; what the guard leaves out counts as 0.
        ratio_mean: Mean of ρ = π/π_old over the tokens that count.
        ratio_max: Largest ρ of a token that counts.
        clip_fraction: Share of tokens where the clipped policy term is the larger one.
        value_clip_fraction: Share of tokens where the clipped value's squared error is the larger one.
        skipped: Whether the guard left out the whole minibatch or any response of it.
        tokens: Number of tokens that count.
    """

    loss: torch.Tensor
    policy_loss: float
    value_loss: float
    ratio_mean: float
    ratio_max: float
    clip_fraction: float
    value_clip_fraction: float
    skipped: bool
    tokens: int = 0


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
    """Compute the clipped policy and value loss; all tensors have shape (B, T).

    Args:
        logprobs: Log-probabilities of the response tokens under the policy being updated; has a gradient.
        values: Values of the value head being updated; has a gradient.
        old_logprobs: Log-probabilities before the batch's first update.
        old_values: Values before the batch's first update.
        advantages: Advantages, whitened or not.
        returns: Targets of the value head, in units of the reward.
        mask: True on tokens that count.
        clip_range: ε of the policy's ratio.
        value_clip_range: Largest change of a value from its old one, in units of the reward.
        value_coef: Weight of the value loss.
        ratio_threshold: The guard: a minibatch with a larger mean ratio gives no gradient.
        weights: Weight of each token in the means, 0 off the mask, as `token_weights` returns them; default: the same
            for every token, with sum 1.
        guard_responses: Whether the guard looks at each response's mean ratio and leaves out that response only.

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

    # Off the mask the ratio is exp(0). The exponent is bounded before `exp`, since an infinite ratio has a gradient of
    # NaN even where it is multiplied by 0 afterwards.
    ratio = torch.exp(((logprobs - old_logprobs) * weight).clamp(max=LARGEST_EXPONENT))
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
        policy_loss=float((policy_losses.detach() * kept).sum()),
        value_loss=float((value_losses.detach() * kept).sum()),
        ratio_mean=float(ratio_mean),
        ratio_max=float(ratio.detach().masked_fill(~mask.bool(), 0).max()),
        clip_fraction=float(((clipped > unclipped) * weight).sum() / own_count),
        value_clip_fraction=float(((near_error > error) * weight).sum() / own_count),
        skipped=not bool(kept.all()),
        tokens=int(mask.sum()),
    )


def token_weights(mask: torch.Tensor, minibatch_mask: torch.Tensor, mean: LossMean) -> torch.Tensor:
    """Return the weight of each token of some rows of a minibatch; the weights of all the minibatch's rows sum to 1.

    Args:
        mask: Mask of these rows, True on tokens that count, shape (B, T).
        minibatch_mask: Mask of the whole minibatch, over all forward passes and processes, shape (N, T).
        mean: `tokens` gives all tokens of the minibatch the same weight. `responses` gives all responses the same
            weight, divided among each one's tokens; so do forward passes of one response each with accumulated
            gradients.

    Returns:
        Shape (B, T), 0 off the mask. A response without a token that counts has no share in the mean.
    """
    weight = mask.float()
    if mean == "tokens":
        return weight / minibatch_mask.sum().clamp(min=1)
    responses = minibatch_mask.any(-1).sum().clamp(min=1)
    return weight / (weight.sum(-1, keepdim=True).clamp(min=1) * responses)
