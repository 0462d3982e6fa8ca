"""Which of a class's retrieved images show it: what a captioner says of each must be near to the class's name.

Source: Li et al., GenBench (arXiv 2307.13697), section 3.3: captions by BLIP-2, kept from a similarity of 0.8.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from reward.components import Parts, build, settings_problems
from reward.errors import UserError, one_line, shortened
from reward.user_paths import expanded

if TYPE_CHECKING:
    from ex2.sets.references import Reference

AT_LEAST = 0.8
"""Similarity of caption and name from which an image is kept: GenBench, section 3.3."""

CAPTIONERS = Parts(
    {"column": "ex2.sets.captions:Column", "transformers": "ex2.sets.captions:Model"},
    kind="captioner",
    methods=("captions", "fingerprint"),
)
"""Name → `"module:class"`. A recipe may also give a dotted path."""


class Captioner(Protocol):
    """What says in words what images show."""

    def fingerprint(self) -> str:
        """Return a text that changes with whatever could change a caption."""
        ...

    def captions(self, images: Sequence[Reference]) -> list[str]:
        """Return a caption for each image; an empty one where there is none."""
        ...


class Column:
    """Captions that stand in a column of the pool, such as those that another program has made.

    Args:
        column: Name of the column.
    """

    def __init__(self, column: str) -> None:
        self.column = column

    def fingerprint(self) -> str:
        """Return the column's name; its content is the pool's."""
        return f"column {self.column}"

    def captions(self, images: Sequence[Reference]) -> list[str]:
        """Return what the pool's column says of each image."""
        return [image.told for image in images]


class Model:
    """An image-to-text model of transformers, such as BLIP-2.

    Args:
        model: A folder that `AutoModelForImageTextToText` loads, its weights as safetensors.
        prompt: Text that the caption goes on from; empty for a model that captions without one.
        max_new_tokens: Most tokens of a caption, which is decoded greedily.
        batch_size: Images at once.
        device: `auto` or a torch device.

    Raises:
        UserError: If there is no such folder, or a number is below 1; every problem at once.
    """

    def __init__(
        self, model: str, prompt: str = "", max_new_tokens: int = 30, batch_size: int = 8, device: str = "auto"
    ) -> None:
        where = "generator.inversion.filter.captioner"
        ranges = (("max_new_tokens", max_new_tokens), ("batch_size", batch_size))
        problems = [f"{where}.{key}: given {value}; at least 1 is needed." for key, value in ranges if value < 1]
        self.folder = expanded(model)
        if not os.path.isfile(self.folder / "config.json") or not [*self.folder.glob("*.safetensors")]:
            problems.append(
                f"{where}.model: no model in '{model}': a config.json and weights as *.safetensors are needed; give a "
                "folder with an image-to-text model."
            )
        if problems:
            raise UserError("\n".join(problems))
        self.prompt, self.max_new_tokens = prompt, max_new_tokens
        self.batch_size, self._device = batch_size, device
        self._parts: tuple[Any, Any] | None = None

    def check_machine(self) -> None:
        """Check that the device is there. Raises `UserError` that names those that are."""
        from reward.backends.common import pick_device

        pick_device(self._device, "generator.inversion.filter.captioner.device")

    def fingerprint(self) -> str:
        """Return a hash of the folder's files and of how captions are decoded."""
        from reward.file_digests import digests_of

        digests = {name: one.sha256 for name, one in digests_of(self.folder).items()}
        return f"{sorted(digests.items())} {self.prompt!r} {self.max_new_tokens}"

    def captions(self, images: Sequence[Reference]) -> list[str]:
        """Return the model's caption of each image, decoded greedily.

        Raises:
            UserError: If the model cannot be loaded, or an image cannot be read.
        """
        import torch

        from reward.preprocess import to_rgb

        model, processor = self._loaded()
        found: list[str] = []
        for start in range(0, len(images), self.batch_size):
            pictures = [to_rgb(image.image.open()) for image in images[start : start + self.batch_size]]
            given: dict[str, Any] = {"images": pictures, "return_tensors": "pt"}
            if self.prompt:
                given["text"] = [self.prompt] * len(pictures)
            inputs = processor(**given).to(model.device)
            with torch.inference_mode():
                ids = model.generate(**inputs, max_new_tokens=self.max_new_tokens, do_sample=False)
            texts = processor.batch_decode(ids, skip_special_tokens=True)
            found += [" ".join(text.split()) for text in texts]
        return found

    def _loaded(self) -> tuple[Any, Any]:
        if self._parts is None:
            import torch
            from transformers import AutoModelForImageTextToText, AutoProcessor

            from reward.backends.common import pick_device

            try:
                model: Any = AutoModelForImageTextToText.from_pretrained(
                    self.folder, dtype=torch.float32, use_safetensors=True
                )
                processor = AutoProcessor.from_pretrained(self.folder)  # type: ignore[no-untyped-call]
            except Exception as error:  # the loaders raise whatever a file's content leads to
                raise UserError(
                    f"generator.inversion.filter.captioner.model: '{self.folder.name}' cannot be loaded "
                    f"({shortened(one_line(error), 300)})."
                ) from error
            model.eval()
            self._parts = model.to(pick_device(self._device, "generator.inversion.filter.captioner.device")), processor
        return self._parts


