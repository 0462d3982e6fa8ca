"""RLOO and GRPO under the KL controller: what β does in each, what is logged, and that they resume and learn."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from processes import ROOT, run_ex2
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer, RLOOTrainer

from analysis.judge.table import JUDGES
from ex2.checks.validate import recipe_problems
from ex2.data.demo.world import kind_of
from ex2.monitoring.signs import VARYING
from ex2.recipe_io import read_recipe
from ex2.trainers.checkpoints import newest_checkpoint
from ex2.trainers.config import ControlledGRPOConfig, ControlledRLOOConfig, GroupSampler, KLArguments, PPOConfig
from ex2.trainers.ppo import PPOTrainer
from ex2.trainers.prompt_order import PromptSampler
from ex2.trainers.rloo_grpo import ControlledGRPO, ControlledRLOO
from ex2.training.arguments import TRAINERS, batches_line, kl_arguments, trainer_arguments
from reward.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

GENERATIONS = 4


class Letters:
    """Number of Latin letters; None if the text has `none_from` characters or more."""

    __name__ = "letters"

    def __init__(self, none_from: int = 10_000) -> None:
        self.none_from = none_from
        self.seen: list[dict[str, Any]] = []

    def __call__(self, completions: list[str], **columns: Any) -> list[float | None]:
        self.seen.append({"completions": completions, **columns})
        return [
            None if len(text) >= self.none_from else float(sum(c.isascii() and c.isalpha() for c in text))
            for text in completions
        ]


def make(
    algorithm: str, mistral: Path, folder: Path, *, batches: int = 3, reward: Any = None, **changes: Any
) -> tuple[Any, list[dict[str, Any]]]:
    """A trainer, and the list that its rollouts and their scores are kept in."""
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": 3,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "steps_per_generation": 2,
        "num_iterations": 2,
        "max_steps": batches * 4,
        "logging_steps": 4,
        "save_steps": 8,
        "learning_rate": 3e-3,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "max_completion_length": 10,
        "beta": 1.0,
        "top_k": 0,
        "disable_dropout": True,
        "gradient_checkpointing": False,
        "ignore_data_skip": True,
        "bf16": False,
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "kl_controller": "log",
        "kl_coef": 0.5,
        "kl_target": 1.0,
        "kl_horizon": 4,
        "kl_horizon_unit": "batches",
    }
    base: Any = {"ppo": PPOTrainer, "rloo": ControlledRLOO, "grpo": ControlledGRPO}[algorithm]
    config: Any = {"ppo": PPOConfig, "rloo": ControlledRLOOConfig, "grpo": ControlledGRPOConfig}[algorithm]
    if algorithm != "ppo":
        settings["num_generations"] = GENERATIONS
    rollouts: list[dict[str, Any]] = []

    class Recording(base):
        def _generate_and_score_completions(self, inputs: Any) -> Any:
            output = super()._generate_and_score_completions(inputs)
            kept = {k: v.clone() for k, v in output.items() if isinstance(v, torch.Tensor)}
            rollouts.append(
                {
                    **kept,
                    "scores": self._scores.clone(),
                    "beta": self.beta,
                    "prompts": [row["prompt"] for row in inputs],
                    "weights": {n: p.detach().clone() for n, p in self.model.named_parameters() if p.requires_grad},
                    "row": dict(self.batch_log),
                }
            )
            return output

    trainer = Recording(
        model=AutoModelForCausalLM.from_pretrained(mistral),
        reward_funcs=reward or Letters(),
        args=config(**{**settings, **changes}),
        train_dataset=Dataset.from_list(
            [{"prompt": f"Describe a thing {index}.\n\n", "label": index} for index in range(20)]
        ),
        processing_class=AutoTokenizer.from_pretrained(mistral, padding_side="left"),
        peft_config=LoraConfig(r=4, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    return trainer, rollouts


@pytest.fixture(scope="module", params=["rloo", "grpo"])
def trained(
    request: pytest.FixtureRequest, mistral: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, list[dict[str, Any]]]:
    trainer, rollouts = make(request.param, mistral, tmp_path_factory.mktemp(request.param))
    trainer.train()
    return trainer, rollouts


def logprobs_of(trainer: Any, rollout: dict[str, Any], *, adapter: bool) -> torch.Tensor:
    """Log-probabilities of a rollout's responses by a plain forward, with the weights that sampled them or without."""
    now = {n: p.detach().clone() for n, p in trainer.model.named_parameters() if p.requires_grad}
    parameters = dict(trainer.model.named_parameters())
    ids = torch.cat([rollout["prompt_ids"], rollout["completion_ids"]], 1)
    mask = torch.cat([rollout["prompt_mask"], rollout["completion_mask"]], 1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        for name, value in rollout["weights"].items():
            parameters[name].copy_(value)
        if adapter:
            logits = trainer.model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        else:
            with trainer.model.disable_adapter():
                logits = trainer.model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        for name, value in now.items():
            parameters[name].copy_(value)
    length = rollout["completion_ids"].shape[1]
    every: torch.Tensor = logits.log_softmax(-1)[:, :-1].gather(-1, ids[:, 1:, None])[..., 0][:, -length:]
    return every


def measured_kl(trainer: Any, rollout: dict[str, Any]) -> torch.Tensor:
    """Summed log-ratio of each response, shape (B,)."""
    difference = logprobs_of(trainer, rollout, adapter=True) - logprobs_of(trainer, rollout, adapter=False)
    return (difference * rollout["completion_mask"]).sum(1)


def test_kl_is_that_of_ppo_and_moves_beta_for_the_next_batch(trained: tuple[Any, list[dict[str, Any]]]) -> None:
    trainer, rollouts = trained
    assert len(rollouts) == 3
    controller = trainer.args.make_kl_controller()
    for rollout in rollouts:
        kl = measured_kl(trainer, rollout)
        tokens = int(rollout["completion_mask"].sum())
        assert rollout["beta"] == pytest.approx(controller.coef, rel=1e-6)
        assert rollout["row"]["kl_coef"] == rollout["beta"]
        assert rollout["row"]["kl"] == pytest.approx(float(kl.mean()), abs=2e-5)
        assert rollout["row"]["kl_per_token"] == pytest.approx(float(kl.sum()) / tokens, abs=2e-6)
        assert rollout["row"]["response_length"] == pytest.approx(tokens / 8)
        assert rollout["row"]["kl_target"] == 1.0
        controller.update(rollout["row"]["kl"], samples=8)
    assert trainer.kl_controller.coef == pytest.approx(controller.coef, rel=1e-6)
    assert rollouts[0]["row"]["kl"] == pytest.approx(0.0, abs=1e-5)
    assert abs(rollouts[2]["row"]["kl"]) > 1e-3
    assert len({rollout["beta"] for rollout in rollouts}) == 3


def test_rloo_takes_beta_times_kl_off_each_score(mistral: Path, tmp_path: Path) -> None:
    """Advantage = (score − β KL) minus the mean of the other three of its prompt, by a plain loop."""
    trainer, rollouts = make("rloo", mistral, tmp_path, normalize_advantages=False)
    trainer.train()
    last = rollouts[2]
    values = [
        float(score - last["beta"] * kl) for score, kl in zip(last["scores"], measured_kl(trainer, last), strict=True)
    ]
    for row, value in enumerate(values):
        start = row // GENERATIONS * GENERATIONS
        others = [values[other] for other in range(start, start + GENERATIONS) if other != row]
        assert float(last["advantages"][row]) == pytest.approx(value - sum(others) / 3, abs=1e-4)
    assert last["beta"] != 0.5


@pytest.mark.parametrize("scale", ["none", "group"])
def test_grpo_adds_beta_times_kl_to_each_tokens_loss(mistral: Path, tmp_path: Path, scale: str) -> None:
    trainer, rollouts = make("grpo", mistral, tmp_path, scale_rewards=scale)
    losses: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], float, float]] = []
    compute = trainer._compute_loss

    def keeping(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        weights = {n: p.detach().clone() for n, p in trainer.model.named_parameters() if p.requires_grad}
        loss: torch.Tensor = compute(model, inputs)
        losses.append((dict(inputs), weights, trainer.beta, float(loss)))
        return loss

    trainer._compute_loss = keeping
    trainer.train()
    groups = rollouts[2]["scores"].view(-1, GENERATIONS)
    spread = groups.std(1, keepdim=True) + 1e-4 if scale == "group" else 1.0
    advantages = ((groups - groups.mean(1, keepdim=True)) / spread).view(-1)
    torch.testing.assert_close(rollouts[2]["advantages"], advantages, atol=1e-4, rtol=0)
    inputs, weights, beta, loss = losses[-1]  # third batch, last update: policy, old policy and reference all differ
    assert beta == rollouts[2]["beta"] != 0.5
    new = logprobs_of(trainer, {**inputs, "weights": weights}, adapter=True)
    ref = logprobs_of(trainer, {**inputs, "weights": weights}, adapter=False)
    total, mask = 0.0, inputs["completion_mask"]
    for row, column in mask.nonzero().tolist():
        ratio = float(torch.exp(new[row, column] - inputs["old_logprobs"][row, column]))
        gap = float(ref[row, column] - new[row, column])
        advantage = float(inputs["advantages"][row])
        surrogate = min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
        total += -surrogate + beta * ratio * (float(torch.exp(torch.tensor(gap))) - gap - 1)
    tokens_of_two_minibatches = int(rollouts[2]["completion_mask"].sum())
    assert loss == pytest.approx(total / (tokens_of_two_minibatches / 2), abs=1e-4)


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_a_beta_of_zero_still_measures_kl(algorithm: str, mistral: Path, tmp_path: Path) -> None:
    trainer, rollouts = make(algorithm, mistral, tmp_path, kl_controller="fixed", kl_coef=0.0)
    trainer.train()
    assert abs(rollouts[2]["row"]["kl"]) > 1e-3
    assert rollouts[2]["row"]["kl_coef"] == 0.0
    if algorithm == "rloo":
        groups = rollouts[2]["scores"].view(-1, GENERATIONS)
        expected = (groups - (groups.sum(1, keepdim=True) - groups) / 3).view(-1)
        torch.testing.assert_close(rollouts[2]["advantages"], expected)


def test_grpo_measures_kl_where_a_batch_has_one_update(mistral: Path, tmp_path: Path) -> None:
    """TRL leaves out the policy's pass there."""
    trainer, rollouts = make(
        "grpo",
        mistral,
        tmp_path,
        per_device_train_batch_size=8,
        steps_per_generation=1,
        num_iterations=1,
        max_steps=3,
        logging_steps=1,
    )
    trainer.train()
    assert "old_per_token_logps" not in rollouts[2]
    assert rollouts[2]["row"]["kl"] == pytest.approx(float(measured_kl(trainer, rollouts[2]).mean()), abs=2e-5)
    assert abs(rollouts[2]["row"]["kl"]) > 1e-4


def test_rows_have_ppos_keys(trained: tuple[Any, list[dict[str, Any]]], mistral: Path, tmp_path: Path) -> None:
    ppo, _ = make("ppo", mistral, tmp_path, batches=1)
    ppo.train()
    of_values = {"explained_variance", "value_loss", "value_clip_fraction"}
    core = {
        *("batch", "samples", "reward_mean", "reward_std", "unscored", "kl", "kl_per_token", "kl_coef", "kl_target"),
        *("response_length", "share_without_eos", "ratio_mean", "ratio_max", "clip_fraction", "entropy", "grad_norm"),
        *(
            "learning_rate",
            "tokens_per_second",
            "peak_memory_gib",
            "seconds_rollout",
            "seconds_reward",
            "seconds_update",
        ),
    }
    row = trained[0].batch_log
    assert core <= set(row)
    assert core | of_values <= set(ppo.batch_log)
    assert row["batch"] == 3
    assert row["samples"] == 24
    assert row["ratio_max"] > row["ratio_mean"] > 0
    assert row["entropy"] > 0
    assert row["seconds_rollout"] > 0 < row["seconds_update"]


def test_groups_share_a_prompt_and_differ_in_their_response(trained: tuple[Any, list[dict[str, Any]]]) -> None:
    for rollout in trained[1]:
        prompts = rollout["prompts"]
        assert prompts[:4] == [prompts[0]] * 4
        assert prompts[4:] == [prompts[4]] * 4
        assert prompts[0] != prompts[4]
        assert len({tuple(row.tolist()) for row in rollout["completion_ids"][:4]}) > 1


def test_group_sampler_repeats_each_prompt_of_ppos_order() -> None:
    prompts = PromptSampler(size=10, batch_size=2, repeats=3, batches=4, seed=1)
    sampler = GroupSampler(prompts, 4)
    indices = list(sampler)
    assert len(indices) == len(sampler) == 2 * 3 * 4 * 4
    assert indices[::4] == list(prompts)
    assert all(len(set(indices[start : start + 4])) == 1 for start in range(0, len(indices), 4))
    later = GroupSampler(PromptSampler(size=10, batch_size=2, repeats=3, batches=4, seed=1, start=2), 4)
    assert list(later) == indices[2 * 3 * 2 * 4 :]


def test_first_ratio_of_a_late_batch_is_one(mistral: Path, tmp_path: Path, trained: tuple[Any, Any]) -> None:
    trainer, _ = make(trained[0]._name.lower(), mistral, tmp_path)
    ratios: list[tuple[float, float]] = []
    compute = trainer._compute_loss

    def keeping(model: Any, inputs: Any) -> Any:
        loss = compute(model, inputs)
        ratios.append(trainer._updates[-1])
        return loss

    trainer._compute_loss = keeping
    trainer.train()
    assert ratios[8] == pytest.approx((1.0, 1.0), abs=1e-5)
    assert ratios[11][1] > 1.0005


def test_resume_continues_to_the_same_end(
    trained: tuple[Any, list[dict[str, Any]]], mistral: Path, tmp_path: Path
) -> None:
    whole = trained[0]
    first, _ = make(whole._name.lower(), mistral, tmp_path, batches=2)
    first.train()
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-8"
    second, rollouts = make(whole._name.lower(), mistral, tmp_path, batches=3)
    second.train(resume_from_checkpoint=str(checkpoint))
    assert len(rollouts) == 1
    assert second.kl_controller == whole.kl_controller
    for (name, one), (_, other) in zip(whole.model.named_parameters(), second.model.named_parameters(), strict=True):
        assert torch.equal(one, other), name
    timeless = {k: v for k, v in whole.batch_log.items() if not k.startswith(VARYING)}
    assert {k: v for k, v in second.batch_log.items() if not k.startswith(VARYING)} == timeless


def test_unscored_descriptions_do_not_move_the_policy(trained: tuple[Any, Any], mistral: Path, tmp_path: Path) -> None:
    trainer, rollouts = make(trained[0]._name.lower(), mistral, tmp_path, batches=1, reward=Letters(none_from=10))
    trainer.train()
    unscored = rollouts[0]["scores"].isnan()
    assert 0 < int(unscored.sum()) < 8
    assert (rollouts[0]["advantages"][unscored] == 0).all()
    assert trainer.batch_log["unscored"] == int(unscored.sum())
    nothing, _ = make(trained[0]._name.lower(), mistral, tmp_path, batches=1, reward=Letters(none_from=0))
    with pytest.raises(UserError, match=r"batch 1: none of its 8 descriptions could be scored"):
        nothing.train()


def test_an_infinite_gradient_ends_the_run_and_keeps_the_batch(
    trained: tuple[Any, Any], mistral: Path, tmp_path: Path
) -> None:
    trainer, _ = make(trained[0]._name.lower(), mistral, tmp_path, batches=3)
    weights = next(p for n, p in trainer.model.named_parameters() if "lora_A" in n)
    weights.register_hook(lambda gradient: gradient * (torch.inf if trainer.state.global_step == 9 else 1.0))
    with pytest.raises(UserError, match=r"batch 3: the gradient's norm: (inf|nan)\..*checkpoint-8"):
        trainer.train()
    assert (tmp_path / "not_finite/batch-3/process-0.safetensors").is_file()


def test_rewards_get_the_reference_models_log_probabilities(
    trained: tuple[Any, Any], mistral: Path, tmp_path: Path
) -> None:
    reward = Letters()
    trainer, rollouts = make(trained[0]._name.lower(), mistral, tmp_path, batches=2, reward=reward)
    trainer.train()
    expected = logprobs_of(trainer, rollouts[1], adapter=False)
    for row, given in enumerate(reward.seen[1]["reference_logprobs"]):
        length = int(rollouts[1]["completion_mask"][row].sum())
        assert given == pytest.approx(expected[row, :length].tolist(), abs=2e-5)


def test_it_learns_a_reward_it_can_earn(trained: tuple[Any, Any], mistral: Path, tmp_path: Path) -> None:
    trainer, rollouts = make(
        trained[0]._name.lower(),
        mistral,
        tmp_path,
        max_steps=30 * 8,
        logging_steps=8,
        steps_per_generation=4,
        learning_rate=1e-2,
        kl_controller="fixed",
        kl_coef=0.01,
        save_steps=10_000,
    )
    trainer.train()
    means = [float(rollout["scores"].mean()) for rollout in rollouts]
    assert sum(means[-5:]) / 5 > sum(means[:5]) / 5 + 1
    assert trainer.batch_log["kl"] > 0.5


# --- the recipe -------------------------------------------------------------------------------------------------------


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
    assert arguments.generation_batch_size == recipe.ppo.batch_size
    assert arguments.updates_per_batch * recipe.ppo.batches == arguments.max_steps
    assert arguments.make_kl_controller().coef == recipe.ppo.kl.init_coef
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
        ROOT / "recipes/demo/visual.yaml", [f"ppo.kl.{key}={value}" for key, value in overrides.items()]
    )
    given = kl_arguments(recipe.ppo.kl)
    assert set(given) == {field.name for field in fields(KLArguments)}
    controller = KLArguments(**given).make_kl_controller()
    assert (controller.coef, controller.target, controller.unit) == (0.7, 0.3, "token")
    assert (controller.horizon, controller.horizon_unit, controller.damping) == (12, "batches", 0.25)
    assert controller.controller == "log"


