"""How far the score of a set would vary over other draws of the set, and over other test images.

The test images of a class fall together: one center that is off takes many of them. So test images alone say nothing of
what another draw of the set would score. The variance of a score is that over draws of the set, plus that over test
images given the set.

Over draws of the set. The center of a class's K images varies by the covariance of its images over K. Noise of that
covariance is added to the centers and the score's variance taken. But these centers have noise already, so that this is
the variance of a worse set than the one measured: of a good one it is too large, since more noise makes errors where
there were none, and of one that knows nothing too small, since all that more noise decides is decided already. With a
second noise under the first, both errors grow by about the same factor once more. So the variance is extrapolated back
to centers without noise: the square of the variance with one noise over that with two. Adding little noise and scaling
up, as a jackknife does, is no way out: a share whose classes stand at a border is steep there and flat beyond, so that
the variance of small steps is too large (Efron and Stein, 1981, The Annals of Statistics 9).

Over test images. Where a score is a sum over test images, its variance over them is that within each class. Some of it
is in the variance over draws too: which test images stand beside a border that moves. Noise of two test images of a
class has in common only what another draw of the set changes for all test images, so of the variance over draws the
covariances of different test images are taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SHARE_TWICE = 6
"""Of the resamples, one in so many is a first noise that four resamples have under their second one."""
MOST_ABOVE = 2.0
"""How many times the variance with one noise that without can be: where sets know nothing it is 1.4 to 1.7 times."""


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
    """How many resamples have one noise, and how many pairs of pairs have two.

    Attributes:
        once: Resamples of one noise; the first ones.
        twice: First noises under which stand four resamples each, in four runs of `twice` after the first ones.
    """

    once: int
    twice: int

    @classmethod
    def of(cls, samples: int) -> Draws:
        twice = max(2, samples // SHARE_TWICE)
        return cls(max(2, samples - 4 * twice), twice)

    def deviations(self, scores: Floats) -> tuple[Floats, Floats]:
        """Return deviations whose mean squares are the variances with one noise and with two.

        Args:
            scores: Shape (..., resamples).

        Returns:
            Shapes (..., once), and (..., 2, twice): of both pairs.
        """
        single, pairs = scores[..., : self.once], scores[..., self.once :]
        pairs = pairs.reshape(*scores.shape[:-1], 2, 2, self.twice)
        one = (single - single.mean(-1, keepdims=True)) * math.sqrt(self.once / (self.once - 1))
        return one, (pairs[..., 0, :] - pairs[..., 1, :]) / math.sqrt(2)

    def noise(self, shown: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return how often each image counts in each resample, shape (C, K, resamples).

        Args:
            shown: Which of K places of each class are images, shape (C, K).
            generator: Of the noise.
        """
        one = steps(shown, self.once, generator)
        first = steps(shown, self.twice, generator)
        second = [first + steps(shown, self.twice, generator) for _ in range(4)]
        return torch.cat([one, *second], 2) + shown.unsqueeze(2)


def steps(shown: torch.Tensor, number: int, generator: torch.Generator) -> torch.Tensor:
    """Return how much more or less often each image counts, so that a center moves as another draw of it would.

    Of a class's K numbers the sum is 0 and the sum of squares K, in a random direction. Half samples, in which an image
    counts twice or not at all, are such numbers where K is even. Another draw of many dimensions moves a center about
    equally far each time, and so do these; normal numbers do not.
    """
    drawn = torch.randn(*shown.shape, number, generator=generator)
    counts, there = shown.sum(1).view(-1, 1, 1), shown.unsqueeze(2)
    drawn = (drawn - (drawn * there).sum(1, keepdim=True) / counts) * there
    return drawn * (counts.sqrt() / drawn.norm(dim=1, keepdim=True).clamp(min=1e-12))


def extrapolated(once: float, twice: float, pairs: Floats) -> tuple[float, float]:
    """Return the variance without noise and the variance of that estimate.

    Args:
        once: Variance with one noise.
        twice: Variance with two.
        pairs: Deviations with two noises, shape (2, twice). Where squares of both pairs on one first noise go together,
            the variance depends on where the centers happen to be.
    """
    if once <= 0:
        return 0.0, 0.0
    found = once**2 / max(twice, once / MOST_ABOVE)
    squares = pairs**2
    mean = float(squares.mean())
    apart = squares - squares.mean(1, keepdims=True)
    together = float((apart[0] * apart[1]).mean()) / mean**2 if mean > 0 else 0.0
    return found, max(0.0, together) * found**2


def within_class(hits: Floats, labels: NDArray[np.int64]) -> Floats:
    """Return deviations of hits from their class's mean, scaled so that squares add up to variances.

    A class of a single test image has no mean of its own; its deviation is from that of all.
    """
    found = hits - hits.mean()
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) > 1:
            found[rows] = (hits[rows] - hits[rows].mean()) * math.sqrt(len(rows) / (len(rows) - 1))
    return found
