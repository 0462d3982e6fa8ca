"""Shares of recognized images: planted errors, chance, equal images, seeds, independence, and shifts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from recognizing import kind, planted, sight
from scipy import stats
from sklearn.linear_model import LogisticRegression

from analysis.images.recognition.measure import numbers
from analysis.images.recognition.record import REAL, Recognition
from analysis.images.recognition.rules import Answers
from analysis.images.recognition.scores import Units, by_category, hits, macro, micro, shift, together
from analysis.images.recognition.within import drawn_folds, within_set
from analysis.statistics.holm import holm
from analysis.statistics.intervals import Estimate
from analysis.statistics.paired import mcnemar_p
from ex2.data.synsets import Category
from reward.recognizers.predictions import top_classes

C, EACH = 16, 120
NAMES = tuple(f"class {number}" for number in range(C))
LABELS = np.repeat(np.arange(C), EACH)
LISTED = {name: Category((number,)) for number, name in enumerate(NAMES)}


def one_seed(labels: np.ndarray) -> Units:
    return Units(labels, np.ones((len(labels), 1), dtype=bool))


def found_by(wrong: float, seed: int = 0) -> Recognition:
    random = np.random.default_rng(seed)
    top = planted(LABELS, wrong, C, random)
    return numbers([sight("one", [top], NAMES)], [kind("set", LABELS.tolist())], NAMES, LISTED, 0.95)


def holds(number: Estimate, value: float) -> bool:
    assert number.low is not None
    assert number.high is not None
    return number.low <= value <= number.high


def test_a_planted_error_of_a_tenth_is_recovered() -> None:
    assert len(LABELS) == 1920
    for one in found_by(0.1).recognized:
        assert (one.top1.n, one.categories, one.over_seeds) == (1920, 16, False)
        assert holds(one.top1, 0.9)
        assert holds(one.micro1, 0.9)
        assert not holds(one.top1, 0.87)
        assert one.top5.value > one.top1.value
    twice_as_bad = found_by(0.2).recognized[0]
    assert not holds(twice_as_bad.top1, 0.9)
    assert holds(twice_as_bad.top1, 0.8)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    units, random = one_seed(LABELS), np.random.default_rng(7)
    held = {"macro": 0, "micro": 0}
    for _ in range(300):
        right = random.random(len(LABELS)) < 0.9
        held["macro"] += holds(macro(right, units, 0.95).share, 0.9)
        held["micro"] += holds(micro(right, units, 0.95).share, 0.9)
    assert all(0.92 <= count / 300 <= 0.985 for count in held.values()), held


def test_shuffled_logits_know_nothing() -> None:
    """1/C for one guess and 5/C for five; the same logits in their order know everything."""
    random = np.random.default_rng(3)
    logits = torch.from_numpy(random.normal(size=(len(LABELS), C)))
    logits[torch.arange(len(LABELS)), torch.from_numpy(LABELS)] += 20
    shuffled = torch.from_numpy(random.permuted(logits.numpy(), axis=1))
    for scores, wanted in ((shuffled, (1 / C, 5 / C)), (logits, (1.0, 1.0))):
        seen = sight("one", [top_classes(scores)], NAMES)
        (one, _) = numbers([seen], [kind("set", LABELS.tolist())], NAMES, LISTED, 0.95).recognized
        assert holds(one.top1, wanted[0])
        assert holds(one.top5, wanted[1])


def test_five_guesses_are_never_worse_than_one() -> None:
    found = found_by(0.4)
    assert all(one.top5.value >= one.top1.value for one in (*found.categories, *found.recognized))
    right = [Answers(frozenset([3, 4]), "answerable"), Answers(frozenset(), "unanswerable")]
    top = np.array([[3, 0, 1, 2, 5], [0, 1, 2, 5, 4], [0, 1, 2, 5, 6], [3, 4, 0, 1, 2]])
    labels = np.array([0, 0, 0, 1])
    assert hits(top, labels, right, 1).tolist() == [True, False, False, False]
    assert hits(top, labels, right, 5).tolist() == [True, True, False, False]


def test_macro_counts_categories_and_micro_images() -> None:
    """3 of 4 and 0 of 1: (3/4 + 0) / 2 and 3/5."""
    right, labels = np.array([1, 1, 1, 0, 0], dtype=bool), np.array([0, 0, 0, 0, 2])
    units = one_seed(labels)
    assert macro(right, units, 0.95).share.value == pytest.approx(0.375)
    assert micro(right, units, 0.95).share.value == pytest.approx(0.6)
    found = by_category(right, labels, 0.95)
    assert list(found) == [0, 2]
    wilson = stats.binomtest(3, 4).proportion_ci(method="wilson")
    assert (found[0].low, found[0].high) == pytest.approx((wilson.low, wilson.high), abs=1e-12)


def test_equal_images_of_seeds_count_once() -> None:
    right = np.random.default_rng(0).random(200) < 0.6
    labels = np.repeat([0, 1], 100)
    once = macro(right, Units(labels, np.ones((200, 1), dtype=bool)), 0.95).share
    thrice = macro(right, Units(labels, np.ones((200, 3), dtype=bool), overlap=1.0), 0.95).share
    assert once == thrice
    assert once.n == 200


def test_seeds_that_differ_by_more_than_their_images_are_believed() -> None:
    labels = np.tile(np.repeat([0, 1], 50), 3)
    seeds = np.repeat(np.eye(3, dtype=bool), 100, axis=0)
    random = np.random.default_rng(1)
    alike = random.random(300) < 0.5
    assert macro(alike, Units(labels, seeds), 0.95).over_seeds is False
    apart = random.random(300) < np.repeat([0.1, 0.5, 0.9], 100)
    found = macro(apart, Units(labels, seeds), 0.95)
    assert found.over_seeds
    naive = macro(apart, one_seed(labels), 0.95).share
    assert found.share.value == naive.value
    assert found.share.low is not None
    assert naive.low is not None
    assert naive.value - found.share.low > 3 * (naive.value - naive.low)
    assert micro(apart, Units(labels, seeds), 0.95).over_seeds
    assert not macro(apart, Units(labels, seeds, overlap=0.95), 0.95).over_seeds


def test_all_right_and_all_wrong_beside_independence() -> None:
    """Category 0: rates 3/4 and 2/4, together right on 2 of 4; category 1: both 1/2, never together."""
    right = np.array([[1, 1], [1, 1], [1, 0], [0, 0], [1, 0], [0, 1]], dtype=bool)
    labels = np.array([0, 0, 0, 0, 1, 1])
    succeed, fail = together(right, labels, 0.95), together(~right, labels, 0.95)
    assert (succeed[0].observed.value, succeed[0].expected) == (0.5, 0.375)
    assert (succeed[1].observed.value, succeed[1].expected) == (0.0, 0.25)
    assert (succeed[None].observed.value, succeed[None].expected) == (0.25, 0.3125)
    assert (fail[0].observed.value, fail[0].expected) == (0.25, 0.125)
    assert (fail[None].observed.value, fail[None].expected) == (0.125, 0.1875)


def test_a_shift_s_p_is_where_its_interval_begins_to_hold_zero() -> None:
    random = np.random.default_rng(5)
    units = one_seed(np.repeat([0, 1, 2], 60))
    sides = [random.random(180) < rate for rate in (0.5, 0.65)]
    found = shift(
        lambda level: macro(sides[0], units, level).share, lambda level: macro(sides[1], units, level).share, 0.95
    )
    variances = []
    for side in sides:
        shares = [(side[units.labels == label].sum() + 1) / 62 for label in range(3)]
        variances.append(sum(share * (1 - share) / 60 for share in shares) / 9)
    deviation = math.sqrt(sum(variances))
    wanted = sides[0].mean() - sides[1].mean()
    assert found.difference.value == pytest.approx(wanted)
    assert found.difference.low == pytest.approx(wanted - 1.959964 * deviation, abs=1e-6)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(wanted) / deviation), abs=1e-9)
    same = shift(
        lambda level: macro(sides[0], units, level).share, lambda level: macro(sides[0], units, level).share, 0.95
    )
    assert (same.difference.value, same.p) == (0.0, 1.0)


def test_equal_images_are_told_apart_about_as_rarely_as_the_level_says() -> None:
    random, units = np.random.default_rng(8), one_seed(np.repeat(np.arange(6), 25))
    below = 0
    for _ in range(300):
        one, other = (random.random(150) < 0.8 for _ in range(2))
        made = shift(
            lambda level, side=one: macro(side, units, level).share,  # type: ignore[misc]
            lambda level, side=other: macro(side, units, level).share,  # type: ignore[misc]
            0.95,
        )
        assert (made.p < 0.05) is not holds(made.difference, 0.0)
        below += made.p < 0.05
    assert 0.01 <= below / 300 <= 0.085, below


def three() -> Recognition:
    """Three recognizers on real images and a set; the third is worse, and all are worse on the set."""
    random = np.random.default_rng(11)
    made = [
        sight(name, [planted(LABELS, wrong, C, random), planted(LABELS, wrong + 0.2, C, random)], NAMES)
        for name, wrong in (("a", 0.1), ("b", 0.1), ("c", 0.3))
    ]
    kinds = [kind(REAL, LABELS.tolist()), kind("set", LABELS.tolist())]
    return numbers(made, kinds, NAMES, LISTED, 0.95)


def test_recognizers_compared_and_sets_blamed() -> None:
    found = three()
    by = {(one.of, one.rule): one for one in found.equal}
    assert all(one.p_holm < 1e-6 and one.freedom == 2 for one in by.values())
    pairs = [one for one in found.pairs if one.rule == "synsets"]
    assert len(pairs) == 6
    told = {(one.of, one.first, one.second) for one in pairs if one.p_holm < 0.05}
    assert told == {(of, first, "c") for of in (REAL, "set") for first in ("a", "b")}
    assert [one.p_holm for one in pairs] == pytest.approx(holm([one.p for one in pairs]))
    shifts = [one for one in found.shifts if one.rule == "synsets"]
    assert all(one.told(0.95) and holds(one.difference, -0.2) for one in shifts)
    assert [one.p_holm for one in shifts] == pytest.approx(holm([one.p for one in shifts]))


def test_a_set_like_real_images_is_not_blamed() -> None:
    """A bad recognizer is as bad on real images; half of the photographs missed is no fault of the set."""
    random = np.random.default_rng(2)
    seen = sight("bad", [planted(LABELS, 0.5, C, random), planted(LABELS, 0.5, C, random)], NAMES)
    found = numbers([seen], [kind(REAL, LABELS.tolist()), kind("set", LABELS.tolist())], NAMES, LISTED, 0.95)
    assert [one.told(0.95) for one in found.shifts] == [False, False]
    assert all(one.made.value < 0.55 for one in found.shifts)


def test_mcnemar_by_hand() -> None:
    """On 7 images only the first is right, on 1 only the second: mid-p 2 (1/256) + 8/256 = 10/256."""
    labels = np.array([0] * 10)
    first = np.array([[0, 1]] * 9 + [[1, 0]])
    second = np.array([[0, 1]] * 2 + [[1, 0]] * 7 + [[0, 1]])
    found = numbers(
        [sight("a", [first], ("x", "y")), sight("b", [second], ("x", "y"))],
        [kind("set", labels.tolist())],
        ("x", "y"),
        {},
        0.95,
    )
    one = found.pairs[0]
    assert (one.difference.value, one.difference.n) == (pytest.approx(0.6), 10)
    assert one.p == pytest.approx(10 / 256) == pytest.approx(mcnemar_p(7, 1))


def test_the_best_of_a_category() -> None:
    labels = [0, 0, 1, 1]
    a, b = np.array([[0], [0], [0], [1]]), np.array([[0], [1], [0], [1]])
    found = numbers(
        [sight("a", [a], ("x", "y")), sight("b", [b], ("x", "y"))], [kind("set", labels)], ("x", "y"), {}, 0.95
    )
    best = {one.category: one for one in found.best if one.rule == "words"}
    assert (best["x"].recognizers, best["x"].top1.value) == (("a",), 1.0)
    assert (best["y"].recognizers, best["y"].top1.value) == (("a", "b"), 0.5)


def test_a_category_without_a_class_is_in_no_mean() -> None:
    """ImageNet's kite is the bird: with it, the mean of a recognizer that is always right would be one half."""
    labels = [0] * 20 + [1] * 20
    top = np.array([[701, 417, 879, 1, 2]] * 20 + [[963, 1, 2, 3, 4]] * 20)
    names = ["kite" if number == 21 else "pizza" if number == 963 else f"thing {number}" for number in range(1000)]
    seen = sight("net", [top], names, "imagenet-1k")
    listed = {"kite": Category((), "the bird"), "pizza": Category((963,))}
    found = numbers([seen], [kind("set", labels)], ("kite", "pizza"), listed, 0.95)
    means = {one.rule: one for one in found.recognized}
    assert (means["synsets"].top1.value, means["synsets"].categories, means["synsets"].top1.n) == (1.0, 1, 20)
    assert (means["words"].top1.value, means["words"].categories) == (0.5, 2)
    (apart,) = found.not_answered
    assert (apart.rule, apart.category, apart.standing, apart.note) == ("synsets", "kite", "unanswerable", "the bird")
    unknown = numbers([seen], [kind("set", labels)], ("kite", "gizmo"), listed, 0.95)
    assert [(one.rule, one.category, one.standing) for one in unknown.not_answered] == [
        ("words", "gizmo", "unanswerable"),
        ("synsets", "kite", "unanswerable"),
        ("synsets", "gizmo", "unreviewed"),
    ]
    assert {one.rule for one in unknown.recognized} == {"words"}


