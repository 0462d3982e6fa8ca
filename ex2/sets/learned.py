"""Learned embeddings of classes: found in a folder, or learned before drawing and kept in the cache.

A class's embedding stands in `<class>.safetensors`, as diffusers' `load_textual_inversion` takes it: one tensor under
the name of its token. A kill leaves the embeddings of the classes before it; that of its own class is learned again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ex2.data.datasets.set_records import folder_names
from ex2.runtime import tell_once
from ex2.sets.captions import Filter, column_of, read_filter
from ex2.sets.generators.pipeline_folder import PICKLES
from ex2.sets.references import Reference, References, read_references
from ex2.sets.strategies.base import seeded, template_problems
from reward.cache import cache_dir
from reward.components import settings_problems
from reward.errors import UserError, one_line, shown
from reward.file_digests import FileDigest
from reward.files import append_jsonl, bank_file
from reward.records import Record

SMALLEST = 32
"""Pixels of the shorter side below which GenBench (appendix 11) found that classes cannot be learned."""
LOG = "learned.jsonl"
VERSION = 1
"""Of how embeddings are learned: to be raised with every change of it."""
LEARNING_SIDE = 512
"""Width and height at which images are seen by a pipeline that does not tell its own."""


@dataclass(frozen=True, kw_only=True)
class LearnedRow(Record):
    """How a class's embedding was learned: a line of `learned.jsonl`.

    Attributes:
        class_name: The class.
        token: What stands in prompts for it.
        initial: Word whose embedding learning began with.
        images: SHA-256 of each image that it was learned from.
        steps: Steps of learning.
        first_loss: Mean loss of the first tenth of the steps.
        last_loss: Mean loss of the last tenth.
        seconds: Time that it took.
    """

    class_name: str
    token: str
    initial: str
    images: tuple[str, ...]
    steps: int
    first_loss: float
    last_loss: float
    seconds: float


class Embeddings:
    """Embeddings of classes in a folder.

    Args:
        files: Stem of a file, which is the class's folder name → the file.
        tokens: Stem → the token that stands in prompts.
        where: Key for messages.
    """

    def __init__(self, files: Mapping[str, Path], tokens: Mapping[str, str], where: str) -> None:
        self.files, self.tokens, self.where = files, tokens, where
        self.settings: Any = {"embeddings": len(files)}

    def digest(self) -> str:
        """Return a hash of all embeddings with the classes that they are of."""
        found = {stem: FileDigest.of(path).sha256 for stem, path in self.files.items()}
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()

    def problems(self, class_names: Sequence[str]) -> list[str]:
        """Return a line for each class without an embedding."""
        return [
            f"{self.where}: class '{name}' has no embedding: there is no {_stem(name)}.safetensors; learn it, or leave "
            "the class out."
            for name in class_names
            if _stem(name) not in self.files
        ]

    def token(self, class_name: str) -> str:
        """Return what stands in prompts for a class."""
        return self.tokens[_stem(class_name)]

    def file(self, class_name: str) -> Path:
        """Return the file of a class's embedding."""
        return self.files[_stem(class_name)]


def find_embeddings(folder: Path, where: str) -> Embeddings:
    """Find the embeddings in a folder.

    Raises:
        UserError: If there is no such folder, it has no embeddings, or a file is none of one vector of finite numbers,
            has a blank token, or two have one token; a line for each.
    """
    if not os.path.isdir(folder):
        raise UserError(f"{where}: no folder '{folder}'; give the folder of learned embeddings, one file a class.")
    files = {path.stem: path for path in sorted(folder.glob("*.safetensors"))}
    if not files:
        pickles = [path.name for path in sorted(folder.iterdir()) if path.suffix in PICKLES]
        found = f"only {pickles[0]}, which can run code when it is loaded" if pickles else "none"
        raise UserError(f"{where}: {found} in '{folder}'; embeddings are <class>.safetensors, one file a class.")
    tokens: dict[str, str] = {}
    problems = []
    for stem, path in files.items():
        try:
            with safe_open(path, framework="pt") as tensors:
                keys = [*tensors.keys()]
                shapes = [tensors.get_slice(key).get_shape() for key in keys]
                vector = tensors.get_tensor(keys[0]) if len(keys) == 1 else None
        except (SafetensorError, OSError) as error:
            problems.append(f"{where}: {path}: no safetensors file ({one_line(error)}).")
            continue
        if vector is None or not (len(shapes[0]) == 1 or (len(shapes[0]) == 2 and shapes[0][0] == 1)):
            problems.append(
                f"{where}: {path}: holds {len(keys)} tensors of shape {', '.join(map(str, shapes))}; an embedding is "
                "one vector under the name of its token."
            )
            continue
        if not keys[0].strip():
            problems.append(f"{where}: {path}: its token {shown(keys[0])} is blank; give it one such as <{stem}>.")
        if not vector.is_floating_point():
            kind = str(vector.dtype).removeprefix("torch.")
            problems.append(f"{where}: {path}: its vector is of {kind}; an embedding is of floating-point numbers.")
        elif not vector.float().isfinite().all():
            problems.append(f"{where}: {path}: its vector has NaN or infinite numbers; learn it again.")
        if keys[0] in tokens.values():
            problems.append(f"{where}: {path}: its token {shown(keys[0])} is another file's too; give each its own.")
        tokens[stem] = keys[0]
    if problems:
        raise UserError("\n".join(problems))
    return Embeddings(files, tokens, where)


