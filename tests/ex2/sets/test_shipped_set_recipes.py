"""The recipes of image sets that come with the project."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import yaml
from debs import picture_bytes
from paths import ROOT

from ex2.checks.sets import examine_sets
from ex2.data.datasets.genbench import read_benchmark
from ex2.data.debian.drawings import read_list
from ex2.data.demo.world import CONCEPTS
from ex2.recipe_io import read_set_recipe
from ex2.sets.plans import plans_of

GENBENCH = ROOT / "recipes/genbench"


def test_the_demos_sets_are_graded(tmp_path: Path) -> None:
    path = ROOT / "recipes/demo/sets.yaml"
    recipe = read_set_recipe(path, [f"images.root={tmp_path}", f"output_dir={tmp_path}"])
    assert examine_sets(recipe, str(path)).problems == []
    plans = {plan.name: plan for plan in plans_of(recipe, seeds=[0])}
    assert next(iter(plans)) == recipe.reference == "original"
    assert (recipe.images.seeds, recipe.images.per_class) == ([0, 1, 2], 20)
    toys = {name: plan.generator.settings for name, plan in plans.items() if plan.generator.name == "toy"}
    right = [  # chance that all three facets are right, in the order of the recipe
        (1 - found["error"]["colour"]) * (1 - found["error"]["shape"]) * (1 - found["error"]["pattern"])
        for found in toys.values()
    ]
    assert right == [1, 0.75, 0.5, 0.25, 0.25**2, 0.25**3]
    assert all(found["knows"] == sorted(concept.name for concept in CONCEPTS) for found in toys.values())
    assert all(found["obey"] == 1 for found in toys.values())


def test_a_recipe_for_each_dataset_of_genbench() -> None:
    spec = importlib.util.spec_from_file_location("make_genbench", ROOT / "recipes/make_genbench.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = read_benchmark()
    assert {path.stem for path in GENBENCH.glob("*")} == {row.dataset for row in rows}
    for row in rows:
        path = GENBENCH / f"{row.dataset}.yaml"
        assert path.read_text() == module.text_of(row), f"{path}: run `make genbench-recipes`"
        recipe = read_set_recipe(path)
        assert examine_sets(recipe, str(path), depth="settings").problems == []
        assert (recipe.dataset.reward_split, recipe.dataset.test_split) == (row.train_split, row.test_split)
        assert recipe.images.per_class == 20
        assert recipe.per_class("original") <= row.train / row.classes
        drawn = {name: one for name, one in recipe.images.sets.items() if one.generator.name == "diffusers"}
        assert [*drawn] == ["sd-st", "sd-dt", "sd-np", "sd-np-rd"]
        for one in drawn.values():
            settings = one.generator.settings
            assert (settings["steps"], settings["guidance"], settings["width"], settings["height"]) == (
                50,
                7.5,
                512,
                512,
            )
            assert one.usd_per_hour == 1.47
            assert one.per_class == recipe.images.sets["original"].per_class
    assert sum(recipe_shots(row.dataset) != 20 for row in rows) == 1


def recipe_shots(dataset: str) -> int:
    return read_set_recipe(GENBENCH / f"{dataset}.yaml").per_class("original")


def test_the_further_sets_that_headers_name_are_valid() -> None:
    """Each line as a header has it, with the settings that its generator takes."""
    lines = (GENBENCH / "pets.yaml").read_text().splitlines()
    found = [line for line in lines if line.startswith("#   ") and "generator: {" in line]
    assert len(found) == 3
    for line in found:
        name, one = next(iter(yaml.safe_load(line.lstrip("# ")).items()))
        recipe = read_set_recipe(GENBENCH / "pets.yaml", [f"images.sets.{name}={yaml.safe_dump(one, width=10**6)}"])
        assert name in recipe.images.sets
        assert examine_sets(recipe, "x", depth="settings").problems == []
        assert examine_sets(recipe, "x", depth="form").problems == []


def test_the_strategies_that_headers_name_are_there() -> None:
    """Each as a header has it, drawn by the toy generator; only the language model is missing, as they say."""
    lines = [
        line for line in (GENBENCH / "pets.yaml").read_text().splitlines() if "  strategy: {" in line and "#" in line
    ]
    assert len(lines) == 5
    for line in lines:
        strategy = yaml.safe_load(line.lstrip("#").split("strategy: ", 1)[1])
        overrides = [f"images.sets.original.strategy={strategy}", "images.sets.original.generator={name: toy}"]
        recipe = read_set_recipe(GENBENCH / "pets.yaml", overrides)
        assert examine_sets(recipe, "x", depth="settings").problems == []


def test_photographs_and_drawings(tmp_path: Path) -> None:
    """Validated on folders as `make real-sets` makes them, of noise, and on a VLM whose weights are there; without
    recognizers, whose weights need not be."""
    shown = subprocess.run(["make", "--dry-run", "real-sets"], capture_output=True, text=True, cwd=ROOT, check=True)
    path = ROOT / "recipes/real/sets.yaml"
    recipe = read_set_recipe(path)
    drawn = {name: one.generator.settings["root"] for name, one in recipe.images.sets.items() if name != "photographs"}
    roots = {"photographs": recipe.dataset.settings["root"], **drawn}
    assert {f"--out {root}" for root in roots.values()} <= set(re.findall(r"--out \S+", shown.stdout))
    assert "--like data/real/drawings" in shown.stdout

    listed = read_list()[0].drawings
    for number, noun in enumerate(listed):
        for name, root in roots.items():
            for split in ("reward", "test") if name == "photographs" else ("",):
                folder = tmp_path / root / split / noun
                folder.mkdir(parents=True)
                for each in range(2):
                    (folder / f"{each}.png").write_bytes(picture_bytes(100 * number + 10 * len(str(folder)) + each))
    overrides = [
        "vlm={name: demo-visual}",
        "measure.recognizers=[]",
        f"images.root={tmp_path}/sets",
        f"output_dir={tmp_path}",
    ]
    overrides.append(f"dataset.root={tmp_path / roots['photographs']}")
    overrides += [f"images.sets.{name}.generator.root={tmp_path / root}" for name, root in drawn.items()]
    recipe = read_set_recipe(path, overrides)
    assert examine_sets(recipe, str(path)).problems == []
    plans = plans_of(recipe)
    assert [(plan.name, plan.seed) for plan in plans] == [(name, seed) for name in roots for seed in (0, 1, 2)]
    assert all(plan.class_names == tuple(listed) and len(plan.requests) == 40 for plan in plans)
    assert min(map(len, listed.values())) > recipe.images.per_class, "another seed has another drawing"
    few = read_set_recipe(path, [*overrides, "images.per_class=3"])
    assert (
        examine_sets(few, str(path))
        .problems[0]
        .endswith(
            "class 'apple' has 2 images, and 3 are asked for; ask for fewer of every class, or leave the class out."
        )
    )