def blobs(count: int, classes: int, far: float, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), count)
    centers = random.normal(size=(classes, 8)) * far
    data = torch.from_numpy(centers[labels] + random.normal(size=(len(labels), 8))).float()
    return torch.nn.functional.normalize(data, dim=1), labels


def test_within_a_set_seeds_are_left_out_in_turn() -> None:
    data, labels = blobs(30, 4, 3.0)
    seeds = np.eye(3, dtype=bool)[np.arange(120) % 3]
    found = within_set(data, Units(labels, seeds), 4)
    assert not isinstance(found, str)
    assert (found.folds, found.number, found.classifier) == ("seeds", 3, "probe")
    right = []
    for one in range(3):
        model = LogisticRegression(C=100, max_iter=2000).fit(data[~seeds[:, one]], labels[~seeds[:, one]])
        right.append((model.predict(data[seeds[:, one]]) == labels[seeds[:, one]]).mean())
    assert found.right.mean() == pytest.approx(np.mean(right), abs=0.03)
    shuffled = np.random.default_rng(1).permutation(labels)
    nothing = within_set(data, Units(shuffled, seeds), 4)
    assert not isinstance(nothing, str)
    assert 0.1 <= nothing.right.mean() <= 0.4


def test_an_image_of_two_seeds_is_not_trained_and_tested_on() -> None:
    """Noise under random labels: whoever trained on what is tested would know it by heart."""
    random = np.random.default_rng(0)
    data = torch.nn.functional.normalize(torch.from_numpy(random.normal(size=(80, 64))).float(), dim=1)
    labels = np.tile([0, 1], 40)
    both = np.ones((80, 2), dtype=bool)
    found = within_set(data, Units(labels, both, overlap=1.0), 2)
    assert not isinstance(found, str)
    assert (found.folds, found.number) == ("images", 5)
    assert found.right.mean() < 0.7


def test_folds_where_there_is_one_seed_or_few_images() -> None:
    data, labels = blobs(2, 3, 3.0)
    found = within_set(data, one_seed(labels), 5)
    assert not isinstance(found, str)
    assert (found.folds, found.number, found.classifier) == ("images", 2, "centers")
    few = within_set(data[1:], one_seed(labels[1:]), 5)
    assert few == "1 of 3 classes has a single image, and none to test on"
    assert within_set(data[:2], one_seed(labels[:2]), 5) == "fewer than two classes have images"
    fold = drawn_folds(np.repeat([0, 1], [7, 5]), 5, 0)
    assert all(set(fold[np.repeat([0, 1], [7, 5]) == label]) == set(range(5)) for label in (0, 1))
