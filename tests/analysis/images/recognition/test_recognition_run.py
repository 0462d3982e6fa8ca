"""`ex2 measure` with recognizers: from files to `recognition.json`, pages and tables, and what is refused."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recognizing import Knowing, pixels_of
from small_sets import NAMES, class_folders, toy_set

from analysis.images import command
from analysis.images.page import render_page
from analysis.images.recognition import loading
from analysis.images.recognition.record import REAL, Recognition
from analysis.images.recognition.section import recognition_sections
from analysis.images.recognition.stored import recognitions_of, stored_recognition
from analysis.images.record import Measures
from analysis.images.stored import stored_measures
from ex2.cli.main import main
from ex2.data.datasets.image_sets import read_set
from ex2.data.demo.shapes import Shapes
from reward.errors import UserError

QUICK = ["measure.metrics=[cler]", "measure.bootstrap_samples=100", "measure.permutations=99"]


@dataclass
class Run:
    """A measurement of a good set of three seeds and a plain folder whose images are all under the next class."""

    folder: Path
    measures: Measures
    recognition: Recognition
    asked: int


def given(*words: object, **changed: Any) -> argparse.Namespace:
    options = {
        "vlm": ["demo-visual"],
        "dataset": ["shapes", "images_per_class=3"],
        "split": "test",
        "overrides": [*QUICK],
        "quiet": True,
    }
    return argparse.Namespace(sets=[str(word) for word in words], **{**options, **changed})


def listed(*recognizers: str) -> str:
    return f"measure.recognizers=[{', '.join(recognizers)}]"


KNOWING = "{name: recognizing.Knowing}"
VLM = "{name: vlm}"
SPURIOUS = "{name: vlm, vlm: {name: demo-spurious}}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("recognized")
    good = [toy_set(root / "sets", "good", seed=seed) for seed in range(3)]
    class_folders(good[0], root / "wrong", shift=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("EX2_CACHE", str(root / "cache"))
        patched.setattr(Knowing, "known", {})
        patched.setattr(Knowing, "asked", [])
        for one in good:
            Knowing.known.update((pixels_of(one.image(row).open()), row.label) for row in one.rows)
        Knowing.known.update(
            (pixels_of(image.open()), image.label) for image in Shapes(images_per_class=3).images("test")
        )
        yield root


@pytest.fixture(scope="module")
def run(world: Path) -> Run:
    folder = world / "sets" / next((world / "sets").glob("good-*")).name
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("EX2_CACHE", str(world / "cache"))
        patched.chdir(world)
        assert command.main(given(folder, world / "wrong", overrides=[*QUICK, listed(KNOWING, VLM, SPURIOUS)])) == 0
    (directory,) = (world / "runs").iterdir()
    measures = stored_measures(directory)
    assert measures is not None
    recognition = stored_recognition(directory, measures)
    assert recognition is not None
    return Run(directory, measures, recognition, sum(Knowing.asked))


@pytest.fixture(autouse=True)
def _cache(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EX2_CACHE", str(world / "cache"))


def test_what_is_known_is_recognized_and_what_is_mislabeled_is_not(run: Run) -> None:
    found = run.recognition
    assert found.sets == ("good", "wrong")
    assert found.images == {REAL: 48, "good": 144, "wrong": 48}
    tops = {(one.of, one.recognizer, one.rule): one.top1.value for one in found.recognized}
    for rule in ("words", "synsets"):
        assert tops["good", "knowing", rule] == tops[REAL, "knowing", rule] == 1.0
        assert tops["wrong", "knowing", rule] == 0.0
        assert tops["good", "demo-visual by class names", rule] > 0.6
        assert tops["good", "demo-spurious by class names", rule] < 0.9
    assert [one.name for one in found.recognizers] == [
        "knowing", "demo-visual by class names", "demo-spurious by class names",
    ]  # fmt: skip
    assert not found.not_answered
    shifts = {(one.name, one.recognizer): one for one in found.shifts if one.rule == "synsets"}
    assert shifts["wrong", "knowing"].told(0.95)
    assert not shifts["good", "knowing"].told(0.95)
    (bad,) = [one for one in found.failures if one.of == "wrong"]
    assert (bad.images, len(bad.shown[0].predictions)) == (48, 5)


def test_a_vlm_by_class_names_is_zero_shot_classification(run: Run) -> None:
    """On the test images its share is the measurement's own number of the texts alone."""
    (one,) = [
        one
        for one in run.recognition.recognized
        if one.of == REAL and one.rule == "words" and one.recognizer == "demo-visual by class names"
    ]
    assert one.micro1.value == pytest.approx(run.measures.text.value, abs=1e-12)


