"""What `questions.json` holds: how well answerers answered the questions of files, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from analysis.images.record import Number
from analysis.judge.base import AnswerWord, Usage
from analysis.statistics.intervals import Estimate
from reward.records import JSON, Keyed, Record

FORMAT = 1

Score = Literal["accuracy", "accuracy_of_all", "balanced", "sensitivity", "specificity", "yes_rate"]
"""Shares of answers. All but `accuracy_of_all` are of the answers that could be read; there the others count as wrong.
`sensitivity` is accuracy on questions whose right answer is yes, `specificity` on those whose right answer is no,
`balanced` their mean, and `yes_rate` the share of yes."""


@dataclass(frozen=True, kw_only=True)
class QuestionCounts(Record):
    """What a file of questions holds, in numbers.

    Attributes:
        images: Number of images.
        yes: Questions whose right answer is yes.
        no: Questions whose right answer is no.
        words: Words of all questions together.
    """

    images: int
    yes: int
    no: int
    words: int = 0

    @property
    def questions(self) -> int:
        """Number of questions."""
        return self.yes + self.no

    @property
    def per_image(self) -> float:
        """Questions an image, on average."""
        return self.questions / self.images

    @property
    def majority(self) -> float:
        """Accuracy of giving the more frequent right answer to every question."""
        return max(self.yes, self.no) / self.questions

    @property
    def words_per_question(self) -> float:
        """Words of a question, on average."""
        return self.words / self.questions


@dataclass(frozen=True, kw_only=True)
class QuestionsRecord(Record):
    """A file of questions as it was asked.

    Attributes:
        name: Its name in tables.
        file: Path of the file.
        digest: SHA-256 of its content.
        counts: What it holds, in numbers.
    """

    name: str
    file: str
    digest: str
    counts: QuestionCounts


@dataclass(frozen=True, kw_only=True)
class AnswererRecord(Record):
    """Who answered.

    Attributes:
        name: Its name in tables; of equal ones, numbered.
        kind: Name in the recipe.
        digest: Hash of all that determines its answers.
        settings: Its settings in the recipe.
        exact: Whether the answers are true by construction but for planted errors.
        spent: Requests and tokens that the answers took, in all runs of the command; None if it does not count them.
        cost: Price of that, in the currency of its prices; None if it is not known.
    """

    name: str
    kind: str
    digest: str
    settings: JSON
    exact: bool
    spent: Annotated[Usage, Keyed()] | None = None
    cost: float | None = None


@dataclass(frozen=True, kw_only=True)
class AboutScore(Record):
    """The answers on one category of questions.

    Attributes:
        about: The category; "" for questions without one.
        asked: Number of its questions.
        unparsed: Answers that could not be read.
        accuracy: Of those that could be read; None if there are none.
    """

    about: str
    asked: int
    unparsed: int
    accuracy: Number | None = None


@dataclass(frozen=True, kw_only=True)
class AnswerScores(Record):
    """One answerer on one file.

    Attributes:
        file: Name of the file.
        answerer: Name of the answerer.
        asked: Number of questions.
        unparsed: Answers that are neither yes nor no.
        accuracy_of_all: Accuracy with unparsed answers as wrong; intervals of all scores are over images.
        accuracy: Accuracy of the answers that could be read; None, as all below, if there is no observation.
        balanced: Mean of sensitivity and specificity.
        sensitivity: Accuracy where the right answer is yes.
        specificity: Accuracy where the right answer is no.
        yes_rate: Share of yes.
        design_effect: Of accuracy: by what its variance is greater than that of independent answers.
        about: By category, if the file has any.
        p_yes: Mean of the model's own probability of "Yes"; None if it tells none.
        vqascore: Whether that is VQAScore: whether every question asks if the image shows a text, in VQAScore's words.
    """

    file: str
    answerer: str
    asked: int
    unparsed: int
    accuracy_of_all: Number
    accuracy: Number | None = None
    balanced: Number | None = None
    sensitivity: Number | None = None
    specificity: Number | None = None
    yes_rate: Number | None = None
    design_effect: float = 1.0
    about: tuple[AboutScore, ...] = ()
    p_yes: float | None = None
    vqascore: bool = False

    def score(self, name: Score) -> Estimate | None:
        """Return one score, None if it has no observation."""
        found: Estimate | None = getattr(self, name)
        return found


@dataclass(frozen=True, kw_only=True)
class AnswererComparison(Record):
    """Two answerers on the same questions, which both answered readably.

    Attributes:
        file: Name of the file.
        first: Name of the one.
        second: Name of the other.
        difference: Accuracy of the first minus that of the second; `n` counts questions.
        p: Its p-value over images.
        p_holm: The same, corrected over all comparisons of answerers in this record.
        only_first: Questions that only the first has right.
        only_second: Questions that only the second has right.
    """

    file: str
    first: str
    second: str
    difference: Number
    p: float
    p_holm: float
    only_first: int
    only_second: int


@dataclass(frozen=True, kw_only=True)
class FileComparison(Record):
    """One answerer on two files, such as questions about generated and about real images.

    Attributes:
        answerer: Name of the answerer.
        file: Name of the one file.
        against: Name of the other.
        difference: Accuracy on the one minus that on the other; `n` is the smaller number of questions.
        p: Its p-value over images.
        p_holm: The same, corrected over all comparisons of files in this record.
    """

    answerer: str
    file: str
    against: str
    difference: Number
    p: float
    p_holm: float


@dataclass(frozen=True, kw_only=True)
class ExampleAnswers(Record):
    """A question with what was answered.

    Attributes:
        file: Name of the file.
        image: Name of the image, from the file's folder.
        pixels: Digest of the image.
        question: The question.
        answer: The right answer.
        about: Its category.
        answers: Name of the answerer → what it answered.
    """

    file: str
    image: str
    pixels: str
    question: str
    answer: Literal["yes", "no"]
    about: str
    answers: Mapping[str, AnswerWord]

    @property
    def wrong(self) -> int:
        """Number of answerers that gave the wrong answer."""
        return sum(word not in (self.answer, "unparsed") for word in self.answers.values())

    @property
    def unparsed(self) -> int:
        """Number of answerers whose answer could not be read."""
        return sum(word == "unparsed" for word in self.answers.values())


@dataclass(frozen=True, kw_only=True)
class QuestionStudy(Record):
    """Content of `questions.json`.

    Attributes:
        name: Name of the recipe, or of the folder of results.
        confidence: Coverage of every interval.
        files: Files of questions, in the recipe's order.
        answerers: In the recipe's order.
        scores: Each answerer on each file.
        answerer_comparisons: Each pair of answerers on each file.
        file_comparisons: Each answerer on each file against the reference.
        reference: The file that others are compared with; "" if there is one file.
        examples: Some questions of each file, those that most answerers have wrong first.
    """

    name: str
    confidence: float
    files: tuple[QuestionsRecord, ...]
    answerers: tuple[AnswererRecord, ...]
    scores: tuple[AnswerScores, ...]
    answerer_comparisons: tuple[AnswererComparison, ...] = ()
    file_comparisons: tuple[FileComparison, ...] = ()
    reference: str = ""
    examples: tuple[ExampleAnswers, ...] = field(default=())

    def as_written(self, stored: JSON) -> JSON:
        """Store the format as the first key."""
        return {"format": FORMAT, **stored}

    def counts(self, file: str) -> QuestionCounts:
        """Return what a file holds, in numbers.

        Raises:
            KeyError: If there is none of this name.
        """
        return {one.name: one.counts for one in self.files}[file]
