"""Checks whether a recipe can be trained under an accelerate configuration: processes, sharding, precision."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ex2.recipe import Recipe
from reward.errors import UserError, shown
from reward.yaml_values import read_text, read_yaml

Config = Mapping[str, Any]
"""Content of an accelerate configuration file: its keys and values."""


def read_accelerate_config(path: str | Path) -> Config:
    """Read an accelerate configuration file.

    Raises:
        UserError: If it cannot be read or is no mapping.
    """
    try:
        tree = read_yaml(read_text(Path(path)), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path}: an accelerate configuration is a mapping; see accelerate_configs/.")
    return tree


def config_of_environment(environment: Mapping[str, str]) -> Config:
    """Return the configuration that `accelerate launch` or `torchrun` has set in a process's environment variables."""

    def on(name: str) -> bool:
        return environment.get(name, "").lower() in ("true", "1")

    def number(name: str, default: int) -> int:
        given = environment.get(name, str(default))
        if not re.fullmatch(r"\d{1,6}", given.strip()):
            raise UserError(
                f"the environment variable {name} is {shown(given)}, which is no number that a launcher sets; start "
                "training with `accelerate launch`, or unset it."
            )
        return int(given)

    processes = number("WORLD_SIZE", 1)
    config: dict[str, Any] = {
        "distributed_type": "MULTI_GPU" if processes > 1 else "NO",
        "num_processes": processes,
        "mixed_precision": environment.get("ACCELERATE_MIXED_PRECISION", "no"),
        "use_cpu": on("ACCELERATE_USE_CPU"),
    }
    if on("ACCELERATE_USE_FSDP"):
        config["distributed_type"] = "FSDP"
        config["fsdp_config"] = {
            "fsdp_version": number("FSDP_VERSION", 1),
            "fsdp_state_dict_type": environment.get("FSDP_STATE_DICT_TYPE", "SHARDED_STATE_DICT"),
        }
    elif on("ACCELERATE_USE_DEEPSPEED"):
        config["distributed_type"] = "DEEPSPEED"
        config["deepspeed_config"] = {"zero_stage": number("ACCELERATE_DEEPSPEED_ZERO_STAGE", 2)}
    return config


def launch_problems(recipe: Recipe, config: Config) -> list[str]:
    """List why a recipe cannot be trained under an accelerate configuration.

    Args:
        recipe: A recipe of valid form.
        config: Content of an accelerate configuration file, or what `config_of_environment` returns.

    Returns:
        One message per problem, with its reason; empty if all is well.
    """
    faults = _form_problems(config)
    if faults:
        return faults
    return [*_size_problems(recipe, config), *_sharding_problems(recipe, config), *_precision_problems(recipe, config)]


def full_training_problems(recipe: Recipe) -> list[str]:
    """List why a recipe with `lora: null` cannot train every weight; the list is empty for a recipe with an adapter."""
    if recipe.lora is not None:
        return []
    problems = []
    if recipe.policy.quantization != "none":
        problems.append(
            f"lora: null trains every weight, and weights of {recipe.policy.quantization.removesuffix('bit')} bits "
            "cannot be trained; set policy.quantization: none, or give lora its settings."
        )
    if recipe.describe.engine == "vllm":
        problems.append(
            "describe.engine: vllm serves a base model with an adapter, and lora: null makes none; use transformers."
        )
    return problems


def missing_packages(config: Config) -> list[str]:
    """List packages that a configuration needs and that are not installed."""
    if config.get("distributed_type") == "DEEPSPEED" and importlib.util.find_spec("deepspeed") is None:
        return ["accelerate: distributed_type DEEPSPEED needs a package that is not here; run: pip install deepspeed"]
    return []


def _form_problems(config: Config) -> list[str]:
    """List values of a configuration that are of another kind than accelerate writes."""
    problems = []
    processes = config.get("num_processes")
    if processes is not None and (isinstance(processes, bool) or not isinstance(processes, int) or processes < 1):
        problems.append(f"accelerate: num_processes: given {shown(processes)}; a whole number from 1 is allowed.")
    for key in ("deepspeed_config", "fsdp_config"):
        if config.get(key) is not None and not isinstance(config[key], Mapping):
            problems.append(f"accelerate: {key}: given {shown(config[key])}; a mapping of settings is allowed.")
    return problems


