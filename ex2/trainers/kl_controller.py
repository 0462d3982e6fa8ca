"""KL controllers: how the coefficient β of the KL penalty follows the measured KL.

Every algorithm can use any of the three controllers. The KL that they follow is the same for all: log π − log π_ref of
the sampled tokens, in nats, under the policy that sampled them, before the batch's first update.

With top-p or top-k the log-probabilities are those before the cut, so it is not the KL of what is sampled. That one
would be infinite wherever the policy draws a token that the cut takes from the reference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from reward.numerals import compact

Controller = Literal["adaptive", "log", "fixed"]
Unit = Literal["sequence", "token"]
HorizonUnit = Literal["samples", "batches"]

ADAPTIVE_CLIP = 0.2
"""Largest relative error that the adaptive controller answers to (arXiv 1909.08593, section 2.2)."""
LOG_CLIP = 1.0
"""Largest error of log KL, in nats, that the log controller answers to: a KL off by a factor of e."""
LOG_SMOOTHING = 0.3
"""Weight of the newest batch in the running average of the KL that the log controller answers to. The KL of 32
descriptions has an error of about a third, which the damping would pass on to β without the average."""
SHORT_REACH = 2.0
"""If β cannot both rise and fall by this factor in a run, a warning says so. The KL moves by the square of β's factor
at most (`needed_factor`)."""
TENFOLD = 9.7
"""A reach that may be called tenfold: steps of β are discrete, and a little is lost to rounding the horizon."""
LEAST_COEF, MOST_COEF = 1e-30, 1e30
"""A β above 0 stays between these, far inside float32. It could not come back from 0 nor from infinity, where many
batches on the same side of the target can take it."""
MOST_EXPONENT = 700.0
"""Largest change of log β in a batch; `math.exp` overflows a little above."""
FAR = 2.0
"""A KL is far from its target if it is off by more than this factor."""


class Reach(NamedTuple):
    """Lowest and highest β that can be reached within a run."""

    lowest: float
    highest: float


@dataclass
class KLController:
    """β, and its update after each batch.

    `adaptive` (arXiv 1909.08593, section 2.2, the paper's): β ← β (1 + clip(KL/target − 1, ±0.2) · n/horizon). From
    n/horizon = 5 the factor would reach zero and below, so such horizons are refused (`horizon_problem`).

    `log`: log β ← log β + n/horizon · e + damping · (e − e′), with e = clip(log ρ, ±1), e′ that of the batch before,
    and ρ the running average of KL/target: ρ ← ρ + 0.3 (min(KL/target, e¹) − ρ). The first term moves β until the KL is
    on its target; in logarithms a KL of half the target counts as much as one of twice, and the step does not depend on
    β's size. Alone it swings: the policy follows β some batches late, and in the meantime β goes on. The second term
    answers to the KL's movement: β stops falling while the KL is still on its way up. With a policy that follows as a
    first-order lag of τ batches, damping = τ · n/horizon cancels the lag (pole cancellation of a
    proportional-integral controller). A single batch counts as at most e times its target: a rare response of a very
    large KL must not throw β. Where ρ is zero or less, as an estimate of KL can be, e is −1.

    Attributes:
        coef: β, in units of score per nat; 0 stays 0 under every controller.
        target: Target of the KL in nats: of a response's sum, averaged over responses (`unit` sequence), or of the mean
            over tokens (`unit` token).
        horizon: Samples or batches (`horizon_unit`) in which β can change by a factor of e^0.2 (`adaptive`) or e
            (`log`). Samples are those of the global batch.
        controller: `adaptive`, `log` or `fixed`.
        unit: `sequence` or `token`, the unit of the target.
        horizon_unit: `samples` or `batches`; `batches` makes β's path independent of the batch size.
        damping: Only for `log`: the exponent with which β follows a change of the KL from batch to batch at once.
        ratio: Only for `log`: the running average ρ; None at the start of a run.
    """

    coef: float
    target: float
    horizon: int
    controller: Controller = "adaptive"
    unit: Unit = "sequence"
    horizon_unit: HorizonUnit = "samples"
    damping: float = 1.0
    ratio: float | None = None

    def sequence_target(self, length: float) -> float:
        """Return the target as the KL of a whole response of `length` tokens, in nats, whatever `unit` is."""
        return self.target if self.unit == "sequence" else self.target * length

    def update(self, kl: float, samples: int, *, length: float = math.nan) -> None:
        """Move β after a batch.

        Args:
            kl: Mean over the batch's responses of the summed KL, in nats.
            samples: Samples in the global batch.
            length: Mean tokens of a response; needed if the target is per token.

        Raises:
            ValueError: If the KL is not a number, or the target is per token and `length` is missing.
        """
        target = self.sequence_target(length)
        if math.isnan(kl) or math.isnan(target):
            raise ValueError(f"KL {kl} against target {target}: not numbers (unit {self.unit}, length {length})")
        if self.controller == "fixed":
            return
        changed = self.coef * self._factor(kl / target, self.step(samples))
        self.coef = min(max(changed, LEAST_COEF), MOST_COEF) if self.coef else 0.0

    def _factor(self, ratio: float, step: float) -> float:
        """Return what β is multiplied by, and keep the running average of the KL over its target."""
        if self.controller == "adaptive":
            return 1 + _clip(ratio - 1, ADAPTIVE_CLIP) * step
        before, ratio = self.ratio, min(ratio, math.exp(LOG_CLIP))
        self.ratio = ratio if before is None else before + LOG_SMOOTHING * (ratio - before)
        error = _log_error(self.ratio)
        change = 0.0 if before is None else error - _log_error(before)
        return math.exp(min(step * error + self.damping * change, MOST_EXPONENT))

    def step(self, samples: int) -> float:
        """Return the share of the horizon that a batch of `samples` takes."""
        return self._per_batch(samples) / self.horizon

    def least_horizon(self, samples: int) -> int:
        """Return the shortest horizon that is allowed for batches of `samples`: 1, and more for `adaptive`."""
        return self._per_batch(samples) // round(1 / ADAPTIVE_CLIP) + 1 if self.controller == "adaptive" else 1

    def _per_batch(self, samples: int) -> int:
        return samples if self.horizon_unit == "samples" else 1

    def reach(self, samples: int, batches: int) -> Reach:
        """Return how far β can move in `batches` batches of `samples`, if the KL is far off its target in each.

        For `log` it is taken into account that the first KL of a run is 0, and that a resumed run has its `ratio`.
        """
        lowest, highest = replace(self), replace(self)
        far = 1e9 * self.sequence_target(1.0)
        for batch in range(batches):
            first = batch == 0 and self.controller == "log" and self.ratio is None
            lowest.update(0.0 if first else -far, samples, length=1.0)
            highest.update(0.0 if first else far, samples, length=1.0)
        return Reach(min(lowest.coef, self.coef), max(highest.coef, self.coef))

    def state(self) -> dict[str, Any]:
        """Return the state that a checkpoint keeps: β and ρ."""
        return {"kl_coef": self.coef, "kl_ratio": self.ratio}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's `state()`."""
        self.coef, self.ratio = state["kl_coef"], state.get("kl_ratio")


def horizon_problem(controller: KLController, samples: int) -> str | None:
    """Say why a controller's horizon is too short for batches of `samples`; None if it is not.

    Args:
        controller: At the start of a run.
        samples: Samples in the global batch.
    """
    least, unit = controller.least_horizon(samples), controller.horizon_unit
    if controller.controller == "fixed" or controller.horizon >= least:
        return None
    said = f"rl.kl.horizon: given {controller.horizon:,} {unit}; allowed is at least {least:,}"
    if controller.controller == "log" or unit == "batches":
        return f"{said}."
    return (
        f"{said} for batches of {samples:,} samples: the adaptive controller multiplies β by "
        f"1 − {ADAPTIVE_CLIP:g} · {samples:,} / horizon where the KL is low, which must stay above 0. Take a longer "
        "horizon, smaller batches (rl.batch_size), or rl.kl.controller=log."
    )


def needed_factor(kl: float, target: float) -> float:
    """Return the least factor by which β has to change to bring a KL to its target; both are in nats.

    For small changes of a policy the optimum of score − β KL has KL = Var(score) / (2 β²), so KL follows 1/β² (the
    second cumulant of log E_ref[exp(score/β)]); scores with an upper bound follow more slowly and need more.
    """
    return math.sqrt(max(kl, target * 1e-12) / target)


def reach_lines(controller: KLController, samples: int, batches: int) -> list[str]:
    """Say before a run how far β can move, and warn if that is not far.

    Which β brings the KL to its target is not known before a run. If β can hardly move, reaching the target is luck.

    Args:
        controller: At the start of the run.
        samples: Samples in the global batch.
        batches: Batches in the run.

    Returns:
        Lines for the user; warnings begin with `warning:`. For a horizon that is refused, why it is.
    """
    nats = "nats a description" if controller.unit == "sequence" else "nats a token"
    target = f"target KL {controller.target:g} {nats}"
    if controller.controller == "fixed":
        return [f"β stays at {controller.coef:g} in {batches:,} batches; {target} is not aimed at"]
    problem = horizon_problem(controller, samples)
    if problem:
        return [problem]
    low, high = controller.reach(samples, batches)
    lines = [
        f"β starts at {controller.coef:g} and can reach {low:.3g} to {high:.3g} in {batches:,} batches; {target}",
    ]
    if controller.coef == 0:
        lines.append("warning: a β of 0 stays 0, so nothing holds the KL; set rl.kl.init_coef above 0.")
    elif min(controller.coef / low if low else math.inf, high / controller.coef) < SHORT_REACH:
        advised = tenfold_horizon(controller, samples, batches)
        lines.append(
            f"warning: β can fall to {low / controller.coef:.2f} and rise to {high / controller.coef:.2f} times its "
            "start, so the KL reached will depend on rl.kl.init_coef more than on rl.kl.target; "
            + (
                f"no horizon that is allowed gives a tenfold reach in {batches:,} batches, so choose the start with "
                "care or take more rl.batches."
                if advised is None
                else f"for a tenfold reach set rl.kl.horizon to at most {advised:,} (now {controller.horizon:,} "
                f"{controller.horizon_unit})."
            )
        )
    return lines


def tenfold_horizon(controller: KLController, samples: int, batches: int) -> int | None:
    """Return a horizon with which β can rise and fall tenfold in a run, as long as is easily found.

    Returns:
        It is one that is allowed; None if there is none.
    """
    clip = ADAPTIVE_CLIP if controller.controller == "adaptive" else LOG_CLIP
    least = controller.least_horizon(samples)
    # right where a batch moves β by little; else shorter ones are tried
    horizon = math.floor(batches * replace(controller, horizon=1).step(samples) * clip / math.log(10))
    while horizon >= least:
        low, high = replace(controller, horizon=horizon).reach(samples, batches)
        if min(controller.coef / low, high / controller.coef) >= TENFOLD:
            return horizon
        horizon = min(horizon - 1, math.floor(0.9 * horizon))
    return None


def out_of_reach(
    controller: KLController, kls: Sequence[float], *, target: float, samples: int, batches_left: int
) -> str | None:
    """Return a warning if a run will miss its KL target even under the assumption most favourable to reaching it.

    There is none while the KL is within a factor of `FAR` of the target, or approaches it fast enough: early in a run
    the KL is far below its target.

    Args:
        controller: The controller in its present state.
        kls: Mean KL of a response in each of the last batches, in nats, oldest first. The second half is compared with
            the first.
        target: Target of the mean KL of a response, in nats.
        samples: Samples in the global batch.
        batches_left: Batches left in the run.

    Returns:
        One line, or None. It is always None for a `fixed` controller, which has no target to miss.
    """
    half = len(kls) // 2
    kl, before = sum(kls[half:]) / (len(kls) - half), sum(kls[:half]) / max(half, 1)
    if controller.controller == "fixed" or target / FAR <= kl <= target * FAR:
        return None
    if (kl - before) * (target - kl) > 0 and abs(kl - before) * batches_left / (len(kls) - half) > abs(target - kl):
        return None  # at its present pace it arrives
    needed = controller.coef * needed_factor(kl, target)
    low, high = controller.reach(samples, batches_left)
    if low <= needed <= high:
        return None
    end, bound = (f"at most {high:.3g}", "at least") if kl > target else (f"at least {low:.3g}", "at most")
    shorter = (
        f", or with a shorter rl.kl.horizon (now {controller.horizon:,} {controller.horizon_unit})"
        if controller.horizon > controller.least_horizon(samples)
        else ""
    )
    return (
        f"KL {compact(kl, 3)} is far from its target {target:.3g}, and the target is out of reach: β is "
        f"{controller.coef:.3g} and will be {end} after the {batches_left} batches left, but {bound} {needed:.2g} is "
        f"needed. Start again with rl.kl.init_coef near {needed:.2g}{shorter}."
    )


def _log_error(ratio: float) -> float:
    return _clip(math.log(ratio), LOG_CLIP) if ratio > 0 else -LOG_CLIP


def _clip(value: float, bound: float) -> float:
    return min(max(value, -bound), bound)
