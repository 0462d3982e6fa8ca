"""Linear probe: multinomial logistic regression on the embeddings of a set, measured on test images.

What is learned is the set's; how strongly weights are held small is chosen on a held-out part of the set, and no test
image is looked at before the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from reward.errors import UserError, shortened

Init = Literal["zero", "text"]
Value = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]

COARSE = tuple(10.0**exponent for exponent in (-6, -4, -2, 0, 2, 4, 6))
"""Strengths that the search starts from, as in appendix A.3 of CLIP's paper."""
STEPS_PER_DECADE = 8
"""How finely the search ends, as there: 96 steps over twelve decades."""
MOST_STEPS = 1000
"""Most steps of one fit."""
WIDEST = STEPS_PER_DECADE
"""Steps by which the search around the best strength begins: a decade, then a half, down to one step."""
ROWS = 8192
"""Embeddings in memory as float64 at once."""


@dataclass(frozen=True)
class Probe:
    """A fitted linear probe.

    Attributes:
        weight: Shape (C, D), float64.
        bias: Shape (C,), float64.
        l2: Strength of the penalty it was fitted with; see `fit`.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    l2: float

    def scores(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the logits of images, float64, shape (N, C).

        Args:
            embeddings: Embeddings, shape (N, D).
        """
        found = torch.empty(len(embeddings), len(self.bias), dtype=torch.float64)
        for start in range(0, len(embeddings), ROWS):
            part = slice(start, start + ROWS)
            found[part] = embeddings[part].double() @ self.weight.T + self.bias
        return found


@dataclass(frozen=True)
class Choice:
    """How a strength was chosen, to be stored with the probe.

    Attributes:
        l2: The chosen strength.
        held_out: Images of the set that it was chosen on.
        tried: Pairs of a strength and the accuracy on them, in ascending order of strength.
    """

    l2: float
    held_out: int
    tried: tuple[tuple[float, float], ...]


def fit(
    embeddings: torch.Tensor,
    labels: torch.Tensor,
    classes: int,
    l2: float,
    *,
    init: Init = "zero",
    text: torch.Tensor | None = None,
    start: Probe | None = None,
    tolerance: float = 1e-6,
) -> Probe:
    """Fit a multinomial logistic regression with an L2 penalty on its weights, not on its biases.

    Memory grows with the number of images only as the embeddings do, of which no second copy is made.

    Minimises sum_i −log softmax(W x_i + b)[y_i] + l2/2 |W|², which is scikit-learn's with C = 1 / l2. The minimum is
    the only one, so `init` and `start` change the time it takes and, where it is left early, the result.

    Args:
        embeddings: Embeddings of the set's images, shape (N, D).
        labels: Each image's class, shape (N,).
        classes: Number of classes, C, at least 2.
        l2: Strength of the penalty, above 0.
        init: `zero`, or `text` to start from the text embeddings, scaled as the set's images fit best.
        text: Unit text embedding of each class, shape (C, D); needed for `init="text"`.
        start: A probe to start from instead, as one of another strength.
        tolerance: The largest entry of the gradient of the mean loss at which fitting ends.

    Raises:
        UserError: For embeddings that are not finite, classes without images, fewer than two classes, or a strength
            that is not above 0; all at once.
        ValueError: If shapes differ or the texts are missing.
    """
    _check(embeddings, labels, classes, l2)
    if init == "text" and (text is None or text.shape != (classes, embeddings.shape[1])):
        raise ValueError("init='text' needs one text embedding per class")
    weight = torch.zeros(classes, embeddings.shape[1], dtype=torch.float64)
    bias = torch.zeros(classes, dtype=torch.float64)
    if start is not None:
        weight, bias = start.weight, start.bias
    elif text is not None and init == "text":
        weight = text.double() * _best_scale(Probe(text.double(), bias, l2).scores(embeddings), labels)
    return _fitted(embeddings, labels, torch.arange(len(labels)), weight, bias, l2, tolerance)


