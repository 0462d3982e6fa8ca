"""The benchmark of the value function on recorded rollouts: the file, the replay, and what it is compared with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import tiny_trainers
import torch
from recorded_rollouts import ROLLOUTS, RecordedBatch, RecordingTrainer, read_rollouts, recipe_of, write_rollouts
from sklearn.linear_model import Ridge as SklearnRidge
from tiny_trainers import Letters, make_ppo
from transformers import AutoModelForCausalLM
from value_predictors import (
    Constant,
    Head,
    PositionMeans,
    Ridge,
    hidden_states,
    replay,
    rewards_of,
    rewards_to_go,
)
from value_rollouts import RIDGE, holds, mean_from

from ex2.trainers.advantages import gae
from ex2.trainers.config import PPOConfig

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

HEADS: dict[str, dict[str, Any]] = {
    "own": {"value_trunk": "detached", "value_init": "zero", "value_clip_unit": "spread", "value_step": 0.5},
    "TRL": {"value_trunk": "detached", "value_init": "zero", "value_clip_unit": "reward", "loss_mean": "responses"},
    "units": {"value_trunk": "detached", "value_init": "zero", "kl_coef": 3.0, "kl_horizon": 40, "kl_target": 1e-3},
}


def recorded(mistral: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> RecordingTrainer:
    """A run whose policy never moves, so that its hidden states are those of the base model."""
    monkeypatch.setattr(tiny_trainers, "Recording", RecordingTrainer)
    rate = None if "value_step" in changes else 3e-2
    settings = {"learning_rate": 0.0, "value_learning_rate": rate, "batches": 4} | changes
    trainer: Any = make_ppo(mistral, folder, **settings)
    trainer.train()
    assert isinstance(trainer, RecordingTrainer)
    return trainer


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("micro", [2, 4])
def test_a_replay_repeats_what_the_trainer_did(
    head: str, micro: int, mistral: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the values that the trainer itself logged, over four batches of four updates."""
    trainer = recorded(mistral, tmp_path, monkeypatch, micro=micro, reward=Letters(none_from=10), **HEADS[head])
    model = AutoModelForCausalLM.from_pretrained(mistral)
    hidden = [hidden_states(model, batch) for batch in trainer.batches]
    made = Head(hidden[0].shape[-1], trainer.args)
    replayed = replay(made, trainer.batches, hidden, trainer.args, trainer.score_mean or 0.0, to_go=False)
    assert any(batch.scores.isnan().any() for batch in trainer.batches)
    if head == "units":
        assert len({batch.reward_unit for batch in trainer.batches}) == 4
    first = trainer.batches[0]
    for number, batch in enumerate(trainer.batches):
        mask = batch.response_mask
        torch.testing.assert_close(replayed.values[number][mask], batch.old_values[mask], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(replayed.returns[number], batch.returns, rtol=1e-4, atol=1e-5)
    assert float((trainer.batches[-1].old_values - first.old_values[:, :1]).abs().max()) > 0.1, "the head has learnt"


def two_responses(scores: list[float], kl: float = 0.0) -> RecordedBatch:
    """Responses of 2 and 1 tokens; each token has a log-ratio of `kl`."""
    mask = torch.tensor([[True, True], [True, False]])
    nothing = torch.zeros(2, 2)
    return RecordedBatch(
        prompt_ids=torch.tensor([[0, 5, 6], [7, 8, 9]]),
        prompt_mask=torch.tensor([[False, True, True], [True, True, True]]),
        completion_ids=torch.tensor([[3, 4], [5, 0]]),
        response_mask=mask,
        scores=torch.tensor(scores),
        logprobs=(nothing - 1.5) * mask,
        ref_logprobs=(nothing - 1.5 - kl) * mask,
        old_values=nothing,
        returns=nothing,
        kl_coef=2.0,
        reward_unit=2.0,
    )


def arguments(folder: Path, **changes: Any) -> PPOConfig:
    return PPOConfig(**(tiny_trainers.four_updates(folder, batches=1) | changes))


def test_rewards_to_go_by_hand() -> None:
    """β 2 in units of 2 is 1: each token costs its log-ratio of 0.25; scores 9 and 5, less 1, are 4 and 2 units."""
    found = rewards_to_go(two_responses([9.0, 5.0], kl=0.25), 1.0, 0.5)
    # second token 4 − 0.25; first −0.25 + 0.5 · 3.75; the other response's one token 2 − 0.25
    torch.testing.assert_close(found, torch.tensor([[1.625, 3.75], [1.75, 0.0]]))


def test_the_explained_variance_by_hand(tmp_path: Path) -> None:
    """A constant explains nothing; ridge regression on a feature that tells the responses apart nearly everything."""
    batches = [two_responses([9.0, 5.0]), two_responses([13.0, 5.0])]
    told_apart = torch.tensor([[[1.0], [1.0]], [[0.0], [0.0]]])
    config = arguments(tmp_path)

    def explained(predictor: Any) -> list[float]:
        return replay(predictor, batches, [told_apart] * 2, config, 1.0, to_go=True).explained

    assert explained(Constant(2)) == [0.0, 0.0]
    # targets (6, 6, 2) after learning (4, 4, 2) at positions (1, 2, 1): predictions (3, 4, 3), residuals (3, 2, -1);
    # their variance is (25 + 4 + 49) / 27 = 26/9, that of the targets 32/9
    assert explained(PositionMeans(2))[1] == pytest.approx(1 - 26 / 32)
    # w = 2 and b = 2 without a penalty: residuals (2, 2, 0) of targets (6, 6, 2), a quarter of the variance
    assert explained(Ridge(1, [1e-12]))[1] == pytest.approx(0.75)


@pytest.mark.parametrize(("noise", "expected"), [(0.01, 0.1), (20.0, 10.0)])
def test_ridge_regression_is_that_of_scikit_learn(noise: float, expected: float) -> None:
    """With the penalty that, of those given, has erred least on the batches so far."""
    random = torch.Generator().manual_seed(0)
    states = [torch.randn(3, 4, 6, generator=random) * 3 + 1 for _ in range(4)]
    weights = torch.randn(6, generator=random)
    returns = [x @ weights + 5 + noise * torch.randn(3, 4, generator=random) for x in states]
    masks = [torch.rand(3, 4, generator=random) < 0.8 for _ in states]
    penalties, made = [0.1, 10.0, 1000.0], Ridge(6, [0.1, 10.0, 1000.0])
    made.learn(states[0], made.predict(states[0]), returns[0], masks[0])
    errors = dict.fromkeys(penalties, 0.0)
    for number in (1, 2, 3):
        seen = torch.cat([x[mask] for x, mask in zip(states[:number], masks[:number], strict=True)]).numpy()
        wanted = torch.cat([y[mask] for y, mask in zip(returns[:number], masks[:number], strict=True)]).numpy()
        x, y, mask = states[number], returns[number], masks[number]
        theirs = {p: SklearnRidge(alpha=p).fit(seen, wanted).predict(x.reshape(12, 6)).reshape(3, 4) for p in penalties}
        best = min(penalties, key=errors.__getitem__)
        torch.testing.assert_close(made.predict(x), torch.from_numpy(theirs[best]).float(), rtol=1e-4, atol=1e-4)
        for penalty, predicted in theirs.items():
            errors[penalty] += float(((predicted - y.numpy())[mask.numpy()] ** 2).sum())
        made.learn(x, made.predict(x), y, mask)
    assert best == expected


@pytest.mark.parametrize("predictor", [Ridge(3), PositionMeans(2), Constant(2)])
def test_a_new_unit_scales_what_is_predicted(predictor: Any) -> None:
    states, returns = torch.randn(2, 2, 3), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    predictor.learn(states, torch.zeros(2, 2), returns, torch.ones(2, 2, dtype=torch.bool))
    before = predictor.predict(states)
    assert before.abs().max() > 0.1
    predictor.rescale(0.25)
    torch.testing.assert_close(predictor.predict(states), before / 4)


@pytest.mark.parametrize(
    ("best", "own", "held"),
    [(0.2, 0.1, True), (0.2, 0.09, False), (0.1, 0.05, True), (0.1, 0.0, False), (0.09, -3.0, None), (-1.0, 0.0, None)],
)
def test_half_of_ridge_regression_is_asked_where_that_is_a_tenth(best: float, own: float, held: bool | None) -> None:
    """Of batches 10 and later: the nine before do not count."""
    early = [9.0] * 9
    explained = {RIDGE: [*early, best - 0.125, best + 0.125], "own": [*early, own + 1, own - 1]}
    assert mean_from(explained["own"]) == pytest.approx(own)
    assert holds(explained, "own") is held


def test_the_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path, written = tmp_path / "rollouts.npz", [two_responses([9.0, float("nan")]), two_responses([1.0, 2.0], kl=0.5)]
    write_rollouts(path, written, {"seed": 3})
    batches, about = read_rollouts(path)
    assert about == {"seed": 3}
    for ours, theirs in zip(batches, written, strict=True):
        for field in dataclasses.fields(RecordedBatch):
            mine, yours = getattr(ours, field.name), getattr(theirs, field.name)
            torch.testing.assert_close(mine, yours, equal_nan=True, msg=lambda text, name=field.name: f"{name}: {text}")


def test_the_recorded_returns_follow_from_the_recorded_scores() -> None:
    """Forty batches of the real recipe; returns again from scores, log-probabilities and the run's own values."""
    rollouts = read_rollouts(ROLLOUTS)
    recipe = recipe_of(rollouts)
    assert ROLLOUTS.stat().st_size < 5e6
    assert (recipe.name, recipe.rl.batches, len(rollouts.batches)) == ("real-smollm2-conse", 40, 40)
    assert rollouts.about["score_mean"] == pytest.approx(float(rollouts.batches[0].scores.mean()))
    for batch in rollouts.batches:
        assert batch.scores.shape == (recipe.rl.batch_size,)
        assert batch.response_mask.any(-1).all()
        rewards = rewards_of(batch, rollouts.about["score_mean"])
        again = gae(rewards, batch.old_values, batch.response_mask, gamma=recipe.ppo.gamma, lam=recipe.ppo.lam)
        torch.testing.assert_close(again.returns, batch.returns, rtol=1e-4, atol=1e-3)
