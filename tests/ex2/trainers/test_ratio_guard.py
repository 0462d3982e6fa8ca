"""The ratio guard decides on a minibatch as a whole: in one forward or in eight, on one process or on two."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import overflowing
import pytest
import torch
from processes import on_processes

from ex2.trainers.losses import ppo_loss

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

MINIBATCHES = 16
"""Of 8 rows of 32, in two epochs of each of two batches; each epoch has one with the row that overflows."""
OVERFLOWS = 4


@pytest.fixture(scope="module", params=["tokens", "responses"])
def whole(request: Any, mistral: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One process, with minibatches of one forward."""
    settings = {"loss_mean": request.param}
    return {**overflowing.train(mistral, tmp_path_factory.mktemp("whole"), 1, **settings), "settings": settings}


def same(found: dict[str, Any], whole: dict[str, Any]) -> None:
    assert found["zero"] == whole["zero"]
    assert all(found["finite"])
    assert [row["skipped_minibatches"] for row in found["rows"]] == [2, 2]
    for name, value in whole["weights"].items():
        torch.testing.assert_close(found["weights"][name], value, atol=3e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def test_a_minibatch_that_overflows_has_a_gradient_of_zero_and_the_others_have_theirs(whole: dict[str, Any]) -> None:
    """Judged by responses, only the one that overflows is left out."""
    assert all(whole["finite"])
    assert [row["skipped_minibatches"] for row in whole["rows"]] == [2, 2]
    for row in whole["rows"]:
        assert row["ratio_max"] == pytest.approx(math.exp(40), rel=1e-5)
        assert abs(row["policy_loss"]) < 1, "what is left out is not in the log's loss either"
    overflow = [number for number, zero in enumerate(whole["zero"]) if zero]
    assert len(whole["zero"]) == MINIBATCHES
    if whole["settings"]["loss_mean"] == "responses":
        assert overflow == []
        return
    assert [number // 4 for number in overflow] == [0, 1, 2, 3], "one in each epoch"


@pytest.mark.parametrize("micro", [1, 2, 4])
def test_in_several_forwards_the_decision_is_the_same(
    micro: int, whole: dict[str, Any], mistral: Path, tmp_path: Path
) -> None:
    same(overflowing.train(mistral, tmp_path, 1, micro=micro, **whole["settings"]), whole)


@pytest.mark.parametrize("micro", [4, 1])
def test_on_two_processes_the_decision_is_the_same_though_one_alone_sees_the_overflow(
    micro: int, whole: dict[str, Any], mistral: Path, tmp_path: Path
) -> None:
    on_processes(2, overflowing.main, mistral, tmp_path, {"micro": micro, **whole["settings"]})
    first, second = (torch.load(tmp_path / f"process-{number}.pt", weights_only=True) for number in (0, 1))
    same(first, whole)
    assert second["zero"] == whole["zero"]
    assert second["rows"][-1]["skipped_minibatches"] == 2
    for name, value in first["weights"].items():
        assert torch.equal(second["weights"][name], value), name


@pytest.mark.parametrize(("ratio", "skipped"), [(20.0, 0), (50.0, 0), (110.0, 2)])
@pytest.mark.parametrize("micro", [1, 2, 8])
def test_the_mean_is_that_of_the_minibatch_and_not_of_a_forward(
    ratio: float, skipped: int, micro: int, mistral: Path, tmp_path: Path
) -> None:
    """Of 8 rows, one with a ratio of 20 or 50 makes a mean of 3.4 or 7.1, below 10; one of 110 makes 14.6."""
    found = overflowing.train(mistral, tmp_path, 1, by=math.log(ratio), micro=micro)
    assert [row["skipped_minibatches"] for row in found["rows"]] == [skipped, skipped]
    assert sum(found["zero"]) == 2 * skipped


@pytest.mark.parametrize(("ratio", "skipped"), [(50.0, 0), (110.0, 2)])
def test_nor_is_it_that_of_a_process(ratio: float, skipped: int, mistral: Path, tmp_path: Path) -> None:
    """On two processes, one holds the row among 4 and finds a mean of 13.3 or 28.3, the other of 1."""
    on_processes(2, overflowing.main, mistral, tmp_path, {"by": math.log(ratio)})
    for number in (0, 1):
        found = torch.load(tmp_path / f"process-{number}.pt", weights_only=True)
        assert [row["skipped_minibatches"] for row in found["rows"]] == [skipped, skipped]
        assert sum(found["zero"]) == 2 * skipped


@pytest.mark.parametrize("micro", [1, 8])
def test_without_a_guard_an_overflow_is_no_nan_either(micro: int, mistral: Path, tmp_path: Path) -> None:
    found = overflowing.train(mistral, tmp_path, 1, micro=micro, ratio_threshold=1e30)
    assert all(found["finite"])
    assert not any(found["zero"])
    assert [row["skipped_minibatches"] for row in found["rows"]] == [0, 0]


@pytest.mark.parametrize("log_ratio", [3.0, 50.0, 200.0, 1e30])
def test_what_is_left_out_of_a_response_is_in_none_of_the_losses(log_ratio: float) -> None:
    """Four tokens of weight 1/4, advantages and returns 1, values 0: policy −1/2, value 1/4, loss −0.5 + 0.025."""
    logprobs = torch.tensor([[log_ratio, log_ratio], [0.0, 0.0]])
    zero, one, mask = torch.zeros(2, 2), torch.ones(2, 2), torch.ones(2, 2, dtype=torch.bool)
    found = ppo_loss(
        logprobs, zero, zero, zero, one, one, mask,
        clip_range=0.2, value_clip_range=0.2, value_coef=0.1, ratio_threshold=10.0, guard_responses=True,
    )  # fmt: skip
    assert (found.policy_loss, found.value_loss) == pytest.approx((-0.5, 0.25))
    assert float(found.loss) == pytest.approx(-0.475)
    assert found.skipped
