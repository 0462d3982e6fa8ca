"""Mean text similarity: how near a pool's captions are to the names of the classes, and what goes with it.

Source: Li et al., Benchmarking and Analyzing Generative Data for Visual Recognition (GenBench), section 3.3, Figure 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.images.record import Measures, Quantity, TextSimilarity
from analysis.images.retrieval import FEWEST_DATASETS, spearman
from analysis.images.set_grids import column_names, grid_of
from analysis.images.wording import NAMES
from analysis.statistics.intervals import Estimate, IntervalSettings
from analysis.tables.table import Cell, Row, Table, count_cell, text_cell
from ex2 import set_recipe
from ex2.banks import bank_cache
from ex2.sets.pool import read_pool
from ex2.sets.ranking import mean_text_similarity, nearest
from ex2.sets.text_encoders import encoder_settings, find_encoder, text_bank
from reward.errors import UserError
from reward.numerals import decimal

KEY = "measure.text_similarity"
GOES_WITH: tuple[Quantity, ...] = ("gain", "cler", "probe_gain")
"""What mean text similarity is correlated with over datasets. Figure 6 has a change of CLER, not said from what;
`gain` is what a set adds to the texts alone."""


def text_similarity(asked: set_recipe.TextSimilarity, class_names: Sequence[str]) -> TextSimilarity:
    """Measure how near a pool's captions are to the names of classes.

    Raises:
        UserError: If the pool or the encoder is not there.
        EnvironmentFault: If the bank of captions cannot be written.
    """
    encoder = find_encoder(asked.encoder, f"{KEY}.encoder")
    path = Path(asked.pool).expanduser()
    pool = read_pool(path, caption=asked.caption_column, file=None, where=f"{KEY}.pool", keys=KEY)
    parts = text_bank(encoder, pool.captions, bank_cache(), title=f"captions of {path.name}")
    found = mean_text_similarity(nearest(encoder.encode_texts(class_names).embeddings, parts, asked.top).similarities)
    told = encoder_settings(asked.encoder)
    return TextSimilarity(
        value=found.value,
        by_class=found.by_class,
        k=found.k,
        pool=path.name,
        captions=len(pool.captions),
        encoder=told if isinstance(told, str) else str(told.get("name", told)),
    )


def similarity_table(found: Sequence[Measures]) -> Table:
    """Lay out the mean text similarity of each measurement's classes, with the least and the best known class."""
    rows = []
    for one in found:
        similarity = one.similarity
        if similarity is None:
            continue
        order = sorted(range(len(one.classes)), key=lambda label: similarity.by_class[label])
        ends = [f"{one.classes[label]} ({decimal(similarity.by_class[label], 3)})" for label in (order[0], order[-1])]
        cells = (
            Cell("number", similarity.value, n=len(one.classes)),
            text_cell(ends[0]),
            text_cell(ends[1]),
            count_cell(similarity.k),
            count_cell(similarity.captions),
            text_cell(f"{similarity.pool}, {similarity.encoder}"),
        )
        rows.append(Row((one.dataset,), cells))
    columns = ("mean text similarity", "least similar class", "most similar class", "captions a class", "of", "pool")
    return Table(
        "images-text-similarity",
        "How near captions are to the classes' names",
        ("dataset",),
        columns,
        tuple(rows),
        (
            "A class's is the mean cosine of its name and its nearest captions; the dataset's is the mean over "
            "classes, which n counts. It compares only within one pool and one encoder (GenBench, section 3.3).",
        ),
    )


def with_similarity(
    similarities: Sequence[float], gains: Sequence[float], settings: IntervalSettings | None = None
) -> Estimate:
    """Return Spearman's rank correlation of mean text similarity and a gain over data sets (GenBench, Figure 6).

    Args:
        similarities: Mean text similarity of each data set, shape (N,).
        gains: What a set adds on each, in the same order.
        settings: Confidence, number of resamples and seed.

    Returns:
        The correlation with its bootstrap interval over data sets, which `n` counts; without an interval below
        `FEWEST_DATASETS`.

    Raises:
        UserError: For fewer than two data sets, values that are not finite, or one side that is the same on all.
    """
    return spearman(similarities, gains, settings)


def similarity_rank_table(found: Sequence[Measures]) -> Table | None:
    """Lay out how mean text similarity goes with the gain of each generator and strategy over datasets (Figure 6).

    Returns:
        The table; None if it was not measured on `FEWEST_DATASETS` datasets, if several measurements are of one
        dataset, or if pools or encoders differ, whose similarities do not compare.
    """
    known = {column: one.similarity for column, one in zip(column_names(found), found, strict=True) if one.similarity}
    kinds = {(one.pool, one.captions, one.encoder, one.k) for one in known.values()}
    if len({one.dataset for one in found}) < len(found) or len(known) < FEWEST_DATASETS or len(kinds) > 1:
        return None
    lines = []
    for quantity in GOES_WITH:
        grid = grid_of(found, quantity)
        for row, values in zip(grid.rows, grid.values, strict=True):
            pairs = [
                (known[column].value, value)
                for column, value in zip(grid.columns, values, strict=True)
                if column in known and value is not None
            ]
            if len(pairs) < FEWEST_DATASETS:
                continue
            try:
                rho = with_similarity([first for first, _ in pairs], [second for _, second in pairs])
                cell = Cell("number", rho.value, rho.low, rho.high, rho.n)
            except UserError:
                cell = Cell(empty="the same on all")
            lines.append(Row((row.generator, row.strategy, NAMES[quantity]), (cell,)))
    if not lines:
        return None
    return Table(
        "images-text-similarity-ranks",
        "What goes with mean text similarity over datasets",
        ("generator", "strategy", "measure"),
        ("Spearman's ρ",),
        tuple(lines),
        ("Intervals are over datasets, which n counts: they ask for other datasets like these (GenBench, Figure 6).",),
    )
