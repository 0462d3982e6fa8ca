"""Our PPO trainer against TRL 0.7.11's: the same weights, responses and minibatches must give the same updates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from golden.record import (
    BATCHES,
    PPO,
    RECORD,
    TENSORS,
    distance,
    facts,
    packed,
    recorded,
    relative,
    response_mask,
    trainable,
)
from peft import LoraConfig
from tiny_trainers import PLAIN
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast, TrainerCallback

import ex2.trainers.ppo as module
from ex2.trainers.config import PPOConfig
from ex2.trainers.losses import PPOLoss
from ex2.trainers.ppo import PPOTrainer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

UPDATES = 16  # optimizer steps of a batch
WORDS = ["t0", "<s>", "</s>", *(f"t{number}" for number in range(3, RECORD["model"]["vocab_size"]))]
every_batch = pytest.mark.parametrize(("case", "number"), BATCHES)


class Watch(TrainerCallback):
    """Keeps the gradient of every optimizer step and the parameters after every batch."""

    def __init__(self) -> None:
        self.gradients: list[dict[str, torch.Tensor]] = []
        self.ends: list[dict[str, torch.Tensor]] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, *, model: Any, **kwargs: Any) -> None:
        self.gradients.append({name: p.grad.clone() for name, p in trainable(model).items()})

    def on_step_end(self, args: Any, state: Any, control: Any, *, model: Any, **kwargs: Any) -> None:
        if state.global_step % args.updates_per_batch == 0:
            self.ends.append({name: p.detach().clone() for name, p in trainable(model).items()})


class Replay(PPOTrainer):
    """Ours, with the recorded responses in place of samples and TRL's permutations in place of its own."""

    def __init__(self, case: str, *, own_order: bool = False, **kwargs: Any) -> None:
        self.case, self.own_order, self.watch = case, own_order, Watch()
        self.places: list[int] = []  # of each recorded row in the rollout
        self.rollouts: list[dict[str, torch.Tensor]] = []
        self.losses: list[PPOLoss] = []
        self.coefs: list[tuple[float, float]] = []
        self.live_dropouts: list[int] = []
        super().__init__(callbacks=[self.watch], **kwargs)

    def _generate_single_turn(self, prompt_ids: Any, images: Any, multimodal_fields: Any) -> Any:
        batch = RECORD["batches"][self.batch_number]
        rows = [batch["queries"].index(list(ids)) for ids in prompt_ids]
        self.places = [rows.index(row) for row in range(len(rows))]
        live = [m for m in self.model.modules() if isinstance(m, torch.nn.Dropout) and m.training and m.p > 0]
        self.live_dropouts.append(len(live))
        return [batch["responses"][row] for row in rows]

    def _add_advantages(self, output: dict[str, Any]) -> dict[str, Any]:
        policy, reference = self._passes
        before = self.kl_controller.coef
        result = super()._add_advantages(output)
        passes = {"logprobs": policy.logprobs, "ref_logprobs": reference.logprobs, "values": policy.values}
        kept = passes | {name: result[name] for name in ("advantages", "returns", "loss_mask")}
        self.rollouts.append({name: value[self.places].clone() for name, value in kept.items()})
        self.coefs.append((before, self.kl_controller.coef))
        return result

    def _rows(self, place: int, micro_batches: int) -> torch.Tensor:
        epoch = self._step % self.args.forwards_per_batch // self.args.steps_per_generation
        if not self.own_order:
            order = facts(self.case, self.batch_number)["permutations"][epoch]
            self._order = torch.tensor([self.places[row] for row in order])
        return super()._rows(place, micro_batches)

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        loss = super()._compute_loss(model, inputs)
        self.losses.append(self._updates[-1])
        return loss


def recorded_score(row: list[int], completion_ids: list[list[int]], **columns: Any) -> list[float]:
    """The score recorded for the response to query number `row`."""
    found = [
        batch["scores"][index]
        for index, ids in zip(row, completion_ids, strict=True)
        for batch in RECORD["batches"]
        if batch["responses"][index] == ids
    ]
    assert len(found) == len(row)
    return found


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per word; the end token pads, as with the paper's Mistral."""
    model = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=model, bos_token="<s>", eos_token="</s>", pad_token="</s>", padding_side="left"
    )


