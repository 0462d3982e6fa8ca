"""KL controllers: how the coefficient β of the KL penalty follows the measured KL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Controller = Literal["adaptive", "fixed"]


class Reach(NamedTuple):
    """Range that β can reach within a run."""

    lowest: float
    highest: float


@dataclass
class KLController:
    """β, and its update after each batch.

    Attributes:
        coef: β, in units of score per nat.
        target: Mean over responses of the summed KL, in nats.
        horizon: Samples of the global batch over which β may change by a factor of about e^0.2.
        controller: `adaptive` (arXiv 1909.08593, section 2.2) or `fixed`.
    """

    coef: float
    target: float
    horizon: int
    controller: Controller = "adaptive"

    def update(self, kl: float, samples: int) -> None:
        """Move β: β ← β (1 + clip(KL/target − 1, −0.2, 0.2) · samples / horizon).

        Args:
            kl: Measured mean sequence KL of the batch, in nats.
            samples: Samples in the global batch.
        """
        if self.controller == "adaptive":
            error = min(max(kl / self.target - 1, -0.2), 0.2)
            self.coef *= 1 + error * samples / self.horizon


def reach(coef: float, horizon: int, samples: int, batches: int, controller: Controller = "adaptive") -> Reach:
    """Return how far β can move in `batches` batches of `samples` samples, if the error is clipped in each."""
    if controller == "fixed":
        return Reach(coef, coef)
    step = 0.2 * samples / horizon
    return Reach(coef * max(0.0, 1 - step) ** batches, coef * (1 + step) ** batches)
