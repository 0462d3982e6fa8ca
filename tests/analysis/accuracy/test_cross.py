"""Each VLM with the descriptions of the other, on small models: the numbers, the tests, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from mid_p import mid_p
from run_samples import arm_of, write_run
from scipy import stats
from table_samples import hits, run_with_seeds

import analysis.cross
from analysis.accuracy.zero_shot import unpack_correct
from analysis.analyze import analyze
from analysis.cross import classifiers_of
from analysis.results.runs import CROSS, Run, aligned_texts, experiment_of, read_run
from ex2.banks import test_embeddings as embeddings_of_test_images
from ex2.cli import main
from ex2.recipe import Recipe
from ex2.recipe_io import to_yaml
from ex2.run.descriptions import digest_of
from ex2.run.directory import RunDirectory
from ex2.run.manifest import path_of
from ex2.run.sealed import write_sealed
from reward.files import read_json, write_json, write_jsonl, write_text
from reward.presets import load_vlm
from reward.vlm import VLM

WORDS = {"first": "a {} in a picture", "second": "click to enlarge the photo of a {}"}

CLASSES = ("dorfin", "fep", "niv", "wug")  # of those that the scripted judge knows


def recipe(root: Path, vlm: str) -> Recipe:
    """Two small CLIPs of different weights, on four classes of two test images."""
    folder = root.parent
    return Recipe.model_validate(
        {
            "name": vlm,
            "output_dir": str(root),
            "policy": {"model": "package:ex2/data/demo_policy"},
            "vlm": {"name": "huggingface", "model": str(folder / vlm), "context_length": 40, "image_size": 32},
            "dataset": {
                "name": "folder",
                "root": str(folder / "photos"),
                "reward_split": "reward",
                "test_split": "test",
                "workers": 0,
            },
            "judge": {"name": "scripted"},
            "analysis": {"bootstrap_samples": 200},
        }
    )


def loaded(made: Recipe) -> VLM:
    return load_vlm(made.vlm.name, made.vlm.settings)


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two analysed runs; the cache is kept for the module, as images are embedded once."""
    root = tmp_path_factory.mktemp("cross")
    tiny.save_image_folder(root / "photos", test=9)
    for folder in (root / "photos").glob("*/class_*"):
        folder.rename(folder.with_name(CLASSES[int(folder.name[-1])]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EX2_CACHE", str(root / "cache"))
        for seed, (vlm, words) in enumerate(WORDS.items()):
            tiny.save_clip(root / vlm, seed=seed)
            made = recipe(root / "runs", vlm)
            run = RunDirectory.of(made)
            names = embeddings_of_test_images(
                made.dataset.source(), load_vlm(made.vlm.name, made.vlm.settings)
            ).class_names
            rows: list[dict[str, Any]] = [
                {
                    "class": name,
                    "label": label,
                    "question": "What is a {}?",
                    "question_id": 0,
                    "sample": sample,
                    "policy": "aligned",
                    "text": "  " if sample else text_of(words, label, name),
                    "reward": 1.0,
                    "cut": False,
                }
                for sample in (0, 1)
                for label, name in enumerate(names)
            ]
            write_text(run.recipe, to_yaml(made))
            write_jsonl(run.seed(0).descriptions, rows)
            analyze(made, 0)
    return root


def text_of(words: str, label: int, name: str) -> str:
    return words.format(name) if label % 2 else name


@pytest.fixture
def runs(analyzed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EX2_CACHE", str(analyzed / "cache"))
    for path in (analyzed / "runs").rglob(CROSS):
        path.unlink()
    return analyzed / "runs"


def rows_of(runs: Path, descriptions: str) -> dict[str, dict[str, Any]]:
    return {Path(row["vlm"]).name: row for row in read_json(runs / descriptions / "seed-0" / CROSS)["classifiers"]}


def test_accuracy_with_the_others_descriptions(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["cross", str(runs)]) == 0
    for classifier in WORDS:
        made = recipe(runs, classifier)
        vlm = loaded(made)
        images = embeddings_of_test_images(made.dataset.source(), vlm)
        own = read_json(runs / classifier / "seed-0/accuracy.json")["arms"]["aligned"]
        for descriptions in WORDS:
            row = rows_of(runs, descriptions)[classifier]
            # One text a class: its vector is the text's own, and the nearest vector by brute force is the answer.
            names = enumerate(images.class_names)
            texts = [text_of(WORDS[descriptions], label, name) for label, name in names]
            vectors = vlm.encode_texts(texts).embeddings.double().numpy()
            right = (images.embeddings.double().numpy() @ vectors.T).argmax(1) == images.labels.numpy()
            assert row["correct"] == int(right.sum())
            assert unpack_correct(row["correct_bits"], row["n"]) == right.tolist()
            interval = stats.binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
            assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
            if classifier == descriptions:
                assert row["against_own"] is None
                assert row["correct_bits"] == own["correct_bits"]
                continue
            mine = np.array(unpack_correct(own["correct_bits"], own["n"]))
            only, other = int((right & ~mine).sum()), int((mine & ~right).sum())
            against = row["against_own"]
            assert only + other > 0, "the two sets of descriptions do not answer alike"
            assert against["difference"] == pytest.approx((only - other) / len(right))
            expected = mid_p(only, only + other)
            assert against["p"] == pytest.approx(expected)
            assert (against["run"], against["run_seed"], against["n"]) == (classifier, 0, len(right))
    shown = capsys.readouterr().out
    assert "folder: accuracy of each VLM with descriptions aligned to each VLM" in shown


def test_what_was_measured_is_not_measured_again(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["cross", str(runs / "first"), str(runs / "second")]) == 0
    kept = rows_of(runs, "first")
    loaded: list[str] = []
    load = analysis.cross.load_vlm

    def counting(name: str, settings: Any) -> Any:
        loaded.append(Path(settings["model"]).name)
        return load(name, settings)

    monkeypatch.setattr(analysis.cross, "load_vlm", counting)
    assert main(["cross", str(runs)]) == 0
    assert loaded == []
    assert rows_of(runs, "first") == kept

    path = runs / "first" / "seed-0" / CROSS
    stale = read_json(path) | {"descriptions": "of others"}
    write_sealed(path, stale)
    assert main(["cross", str(runs)]) == 0
    assert loaded == ["second"], "new descriptions are measured anew, those of the other run are not"
    assert rows_of(runs, "first") == kept


def test_tables_read_it(runs: Path, tmp_path: Path) -> None:
    assert main(["cross", str(runs)]) == 0
    assert main(["tables", str(runs), "--out", str(tmp_path), "--format", "json"]) == 0
    table = json.loads((tmp_path / "table-06-cross-folder.json").read_text())
    first, second = (str(runs.parent / name) for name in WORDS)
    assert table["columns"] == [f"descriptions of {first}", f"descriptions of {second}"]
    value = {
        (*row["names"], column): cell
        for row in table["rows"]
        for column, cell in zip(table["columns"], row["cells"], strict=True)
    }
    row = rows_of(runs, "second")["first"]
    cell = value[first, "accuracy", f"descriptions of {second}"]
    assert (cell["value"], cell["n"]) == (pytest.approx(100 * row["accuracy"]), row["n"])
    changed = value[first, "minus that with its own", f"descriptions of {second}"]
    assert changed["p"] == pytest.approx(row["against_own"]["p"])


def test_another_vlm_than_the_analyzed_one_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = runs / "first" / "seed-0"
    path, manifest = seed / "accuracy.json", path_of(seed, "analyze")
    before = {one: one.read_text() for one in (path, manifest)}
    manifest.unlink()
    write_json(path, json.loads(before[path]) | {"vlm_fingerprint": "another"})
    try:
        assert main(["cross", str(runs)]) == 2
    finally:
        for one, text in before.items():
            one.write_text(text)
    error = capsys.readouterr().err
    assert f"{runs / 'first'}: VLM '{runs.parent / 'first'}' is not the one that was analysed." in error
    assert "Run `ex2 analyze RECIPE` again, then ex2 cross." in error
    assert "Traceback" not in error


def test_two_vlms_on_one_dataset_are_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, "one")
    write_run(tmp_path, "same-vlm")
    write_run(tmp_path, "other-data", vlm="align-base", dataset="cub")
    assert main(["cross", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "needs two runs of different VLMs on the same dataset and split" in error
    assert "one: clip-vit-b32 on pets, split test, 200 images" in error
    assert "left out" not in error


def test_a_run_that_could_not_be_read_is_named_where_two_are_lacking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, "one")
    lost = write_run(tmp_path, "other", vlm="align-base")
    (lost / "provenance.json").write_text("{}")
    (lost / "recipe.yaml").unlink()
    assert main(["cross", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"ex2 cross: left out: {lost}/recipe.yaml: " in error


def kept_row(classifier: Run, right: list[bool], **changes: Any) -> dict[str, Any]:
    """A row of `cross.json`, as if that VLM had been measured with some descriptions."""
    [of] = classifiers_of([classifier])
    row = {**arm_of(right).top1.to_json(), "fallback_classes": []}
    row |= {"vlm": of.accuracy.vlm, "fingerprint": of.fingerprint, "images": of.images, "against_own": None}
    return row | changes


def keep(descriptions: Run, rows: dict[int, list[dict[str, Any]]]) -> None:
    """Write `cross.json` of each seed."""
    for result in descriptions.results:
        digest = digest_of(aligned_texts(result))
        path = descriptions.directory.seed(result.seed).root / CROSS
        write_json(path, {"descriptions": digest, "classifiers": rows[result.seed]})


@pytest.fixture
def three_seeds(tmp_path: Path) -> dict[str, Path]:
    """CLIP's descriptions at a target of 20; ALIGN's own at 10 and at 20; each VLM measured with the other's."""
    templates = hits(200, (0, 140))
    made = {
        "clip": run_with_seeds(tmp_path, "clip", {s: hits(200, (0, 150 + s)) for s in range(3)}, templates, target=20),
        "a-10": run_with_seeds(
            tmp_path, "a-10", {s: hits(200, (0, 190)) for s in range(3)}, templates, vlm="align-base"
        ),
        "b-20": run_with_seeds(
            tmp_path, "b-20", {s: hits(200, (0, 160 + s)) for s in (0, 2, 1)}, templates, vlm="align-base", target=20
        ),
    }
    runs = {name: read_run(path) for name, path in made.items()}
    keep(runs["clip"], {s: [kept_row(runs["a-10"], hits(200, (10, 150 + 4 * s)))] for s in range(3)})
    for name in ("a-10", "b-20"):
        keep(runs[name], {s: [kept_row(runs["clip"], hits(200, (0, 120)))] for s in range(3)})
    return made


def test_seeds_are_paired_with_those_of_an_equal_target(
    three_seeds: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cross", *map(str, three_seeds.values())]) == 0
    for seed in range(3):
        rows = {row["vlm"]: row for row in read_json(three_seeds["clip"] / f"seed-{seed}" / CROSS)["classifiers"]}
        against = rows["align-base"]["against_own"]
        assert (against["run"], against["run_seed"]) == ("b-20", seed), "CLIP's run has that target too"
        # Right on 10 … 149 + 4·seed against 0 … 159 + seed.
        assert (against["only_first"], against["only_second"]) == (max(0, 3 * seed - 10), 10 + max(0, 10 - 3 * seed))
        assert rows["clip-vit-b32"]["against_own"] is None
    assert "accuracy of each VLM with descriptions aligned to each VLM" in capsys.readouterr().out


def test_cross_numbers_are_pooled_over_seeds(three_seeds: dict[str, Path]) -> None:
    assert main(["cross", *map(str, three_seeds.values())]) == 0
    made = experiment_of(read_run(three_seeds["clip"]))
    accuracy, change = made.cross["align-base"], made.cross_differences["align-base"]
    # 140, 144 and 148 of 200: standard deviation 0.02, t(0.975, 2) = 4.302653.
    half = 4.302653 * 0.02 / 3**0.5
    assert (accuracy.value, accuracy.low, accuracy.high) == pytest.approx((0.72, 0.72 - half, 0.72 + half))
    assert (accuracy.n, accuracy.seeds, accuracy.count, accuracy.shared) == (200, 3, 432, True)
    # 20, 17 and 14 images fewer: −0.1, −0.085 and −0.07.
    half = 4.302653 * 0.015 / 3**0.5
    assert (change.value, change.low, change.high) == pytest.approx((-0.085, -0.085 - half, -0.085 + half))
    assert change.p_by_seed == pytest.approx([mid_p(0, n) for n in (20, 17, 14)])
    gaps = np.mean(
        [np.array(hits(200, (10, 150 + 4 * s)), float) - np.array(hits(200, (0, 160 + s)), float) for s in range(3)],
        axis=0,
    )
    draws = np.random.default_rng(1).integers(0, 200, size=(20_000, 200))
    assert change.images == pytest.approx(tuple(np.quantile(gaps[draws].mean(1), [0.025, 0.975])), abs=0.006)
    assert (change.significant, change.seeds, change.p) == (True, 3, None)
    # What CLIP does with ALIGN's descriptions is the same in every seed: one seed's interval.
    constant = experiment_of(read_run(three_seeds["b-20"])).cross["clip-vit-b32"]
    wilson = stats.binomtest(120, 200).proportion_ci(method="wilson")
    assert (constant.low, constant.high, constant.seeds) == pytest.approx((wilson.low, wilson.high, 1))


def test_a_vlm_pinned_anew_stands_once_in_the_table(three_seeds: dict[str, Path]) -> None:
    path = three_seeds["clip"] / "seed-0" / CROSS
    content = read_json(path)
    old = content["classifiers"][0] | {"fingerprint": "of weights that no run has any more"}
    other = old | {"vlm": "another-vlm", "fingerprint": "of a run that is not given"}
    write_json(path, content | {"classifiers": [old, other, *content["classifiers"]]})
    assert main(["cross", *map(str, three_seeds.values())]) == 0
    assert [row["vlm"] for row in read_json(path)["classifiers"]] == ["another-vlm", "clip-vit-b32", "align-base"]
    assert set(experiment_of(read_run(three_seeds["clip"])).cross) == {"another-vlm", "clip-vit-b32", "align-base"}


def test_cross_says_what_it_leaves_out(three_seeds: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = three_seeds["clip"].parent
    (three_seeds["clip"] / "seed-1" / "accuracy.json").unlink()
    unready = write_run(folder, "unready")
    (unready / "seed-0" / "accuracy.json").unlink()
    assert main(["cross", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "cross: clip: not analysed: seed 1" in said
    assert f"cross: left out: {unready}: no seed has been analysed" in said
    assert "Seeds not analysed, and left out of every number: clip: 1." in said
    assert main(["cross", str(three_seeds["a-10"]), str(unready)]) == 2
