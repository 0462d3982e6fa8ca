"""Every number of a recipe has a range, and every text can be written to a file and a path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from annotated_types import Ge, Gt, Le, Lt
from paths import ROOT
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ex2.recipe import Recipe
from ex2.recipe_io import read_recipe, read_stored_recipe
from reward.errors import UserError

DEMO = ROOT / "recipes/demo/visual.yaml"


def problem_with(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        read_recipe(DEMO, overrides)
    return str(caught.value).removeprefix(f"{DEMO}: ")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seeds=[-1]", "seeds.0: given -1; input should be greater than or equal to 0."),
        ("seeds=[2147483648]", "seeds.0: given 2147483648; input should be less than or equal to 2147483647."),
        ("rl.learning_rate=1e300", "rl.learning_rate: given '1e300'; input should be less than or equal to 1."),
        ("rl.learning_rate=.nan", "rl.learning_rate: given nan; input should be a finite number."),
        ("ppo.value_learning_rate=2.0", "ppo.value_learning_rate.constrained-float: given 2.0; input should be less"),
        ("rl.adam_beta2=1", "rl.adam_beta2: given 1; input should be less than 1."),
        ("rl.adam_epsilon=1e-300", "rl.adam_epsilon: given '1e-300'; input should be greater than or equal to 0.000"),
        ("rl.kl.init_coef=.inf", "rl.kl.init_coef: given inf; input should be a finite number."),
        ("generation.temperature=.inf", "generation.temperature: given inf; input should be a finite number."),
        ("generation.temperature=1e-9", "generation.temperature: given '1e-9'; input should be greater than or equal"),
        ("describe.per_question=10001", "describe.per_question: given 10001; input should be less than or equal to"),
        ("describe.policies=[]", "describe.policies: given []; list should have at least 1 item after validation"),
        ("describe.policies=[base, base]", "describe.policies: given ['base', 'base']; every entry may stand once"),
        (
            "analysis.confidence=0.99999",
            "analysis.confidence: given 0.99999; input should be less than or equal to 0.9999",
        ),
        ("dataset.selection_seed=-1", "dataset.selection_seed: given -1; input should be greater than or equal to 0."),
        ("dataset.workers=5000", "dataset.workers: given 5000; input should be less than or equal to 1024."),
        ("lora.target_modules=[]", "lora.target_modules: given []; neither it nor an entry may be empty."),
        ('lora.target_modules=[q_proj, ""]', "lora.target_modules: given ['q_proj', '']; neither it nor an entry"),
        ("watch.rules=[{metric: kl, above: .inf}]", "watch.rules.0.above: given inf; input should be a finite number."),
        ('output_dir=""', "output_dir: given ''; string should have at least 1 character."),
        (
            r'policy.model="a\0b"',
            "command line: policy.model: line 1: not valid YAML: the character U+0000 is not allow",
        ),
        (r'vlm.path="\ud800"', "command line: vlm.path: line 1: not valid YAML: the character U+D800 is not allowed"),
        (
            r'vlm.path=[{a: "b\0"}]',
            "command line: vlm.path: line 1: not valid YAML: the character U+0000 is not allowed",
        ),
        ("judge.timeout=.inf", "judge: given {'name': 'scripted', 'timeout': inf}; no number may be infinite or NaN."),
    ],
)
def test_a_value_out_of_range_is_one_line(override: str, message: str) -> None:
    found = problem_with(override)
    assert found.splitlines()[0].startswith(message)


def test_a_name_ends_where_file_names_do() -> None:
    assert read_recipe(DEMO, ["name=" + 128 * "a"]).name == 128 * "a"
    assert problem_with("name=" + 129 * "a").endswith("'; string should have at most 128 characters.")


def test_limits_themselves_are_allowed() -> None:
    recipe = read_recipe(
        DEMO,
        ["seeds=[0, 2147483647]", "rl.learning_rate=1", "generation.temperature=1e-3", "analysis.confidence=0.5"],
    )
    assert (recipe.seeds, recipe.rl.learning_rate) == ([0, 2147483647], 1.0)
    assert (recipe.generation.temperature, recipe.analysis.confidence) == (0.001, 0.5)


def numbers(model: type[BaseModel], where: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Yield the key of every number that a recipe can hold, with its limits, those of a part of a union included."""
    for key, info in model.model_fields.items():
        annotation = info.annotation
        for one in [annotation, *get_args(annotation)]:
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from numbers(one, f"{where}{key}.")
        for kind, limits in _numeric(info):
            if kind in (int, float):
                yield f"{where}{key}", limits


def _numeric(info: FieldInfo) -> Iterator[tuple[Any, list[Any]]]:
    def unpack(annotation: Any, limits: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
        if hasattr(annotation, "__metadata__"):
            inner = [limit for one in annotation.__metadata__ for limit in getattr(one, "metadata", [one])]
            yield from unpack(annotation.__origin__, [*limits, *inner])
        elif get_args(annotation) and annotation.__class__.__name__ != "_LiteralGenericAlias":
            for part in get_args(annotation):
                yield from unpack(part, limits)
        else:
            yield annotation, limits

    yield from unpack(info.annotation, list(info.metadata))


UNBOUNDED = {"watch.rules.above", "watch.rules.below", "ppo.ratio_threshold", "prompts.questions"}
"""Limits of any metric, which may have any sign and size; a ratio that is compared and never multiplied, so that 1e30
turns it off; indices that `ex2.data.prompts.question_ids` compares with the questions there are."""


def test_no_number_is_without_a_lower_and_an_upper_limit() -> None:
    found = dict(numbers(Recipe))
    assert len(found) > 40
    assert {"seeds", "rl.kl.target", "resources.gpus", "analysis.attribution.pool", "dataset.workers"} <= set(found)
    open_ended = {
        key
        for key, limits in found.items()
        if not (any(isinstance(x, Ge | Gt) for x in limits) and any(isinstance(x, Le | Lt) for x in limits))
    }
    assert open_ended == UNBOUNDED


def test_recipes_of_earlier_runs_are_within() -> None:
    stored = ROOT / "tests/data/stored_run/runs/stored/recipe.yaml"
    assert read_stored_recipe(stored).name == "stored"
