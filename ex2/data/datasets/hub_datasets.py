"""Datasets of the Hugging Face `datasets` library, from a folder or by their name on the hub."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
from PIL import Image

from ex2.data.datasets.naming import ClassNames, by_plain_label, given_by_label, name_classes, plain_label, shown_name
from reward.errors import EnvironmentFault, UserError, unknown_name
from reward.images import LabeledImage, decode, open_regular

_NETWORK: tuple[type[Exception], ...] = (OSError, huggingface_hub.utils.httpx.HTTPError)  # type: ignore[attr-defined]
"""Network failures: ConnectionError, and the HTTP client's exceptions (the hub library has it under several names)."""

_LABELS = re.compile(r"bool|u?int\d+|float\d+|(large_)?string(_view)?")
"""Types of values that can be labels."""

_IMAGES = re.compile(r"(large_)?(string|binary)")
"""Types of values that `datasets` turns into images: paths and files' contents."""


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
        class_names: Names in label order, or label → name, in place of the label column's own; needed if labels are
            numbers, and by label if they are truth values or classes named by numbers in another order.
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
        class_names: ClassNames | None = None,
        download: bool = False,
    ) -> None:
        if (path is None) == (repo is None):
            raise UserError("dataset huggingface: give either path (a folder) or repo (a name on the hub).")
        self.where = str(path or repo)
        loaded = _from_disk(self.where) if path else _by_name(self.where, config, revision, download=download)
        by_split = dict(loaded) if isinstance(loaded, dict) else {str(loaded.split or "train"): loaded}
        if not by_split:
            raise UserError(f"{self.where}: the dataset has no splits.")
        features = next(iter(by_split.values())).features
        image = _column(features, datasets.Image, image_column, f"{self.where}: image_column")
        label = _column(features, datasets.ClassLabel, label_column, f"{self.where}: label_column")
        _check_columns(by_split, image, label, self.where)
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
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:  # an empty or damaged one, too
        raise UserError(
            f"dataset.path: '{path}' is no folder written by save_to_disk ({str(error)[:300]}). For a name on "
            "the hub, give repo."
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


def _check_columns(by_split: Mapping[str, Any], image: str, label: str, where: str) -> None:
    """Refuse columns of types that hold no images or labels, and splits whose labels are others.

    Raises:
        UserError: With one line for each problem.
    """
    features = next(iter(by_split.values())).features
    problems = []
    if image == label:
        problems.append(f"{where}: image_column and label_column are both '{image}'; give two columns.")
    if not isinstance(features[label], datasets.ClassLabel) and not (
        isinstance(features[label], datasets.Value) and _LABELS.match(features[label].dtype)
    ):
        problems.append(f"{where}: label_column: '{label}' is of type {features[label]}; labels are names or numbers.")
    stored = features[image]
    if not isinstance(stored, datasets.Image) and not _IMAGES.match(str(getattr(stored, "dtype", ""))):
        problems.append(f"{where}: image_column: '{image}' is of type {str(stored)[:200]}; it holds no images.")
    odd = [split for split, rows in by_split.items() if rows.features.get(label) != features[label]]
    if odd:
        problems.append(f"{where}: the labels of split '{odd[0]}' are others than those of '{next(iter(by_split))}'.")
    lacking = [split for split, rows in by_split.items() if image not in rows.features]
    if lacking:
        problems.append(f"{where}: split '{lacking[0]}' has no column '{image}'.")
    if problems:
        raise UserError("\n".join(problems))


def _numbered(
    values: dict[str, list[Any]], feature: Any, class_names: ClassNames | None, where: str
) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """Turn a label column into class names and label indices.

    Args:
        values: Split → the column's values.
        feature: The column's type in `datasets`.
        class_names: Names that the user gives, in label order or by label, if any.
        where: The dataset, for messages.

    Returns:
        Class names, and split → each row's label.
    """
    names, index = _names(values, feature, class_names, where)
    stray = [(split, row) for split, labels in values.items() for row, value in enumerate(labels) if value not in index]
    if stray:
        (split, row), more = stray[0], f" ({len(stray)} rows in all)" if len(stray) > 1 else ""
        odd = values[split][row]
        remedy = "Leave unlabelled splits out of the dataset."
        if isinstance(odd, str):
            remedy = f"Give them by label: class_names: {{{odd[:60]!r}: name, …}}."
        raise UserError(
            f"{where}: {split} row {row}: label {odd!r:.80} has no class name{more}; there are {len(names)} "
            f"names. {remedy}"
        )
    return names, {split: [index[value] for value in labels] for split, labels in values.items()}


def _names(
    values: dict[str, list[Any]], feature: Any, given: ClassNames | None, where: str
) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Return the class names, and value of the label column → index; a value without a class is in none."""
    if isinstance(feature, datasets.ClassLabel):
        names = name_classes(feature.names, given, f"labels of {where}", sorted_by_us=False)
        listed = given is not None and not isinstance(given, Mapping)
        return tuple(map(shown_name, names)) if listed else names, {n: n for n in range(len(names))}
    found = {value for labels in values.values() for value in labels}
    present = sorted((value for value in found if value is not None and value == value), key=_by_size)
    labels = [plain_label(value) for value in present]
    if isinstance(given, Mapping):
        by_label = given_by_label(labels, by_plain_label(given), f"labels of {where}")
        return tuple(by_label[label] for label in labels), {value: number for number, value in enumerate(present)}
    if all(isinstance(value, str) for value in present):
        if given is not None:
            return tuple(map(shown_name, given)), {name: number for number, name in enumerate(given)}
        names = name_classes(present, None, f"labels of {where}", sorted_by_us=True)
        return names, {value: number for number, value in enumerate(present)}
    if present and feature.dtype == "bool":
        raise UserError(
            f"{where}: labels are truth values, which are no names and have no order; give class_names by label: "
            "class_names: {'False': name, 'True': name}."
        )
    if given is None:
        raise UserError(
            f"{where}: labels are numbers without names; give class_names in label order, or by label: class_names: "
            f"{{{labels[0]}: name, …}}."
        )
    return tuple(map(shown_name, given)), {number: number for number in range(len(given))}


def _by_size(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value
