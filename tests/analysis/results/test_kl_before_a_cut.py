"""With top_p or top_k the KL is not that of what is sampled: each place that shows it says so, and no other does."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from pages import Page
from rich.console import Console
from run_samples import write_run

from analysis.report.page import write_report
from analysis.results.kl import KLReached, kl_of_run, kl_summary
from analysis.results.runs import experiment_of, read_run
from analysis.results.summary import print_seed
from ex2.cli import main
from ex2.recipe_io import read_recipe, to_yaml
from ex2.run.directory import RunDirectory
from reward.files import write_text

CUTS: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"temperature": 0.7}, ""),
    ({"top_p": 0.9}, "before the cut by top_p 0.9, not of what is sampled"),
    ({"top_k": 40}, "before the cut by top_k 40, not of what is sampled"),
    ({"top_p": 0.5, "top_k": 5}, "before the cut by top_p 0.5 and top_k 5, not of what is sampled"),
]


def cut_run(root: Path, changes: dict[str, Any], **settings: Any) -> Path:
    """A run whose recipe samples like this."""
    folder = write_run(root, "cut", **settings)
    made = read_recipe(folder / "recipe.yaml")
    made = made.model_copy(update={"generation": made.generation.model_copy(update=changes)})
    write_text(folder / "recipe.yaml", to_yaml(made))
    return folder


def flat(text: str) -> str:
    return " ".join(text.replace("\u00a0", " ").replace("\\_", "_").replace("~", " ").split())


@pytest.mark.parametrize(("changes", "words"), CUTS)
def test_terminal_index_tables_and_report_say_it(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    folder = cut_run(tmp_path / "runs", changes)
    write_report(read_recipe(folder / "recipe.yaml"))
    assert main(["index", str(tmp_path / "runs")]) == 0
    assert main(["tables", str(folder), "--out", str(tmp_path / "out"), "--format", "csv,json,latex"]) == 0
    console = Console(file=io.StringIO(), width=300)
    print_seed(experiment_of(read_run(folder)), console)
    assert isinstance(console.file, io.StringIO)
    (cell,) = (  # of the index's grid
        said for said in Page((tmp_path / "runs/index.html").read_text()).text.splitlines() if "KL 10.0 of 10" in said
    )
    texts = {
        "terminal": console.file.getvalue(),
        "index": cell,
        "report, in plain words": Page((folder / "report.html").read_text()).text.partition("Distance from")[2][:400],
        **{
            name: (tmp_path / "out" / f"run-cut-accuracy.{name}").read_text().replace("–", "-")
            for name in ("csv", "json", "tex")
        },
    }
    for where, text in texts.items():
        assert ("not of what is sampled" in flat(text)) is bool(words), where
        assert words in flat(text), where
    rows = list(csv.DictReader(io.StringIO(texts["csv"])))
    assert all((words in row["notes"]) for row in rows)
    assert {row["kl_off_target"] for row in rows} == {"false"}, "a cut is no missed target"
    assert any(words in note for note in json.loads(texts["json"])["notes"])


@pytest.mark.parametrize(("changes", "words"), CUTS)
def test_what_attributes_and_phrases_store_and_show(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    folder = cut_run(tmp_path, changes)
    kl = kl_of_run(RunDirectory(folder), read_recipe(folder / "recipe.yaml"), [0], 0.95)
    assert kl is not None
    shown = flat(kl_summary(kl))
    assert shown == f"KL 10.00 [10.00, 10.00] nats{', ' if words else ''}{words}, target 10"
    stored = kl.to_json()
    assert ("cut" in stored) is bool(words), "files of runs without a cut stay as they were"
    assert KLReached.from_json(stored) == kl


def test_a_cut_is_said_beside_a_missed_target(tmp_path: Path) -> None:
    folder = cut_run(tmp_path, {"top_k": 7}, kl=13.0)
    made = experiment_of(read_run(folder))
    assert made.kl is not None
    assert flat(made.kl.summary()).endswith("not of what is sampled, target 10: more than 20 % above it")
    assert made.kl.off(0.2)
