"""`accuracy.json` and `breakdown.json` as records: written as they were read, earlier versions, faulty files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from messages import without_line
from run_samples import write_run

from analysis.accuracy.record import Accuracy, Covered, read_accuracy
from analysis.report.accuracy import accuracy_table, confusion_table
from analysis.report.judge import both_denominators, panel, usage
from analysis.results.pooling import further_accuracy, reward_gain, settings_of
from analysis.results.runs import experiment_of, read_run
from analysis.statistics.intervals import IntervalSettings
from analysis.verdicts.record import Breakdown, read_breakdown
from ex2.cli import main
from reward.errors import UserError
from reward.files import read_json, write_json

HITS = {"accuracy": 0.75, "low": 0.3, "high": 0.95, "n": 4, "correct": 3}
BITS = {"correct_bits": "4A=="}
PAIR = {"difference": 0.25, "low": 0.0, "high": 0.5, "p": 1.0, "only_first": 1, "only_second": 0, "n": 4}
COMPARED = {"arm": "visual", "against": "non_visual", **PAIR}
ACCURACY: dict[str, Any] = {
    "vlm": "clip",
    "vlm_fingerprint": "openai-1:c9",
    "dataset": "pets",
    "split": "test",
    "images": 4,
    "classes": 6,
    "confidence": 0.95,
    "samples": 2000,
    "seed": 0,
    "arms": {
        "templates": {
            **HITS,
            "top5": HITS,
            "mean_per_class": {"accuracy": 0.7, "low": 0.2, "high": 1.0, "n": 6},
            "confusions": [{"class": "pug", "predicted": "oak", "images": 1, "of": 2}],
            "texts": 80,
            "unique_texts": 79,
            "fallback_classes": ["oak"],
            **BITS,
        },
        "base": None,
    },
    "differences": [COMPARED],
    "covered_by_both": [
        {"groups": ["informative", "spurious"], "classes": 1, "arms": {}, "difference": None},
        {
            "groups": ["visual", "non_visual"],
            "classes": 2,
            "arms": {"visual": {**HITS, **BITS}},
            "difference": COMPARED,
            "without": ["oak", "pug"],
        },
    ],
    "controls": {"waffle": {"name": "random words", "note": "4 texts a class"}},
    "reward_gain": {
        "aligned": 22.0,
        "base": 21.0,
        "difference": 1.0,
        "low": None,
        "high": None,
        "bootstrap_low": None,
        "bootstrap_high": None,
        "n": 1,
        "unpaired": 3,
    },
    "analysis_id": "265e8e5cc02ba052",
}
"""As the stage writes it, key by key: the records are not asked what that is."""

SHARE = {"share": 0.5, "low": 0.1, "high": 0.9, "n": 2}
GROUPS = {
    "spurious": {"count": 1, "of_parent": SHARE, "of_all": SHARE},
    "informative": {"count": 1, "of_parent": SHARE, "of_all": SHARE},
    "visual": {"count": 0, "of_parent": None, "of_all": SHARE},
    "non_visual": {"count": 0, "of_parent": None, "of_all": SHARE},
}
SPENT = {"requests": 3, "input_tokens": 300, "output_tokens": 21}
BREAKDOWN: dict[str, Any] = {
    "judge": {"name": "majority of a, b", "exact": False, "rubric": "paper-1", "settings": "7845293b507c"},
    "usage": {
        **SPENT,
        "cost": None,
        "judges": [{"name": "a", **SPENT, "cost": 0.5}, {"name": "b", **SPENT, "cost": None}],
    },
    "panel": {
        "informative": {
            "asked": 2,
            "unanimous": 1,
            "undecided": 1,
            "judges": {"a": {"yes": 1, "no": 1, "unparsed": 0}, "b": {"yes": 0, "no": 1, "unparsed": 1}},
        }
    },
    "denominator": "parsed",
    "confidence": 0.95,
    "policies": {
        "aligned": {
            "descriptions": 2,
            "unique": 2,
            "empty": 0,
            "unparsed": {"informative": 0, "visual": 1},
            "kinds": {"spurious": 1, "visual": 0, "non_visual": 0, "informative_unparsed": 1, "unparsed": 0},
            "groups": GROUPS,
            "by_denominator": {"parsed": GROUPS, "all": GROUPS},
        }
    },
    "analysis_id": "265e8e5cc02ba052",
}


def same(record: Accuracy | Breakdown, stored: dict[str, Any]) -> bool:
    """Whether a record is written with the same keys and the same values, 1 being another than 1.0."""
    return json.dumps(record.to_json(), sort_keys=True) == json.dumps(stored, sort_keys=True)


def test_what_is_read_is_written_again() -> None:
    assert same(Accuracy.from_json(ACCURACY), ACCURACY)
    assert same(Breakdown.from_json(BREAKDOWN), BREAKDOWN)
    no_panel = BREAKDOWN | {"usage": {**SPENT, "cost": 0.5}, "panel": None}
    assert same(Breakdown.from_json(no_panel), no_panel)
    unpaired = ACCURACY | {"reward_gain": None, "controls": {}, "covered_by_both": []}
    assert same(Accuracy.from_json(unpaired), unpaired)


def test_a_record_survives_the_file(tmp_path: Path) -> None:
    accuracy, breakdown = Accuracy.from_json(ACCURACY), Breakdown.from_json(BREAKDOWN)
    write_json(tmp_path / "accuracy.json", accuracy.to_json())
    write_json(tmp_path / "breakdown.json", breakdown.to_json())
    assert read_accuracy(tmp_path / "accuracy.json") == accuracy
    assert read_breakdown(tmp_path / "breakdown.json") == breakdown


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = read_json(path)
    change(content)
    write_json(path, content)


def without(content: dict[str, Any], *keys: str) -> None:
    for key in keys:
        content.pop(key, None)


def make_older(run: Path) -> None:
    """Take away what earlier versions did not write."""

    def older_accuracy(content: dict[str, Any]) -> None:
        without(content, "vlm_fingerprint", "samples", "seed", "controls", "reward_gain", "analysis_id")
        for arm in content["arms"].values():
            without(arm or {}, "top5", "mean_per_class", "confusions", "correct_bits")

    def older_breakdown(content: dict[str, Any]) -> None:
        without(content, "usage", "panel", "analysis_id")
        for part in content["policies"].values():
            without(part, "by_denominator")

    edit(run / "seed-0" / "accuracy.json", older_accuracy)
    edit(run / "seed-0" / "breakdown.json", older_breakdown)


def test_a_run_of_an_earlier_version_is_read_with_the_same_numbers(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "r")
    new = experiment_of(read_run(folder))
    make_older(folder)
    run = read_run(folder)
    assert experiment_of(run) == replace(new, reward_gain=None), "all but what its file lacks"
    [result] = run.results
    assert result.accuracy.arms["aligned"] is not None
    assert result.accuracy.arms["aligned"].top1.correct_bits == ""
    assert settings_of(run.results) == IntervalSettings(0.95)
    assert reward_gain(run.results) is None
    assert further_accuracy(run.results, "aligned", "top5") is None
    assert further_accuracy(run.results, "aligned", "mean_per_class") is None
    assert [row["top5"] for row in accuracy_table(experiment_of(run))] == ["–"] * 7
    assert confusion_table(run.results) == []
    assert (usage(run.results), panel(run.results)) == ("", [])
    assert [table["policy"] for table in both_denominators(experiment_of(run))] == ["aligned"]


def test_classes_left_out_may_be_unknown() -> None:
    stored = {"groups": ["visual", "non_visual"], "classes": 2, "arms": {"visual": HITS}, "difference": COMPARED}
    covered = Covered.from_json(stored)
    assert (covered.without, covered.arms["visual"].correct_bits) == (None, "")
    assert covered.to_json() == stored


AGAIN = "; delete it and run its stage again."
PARTS = '{"vlm": "v", "dataset": "d", "split": "s", "images": 1, "classes": 2, "confidence": 0.9, "arms": 1}'
NO_JSON = "not JSON (Expecting property name enclosed in double quotes)"


def missing(*keys: str) -> str:
    return "; ".join(f"'{key}' is missing" for key in keys)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("accuracy.json", "{", NO_JSON),
        ("breakdown.json", "{", NO_JSON),
        (
            "accuracy.json",
            "{}",
            missing(
                "vlm",
                "dataset",
                "split",
                "images",
                "classes",
                "confidence",
                "arms",
                "differences",
                "covered_by_both",
            ),
        ),
        ("breakdown.json", "{}", missing("judge", "denominator", "confidence", "policies")),
        ("accuracy.json", "[]", "it holds []: input should be a dictionary or an instance of Accuracy"),
        ("breakdown.json", "[]", "it holds []: input should be a dictionary or an instance of Breakdown"),
        (
            "accuracy.json",
            PARTS,
            f"'arms' is 1: input should be a valid dictionary; {missing('differences', 'covered_by_both')}",
        ),
        ("breakdown.json", PARTS, missing("judge", "denominator", "policies")),
    ],
)
def test_a_faulty_file_is_one_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    folder = write_run(tmp_path, "r")
    path = folder / "seed-0" / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_run(folder)
    assert str(caught.value) == f"{path}: line 1: {message}{AGAIN}"


def broken(tmp_path: Path, content: dict[str, Any], *place: str | int, value: object = None) -> str:
    """Return what is said of a file where a key is missing, or has another value if one is given."""
    path = tmp_path / "broken.json"
    copy = part = json.loads(json.dumps(content))
    for key in place[:-1]:
        part = part[key]
    part.pop(place[-1])
    if value is not None:
        part[place[-1]] = value
    write_json(path, copy)
    with pytest.raises(UserError) as caught:
        (read_breakdown if "judge" in content else read_accuracy)(path)
    return without_line(caught.value).removeprefix(f"{path}: ").removesuffix(AGAIN)


def test_what_is_wrong_inside_is_named_by_its_keys(tmp_path: Path) -> None:
    policy = ("policies", "aligned")
    assert broken(tmp_path, ACCURACY, "arms", "templates", "correct") == missing("arms.templates.correct")
    assert broken(tmp_path, ACCURACY, "differences", 0, "p") == missing("differences.0.p")
    assert broken(tmp_path, ACCURACY, "covered_by_both", 0, "difference") == missing("covered_by_both.0.difference")
    assert broken(tmp_path, ACCURACY, "covered_by_both", 1, "arms") == missing("covered_by_both.1.arms")
    assert broken(tmp_path, BREAKDOWN, "usage", "judges", 1, "requests") == missing("usage.judges.1.requests")
    assert broken(tmp_path, BREAKDOWN, *policy, "kinds", "visual") == missing("policies.aligned.kinds.visual")
    groups = (*policy, "by_denominator", "all")
    assert broken(tmp_path, BREAKDOWN, *groups, "spurious") == missing("policies.aligned.by_denominator.all.spurious")
    said = broken(tmp_path, BREAKDOWN, "denominator", value="some")
    assert said == "'denominator' is 'some': input should be 'parsed' or 'all'"
    said = broken(tmp_path, BREAKDOWN, *groups, "spurious", "count", value="many")
    place = "policies.aligned.by_denominator.all.spurious.count"
    assert said == f"'{place}' is 'many': input should be a valid integer, unable to parse string as an integer"


def test_kinds_and_groups_of_later_versions_are_passed_over() -> None:
    part = BREAKDOWN["policies"]["aligned"]
    later = {"kinds": part["kinds"] | {"doubtful": 3}, "groups": GROUPS | {"doubtful": GROUPS["visual"]}}
    stored = BREAKDOWN | {"policies": {"aligned": part | later}}
    assert same(Breakdown.from_json(stored), BREAKDOWN)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    for read, name in ((read_accuracy, "accuracy.json"), (read_breakdown, "breakdown.json")):
        with pytest.raises(UserError, match=rf"{name}: not found; run the stage that writes it first"):
            read(tmp_path / name)


def test_a_vlm_without_a_fingerprint_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_older(write_run(tmp_path, "one"))
    write_run(tmp_path, "two", vlm="align-base")
    assert main(["cross", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "one: accuracy.json does not tell the VLM's weights; run `ex2 analyze RECIPE` again." in error
