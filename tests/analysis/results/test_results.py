"""What the stages left, read together: seeds that cannot be pooled, and analyses that were interrupted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pages import recipe, seed_result, write_seed
from record_samples import judged, measured

from analysis.results.load import load_results
from analysis.verdicts.record import JudgeIdentity
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import write_json


def test_seeds_that_were_not_analyzed_alike_are_not_pooled(tmp_path: Path) -> None:
    made, run = recipe(tmp_path, [0, 1, 2]), RunDirectory(tmp_path / "tiny")
    judge = JudgeIdentity("grammar & co", True, "fenced-1", "e")
    other = measured(judged(seed_result(2), judge=judge, denominator="all"), images=150, confidence=0.99)
    for result in (seed_result(0), seed_result(1), other):
        write_seed(run.seed(result.seed), result)
    with pytest.raises(UserError) as caught:
        load_results(made, run)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{run.root}: the seeds were not analysed alike, so that no mean can be taken:"
    assert lines[1:-1] == [
        "  test images: 200 (seeds 0, 1); 150 (seed 2)",
        "  judge's settings: d (seeds 0, 1); e (seed 2)",
        "  judge's rubric: paper-1 (seeds 0, 1); fenced-1 (seed 2)",
        "  analysis.denominator: parsed (seeds 0, 1); all (seed 2)",
        "  analysis.confidence: 0.95 (seeds 0, 1); 0.99 (seed 2)",
    ]
    assert lines[-1].startswith("Run `ex2 analyze RECIPE` again, for all seeds")
    results, missing = load_results(recipe(tmp_path, [0, 1, 5]), run)
    assert ([result.seed for result in results], missing) == ([0, 1], [5])


def test_an_analysis_that_was_interrupted_between_its_files_is_not_shown(tmp_path: Path) -> None:
    made, run = recipe(tmp_path, [0]), RunDirectory(tmp_path / "tiny")
    result = measured(judged(seed_result(0), analysis_id="old"), analysis_id="new")
    write_seed(run.seed(0), result)
    with pytest.raises(UserError, match=r"seed 0: .* two analyses.*; run `ex2 analyze RECIPE --seeds 0` again"):
        load_results(made, run)
    write_json(run.seed(0).breakdown, replace(result.breakdown, analysis_id="new").to_json())
    assert len(load_results(made, run)[0]) == 1
