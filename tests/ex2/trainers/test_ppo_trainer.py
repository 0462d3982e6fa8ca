"""The trainer on a small Mistral: what it computes, what it changes, and that it resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tiny_trainers import Letters, Recording, make_ppo
from transformers import AutoModelForCausalLM, AutoTokenizer

from ex2.trainers.checkpoints import newest_checkpoint
from ex2.trainers.prompt_order import PromptSampler
from reward.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def trained(mistral: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    trainer = make_ppo(mistral, tmp_path_factory.mktemp("trained"))
    trainer.train()
    trainer.save_model(str(tmp_path_factory.getbasetemp() / "adapter"))
    return trainer


def test_first_ratio_of_a_late_batch_is_one(trained: Recording) -> None:
    """LoRA's B has left zero and dropout 0.05 is configured: only with dropout off everywhere is the ratio 1."""
    lora_b = [p for n, p in trained.model.named_parameters() if "lora_B" in n]
    assert min(float(p.abs().max()) for p in lora_b) > 1e-4
    first_of_third_batch = trained.updates[2 * 4]
    assert first_of_third_batch.ratio_mean == pytest.approx(1.0, abs=1e-6)
    assert first_of_third_batch.ratio_max == pytest.approx(1.0, abs=1e-5)
    assert trained.updates[2 * 4 + 3].ratio_max > 1.0005  # and by its last update it has moved


def test_four_updates_a_batch_each_epoch_in_a_new_order(trained: Recording) -> None:
    assert len(trained.updates) == 3 * 2 * 2
    orders = trained.orders
    assert orders[0] == orders[1]  # both minibatches of an epoch share its permutation
    assert orders[0] != orders[2]
    assert orders[0] != orders[4]
    assert all(sorted(order) == list(range(8)) for order in orders)


def test_adapter_and_head_move_and_the_base_does_not(trained: Recording, mistral: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(mistral).state_dict()
    trainable = {n for n, p in trained.model.named_parameters() if p.requires_grad}
    assert all("lora_" in name or "value_head" in name for name in trainable)
    assert sum("value_head" in name for name in trainable) == 2
    assert {p.dtype for p in trained.model.parameters() if p.requires_grad} == {torch.float32}
    for name, value in trained.model.get_base_model().state_dict().items():
        plain = name.replace(".base_layer", "")
        if "lora_" not in name and "value_head" not in name:
            assert torch.equal(value, base[plain]), name


def test_rollout_logprobs_and_values_against_a_plain_forward(mistral: Path, tmp_path: Path) -> None:
    """Before the first update the policy is the base: everything can be computed without TRL or PEFT."""
    trainer = make_ppo(mistral, tmp_path, batches=1, num_iterations=1, max_steps=2)
    head = {key: value.clone() for key, value in trainer.value_head.state_dict().items()}
    trainer.train()
    rollout = trainer.rollouts[0]
    model = AutoModelForCausalLM.from_pretrained(mistral).eval()
    ids = torch.cat([rollout["prompt_ids"], rollout["completion_ids"]], 1)
    attention = torch.cat([rollout["prompt_mask"], rollout["completion_mask"]], 1)
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=attention, output_hidden_states=True)
    length = rollout["completion_ids"].shape[1]
    logprobs = output.logits.log_softmax(-1)[:, :-1].gather(-1, ids[:, 1:, None])[..., 0][:, -length:]
    values = torch.nn.functional.linear(output.hidden_states[-1][:, :-1], head["summary.weight"], head["summary.bias"])[
        ..., 0
    ][:, -length:]
    mask = rollout["completion_mask"].bool()
    torch.testing.assert_close(rollout["old_logprobs"][mask], logprobs[mask], atol=2e-5, rtol=0)
    torch.testing.assert_close(rollout["ref_logprobs"][mask], logprobs[mask], atol=2e-5, rtol=0)
    torch.testing.assert_close(rollout["old_values"][mask], values[mask], atol=2e-5, rtol=0)


def test_rewards_get_the_reference_models_log_probabilities(mistral: Path, tmp_path: Path) -> None:
    """In the second batch too, when the policy has moved: those of the base model alone, one per token."""
    seen: list[dict[str, Any]] = []

    class Watching(Letters):
        def __call__(self, completions: list[str], **columns: Any) -> list[float | None]:
            seen.append(columns)
            return super().__call__(completions, **columns)

    make_ppo(mistral, tmp_path, batches=2, reward=Watching()).train()
    tokenizer = AutoTokenizer.from_pretrained(mistral)
    model = AutoModelForCausalLM.from_pretrained(mistral).eval()
    for row in range(8):
        prompt = tokenizer(seen[1]["prompts"][row])["input_ids"]
        response = list(seen[1]["completion_ids"][row])
        with torch.no_grad():
            logprobs = model(torch.tensor([prompt + response])).logits[0].log_softmax(-1)
        expected = [float(logprobs[len(prompt) - 1 + place, token]) for place, token in enumerate(response)]
        assert seen[1]["reference_logprobs"][row] == pytest.approx(expected, abs=2e-5)


def test_scores_are_centered_on_the_first_batch_unless_raw_is_asked(mistral: Path, tmp_path: Path) -> None:
    centered = make_ppo(mistral, tmp_path / "a", batches=2, reward=Letters(offset=25.0))
    centered.train()
    first, second = centered.rollouts
    assert centered.score_mean == pytest.approx(float(first["scores"].mean()))
    raw = make_ppo(mistral, tmp_path / "b", batches=1, reward=Letters(offset=25.0), score_centering="none")
    raw.train()
    # with γ 1 the return at the last token is its own reward: the score, centred or raw, as KL is 0 in batch 1
    for rollout, offset in ((first, centered.score_mean), (raw.rollouts[0], 0.0)):
        last = rollout["completion_mask"].sum(1) - 1
        at_end = rollout["returns"][torch.arange(8), last]
        torch.testing.assert_close(at_end, rollout["scores"] - offset, atol=1e-4, rtol=0)
    assert second["scores"].mean() != first["scores"].mean()


