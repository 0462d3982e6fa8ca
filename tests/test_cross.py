"""Each VLM with the descriptions of the other, on small models: the numbers, the tests, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from run_samples import write_run
from scipy import stats

import analysis.cross
from analysis.analyze import analyze
from analysis.tables.runs import CROSS
from analysis.zero_shot import unpack_correct
from ex2.banks import load_vlm
from ex2.banks import test_embeddings as embeddings_of_test_images
from ex2.cli import main
from ex2.recipe import Recipe
from ex2.recipe_io import to_yaml
from ex2.run_dir import RunDirectory, read_json, write_json, write_jsonl, write_text

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


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
            names = embeddings_of_test_images(made, load_vlm(made.vlm)).class_names
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
def runs(analysed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EX2_CACHE", str(analysed / "cache"))
    for path in (analysed / "runs").rglob(CROSS):
        path.unlink()
    return analysed / "runs"


def rows_of(runs: Path, descriptions: str) -> dict[str, dict[str, Any]]:
    return {Path(row["vlm"]).name: row for row in read_json(runs / descriptions / "seed-0" / CROSS)["classifiers"]}


def test_accuracy_with_the_others_descriptions(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["cross", str(runs)]) == 0
    for classifier in WORDS:
        made = recipe(runs, classifier)
        vlm = load_vlm(made.vlm)
        images = embeddings_of_test_images(made, vlm)
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
            expected = stats.binomtest(only, only + other).pvalue if only + other else 1.0
            assert against["p"] == pytest.approx(expected)
            assert (against["run"], against["run_seed"], against["n"]) == (classifier, 0, len(right))
    shown = capsys.readouterr().out
    assert "folder: accuracy of each VLM with descriptions aligned to each VLM" in shown


def test_what_was_measured_is_not_measured_again(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["cross", str(runs / "first"), str(runs / "second")]) == 0
    kept = rows_of(runs, "first")
    loaded: list[str] = []
    load = analysis.cross.load_vlm

    def counting(section: Any) -> Any:
        loaded.append(Path(section.settings["model"]).name)
        return load(section)

    monkeypatch.setattr(analysis.cross, "load_vlm", counting)
    assert main(["cross", str(runs)]) == 0
    assert loaded == []
    assert rows_of(runs, "first") == kept

    path = runs / "first" / "seed-0" / CROSS
    stale = read_json(path) | {"descriptions": "of others"}
    write_json(path, stale)
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


def test_another_vlm_than_the_analysed_one_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = runs / "first" / "seed-0" / "accuracy.json"
    before = path.read_text()
    write_json(path, json.loads(before) | {"vlm_fingerprint": "another"})
    try:
        assert main(["cross", str(runs)]) == 2
    finally:
        path.write_text(before)
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
