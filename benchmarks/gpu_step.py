"""The paper's recipe with random weights of Mistral-7B's shapes: seconds of phases, memory, tokens a second, a profile.

benchmarks/gpu.sh calls it. The dataset and the VLM are the demo's, so that the policy is what is measured: 32 prompts a
batch, 32 new tokens, 4 epochs of 4 minibatches of 8, LoRA on q_proj and v_proj. Each precision has the same share of
the time that is left and stops at a batch's end. Not counted are the first batch, which warms up, and the second, which
is profiled.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import shutil
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from common import processor
from ppo_step import tokenizer_of
from transformers import MistralConfig, MistralForCausalLM

from ex2.recipe_io import read_recipe
from ex2.run.directory import RunDirectory
from ex2.trainers.ppo import PPOTrainer
from ex2.training import arguments as trainer_arguments
from ex2.training.stage import train
from reward.files import read_jsonl

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "recipes/paper/clip/pets.yaml"
PARTS = ("vlm={name: demo-visual}", "dataset={name: shapes, reward_split: reward, test_split: test}")
PRECISIONS = {
    "bf16": ("policy.quantization=none", "policy.dtype=bfloat16"),
    "8bit": ("policy.quantization=8bit", "policy.dtype=float16"),
    "4bit": ("policy.quantization=4bit", "policy.dtype=bfloat16"),
}
BATCHES = 20
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes")
MISTRAL_7B = {
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
SMALL = {
    "vocab_size": 1_000,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
SMALL_BATCHES = ("rl.batch_size=8", "rl.minibatch_size=4", "rl.epochs=1", "generation.max_new_tokens=4", "threads=1")
NOT_COUNTED = 2


class Measured(PPOTrainer):
    """Stops at the first batch's end after a deadline, and profiles one batch if a file is given for that."""

    deadline = float("inf")
    profile_to: Path | None = None
    _profiler: torch.profiler.profile | None = None

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs, start_time)
        if self._profiler is not None and self.profile_to is not None:
            self._profiler.__exit__(None, None, None)
            key = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
            self.profile_to.write_text(self._profiler.key_averages().table(sort_by=key, row_limit=40))
            self._profiler, type(self).profile_to = None, None
        elif self.batch_number == 1 and self.profile_to is not None:
            self._profiler = torch.profiler.profile(acc_events=True)
            self._profiler.__enter__()
        if time.monotonic() > self.deadline:
            self.control.should_training_stop = True


def save_random(folder: Path, shapes: dict[str, int]) -> int:
    """Save a model with random weights in bfloat16 and a tokenizer of its size; return its number of parameters."""
    torch.manual_seed(0)
    config = MistralConfig(**shapes, bos_token_id=1, eos_token_id=2, pad_token_id=0, max_position_embeddings=4096)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        model = MistralForCausalLM(config)
        torch.set_default_dtype(torch.float32)
    model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    tokenizer_of(shapes["vocab_size"]).save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def measure(name: str, settings: Sequence[str], folder: Path, batches: int, seconds: float) -> dict[str, Any]:
    """Train and return what the log says of the batches that count."""
    words = [f"name={name}", f"output_dir={folder}", f"policy.model={folder / 'model'}", f"rl.batches={batches}"]
    words += [*PARTS, *settings, "training.save_every=1000", "training.report_to=[]"]
    recipe = read_recipe(str(RECIPE), words)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    start = time.monotonic()
    Measured.deadline = start + seconds
    train(recipe, 0)
    rows = read_jsonl(RunDirectory.of(recipe).seed(0).train_log)
    started = sum(rows[0][f"seconds_{phase}"] for phase in ("rollout", "update"))
    spent = sum(row[f"seconds_{phase}"] for row in rows for phase in ("rollout", "update"))
    counted = rows[NOT_COUNTED:] or rows[-1:]
    phases = {phase: [row[f"seconds_{phase}"] for row in counted] for phase in ("rollout", "reward", "update")}
    whole = [rollout + update for rollout, update in zip(phases["rollout"], phases["update"], strict=True)]
    return {
        "precision": name,
        "batches_counted": len(counted),
        "seconds": {phase: round(statistics.median(values), 3) for phase, values in phases.items()},
        "batch_seconds": [round(f(whole), 3) for f in (statistics.median, min, max)],
        "first_batch_seconds": round(started, 3),
        "load_and_save_seconds": round(time.monotonic() - start - spent, 1),
        "response_tokens_per_second": round(statistics.median(row["tokens_per_second"] for row in counted), 1),
        "peak_memory_gib": round(max(row["peak_memory_gib"] for row in rows), 2),
        "kl_last": rows[-1]["kl"],
    }


