"""Datasets of the Hugging Face `datasets` library, from a folder or by their name on the hub."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
from PIL import Image

from reward.errors import EnvironmentFault, UserError, unknown_name
from reward.images import LabeledImage, decode, open_regular

_NETWORK: tuple[type[Exception], ...] = (OSError, huggingface_hub.utils.httpx.HTTPError)  # type: ignore[attr-defined]
"""Network failures: ConnectionError, and the HTTP client's exceptions (the hub library has it under several names)."""


@dataclass(frozen=True)
class StoredImage:
    """An image of a Hugging Face dataset; its bytes are fetched when they are needed."""

    label: int
    name: str
    row: int
    rows: Any = field(repr=False, compare=False)
    column: str = "image"

    def open(self) -> Image.Image:
        """Decode the image.

        Raises:
            UserError: If it is missing, truncated or no image.
        """
        return decode(io.BytesIO(self._content()), self.name, "remove the row from the dataset")

    def digest(self) -> str:
        """Return the SHA-256 of the stored bytes."""
        return hashlib.sha256(self._content()).hexdigest()

    def _content(self) -> bytes:
        stored = self.rows[self.row][self.column] or {}
        if stored.get("bytes"):
            return bytes(stored["bytes"])
        if not stored.get("path"):
            raise UserError(f"{self.name}: the row has no image; remove it from the dataset.")
        try:
            with open_regular(Path(stored["path"])) as file:
                return file.read()
        except OSError as error:
            raise UserError(f"{self.name}: {stored['path']} cannot be read ({error.strerror}).") from error


class HuggingFace:
    """A dataset of the `datasets` library. Give either `path` or `repo`.

    Args:
        path: Folder that `save_to_disk` wrote.
        repo: Name on the hub, such as `owner/name`; read from the local cache unless `download` is on.
        config: The dataset's configuration, if it has several.
        revision: Commit, tag or branch on the hub.
        image_column: Column of the images; default: the only column of images.
        label_column: Column of the labels; default: the only column of class labels.
        class_names: Names in label order, in place of the label column's own; needed if labels are bare numbers.
        download: Whether the hub may be asked for the dataset.

    Raises:
        UserError: If there is no such dataset, or its columns cannot be told.
        EnvironmentFault: If the dataset is not in the cache and the hub was not asked or does not answer.
    """

    def __init__(
        self,
        path: str | None = None,
        repo: str | None = None,
        config: str | None = None,
        revision: str | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
        class_names: Sequence[str] | None = None,
        download: bool = False,
    ) -> None:
        if (path is None) == (repo is None):
            raise UserError("dataset huggingface: give either path (a folder) or repo (a name on the hub).")
        self.where = str(path or repo)
        loaded = _from_disk(self.where) if path else _by_name(self.where, config, revision, download=download)
        by_split = dict(loaded) if isinstance(loaded, dict) else {str(loaded.split or "train"): loaded}
        features = next(iter(by_split.values())).features
        image = _column(features, datasets.Image, image_column, f"{self.where}: image_column")
        label = _column(features, datasets.ClassLabel, label_column, f"{self.where}: label_column")
        odd = [split for split, rows in by_split.items() if rows.features.get(label) != features[label]]
        if odd:
            raise UserError(
                f"{self.where}: the labels of split '{odd[0]}' are others than those of '{next(iter(by_split))}'."
            )
        self.splits = tuple(by_split)
        self._column = image
        self._rows = {split: rows.cast_column(image, datasets.Image(decode=False)) for split, rows in by_split.items()}
        values = {split: list(rows.select_columns([label])[label]) for split, rows in by_split.items()}
        self.class_names, self._labels = _numbered(values, features[label], class_names, f"{self.where}: {label}")

    def images(self, split: str) -> list[LabeledImage]:
        """Return a split's images, ordered by label, then by row; nothing is decoded."""
        labels = self._labels[split]
        rows = self._rows[split]
        return [
            StoredImage(labels[row], f"{self.where}: {split} row {row}", row, rows, self._column)
            for row in sorted(range(len(labels)), key=lambda row: (labels[row], row))
        ]