def test_groups_that_do_not_fill_a_batch_are_refused() -> None:
    overrides = ["algorithm=rloo", "group.generations=5"]
    with pytest.raises(UserError, match=r"group\.generations: 5 does not divide ppo\.batch_size 32"):
        read_recipe(ROOT / "recipes/demo/visual.yaml", overrides)
    with pytest.raises(UserError, match=r"group\.generations: .*greater than or equal to 2"):
        read_recipe(ROOT / "recipes/demo/visual.yaml", ["algorithm=grpo", "group.generations=1"])
    with pytest.raises(
        UserError, match=r"algorithm: unknown 'rlo'\. Did you mean 'rloo'\? Available: grpo, ppo, rloo\."
    ):
        read_recipe(ROOT / "recipes/demo/visual.yaml", ["algorithm=rlo"])


def test_the_line_before_a_run_says_what_a_batch_holds() -> None:
    demo = ROOT / "recipes/demo/visual.yaml"
    assert batches_line(read_recipe(demo, [])) == "PPO, 100 batches of 32 prompts, 16 optimizer steps each"
    assert batches_line(read_recipe(demo, ["algorithm=grpo", "group.generations=8"])) == (
        "GRPO, 100 batches of 32 descriptions, 8 of each of 4 prompts, 16 optimizer steps each"
    )


