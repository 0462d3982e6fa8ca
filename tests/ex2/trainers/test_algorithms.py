"""RLOO and GRPO under the KL controller: what β does in each, what is logged, and that they resume and learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from tiny_trainers import Letters, four_updates, things
from transformers import AutoModelForCausalLM, AutoTokenizer

from ex2.monitoring.signs import VARYING
from ex2.trainers.checkpoints import newest_checkpoint
from ex2.trainers.config import ControlledGRPOConfig, ControlledRLOOConfig, GroupSampler, PPOConfig
from ex2.trainers.ppo import PPOTrainer
from ex2.trainers.prompt_order import PromptSampler
from ex2.trainers.rloo_grpo import ControlledGRPO, ControlledRLOO
from reward.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

GENERATIONS = 4


def make(
    algorithm: str, mistral: Path, folder: Path, *, batches: int = 3, reward: Any = None, **changes: Any
) -> tuple[Any, list[dict[str, Any]]]:
    """A trainer, and the list that its rollouts and their scores are kept in."""
    settings = four_updates(folder, batches=batches) | {
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
        args=config(**(settings | changes)),
        train_dataset=things(20),
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


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
@pytest.mark.parametrize("horizon", [1, 0, -5])
def test_a_horizon_too_short_for_the_batch_is_refused_when_the_trainer_is_made(
    algorithm: str, horizon: int, mistral: Path, tmp_path: Path
) -> None:
    adaptive = {"kl_controller": "adaptive", "kl_horizon_unit": "samples"}
    with pytest.raises(UserError, match=f"rl.kl.horizon: given {horizon} samples; allowed is at least 2 for batches"):
        make(algorithm, mistral, tmp_path, kl_horizon=horizon, **adaptive)
    make(algorithm, mistral, tmp_path, kl_horizon=2, **adaptive)


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
