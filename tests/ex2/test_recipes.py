"""Recipes: every file in the tree validates; every mistake is named, with what is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from paths import ROOT

from analysis.judge.table import JUDGES
from ex2.checks.validate import recipe_problems
from ex2.cli import main
from ex2.data.source import DatasetSource
from ex2.policy.source import ModelSource, Sampling
from ex2.recipe import Recipe
from ex2.recipe_io import FORMER, is_of_sets, read_recipe, read_set_recipe, to_yaml
from ex2.runtime import tell_once
from reward.errors import UserError

RECIPES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "recipes").rglob("*.yaml"))

MINIMAL = """
name: minimal
policy: {model: mistralai/Mistral-7B-v0.1}
vlm: {name: clip-vit-b32}
dataset: {name: folder, root: photos, reward_split: reward, test_split: test}
judge: {name: scripted}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(MINIMAL)
    return path


def problems_of(text: str, tmp_path: Path, *overrides: str) -> list[str]:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    try:
        recipe = read_recipe(path, overrides)
    except UserError as error:
        return [line.replace(str(path), "x.yaml") for line in str(error).splitlines()]
    return [
        line.replace(str(path), "x.yaml")
        for line in recipe_problems(recipe, str(path), judges=JUDGES, check_inputs=False)
    ]


@pytest.mark.parametrize("path", RECIPES)
def test_every_recipe_in_the_tree_validates(path: str) -> None:
    if is_of_sets(ROOT / path):
        read_set_recipe(ROOT / path)
    else:
        assert recipe_problems(read_recipe(ROOT / path), path, judges=JUDGES, check_inputs=False) == []
    assert path in (ROOT / path).read_text(), "its header gives the launch line"


def test_there_are_recipes() -> None:
    assert {"recipes/demo/visual.yaml", "recipes/paper/clip/pets.yaml", "recipes/real/smollm2_conse.yaml"} <= set(
        RECIPES
    )


def test_defaults_are_the_papers(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file)
    rl, ppo = recipe.rl, recipe.ppo
    assert (rl.batch_size, rl.minibatch_size, rl.epochs, rl.batches) == (32, 8, 4, 1000)
    assert (rl.learning_rate, ppo.gamma, ppo.lam, rl.clip_range, ppo.value_clip_range) == (
        1.41e-5,
        1.0,
        0.95,
        0.2,
        0.2,
    )
    assert (ppo.value_coef, ppo.ratio_threshold, rl.max_grad_norm) == (0.1, 10.0, 0.0)
    assert (rl.kl.init_coef, rl.kl.target, rl.kl.horizon) == (0.2, 10.0, 10_000)
    paper = read_recipe(ROOT / "recipes/paper/clip/pets.yaml")
    assert paper.rl == rl
    assert paper.ppo == ppo.model_copy(update={"score_centering": "none", "loss_mean": "responses", **FORMER})


def test_command_line_wins_over_the_file_and_the_file_over_defaults(recipe_file: Path) -> None:
    recipe_file.write_text(MINIMAL + "rl: {batches: 7, kl: {target: 5}}\n")
    recipe = read_recipe(recipe_file, ["rl.kl.target=20", "seeds=[1, 2]", "vlm.device=cpu", "rl.learning_rate=1e-3"])
    assert (recipe.rl.batches, recipe.rl.kl.target, recipe.rl.kl.horizon) == (7, 20.0, 10_000)
    assert recipe.seeds == [1, 2]
    assert recipe.vlm.settings == {"device": "cpu"}
    assert recipe.rl.learning_rate == 1e-3


def test_resolved_recipe_reads_back_the_same(recipe_file: Path, tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file, ["reward.name=length_penalty", "reward.limit=9"])
    saved = tmp_path / "saved.yaml"
    saved.write_text(to_yaml(recipe))
    assert read_recipe(saved) == recipe


