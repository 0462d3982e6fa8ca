"""Whatever a file of a run holds, its reader takes it or says what is wrong in one line that names file and line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paths import DATA

from analysis.accuracy.cross_record import read_cross
from analysis.accuracy.record import read_accuracy
from analysis.agreement.record import read_agreement
from analysis.attributes.answers import read_answers
from analysis.attributes.stored import stored_attributes
from analysis.judge.server.batch_state import BatchState
from analysis.labeling.log import read_labels
from analysis.labeling.sample import read_sample
from analysis.phrases.stored import stored_phrases
from analysis.results.load import load_results
from analysis.verdicts.record import read_breakdown
from analysis.verdicts.verdicts import read_verdicts
from ex2.recipe_io import read_stored_recipe
from ex2.run.descriptions import read_descriptions, stored_descriptions
from ex2.run.directory import RunDirectory, SeedDirectory
from ex2.run.training_log import read_train_log
from reward.errors import UserError
from reward.files import read_jsonl, read_object, write_jsonl

STORED = DATA / "stored_run/runs/stored"

READERS: dict[str, Callable[[Path], object]] = {
    "provenance.json": read_object,
    "agreement.json": read_agreement,
    "attributes.json": lambda path: stored_attributes(RunDirectory(path.parent)),
    "phrases.json": lambda path: stored_phrases(RunDirectory(path.parent)),
    "labels/sample.json": lambda path: read_sample(path.parents[1]),
    "labels/anna.jsonl": read_labels,
    "seed-0/accuracy.json": read_accuracy,
    "seed-0/breakdown.json": read_breakdown,
    "seed-0/cross.json": read_cross,
    "seed-0/judge_batches.json": BatchState,
    "seed-0/descriptions.jsonl": lambda path: read_descriptions(SeedDirectory(path.parent)),
    "seed-0/train.jsonl": lambda path: read_train_log(SeedDirectory(path.parent)),
    "seed-0/verdicts.jsonl": lambda path: read_verdicts(path, digest="d"),
    "seed-0/attributes.jsonl": lambda path: read_answers(path, digest="d"),
}
"""Each file, by its place in the run's folder, and what reads it."""

CONTENTS: dict[str, bytes] = {
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "text": b'"text"',
    "no JSON": b"<html>",
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": [1, -Infinity]}',
    "1e308": b'{"a": 1e308}',
    "deep": b'{"a":' * 100_000,
    "a key twice": b'{"a": 1, "a": 1}',
    "5,000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "a pair's half": b'{"a": "\\ud800"}',
    "zeros": bytes(512),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(STORED, tmp_path_factory.mktemp("runs") / "stored"))


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", READERS)
def test_a_foreign_file_is_one_line(run: Path, name: str, content: str) -> None:
    path = run / name
    written = CONTENTS[content] + (b"\n" if path.suffix == ".jsonl" else b"")
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(written)
    try:
        with pytest.raises(UserError) as caught:
            READERS[name](path)
        assert path.read_bytes() == written, "nothing is overwritten"
    finally:
        path.unlink()
        if before is not None:
            path.write_bytes(before)
    said = str(caught.value)
    assert said.startswith(f"{path}: line 1: ")
    assert "\n" not in said
    assert len(said) < 700


