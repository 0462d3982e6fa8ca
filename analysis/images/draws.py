"""How far the score of a set would vary over other draws of the set, and over other test images.

The test images of a class fall together: one center that is off takes many of them. So test images alone say nothing of
what another draw of the set would score. The variance of a score is that over draws of the set, plus that over test
images given the set.

Over draws of the set. The center of a class's K images varies by the covariance of its images over K. Noise of that
covariance is added to the centers and the score's variance taken. But these centers have noise already, so that it is
the variance of a worse set than the one measured: of one that knows nothing it is too small, since what more noise
would decide is decided already. With a second noise under the first it is smaller by about the same factor once more.
So where a second noise lowers the variance, it is extrapolated back to centers without noise: the square of that with
one noise over that with two. Of a good set it is too large, since more noise makes errors where there were none; a
second noise does not lower it, and extrapolating would go too far where only some classes are good. There the bound is
the variance of steps of a third of the noise, nine times as large, as a jackknife has it. That is too large in the mean
for every score (Efron and Stein, 1981, The Annals of Statistics 9), and much too large where classes stand at a border,
since it goes on beyond it.

Over test images. Where a score is a sum over test images, its variance over them is that within each class. Some of it
is in the variance over draws too: which test images stand beside a border that moves. What different test images have
in common is not, so the variance over draws is made of their covariances only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SMALL = 3.0
"""How many times smaller small steps are."""
MOST_ABOVE = 2.0
"""How many times the variance with one noise that without can be: where sets know nothing it is 1.4 to 1.7 times."""
LEAST_FREEDOM = 3
"""Degrees of freedom of a variance over draws are one less than classes, and so many with fewer than four classes."""


@dataclass(frozen=True)
class Resampled:
    """A score and how it varies.

    Attributes:
        value: The score.
        over_test: What test images, or resamples of them, add to its deviation: the sum of squares is the variance over
            test images. Two scores on the same test images have the same length here, and their difference has the
            difference.
        over_draws: Its variance over draws of the set, 0 or above.
        doubt: Variance of `over_draws` itself.
    """

    value: float
    over_test: Floats
    over_draws: float = 0.0
    doubt: float = 0.0

    @property
    def variance(self) -> float:
        """Variance over draws of the set and of the test images."""
        return float(self.over_test @ self.over_test) + self.over_draws

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance: a variance of f degrees has itself the variance 2 · variance² / f.

        Source: Satterthwaite (1946), Biometrics Bulletin 2.
        """
        return math.inf if self.doubt <= 0 else max(1.0, 2 * self.variance**2 / self.doubt)

    def minus(self, other: Resampled) -> Resampled:
        """Return the difference to the score of another set, or of texts, on the same test images."""
        return Resampled(
            self.value - other.value,
            self.over_test - other.over_test,
            self.over_draws + other.over_draws,
            self.doubt + other.doubt,
        )


@dataclass(frozen=True)
class Draws:
    """How many resamples are of small steps, of one noise and of two.

    Attributes:
        small: Resamples of small steps; the first ones.
        once: Resamples of one noise; the next ones.
        twice: First noises under which stand four resamples each, in four runs of `twice`; the last ones.
    """

    small: int
    once: int
    twice: int

    @classmethod
    def of(cls, samples: int) -> Draws:
        """Share resamples out: a quarter of small steps, a quarter of one noise, half of two."""
        part = max(2, samples // 8)
        return cls(2 * part, 2 * part, part)

    @property
    def number(self) -> int:
        """Number of resamples."""
        return self.small + self.once + 4 * self.twice

    def deviations(self, scores: Floats) -> tuple[Floats, Floats, Floats]:
        """Return deviations whose mean squares are the variances of small steps, with one noise and with two.

        Args:
            scores: Shape (..., resamples).

        Returns:
            Shapes (..., small), (..., once), and (..., 2, twice): of both pairs.
        """
        little, single, pairs = np.split(scores, [self.small, self.small + self.once], axis=-1)
        pairs = pairs.reshape(*scores.shape[:-1], 2, 2, self.twice)
        return (
            SMALL * _from_mean(little),
            _from_mean(single),
            (pairs[..., 0, :] - pairs[..., 1, :]) / math.sqrt(2),
        )

    def noise(self, shown: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return how often each image counts in each resample, shape (C, K, resamples).

        Args:
            shown: Which of K places of each class are images, shape (C, K).
            generator: Of the noise.
        """
        little, one = steps(shown, self.small, generator) / SMALL, steps(shown, self.once, generator)
        first = steps(shown, self.twice, generator)
        second = [first + steps(shown, self.twice, generator) for _ in range(4)]
        return torch.cat([little, one, *second], 2) + shown.unsqueeze(2)


def _from_mean(scores: Floats) -> Floats:
    found: Floats = (scores - scores.mean(-1, keepdims=True)) * math.sqrt(scores.shape[-1] / (scores.shape[-1] - 1))
    return found


def steps(shown: torch.Tensor, number: int, generator: torch.Generator) -> torch.Tensor:
    """Return how much more or less often each image counts, so that a center moves as another draw of it would.

    Of a class's K numbers the sum is 0 and the sum of squares K, in a random direction. Half samples, in which an image
    counts twice or not at all, are such numbers where K is even. Another draw of many dimensions moves a center about
    equally far each time, and so do these; normal numbers do not.
    """
    drawn = torch.randn(*shown.shape, number, generator=generator)
    counts, there = shown.sum(1).view(-1, 1, 1), shown.unsqueeze(2)
    drawn = (drawn - (drawn * there).sum(1, keepdim=True) / counts) * there
    found: torch.Tensor = drawn * (counts.sqrt() / drawn.norm(dim=1, keepdim=True).clamp(min=1e-12))
    return found


def extrapolated(small: float, once: float, twice: float) -> float:
    """Return the variance of centers without noise.

    Args:
        small: Variance by small steps, which bounds that of a good set if it is above 0.
        once: Variance with one noise.
        twice: Variance with two.
    """
    if once <= 0:
        return 0.0
    bound = small if small > 0 else once
    return once**2 / max(twice, once / MOST_ABOVE) if twice < once else min(once, bound)


def doubt_of(variance: float, classes: int) -> float:
    """Return the variance of a variance over draws.

    It is known to about as many degrees of freedom as there are classes but one: test images of a class fall together,
    and which ones do depends on where few centers happen to be. How much it varies over resamples says less: an
    estimate from so few draws of it is itself too uncertain to make an interval by.
    """
    return 2 * variance**2 / max(LEAST_FREEDOM, classes - 1)


def within_class(hits: Floats, labels: NDArray[np.int64]) -> Floats:
    """Return deviations of hits from their class's mean, scaled so that squares add up to variances.

    A class of a single test image has no mean of its own; its deviation is from that of all.
    """
    found: Floats = hits - hits.mean()
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) > 1:
            found[rows] = (hits[rows] - hits[rows].mean()) * math.sqrt(len(rows) / (len(rows) - 1))
    return found