def test_within_sets(run: Run) -> None:
    good, wrong = run.recognition.within
    assert (good.folds, good.count, good.classifier) == ("seeds", 3, "probe")
    assert good.accuracy is not None
    assert wrong.accuracy is not None
    assert good.accuracy.value > 0.5 > wrong.accuracy.value
    assert good.cler == run.measures.of("good").number("cler")


def test_measuring_again_asks_nothing(run: Run, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run.asked == 48 + 144  # the plain folder's images are those of the good set's first seed
    before = (run.folder / "recognition.json").read_bytes()
    monkeypatch.chdir(world)
    folder = next((world / "sets").glob("good-*"))
    monkeypatch.setattr(command, "show", lambda *_: None)
    assert command.main(given(folder, world / "wrong", overrides=[*QUICK, listed(KNOWING, VLM, SPURIOUS)])) == 0
    assert sum(Knowing.asked) == run.asked
    assert (run.folder / "recognition.json").read_bytes() == before


def test_pages_and_tables_need_no_model(run: Run, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a model was asked for")

    monkeypatch.setattr(loading, "load_recognizer", refuse)
    monkeypatch.setattr("analysis.images.measure.load_vlm", refuse)
    page = render_page(run.measures, run.recognition)
    assert page.count('class="card failures"') == 2
    assert "knowing" in page
    assert main(["tables", str(world / "runs"), "--out", str(world / "tables"), "--format", "csv,svg,latex"]) == 0
    written = {path.name for path in (world / "tables").iterdir()}
    assert {
        "images-recognition.csv", "images-recognition-shift.csv", "images-recognition-top1.csv",
        "images-recognition-agreement.csv", "images-recognition-pairs.csv", "images-recognition-within.csv",
    } <= written  # fmt: skip
    assert any(name.startswith("images-recognition-categories-") and name.endswith(".svg") for name in written)
    with (world / "tables/images-recognition.csv").open(encoding="utf-8") as file:
        assert len(list(csv.reader(file))) > 3 * 3 * 2
    assert main(["index", str(world / "runs")]) == 0
    assert "What recognizers see" in (world / "runs/index.html").read_text("utf-8")


def test_names_and_predictions_are_escaped(run: Run) -> None:
    shown = run.recognition.failures[1].shown[0]
    evil = replace(shown, category="<i>cat</i>", predictions=("<script>alert(1)</script>",))
    failures = (replace(run.recognition.failures[1], shown=(evil,)),)
    page = render_page(run.measures, replace(run.recognition, failures=failures))
    assert "&lt;i&gt;cat&lt;/i&gt;" in page
    assert "<script>alert" not in page
    assert "<i>cat" not in page


def test_long_tables_are_folded(run: Run) -> None:
    folded = {one.title: one.folded for one in recognition_sections(run.recognition)}
    assert (folded["Five guesses"], folded["Within a set"]) == (True, False)


def test_what_is_stored_is_read_back_or_said_to_be_of_another_measurement(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run.folder / "recognition.json"
    text = path.read_text("utf-8")
    first = run.measures.sets[0]
    moved = replace(first, seeds=(replace(first.seeds[0], digest="0" * 64), *first.seeds[1:]))
    assert stored_recognition(run.folder, replace(run.measures, sets=(moved, *run.measures.sets[1:]))) is None
    settings = {**run.measures.settings, "recognizers": [{"name": "alexnet"}]}
    assert stored_recognition(run.folder, replace(run.measures, settings=settings)) is None
    told = capsys.readouterr().err
    assert f"{path}: of other sets than were measured" in told
    assert f"{path}: of other settings (measure.recognizers) than were measured" in told
    assert stored_recognition(run.folder, replace(run.measures, settings={})) is None
    try:
        path.write_text(text.replace('"knowing"', '"unknown"'), encoding="utf-8")
        with pytest.raises(UserError, match=r"recognition\.json"):
            stored_recognition(run.folder, run.measures)
        found, problems = recognitions_of([(run.folder, run.measures)])
        assert (found, len(problems)) == ([], 1)
        path.write_text(json.dumps({"format": 0}))
        with pytest.raises(UserError):
            stored_recognition(run.folder, run.measures)
        path.write_text("{")
        with pytest.raises(UserError):
            stored_recognition(run.folder, run.measures)
    finally:
        path.write_text(text, encoding="utf-8")
    assert stored_recognition(run.folder, run.measures) == run.recognition


def test_faults_are_told_before_any_work(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("analysis.images.measure.load_vlm", lambda *_: pytest.fail("the VLM was loaded"))
    folder = next((world / "sets").glob("good-*"))
    (tmp_path / "mine.json").write_text('{"cat": [1000], "red circle": [3]}')
    for words, told in (
        (
            ["measure.recognizers=[{name: alexnt}]"],
            "measure.recognizers.0.name: unknown 'alexnt'. Did you mean 'alexnet'",
        ),
        (
            ["measure.recognizers=[{name: alexnet}]"],
            "the weights IMAGENET1K_V1 of alexnet are not on this machine; put",
        ),
        (
            ["measure.recognizers=[{name: vlm}, {name: vlm}]"],
            "measure.recognizers.1: 'vlm' with the same settings stands twice; leave one out.",
        ),
        (
            ["measure.recognizers=[{name: vlm}]", "measure.synsets=none.json"],
            "measure.synsets: none.json: no such file",
        ),
        (["measure.recognizers=[{name: vlm}]", "measure.synsets=mine.json"], "mine.json: class: unknown 'cat'"),
    ):
        for dry in (True, False):
            with pytest.raises(UserError) as error:
                command.main(given(folder, overrides=[*QUICK, *words], dry_run=dry))
            assert error.value.exit_code == 2
            assert told in str(error.value)
        assert not list(tmp_path.glob("runs/*/*.json"))


def test_a_recognizer_that_fails_loses_no_measures(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Breaking(Knowing):
        def scores(self, images: Any) -> Any:
            return super().scores(images) * float("nan")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("recognizing.Breaking", Breaking, raising=False)
    folder = next((world / "sets").glob("good-*"))
    with pytest.raises(UserError, match="the scores of 'broken' are not finite"):
        command.main(
            given(folder, overrides=[*QUICK, "measure.recognizers=[{name: recognizing.Breaking, title: broken}]"])
        )
    (directory,) = (tmp_path / "runs").iterdir()
    assert (directory / "measures.json").is_file()
    assert not (directory / "recognition.json").exists()


def test_an_image_that_was_changed_is_no_failure_to_be_shown(run: Run) -> None:
    gone = replace(run.measures.sets[1].seeds[0], folder="/nowhere/at/all")
    sets = (run.measures.sets[0], replace(run.measures.sets[1], seeds=(gone,)))
    assert "Its images are not on this machine." in render_page(replace(run.measures, sets=sets), run.recognition)


def test_the_recipe_s_own_means_are_those_of_its_predictions(run: Run) -> None:
    """From the stored predictions of every image the shares are computed anew, without the functions behind them."""
    number = [one.name for one in run.recognition.recognizers].index("demo-visual by class names")
    for of in (REAL, "good", "wrong"):
        rows = [one for one in run.recognition.seen if one.of == of]
        by_class: dict[str, list[bool]] = {}
        for row in rows:
            guesses = [NAMES[int(one)] for one in row.top[number].split()]
            by_class.setdefault(row.category, []).append(guesses[0] == row.category)
        wanted = np.mean([np.mean(own) for own in by_class.values()])
        (one,) = [
            one
            for one in run.recognition.recognized
            if (one.of, one.rule, one.recognizer) == (of, "synsets", "demo-visual by class names")
        ]
        assert one.top1.value == pytest.approx(wanted, abs=1e-12)
    assert len(read_set(Path(run.measures.sets[0].seeds[0].folder)).rows) == 48
