"""What the numbers of image sets are called, the forms that every caption names, and cells made of them."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.images.record import Measures, MetricCorrelation, Quantity, SetComparison, SetMeasures
from analysis.results.wording import NBSP, UNKNOWN, brackets, listing, percent
from analysis.statistics.intervals import Estimate
from analysis.statistics.together import FEWEST_SEEDS
from analysis.tables.table import Cell, Unit
from reward.numerals import decimal

NAMES: dict[str, str] = {
    "text": "texts alone",
    "cler": "CLER",
    "ensemble": "ensemble",
    "gain": "gain",
    "probe": "probe",
    "probe_gain": "probe minus texts",
    "clip_score": "CLIP score",
    "frechet": "Fréchet distance",
    "kid": "KID",
    "precision_at_5": "precision@5",
    "recall_at_5": "recall@5",
}
"""Quantity → what it is called. It is a Fréchet distance in the VLM's space, which is why it is not called FID."""

METRICS = {
    "accuracy": "accuracy",
    "mean_per_class": "mean accuracy per class",
    "map_11_point": "11-point mAP",
    "roc_auc": "ROC AUC",
}
CENTERS = {
    "unit": "normalized means of unit embeddings",
    "mean": "means of unit embeddings",
    "raw": "means of unnormalized embeddings (GenBench, Eq. 1)",
}
ENSEMBLES = {"centers": "normalized sum of center and text", "logits": "mean of both logits"}

UNITS: dict[str, Unit] = {
    "gain": "points",
    "probe_gain": "points",
    "clip_score": "number",
    "frechet": "number",
    "kid": "number",
}
"""Unit of each quantity; of all others percent."""

OF_SETS = ("clip_score", "frechet", "kid", "precision_at_5", "recall_at_5")
"""Quantities whose observations are the set's images."""

NOT_MEASURED = "not measured"
NEARLY_PERFECT = 0.99
"""ROC AUC from which intervals are too narrow: at 0.994 and 60 test images of each class they hold 80 % in place of 95
(benchmarks/image_set_ranks.py)."""


def metric_name(measures: Measures) -> str:
    """Return what the dataset's own metric is called."""
    return METRICS.get(measures.metric, measures.metric)


def confidence_of(measures: Measures) -> float:
    """Return the coverage of the intervals."""
    return float(measures.settings.get("confidence", 0.95))


def forms(measures: Measures) -> str:
    """Return the sentence that every caption ends with: the metric, and the forms of centers and ensemble."""
    settings = measures.settings
    centers, ensemble = (str(settings.get(key, "")) for key in ("centers", "ensemble"))
    return (
        f"Metric: {metric_name(measures)}. Centers: {_form(centers, CENTERS)}. "
        f"Ensemble: {_form(ensemble, ENSEMBLES)}. Texts: {measures.texts}."
        + (f" The first {measures.per_class:,} images of each class." if measures.per_class else "")
    )


def _form(name: str, known: dict[str, str]) -> str:
    return f"{name}, {known[name]}" if name in known else name or "not said"


OF_TEST_IMAGES = frozenset({"text", "cler", "ensemble", "gain", "probe", "probe_gain"})
"""Quantities that are scores of test images, and so vary over these too."""


def over_words(one: SetMeasures | SetComparison, measures: Measures) -> str:
    """Return what an interval is over: `3 seeds and 960 test images`, or `the set's images and 960 test images`."""
    if one.over == "images":
        whose = "both sets'" if isinstance(one, SetComparison) else "the set's"
        return f"{whose} images and {measures.images:,} test images"
    seeds = one.difference.n if isinstance(one, SetComparison) else len(one.seeds)
    if isinstance(one, SetComparison) and one.quantity not in OF_TEST_IMAGES:
        return f"{seeds} seeds"
    return f"{seeds} seeds and {measures.images:,} test images"


def few_seeds(sets: Sequence[SetMeasures]) -> bool:
    """Say whether a set is of fewer seeds than a sentence on more than these sets takes."""
    return any(len(one.seeds) < FEWEST_SEEDS for one in sets)


