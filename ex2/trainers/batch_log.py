"""What the row of a batch holds beside its losses: what rewards logged, and what the batch cost. Pure functions."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Mapping, Sequence


def logged_by_rewards(metrics: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return what rewards logged of the newest batch through TRL's `log_metric`.

    Args:
        metrics: TRL's, each a list over batches since the last row was written.

    Returns:
        Shares, terms of a sum and signs; `sign_surprise` as `sign_perplexity`.
    """
    found = {
        key: values[-1] for key, values in metrics.items() if key.startswith(("share_", "term_", "sign_")) and values
    }
    surprise = found.pop("sign_surprise", None)
    return found if surprise is None else {**found, "sign_perplexity": math.exp(min(surprise, 700.0))}


def batch_cost(tokens: float, seconds: Mapping[str, float]) -> dict[str, float]:
    """Return what a batch cost.

    Args:
        tokens: Response tokens of the global batch.
        seconds: Time of each phase; `reward` is a part of `rollout`.

    Returns:
        `tokens_per_second`, from prompt to updated policy, and `peak_memory_gib`.
    """
    whole = sum(value for phase, value in seconds.items() if phase in ("rollout", "update"))
    return {
        "tokens_per_second": tokens / whole if whole > 0 else math.nan,
        "peak_memory_gib": peak_memory() / 2**30,
    }


def peak_memory() -> int:
    """Return the most memory that this process has held so far, in bytes: the GPU's if there is one, else its own."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
