"""Measures are those of their recipe: a key that is another one in the run's folder, or is asked for, is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from measured_sets import demo

from analysis.images.stored import made_of, recipe_problems, start_measuring, stored_measures, write_measures
from ex2.recipe_io import read_set_recipe
from ex2.run.directory import RunDirectory
from reward.errors import UserError

RECIPE = """
name: few
vlm: {name: demo-visual}
dataset: {name: folder, root: photos, reward_split: train, test_split: test}
images:
  sets:
    known: {generator: {name: toy, knows: [wug]}}
measure: {metrics: [cler]}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "few.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def directory(path: Path, tmp_path: Path) -> Path:
    """A run that was measured."""
    run, recipe = RunDirectory(tmp_path / "few"), read_set_recipe(path)
    start_measuring(run, recipe)
    write_measures(run, replace(demo(), recipe=made_of(recipe)))
    return run.root


def test_numbers_are_of_the_recipe_that_is_asked_for(path: Path, directory: Path) -> None:
    measures = stored_measures(directory)
    assert measures is not None
    again = "put it back, or run `ex2 measure` again."
    asked = read_set_recipe(path, ["measure.metrics=[probe]", "images.sets.known.generator.obey=0.5", "threads=3"])
    problems = [
        f"few.yaml: images.sets.known.generator.obey: now 0.5, and measured with not given; {again}",
        f"few.yaml: measure.metrics: now [probe], and measured with [cler]; {again}",
    ]
    assert recipe_problems(measures, asked, "few.yaml") == problems
    with pytest.raises(UserError) as error:
        stored_measures(directory, asked, "few.yaml")
    assert str(error.value).splitlines() == problems
    moved = read_set_recipe(path, ["images.root=elsewhere", "name=other"])
    assert stored_measures(directory, moved, "few.yaml") == measures
    assert recipe_problems(replace(measures, recipe={}), asked, "few.yaml") == []
    section = dict(measures.recipe["measure"])
    del section["permutations"]  # a key that this version does not know yet has its default
    older = replace(measures, recipe={**measures.recipe, "measure": section})
    assert recipe_problems(older, read_set_recipe(path, ["measure.permutations=999"]), "few.yaml") == []


def test_numbers_are_of_the_recipe_beside_them(directory: Path) -> None:
    kept = directory / "recipe.yaml"
    kept.write_text(kept.read_text().replace("centers: unit", "centers: raw"))
    with pytest.raises(UserError) as error:
        stored_measures(directory)
    told = "measure.centers: now raw, and measured with unit; put it back, or run `ex2 measure` again."
    assert str(error.value) == f"{kept}: {told}"
    kept.unlink()
    with pytest.raises(UserError, match=rf"^{kept}: not found, and measures.json was made with it; run `ex2 measure`"):
        stored_measures(directory)
