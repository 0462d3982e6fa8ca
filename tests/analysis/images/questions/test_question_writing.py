"""The page on which questions are written: what it keeps, how it goes on, and whom it keeps out."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asked_questions import row, write_images, write_rows
from browser import PATIENCE

from analysis.images.questions.files import read_question_files
from analysis.images.questions.writing.session import WritingPage, WritingSession
from analysis.labeling.local_pages import PageServer
from ex2.cli.main import main
from reward.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path / "photos", 3)
    return tmp_path / "photos"


@pytest.fixture
def served(folder: Path) -> Iterator[PageServer]:
    server = PageServer(WritingPage(WritingSession(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def request(
    server: PageServer, name: str, body: Any = None, token: str | None = None, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=PATIENCE)
    path = f"/{server.token if token is None else token}/{name}"
    sent = {"Content-Type": "application/json", **headers}
    if body is None:
        connection.request("GET", path, headers=headers)
    else:
        connection.request("POST", path, json.dumps(body) if not isinstance(body, str) else body, sent)
    reply = connection.getresponse()
    found = reply.status, reply.read(), reply.headers
    connection.close()
    return found


def state(server: PageServer) -> dict[str, Any]:
    status, content, _ = request(server, "state")
    assert status == 200
    found: dict[str, Any] = json.loads(content)
    return found


def add(server: PageServer, question: str, answer: str = "yes", about: str = "", image: str | None = None) -> int:
    shown = state(server)["image"] if image is None else image
    return request(server, "add", {"image": shown, "question": question, "answer": answer, "about": about})[0]


def test_questions_are_written_to_a_file_that_can_be_asked(served: PageServer, folder: Path) -> None:
    assert add(served, " Is it  red? ", about="color") == 200
    assert add(served, "Is it blue?", "no") == 200
    assert request(served, "turn", {"image": "0.png", "by": 1})[0] == 200
    assert add(served, "Is it red?", "no", "color") == 200
    found = state(served)
    assert (found["image"], found["number"], found["asked"], found["written"]) == ("1.png", 2, 2, 3)
    assert (found["yes"], found["no"], found["about"]) == (1, 2, ["color"])
    assert found["questions"] == [["Is it red?", "no", "color"]]
    (read,) = read_question_files({"q": folder / "questions.jsonl"})
    assert [(one.question.image, one.question.question, one.answer, one.about) for one in read.asked] == [
        ("0.png", "Is it red?", True, "color"),
        ("0.png", "Is it blue?", False, ""),
        ("1.png", "Is it red?", False, "color"),
    ]
    again = WritingSession(folder)
    assert (again.written, again.state()["image"]) == (3, "2.png"), "it goes on at the first image without a question"
    again.undo()
    assert again.written == 3, "what an earlier session wrote is not taken back"


def test_the_last_question_can_be_taken_back(served: PageServer, folder: Path) -> None:
    add(served, "Is it red?")
    add(served, "Is it blue?")
    request(served, "turn", {"image": "0.png", "by": -1})
    assert state(served)["image"] == "2.png", "round the end"
    assert request(served, "undo", {})[0] == 200
    assert state(served)["image"] == "0.png", "the page shows where"
    kept = (folder / "questions.jsonl").read_text().splitlines()
    assert [json.loads(line)["question"] for line in kept] == ["Is it red?"]


def test_what_cannot_be_kept_is_told_and_not_kept(served: PageServer, folder: Path) -> None:
    assert add(served, "Is it red?") == 200
    for question in (" ", "is it RED?", "x" * 501):
        status, content, _ = request(
            served, "add", {"image": "0.png", "question": question, "answer": "yes", "about": ""}
        )
        assert status == 500
        assert json.loads(content)["problem"]
    assert add(served, "Is it green?", image="2.png") == 409, "an older page shows another image"
    for body in ({"image": "0.png"}, {"image": "0.png", "question": "q", "answer": "maybe", "about": ""}, [], "{"):
        assert request(served, "add", body)[0] == 400
    assert len((folder / "questions.jsonl").read_text().splitlines()) == 1


def test_images_are_served_and_nothing_else_of_the_disk(served: PageServer) -> None:
    status, content, headers = request(served, "image-1")
    assert (status, headers["Content-Type"], content[:4]) == (200, "image/png", b"\x89PNG")
    for name in ("image-0", "image-4", "image-x", "image-../../etc/passwd", "0.png", "../0.png", "questions.jsonl"):
        assert request(served, name)[0] == 404, name
    page = request(served, "")[1].decode()
    assert "Write questions" in page
    assert "http://" not in page
    assert "https://" not in page
    assert request(served, "own.css")[0] == request(served, "page.css")[0] == request(served, "page.js")[0] == 200


def test_others_are_kept_out(served: PageServer, folder: Path) -> None:
    good = {"image": "0.png", "question": "Is it red?", "answer": "yes", "about": ""}
    for token in ("", "wrong", served.token[:-1]):
        assert request(served, "state", token=token)[0] == 404
        assert request(served, "add", good, token=token)[0] == 404
    assert request(served, "add", good, Origin="https://evil.example")[0] == 403
    assert request(served, "state", Host="evil.example")[0] == 421
    assert request(served, "add", good, **{"Content-Type": "text/plain"})[0] == 400
    assert request(served, "add", {**good, "about": "x" * 9000})[0] == 400
    assert not (folder / "questions.jsonl").exists()


def test_faulty_folders_and_files_are_told(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="holds no image"):
        WritingSession(write_rows(tmp_path / "empty" / "x.txt", []).parent)
    write_rows(folder / "questions.jsonl", [row("9.png")])
    assert main(["label", str(folder), "--questions"]) == 2
    assert "line 1: image '9.png': not found" in capsys.readouterr().err
    assert main(["label", str(folder), str(folder), "--questions"]) == 2
    assert "--questions takes one folder of images" in capsys.readouterr().err
    assert main(["label", str(tmp_path / "gone"), "--questions"]) == 2
    assert "is no folder; give one that holds images" in capsys.readouterr().err
