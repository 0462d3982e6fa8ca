"""A server that fails for 30 % of calls, a kill in the middle, and limits on the pace."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from judge_stub import NO, YES, Reply, Server, completion, described, failure, requests_for, starting

from analysis.judge.base import Answer, JudgeRequest, Unparsed, Usage, Verdict
from analysis.judge.server import chat
from analysis.judge.server.client import OpenAIJudge
from analysis.judge.server.pace import Limits, Pace
from analysis.verdicts.asking import judge_descriptions
from ex2.run.descriptions import DescribedClass
from reward.errors import EnvironmentFault
from reward.files import read_jsonl

COUNT = 150
SLOW = 0.6
TIMEOUT = 0.3


serve = pytest.fixture(starting)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_DELAY", 0.002)


class Faulty:
    """Fails for 30 % of calls, in seven ways; counts by question how often it gave a verdict.

    How a call fails depends on its question and on how often that was asked, not on which call comes first.
    """

    def __init__(self, seed: int) -> None:
        self.seed, self.lock = seed, threading.Lock()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self.faults: Counter[str] = Counter()
        self.stop_after: int | None = None

    def __call__(self, body: dict[str, Any], number: int) -> Reply:
        question = described(body)
        key = "informative" if "increases_knowledge" in body["messages"][2]["content"] else "visual"
        with self.lock:
            if self.stop_after is not None and sum(self.verdicts.values()) >= self.stop_after:
                return failure(500, "going down", **{"Retry-After-Ms": "1"})
            asked = key, question.rpartition(" ")[2]
            self.calls[asked] += 1
            draw = random.Random(f"{self.seed} {asked} {self.calls[asked]}")
            fault = draw.choice(FAULTS) if draw.random() < 0.3 else None
            self.faults[str(fault)] += 1
            if fault is None:
                self.verdicts[asked] += 1
        if fault == "time-out":
            time.sleep(SLOW)
        if key == "visual":
            good = '{"explanation": "x", "provides_visual_description": "No"}'
        else:
            good = YES if int(question.rpartition(" ")[2]) % 2 else NO
        replies: dict[str | None, Reply] = {
            None: completion(good),
            "time-out": completion(good),
            "429": failure(429, "slow down", **{"Retry-After": "0.01"}),
            "500": failure(500, "oops"),
            "cut body": (200, {}, completion(good)[2][:60]),
            "cut answer": completion(good[:30]),
            "wrong types": (200, {}, json.dumps({"choices": [{"message": {"content": {"a": 1}}}], "usage": [1]})),
            "empty body": (200, {}, ""),
        }
        return replies[fault]


FAULTS = ("429", "500", "time-out", "cut body", "cut answer", "wrong types", "empty body")


def kept(faulty: Faulty, server: Server, tmp_path: Path) -> OpenAIJudge:
    return OpenAIJudge(
        "m", server.url, cache=str(tmp_path / "c.sqlite"), concurrency=32, max_retries=6, timeout=TIMEOUT
    )


def test_every_description_ends_with_one_verdict_or_a_counted_unparsed(serve: Any, tmp_path: Path) -> None:
    faulty = Faulty(seed=3)
    server = serve(faulty)
    rows = [DescribedClass("oak", f"text {index}") for index in range(COUNT)]
    log = tmp_path / "verdicts.jsonl"
    verdicts = judge_descriptions(kept(faulty, server, tmp_path), rows, log, digest="d")
    assert set(faulty.faults) == {*FAULTS, "None"}, "every fault has occurred"
    share = 1 - faulty.faults["None"] / faulty.faults.total()
    assert 0.2 < share < 0.4
    logged = read_jsonl(log)
    asked = Counter((row["question"], row["description"]) for row in logged)
    assert set(asked.values()) == {1}, "no question has two answers"
    assert sum(question == "informative" for question, _ in asked) == COUNT
    for row in logged:
        number = int(row["description"].split()[1])
        right = ("yes" if number % 2 else "no") if row["question"] == "informative" else "no"
        assert row["verdict"] in (right, "unparsed"), "a fault never turns into a verdict"
    unparsed = sum(row["verdict"] == "unparsed" for row in logged)
    assert unparsed < 0.02 * len(logged), "only answers cut twice: 0.3 / 7 of 0.3 / 7"
    kinds = Counter(verdicts.kind("oak", row.text) for row in rows)
    assert kinds.total() == COUNT
    before = len(server.asked)
    judge_descriptions(kept(faulty, server, tmp_path), rows, log, digest="d")
    assert len(server.asked) == before, "the log knows all, what is unparsed too"
    judge_descriptions(kept(faulty, server, tmp_path), rows, tmp_path / "other.jsonl", digest="d")
    texts = {"text " + described(body).rpartition(" ")[2] for body in server.asked[before:]}
    assert texts <= {row["description"] for row in logged if row["verdict"] == "unparsed"}, "the cache knows the rest"


def test_a_restart_asks_nothing_twice(serve: Any, tmp_path: Path) -> None:
    faulty = Faulty(seed=5)
    faulty.stop_after = 40
    server = serve(faulty)
    rows = [DescribedClass("oak", f"text {index}") for index in range(COUNT)]
    log = tmp_path / "verdicts.jsonl"
    with pytest.raises(EnvironmentFault, match=r"keeps failing|no answer within|is no chat completion"):
        judge_descriptions(kept(faulty, server, tmp_path), rows, log, digest="d")
    first = {(row["question"], row["description"]) for row in read_jsonl(log)}
    assert 10 < len(first) <= 40
    faulty.stop_after = None
    with faulty.lock:
        faulty.verdicts.clear()
    judge_descriptions(kept(faulty, server, tmp_path), rows, log, digest="d")
    again = {(question, f"text {number}") for question, number in faulty.verdicts}
    assert not first & again
    assert Counter(row["question"] for row in read_jsonl(log))["informative"] == COUNT


def test_a_kill_that_spares_only_the_cache_loses_no_answer(serve: Any, tmp_path: Path) -> None:
    server = serve(lambda body, number: completion(YES))

    class Killed(BaseException):
        pass

    seen: list[JudgeRequest] = []

    def on_answer(request: JudgeRequest, answer: Answer) -> None:
        seen.append(request)
        if len(seen) == 20:
            raise Killed  # a KeyboardInterrupt would also end the test run if it escaped

    with pytest.raises(Killed):
        OpenAIJudge("m", server.url, cache=str(tmp_path / "c.sqlite"), concurrency=1).answer(
            requests_for(60), on_answer
        )
    before = len(server.asked)
    answers: dict[str, Answer] = {}
    OpenAIJudge("m", server.url, cache=str(tmp_path / "c.sqlite")).answer(
        requests_for(60), lambda request, answer: answers.update({request.description: answer})
    )
    assert len(server.asked) - before == 40
    assert len(answers) == 60


@pytest.mark.parametrize("concurrency", [1, 2, 8])
@pytest.mark.parametrize("cursed", [{1}, {39}, {5, 6, 7}, {3, 14, 25, 36, 38}])
def test_those_that_always_fail_do_not_hold_up_the_others(serve: Any, cursed: set[int], concurrency: int) -> None:
    """Whether they are one, the last, neighbours or many, and although they fail faster than others are answered."""

    def handler(body: dict[str, Any], number: int) -> Reply:
        fails = int(described(body).split()[-1]) in cursed
        return failure(500, "cursed", **{"Retry-After-Ms": "1"}) if fails else completion(YES)

    server = serve(handler)
    judge = OpenAIJudge("m", server.url, cache=":memory:", concurrency=concurrency, max_retries=1)
    answers: list[str] = []
    with pytest.raises(EnvironmentFault, match=r"keeps failing .*cursed"):
        judge.answer(requests_for(40), lambda request, answer: answers.append(request.description))
    assert sorted(answers) == sorted(f"text {index}" for index in range(40) if index not in cursed)


def test_a_server_that_dies_ends_the_call_soon(serve: Any) -> None:
    """After ten answers it only fails: with eight at once, not every one of 400 questions is tried in vain."""
    asked: list[int] = []

    def handler(body: dict[str, Any], number: int) -> Reply:
        asked.append(number)
        return completion(YES) if len(asked) <= 10 else failure(500, "dead", **{"Retry-After-Ms": "1"})

    server = serve(handler)
    judge = OpenAIJudge("m", server.url, cache=":memory:", concurrency=8, max_retries=1)
    answers: list[str] = []
    with pytest.raises(EnvironmentFault, match=r"keeps failing .*dead"):
        judge.answer(requests_for(400), lambda request, answer: answers.append(request.description))
    assert len(answers) == 10
    assert len(asked) <= 10 + 2 * 2 * 8


def test_a_trickle_is_a_time_out(serve: Any) -> None:
    """The client's own limit is per read; a server that sends a blank now and then would keep it waiting for ever."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()

        def trickle() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        judge = OpenAIJudge("m", url, cache=":memory:", max_retries=0, timeout=0.4)
        with pytest.raises(EnvironmentFault, match=r"no answer within 0.4 s, 1 tries"):
            judge.answer(requests_for(1), lambda request, answer: None)
        stop.set()
        thread.join(2)


