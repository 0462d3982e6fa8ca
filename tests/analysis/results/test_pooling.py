"""Numbers over seeds: what no seed changes keeps one seed's tests, and several seeds need both intervals."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mid_p import mid_p
from record_samples import with_arms
from run_samples import arm_of, write_run
from scipy import stats
from table_samples import difference_of, hits, run_with_seeds, set_arms

from analysis.accuracy.record import Hits
from analysis.report.accuracy import accuracy_table
from analysis.results.load import SeedResult
from analysis.results.pooling import (
    MCNEMAR,
    OVER_BOTH,
    OVER_IMAGES,
    OVER_SEEDS,
    Difference,
    accuracy_difference,
    accuracy_of,
    as_denominator,
    further_accuracy,
    pool,
    pool_accuracies,
    pool_differences,
    share_change,
    share_of,
)
from analysis.results.runs import read_run
from analysis.results.seeds import pool_seeds
from analysis.results.summary import Summary, summary_lines
from analysis.results.wording import evidence, images_interval, seed_tests, verdict_words
from analysis.statistics.intervals import Estimate, IntervalSettings, mean_t
from analysis.statistics.paired import PairedAccuracy, paired_interval

TEMPLATES = hits(200, (0, 140))


def results_of(run: Path) -> list[SeedResult]:
    return list(read_run(run).results)


def test_what_no_seed_changes_has_the_tests_of_one_seed(tmp_path: Path) -> None:
    same = hits(200, (0, 142))
    results = results_of(run_with_seeds(tmp_path, "same", dict.fromkeys((0, 1, 2), same), TEMPLATES))
    accuracy = accuracy_of(results, "aligned")
    assert accuracy is not None
    wilson = stats.binomtest(142, 200).proportion_ci(method="wilson")
    assert (accuracy.value, accuracy.low, accuracy.high) == pytest.approx((0.71, wilson.low, wilson.high))
    assert (accuracy.seeds, accuracy.n, accuracy.count) == (1, 200, 142)
    change = accuracy_difference(results, "aligned", "templates")
    assert change is not None
    # Two images that EX2 alone has right: McNemar's mid-p is (1/2)².
    assert (change.value, change.p, change.significant, change.seeds) == (pytest.approx(0.01), 0.25, False, 1)
    assert change.low is not None
    assert change.low < 0
    said = "no significant difference, p = 0.250, for these texts: between −0.8 and +3.3 points are possible"
    assert evidence(change).replace("\u00a0", " ") == said
    row = next(row for row in accuracy_table(pool_seeds("same", results)) if row["name"] == "EX2, all descriptions")
    assert row["accuracy"] == "71.0\u00a0%\u00a0[64.4–76.8]"
    assert "excludes 0" not in row["verdict"]


def test_arms_of_files_are_as_constant_as_the_templates(tmp_path: Path) -> None:
    run = write_run(tmp_path, "r", seeds={0: 0, 1: 0})
    right = {"templates": TEMPLATES, "file:cupl": hits(200, (0, 150))}
    for seed in (0, 1):
        right["aligned"] = hits(200, (0, 150 + seed))
        set_arms(run, seed, right, [("file:cupl", "templates"), ("file:cupl", "aligned")])
    results = results_of(run)
    change = accuracy_difference(results, "file:cupl", "templates")
    assert change is not None
    # 10:0, p = 2 · 2⁻¹⁰.
    assert (change.seeds, change.p, change.significant) == (1, pytest.approx(1 / 1024), True)
    against = accuracy_difference(results, "file:cupl", "aligned")
    assert against is not None
    assert (against.seeds, against.p, against.p_by_seed) == (2, None, (1.0, 0.5))


def test_top_5_of_what_no_seed_changes(tmp_path: Path) -> None:
    run = run_with_seeds(tmp_path, "r", dict.fromkeys((0, 1), hits(200, (0, 142))), TEMPLATES)
    results = results_of(run)
    for place, result in enumerate(results):
        own = result.accuracy.arms["aligned"]
        assert own is not None
        arms = {"aligned": replace(own, top5=Hits(0.9, 0.85, 0.93, 200, 180))}
        results[place] = replace(result, accuracy=with_arms(result.accuracy, arms))
    top5 = further_accuracy(results, "aligned", "top5")
    assert top5 is not None
    assert (top5.low, top5.high, top5.seeds) == (0.85, 0.93, 1)


def test_several_seeds_keep_three_things(tmp_path: Path) -> None:
    # Seeds share 140 images and add others: 30, 32 and 34 of them.
    aligned = {seed: hits(200, (0, 130), (140, 180 + 2 * seed)) for seed in (0, 1, 2)}
    results = results_of(run_with_seeds(tmp_path, "r", aligned, TEMPLATES))
    change = accuracy_difference(results, "aligned", "templates")
    assert change is not None
    values = [0.15, 0.16, 0.17]
    over = mean_t(values)
    assert (change.value, change.low, change.high) == pytest.approx((0.16, over.low, over.high))
    # By brute force: resample images of the mean over seeds of right minus right.
    gaps = np.mean([np.array(bits, float) - np.array(TEMPLATES, float) for bits in aligned.values()], axis=0)
    draws = np.random.default_rng(5).integers(0, 200, size=(20_000, 200))
    low, high = np.quantile(gaps[draws].mean(1), [0.025, 0.975])
    assert change.images == pytest.approx((low, high), abs=0.008)
    expected = [mid_p(10, 50 + 2 * seed) for seed in (0, 1, 2)]
    assert change.p_by_seed == pytest.approx(expected)
    assert (change.significant, change.p, change.doubts) == (True, None, ())
    assert evidence(change) == "intervals over 3 seeds and over images exclude 0, McNemar p\u00a0<\u00a00.001 by seed"
    assert images_interval(change).startswith("[+")
    flipped = change.flipped()
    assert flipped.images == pytest.approx((-change.images[1], -change.images[0]))
    assert (flipped.value, flipped.low) == pytest.approx((-0.16, -change.high if change.high else None))
    swapped = accuracy_difference(results, "templates", "aligned")
    assert swapped == flipped, "a comparison stored the other way round"


def test_few_images_apart_fail_over_images_though_seeds_agree(tmp_path: Path) -> None:
    # 2, 2 and 3 images more: t over seeds is far from 0 (0.0117 ± 0.0072), but over images the low end is below 0.
    aligned = {0: hits(200, (0, 142)), 1: hits(200, (0, 142)), 2: hits(200, (0, 143))}
    results = results_of(run_with_seeds(tmp_path, "r", aligned, TEMPLATES))
    change = accuracy_difference(results, "aligned", "templates")
    assert change is not None
    assert change.low == pytest.approx(0.0116667 - 4.302653 * 0.0028868 / 3**0.5, abs=1e-6)
    assert change.low > 0
    assert change.images is not None
    # 7 thirds of an image: two images in every seed, one in one of them. Size (1 + 1 + 1/9) / (7/3) = 19/21.
    assert change.images[0] == pytest.approx(19 / 21 * paired_interval(49 / 19, 0, 200)[0])
    assert change.images[0] < 0
    assert (change.significant, change.doubts) == (False, (OVER_IMAGES,))
    said = "no significant difference by interval over images: between −0.7 and +3.5 points are possible"
    assert verdict_words(change).replace("\u00a0", " ") == said
    assert change.not_excluded == change.both, "the widest of the three"
    assert change.surely_above(0) is False
    assert seed_tests(change) == "McNemar p\u00a00.125–0.250 by seed"


def test_seeds_that_differ_widely_fail_over_seeds(tmp_path: Path) -> None:
    aligned = {0: hits(200, (0, 142)), 1: hits(200, (0, 190))}
    change = accuracy_difference(results_of(run_with_seeds(tmp_path, "r", aligned, TEMPLATES)), "aligned", "templates")
    assert change is not None
    assert (change.significant, change.doubts) == (False, (OVER_SEEDS,))


def test_two_intervals_that_both_just_tell_do_not_tell_together(tmp_path: Path) -> None:
    """Five seeds that differ about as much as images do: the mean varies by both, and each interval holds one."""
    aligned = {seed: hits(200, (0, 130 + 2 * seed), (140, 151 + 2 * seed)) for seed in range(5)}
    results = results_of(run_with_seeds(tmp_path, "r", aligned, TEMPLATES))
    change = accuracy_difference(results, "aligned", "templates")
    assert change is not None
    assert change.low is not None
    assert change.images is not None
    assert change.both is not None
    value = np.mean([(-10 + 2 * seed + 11 + 2 * seed) / 200 for seed in range(5)])
    assert change.value == pytest.approx(value)
    below = math.hypot(value - change.low, value - change.images[0])
    assert change.both[0] == pytest.approx(value - below)
    assert min(change.low, change.images[0]) > 0 > change.both[0]
    assert (change.significant, change.doubts) == (False, (OVER_BOTH,))
    assert evidence(change).startswith("no significant difference by interval over seeds and images together")
    assert change.surely_above(0) is False
    assert change.flipped().both == (-change.both[1], -change.both[0])


def test_seeds_equal_by_chance_have_no_interval_over_seeds(tmp_path: Path) -> None:
    # The same number of images, not the same images: t has no width, and proves nothing.
    aligned = {seed: hits(200, (0, 140), (150 + 10 * seed, 160 + 10 * seed)) for seed in (0, 1, 2)}
    results = results_of(run_with_seeds(tmp_path, "r", aligned, TEMPLATES))
    change = accuracy_difference(results, "aligned", "templates")
    assert change is not None
    assert (change.value, change.low, change.high) == (pytest.approx(0.05), None, None)
    assert change.images is not None
    assert change.images[0] > 0
    assert (change.significant, change.doubts) == (False, (OVER_SEEDS,))
    accuracy = accuracy_of(results, "aligned")
    assert accuracy is not None
    assert (accuracy.low, accuracy.seeds) == (
        pytest.approx(stats.binomtest(150, 200).proportion_ci(method="wilson").low),
        3,
    )


def test_an_earlier_versions_interval_and_mcnemar_must_both_tell() -> None:
    # 4:0 of 100: its bootstrap interval starts above 0, its exact p is 2 · 2⁻⁴.
    part = PairedAccuracy(0.04, 0.01, 0.08, 0.125, 4, 0, 100)
    change = pool_differences([part], [], IntervalSettings())
    assert change is not None
    assert change.low is not None
    assert change.low > 0
    assert (change.p, change.significant, change.doubts) == (0.125, False, (MCNEMAR,))
    said = "no significant difference by McNemar, p = 0.125, for these texts: between 0.0 and +8.0 points are possible"
    assert evidence(change).replace("\u00a0", " ") == said, "McNemar does not exclude 0"
    assert change.surely_above(0) is False


def test_interval_and_mcnemar_of_one_seed_say_the_same() -> None:
    # 4:0 of 100: McNemar's mid-p is 2⁻⁴, and the interval that belongs to it holds 0; with 5:0 both tell.
    for more, p in ((4, 1 / 16), (5, 1 / 32)):
        part = difference_of("aligned", hits(100, (0, 60 + more)), "templates", hits(100, (0, 60)))
        change = pool_differences([part.paired], [], IntervalSettings())
        assert change is not None
        assert change.low is not None
        assert (change.p, change.significant, change.low > 0, change.doubts) == (p, more > 4, more > 4, ())


def test_surely_above_needs_every_interval() -> None:
    change = Difference(0.02, 0.006, 0.03, True, None, 100, 3, images=(0.004, 0.04))
    assert [change.surely_above(threshold) for threshold in (0.0, 0.005, 0.01)] == [True, False, False]
    assert Difference(0.02, None, None, None, None, 0, 1).surely_above(0) is None


def test_without_bits_seeds_are_tested_by_t_alone() -> None:
    parts = [PairedAccuracy(d, 0, 1, 0.01, 1, 1, 50) for d in (0.1, 0.11, 0.12)]
    change = pool_differences(parts, [], IntervalSettings())
    assert change is not None
    assert (change.images, change.significant, change.p_by_seed) == (None, True, (0.01,) * 3)
    assert evidence(change) == "interval over 3 seeds excludes 0, McNemar p\u00a00.010 by seed"
    assert pool_differences([], [], IntervalSettings()) is None
    assert pool_accuracies([], 0.95) is None


def test_shares_that_no_seed_changes_keep_one_seeds_interval(tmp_path: Path) -> None:
    results = results_of(write_run(tmp_path, "r", seeds={0: 150, 1: 155, 2: 160}))
    share = share_of(results, "aligned", "informative")
    assert share is not None
    wilson = stats.binomtest(30, 39).proportion_ci(method="wilson")
    assert (share.low, share.high) == pytest.approx((wilson.low, wilson.high))
    assert (share.n, share.seeds) == (117, 3)
    rise, one = share_change(results, "informative"), share_change(results[:1], "informative")
    assert rise is not None
    assert one is not None
    assert (rise.low, rise.high, rise.significant) == (one.low, one.high, True)


def test_numbers_that_agree_have_the_first_seeds_interval() -> None:
    pooled = pool([Estimate(0.1 + 0.2, 0.2, 0.4, 10), Estimate(0.3, 0.1, 0.5, 10)], 0.95, 6)
    assert pooled is not None
    assert (pooled.low, pooled.high, pooled.n, pooled.seeds) == (0.2, 0.4, 20, 2)


@pytest.mark.parametrize(("denominator", "shares"), [("parsed", (30 / 39, 20 / 30)), ("all", (30 / 40, 20 / 30))])
def test_the_denominator_can_be_chosen_afterwards(tmp_path: Path, denominator: Any, shares: tuple[float, ...]) -> None:
    # 20 visual, 10 non-visual, 9 spurious, 1 unparsed.
    results = [as_denominator(result, denominator) for result in results_of(write_run(tmp_path, "r"))]
    of = ((share_of(results, "aligned", "informative")), share_of(results, "aligned", "visual", "of_parent"))
    assert tuple(share.value for share in of if share) == pytest.approx(shares)
    assert results[0].breakdown.denominator == denominator
    aligned = results[0].breakdown.policies["aligned"]
    assert aligned.groups == aligned.by_denominator[denominator]


def test_the_summary_shows_no_interval_without_width() -> None:
    [_, line, _] = summary_lines([Summary("KL, nats", {0: 5.0, 1: 5.0}, mean_t([5.0, 5.0]), {})], 0.95)
    assert line.endswith("5.00 no interval: all are equal (n = 2)")


def test_arms_are_pooled_as_rows_of_other_files() -> None:
    parts = [arm_of(hits(100, (0, 60))).top1, arm_of(hits(100, (0, 64))).top1]
    pooled = pool_accuracies(parts, 0.95)
    assert pooled is not None
    # Standard deviation 0.04/√2, t(0.975, 1) = 12.706205.
    assert (pooled.value, pooled.low) == pytest.approx((0.62, 0.62 - 12.706205 * 0.02))
    assert (pooled.n, pooled.seeds, pooled.count, pooled.shared) == (100, 2, 124, True)