def _size_problems(recipe: Recipe, config: Config) -> list[str]:
    rl, processes = recipe.rl, int(config.get("num_processes") or 1)
    if rl.minibatch_size % processes:
        return [
            f"rl.minibatch_size: {rl.minibatch_size} does not divide over {processes} processes (num_processes); "
            f"use a multiple of {processes}, or another number of processes."
        ]
    problems = []
    local = rl.minibatch_size // processes
    if rl.micro_batch_size and local % rl.micro_batch_size:
        problems.append(
            f"rl.micro_batch_size: {rl.micro_batch_size} does not divide the {local} samples of a minibatch on each "
            f"of {processes} processes (num_processes)."
        )
    if rl.batch_size // processes < 2:
        problems.append(
            f"rl.batch_size: {rl.batch_size} leaves one sample to each of {processes} processes (num_processes); "
            "at least 2 are needed."
        )
    return problems


def _sharding_problems(recipe: Recipe, config: Config) -> list[str]:
    kind = config.get("distributed_type")
    stage = (config.get("deepspeed_config") or {}).get("zero_stage")
    sharding = "FSDP" if kind == "FSDP" else "ZeRO-3" if kind == "DEEPSPEED" and stage == 3 else None
    problems = []
    if sharding and recipe.policy.quantization != "none":
        bits = recipe.policy.quantization.removesuffix("bit")
        problems.append(
            f"policy.quantization: {sharding} cuts every parameter into one part per process, and bitsandbytes' "
            f"weights of {bits} bits cannot be cut: their scales belong to the whole. Use multi_gpu.yaml, where each "
            "process holds the model, or policy.quantization: none."
        )
    if sharding == "ZeRO-3" and recipe.lora is not None and recipe.policy.dtype != "float32":
        problems.append(
            f"policy.dtype: ZeRO-3 moves all parameters in one precision, so that the adapter could not stay in "
            f"float32 on a base in {recipe.policy.dtype}, and steps of {recipe.rl.learning_rate:g} would be lost. "
            "Use fsdp.yaml or zero2.yaml, or policy.dtype: float32."
        )
    if kind in ("FSDP", "DEEPSPEED") and config.get("use_cpu"):
        problems.append(f"accelerate: use_cpu with distributed_type {kind} would shard nothing; use a GPU or cpu.yaml.")
    if kind == "FSDP":
        fsdp = config.get("fsdp_config") or {}
        if fsdp.get("fsdp_version") != 2:
            problems.append(
                "accelerate: fsdp_config.fsdp_version must be 2: version 1 flattens the frozen base and the trained "
                "adapter into one parameter."
            )
        if fsdp.get("fsdp_state_dict_type") != "FULL_STATE_DICT":
            problems.append(
                "accelerate: fsdp_config.fsdp_state_dict_type must be FULL_STATE_DICT: an adapter in parts could not "
                "be loaded by PEFT."
            )
    return problems


def _precision_problems(recipe: Recipe, config: Config) -> list[str]:
    given = config.get("mixed_precision")
    if given in (None, "no", False):  # a bare no is YAML's false
        return []
    return [
        f"accelerate: mixed_precision {given} would override the recipe, whose policy.dtype is {recipe.policy.dtype}; "
        "set it to 'no': the recipe says how to compute."
    ]


def check_launch(recipe: Recipe, config: Config) -> None:
    """Raise one error with every reason why a recipe cannot be trained under an accelerate configuration.

    Raises:
        UserError: If there are any problems; the message has one per line.
    """
    problems = [*launch_problems(recipe, config), *full_training_problems(recipe), *missing_packages(config)]
    if problems:
        raise UserError("\n".join(problems))


KNOWN_CONFIGS = {"mistralai/Mistral-7B-v0.1": "MistralConfig"}
"""Hub id → transformers' class whose defaults are the model's sizes; used where the hub cannot be reached."""


def launch_line(recipe: str, extra: Sequence[str], accelerate_config: str) -> list[str]:
    """Return the words of the command that trains a recipe.

    Args:
        recipe: Path of the recipe.
        extra: Further words for `ex2.train`, such as overrides.
        accelerate_config: Path of the accelerate configuration file.
    """
    return ["accelerate", "launch", "--config_file", accelerate_config, "-m", "ex2.train", recipe, *extra]
