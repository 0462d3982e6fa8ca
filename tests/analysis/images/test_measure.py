"""Every number of `measures.json` against a direct computation from embeddings that the VLM gives here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from small_sets import NAMES, TEST, class_folders, measuring, toy_set

from analysis.images.comparisons import correlations
from analysis.images.draws import Resampled
from analysis.images.embedded import embed_split, metric_of, open_split
from analysis.images.given import GivenSet, given_folders, read_sets
from analysis.images.intervals import difference_interval, difference_p, share_interval
from analysis.images.measure import measure_sets
from analysis.images.probe import choose_l2
from analysis.images.record import Measures
from analysis.images.resampling import SetImages, resampled
from analysis.images.seeds import pooled, pooled_difference
from analysis.images.wording import warnings_of
from analysis.statistics.holm import holm
from analysis.statistics.intervals import IntervalSettings
from ex2.data.datasets.image_sets import ImageSet, read_set
from ex2.data.prompts import generic_templates
from ex2.sets.draw import SetPlan, draw_set, requests_for
from ex2.sets.generators.base import build_generator
from reward.presets import load_vlm

ALL = ["cler", "probe", "clip_score", "frechet", "kid", "retrieval"]


@dataclass
class World:
    """Sets, the VLM that measures them, how many images it was asked to embed, and what was found."""

    sets: list[GivenSet]
    vlm: Any
    embedded: list[int]
    first: int
    measures: Measures
    root: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("EX2_CACHE", str(root / "cache"))
        good = [toy_set(root / "sets", "good", seed=seed) for seed in range(3)]
        bad = [toy_set(root / "sets", "bad", seed=seed, error={"pattern": 0.7, "colour": 0.5}) for seed in range(3)]
        half = toy_set(root / "sets", "half", error={"pattern": 0.5})
        folder = class_folders(good[0], root / "shuffled", shift=1)
        vlm: Any = load_vlm("demo-visual", {})
        asked, encode = [], vlm.encode_pixels

        def counted(pixels: torch.Tensor) -> torch.Tensor:
            asked.append(len(pixels))
            found: torch.Tensor = encode(pixels)
            return found

        patched.setattr(vlm, "encode_pixels", counted)
        words = [str(one.folder.parent) for one in (good[0], bad[0], half)]
        sets = given_folders([*words, str(folder)])
        measures = measure_sets(measuring(sets, metrics=ALL), vlm=vlm, progress=False)
        yield World(sets, vlm, asked, sum(asked), measures, root)


@pytest.fixture(autouse=True)
def _same_banks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EX2_CACHE", str(world.root / "cache"))


def embeddings_of(world: World, found: ImageSet, shots: int = 3) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Unit embeddings and labels of a set's first images, by the VLM itself."""
    rows = [row for row in found.rows if row.index < shots]
    made = world.vlm.encode_images([found.image(row).open() for row in rows]).double().numpy()
    return made, np.array([row.label for row in rows])


def test_embeddings(world: World) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    _, images = open_split(TEST, "test")
    made = world.vlm.encode_images([image.open() for image in images]).double().numpy()
    return made, np.array([image.label for image in images])


test_embeddings.__test__ = False  # type: ignore[attr-defined]


def unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def text_rows(world: World) -> Any:
    texts = [template.format(name) for name in NAMES for template in generic_templates()]
    made = world.vlm.encode_texts(texts).embeddings.double().numpy().reshape(len(NAMES), -1, world.vlm.dim)
    return unit(np.stack([unit(rows).mean(0) for rows in made]))


@pytest.mark.parametrize(("name", "seed"), [("good", 1), ("half", 0)])
def test_the_numbers_of_a_seed(world: World, name: str, seed: int) -> None:
    one = world.measures.of(name).seeds[seed]
    images, labels = embeddings_of(world, read_set(Path(one.folder)))
    test, wanted = test_embeddings(world)
    centers = unit(np.stack([images[labels == label].mean(0) for label in range(16)]))
    texts = text_rows(world)
    twice = np.concatenate([centers + 1e-9, centers - 1e-9])  # scikit-learn wants rows of a class to differ
    cler = (NearestCentroid().fit(twice, np.tile(np.arange(16), 2)).predict(test) == wanted).mean()
    ensemble = ((test @ unit(centers + texts).T).argmax(1) == wanted).mean()
    text = ((test @ texts.T).argmax(1) == wanted).mean()
    l2 = choose_l2(torch.tensor(images).float(), torch.tensor(labels), 16).l2
    probe = LogisticRegression(C=1 / l2, tol=1e-8, max_iter=10000).fit(images, labels).score(test, wanted)
    near = np.argsort(-(images @ test.T), axis=1, kind="stable")[:, :5]
    precision = (wanted[near] == labels[:, None]).mean()
    between = linalg.sqrtm(np.cov(images.T) @ np.cov(test.T)).real
    distance = np.square(images.mean(0) - test.mean(0)).sum()
    distance += np.trace(np.cov(images.T)) + np.trace(np.cov(test.T)) - 2 * np.trace(between)
    kernel = {
        key: (a @ b.T / a.shape[1] + 1) ** 3
        for key, a, b in (("xx", images, images), ("yy", test, test), ("xy", images, test))
    }
    off = ~np.eye(48, dtype=bool)
    values = dict(one.values)
    assert values.pop("frechet") == pytest.approx(distance, abs=2e-4)
    assert values.pop("kid") == pytest.approx(
        kernel["xx"][off].mean() + kernel["yy"][off].mean() - 2 * kernel["xy"].mean(), abs=1e-6
    )
    assert values == pytest.approx(
        {
            "text": text,
            "cler": cler,
            "ensemble": ensemble,
            "gain": ensemble - text,
            "probe": probe,
            "probe_gain": probe - text,
            "clip_score": (images * texts[labels]).sum(1).mean(),
            "precision_at_5": precision,
            "recall_at_5": precision * 5 / 3,
        },
        abs=1e-6,
    )


