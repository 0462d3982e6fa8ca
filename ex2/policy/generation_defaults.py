"""How a checkpoint wants to be sampled, and why that is set aside.

Publishers store sampling settings beside their models, and `generate` takes each that the caller does not set: a
penalty for repetitions, a least length, beams. Training would then sample from another distribution than the one whose
log-probabilities it uses, and descriptions would depend on a file that the recipe does not name.
"""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedModel

from ex2.policy.source import ModelSource
from ex2.runtime import tell_once
from reward.errors import UserError
from reward.strict_json import JSONFault, decode

SPECIAL_TOKENS = ("bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id")
"""What a checkpoint alone can tell: which tokens begin, end and pad a text."""
_ABOUT_THE_FILE = ("_from_model_config", "transformers_version")


def check_stored_settings(path: str, source: ModelSource) -> None:
    """Check a folder's `generation_config.json`, if it has one.

    Without it a model's end tokens are those of its configuration and tokenizer, and transformers takes a file that it
    cannot read for one that is not there: a chat model then does not end its turn.

    Args:
        path: Folder of the model; a hub id, whose files come whole, is not looked at.
        source: Where the model comes from, for messages.

    Raises:
        UserError: If the file is no JSON object, or a special token in it is no number of a token.
    """
    file = Path(path) / "generation_config.json"
    if not Path(path).is_dir() or not file.is_file():
        return
    try:
        stored = decode(file.read_bytes())
    except JSONFault as fault:
        raise _damaged(source, file, f"line {fault.line}: {fault.reason}") from fault
    if not isinstance(stored, dict):
        raise _damaged(source, file, f"no JSON object but {type(stored).__name__}")
    for key in SPECIAL_TOKENS:
        value = stored.get(key)
        for token in value if isinstance(value, list) else [value]:
            if token is not None and type(token) is not int:
                raise _damaged(source, file, f"{key}: {reprlib.repr(value)} is no number of a token")


def _damaged(source: ModelSource, file: Path, what: str) -> UserError:
    return UserError(
        f"{source.named_in}.model: {file}: {what}. The tokens that end a text are read from there: fetch it again, or "
        "delete it if the model is to end where its configuration and tokenizer say."
    )


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
