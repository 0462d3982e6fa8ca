"""The form of a recipe: what its own text tells, in a second and without a heavy import."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

from analysis.judge.table import JUDGES
from ex2.checks import form
from ex2.checks.form import LOGGERS, form_problems, logger_problems, missing_loggers, outline
from ex2.cli import main
from ex2.data.datasets.base import DATASETS
from ex2.recipe_io import read_recipe
from reward.components import resolve
from reward.presets import BACKENDS
from reward.table import REWARDS

DEMO = ROOT / "recipes/demo/visual.yaml"

COST = """
import json, resource, sys
from ex2.cli import main
status = main({arguments})
heavy = [name for name in ("torch", "transformers", "datasets", "trl", "peft", "openai") if name in sys.modules]
print(json.dumps([status, heavy, resource.getrusage(resource.RUSAGE_SELF).ru_utime]))
"""


def cost(*arguments: str) -> tuple[int, list[str], float]:
    """Return status, heavy modules and seconds of user time of a command in an interpreter of its own."""
    script = COST.format(arguments=list(arguments))
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    status, heavy, seconds = json.loads(told.stdout.splitlines()[-1])
    return status, heavy, seconds


def test_the_form_takes_under_a_second_and_imports_no_library_of_models() -> None:
    status, heavy, seconds = cost("validate", str(DEMO), "--recipe-only")
    assert (status, heavy) == (0, [])
    assert seconds < 1


def test_the_form_finds_wrong_names_as_cheaply() -> None:
    wrong = ("vlm.name=clip", "reward.name=cosin", "judge={name: openai, modl: x}", "rl.kl.horizon=1")
    status, heavy, seconds = cost("validate", str(DEMO), "--recipe-only", *wrong)
    assert (status, heavy) == (2, [])
    assert seconds < 1


def test_every_problem_of_the_form_at_once() -> None:
    given = ["vlm.name=demo-visul", "vlm.x=1", "reward={name: cosine, unit: raw}", "dataset={name: folder, rot: x}"]
    more = ["dataset.reward_split=a", "dataset.test_split=b", "judge={name: openai, modl: x}", "prompts.questions=[25]"]
    recipe = read_recipe(DEMO, [*given, *more, "training.report_to=[nope, none]", "lora=null"])
    quantized = recipe.model_copy(update={"policy": recipe.policy.model_copy(update={"quantization": "4bit"})})
    found = form_problems(quantized, JUDGES)
    assert [line.partition(" Available")[0] for line in found] == [
        "vlm.name: unknown 'demo-visul'. Did you mean 'demo-visual'?",
        "reward: unknown 'unit'. Did you mean 'units'?",
        "dataset: unknown 'rot'. Did you mean 'root'?",
        "dataset: 'root' is missing; 'ImageFolder' cannot do without it.",
        "judge: unknown 'modl'. Did you mean 'model'?",
        "judge: 'model' is missing; 'OpenAIJudge' cannot do without it.",
        "prompts.questions: [25] is not a choice of different questions; allowed: all, or indices from 0 to 24.",
        "lora: null trains every weight, and weights of 4 bits cannot be trained; set policy.quantization: none, or "
        "give lora its settings.",
        "training.report_to: unknown 'nope'.",
        "training.report_to: 'none' stands beside others; give it alone, or leave it out.",
    ]


def test_a_component_of_the_users_own_is_not_imported_by_the_form() -> None:
    assert form_problems(read_recipe(DEMO, ["reward={name: no_such_module.X, any: 1}"]), JUDGES) == []


@pytest.mark.parametrize(
    "target", sorted({*JUDGES.values(), *REWARDS.values(), *DATASETS.values(), *BACKENDS.values()})
)
def test_the_outline_of_a_class_is_its_signature(target: str) -> None:
    read = outline(target)
    assert read is not None
    real = inspect.signature(resolve("x", {"x": target}, "x")).parameters
    assert read.__name__ == target.partition(":")[2]

    def shape(parameters: Any) -> list[tuple[str, Any, bool]]:
        return [(one.name, one.kind, one.default is one.empty) for one in parameters.values()]

    assert shape(inspect.signature(read).parameters) == shape(real)


def test_the_table_of_loggers_is_that_of_transformers() -> None:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    assert set(LOGGERS) == set(INTEGRATION_TO_CALLBACK)


def test_loggers_by_name_and_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "is_installed", lambda module: module == "tensorboard")
    assert logger_problems(["tensorboard", "wandb"]) == []
    assert logger_problems(["all"]) == logger_problems(["none"]) == logger_problems([]) == []
    (unknown,) = logger_problems(["tensorbord"])
    assert unknown.startswith(
        "training.report_to: unknown 'tensorbord'. Did you mean 'tensorboard'? Available: azure_ml"
    )
    assert unknown.endswith("Or [] for none.")
    assert missing_loggers(["tensorboard", "comet_ml", "nope"]) == [
        "training.report_to: 'comet_ml' needs a package that is not here; run: pip install comet-ml"
    ]


def test_validate_says_what_it_has_not_looked_at(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["validate", str(DEMO), "--recipe-only", f"output_dir={tmp_path}"]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f"# {DEMO}: valid (recipe only)",
        "# checked: keys, types and ranges; names",
        "# not checked: values of components' settings, own classes and all that lies outside the recipe",
    ]
