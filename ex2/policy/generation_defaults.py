"""How a checkpoint wants to be sampled, and why that is set aside.

Publishers store sampling settings beside their models, and `generate` takes each that the caller does not set: a
penalty for repetitions, a least length, beams. Training would then sample from another distribution than the one whose
log-probabilities it uses, and descriptions would depend on a file that the recipe does not name.
"""

from __future__ import annotations

import reprlib
from typing import Any

from transformers import GenerationConfig, PreTrainedModel

from ex2.policy.source import ModelSource
from ex2.runtime import tell_once

SPECIAL_TOKENS = ("bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id")
"""What a checkpoint alone can tell: which tokens begin, end and pad a text."""
_ABOUT_THE_FILE = ("_from_model_config", "transformers_version")


def drop_generation_defaults(model: PreTrainedModel, source: ModelSource) -> None:
    """Leave of a model's stored generation settings only its special tokens, and say so once if there were others.

    Args:
        model: As loaded; its `generation_config` is replaced, and a `generate` that its repository brings is removed.
        source: Where it comes from.
    """
    stored = model.generation_config
    if stored is None:  # a model that cannot generate
        return
    own_generate = {"custom_generate": "generate.py"} if model.__dict__.pop("generate", None) is not None else {}
    tell_dropped(source, generation_defaults(stored) | own_generate)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        **{key: getattr(stored, key, None) for key in SPECIAL_TOKENS}
    )


def generation_defaults(stored: GenerationConfig) -> dict[str, Any]:
    """Return the settings of a stored configuration that differ from the library's own, without special tokens."""
    neutral = stored._get_default_generation_params()
    return {
        key: value
        for key, value in sorted(stored.to_dict().items())
        if key not in (*SPECIAL_TOKENS, *_ABOUT_THE_FILE) and value is not None and value != neutral.get(key, False)
    }


def tell_dropped(source: ModelSource, settings: dict[str, Any]) -> None:
    """Say on stderr, once and by the main process only, which stored settings of a model are not used."""
    if settings:
        said = ", ".join(f"{key}={reprlib.repr(value)}" for key, value in settings.items())
        tell_once(
            f"note: {source.named_in}.model: '{source.model}' is stored with generation settings that are not used: "
            f"{said}. The recipe says how to sample; only the model's end, pad and begin tokens are taken from there."
        )
