"""Checks of the policy's model without its weights: adapter, attention kernel, chat template, positions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import torch
import transformers
from accelerate import init_empty_weights
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from ex2.checks.form import is_installed
from ex2.checks.launch import KNOWN_CONFIGS
from ex2.data.prompts import make_prompts
from ex2.policy.generation_defaults import check_stored_settings
from ex2.policy.loading import load_tokenizer, resolve_model
from ex2.policy.prompt_tokens import prompt_ids
from ex2.policy.source import ModelSource
from ex2.recipe import Lora, Prompts, Recipe
from reward.errors import EnvironmentFault, EX2Error, UserError, unknown_name

FLASH = {
    "flash_attention_2": "flash_attn",
    "flash_attention_3": "flash_attn_interface",
    "flash_attention_4": "flash_attn",
}
"""Attention kernels that want a package of their own, and a GPU."""
LONGEST_NAMES = 16
"""How many of the longest class names are made into prompts to find the longest one."""
_LINEAR = (torch.nn.Linear, Conv1D)
_ADAPTABLE = (*_LINEAR, torch.nn.Embedding, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
ALL_LINEAR = "all-linear"
"""PEFT's word for every linear layer."""


class EmptyModel(NamedTuple):
    """What is known of a model without its weights.

    Attributes:
        model: The model on no device, which takes no memory; None if it cannot be made.
        why: Why not.
    """

    model: Any
    why: str = ""


def empty_model(source: ModelSource, *, fetch: bool = True) -> EmptyModel:
    """Make a model without weights from its configuration.

    Args:
        source: The model.
        fetch: Whether a configuration that is not in the local cache may be fetched from the hub.

    Raises:
        UserError: If the folder holds no model, or the model cannot do with the attention that is asked for.
    """
    known = KNOWN_CONFIGS.get(source.model)
    path = resolve_model(source.model, source.named_in)
    if source.gguf_file and Path(path).is_dir() and not (Path(path) / source.gguf_file).is_file():
        raise UserError(f"{source.named_in}.gguf_file: no file '{source.gguf_file}' in '{source.model}'.")
    check_stored_settings(path, source)
    try:
        config = (
            getattr(transformers, known)()
            if known
            else AutoConfig.from_pretrained(
                path,
                revision=source.revision,
                trust_remote_code=source.trust_remote_code,
                local_files_only=not fetch,
                **({"gguf_file": source.gguf_file} if source.gguf_file else {}),
            )
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        if path == source.model and isinstance(error, OSError):
            return EmptyModel(None, f"{source.named_in}.model: {source.model} is not in the local cache")
        raise UserError(
            f"{source.named_in}.model: no configuration of a language model in '{source.model}' ({_first(error)})."
        ) from error
    kernel = {"attn_implementation": source.attn_implementation} if source.attn_implementation else {}
    try:
        with init_empty_weights():
            model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                config, trust_remote_code=source.trust_remote_code, **kernel
            )
        model.tie_weights()  # on no device, equal weights are one only now: they count once
        return EmptyModel(model)
    except (ValueError, ImportError) as error:
        if not kernel:
            return EmptyModel(None, f"{source.named_in}.model: its layers ({_first(error)})")
        raise UserError(
            f"{source.named_in}.attn_implementation: '{source.attn_implementation}' does not go with "
            f"'{source.model}' ({_first(error)}); leave it out, or take sdpa or eager."
        ) from error


