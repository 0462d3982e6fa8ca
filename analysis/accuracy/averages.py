"""Accuracies averaged over assignments of texts to classes, image by image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from analysis.accuracy.encoded_texts import Texts
from analysis.accuracy.record import Arm, Comparison, Hits, Permuted
from analysis.accuracy.zero_shot import class_vectors, rank_classes
from analysis.statistics.intervals import all_equal, mean_t, within
from analysis.statistics.paired import paired_averages
from analysis.statistics.shares import share_interval
from ex2.run.descriptions import LabeledText
from reward.image_bank import ImageEmbeddings


class Average(NamedTuple):
    """Accuracies over assignments.

    Attributes:
        accuracies: Accuracy of each assignment.
        right: Share of the assignments with which an image is right, float64, shape (N,).
        fallback: Indices of the classes without a text in the first assignment.
    """

    accuracies: tuple[float, ...]
    right: torch.Tensor
    fallback: tuple[int, ...]


def average_over(
    texts: Texts, sets: Sequence[Sequence[LabeledText]], images: ImageEmbeddings, fallback: torch.Tensor
) -> Average:
    """Classify the images once with each assignment.

    Args:
        texts: Embeddings of all texts.
        sets: Class index and text of each text, for each assignment; at least one assignment.
        images: Test images of C classes.
        fallback: Embedding of each class's plain template, used where a class has no text, shape (C, D).
    """
    accuracies, total = [], torch.zeros(len(images.labels), dtype=torch.float64)
    without: tuple[int, ...] = ()
    for number, pairs in enumerate(sets):
        labels = torch.tensor([label for label, _ in pairs], dtype=torch.long)
        made = class_vectors(texts[[text for _, text in pairs]], labels, len(images.class_names), fallback)
        hits = rank_classes(images.embeddings, made.vectors, images.labels).rank == 0
        accuracies.append(float(hits.double().mean()))
        total += hits
        without = without if number else made.fallback
    return Average(tuple(accuracies), total / len(sets), without)


def average_arm(
    average: Average, sets: Sequence[Sequence[LabeledText]], class_names: Sequence[str], confidence: float
) -> Arm:
    """Return an averaged arm as a result: its interval is Student's t over images, or that of a share if all agree."""
    right = average.right.tolist()
    value, n = sum(right) / len(right), len(right)
    over = share_interval(round(value * n), n, confidence)
    if not all_equal(right):
        over = within(mean_t(right, confidence), 0.0, 1.0)
    assert over.low is not None, "from two images on, a mean has an interval"
    assert over.high is not None, "from two images on, a mean has an interval"
    return Arm(
        top1=Hits(value, over.low, over.high, n, round(value * n)),
        texts=len(sets[0]),
        unique_texts=len(set(sets[0])),
        fallback_classes=tuple(class_names[label] for label in average.fallback),
        assignments=len(sets),
    )


def compare_averages(arm: str, average: Average, against: str, right: Sequence[bool], confidence: float) -> Comparison:
    """Compare an averaged arm with one that is measured once."""
    return Comparison(arm, against, paired_averages(average.right.tolist(), right, confidence=confidence))


def beside(right: Sequence[bool], average: Average) -> Permuted:
    """Return accuracies of permuted texts beside the arm whose texts they are.

    Args:
        right: Which images are right with the texts as they are.
        average: The permutations.
    """
    changes = torch.tensor(right, dtype=torch.float64) - average.right
    error = float(changes.std(correction=1)) / math.sqrt(len(changes)) if len(changes) > 1 else 0.0
    return Permuted(average.accuracies, error)