def cell_of(number: Estimate | None, quantity: str, one: SetMeasures | None, images: int) -> Cell:
    """Make a cell of a set's number.

    Args:
        number: The number.
        quantity: What it is.
        one: The set; None for a number of all sets, such as that of the texts.
        images: Number of test images.
    """
    if number is None:
        return Cell(empty=NOT_MEASURED)
    unit = UNITS.get(quantity, "percent")
    scale = 100.0 if unit in ("percent", "points") else 1.0
    low, high = (None if end is None else scale * end for end in (number.low, number.high))
    if unit == "percent":
        low, high = (None if end is None else min(max(end, 0.0), 100.0) for end in (low, high))
    seeds = len(one.seeds) if one is not None and one.over == "seeds" else 1
    n = images if quantity not in OF_SETS else one.made if one is not None else number.n
    return Cell(unit, scale * number.value, low, high, n, seeds, quantity not in OF_SETS and seeds > 1)


def text_number(measures: Measures) -> Cell:
    """Return the cell of the texts alone, which no seed changes."""
    return cell_of(measures.text, "text", None, measures.images)


def difference_cell(row: SetComparison, measures: Measures) -> Cell:
    """Return the cell of a comparison: points of what is a percentage, else the quantity's own unit."""
    own = UNITS.get(row.quantity, "percent")
    return cell_of(row.difference, "gain" if own == "percent" else row.quantity, None, measures.images)


def points_of(number: Estimate) -> str:
    """Return `+4.2 points [+2.1, +6.3]` of a difference."""
    value = f"{decimal(100 * number.value, 1, sign=True)}{NBSP}points"
    if number.low is None or number.high is None:
        return value
    return f"{value}{NBSP}{brackets(100 * number.low, 100 * number.high, 1)}"


def number_words(number: Estimate | None, quantity: Quantity) -> str:
    """Return a number with its interval as words of a sentence."""
    if number is None:
        return UNKNOWN
    return points_of(number) if UNITS.get(quantity) == "points" else percent(number)


def side_by_side(measures: Measures, one: SetMeasures) -> str:
    """Return text zero-shot, CLER, ensemble and gain of a set in a row, and the probe if it was measured."""
    said = [f"texts alone {percent(measures.text)}"]
    shown: tuple[Quantity, ...] = ("cler", "ensemble", "gain", "probe")
    said += [f"{NAMES[name]} {number_words(one.number(name), name)}" for name in shown if one.number(name)]
    return ", ".join(said)


def nothing_of(one: SetMeasures) -> float | None:
    """Return the mean over seeds of what permuted labels give; None if that was not measured."""
    found = [seed.nothing for seed in one.seeds if seed.nothing is not None]
    return sum(found) / len(found) if found else None


def text_share(one: SetMeasures) -> float | None:
    """Return how much of what an ensemble is above nothing the texts have brought, if the set knows nothing.

    Returns:
        (ensemble − CLER) / (ensemble − nothing), within [0, 1]. None if the set is told from nothing or was not tested,
        or if the interval of its ensemble holds nothing too, which flatters nobody.
    """
    ensemble, cler, nothing = one.number("ensemble"), one.number("cler"), nothing_of(one)
    if one.knows is not False or ensemble is None or cler is None or nothing is None:
        return None
    least = ensemble.value if ensemble.low is None else ensemble.low
    if least <= nothing:
        return None
    return min(max((ensemble.value - cler.value) / (ensemble.value - nothing), 0.0), 1.0)


def unequal(sets: Sequence[SetMeasures], cut: int | None = None) -> str:
    """Return in what sets differ that should be equal for a comparison; "" if in nothing.

    Args:
        sets: The sets.
        cut: Images of each class to which all sets were cut; None if they were taken whole.
    """
    said: list[str] = []
    counted = {
        "images a class": [one.per_class for one in sets],
        "seeds": [len(one.seeds) for one in sets],
        "images made": [one.made for one in sets],
    }
    for what, values in counted.items():
        if cut is not None and what != "seeds":
            continue
        if len(set(values)) > 1 and not (what == "images made" and said):
            listed = [f"{one.name} {value:,}" for one, value in zip(sets, values, strict=True)]
            said.append(f"{what} ({listing(listed)})")
    return " and ".join(said)