def test_all_problems_at_once(tmp_path: Path) -> None:
    text = MINIMAL.replace("name: minimal", "name: bad name!") + (
        "rl: {batchs: 5}\nppo: {lam: 1.5, batchs: 3, kl: {horizn: 1, controller: adaptve}}\nsead: 3\n"
    )
    problems = problems_of(text, tmp_path)
    assert len(problems) == 7
    joined = "\n".join(problems)
    assert "x.yaml: name: given 'bad name!'; string should match pattern" in joined
    assert "x.yaml: rl: unknown 'batchs'. Did you mean 'batches'? Available: adam_beta1," in joined
    assert (
        "x.yaml: ppo: unknown 'batchs'. Available: gamma, lam, loss_mean, ratio_threshold, score_centering, "
        "value_clip_range, value_clip_unit, value_coef, value_init, value_learning_rate, value_trunk. Or is it "
        "rl.batches?" in joined
    )
    assert "x.yaml: ppo.kl (now rl.kl): unknown 'horizn'. Did you mean 'horizon'? Available: controller" in joined
    assert "x.yaml: ppo.lam: given 1.5; input should be less than or equal to 1." in joined
    assert (
        "x.yaml: ppo.kl (now rl.kl).controller: unknown 'adaptve'. Did you mean 'adaptive'? Available: adaptive, "
        "fixed, log." in joined
    )
    assert "x.yaml: top level: unknown 'sead'. Did you mean 'seeds'?" in joined


def test_names_and_settings_of_every_component_at_once(tmp_path: Path) -> None:
    text = """
name: bad
policy: {model: a/b}
vlm: {name: clip-vit-b23}
reward: {name: cosin}
dataset: {name: folder, reward_split: a, test_split: b, rot: x}
judge: {name: openai, modl: x}
rl: {minibatch_size: 8, micro_batch_size: 3}
prompts: {questions: [0, 25]}
"""
    problems = problems_of(text, tmp_path)
    assert problems == [
        "x.yaml: vlm.name: unknown 'clip-vit-b23'. Did you mean 'clip-vit-b32'? Available: "
        + problems[0].split("Available: ")[1],
        "x.yaml: reward.name: unknown 'cosin'. Did you mean 'cosine'? Available: cosine, drawn_cler, fluency, "
        "length_penalty, margin, repetition, sum. Or give the dotted path of your own.",
        "x.yaml: dataset: unknown 'rot'. Did you mean 'root'? Available: class_names, root.",
        "x.yaml: dataset: 'root' is missing; 'ImageFolder' cannot do without it.",
        "x.yaml: judge: unknown 'modl'. Did you mean 'model'? Available: " + problems[4].split("Available: ")[1],
        "x.yaml: judge: 'model' is missing; 'OpenAIJudge' cannot do without it.",
        "x.yaml: prompts.questions: [0, 25] is not a choice of different questions; "
        "allowed: all, or indices from 0 to 24.",
        "x.yaml: rl.micro_batch_size: 3 does not divide rl.minibatch_size 8; allowed: 1, 2, 4, 8.",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "x.yaml: line 1: not valid YAML"),
        ("- a\n- b\n", "x.yaml: a recipe is a mapping of sections, this is a list."),
        (MINIMAL + "name: again\n", "x.yaml: line 7: not valid YAML: key 'name' stands twice."),
        (MINIMAL.replace("vlm: {name: clip-vit-b32}", ""), "x.yaml: vlm: missing; it has no default."),
        (MINIMAL + "rl: {batch_size: 10}\n", "x.yaml: rl.minibatch_size: 8 does not divide rl.batch_size 10."),
        (MINIMAL + "seeds: [1, 1]\n", "x.yaml: seeds: [1, 1] has duplicates."),
        (MINIMAL + "rl: {batches: many}\n", "x.yaml: rl.batches: given 'many'; input should be a valid integer"),
    ],
)
def test_one_problem(text: str, message: str, tmp_path: Path) -> None:
    (problem,) = problems_of(text, tmp_path)
    assert problem.startswith(message)


