"""What a diffusion pipeline's folder holds, as far as its files tell: nothing here loads torch or diffusers."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward.errors import UserError, one_line, shortened, shown
from reward.file_digests import FileDigest
from reward.files import read_json
from reward.revisions import commit_of
from reward.user_paths import expanded

INDEX = "model_index.json"
"""File that makes a folder a pipeline: component → library and class."""
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
"""Endings of weights that run code when they are loaded; none of them is ever read."""
LIBRARIES = ("diffusers", "transformers")
"""Where components may come from; any other library is code of the pipeline's own, which is not run."""


@dataclass(frozen=True)
class PipelineFolder:
    """A pipeline's files.

    Attributes:
        path: The folder.
        variant: Which weights of it: `fp16` for `*.fp16.safetensors`; empty for those without a variant.
    """

    path: Path
    variant: str = ""

    @functools.cached_property
    def index(self) -> Mapping[str, Any]:
        """Content of `model_index.json`; empty if there is none that can be read."""
        with contextlib.suppress(UserError):
            found = read_json(self.path / INDEX)
            if isinstance(found, dict):
                return found
        return {}

    @property
    def class_name(self) -> str:
        """Name of the pipeline's class; empty if the index does not tell."""
        name = self.index.get("_class_name")
        return name if isinstance(name, str) else ""

    @functools.cached_property
    def components(self) -> dict[str, tuple[str, str]]:
        """Component → its library and class, without those that the pipeline does without."""
        listed = {
            name: value
            for name, value in self.index.items()
            if not name.startswith("_") and isinstance(value, list) and len(value) == 2
        }
        return {name: (str(value[0]), str(value[1])) for name, value in listed.items() if value[0] is not None}

    @property
    def safety_checker(self) -> str:
        """Whether images are looked at before they are given out: `present` or `absent`."""
        return "present" if "safety_checker" in self.components else "absent"

    def problems(self, where: str) -> list[str]:
        """Return a line for each reason why this is no pipeline that can be drawn with.

        Args:
            where: Key of the folder, for messages.
        """
        place = f"{where}: '{self.path.name}'"
        if not (self.path / INDEX).is_file():
            return [
                f"{place} is no pipeline: it has no {INDEX}; give a folder that diffusers has saved, or a hub id "
                "(org/name)."
            ]
        if not self.class_name or not self.components:
            return [f"{place} is no pipeline: its {INDEX} names no class or no components; fetch it again."]
        found = []
        for name, (library, class_name) in self.components.items():
            if library.partition(".")[0] not in LIBRARIES and library != "stable_diffusion":  # the old safety checker's
                found.append(
                    f"{place}: {name} is {class_name} of {shown(library)}, code of the pipeline's own, which is not "
                    f"run; components are of {' or '.join(LIBRARIES)}."
                )
                continue
            found += [f"{place}: {line}" for line in self._component_problems(name)]
        return found

    def weights(self, component: str) -> list[Path]:
        """Return a component's files of weights that are loaded; none for a component without weights."""
        return self._weights(self.path / component)

    def files(self) -> list[Path]:
        """Return all files that images depend on: the index, configurations, vocabularies, and weights."""
        found = [self.path / INDEX]
        for name in sorted(self.components):
            folder = self.path / name
            plain = [path for path in folder.glob("*") if path.is_file() and path.suffix in (".json", ".txt", ".model")]
            found += sorted(path for path in plain if ".index." not in path.name) + self._weights(folder)
        return found

    def digest(self) -> str:
        """Return a hash of all that images depend on; each file is read once by a process, unless it changes."""
        commit = commit_of(self.path / INDEX)
        if commit is not None:  # a commit of the hub names its content
            return f"{commit} {self.variant}".strip()
        state = hashlib.sha256()
        for path in self.files():
            state.update(f"{path.relative_to(self.path).as_posix()}\0{_digest(path)}\0".encode())
        return state.hexdigest()

    def side(self) -> int | None:
        """Return the side of the images that the pipeline draws unless it is told, in pixels; None if it is unknown."""
        with contextlib.suppress(UserError, KeyError, TypeError, ValueError):
            core = "unet" if "unet" in self.components else "transformer"
            sample = read_json(self.path / core / "config.json")["sample_size"]
            blocks = read_json(self.path / "vae" / "config.json")["block_out_channels"]
            return int(int(sample) << (len(blocks) - 1))
        return None

    def _component_problems(self, name: str) -> list[str]:
        folder = self.path / name
        if not folder.is_dir():
            return [f"its {INDEX} names {name}, and there is no such folder; fetch the pipeline again."]
        for path in sorted(folder.glob("*config.json")):
            try:
                read_config(path)
            except ValueError as error:
                return [f"{name}/{path.name}: {shortened(one_line(error), 200)}; fetch the pipeline again."]
        if not (folder / "config.json").is_file() or self._weights(folder):
            return []  # a tokenizer or scheduler has no weights
        others = sorted(path.name for path in folder.iterdir())
        if any(name.endswith(".safetensors") for name in others):
            has = "has" if self.variant else "has only those of a variant, and"
            what = f"of the variant '{self.variant}'" if self.variant else "without a variant"
            return [f"{name} {has} no weights {what} ({', '.join(others[:4])}); give the variant that is there."]
        pickles = [other for other in others if other.endswith(PICKLES)]
        if pickles:
            return [
                f"{name} has its weights only as {pickles[0]}, which can run code when it is loaded; save the pipeline "
                "as safetensors (save_pretrained does), or give one that has them."
            ]
        return [f"{name} has no weights (*.safetensors); fetch the pipeline again."]

    def _weights(self, folder: Path) -> list[Path]:
        found = []
        for path in sorted(folder.glob("*.safetensors")):
            # model.safetensors, model.fp16.safetensors, model-00001-of-00002.safetensors, model.fp16-00001-of-00002…
            middle = path.name.removesuffix(".safetensors").partition(".")[2].partition("-")[0]
            if middle == self.variant:
                found.append(path)
        return found


