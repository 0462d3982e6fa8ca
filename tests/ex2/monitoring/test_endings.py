"""Missing ends, rules that warn or stop, the best checkpoint, and the end of a run whose numbers are none."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_trainers import Letters, make_ppo

from ex2.monitoring.endings import WithEndings
from ex2.monitoring.guard import Guard, read_best
from ex2.monitoring.rules import DEFAULT_RULES, METRICS, Firing, Rule, Watch, fired, objective
from ex2.recipe_io import read_recipe
from ex2.trainers.checkpoints import mark_complete
from ex2.trainers.finished_batch import BatchCallback, FinishedBatch
from ex2.trainers.kl_controller import KLController
from ex2.trainers.not_finite import stop_not_finite
from reward.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

END = 2


class Length:
    """Characters of a description; None if it has none."""

    __name__ = "length"
    needs_reference = True

    def __call__(self, completions: list[Any], **columns: Any) -> list[float | None]:
        texts = [text if isinstance(text, str) else text[0]["content"] for text in completions]
        return [float(len(text)) or None for text in texts]


def ended(**settings: Any) -> list[float | None]:
    reward = WithEndings(Length(), ends=[END, 9], **settings)
    assert reward.__name__ == "length"
    assert reward.needs_reference
    return reward(
        completions=["One. Two", "One. Two", "", "Hm"],
        completion_ids=[[5, END], [5, 6, 7], [8], [8, 9]],
        class_name=["a"] * 4,
    )


def test_endings_as_the_recipe_says() -> None:
    assert ended(missing_end="keep") == [8.0, 8.0, None, 2.0]
    assert ended(missing_end="none") == [8.0, None, None, 2.0]
    assert ended(missing_end="penalty", penalty=3.0) == [8.0, 5.0, None, 2.0]
    # only what has no end token is cut back to "One."
    assert ended(missing_end="keep", cut=True) == [8.0, 4.0, None, 2.0]
    assert ended(missing_end="penalty", penalty=0.5, cut=True) == [8.0, 3.5, None, 2.0]


def test_endings_of_chats() -> None:
    reward = WithEndings(Length(), ends=[END], missing_end="keep", cut=True)
    assert reward(completions=[[{"role": "assistant", "content": "A. B"}]], completion_ids=[[4]]) == [2.0]


def rows(values: list[float | None], metric: str = "kl", **others: Any) -> list[dict[str, Any]]:
    return [{"batch": batch, metric: value, **others} for batch, value in enumerate(values, start=1)]


def test_a_rule_fires_once_after_its_batches_in_a_row() -> None:
    rule = Rule("kl", above=3, times="kl_target", batches=3)
    #       limit 30:  in  out out in  out out  ?   out out   in  out out out
    log = rows([30.0, 31, 99, 30, 31, 32, None, 33, 34, 1, 40, 41, 42], kl_target=10.0)
    found = fired([rule], log)
    assert [(firing.since, firing.batch, firing.value, firing.limit) for firing in found] == [
        (5, 8, 33.0, 30.0),
        (11, 13, 42.0, 30.0),
    ]
    assert str(found[0]) == (
        "KL, nats per description is 33, above 30 since batch 5 (rule: kl above 3 × kl_target in 3 batches)"
    )


def test_a_limit_relative_to_the_first_value_and_from_below() -> None:
    rule = Rule("entropy", below=0.5, times="first", batches=1)
    assert [firing.batch for firing in fired([rule], rows([None, 4.0, 2.0, 1.9], "entropy"))] == [4]
    assert str(rule) == "entropy below 0.5 × its first value in 1 batch"
    # a multiple of a metric that is not logged has no limit
    assert fired([Rule("kl", above=1, times="kl_target")], rows([99.0])) == []


def test_counting_goes_on_after_a_restart() -> None:
    rule, log = Rule("kl", above=1, batches=4), rows([0.0, 2, 2, 2, 2])
    whole = fired([rule], log)
    watch = Watch([rule])
    assert [firing for row in log[:3] for firing in watch.update(row)] == []
    assert [firing for row in log[3:] for firing in watch.update(row)] == whole
    assert len(whole) == 1


def test_objective_is_reward_minus_penalty() -> None:
    log = [{"batch": b, "reward_mean": 20.0 + b, "kl": 10.0, "kl_coef": 0.1 * b} for b in range(1, 5)]
    # the last two: 23 − 0.3·10 and 24 − 0.4·10
    assert objective(log, last=2) == pytest.approx(20.0)
    assert objective([{"batch": 1}]) is None


RECIPE = "recipes/demo/visual.yaml"


def test_rules_in_a_recipe() -> None:
    recipe = read_recipe(RECIPE)
    assert recipe.watch.as_rules() == list(DEFAULT_RULES)
    assert {rule.action for rule in recipe.watch.as_rules()} == {"warn"}
    assert recipe.generation.missing_end == "keep"
    assert not recipe.generation.cut_to_sentence
    changed = read_recipe(
        RECIPE,
        [
            "watch.on_trouble=stop",
            "watch.rules=[{metric: kl, above: 3, times: kl_target}, {metric: term_x, below: 0, action: warn}]",
        ],
    )
    assert changed.watch.as_rules() == [
        Rule("kl", above=3, times="kl_target", action="stop"),
        Rule("term_x", below=0, action="warn"),
    ]
    assert {rule.metric for rule in DEFAULT_RULES} <= set(METRICS)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{metric: klx, above: 1}", "watch.rules: unknown 'klx'. Did you mean 'kl'? Available: clip_fraction, "),
        ("{metric: kl, above: 1, times: kl_targt}", "watch.rules: unknown 'kl_targt'. Did you mean 'kl_target'?"),
        ("{metric: kl}", "visual.yaml: kl: give one of above and below."),
        ("{metric: kl, above: 1, below: 0}", "visual.yaml: kl: give one of above and below."),
        ("{metric: kl, above: 1, batches: 0}", "watch.rules.0.batches: given 0; input should be greater than 0."),
    ],
)
def test_wrong_rules_are_refused(rule: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_recipe(RECIPE, [f"watch.rules=[{rule}]"])
    assert message in str(caught.value)
    assert not str(caught.value).endswith("..")


def complete(folder: Path, step: int, weight: str) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    (checkpoint / "adapter_model.safetensors").write_text(weight)
    (checkpoint / "complete.json").write_text("{}")
    return checkpoint


def follow(guard: Guard, log: list[dict[str, Any]], saves: dict[int, int]) -> int | None:
    """Feed a run to a guard as the trainer does; return the batch at which it stops."""
    control = SimpleNamespace(should_training_stop=False)
    for row in log:
        batch = FinishedBatch(row, [], [], KLController(coef=0.1, target=10.0, horizon=100))
        guard.on_batch(batch, SimpleNamespace(world_size=1), control)
        if row["batch"] in saves:
            guard.on_save(SimpleNamespace(save_steps=8), SimpleNamespace(global_step=saves[row["batch"]]), control)
        if control.should_training_stop:
            return int(row["batch"])
    return None


def never_called(folder: Path) -> None:
    raise AssertionError(folder)


def test_the_best_checkpoint_from_before_the_trouble_is_kept(tmp_path: Path) -> None:
    said: list[str] = []
    rule = Rule("kl", above=30, batches=3, action="stop")
    guard = Guard([rule, Rule("reward_mean", above=21)], checkpoints=tmp_path, say=said.append)
    rewards = [20.0, 21.0, 20.5, 20.4, 99.0, 99.0, 99.0, 99.0]
    kls = [1.0, 1.0, 1.0, 1.0, 31.0, 32.0, 33.0, 34.0]
    log = [
        {"batch": b, "reward_mean": r, "kl": k, "kl_coef": 0.0}
        for b, (r, k) in enumerate(zip(rewards, kls, strict=True), start=1)
    ]
    for number, step in ((2, 8), (4, 16), (6, 24)):
        complete(tmp_path, step, f"of batch {number}")
    stopped = follow(guard, log, {2: 8, 4: 16, 6: 24})
    assert stopped == 7
    # means of the rewards so far: 20.5 at batch 2, 20.475 at batch 4; batch 6 is already beyond the limit
    assert read_best(tmp_path) == {"batch": 2, "objective": 20.5}
    assert (tmp_path / "best" / "adapter_model.safetensors").read_text() == "of batch 2"
    (tmp_path / "checkpoint-8" / "adapter_model.safetensors").unlink()  # rotated away
    assert (tmp_path / "best" / "adapter_model.safetensors").read_text() == "of batch 2"
    assert said == [
        "warning: batch 5: Mean reward is 99, above 21 since batch 5 (rule: reward_mean above 21 in 1 batch)",
        "stopped: batch 7: KL, nats per description is 33, above 30 since batch 5 (rule: kl above 30 in 3 batches)",
    ]
    loaded: list[Path] = []
    assert guard.settle(loaded.append) == {
        "stopped_at": 7,
        "stopped_by": "KL, nats per description is 33, above 30 since batch 5 (rule: kl above 30 in 3 batches)",
        "kept_batch": 2,
    }
    assert loaded == [tmp_path / "best"]


def test_a_warning_stops_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    guard = Guard([Rule("kl", above=1)], checkpoints=tmp_path, say=lambda _: None)
    complete(tmp_path, 4, "x")
    assert follow(guard, rows([5.0, 5.0], reward_mean=1.0, kl_coef=0.0), {1: 4}) is None
    assert read_best(tmp_path) is None
    assert guard.settle(never_called) == {}


def test_stopping_before_the_first_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    guard = Guard([Rule("kl", above=1, action="stop")], checkpoints=tmp_path, say=lambda _: None)
    assert follow(guard, rows([0.5, 5.0]), {}) == 2
    with pytest.raises(UserError, match=r"batch 2: KL.*there is no checkpoint from before batch 2 to keep\. Lower "):
        guard.settle(never_called)


def test_the_best_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    guard = Guard([Rule("kl", above=30, action="stop")], checkpoints=tmp_path, say=lambda _: None)
    mark_complete(complete(tmp_path, 8, "x"), {"identity": "another"})
    assert follow(guard, rows([5.0, 31.0], reward_mean=1.0, kl_coef=0.0), {1: 8}) == 2
    with pytest.raises(UserError, match=r"cannot be used: .*best: is of another seed or run\. To start again, move "):
        guard.settle(never_called, "mine")
    loaded: list[Path] = []
    for known in ("another", ""):
        assert guard.settle(loaded.append, known)["kept_batch"] == 1
    (tmp_path / "best" / "adapter_model.safetensors").write_text("y")
    with pytest.raises(UserError, match=r"cannot be used: .*best: adapter_model\.safetensors"):
        guard.settle(never_called, "another")


def test_a_guard_that_was_restarted_ends_where_the_other_did(tmp_path: Path) -> None:
    rule, log = Rule("kl", above=1, batches=4, action="stop"), rows([0.0, 2, 2, 2, 2, 2])
    later = Guard([rule], checkpoints=tmp_path, earlier=log[:3], say=lambda _: None)
    assert follow(later, log[2:], {}) == 5
    assert later.stopped_by == Firing(rule, 5, 2, 2.0, 1.0)


def test_training_stops_and_goes_back_to_the_best_checkpoint(mistral: Path, tmp_path: Path) -> None:
    """The real trainer: a rule that fires at batch 3, a checkpoint of batch 2; its weights come back."""
    trainer = make_ppo(mistral, tmp_path, batches=6)
    guard = Guard([Rule("samples", above=16, action="stop")], checkpoints=tmp_path, say=lambda _: None)
    trainer.add_callback(guard)
    trainer.train()
    assert trainer.batch_number == 3
    saved = load_file(tmp_path / "checkpoint-8" / "adapter_model.safetensors")
    moved = {name: value for name, value in trainer.model.named_parameters() if "lora_B" in name}
    plain = {name.replace(".default", ""): value for name, value in moved.items()}
    assert any(not torch.equal(saved[name], value) for name, value in plain.items()), "batch 3 has moved them on"
    assert guard.settle(trainer.load_checkpoint)["kept_batch"] == 2
    for name, value in plain.items():
        assert torch.equal(saved[name], value), name


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_with_the_batch(
    mistral: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    import ex2.trainers.ppo as module

    genuine, calls = module.ppo_loss, []

    def broken(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        result = genuine(*args, **kwargs)
        return result._replace(policy_loss=value) if len(calls) == 10 else result  # 4 updates a batch: batch 3

    monkeypatch.setattr(module, "ppo_loss", broken)
    trainer = make_ppo(mistral, tmp_path, batches=4)
    with pytest.raises(UserError) as caught:
        trainer.train()
    folder = tmp_path / "not_finite" / "batch-3"
    assert str(caught.value).startswith(f"batch 3: the policy's loss: {value}. The batch is kept in {folder}; ")
    assert f"the last good checkpoint is {tmp_path / 'checkpoint-8'}. Lower rl.learning_rate" in str(caught.value)
    tensors = load_file(folder / "process-0.safetensors")
    assert tensors["advantages"].shape == tensors["new_logprobs"].shape
    assert len(tensors["completion_ids"]) == 4
    kept = json.loads((folder / "process-0.json").read_text())
    assert (kept["what"], kept["value"], len(kept["descriptions"])) == ("the policy's loss", repr(value), 8)
    assert set(kept["descriptions"][0]) == {"prompt", "text", "score"}


def test_a_gradient_that_is_no_number_stops_before_the_weights_take_it(mistral: Path, tmp_path: Path) -> None:
    trainer = make_ppo(mistral, tmp_path, batches=2)
    weight = next(value for name, value in trainer.model.named_parameters() if "lora_B" in name)
    passes: list[int] = []

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        passes.append(1)
        return gradient * math.nan if len(passes) == 2 else gradient

    weight.register_hook(spoil)
    with pytest.raises(UserError, match=r"batch 1: the gradient's norm: nan\. .*there is no checkpoint yet"):
        trainer.train()
    assert (tmp_path / "not_finite" / "batch-1" / "process-0.safetensors").is_file()
    assert all(bool(value.isfinite().all()) for value in trainer.model.parameters())


def test_what_is_kept_may_share_memory(tmp_path: Path) -> None:
    row = torch.arange(6.0).reshape(2, 3)
    with pytest.raises(UserError, match=r"batch 2: the loss: inf"):
        stop_not_finite("the loss", math.inf, checkpoints=tmp_path, batch=2, tensors={"a": row, "b": row[:, 1:]})
    assert load_file(tmp_path / "not_finite" / "batch-2" / "process-0.safetensors")["b"].tolist() == [[1, 2], [4, 5]]


class Taking(BatchCallback):
    """Keeps what it is told, with the β that the trainer has then."""

    def __init__(self) -> None:
        self.told: list[tuple[FinishedBatch, float]] = []

    def on_batch(self, batch: FinishedBatch, args: Any, control: Any) -> None:
        self.told.append((batch, batch.kl_controller.coef))


def test_callbacks_are_told_of_each_batch_once_also_after_a_restart(mistral: Path, tmp_path: Path) -> None:
    first, second = Taking(), Taking()
    reward = Letters(none_from=10)
    trainer = make_ppo(mistral, tmp_path, batches=2, reward=reward)
    trainer.add_callback(first)
    trainer.train()
    for (batch, coef), call in zip(first.told, reward.seen, strict=True):
        assert list(batch.completions) == call["completions"]
        scores = [math.nan if score is None else score for score in Letters(none_from=10)(call["completions"])]
        assert list(batch.scores) == pytest.approx(scores, nan_ok=True)
        assert coef != batch.row["kl_coef"], "already that of the next batch"
    assert [batch.row["batch"] for batch, _ in first.told] == [1, 2]
    assert first.told[-1][0].row == trainer.batch_log
    again = make_ppo(mistral, tmp_path, batches=3)
    again.add_callback(second)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-8"))
    assert [batch.row["batch"] for batch, _ in second.told] == [3]


def test_every_batch_logs_what_it_cost(mistral: Path, tmp_path: Path) -> None:
    trainer = make_ppo(mistral, tmp_path, batches=1, reward=Letters())
    trainer.train()
    row = trainer.batch_log
    wanted = """
        reward_mean reward_std kl kl_per_token kl_coef ratio_mean ratio_max clip_fraction value_clip_fraction
        explained_variance entropy response_length share_without_eos grad_norm seconds_rollout seconds_reward
        seconds_update tokens_per_second peak_memory_gib
    """
    assert all(isinstance(row[key], float) and math.isfinite(row[key]) for key in wanted.split())
    spent = row["seconds_rollout"] + row["seconds_update"]
    assert row["tokens_per_second"] == pytest.approx(row["response_length"] * 8 / spent)
    assert 0.1 < row["peak_memory_gib"] < 64