def _fitted(
    embeddings: torch.Tensor,
    labels: torch.Tensor,
    rows: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    l2: float,
    tolerance: float,
) -> Probe:
    """Fit as `fit` does, from weights, shape (C, D), and biases, on some rows of the embeddings."""
    number, classes = len(rows), len(bias)
    if number < embeddings.shape[1]:
        # In the span of the images: the penalty keeps the weights there, and fewer numbers are left to find.
        basis = torch.linalg.qr(embeddings[rows].double().T).Q
    else:
        basis = torch.eye(embeddings.shape[1], dtype=torch.float64)

    def block(start: int) -> tuple[torch.Tensor, torch.Tensor]:
        part = rows[start : start + ROWS]
        data = embeddings[part].double()
        return (data @ basis if number < embeddings.shape[1] else data), labels[part]

    kept = {start: block(start) for start in range(0, number, ROWS)} if number <= ROWS else {}
    size = weight.shape[0] * basis.shape[1]

    def value(at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the penalised mean loss and its gradient."""
        slopes, shift = at[:size].view(classes, -1), at[size:]
        loss, gradient, total = l2 / 2 * slopes.square().sum(), l2 * slopes, torch.zeros_like(shift)
        for start in range(0, number, ROWS):
            inner, wanted = kept.get(start) or block(start)
            logs = torch.log_softmax(inner @ slopes.T + shift, 1)
            loss = loss - logs.gather(1, wanted.unsqueeze(1)).sum()
            residual = logs.exp_()
            residual[torch.arange(len(wanted)), wanted] -= 1
            gradient = gradient + residual.T @ inner
            total += residual.sum(0)
        return loss / number, torch.cat([gradient.flatten(), total]) / number

    flat = _minimised(value, torch.cat([(weight @ basis).flatten(), bias]), tolerance)
    return Probe(flat[:size].view(classes, -1) @ basis.T, flat[size:], l2)


def choose_l2(
    embeddings: torch.Tensor, labels: torch.Tensor, classes: int, *, held_out: float = 0.25, seed: int = 0
) -> Choice:
    """Choose the strength of the penalty on a held-out part of the set, as CLIP's paper does on a validation set.

    Strengths two decades apart first; then, around the best so far, steps of a decade, halved down to an eighth of one.
    Of strengths that are equally accurate on the few images held out, the one under which their labels are likeliest is
    taken.

    Args:
        embeddings: Embeddings of the set's images, shape (N, D).
        labels: Each image's class, shape (N,).
        classes: Number of classes.
        held_out: Share of each class that is held out: at least one image, and at least one is left.
        seed: Seed of the split.

    Returns:
        The strength for all images of the set: for N of them, that of the part fitted times N by its number, since the
        penalty stands against a sum over images. `tried` has these strengths too.

    Raises:
        UserError: As in `fit`, and for a class of a single image, which cannot be split.

    Source: Radford et al. (2021), arXiv:2103.00020, appendix A.3.
    """
    _check(embeddings, labels, classes, 1.0)
    generator = torch.Generator().manual_seed(seed)
    outside = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(classes):
        rows = torch.nonzero(labels == label).flatten()
        if len(rows) < 2:
            raise UserError(
                f"linear probe: class {label} has a single image, and none can be held out to choose l2; draw more, "
                "or give l2."
            )
        count = min(max(1, round(held_out * len(rows))), len(rows) - 1)
        outside[rows[torch.randperm(len(rows), generator=generator)[:count]]] = True
    inside, apart = torch.nonzero(~outside).flatten(), torch.nonzero(outside).flatten()
    factor = len(labels) / len(inside)
    none = Probe(torch.zeros(classes, embeddings.shape[1]).double(), torch.zeros(classes).double(), 1.0)
    tried: dict[int, tuple[float, float]] = {}
    fitted: dict[int, Probe] = {}

    def attempt(step: int) -> None:
        if step in tried:
            return
        near = fitted[min(fitted, key=lambda other: abs(other - step))] if fitted else none
        strength = 10.0 ** (step / STEPS_PER_DECADE)
        probe = _fitted(embeddings, labels, inside, near.weight, near.bias, strength, 3e-4)
        fitted[step] = probe
        right, likely = 0, 0.0
        for start in range(0, len(apart), ROWS):
            part = apart[start : start + ROWS]
            scores, wanted = probe.scores(embeddings[part]), labels[part]
            right += int((scores.argmax(1) == wanted).sum())
            likely -= float(torch.nn.functional.cross_entropy(scores, wanted, reduction="sum"))
        tried[step] = right / len(apart), likely / len(apart)

    for strength in reversed(COARSE):
        attempt(round(math.log10(strength) * STEPS_PER_DECADE))
    width = WIDEST
    while width >= 1:
        best = max(tried, key=lambda step: tried[step])
        for step in (best + width, best - width):
            attempt(step)
        width //= 2
    best = max(tried, key=lambda step: tried[step])
    strengths = {step: factor * 10.0 ** (step / STEPS_PER_DECADE) for step in sorted(tried)}
    accuracies = tuple((strength, tried[step][0]) for step, strength in strengths.items())
    return Choice(strengths[best], int(outside.sum()), accuracies)


def _best_scale(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the power of 2 that cosines are multiplied by, from 1 to 256, at which the labels are most likely."""
    losses = {
        scale: float(torch.nn.functional.cross_entropy(scores * scale, labels)) for scale in (2.0**n for n in range(9))
    }
    return min(losses, key=lambda scale: losses[scale])


def _minimised(value: Value, start: torch.Tensor, tolerance: float) -> torch.Tensor:
    """Return where a function is least, by torch's L-BFGS with a strong Wolfe line search."""
    at = start.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [at],
        max_iter=MOST_STEPS,
        max_eval=2 * MOST_STEPS,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        with torch.no_grad():
            loss, at.grad = value(at)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return at.detach()


def _check(embeddings: torch.Tensor, labels: torch.Tensor, classes: int, l2: float) -> None:
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(f"embeddings {tuple(embeddings.shape)} and labels {tuple(labels.shape)} do not fit")
    problems = []
    if classes < 2:
        problems.append(f"linear probe: {classes} class; at least 2 are needed; add classes.")
    parts = (embeddings[start : start + ROWS] for start in range(0, len(embeddings), ROWS))
    faulty = sum(int((~torch.isfinite(part)).any(1).sum()) for part in parts)
    if faulty:
        problems.append(
            f"linear probe: {faulty} of {len(embeddings)} embeddings are not finite; look at these images, and at the "
            "precision of the VLM."
        )
    counts = torch.bincount(labels, minlength=classes).tolist()
    empty = [str(label) for label, count in enumerate(counts[:classes]) if not count]
    if empty:
        problems.append(
            f"linear probe: no images of class {', '.join(empty[:8])} ({len(empty)} of {classes} classes); draw some, "
            "or remove the class."
        )
    if len(counts) > classes:
        problems.append(f"linear probe: label {len(counts) - 1}; 0 to {classes - 1} are allowed.")
    if not (l2 > 0 and math.isfinite(l2)):
        problems.append(f"linear probe: l2 {l2}; a finite number above 0 is allowed.")
    if problems:
        raise UserError(shortened("\n".join(problems)))
