"""Where an open_clip model comes from: library tag, checkpoint file, local directory or hub repository.

Every hub file is fetched here, at a known commit, and handed to open_clip as a path, because open_clip itself always
takes the newest revision. Tokenizers are built from the architecture's own entry, never from its name.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import open_clip
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from open_clip.constants import HF_CONFIG_NAME, HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from reward import revisions
from reward.backends.common import one_line
from reward.errors import EnvironmentFault, UserError, unknown_name
from reward.strict_json import decode

SIMPLE_TOKENIZER = "simple"
"""open_clip's own byte-pair tokenizer, which comes with the library."""


@dataclass(frozen=True)
class Source:
    """Arguments for `open_clip.create_model`, and what is known of the model before it is built.

    Attributes:
        model: Name of an architecture, or `local-dir:PATH`.
        pretrained: A checkpoint file, or a tag for weights that do not come from the hub; `None` with `local-dir:`.
        preprocess: Values of mean, std, interpolation and resize_mode that the library or the checkpoint declares.
        text: Configuration of the text tower (open_clip's `text_cfg`).
        tokenizer_folder: Folder of the tokenizer, for a local directory that holds one.
        repository: Hub repository of the weights, if they are from one.
        commit: Commit of that repository.
    """

    model: str
    pretrained: str | None
    preprocess: Mapping[str, Any]
    text: Mapping[str, Any]
    tokenizer_folder: Path | None = None
    repository: str | None = None
    commit: str | None = None


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer, and where it comes from.

    Attributes:
        call: The tokenizer as open_clip builds it; called with texts.
        name: `simple` or the name of a Hugging Face tokenizer.
        cleaning: What is done to a text before it is tokenized: `lower`, `whitespace` or `canonicalize`.
        repository: Hub repository of the tokenizer, if it is from one.
        commit: Commit of that repository.
    """

    call: Any = field(repr=False)
    name: str
    cleaning: str
    repository: str | None = None
    commit: str | None = None


def find(model: str, pretrained: str | None, revision: str | None) -> Source:
    """Locate a model and fetch its files.

    Args:
        model: Architecture such as `ViT-B-32`, `hf-hub:ORG/REPO`, or `local-dir:PATH`.
        pretrained: A tag of open_clip's table, or a checkpoint file. Not given with `hf-hub:` or `local-dir:`.
        revision: Commit, branch or tag of the hub repository.

    Raises:
        UserError: For an unknown name or tag, or if the weights were trained with another activation than the
            architecture has.
        EnvironmentFault: If a file is not in the cache and cannot be downloaded.
    """
    if model.startswith(("local-dir:", "hf-hub:")) and pretrained is not None:
        raise UserError(f"vlm.pretrained: '{pretrained}' has no meaning with '{model}', which brings its own weights.")
    if model.startswith("local-dir:"):
        folder = Path(model.removeprefix("local-dir:"))
        return _from_folder(folder, tokenizer_folder=folder)
    if model.startswith("hf-hub:"):
        repository = model.removeprefix("hf-hub:")
        config = _fetch(repository, (HF_CONFIG_NAME,), revision)
        _fetch(repository, (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME), revision)
        return _from_folder(config.parent, repository=repository, commit=revisions.commit_of(config))
    if model not in open_clip.list_models():
        raise UserError(unknown_name("vlm.model", model, open_clip.list_models()))
    return _from_library(model, pretrained, revision)


def load_tokenizer(source: Source, context_length: int) -> Tokenizer:
    """Build the tokenizer that the architecture's config names, with its settings.

    Args:
        source: Where the model comes from.
        context_length: Most tokens of a text.

    Raises:
        EnvironmentFault: If the tokenizer is not in the cache and cannot be downloaded.
    """
    settings = dict(source.text.get("tokenizer_kwargs", {}))
    name = source.text.get("hf_tokenizer_name") or SIMPLE_TOKENIZER
    kind = SimpleTokenizer if name == SIMPLE_TOKENIZER else HFTokenizer
    cleaning = settings.get("clean", inspect.signature(kind).parameters["clean"].default)
    if kind is SimpleTokenizer:
        return Tokenizer(SimpleTokenizer(context_length=context_length, **settings), name, cleaning)
    settings |= {"context_length": context_length, "tokenizer_mode": source.text.get("tokenizer_mode")}
    if source.tokenizer_folder is not None:
        return Tokenizer(HFTokenizer(str(source.tokenizer_folder), **settings), name, cleaning)
    at = source.commit if name == source.repository else revisions.revision_to_load(name, None)
    try:
        call = HFTokenizer(name, revision=at, **settings)
    except OSError as error:
        raise _unavailable(name, None, error) from error
    return Tokenizer(call, name, cleaning, name, revisions.cached_commit(name, at))


def _from_folder(folder: Path, **known: Any) -> Source:
    path = folder / HF_CONFIG_NAME
    try:
        config = decode(path.read_bytes())
        return Source(
            f"local-dir:{folder}", None, config.get("preprocess_cfg", {}), config["model_cfg"]["text_cfg"], **known
        )
    except FileNotFoundError as error:
        raise UserError(f"vlm.model: no {HF_CONFIG_NAME} in '{folder}'.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not a model's configuration ({one_line(error)}); take the checkpoint's own."
        ) from error


def _from_library(model: str, pretrained: str | None, revision: str | None) -> Source:
    tags = open_clip.list_pretrained_tags_by_model(model)
    config = open_clip.get_model_config(model)
    if pretrained is None:
        raise UserError(f"vlm.pretrained: missing; tags of {model}: {', '.join(tags)}.")
    if pretrained not in tags:
        if not Path(pretrained).is_file():
            raise UserError(unknown_name("vlm.pretrained", pretrained, tags, hint="Or a file."))
        return Source(model, pretrained, {}, config["text_cfg"])
    entry = open_clip.get_pretrained_cfg(model, pretrained)
    if entry.get("quick_gelu", False) != config.get("quick_gelu", False):
        other = model.removesuffix("-quickgelu") if config.get("quick_gelu", False) else f"{model}-quickgelu"
        raise UserError(
            f"vlm.model: '{model}' has another activation than '{pretrained}' was trained with; give '{other}'."
        )
    if not entry.get("hf_hub"):
        return Source(model, pretrained, entry, config["text_cfg"])
    repository, _, name = entry["hf_hub"].rpartition("/")
    names = (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME) if not name else (Path(name).stem + ".safetensors", name)
    path = _fetch(repository, names, revision)
    return Source(model, str(path), entry, config["text_cfg"], repository=repository, commit=revisions.commit_of(path))


def _fetch(repository: str, names: tuple[str, ...], revision: str | None) -> Path:
    """Fetch the first of the named files that the repository has, from the cache or the hub; return its path."""
    at = revisions.revision_to_load(repository, revision)
    problem: Exception | None = None
    for name in names:
        try:
            return Path(hf_hub_download(repository, name, revision=at))
        except EntryNotFoundError as error:
            problem = error
        except OSError as error:
            raise _unavailable(repository, revision, error) from error
    assert problem is not None
    raise _unavailable(repository, revision, problem) from problem


def _unavailable(repository: str, revision: str | None, error: Exception) -> Exception:
    return revisions.explain_failure("vlm.model", repository, revision) or EnvironmentFault(
        f"vlm.model: '{repository}' is neither in the local cache nor could it be downloaded ({one_line(error)}); "
        "check the name and the network."
    )
