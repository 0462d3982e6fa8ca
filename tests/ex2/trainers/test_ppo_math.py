"""PPO's maths against numbers worked out by hand or by another library."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ex2.trainers.advantages import explained_variance, gae, last_token, sequence_kl, token_rewards, whiten
from ex2.trainers.kl_controller import KLController
from ex2.trainers.losses import LossMean, ppo_loss, token_weights

T = torch.tensor


def test_token_rewards_by_hand() -> None:
    logprobs, ref = T([[-1.0, -2.0, -3.0], [-1.0, -2.0, -9.0]]), T([[-1.5, -2.0, -2.0], [-2.0, -2.5, 0.0]])
    mask = T([[True, True, True], [True, True, False]])
    rewards = token_rewards(T([2.0, 5.0]), logprobs, ref, mask, kl_coef=0.1)
    # row 0: −0.1·0.5, −0.1·0, −0.1·(−1) + 2;  row 1: −0.1·1, −0.1·0.5 + 5 at its last real token, padding 0
    torch.testing.assert_close(rewards, T([[-0.05, 0.0, 2.1], [-0.1, 4.95, 0.0]]))


def test_sequence_kl_sums_over_the_response_only() -> None:
    mask = T([[True, True, False]])
    assert sequence_kl(T([[-1.0, -2.0, -50.0]]), T([[-1.5, -3.0, 0.0]]), mask).tolist() == [1.5]


def test_gae_by_hand() -> None:
    # γ 1, λ 0.95, V 0.5: A₃ = 1 − 0.5; A₂ = 0 + 0.5 − 0.5 + 0.95·0.5; A₁ = 0.95·0.475
    result = gae(T([[0.0, 0.0, 1.0]]), T([[0.5, 0.5, 0.5]]), torch.ones(1, 3, dtype=torch.bool), gamma=1.0, lam=0.95)
    torch.testing.assert_close(result.advantages, T([[0.45125, 0.475, 0.5]]))
    torch.testing.assert_close(result.returns, T([[0.95125, 0.975, 1.0]]))


def test_gae_ends_at_the_last_token_of_each_response() -> None:
    # γ 0.5, λ 0.5. Row 0 has one token: A = 3 − 1, whatever the padding holds.
    # Row 1: A₂ = 2 − 4 = −2; δ₁ = 1 + 0.5·4 − 2 = 1; A₁ = 1 + 0.25·(−2)
    mask = T([[True, False], [True, True]])
    result = gae(T([[3.0, 77.0], [1.0, 2.0]]), T([[1.0, 99.0], [2.0, 4.0]]), mask, gamma=0.5, lam=0.5)
    torch.testing.assert_close(result.advantages, T([[2.0, 0.0], [0.5, -2.0]]))
    torch.testing.assert_close(result.returns, T([[3.0, 0.0], [2.5, 2.0]]))


def test_gae_of_lambda_one_is_the_discounted_return_minus_value() -> None:
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(3, 7, generator=generator), torch.randn(3, 7, generator=generator)
    result = gae(rewards, values, torch.ones(3, 7, dtype=torch.bool), gamma=0.9, lam=1.0)
    for row in range(3):
        for t in range(7):
            brute = sum(0.9 ** (k - t) * float(rewards[row, k]) for k in range(t, 7))
            assert float(result.returns[row, t]) == pytest.approx(brute, abs=1e-5)


def test_a_batch_of_rows_equals_rows_one_by_one() -> None:
    generator = torch.Generator().manual_seed(1)
    rewards, values = torch.randn(4, 5, generator=generator), torch.randn(4, 5, generator=generator)
    mask = torch.arange(5) < T([[5], [1], [3], [4]])
    together = gae(rewards, values, mask, gamma=1.0, lam=0.95)
    for row in range(4):
        length = int(mask[row].sum())
        cut = slice(row, row + 1), slice(0, length)
        alone = gae(rewards[cut], values[cut], mask[cut], gamma=1.0, lam=0.95)
        torch.testing.assert_close(together.advantages[cut], alone.advantages)


@pytest.mark.parametrize("broken", ["shape", "empty"])
def test_gae_refuses(broken: str) -> None:
    mask = torch.ones(2, 3, dtype=torch.bool)
    values = torch.zeros(2, 2) if broken == "shape" else torch.zeros(2, 3)
    if broken == "empty":
        mask[1] = False
    message = r"shapes differ: \(2, 3\), \(2, 2\)" if broken == "shape" else "row 1 has no response token"
    with pytest.raises(ValueError, match=message):
        gae(torch.zeros(2, 3), values, mask, gamma=1.0, lam=0.95)


def test_whiten_against_numpy() -> None:
    values, mask = T([[1.0, 2.0, 100.0], [4.0, -3.0, 0.5]]), T([[True, True, False], [True, True, True]])
    kept = np.array([1, 2, 4, -3, 0.5])
    expected = (kept - kept.mean()) / np.sqrt(kept.var(ddof=1) + 1e-8)
    result = whiten(values, mask)
    np.testing.assert_allclose(result[mask].numpy(), expected, rtol=1e-6)
    assert result[0, 2] == 0


def test_whiten_over_two_processes_equals_whiten_of_all() -> None:
    values = torch.randn(4, 6, generator=torch.Generator().manual_seed(2))
    mask = torch.rand(4, 6, generator=torch.Generator().manual_seed(3)) > 0.3
    halves = [(values[:2], mask[:2]), (values[2:], mask[2:])]
    # what each reduction would add from the other process: counts and sums first, then squares
    weights = mask.float()
    mean = (values * weights).sum() / weights.sum()
    totals = [
        torch.stack([weights.sum(), (values * weights).sum()]),
        (((values - mean) * weights) ** 2).sum().reshape(1),
    ]
    parts = []
    for half_values, half_mask in halves:
        answers = iter(totals)
        parts.append(whiten(half_values, half_mask, reduce=lambda _, answers=answers: next(answers)))
    torch.testing.assert_close(torch.cat(parts), whiten(values, mask))


def test_whiten_of_one_entry_is_zero_and_of_none_an_error() -> None:
    assert whiten(T([[3.0, 9.0]]), T([[True, False]])).tolist() == [[0.0, 0.0]]
    with pytest.raises(ValueError, match="the mask is empty"):
        whiten(T([[3.0]]), T([[False]]))


def test_last_token_and_explained_variance() -> None:
    assert last_token(T([[True, True, False], [True, False, False], [True, True, True]])).tolist() == [1, 0, 2]
    returns, mask = T([[1.0, 2.0, 3.0, 50.0]]), T([[True, True, True, False]])
    # residuals 0.5, −0.5, 0: variance 1/6 of 2/3 of the returns'
    assert explained_variance(T([[0.5, 2.5, 3.0, 0.0]]), returns, mask) == pytest.approx(1 - (0.5 / 3) / (2 / 3))
    assert math.isnan(explained_variance(returns, torch.ones_like(returns), mask))


LOSS = {"clip_range": 0.2, "value_clip_range": 0.2, "value_coef": 0.1, "ratio_threshold": 10.0}


def test_ppo_loss_by_hand() -> None:
    # ratios 1.5 (A 1: clipped to 1.2 → −1.2), 1.5 (A −1: not clipped → 1.5), 0.5 (A −2: clipped to 0.8 → 1.6)
    logprobs = T([[math.log(1.5), math.log(1.5), math.log(0.5), 5.0]])
    # values: old 0, R 1 throughout. V 0.1 → 0.81; V 1.0, near 0.2 → max(0, 0.64); V −1, near −0.2 → max(4, 1.44)
    result = ppo_loss(
        logprobs,
        T([[0.1, 1.0, -1.0, 9.0]]),
        torch.zeros(1, 4),
        torch.zeros(1, 4),
        T([[1.0, -1.0, -2.0, 7.0]]),
        T([[1.0, 1.0, 1.0, 1.0]]),
        T([[True, True, True, False]]),
        **LOSS,
    )
    assert result.policy_loss == pytest.approx((-1.2 + 1.5 + 1.6) / 3)
    assert result.value_loss == pytest.approx(0.5 * (0.81 + 0.64 + 4.0) / 3)
    assert float(result.loss) == pytest.approx((-1.2 + 1.5 + 1.6) / 3 + 0.1 * 0.5 * 5.45 / 3)
    assert result.ratio_mean == pytest.approx(3.5 / 3)
    assert result.ratio_max == pytest.approx(1.5)
    assert result.clip_fraction == pytest.approx(2 / 3)
    assert result.value_clip_fraction == pytest.approx(1 / 3)
    assert not result.skipped


def test_ppo_loss_gradient_by_hand() -> None:
    # one token, ratio 1, A 2: d/dlogp (−A·ratio) = −2; V 0.1, R 1, unclipped: d/dV 0.1·0.5·(V−R)² = 0.1·(−0.9)
    logprob, value = torch.zeros(1, 1, requires_grad=True), torch.full((1, 1), 0.1, requires_grad=True)
    zero, mask = torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool)
    ppo_loss(logprob, value, zero, zero, T([[2.0]]), T([[1.0]]), mask, **LOSS).loss.backward()
    assert logprob.grad is not None
    assert value.grad is not None
    assert logprob.grad.item() == pytest.approx(-2.0)
    assert value.grad.item() == pytest.approx(-0.09)


@pytest.mark.parametrize("mean", ["tokens", "responses"])
def test_parts_of_a_minibatch_add_up_to_the_whole(mean: LossMean) -> None:
    generator = torch.Generator().manual_seed(4)
    tensors = [torch.randn(4, 5, generator=generator) * 0.3 for _ in range(6)]
    mask = torch.arange(5) < T([[5], [1], [3], [2]])
    whole = ppo_loss(*tensors, mask, **LOSS, weights=token_weights(mask, mask, mean))
    parts = [
        ppo_loss(*(t[part] for t in tensors), mask[part], **LOSS, weights=token_weights(mask[part], mask, mean))
        for part in (slice(0, 1), slice(1, 2), slice(2, 4))
    ]
    assert sum(float(part.loss.detach()) for part in parts) == pytest.approx(float(whole.loss), rel=1e-5)
    default = ppo_loss(*tensors, mask, **LOSS)
    assert (float(default.loss) == pytest.approx(float(whole.loss), rel=1e-6)) == (mean == "tokens")


def test_token_weights_by_hand() -> None:
    # lengths 3, 1 and, unscored, 0: 4 tokens; two responses count
    minibatch = T([[True, True, True], [True, False, False], [False, False, False]])
    by_tokens = token_weights(minibatch[:2], minibatch, "tokens")
    torch.testing.assert_close(by_tokens, T([[0.25, 0.25, 0.25], [0.25, 0.0, 0.0]]))
    by_responses = token_weights(minibatch[1:], minibatch, "responses")
    torch.testing.assert_close(by_responses, T([[0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(token_weights(minibatch[:1], minibatch, "responses"), T([[1 / 6, 1 / 6, 1 / 6]]))
    assert token_weights(minibatch[2:], minibatch[2:], "responses").tolist() == [[0.0, 0.0, 0.0]]


def test_guard_on_responses_leaves_out_the_one_above_the_threshold() -> None:
    # mean ratios 11 and 1: their mean, 6, is below the threshold of 10, which would keep both
    logprob = T([[math.log(11.0), math.log(11.0)], [0.0, 0.0]]).requires_grad_()
    zero, mask = torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool)
    settings = {**LOSS, "weights": token_weights(mask, mask, "responses")}
    result = ppo_loss(logprob, zero, zero, zero, zero - 1, zero, mask, **settings, guard_responses=True)
    result.loss.backward()
    assert logprob.grad is not None
    assert logprob.grad.tolist() == [[0.0, 0.0], [0.25, 0.25]]  # of −A·ratio = ratio, weight 1 / (2 tokens · 2)
    assert result.skipped
    assert result.policy_loss == pytest.approx(1 / 2)  # TRL's log has 0 for what is left out, too
    assert not ppo_loss(logprob, zero, zero, zero, zero - 1, zero, mask, **settings).skipped


def test_guard_gives_no_gradient_above_the_threshold() -> None:
    logprob = torch.full((1, 2), math.log(11.0), requires_grad=True)
    zero, mask = torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool)
    result = ppo_loss(logprob, zero, zero, zero, zero + 1, zero, mask, **LOSS)
    result.loss.backward()
    assert result.skipped
    assert logprob.grad is not None
    assert logprob.grad.tolist() == [[0.0, 0.0]]


def test_padding_cannot_overflow_into_the_loss() -> None:
    logprobs = T([[0.0, 500.0]]).requires_grad_()
    zero = torch.zeros(1, 2)
    result = ppo_loss(logprobs, zero, zero, zero, zero + 1, zero, T([[True, False]]), **LOSS)
    result.loss.backward()
    assert math.isfinite(float(result.loss.detach()))
    assert logprobs.grad is not None
    assert logprobs.grad[0, 1] == 0


@pytest.mark.parametrize(
    ("kl", "expected"),
    [(20.0, 0.2 * (1 + 0.2 * 32 / 10_000)), (0.0, 0.2 * (1 - 0.2 * 32 / 10_000)), (11.0, 0.2 * (1 + 0.1 * 0.0032))],
)
def test_adaptive_controller_by_hand(kl: float, expected: float) -> None:
    controller = KLController(coef=0.2, target=10.0, horizon=10_000)
    controller.update(kl, samples=32)
    assert controller.coef == pytest.approx(expected, rel=1e-12)


def test_fixed_controller_stays() -> None:
    controller = KLController(coef=0.2, target=10.0, horizon=10_000, controller="fixed")
    controller.update(50.0, samples=32)
    assert controller.coef == 0.2


def test_reach_of_the_papers_run() -> None:
    # PEER.md: at batch 32 the controller can move β only within [0.105, 0.379] in 1,000 batches
    low, high = KLController(0.2, 1.0, 10_000).reach(32, 1000)
    assert low == pytest.approx(0.105, abs=5e-4)
    assert high == pytest.approx(0.379, abs=5e-4)
    assert KLController(0.2, 1.0, 10_000, "fixed").reach(32, 1000) == (0.2, 0.2)
