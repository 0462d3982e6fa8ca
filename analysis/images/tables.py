"""Image sets as tables: worth, comparisons, shots and cost, probe, correlations, time, yield, leakage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from analysis.images.record import Measures, Quantity, SetMeasures
from analysis.images.set_grids import grid_tables, rank_table
from analysis.images.similarity import similarity_rank_table, similarity_table
from analysis.images.wording import (
    NAMES,
    NOT_MEASURED,
    cell_of,
    confidence_of,
    difference_cell,
    forms,
    nothing_of,
    over_words,
    rho_cell,
    text_number,
    text_share,
    verdict,
)
from analysis.images.words import words_table
from analysis.results.wording import p_digits
from analysis.statistics.intervals import Estimate
from analysis.tables.table import NOTHING, Cell, Row, Table, Unit, count_cell, text_cell
from ex2.sets.overlap import LISTED
from reward.numerals import decimal

GIVEN_TWO_SETS = "p, McNemar, given these two sets"
"""Header of the one column with McNemar's test, which finds sets that know nothing apart in most pairs of them."""

SIDE_BY_SIDE: tuple[Quantity, ...] = ("cler", "ensemble", "gain", "probe")
"""Quantities that stand beside the texts alone wherever one of them is shown."""

FURTHER: tuple[Quantity, ...] = ("clip_score", "frechet", "kid", "precision_at_5", "recall_at_5")


def image_tables(found: Sequence[Measures]) -> list[Table]:
    """Lay out measurements of image sets.

    Args:
        found: One or several measurements.

    Returns:
        The tables in the order of a report; those without a row are left out.
    """
    makers = (
        worth_table,
        comparison_table,
        probe_table,
        shots_table,
        further_table,
        correlation_table,
        similarity_table,
        yield_table,
        leakage_table,
        near_table,
        time_table,
    )
    made = [make(found) for make in makers] if found else []
    words = [
        replace(words_table(one.words, one), key=f"images-words{f'-{number}' if len(found) > 1 else ''}")
        for number, one in enumerate(found, start=1)
        if one.words
    ]
    ranks = [table for table in (rank_table(found), similarity_rank_table(found)) if table]
    return [*(table for table in made if table.rows), *words, *grid_tables(found), *ranks]


def worth_table(found: Sequence[Measures]) -> Table:
    """Text, CLER, ensemble, gain and probe of each set side by side, and whether it is told from nothing."""
    return _table(
        "images-worth",
        "What each image set is worth",
        found,
        ("texts alone", *(NAMES[name] for name in SIDE_BY_SIDE), "nothing", "p of nothing", "intervals over"),
        lambda measures: [
            (
                (one.name,),
                (
                    *_side(measures, one, one.numbers),
                    _nothing_cell(one),
                    _knowledge_cell(one),
                    text_cell(over_words(one, measures)),
                ),
            )
            for one in measures.sets
        ],
        "Nothing: mean CLER of the set with its labels permuted; p: of that permutation, smallest to largest over "
        "seeds. A set knows more than nothing if every seed's p is below 0.05.",
    )


def comparison_table(found: Sequence[Measures]) -> Table:
    """Differences of sets, with the test that holds for other draws and, apart, the one that does not."""
    return _table(
        "images-comparisons",
        "Image sets compared",
        found,
        ("minus", "of", "difference", "p", "p, Holm", "verdict", "intervals over", GIVEN_TWO_SETS),
        lambda measures: [
            (
                (row.name,),
                (
                    text_cell(row.against),
                    text_cell(NAMES.get(row.quantity, row.quantity)),
                    replace(difference_cell(row, measures), n=row.difference.n),
                    _p_cell(row.p),
                    _p_cell(row.p_holm),
                    Cell(empty="not tested") if row.p_holm is None else text_cell(verdict(row, measures)),
                    text_cell(over_words(row, measures)),
                    _p_cell(row.given_sets_p),
                ),
            )
            for row in measures.comparisons
        ],
        "Each interval and p is of its comparison alone. Verdicts are of all together: they follow p, corrected by "
        "Holm's method over the comparisons of a measurement, and the interval, which must both tell. McNemar's p "
        "holds for these two sets of images only: the test images of a class fall together, so that it tells most "
        "pairs of sets apart, even of sets that know nothing.",
    )


