"""An adapter merged into its base model, and the check that an exported policy computes what the trained one does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedTokenizerBase

from ex2.policy.loading import load_model, load_tokenizer
from ex2.policy.source import Dtype, ModelSource
from reward.errors import EnvironmentFault
from reward.files import writing

BOUNDS: dict[Dtype, float] = {"float32": 1e-4, "float16": 0.03, "bfloat16": 0.2}
"""Largest difference of logits that counts as rounding, as a share of their spread: root mean square of the difference
over the standard deviation. Merges of random models of 2 to 24 layers measured up to 5e-6, 0.007 and 0.06. A merge that
goes wrong is off by as much as the adapter does, which is of the order of 1."""
PROBES = (
    "Describe what a cat looks like, in one sentence.",
    "The petals are broad, white and slightly ruffled; the center is yellow.",
    "wings 12 cm, striped: black/brown!",
)
_SPREAD = 64  # tokens, spread over the vocabulary, so that rows of the embeddings are looked at that no probe has


def merge_adapter(base: ModelSource, adapter: Path, folder: Path) -> None:
    """Write base plus adapter as one model with its tokenizer, on the CPU and not quantized.

    If the adapter changes input or output embeddings that share one weight, each has its own in the copy. Of stored
    generation settings the copy has only the special tokens: it is sampled as it was trained.

    Args:
        base: The model that the adapter was trained on; its `dtype` is that of the copy.
        adapter: Folder of the adapter.
        folder: Where the model goes.

    Raises:
        EnvironmentFault: If the copy computes other logits than base and adapter do.
    """
    tokenizer, model = load_tokenizer(base), _policy(base, adapter)
    expected = probe_logits(model, tokenizer)
    untie(model)
    with writing(folder):
        model.merge_and_unload().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    del model
    _check(base, expected, probe_logits(_policy(base, folder), tokenizer), adapter, "The merged model")


def check_copy(base: ModelSource, trained: Path, copy: Path) -> None:
    """Raise an error unless a copied adapter or whole model computes what the trained one does.

    Args:
        base: The model that was trained.
        trained: Folder of the adapter or the whole model.
        copy: Folder of its copy.

    Raises:
        EnvironmentFault: If it does not.
    """
    tokenizer = load_tokenizer(base)
    expected, found = (probe_logits(_policy(base, folder), tokenizer) for folder in (trained, copy))
    _check(base, expected, found, trained, "The copy")


def untie(model: PeftModel) -> None:
    """Give input and output embeddings a weight each, if they share one and the adapter changes either.

    A merge would else add to both what the adapter has for one of them.
    """
    language_model: Any = model.get_base_model()
    ends = language_model.get_input_embeddings(), language_model.get_output_embeddings()
    if not any(isinstance(layer, BaseTunerLayer) for layer in ends):
        return
    read, written = (layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer for layer in ends)
    if read is None or written is None or read.weight is not written.weight:
        return
    written.weight = torch.nn.Parameter(written.weight.detach().clone(), requires_grad=False)
    for config in {id(c): c for c in (language_model.config, language_model.config.get_text_config())}.values():
        config.tie_word_embeddings = False
    language_model.all_tied_weights_keys = {}  # else saving leaves one of them out


@torch.inference_mode()
def probe_logits(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[torch.Tensor]:
    """Return a model's logits for a few texts and for tokens from all over the vocabulary, each of shape (T, V)."""
    rows = model.config.get_text_config().vocab_size
    texts: Sequence[Sequence[int]] = tokenizer(list(PROBES))["input_ids"]
    spread = torch.linspace(0, rows - 1, min(_SPREAD, rows)).long().tolist()
    return [
        model(input_ids=torch.tensor([list(ids)], device=model.device)).logits[0].float() for ids in (*texts, spread)
    ]


def difference(expected: Sequence[torch.Tensor], found: Sequence[torch.Tensor]) -> float:
    """Return the largest difference between logits over probes, in the unit of `BOUNDS`; NaN where either has one."""
    shares = [
        float((own - other).square().mean().sqrt() / own.std().clamp(min=torch.finfo(torch.float32).tiny))
        for own, other in zip(expected, found, strict=True)
    ]
    return max(shares, key=lambda share: float("inf") if share != share else share)


def _policy(base: ModelSource, folder: Path) -> Any:
    """Load a trained policy on the CPU, not quantized: base and adapter, or a whole model."""
    adapted = (folder / "adapter_config.json").is_file()
    own = base if adapted else replace(base, model=str(folder.absolute()), revision=None, gguf_file=None)
    model: Any = load_model(replace(own, quantization="none"), torch.device("cpu"))
    return (PeftModel.from_pretrained(model, str(folder)) if adapted else model).eval()


def _check(
    base: ModelSource, expected: Sequence[torch.Tensor], found: Sequence[torch.Tensor], trained: Path, what: str
) -> None:
    bound, off = BOUNDS[base.dtype], difference(expected, found)
    if not off <= bound:
        raise EnvironmentFault(
            f"{trained}: {what[0].lower()}{what[1:]} computes other logits than what was trained: they differ by "
            f"{off:.2g} of their spread, and {bound:g} is allowed in {base.dtype}. Nothing is kept. Use the adapter "
            "as it is (export without --merge, describe.vllm_adapter=lora), or look for a damaged file."
        )