def scores_of(world: World, name: str, samples: int = 200) -> list[dict[Any, Resampled]]:
    """Each seed's numbers with how they vary, from embeddings that the VLM gives here."""
    opened, images = open_split(TEST, "test")
    side = embed_split(world.vlm, opened, images, "shapes", "test")
    found = []
    for place, seed in enumerate(world.measures.of(name).seeds):
        made, labels = embeddings_of(world, read_set(Path(seed.folder)))
        of_seed = SetImages(torch.from_numpy(made).float(), torch.from_numpy(labels))
        found.append(resampled(of_seed, side.test, samples=samples, seed=place))
    return found


def test_intervals_over_three_seeds_pool_seeds_and_resamples(world: World) -> None:
    good = world.measures.of("good")
    scores = scores_of(world, "good")
    assert (good.over, good.numbers["cler"].n) == ("seeds", 3)
    for part in ("cler", "ensemble"):
        expected = share_interval(pooled([one[part] for one in scores]), 48)
        assert tuple(good.numbers[part])[:3] == pytest.approx(tuple(expected)[:3], abs=0.02)
    gain = difference_interval(pooled([one["ensemble"].minus(one["text"]) for one in scores]), 0.95, 3)
    assert tuple(good.numbers["gain"]) == pytest.approx(tuple(gain), abs=0.02)
    distances = [seed.values["frechet"] for seed in good.seeds]
    low, high = stats.t.interval(0.95, 2, np.mean(distances), stats.sem(distances))
    assert (good.numbers["frechet"].low, good.numbers["frechet"].high) == pytest.approx((low, high))
    probes = [seed.values["probe"] for seed in good.seeds]
    low, high = stats.t.interval(0.95, 2, np.mean(probes), stats.sem(probes))
    assert good.numbers["probe"].low is not None
    assert good.numbers["probe"].low < low, "test images widen what three seeds tell"


def test_one_seed_has_intervals_over_images(world: World) -> None:
    half = world.measures.of("half")
    assert half.over == "images"
    assert half.numbers["cler"].value == half.seeds[0].values["cler"]
    for quantity in ("cler", "ensemble", "gain", "text"):
        number = half.numbers[quantity]
        assert number.n == 48
        assert number.low is not None and number.high is not None  # noqa: PT018 - for the type
        assert number.low < number.value < number.high
    assert half.numbers["probe"].low is None  # it would be fitted again on each resample
    assert world.measures.text == half.numbers["text"] == world.measures.of("good").numbers["text"]


def test_fewer_shots_are_the_first_images_of_each_class(world: World) -> None:
    what = measuring(world.sets, metrics=["cler"], shots=[2], against="half")
    found = measure_sets(what, vlm=world.vlm, progress=False)
    (two,) = found.of("half").shots
    images, labels = embeddings_of(world, read_set(Path(world.measures.of("half").seeds[0].folder)), shots=2)
    test, wanted = test_embeddings(world)
    centers = unit(np.stack([images[labels == label].mean(0) for label in range(16)]))
    assert two.shots == 2
    assert two.numbers["cler"].value == pytest.approx(((test @ centers.T).argmax(1) == wanted).mean())
    assert two.numbers["cler"].value != world.measures.of("half").numbers["cler"].value
    whole = world.measures.of("half")
    assert whole.usd == pytest.approx(whole.seconds / 1000)  # 3.6 USD an hour are a tenth of a cent a second
    assert two.usd == pytest.approx(whole.usd * 2 / 3)
    assert world.measures.per_class == found.per_class == 3
    assert {one.against for one in found.comparisons} == {"half"}