def test_builders_take_what_the_recipe_says(recipe_file: Path) -> None:
    recipe = read_recipe(
        recipe_file,
        ["policy={model: a/b, revision: abc, gguf_file: x.gguf, dtype: bfloat16, quantization: 8bit, "
         "attn_implementation: sdpa, trust_remote_code: true, gradient_checkpointing: true}",
         "generation={max_new_tokens: 5, temperature: 0.5, top_p: 0.9, top_k: 3, cut_to_sentence: true}",
         "dataset={name: folder, root: photos, reward_split: r, test_split: t, images_per_class: 4, "
         "selection: random, selection_seed: 8, workers: 2}"],
    )  # fmt: skip
    assert recipe.policy.source() == ModelSource("a/b", "abc", "x.gguf", "bfloat16", "8bit", "sdpa", True)
    assert recipe.generation.sampling() == Sampling(5, 0.5, 0.9, 3)
    assert recipe.dataset.source() == DatasetSource("folder", "r", "t", {"root": "photos"}, 4, "random", 8, 2)


OLD = """
ppo:
  batches: 7
  batch_size: 16
  learning_rate: 1.0e-3
  lam: 0.9
  whiten_advantages: false
  kl: {target: 6, horizon: 50}
"""
NOW = """
rl:
  batches: 7
  batch_size: 16
  learning_rate: 1.0e-3
  whiten_advantages: false
  kl: {target: 6, horizon: 50}
ppo: {lam: 0.9}
"""


@pytest.fixture
def untold() -> Iterator[None]:
    tell_once.cache_clear()
    yield
    tell_once.cache_clear()


