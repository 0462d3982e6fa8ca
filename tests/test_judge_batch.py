"""The Batch API: handed in, left, collected; against a server that keeps files and batches."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from judge_stub import NO, YES, completion

import ex2.cli
from analysis.judge import batch
from analysis.judge.base import NotYet, Spent, Unparsed, Verdict
from analysis.judge.client import OpenAIJudge
from analysis.judging import judge_descriptions
from ex2.run_dir import read_json
from reward.errors import EnvironmentFault, UserError

ROWS = [{"class": "oak", "text": f"text {index}"} for index in range(9)]
VISUAL = '{"explanation": "x", "provides_visual_description": "No"}'


def answer(body: dict[str, Any]) -> str:
    """Odd texts are informative, none is visual."""
    if "provides_visual_description" in body["messages"][2]["content"]:
        return VISUAL
    return YES if int(body["messages"][3]["content"].rpartition(" ")[2]) % 2 else NO


class BatchServer:
    """/v1/files and /v1/batches as OpenAI documents them; batches finish when `finish` is called."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.direct: list[dict[str, Any]] = []
        self.respond: Callable[[dict[str, Any]], str | None] = answer
        self.has_batches = True
        outer = self

        class Requests(BaseHTTPRequestHandler):
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
                    self.reply(200, json.loads(completion(outer.respond(body) or "")[2]))
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

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files[self.batches[name]["input_file_id"]].splitlines()]

    def finish(self, name: str, status: str = "completed") -> None:
        """Answer every line by `respond`; None there is an error line."""
        good, bad = [], []
        for line in reversed(self.lines(name)):  # results come in any order
            text = self.respond(line["body"])
            if text is None:
                error = {"code": "batch_expired", "message": "not in time"}
                bad.append({"id": "x", "custom_id": line["custom_id"], "response": None, "error": error})
            else:
                response = {"status_code": 200, "request_id": "r", "body": json.loads(completion(text)[2])}
                good.append({"id": "x", "custom_id": line["custom_id"], "response": response, "error": None})
        found = self.batches[name]
        for key, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                found[key] = f"{name}-{key}"
                self.files[found[key]] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        found["status"] = status
        found["request_counts"] = {"total": len(good) + len(bad), "completed": len(good), "failed": len(bad)}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[BatchServer]:
    made = BatchServer()
    yield made
    made.close()


def run(server: BatchServer, folder: Path) -> Any:
    """What one call of `ex2 analyze` does."""
    judge = OpenAIJudge("m", server.url, mode="batch", cache=str(folder / "c.sqlite"), folder=folder, max_retries=0)
    return judge_descriptions(judge, ROWS, folder / "verdicts.jsonl", digest="d")


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
    kinds = [verdicts.kind("oak", row["text"]) for row in ROWS]
    assert kinds == ["spurious", "non_visual"] * 4 + ["spurious"]
    assert verdicts.spent == Spent(13, 1300, 91)
    assert read_json(tmp_path / batch.BATCH_FILE) == {"batches": [], "unreadable": {}}
    asked = len(server.direct)
    run(server, tmp_path)
    (tmp_path / "verdicts.jsonl").unlink()
    run(server, tmp_path)
    assert (len(server.direct), len(server.batches)) == (asked, 2), "log and cache know everything"


def test_expired_lines_are_handed_in_again_and_unreadable_ones_once(server: BatchServer, tmp_path: Path) -> None:
    with pytest.raises(NotYet):
        run(server, tmp_path)
    special: dict[str, str | None] = {"3": None, "5": "perhaps"}
    server.respond = lambda body: special.get(body["messages"][3]["content"].rpartition(" ")[2], answer(body))
    server.finish("batch_0", "expired")
    # What is left is 3 and 5; the first of them is asked directly, and now answered.
    special["3"] = YES
    with pytest.raises(NotYet, match=r"1 questions were handed in as batch batch_1"):
        run(server, tmp_path)
    again = server.lines("batch_1")
    assert [line["body"]["messages"][3]["content"].rpartition(" ")[2] for line in again] == ["5"]
    assert (again[0]["body"]["max_tokens"], again[0]["body"]["temperature"]) == (256, 0.5), "its second try"
    server.finish("batch_1")
    with pytest.raises(NotYet, match=r"2 questions were handed in"):  # visual: 1, 3 and 7, one of them directly
        run(server, tmp_path)
    server.respond = answer
    server.finish("batch_2")
    verdicts = run(server, tmp_path)
    answers = {request.description: given for request, given in verdicts.items() if request.question == "informative"}
    assert answers["text 5"] == Unparsed("perhaps")
    assert answers["text 5"].spent == Spent(2, 200, 14)
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

    monkeypatch.setattr(ex2.cli, "_checked", lambda options, **_: Recipe)
    monkeypatch.setattr(ex2.cli, "_call", lambda dotted, *arguments: analyze(*arguments))
    assert ex2.cli.main(["analyze", "x.yaml"]) == ex2.cli.EXIT_LATER == NotYet.exit_code == 75
    assert seen == [0, 1, 2]
    assert capsys.readouterr().err.splitlines() == [
        "ex2: judge: batch of seed 0 is in_progress.",
        "ex2: judge: batch of seed 2 is in_progress.",
    ]
