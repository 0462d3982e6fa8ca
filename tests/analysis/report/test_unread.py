"""A run whose judge could hardly be read shows no shares, anywhere, and says so with numbers."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from pages import Page, recipe
from rich.console import Console
from run_samples import write_run

from analysis.figures.breakdown import breakdown_figure
from analysis.report.findings import findings
from analysis.report.page import render
from analysis.results.experiment import Experiment, Unread
from analysis.results.headline import headline
from analysis.results.runs import experiment_of, read_run
from analysis.results.summary import print_seed
from analysis.results.unread import NO_SHARES, unread_answers, unread_banner
from analysis.verdicts.breakdown import GROUPS
from analysis.verdicts.verdicts import Kind
from ex2.cli import main

HARDLY: dict[Kind, int] = {"visual": 9, "non_visual": 4, "spurious": 6, "unparsed": 21}
HALF: dict[Kind, int] = {"visual": 10, "non_visual": 4, "spurious": 6, "unparsed": 20}
SECOND: dict[Kind, int] = {"visual": 3, "non_visual": 2, "informative_unparsed": 6, "spurious": 29}
FEW: dict[Kind, int] = {"visual": 1, "informative_unparsed": 2, "spurious": 37}
BANNER = (
    "No shares are shown, because under half of the judge's answers could be read (aligned, informative: 19 of 40)."
)


def made(folder: Path, kinds: dict[Kind, int], name: str = "run", seeds: Mapping[int, int] | None = None) -> Experiment:
    return experiment_of(read_run(write_run(folder, name, kinds=kinds, seeds=dict(seeds or {0: 160}))))


@pytest.mark.parametrize(
    ("kinds", "unread"),
    [
        (HARDLY, (Unread("aligned", "informative", 19, 40),)),
        ({"unparsed": 40}, (Unread("aligned", "informative", 0, 40),)),
        (SECOND, (Unread("aligned", "visual", 5, 11),)),
        (HALF, ()),
        (FEW, ()),  # 1 of 3 second answers: too few to tell
        ({"visual": 20, "spurious": 20}, ()),
    ],
)
def test_which_answers_were_hardly_read(tmp_path: Path, kinds: dict[Kind, int], unread: tuple[Unread, ...]) -> None:
    experiment = made(tmp_path, kinds)
    assert experiment.unread == unread_answers(experiment.policies) == unread
    shares = [experiment.share(group) for group in GROUPS]
    shares += [experiment.share_of_all(policy, group) for policy in ("aligned", "base") for group in GROUPS]
    assert any(shares) is not bool(unread)
    assert bool(experiment.share_changes) is not bool(unread)
    assert experiment.total("all") == 40, "how many there are is known"
    assert (breakdown_figure(experiment, "aligned") is None) is bool(unread)


def test_empty_descriptions_were_never_asked_about(tmp_path: Path) -> None:
    """30 of 40 are empty, and so spurious without a judge; of the other 10 the judge could read 4."""
    run = write_run(tmp_path, "run", kinds={"spurious": 34, "unparsed": 6})
    path = run / "seed-0/breakdown.json"
    content = json.loads(path.read_text())
    content["policies"]["aligned"]["empty"] = 30
    path.write_text(json.dumps(content))
    assert experiment_of(read_run(run)).unread == (Unread("aligned", "informative", 4, 10),)


def test_seeds_are_taken_together(tmp_path: Path) -> None:
    experiment = made(tmp_path, HARDLY, seeds={0: 160, 1: 161})
    assert experiment.unread == (Unread("aligned", "informative", 38, 80),)
    assert "38 of 80" in unread_banner(experiment)


# ---------------------------------------------------------------- where shares are shown


def printed(experiment: Experiment) -> str:
    console = Console(file=io.StringIO(), width=160)
    print_seed(experiment, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_the_banner_instead(tmp_path: Path) -> None:
    told = printed(made(tmp_path, HARDLY))
    assert BANNER in told
    assert "share of descriptions" not in told
    assert "unparsed answers: 21 informative, 0 visual" in told
    other = printed(made(tmp_path, HALF, "half"))
    assert "share of descriptions" in other
    assert "No shares" not in other


def test_headline_and_findings_say_nothing_of_kinds(tmp_path: Path) -> None:
    experiment = made(tmp_path, HARDLY)
    assert headline(experiment) == ("clip-vit-b32: what it rewards is not known", BANNER, None, "", "")
    told = findings(experiment)
    assert told[0] == ("The judge could hardly be read", BANNER)
    assert "What alignment changed" not in [finding.topic for finding in told]


@pytest.mark.parametrize("seeds", [{0: 160}, {0: 160, 1: 161}])
def test_the_report_shows_no_share(tmp_path: Path, seeds: dict[int, int]) -> None:
    for kinds, hidden in ((HARDLY, True), (HALF, False)):
        run = read_run(write_run(tmp_path, "hardly" if hidden else "half", kinds=kinds, seeds=seeds))
        experiment = experiment_of(run)
        html = render(recipe(tmp_path, list(seeds)), run.results, experiment, missing_seeds=[], provenance={})
        page = Page(html)
        banner = unread_banner(experiment)
        assert bool(banner) is hidden
        assert (page.text.count(banner) >= 2) is hidden or not banner, "on top, and where the shares would be"
        assert ("of aligned descriptions are" in page.text) is not hidden
        assert ("flow-aligned" in html) is not hidden
        assert ("shares by both denominators" in page.text) is not hidden
        assert "none of 40" in page.text or "21 of" in page.text or "42 of" in page.text or not hidden


def test_the_tables_show_no_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, kinds in (("hardly", HARDLY), ("half", HALF)):
        run = write_run(tmp_path / "runs", name, kinds=kinds, dataset=name)
        out = tmp_path / name
        assert main(["tables", str(run), "--out", str(out), "--format", "csv,json,svg"]) == 0
        hidden = kinds is HARDLY
        assert (f"tables: {name}: {BANNER}" in capsys.readouterr().out) is hidden
        for table in ("table-02-informative", "table-04-visual", "table-13-counts", f"run-{name}-breakdown"):
            assert (NO_SHARES in (out / f"{table}.csv").read_text()) is hidden, table
            assert (BANNER in (out / f"{table}.json").read_text()) is hidden, table
        assert (out / f"run-{name}-breakdown-aligned.svg").exists() is not hidden


def test_the_index_shows_no_share(tmp_path: Path) -> None:
    for name, kinds in (("hardly", HARDLY), ("half", HALF)):
        write_run(tmp_path, name, kinds=kinds, dataset=name)
    assert main(["index", str(tmp_path)]) == 0
    text = Page((tmp_path / "index.html").read_text()).text
    assert text.count(f"hardly: {BANNER}") >= 1
    assert "half: No shares" not in text
    grid = text[text.index("VLM by dataset") : text.index("The paper's tables")]
    assert grid.count(NO_SHARES) == 1
    assert grid.count("]\u00a0informative, n") + grid.count("] informative, n") == 1, "the other run's"
