"""From scores to advantages: KL-shaped token rewards, generalized advantage estimation, whitening.

B is the number of responses and T that of tokens in the longest one. `logprobs`, `ref_logprobs`, `values`, `advantages`
and `returns` have shape (B, T) and are padded on the right. So has `response_mask`, which is True on a response's
tokens, its end token included. Log-probabilities are in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

Reduce = Callable[[torch.Tensor], torch.Tensor]
"""Sum over processes: takes this process's tensor, returns the total."""

NORMAL_QUARTILES = 1.349
"""Distance of the quartiles of a normal distribution, in standard deviations."""


class Advantages(NamedTuple):
    """Output of `gae`; both tensors have shape (B, T) and are 0 off the mask.

    Attributes:
        advantages: Advantages before whitening, in units of the reward.
        returns: Advantages plus values, the targets of the value head.
    """

    advantages: torch.Tensor
    returns: torch.Tensor


def sequence_kl(logprobs: torch.Tensor, ref_logprobs: torch.Tensor, response_mask: torch.Tensor) -> torch.Tensor:
    """Return the k1 estimate of each response's KL in nats, Σ_t log π(t) − log π_ref(t) over its tokens; shape (B,)."""
    return ((logprobs - ref_logprobs) * response_mask).sum(-1)


def token_rewards(
    scores: torch.Tensor,
    logprobs: torch.Tensor,
    ref_logprobs: torch.Tensor,
    response_mask: torch.Tensor,
    *,
    kl_coef: float,
) -> torch.Tensor:
    """Return the reward of each token: r_t = −β (log π_t − log π_ref,t), plus the score at the last response token.

    Args:
        scores: Score of each response, shape (B,).
        logprobs: Log-probabilities under the policy that sampled, shape (B, T).
        ref_logprobs: Log-probabilities under the reference, shape (B, T).
        response_mask: True on response tokens, shape (B, T).
        kl_coef: β.

    Returns:
        Rewards, shape (B, T), 0 off the mask.

    Raises:
        ValueError: If shapes differ or a row has no response token.

    Source: arXiv:1909.08593, eq. 2.
    """
    _check(logprobs, ref_logprobs, response_mask)
    if scores.shape != logprobs.shape[:1]:
        raise ValueError(f"scores {tuple(scores.shape)} do not match {logprobs.shape[0]} responses")
    rewards = -kl_coef * (logprobs - ref_logprobs) * response_mask
    last = last_token(response_mask)
    rewards[torch.arange(len(rewards), device=rewards.device), last] += scores
    return rewards


def gae(
    rewards: torch.Tensor, values: torch.Tensor, response_mask: torch.Tensor, *, gamma: float, lam: float
) -> Advantages:
    """Return advantages by generalized advantage estimation over the response tokens, not whitened.

    δ_t = r_t + γ V_{t+1} − V_t and A_t = δ_t + γλ A_{t+1}, with V = 0 after the last token.

    Args:
        rewards: Per-token reward, shape (B, T).
        values: V(s_t) before token t, in units of the reward, shape (B, T).
        response_mask: True on response tokens, shape (B, T).
        gamma: Discount per token, in [0, 1].
        lam: Bias-variance trade-off, in [0, 1].

    Returns:
        Advantages and returns, 0 off the mask.

    Raises:
        ValueError: If shapes differ or a row has no response token.

    Source: arXiv:1506.02438, eq. 16.
    """
    _check(rewards, values, response_mask)
    values = values * response_mask
    rewards = rewards * response_mask
    advantages = torch.zeros_like(rewards)
    following = torch.zeros_like(rewards[:, 0])
    next_value = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        following = delta + gamma * lam * following
        advantages[:, t] = following
        next_value = values[:, t]
    advantages = advantages * response_mask
    return Advantages(advantages, advantages + values)


def whiten(
    values: torch.Tensor, mask: torch.Tensor, *, epsilon: float = 1e-8, reduce: Reduce = lambda total: total
) -> torch.Tensor:
    """Shift and scale masked entries to mean 0 and unbiased variance 1, over the batch of all processes.

    Args:
        values: Shape (B, T).
        mask: True on entries that count, shape (B, T).
        epsilon: Added to the variance.
        reduce: Sum over processes.

    Returns:
        Whitened values, 0 off the mask. A single entry has no variance and becomes 0.

    Raises:
        ValueError: If shapes differ or no entry counts.
    """
    if values.shape != mask.shape:
        raise ValueError(f"values {tuple(values.shape)} and mask {tuple(mask.shape)} differ in shape")
    weight = mask.to(values.dtype)
    count, total = reduce(torch.stack([weight.sum(), (values * weight).sum()]))
    if count == 0:
        raise ValueError("nothing to whiten: the mask is empty")
    centered = (values - total / count) * weight
    (squares,) = reduce((centered**2).sum().reshape(1))
    variance = squares / (count - 1).clamp(min=1)
    whitened: torch.Tensor = centered * torch.rsqrt(variance + epsilon)
    return whitened


def spread(values: torch.Tensor, mask: torch.Tensor) -> float:
    """Return how far masked entries lie apart, as a standard deviation that rare ones far away do not change.

    Args:
        values: Shape (B, T), of all processes.
        mask: True on entries that count, shape (B, T).

    Returns:
        Distance of the quartiles, divided by 1.349, which it is times the standard deviation for a normal distribution;
        the standard deviation if both quartiles are equal; 0 without entries.
    """
    kept = values[mask].double()
    if len(kept) == 0:
        return 0.0
    low, high = torch.quantile(kept, kept.new_tensor([0.25, 0.75])).tolist()
    return float((high - low) / NORMAL_QUARTILES) or float(kept.std(correction=0))


def last_token(response_mask: torch.Tensor) -> torch.Tensor:
    """Return the index of each row's last response token, shape (B,)."""
    positions = torch.arange(response_mask.shape[1], device=response_mask.device)
    return (positions * response_mask).argmax(-1)


def explained_variance(
    values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor, *, reduce: Reduce = lambda total: total
) -> float:
    """Return 1 − Var(returns − values) / Var(returns) over masked entries of all processes; NaN if Var(returns) = 0."""
    weight = mask.to(values.dtype)
    residual = returns - values
    sums = torch.stack([weight.sum(), (residual * weight).sum(), (returns * weight).sum()])
    count, residual_sum, return_sum = reduce(sums)
    count = count.clamp(min=1)
    squares = torch.stack(
        [
            (((residual - residual_sum / count) * weight) ** 2).sum(),
            (((returns - return_sum / count) * weight) ** 2).sum(),
        ]
    )
    unexplained, total = reduce(squares).tolist()
    return 1 - unexplained / total if total > 0 else float("nan")


def _check(first: torch.Tensor, second: torch.Tensor, response_mask: torch.Tensor) -> None:
    if not first.shape == second.shape == response_mask.shape:
        raise ValueError(
            f"shapes differ: {tuple(first.shape)}, {tuple(second.shape)}, mask {tuple(response_mask.shape)}"
        )
    if not response_mask.any(-1).all():
        row = int((~response_mask.any(-1)).nonzero()[0])
        raise ValueError(f"row {row} has no response token")
