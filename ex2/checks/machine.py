"""What this machine lacks for a run: packages, room on the disk, memory."""

from __future__ import annotations

import math
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from ex2.checks.form import is_installed, missing_loggers
from ex2.recipe import Recipe
from ex2.run.directory import RunDirectory

GIB = 1024**3
BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
QUANTIZED_BYTES = {"8bit": 1.0, "4bit": 0.5}
PER_TRAINED = 4 * 4
"""Bytes of memory for a trained parameter: weight, gradient and Adam's two moments in float32."""
PER_STORED = 3 * 4
"""Bytes of a checkpoint for a trained parameter: weight and Adam's two moments in float32."""
LOG_ROW = 2_000
"""Bytes of a batch in `train.jsonl`, about."""
DESCRIPTION = 600
"""Bytes of a description in `descriptions.jsonl` without its text, with the judge's two verdicts, about."""
TOKEN = 6
"""Bytes of a token's text, about."""


class Memory(NamedTuple):
    """Bytes that a policy takes in one process.

    Attributes:
        base: Frozen base model, or reference model.
        training: What is trained, with its gradient and Adam's moments.
    """

    base: float
    training: float


def policy_memory(recipe: Recipe, total: int, linear: int, trained: int) -> Memory:
    """Estimate the memory of a policy without activations.

    Args:
        recipe: The recipe.
        total: Number of the model's parameters.
        linear: How many of them quantization makes smaller.
        trained: Number of trained parameters.
    """
    wide = BYTES[recipe.policy.dtype]
    narrow = QUANTIZED_BYTES.get(recipe.policy.quantization, wide)
    return Memory(linear * narrow + (total - linear) * wide, float(trained * PER_TRAINED))


def missing_parts(recipe: Recipe) -> list[str]:
    """List packages that a recipe needs and that are not installed."""
    problems = missing_loggers(recipe.training.report_to)
    if recipe.policy.quantization != "none" and not _is_here("bitsandbytes"):
        problems.append(
            f"policy.quantization: {recipe.policy.quantization} needs a package that is not here; run: pip install "
            "bitsandbytes"
        )
    if recipe.policy.gguf_file is not None and not _is_here("gguf"):
        problems.append("policy.gguf_file: needs a package that is not here; run: pip install gguf")
    if recipe.describe.engine == "vllm" and not _is_here("vllm"):
        problems.append(
            "describe.engine: vllm is not installed; install it on a machine with a GPU, or use transformers."
        )
    return problems


def _is_here(module: str) -> bool:
    return module in sys.modules or is_installed(module)


def memory_problem(recipe: Recipe, memory: Memory) -> str | None:
    """Say that weights and optimizer alone do not fit into the memory of the device; None if they do."""
    import torch

    if torch.cuda.is_available():
        device, there = torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory
    else:
        device, there = "this machine, which shows no GPU,", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = memory.base + memory.training
    if needed <= there:
        return None
    return (
        f"policy: '{recipe.policy.model}' takes at least {needed / GIB:.1f} GiB in training, before activations; "
        f"{device} has {there / GIB:.1f}. Use policy.quantization, a smaller model or another machine."
    )


def disk_problem(recipe: Recipe, trained: int, prompts: int) -> str | None:
    """Say that a run cannot be written where it is to go, or finds too little room there; None if it can.

    Args:
        recipe: The recipe.
        trained: Number of trained parameters.
        prompts: Classes × questions.
    """
    directory = RunDirectory.of(recipe)
    open_seeds = [seed for seed in recipe.seeds if not directory.seed(seed).is_trained]
    needed = len(open_seeds) * seed_bytes(recipe, trained, prompts)
    writers = f"{len(open_seeds)} seeds write" if len(open_seeds) > 1 else "1 seed writes"
    return room_problem(directory.root, "output_dir", needed, writers, "lower training.save_total_limit, ")


def room_problem(place: Path, key: str, needed: int, writers: str, also: str = "") -> str | None:
    """Say that a folder cannot be written, or its disk has too little room; None if neither is so.

    Args:
        place: The folder; it need not be there yet.
        key: Its key in the recipe.
        needed: Bytes.
        writers: What writes them, with its verb.
        also: What else would help.
    """
    folder = _nearest(place)
    if folder.is_symlink() and not folder.exists():
        return f"{key}: {folder} is a link that leads nowhere; mend it, or give another {key}."
    if not folder.is_dir():
        return f"{key}: {folder} is a file; give a folder."
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"{key}: the file system of {folder} is read-only; give another {key}."
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{key}: {folder} cannot be written by this user; give another {key}."
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return None
    if needed <= free:
        return None
    return (
        f"{key}: the disk of {folder} has {_size(free)} free, and {writers} about {_size(needed)}; make room, "
        f"{also}or give another {key}."
    )


def _size(count: int) -> str:
    """Return a number of bytes in the largest unit of which there is one at least: `192.0 KiB`."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    power = min(len(units) - 1, max(0, count.bit_length() - 1) // 10)
    return f"{count / 1024**power:.1f} {units[power]}" if power else f"{count} bytes"


def seed_bytes(recipe: Recipe, trained: int, prompts: int) -> int:
    """Return about how many bytes a seed's folder takes: checkpoints, what is trained, log and descriptions."""
    training = recipe.training
    written = math.ceil(recipe.rl.batches / training.save_every)
    # The newest is written before the oldest is deleted.
    kept = written if training.save_total_limit is None else min(written, training.save_total_limit + 1)
    descriptions = prompts * recipe.describe.per_question * len(recipe.describe.policies)
    return (
        kept * trained * PER_STORED
        + trained * 4
        + recipe.rl.batches * LOG_ROW
        + descriptions * (DESCRIPTION + TOKEN * recipe.generation.max_new_tokens)
    )


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists, or a link in its place."""
    path = path.absolute()
    return next((one for one in (path, *path.parents) if one.exists() or one.is_symlink()), Path("/"))
