"""CLER: a class is the mean embedding of the images that were made of it, and a test image is of the nearest class.

Source of the score: Li et al., Benchmarking and Analyzing Generative Data for Visual Recognition (GenBench), section
2.4 and Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch

from reward.errors import UserError, shortened

CenterKind = Literal["unit", "mean", "raw"]
"""`unit`: means of unit embeddings, normalised again, as in the code behind GenBench's Table 2. `mean`: means of unit
embeddings. `raw`: means of the embeddings as they are, GenBench's Eq. 1."""

EnsembleKind = Literal["centers", "logits"]
"""`centers`: center and text are added and normalised, as in GenBench's code. `logits`: the mean of both logits, as in
its text."""

Missing = Literal["error", "text"]

ROWS = 4096
"""Rows of embeddings in memory as float64 at once."""
SHOWN = 8
"""Most classes or images that a message names; the others are only counted."""


def class_centers(
    embeddings: torch.Tensor,
    labels: torch.Tensor,
    classes: Sequence[str],
    kind: CenterKind = "unit",
    *,
    unequal: bool = False,
    missing: Missing = "error",
    text: torch.Tensor | None = None,
    where: str = "image set",
) -> torch.Tensor:
    """Return the center of each class.

    Args:
        embeddings: Image embeddings, of any length, shape (N, D).
        labels: Each image's index into `classes`, shape (N,).
        classes: The C class names, at least two.
        kind: See `CenterKind`.
        unequal: Whether classes may have different numbers of images.
        missing: `error` refuses a class without images; `text` takes the class's text embedding for its center, for
            `unit` centers only; `classes_without_images` says which these are.
        text: Text embedding of each class, shape (C, D); needed with `missing="text"`.
        where: The set, for messages.

    Returns:
        Centers in the dtype of the embeddings, shape (C, D); means are taken in float64. `unit` centers have length 1.

    Raises:
        UserError: For fewer than two classes, embeddings that are not finite or have no direction, a label without a
            class, a class without images, unequal numbers of images, or a class whose images cancel; all at once.
        ValueError: If shapes differ, or `missing` is `text` and `text` is None.
    """
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(f"embeddings {tuple(embeddings.shape)} and labels {tuple(labels.shape)} do not fit")
    if missing == "text" and (text is None or text.shape != (len(classes), embeddings.shape[1])):
        raise ValueError("missing='text' needs one text embedding per class")
    problems = _problems(embeddings, labels, classes, kind, unequal=unequal, missing=missing)
    if problems:
        raise UserError(shortened("\n".join(f"{where}: {problem}" for problem in problems)))
    counts = torch.bincount(labels, minlength=len(classes)).double().unsqueeze(1)
    sums = torch.zeros(len(classes), embeddings.shape[1], dtype=torch.float64, device=embeddings.device)
    for start in range(0, len(embeddings), ROWS):
        part = embeddings[start : start + ROWS].double()
        part = part if kind == "raw" else torch.nn.functional.normalize(part, dim=1, eps=0)
        sums.index_add_(0, labels[start : start + ROWS], part)
    centers = sums / counts.clamp(min=1)
    if text is not None and missing == "text":
        centers = torch.where(counts > 0, centers, text.double())
    if kind == "unit":
        lengths = centers.norm(dim=1, keepdim=True)
        canceled = [name for name, length in zip(classes, lengths.flatten().tolist(), strict=True) if length < 1e-9]
        if canceled:
            raise UserError(
                f"{where}: the images of class {_listed(canceled)} cancel: their mean has no direction; "
                "draw others, or take centers: mean."
            )
        centers = centers / lengths
    return centers.to(embeddings.dtype)


