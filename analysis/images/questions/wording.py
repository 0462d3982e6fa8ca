"""What answers say, in sentences that hold no more than the numbers do."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.images.questions.record import AnswererComparison, AnswerScores, FileComparison, QuestionStudy, Score
from analysis.results.wording import NBSP, p_digits
from analysis.statistics.intervals import Estimate
from reward.numerals import decimal

NAMES: Mapping[Score, str] = {
    "accuracy": "accuracy",
    "accuracy_of_all": "accuracy, unparsed wrong",
    "balanced": "balanced accuracy",
    "sensitivity": "right where yes",
    "specificity": "right where no",
    "yes_rate": "says yes",
}
"""Score → header of its column."""

CHANCE = 0.5
"""Balanced accuracy of an answerer that does not look at the image."""

RULES = (
    "Intervals are over images: answers about one image fall together, so that each answer tells less than an "
    "independent one would. Accuracy, balanced accuracy and their parts are of the answers that could be read; "
    "“unparsed wrong” is of all. Balanced accuracy is the mean of accuracy where the right answer is yes and where it "
    "is no: it is 50 % for whoever answers without looking, whatever the answers' frequencies."
)
"""Sentence that every table of scores ends with."""


def percent_of(number: Estimate) -> str:
    """Return `90.3 % [88.1, 92.2]`."""
    bounds = ""
    if number.low is not None and number.high is not None:
        bounds = f" [{decimal(100 * number.low, 1)}, {decimal(100 * number.high, 1)}]"
    return f"{decimal(100 * number.value, 1)}{NBSP}%{bounds}"


def points_of(number: Estimate) -> str:
    """Return `+1.2 points [−0.4, +2.8]`."""
    bounds = ""
    if number.low is not None and number.high is not None:
        low, high = (decimal(100 * end, 1, sign=True) for end in (number.low, number.high))
        bounds = f" [{low}, {high}]"
    return f"{decimal(100 * number.value, 1, sign=True)}{NBSP}points{bounds}"


def holds(number: Estimate, value: float) -> bool:
    """Say whether a number's interval holds a value; one without an interval holds any."""
    return number.low is None or number.high is None or number.low <= value <= number.high


def cautions(scores: AnswerScores, majority: float) -> list[str]:
    """Return what keeps an answerer's accuracy from saying that it sees, in sentences.

    Args:
        scores: The answerer's scores on a file.
        majority: Accuracy of giving the more frequent answer to every question of the file.
    """
    who = f"{scores.answerer} on {scores.file}"
    accuracy, balanced, yes = scores.accuracy, scores.balanced, scores.yes_rate
    if accuracy is None:
        return [f"{who}: none of {scores.asked:,} answers could be read; there is no accuracy."]
    said = []
    if balanced is not None and holds(balanced, CHANCE):
        though = "" if holds(accuracy, CHANCE) else f", though accuracy is {percent_of(accuracy)}"
        always = ""
        if yes is not None and yes.value in (0.0, 1.0):
            always = f"; it says {'yes' if yes.value else 'no'} to every question"
        said.append(f"{who}: balanced accuracy is at chance, {percent_of(balanced)}{though}{always}.")
    if holds(accuracy, majority):
        said.append(
            f"{who}: accuracy {percent_of(accuracy)} is not told from always giving the more frequent answer, which "
            f"has {decimal(100 * majority, 1)}{NBSP}%."
        )
    if scores.unparsed:
        said.append(
            f"{who}: {scores.unparsed:,} of {scores.asked:,} answers are neither yes nor no; counted as wrong, "
            f"accuracy is {percent_of(scores.accuracy_of_all)}."
        )
    return said


def all_cautions(study: QuestionStudy) -> list[str]:
    """Return the cautions on every answerer and file, see `cautions`."""
    return [line for one in study.scores for line in cautions(one, study.counts(one.file).majority)]


def answerers_said(one: AnswererComparison, confidence: float) -> str:
    """Return a comparison of two answerers as a line."""
    told = "told apart" if tells(one, confidence) else "not told apart"
    return (
        f"{one.first} − {one.second} on {one.file}: {points_of(one.difference)}, n = {one.difference.n:,}, "
        f"p = {p_digits(one.p_holm)} by Holm's method: {told}"
    )


def files_said(one: FileComparison, confidence: float) -> str:
    """Return a comparison of two files as a line."""
    told = "told apart" if tells(one, confidence) else "not told apart"
    return (
        f"{one.answerer}: {one.file} − {one.against} {points_of(one.difference)}, p = {p_digits(one.p_holm)} by Holm's "
        f"method: {told}"
    )


def tells(one: AnswererComparison | FileComparison, confidence: float) -> bool:
    """Say whether a comparison's corrected p-value is below the level."""
    return one.p_holm < 1 - confidence
