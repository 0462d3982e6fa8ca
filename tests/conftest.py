"""No network, one thread, small models made once per session."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

# ruff: noqa: E402 - the environment is set before the libraries read it
import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a script's background job: its children would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)

import browser
import needs
import tiny

pytest_plugins = ["skip_list"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="also run tests that take longer than a few seconds")
    parser.addoption("--run-gpu", action="store_true", help="also run tests that need a GPU")


def pytest_configure(config: pytest.Config) -> None:
    needs.required()  # a name that is not known is told before anything runs


FIRST = ("whole", "ex2")
"""Folders of the longest files, which workers take first: one that comes last leaves the others without work."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        rank = {folder: place for place, folder in enumerate(FIRST)}
        items.sort(key=lambda item: min((rank[part] for part in item.path.parts if part in rank), default=len(FIRST)))
    for item in items:
        for kind in ("slow", "gpu"):
            if kind in item.keywords and not config.getoption(f"--run-{kind}"):
                item.add_marker(pytest.mark.skip(reason=f"needs --run-{kind}"))


def pytest_unconfigure() -> None:
    gc.unfreeze()  # or extension modules report at exit that what they made is still there


@pytest.fixture(autouse=True, scope="module")
def _frozen_modules() -> None:
    """What was imported is not walked through by each `gc.collect()` of a trainer: 0.4 s for each, without this."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("EX2_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_mistral(tmp_path_factory.mktemp("mistral"))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def open_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_open_clip(tmp_path_factory.mktemp("open_clip"))


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_image_folder(tmp_path_factory.mktemp("images") / "photos")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless browser; without one the test is skipped, or fails where one must be."""
    with browser.launched() as found:
        yield found


@pytest.fixture
def opened(chromium: Any) -> Callable[..., AbstractContextManager[Any]]:
    """Open a file in the browser, see `browser.opened`."""

    def one(path: Path, **settings: Any) -> AbstractContextManager[Any]:
        return browser.opened(chromium, path, **settings)

    return one
