"""The judge against llama.cpp with a real model: its own server, and that of llama-cpp-python.

Both come from PyPI: xllamacpp as a wheel, llama-cpp-python[server] as source, which takes ten minutes to compile. They
may live in an environment of their own, whose interpreter EX2_LLAMA_PYTHON names.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import absent
from paths import SUPPORT
from processes import free_port
from real_servers import ROWS, judge_for_real, remembered_format, serving, smollm2

from analysis.judge.base import Unparsed, Verdict

pytestmark = pytest.mark.slow

PYTHON = os.environ.get("EX2_LLAMA_PYTHON", sys.executable)


def needs(module: str, package: str) -> None:
    check = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    if subprocess.run([PYTHON, "-c", check], check=False).returncode:
        absent("llama", f"not installed: {package}")


@pytest.fixture
def llama_cpp(tmp_path: Path) -> Iterator[str]:
    """llama.cpp's own server."""
    model, port = smollm2(), free_port()
    needs("xllamacpp", "xllamacpp")
    program = str(SUPPORT / "llama_server.py")
    with serving([PYTHON, program, str(model), str(port)], port, "/health", tmp_path / "log.txt") as url:
        yield url


@pytest.fixture
def llama_cpp_python(tmp_path: Path) -> Iterator[str]:
    model, port = smollm2(), free_port()
    needs("llama_cpp", "llama-cpp-python[server]")
    command = [PYTHON, "-m", "llama_cpp.server", "--model", str(model), "--host", "127.0.0.1", "--port", str(port)]
    threads = ["--n_threads", "1", "--n_threads_batch", "1", "--n_ctx", "2048", "--model_alias", "smollm2"]
    with serving([*command, *threads], port, "/v1/models", tmp_path / "log.txt") as url:
        yield url


def test_a_grammar_makes_every_answer_readable(llama_cpp: str, tmp_path: Path) -> None:
    verdicts = judge_for_real(llama_cpp, "smollm2", tmp_path, max_tokens=256, concurrency=2)
    assert remembered_format(tmp_path / "c.sqlite", llama_cpp, "smollm2") == "json_schema"
    for request, answer in verdicts.items():
        assert isinstance(answer, Verdict), f"{request}: {answer.raw}"
    kinds = [verdicts.kind(*row) for row in ROWS]
    print(f"llama.cpp, SmolLM2-135M: {kinds}, {verdicts.spent}")


def test_a_server_that_fails_over_schemas_is_asked_in_json_mode(llama_cpp_python: str, tmp_path: Path) -> None:
    """It answers 500 to `json_schema`; in JSON mode its grammar allows any object, so that keys may be wrong."""
    verdicts = judge_for_real(llama_cpp_python, "smollm2", tmp_path, max_tokens=256, concurrency=1)
    assert remembered_format(tmp_path / "c.sqlite", llama_cpp_python, "smollm2") == "json_object"
    for _, answer in verdicts.items():
        assert isinstance(answer, Verdict | Unparsed)
        assert answer.raw.lstrip().startswith("{")
    kinds = [verdicts.kind(*row) for row in ROWS]
    print(f"llama-cpp-python, SmolLM2-135M: {kinds}, {verdicts.spent}")
