"""The plan of a training run, made without loading weights: what `ex2 train RECIPE --dry-run` shows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ex2.checks.drawing import drawing_lines
from ex2.checks.launch import config_of_environment, launch_line, launch_problems
from ex2.checks.machine import BYTES, GIB, policy_memory
from ex2.checks.policy import ModelSize, adapter_size, empty_model
from ex2.recipe import Recipe
from ex2.recipe_io import to_yaml
from ex2.run.directory import RunDirectory
from reward.errors import EX2Error


def plan(recipe: Recipe, path: str, overrides: Sequence[str] = (), lacking: Sequence[str] = ()) -> str:
    """Describe a run: launch line, resolved recipe, steps, β's reach, memory, and what this machine still lacks.

    Args:
        recipe: The resolved recipe.
        path: The recipe's file.
        overrides: Words `section.key=value` of the command line.
        lacking: What `ex2.checks.validate.examine` found this machine to lack.

    Returns:
        The description, of several lines.
    """
    from ex2.training.arguments import batches_line, kl_lines

    config = "single_gpu" if recipe.policy.quantization != "none" or recipe.policy.dtype != "float32" else "cpu"
    lines = [
        to_yaml(recipe),
        f"launch:  {' '.join(launch_line(path, overrides, f'accelerate_configs/{config}.yaml'))}",
        f"run:     {RunDirectory.of(recipe).root}, seeds {', '.join(map(str, recipe.seeds))}",
        f"steps:   {batches_line(recipe)}",
    ]
    lines += [f"KL:      {line}" for line in kl_lines(recipe)]
    lines += [f"memory:  {line}" for line in memory_lines(recipe)]
    lines += [f"drawing: {line}" for line in _drawing(recipe)]
    lines += [f"problem: {problem}" for problem in launch_problems(recipe, config_of_environment(os.environ))]
    lines += [f"missing: {line}" for line in lacking]
    return "\n".join(lines)


def _drawing(recipe: Recipe) -> list[str]:
    try:
        return drawing_lines(recipe)
    except EX2Error:  # what is wrong with it stands among the problems
        return []


def memory_lines(recipe: Recipe) -> list[str]:
    """Estimate the memory that the policy takes in one process, as lines that show each part and the sum."""
    try:
        model = empty_model(recipe.policy.source()).model
    except EX2Error:  # what is wrong with it stands among the problems
        model = None
    if model is None:
        return [f"unknown: the configuration of {recipe.policy.model} is not in the local cache"]
    size = ModelSize.of(model)
    trained = size.total if recipe.lora is None else adapter_size(model, recipe.lora)
    base, training = policy_memory(recipe, size.total, size.linear, trained)
    activations = _activation_bytes(model.config, recipe)
    return [
        f"{'base model' if recipe.lora else 'reference model'} {size.total / 1e9:.2f} B parameters, "
        f"{recipe.policy.quantization} ({recipe.policy.dtype}): {base / GIB:.1f} GiB",
        f"{'adapter' if recipe.lora else 'trained model'} {trained / 1e6:.1f} M parameters with Adam, float32: "
        f"{training / GIB:.2f} GiB",
        f"activations of a minibatch, about: {activations / GIB:.1f} GiB",
        f"together about {(base + training + activations) / GIB:.0f} GiB a process, the VLM and CUDA's own not counted",
    ]


def _activation_bytes(config: Any, recipe: Recipe) -> float:
    """Return the estimated bytes of activations in one forward and backward pass.

    Per token and layer, 16-bit activations take about 34 bytes × hidden size (arXiv 2205.05198, eq. 1), 32-bit ones
    twice as much.
    """
    text = config.get_text_config()
    samples = recipe.rl.micro_batch_size or recipe.rl.minibatch_size
    tokens = samples * (32 + recipe.generation.max_new_tokens)  # the paper's prompts have up to about 32 tokens
    layers = 1 if recipe.policy.gradient_checkpointing else text.num_hidden_layers
    width = BYTES[recipe.policy.dtype] / 2
    return float(34 * width * tokens * text.hidden_size * layers + tokens * text.vocab_size * 4)