class Learning:
    """How embeddings are learned, one a class, before anything is drawn.

    Args:
        images: What they are learned from: `dataset` with `split`, or `folder`, and `per_class` (GenBench: 5); or
            `pool` and the generator `retrieval`'s other settings, and `per_class` (100).
        filter: Which of the images are kept, see `ex2.sets.captions.Filter`; default: all.
        steps: Steps for each class (GenBench: 1,000).
        batch: Images of a step.
        rate: Learning rate. Default: 0.0005 for each image of a step, as in diffusers' own example.
        initial: Word whose embedding learning begins with for a class whose name is not one token.
        templates: Texts with a `{}` for the token.
        label: What stands before the class's name in its token, such as the dataset's name: `<|label class|>`.
        seed: Of noise, images and templates.

    Raises:
        UserError: If a setting is out of range, or the images are not there; every problem at once.
    """

    def __init__(
        self,
        images: dict[str, Any],
        filter: dict[str, Any] | None = None,
        steps: int = 1000,
        batch: int = 4,
        rate: float = 2e-3,
        initial: str = "object",
        templates: list[str] | None = None,
        label: str = "ex2",
        seed: int = 0,
    ) -> None:
        where = "generator.inversion"
        self.templates = tuple(templates or ("a photo of a {}",))
        problems = template_problems(self.templates, f"{where}.templates")
        for name, value in (("steps", steps), ("batch", batch)):
            if value < 1:
                problems.append(f"{where}.{name}: given {value}; at least 1 is needed.")
        if not 0 < rate <= 1:
            problems.append(f"{where}.rate: given {rate:g}; above 0 and up to 1 is allowed.")
        if not label.strip() or not initial.strip():
            problems.append(f"{where}: label and initial are words; one of them is empty.")
        self.filter: Filter | None = None
        self.images: References | None = None
        try:
            self.filter = None if filter is None else read_filter(filter, f"{where}.filter")
        except UserError as error:
            problems += str(error).splitlines()
        try:
            self.images = read_references(images, f"{where}.images", column_of(filter))
        except UserError as error:
            problems += str(error).splitlines()
        if problems or self.images is None:
            raise UserError("\n".join(problems))
        self.steps, self.batch, self.rate, self.initial = steps, batch, rate, initial
        self.label, self.seed, self.where = label, seed, where
        self.settings: Any = {
            "images": dict(self.images.settings),
            "filter": None if self.filter is None else self.filter.settings,
            "steps": steps,
            "batch": batch,
            "rate": rate,
            "initial": initial,
            "templates": list(self.templates),
            "label": label,
            "seed": seed,
        }

    def digest(self) -> str:
        """Return a hash of the images, of what filters them and of how embeddings are learned."""
        assert self.images is not None
        found = [
            VERSION,
            self.settings,
            self.images.digest(),
            "" if self.filter is None else self.filter.fingerprint(),
        ]
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()

    def problems(self, class_names: Sequence[str]) -> list[str]:
        """Return a line for each class that has no image to learn from."""
        assert self.images is not None
        return self.images.problems(class_names)

    def token(self, class_name: str) -> str:
        """Return what stands in prompts for a class."""
        return f"<|{self.label} {class_name}|>"

    def learned(self, pipeline: Any, class_names: Sequence[str], side: int, key: str) -> Embeddings:
        """Return the embeddings of classes, after learning those that are not in the cache, with the time left shown.

        Args:
            pipeline: The pipeline that they are learned with; it is the same afterwards.
            class_names: The classes.
            side: Width and height at which images are seen.
            key: Hash of the pipeline.

        Raises:
            UserError: If nothing can be learned with this pipeline, or a class has no image left.
            EnvironmentFault: If an embedding cannot be written; those before it stay.
        """
        words = json.dumps([key, side, str(pipeline.unet.dtype), self.digest()])
        folder = cache_dir() / "inversions" / hashlib.sha256(words.encode()).hexdigest()[:32]
        files = {_stem(name): folder / f"{_stem(name)}.safetensors" for name in class_names}
        left = [name for name in class_names if not self._is_there(files[_stem(name)], name)]
        if left:
            self._learn(pipeline, left, side, folder)
        tokens = {_stem(name): self.token(name) for name in class_names}
        return Embeddings(files, tokens, self.where)

    def _is_there(self, path: Path, class_name: str) -> bool:
        from reward.sealed import read_sealed

        return path.is_file() and read_sealed(path, (self.token(class_name),)) is not None

    def _learn(self, pipeline: Any, class_names: Sequence[str], side: int, folder: Path) -> None:
        from tqdm import tqdm

        from ex2.sets.inversion import missing_components

        lacking = missing_components(pipeline)
        if lacking:
            raise UserError(
                f"{self.where}: embeddings are learned with a pipeline of one text encoder, a UNet and a VAE; "
                f"{type(pipeline).__name__} has no {', '.join(lacking)}; leave inversion out."
            )
        chosen = self._chosen(class_names)
        with tqdm(total=len(class_names) * self.steps, unit="step", dynamic_ncols=True) as bar:
            for number, (name, images) in enumerate(chosen.items(), start=1):
                bar.set_description(f"learn '{name}' ({number} of {len(chosen)})")
                self._learn_one(pipeline, name, images, side, folder, bar)
        tell_once(f"embeddings of {len(chosen)} classes: {folder}")

    def _chosen(self, class_names: Sequence[str]) -> dict[str, list[Reference]]:
        """Return each class's images after the filter; every class without one is named at once."""
        assert self.images is not None
        chosen, empty, small = {}, [], 0
        for name in class_names:
            images = self.images.of_class(name)
            chosen[name] = images if self.filter is None else self.filter(name, images)
            if not chosen[name]:
                why = f"none of its {len(images)} images is kept by the filter" if images else "it has no image"
                empty.append(f"{self.where}: class '{name}': {why}; lower filter.at_least, or give other images.")
            small += sum(min(one.image.open().size) < SMALLEST for one in chosen[name])
        if empty:
            raise UserError("\n".join(empty))
        total = sum(map(len, chosen.values()))
        if small:
            tell_once(
                f"careful: {small} of {total} images to learn from have a side below {SMALLEST} pixels, with which "
                "GenBench's embeddings failed (arXiv 2307.13697, appendix); give larger ones."
            )
        return chosen

    def _learn_one(
        self, pipeline: Any, name: str, images: Sequence[Reference], side: int, folder: Path, bar: Any
    ) -> None:
        from safetensors.torch import save_file

        from ex2.sets.inversion import Training, initial_embedding, learn_embedding
        from reward.sealed import UNSEALED

        begun = time.perf_counter()
        word, initial = initial_embedding(pipeline, [name, self.initial])
        seed = int.from_bytes(seeded(self.seed, "inversion", name)[:8], "big") >> 1
        training = Training(self.steps, self.batch, self.rate, self.templates, side, seed)
        pictures = [one.image.open() for one in images]
        found = learn_embedding(pipeline, pictures, initial, training, lambda loss: bar.update() and None)
        tenth = max(1, self.steps // 10)
        row = LearnedRow(
            class_name=name,
            token=self.token(name),
            initial=word,
            images=tuple(one.image.digest() for one in images),
            steps=self.steps,
            first_loss=float(found.losses[:tenth].mean()),
            last_loss=float(found.losses[-tenth:].mean()),
            seconds=time.perf_counter() - begun,
        )
        with bank_file(folder / f"{_stem(name)}.safetensors") as temporary:
            save_file({self.token(name): found.embedding.contiguous()}, temporary, UNSEALED)
        append_jsonl(folder / LOG, [row.to_json()])


def read_learning(given: Mapping[str, Any], where: str, *, dtype: str) -> Learning:
    """Return how embeddings are learned.

    Raises:
        UserError: As `Learning`, for a setting that it has not, or a precision in which gradients vanish.
    """
    problems = settings_problems(Learning, given, where)
    if dtype == "float16":
        problems.append(f"{where}: gradients vanish in float16; give generator.dtype: bfloat16 or float32.")
    if problems:
        raise UserError("\n".join(problems))
    return Learning(**given)


def _stem(class_name: str) -> str:
    return folder_names((class_name,))[0]
