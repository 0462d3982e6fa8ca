"""The value head's learning rate from a largest step: at the returns' scale, whatever the width of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_trainers import Letters, four_updates, make_ppo
from transformers import TrainerCallback

from ex2.recipe_io import read_recipe
from ex2.run.directory import RunDirectory
from ex2.trainers.advantages import spread
from ex2.trainers.config import PPOConfig
from ex2.trainers.value_head import step_learning_rate
from ex2.training.arguments import VALUE_STEP, trainer_arguments

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

HEAD: dict[str, Any] = {"value_trunk": "detached", "value_init": "zero", "value_clip_unit": "spread"}
DEMO = Path(__file__).resolve().parents[3] / "recipes/demo/visual.yaml"


class Steps(TrainerCallback):
    """Keeps, for each optimizer step, the rates of policy and value head, and how far the head's weights move."""

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.rates, self.moved = trainer, [], []
        self._before: list[torch.Tensor] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        groups = self.trainer.optimizer.param_groups
        self.rates.append(
            (
                {group["lr"] for group in groups if not group.get("value_head")},
                {group["lr"] for group in groups if group.get("value_head")},
            )
        )
        self._before = [p.detach().clone() for p in self.trainer.value_head.parameters()]

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        pairs = zip(self._before, self.trainer.value_head.parameters(), strict=True)
        self.moved.append(max(float((after - before).abs().max()) for before, after in pairs))


class Scaled(Letters):
    """`Letters` times a factor."""

    factor = 1.0

    def __call__(self, completions: list[str], **columns: Any) -> list[float | None]:
        return [None if score is None else self.factor * score for score in super().__call__(completions, **columns)]


def test_the_learning_rate_by_hand() -> None:
    """Sizes 5 and 13 on the mask are 9 on average, and the bias counts for 1."""
    sizes = torch.tensor([[5.0, 100.0], [13.0, 100.0]])
    mask = torch.tensor([[True, False], [True, False]])
    assert step_learning_rate(0.2, sizes, mask) == pytest.approx(0.02)
    assert step_learning_rate(0.2, 10 * sizes, mask) == pytest.approx(0.2 / 91)
    assert step_learning_rate(0.2, sizes, torch.zeros_like(mask)) == pytest.approx(0.2)


@pytest.mark.parametrize("micro", [2, 4])
def test_each_batch_sets_the_rate_of_the_head_alone(micro: int, mistral: Path, tmp_path: Path) -> None:
    """From its returns and hidden states, which are taken here from the head's own input."""
    trainer = make_ppo(mistral, tmp_path, batches=3, micro=micro, value_step=0.4, **HEAD)
    steps, states = Steps(trainer), []
    trainer.add_callback(steps)
    trainer.value_head.register_forward_pre_hook(lambda _module, inputs: states.append(inputs[0].detach()))
    inner, seen = trainer._add_advantages, []

    def add_advantages(output: Any) -> Any:
        width = output["completion_ids"].shape[1]
        of_policy = torch.cat(states[: 8 // micro])[:, -width:]
        result = inner(output)
        size = of_policy.abs().sum(-1)[result["loss_mask"]].mean()
        seen.append(0.4 * spread(result["returns"], result["loss_mask"]) / (1 + float(size)))
        return result

    trainer._add_advantages = add_advantages
    prepare = trainer._generate_and_score_completions

    def generate(inputs: Any) -> Any:
        states.clear()
        return prepare(inputs)

    trainer._generate_and_score_completions = generate
    trainer.train()
    assert len({round(rate, 6) for rate in seen}) == 3, "each batch has another"
    assert [policy for policy, _ in steps.rates] == [{3e-3}] * 12
    assert [rate for _, (rate,) in steps.rates] == pytest.approx([rate for rate in seen for _ in range(4)], rel=1e-5)
    assert trainer.batch_log["learning_rate"] == 3e-3
    # Adam's first step is the rate itself, later ones are of its size: what the bound on a value's step rests on
    assert steps.moved[0] == pytest.approx(seen[0], rel=1e-3)
    assert max(moved / rate for moved, (_, (rate,)) in zip(steps.moved, steps.rates, strict=True)) < 2


def run(mistral: Path, folder: Path, factor: float, **changes: Any) -> Any:
    """Train on scores and KL penalties times a factor; β stays below 1, so that nothing else divides them."""
    reward = Scaled()
    reward.factor = factor
    trainer = make_ppo(
        mistral, folder, batches=3, reward=reward, kl_coef=0.02 * factor, kl_controller="fixed", **(HEAD | changes)
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize("factor", [0.01, 10.0, 40.0])
def test_values_have_the_scale_of_the_returns(factor: float, mistral: Path, tmp_path: Path) -> None:
    """A score in other units is another name for the same problem: values in these units, the same policy."""
    ours, theirs = (run(mistral, tmp_path / str(f), f, value_step=0.3) for f in (1.0, factor))
    assert ours.batch_log["explained_variance"] != 0
    for one, other in zip(ours.rollouts, theirs.rollouts, strict=True):
        assert torch.equal(one["completion_ids"], other["completion_ids"])
        torch.testing.assert_close(other["old_values"], factor * one["old_values"], rtol=2e-2, atol=2e-3 * factor)
    assert theirs.batch_log["explained_variance"] == pytest.approx(ours.batch_log["explained_variance"], abs=5e-3)


def test_with_a_fixed_rate_they_have_not(mistral: Path, tmp_path: Path) -> None:
    ours, theirs = (run(mistral, tmp_path / str(f), f, value_learning_rate=1e-3) for f in (1.0, 40.0))
    values = [float(trainer.rollouts[1]["old_values"].abs().max()) for trainer in (ours, theirs)]
    assert values[1] < 4 * values[0]


@pytest.mark.parametrize("step", [0.1, 0.3])
def test_a_resumed_run_takes_the_same_steps(step: float, mistral: Path, tmp_path: Path) -> None:
    whole = make_ppo(mistral, tmp_path / "whole", batches=3, value_step=step, **HEAD)
    whole.train()
    again = make_ppo(mistral, tmp_path / "again", batches=3, value_step=step, **HEAD)
    steps = Steps(again)
    again.add_callback(steps)
    again.train(resume_from_checkpoint=str(tmp_path / "whole/checkpoint-8"))
    assert len(steps.rates) == 4
    for ours, theirs in zip(again.value_head.parameters(), whole.value_head.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_one_of_two_settings_sets_the_rate(tmp_path: Path) -> None:
    sizes = four_updates(tmp_path, batches=1)
    with pytest.raises(
        ValueError, match=r"value_step 0.3 and value_learning_rate 0.001 both set the value head's learning rate; give"
    ):
        PPOConfig(**sizes, value_step=0.3, value_learning_rate=1e-3)
    plain = PPOConfig(**sizes)
    assert (plain.value_step, plain.value_learning_rate) == (None, None), "TRL's: the policy's rate"


@pytest.mark.parametrize(
    ("given", "step", "rate"),
    [(None, VALUE_STEP, None), ("tenth", None, 3e-5), ("policy", None, None), ("2e-5", None, 2e-5)],
)
def test_what_a_recipe_asks_for(given: str | None, step: float | None, rate: float | None) -> None:
    """The demo's policy has a rate of 3e-4."""
    recipe = read_recipe(DEMO, [] if given is None else [f"ppo.value_learning_rate={given}"])
    arguments = trainer_arguments(recipe, 0, RunDirectory.of(recipe).seed(0), 1)
    assert isinstance(arguments, PPOConfig)
    assert arguments.value_step == step
    assert arguments.value_learning_rate == (rate if rate is None else pytest.approx(rate))
