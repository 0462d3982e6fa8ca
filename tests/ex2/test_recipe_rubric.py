"""A recipe that names no rubric means the fenced one today, and the paper's in runs of versions before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from paths import ROOT

from analysis.judge.server.client import OpenAIJudge
from analysis.judge.table import JUDGES
from ex2.checks.validate import recipe_problems
from ex2.recipe_io import RUBRIC, is_of_sets, read_recipe, read_stored_recipe, to_yaml

OPENAI = {"name": "openai", "model": "m"}
CASES: list[tuple[dict[str, Any], Any]] = [
    (OPENAI, lambda rubric: {**OPENAI, "rubric": rubric}),
    ({**OPENAI, "rubric": "mine.json"}, lambda rubric: {**OPENAI, "rubric": "mine.json"}),
    (
        {"name": "panel", "judges": [OPENAI, {"name": "scripted"}, {**OPENAI, "rubric": "fenced"}]},
        lambda rubric: {
            "name": "panel",
            "judges": [{**OPENAI, "rubric": rubric}, {"name": "scripted"}, {**OPENAI, "rubric": "fenced"}],
        },
    ),
    ({"name": "scripted"}, lambda rubric: {"name": "scripted"}),
    ({"name": "local", "model": "m"}, lambda rubric: {"name": "local", "model": "m"}),
]


def written(path: Path, judge: dict[str, Any]) -> Path:
    tree = yaml.safe_load((ROOT / "recipes/demo/visual.yaml").read_text()) | {"judge": judge}
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.mark.parametrize(("judge", "meant"), CASES)
def test_what_a_recipe_without_a_rubric_means(judge: dict[str, Any], meant: Any, tmp_path: Path) -> None:
    today = read_recipe(written(tmp_path / "x.yaml", judge))
    assert today.judge.model_dump() == meant("fenced")
    former = written(tmp_path / "recipe.yaml", judge)
    assert read_stored_recipe(former).judge.model_dump() == meant("paper")
    (tmp_path / "provenance.json").write_text("{}")
    here = [f"output_dir={tmp_path.parent}", f"name={tmp_path.name}"]
    assert read_recipe(former, here).judge.model_dump() == meant("paper"), "named on the command line"
    former.write_text(to_yaml(today))
    assert read_stored_recipe(former).judge.model_dump() == meant("fenced"), "today's runs store what they mean"


def test_it_is_the_judges_own_default() -> None:
    assert OpenAIJudge("m", "http://localhost:1/v1").rubric_version.startswith(f"{RUBRIC}-")


def test_the_command_line_goes_before(tmp_path: Path) -> None:
    path = written(tmp_path / "x.yaml", {"name": "scripted"})
    recipe = read_recipe(path, ["judge.name=openai", "judge.model=m"])
    assert recipe.judge.settings == {"model": "m", "rubric": "fenced"}
    assert recipe_problems(recipe, str(path), judges=JUDGES, check_inputs=False) == []
    assert read_recipe(path, ["judge={name: openai, model: m, rubric: paper}"]).judge.settings["rubric"] == "paper"


@pytest.mark.parametrize(
    ("folder", "rubrics"), [("paper", {"paper"}), ("policies", {"paper"}), ("modern", {"fenced"}), ("demo", {None})]
)
def test_the_rubrics_of_the_recipes_in_the_tree(folder: str, rubrics: set[str | None]) -> None:
    paths = [path for path in sorted((ROOT / "recipes" / folder).rglob("*.yaml")) if not is_of_sets(path)]
    assert {read_recipe(path).judge.settings.get("rubric") for path in paths} == rubrics
    given = {yaml.safe_load(path.read_text())["judge"].get("rubric") for path in paths}
    assert given == ({"paper"} if rubrics == {"paper"} else {None}), "only the paper's words are asked for by name"
