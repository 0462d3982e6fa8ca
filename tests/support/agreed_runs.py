"""Runs that two people have labelled, and what the report says of the judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from labeled_runs import give, session_of, simple_sample
from run_samples import write_run

from analysis.agreement.command import agreement
from analysis.agreement.labels import read_run
from analysis.agreement.stored import JudgeAgreement, read_judge_agreement
from analysis.report.findings import findings
from analysis.results.load import SeedResult, load_results
from analysis.results.seeds import pool_seeds
from ex2.recipe_io import read_recipe
from ex2.run.directory import RunDirectory
from ex2.run.sealed import write_sealed
from reward.files import JSON, read_json, write_json

KINDS: Any = {"visual": 24, "non_visual": 8, "spurious": 16, "unparsed": 1, "informative_unparsed": 1}
"""Of 50 aligned descriptions; as many base ones are spurious."""


def label(run: Path, n: int, only: str = "") -> None:
    """Answer on a simple random sample by the text's own words; with `only`, first draw until all have that kind."""
    for seed in range(1000):
        if all(item.text.endswith(only) for item in simple_sample(run, n, seed).items):
            break
        (run / "labels" / "sample.json").unlink()
    session = session_of(run, n=n)
    while ask := session.state()["ask"]:
        yes = ask["question"] == "informative" and " spurious" not in ask["description"]
        give(session, "yes" if yes or ask["description"].endswith(" visual") else "no")
    write_json(run / "agreement.json", agreement([read_run(run)])[0].to_json())


def make(root: Path, n: int = 40, *, seeds: dict[int, int] | None = None, only: str = "") -> Path:
    run = write_run(root, "run", kinds=KINDS, seeds=seeds)
    for seed in seeds or {0: 0}:
        path = RunDirectory(run).seed(seed).breakdown
        content = read_json(path)
        write_json(path, content | {"judge": content["judge"] | {"exact": False}})
    label(run, n, only)
    return run


def results_of(run: Path) -> list[SeedResult]:
    return load_results(read_recipe(run / "recipe.yaml"), RunDirectory(run))[0]


def agreement_of(run: Path, *, complete: bool = True) -> JudgeAgreement:
    found = read_judge_agreement(run, results_of(run), complete=complete)
    assert found is not None
    return found


def edit(path: Path, change: Callable[[JSON], object]) -> None:
    content = read_json(path)
    change(content)
    write_sealed(path, content)


def said(run: Path) -> dict[str, str]:
    found = findings(pool_seeds("run", results_of(run)), agreement_of(run))
    return {finding.topic: finding.text.replace("\u00a0", " ") for finding in found}