def build_captioner(given: Mapping[str, Any], where: str) -> Captioner:
    """Build a captioner from its name and settings.

    Raises:
        UserError: For an unknown captioner or setting, or settings that do not fit.
    """
    settings = {str(key): value for key, value in given.items() if key != "name"}
    if not isinstance(given.get("name"), str):
        raise UserError(f"{where}.name: missing; available: {', '.join(CAPTIONERS)}.")
    captioner: Captioner = build(str(given["name"]), settings, CAPTIONERS, where)
    return captioner


def kept(similarities: Sequence[float], at_least: float = AT_LEAST) -> list[int]:
    """Return which images are kept: those whose caption is near enough to the class's name, in their order.

    Args:
        similarities: Cosine of each image's caption and the name; NaN where there is no caption.
        at_least: Least similarity.
    """
    return [place for place, similarity in enumerate(similarities) if similarity >= at_least]


class Filter:
    """Keeps the images that a captioner's words are near to the class's name.

    Args:
        captioner: Its name and settings: `column` (what the pool's list says) or `transformers` (a model).
        at_least: Least similarity of caption and name.
        encoder: What embeds both, as of the generator `retrieval`.

    Raises:
        UserError: If a setting does not fit; every problem at once.
    """

    def __init__(
        self, captioner: dict[str, Any], at_least: float = AT_LEAST, encoder: str | dict[str, Any] | None = None
    ) -> None:
        from ex2.sets.text_encoders import MINILM, encoder_settings, find_encoder

        where = "generator.inversion.filter"
        problems = [] if -1 <= at_least <= 1 else [f"{where}.at_least: given {at_least:g}; a cosine is in [-1, 1]."]
        try:
            self.captioner = build_captioner(captioner, f"{where}.captioner")
        except UserError as error:
            problems += str(error).splitlines()
        try:
            self.encoder = find_encoder(encoder or MINILM, f"{where}.encoder")
        except UserError as error:
            problems += str(error).splitlines()
        if problems:
            raise UserError("\n".join(problems))
        self.at_least = at_least
        self.settings = {"at_least": at_least, "encoder": encoder_settings(encoder or MINILM), "captioner": captioner}

    def fingerprint(self) -> str:
        """Return a text that changes with whatever could change which images are kept."""
        return f"{self.captioner.fingerprint()} {self.encoder.fingerprint()} {self.at_least}"

    def __call__(self, class_name: str, images: Sequence[Reference]) -> list[Reference]:
        """Return the images whose captions are near enough to a class's name; one without a caption is left out."""
        said = self.captioner.captions(images)
        told = [place for place, text in enumerate(said) if text.strip()]
        if not told:
            return []
        found = self.encoder.encode_texts([class_name, *(said[place] for place in told)]).embeddings.double()
        near = (found[1:] @ found[0]).tolist()
        return [images[told[place]] for place in kept(near, self.at_least)]


def column_of(given: Mapping[str, Any] | None) -> str | None:
    """Return the column of the pool that a filter's captioner reads; None if it reads none."""
    captioner = None if given is None else given.get("captioner")
    if not isinstance(captioner, Mapping) or captioner.get("name") != "column":
        return None
    column = captioner.get("column")
    return column if isinstance(column, str) else None


def read_filter(given: Mapping[str, Any], where: str) -> Filter:
    """Build a filter from a recipe's settings. Raises `UserError` as `Filter`, or for a setting that it has not."""
    problems = settings_problems(Filter, given, where)
    if problems:
        raise UserError("\n".join(problems))
    return Filter(**given)