def classes_without_images(labels: torch.Tensor, classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the classes that have no image, in label order.

    Args:
        labels: Each image's index into `classes`, shape (N,).
        classes: The class names.
    """
    present = set(labels.tolist())
    return tuple(name for label, name in enumerate(classes) if label not in present)


def similarities(test: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """Return the dot product of each test image with each center.

    Args:
        test: Unit embeddings of test images, shape (N, D).
        centers: Centers of the classes, or an ensemble, shape (C, D).

    Returns:
        Shape (N, C).

    Raises:
        UserError: If a test image's embedding is not finite.
    """
    scores = test @ centers.T
    faulty = torch.nonzero(~torch.isfinite(scores).all(1)).flatten().tolist()
    if faulty:
        raise UserError(
            f"test images: {_of_images(len(faulty), len(test))} not finite ({_some(map(str, faulty))}); look at these "
            "images, and at the precision of the VLM."
        )
    return scores


def predict(test: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """Return each test image's class: the center with the largest dot product, the first of equal ones.

    Args:
        test: Embeddings of test images, shape (N, D); their length changes nothing.
        centers: Centers of the classes, or an ensemble, shape (C, D).

    Returns:
        Labels, shape (N,).

    Raises:
        UserError: If a test image's embedding is not finite.
    """
    return similarities(test, centers).argmax(1)


def ensemble(centers: torch.Tensor, text: torch.Tensor, kind: EnsembleKind) -> torch.Tensor:
    """Join the center of each class with its text.

    Args:
        centers: Centers of the classes, shape (C, D). `logits` means the un-normalised ones, of kind `mean` or `raw`;
            for `centers` their lengths make no difference.
        text: Unit text embedding of each class, shape (C, D).
        kind: `centers`: normalise(M/|M| + L). `logits`: (M + L) / 2, whose dot product is the mean of both logits.

    Returns:
        What `predict` takes instead of centers, shape (C, D).

    Raises:
        ValueError: If the shapes differ.
    """
    if centers.shape != text.shape:
        raise ValueError(f"centers {tuple(centers.shape)} and text {tuple(text.shape)} differ in shape")
    if kind == "logits":
        return (centers + text) / 2
    return torch.nn.functional.normalize(torch.nn.functional.normalize(centers, dim=1) + text, dim=1)


def margins_left_one_out(
    embeddings: torch.Tensor, labels: torch.Tensor, class_means: torch.Tensor, kind: CenterKind = "unit"
) -> torch.Tensor:
    """Return by how much each image raises the margin of its class when it enters the class's center.

    The margin of a center is its mean dot product with the reference images of its own class, minus that with those of
    the other classes, each class counting equally. A center's change moves the margins of all reference images, of its
    own class upwards and of the others downwards; this is their sum.

    Args:
        embeddings: Embeddings of the set's images, shape (N, D).
        labels: Each image's class, shape (N,).
        class_means: Mean unit embedding of the reference images of each class, shape (C, D), C at least 2.
        kind: See `CenterKind`.

    Returns:
        Margin with the image minus margin without it, float64, shape (N,). An only image's center is compared with
        none, whose margin is 0.

    Raises:
        ValueError: If there are fewer than two classes.
    """
    count = len(class_means)
    if count < 2:
        raise ValueError("a margin needs two classes")
    reference = class_means.double()
    others = (reference.sum(0, keepdim=True) - reference) / (count - 1)
    toward = (reference - others)[labels]
    data = embeddings.double() if kind == "raw" else torch.nn.functional.normalize(embeddings.double(), dim=1)
    sums = torch.zeros_like(reference).index_add_(0, labels, data)[labels]
    counts = torch.bincount(labels, minlength=count).double()[labels].unsqueeze(1)
    with_it, without = sums / counts, (sums - data) / (counts - 1).clamp(min=1)
    without = torch.where(counts > 1, without, 0.0)  # not a rest of rounding, which would be normalised
    if kind == "unit":
        with_it, without = (torch.nn.functional.normalize(rows, dim=1) for rows in (with_it, without))
    return ((with_it - without) * toward).sum(1)


def _problems(
    embeddings: torch.Tensor,
    labels: torch.Tensor,
    classes: Sequence[str],
    kind: CenterKind,
    *,
    unequal: bool,
    missing: Missing,
) -> list[str]:
    """Return what is wrong with a set, a line each."""
    found = []
    if len(classes) < 2:
        found.append(f"{len(classes)} class; at least 2 are needed to tell one from another; add classes.")
    if missing == "text" and kind != "unit":
        found.append(
            f"missing: text with centers: {kind}: a text's length is not comparable with theirs; "
            "set centers: unit, or missing: error."
        )
    parts = [embeddings[start : start + ROWS].double().norm(dim=1) for start in range(0, len(embeddings), ROWS)]
    lengths = torch.cat(parts) if parts else torch.zeros(0)
    faulty = torch.nonzero(~torch.isfinite(lengths)).flatten().tolist()
    if faulty:
        found.append(
            f"{_of_images(len(faulty), len(labels))} not finite ({_some(map(str, faulty))}); "
            "look at these images, and at the precision of the VLM."
        )
    zero = torch.nonzero(lengths == 0).flatten().tolist()
    if zero and kind != "raw":
        found.append(
            f"{_of_images(len(zero), len(labels))} 0, which has no direction ({_some(map(str, zero))}); "
            "look at these images."
        )
    stray = sorted(set(labels.tolist()) - set(range(len(classes))))
    if stray:
        found.append(
            f"labels {_some(map(str, stray))} have no class; there are {len(classes)} classes, so 0 to "
            f"{len(classes) - 1} are allowed."
        )
        return found
    counts = torch.bincount(labels, minlength=len(classes)).tolist()
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if empty and missing == "error":
        found.append(
            f"no images of class {_listed(empty)} ({len(empty)} of {len(classes)} classes); draw some, remove the "
            "class, or set missing: text."
        )
    some = [count for count in counts if count]
    if some and not unequal and max(some) > min(some):
        fewest, most = classes[counts.index(min(some))], classes[counts.index(max(some))]
        found.append(
            f"classes have between {min(some)} ({fewest!r}) and {max(some)} ({most!r}) images; equal numbers are "
            f"needed: set shots: {min(some)} or fewer, or shots: all to allow it."
        )
    return found


def _of_images(faulty: int, images: int) -> str:
    return f"the embeddings of {faulty} of {images} images are"


def _listed(names: Sequence[str]) -> str:
    return _some([repr(name) for name in names])


def _some(parts: Iterable[str]) -> str:
    """Return the first parts joined by commas, with an ellipsis if there are more."""
    listed = list(parts)
    return ", ".join(listed[:SHOWN]) + (", …" if len(listed) > SHOWN else "")
