"""The image bank: images of a dataset as embeddings of one VLM, computed once and kept in safetensors.

The reward needs one vector per class (`ClassMeans`), zero-shot accuracy one per test image (`ImageEmbeddings`). A
bank's file name is a hash of everything that could change a number in it: VLM fingerprint, class names, and the
content, label and order of every image. Nothing stale can be used: a change of any makes another file.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from reward.errors import EnvironmentFault, UserError
from reward.images import LabeledImage
from reward.vlm import VLM

BANK_FORMAT = "1"


@dataclass(frozen=True)
class ClassMeans:
    """What the reward needs of a class's images.

    Attributes:
        class_names: C names in label order.
        means: Mean of the unit-norm image embeddings of each class, not normalised again, float32, shape (C, D).
        counts: Images behind each mean, shape (C,).
    """

    class_names: tuple[str, ...]
    means: torch.Tensor
    counts: torch.Tensor


@dataclass(frozen=True)
class ImageEmbeddings:
    """Embedded images of a split.

    Attributes:
        class_names: C names in label order.
        embeddings: Unit-norm float32, shape (N, D).
        labels: Index into `class_names`, shape (N,).
    """

    class_names: tuple[str, ...]
    embeddings: torch.Tensor
    labels: torch.Tensor


def check_classes(images: Sequence[LabeledImage], class_names: Sequence[str], where: str) -> None:
    """Refuse duplicate or empty class names, classes without images and labels without a name.

    Args:
        images: The selected images.
        class_names: Names in label order.
        where: Dataset and split for messages.

    Raises:
        UserError: Naming every such class.
    """
    problems = []
    duplicates = sorted({name for name in class_names if list(class_names).count(name) > 1})
    if duplicates:
        problems.append(
            f"{where}: duplicate class names {', '.join(map(repr, duplicates))}; every class needs its own."
        )
    if any(not name.strip() for name in class_names):
        problems.append(f"{where}: a class name is empty (label {[n.strip() for n in class_names].index('')}).")
    present = {image.label for image in images}
    stray = sorted(present - set(range(len(class_names))))
    if stray:
        problems.append(f"{where}: labels {stray} have no class name; there are {len(class_names)} names.")
    missing = [repr(name) for label, name in enumerate(class_names) if label not in present]
    if missing:
        some = ", ".join(missing[:8]) + (", …" if len(missing) > 8 else "")
        problems.append(
            f"{where}: no images of class {some} ({len(missing)} of {len(class_names)} classes); "
            "add images or remove the class from the dataset."
        )
    if problems:
        raise UserError("\n".join(problems))


def mean_by_class(
    embeddings: torch.Tensor, labels: torch.Tensor, class_count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Average embeddings by label, in float64.

    Args:
        embeddings: Shape (N, D).
        labels: Class of each row, shape (N,).
        class_count: C.

    Returns:
        Means, float32, shape (C, D), and counts, shape (C,). A class without rows has mean 0 and count 0.
    """
    sums = torch.zeros(class_count, embeddings.shape[1], dtype=torch.float64)
    sums.index_add_(0, labels, embeddings.double())
    counts = torch.bincount(labels, minlength=class_count)
    return (sums / counts.clamp(min=1).unsqueeze(1)).float(), counts


def embed_images(vlm: VLM, images: Sequence[LabeledImage], *, batch_size: int = 64, title: str = "") -> torch.Tensor:
    """Embed images in order, one batch in memory at a time, with a progress bar.

    Args:
        vlm: The encoder.
        images: What to embed.
        batch_size: Images decoded and embedded at once.
        title: Label of the progress bar.

    Returns:
        Unit-norm float32, shape (N, D).

    Raises:
        UserError: If an image cannot be read; the message names it.
    """
    parts = []
    with tqdm(total=len(images), desc=title or "images", unit="img", leave=False) as bar:
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            parts.append(vlm.encode_images([image.open() for image in batch]))
            bar.update(len(batch))
    return torch.cat(parts) if parts else torch.zeros(0, vlm.dim)


def bank_key(vlm: VLM, images: Sequence[LabeledImage], class_names: Sequence[str], kind: str) -> str:
    """Return a hash of everything that determines a bank's numbers."""
    state = hashlib.sha256()
    state.update(json.dumps([BANK_FORMAT, kind, vlm.fingerprint(), list(class_names)]).encode())
    for image in images:
        state.update(f"{image.label}:{image.digest()}\n".encode())
    return state.hexdigest()[:32]


def class_means(
    vlm: VLM,
    images: Sequence[LabeledImage],
    class_names: Sequence[str],
    *,
    cache: Path,
    where: str,
    batch_size: int = 64,
) -> ClassMeans:
    """Return the reward's class means, from the cache if they are there.

    Args:
        vlm: The encoder.
        images: Selected reward images.
        class_names: Names in label order.
        cache: Folder of banks.
        where: Dataset and split for messages.
        batch_size: Images per forward.

    Raises:
        UserError: For a class without images, a duplicate name or an unreadable image.
        EnvironmentFault: If the cache cannot be written.
    """
    check_classes(images, class_names, where)
    path = cache / f"class-means-{bank_key(vlm, images, class_names, 'class_means')}.safetensors"
    stored = _load(path, ("means", "counts"))
    if stored is None:
        embeddings = embed_images(vlm, images, batch_size=batch_size, title=f"{where}: images")
        means, counts = mean_by_class(embeddings, torch.tensor([image.label for image in images]), len(class_names))
        stored = {"means": means, "counts": counts}
        _save(path, stored, vlm, class_names, "class_means")
    return ClassMeans(tuple(class_names), stored["means"], stored["counts"])


def image_embeddings(
    vlm: VLM,
    images: Sequence[LabeledImage],
    class_names: Sequence[str],
    *,
    cache: Path,
    where: str,
    batch_size: int = 64,
) -> ImageEmbeddings:
    """Return a split's embeddings, from the cache if they are there. Arguments and errors as `class_means`."""
    check_classes(images, class_names, where)
    path = cache / f"images-{bank_key(vlm, images, class_names, 'images')}.safetensors"
    stored = _load(path, ("embeddings", "labels"))
    if stored is None:
        stored = {
            "embeddings": embed_images(vlm, images, batch_size=batch_size, title=f"{where}: images"),
            "labels": torch.tensor([image.label for image in images]),
        }
        _save(path, stored, vlm, class_names, "images")
    return ImageEmbeddings(tuple(class_names), stored["embeddings"], stored["labels"])


def _load(path: Path, names: tuple[str, ...]) -> dict[str, torch.Tensor] | None:
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in names}
    except SafetensorError:
        return None  # a torn file of an interrupted copy: made anew and replaced


def _save(
    path: Path,
    tensors: dict[str, torch.Tensor],
    vlm: VLM,
    class_names: Sequence[str],
    kind: Literal["class_means", "images"],
) -> None:
    metadata = {
        "kind": kind,
        "vlm": vlm.name,
        "fingerprint": vlm.fingerprint(),
        "class_names": json.dumps(list(class_names)),
    }
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        save_file({key: value.contiguous() for key, value in tensors.items()}, temporary, metadata=metadata)
        os.replace(temporary, path)  # two processes building the same bank: the last complete one wins, both equal
    except (OSError, SafetensorError) as error:
        raise EnvironmentFault(
            f"{path}: the image bank cannot be written ({error}); free some space or set EX2_CACHE to another folder."
        ) from error
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
