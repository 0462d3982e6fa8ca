"""A run with a large β that is stopped and continued, while the unit of its rewards changes from batch to batch."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_large_beta import Scaled, distance, group_trainer, trained
from tiny_trainers import Letters, make_ppo

from ex2.monitoring.rules import METRICS

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

RISES: dict[str, Any] = {"kl_controller": "log", "kl_target": 1e-6, "kl_horizon": 3, "kl_horizon_unit": "batches"}
FALLS = RISES | {"kl_target": 1e6}
QUICKLY = FALLS | {"kl_horizon": 1}  # to a third in each batch
ADAPTIVE: dict[str, Any] = {"kl_controller": "adaptive", "kl_target": 1e6, "kl_horizon": 2}  # ×0.2 with batches of 8
OWN: dict[str, Any] = {"value_trunk": "detached", "value_init": "zero", "value_clip_unit": "spread"}


@pytest.fixture(autouse=True)
def _one_nat(monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller is told a KL of one nat in each batch, so that β surely rises or falls."""
    monkeypatch.setattr("ex2.trainers.controlled.sequence_kl", lambda logprobs, *_: torch.ones(len(logprobs)))


def made(algorithm: str, mistral: Path, folder: Path, reward: Any = None, batches: int = 4, **changes: Any) -> Any:
    if algorithm == "ppo":
        return make_ppo(mistral, folder, batches=batches, reward=reward or Letters(), **changes)
    settings = {"max_steps": 4 * batches, **changes}
    return group_trainer(algorithm, mistral, folder, reward or Letters(), **settings)


def units(trainer: Any) -> list[float]:
    """Keep the unit of each batch, as its row has it."""
    found: list[float] = []
    inner = trainer._measure

    def measure(*args: Any, **kwargs: Any) -> Any:
        row = inner(*args, **kwargs)
        found.append(row["reward_unit"])
        assert row["reward_unit"] == max(1.0, row["kl_coef"])
        return row

    trainer._measure = measure
    return found


def trainable(trainer: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [
        ("ppo", {"kl_coef": 4.0, **FALLS}),
        ("ppo", {"kl_coef": 2.0, **RISES}),
        ("ppo", {"kl_coef": 3.0, **QUICKLY, **OWN, "value_step": 0.3}),  # below 1 in the run
        ("ppo", {"kl_coef": 0.95, **RISES, **OWN, "value_learning_rate": 1e-3}),
        ("ppo", {"kl_coef": 40.0, **ADAPTIVE}),
        ("rloo", {"kl_coef": 4.0, **FALLS}),
        ("rloo", {"kl_coef": 40.0, **ADAPTIVE}),
        ("rloo", {"kl_coef": 0.95, **RISES}),
        ("grpo", {"kl_coef": 4.0, **FALLS}),
        ("grpo", {"kl_coef": 40.0, **ADAPTIVE}),
        ("grpo", {"kl_coef": 0.95, **RISES}),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value['kl_coef']}-{value['kl_controller']}",
)
def test_a_resumed_run_goes_on_in_the_units_of_the_whole_one(
    algorithm: str, changes: dict[str, Any], mistral: Path, tmp_path: Path
) -> None:
    whole = made(algorithm, mistral, tmp_path / "whole", **changes)
    seen = units(whole)
    whole.train()
    assert len(seen) == 4
    assert len(set(seen[1:])) > 1, "the unit moves where the run is cut"
    again = made(algorithm, mistral, tmp_path / "again", **changes)
    later = units(again)
    again.train(resume_from_checkpoint=str(tmp_path / "whole/checkpoint-8"))
    assert later == seen[2:]
    assert again.kl_controller == whole.kl_controller
    ours, theirs = trainable(again), trainable(whole)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


@pytest.mark.parametrize(("coef", "moving"), [(4.0, FALLS), (2.0, RISES), (40.0, ADAPTIVE)])
def test_a_checkpoint_has_the_unit_of_its_values_beside_the_beta_of_the_next_batch(
    coef: float, moving: dict[str, Any], mistral: Path, tmp_path: Path
) -> None:
    trainer = made("ppo", mistral, tmp_path, batches=2, kl_coef=coef, **moving)
    seen = units(trainer)
    trainer.train()
    state = json.loads((tmp_path / "checkpoint-8/ppo_state.json").read_text())
    assert state["value_unit"] == seen[1] == max(1.0, trainer.batch_log["kl_coef"])
    assert state["kl_coef"] == trainer.kl_controller.coef != seen[1]


