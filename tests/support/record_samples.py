"""Records of `accuracy.json` and `breakdown.json` with a part replaced: what a test has chosen stands in the test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from analysis.accuracy.record import Accuracy, Arm, Comparison, Control
from analysis.results.load import SeedResult
from analysis.verdicts.record import Breakdown


def with_arms(
    accuracy: Accuracy,
    arms: Mapping[str, Arm | None],
    differences: Iterable[Comparison] = (),
    controls: Mapping[str, Control] | None = None,
) -> Accuracy:
    """Add arms, replacing those of the same name, and comparisons; `controls` says what arms of one run alone are."""
    return replace(
        accuracy,
        arms={**accuracy.arms, **arms},
        differences=(*accuracy.differences, *differences),
        controls={**accuracy.controls, **(controls or {})},
    )


def measured(result: SeedResult, **changes: Any) -> SeedResult:
    """Replace fields of a seed's accuracies."""
    return replace(result, accuracy=replace(result.accuracy, **changes))


def judged(result: SeedResult, **changes: Any) -> SeedResult:
    """Replace fields of a seed's breakdown."""
    return replace(result, breakdown=replace(result.breakdown, **changes))


def not_exact(breakdown: Breakdown) -> Breakdown:
    """Say that the judge was a model."""
    return replace(breakdown, judge=replace(breakdown.judge, exact=False))