def told(comparison: SetComparison, confidence: float) -> bool:
    """Say whether a difference is told from none both by its corrected p-value and by its interval."""
    return is_beyond_zero(comparison.difference) and comparison.significant(confidence) is True


def told_alone(comparison: SetComparison, confidence: float) -> bool:
    """Say whether a difference is told from none by its own interval and p-value, but not once that is corrected."""
    alone = comparison.p is not None and comparison.p < 1 - confidence
    return alone and is_beyond_zero(comparison.difference) and comparison.significant(confidence) is False


def is_beyond_zero(number: Estimate) -> bool:
    """Say whether a number has an interval, and 0 is outside."""
    return number.low is not None and number.high is not None and (number.low > 0 or number.high < 0)


def others(measures: Measures) -> int:
    """Return beside how many other tests each comparison's p-value is corrected."""
    return max(0, sum(row.p is not None for row in measures.comparisons) - 1)


def beside(measures: Measures) -> str:
    """Return `beside the 3 others`: what a difference does not hold against that is told apart alone."""
    number = others(measures)
    return f"beside the {number:,} others" if number > 1 else "beside the other"


def verdict(comparison: SetComparison, measures: Measures) -> str:
    """Return whether two sets are told apart, of a comparison that was tested.

    Intervals are each comparison's own, and the verdict is of all of them together, so that an interval may leave 0
    outside without it; then the words say so.
    """
    confidence = confidence_of(measures)
    if told(comparison, confidence):
        return "told apart"
    if told_alone(comparison, confidence):
        return f"told apart alone, not {beside(measures)}"
    return "not told apart"


def nearly_perfect(one: SetMeasures, metric: str) -> bool:
    """Say whether a set's ROC AUC, by centers or probe, is so near 1 that its interval is too narrow."""
    shares = [one.numbers[name].value for name in ("cler", "ensemble", "probe") if name in one.numbers]
    return metric == "roc_auc" and max(shares, default=0.0) >= NEARLY_PERFECT


def warnings_of(measures: Measures) -> list[str]:
    """Return what a reader of the numbers must know, a sentence each."""
    said = []
    for one in measures.sets:
        share = text_share(one)
        if share is not None:
            said.append(
                f"The ensemble flatters {one.name}, which is not told from a set that knows nothing: "
                f"{decimal(100 * share, 0)}{NBSP}% of what its ensemble is above nothing comes from the texts."
            )
    for one in measures.sets:
        if one.repeated:
            are = "Seeds {} hold" if len(one.repeated) > 1 else "Seed {} holds"
            said.append(
                f"{are.format(listing([str(seed) for seed in one.repeated]))} the images of an earlier seed of "
                f"{one.name} and {'are' if len(one.repeated) > 1 else 'is'} left out: the same images say nothing of "
                "other draws."
            )
        if one.shared:
            said.append(
                f"{one.shared:,} of the {one.made:,} images of {one.name} stand in several of its seeds: its intervals "
                "take that into account, and its seeds tell less than others would."
            )
    bare = [one.name for one in measures.sets if one.sandbox == "none"]
    if bare:
        said.append(f"Code that a model wrote drew {listing(bare)} without a sandbox, with the rights of who ran it.")
    few = [one.name for one in measures.sets if few_seeds([one])]
    if few:
        said.append(
            f"Fewer than {FEWEST_SEEDS} generation seeds of {listing(few)}: the numbers are of these sets, not of what "
            "draws them."
        )
    perfect = [one.name for one in measures.sets if nearly_perfect(one, measures.metric)]
    if perfect:
        said.append(
            f"Nearly all pairs of test images are ranked right by {listing(perfect)}: intervals of an area under the "
            f"curve of {NEARLY_PERFECT:g} or more hold what they should less often than they say, since images that "
            "are ranked wrong are too few to be among those tested."
        )
    differ = unequal(measures.sets, measures.per_class)
    if differ:
        said.append(f"The sets are unequal in {differ}: what differs may be due to that.")
    return said


def rho_cell(row: MetricCorrelation) -> Cell:
    """Make a cell of a rank correlation; its n counts sets."""
    return Cell("number", row.rho.value, row.rho.low, row.rho.high, row.rho.n)
