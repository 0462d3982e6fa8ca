"""PPO's maths against TRL 0.7.11, the trainer behind the paper's results; golden/README.md says how it was run.

`whole` has each minibatch in one forward, `accumulated` in forwards of one response, as the paper's runs had.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from golden.record import (
    BATCHES,
    PPO,
    RECORD,
    TENSORS,
    distance,
    facts,
    pack,
    packed,
    recorded,
    response_mask,
)

from ex2.trainers.advantages import gae, sequence_kl, token_rewards, whiten
from ex2.trainers.kl_controller import KLController
from ex2.trainers.losses import ppo_loss

LOSS = {
    "clip_range": PPO["cliprange"],
    "value_clip_range": PPO["cliprange_value"],
    "value_coef": PPO["vf_coef"],
    "ratio_threshold": PPO["ratio_threshold"],
}
every_batch = pytest.mark.parametrize(("case", "number"), BATCHES)


@every_batch
def test_the_fixture_is_trls_and_holds_the_awkward_responses(case: str, number: int) -> None:
    assert RECORD["versions"]["trl"] == "0.7.11"
    assert RECORD["versions"]["transformers"] == "4.36.2"
    responses, eos = RECORD["batches"][number]["responses"], RECORD["model"]["eos_token_id"]
    assert response_mask(case, number).sum(1).tolist() == [len(ids) for ids in responses]
    assert [eos] in responses  # nothing is left of it without EOS
    assert any(len(ids) == 1 and ids != [eos] for ids in responses)  # one token, cut before EOS
    assert len({len(ids) for ids in responses}) > 8
    assert len({len(ids) for ids in RECORD["batches"][number]["queries"]}) > 4
    assert min(float(v.abs().max()) for k, v in TENSORS.items() if k.startswith("start") and "lora_B" in k) > 0.3


def distances(case: str, number: int, *, fault: str = "") -> dict[str, float]:
    """How far what ours makes of TRL's log-probabilities and values is from what TRL made of them."""
    mask = response_mask(case, number)
    logprobs, ref_logprobs, values = (packed(case, number, name) for name in ("logprobs", "ref_logprobs", "values"))
    length = mask.sum(1)
    if fault == "values one token late":
        values = values.roll(-1, 1) * mask
    if fault == "mask without its last token":
        mask = mask & ((torch.arange(mask.shape[1]) < length[:, None] - 1) | (length[:, None] == 1))
    if fault == "KL sign":
        logprobs, ref_logprobs = ref_logprobs, logprobs
    scores = torch.tensor(RECORD["batches"][number]["scores"])
    rewards = token_rewards(scores, logprobs, ref_logprobs, mask, kl_coef=facts(case, number)["kl_coef"][0])
    advantages, returns = gae(rewards, values, mask, gamma=PPO["gamma"], lam=1.0 if fault == "λ 1" else PPO["lam"])
    whitened = whiten(advantages, mask)
    if fault == "biased variance":
        whitened = whitened * math.sqrt(float(mask.sum()) / (float(mask.sum()) - 1))
    if fault == "whitening over padding":
        whitened = whiten(advantages, torch.ones_like(mask)) * mask
    kl = float(sequence_kl(logprobs, ref_logprobs, mask).mean())
    # TRL leaves KL rewards on the prompt's tokens: only those under the mask are compared
    return {
        "rewards": distance(rewards, packed(case, number, "rewards")),
        "kl": abs(kl - facts(case, number)["kl"]),
        "returns": distance(returns, packed(case, number, "returns")),
        "advantages": distance(whitened, packed(case, number, "advantages")),
    }


@every_batch
def test_rewards_kl_returns_and_advantages(case: str, number: int) -> None:
    found = distances(case, number)
    assert max(found.values()) < 1e-5, found


@pytest.mark.parametrize(
    ("fault", "shows_in"),
    [
        ("values one token late", "returns"),
        ("mask without its last token", "rewards"),
        ("mask without its last token", "kl"),
        ("KL sign", "rewards"),
        ("KL sign", "kl"),
        ("λ 1", "returns"),
        ("biased variance", "advantages"),
        ("whitening over padding", "advantages"),
    ],
)
def test_a_fault_would_show(fault: str, shows_in: str) -> None:
    assert distances("whole", 0, fault=fault)[shows_in] > 1e-3


def loss_distances(case: str, number: int, **changes: float) -> list[float]:
    """Largest distance of the policy, value and total loss over the minibatches, given TRL's passes of each."""
    order = torch.tensor(facts(case, number)["permutations"]).reshape(-1, RECORD["cases"][case]["mini_batch_size"])
    masks = recorded(case, number, "masks")

    def ours(place: int, rows: torch.Tensor) -> list[float]:
        new = [pack(recorded(case, number, name)[place], masks[rows]) for name in ("new_logprobs", "new_values")]
        names = ("logprobs", "values", "advantages", "returns", "masks")
        old = [pack(recorded(case, number, name)[rows], masks[rows]) for name in names]
        settings: dict[str, Any] = LOSS | changes
        result = ppo_loss(*new, *old, **settings)
        return [result.policy_loss, result.value_loss, float(result.loss)]

    losses = torch.tensor([ours(place, rows) for place, rows in enumerate(order)])
    theirs = recorded(case, number, "losses")
    return [distance(losses[:, kind], theirs[:, kind]) for kind in range(3)]


@every_batch
def test_losses_of_every_minibatch(case: str, number: int) -> None:
    assert max(loss_distances(case, number)) < 1e-5


def test_a_fault_in_the_loss_would_show() -> None:
    """And so TRL's minibatches do reach both clips."""
    assert loss_distances("whole", 0, clip_range=0.25)[0] > 1e-3
    assert loss_distances("whole", 0, value_clip_range=0.25)[1] > 1e-3
    assert loss_distances("whole", 0, value_coef=0.11)[2] > 1e-3


@every_batch
def test_controller(case: str, number: int) -> None:
    before, after = facts(case, number)["kl_coef"]
    kl = sequence_kl(*(packed(case, number, name) for name in ("logprobs", "ref_logprobs", "masks"))).mean()
    target = RECORD["cases"][case]["target"]
    controller = KLController(coef=before, target=target, horizon=PPO["horizon"])
    controller.update(float(kl), PPO["batch_size"])
    assert controller.coef == pytest.approx(after, rel=1e-8)
    assert abs(after / before - 1) > 1e-5
    clipped = abs(float(kl) / target - 1) > 0.2  # both regimes are covered
    assert clipped == (case == "accumulated")