def probe_table(found: Sequence[Measures]) -> Table:
    """Linear probe of each set, the largest gain over the texts first (GenBench, Figure 2)."""

    def rows(measures: Measures) -> list[Line]:
        probed = [(one, gain) for one in measures.sets if (gain := one.number("probe_gain"))]
        return [
            (
                (one.name,),
                (
                    text_number(measures),
                    cell_of(one.number("probe"), "probe", one, measures.images),
                    cell_of(gain, "probe_gain", one, measures.images),
                ),
            )
            for one, gain in sorted(probed, key=lambda pair: -pair[1].value)
        ]

    columns = ("texts alone", "probe", "probe minus texts")
    made = _table("images-probe", "Linear probe by its gain over zero-shot", found, columns, rows)
    return replace(made, rows=tuple(sorted(made.rows, key=lambda row: -(row.cells[2].value or 0.0))))


def shots_table(found: Sequence[Measures]) -> Table:
    """Every set with fewer images a class, and what so many cost (GenBench, Figure 3)."""
    return _table(
        "images-shots",
        "Fewer images of each class, and their cost",
        found,
        ("texts alone", *(NAMES[name] for name in SIDE_BY_SIDE), "USD"),
        lambda measures: [
            (
                (one.name, f"{shots:,}"),
                (*_side(measures, one, numbers), _number_cell(usd, "usd", "no price known")),
            )
            for one in measures.sets
            if one.shots
            for shots, numbers, usd in courses(one, measures.per_class)
        ],
        "USD: of the images of one seed.",
        names=("set", "images a class"),
    )


def further_table(found: Sequence[Measures]) -> Table:
    """CLIP score, distances and retrieval."""
    return _table(
        "images-further",
        "CLIP score, distances and retrieval",
        found,
        tuple(NAMES[name] for name in FURTHER),
        lambda measures: [
            ((one.name,), tuple(cell_of(one.number(name), name, one, measures.images) for name in FURTHER))
            for one in measures.sets
            if any(one.number(name) for name in FURTHER)
        ],
        "Distances are between embeddings of the VLM, so that they compare only with each other: FID is the Fréchet "
        "distance with Inception's weights. n counts the set's images; intervals are over seeds alone.",
    )


def correlation_table(found: Sequence[Measures]) -> Table:
    """Rank correlation of each measure with the linear probe over sets (GenBench, Figures 4, 9 and 10)."""
    return _table(
        "images-correlations",
        "What goes with the linear probe over sets",
        found,
        ("Spearman's ρ with the probe", "sets"),
        lambda measures: [
            ((NAMES.get(row.quantity, row.quantity),), (rho_cell(row), count_cell(row.rho.n)))
            for row in measures.correlations
        ],
        "These are over the sets of this run, and GenBench's (Figures 4, 9 and 10) over data sets. Too few sets for an "
        "interval have none, and nothing follows from them for other sets.",
        names=("measure",),
    )


def yield_table(found: Sequence[Measures]) -> Table:
    """What was asked for and what was made."""
    return _table(
        "images-yield",
        "What was asked for and made",
        found,
        ("generator", "strategy", "asked", "made", "failed", "prompt cut", "classes filled", "seconds", "USD", "terms"),
        lambda measures: [
            (
                (one.name,),
                (
                    text_cell(one.generator),
                    text_cell(one.strategy) if one.strategy else Cell(empty="no record"),
                    count_cell(one.asked),
                    count_cell(one.made, n=one.asked),
                    text_cell(failed_words(one)),
                    count_cell(one.truncated, n=one.made),
                    text_cell(", ".join(one.filled)) if one.filled else Cell(empty=NOTHING),
                    _number_cell(one.seconds, "seconds", NOT_MEASURED),
                    _number_cell(one.usd, "usd", "no price known"),
                    text_cell(one.licence) if one.licence else Cell(empty="not said"),
                ),
            )
            for one in measures.sets
        ],
        "Over all seeds. Prompt cut: images whose prompt was seen in part. Classes filled: without images, they take "
        "their texts.",
    )


def leakage_table(found: Sequence[Measures]) -> Table:
    """Test images in the sets."""
    return _table(
        "images-leakage",
        "Test images in the sets",
        found,
        ("images made", "test images, taken out", "nearly test images", "share, nearly"),
        lambda measures: [
            (
                (one.name,),
                (
                    count_cell(one.made),
                    count_cell(one.dropped, n=one.made),
                    count_cell(one.near, n=one.made),
                    Cell("percent", 100 * one.near / one.made, n=one.made) if one.made else Cell(empty=NOTHING),
                ),
            )
            for one in measures.sets
        ],
        "The same by hash of the file or of its pixels; nearly: by a cosine of embeddings above the threshold, which "
        "are left in.",
    )


