"""Mean text similarity beside the gain: its tables, and the correlation over data sets of Figure 6."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from measured_sets import around, measured_set, measurement
from scipy import stats

from analysis.images.published import genbench
from analysis.images.record import Measures, TextSimilarity
from analysis.images.similarity import similarity_rank_table, similarity_table, with_similarity
from analysis.images.tables import image_tables
from analysis.statistics.intervals import IntervalSettings
from ex2.sets.cost import usd_an_image
from reward.errors import UserError

KNOWN = (0.9, 0.8, 0.7, 0.6, 0.5)
GAINS = (0.06, 0.08, 0.03, 0.02, -0.01)
"""Of the same five data sets. Ranks 5 4 3 2 1 and 4 5 3 2 1: rho = 1 - 6 · (1 + 1) / (5 · 24) = 0.9."""


def of_dataset(place: int, similarity: float | None, gain: float, **changes: object) -> Measures:
    one = measured_set("drawn", generator="diffusers", strategy="defined")
    one = replace(one, numbers={**one.numbers, "gain": around(gain, 0.01, 3)})
    found = None
    if similarity is not None:
        by_class = (similarity - 0.1, similarity + 0.1, *[similarity] * 14)
        found = TextSimilarity(
            value=similarity, by_class=by_class, k=10, pool="laion.parquet", captions=1000, encoder="minilm"
        )
    return measurement(one, name=f"run-{place}", dataset=f"data {place}", similarity=found, **changes)


def five() -> list[Measures]:
    return [of_dataset(place, *pair) for place, pair in enumerate(zip(KNOWN, GAINS, strict=True))]


def test_the_correlation_is_spearmans_over_data_sets() -> None:
    found = with_similarity(KNOWN, GAINS, IntervalSettings(samples=500))
    assert found.value == pytest.approx(0.9)
    assert found.value == pytest.approx(stats.spearmanr(KNOWN, GAINS).statistic)
    assert found.n == 5
    assert found.low is not None
    assert found.low <= found.value <= found.high  # type: ignore[operator]
    shuffled = with_similarity(KNOWN, [GAINS[place] for place in (0, 2, 3, 4, 1)])
    assert abs(shuffled.value) < 0.5, "gains of other data sets do not go with it"
    assert with_similarity(KNOWN[:3], GAINS[:3]).low is None
    with pytest.raises(UserError, match="correlation over 5 data sets"):
        with_similarity(KNOWN, [0.1] * 5)


def test_an_interval_over_many_data_sets_holds_the_truth() -> None:
    """Ranks that correlate by about 0.5, twenty times: most intervals hold it, and those of noise hold 0."""
    made, held, none = np.random.default_rng(0), 0, 0
    for _ in range(20):
        first = made.normal(size=22)
        second = 0.52 * first + (1 - 0.52**2) ** 0.5 * made.normal(size=22)
        found = with_similarity(first.tolist(), second.tolist(), IntervalSettings(samples=400))
        noise = with_similarity(first.tolist(), made.normal(size=22).tolist(), IntervalSettings(samples=400))
        held += found.low <= 0.5 <= found.high  # type: ignore[operator]
        none += noise.low <= 0 <= noise.high  # type: ignore[operator]
    assert min(held, none) >= 16


def test_tables() -> None:
    found = five()
    table = similarity_table(found)
    assert [row.names for row in table.rows] == [(f"data {place}",) for place in range(5)]
    first = table.rows[0].cells
    assert (first[0].value, first[0].n, first[1].text, first[2].text) == (
        0.9, 16, "class 0 (0.800)", "class 1 (1.000)",
    )  # fmt: skip
    ranks = similarity_rank_table(found)
    assert ranks is not None
    gain = next(row for row in ranks.rows if row.names[2] == "gain")
    assert gain.names == ("diffusers", "defined", "gain")
    assert (gain.cells[0].value, gain.cells[0].n) == (pytest.approx(0.9), 5)
    assert [row.cells[0].empty for row in ranks.rows if row.names[2] == "CLER"] == ["the same on all"]
    keys = [table.key for table in image_tables(found)]
    assert {"images-text-similarity", "images-text-similarity-ranks"} <= set(keys)


def test_what_does_not_compare_is_not_correlated() -> None:
    found = five()
    assert similarity_rank_table(found[:3]) is None, "too few data sets"
    assert similarity_rank_table([*found, found[0]]) is None, "a data set twice"
    other = replace(found[0], similarity=replace(found[0].similarity, encoder="bert"))  # type: ignore[type-var]
    assert similarity_rank_table([other, *found[1:]]) is None, "another encoder"
    without = [of_dataset(9, None, 0.5), *found]
    ranks = similarity_rank_table(without)
    assert ranks is not None
    assert ranks.rows[0].cells[0].n == 5
    assert not similarity_table([of_dataset(0, None, 0.1)]).rows
    assert Measures.from_json(found[0].to_json()) == found[0]


def test_the_papers_retrieval_row() -> None:
    """Table 5's cost of a retrieved image, by the function that costs of a user's sets come from."""
    (row,) = [row for row in genbench().table5.rows if row.data == "retrieval"]
    assert row.usd_per_hour is not None
    assert row.hours_per_1000 is not None
    cost = usd_an_image(row.usd_per_hour, row.hours_per_1000)
    assert cost == pytest.approx(1.26e-4)
    assert cost / row.usd_per_image == pytest.approx(3.21, abs=0.01), "which is not what is printed"
