"""Hostile logs and records: read as what they say, or refused with the file's name and the line."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hostile
import pytest
from fuzzing import Refused, fuzz, outcome
from hypothesis import strategies as st

from analysis.accuracy.record import read_accuracy
from analysis.agreement.record import read_agreement
from analysis.attributes.answers import AnswerRow, read_answers
from analysis.labeling.log import Label, read_labels
from analysis.paper.published import read_published
from analysis.phrases.templates import read_templates
from analysis.verdicts.record import read_breakdown
from analysis.verdicts.verdicts import VerdictRow, read_verdicts
from ex2.run.descriptions import Description, read_descriptions, stored_descriptions
from ex2.run.directory import SeedDirectory
from ex2.run.training_log import read_train_log
from reward.files import read_json
from reward.records import Record

DATA = Path(__file__).resolve().parents[1] / "data"
RUN = DATA / "stored_run/runs/stored"
SEED = RUN / "seed-0"


class Log(NamedTuple):
    """A log and its reader.

    Attributes:
        name: File name.
        seeds: Lines of a good one.
        read: Reads the log in a folder.
    """

    name: str
    seeds: list[bytes]
    read: Callable[[Path], Any]


def first_lines(path: Path, count: int = 3) -> list[bytes]:
    return path.read_bytes().splitlines()[:count]


def digest(path: Path) -> str:
    return str(json.loads(first_lines(path)[0])["settings"])


VERDICTS, ATTRIBUTES = digest(SEED / "verdicts.jsonl"), digest(SEED / "attributes.jsonl")

LOGS = {
    log.name: log
    for log in (
        Log(
            "descriptions.jsonl",
            first_lines(SEED / "descriptions.jsonl"),
            lambda folder: (stored_descriptions(SeedDirectory(folder)), read_descriptions(SeedDirectory(folder)))[1],
        ),
        Log(
            "verdicts.jsonl",
            first_lines(SEED / "verdicts.jsonl"),
            lambda folder: list(read_verdicts(folder / "verdicts.jsonl", digest=VERDICTS).items()),
        ),
        Log(
            "attributes.jsonl",
            first_lines(SEED / "attributes.jsonl"),
            lambda folder: read_answers(folder / "attributes.jsonl", digest=ATTRIBUTES),
        ),
        Log("anna.jsonl", first_lines(RUN / "labels/anna.jsonl"), lambda folder: read_labels(folder / "anna.jsonl")),
        Log(
            "train.jsonl",
            first_lines(SEED / "train.jsonl"),
            lambda folder: read_train_log(SeedDirectory(folder)),
        ),
    )
}

ROWS: dict[str, type[Record]] = {
    "verdicts.jsonl": VerdictRow,
    "attributes.jsonl": AnswerRow,
    "anna.jsonl": Label,
}
"""Logs whose lines are records, which write themselves."""

TEMPLATES = b'{"templates": ["a small {}", "{} in snow"], "plain": "a photo of a {}.", "source": "x"}'
RECORDS: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "accuracy.json": ((SEED / "accuracy.json").read_bytes(), read_accuracy),
    "breakdown.json": ((SEED / "breakdown.json").read_bytes(), read_breakdown),
    "agreement.json": ((RUN / "agreement.json").read_bytes(), read_agreement),
    "provenance.json": ((RUN / "provenance.json").read_bytes(), read_json),
    "paper_tables.json": ((DATA / "paper_tables.json").read_bytes(), read_published),
    "templates.json": (TEMPLATES, read_templates),
}
"""Name of a file → a good one, and its reader."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def check_log(folder: Path, log: Log, content: bytes) -> None:
    """Read a log; what is read has the types that it says, and is the same when it is read again."""
    path = folder / log.name
    path.write_bytes(content)
    found = outcome(lambda: log.read(folder))
    assert path.read_bytes() == content
    if isinstance(found, Refused):
        assert log.name in found.message
        return
    assert repr(outcome(lambda: log.read(folder))) == repr(found)
    if log.name == "descriptions.jsonl":
        for one in found:
            check_description(one)


def check_description(one: Description) -> None:
    """What the analysis computes with are texts and finite numbers."""
    assert isinstance(one.class_name, str)
    assert isinstance(one.text, str)
    assert type(one.label) is int
    assert one.reward is None or (type(one.reward) in (int, float) and math.isfinite(one.reward))
    assert type(one.cut) is bool


def lines_of(name: str) -> st.SearchStrategy[tuple[Log, list[bytes]]]:
    """Draw a log's lines, some of them with other values."""
    log = LOGS[name]
    whole = st.sampled_from(log.seeds)
    one = whole.flatmap(lambda line: hostile.spoiled(json.loads(line)).map(hostile.as_json))
    return st.tuples(
        st.just(log), st.lists(one | one | whole | hostile.values.map(hostile.as_json), min_size=1, max_size=3)
    )


