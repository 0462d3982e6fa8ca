"""The Batch API: handed in, left, collected; against a server that keeps files and batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from batch_stub import ROWS, BatchServer, answer, run, starting_batches
from judge_stub import YES, described

import ex2.cli
from analysis.judge.base import NotYet, Unparsed, Usage, Verdict
from analysis.judge.server import batch
from reward.errors import EnvironmentFault, UserError
from reward.files import read_json

server = pytest.fixture(starting_batches)


def test_submit_leave_collect(server: BatchServer, tmp_path: Path) -> None:
    with pytest.raises(NotYet, match=r"8 questions were handed in as batch batch_0\. Run the same command later"):
        run(server, tmp_path)
    assert len(server.direct) == 1, "the first question is asked directly: it learns the format"
    lines = server.lines("batch_0")
    assert len({line["custom_id"] for line in lines}) == 8
    assert all(len(line["custom_id"]) <= 64 for line in lines)
    assert lines[0]["method"] == "POST"
    assert lines[0]["body"] == {**server.direct[0], "messages": lines[0]["body"]["messages"]}
    with pytest.raises(NotYet, match=r"batch batch_0 is in_progress"):
        run(server, tmp_path)
    assert len(server.batches) == 1, "asking how it goes hands nothing in"

    server.finish("batch_0")
    with pytest.raises(NotYet, match=r"3 questions were handed in as batch batch_1"):  # 4 odd texts, one asked directly
        run(server, tmp_path)
    server.finish("batch_1")
    verdicts = run(server, tmp_path)
    kinds = [verdicts.kind("oak", row.text) for row in ROWS]
    assert kinds == ["spurious", "non_visual"] * 4 + ["spurious"]
    assert verdicts.spent == Usage(13, 1300, 91)
    assert read_json(tmp_path / batch.BATCH_FILE) == {"batches": [], "tries": {}}
    asked = len(server.direct)
    run(server, tmp_path)
    (tmp_path / "verdicts.jsonl").unlink()
    run(server, tmp_path)
    assert (len(server.direct), len(server.batches)) == (asked, 2), "log and cache know everything"


def test_expired_lines_are_handed_in_again_and_unreadable_ones_once(server: BatchServer, tmp_path: Path) -> None:
    with pytest.raises(NotYet):
        run(server, tmp_path)
    special: dict[str, str | None] = {"3": None, "5": "perhaps"}
    server.respond = lambda body: special.get(described(body).rpartition(" ")[2], answer(body))
    server.finish("batch_0", "expired")
    # What is left is 3 and 5; the first of them is asked directly, and now answered.
    special["3"] = YES
    with pytest.raises(NotYet, match=r"1 questions were handed in as batch batch_1"):
        run(server, tmp_path)
    again = server.lines("batch_1")
    assert [described(line["body"]).rpartition(" ")[2] for line in again] == ["5"]
    assert (again[0]["body"]["max_tokens"], again[0]["body"]["temperature"]) == (256, 0.5), "its second try"
    server.finish("batch_1")
    with pytest.raises(NotYet, match=r"2 questions were handed in"):  # visual: 1, 3 and 7, one of them directly
        run(server, tmp_path)
    server.respond = answer
    server.finish("batch_2")
    verdicts = run(server, tmp_path)
    answers = {request.description: given for request, given in verdicts.items() if request.question == "informative"}
    assert answers["text 5"] == Unparsed("perhaps")
    assert answers["text 5"].spent == Usage(2, 200, 14)
    assert answers["text 3"] == Verdict(True, YES)
    assert len(answers) == len(ROWS)


def test_a_kill_after_creating_pays_nothing_twice(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = batch._create

    class Killed(BaseException):
        pass

    def killed(client: Any, input_file: str) -> str:
        create(client, input_file)
        raise Killed

    monkeypatch.setattr(batch, "_create", killed)
    with pytest.raises(Killed):
        run(server, tmp_path)
    monkeypatch.setattr(batch, "_create", create)
    with pytest.raises(NotYet, match="batch_0 is in_progress"):
        run(server, tmp_path)
    assert len(server.batches) == 1
    # Killed between the upload and the creation instead: the file is used, and no second one is uploaded.
    state = read_json(tmp_path / batch.BATCH_FILE)
    state["batches"][0]["batch"] = None
    (tmp_path / batch.BATCH_FILE).write_text(json.dumps(state))
    server.batches.clear()
    with pytest.raises(NotYet, match="batch_0 is in_progress"):
        run(server, tmp_path)
    assert (len(server.batches), len(server.files)) == (1, 1)


def test_a_kill_while_collecting_loses_nothing(server: BatchServer, tmp_path: Path) -> None:
    with pytest.raises(NotYet):
        run(server, tmp_path)
    server.finish("batch_0")
    state = (tmp_path / batch.BATCH_FILE).read_text()
    with pytest.raises(NotYet):
        run(server, tmp_path)
    log = (tmp_path / "verdicts.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "verdicts.jsonl").write_text("".join(log[:4]))  # killed after four answers
    (tmp_path / batch.BATCH_FILE).write_text(state)
    (tmp_path / "c.sqlite").unlink()
    with pytest.raises(NotYet):
        run(server, tmp_path)
    informative = [line for line in (tmp_path / "verdicts.jsonl").read_text().splitlines() if '"informative"' in line]
    assert len(informative) == len(ROWS)
    assert len({json.loads(line)["description"] for line in informative}) == len(ROWS)


def test_failures_say_what_to_do_and_the_same_command_goes_on(server: BatchServer, tmp_path: Path) -> None:
    with pytest.raises(NotYet):
        run(server, tmp_path)
    found = server.batches["batch_0"]
    found["status"] = "failed"
    found["errors"] = {"object": "list", "data": [{"message": "token limit\nreached", "code": "x"}]}
    with pytest.raises(UserError, match=r"batch batch_0 was refused \(token limit reached\); correct the judge's set"):
        run(server, tmp_path)
    with pytest.raises(NotYet, match="7 questions were handed in as batch batch_1"):
        run(server, tmp_path)
    respond, server.respond = server.respond, lambda body: None
    server.finish("batch_1", "expired")
    with pytest.raises(EnvironmentFault, match=r"batch batch_1 is expired without one answer \(.*not in time"):
        run(server, tmp_path)
    server.respond = respond
    with pytest.raises(NotYet, match="6 questions were handed in as batch batch_2"):
        run(server, tmp_path)
    del server.batches["batch_2"]
    with pytest.raises(NotYet, match="5 questions were handed in as batch batch_2"):
        run(server, tmp_path)


def test_a_server_without_batches_is_told(server: BatchServer, tmp_path: Path) -> None:
    server.has_batches = False
    with pytest.raises(UserError, match=r"has no Batch API \(404 on /files\); use mode: direct"):
        run(server, tmp_path)


def test_large_batches_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_REQUESTS", 3)
    monkeypatch.setattr(batch, "MAX_BYTES", 10)
    parts = list(batch._parts(["a", "b", "c", "d", "e", "f"], lambda key: b"x" * (8 if key == "e" else 2)))
    assert [keys for keys, _ in parts] == [["a", "b", "c"], ["d", "e"], ["f"]]


def test_one_seed_that_waits_holds_up_no_other(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    seen: list[int] = []

    def analyze(recipe: Any, seed: int) -> None:
        seen.append(seed)
        if seed != 1:
            raise NotYet(f"judge: batch of seed {seed} is in_progress.")

    class Recipe:
        seeds = (0, 1, 2)

    monkeypatch.setattr(ex2.cli.stages, "checked", lambda options, **_: Recipe)
    monkeypatch.setattr(ex2.cli.stages, "call", lambda dotted, *arguments: analyze(*arguments))
    assert ex2.cli.main(["analyze", "x.yaml"]) == ex2.cli.stages.EXIT_LATER == NotYet.exit_code == 75
    assert seen == [0, 1, 2]
    assert capsys.readouterr().err.splitlines() == [
        "ex2: judge: batch of seed 0 is in_progress.",
        "ex2: judge: batch of seed 2 is in_progress.",
    ]
