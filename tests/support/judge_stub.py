"""A server for tests that answers by a function, and what goes with it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from analysis.judge.base import Answer, Judge, JudgeRequest, Question

YES = '{"explanation": "It names the colour.", "increases_knowledge": "Yes"}'
NO = '{"explanation": "Nothing.", "increases_knowledge": "No"}'

Reply = tuple[int, dict[str, str], str]
Handler = Callable[[dict[str, Any], int], Reply]


def described(body: dict[str, Any]) -> str:
    """The description that a question asks about, fenced or not."""
    _, fence, text = str(body["messages"][3]["content"]).rpartition("<text_snippet>\n")
    if not fence:
        return text.rpartition("Text snippet: ")[2]
    return text.removesuffix("\n</text_snippet>")


def completion(content: str | None, **extra: Any) -> Reply:
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content, **extra}}
    return (
        200,
        {},
        json.dumps({"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}),
    )


def failure(status: int, message: str, **headers: str) -> Reply:
    return status, headers, json.dumps({"error": {"message": message, "type": "x", "code": None}})


class LocalServer(ThreadingHTTPServer):
    """Takes as many connections at once as a judge opens: beyond five, each waited for a second SYN, 1 s."""

    request_queue_size = 128
    daemon_threads = True


class Server:
    """Answers by a function of the request's JSON and its number; keeps what was asked."""

    def __init__(self, handler: Handler) -> None:
        self.asked: list[dict[str, Any]] = []
        lock = threading.Lock()
        outer = self

        class Requests(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # else each answer waits some 40 ms

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.asked.append(body)
                    number = len(outer.asked)
                status, headers, content = handler(body, number)
                self.send_response(status)
                for key, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(content.encode())))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a client that has timed out
                    self.end_headers()
                    self.wfile.write(content.encode())

            def log_message(self, *args: Any) -> None:
                pass

        self._server = LocalServer(("127.0.0.1", 0), Requests)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def requests_for(count: int, question: Question = "informative") -> list[JudgeRequest]:
    return [JudgeRequest(question, "oak", f"text {index}") for index in range(count)]


def ask(judge: Judge, requests: list[JudgeRequest]) -> dict[str, Answer]:
    answers: dict[str, Answer] = {}

    def on_answer(request: JudgeRequest, answer: Answer) -> None:
        assert request.description not in answers, "answered twice"
        answers[request.description] = answer

    judge.answer(requests, on_answer)
    return answers


def failure_with_code(status: int, code: str) -> Reply:
    return status, {}, json.dumps({"error": {"message": "filtered", "type": "x", "code": code}})


def starting() -> Iterator[Callable[[Handler], Server]]:
    """Body of a fixture: starts servers that end with the test."""
    servers: list[Server] = []

    def start(handler: Handler) -> Server:
        servers.append(Server(handler))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
