"""The image bank: one VLM's embeddings of a dataset's images, computed once and kept as safetensors.

The reward needs one vector per class (`ClassMeans`), zero-shot accuracy one per test image (`ImageEmbeddings`). A
bank's file name is a hash of everything that could change a number in it: VLM fingerprint, class names, and the
content, label and order of every image. If any of these changes, the name is another, so a stale bank is never used.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from reward.embedding import Loading, Share, content_digests, embed_in_parts, load_part
from reward.errors import EnvironmentFault, UserError
from reward.files import bank_file
from reward.image_labels import check_labels
from reward.images import LabeledImage
from reward.sealed import UNSEALED, read_sealed
from reward.vlm import VLM

BANK_FORMAT = "2"

ATTEMPTS = 5
"""How often a build is tried: another process that builds the same bank may finish first and remove the parts, and then
its bank is used."""


@dataclass(frozen=True)
class ClassMeans:
    """Mean image embedding of each class: all that the reward needs of the images.

    Attributes:
        class_names: C names in label order.
        means: Mean of the unit-norm image embeddings of each class, not normalised again, float32, shape (C, D).
        counts: Number of images in each mean, shape (C,).
        images: `images_digest` of the images; empty if it is not known.
    """

    class_names: tuple[str, ...]
    means: torch.Tensor
    counts: torch.Tensor
    images: str = ""


@dataclass(frozen=True)
class ImageEmbeddings:
    """Embedded images of a split.

    Attributes:
        class_names: C names in label order.
        embeddings: Unit-norm float32, shape (N, D).
        labels: Each image's index into `class_names`, shape (N,).
        images: `images_digest` of the images; empty if it is not known.
    """

    class_names: tuple[str, ...]
    embeddings: torch.Tensor
    labels: torch.Tensor
    images: str = ""


def check_classes(images: Sequence[LabeledImage], class_names: Sequence[str], where: str) -> None:
    """Refuse duplicate or empty class names, classes without images and labels without a name.

    Args:
        images: The selected images.
        class_names: Names in label order.
        where: Dataset and split for messages.

    Raises:
        UserError: If there are any; the message names every class concerned.
    """
    problems = []
    duplicates = sorted(name for name, count in Counter(class_names).items() if count > 1)
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
    parts: Iterable[torch.Tensor], labels: torch.Tensor, class_count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Average embeddings by label, in float64, one part in memory at a time.

    Args:
        parts: Embeddings in consecutive parts; joined, they have shape (N, D).
        labels: Class of each row, shape (N,).
        class_count: Number of classes C.

    Returns:
        Means, float32, shape (C, D), and counts, shape (C,). A class without rows has mean 0 and count 0.
    """
    sums: torch.Tensor | None = None
    start = 0
    for part in parts:
        if sums is None:
            sums = torch.zeros(class_count, part.shape[1], dtype=torch.float64)
        sums.index_add_(0, labels[start : start + len(part)], part.double())
        start += len(part)
    if sums is None or start != len(labels):
        raise ValueError(f"{start} embeddings for {len(labels)} labels")
    counts = torch.bincount(labels, minlength=class_count)
    return (sums / counts.clamp(min=1).unsqueeze(1)).float(), counts


def bank_key(
    vlm: VLM,
    images: Sequence[LabeledImage],
    class_names: Sequence[str],
    kind: str,
    digests: Sequence[str] | None = None,
) -> str:
    """Return a hash of everything that determines a bank's numbers.

    Args:
        vlm: The encoder.
        images: The selected images in order.
        class_names: Names in label order.
        kind: `class_means` or `images`.
        digests: The images' content hashes; computed if not given.
    """
    state = hashlib.sha256()
    state.update(json.dumps([BANK_FORMAT, kind, vlm.fingerprint(), list(class_names)]).encode())
    for image, digest in zip(images, content_digests(images) if digests is None else digests, strict=True):
        state.update(f"{image.label}:{digest}\n".encode())
    return state.hexdigest()[:32]


def images_digest(images: Sequence[LabeledImage], class_names: Sequence[str], digests: Sequence[str]) -> str:
    """Return a hash, 16 hexadecimal digits, of class names and of the images' labels, contents and order.

    Args:
        images: The N images.
        class_names: Names in label order.
        digests: The images' content hashes, N of them.
    """
    state = hashlib.sha256(json.dumps(list(class_names)).encode())
    for image, digest in zip(images, digests, strict=True):
        state.update(f"{image.label}:{digest}\n".encode())
    return state.hexdigest()[:16]


