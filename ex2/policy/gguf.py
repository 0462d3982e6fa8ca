"""Turns a GGUF file, the format of llama.cpp, into a model folder that transformers loads in a second.

Unpacking a GGUF file's quantised weights takes transformers seconds to minutes. Therefore it is done once, and the
result is kept as float32 safetensors in a cache folder named after a hash of the file's content.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from reward.errors import EnvironmentFault, UserError
from reward.files import usual_permissions, writing
from reward.temporaries import scratch_folder

_PROBE_TOKENS = 16


def convert_gguf(folder: Path, gguf_file: str, cache_dir: Path, named_in: str = "policy") -> Path:
    """Convert a GGUF file to a folder with safetensors and a tokenizer that pads on the left.

    Args:
        folder: Folder of the GGUF file.
        gguf_file: Name of the file in `folder`.
        cache_dir: Folder of converted models; made if absent. Safe to share between processes.
        named_in: The recipe's section that names the file, for messages.

    Returns:
        A folder for `from_pretrained`, whose name depends on the file's content and the version of transformers.

    Raises:
        UserError: If the file is missing, or is no GGUF file that transformers reads; or the package gguf is missing.
        EnvironmentFault: If the cache cannot be written, or the saved model computes something else.
    """
    source = folder / gguf_file
    if not source.is_file():
        found = ", ".join(sorted(path.name for path in folder.glob("*.gguf"))) or "none"
        raise UserError(f"{named_in}.gguf_file: no '{gguf_file}' in {folder}. GGUF files there: {found}.")
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = cache_dir / f"{source.stem}-{digest[:16]}-transformers-{transformers.__version__}"
    if target.is_dir():  # renamed into place, so complete
        return target
    model, tokenizer = _load(folder, gguf_file, named_in)
    with writing(target):
        cache_dir.mkdir(parents=True, exist_ok=True)
        with scratch_folder(target) as scratch:
            fresh = scratch / "model"
            model.save_pretrained(fresh)
            tokenizer.save_pretrained(fresh)
            _check_equal(model, fresh, source)
            usual_permissions(fresh)
            try:
                os.rename(fresh, target)
            except OSError:
                if not target.is_dir():  # else another process was first, with the same content
                    raise
    return target


def _load(folder: Path, gguf_file: str, named_in: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if importlib.util.find_spec("gguf") is None:
        raise UserError(f"{named_in}.gguf_file: reading GGUF files needs the package gguf; run: pip install gguf")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf_file, dtype=torch.float32)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{folder / gguf_file}: transformers cannot read this GGUF file ({reason}).") from error
    rows = model.config.get_text_config().vocab_size
    if len(tokenizer) > rows:  # transformers adds control tokens of its own that a file does not have
        raise UserError(
            f"{folder / gguf_file}: transformers reads a tokenizer of {len(tokenizer)} tokens for a model of {rows}."
        )
    # The weights are plain floats by now, but transformers 5 still holds the model for a quantized one and
    # refuses to save it. Remove when save_pretrained works right after a load with gguf_file.
    for name, value in (("hf_quantizer", None), ("is_quantized", False)):
        setattr(model, name, value)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model.train(False), tokenizer


@torch.inference_mode()
def _check_equal(model: PreTrainedModel, saved: Path, source: Path) -> None:
    """Raise an error unless the saved model computes the same logits as `model`, bit for bit."""
    reloaded = AutoModelForCausalLM.from_pretrained(saved, dtype=torch.float32).train(False)
    probe = torch.arange(_PROBE_TOKENS).remainder(model.config.get_text_config().vocab_size).unsqueeze(0)
    if not torch.equal(model(input_ids=probe).logits, reloaded(input_ids=probe).logits):
        raise EnvironmentFault(
            f"{source}: the converted model computes other logits than the file; "
            f"transformers {transformers.__version__} does not save this architecture faithfully."
        )
