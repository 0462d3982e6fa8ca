"""A whole experiment whose judge's server repeats every header that it gets: none is written or printed by any verb."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from judge_stub import NO, YES, LocalServer, completion, failure
from processes import command

from tests.reliability.base import RECIPE, make_images

PROXY = "me:CANARY01proxy"
SENT = {
    "authorization": "CANARY02.of.the.judge",
    "openai-organization": "org-CANARY03",
    "openai-project": "proj-CANARY04",
    "x-gateway": "CANARY05gateway",
    "x-second": "Bearer CANARY06second",
    "proxy-authorization": base64.b64encode(PROXY.encode()).decode(),
}
"""Header → what stands in it."""
ENVIRONMENT = {
    "JUDGE_LOGIN": SENT["authorization"],
    "OPENAI_ORG_ID": SENT["openai-organization"],
    "OPENAI_PROJECT_ID": SENT["openai-project"],
    "OPENAI_CUSTOM_HEADERS": f"X-Gateway: {SENT['x-gateway']}\nX-Second: {SENT['x-second']}",
    "OPENAI_API_KEY": "sk-CANARY07-0123456789",
    "HF_TOKEN": "hf_CANARY08aaaaaaaaaaa",
    "WANDB_API_KEY": "CANARY09wandb",
}
OWN_REWARD = "reward={name: mine.Broken}"
BROKEN = """\
import os

class Broken:
    __name__ = "broken"

    def __call__(self, completions, **columns):
        raise ValueError(os.environ["JUDGE_LOGIN"])
"""
SEEN = ("CANARY", SENT["proxy-authorization"])


class Repeating:
    """A judge's server, reached as a proxy: a new kind of answer to each question, each with the request's headers."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.status = 0
        count = 0
        outer = self

        def answer(repeated: str) -> tuple[int, dict[str, str], str]:
            nonlocal count
            count += 1
            if outer.status:
                return failure(outer.status, repeated)
            kinds = (
                completion(YES),
                completion(json.dumps({"explanation": repeated, "increases_knowledge": "Yes"})),
                completion(NO),
                completion(repeated),  # not to be read, twice
                failure(500, repeated, **{"Retry-After": "0"}),
                (400, {}, json.dumps({"error": {"message": repeated, "code": "content_filter"}})),
                completion(None, refusal=repeated),
            )
            return kinds[count % len(kinds)]

        class Requests(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.headers = {name.lower(): value for name, value in self.headers.items()}
                repeated = " ".join(f"{name}={value}" for name, value in outer.headers.items())
                status, headers, content = answer(repeated if count % 2 else json.dumps(outer.headers))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content.encode()))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *args: Any) -> None:
                pass

        self.server = LocalServer(("127.0.0.1", 0), Requests)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def repeating() -> Iterator[Repeating]:
    server = Repeating()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.mark.slow
def test_what_is_sent_to_a_judge_stays_there(repeating: Repeating, tmp_path: Path) -> None:
    make_images(tmp_path / "photos")
    recipe = RECIPE.format(name="main", seeds="[0]", vlm="demo-visual")
    (tmp_path / "r.yaml").write_text(recipe.replace("batches: 3", "batches: 1"), encoding="utf-8")
    (tmp_path / "mine.py").write_text(BROKEN, encoding="utf-8")
    own = {name: str(tmp_path / name) for name in ("EX2_CACHE", "TMPDIR", "HOME")}
    for folder in own.values():
        Path(folder).mkdir()
    proxy = f"http://{PROXY}@127.0.0.1:{repeating.server.server_address[1]}"
    environment = {**ENVIRONMENT, **own, "HTTP_PROXY": proxy, "http_proxy": proxy, "NO_PROXY": "", "no_proxy": ""}
    printed = ""

    def ex2(*words: str, status: int = 0) -> str:
        nonlocal printed
        ended = command("ex2.cli", *words, folder=tmp_path, HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", **environment)
        printed += ended.stdout + ended.stderr
        assert ended.returncode == status, (words, ended.stderr[-2000:])
        return ended.stderr

    def judge(more: str = "") -> str:
        where = "base_url: 'http://judge.example/v1?api-version=1', api_key_env: JUDGE_LOGIN"
        return f"judge={{name: openai, model: m, {where}, concurrency: 1{more}}}"

    for wrong in (401, 404, 500):
        repeating.status = wrong
        told = ex2("run", "r.yaml", judge(", max_retries: 0"), status=1 if wrong == 500 else 2)
        assert "***" in told
    repeating.status = 0
    ex2("run", "r.yaml", judge())
    assert {name: value for name, value in repeating.headers.items() if name in SENT} == SENT | {
        "authorization": f"Bearer {SENT['authorization']}",
        "proxy-authorization": f"Basic {SENT['proxy-authorization']}",
    }
    ex2("attributes", "runs/main")
    ex2("report", "r.yaml", judge())
    ex2("tables", "runs", "--out", "tables")
    ex2("index", "runs")
    ex2("export", "r.yaml", judge(), "--out", "exported")
    told = ex2("run", "r.yaml", "name=broken", judge(), OWN_REWARD, status=2)
    assert "(your code): ValueError: ***" in told, told
    assert any((tmp_path / "EX2_CACHE/tracebacks").iterdir())
    shutil.rmtree(tmp_path / "photos")
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(written) > 100
    kept = written[tmp_path / "runs/main/seed-0/verdicts.jsonl"]
    assert kept.count(b"***") > 3, "some answers with repeated headers are kept"
    for text in SEEN:
        assert [str(path) for path, content in written.items() if text.encode() in content] == []
        assert text not in printed
