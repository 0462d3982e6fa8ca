"""Intervals end where the quantity ends, wherever they are made; an end of training that is short is said to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from attributed_gains import attribution, with_gain
from pages import recipe, seed_result
from scipy import stats

from analysis.accuracy.record import Attribution
from analysis.accuracy.zero_shot import pack_correct
from analysis.results.attribution import gain_parts
from analysis.results.endings import end_of_logs
from analysis.results.kl import kl_of
from analysis.results.pooling import DIFFERENCE, pool_differences
from analysis.results.seeds import pool_seeds
from analysis.results.summary import summarize, summary_lines
from analysis.results.wording import batches, verdict_words
from analysis.statistics.intervals import IntervalSettings
from analysis.statistics.paired import paired_accuracy
from ex2.run.directory import RunDirectory
from reward.files import append_jsonl, write_json


@pytest.mark.parametrize(
    ("kl", "aligned", "shown"),
    [
        # 2 and 14 nats: 8 ± 12.71 · 6, which reaches down to −68 and up to 84
        ((2.0, 14.0), (160, 164), ("8.00 [0.00, 84.24]", "81.00 [68.29, 93.71]")),
        # 60 and 99.5 %: 79.75 ± 12.71 · 19.75
        ((2.0, 2.1), (120, 199), ("2.05 [1.41, 2.69]", "79.75 [0.00, 100.00]")),
        # 1 and 4 %: 2.5 ± 19.06
        ((0.1, 3.0), (2, 8), ("1.55 [0.00, 19.97]", "2.50 [0.00, 21.56]")),
    ],
)
def test_the_summary_over_seeds_shows_nothing_that_cannot_be(
    kl: tuple[float, float], aligned: tuple[int, int], shown: tuple[str, str], tmp_path: Path
) -> None:
    made, run = recipe(tmp_path, [0, 1]), RunDirectory(tmp_path / "tiny")
    for seed in (0, 1):
        log = [{"batch": batch, "reward_mean": 5.0 * seed, "kl": kl[seed]} for batch in range(1, 21)]
        append_jsonl(run.seed(seed).train_log, log)
        write_json(run.seed(seed).accuracy, seed_result(seed, aligned=aligned[seed]).accuracy.to_json())
    found = summarize(made, [0, 1])
    reward, *others = summary_lines(found, 0.95)[1:4]
    assert [line.split("   ")[-1].removesuffix(" (n = 2)") for line in others] == list(shown)
    reach = stats.t.ppf(0.975, 1) * 2.5
    assert found[0].over_seeds[1:3] == pytest.approx((2.5 - reach, 2.5 + reach)), "a reward has no bounds"
    assert f"[−{reach - 2.5:.2f}, {reach + 2.5:.2f}]" in reward


@pytest.mark.parametrize("values", [(0.9, 0.1), (0.95, 0.5), (-0.9, -0.2), (0.2, -0.9), (0.3, 0.25)])
def test_the_interval_over_seeds_and_images_ends_where_a_difference_ends(values: tuple[float, ...]) -> None:
    """Ten images: its distances are those of two intervals together, and lie outside −1 to 1 if nothing cuts them."""
    parts, bits = [], []
    for value in values:
        hits = round(10 * abs(value))
        best, none = np.arange(10) < hits, np.zeros(10, dtype=bool)
        pair = (best, none) if value > 0 else (none, best)
        parts.append(paired_accuracy(pair[0].tolist(), pair[1].tolist()))
        bits.append([pack_correct(side.tolist()) for side in pair])
    found = pool_differences(parts, bits, IntervalSettings())
    assert found is not None
    assert found.both is not None
    assert found.images is not None
    for low, high in ((found.low, found.high), found.images, found.both):
        assert low is not None
        assert high is not None
        assert DIFFERENCE[0] <= low <= found.value <= high <= DIFFERENCE[1]
    assert found.both[0] <= min(found.low or 0.0, found.images[0])
    ends = found.not_excluded
    assert ends is not None
    assert -1 <= ends[0] <= 0 <= ends[1] <= 1
    said = verdict_words(found).replace("\u00a0", " ")
    assert f"between {100 * ends[0]:.1f} and +{100 * ends[1]:.1f} points".replace("-", "−") in said


@pytest.mark.parametrize(
    ("lengths", "n", "words"),
    [
        ((20, 20, 20), 30, ""),
        ((200, 200, 200), 60, ""),
        ((200, 200, 16), 48, ", fewer than 10 in a seed"),  # 20, 20 and 8: the mean over seeds is of 48
        ((16, 400), 48, ", fewer than 10 in a seed"),
        ((19,), 9, ", fewer than 10"),
        ((16,), 8, ", fewer than 10"),
        ((3, 3), 2, ", fewer than 10 in a seed"),
        ((20,), 10, ""),
    ],
)
def test_one_short_seed_among_long_ones_is_said(lengths: tuple[int, ...], n: int, words: str) -> None:
    logs = [[{"batch": at, "kl": 1.0 + seed} for at in range(length)] for seed, length in enumerate(lengths)]
    end = end_of_logs(logs, "kl", 0.95)
    assert end is not None
    assert end.n == n
    seeds = f", {len(lengths)} seeds" if len(lengths) > 1 else ""
    assert batches(end).replace("\u00a0", " ") == f"n = {n} batches{seeds}{words}"
    results = [replace(seed_result(seed), train=log) for seed, log in enumerate(logs)]
    reached = kl_of(results)
    assert reached is not None
    assert ("fewer than" in reached.summary()) is bool(words)


def test_sixteen_batches_with_a_few_wild_ones_have_no_negative_nats() -> None:
    """The run of 16 batches of which two were taken: 8.0 ± 12.8. Eight are taken, and no end is below 0."""
    wild = [0.1, 16.0] * 8
    end = end_of_logs([[{"kl": value} for value in wild]], "kl", 0.95, (0.0, float("inf")))
    assert end is not None
    assert (end.value, end.n) == (pytest.approx(8.05), 8)
    reach = stats.t.ppf(0.975, 7) * np.std(wild[-8:], ddof=1) / 8**0.5
    assert (end.low, end.high) == pytest.approx((8.05 - reach, 8.05 + reach))
    wilder = end_of_logs([[{"kl": value} for value in (0.0, 0.0, 0.0, 0.0, 0.0, 40.0) * 3]], "kl", 0.95, (0.0, 1e9))
    assert wilder is not None
    assert wilder.low == 0.0
    for few in (1, 2, 4, 8, 9):  # of 8 and 9 batches four are taken
        short = end_of_logs([[{"kl": value} for value in wild[:few]]], "kl", 0.95)
        assert short is not None
        assert (short.low, short.high) == (None, None), few


@pytest.mark.parametrize(("visual", "aligned"), [((38, 4), (199, 90)), ((39, 0), (10, 190)), ((2, 9), (3, 30))])
def test_two_seeds_far_apart_reach_no_further_than_shares_and_nats_do(
    visual: tuple[int, int], aligned: tuple[int, int]
) -> None:
    """Student's t of two is 12.7 standard errors wide: every pooled number would leave what it can be."""
    results = [seed_result(seed, visual[seed], aligned=aligned[seed]) for seed in (0, 1)]
    for seed, result in enumerate(results):
        result.train[:] = [row | {"kl": 1.0 + 9 * seed} for row in result.train]
    made = pool_seeds("tiny", results)
    share, change = made.share_of_all("aligned", "visual"), made.share_changes["visual"]
    own, kl = made.accuracy("aligned"), made.kl
    assert share is not None
    assert own is not None
    assert kl is not None
    for number, values, least, most in (
        (share, [count / 39 for count in visual], 0.0, 1.0),
        (own, [count / 200 for count in aligned], 0.0, 1.0),
        (change, [count / 39 - 10 / 40 for count in visual], -1.0, 1.0),
        (kl.mean, [1.0, 10.0], 0.0, float("inf")),
    ):
        middle, reach = float(np.mean(values)), stats.t.ppf(0.975, 1) * np.std(values, ddof=1) / 2**0.5
        assert number.value == pytest.approx(middle)
        assert (number.low, number.high) == pytest.approx((max(middle - reach, least), min(middle + reach, most)))
    assert kl.mean.low == 0.0


