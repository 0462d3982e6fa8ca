"""A judge's key and URL: what cannot be sent is told by its name, and what was sent is not repeated."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from judge_stub import YES, LocalServer, completion, requests_for, starting

from analysis.judge.base import Answer, Unparsed, Verdict
from analysis.judge.server.address import not_in_headers, url_problem
from analysis.judge.server.client import OpenAIJudge
from reward.errors import EnvironmentFault, EX2Error, UserError

KEY = "CANARY.0123456789.abcdefg"

Echo = Callable[[str, str], tuple[int, str]]


@pytest.fixture
def serve() -> Iterator[Any]:
    yield from starting()


@pytest.fixture
def echoing() -> Iterator[Callable[[Echo], tuple[str, list[str]]]]:
    """Start servers that answer by a function of a request's path and Authorization header, and keep the paths."""
    servers: list[LocalServer] = []

    def start(answer: Echo) -> tuple[str, list[str]]:
        paths: list[str] = []

        class Requests(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                paths.append(self.path)
                status, content = answer(self.path, self.headers["Authorization"])
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *args: Any) -> None:
                pass

        servers.append(LocalServer(("127.0.0.1", 0), Requests))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}/v1", paths

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def answers_of(judge: OpenAIJudge, count: int = 1) -> list[Answer]:
    answers: list[Answer] = []
    judge.answer(requests_for(count), lambda request, answer: answers.append(answer))
    return answers


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (f"{KEY}\n", "a line break at its end"),
        (f"{KEY}\r\n", "a line break (CR) as character 26 of 27"),
        (f"“{KEY}”", "LEFT DOUBLE QUOTATION MARK as character 1 of 27"),
        (f"{KEY} ", "a space at its beginning or end"),
        (f"{KEY}\x00", "U+0000 at its end"),
        (f"{KEY}\t", "a tab at its end"),
    ],
)
@pytest.mark.parametrize("mode", ["direct", "batch"])
def test_a_key_that_cannot_be_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, wrong: str, mode: Any
) -> None:
    assert not_in_headers(value) == wrong
    if "\x00" in value:
        return  # no environment variable holds it
    monkeypatch.setenv("MY_KEY", value)
    judge = OpenAIJudge("m", "http://127.0.0.1:9/v1", "MY_KEY", mode=mode, cache=":memory:", folder=tmp_path)
    with pytest.raises(UserError) as caught:
        answers_of(judge)
    assert str(caught.value) == (
        f"judge: the environment variable MY_KEY holds {wrong}, which HTTP cannot send in a key; set it again without."
    )


def test_other_variables_that_become_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "CANARY’")
    with pytest.raises(UserError) as caught:
        answers_of(OpenAIJudge("m", "http://127.0.0.1:9/v1", cache=":memory:"))
    assert str(caught.value) == (
        "judge: the environment variable OPENAI_ORG_ID holds RIGHT SINGLE QUOTATION MARK at its end, which HTTP cannot "
        "send in a header; set it again without, or unset it."
    )


def test_a_query_goes_behind_the_path(echoing: Any) -> None:
    url, paths = echoing(lambda path, key: (200, completion(YES)[2]))
    judge = OpenAIJudge("m", f"{url}/?api-version=2024-06-01&x=a%20b", cache=":memory:")
    assert isinstance(answers_of(judge)[0], Verdict)
    assert set(paths) == {"/v1/chat/completions?api-version=2024-06-01&x=a+b"}
    assert (judge.server.shown_url, judge.name) == (f"{url}/", f"m at {url.split('/')[2]}")


def test_other_api_versions_have_other_answers(echoing: Any, tmp_path: Path) -> None:
    url, paths = echoing(lambda path, key: (200, completion(YES)[2]))
    for version, asked in ((1, 1), (1, 1), (2, 2)):
        answers_of(OpenAIJudge("m", f"{url}?api-version={version}", cache=str(tmp_path / "c.sqlite")))
        assert len(paths) == asked


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://h/v1#part", "'http://h/v1#part' has a part behind '#', which is never sent; leave it out."),
        ("http://h/v1?a=1&a=2", "'http://h/v1?a=1&a=2' gives 'a' twice; keep one."),
        ("h/v1", "'h/v1' is no http(s) URL; give one such as http://localhost:8000/v1."),
        ("http://h/v1?a=1&b=", None),
        (None, None),
    ],
)
def test_urls(url: str | None, problem: str | None) -> None:
    assert url_problem(url) == problem


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
def test_a_server_that_repeats_the_key(
    echoing: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int
) -> None:
    monkeypatch.setenv("MY_JUDGE", KEY)
    url, _ = echoing(
        lambda path, key: (status, json.dumps({"error": {"message": f"not for {key.split()[1]}", "code": None}}))
    )
    judge = OpenAIJudge("m", url, "MY_JUDGE", cache=str(tmp_path / "c.sqlite"), max_retries=0)
    with pytest.raises(EX2Error) as caught:
        answers_of(judge, 9)
    assert "not for ***" in str(caught.value)
    assert "CANARY" not in str(caught.value)


def test_a_refusal_that_repeats_the_key_is_kept_without_it(echoing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_JUDGE", KEY)
    filtered = json.dumps({"error": {"message": KEY, "code": "content_filter"}})
    asked: list[int] = []

    def answer(path: str, key: str) -> tuple[int, str]:
        asked.append(1)
        return (200, completion(YES)[2]) if len(asked) == 1 else (400, filtered)

    judge = OpenAIJudge("m", echoing(answer)[0], "MY_JUDGE", cache=":memory:")
    first, second = answers_of(judge, 2)
    assert isinstance(first, Verdict)
    assert isinstance(second, Unparsed)
    assert second.raw == "content filter: ***"


def test_a_key_of_few_letters_is_no_secret(echoing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_JUDGE", "e")
    with pytest.raises(EnvironmentFault, match=r"the reply is no chat completion, after 1 tries: 'seen e'"):
        answers_of(
            OpenAIJudge("m", echoing(lambda *_: (200, "seen e"))[0], "MY_JUDGE", cache=":memory:", max_retries=0)
        )


def test_what_else_was_sent_is_not_repeated_either(echoing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = {"OPENAI_ORG_ID": "org-CANARY1", "OPENAI_CUSTOM_HEADERS": "X-Gateway: CANARY22"}
    for name, value in sent.items():
        monkeypatch.setenv(name, value)
    said = "CANARY22 of org-CANARY1"
    url, _ = echoing(lambda *_: (401, json.dumps({"error": {"message": said, "code": None}})))
    with pytest.raises(UserError, match=r"was refused \(\*\*\* of \*\*\*\)"):
        answers_of(OpenAIJudge("m", url, cache=":memory:", max_retries=0))


@pytest.mark.parametrize("mode", ["direct", "batch"])
def test_questions_are_not_sent_on_to_another_server(serve: Any, tmp_path: Path, mode: str) -> None:
    other = serve(lambda body, number: completion(YES))
    place = f"{other.url}/chat/completions?token=CANARY"
    first = serve(lambda body, number: (307, {"Location": place}, ""))
    judge = OpenAIJudge("m", first.url, mode=mode, cache=":memory:", folder=tmp_path)
    with pytest.raises(UserError, match=r"sends the request on to http://.*token=\*\*\*, which is not followed"):
        answers_of(judge)
    assert len(first.asked) == 1
    assert other.asked == []
