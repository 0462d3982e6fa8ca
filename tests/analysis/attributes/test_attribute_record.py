"""`attributes.json` as records: the same keys and values again, and what is said of files that cannot be read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from messages import without_line
from paths import DATA
from pydantic import ValidationError

from analysis.attributes.record import Attributes, RunsCompared
from analysis.attributes.section import attribute_section
from analysis.attributes.stored import stored_attributes
from analysis.attributes.summary import corrected
from analysis.results.kl import kl_summary
from ex2.run.directory import RunDirectory
from ex2.run.sealed import write_sealed
from reward.errors import UserError
from reward.files import read_json, write_json
from reward.records import problems

STORED = DATA / "stored_run/runs/stored"

GAP = {
    "attribute": "colour",
    "difference": 0.25,
    "low": -0.1,
    "high": 0.6,
    "mentions": [40, 38],
    "over_seeds": False,
    "p": 0.01,
    "p_holm": 0.02,
    "significant": True,
}
NOTHING = GAP | {"attribute": "use", "difference": None, "low": None, "high": None, "mentions": [0, 38]}
COMPARED = {
    "dataset": "pets",
    "first": "clip",
    "second": "align",
    "runs": [["one", "91d35d51097f716f"], ["two", "213caad82556c12f"]],
    "seeds": [1, 2],
    "unit": "descriptions",
    "statistic": 3.5,
    "p": 0.03,
    "permutations": 5000,
    "least_p": 1 / 5001,
    "shared_classes": 5,
    "classes": [6, 5],
    "attributes": [GAP, NOTHING],
    "p_holm": 0.03,
    "significant": True,
}
"""As the verb writes it, key by key: the records are not asked what that is."""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    shutil.copytree(STORED, tmp_path / "stored")
    return RunDirectory(tmp_path / "stored")


def same(written: dict[str, Any], stored: dict[str, Any]) -> bool:
    """Whether keys and values are the same, 1 being another than 1.0."""
    return json.dumps(written, sort_keys=True) == json.dumps(stored, sort_keys=True)


def edit(run: RunDirectory, change: Callable[[dict[str, Any]], object]) -> Path:
    path = run.root / "attributes.json"
    stored = read_json(path)
    change(stored)
    write_sealed(path, stored)
    return path


def test_a_stored_file_is_written_again(run: RunDirectory, tmp_path: Path) -> None:
    content, problem = stored_attributes(run)
    assert content is not None
    assert problem == ""
    write_json(tmp_path / "again.json", content.to_json())
    assert same(read_json(tmp_path / "again.json"), read_json(STORED / "attributes.json"))


def test_a_comparison_is_written_again() -> None:
    assert same(RunsCompared.from_json(COMPARED).to_json(), COMPARED)


def test_a_comparison_without_its_correction_is_faulty() -> None:
    gap = {key: value for key, value in GAP.items() if key != "significant"}
    stored = {key: value for key, value in COMPARED.items() if key != "p_holm"}
    with pytest.raises(ValidationError) as caught:
        RunsCompared.from_json(stored | {"attributes": [gap]})
    assert problems(caught.value) == ["'attributes.0.significant' is missing", "'p_holm' is missing"]


def test_what_is_not_known_stays_null() -> None:
    """No KL, nothing mentioned, a seed without a share."""
    stored = read_json(STORED / "attributes.json")
    group = stored["groups"][0]
    group["kl"] = {"reached": None, "by_seed": {}, "target": None, "off_target": None}
    group["all"]["attributes"]["colour"] |= {"of_mentions": None, "of_descriptions": None, "by_seed": [None, 0.5]}
    content = Attributes.from_json(stored)
    assert kl_summary(content.groups[0].kl) == "KL not known"
    assert same(content.to_json(), stored)


def test_correcting_forgets_earlier_corrections() -> None:
    """One comparison's 0.03 stands; its attributes' 0.01 twice become 0.02, below 0.05 but not below 0.02."""
    before = RunsCompared.from_json(COMPARED | {"p_holm": 0.9, "significant": False, "seeds": [5, 5]})
    (row,) = corrected([before], 0.05)
    assert (row.p_holm, row.significant) == (0.03, True)
    assert [(gap.p_holm, gap.significant) for gap in row.attributes] == [(0.02, True)] * 2
    (strict,) = corrected([before], 0.02)
    assert not any(gap.significant for gap in (strict, *strict.attributes))
    (few,) = corrected([replace(before, seeds=(4, 5))], 0.05)
    assert few.significant
    assert [(gap.p_holm, gap.significant) for gap in few.attributes] == [(0.02, False)] * 2, "with four seeds a side"
    assert (before.p_holm, before.significant) == (0.9, False), "not changed in place"
    assert corrected([], 0.05) == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored.update(format=1),
        lambda stored: stored.pop("format"),
        lambda stored: stored.update(groups=[]),
        lambda stored: stored.update(groups=stored["groups"] * 2),
        lambda stored: stored.pop("groups"),
    ],
)
def test_files_of_another_version(run: RunDirectory, change: Callable[[dict[str, Any]], object]) -> None:
    path = edit(run, change)
    assert stored_attributes(run) == (None, f"{path}: not of this version; run `ex2 attributes` again.")


def test_a_missing_file_is_none(run: RunDirectory) -> None:
    (run.root / "attributes.json").unlink()
    assert stored_attributes(run) == (None, "")


def test_files_of_other_descriptions(run: RunDirectory) -> None:
    stale = (
        f"{run.root / 'attributes.json'}: the descriptions or their judge changed since; run `ex2 attributes` again."
    )
    edit(run, lambda stored: stored["groups"][0].update(texts="0000000000000000"))
    assert stored_attributes(run) == (None, stale)
    edit(run, lambda stored: stored.update(read_json(STORED / "attributes.json")))
    run.seed(1).breakdown.unlink()
    assert stored_attributes(run) == (None, stale), "a seed that is no longer analyzed"


def test_faulty_files_are_one_line(run: RunDirectory) -> None:
    def told() -> str:
        with pytest.raises(UserError) as caught:
            attribute_section(run)
        return without_line(caught.value)

    path = edit(run, lambda stored: stored["groups"][0].pop("own_names"))
    assert told() == f"{path}: 'groups.0.own_names' is missing; delete it and run its stage again."
    shutil.copy(STORED / "attributes.json", run.root)
    edit(run, lambda stored: stored["groups"][0].update(all=7))
    wrong = "'groups.0.all' is 7: input should be a dictionary or an instance of Mentioned"
    assert told() == f"{path}: {wrong}; delete it and run its stage again."
    path.write_text("{")
    assert told().startswith(f"{path}: not JSON (")