@pytest.mark.parametrize(
    ("own", "exchanged", "whole"),
    [((0.97, 0.05), 0.5, 0.5), ((0.99, 0.9), 0.06, 0.06), ((0.02, 0.1), 0.94, 0.94), ((0.98,), 0.06, 0.06)],
)
def test_no_part_of_a_gain_is_larger_than_a_difference_can_be(
    own: tuple[float, ...], exchanged: float, whole: float
) -> None:
    def part(accuracy: float) -> Attribution:
        made = attribution(own=accuracy, exchanged=exchanged, whole=whole)
        paired = made.above_everyone._replace(difference=0.98 if accuracy > 0.5 else -0.98, low=-1.0, high=1.0)
        permuted = (made.exchanged, made.whole, made.masked_shuffled, made.masked_whole)
        spread = [replace(each, error=0.4) for each in permuted]
        names = ("exchanged", "whole", "masked_shuffled", "masked_whole")
        return replace(made, above_everyone=paired, **dict(zip(names, spread, strict=True)))

    found = gain_parts([with_gain(seed, part(accuracy)) for seed, accuracy in enumerate(own)])
    assert found is not None
    beside = (found.above_exchanged, found.above_another, found.seen, found.seen_above_another)
    values = [found.style, found.unevenness, found.above_everyone, *(each.value for each in beside)]
    values += [each for each in (found.misleading, found.word_order) if each]
    assert len(values) == 9
    for value in values:
        if value.low is not None and value.high is not None:
            assert -1 <= value.low <= value.value <= value.high <= 1
    ends = [end for value in values for end in (value.low, value.high) if end is not None]
    assert {-1.0, 1.0} & set(ends), "one of them is cut"
