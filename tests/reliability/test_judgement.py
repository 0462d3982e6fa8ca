"""What the matrix calls held, on calls that are written down: one that calls everything held would find nothing."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.reliability.cells import KINDS, Cell, all_cells, drawn_cells
from tests.reliability.child import Mischance, count_writes, is_write
from tests.reliability.damage import damage, faults_of
from tests.reliability.outcome import Call, Finding, changed, doubled_rows, judge_once, made, tree
from tests.reliability.page import page
from tests.reliability.runner import held
from tests.reliability.stages import DESCRIPTIONS, STAGES

DAMAGED = Cell(
    "report", "file", "seed-0/accuracy.json half", "done", "same or refuses", ("accuracy.json",), fault="half"
)
REFUSAL = Call(2, "", "ex2: runs/main/seed-0/accuracy.json: line 3: cut; run `ex2 analyze r.yaml` again.\n")


def judged(cell: Cell, call: Call, *, differ: list[str] | None = None, changes: list[str] | None = None) -> str:
    return judge_once(cell, call, lambda: differ or [], lambda: changes or []).fault


def test_a_refusal_by_name_holds_where_a_refusal_is_promised() -> None:
    assert judged(DAMAGED, REFUSAL) == "held"
    assert judged(replace(DAMAGED, promise="refuses"), REFUSAL) == "held"
    assert judged(replace(DAMAGED, promise="finishes"), REFUSAL) == "refused"
    assert judged(replace(DAMAGED, promise="accepts"), REFUSAL) == "refused"
    assert judged(DAMAGED, REFUSAL, changes=["runs/main/recipe.yaml"]) == "changed what was there"
    assert judged(DAMAGED, Call(2, "", "ex2: something is wrong\n")) == "not named"
    assert judged(DAMAGED, REFUSAL._replace(returncode=-11)) == "another exit"


def test_an_end_with_0_holds_if_nothing_differs() -> None:
    done = Call(0, "report: runs/main/report.html\n", "")
    assert judged(DAMAGED, done) == "held"
    assert judged(DAMAGED, done, differ=["runs/main/report.html"]) == "silently wrong"
    assert judged(replace(DAMAGED, promise="refuses"), done) == "accepted"
    assert judged(replace(DAMAGED, promise="accepts"), done, differ=["runs/main/report.html"]) == "held"
    told = Call(0, "", "ex2: seed-0/accuracy.json: not there: seed 0 is left out\n")
    assert judged(replace(DAMAGED, fault="missing"), told, differ=["runs/main/report.html"]) == "held"
    assert judged(DAMAGED, told, differ=["runs/main/report.html"]) == "silently wrong"


@pytest.mark.parametrize("promise", ["finishes", "refuses", "same or refuses", "accepts", "accepts or refuses"])
def test_what_no_call_may_do(promise: str) -> None:
    cell = replace(DAMAGED, promise=promise)  # type: ignore[arg-type]
    assert judged(cell, Call(1, "", "Traceback (most recent call last):\nKeyError: 'accuracy.json'")) == "traceback"
    assert judged(cell, Call(70, "", "ex2: a bug: accuracy.json")) == "exit 70"
    assert judged(cell, Call(None, "", "accuracy.json")) == "hang"
    assert judged(cell, Call(2, "", "ex2: accuracy.json" + "x" * 1983)) == "too long a message"
    assert judged(replace(cell, promise="refuses"), Call(2, "", "ex2: accuracy.json" + "x" * 1982)) == "held"


def test_times_are_not_compared_and_numbers_are(tmp_path: Path) -> None:
    log = tmp_path / "runs/main/seed-0/train.jsonl"
    log.parent.mkdir(parents=True)
    found = []
    for kl, seconds in ((1.5, 0.1), (1.5, 0.2), (1.25, 0.2)):
        log.write_text(f'{{"batch": 1, "kl": {kl}, "seconds_reward": {seconds}, "tokens_per_second": {seconds}}}\n')
        found.append(made(tmp_path, "train"))
    assert found[0] == found[1] != found[2]


def test_a_change_is_seen_and_a_new_file_is_none(tmp_path: Path) -> None:
    run = tmp_path / "runs/main"
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text("a")
    (run / "kept").write_text("a")
    (run / "a.jsonl").write_text("1\n2\n")
    before = tree(tmp_path)
    (run / "new").write_text("b")
    (run / "a.jsonl").write_text("1\n2\n3\n")
    assert changed(before, tree(tmp_path)) == []
    (run / "a.jsonl").write_text("1\n3\n")
    assert changed(before, tree(tmp_path)) == ["runs/main/a.jsonl"]
    (run / "a.jsonl").write_text("1\n2\n")
    (run / "recipe.yaml").write_text("b")
    (run / "kept").unlink()
    assert changed(before, tree(tmp_path)) == ["runs/main/kept", "runs/main/recipe.yaml"]


def test_a_row_that_is_there_twice_is_seen(tmp_path: Path) -> None:
    path = tmp_path / DESCRIPTIONS
    path.parent.mkdir(parents=True)
    rows = [f'{{"policy": "base", "label": 0, "question_id": {number}, "sample": 0}}\n' for number in (0, 1)]
    path.write_text("".join(rows))
    assert doubled_rows(tmp_path) == []
    path.write_text("".join([*rows, rows[0]]))
    assert doubled_rows(tmp_path) == [DESCRIPTIONS]


@pytest.mark.parametrize("fault", faults_of("runs/main/seed-0/descriptions.jsonl"))
def test_each_fault_changes_the_file(fault: str, tmp_path: Path) -> None:
    row = '{"policy": "base", "label": 3, "text": "a wug"}\n'
    name = "runs/main/seed-0/descriptions.jsonl"
    for place, text in (
        (name, row * 2),
        ("runs/main/seed-1/descriptions.jsonl", "1"),
        ("runs/other/seed-0/descriptions.jsonl", "2"),
    ):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(text)
    assert damage(tmp_path, name, fault) == [tmp_path / name]
    assert not (tmp_path / name).exists() or (tmp_path / name).read_bytes() != (row * 2).encode()
    assert damage(tmp_path, "runs/main/none.json", fault) == []


def test_a_signal_comes_before_the_write_of_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_write("open", (str(tmp_path / "a"), "w", os.O_WRONLY), str(tmp_path))
    assert not is_write("open", (str(tmp_path / "a"), "r", os.O_RDONLY), str(tmp_path))
    assert not is_write("open", (str(tmp_path.parent / "b"), "w", os.O_WRONLY), str(tmp_path))
    assert is_write("os.rename", ("a", "b", -1, -1), str(tmp_path))
    child = os.fork()
    if not child:
        count_writes(Mischance(signal.SIGKILL, at_write=3))
        for name in "abcd":
            (tmp_path / name).write_text("x")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_every_kind_and_stage_is_in_a_draw_and_there_are_600_cells() -> None:
    cells = all_cells()
    assert len(cells) >= 600
    assert {cell.stage for cell in cells} == {stage.name for stage in STAGES}
    for seed in range(20):
        drawn = drawn_cells(cells, 40, seed)
        assert len({cell.name for cell in drawn}) == 40
        assert {cell.kind for cell in drawn} == set(KINDS)
        assert {cell.stage for cell in drawn} == {stage.name for stage in STAGES}


def test_the_page_counts_what_held_and_lists_what_did_not() -> None:
    cells = [DAMAGED, replace(DAMAGED, detail="seed-0/accuracy.json empty"), replace(DAMAGED, stage="index")]
    findings = [
        Finding(cells[0].name, "held"),
        Finding(cells[1].name, "traceback", "a | b\nc"),
        Finding(cells[2].name, "held"),
    ]
    text = page(cells, findings, 3.2, "abc")
    assert "lets 3 things happen" in text
    assert "Held: 2 of 3. traceback: 1; exit 70: 0; silently wrong: 0; hang: 0." in text
    assert "| report | **1 of 2** |  |  |  |  |  |  | **1 of 2** |" in text
    assert "| index | 1 |  |  |  |  |  |  | 1 |" in text
    assert "| `report:file:seed-0/accuracy.json empty` | traceback | a \\| b c |" in text
    assert "Nothing." in page(cells[:1], findings[:1], 3.2, "abc")
    assert held(findings[::2])
    assert not held(findings)
    assert held([Finding("x", "not run")])
    assert not held([Finding("x", "the matrix failed")])