# --- what is relied on in TRL -----------------------------------------------------------------------------------------


def test_beta_is_read_where_we_set_it() -> None:
    rloo = inspect.getsource(RLOOTrainer._generate_and_score_completions)
    assert "rewards = rewards - self.beta * kl" in rloo
    assert "self.beta" not in inspect.getsource(RLOOTrainer._compute_loss)
    grpo = inspect.getsource(GRPOTrainer._compute_loss)
    assert "per_token_loss = per_token_loss + self.beta * per_token_kl" in grpo
    assert GRPOConfig.__dataclass_fields__["use_bias_correction_kl"].default is True
    assert GRPOConfig.__dataclass_fields__["loss_type"].default == "dapo"


def test_grpos_hooks_have_the_signatures_and_keys_we_rely_on() -> None:
    for name in (
        "_get_per_token_logps_and_entropies",
        "_calculate_rewards",
        "_generate_and_score_completions",
        "_compute_loss",
        "_get_train_sampler",
        "training_step",
        "log",
        "_save_checkpoint",
        "_load_from_checkpoint",
        "_send_telemetry",
    ):
        of_rloo = inspect.signature(getattr(RLOOTrainer, name)).parameters
        assert list(inspect.signature(getattr(GRPOTrainer, name)).parameters) == list(of_rloo), name
    for trainer in (RLOOTrainer, GRPOTrainer):
        assert list(inspect.signature(trainer._generate_single_turn).parameters)[:2] == ["self", "prompt_ids"]
        source = inspect.getsource(trainer._compute_loss)
        for metric in ("clip_ratio/region_mean", "entropy"):
            assert f'["{metric}"]' in source
        assert "outputs = model(**model_inputs" in inspect.getsource(trainer._get_per_token_logps_and_entropies)
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    passes = source.rindex("ref_per_token_logps, _, _ = self._get_per_token_logps_and_entropies")
    assert source.index("old_per_token_logps, _, _ = self._get_per_token_logps") < passes
    assert passes < source.index("self._calculate_rewards(")


# --- the demo, whole --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_the_demo_runs_to_a_report_and_moves_to_the_planted_kind(algorithm: str, tmp_path: Path) -> None:
    recipe = str(ROOT / "recipes/demo/visual.yaml")
    words = (f"algorithm={algorithm}", f"output_dir={tmp_path}", "ppo.batches=40", "training.save_every=20")
    result = run_ex2("run", recipe, *words, EX2_CACHE=str(tmp_path / "cache"))
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"{algorithm.upper()}, 40 batches of 32 descriptions, 4 of each of 8 prompts" in result.stdout
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
