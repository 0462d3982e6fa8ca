"""What the client learns from a server: formats, refusals, second tries, pauses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from judge_stub import YES, Reply, ask, completion, described, failure, requests_for, starting

from analysis.judge.base import Answer, Unparsed, Usage, Verdict
from analysis.judge.server import chat, replies
from analysis.judge.server.client import OpenAIJudge
from reward.errors import EnvironmentFault

serve = pytest.fixture(starting)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_DELAY", 0.002)


def test_an_unreadable_answer_is_asked_for_once_more_with_more_room(serve: Any) -> None:
    cut = '{"explanation": "It names the colour and the'
    server = serve(lambda body, number: completion(YES if body["max_tokens"] == 256 else cut))
    judge = OpenAIJudge("m", server.url, cache=":memory:", concurrency=1)
    got: list[Answer] = []
    judge.answer(requests_for(2), lambda request, answer: got.append(answer))
    assert got == [Verdict(True, YES)] * 2
    assert [answer.spent for answer in got] == [Usage(2, 200, 14)] * 2
    sampling = [(body["max_tokens"], body["temperature"], body["top_p"]) for body in server.asked]
    assert sampling == [(128, 0.1, 0.1), (256, 0.5, 1.0)] * 2


def test_what_is_left_to_the_server_stays_so_in_the_second_try(serve: Any) -> None:
    server = serve(lambda body, number: completion("maybe"))
    judge = OpenAIJudge("m", server.url, cache=":memory:", temperature=None, top_p=None, max_tokens=None)
    assert ask(judge, requests_for(3)) == {f"text {index}": Unparsed("maybe") for index in range(3)}
    assert len(server.asked) == 6
    assert all(not {"temperature", "top_p", "max_tokens"} & body.keys() for body in server.asked)


def test_the_format_is_remembered_for_the_next_run(serve: Any, tmp_path: Path) -> None:
    def handler(body: dict[str, Any], number: int) -> Reply:
        schema_wanted = body.get("response_format", {}).get("type") == "json_schema"
        return failure(422, "no schemas here") if schema_wanted else completion(YES)

    server = serve(handler)
    for count in (1, 2):
        judge = OpenAIJudge("m", server.url, cache=str(tmp_path / "c.sqlite"))
        ask(judge, requests_for(count))
    assert [body["response_format"]["type"] for body in server.asked] == ["json_schema", "json_object", "json_object"]


def test_one_refused_request_is_unparsed_and_stops_nothing(serve: Any) -> None:
    def handler(body: dict[str, Any], number: int) -> Reply:
        ends = described(body).endswith("text 3")
        return failure(400, "control characters are not allowed") if ends else completion(YES)

    server = serve(handler)
    judge = OpenAIJudge("m", server.url, cache=":memory:")
    answers = ask(judge, requests_for(6))
    assert isinstance(answers["text 3"], Unparsed)
    assert answers["text 3"].raw.startswith("400: ")
    assert "control characters" in answers["text 3"].raw
    assert sum(isinstance(answer, Verdict) for answer in answers.values()) == 5
    assert judge.server.format == 0, "the format that worked for others is kept"


def test_a_server_that_asks_for_an_hour_is_left_alone(serve: Any) -> None:
    server = serve(lambda body, number: failure(429, "come back later", **{"Retry-After": "3600"}))
    with pytest.raises(EnvironmentFault, match=r"keeps failing .*come back later"):
        ask(OpenAIJudge("m", server.url, cache=":memory:"), requests_for(2))
    assert len(server.asked) == 1


def test_an_empty_purse_is_not_retried(serve: Any) -> None:
    reply = json.dumps({"error": {"message": "pay first", "type": "x", "code": "insufficient_quota"}})
    server = serve(lambda body, number: (429, {}, reply))
    with pytest.raises(EnvironmentFault, match=r"the quota is used up \(.*pay first.*\); top it up"):
        ask(OpenAIJudge("m", server.url, cache=":memory:"), requests_for(2))
    assert len(server.asked) == 1


def test_retry_after_as_milliseconds_seconds_or_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies.time, "time", lambda: 784111777.0)  # Sun, 06 Nov 1994 08:49:37 GMT, RFC 9110's example
    assert replies.retry_after({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5
    assert replies.retry_after({"retry-after": "0.25"}) == 0.25
    assert replies.retry_after({"retry-after": "Sun, 06 Nov 1994 08:49:47 GMT"}) == 10.0
    assert replies.retry_after({"retry-after": "Sun, 06 Nov 1994 08:00:00 GMT"}) == 0.0
    assert replies.retry_after({"retry-after": "soon"}) is None
    assert replies.retry_after({}) is None