# ---------------------------------------------------------------- pace


def test_pace_spaces_evenly_and_in_order() -> None:
    now = [100.0]
    pace = Pace(120, clock=lambda: now[0])  # one unit per half second
    assert [pace.reserve(1) for _ in range(3)] == [0.0, 0.5, 1.0]
    now[0] = 101.0
    assert pace.reserve(4) == 0.5  # behind the three, whose shares end at 101.5
    assert pace.reserve(1) == 2.5  # 101.5 + 4 · 0.5 = 103.5
    now[0] = 200.0
    assert pace.reserve(1) == 0.0  # what was not used is not saved up
    assert pace.reserve(1) == 0.5
    pace.adjust(-1)
    assert pace.reserve(1) == 0.5  # the place of the one before, which turned out to take nothing


def test_no_minute_has_more_than_its_limit() -> None:
    now = [0.0]
    pace = Pace(60, clock=lambda: now[0])
    draw = random.Random(0)
    starts = []
    for _ in range(500):
        starts.append(now[0] + pace.reserve(1))
        now[0] += draw.choice([0.0, 0.0, 0.2, 3.0])
    assert starts == sorted(starts)
    assert max(sum(start <= other < start + 60 for other in starts) for start in starts) <= 61


def test_limits_take_the_stricter_and_correct_by_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 2))

    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def run() -> None:
        limits = Limits(600, 6000)  # 0.1 s a request, 0.01 s a token
        await limits.wait(50)
        await limits.wait(5)  # after the 0.5 s of the first one's tokens
        await limits.wait(5)  # 0.55 s
        limits.adjust(50, 10)  # 0.6 s − 0.4 s: now the requests are slower
        await limits.wait(5)
        limits.adjust(5, 0)  # a server that does not count
        await limits.wait(5)

    asyncio.run(run())
    assert slept == pytest.approx([0.5, 0.55, 0.3, 0.4], abs=0.02)


def test_requests_per_minute_hold_for_retries_too(serve: Any) -> None:
    server = serve(lambda body, number: failure(429, "x", **{"Retry-After": "0"}) if number == 1 else completion(YES))
    judge = OpenAIJudge("m", server.url, cache=":memory:", requests_per_minute=600)
    times: list[float] = []
    clock = time.monotonic
    start = clock()
    got: list[Answer] = []
    judge.answer(requests_for(4), lambda request, answer: (got.append(answer), times.append(clock() - start)))
    assert len(server.asked) == 5
    assert times[-1] >= 0.39, "five requests, 0.1 s apart"
    assert got[0].spent == Usage(2, 100, 7)
    assert all(isinstance(answer, Verdict) for answer in got)
    assert not any(isinstance(answer, Unparsed) for answer in got)
