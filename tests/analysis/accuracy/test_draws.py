"""The variance over draws of the texts: by brute force, by hand, and by describing again in a world of vectors."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from pages import seed_result
from record_samples import measured
from scipy import stats
from torch.nn.functional import normalize

from analysis.accuracy.draws import Draws, paired_over_draws, share_over_draws
from analysis.accuracy.jackknife import LESS, DrawnTexts, draw_variances
from analysis.accuracy.measure import draws_by_arm, texts_by_arm
from analysis.accuracy.record import Accuracy
from analysis.accuracy.zero_shot import class_vectors, rank_classes
from analysis.report.findings import findings
from analysis.results.pooling import accuracy_difference, accuracy_of
from analysis.results.seeds import pool_seeds
from analysis.results.wording import evidence
from analysis.statistics.intervals import Estimate
from analysis.statistics.paired import paired_accuracy, paired_counts
from analysis.statistics.shares import share_bounds


class Images(NamedTuple):
    """As much of `ImageEmbeddings` as is needed."""

    embeddings: torch.Tensor
    labels: torch.Tensor


def drawn(texts: torch.Tensor, fallback: torch.Tensor, keep: torch.Tensor | None = None) -> DrawnTexts:
    """Texts of shape (classes, draws, each, D); `keep` says which stay."""
    classes, draws, each, dim = texts.shape
    labels, draw = (
        torch.arange(size).view(shape).expand(classes, draws, each).flatten()
        for size, shape in ((classes, (-1, 1, 1)), (draws, (1, -1, 1)))
    )
    flat = normalize(texts.reshape(-1, dim), dim=-1)
    if keep is not None:
        flat, labels, draw = flat[keep], labels[keep], draw[keep]
    return DrawnTexts(flat, labels, draw, class_vectors(flat, labels, classes, fallback))


def world(seed: int, *, classes: int = 4, draws: int = 3, each: int = 5, images: int = 60, dim: int = 6) -> Any:
    generator = torch.Generator().manual_seed(seed)
    middle = normalize(torch.randn(classes, dim, generator=generator), dim=-1)
    labels = torch.arange(images) % classes
    embeddings = normalize(middle[labels] + 0.5 * torch.randn(images, dim, generator=generator), dim=-1)

    def texts() -> torch.Tensor:
        return middle[:, None, None] + 0.8 * torch.randn(classes, draws, each, dim, generator=generator)

    return Images(embeddings, labels), texts, middle


def brute(images: Images, arms: list[DrawnTexts], fallback: torch.Tensor) -> float:
    """One class and draw after the other: weights, vectors and rankings made anew, sums in plain Python."""
    classes, draws, total = len(fallback), int(arms[0].draw.max()) + 1, 0.0
    for label in range(classes):
        rows = []
        for draw in range(draws):
            row = [0.0] * len(images.labels)
            for sign, arm in zip((1, -1), arms, strict=False):
                own = arm.labels == label
                alone = any(bool((arm.draw[own] == one).all()) for one in range(draws)) or not bool(own.any())
                less = 1.0 if alone else LESS
                weights = torch.where(own & (arm.draw == draw), 1 - less, 1.0)
                weighted = (arm.embeddings * weights.unsqueeze(1))[own].sum(0)
                vectors = arm.made.vectors.clone()
                if bool((own & (arm.draw == draw)).any()):
                    vectors[label] = normalize(weighted if float(weights[own].sum()) else fallback[label], dim=-1)
                right = rank_classes(images.embeddings, vectors, images.labels).hits(1)
                share = (1 - less) / (draws - less)  # the draw's share of the class vector, instead of 1 / draws
                moved = (1 / draws - share) * draws
                row = [value + sign * hit / moved for value, hit in zip(row, right, strict=True)]
            rows.append(row)
        columns = list(zip(*rows, strict=True))
        sums = [sum(row) for row in rows]
        spread = sum((one - sum(sums) / draws) ** 2 for one in sums)
        single = sum((one - sum(column) / draws) ** 2 for column in columns for one in column)
        total += (draws - 1) / draws * (spread - single)
    return max(0.0, total) / len(images.labels) ** 2


@pytest.mark.parametrize("seed", range(4))
def test_the_variance_is_that_of_a_brute_search(seed: int) -> None:
    images, texts, fallback = world(seed)
    arms = {"a": drawn(texts(), fallback), "b": drawn(texts(), fallback)}
    found = draw_variances(images, arms, [("a",), ("a", "b")], fallback)
    assert found["a",].variance == pytest.approx(brute(images, [arms["a"]], fallback), rel=1e-5, abs=1e-12)
    assert found["a", "b"].variance == pytest.approx(brute(images, list(arms.values()), fallback), rel=1e-5, abs=1e-12)
    assert found["a", "b"].draws == 3


@pytest.mark.parametrize("seed", range(4))
def test_a_kind_that_one_draw_alone_has_may_be_missing_in_another(seed: int) -> None:
    """Few texts left: some class has none, some only in one draw; then the plain template stands for them."""
    images, texts, fallback = world(seed, each=1)
    keep = torch.rand(12, generator=torch.Generator().manual_seed(seed)) < 0.4
    keep[2] = True
    arm = drawn(texts(), fallback, keep)
    found = draw_variances(images, {"a": arm}, [("a",)], fallback)
    assert found["a",].variance == pytest.approx(brute(images, [arm], fallback), rel=1e-5, abs=1e-12)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images, texts, fallback = world(9)
    arms = {"a": drawn(texts(), fallback)}
    whole = draw_variances(images, arms, [("a",)], fallback)["a",]
    monkeypatch.setattr("analysis.accuracy.jackknife.MOST_CELLS", 3 * 4 * 7)
    parts = draw_variances(images, arms, [("a",)], fallback)["a",]
    assert parts.variance == pytest.approx(whole.variance)
    assert parts.freedom == pytest.approx(whole.freedom)


def test_equal_draws_and_single_draws_have_no_variance() -> None:
    images, texts, fallback = world(1)
    same = texts()[:, :1].expand(-1, 3, -1, -1)
    assert draw_variances(images, {"a": drawn(same, fallback)}, [("a",)], fallback)["a",].variance == 0
    assert draw_variances(images, {"a": drawn(texts()[:, :1], fallback)}, [("a",)], fallback) == {}
    assert draw_variances(images, {}, [], fallback) == {}


def test_degrees_of_freedom() -> None:
    """Squares of one class that changes have k − 1 degrees, those of five classes that are alike five times that."""
    images, texts, fallback = world(3, classes=5, images=400)
    one = texts()[:, :1].expand(-1, 3, -1, -1).clone()
    one[0] = texts()[0]
    assert draw_variances(images, {"a": drawn(one, fallback)}, [("a",)], fallback)["a",].freedom == pytest.approx(2.0)
    every = draw_variances(images, {"a": drawn(texts(), fallback)}, [("a",)], fallback)["a",].freedom
    assert 2 < every <= 10


def test_intervals_by_hand() -> None:
    draws = Draws(2, 0.0009, 8.0)
    wider = 0.0009 * (stats.t.ppf(0.975, 8) / stats.norm.ppf(0.975)) ** 2
    assert draws.widening(0.95) == pytest.approx(wider)
    share = share_over_draws(Estimate(0.8, 0.75, 0.84, 400), draws, 0.95)
    # 0.16 / 400 over images; as if of 0.16 / (0.0004 + wider) images.
    assert (share.low, share.high) == pytest.approx(share_bounds(0.8, 0.16 / (0.0004 + wider)))
    assert share_over_draws(Estimate(0.8, 0.75, 0.84, 400), None, 0.95) == Estimate(0.8, 0.75, 0.84, 400)
    sure = Estimate(1.0, 0.99, 1.0, 400)
    assert share_over_draws(sure, draws, 0.95) == sure
    paired = paired_counts(60, 20, 400)
    assert paired_over_draws(paired, None, 0.95) == paired
    found = paired_over_draws(paired, draws, 0.95)
    # 80 images differ; the variance of the sum is 80 + 400² · wider instead of 80, so each counts as a part.
    size = (80 + 160_000 * wider) / 80
    assert found.difference == 0.1
    assert (found.only_first, found.only_second, found.n) == (60, 20, 400)
    assert found.low < paired.low
    assert found.high > paired.high
    assert found.high - found.low == pytest.approx(size**0.5 * (paired.high - paired.low), rel=0.1)
    assert paired.p < 1e-4 < found.p


def described_again(arms: int, *, runs: int, draws: int) -> tuple[float, float]:
    """How often two describings of one policy differ, by the images alone and with draws, where texts vary much."""
    generator = torch.Generator().manual_seed(5)
    middle = normalize(torch.randn(8, 16, generator=generator), dim=-1)
    alone = both = 0
    for _ in range(runs):
        labels = torch.arange(320) % 8
        embeddings = normalize(middle[labels] + 0.35 * torch.randn(320, 16, generator=generator), dim=-1)
        images = Images(embeddings, labels)
        made = {
            str(arm): drawn(middle[:, None, None] + 0.9 * torch.randn(8, draws, 6, 16, generator=generator), middle)
            for arm in range(arms)
        }
        right = {arm: rank_classes(embeddings, one.made.vectors, labels).hits(1) for arm, one in made.items()}
        pairs = list(itertools.combinations(made, 2))
        found = draw_variances(images, made, pairs, middle)  # type: ignore[arg-type]
        for first, second in pairs:
            paired = paired_accuracy(right[first], right[second])
            alone += paired.p < 0.05
            both += paired_over_draws(paired, found[first, second], 0.95).p < 0.05
    tests = runs * arms * (arms - 1) / 2
    return alone / tests, both / tests


@pytest.mark.parametrize(("arms", "draws", "runs"), [(2, 3, 250), (2, 2, 200), (3, 5, 80)])
def test_two_describings_of_one_policy_hardly_ever_differ_for_certain(arms: int, draws: int, runs: int) -> None:
    """By the images alone they do in far more than 5 %: a twin that must be told from the mended test."""
    alone, both = described_again(arms, runs=runs, draws=draws)
    assert alone > 0.1
    assert both <= 0.06


def test_the_words_say_which_texts() -> None:
    result = seed_result(0)
    change = accuracy_difference([result], "aligned", "templates")
    assert change is not None
    assert change.of_these_texts
    assert evidence(change) == "p\u00a0=\u00a00.010, for these texts"
    told = {one.topic: one.text for one in findings(pool_seeds("r", [result]))}
    assert "for these texts" in told["Accuracy"]
    assert "for these texts" in told["One seed"]
    draws = Draws(3, 0.0004, 12.0)
    arm = result.accuracy.arms["aligned"]
    assert arm is not None
    several = measured(
        result,
        arms={**result.accuracy.arms, "aligned": replace(arm, draws=draws)},
        differences=tuple(replace(one, draws=draws) for one in result.accuracy.differences),
    )
    change = accuracy_difference([several], "aligned", "templates")
    assert change is not None
    assert (change.draws, change.of_these_texts) == (3, False)
    assert ", over 3 draws of the texts: between " in evidence(change)
    told = {one.topic: one.text for one in findings(pool_seeds("r", [several]))}
    assert "over 3 draws of the texts" in told["Accuracy"]
    assert "how much other images and other descriptions would" in told["One seed"]
    assert not any("these texts" in text for text in told.values())
    pooled, plain = accuracy_of([several], "aligned"), accuracy_of([result], "aligned")
    assert pooled is not None
    assert plain is not None
    assert pooled.low is not None
    assert plain.low is not None
    assert pooled.value == plain.value
    over = [replace(several, seed=seed) for seed in (0, 1)]
    two = accuracy_difference(over, "aligned", "templates")
    assert two is not None
    assert not two.of_these_texts, "several seeds have several texts"


def test_draws_are_stored_and_older_files_have_none() -> None:
    accuracy = seed_result(0).accuracy
    stored = accuracy.to_json()
    assert "draws" not in stored["arms"]["aligned"]
    assert "draws" not in stored["differences"][0]
    kept = replace(accuracy, differences=(replace(accuracy.differences[0], draws=Draws(2, 1e-4, 3.5)),))
    assert kept.to_json()["differences"][0]["draws"] == {"draws": 2, "variance": 1e-4, "freedom": 3.5}
    assert Accuracy.from_json(kept.to_json()) == kept


def test_each_texts_draw_is_in_the_order_of_the_texts() -> None:
    result = seed_result(0)
    rows = [replace(one, sample=number % 3) for number, one in enumerate(result.descriptions)]
    arms, draws = texts_by_arm(rows, result.verdicts, ["pug", "oak"]), draws_by_arm(rows, result.verdicts)
    assert draws.keys() == arms.keys() - {"templates"}
    number_of = {one.text: one.sample for one in rows}
    for arm, own in draws.items():
        assert own == [number_of[text] for _, text in arms[arm]]
    assert set(draws_by_arm(result.descriptions, result.verdicts)["aligned"]) == {0}, "files of earlier versions"
