"""EX2's own headline for texts that were drawn rather than trained: counts of kinds become results of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analysis.accuracy.record import Accuracy, Arm, Hits
from analysis.results.by_class import Counted, changes_by_class
from analysis.results.headline import headline
from analysis.results.load import SeedResult
from analysis.results.seeds import pool_seeds
from analysis.verdicts.breakdown import Group, PolicyBreakdown, group_shares
from analysis.verdicts.record import Breakdown, JudgeIdentity
from analysis.verdicts.verdicts import KINDS, Kind, Verdicts
from ex2.data.demo.world import CAPTION_KINDS
from ex2.policy.source import POLICIES

CONFIDENCE = 0.95
JUDGE = JudgeIdentity("scripted", True, "paper", "")
ACCURACY = Accuracy(
    vlm="world",
    dataset="shapes",
    split="test",
    images=0,
    classes=16,
    confidence=CONFIDENCE,
    arms={"aligned": Arm(top1=Hits(0.0, 0.0, 1.0, 1, 0), texts=0, unique_texts=0, fallback_classes=())},
    differences=(),
    covered_by_both=(),
)


Counts = NDArray[np.int64]
"""Number of descriptions of each kind, in the order of `CAPTION_KINDS`, for each class, shape (C, 3)."""


def headline_kind(aligned: Sequence[Counts], base: Sequence[Counts]) -> Group | None:
    """Return the kind that EX2's report would call rewarded, `None` if it would call none.

    Args:
        aligned: For each seed its aligned descriptions.
        base: The same of the base model's.
    """
    counted: list[Counted] = [
        {"aligned": _by_class(after), "base": _by_class(before)} for after, before in zip(aligned, base, strict=True)
    ]
    results = [_seed(number, pair) for number, pair in enumerate(zip(aligned, base, strict=True))]
    made = pool_seeds("world", results)
    return headline(replace(made, class_changes=changes_by_class(counted, made.denominator))).kind


def drawn_counts(rng: np.random.Generator, shares: np.ndarray, each: int) -> Counts:
    """Draw descriptions and count their kinds.

    Args:
        rng: Source of the draws.
        shares: Probability of each kind in each class, shape (C, 3).
        each: Descriptions of each class.
    """
    counts: Counts = rng.multinomial(each, shares / shares.sum(axis=-1, keepdims=True))
    return counts


def _seed(number: int, counts: tuple[Counts, Counts]) -> SeedResult:
    policies = dict(zip(("aligned", "base"), map(_breakdown, counts), strict=True))
    assert set(policies) == set(POLICIES)
    shares = Breakdown(judge=JUDGE, denominator="parsed", confidence=CONFIDENCE, policies=policies)
    return SeedResult(number, ACCURACY, shares, [], Verdicts(), [])


def _by_class(counts: Counts) -> dict[int, dict[Kind, int]]:
    return {label: dict(zip(CAPTION_KINDS, map(int, row), strict=True)) for label, row in enumerate(counts)}


def _breakdown(counts: Counts) -> PolicyBreakdown:
    kinds: dict[Kind, int] = dict.fromkeys(KINDS, 0)
    kinds |= dict(zip(CAPTION_KINDS, map(int, counts.sum(axis=0)), strict=True))
    total = sum(kinds.values())
    unparsed = {"informative": 0, "visual": 0}
    return PolicyBreakdown(total, total, 0, unparsed, kinds, group_shares(kinds, "parsed", CONFIDENCE))
