"""Sets against one of them, and how metrics go with the linear probe over sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from analysis.images.intervals import difference_interval, difference_p, given_two_sets, set_difference
from analysis.images.record import MetricCorrelation, Quantity, SetComparison, SetMeasures
from analysis.images.resampling import TestImages
from analysis.images.retrieval import spearman
from analysis.images.seeds import pooled_difference, seeds_alone_difference
from analysis.images.values import CutSeed, SeedsOfSet
from analysis.statistics.holm import holm
from analysis.statistics.intervals import Estimate, IntervalSettings
from analysis.statistics.together import FEWEST_SEEDS
from reward.errors import UserError

COMPARED: tuple[Quantity, ...] = ("cler", "probe")
"""What sets are compared by. An ensemble goes with CLER, and differs less, since the texts are the same."""
FEWEST_SETS = 5
"""Fewest sets that metrics are correlated over."""


def compared(
    sets: Sequence[SetMeasures],
    first_of: Callable[[str], CutSeed],
    against: str,
    test: TestImages,
    settings: IntervalSettings,
    seeds: Mapping[str, SeedsOfSet],
) -> tuple[SetComparison, ...]:
    """Compare each set with one of them.

    Where both have three seeds, over seeds and test images: paired if the seeds are the same ones, since a generator
    then begins from the same noise, else as Welch's test does. Where not, over the images of the first seeds and
    the test images. p-values are corrected over all comparisons that have one.

    Args:
        sets: The sets, measured.
        first_of: Name of a set → the images of its first seed.
        against: Name of the set that others are compared with.
        test: The test images.
        settings: Confidence, number of resamples and seed.
        seeds: Name of a set → how the numbers of its seeds vary.
    """
    by_name = {one.name: one for one in sets}
    found: list[SetComparison] = []
    for name, one in by_name.items():
        if name == against:
            continue
        other = by_name[against]
        pair = first_of(name), first_of(against)
        for quantity in (quantity for quantity in COMPARED if quantity in one.numbers):
            over: Literal["seeds", "images"] = "images"
            if min(len(one.seeds), len(other.seeds)) >= FEWEST_SEEDS:
                over = "seeds"
                difference, p = difference_over_seeds(seeds[name], seeds[against], quantity, settings.confidence)
            else:
                difference, p = _over_images(one, other, quantity, pair, test, settings)
            mcnemar = None
            if quantity == "cler" and test.labels.ndim == 1:
                mcnemar = given_two_sets(pair[0].images, pair[1].images, test, settings.confidence).p
            found.append(
                SetComparison(
                    name=name,
                    against=against,
                    quantity=quantity,
                    difference=difference,
                    over=over,
                    p=p,
                    given_sets_p=mcnemar,
                )
            )
    corrected = iter(holm([one.p for one in found if one.p is not None]))
    return tuple(one if one.p is None else replace(one, p_holm=next(corrected)) for one in found)


def difference_over_seeds(
    one: SeedsOfSet, other: SeedsOfSet, quantity: Quantity, confidence: float
) -> tuple[Estimate, float | None]:
    """Return the difference of two sets' means over seeds with its interval, and the p-value that belongs to it.

    Args:
        one: A set of at least three seeds.
        other: Another one.
        quantity: What is compared: CLER, whose images are resampled, or the probe, of which seeds alone tell.
        confidence: Coverage, in (0, 1).
    """
    first, second = one.resampled.get(quantity), other.resampled.get(quantity)
    overlaps = one.overlap, other.overlap
    if first is None or second is None:
        vary = one.over_test[quantity] - other.over_test[quantity]
        values = one.values(quantity), other.values(quantity)
        return seeds_alone_difference(*values, vary, confidence, overlaps)
    difference = pooled_difference(first, second, overlaps)
    fewest = min(len(first), len(second))
    return difference_interval(difference, confidence, fewest), difference_p(difference)


def correlations(sets: Sequence[SetMeasures], settings: IntervalSettings) -> tuple[MetricCorrelation, ...]:
    """Correlate every number with the linear probe over sets; a number that is the same for all has no correlation."""
    probe = [number.value for one in sets if (number := one.number("probe"))]
    if len(sets) < FEWEST_SETS or len(probe) < len(sets):
        return ()
    found = []
    for quantity in sets[0].numbers:
        if quantity in ("text", "probe", "probe_gain"):  # the same for all sets, or the probe itself
            continue
        try:
            rho = spearman([one.numbers[quantity].value for one in sets], probe, settings)
        except UserError:
            continue
        found.append(MetricCorrelation(quantity=quantity, rho=rho))
    return tuple(found)


def _over_images(
    one: SetMeasures,
    other: SetMeasures,
    quantity: Quantity,
    pair: tuple[CutSeed, CutSeed],
    test: TestImages,
    settings: IntervalSettings,
) -> tuple[Estimate, float | None]:
    """Return the difference of two sets' first seeds; the probe's has no interval, which takes a fit a resample."""
    if quantity == "cler" and pair[0].shots > 1:
        found = set_difference(pair[0].images, pair[1].images, test, settings)
        return found.cler, found.cler_p
    value = one.seeds[0].values[quantity] - other.seeds[0].values[quantity]
    return Estimate(value, None, None, len(test.labels)), None
