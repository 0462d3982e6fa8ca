"""A server with the Batch API for tests: it keeps files and batches, and finishes them when it is told to."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from judge_stub import NO, YES, LocalServer, completion, described

from analysis.judge.server.client import OpenAIJudge
from analysis.verdicts.asking import judge_descriptions
from analysis.verdicts.verdicts import Verdicts
from ex2.run.descriptions import DescribedClass

ROWS = [DescribedClass("oak", f"text {index}") for index in range(9)]
VISUAL = '{"explanation": "x", "provides_visual_description": "No"}'


Given = str | int | dict[str, Any] | None
"""What a question gets: a text, a status of failure, the body of a reply, or nothing before the batch expires."""


def answer(body: dict[str, Any]) -> str:
    """Odd texts and the rubric's example are informative, none is visual."""
    if "provides_visual_description" in body["messages"][2]["content"]:
        return VISUAL
    last = described(body).rpartition(" ")[2]
    return YES if last == "color." or int(last) % 2 else NO


def replied(given: str | int | dict[str, Any]) -> tuple[int, Any]:
    if isinstance(given, int):
        return given, {"error": {"message": f"failed with {given}"}}
    return 200, given if isinstance(given, dict) else json.loads(completion(given)[2])


class BatchServer:
    """/v1/files and /v1/batches as OpenAI documents them; batches finish when `finish` is called."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.direct: list[dict[str, Any]] = []
        self.respond: Callable[[dict[str, Any]], Given] = answer
        self.has_batches = True
        outer = self

        class Requests(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # else each answer waits some 40 ms

            protocol_version = "HTTP/1.1"

            def reply(self, status: int, content: Any) -> None:
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/chat/completions":
                    body = json.loads(data)
                    outer.direct.append(body)
                    self.reply(*replied(outer.respond(body) or ""))
                elif not outer.has_batches:
                    self.reply(404, {"detail": "Not Found"})
                elif self.path == "/v1/files":
                    assert b'name="purpose"\r\n\r\nbatch' in data
                    content = re.search(rb'filename="questions.jsonl".*?\r\n\r\n(.*?)\r\n--', data, re.DOTALL)
                    assert content is not None
                    name = f"file-{len(outer.files)}"
                    outer.files[name] = content[1]
                    self.reply(200, {"id": name, "object": "file", "purpose": "batch"})
                else:
                    asked = json.loads(data)
                    assert asked["endpoint"] == "/v1/chat/completions"
                    assert asked["completion_window"] == "24h"
                    name = f"batch_{len(outer.batches)}"
                    outer.batches[name] = {**asked, "id": name, "object": "batch", "status": "in_progress"}
                    self.reply(200, outer.batches[name])

            def do_GET(self) -> None:
                *_, kind, name = (
                    self.path.split("/") if not self.path.endswith("/content") else self.path.split("/")[:-1]
                )
                if self.path.startswith("/v1/batches?"):
                    listed = list(outer.batches.values())
                    self.reply(200, {"object": "list", "data": listed, "has_more": False})
                elif kind == "files":
                    self.reply(200, outer.files[name])
                elif name in outer.batches:
                    self.reply(200, outer.batches[name])
                else:
                    self.reply(404, {"error": {"message": "no such batch"}})

            def log_message(self, *args: Any) -> None:
                pass

        self._server = LocalServer(("127.0.0.1", 0), Requests)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files[self.batches[name]["input_file_id"]].splitlines()]

    def finish(self, name: str, status: str = "completed") -> None:
        """Answer every line by `respond`; None there is an error line."""
        good, bad = [], []
        for line in reversed(self.lines(name)):  # results come in any order
            given = self.respond(line["body"])
            if given is None:
                error = {"code": "batch_expired", "message": "not in time"}
                bad.append({"id": "x", "custom_id": line["custom_id"], "response": None, "error": error})
            else:
                code, body = replied(given)
                response = {"status_code": code, "request_id": "r", "body": body}
                good.append({"id": "x", "custom_id": line["custom_id"], "response": response, "error": None})
        found = self.batches[name]
        for key, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                found[key] = f"{name}-{key}"
                written = [json.dumps(line, ensure_ascii=False) for line in lines]
                self.files[found[key]] = "".join(f"{line}\n" for line in written).encode()
        found["status"] = status
        found["request_counts"] = {"total": len(good) + len(bad), "completed": len(good), "failed": len(bad)}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def starting_batches() -> Iterator[BatchServer]:
    """Body of a fixture: a server that ends with the test."""
    made = BatchServer()
    yield made
    made.close()


def run(server: BatchServer, folder: Path) -> Verdicts:
    """What one call of `ex2 analyze` does."""
    judge = OpenAIJudge("m", server.url, mode="batch", cache=str(folder / "c.sqlite"), folder=folder, max_retries=0)
    return judge_descriptions(judge, ROWS, folder / "verdicts.jsonl", digest="d")
