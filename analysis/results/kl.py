"""The KL that a run reached: pooled over seeds, stored in other results of the run, and put into words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, WrapSerializer

from analysis.results.endings import end_of_logs
from analysis.results.load import SeedResult, confidence_of
from analysis.results.pooling import Pooled
from analysis.results.wording import NBSP, batches, is_short, plain
from ex2.recipe import Recipe
from ex2.run.directory import RunDirectory
from ex2.run.training_log import read_train_log
from reward.files import JSON
from reward.numerals import decimal
from reward.records import Keyed, Omitted, Record

KL_TOLERANCE = 0.2
"""How far the KL may be off its target without being flagged, as a share of the target, by default."""

ROUNDING = 1e-9
"""Difference in nats that is taken as rounding error."""


@dataclass(frozen=True)
class KLReached(Record):
    """Mean KL per description at the end of training, in nats.

    Attributes:
        mean: Mean over seeds, with an interval at or above 0; `n` counts batches.
        target: Target of the KL; `None` if there is none.
        by_seed: KL of each seed; empty where only the mean is known.
        cut: What takes tokens away before one is drawn, such as `top_p 0.9`: the KL is that of the distribution before
            it. "" where every token may be drawn.
    """

    mean: Annotated[Pooled, Keyed(count=None, shared=None, fewest=None), Field(alias="reached")]
    target: float | None = None
    by_seed: Mapping[int, float] = field(default_factory=dict)
    cut: Annotated[str, Omitted()] = ""

    def as_written(self, stored: JSON) -> JSON:
        """Store too whether the KL, of any seed or on average, is off by more than `KL_TOLERANCE`; null if unknown."""
        return stored | {"off_target": self.off(KL_TOLERANCE)}

    def off(self, tolerance: float) -> bool | None:
        """Say whether the mean or any seed's KL is off the target by more than `tolerance`; `None` without a target.

        Args:
            tolerance: Allowed distance as a share of the target, such as 0.2.
        """
        if not self.target:
            return None
        return self._is_off(self.mean.value, tolerance) or bool(self.seeds_off(tolerance))

    def seeds_off(self, tolerance: float) -> dict[int, float]:
        """Return seed → KL of the seeds whose KL is off the target by more than `tolerance`; the mean can hide them."""
        return {seed: kl for seed, kl in self.by_seed.items() if self._is_off(kl, tolerance)}

    def words(self, tolerance: float) -> str:
        """Say how far the KL is off its target, naming seeds if there are several; "" if it is within `tolerance`."""
        if not self.off(tolerance):
            return ""
        rule, target = f"more than {100 * tolerance:g} %", f"its target {self.target:g}"
        off = self.seeds_off(tolerance)
        if len(self.by_seed) < 2 or not off:
            return f"KL {decimal(self.mean.value, 1)}, {rule} {self._side(self.mean.value)} {target}"
        each = [f"{decimal(kl, 1)} in seed {seed}, {self._side(kl)}" for seed, kl in off.items()]
        return f"KL {decimal(self.mean.value, 1)} on average; {rule} off {target}: {'; '.join(each)}"

    @property
    def cut_words(self) -> str:
        """Return `before the cut by top_p 0.9, not of what is sampled`; "" where every token may be drawn."""
        return f"before the cut by {self.cut}, not of what is sampled" if self.cut else ""

    def summary(self, tolerance: float = KL_TOLERANCE) -> str:
        """Return `KL 8.61 [8.40–8.82] nats, target 10`, and how far it is off if that is more than `tolerance`."""
        said = f"KL{NBSP}{plain(self.mean)}{NBSP}nats"
        if is_short(self.mean):
            said += f" ({batches(self.mean)})"
        if self.cut:
            said += f", {self.cut_words}"
        if not self.target:
            return f"{said}, no target"
        said += f", target {self.target:g}"
        if not self.off(tolerance):
            return said
        rule, off = f"more than {100 * tolerance:g}{NBSP}%", self.seeds_off(tolerance)
        if len(self.by_seed) < 2 or not off:
            return f"{said}: {rule} {self._side(self.mean.value)} it"
        return f"{said}: {rule} off it in " + ", ".join(f"seed {seed} ({decimal(kl, 1)})" for seed, kl in off.items())

    @property
    def distance(self) -> float:
        """Largest distance of the mean or a seed from the target, as a share of the target; −1 without a target."""
        if not self.target:
            return -1.0
        return max(abs(value / self.target - 1) for value in (self.mean.value, *self.by_seed.values()))

    def _is_off(self, kl: float, tolerance: float) -> bool:
        return bool(self.target) and abs(kl - (self.target or 0.0)) > tolerance * (self.target or 0.0) + ROUNDING

    def _side(self, kl: float) -> str:
        return "above" if kl > (self.target or 0.0) else "below"


def _known(stored: Any) -> Any:
    return None if isinstance(stored, dict) and stored.get("reached") is None else stored


def _told(kl: KLReached | None, dump: SerializerFunctionWrapHandler) -> JSON:
    stored: JSON = dump(kl) if kl else {"reached": None, "by_seed": {}, "target": None, "off_target": None}
    return stored


StoredKL = Annotated[KLReached | None, BeforeValidator(_known), WrapSerializer(_told)]
"""A KL as a field of a record. None means that it is not known; it is stored as an object whose `reached` is null."""


def kl_reached(logs: Mapping[int, Sequence[JSON]], confidence: float) -> KLReached | None:
    """Read the KL at the end of training from logs.

    Args:
        logs: Rows of `train.jsonl` by seed.
        confidence: Coverage of the interval.

    Returns:
        The KL; `None` if no log has one.
    """
    mean = end_of_logs(list(logs.values()), "kl", confidence, (0.0, math.inf))
    if mean is None:
        return None
    target = end_of_logs(list(logs.values()), "kl_target", confidence)
    own = {seed: end_of_logs([log], "kl", confidence) for seed, log in logs.items()}
    return KLReached(mean, target.value if target else None, {seed: kl.value for seed, kl in own.items() if kl})


def kl_of(results: Sequence[SeedResult]) -> KLReached | None:
    """Return the KL that a run's seeds reached; `None` if it is not known."""
    return kl_reached({result.seed: result.train for result in results}, confidence_of(results))


def kl_of_run(directory: RunDirectory, recipe: Recipe, seeds: Sequence[int], confidence: float) -> KLReached | None:
    """Read the KL of a run's seeds from their logs; those without a log are left out."""
    logs = {seed: read_train_log(directory.seed(seed)) for seed in seeds}
    return kl_with_cut(kl_reached(logs, confidence), recipe)


def kl_with_cut(kl: KLReached | None, recipe: Recipe) -> KLReached | None:
    """Return a KL that knows what the recipe cuts off before a token is drawn."""
    return kl and replace(kl, cut=recipe.generation.kl_cut())


def kl_summary(kl: KLReached | None, tolerance: float = KL_TOLERANCE) -> str:
    """Return `KLReached.summary`, or `KL not known`."""
    return "KL not known" if kl is None else kl.summary(tolerance)