def test_a_set_under_wrong_labels_knows_nothing(world: World) -> None:
    good, shuffled = world.measures.of("good"), world.measures.of("shuffled")
    assert good.knows is True
    assert [seed.knowledge_p for seed in good.seeds] == [0.01] * 3  # the least of 99 permutations
    assert shuffled.knows is False
    assert shuffled.seeds[0].nothing == pytest.approx(1 / 16, abs=0.03)
    assert (shuffled.generator, shuffled.strategy, shuffled.usd, shuffled.made) == ("folder", "", None, 48)


def test_sets_are_compared_with_the_first(world: World) -> None:
    found = world.measures.comparisons
    assert [(one.name, one.against, one.quantity, one.over) for one in found] == [
        ("bad", "good", "cler", "seeds"),
        ("bad", "good", "probe", "seeds"),
        ("half", "good", "cler", "images"),
        ("half", "good", "probe", "images"),
        ("shuffled", "good", "cler", "images"),
        ("shuffled", "good", "probe", "images"),
    ]
    good, bad = (dict(enumerate(one["cler"] for one in scores_of(world, name))) for name in ("good", "bad"))
    difference = pooled_difference(bad, good)
    assert found[0].difference.value == pytest.approx(difference.value)
    assert tuple(found[0].difference) == pytest.approx(tuple(difference_interval(difference, 0.95, 3)), abs=0.03)
    assert found[0].p == pytest.approx(difference_p(difference), abs=0.01)
    tested = [one for one in found if one.p is not None]
    assert [one.p_holm for one in tested] == holm([one.p for one in tested if one.p is not None])
    assert found[5].p is found[5].p_holm is found[5].difference.low is None
    for one in found:
        if one.over == "images" and one.p is not None and one.difference.high is not None:
            assert (one.difference.high < 0) == (one.p < 0.05)
    assert found[4].p is not None and found[4].p < 0.05  # noqa: PT018 - for the type


def test_mcnemar_of_the_first_seeds(world: World) -> None:
    right = []
    test, wanted = test_embeddings(world)
    for name in ("bad", "good"):
        images, labels = embeddings_of(world, read_set(Path(world.measures.of(name).seeds[0].folder)))
        centers = unit(np.stack([images[labels == label].mean(0) for label in range(16)]))
        right.append((test @ centers.T).argmax(1) == wanted)
    only, other = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    exact = stats.binomtest(only, only + other).pvalue
    mid_p = exact - stats.binom.pmf(only, only + other, 0.5)
    assert world.measures.comparisons[0].given_sets_p == pytest.approx(mid_p)
    assert world.measures.comparisons[1].given_sets_p is None


def test_a_second_measurement_embeds_nothing(world: World) -> None:
    assert world.first == 9 * 48  # the test images, seven seeds, and a folder
    before = sum(world.embedded)
    twin = GivenSet("good2", world.sets[0].folders)
    again = measure_sets(measuring([*world.sets, twin], metrics=["cler"]), vlm=world.vlm, progress=False)
    assert sum(world.embedded) == before
    values = [one.seeds[0].values["cler"] for one in world.measures.sets]
    assert [one.seeds[0].values["cler"] for one in again.sets] == [*values, values[0]]
    same = [(one.difference.value, one.p, one.given_sets_p) for one in again.comparisons if one.name == "good2"]
    assert same == [(0.0, 1.0, 1.0)]
    assert "probe" not in again.sets[0].numbers
    assert again.correlations == ()


def test_a_metric_goes_with_the_probe_over_five_sets(world: World) -> None:
    sets = [*world.measures.sets, replace(world.measures.of("good"), name="good2")]
    cler, probe = ([one.numbers[key].value for one in sets] for key in ("cler", "probe"))
    (rho,) = [one.rho for one in correlations(sets, IntervalSettings(samples=100)) if one.quantity == "cler"]
    assert rho.value == pytest.approx(stats.spearmanr(cler, probe).statistic)
    assert rho.n == 5
    assert world.measures.correlations == ()


def test_a_class_without_images_takes_its_texts(world: World, tmp_path: Path) -> None:
    fewer = toy_set(tmp_path, "fewer", names=NAMES[:-1])
    what = measuring(given_folders([str(fewer.folder)]), metrics=["cler"], missing="text")
    found = measure_sets(what, vlm=world.vlm, progress=False)
    images, labels = embeddings_of(world, fewer)
    test, wanted = test_embeddings(world)
    centers = unit(np.stack([images[labels == label].mean(0) for label in range(15)]))
    centers = np.concatenate([centers, text_rows(world)[-1:]])
    assert found.sets[0].filled == (NAMES[-1],)
    assert found.sets[0].numbers["cler"].value == pytest.approx(((test @ centers.T).argmax(1) == wanted).mean())
    assert found.sets[0].knows is True


