"""GenBench's printed numbers, recomputed by the functions that make users' tables; and what docs/genbench.md says."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.images.grids import Grid, PairedRows, Row, best_counts, compare_rows, oracle_mean, row_means
from analysis.images.published import PrintedGrid, genbench

TABLE2 = genbench().table2
GLIDE, SD = "GLIDE", "Stable Diffusion"


def test_the_eight_means_of_table_2() -> None:
    made = row_means(TABLE2.grid)
    assert [round(mean.value, 2) for mean in made] == list(TABLE2.means)
    assert TABLE2.means == (48.48, 46.93, 52.04, 48.83, 47.68, 51.60, 51.10, 52.01)
    assert {mean.n for mean in made} == {22}


def test_the_six_means_of_table_3() -> None:
    means = [round(mean.value, 2) for table in genbench().table3 for mean in row_means(table.grid)]
    assert means == [mean for table in genbench().table3 for mean in table.means]
    assert means == [45.92, 46.46, 50.52, 48.64, 47.75, 53.90]


@pytest.mark.parametrize(
    ("kept", "counts"),
    [
        ((GLIDE, SD), {"GLIDE ST": 4, "GLIDE CE": 2, "GLIDE DT": 4, "Stable Diffusion ST": 1, "Stable Diffusion CE": 0,
                       "Stable Diffusion DT": 5, "Stable Diffusion w/ NP": 2, "Stable Diffusion w/ NP, RD": 4}),
        ((GLIDE,), {"GLIDE ST": 6, "GLIDE CE": 2, "GLIDE DT": 14}),
        ((SD,), {"Stable Diffusion ST": 1, "Stable Diffusion CE": 4, "Stable Diffusion DT": 8,
                 "Stable Diffusion w/ NP": 3, "Stable Diffusion w/ NP, RD": 6}),
    ],
    ids=["all", "glide", "stable diffusion"],
)  # fmt: skip
def test_how_often_each_strategy_of_table_2_is_best(kept: tuple[str, ...], counts: dict[str, int]) -> None:
    found = best_counts(TABLE2.grid.only(lambda row: row.generator in kept))
    assert {str(one.row): one.alone for one in found} == counts
    assert all(one.shared == 0 for one in found)


def test_the_mean_of_the_best_strategies_of_table_2() -> None:
    assert round(oracle_mean(TABLE2.grid), 3) == 56.004
    assert round(oracle_mean(TABLE2.grid.only(lambda row: row.generator == SD)), 3) == 54.402


def pair(table: PrintedGrid, first: tuple[str, str], second: tuple[str, str]) -> PairedRows:
    return compare_rows(table.grid, [(Row(*first), Row(*second))])[0]


# Difference, t and signs were computed apart from this code. So was Wilcoxon's p where no differences tie; where
# some do, a sum over all 2^n signs gave it.
@pytest.mark.parametrize(
    ("first", "second", "difference", "better", "worse", "wilcoxon", "t", "sign"),
    [
        ((SD, "DT"), (SD, "ST"), 2.7695, 19, 3, 0.0002532, 0.005946, 0.0008554),
        ((SD, "DT"), (SD, "CE"), 3.9173, 15, 7, 0.05007, 0.071, 0.1338),
        ((SD, "w/ NP"), (SD, "DT"), -0.4973, 8, 14, 0.2011, 0.5559, 0.2863),
        ((SD, "w/ NP, RD"), (SD, "w/ NP"), 0.9077, 9, 12, 0.5168, 0.3268, 0.6636),
        ((GLIDE, "DT"), (GLIDE, "ST"), 3.5609, 16, 6, 0.04616, 0.03868, 0.05248),
        ((SD, "ST"), (GLIDE, "ST"), 0.3523, 13, 9, 0.4482, 0.876, 0.5235),
        ((SD, "DT"), (GLIDE, "DT"), -0.4391, 13, 9, 0.6789, 0.8049, 0.5235),
    ],
)
def test_paired_tests_over_the_data_sets_of_table_2(
    first: tuple[str, str],
    second: tuple[str, str],
    difference: float,
    better: int,
    worse: int,
    wilcoxon: float,
    t: float,
    sign: float,
) -> None:
    found = pair(TABLE2, first, second)
    assert found.difference.value == pytest.approx(difference, abs=5e-5)
    assert (found.better, found.worse, found.equal) == (better, worse, 22 - better - worse)
    assert found.p_wilcoxon == pytest.approx(wilcoxon, rel=3e-4)
    assert found.p_t == pytest.approx(t, rel=3e-4)
    assert found.p_sign == pytest.approx(sign, rel=3e-4)


@pytest.mark.parametrize(
    ("images", "data", "improved", "difference", "wilcoxon", "sign"),
    [
        (5, "retrieval", 8, 0.5465, 0.9265, 1.0),
        (5, "original", 13, 4.6035, 0.03479, 0.04904),
        (100, "retrieval", 6, -0.8953, 0.3468, 0.3323),
        (100, "original", 13, 5.2612, 0.007904, 0.04904),
    ],
)
def test_textual_inversion_does_not_improve_all_of_the_17_data_sets(
    images: int, data: str, improved: int, difference: float, wilcoxon: float, sign: float
) -> None:
    table = next(table for table in genbench().table3 if table.images == images)
    found = pair(table, (SD, f"textual inversion, {data}"), (SD, "none"))
    assert (found.better, found.better + found.worse + found.equal) == (improved, 17)
    assert found.difference.value == pytest.approx(difference, abs=5e-5)
    assert found.p_wilcoxon == pytest.approx(wilcoxon, rel=3e-4)
    assert found.p_sign == pytest.approx(sign, rel=3e-4)


def test_table_4_adds_up_and_the_claim_holds_with_two_corrections_only() -> None:
    table = genbench().table4
    assert table.sums() == dict(table.totals)
    assert {group: (one.categories, one.validation, one.datasets) for group, one in table.sums().items()} == {
        "Common": (1638, 110_887, 7),
        "Fine-grained": (747, 67_542, 6),
        "Rare": (157, 84_084, 9),
    }
    assert sum(one.categories for one in table.sums().values()) == 2542
    assert sum(one.categories for one in table.sums(corrected=True).values()) == table.claimed == 2548
    changed = {row.dataset: (row.categories, row.corrected) for row in table.rows if row.categories != row.corrected}
    assert changed == {"FER-2013": (2, 7), "Caltech-101": (101, 102)}


def test_all_tables_name_data_sets_alike() -> None:
    known = {row.dataset for row in genbench().table4.rows}
    assert set(TABLE2.grid.columns) == known
    assert all(set(table.grid.columns) < known for table in genbench().table3)


def doc() -> str:
    text = (Path(__file__).parents[3] / "docs" / "genbench.md").read_text(encoding="utf-8")
    return " ".join(text.split())


def test_the_page_on_genbench_states_the_costs_as_they_follow_from_price_and_hours() -> None:
    costs, text = genbench().table5, doc()
    for row, verb in zip(costs.rows[:2], ("generated", "retrieved"), strict=True):
        assert row.usd_per_hour is not None
        assert row.hours_per_1000 is not None
        right = row.usd_per_hour * row.hours_per_1000 / 1000
        line = (
            f"a {verb} image costs {row.usd_per_image:.2e} USD (Tables 1 and 5) | {right:.2e} USD, "
            f"{right / row.usd_per_image:.1f} times as much | {row.usd_per_hour:g} USD an hour × "
            f"{row.hours_per_1000:g} hours / 1,000 images"
        ).replace("e-0", "e-")
        assert line in text
    images = genbench().table4.sums()[costs.group].categories * costs.shots
    generated, _, original = costs.rows
    labeled, drawn = images * original.usd_per_image, images * generated.usd_per_image
    assert generated.usd_per_hour is not None
    assert generated.hours_per_1000 is not None
    right = images * generated.usd_per_hour * generated.hours_per_1000 / 1000
    assert round(drawn) == costs.generative_usd
    assert round(labeled, -3) == costs.original_usd
    assert (
        f"around {costs.difference_usd:,.0f} USD less generated than labeled (3.1) | {labeled - drawn:,.0f} USD | "
        f"{images:,} images: {labeled:,.0f} USD at {original.usd_per_image:g} each less {drawn:,.0f} USD at the "
        f"printed 2.54e-4; {labeled - right:,.0f} USD less at 2.56e-3"
    ) in text


def test_the_page_on_genbench_states_what_the_tests_give() -> None:
    text = doc()
    grid: Grid = TABLE2.grid
    by_mean = sorted(row_means(grid), key=lambda mean: mean.value)
    best_of_sd = max(mean.value for mean in by_mean if mean.row.generator == SD)
    assert by_mean[-1].row == Row(GLIDE, "DT")
    assert f"{by_mean[-1].value:.2f}; Stable Diffusion's best is {best_of_sd:.2f}" in text

    def said(first: tuple[str, str], second: tuple[str, str]) -> tuple[str, str, str]:
        found = pair(TABLE2, first, second)
        difference = f"{found.difference.value:+.2f}".replace("-", "−")
        return difference, f"better on {found.better} of 22", f"p {found.p_wilcoxon:.2g}"

    difference, _, p = said((SD, "DT"), (GLIDE, "DT"))
    assert f"Stable Diffusion − GLIDE is {difference}, {p}" in text
    difference, better, p = said((SD, "w/ NP"), (SD, "DT"))
    assert f"negative prompts: {difference} against defined templates, {better}, {p};" in text
    difference, better, p = said((SD, "w/ NP, RD"), (SD, "w/ NP"))
    assert f"with restrictive descriptions {difference} against negative prompts alone, {better}, {p}" in text
    every = compare_rows(grid)
    strongest = next(one for one in every if {one.first, one.second} == {Row(SD, "DT"), Row(SD, "ST")})
    assert (
        f"p {strongest.p_wilcoxon:.5f}, and {strongest.p_holm:.4f} by Holm's method over all {len(every)} pairs" in text
    )
    counts = [one.alone for one in best_counts(grid)]
    assert f"{sum(map(bool, counts))} are best on some data set, the most often one on {max(counts)} of 22" in text
    assert f"would give {oracle_mean(grid):.2f}." in text
    fer = grid.matrix()[:, grid.columns.index("FER-2013")]
    assert f"its values of {fer.min():.0f} to {fer.max():.0f} %" in text
    inversion = {
        (table.images, data): pair(table, (SD, f"textual inversion, {data}"), (SD, "none"))
        for table in genbench().table3
        for data in ("original", "retrieval")
    }
    few, many = inversion[5, "original"], inversion[100, "original"]
    assert (
        f"on {few.better} of 17 data sets at 5 images a class (p {few.p_wilcoxon:.2g}) and {many.better} at 100 "
        f"(p {many.p_wilcoxon:.2g})"
    ) in text
    few, many = inversion[5, "retrieval"], inversion[100, "retrieval"]
    assert (
        f"on {few.better} and {many.better} (p {few.p_wilcoxon:.2g} and {many.p_wilcoxon:.2g}), at 100 by "
        f"−{-many.difference.value:.2f} on average"
    ) in text
