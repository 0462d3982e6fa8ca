"""What keeps training sound where β is large: divided rewards, a value head of its own, and the ratio guard."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig
from tiny_trainers import Letters, four_updates, make_ppo, things
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from ex2.trainers.advantages import spread
from ex2.trainers.config import ControlledGRPOConfig, ControlledRLOOConfig
from ex2.trainers.losses import ppo_loss
from ex2.trainers.rloo_grpo import ControlledGRPO, ControlledRLOO
from ex2.trainers.value_head import ValueHead, rescale

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

FIXED: dict[str, Any] = {"kl_controller": "fixed"}


class Gradients(TrainerCallback):
    """Keeps the gradient of every optimizer step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        named = kwargs["model"].named_parameters()
        self.steps.append({name: p.grad.clone() for name, p in named if p.grad is not None})


class Scaled(Letters):
    """`Letters` times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def __call__(self, completions: list[str], **columns: Any) -> list[float | None]:
        return [None if score is None else self.factor * score for score in super().__call__(completions, **columns)]


def group_trainer(algorithm: str, mistral: Path, folder: Path, reward: Any, **changes: Any) -> Any:
    trainer: Any = {"rloo": ControlledRLOO, "grpo": ControlledGRPO}[algorithm]
    config: Any = {"rloo": ControlledRLOOConfig, "grpo": ControlledGRPOConfig}[algorithm]
    return trainer(
        model=AutoModelForCausalLM.from_pretrained(mistral),
        reward_funcs=reward,
        args=config(**(four_updates(folder, batches=2) | FIXED | {"num_generations": 4} | changes)),
        train_dataset=things(20),
        processing_class=AutoTokenizer.from_pretrained(mistral, padding_side="left"),
        peft_config=LoraConfig(r=4, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"),
    )


def trained(trainer: Any) -> tuple[list[dict[str, torch.Tensor]], dict[str, Any]]:
    watch = Gradients()
    trainer.add_callback(watch)
    trainer.train()
    return watch.steps, trainer.batch_log


def distance(ours: list[dict[str, torch.Tensor]], theirs: list[dict[str, torch.Tensor]]) -> float:
    """Largest difference of gradients, each in units of its own norm."""
    assert len(ours) == len(theirs) > 0
    return max(
        float((one[name] - other[name]).norm() / other[name].norm().clamp(min=1e-12))
        for one, other in zip(ours, theirs, strict=True)
        for name in other
        if float(other[name].norm()) > 1e-9
    )


# --- rewards in units of max(1, β) ------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [1.0, 3.0, 20.0])
@pytest.mark.parametrize("clip_unit", ["reward", "spread"])
def test_scores_and_beta_ten_times_as_large_give_the_same_gradients(
    beta: float, clip_unit: str, mistral: Path, tmp_path: Path
) -> None:
    made = []
    for factor in (1.0, 10.0):
        trainer = make_ppo(
            mistral,
            tmp_path / str(factor),
            batches=2,
            reward=Scaled(factor),
            kl_coef=factor * beta,
            value_clip_unit=clip_unit,
            **FIXED,
        )
        torch.manual_seed(7)
        for parameter in trainer.value_head.parameters():
            torch.nn.init.normal_(parameter, std=0.02)
        made.append(trained(trainer))
    (ours, row), (theirs, other) = made
    assert distance(theirs, ours) < 1e-5
    assert (row["reward_unit"], other["reward_unit"]) == (beta, 10 * beta)
    assert other["reward_mean"] == pytest.approx(10 * row["reward_mean"])  # as the reward gives it
    assert other["kl"] == pytest.approx(row["kl"])
    assert other["value_loss"] == pytest.approx(row["value_loss"])  # in squares of the unit


def test_without_the_division_they_would_differ(mistral: Path, tmp_path: Path) -> None:
    """Below β = 1 nothing is divided: the value loss of scores ten times as large is a hundred times as large."""
    rows = []
    for factor in (1.0, 10.0):
        trainer = make_ppo(
            mistral, tmp_path / str(factor), batches=1, reward=Scaled(factor), kl_coef=0.02 * factor, **FIXED
        )
        rows.append(trained(trainer)[1])
    assert [row["reward_unit"] for row in rows] == [1.0, 1.0]
    assert rows[1]["value_loss"] > 50 * rows[0]["value_loss"]


@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [
        ("rloo", {}),
        ("rloo", {"normalize_advantages": True}),
        ("grpo", {"scale_rewards": "none"}),
    ],
)
def test_the_group_algorithms_divide_likewise(
    algorithm: str, changes: dict[str, Any], mistral: Path, tmp_path: Path
) -> None:
    """By 8 floating point divides exactly; by 10 Adam makes much of its rounding where a gradient is nearly 0."""
    made = {
        factor: trained(
            group_trainer(algorithm, mistral, tmp_path / str(factor), Scaled(factor), kl_coef=4 * factor, **changes)
        )
        for factor in (1, 8, 10)
    }
    # TRL normalizes by the standard deviation plus 1e-4: there is nothing to divide then, but for that
    bound = 1e-3 if changes.get("normalize_advantages") else 1e-5
    assert distance(made[8][0], made[1][0]) < bound
    assert distance(made[10][0][:1], made[1][0][:1]) < bound
    assert [row["reward_unit"] for _, row in made.values()] == [4.0, 32.0, 40.0]
    assert made[10][1]["reward_mean"] == pytest.approx(10 * made[1][1]["reward_mean"], rel=0.1)


def test_values_are_rescaled_when_the_unit_changes(mistral: Path, tmp_path: Path) -> None:
    """β doubles after the first batch: the head's values and Adam's memory of it follow before the second rollout."""
    trainer = make_ppo(mistral, tmp_path, batches=2, kl_coef=4.0, **FIXED)
    seen: list[tuple[float, dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []
    rollout = trainer._generate_and_score_completions

    def watched(inputs: Any) -> Any:
        head = {name: p.detach().clone() for name, p in trainer.value_head.named_parameters()}
        moments = {
            key: value.clone()
            for key, value in (trainer.optimizer.state.get(trainer.value_head.summary.weight) or {}).items()
        }
        seen.append((trainer.value_unit, head, moments))
        return rollout(inputs)

    class Doubling(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 4:
                trainer.kl_controller.coef = 8.0
                ends.append({name: p.detach().clone() for name, p in trainer.value_head.named_parameters()})
                states.append(
                    {k: v.clone() for k, v in trainer.optimizer.state[trainer.value_head.summary.weight].items()}
                )

    ends: list[dict[str, torch.Tensor]] = []
    states: list[dict[str, torch.Tensor]] = []
    trainer._generate_and_score_completions = watched
    trainer.add_callback(Doubling())
    trainer.train()
    (first, *_), (second, head, moments) = seen
    assert (first, second) == (4.0, 8.0)
    for name, value in head.items():
        torch.testing.assert_close(value, ends[0][name] / 2)
    torch.testing.assert_close(moments["exp_avg"], states[0]["exp_avg"] / 2)
    torch.testing.assert_close(moments["exp_avg_sq"], states[0]["exp_avg_sq"] / 4)


def test_rescaling_before_there_is_an_optimizer_changes_the_values_alone() -> None:
    class Alone:
        def gather_params(self, parameters: Any) -> Any:
            return torch.no_grad()

    head, hidden = ValueHead(3), torch.randn(2, 4, 3)
    before = head(hidden)
    rescale(head, None, 0.25, gathering=Alone())
    torch.testing.assert_close(head(hidden), before / 4)


def test_a_checkpoint_keeps_the_unit_and_one_of_earlier_versions_had_none(mistral: Path, tmp_path: Path) -> None:
    trainer = make_ppo(mistral, tmp_path, batches=2, kl_coef=4.0, **FIXED)
    trainer.train()
    checkpoint = tmp_path / "checkpoint-8"
    state = json.loads((checkpoint / "ppo_state.json").read_text())
    assert state["value_unit"] == 4.0
    again = make_ppo(mistral, tmp_path, batches=3, kl_coef=4.0, **FIXED)
    again._load_from_checkpoint(str(checkpoint))
    assert again.value_unit == 4.0
    del state["value_unit"]
    (checkpoint / "ppo_state.json").write_text(json.dumps(state))
    again._load_from_checkpoint(str(checkpoint))
    assert again.value_unit == 1.0


# --- the value head ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("trunk", "reached"), [("shared", True), ("detached", False)])
def test_a_detached_trunk_does_not_feel_the_value_loss(
    trunk: str, reached: bool, mistral: Path, tmp_path: Path
) -> None:
    """With a score that no response changes, advantages and policy gradient are 0: what is left is the value loss."""
    trainer = make_ppo(
        mistral, tmp_path, batches=1, reward=lambda completions, **_: [1.0] * len(completions), value_trunk=trunk,
        kl_coef=0.0, gamma=0.0, lam=0.0, num_iterations=1, max_steps=2, score_centering="none",
        value_init="zero", whiten_advantages=False, **FIXED,
    )  # fmt: skip
    torch.nn.init.normal_(trainer.value_head.summary.weight, std=0.1)
    alone = trained_on_values(trainer)
    moved = [name for name, gradient in alone.items() if "lora_B" in name and float(gradient.abs().max()) > 0]
    assert bool(moved) is reached
    assert float(alone["base_model.model.value_head.summary.weight"].abs().max()) > 0


def trained_on_values(trainer: Any) -> dict[str, torch.Tensor]:
    """Return the gradient of the value loss alone, of the first minibatch."""
    inner = trainer._compute_loss

    def values_only(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return inner(model, {**inputs, "advantages": torch.zeros_like(inputs["advantages"])})

    trainer._compute_loss = values_only
    steps, _ = trained(trainer)
    return steps[0]


@pytest.mark.parametrize("init", ["default", "zero"])
def test_a_head_of_zeros_says_nothing_at_first(init: str, mistral: Path, tmp_path: Path) -> None:
    trainer = make_ppo(mistral, tmp_path, batches=1, value_init=init)
    assert any(bool(p.any()) for p in trainer.value_head.parameters()) is (init == "default")
    trainer.train()
    assert bool(trainer.rollouts[0]["old_values"].any()) is (init == "default")
    assert bool(trainer.value_head.summary.weight.any())


def test_the_head_has_its_own_learning_rate(mistral: Path, tmp_path: Path) -> None:
    trainer = make_ppo(mistral, tmp_path, batches=2, value_learning_rate=3e-4)
    trainer.train()
    rates = {id(parameter): group["lr"] for group in trainer.optimizer.param_groups for parameter in group["params"]}
    trainable = {name: p for name, p in trainer.model.named_parameters() if p.requires_grad}
    assert {rates[id(p)] for name, p in trainable.items() if "value_head" in name} == {3e-4}
    assert {rates[id(p)] for name, p in trainable.items() if "value_head" not in name} == {3e-3}
    assert trainer.batch_log["learning_rate"] == 3e-3
    again = make_ppo(mistral, tmp_path, batches=3, value_learning_rate=3e-4)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-8"))
    assert again.batch_log["batch"] == 3


def test_the_spread_is_of_the_many() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, -1e6]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    # quartiles of 1 to 5 are 2 and 4
    assert spread(values, mask) == pytest.approx(2 / 1.349)
    rare = torch.cat([torch.arange(1.0, 6.0).repeat(20), torch.tensor([1e6])]).reshape(1, -1)
    assert spread(rare, torch.ones_like(rare, dtype=torch.bool)) == pytest.approx(2 / 1.349)
    normal = torch.from_numpy(np.random.default_rng(0).normal(5, 3, (100, 400)))
    assert spread(normal, torch.ones_like(normal, dtype=torch.bool)) == pytest.approx(3, rel=0.01)
    few = torch.tensor([[0.0, 0.0, 0.0, 0.0, 10.0]])
    assert spread(few, torch.ones_like(few, dtype=torch.bool)) == pytest.approx(4.0)  # its standard deviation
    assert spread(few, torch.zeros_like(few, dtype=torch.bool)) == 0.0


def test_a_value_moves_by_a_share_of_the_spread(mistral: Path, tmp_path: Path) -> None:
    trainer = make_ppo(mistral, tmp_path, batches=1, value_clip_unit="spread", value_clip_range=0.5)
    trainer.train()
    rollout = trainer.rollouts[0]
    expected = 0.5 * spread(rollout["returns"], rollout["loss_mask"])
    assert trainer._value_clip_range == pytest.approx(expected)
    assert expected != pytest.approx(0.5)


# --- the ratio guard --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_ratio", [50.0, 200.0, 1e4, 1e30])
@pytest.mark.parametrize("guard_responses", [False, True])
@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_a_ratio_that_overflows_leaves_no_gradient_and_no_nan(
    log_ratio: float, guard_responses: bool, advantage: float
) -> None:
    logprobs = torch.tensor([[0.0, log_ratio], [0.0, 0.0]], requires_grad=True)
    values = torch.zeros(2, 2, requires_grad=True)
    old = torch.zeros(2, 2)
    mask = torch.ones(2, 2, dtype=torch.bool)
    found = ppo_loss(
        logprobs, values, old, old, torch.full((2, 2), advantage), torch.ones(2, 2), mask,
        clip_range=0.2, value_clip_range=0.2, value_coef=0.1, ratio_threshold=10.0, guard_responses=guard_responses,
    )  # fmt: skip
    found.loss.backward()
    assert found.skipped
    assert logprobs.grad is not None
    assert values.grad is not None
    assert math.isfinite(float(found.loss))
    assert logprobs.grad.isfinite().all()
    assert not logprobs.grad[0].any()  # the response that overflows
    assert not values.grad[0].any()
    assert bool(values.grad[1].any()) is guard_responses  # the other one counts if responses are judged one by one


def test_a_minibatch_is_judged_whole_in_however_many_passes(mistral: Path, tmp_path: Path) -> None:
    """One response has ratios far above the threshold: in four passes of one, three would pass alone."""
    ends = {}
    for micro in (4, 1):
        trainer = make_ppo(mistral, tmp_path / str(micro), batches=2, micro=micro, ratio_threshold=1.0003)
        steps, row = trained(trainer)
        skipped = [not any(bool(g.any()) for g in step.values()) for step in steps]
        ends[micro] = (skipped, row["skipped_minibatches"], steps)
    assert ends[4][0] == ends[1][0]
    assert ends[4][1] == ends[1][1] == sum(ends[4][0][4:])
    assert 0 < sum(ends[4][0]) < len(ends[4][0])
    assert distance(ends[1][2], ends[4][2]) < 1e-3


def test_an_overflow_in_training_is_skipped_and_training_goes_on(mistral: Path, tmp_path: Path) -> None:
    trainer = make_ppo(mistral, tmp_path, batches=2, micro=1)
    inner, calls = trainer._compute_loss, []

    def broken(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:  # the second pass of the first minibatch
            inputs = {**inputs, "old_logprobs": inputs["old_logprobs"] - 500.0}
        return inner(model, inputs)

    trainer._compute_loss = broken
    steps, row = trained(trainer)
    assert not any(bool(gradient.any()) for gradient in steps[0].values())
    assert all(bool(gradient.isfinite().all()) for step in steps for gradient in step.values())
    assert any(bool(gradient.any()) for gradient in steps[1].values())
    assert row["batch"] == 2
