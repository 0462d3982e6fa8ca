"""Metrics at the end of training, from the logs of a run's seeds."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.results.load import SeedResult, confidence_of
from analysis.results.pooling import ANY, Pooled, pool
from analysis.statistics.intervals import FEWEST, mean_t, within
from reward.files import JSON

END = 10
"""Fewest batches that the end of training is, if the run has at least twice as many."""


def end_of_training(results: Sequence[SeedResult], key: str) -> Pooled | None:
    """Return the mean of a training metric at the end of training, see `end_of_logs`.

    Args:
        results: The run's seeds.
        key: Key of the metric in `train.jsonl`.
    """
    return end_of_logs([result.train for result in results], key, confidence_of(results))


def end_of_logs(
    logs: Sequence[Sequence[JSON]], key: str, confidence: float, bounds: tuple[float, float] = ANY
) -> Pooled | None:
    """Return the mean of a training metric over the last batches, from each seed's rows.

    The last batches are the last tenth of them, but at least `END`. A run that is shorter than twice that has no such
    end: the later half stands for it, and `batches_words` says that it is short.

    Args:
        logs: Rows of each seed's `train.jsonl`, one for each batch.
        key: Key of the metric in a row.
        confidence: Coverage of the interval, in (0, 1).
        bounds: The least and the most that the metric's mean can be.

    Returns:
        The mean; `n` counts batches. With one seed the t-interval is over batches, and there is none from fewer than
        `FEWEST`; with several seeds it is over seeds. `None` if no row has the metric.
    """
    tails = []
    for log in logs:
        values = [float(row[key]) for row in log if isinstance(row.get(key), int | float)]
        if values:
            tails.append(values[-max(1, min(END, len(values) // 2), round(len(values) / 10)) :])
    return pool([within(mean_t(tail, confidence, fewest=FEWEST), *bounds) for tail in tails], confidence, 0, bounds)
