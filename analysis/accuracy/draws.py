"""What several draws of the texts tell of an accuracy: a variance, and the intervals and tests that hold it."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import stats
from scipy.special import ndtri

from analysis.statistics.intervals import Estimate
from analysis.statistics.paired import PairedAccuracy, paired_steps
from analysis.statistics.shares import share_bounds
from reward.records import Record


@dataclass(frozen=True)
class Draws(Record):
    """What several draws of the texts tell of an accuracy, or of the difference of two.

    Attributes:
        draws: How often each class and question was described, at least 2.
        variance: Variance over draws of the number on all images that there could be, in squared accuracy, an accuracy
            being in [0, 1]. What other draws change on single images beyond that is in the interval over images.
        freedom: Degrees of freedom of the variance.
    """

    draws: int
    variance: float
    freedom: float

    def widening(self, confidence: float) -> float:
        """Return the variance as a normal interval must count it so as to be as wide as Student's: times (t / z)²."""
        level = (1 + confidence) / 2
        return self.variance * (float(stats.t.ppf(level, self.freedom)) / float(ndtri(level))) ** 2


def share_over_draws(share: Estimate, draws: Draws | None, confidence: float) -> Estimate:
    """Return an accuracy with an interval over images and draws.

    Args:
        share: The accuracy with its interval over images.
        draws: What draws tell of it; with `None` its interval stays.
        confidence: Coverage, in (0, 1).

    Returns:
        The accuracy with the interval of `share_bounds` at the number of images that would make its variance over
        images alone as large as the one over both.
    """
    over_images = share.value * (1 - share.value) / share.n
    if draws is None or over_images <= 0:
        return share
    n = share.n * over_images / (over_images + draws.widening(confidence))
    low, high = share_bounds(share.value, n, confidence)
    return share._replace(low=low, high=high)


def paired_over_draws(paired: PairedAccuracy, draws: Draws | None, confidence: float) -> PairedAccuracy:
    """Return a difference of two accuracies with interval and test over images and draws, by `paired_steps`.

    Args:
        paired: The difference with its interval over images.
        draws: What draws tell of it; with `None` nothing changes.
        confidence: Coverage, in (0, 1).

    Returns:
        The difference; its p is for this confidence, at which it agrees with the interval.
    """
    if draws is None:
        return paired
    gains, losses, n = paired.only_first, paired.only_second, paired.n
    found = paired_steps(gains, losses, gains + losses + draws.widening(confidence) * n**2, n, confidence)
    return found._replace(only_first=gains, only_second=losses)