def machine() -> dict[str, Any]:
    """Return hardware and versions."""
    found: dict[str, Any] = {"processor": processor(), "python": platform.python_version(), "gpu": None}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
        query = ["nvidia-smi", "--query-gpu=driver_version,memory.total", "--format=csv,noheader"]
        if shutil.which(query[0]):
            found["driver"] = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def as_table(result: dict[str, Any]) -> str:
    """Write the result as Markdown."""
    where = result["machine"]
    versions = ", ".join(f"{name} {where[name]}" for name in PACKAGES if where[name])
    device = f"{where['gpu']}, driver and memory {where.get('driver')}" if where["gpu"] else where["processor"]
    lines = [
        f"{device}, Python {where['python']}, {versions}",
        "",
        f"{result['parameters'] / 1e6:,.1f} M parameters, random; {result['what']}.",
        "",
        "| precision | rollout | of it reward | updates | batch (least to most) | response tokens/s | peak memory "
        "| batches counted |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["precisions"]:
        seconds, (median, least, most) = row["seconds"], row["batch_seconds"]
        lines.append(
            f"| {row['precision']} | {seconds['rollout']:.2f} s | {seconds['reward']:.3f} s "
            f"| {seconds['update']:.2f} s "
            f"| {median:.2f} s ({least:.2f} to {most:.2f}) | {row['response_tokens_per_second']:.0f} "
            f"| {row['peak_memory_gib']:.1f} GiB | {row['batches_counted']} |"
        )
    lines += ["", *(f"{name}: {reason}" for name, reason in result["left_out"].items())]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True, help="holds the model: 15 GB, in bfloat16")
    parser.add_argument("--seconds", type=float, default=520.0, help="for everything")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    if not options.small and not torch.cuda.is_available():
        print("gpu_step.py: no GPU here; --small rehearses without one.", file=sys.stderr)
        return 2
    trainer_arguments.TRAINERS["ppo"] = Measured
    result: dict[str, Any] = {
        "what": "a rehearsal: small batches"
        if options.small
        else "32 prompts a batch, 32 new tokens, 4 epochs of 4 minibatches of 8, LoRA r 16 on q_proj and v_proj",
        "recipe": str(RECIPE.relative_to(ROOT)),
        "machine": machine(),
        "parameters": save_random(options.scratch / "model", SMALL if options.small else MISTRAL_7B),
        "precisions": [],
        "left_out": {},
    }
    Measured.profile_to = options.out / "profile.txt"
    for position, (name, settings) in enumerate(PRECISIONS.items()):
        left = deadline - time.monotonic()
        share = left / (len(PRECISIONS) - position) - (0 if options.small else 40)  # for loading
        try:
            if options.small:
                row = measure(name, [*settings, *SMALL_BATCHES], options.scratch, NOT_COUNTED + 1, share)
            else:
                row = measure(name, settings, options.scratch, NOT_COUNTED + BATCHES, share)
        except Exception as error:  # noqa: BLE001 - the other precisions are worth having
            traceback.print_exc()
            result["left_out"][name] = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            result["precisions"].append(row)
        (options.out / "gpu.json").write_text(json.dumps(result, indent=1) + "\n")
        (options.out / "gpu.md").write_text(as_table(result))
    print(as_table(result), end="")
    return 0 if result["precisions"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
