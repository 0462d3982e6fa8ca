"""What every trainer does around TRL's reward call: reference log-probabilities in, one score a description out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch

from reward.errors import UserError


def with_reference(
    inputs: Sequence[dict[str, Any]], logprobs: torch.Tensor, completion_ids: Sequence[Sequence[int]]
) -> list[dict[str, Any]]:
    """Add each row's `reference_logprobs`, a column that reaches every reward.

    Args:
        inputs: B rows.
        logprobs: Of response tokens under the reference model, shape (B, T).
        completion_ids: Tokens of each response; what follows in `logprobs` is padding.
    """
    return [
        {**row, "reference_logprobs": own[: len(ids)].tolist()}
        for row, own, ids in zip(inputs, logprobs, completion_ids, strict=True)
    ]


def combined_scores(rewards_per_func: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the weighted sum over reward functions, shape (B,); NaN where none of them could score.

    Args:
        rewards_per_func: Shape (B, F), NaN for `None`.
        weights: Shape (F,).
    """
    scores = (rewards_per_func * weights.to(rewards_per_func.device)).nansum(-1)
    return scores.masked_fill(rewards_per_func.isnan().all(-1), torch.nan)


def check_scored(scores: torch.Tensor, batch: int) -> None:
    """Refuse a batch of which nothing could be scored.

    Args:
        scores: NaN where nothing could score, shape (B,).
        batch: Its number, from 1.

    Raises:
        UserError: If all are NaN.
    """
    if scores.isnan().all():
        raise UserError(
            f"batch {batch}: none of its {len(scores)} descriptions could be scored (all are "
            "empty, or the reward returned None). The policy has collapsed or does not fit its prompt: lower "
            "rl.learning_rate, check policy.model and prompts.style, or look at the reward."
        )


def is_news(record: logging.LogRecord) -> bool:
    """Whether a message of TRL's is news.

    A description without a score is counted by the reward and left out of the loss. `model_init_kwargs` are meant for
    the reference model alone.
    """
    noise = ("All reward functions returned None", "You passed `model_init_kwargs`")
    return not any(words in str(record.msg) for words in noise)
