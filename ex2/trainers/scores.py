"""Steps before and after TRL's reward call: adding the reference log-probabilities, and combining scores."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch

from reward.errors import UserError


def with_reference(
    inputs: Sequence[dict[str, Any]], logprobs: torch.Tensor, completion_ids: Sequence[Sequence[int]]
) -> list[dict[str, Any]]:
    """Add the column `reference_logprobs`, which TRL passes to every reward.

    Args:
        inputs: The batch's B rows.
        logprobs: Log-probabilities of response tokens under the reference model, in nats, padded, shape (B, T).
        completion_ids: Token ids of each response, whose number tells where the padding begins.

    Returns:
        The rows with the added column: a list of one number per token of the response.
    """
    return [
        {**row, "reference_logprobs": own[: len(ids)].tolist()}
        for row, own, ids in zip(inputs, logprobs, completion_ids, strict=True)
    ]


def combined_scores(rewards_per_func: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the weighted sum over reward functions, shape (B,); NaN where every one of them returned None.

    Args:
        rewards_per_func: Score of each response by each reward function, shape (B, F), with NaN for None.
        weights: Weight of each reward function, shape (F,).
    """
    scores = (rewards_per_func * weights.to(rewards_per_func.device)).nansum(-1)
    return scores.masked_fill(rewards_per_func.isnan().all(-1), torch.nan)


def check_scored(scores: torch.Tensor, batch: int) -> None:
    """Refuse a batch without any score.

    Args:
        scores: Score of each response, NaN for none, shape (B,).
        batch: Number of the batch, from 1.

    Raises:
        UserError: If all scores are NaN.
    """
    if scores.isnan().all():
        raise UserError(
            f"batch {batch}: none of its {len(scores)} descriptions could be scored (all are "
            "empty, or the reward returned None). The policy has collapsed or does not fit its prompt: lower "
            "rl.learning_rate, check policy.model and prompts.style, or look at the reward."
        )


def is_news(record: logging.LogRecord) -> bool:
    """Return whether to show a message of TRL's logger.

    Two warnings are hidden, since what they warn of is intended: descriptions without a score, which the reward counts
    and the loss leaves out; and `model_init_kwargs`, which are meant for the reference model alone.
    """
    noise = ("All reward functions returned None", "You passed `model_init_kwargs`")
    return not any(words in str(record.msg) for words in noise)