def changed(checkpoint: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy a checkpoint and change its state."""
    copy = folder / checkpoint.name
    shutil.copytree(checkpoint, copy)
    state = json.loads((copy / "ppo_state.json").read_text())
    change(state)
    (copy / "ppo_state.json").write_text(json.dumps(state))
    return copy


@pytest.mark.parametrize("unit", [None, 2.0, 16.0])
def test_stored_values_are_brought_to_todays_unit_before_they_are_used(
    unit: float | None, mistral: Path, tmp_path: Path
) -> None:
    """β is 8. A checkpoint of an earlier version names no unit, since its values were in the score's own."""
    fixed: dict[str, Any] = {"kl_controller": "fixed", "kl_coef": 8.0}
    made("ppo", mistral, tmp_path / "first", batches=2, **fixed).train()

    def change(state: dict[str, Any]) -> None:
        del state["value_unit"]
        if unit is not None:
            state["value_unit"] = unit

    checkpoint = changed(tmp_path / "first/checkpoint-8", tmp_path / "changed", change)
    factor = (unit or 1.0) / 8
    again = made("ppo", mistral, tmp_path / "again", batches=3, **fixed)
    seen: list[dict[str, torch.Tensor]] = []
    inner = again._generate_and_score_completions

    def watched(inputs: Any) -> Any:
        moments = again.optimizer.state[again.value_head.summary.weight]
        head = {name: p.detach().clone() for name, p in again.value_head.named_parameters()}
        seen.append({**head, "exp_avg": moments["exp_avg"].clone(), "exp_avg_sq": moments["exp_avg_sq"].clone()})
        return inner(inputs)

    again._generate_and_score_completions = watched
    again.train(resume_from_checkpoint=str(checkpoint))
    stored = load_file(checkpoint / "value_head.safetensors")
    assert float(stored["summary.weight"].abs().max()) > 0.01
    assert again.value_unit == 8.0
    (used,) = seen
    for name, value in stored.items():
        torch.testing.assert_close(used[name], factor * value)
    untouched = made("ppo", mistral, tmp_path / "untouched", batches=3, **fixed)
    kept: list[dict[str, torch.Tensor]] = []
    plain = untouched._generate_and_score_completions

    def keep(inputs: Any) -> Any:
        moments = untouched.optimizer.state[untouched.value_head.summary.weight]
        kept.append({key: moments[key].clone() for key in ("exp_avg", "exp_avg_sq")})
        return plain(inputs)

    untouched._generate_and_score_completions = keep
    untouched.train(resume_from_checkpoint=str(tmp_path / "first/checkpoint-8"))
    assert float(kept[0]["exp_avg"].abs().max()) > 0
    torch.testing.assert_close(used["exp_avg"], factor * kept[0]["exp_avg"], rtol=1e-5, atol=0)
    torch.testing.assert_close(used["exp_avg_sq"], factor**2 * kept[0]["exp_avg_sq"], rtol=1e-5, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {**OWN, "value_step": 0.3}], ids=["TRL", "own"])
@pytest.mark.parametrize("beta", [1.0, 6.0])
def test_a_resumed_run_with_scores_beta_and_score_mean_ten_times_as_large(
    beta: float, changes: dict[str, Any], mistral: Path, tmp_path: Path
) -> None:
    """The score mean, which a run draws from its first batch, is here a number of the checkpoint's."""
    fixed: dict[str, Any] = {"kl_controller": "fixed", **changes}
    made("ppo", mistral, tmp_path / "first", batches=2, kl_coef=beta, **fixed).train()
    checkpoint = tmp_path / "first/checkpoint-8"
    found = {}
    for factor in (1.0, 10.0, 64.0):

        def change(state: dict[str, Any], factor: float = factor) -> None:
            state.update({key: factor * state[key] for key in ("score_mean", "kl_coef", "value_unit")})

        own = changed(checkpoint, tmp_path / f"at-{factor:g}", change)
        folder = tmp_path / f"run-{factor:g}"
        trainer = made("ppo", mistral, folder, Scaled(factor), batches=3, kl_coef=factor * beta, **fixed)
        watched = resumed(trainer, own)
        found[factor] = watched
        assert trainer.batch_log["reward_unit"] == factor * beta
        assert abs(trainer.score_mean) > 1
    for factor in (10.0, 64.0):
        assert distance(found[factor], found[1.0]) < 1e-5