@pytest.mark.parametrize("name", [name for name in READERS if name.endswith(".json")])
def test_an_empty_file_and_half_a_file_are_one_line(run: Path, name: str) -> None:
    path = run / name
    before = path.read_bytes() if path.exists() else b'{\n "a": 1\n}\n'
    try:
        path.write_bytes(b"")
        with pytest.raises(UserError) as caught:
            READERS[name](path)
        assert str(caught.value).startswith(f"{path}: line 1: empty; ")
        path.write_bytes(before[: len(before) // 2])
        with pytest.raises(UserError, match=r": line \d+: not JSON \("):
            READERS[name](path)
    finally:
        path.write_bytes(before) if (STORED / name).exists() else path.unlink()


def leaves(value: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where numbers stand in a value."""
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return [found for key, part in parts for found in leaves(part, (*place, key))]
    return [place] if type(value) in (int, float) else []


@pytest.mark.parametrize("name", ["seed-0/accuracy.json", "seed-0/breakdown.json", "agreement.json"])
def test_a_word_in_the_place_of_any_number_is_told_with_its_line(run: Path, name: str) -> None:
    path = run / name
    before = path.read_bytes()
    content = json.loads(before)
    told = 0
    for place in leaves(content)[::7]:
        part = content
        for key in place[:-1]:
            part = part[key]
        number, part[place[-1]] = part[place[-1]], "many"
        text = json.dumps(content, indent=1)
        path.write_text(text)
        part[place[-1]] = number
        said = ""
        try:
            READERS[name](path)
        except UserError as error:  # a number that no reader takes may be anything
            said = str(error)
            told += 1
        line = next(number for number, words in enumerate(text.splitlines(), 1) if '"many"' in words)
        assert not said or said.startswith(f"{path}: line {line}: ")
    path.write_bytes(before)
    assert told >= 10


ROWS: dict[str, dict[str, Any]] = {
    "seed-0/descriptions.jsonl": {"label": None, "text": 7, "policy": "tuned", "sample": -1, "reward": "1.5", "cut": 1},
    "seed-0/train.jsonl": {"batch": None, "kl": "1", "reward_mean": True, "entropy": [1.0]},
    "seed-0/verdicts.jsonl": {"question": "other", "verdict": None, "description": 7, "settings": None},
    "seed-0/attributes.jsonl": {"attributes": ["no such"], "description": None, "version": 3},
    "labels/anna.jsonl": {"answer": "perhaps", "question": None, "time": 7},
}


@pytest.mark.parametrize("name", ROWS)
def test_a_wrong_value_in_a_row_is_told_with_its_line(run: Path, name: str) -> None:
    path = run / name
    before = path.read_bytes()
    rows = read_jsonl(path)
    for key, value in ROWS[name].items():
        write_jsonl(path, [*rows[:2], rows[2] | {key: value}, *rows[3:]])
        with pytest.raises(UserError) as caught:
            READERS[name](path)
        assert str(caught.value).startswith(f"{path}: line 3: "), key
    path.write_bytes(before)


@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("seed-0")])
def test_a_row_twice_is_told_with_both_lines(run: Path, name: str) -> None:
    path = run / name
    before = path.read_bytes()
    rows = read_jsonl(path)
    write_jsonl(path, [*rows, rows[1]])
    with pytest.raises(UserError) as caught:
        READERS[name](path)
    path.write_bytes(before)
    what = {"descriptions": "description", "train": "batch", "verdicts": "verdict", "attributes": "answer"}[path.stem]
    assert str(caught.value).startswith(f"{path}: line {len(rows) + 1}: the same {what} as on line 2, as after two ")


def test_what_was_analyzed_must_still_be_there(run: Path) -> None:
    recipe, folder = read_stored_recipe(run / "recipe.yaml"), RunDirectory(run)
    path = folder.seed(0).descriptions
    before = path.read_bytes()

    def told() -> str:
        with pytest.raises(UserError) as caught:
            load_results(recipe, folder)
        return str(caught.value)

    assert len(load_results(recipe, folder)[0]) == 2
    lines = before.splitlines(keepends=True)
    aligned = sum(b'"aligned"' in line for line in lines)
    path.write_bytes(before[:-20])
    assert told() == f"{path}: line {len(lines)}: cut off; delete the file and describe again."
    path.write_bytes(b"".join(lines[:-1]))
    assert told() == (
        f"{path}: line {len(lines) - 1}: ends after {aligned - 1} descriptions of the policy aligned, but {aligned} "
        "were analysed; put the file back, or run `ex2 run RECIPE`."
    )
    path.write_bytes(b"")
    assert told() == f"{path}: is empty; put the file back, or run `ex2 run RECIPE`."
    path.unlink()
    assert told() == f"{path}: not found; put the file back, or run `ex2 run RECIPE`."
    assert stored_descriptions(folder.seed(0)) == [], "before the analysis a missing file is none"
    path.write_bytes(before)
