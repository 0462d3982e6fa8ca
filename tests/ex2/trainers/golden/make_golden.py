"""Make the golden fixture: PPO updates computed by TRL 0.7.11, the trainer behind the paper's results.

Needs an environment of its own (see README.md). Writes `trl_0_7_11.safetensors` and `trl_0_7_11.json` beside itself:

    base.*                 weights of the language model
    start.*                adapter and value head before the first update
    CASE.BATCH.*           what `PPOTrainer.step` computed, in TRL's own layout: one column for each predicted token
                           of the left-padded query + response, `masks` 1 on the response's
    CASE.BATCH.losses      policy, value and total loss of each forward of the updates, in their order
    CASE.BATCH.new_*       log-probabilities and values of the same forwards
    CASE.BATCH.grad.*      gradient at each optimizer step, stacked
    CASE.BATCH.end.*       adapter and value head after the batch's last update

Cases: `whole` runs each minibatch in one forward; `accumulated` in forwards of one response, as the paper's script did.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import warnings
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import peft
import tokenizers
import torch
import transformers
import trl
from safetensors.torch import load_file, save_file
from tokenizers.models import WordLevel
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).parent
NAME = "trl_0_7_11"
BOS, EOS = 1, 2
MODEL = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}
# dropout as in the paper's runs: the fixture shows that no PPO pass of TRL used it
LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.05, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
PPO = {"batch_size": 16, "ppo_epochs": 4, "learning_rate": 1e-3, "seed": 0, "init_kl_coef": 0.2}
# KL is 4.1, then 3.3 nats: the controller's clip strikes at the second target, the paper's, and not at the first
CASES: dict[str, dict[str, Any]] = {
    "whole": {"mini_batch_size": 4, "gradient_accumulation_steps": 1, "target": 4.0, "batches": 2},
    "accumulated": {"mini_batch_size": 1, "gradient_accumulation_steps": 4, "target": 10.0, "batches": 1},
}
MAX_NEW_TOKENS = 12
# Tokens of each response of a batch, with a dot if EOS is the last. Among them one token cut before EOS, and EOS alone.
LENGTHS = (
    "12 1 7. 1. 10. 12. 3. 5. 12 2. 9. 4. 8. 12 6. 11.",
    "4. 12 1. 6. 12. 2. 8. 12 10. 5. 1 9. 3. 7. 11. 12",
)


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per number; the end token pads, on the left, as with the paper's Mistral."""
    words = tokenizers.Tokenizer(WordLevel({str(i): i for i in range(MODEL["vocab_size"])}))
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token=str(BOS), eos_token=str(EOS), pad_token=str(EOS), padding_side="left"
    )


def plain(name: str) -> str:
    """A trainable parameter's name without its wrappers: `layers.0.self_attn.q_proj.lora_A.weight`, `summary.bias`."""
    start = name.index("layers." if "layers." in name else "summary.")
    return name[start:].replace(".default", "")


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {plain(name): p for name, p in model.named_parameters() if p.requires_grad}


def make_policy(base: dict[str, torch.Tensor], start: dict[str, torch.Tensor] | None = None) -> Any:
    """The language model with TRL's value head and a LoRA adapter whose B is away from zero."""
    model = MistralForCausalLM(MistralConfig(**MODEL))
    model.load_state_dict(base)
    torch.manual_seed(1)
    policy = trl.AutoModelForCausalLMWithValueHead.from_pretrained(model, peft_config=peft.LoraConfig(**LORA))
    with torch.no_grad():
        for name, parameter in trainable(policy).items():
            if start is not None:
                parameter.copy_(start[name])
            elif "lora_B" in name:
                parameter.normal_(0, 0.3)
    return policy