def near_table(found: Sequence[Measures]) -> Table:
    """Images of the sets that are nearly test images, the nearest first."""
    return _table(
        "images-near",
        "Images that are nearly test images",
        found,
        ("test image", "cosine"),
        lambda measures: [
            ((one.name, str(near.seed), near.image), (text_cell(near.test), text_cell(decimal(near.cosine, 3))))
            for one in measures.sets
            for near in one.nearest
        ],
        f"The {LISTED} nearest of each set, by the cosine of their embeddings. Look at them: a set that shows what is "
        "tested on scores too well, but some may look alike to this VLM only.",
        names=("set", "seed", "image"),
    )


def time_table(found: Sequence[Measures]) -> Table:
    """Seconds of each metric (GenBench, Figure 5)."""
    return _table(
        "images-time",
        "Time of each metric",
        found,
        ("seconds", "sets"),
        lambda measures: [
            ((NAMES.get(name, name),), (_number_cell(seconds, "seconds", NOT_MEASURED), count_cell(len(measures.sets))))
            for name, seconds in measures.timings.items()
        ],
        "For all sets and seeds, embedding apart.",
        names=("metric",),
    )


def failed_words(one: SetMeasures) -> str:
    """Return `3: blank 2, timeout 1`, or `0`."""
    total = sum(one.failed.values())
    kinds = ", ".join(f"{status} {number:,}" for status, number in one.failed.items() if number)
    return f"{total:,}: {kinds}" if total else "0"


Line = tuple[tuple[str, ...], tuple[Cell, ...]]
"""Names and cells of a row of one measurement."""


def _table(
    key: str,
    title: str,
    found: Sequence[Measures],
    columns: tuple[str, ...],
    rows: Callable[[Measures], list[Line]],
    *notes: str,
    names: tuple[str, ...] = ("set",),
) -> Table:
    """Make a table; of several measurements each row says whose it is, and a note of each names its forms."""
    several = len(found) > 1
    made = [
        Row((measures.name, *line) if several else line, cells) for measures in found for line, cells in rows(measures)
    ]
    forms_notes = [
        (f"{one.name}: " if several else "")
        + f"{one.dataset}, {one.split} split, through {one.vlm}; {100 * confidence_of(one):g} % intervals. {forms(one)}"
        for one in found
    ]
    return Table(key, title, ("run", *names) if several else names, columns, tuple(made), (*notes, *forms_notes))


def courses(one: SetMeasures, cut: int | None = None) -> list[tuple[int, Mapping[str, Estimate], float | None]]:
    """Return images a class, numbers and cost in USD of one seed's images: of fewer images first, then of all.

    Args:
        one: The set.
        cut: Images of each class to which all sets were cut; None if they were taken whole.
    """
    most = cut or one.per_class
    whole = None if one.usd is None or not one.seeds else one.usd / len(one.seeds) * most / one.per_class
    fewer = sorted((some for some in one.shots if some.shots < most), key=lambda some: some.shots)
    return [*((some.shots, some.numbers, some.usd) for some in fewer), (most, one.numbers, whole)]


def _side(measures: Measures, one: SetMeasures, numbers: Mapping[str, Estimate]) -> tuple[Cell, ...]:
    own = (cell_of(numbers.get(name), name, one, measures.images) for name in SIDE_BY_SIDE)
    return (text_number(measures), *own)


def _nothing_cell(one: SetMeasures) -> Cell:
    nothing = nothing_of(one)
    return Cell(empty="not tested") if nothing is None else Cell("percent", 100 * nothing)


def _knowledge_cell(one: SetMeasures) -> Cell:
    p_values = sorted(seed.knowledge_p for seed in one.seeds if seed.knowledge_p is not None)
    if not p_values:
        return Cell(empty="not tested")
    words = "–".join(dict.fromkeys((p_digits(p_values[0]), p_digits(p_values[-1]))))
    share = text_share(one)
    notes = () if one.knows else ("not told from nothing",)
    if share is not None:
        notes = (*notes, f"the ensemble flatters: {decimal(100 * share, 0)} % of it above nothing is the texts'")
    return Cell(text=words, notes=notes)


def _p_cell(p: float | None) -> Cell:
    return Cell(empty="not tested") if p is None else text_cell(p_digits(p))


def _number_cell(value: float | None, unit: Unit, absent: str) -> Cell:
    return Cell(empty=absent) if value is None else Cell(unit, value)