def kernel_problems(source: ModelSource) -> tuple[list[str], list[str]]:
    """List what is wrong with an attention kernel's name, and what this machine lacks for it."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    name, where = source.attn_implementation, f"{source.named_in}.attn_implementation"
    if name is None:
        return [], []
    if "/" in name:  # a kernel from the hub
        needs = "kernels"
        return [], [] if is_installed(needs) else [f"{where}: '{name}' is fetched by a package; pip install {needs}"]
    known = ["eager", *(key for key in ALL_ATTENTION_FUNCTIONS.valid_keys() if "|" not in key)]
    if name not in known:
        return [unknown_name(where, name, known, hint="Or null, which leaves it to transformers.")], []
    package = FLASH.get(name)
    if package and not is_installed(package):
        return [], [f"{where}: '{name}' needs the package '{package}', which is not installed; or take sdpa."]
    return [], []


def target_problems(model: Any, lora: Lora) -> list[str]:
    """List target modules that a model does not have, and those of a kind that PEFT does not adapt.

    Args:
        model: The model, with weights or without.
        lora: The recipe's adapter.
    """
    where, targets = "lora.target_modules", lora.target_modules
    modules = {name: module for name, module in model.named_modules() if name}
    fitting = sorted({name.rpartition(".")[2] for name, module in modules.items() if isinstance(module, _LINEAR)})
    if isinstance(targets, str) and targets.lower() != ALL_LINEAR:
        try:
            re.compile(targets)
        except re.error as error:
            return [f"{where}: '{targets}' is no regular expression ({error})."]
    hint = "A text is a regular expression of whole names, or all-linear; a list has the ends of names."
    problems = [
        unknown_name(where, one, fitting, hint=hint)
        for one in ([targets] if isinstance(targets, str) else targets)
        if not _targeted(modules, one if isinstance(targets, str) else [one])
    ]
    others = {type(m).__name__: n for n, m in _targeted(modules, targets).items() if not isinstance(m, _ADAPTABLE)}
    return problems + [
        f"{where}: '{name}' is a {kind}, which PEFT cannot adapt; name linear layers, such as {', '.join(fitting)}."
        for kind, name in others.items()
    ]


def _targeted(modules: Mapping[str, Any], targets: Sequence[str] | str) -> dict[str, Any]:
    """Return the modules that PEFT takes: a text is a regular expression, entries of a list are ends of names."""
    if not isinstance(targets, str):
        return {n: m for n, m in modules.items() if any(n == one or n.endswith(f".{one}") for one in targets)}
    if targets.lower() == ALL_LINEAR:
        return {n: m for n, m in modules.items() if isinstance(m, _LINEAR) and n.rpartition(".")[2] != "lm_head"}
    return {n: m for n, m in modules.items() if re.fullmatch(targets, n)}


def adapter_size(model: Any, lora: Lora) -> int:
    """Return the number of an adapter's parameters: for each adapted layer, rank × (width in + width out).

    Args:
        model: The model, with weights or without.
        lora: The recipe's adapter.
    """
    found = _targeted({name: module for name, module in model.named_modules() if name}, lora.target_modules)
    weights = [module.weight for module in found.values() if isinstance(module, _ADAPTABLE)]
    return sum(lora.r * (weight.shape[0] + weight.numel() // weight.shape[0]) for weight in weights)


def length_problems(recipe: Recipe, positions: int | None, longest: int) -> list[str]:
    """List that descriptions would go beyond the model's positions.

    Args:
        recipe: The recipe.
        positions: Most tokens that the model tells apart by place; None if it has no such limit.
        longest: Tokens of the longest prompt; 0 if it is not known.
    """
    asked = recipe.generation.max_new_tokens
    if positions is None or longest + asked <= positions:
        return []
    prompt = f" after a prompt of up to {longest} tokens" if longest else ""
    allowed = positions - longest
    remedy = f"allowed is at most {allowed}" if allowed > 0 else "take a model with more positions"
    return [
        f"generation.max_new_tokens: {asked}{prompt} is more than the {positions} positions of "
        f"'{recipe.policy.model}'; {remedy}."
    ]


def tokenizer_of(source: ModelSource) -> PreTrainedTokenizerBase | None:
    """Return the tokenizer; None if it could only be had from the hub.

    Raises:
        UserError: As `load_tokenizer`.
    """
    try:
        return load_tokenizer(source)
    except EnvironmentFault:
        return None


def template_problems(tokenizer: Any, prompts: Prompts, model: str) -> list[str]:
    """List that a tokenizer has no chat template, or one that does not take a question."""
    if prompts.style != "chat":
        return []
    if not tokenizer.chat_template:
        return [
            f"prompts.style: chat needs a chat template, and the tokenizer of '{model}' has none; give prompts.style: "
            "plain, or a model that is tuned to chat."
        ]
    try:
        prompt_ids(tokenizer, make_prompts(["thing"], [0]), "chat")
    except (jinja2.TemplateError, ImportError, ValueError, TypeError, LookupError) as error:
        return [f"prompts.style: the chat template of '{model}' does not take one question ({_first(error)})."]
    return []


def longest_prompt(tokenizer: Any, class_names: Sequence[str], prompts: Prompts) -> int:
    """Return the tokens of the longest prompt, found among the classes with the longest names."""
    names = sorted(class_names, key=len)[-LONGEST_NAMES:]
    return max(len(ids) for ids in prompt_ids(tokenizer, make_prompts(names, prompts.questions), prompts.style))


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip(".")


class ModelSize(NamedTuple):
    """Numbers of parameters.

    Attributes:
        total: All of the model's.
        linear: Those that quantization makes smaller.
        trained: Those of the adapter, or of the whole model if it has none.
    """

    total: int
    linear: int
    trained: int = 0

    @classmethod
    def of(cls, model: Any) -> ModelSize:
        """Count a model's parameters; `trained` is left at 0."""
        linear = sum(
            m.weight.numel() for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and "lm_head" not in n
        )
        return cls(sum(parameter.numel() for parameter in model.parameters()), linear)


