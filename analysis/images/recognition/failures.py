"""Images that are not recognized: what each set's best recognizer takes them for, and what all see on every image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.images.recognition.record import REAL, Failure, Failures, Recognized, Seen
from analysis.images.recognition.rules import Answers, Rule
from analysis.images.recognition.scores import hits
from analysis.images.recognition.seen import Kind, Sight

MOST_SHOWN = 60
"""Most failures of a set that are kept to be shown."""


def failures_of(
    recognized: Sequence[Recognized],
    found: Sequence[Sight],
    kinds: Sequence[Kind],
    right: Mapping[Rule, Sequence[Sequence[Answers]]],
    class_names: Sequence[str],
) -> tuple[Failures, ...]:
    """Return the failures of each set's best recognizer, by the reviewed classes where there are some.

    An image is one if its category is not among the five likeliest classes, as in the paper's appendix B.

    Args:
        recognized: Means of each recognizer.
        found: What each recognizer sees on each kind of images.
        kinds: The kinds of images.
        right: Of each rule and recognizer, what is right for each category.
        class_names: The categories in label order.
    """
    made = []
    for number, kind in enumerate(kinds):
        if kind.of == REAL:
            continue
        own = [one for one in recognized if one.of == kind.of]
        by_list = [one for one in own if one.rule == "synsets"] or own
        if not by_list:
            continue
        best = max(by_list, key=lambda one: one.top1.value)
        at = [one.name for one in found].index(best.recognizer)
        answers = right[best.rule][at]
        labels = kind.units.labels
        able = np.array([bool(answers[label].ids) for label in labels])
        failed = np.flatnonzero(able & ~hits(found[at].top[number], labels, answers, 5))
        shown = [
            Failure(
                of=kind.of,
                seed=kind.places[row].seed,
                image=kind.places[row].image,
                category=class_names[labels[row]],
                predictions=tuple(_short(found[at].labels[one]) for one in found[at].top[number][row]),
            )
            for row in _in_turn(failed, labels)[:MOST_SHOWN]
        ]
        made.append(
            Failures(
                of=kind.of,
                recognizer=best.recognizer,
                rule=best.rule,
                images=int(able.sum()),
                failed=len(failed),
                shown=tuple(shown),
            )
        )
    return tuple(made)


def seen_images(found: Sequence[Sight], kinds: Sequence[Kind], class_names: Sequence[str]) -> tuple[Seen, ...]:
    """Return what all recognizers see on every image, in numbers of classes."""
    return tuple(
        Seen(
            of=kind.of,
            seed=place.seed,
            image=place.image,
            category=class_names[kind.units.labels[row]],
            top=tuple(" ".join(map(str, one.top[number][row].tolist())) for one in found),
        )
        for number, kind in enumerate(kinds)
        for row, place in enumerate(kind.places)
    )


def _in_turn(rows: NDArray[np.intp], labels: NDArray[np.int64]) -> list[int]:
    """Return rows by turns of classes: the first of every class, then the second of each."""
    turn: dict[int, int] = {}
    placed = []
    for row in rows.tolist():
        label = int(labels[row])
        placed.append((turn.get(label, 0), label, row))
        turn[label] = turn.get(label, 0) + 1
    return [row for _, _, row in sorted(placed)]


def _short(label: str) -> str:
    """Return the first of a label's synonyms."""
    return label.split(",")[0].strip()
