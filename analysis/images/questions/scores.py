"""From answers to scores: accuracy, balanced accuracy and their parts, with intervals over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from analysis.images.questions.answerers.local_wording import is_vqascore
from analysis.images.questions.files import Asked, image_numbers
from analysis.images.questions.record import (
    AboutScore,
    AnswererComparison,
    AnswerScores,
    ExampleAnswers,
    FileComparison,
    QuestionCounts,
)
from analysis.judge.base import Answer, Verdict, answer_word
from analysis.statistics.clustered import clustered_pairs, clustered_share, mean_of_shares, shift
from analysis.statistics.holm import holm
from analysis.statistics.intervals import Estimate

EXAMPLES = 12
"""Examples of each file."""
SHOWN_RIGHT = 3
"""Of these, so many that all answerers have right, if there are any."""

ByImage = tuple[list[int], list[int]]
"""Hits and observations of each image."""


class Given(NamedTuple):
    """A question of a file and one answerer's answer to it.

    Attributes:
        image: Number of the image in the file.
        answer: The right answer.
        said: What was answered; None if it could not be read.
        about: Category of the question.
    """

    image: int
    answer: bool
    said: bool | None
    about: str


def counts_of(asked: Sequence[Asked]) -> QuestionCounts:
    """Count what a file holds."""
    yes = sum(one.answer for one in asked)
    return QuestionCounts(
        images=len({one.question.pixels for one in asked}),
        yes=yes,
        no=len(asked) - yes,
        words=sum(len(one.question.question.split()) for one in asked),
    )


def given_answers(asked: Sequence[Asked], answers: Sequence[Answer]) -> list[Given]:
    """Put questions and answers side by side; both are in one order."""
    return [
        Given(image, one.answer, answer.answer if isinstance(answer, Verdict) else None, one.about)
        for image, one, answer in zip(image_numbers(asked), asked, answers, strict=True)
    ]


def scores_of(
    file: str, answerer: str, asked: Sequence[Asked], answers: Sequence[Answer], confidence: float = 0.95
) -> AnswerScores:
    """Score one answerer on one file.

    Args:
        file: Name of the file.
        answerer: Name of the answerer.
        asked: The file's questions, at least one.
        answers: The answer to each, in the same order.
        confidence: Coverage of the intervals, in (0, 1).
    """
    given = given_answers(asked, answers)
    read = [one for one in given if one.said is not None]
    right = clustered_share(*_right(read), confidence) if read else None
    says_yes = clustered_share(*_by_image(read, [one.said is True for one in read]), confidence) if read else None
    positive, negative = ([one for one in read if one.answer is side] for side in (True, False))
    balanced = None
    if positive and negative:
        images = 1 + max(one.image for one in read)
        balanced = mean_of_shares(_right(positive, images), _right(negative, images), confidence)
    p_yes = [answer.p_yes for answer in answers if answer.p_yes is not None]
    return AnswerScores(
        file=file,
        answerer=answerer,
        asked=len(asked),
        unparsed=len(given) - len(read),
        accuracy_of_all=_share(given, confidence),
        accuracy=right and right.estimate,
        balanced=balanced,
        sensitivity=_share(positive, confidence) if positive else None,
        specificity=_share(negative, confidence) if negative else None,
        yes_rate=says_yes and says_yes.estimate,
        design_effect=right.design_effect if right else 1.0,
        about=_by_about(given, confidence),
        p_yes=float(np.mean(p_yes)) if p_yes and len(p_yes) == len(asked) else None,
        vqascore=bool(p_yes) and all(is_vqascore(one.question.question) for one in asked),
    )


def compared_answerers(
    files: Mapping[str, Mapping[str, Sequence[Given]]], confidence: float = 0.95
) -> list[AnswererComparison]:
    """Compare each pair of answerers on each file, on the questions that both answered readably.

    Args:
        files: Name of a file → name of an answerer → its answers, all in the file's order.
        confidence: Coverage of the intervals, in (0, 1).

    Returns:
        The comparisons, with p-values corrected over all of them by Holm's method. A pair without a common readable
        answer is left out.
    """
    found = []
    for file, by_answerer in files.items():
        for first, second in combinations(by_answerer, 2):
            pairs = [
                (a.said == a.answer, b.said == b.answer, a.image)
                for a, b in zip(by_answerer[first], by_answerer[second], strict=True)
                if a.said is not None and b.said is not None
            ]
            if not pairs:
                continue
            ours, theirs, images = zip(*pairs, strict=True)
            tested = clustered_pairs(ours, theirs, images, confidence)
            difference = Estimate(tested.difference, tested.low, tested.high, tested.n)
            sides = (tested.only_first, tested.only_second)
            found.append((file, first, second, difference, tested.p, sides))
    corrected = holm([p for *_, p, _ in found])
    return [
        AnswererComparison(
            file=file,
            first=first,
            second=second,
            difference=difference,
            p=p,
            p_holm=p_holm,
            only_first=sides[0],
            only_second=sides[1],
        )
        for (file, first, second, difference, p, sides), p_holm in zip(found, corrected, strict=True)
    ]


def compared_files(
    files: Mapping[str, Mapping[str, Sequence[Given]]], reference: str, confidence: float = 0.95
) -> list[FileComparison]:
    """Compare each answerer's accuracy on each file with that on a reference, over the images of both.

    Args:
        files: As of `compared_answerers`.
        reference: Name of the file that the others are compared with.
        confidence: Coverage of the intervals, in (0, 1).

    Returns:
        The comparisons, with p-values corrected over all of them by Holm's method; those without a readable answer on
        either side, or with too few images for an interval, are left out.
    """
    found = []
    for file, by_answerer in files.items():
        for answerer, given in by_answerer.items() if file != reference else ():
            both = [[one for one in side if one.said is not None] for side in (given, files[reference][answerer])]
            tested = shift(_right(both[0]), _right(both[1]), confidence) if all(both) else None
            if tested is not None:
                found.append((answerer, file, tested))
    corrected = holm([tested.p for *_, tested in found])
    return [
        FileComparison(
            answerer=answerer, file=file, against=reference, difference=tested.difference, p=tested.p, p_holm=p_holm
        )
        for (answerer, file, tested), p_holm in zip(found, corrected, strict=True)
    ]


def examples_of(
    file: str, asked: Sequence[Asked], answers: Mapping[str, Sequence[Answer]], most: int = EXAMPLES
) -> list[ExampleAnswers]:
    """Choose questions to show: those that most answerers have wrong first, then unread ones, then a few right ones.

    Args:
        file: Name of the file.
        asked: Its questions.
        answers: Name of the answerer → its answers, in the same order.
        most: Most examples.
    """
    found = [
        ExampleAnswers(
            file=file,
            image=one.question.image,
            pixels=one.question.pixels,
            question=one.question.question,
            answer="yes" if one.answer else "no",
            about=one.about,
            answers={name: answer_word(given[place]) for name, given in answers.items()},
        )
        for place, one in enumerate(asked)
    ]
    amiss = sorted((one for one in found if one.wrong or one.unparsed), key=lambda one: (-one.wrong, -one.unparsed))
    right = [one for one in found if not one.wrong and not one.unparsed]
    shown = amiss[: max(most - min(SHOWN_RIGHT, len(right)), 0)]
    return [*shown, *right[: most - len(shown)][: SHOWN_RIGHT if amiss else most]]


def _by_about(given: Sequence[Given], confidence: float) -> tuple[AboutScore, ...]:
    names = sorted({one.about for one in given})
    if names == [""]:
        return ()
    found = []
    for name in names:
        of_it = [one for one in given if one.about == name]
        read = [one for one in of_it if one.said is not None]
        accuracy = _share(read, confidence) if read else None
        found.append(AboutScore(about=name, asked=len(of_it), unparsed=len(of_it) - len(read), accuracy=accuracy))
    return tuple(found)


def _share(given: Sequence[Given], confidence: float) -> Estimate:
    return clustered_share(*_right(given), confidence).estimate


def _right(given: Sequence[Given], images: int | None = None) -> ByImage:
    return _by_image(given, [one.said == one.answer for one in given], images)


def _by_image(given: Sequence[Given], hits: Sequence[bool], images: int | None = None) -> ByImage:
    places = [one.image for one in given]
    many = images or 1 + max(places)
    counts = np.bincount(places, minlength=many)
    return np.bincount(places, weights=hits, minlength=many).astype(int).tolist(), counts.tolist()
