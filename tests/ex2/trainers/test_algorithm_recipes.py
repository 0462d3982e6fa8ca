"""RLOO and GRPO in a recipe: what reaches the trainers, what is refused, and the demo from its command to a report."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
from paths import ROOT
from processes import run_ex2

from analysis.judge.table import JUDGES
from ex2.checks.validate import recipe_problems
from ex2.data.demo.world import kind_of
from ex2.recipe_io import read_recipe
from ex2.trainers.config import KLArguments
from ex2.training.arguments import TRAINERS, batches_line, kl_arguments, trainer_arguments
from reward.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
@pytest.mark.parametrize("name", ["demo/visual", "real/smollm2_conse", "paper/clip/pets"])
def test_recipes_are_valid_with_each_algorithm(algorithm: str, name: str, tmp_path: Path) -> None:
    path = ROOT / f"recipes/{name}.yaml"
    recipe = read_recipe(path, [f"algorithm={algorithm}"])
    assert recipe_problems(recipe, str(path), judges=JUDGES, check_inputs=False) == []
    arguments = trainer_arguments(
        recipe.model_copy(update={"policy": recipe.policy.model_copy(update={"dtype": "float32"})}),
        7,
        SimpleNamespace(checkpoints=tmp_path),  # type: ignore[arg-type]
        1,
    )
    assert arguments.num_generations == {"ppo": 1, "rloo": 4, "grpo": 4}[algorithm]
    assert arguments.generation_batch_size == recipe.rl.batch_size
    assert arguments.updates_per_batch * recipe.rl.batches == arguments.max_steps
    assert arguments.make_kl_controller().coef == recipe.rl.kl.init_coef
    assert TRAINERS[algorithm].__annotations__["args"] == type(arguments).__name__


def test_every_kl_setting_reaches_the_controller() -> None:
    overrides = {
        "controller": "log",
        "init_coef": 0.7,
        "target": 0.3,
        "unit": "token",
        "horizon": 12,
        "horizon_unit": "batches",
        "damping": 0.25,
    }
    recipe = read_recipe(
        ROOT / "recipes/demo/visual.yaml", [f"rl.kl.{key}={value}" for key, value in overrides.items()]
    )
    given = kl_arguments(recipe.rl.kl)
    assert set(given) == {field.name for field in fields(KLArguments)}
    controller = KLArguments(**given).make_kl_controller()
    assert (controller.coef, controller.target, controller.unit) == (0.7, 0.3, "token")
    assert (controller.horizon, controller.horizon_unit, controller.damping) == (12, "batches", 0.25)
    assert controller.controller == "log"


def test_groups_that_do_not_fill_a_batch_are_refused() -> None:
    overrides = ["algorithm=rloo", "group.generations=5"]
    with pytest.raises(UserError, match=r"group\.generations: 5 does not divide rl\.batch_size 64"):
        read_recipe(ROOT / "recipes/demo/visual.yaml", overrides)
    with pytest.raises(UserError, match=r"group\.generations: .*greater than or equal to 2"):
        read_recipe(ROOT / "recipes/demo/visual.yaml", ["algorithm=grpo", "group.generations=1"])
    with pytest.raises(
        UserError, match=r"algorithm: unknown 'rlo'\. Did you mean 'rloo'\? Available: grpo, ppo, rloo\."
    ):
        read_recipe(ROOT / "recipes/demo/visual.yaml", ["algorithm=rlo"])


def test_the_line_before_a_run_says_what_a_batch_holds() -> None:
    demo = ROOT / "recipes/demo/visual.yaml"
    assert batches_line(read_recipe(demo, [])) == "PPO, 100 batches of 64 prompts, 16 optimizer steps each"
    assert batches_line(read_recipe(demo, ["algorithm=grpo", "group.generations=8"])) == (
        "GRPO, 100 batches of 64 descriptions, 8 of each of 8 prompts, 16 optimizer steps each"
    )


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_the_demo_runs_to_a_report_and_moves_to_the_planted_kind(algorithm: str, tmp_path: Path) -> None:
    recipe = str(ROOT / "recipes/demo/visual.yaml")
    words = (f"algorithm={algorithm}", f"output_dir={tmp_path}", "rl.batches=40", "training.save_every=20")
    result = run_ex2("run", recipe, *words, EX2_CACHE=str(tmp_path / "cache"))
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"{algorithm.upper()}, 40 batches of 64 descriptions, 4 of each of 16 prompts" in result.stdout
    assert "β starts at 0.2 and can reach" in result.stdout
    seed = tmp_path / "demo-visual/seed-0"
    rows = [json.loads(line) for line in (seed / "train.jsonl").read_text().splitlines()]
    assert [row["batch"] for row in rows] == list(range(1, 41))
    descriptions = [json.loads(line) for line in (seed / "descriptions.jsonl").read_text().splitlines()]
    kinds = {
        policy: Counter(kind_of(str(r["text"]), str(r["class"])) for r in descriptions if r["policy"] == policy)
        for policy in ("base", "aligned")
    }
    assert kinds["base"]["visual"] / 400 < 0.42
    assert kinds["aligned"]["visual"] / 400 >= 0.65
    assert f"{algorithm.upper()}, 40 batches" in (tmp_path / "demo-visual/report.html").read_text()