@pytest.mark.usefixtures("untold")
def test_keys_of_earlier_versions_mean_what_todays_do_and_are_named_once(
    recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    today = tmp_path / "today.yaml"
    today.write_text(MINIMAL + NOW)
    expected = read_recipe(today, ["rl.kl.target=20", "rl.epochs=2"])
    assert capsys.readouterr().err == ""
    recipe_file.write_text(MINIMAL + OLD)
    for _ in range(2):
        assert read_recipe(recipe_file, ["ppo.kl.target=20", "ppo.epochs=2"]) == expected
    assert (expected.rl.batches, expected.rl.epochs, expected.rl.kl.target, expected.rl.kl.horizon) == (7, 2, 20, 50)
    assert (expected.rl.whiten_advantages, expected.ppo.lam) == (False, 0.9)
    assert capsys.readouterr().err == (
        "note: ppo.batches is now rl.batches, and 6 more of its section likewise; earlier names stay valid.\n"
    )


@pytest.mark.usefixtures("untold")
def test_the_command_line_wins_whichever_of_both_names_it_uses(recipe_file: Path) -> None:
    recipe_file.write_text(MINIMAL + NOW)
    assert read_recipe(recipe_file, ["ppo.batches=3"]).rl.batches == 3
    assert read_recipe(recipe_file, ["ppo={batches: 4, lam: 0.5}"]).rl.batches == 4
    assert read_recipe(recipe_file, ["ppo={batches: 4, lam: 0.5}"]).ppo.lam == 0.5
    recipe_file.write_text(MINIMAL + OLD)
    assert read_recipe(recipe_file, ["rl.batches=3"]).rl.batches == 3


@pytest.mark.usefixtures("untold")
def test_only_the_main_process_names_earlier_keys(
    recipe_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    recipe_file.write_text(MINIMAL + OLD)
    read_recipe(recipe_file)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("spelling", ["standardised", "standardized"])
def test_units_are_spelled_either_way(spelling: str, recipe_file: Path) -> None:
    recipe_file.write_text(
        MINIMAL + f"reward: {{name: sum, terms: [{{name: cosine, units: {spelling}}}, {{name: repetition}}]}}\n"
    )
    assert read_recipe(recipe_file).reward.settings["terms"][0] == {"name": "cosine", "units": "standardized"}
    read = read_recipe(recipe_file, [f"reward={{name: cosine, units: {spelling}}}"])
    assert read.reward.settings == {"units": "standardized"}


def test_a_setting_under_both_of_its_names_is_refused(tmp_path: Path) -> None:
    assert problems_of(MINIMAL + OLD + "rl: {batches: 8, kl: {target: 3}}\n", tmp_path) == [
        "x.yaml: ppo.batches and rl.batches are one setting, by its earlier and its present name; keep rl.batches.",
        "x.yaml: ppo.kl and rl.kl are one setting, by its earlier and its present name; keep rl.kl.",
    ]


@pytest.mark.usefixtures("untold")
def test_an_error_names_the_key_as_it_was_given(tmp_path: Path) -> None:
    assert problems_of(MINIMAL + "ppo: {batches: many}\n", tmp_path) == [
        "x.yaml: ppo.batches (now rl.batches): given 'many'; input should be a valid integer, unable to parse string "
        "as an integer."
    ]


def test_a_broken_override_says_how_to_write_one(tmp_path: Path) -> None:
    assert problems_of(MINIMAL, tmp_path, "batches") == [
        "command line: 'batches' is no setting; write section.key=value, such as rl.batches=20."
    ]


def test_a_missing_recipe_lists_those_there(capsys: pytest.CaptureFixture[str], recipe_file: Path) -> None:
    assert main(["validate", str(recipe_file.parent / "q.yaml")]) == 2
    message = capsys.readouterr().err
    assert "q.yaml: no such recipe. Recipes here: " in message
    assert "r.yaml" in message


def test_validate_checks_the_inputs_too(
    capsys: pytest.CaptureFixture[str], recipe_file: Path, image_folder: Path, mistral: Path
) -> None:
    assert main(["validate", str(recipe_file)]) == 2
    assert (
        "dataset.root: no folder 'photos'. Give the folder that holds one folder per split" in capsys.readouterr().err
    )
    judge = "judge={name: openai, model: m, base_url: 'http://localhost:1/v1'}"
    fine = [f"dataset.root={image_folder}", f"policy.model={mistral}", judge]
    assert main(["validate", str(recipe_file), *fine]) == 0
    assert "valid" in capsys.readouterr().out
    assert main(["validate", str(recipe_file), *fine, "dataset.reward_split=train", "policy.model=./nowhere"]) == 2
    message = capsys.readouterr().err
    assert "dataset.reward_split: unknown 'train'. Available: reward, test." in message
    assert "policy.model: no folder './nowhere'" in message
    assert main(["validate", str(recipe_file), *fine, "dataset.test_split=reward"]) == 2
    assert "dataset.test_split: 'reward' feeds the reward too; accuracy on it would say" in capsys.readouterr().err
    assert main(["validate", str(recipe_file), *fine, "prompts.questions=[0]"]) == 2
    assert "rl.batch_size: 32 is more than the 4 prompts (classes × questions) there are" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's
@pytest.mark.parametrize("command", [["validate", "--recipe-only"], ["train", "--dry-run"]])
def test_a_horizon_with_which_beta_could_fall_below_zero_is_refused_before_training(
    command: list[str], recipe_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, flag = command

    def run(*overrides: str) -> int:
        return main([verb, str(recipe_file), flag, *overrides])

    allowed = "allowed is at least 7 for batches of 32 samples: the adaptive controller multiplies"
    assert run("rl.kl.horizon=1") == 2
    assert f"rl.kl.horizon: given 1 samples; {allowed}" in capsys.readouterr().err
    assert run("rl.kl.horizon=6") == 2
    assert f"rl.kl.horizon: given 6 samples; {allowed}" in capsys.readouterr().err
    for fine in (["horizon=7"], ["horizon=1", "horizon_unit=batches"], ["horizon=1", "controller=log"]):
        assert run(*(f"rl.kl.{setting}" for setting in fine)) == 0
    assert run("rl.kl.horizon=102", "rl.batch_size=512") == 2
    assert run("rl.kl.horizon=103", "rl.batch_size=512") == 0


def test_a_class_without_images_is_named(recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tiny

    root = tiny.save_image_folder(tmp_path / "p")
    for file in (root / "reward" / "class_2").iterdir():
        file.unlink()
    assert main(["validate", str(recipe_file), f"dataset.root={root}"]) == 2
    assert (
        "dataset folder, split 'reward': no images of class 'class 2' (1 of 4 classes); add images"
        in capsys.readouterr().err
    )


def test_accelerate_configs_are_hardware_only() -> None:
    files = sorted((ROOT / "accelerate_configs").glob("*.yaml"))
    assert {"cpu.yaml", "single_gpu.yaml"} <= {path.name for path in files}
    for path in files:
        tree: dict[str, Any] = yaml.safe_load(path.read_text())
        assert not set(tree) & set(Recipe.model_fields)
