"""A judging process that is killed, and started again: it asks only what is missing."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import killable_judge
import pytest
from judge_stub import NO, YES, Reply, Server, completion, described, starting
from processes import Process

from analysis.judge.base import Usage
from analysis.verdicts.verdicts import read_verdicts
from reward.files import read_jsonl

serve = pytest.fixture(starting)

COUNT, CONCURRENCY = 60, 8
VISUAL = '{"explanation": "x", "provides_visual_description": "No"}'


class Judging:
    """Judges in processes, one after the other."""

    def __init__(self) -> None:
        self.process: Process | None = None

    def run(self, server: Server, folder: Path) -> int:
        """Judge in a new process; return its exit status, minus the signal that ended it."""
        self.process = Process(killable_judge.work, server.url, folder, COUNT)
        return self.process.wait().returncode

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)


def question_of(body: dict[str, Any]) -> tuple[str, str]:
    kind = "visual" if "provides_visual_description" in body["messages"][2]["content"] else "informative"
    return kind, described(body)


@pytest.mark.parametrize("at", [25, COUNT + 10])  # in the middle of the first question, and of the second
def test_a_killed_run_asks_only_what_is_missing(serve: Callable[..., Server], tmp_path: Path, at: int) -> None:
    judging = Judging()
    killed = threading.Event()

    def handler(body: dict[str, Any], number: int) -> Reply:
        if number == at:
            judging.kill()
            killed.set()
        elif number > at:
            killed.wait(10)  # it was sent before the kill
        time.sleep(0.01)
        kind, text = question_of(body)
        if kind == "visual":
            return completion(VISUAL)
        return completion(YES if int(text.split()[1]) % 2 else NO)

    server = serve(handler)
    assert judging.run(server, tmp_path) == -signal.SIGKILL
    time.sleep(0.1)  # what is under way arrives
    before = [question_of(body) for body in server.asked]
    log = tmp_path / "verdicts.jsonl"
    known = len(read_jsonl(log)) if log.exists() else 0
    assert known < at - 1, "the log is written in pieces: answers in the cache only are lost from it"

    assert judging.run(server, tmp_path) == 0, judging.process
    after = [question_of(body) for body in server.asked[len(before) :]]
    wanted = {("informative", f"text {number}") for number in range(COUNT)}
    wanted |= {("visual", f"text {number}") for number in range(1, COUNT, 2)}
    assert set(before) | set(after) == wanted
    assert len(after) == len(set(after)), "the second process asks nothing twice"
    assert set(before) & set(after) <= set(before[-2 * CONCURRENCY :]), "only what was on its way is asked again"
    assert len(set(before) & set(after)) <= 2 * CONCURRENCY
    rows = read_jsonl(log)
    assert Counter((row["question"], row["description"]) for row in rows) == Counter(wanted)
    # Every answer counts once with its 100 and 7 tokens, those too that only the cache had saved.
    assert read_verdicts(log, digest="d").spent == Usage(len(wanted), 100 * len(wanted), 7 * len(wanted))

    asked = len(server.asked)
    assert judging.run(server, tmp_path) == 0
    assert len(server.asked) == asked, "a third one asks nothing"
