"""Recognition is shown beside the measures that it was made with and no others; recognizers are loaded in time."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recognizing import Knowing
from small_sets import toy_set

from analysis.images import command
from analysis.images.recognition.stored import stored_recognition
from analysis.images.record import Measures
from analysis.images.stored import stored_measures
from reward.errors import UserError

QUICK = ["measure.metrics=[cler]", "measure.bootstrap_samples=100", "measure.permutations=99"]
KNOWING = "measure.recognizers=[{name: recognizing.Knowing}]"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EX2_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Knowing, "asked", [])
    return toy_set(tmp_path / "sets", "good", per_class=2).folder


def measure(folder: Path, *words: str) -> Path:
    """Measure a set, and return the run's folder."""
    options = {"vlm": ["demo-visual"], "dataset": ["shapes", "images_per_class=1"], "split": "test"}
    overrides = [*QUICK, KNOWING, *words]
    command.main(argparse.Namespace(sets=[str(folder)], overrides=overrides, quiet=True, page=False, **options))
    return the_run()


def the_run() -> Path:
    (run,) = Path("runs").iterdir()
    return run


def measured(run: Path) -> Measures:
    found = stored_measures(run)
    assert found is not None
    return found


def test_recognition_of_an_older_measurement_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = measure(folder)
    assert stored_recognition(run, measured(run)) is not None
    before = (run / "recognition.json").read_bytes()

    def fail(*_: Any, **__: Any) -> Any:
        raise UserError("failed by plan")

    with monkeypatch.context() as patched:
        patched.setattr(command, "recognize", fail)
        with pytest.raises(UserError, match="failed by plan"):
            measure(folder, "measure.confidence=0.8")
    assert measured(run).settings["confidence"] == 0.8
    assert stored_recognition(run, measured(run)) is None
    assert (run / "recognition.json").read_bytes() == before
    told = f"{run}/recognition.json: of other settings (measure.confidence) than were measured; run `ex2 measure` again"
    assert told in capsys.readouterr().err
    measure(folder, "measure.confidence=0.8")
    found = stored_recognition(run, measured(run))
    assert found is not None
    assert found.confidence == 0.8


def test_every_kind_of_other_measures_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = measure(folder)
    own = measured(run)
    others = {
        "test images": [
            replace(own, split="reward"), replace(own, dataset="other"), replace(own, images=3),
            replace(own, classes=(*own.classes[:-1], "new")), replace(own, recipe={"dataset": {"root": "elsewhere"}}),
        ],
        "embeddings": [
            replace(own, fingerprint="other"), replace(own, vlm="other"),
            replace(own, text=own.text._replace(value=0.123)),
        ],
        "settings (measure.synsets)": [replace(own, settings={**own.settings, "synsets": "mine.json"})],
        "settings (measure.overlap)": [replace(own, settings={**own.settings, "overlap": "drop"})],
        "settings (measure.centers)": [replace(own, settings={**own.settings, "centers": "raw"})],
    }  # fmt: skip
    for kind, changed in others.items():
        for one in changed:
            assert stored_recognition(run, one) is None
        assert f"of other {kind} than were measured" in capsys.readouterr().err
    for key in ("permutations", "probe_init"):  # no number of recognition depends on them
        assert stored_recognition(run, replace(own, settings={**own.settings, key: "other"})) is not None


def test_a_changed_file_of_categories_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = Path("mine.json")
    mine.write_text('{"wug": [3]}')
    run = measure(folder, "measure.synsets=mine.json")
    found = stored_recognition(run, measured(run))
    assert found is not None
    assert found.synsets is not None
    assert "has changed" not in capsys.readouterr().err
    mine.write_text('{"wug": [4]}')
    assert stored_recognition(run, measured(run)) is not None
    assert f"{mine.resolve()} has changed since predictions were judged by it" in capsys.readouterr().err
    mine.unlink()
    assert stored_recognition(run, measured(run)) is not None
    assert f"{mine.resolve()} is not there any more" in capsys.readouterr().err


def test_recognizers_are_loaded_before_anything_is_embedded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.images.measure.embed_split", lambda *_: pytest.fail("images were embedded"))
    Path("junk.pth").write_bytes(b"junk")
    junk = "{name: torchvision, model: squeezenet1_1, weights: junk.pth}"
    same = "{name: vlm}, {name: vlm, batch_size: 8}"
    none = "{name: vlm, vlm: {name: demo-visual}, batch_size: 0}"
    for words, told in (
        (junk, "measure.recognizers.0: recognizer 'squeezenet1_1': junk.pth: "),
        (same, "measure.recognizers.1: 'demo-visual by class names' stands twice; leave one out."),
        (none, "measure.recognizers.0.batch_size: given 0; "),
    ):
        with pytest.raises(UserError) as error:
            measure(folder, f"measure.recognizers=[{words}]")
        assert str(error.value).startswith(told)
        assert len(str(error.value).splitlines()) == 1
    assert not list(Path().glob("runs/*/*.json"))
