"""A kind whose classes mostly take the plain template is nowhere called "only", and nothing is concluded from it."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from pages import Page, recipe, seed_result
from rich.console import Console
from run_samples import write_run
from table_samples import set_arms

from analysis.figures.accuracy import accuracy_figure, accuracy_rows
from analysis.paper.one_run import run_tables
from analysis.report.findings import findings
from analysis.report.page import render
from analysis.results.experiment import Experiment
from analysis.results.runs import experiment_of, read_run
from analysis.results.seeds import pool_seeds
from analysis.results.summary import print_seed
from analysis.results.wording import KIND_NAMES
from analysis.tables.export import to_csv, to_latex
from analysis.tables.rules import Rules
from analysis.verdicts.breakdown import Group

KINDS: tuple[Group, ...] = ("spurious", "informative", "visual", "non_visual")


def filled(kind: Group, classes: int, of: int = 73) -> Experiment:
    """A seed with all kinds, one of which takes the template for so many classes."""
    made = pool_seeds("tiny", [seed_result(0)])
    change = made.differences["spurious", "templates"]
    return replace(
        made,
        classes=of,
        fallback={kind: classes},
        accuracies=made.accuracies | dict.fromkeys(KINDS, made.accuracies["aligned"]),
        differences=made.differences | {(one, "templates"): change for one in KINDS},
        arms=made.arms | dict.fromkeys(KINDS, made.arms["aligned"]),
    )


def texts_of(made: Experiment, tmp_path: Path) -> dict[str, str]:
    """Every text that names a kind's arm."""
    console = Console(file=io.StringIO(), width=200)
    print_seed(made, console)
    assert isinstance(console.file, io.StringIO)
    table = run_tables(made, Rules())[0]
    html = render(recipe(tmp_path, [0]), [seed_result(0)], made, missing_seeds=[], provenance={})
    return {
        "terminal": console.file.getvalue(),
        "table": to_csv(table),
        "latex": to_latex(table),
        "drawing": "".join(map(str, accuracy_figure(accuracy_rows(made)))),
        "page": Page(html).text,
        "findings": " ".join(finding.text for finding in findings(made)),
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("classes", "of", "mostly"), [(62, 73, True), (37, 73, True), (36, 73, False), (5, 10, False)])
def test_it_is_called_by_the_number_of_its_classes(
    kind: Group, classes: int, of: int, mostly: bool, tmp_path: Path
) -> None:
    made = filled(kind, classes, of)
    name = KIND_NAMES[kind]
    only = re.compile(rf"(?<![-\w]){name} only")
    for where, text in texts_of(made, tmp_path).items():
        said = " ".join(text.replace("\u00a0", " ").replace("~", " ").replace("{}", "").split())
        if mostly:
            assert not only.search(said), where
            if where not in ("findings", "terminal"):
                assert f"{of - classes} of {of} classes" in said, where
            assert "no conclusion" in said, where
        else:
            assert "no conclusion" not in said, where
            if where in ("table", "latex", "drawing", "page"):
                assert only.search(said), where
        if where == "drawing":
            assert text.count('class="dot hollow"') == 1 + mostly, "a dot that is filled says that it is significant"
        others = [KIND_NAMES[one] for one in KINDS if one != kind]
        if where in ("table", "drawing", "page"):
            assert all(re.search(rf"(?<![-\w]){one} only", said) for one in others), where


def test_the_table_of_a_run_says_it_in_every_cell_that_is_of_the_template(tmp_path: Path) -> None:
    """Both classes of two by template, in a run as it is stored."""
    run = write_run(tmp_path, "clip")
    right = {
        arm: [at < 140 + 2 * place for at in range(200)] for place, arm in enumerate(("templates", "aligned", *KINDS))
    }
    compared = [(arm, "templates") for arm in right if arm != "templates"] + [("visual", "non_visual")]
    set_arms(run, 0, right, compared, {"non_visual": ["oak", "pug"], "spurious": ["oak"]})
    table = run_tables(experiment_of(read_run(run)), Rules())[0]
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    notes = {(row["texts"], row["column"]): row["notes"] for row in rows}
    mostly = "2 of 2 classes by template: no conclusion"
    assert mostly in notes["non-visual, 0 of 2 classes", "accuracy"]
    assert mostly in notes["non-visual, 0 of 2 classes", "minus templates"]
    assert f"non-visual: {mostly}" in notes["visual only − non-visual, 0 of 2 classes", "accuracy"]
    assert notes["spurious only", "accuracy"] == "1 of 2 classes by template"
    assert "template" not in notes["visual only", "accuracy"]