def test_unscored_rows_are_left_out(mistral: Path, tmp_path: Path) -> None:
    trainer = make_ppo(mistral, tmp_path, batches=1, reward=Letters(none_from=10))
    trainer.train()
    rollout = trainer.rollouts[0]
    unscored = rollout["scores"].isnan()
    assert 0 < int(unscored.sum()) < 8
    assert not rollout["loss_mask"][unscored].any()
    assert torch.equal(rollout["loss_mask"][~unscored], rollout["completion_mask"][~unscored].bool())
    assert rollout["advantages"][rollout["loss_mask"]].mean().item() == pytest.approx(0.0, abs=1e-6)
    assert rollout["advantages"][rollout["loss_mask"]].std().item() == pytest.approx(1.0, abs=1e-5)
    assert (rollout["advantages"][unscored] == 0).all()
    assert trainer.batch_log["unscored"] == int(unscored.sum())
    assert trainer.batch_log["reward_mean"] == pytest.approx(float(rollout["scores"][~unscored].mean()))
    assert all(bool(value.isfinite().all()) for value in trainer.model.state_dict().values())


def test_a_batch_of_only_none_stops_with_a_message(mistral: Path, tmp_path: Path) -> None:
    trainer = make_ppo(mistral, tmp_path, batches=1, reward=Letters(none_from=0))
    with pytest.raises(UserError, match=r"batch 1: none of its 8 descriptions could be scored"):
        trainer.train()


def test_micro_batches_give_the_same_update(mistral: Path, tmp_path: Path) -> None:
    """The loss is a mean over the minibatch's tokens, however it is cut into forwards."""
    whole = make_ppo(mistral, tmp_path / "whole", batches=1)
    parts = make_ppo(mistral, tmp_path / "parts", batches=1, micro=1)
    whole.train()
    parts.train()
    assert len(parts.updates) == 4 * len(whole.updates)
    for (name, one), (_, other) in zip(whole.model.named_parameters(), parts.model.named_parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=0, msg=lambda m, name=name: f"{name}: {m}")


def test_resume_continues_to_the_same_end(trained: Recording, mistral: Path, tmp_path: Path) -> None:
    first = make_ppo(mistral, tmp_path, batches=2)
    first.train()
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-8"
    second = make_ppo(mistral, tmp_path, batches=3)
    second.train(resume_from_checkpoint=str(checkpoint))
    assert len(second.rollouts) == 1
    for (name, one), (_, other) in zip(trained.model.named_parameters(), second.model.named_parameters(), strict=True):
        assert torch.equal(one, other), name
    assert second.kl_controller.coef == trained.kl_controller.coef
    assert second.score_mean == trained.score_mean
    unrepeatable = ("seconds", "per_second", "memory")
    ours, theirs = (
        {k: v for k, v in run.batch_log.items() if not any(word in k for word in unrepeatable)}
        for run in (second, trained)
    )
    assert ours == theirs


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path) -> None:
    for step, complete in ((8, True), (16, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if complete:
            (tmp_path / f"checkpoint-{step}" / "complete.json").write_text("{}")
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-8"
    assert newest_checkpoint(tmp_path / "nothing") is None


def test_adapter_loads_with_plain_peft(trained: Recording, mistral: Path, tmp_path: Path) -> None:
    trained.save_model(str(tmp_path))
    trained.save_value_head(tmp_path)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(mistral), str(tmp_path)).eval()
    ids = torch.arange(5, 25).unsqueeze(0)
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, trained.model(input_ids=ids).logits, atol=1e-5, rtol=0)
    assert set(load_file(tmp_path / "value_head.safetensors")) == {"summary.weight", "summary.bias"}


def test_learns_a_reward_it_can_earn(mistral: Path, tmp_path: Path) -> None:
    """A byte model samples letters about one time in five; PPO makes them more frequent, at a measured KL."""
    trainer = make_ppo(
        mistral,
        tmp_path,
        batches=40,
        reward=Letters(),
        targets="all-linear",
        learning_rate=1e-2,
        kl_coef=0.01,
        save_steps=10_000,
    )
    trainer.train()
    means = [float(rollout["scores"].mean()) for rollout in trainer.rollouts]
    assert sum(means[-5:]) / 5 > sum(means[:5]) / 5 + 2
    assert trainer.batch_log["kl"] > 0.5


def test_sampler_covers_the_data_each_epoch_and_restarts_anywhere() -> None:
    sampler = PromptSampler(size=10, batch_size=4, repeats=3, batches=5, seed=1)
    indices = list(sampler)
    assert len(indices) == len(sampler) == 5 * 4 * 3
    batches = [indices[start : start + 4] for start in range(0, len(indices), 4)]
    assert batches[0] == batches[1] == batches[2]
    assert len({*batches[0], *batches[3]}) == 8  # one epoch: two different batches, two prompts dropped
    later = PromptSampler(size=10, batch_size=4, repeats=3, batches=5, seed=1, start=3)
    assert list(later) == indices[3 * 12 :]
    assert list(PromptSampler(size=10, batch_size=4, repeats=3, batches=5, seed=2)) != indices
    with pytest.raises(ValueError, match="3 prompts are fewer than a batch of 4"):
        PromptSampler(size=3, batch_size=4, repeats=1, batches=1, seed=0)
