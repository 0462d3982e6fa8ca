"""`ex2 label`: the server, and the page in a real browser."""

from __future__ import annotations

import http.client
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import browser
import pytest
from browser import contrast
from labeled_runs import give, make_run, options, session_of
from processes import PATIENCE, started, until

from analysis.labeling.log import label_path, read_labels
from analysis.labeling.server import LabelServer, main
from reward.errors import EnvironmentFault, UserError

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> & {class_name}"
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[LabelServer]:
    run = make_run(tmp_path / "run", {0: [HOSTILE, "It is  fawn.\n\nWith a mask."]})
    server = LabelServer(session_of(run))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def request(server: LabelServer, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=PATIENCE)
    try:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json"} | headers)
        reply = connection.getresponse()
        content = reply.read()
        return reply.status, reply.headers, content
    finally:
        connection.close()


def test_only_who_has_the_address(served: LabelServer) -> None:
    assert served.server_address[0] == "127.0.0.1"
    assert len(served.token) >= 32
    for path in ("/", "/state", "/wrong/state", f"/{served.token}", f"/{served.token}/../x", f"/{served.token}x/state"):
        assert request(served, "GET", path)[::2] == (404, b""), path
    assert request(served, "POST", "/wrong/undo", {})[0] == 404
    status, headers, page = request(served, "GET", f"/{served.token}/")
    assert status == 200
    assert b"<title>Label descriptions</title>" in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer", "the token stays here"
    assert headers["Cache-Control"] == "no-store"
    other = LabelServer(served.session)
    other.server_close()
    assert other.token != served.token


def test_what_a_page_may_send(served: LabelServer) -> None:
    root = f"/{served.token}"
    ask = served.session.state()["ask"]
    good = {"key": ask["key"], "question": "informative", "answer": "no"}
    for body in (b"", b"{", b"[]", {**good, "answer": "perhaps"}, {**good, "answer": []}, {**good, "more": 1}, {}):
        assert request(served, "POST", f"{root}/answer", body)[0] == 400, body
    assert request(served, "POST", f"{root}/undo", {"x": 1})[0] == 400
    assert request(served, "POST", f"{root}/answer", good, **{"Content-Type": "text/plain"})[0] == 400
    assert request(served, "POST", f"{root}/answer", b" " * 5000)[0] == 400
    assert request(served, "POST", f"{root}/page.css", {})[0] == 404
    assert served.session.state()["done"] == 0
    status, _, state = request(served, "POST", f"{root}/answer", good)
    assert (status, json.loads(state)["done"]) == (200, 1)
    status, _, state = request(served, "POST", f"{root}/answer", good)
    assert (status, json.loads(state)["done"]) == (409, 1), "sent twice"
    assert json.loads(request(served, "POST", f"{root}/undo", {})[2])["done"] == 0
    assert set(json.loads(state)["ask"]) == {"key", "question", "class", "before", "description", "after", "example"}