@fuzz("rows", drawn=st.sampled_from(sorted(LOGS)).flatmap(lines_of))
def test_rows_with_other_values_are_read_or_refused(folder: Path, drawn: tuple[Log, list[bytes]]) -> None:
    log, lines = drawn
    check_log(folder, log, b"\n".join(lines) + b"\n")


@fuzz(
    "row bytes",
    log=st.sampled_from(sorted(LOGS)).map(LOGS.get),
    broken=st.sampled_from(hostile.BROKEN_JSON),
    end=st.sampled_from([b"", b"\n", b"\r\n", b"\n\n"]),
    place=st.integers(0, 3),
    data=st.data(),
)
def test_damaged_logs_are_read_or_refused(
    folder: Path, log: Log, broken: bytes, end: bytes, place: int, data: st.DataObject
) -> None:
    lines = [*log.seeds[:place], broken, *log.seeds[place:]]
    content = b"\n".join(lines) + end
    if data.draw(st.booleans()):
        content = data.draw(hostile.damaged([b"\n".join(log.seeds) + b"\n"]))
    check_log(folder, log, content)


NO_ROWS = (
    *(
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 5000,
        b"\xff\xfe",
        b"\0",
        b"5",
        b"[]",
        b'"x"',
        b"null",
        b"{",
        b"NaN",
        b"{}{}",
    ),
)


@pytest.mark.parametrize("line", NO_ROWS, ids=lambda line: str(line[:6]))
@pytest.mark.parametrize("name", sorted(LOGS))
def test_a_line_that_is_no_row_is_refused_with_its_number(folder: Path, name: str, line: bytes) -> None:
    log = LOGS[name]
    (folder / name).write_bytes(b"\n".join([log.seeds[0], line, log.seeds[1]]) + b"\n")
    refused = outcome(lambda: log.read(folder))
    assert isinstance(refused, Refused)
    assert f"{folder / name}: line 2" in refused.message


WRONG = [
    *(("label", value) for value in (None, "0", 1.5, True, [0], -1)),
    *(("text", value) for value in (None, 5, ["a"], {"a": 1})),
    *(("class", value) for value in (None, 5, [])),
    *(("reward", value) for value in (math.nan, math.inf, "9.5", [9], True)),
    *(("policy", value) for value in (None, 5, "other")),
    *(("cut", value) for value in ("yes", 5, None, [])),
    *(("sample", value) for value in ("x", [0])),
    *(("question_id", value) for value in ("x", [0])),
]


@pytest.mark.parametrize(("key", "value"), WRONG, ids=str)
def test_a_description_with_a_value_of_another_kind_is_refused(folder: Path, key: str, value: Any) -> None:
    log = LOGS["descriptions.jsonl"]
    changed = hostile.as_json(json.loads(log.seeds[1]) | {key: value})
    (folder / log.name).write_bytes(b"\n".join([log.seeds[0], changed, log.seeds[2]]) + b"\n")
    refused = outcome(lambda: log.read(folder))
    assert isinstance(refused, Refused)
    assert "line 2" in refused.message
    assert key in refused.message or value in (math.inf, math.nan)  # which are not JSON


@pytest.mark.parametrize("content", [*NO_ROWS, b"", b" "], ids=lambda content: str(content[:6]))
@pytest.mark.parametrize("name", sorted(set(RECORDS) - {"provenance.json"}))
def test_a_file_that_is_no_record_is_refused_with_its_name(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.write_bytes(content)
    refused = outcome(lambda: RECORDS[name][1](path))
    assert isinstance(refused, Refused)
    assert str(path) in refused.message


def record_of(name: str) -> st.SearchStrategy[tuple[str, bytes]]:
    raw = RECORDS[name][0]
    spoiled = hostile.spoiled(json.loads(raw), most=2).map(hostile.as_json)
    return st.tuples(st.just(name), spoiled | spoiled | hostile.damaged([raw]) | st.sampled_from(hostile.BROKEN_JSON))


@fuzz("records", drawn=st.sampled_from(sorted(RECORDS)).flatmap(record_of))
def test_records_with_other_values_are_read_or_refused(folder: Path, drawn: tuple[str, bytes]) -> None:
    name, content = drawn
    path = folder / name
    path.write_bytes(content)
    found = outcome(lambda: RECORDS[name][1](path))
    if isinstance(found, Record):
        again = type(found).from_json(json.loads(json.dumps(found.to_json())))
        assert repr(again) == repr(found)
