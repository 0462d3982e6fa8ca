"""`ex2 agreement` on stratified samples and on judges that could hardly be read: files, terminal, CSV and standing."""

from __future__ import annotations

import csv
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agreed_runs import agreement_of, edit, results_of
from labeled_runs import give, session_of
from run_samples import write_run

from analysis.agreement.command import main
from analysis.agreement.raters import Confusion
from analysis.agreement.record import read_agreement
from analysis.agreement.section import agreement_tables
from analysis.agreement.stored import JudgeAgreement
from analysis.agreement.tables import WEIGHTED
from analysis.labeling.sample import read_sample
from analysis.statistics.intervals import Estimate
from ex2.run.directory import RunDirectory
from reward.files import JSON, read_json

RARE: Any = {"visual": 12, "non_visual": 4, "spurious": 184}
"""Of 200 aligned descriptions; all 200 base ones are spurious."""


def labeled(root: Path, n: int = 60, *, kinds: Any = None, miss: int = 0) -> Path:
    """A run with a stratified sample, labelled by the texts' words, but for the first `miss` spurious ones."""
    run = write_run(root, "run", kinds=kinds or RARE)
    edit(RunDirectory(run).seed(0).breakdown, lambda content: content["judge"].update(exact=False))
    session, left = session_of(run, n=n), miss
    while ask := session.state()["ask"]:
        spurious = " spurious" in ask["description"] or ask["description"].startswith("base")
        if ask["question"] == "informative" and spurious and left:
            left -= 1
            spurious = False
        give(
            session,
            "no" if spurious or (ask["description"].endswith("non_visual") and ask["question"] == "visual") else "yes",
        )
    return run


def options(*runs: Path, **more: Any) -> Namespace:
    return Namespace(**{"runs": list(runs), "per_run": False, "rater": None, "confidence": 0.95} | more)


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_weights_reach_every_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run = labeled(tmp_path, miss=2)
    assert main(options(run)) == 0
    stored: Any = read_json(run / "agreement.json")
    drawn = read_sample(run).drawn
    assert stored["sample"]["strata"] == {
        kind: {"n": drawn[kind], "population": size, "labeled": drawn[kind]}  # type: ignore[index]
        for kind, size in (("spurious", 384), ("visual", 12), ("non_visual", 4))
    }
    found = stored["own"]["questions"]["informative"]
    # All 16 judged informative are right; 2 of the spurious ones' labels say informative, of 384 / n each.
    weight = 384 / drawn["spurious"]
    assert (drawn["visual"], drawn["non_visual"]) == (12, 4)
    assert (found["both_yes"], found["only_people"]) == (16, 2)
    assert found["sensitivity"]["value"] == pytest.approx(16 / (16 + 2 * weight))
    assert found["specificity"]["value"] == 1
    assert found["agreement"]["value"] == pytest.approx(1 - 2 * weight / 400)
    assert found["youden"]["value"] == pytest.approx(found["sensitivity"]["value"])
    assert found["youden"]["n"] == 18
    table = stored["own"]["weighted_table"]
    assert sum(map(sum, table)) == pytest.approx(60)
    assert table[1][0] == pytest.approx(2 * weight * 60 / 400), "they are called non-visual"
    out = shown(capsys)
    assert WEIGHTED in out
    assert f"spurious {drawn['spurious']} of 384, visual 12 of 12, non-visual 4 of 4" in out
    rows = [*csv.DictReader((run / "agreement.csv").read_text().splitlines())]
    (line,) = [row for row in rows if row["quantity"] == "youden" and row["subject"] == "informative"]
    assert float(line["value"]) == found["youden"]["value"]
    again = read_agreement(run / "agreement.json")
    assert again.to_json() == stored
    tables = agreement_tables(JudgeAgreement(again))
    assert tables is not None
    assert tables["second"].endswith("descriptions that it stands for; n and the table of kinds count labels.")


def changed(found: JudgeAgreement, confusion: Confusion, **rates: Estimate | None) -> JudgeAgreement:
    used = dict(found.content.own.questions)
    used["informative"] = replace(used["informative"], confusion=confusion, **rates)
    return found._replace(content=replace(found.content, own=replace(found.content.own, questions=used)))


