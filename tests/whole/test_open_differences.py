"""No significant difference never stands alone: in every text of a stored run its possible sizes stand beside it.

A wide interval says little and a narrow one much, and both are called not significant: without its bound the phrase
reads as if there were no difference.
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from functools import partial

import pytest
from pages import Page
from paths import DATA
from rich.console import Console

from analysis.attributes.stored import stored_attributes
from analysis.attributes.terminal import show as show_attributes
from analysis.phrases.stored import stored_phrases
from analysis.phrases.terminal import show as show_phrases
from analysis.results.runs import read_run
from analysis.results.seeds import pool_seeds
from analysis.results.summary import print_seed
from ex2.cli import main

PHRASE = re.compile(r"no significant difference|not significant|(?<![\w.])n\.s\.", re.IGNORECASE)
NUMBER = r"[+−]?\d+\.\d+"
BOUND = re.compile(rf"between {NUMBER} and ?{NUMBER}|up to {NUMBER} points|\[{NUMBER}, {NUMBER}\]|any size is possible")
DEFINED = (
    "so that every size between the brackets beside it is possible",
    "all that the line spans is possible",
    "all between the brackets is possible",
)
"""Ends of the notes that say what the phrase, or a hollow dot, means; the numbers stand at what they are notes of."""
BEFORE, AFTER = 60, 110
"""Characters around the phrase in which its bound must stand; between them the names of tests and their p."""


def flat(text: str) -> str:
    return " ".join(text.replace("\u00a0", " ").replace("~", " ").split())


def alone(text: str) -> list[str]:
    """Return where the phrase stands without a bound near it."""
    said, found = flat(text), []
    for match in PHRASE.finditer(said):
        before, after = said[max(0, match.start() - BEFORE) : match.start()], said[match.end() : match.end() + AFTER]
        if not BOUND.search(before) and not BOUND.search(after) and not any(note in after for note in DEFINED):
            found.append(f"{before}»{match[0]}«{after}")
    return found


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        ("no significant difference, p = 0.412", True),
        ("EX2 +0.3 points, p = 0.4 (n.s.)", True),
        ("+0.3 points on templates, not significant", True),
        (
            "No significant difference by McNemar, p\u00a0=\u00a00.412: between −1.2 and +3.0\u00a0points are possible",
            False,
        ),
        ("+0.3 [−1.2, +3.0] 0.41 n.s.", False),
        ("no significant difference, p = 0.41: of one attribute up to 20.9 points are possible (colour)", False),
        ("n.s." + " and other words" * 20 + " [−1.2, +3.0]", True),
        ("a significant difference", False),
    ],
)
def test_the_walk_finds_what_it_is_to_find(text: str, stands: bool) -> None:
    assert bool(alone(text)) is stands


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every page, file and terminal text of the stored run."""
    root = tmp_path_factory.mktemp("open")
    shutil.copytree(DATA / "stored_run/runs/stored", root / "runs/stored")
    folder, found = root / "runs/stored", {}
    assert main(["report", str(folder / "recipe.yaml"), f"output_dir={root / 'runs'}"]) == 0
    assert main(["index", str(root / "runs")]) == 0
    assert main(["tables", str(folder), "--out", str(root / "tables"), "--format", "csv,json,latex,svg"]) == 0
    for page in (folder / "report.html", root / "runs/index.html"):
        found[page.name] = Page(page.read_text(encoding="utf-8")).text
    for path in sorted((root / "tables").iterdir()):
        content = path.read_text(encoding="utf-8")
        if path.suffix == ".tex":
            content = re.sub(r"\\ensuremath\{-\}", "−", content).replace("{[}", "[").replace("{]}", "]")
            content = re.sub(r"\\scriptsize|\\shortstack\[r\]|\\textit|\\\\|[{}]", " ", content)
        if path.suffix == ".svg":
            content = re.sub(r"<[^>]+>", " ", content)
        if path.suffix == ".json":
            content = re.sub(r'[\s"]+', " ", content)
        found[path.name] = content
    run = read_run(folder)
    for result in run.results:
        found[f"analyze, seed {result.seed}"] = printed(partial(print_seed, pool_seeds("stored", [result])))
    attributes, phrases = stored_attributes(run.directory)[0], stored_phrases(run.directory)[0]
    assert attributes
    assert phrases
    found["attributes"] = printed(lambda console: show_attributes(attributes, console))
    found["phrases"] = printed(lambda console: show_phrases(phrases, console))
    return found


def printed(show: Callable[[Console], None]) -> str:
    console = Console(file=io.StringIO(), width=400)
    show(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_it_stands_nowhere_alone(texts: dict[str, str]) -> None:
    left = {}
    for where, text in texts.items():
        # On a page what stands in another line of the source is of another element: a tile's neighbor bounds nothing.
        parts = text.splitlines() if where.endswith(".html") else [text]
        if found := [one for part in parts for one in alone(part)]:
            left[where] = found
    assert left == {}


def test_the_walk_saw_the_phrase_in_every_kind_of_text(texts: dict[str, str]) -> None:
    seen = {where for where, text in texts.items() if PHRASE.search(flat(text))}
    assert {
        "report.html",
        "index.html",
        "run-stored-accuracy.csv",
        "run-stored-accuracy.tex",
        "figure-grid.svg",
    } <= seen
    files = {f"run-stored-accuracy.{ending}" for ending in ("csv", "json", "tex", "svg")}
    assert {"analyze, seed 0", *files} <= seen