def test_an_answer_that_cannot_be_saved_is_reported(served: LabelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise EnvironmentFault("anna.jsonl: cannot be written: the disk is full")

    ask = served.session.state()["ask"]
    monkeypatch.setattr("analysis.labeling.session.append_label", full)
    body = {"key": ask["key"], "question": "informative", "answer": "no"}
    status, _, said = request(served, "POST", f"/{served.token}/answer", body)
    assert (status, json.loads(said)) == (500, {"problem": "anna.jsonl: cannot be written: the disk is full"})


def test_addresses_that_cannot_be_used(served: LabelServer) -> None:
    port = served.server_address[1]
    with pytest.raises(UserError, match=rf"--port: cannot listen on 127\.0\.0\.1 port {port} .*leave --port out"):
        LabelServer(served.session, port=port)
    with pytest.raises(UserError, match=r"--port: cannot listen on 127\.0\.0\.1 port 70000"):
        LabelServer(served.session, port=70000)
    with pytest.raises(UserError, match=r"--host: cannot listen on 192\.0\.2\.1 .*give an address of this machine"):
        LabelServer(served.session, host="192.0.2.1")


def test_ctrl_c_leaves_everything_saved(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    process = started(
        *("ex2.cli", "label", str(run), "--n", "3", "--rater", "anna"), PYTHONUNBUFFERED="1", COLUMNS="200"
    )
    try:
        until(lambda: process.stdout.count("\n") >= 2, unless_ended=process)
        first, second = process.stdout.splitlines()[:2]
        assert first == "0 of 3 descriptions labelled by anna."
        url = urlsplit(second.split()[1])
        connection = http.client.HTTPConnection(str(url.hostname), int(url.port or 0), timeout=PATIENCE)
        connection.request("GET", f"{url.path}state")
        ask = json.loads(connection.getresponse().read())["ask"]
        body = json.dumps({"key": ask["key"], "question": "informative", "answer": "no"})
        connection.request("POST", f"{url.path}answer", body, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200
        connection.connect()  # as browsers do ahead of a request
        process.send_signal(signal.SIGINT)
        ended = process.wait()
        connection.close()
    finally:
        process.close()
    assert (ended.returncode, ended.stderr) == (0, f"note: {run}: made before manifests: not checked.\n")
    assert "1 labelled, 0 skipped, 2 left: the same command continues." in ended.stdout
    assert len(read_labels(label_path(run, "anna"))) == 1


def test_the_verb_says_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", {0: ["one"]})
    give(session_of(run), "no")

    def interrupted(self: LabelServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LabelServer, "serve_forever", interrupted)
    assert main(options(run, host="0.0.0.0")) == 0
    shown = capsys.readouterr().out
    assert "it is not encrypted" in shown
    assert f"1 labelled, 0 skipped, 0 left: see `ex2 agreement {run}`." in shown


# --- browser ---


def test_the_page_by_keyboard(served: LabelServer, chromium: Any) -> None:
    page = browser.new_page(chromium, viewport={"width": 390, "height": 844}, color_scheme="dark")
    problems: list[str] = []
    elsewhere: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith(served.url) else elsewhere.append(sent.url))
    page.goto(served.url)
    page.wait_for_selector("#ask:visible")
    seen = []
    for _ in range(2):
        seen.append(page.inner_text("#description"))
        assert page.inner_text("#class") == "pug"
        assert page.locator("#description *").count() == 0, "markup is text"
        page.keyboard.press("y")
        page.wait_for_selector("#step:text('Second question')")
        page.keyboard.press("n")
        page.wait_for_selector("#step:text('First question'), #end:visible")
    assert sorted(seen) == sorted([HOSTILE, "It is  fawn. With a mask."])
    page.wait_for_selector("#end:visible")
    assert "2 of 2 labelled by anna, 0 left" in page.inner_text("#count")
    page.keyboard.press("u")
    page.wait_for_selector("#ask:visible")
    assert page.inner_text("#description") == seen[1]
    assert page.inner_text("#step").startswith("Second question")
    page.keyboard.press("s")
    page.wait_for_selector("#reopen:visible")
    page.click("#reopen")
    page.wait_for_selector("#ask:visible")
    page.keyboard.press("Control+y")
    page.keyboard.press("x")
    page.uncheck("#keys")
    page.keyboard.press("y")
    assert served.session.state()["done"] == 1, "none of these is an answer"
    page.click("button.yes")
    page.wait_for_selector("#end:visible")
    assert served.session.state()["done"] == 2
    assert page.evaluate("document.title") == "All done"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "fits a phone"
    assert problems == []
    assert elsewhere == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_can_be_read_and_reached(served: LabelServer, chromium: Any, scheme: str) -> None:
    page = browser.new_page(chromium, color_scheme=scheme)
    page.goto(served.url)
    page.wait_for_selector("#ask:visible")
    for selector in ("#count", "#step", "#class", "#before", "#description", ".yes", ".no", ".hint", "footer p"):
        assert contrast(page, selector) >= 4.5, selector
    order = []
    for _ in range(5):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.innerText || document.activeElement.id"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert [word.split()[0] for word in order] == ["Yes", "No", "Skip", "keys", "The"], "undo is off at first"
    unlabeled = page.evaluate(
        "[...document.querySelectorAll('input, progress')].filter(e => !e.labels.length).map(e => e.id)"
    )
    assert unlabeled == []
    assert page.get_attribute("#said", "aria-live") == "polite"
    assert "pug: " in page.inner_text("#said")
    page.close()


def test_a_dead_server_and_a_stale_page_are_said(tmp_path: Path, chromium: Any) -> None:
    run = make_run(tmp_path / "run", {0: ["one", "two"]})
    server = LabelServer(session_of(run))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    first, second = (
        browser.new_page(
            chromium,
        ),
        browser.new_page(
            chromium,
        ),
    )
    for page in (first, second):
        page.goto(server.url)
        page.wait_for_selector("#ask:visible")
    first.keyboard.press("n")
    until(lambda: server.session.state()["done"] == 1)
    second.keyboard.press("y")
    second.wait_for_selector("#problem:visible")
    assert "answered already" in second.inner_text("#problem")
    assert server.session.state()["done"] == 1
    server.shutdown()
    thread.join()
    server.server_close()
    first.close()
    second.keyboard.press("n")
    second.wait_for_selector("#problem:text('The server has ended')")
    second.close()