def test_the_metric_is_the_datasets_own() -> None:
    assert [metric_of(name) for name in ("pets", "voc2007", "hateful_memes", "food101", "shapes")] == [
        "mean_per_class",
        "map_11_point",
        "roc_auc",
        "accuracy",
        "accuracy",
    ]


def test_what_counts_neither_way_is_left_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Any
    opened, images = open_split(TEST, "test")
    coded = np.full((48, 16), -1, dtype=np.int8)
    coded[np.arange(48), [image.label for image in images]] = 1
    coded[0, 3] = 0
    monkeypatch.setattr(opened, "labels_of", lambda split: coded, raising=False)
    monkeypatch.setattr("analysis.images.embedded.metric_of", lambda name: "map_11_point")
    side = embed_split(world.vlm, opened, images, "shapes", "test")
    assert side.test.metric == "map_11_point"
    assert side.test.labels[0].tolist() == [1, 0, 0, -1, *[0] * 12]
    assert side.main.tolist() == [image.label for image in images]


def copies(world: World, root: Path, selection: str) -> list[Any]:
    """Three seeds of copies of two of three images of each class."""
    folder = class_folders(read_set(world.sets[0].folders[0]), root / "photos")
    return [
        draw_set(
            SetPlan(
                name="copies",
                generator=build_generator("folder", {"root": str(folder), "selection": selection}),
                class_names=NAMES,
                requests=requests_for(NAMES, 2, seed),
                seed=seed,
            ),
            root / "sets",
            progress=False,
        )
        for seed in range(3)
    ]


def test_seeds_of_the_same_images_are_one_draw(world: World, tmp_path: Path) -> None:
    """Three copies would have an interval of no width over seeds, as if nothing could vary."""
    seeds = copies(world, tmp_path, "first")
    assert len({tuple(row.pixels for row in seed.rows) for seed in seeds}) == 1
    found = measure_sets(
        measuring(given_folders([str(seeds[0].folder.parent)]), metrics=["cler"]), vlm=world.vlm, progress=False
    )
    (one,) = found.sets
    assert (one.repeated, one.shared, len(one.seeds), one.over, one.made) == ((1, 2), 0, 1, "images", 32)
    cler = one.numbers["cler"]
    assert cler.low is not None
    assert cler.high is not None
    assert cler.high - cler.low > 0.05
    assert warnings_of(found)[0] == (
        "Seeds 1 and 2 hold the images of an earlier seed of copies and are left out: the same images say nothing of "
        "other draws."
    )


def test_images_that_stand_in_several_seeds_are_counted(world: World, tmp_path: Path) -> None:
    """Two of three images of each class: any two seeds share at least one in each."""
    seeds = copies(world, tmp_path, "random")
    counts = Counter((row.label, row.pixels) for seed in seeds for row in seed.rows)
    expected = sum(count for count in counts.values() if count > 1)
    assert 48 < expected <= 96
    found = measure_sets(
        measuring(given_folders([str(seeds[0].folder.parent)]), metrics=["cler"]), vlm=world.vlm, progress=False
    )
    assert (found.sets[0].repeated, found.sets[0].shared, found.sets[0].over) == ((), expected, "seeds")
    held = [{(row.label, row.pixels) for row in seed.rows} for seed in seeds]
    pairs = [len(held[one] & held[other]) / 32 for one, other in ((0, 1), (0, 2), (1, 2))]
    (read,) = read_sets(given_folders([str(seeds[0].folder.parent)]), NAMES, None)
    assert read.overlap == pytest.approx(sum(pairs) / 3)
    assert warnings_of(found)[0].startswith(f"{expected} of the 96 images of copies stand in several of its seeds: ")


def test_all_seeds_and_sets_are_resampled_on_the_same_test_images(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[object] = []

    def spied(images: SetImages, test: Any, **settings: Any) -> Any:
        taken.append(settings["variation"])
        return resampled(images, test, **settings)

    monkeypatch.setattr("analysis.images.measure.resampled", spied)
    measure_sets(measuring(world.sets[:2], metrics=["cler"]), vlm=world.vlm, progress=False)
    assert len(taken) == 6
    assert {(type(one).__name__, id(one)) for one in taken} == {("TestVariation", id(taken[0]))}


def test_areas_near_1_are_said_to_have_intervals_that_hold_too_seldom(world: World) -> None:
    one = world.measures.sets[0]

    def said(metric: str, share: float) -> bool:
        numbers = {**one.numbers, "cler": one.numbers["cler"]._replace(value=share)}
        numbers |= {name: numbers[name]._replace(value=0.5) for name in ("ensemble", "probe")}
        found = warnings_of(replace(world.measures, metric=metric, sets=(replace(one, numbers=numbers),)))
        return any(line.startswith("Nearly all pairs of test images are ranked right by good") for line in found)

    assert said("roc_auc", 0.99)
    assert not said("roc_auc", 0.989)
    assert not said("accuracy", 0.999)