def replay(case: str, folder: Path, own_order: bool = False, **changes: Any) -> Replay:
    """Train ours on a case."""
    sizes = RECORD["cases"][case]
    settings = PLAIN | {
        "output_dir": str(folder),
        "per_device_train_batch_size": sizes["mini_batch_size"],
        "gradient_accumulation_steps": sizes["gradient_accumulation_steps"],
        "steps_per_generation": PPO["batch_size"] // sizes["mini_batch_size"],
        "num_iterations": PPO["ppo_epochs"],
        "max_steps": UPDATES * sizes["batches"],
        "learning_rate": PPO["learning_rate"],
        "weight_decay": 0.0,
        "epsilon": PPO["cliprange"],
        "gamma": PPO["gamma"],
        "lam": PPO["lam"],
        "value_clip_range": PPO["cliprange_value"],
        "value_coef": PPO["vf_coef"],
        "ratio_threshold": PPO["ratio_threshold"],
        "score_centering": "none",
        "kl_coef": PPO["init_kl_coef"],
        "kl_target": sizes["target"],
        "kl_horizon": PPO["horizon"],
        "max_completion_length": RECORD["max_new_tokens"],
        "save_strategy": "no",
        "logging_steps": UPDATES,
    }
    queries = [" ".join(WORDS[token] for token in query) for query in RECORD["batches"][0]["queries"]]
    model = MistralForCausalLM(MistralConfig(**RECORD["model"], pad_token_id=RECORD["model"]["eos_token_id"]))
    model.load_state_dict({k.removeprefix("base."): v for k, v in TENSORS.items() if k.startswith("base.")})
    trainer = Replay(
        case,
        own_order=own_order,
        model=model,
        reward_funcs=recorded_score,
        args=PPOConfig(**(settings | changes)),
        train_dataset=Dataset.from_list([{"prompt": query, "row": row} for row, query in enumerate(queries)]),
        processing_class=tokenizer(),
        peft_config=LoraConfig(**RECORD["lora"]),
    )
    parameters = trainable(trainer.model)
    assert parameters.keys() == {k.removeprefix("start.") for k in TENSORS if k.startswith("start.")}
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(TENSORS[f"start.{name}"])
    trainer.train()
    return trainer


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Replay]:
    return {
        "whole": replay("whole", tmp_path_factory.mktemp("whole")),
        "accumulated": replay("accumulated", tmp_path_factory.mktemp("accumulated"), loss_mean="responses"),
    }


def rollout_distances(run: Replay, number: int) -> dict[str, float]:
    mask, rollout = response_mask(run.case, number), run.rollouts[number]
    names = ("logprobs", "ref_logprobs", "values", "advantages", "returns")
    return {name: distance(rollout[name] * mask, packed(run.case, number, name)) for name in names}


def gradient_distance(run: Replay, number: int, step: int) -> float:
    """Largest over the parameters, each in units of its gradient's norm."""
    ours = run.watch.gradients[UPDATES * number + step]
    return max(relative(ours[name], recorded(run.case, number, f"grad.{name}")[step]) for name in ours)


def change_distance(run: Replay, number: int) -> float:
    """Largest over the parameters of the distance between both ends, in units of the norm of TRL's change."""
    ends = run.watch.ends[number]
    starts = {name: TENSORS[f"start.{name}"] for name in ends}
    return max(
        relative(ends[name] - starts[name], recorded(run.case, number, f"end.{name}") - starts[name]) for name in ends
    )


@every_batch
def test_passes_advantages_and_returns(runs: dict[str, Replay], case: str, number: int) -> None:
    """In the second batch the policy has moved, and β is the controller's."""
    assert torch.equal(runs[case].rollouts[number]["loss_mask"], response_mask(case, number))
    found = rollout_distances(runs[case], number)
    assert max(found.values()) < 1e-5, found


@every_batch
def test_kl_coefficient(runs: dict[str, Replay], case: str, number: int) -> None:
    assert runs[case].coefs[number] == pytest.approx(facts(case, number)["kl_coef"], rel=1e-7)
    assert runs[case].batch_log["kl"] == pytest.approx(
        facts(case, RECORD["cases"][case]["batches"] - 1)["kl"], abs=1e-5
    )


@every_batch
def test_losses_of_every_minibatch(runs: dict[str, Replay], case: str, number: int) -> None:
    theirs = recorded(case, number, "losses")
    updates = runs[case].losses[len(theirs) * number : len(theirs) * (number + 1)]
    ours = torch.tensor([[update.policy_loss, update.value_loss] for update in updates])
    assert max(update.clip_fraction for update in updates) > 0.2  # both clips were reached
    assert max(update.value_clip_fraction for update in updates) > 0.2
    assert distance(ours, theirs[:, :2]) < 1e-5


@every_batch
def test_gradient_of_every_optimizer_step(runs: dict[str, Replay], case: str, number: int) -> None:
    """By norm of each parameter's difference, and at the first step by element."""
    assert max(gradient_distance(runs[case], number, step) for step in range(UPDATES)) < 1e-4
    for name, ours in runs[case].watch.gradients[UPDATES * number].items():
        theirs = recorded(case, number, f"grad.{name}")[0]
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