class PolicyFindings(NamedTuple):
    """What was found of a policy's model.

    Attributes:
        wrong: What is wrong with the recipe, wherever it is run.
        lacking: What this machine lacks for it.
        unchecked: What could not be checked, and why.
        size: Its size; None if it is not known.
    """

    wrong: list[str]
    lacking: list[str]
    unchecked: list[str]
    size: ModelSize | None


def policy_problems(recipe: Recipe, class_names: Sequence[str] | None) -> PolicyFindings:
    """Check the model that a recipe trains, without loading its weights and without asking a hub.

    Args:
        recipe: A recipe of valid form.
        class_names: Names of the dataset's classes; None if it could not be opened.
    """
    source = recipe.policy.source()
    wrong, lacking = kernel_problems(source)
    unchecked: list[str] = []
    if wrong or lacking:
        source = replace(source, attn_implementation=None)
    try:
        made = empty_model(source, fetch=False)
    except EX2Error as error:
        return PolicyFindings([*wrong, *str(error).splitlines()], lacking, unchecked, None)
    tokenizer = None
    local = resolve_model(source.model) != source.model or made.model is not None
    if local and source.model not in KNOWN_CONFIGS and not source.gguf_file:  # converting one takes up to minutes
        try:
            tokenizer = tokenizer_of(source)
        except EX2Error as error:
            wrong += str(error).splitlines()
    if tokenizer is None:
        unchecked.append(f"policy.model: the tokenizer of {source.model} (chat template, length of the prompts)")
    else:
        wrong += template_problems(tokenizer, recipe.prompts, source.model)
    if made.model is None:
        unchecked.append(f"{made.why} (LoRA targets, positions, memory)")
        return PolicyFindings(wrong, lacking, unchecked, None)
    known = tokenizer is not None and class_names is not None and not wrong
    longest = longest_prompt(tokenizer, class_names or [], recipe.prompts) if known else 0
    positions = getattr(made.model.config.get_text_config(), "max_position_embeddings", None)
    wrong += length_problems(recipe, positions, longest)
    size = ModelSize.of(made.model)
    if recipe.lora is None:
        return PolicyFindings(wrong, lacking, unchecked, size._replace(trained=size.total))
    unfit = target_problems(made.model, recipe.lora)
    trained = 0 if unfit else adapter_size(made.model, recipe.lora)
    return PolicyFindings([*wrong, *unfit], lacking, unchecked, size._replace(trained=trained))