def resumed(trainer: Any, checkpoint: Path) -> list[dict[str, torch.Tensor]]:
    start = trainer.train
    trainer.train = lambda: start(resume_from_checkpoint=str(checkpoint))
    steps, _ = trained(trainer)
    assert len(steps) == 4
    return steps


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
def test_twin_in_a_unit_of_one_the_same_gradients_are_ten_times_as_large(
    algorithm: str, mistral: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the metamorphic tests rest on: without the division, what the scores make of the weights grows with them.

    PPO whitens its advantages, so that it is the value loss that grows. Its head begins at 0, and is the head alone.
    """
    own: dict[str, dict[str, Any]] = {"ppo": {"value_init": "zero"}, "rloo": {}, "grpo": {"scale_rewards": "none"}}
    plain = {"kl_controller": "fixed", **own[algorithm]}
    found = {}
    for divided in (True, False):
        for factor in (1.0, 8.0):
            folder = tmp_path / f"{divided}-{factor:g}"
            trainer = made(algorithm, mistral, folder, Scaled(factor), 1, kl_coef=2 * factor, **plain)
            if not divided:
                monkeypatch.setattr(type(trainer), "reward_unit", 1.0)
            found[divided, factor] = trained(trainer)[0][:1]
    assert distance(found[True, 8.0], found[True, 1.0]) < 1e-5
    one, eight, divided_one = (found[key][0] for key in ((False, 1.0), (False, 8.0), (True, 1.0)))
    names = [name for name, value in one.items() if float(value.norm()) > 1e-9]
    names = [name for name in names if "value_head" in name] if algorithm == "ppo" else names
    assert names
    for name in names:
        scale = float(one[name].abs().max())
        torch.testing.assert_close(eight[name], 8 * one[name], rtol=0, atol=1e-5 * scale)
        torch.testing.assert_close(divided_one[name], one[name] / 2, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("moving", [RISES, FALLS])
def test_no_unit_lies_below_one_and_each_follows_the_beta_of_its_batch(
    moving: dict[str, Any], mistral: Path, tmp_path: Path
) -> None:
    trainer = made("ppo", mistral, tmp_path, batches=4, kl_coef=1.1, **moving)
    seen = units(trainer)
    at_rollout: list[float] = []
    inner = trainer._generate_and_score_completions

    def watched(inputs: Any) -> Any:
        at_rollout.append(trainer.value_unit)
        return inner(inputs)

    trainer._generate_and_score_completions = watched
    trainer.train()
    assert at_rollout == seen
    assert min(seen) >= 1.0
    factor = 1 if moving is RISES else -1
    assert seen == pytest.approx([max(1.0, 1.1 * math.exp(factor * batch / 3)) for batch in range(4)])


@pytest.mark.parametrize("beta", [0.5, 1.0, 5.0])
def test_the_value_loss_is_in_squares_of_the_unit_and_its_name_says_so(
    beta: float, mistral: Path, tmp_path: Path
) -> None:
    """Against returns in the score's own unit by a plain loop: V is 0 at first, so that R_t = Σ 0.95^k r_(t+k)."""
    trainer = made("ppo", mistral, tmp_path, batches=1, kl_coef=beta, kl_controller="fixed", value_init="zero")
    trainer.train()
    rollout, first = trainer.rollouts[0], trainer.orders[0][:4]
    squares = []
    for row in first:
        length = int(rollout["completion_mask"][row].sum())
        gap = (rollout["old_logprobs"] - rollout["ref_logprobs"])[row, :length].tolist()
        rewards = [-beta * one for one in gap]
        rewards[-1] += float(rollout["scores"][row] - rollout["scores"].mean())
        squares += [sum(0.95**k * r for k, r in enumerate(rewards[t:])) ** 2 for t in range(length)]
    unit = max(1.0, beta)
    assert trainer.updates[0].value_loss * unit**2 == pytest.approx(0.5 * sum(squares) / len(squares), rel=1e-4)
    assert trainer.batch_log["reward_unit"] == unit
    assert METRICS["value_loss"] == "Value loss, in squares of max(1, β)"
