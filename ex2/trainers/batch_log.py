"""Pure functions for parts of a batch's row in the log: what rewards logged, and what the batch cost."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Mapping, Sequence


def logged_by_rewards(metrics: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return what rewards logged for the newest batch through TRL's `log_metric`.

    Args:
        metrics: TRL's metrics: name → its values in the batches since the last row was written.

    Returns:
        Metrics whose names begin with `share_`, `term_` or `sign_`. `sign_surprise`, in nats, is replaced by its
        exponential, `sign_perplexity`.
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
        seconds: Seconds of each phase: `rollout`, of which `reward` is a part, and `update`.

    Returns:
        `tokens_per_second` over rollout and update, and `peak_memory_gib`.
    """
    whole = sum(value for phase, value in seconds.items() if phase in ("rollout", "update"))
    return {
        "tokens_per_second": tokens / whole if whole > 0 else math.nan,
        "peak_memory_gib": peak_memory() / 2**30,
    }


def peak_memory() -> int:
    """Return the most memory that this process has used so far, in bytes: on the GPU if there is one, else in RAM."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
