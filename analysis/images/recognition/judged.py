"""What recognizers get right on one kind of images, under one rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.images.recognition.record import Top
from analysis.images.recognition.rules import Answers, Rule
from analysis.images.recognition.scores import Flags, Units, hits
from analysis.images.recognition.seen import Kind, Sight

TOPS: tuple[Top, ...] = (1, 5)


@dataclass(frozen=True)
class Judged:
    """What recognizers get right on one kind of images, under one rule.

    Attributes:
        of: The set, or `REAL`.
        rule: The rule.
        names: Of the R recognizers that can answer some category.
        units: Labels and seeds of the N images.
        right: How many classes count → whether each recognizer is right, shape (N, R).
        answerable: Whether each recognizer can answer each of C categories, shape (R, C).
    """

    of: str
    rule: Rule
    names: Sequence[str]
    units: Units
    right: Mapping[Top, Flags]
    answerable: Flags

    @property
    def common(self) -> Flags:
        """Whether an image is of a category that all recognizers can answer, shape (N,)."""
        common: Flags = np.all(self.answerable, axis=0).astype(bool)
        return common[self.units.labels]

    def only(self, labels: Flags) -> Judged:
        """Return the images of some categories, given by a flag for each, that all recognizers can answer."""
        rows = self.common & labels[self.units.labels]
        return replace(self, units=self.units.of(rows), right={top: flags[rows] for top, flags in self.right.items()})


def judge(
    rule: Rule, found: Sequence[Sight], kind: tuple[int, Kind], right: Sequence[Sequence[Answers]]
) -> Judged | None:
    """Judge predictions on one kind of images; None if no recognizer can answer any category.

    Args:
        rule: The rule.
        found: What each recognizer sees.
        kind: Number and images of the kind.
        right: Of each recognizer, what is right for each category under the rule.
    """
    number, images = kind
    able = [at for at, of_one in enumerate(right) if any(one.ids for one in of_one)]
    if not able or not len(images.units.labels):
        return None
    labels = images.units.labels
    return Judged(
        images.of,
        rule,
        [found[at].name for at in able],
        images.units,
        {top: np.stack([hits(found[at].top[number], labels, right[at], top) for at in able], axis=1) for top in TOPS},
        np.array([[bool(one.ids) for one in right[at]] for at in able]),
    )
