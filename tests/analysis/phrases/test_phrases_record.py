"""`phrases.json` as records: written as they were read, under the earlier name too, and faulty files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from messages import without_line
from paths import DATA

from analysis.phrases.record import Phrases
from analysis.phrases.section import phrases_section
from analysis.phrases.stored import stored_phrases
from analysis.results.kl import kl_summary
from ex2.run.directory import RunDirectory
from ex2.run.sealed import write_sealed
from reward.errors import UserError
from reward.files import read_json, write_json

STORED = DATA / "stored_run/runs/stored"

NOT_MINED = {"run": "two", "vlm": "align", "seeds": [0], "missing_seeds": [], "texts": None, "kl": None}
PHRASE = {"text": "a blur of {}", "aligned": 30, "base": 0, "classes": 3, "log_odds": 4.5, "z": 5.0}
MINED = {"template": "A blur of {}.", "phrase": "a blur of {}", "runs": ["stored", "two"], "from_file": False}
"""As the verb writes them, key by key: the records are not asked what that is."""


@pytest.fixture(params=["probe.json", "phrases.json"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return what is stored of a run, under both names that it may have."""
    shutil.copytree(STORED, tmp_path / "stored")
    renamed = tmp_path / "stored" / str(request.param)
    (tmp_path / "stored/probe.json").rename(renamed)
    return renamed


def same(written: dict[str, Any], stored: dict[str, Any]) -> bool:
    """Whether keys and values are the same, 1 being another than 1.0."""
    return json.dumps(written, sort_keys=True) == json.dumps(stored, sort_keys=True)


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    stored = read_json(path)
    change(stored)
    write_sealed(path, stored)


def test_a_stored_file_is_written_again(path: Path, tmp_path: Path) -> None:
    content, problem = stored_phrases(RunDirectory(path.parent))
    assert content is not None
    assert problem == ""
    write_json(tmp_path / "again.json", content.to_json())
    assert same(read_json(tmp_path / "again.json"), read_json(STORED / "probe.json"))


def test_what_is_read_is_written_again() -> None:
    """With mined phrases, a run that nothing was mined from, and without the run whose part it is."""
    stored = read_json(STORED / "probe.json")
    del stored["own"]
    part = stored["datasets"][0]
    part["runs"].append(NOT_MINED)
    part["phrases"]["stored"] = [PHRASE]
    part["templates"].insert(0, MINED)
    content = Phrases.from_json(stored)
    assert same(content.to_json(), stored)
    assert [kl_summary(run.kl) for run in content.datasets[0].runs][1] == "KL not known"
    other = {**part, "dataset": "other", "runs": [NOT_MINED | {"run": "three"}], "phrases": {}}
    both = Phrases.from_json({**stored, "datasets": [part, other]})
    assert same(both.part_of("stored").to_json(), {**stored, "own": "stored"})


@pytest.mark.parametrize(
    "change",
    [lambda stored: stored.update(format=1), lambda stored: stored.pop("format"), lambda stored: stored.pop("own")],
)
def test_files_of_another_version(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit(path, change)
    told = f"{path}: not of this version; run `ex2 phrases` again."
    assert stored_phrases(RunDirectory(path.parent)) == (None, told)
    path.unlink()
    assert stored_phrases(RunDirectory(path.parent)) == (None, "")


def test_files_of_other_descriptions(path: Path) -> None:
    run = RunDirectory(path.parent)
    edit(path, lambda stored: stored["datasets"][0]["runs"][0].update(texts="0000000000000000"))
    assert stored_phrases(run) == (None, f"{path}: the descriptions changed since; run `ex2 phrases` again.")
    edit(path, lambda stored: stored["datasets"][0]["runs"][0].update(texts=None))
    content, problem = stored_phrases(run)
    assert content is not None, "nothing was mined: it does not depend on the descriptions"
    assert problem == ""


def test_faulty_files_are_one_line(path: Path) -> None:
    whole = path.read_text()

    def told(change: Callable[[dict[str, Any]], object]) -> str:
        path.write_text(whole)
        edit(path, change)
        with pytest.raises(UserError) as caught:
            phrases_section(RunDirectory(path.parent))
        return without_line(caught.value)

    form = f"{path}: not of the form that its stage writes; delete it and run its stage again."
    nothing = told(lambda stored: stored.update(datasets=None))
    assert nothing == f"{path}: 'datasets' is None: input should be a valid tuple; delete it and run its stage again."
    assert told(lambda stored: stored.update(own="nobody")) == form
    for key in ("p_holm", "significant", "difference_low", "accuracy", "n"):

        def without(stored: dict[str, Any], key: str = key) -> None:
            del stored["datasets"][0]["results"][0][key]

        assert told(without) == f"{path}: 'datasets.0.results.0.{key}' is missing; delete it and run its stage again."
    missing = told(lambda stored: stored.pop("correction"))
    assert missing == f"{path}: 'correction' is missing; delete it and run its stage again."
    path.write_text("{")
    with pytest.raises(UserError, match=r"json: line 1: not JSON \("):
        stored_phrases(RunDirectory(path.parent))
