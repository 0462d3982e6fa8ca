"""Whose requests the page for labels takes: other sites reach this machine through a browser on it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from labeled_runs import make_run, session_of
from processes import PATIENCE

from analysis.labeling.server import LabelServer


@pytest.fixture
def served(tmp_path: Path) -> Iterator[LabelServer]:
    server = LabelServer(session_of(make_run(tmp_path / "run")))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def status(server: LabelServer, method: str, name: str, *headers: tuple[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=PATIENCE)
    try:
        connection.putrequest(method, f"/{server.token}/{name}", skip_host=True)
        for header, value in (*headers, ("Content-Type", "application/json"), ("Content-Length", "2")):
            connection.putheader(header, value)
        connection.endheaders(json.dumps({}).encode())
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_name_of_another_site_that_leads_here_is_refused(served: LabelServer, method: str) -> None:
    name = "state" if method == "GET" else "undo"
    port = served.server_address[1]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "LOCALHOST", "127.0.0.1:9999"):
        assert status(served, method, name, ("Host", host)) == 200, host
    foreign = ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1")
    for host in (*foreign, "", "[::1", "127.0.0.1@evil.example"):
        assert status(served, method, name, ("Host", host)) == 421, host
    assert status(served, method, name) == 421
    twice = (("Host", f"127.0.0.1:{port}"), ("Host", "evil.example"))
    assert status(served, method, name, *twice) == 421


def test_a_page_of_another_site_cannot_send_answers(served: LabelServer) -> None:
    host = f"127.0.0.1:{served.server_address[1]}"
    ours = ("Host", host)
    assert status(served, "POST", "undo", ours, ("Origin", f"http://{host}")) == 200
    for origin in ("http://evil.example", "null", f"https://{host}", "http://127.0.0.1", "http://127.0.0.1:1", ""):
        assert status(served, "POST", "undo", ours, ("Origin", origin)) == 403, origin


def test_it_listens_on_this_machine_only(served: LabelServer) -> None:
    assert served.server_address[0] == "127.0.0.1"
    assert not served.is_public


def test_a_server_on_all_addresses_takes_addresses_and_this_machines_name(
    served: LabelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Node7")
    public = LabelServer(served.session, "0.0.0.0")
    public.server_close()
    assert public.is_public
    for host, ours in (("10.1.2.3:80", True), ("node7", True), ("[fe80::1]:80", True), ("evil.example", False)):
        assert public.is_ours(host) is ours, host
    assert not public.is_ours("localhost.evil.example")