def class_means(
    vlm: VLM,
    images: Sequence[LabeledImage],
    class_names: Sequence[str],
    *,
    cache: Path,
    where: str,
    loading: Loading = Loading(),  # noqa: B008 - immutable
    share: Share = Share(),  # noqa: B008 - immutable
) -> ClassMeans:
    """Return the mean image embedding of each class, from the cache if it has them.

    Args:
        vlm: The encoder.
        images: Selected reward images.
        class_names: Names in label order.
        cache: Folder of banks.
        where: Dataset and split for messages.
        loading: Workers and batch size.
        share: This process's share, if several build together.

    Raises:
        UserError: For a class without images, a duplicate name, an unreadable image, or equal images with different
            labels.
        EnvironmentFault: If the cache cannot be written.
    """
    check_classes(images, class_names, where)
    labels = torch.tensor([image.label for image in images])
    digests = content_digests(images, title=where)
    check_labels(images, digests, where)
    path = cache / f"class-means-{bank_key(vlm, images, class_names, 'class_means', digests)}.safetensors"

    def write(parts: Sequence[Path]) -> None:
        means, counts = mean_by_class(_read(parts), labels, len(class_names))
        with bank_file(path) as temporary:
            save_file({"means": means, "counts": counts}, temporary, bank_metadata(vlm, class_names, "class_means"))

    embed = partial(embed_in_parts, vlm, images, digests, cache / "parts", title=where, loading=loading, share=share)
    stored = _build(path, ("means", "counts"), embed, write, share)
    seen = images_digest(images, class_names, digests)
    return ClassMeans(tuple(class_names), stored["means"].clone(), stored["counts"].clone(), seen)


def image_embeddings(
    vlm: VLM,
    images: Sequence[LabeledImage],
    class_names: Sequence[str],
    *,
    cache: Path,
    where: str,
    loading: Loading = Loading(),  # noqa: B008 - immutable
    share: Share = Share(),  # noqa: B008 - immutable
) -> ImageEmbeddings:
    """Return the embedding of each image of a split, from the cache if it has them.

    Arguments and errors are those of `class_means`.
    """
    check_classes(images, class_names, where)
    labels = torch.tensor([image.label for image in images])
    digests = content_digests(images, title=where)
    check_labels(images, digests, where)
    path = cache / f"images-{bank_key(vlm, images, class_names, 'images', digests)}.safetensors"

    def write(parts: Sequence[Path]) -> None:
        with bank_file(path) as temporary:
            _write_rows(temporary, parts, labels, bank_metadata(vlm, class_names, "images"))

    embed = partial(embed_in_parts, vlm, images, digests, cache / "parts", title=where, loading=loading, share=share)
    stored = _build(path, ("embeddings", "labels"), embed, write, share)
    seen = images_digest(images, class_names, digests)
    return ImageEmbeddings(tuple(class_names), stored["embeddings"], stored["labels"], seen)


def read_bank(path: Path, names: Sequence[str]) -> dict[str, torch.Tensor] | None:
    """Return a bank's tensors by name, memory-mapped from its file; `None` if the file is missing or damaged.

    A damaged one is set aside, with a line on stderr.
    """
    return read_sealed(path, names)


def bank_metadata(vlm: VLM, class_names: Sequence[str], kind: str) -> dict[str, str]:
    """Return the metadata that a bank's file keeps about its content."""
    return {
        "kind": kind,
        "vlm": vlm.name,
        "fingerprint": vlm.fingerprint(),
        "class_names": json.dumps(list(class_names)),
        **UNSEALED,
    }


class _PartGoneError(Exception):
    """Another process has finished the same bank meanwhile, and removed its parts."""


def _build(
    path: Path,
    names: Sequence[str],
    embed: Callable[[], list[Path]],
    write: Callable[[Sequence[Path]], None],
    share: Share,
) -> dict[str, torch.Tensor]:
    """Return a bank's tensors, after building it if it does not exist.

    `share.gather` is a barrier, so every process calls it equally often.
    """
    for _ in range(ATTEMPTS):
        stored = read_bank(path, names)
        if not share.gather([] if stored else [str(path)]) and stored:
            return stored
        parts = embed()
        if share.rank == 0 and read_bank(path, names) is None:
            try:
                write(parts)
            except _PartGoneError:
                pass
            else:
                for part in parts:
                    part.unlink(missing_ok=True)
        share.gather([])
    stored = read_bank(path, names)
    if stored is None:
        raise EnvironmentFault(
            f"{path}: the image bank vanishes as soon as it is written; is the folder being cleaned?"
        )
    return stored


def _read(parts: Iterable[Path]) -> Iterator[torch.Tensor]:
    for path in parts:
        part = load_part(path)
        if part is None:
            raise _PartGoneError
        yield part


def _write_rows(path: Path, parts: Sequence[Path], labels: torch.Tensor, metadata: dict[str, str]) -> None:
    """Write `embeddings` and `labels` as safetensors with one part in memory at a time; `save_file` needs all."""
    rows, width = len(labels), next(_read(parts)).shape[1]
    border = rows * width * 4
    header = {
        "__metadata__": metadata,
        "embeddings": {"dtype": "F32", "shape": [rows, width], "data_offsets": [0, border]},
        "labels": {"dtype": "I64", "shape": [rows], "data_offsets": [border, border + rows * 8]},
    }
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    with open(path, "wb") as file:
        file.write(len(words).to_bytes(8, "little") + words)
        for part in _read(parts):
            file.write(part.contiguous().numpy().tobytes())
        file.write(labels.to(torch.int64).numpy().tobytes())