@every_batch
def test_parameters_after_sixteen_updates(runs: dict[str, Replay], case: str, number: int) -> None:
    for name, value in TENSORS.items():
        if name.startswith("start."):
            end = recorded(case, number, f"end.{name.removeprefix('start.')}")
            assert float((end - value).norm()) > 0.01  # far above fp32's noise
    assert change_distance(runs[case], number) < 1e-3


def test_the_last_batch_of_an_epoch_has_no_more_updates(runs: dict[str, Replay]) -> None:
    """TRL 0.7 stepped after every forward there. Here the data are one batch: every batch is the last of an epoch."""
    assert RECORD["known_errors"]["optimizer_steps_in_an_epochs_last_batch"] == 64
    assert len(runs["accumulated"].losses) == 64
    assert len(runs["accumulated"].watch.gradients) == UPDATES
    assert len(runs["whole"].watch.gradients) == 2 * UPDATES


def test_rollouts_have_no_dropout(runs: dict[str, Replay], tmp_path: Path) -> None:
    """TRL 0.7 sampled its second batch with dropout on, and none of its passes over the samples had it."""
    assert RECORD["lora"]["lora_dropout"] == 0.05
    assert RECORD["known_errors"]["dropouts_active_in_the_second_rollout"] > 0
    assert runs["whole"].live_dropouts == [0, 0]
    faulty = replay("whole", tmp_path, disable_dropout=False, max_steps=UPDATES)
    assert faulty.live_dropouts[0] > 0
    assert rollout_distances(faulty, 0)["logprobs"] > 1e-3


def test_the_mean_over_responses_does_not_hang_on_the_forwards_size(tmp_path: Path) -> None:
    """TRL 0.7's update with one response per forward comes out of one forward over the whole minibatch too."""
    assert RECORD["cases"]["accumulated"]["gradient_accumulation_steps"] > 1
    sizes = {
        "per_device_train_batch_size": RECORD["cases"]["accumulated"]["mini_batch_size"]
        * RECORD["cases"]["accumulated"]["gradient_accumulation_steps"],
        "gradient_accumulation_steps": 1,
    }
    sizes["steps_per_generation"] = PPO["batch_size"] // sizes["per_device_train_batch_size"]
    run = replay("accumulated", tmp_path, loss_mean="responses", **sizes)
    assert change_distance(run, 0) < 1e-3


def test_by_default_accumulated_forwards_are_a_mean_over_tokens(tmp_path: Path) -> None:
    """TRL 0.7 gave a token of a short response more weight; without `loss_mean: responses` the updates differ."""
    run = replay("accumulated", tmp_path)
    assert max(rollout_distances(run, 0).values()) < 1e-5
    assert change_distance(run, 0) > 0.1


@pytest.mark.parametrize(
    "fault",
    [
        "KL sign",
        "biased variance",
        "values one token late",
        "mask without its last token",
        "learning rate",
        "own order",
    ],
)
def test_a_fault_would_show(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these is far outside the tolerance of at least one comparison above."""
    changes: dict[str, Any] = {"max_steps": UPDATES}
    token_rewards, whiten, gae, ppo_loss = module.token_rewards, module.whiten, module.gae, module.ppo_loss
    if fault == "KL sign":
        monkeypatch.setattr(module, "token_rewards", lambda s, p, r, m, **kw: token_rewards(s, r, p, m, **kw))
    elif fault == "biased variance":
        count = float(response_mask("whole", 0).sum())
        factor = math.sqrt(count / (count - 1))
        monkeypatch.setattr(module, "whiten", lambda *args, **kw: whiten(*args, **kw) * factor)
    elif fault == "values one token late":
        monkeypatch.setattr(module, "gae", lambda r, v, m, **kw: gae(r, v.roll(-1, 1), m, **kw))
    elif fault == "mask without its last token":
        monkeypatch.setattr(module, "ppo_loss", lambda *a, **kw: ppo_loss(*a[:6], _without_last(a[6]), **kw))
    elif fault == "learning rate":
        changes["learning_rate"] = 1.003 * PPO["learning_rate"]
    run = replay("whole", tmp_path, own_order=fault == "own order", **changes)
    assert change_distance(run, 0) > 1e-3
    if fault in ("KL sign", "biased variance", "values one token late"):
        assert max(rollout_distances(run, 0).values()) > 1e-3
    if fault != "learning rate":
        assert gradient_distance(run, 0, 0) > 1e-3


def _without_last(mask: torch.Tensor) -> torch.Tensor:
    return mask & mask.roll(-1, 1) & (torch.arange(mask.shape[1]) < mask.shape[1] - 1)