def make_batches(policy: Any) -> list[dict[str, list[Any]]]:
    """Queries of unequal length, responses sampled from the policy, scores near those of a CLIP of scale 100."""
    random = np.random.default_rng(0)
    queries = [[BOS, *random.integers(3, 96, random.integers(4, 15)).tolist()] for _ in range(PPO["batch_size"])]
    batches = []
    torch.manual_seed(2)
    for lengths in LENGTHS:
        responses = []
        for query, length in zip(queries, lengths.split(), strict=True):
            ended = length.endswith(".")
            drawn = int(length.rstrip(".")) - ended
            ids = policy.pretrained_model.generate(
                input_ids=torch.tensor([query]),
                do_sample=True,
                top_k=0,
                max_new_tokens=max(drawn, 1),
                suppress_tokens=[EOS],
                pad_token_id=EOS,
            )
            responses.append(ids[0, len(query) : len(query) + drawn].tolist() + [EOS] * ended)
        scores = (23 + 3 * random.standard_normal(len(queries))).round(3).tolist()
        batches.append({"queries": queries, "responses": responses, "scores": scores})
    return batches


class Recorder:
    """Listens to one `PPOTrainer`; changes nothing of what it computes."""

    def __init__(self, trainer: trl.PPOTrainer) -> None:
        self.trainer = trainer
        self.clear()
        self.passes: list[tuple[torch.Tensor, ...]]
        for name in ("batched_forward_pass", "compute_rewards", "compute_advantages", "loss"):
            setattr(trainer, name, self.listen(getattr(trainer, name), getattr(self, f"see_{name}")))
        step = trainer.optimizer.step

        def see_step(*args: Any, **kwargs: Any) -> None:
            if trainer.accelerator.sync_gradients:
                self.gradients.append({n: p.grad.clone() for n, p in trainable(trainer.model).items()})
            step(*args, **kwargs)

        trainer.optimizer.step = see_step

    @staticmethod
    def listen(method: Any, see: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            see(result)
            return result

        return wrapper

    def clear(self) -> None:
        self.passes, self.tensors, self.losses, self.gradients = [], {}, [], []

    def see_batched_forward_pass(self, result: Any) -> None:
        self.passes.append(tuple(t.detach() for t in result if t is not None))

    def see_compute_rewards(self, result: Any) -> None:
        self.tensors["rewards"] = result[0]

    def see_compute_advantages(self, result: Any) -> None:
        self.tensors["values"], self.tensors["advantages"], self.tensors["returns"] = result

    def see_loss(self, result: Any) -> None:
        stats = result[2]
        self.losses.append([float(stats[f"loss/{kind}"]) for kind in ("policy", "value", "total")])

    def collect(self) -> dict[str, torch.Tensor]:
        """The batch's tensors. Of each forward of an update: `losses` (policy, value, total), `new_*`."""
        (logprobs, _, masks), (ref_logprobs, _, _), *updates = self.passes
        tensors = {**self.tensors, "logprobs": logprobs, "ref_logprobs": ref_logprobs, "masks": masks}
        tensors["losses"] = torch.tensor(self.losses)
        tensors["new_logprobs"] = torch.stack([logprobs for logprobs, *_ in updates])
        tensors["new_values"] = torch.stack([values for _, _, values, _ in updates])
        for name in self.gradients[0]:
            tensors[f"grad.{name}"] = torch.stack([gradients[name] for gradients in self.gradients])
        tensors |= {f"end.{name}": p.detach().clone() for name, p in trainable(self.trainer.model).items()}
        return tensors


@contextlib.contextmanager
def recorded_permutations(into: list[list[int]]) -> Any:
    """Keep what `np.random.permutation`, TRL's order of each epoch, draws."""
    draw = np.random.permutation

    def permutation(size: int) -> Any:
        order = draw(size)
        into.append(order.tolist())
        return order

    np.random.permutation = permutation
    try:
        yield
    finally:
        np.random.permutation = draw


def make_trainer(policy: Any, case: str, dataset: Any = None) -> trl.PPOTrainer:
    sizes = {key: value for key, value in CASES[case].items() if key != "batches"}
    collator = (lambda rows: rows) if dataset else None
    return trl.PPOTrainer(trl.PPOConfig(**PPO, **sizes), policy, None, tokenizer(), dataset, data_collator=collator)


def step(trainer: trl.PPOTrainer, batch: dict[str, list[Any]]) -> dict[str, Any]:
    return trainer.step(
        [torch.tensor(ids) for ids in batch["queries"]],
        [torch.tensor(ids) for ids in batch["responses"]],
        [torch.tensor(score) for score in batch["scores"]],
    )


def run_case(policy: Any, case: str, batches: list[dict[str, Any]]) -> tuple[dict[str, torch.Tensor], list[Any]]:
    """TRL's tensors of a case, and what is recorded of each of its batches in the JSON file."""
    trainer = make_trainer(policy, case)
    recorder = Recorder(trainer)
    tensors: dict[str, torch.Tensor] = {}
    facts = []
    for number in range(CASES[case]["batches"]):
        recorder.clear()
        permutations: list[list[int]] = []
        before = trainer.kl_ctl.value
        with recorded_permutations(permutations):
            stats = step(trainer, batches[number])
        tensors |= {f"{case}.{number}.{name}": value for name, value in recorder.collect().items()}
        facts.append(
            {
                "permutations": permutations,
                "kl": float(stats["objective/kl"]),
                "kl_coef": [before, float(trainer.kl_ctl.value)],
                "optimizer_steps": len(recorder.gradients),
            }
        )
    return tensors, facts


def known_errors(policy: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """Two errors of the old trainer that its runs had: the numbers that ours must not show."""
    trainer = make_trainer(policy, "accumulated", dataset=torch.utils.data.TensorDataset(torch.arange(16)))
    recorder = Recorder(trainer)
    for _ in trainer.dataloader:  # a single batch, so it is the last one of its epoch
        step(trainer, batch)
    dropouts = [m for m in trainer.model.modules() if isinstance(m, torch.nn.Dropout) and m.p > 0]
    return {
        "optimizer_steps_in_an_epochs_last_batch": len(recorder.gradients),
        "dropouts_active_in_the_second_rollout": sum(m.training for m in dropouts),
    }


def make() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    base = {k: v.clone() for k, v in MistralForCausalLM(MistralConfig(**MODEL)).state_dict().items()}
    policy = make_policy(base)
    start = {name: p.detach().clone() for name, p in trainable(policy).items()}
    batches = make_batches(policy)
    tensors = {f"base.{name}": value for name, value in base.items()}
    tensors |= {f"start.{name}": value for name, value in start.items()}
    facts = {}
    for case in CASES:
        case_tensors, facts[case] = run_case(make_policy(base, start), case, batches)
        tensors |= case_tensors
    settings = trl.PPOConfig(**PPO, mini_batch_size=1)
    used = ("gamma", "lam", "cliprange", "cliprange_value", "vf_coef", "ratio_threshold", "horizon", "max_grad_norm")
    record = {
        "versions": {
            "python": platform.python_version(),
            **{m.__name__: m.__version__ for m in (trl, transformers, peft, accelerate, tokenizers, torch)},
            "numpy": np.__version__,
        },
        "model": MODEL,
        "lora": LORA,
        "ppo": {**PPO, **{name: getattr(settings, name) for name in used}},
        "max_new_tokens": MAX_NEW_TOKENS,
        "cases": CASES,
        "batches": batches,
        "facts": facts,
        "known_errors": known_errors(make_policy(base, start), batches[0]),
    }
    return {name: value.contiguous() for name, value in tensors.items()}, record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the files on disk; write nothing")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    tensors, record = make()
    if not arguments.check:
        save_file(tensors, HERE / f"{NAME}.safetensors")
        (HERE / f"{NAME}.json").write_text(json.dumps(record, indent=1) + "\n")
        return
    stored = load_file(HERE / f"{NAME}.safetensors")
    if stored.keys() != tensors.keys():
        raise SystemExit(f"{NAME}.safetensors: other tensors: {sorted(stored.keys() ^ tensors.keys())}")
    furthest = max(float((stored[name].double() - tensors[name].double()).abs().max()) for name in stored)
    if furthest > 1e-4 or json.loads((HERE / f"{NAME}.json").read_text())["batches"] != record["batches"]:
        raise SystemExit(f"{NAME}: differs from what TRL computes here, by up to {furthest:.1e}")
    print(f"{NAME}: {len(stored)} tensors as TRL computes them, to {furthest:.1e}")


if __name__ == "__main__":
    main()