def _from_disk(path: str) -> Any:
    try:
        return datasets.load_from_disk(str(Path(path).expanduser()))
    except (OSError, ValueError) as error:
        raise UserError(
            f"dataset.path: '{path}' is no folder written by save_to_disk ({error}). For a name on the hub, give repo."
        ) from error


def _by_name(repo: str, config: str | None, revision: str | None, *, download: bool) -> Any:
    with contextlib.nullcontext() if download else _cache_only():
        try:
            return datasets.load_dataset(repo, config, revision=revision)
        except datasets.exceptions.DatasetNotFoundError as error:
            raise UserError(f"dataset.repo: '{repo}': {error}") from error
        except _NETWORK as error:
            remedy = "check the network" if download else "to ask the hub, set download: true (ex2 data … --download)"
            raise EnvironmentFault(
                f"dataset.repo: '{repo}' is not in the local cache and cannot be fetched; {remedy}. ({error})"
            ) from error
        except ValueError as error:  # an unknown configuration
            raise UserError(f"dataset.repo: '{repo}': {error}") from error


@contextlib.contextmanager
def _cache_only() -> Iterator[None]:
    """Keep `datasets` and `huggingface_hub` off the network inside the block.

    Their own switch does not serve: they read it from the environment once, on import.
    """
    places: tuple[Any, ...] = (datasets.config, huggingface_hub.constants)
    before = [place.HF_HUB_OFFLINE for place in places]
    try:
        for place in places:
            place.HF_HUB_OFFLINE = True
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = value


def _column(features: Any, kind: type, given: str | None, where: str) -> str:
    """Return the name of the column to read: the given one, or the only one of that kind."""
    if given is not None:
        if given not in features:
            raise UserError(unknown_name(where, given, features))
        return given
    found = [name for name, feature in features.items() if isinstance(feature, kind)]
    if len(found) != 1:
        state = (
            f"several columns of type {kind.__name__}: {', '.join(found)}" if found else f"no {kind.__name__} column"
        )
        raise UserError(f"{where}: {state}. Name one of: {', '.join(features)}.")
    return str(found[0])


def _numbered(
    values: dict[str, list[Any]], feature: Any, class_names: Sequence[str] | None, where: str
) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """Turn a label column into class names and label indices.

    Args:
        values: Split → the column's values.
        feature: The column's type in `datasets`.
        class_names: Names that the user gives, in label order, if any.
        where: The dataset, for messages.

    Returns:
        Class names, and split → each row's label.
    """
    flat = {value for labels in values.values() for value in labels}
    index: dict[Any, int]
    if all(isinstance(value, str) for value in flat):
        names = list(class_names) if class_names is not None else sorted(flat)
        index = {name: number for number, name in enumerate(names)}
    else:
        if class_names is None and not isinstance(feature, datasets.ClassLabel):
            raise UserError(f"{where}: labels are numbers without names; give class_names in label order.")
        names = list(class_names if class_names is not None else feature.names)
        index = {number: number for number in range(len(names))}
        if isinstance(feature, datasets.ClassLabel) and len(names) != len(feature.names):
            raise UserError(f"{where}: class_names has {len(names)} names for {len(feature.names)} classes.")
    stray = [(split, row) for split, labels in values.items() for row, value in enumerate(labels) if value not in index]
    if stray:
        (split, row), more = stray[0], f" ({len(stray)} rows in all)" if len(stray) > 1 else ""
        raise UserError(
            f"{where}: {split} row {row}: label {values[split][row]!r} has no class name{more}; there are {len(names)} "
            "names. Leave unlabelled splits out of the dataset."
        )
    shown = tuple(str(name).replace("_", " ") for name in names)
    return shown, {split: [index[value] for value in labels] for split, labels in values.items()}