def test_calibrated_goes_by_the_weighted_intervals(tmp_path: Path) -> None:
    run = labeled(tmp_path)
    main(options(run))
    found = agreement_of(run)
    assert found.stale == ""
    assert found.shortfalls["informative"] == ""
    clear, open_ = Estimate(0.5, 0.2, 0.8, 40), Estimate(0.5, -0.01, 0.8, 40)
    plain = Confusion(20, 0, 0, 20)  # the labels alone would do
    kappa = "Cohen's κ cannot be told from 0"
    coin = "sensitivity and specificity together cannot be told from 100 %, those of a coin"
    for rates, why in (
        ({"kappa": clear, "youden": clear}, ""),
        ({"kappa": open_, "youden": clear}, kappa),
        ({"kappa": None, "youden": clear}, kappa),
        ({"kappa": clear, "youden": open_}, coin),
        ({"kappa": clear, "youden": clear._replace(low=0.0)}, coin),
    ):
        assert changed(found, plain, **rates).shortfalls["informative"] == why
    nine = changed(found, Confusion(9, 0, 0, 40), kappa=clear, youden=clear)
    assert nine.shortfalls["informative"].startswith("people said yes 9 and no 40 times"), "labels, not their weights"


def test_ten_weighted_labels_calibrate_nothing(tmp_path: Path) -> None:
    """Ten labels on which judge and people disagree as by chance: κ is about −.18."""
    run = labeled(tmp_path, n=10)
    main(options(run))
    found = agreement_of(run)
    assert found.content.own.labeled == 10
    low = Estimate(-0.18, -0.6, 0.4, 10)
    ten = changed(found, Confusion(2, 3, 3, 2), kappa=low, youden=low)
    assert ten.shortfalls["informative"].startswith(
        "people said yes 5 and no 5 times: label until both are at least 10"
    )
    assert all(ten.shortfalls.values())
    assert ten.lacking


HARDLY: Any = {"visual": 20, "non_visual": 5, "spurious": 15, "unparsed": 60}
SECOND: Any = {"visual": 10, "non_visual": 5, "spurious": 45, "informative_unparsed": 40}


@pytest.mark.parametrize(
    ("kinds", "told", "line"),
    [
        (HARDLY, "aligned, informative: 40 of 100", ["informative", 0.4, 100]),
        (SECOND, "aligned, visual: 15 of 55", ["visual", 15 / 55, 55]),
    ],
)
def test_a_judge_that_could_hardly_be_read_has_no_shares(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kinds: Any,
    told: str,
    line: list[Any],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run = labeled(tmp_path, kinds=kinds)
    assert main(options(run)) == 0
    out = shown(capsys)
    assert f"run: No shares are shown, because under half of the judge's answers could be read ({told})." in out
    for word in ("as judged", "corrected:", "not corrected", "visual, of the informative"):
        assert word not in out
    assert "sensitivity, of people's yes" in out, "rates on what could be read stay"
    stored: Any = read_json(run / "agreement.json")
    assert [part["shares"] for part in stored["policies"].values()] == [{}, {}]
    rows = [*csv.DictReader((run / "agreement.csv").read_text().splitlines())]
    assert not [row for row in rows if row["quantity"].startswith("share_")]
    (row,) = [row for row in rows if row["quantity"] == "answers_read"]
    assert [row["subject"], float(row["value"]), int(row["n"])] == line
    assert (row["policy"], row["low"], row["high"]) == ("aligned", "", "")


def test_half_of_the_answers_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = labeled(tmp_path, kinds={"visual": 20, "non_visual": 5, "spurious": 25, "unparsed": 50})
    main(options(run))
    assert "No shares" not in shown(capsys)
    assert read_json(run / "agreement.json")["policies"]["aligned"]["shares"]


def test_a_run_that_could_be_read_keeps_its_shares_beside_one_that_could_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    first, second = labeled(tmp_path / "a"), labeled(tmp_path / "b", kinds=HARDLY)
    main(options(first, second))
    out = shown(capsys)
    assert "No shares are shown" in out
    assert "aligned, 200 descriptions" in out
    assert "aligned, 100 descriptions" not in out
    kept: JSON = read_json(first / "agreement.json")["policies"]["aligned"]["shares"]
    assert set(kept) == {"spurious", "visual", "visual_of_informative"}


def test_shares_that_an_earlier_version_stored_are_not_shown(tmp_path: Path) -> None:
    run = labeled(tmp_path, kinds=HARDLY)
    main(options(run))
    share = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    edit(
        run / "agreement.json",
        lambda content: content["policies"]["aligned"].update(
            shares={"spurious": {"judged": share, "corrected": share, "reason": ""}}
        ),
    )
    tables = agreement_tables(agreement_of(run))
    assert tables is not None
    assert tables["shares"] == []
    assert results_of(run)
