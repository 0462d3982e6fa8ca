"""What stands beside the headline wherever it is shown: its cautions, each where it applies, and the reading."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from pages import Page, recipe, seed_result
from rich.console import Console
from run_samples import write_run

from analysis.agreement.standing import judge_caution
from analysis.paper.command import all_tables, read_material
from analysis.report import index as index_page
from analysis.report import page as report_page
from analysis.results import summary
from analysis.results.experiment import Experiment
from analysis.results.headline import UNCALIBRATED, Headline, headline
from analysis.results.runs import read_run
from analysis.results.seeds import pool_seeds
from analysis.results.summary import print_seed
from analysis.results.wording import kind_words
from analysis.tables.export import to_csv, to_json, to_latex
from analysis.tables.rules import Rules
from ex2.cli import main
from ex2.recipe_io import read_recipe

SEEDS = {1: "This is of this run, with one seed: ", 2: "This is of this run, with 2 seeds: "}


def made(seeds: int, *, exact: bool = True, kl: float = 10.0) -> Experiment:
    results = [seed_result(seed, 28 + seed, exact=exact) for seed in range(seeds)]
    for result in results:
        result.train[:] = [row | {"kl": kl} for row in result.train]
    rose = {"visual": (0.4, 0.5, 0.45, 0.35, 0.5), "spurious": (-0.4, -0.5, -0.45, -0.35, -0.5)}
    return replace(pool_seeds("tiny", results), class_changes=rose)


@pytest.mark.parametrize("seeds", [1, 2, 3])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("kl", [10.0, 11.9, 12.1])
def test_each_caution_stands_where_it_applies_and_nowhere_else(seeds: int, exact: bool, kl: float) -> None:
    caution = headline(made(seeds, exact=exact, kl=kl)).caution
    assert ("what the VLM does in other runs takes 3 seeds." in caution) is (seeds < 3)
    assert caution.startswith(SEEDS[seeds]) if seeds < 3 else "with" not in caution
    assert (UNCALIBRATED in caution) is not exact
    assert ("its target 10" in caution) is (kl > 12)
    assert (caution == "") is (seeds == 3 and exact and kl < 12)


def test_a_judge_that_people_checked_is_told_by_question() -> None:
    open_judge = made(3, exact=False)
    assert headline(open_judge, "").caution == "", "calibrated on both questions"
    assert headline(open_judge, "The judge is not calibrated on visual or not.").caution.endswith("visual or not.")
    assert judge_caution(open_judge, None) == UNCALIBRATED
    assert judge_caution(made(3), None) == ""


def test_what_answers_nothing_needs_no_caution() -> None:
    result = seed_result(0)
    base_only = {"base": result.breakdown.policies["base"]}
    only = pool_seeds("tiny", [replace(result, breakdown=replace(result.breakdown, policies=base_only))])
    assert headline(only) == (
        "toy-visual: no aligned descriptions yet",
        "Only the base model was described.",
        None,
        "",
        "",
    )


@pytest.mark.parametrize(
    ("kind", "wording", "content"),
    [
        ("visual", "visual wording", "visual descriptions"),
        ("non_visual", "non-visual wording", "non-visual descriptions"),
        ("spurious", "spurious wording", "spurious descriptions"),
    ],
)
def test_a_kind_is_one_of_wording_until_content_is_proved(kind: str, wording: str, content: str) -> None:
    assert kind_words(kind) == kind_words(kind, content_proved=False) == wording
    assert kind_words(kind, content_proved=True) == content


def test_the_lines_of_a_headline() -> None:
    assert Headline("A", "E.", None, "C.", "R.").lines() == ["A. C.", "R.", "E."]
    assert Headline("A", "E.", None).lines() == ["A.", "E."]


READING = "Of 4.7 points gained, 4.0 are style & <b>the rest</b> content."


def with_reading(experiment: Experiment, judge: str | None = None) -> Headline:
    return headline(experiment, judge)._replace(reading=READING)


@pytest.mark.parametrize("shown", [True, False])
def test_caution_and_reading_stand_in_report_index_terminal_and_tables(
    shown: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if shown:
        for module in (report_page, index_page, summary):
            monkeypatch.setattr(module, "headline", with_reading)
        monkeypatch.setattr("analysis.paper.command.headline", with_reading)
    folder = write_run(tmp_path, "clip-pets", kl=13.0)
    run = read_run(folder)
    report_page.write_report(read_recipe(folder / "recipe.yaml"))
    printed = capsys.readouterr().out
    assert main(["index", str(tmp_path)]) == 0
    console = Console(file=io.StringIO(), width=300)
    print_seed(pool_seeds("r", run.results), console)
    assert isinstance(console.file, io.StringIO)
    tables = all_tables(read_material([folder], None), Rules(), [])
    own = [table for table in tables if table.key.startswith("run-")][:2]
    texts = {
        "report": Page((folder / "report.html").read_text(encoding="utf-8")).text,
        "index": Page((tmp_path / "index.html").read_text(encoding="utf-8")).text,
        "printed by report": printed,
        "printed by analyze": console.file.getvalue(),
        **{table.key: "\n".join(table.notes) for table in own},
    }
    assert len(own) == 2
    for where, text in texts.items():
        told = " ".join(text.replace("\u00a0", " ").split())
        answer, _, rest = told.rpartition("visual wording became more frequent in this run.")
        assert answer, where
        assert rest.strip().startswith("This is of this run, with one seed"), f"right beside the answer: {where}"
        assert "KL 13.0, more than 20 % above its target 10" in rest[:250], where
        assert (READING in rest) is shown, where
    for table in own:
        assert all("became more frequent" in writer(table) for writer in (to_json, to_latex))
        assert "unit,value" in to_csv(table), "a row for each cell, no notes"


def test_the_caution_is_inside_the_headlines_frame(tmp_path: Path) -> None:
    result = seed_result(0, exact=False)
    html = report_page.render(
        recipe(tmp_path, [0]), [result], pool_seeds("tiny", [result]), missing_seeds=[], provenance={}
    )
    frame = html.partition('<div class="headline kind-visual">')[2].partition("</div>")[0]
    assert frame.index("<h1>") < frame.index('<p class="caution">')
    assert UNCALIBRATED in frame
    assert 'class="reading"' not in frame, "empty, so absent"