def read_config(path: Path) -> dict[str, Any]:
    """Read a component's configuration, which may have numbers that are infinite, as schedulers' do.

    Raises:
        ValueError: If it is no JSON, or no object.
    """
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise ValueError(f"cannot be read ({one_line(error)})") from error
    if not isinstance(found, dict):
        raise ValueError("holds no object")
    return found


def _digest(path: Path) -> str:
    found = path.stat()
    return _digest_of(path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


@functools.lru_cache(maxsize=4096)
def _digest_of(path: Path, state: tuple[int, ...]) -> str:
    return FileDigest.of(path).sha256


def find_pipeline(model: str, revision: str | None, variant: str | None, where: str) -> PipelineFolder:
    """Find a pipeline's files: a folder, or a repository of the hub as the local cache has it.

    A repository is not downloaded here: what is about to be checked must not take gigabytes.

    Args:
        model: Folder or hub id.
        revision: Commit, branch or tag of the repository; None for the one that was recorded, else the newest cached.
        variant: Of the weights.
        where: Key for messages.

    Raises:
        UserError: If it is not there.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    from reward.revisions import revision_to_load

    path = expanded(model)
    if os.path.isdir(path):
        return PipelineFolder(path, variant or "")
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise UserError(
            f"{where}: no folder {shown(model)}; give a folder with a diffusion pipeline, or a hub id (org/name)."
        )
    chosen = revision_to_load(model, revision)
    try:
        found = snapshot_download(model, revision=chosen, local_files_only=True)
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        settings = "use_safetensors=True" + "".join(
            f", {key}={json.dumps(value)}" for key, value in (("revision", chosen), ("variant", variant)) if value
        )
        raise UserError(
            f"{where}: '{model}' is not in the local cache of the hub; fetch it first: python -c 'from diffusers "
            f"import DiffusionPipeline; DiffusionPipeline.download({json.dumps(model)}, {settings})'"
        ) from error
    return PipelineFolder(Path(found), variant or "")
