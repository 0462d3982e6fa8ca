"""The part of a page about binary questions: tables, comparisons, and examples with their images."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from analysis.images.questions.files import open_image, pixel_digest
from analysis.images.questions.record import ExampleAnswers, QuestionStudy
from analysis.images.questions.tables import (
    about_table,
    answerers_table,
    asked_table,
    cost_table,
    files_table,
    scores_table,
)
from analysis.images.section import section_of
from analysis.tables.pages.thumbnails import encode
from analysis.tables.view import ReportSection
from reward.errors import EX2Error
from reward.images import IMAGE_ERRORS

MOST_BYTES = 1 << 20
"""Most base64 characters of all thumbnails together."""

PARTS = (
    ("Questions", scores_table, "Yes/no questions about images, and how often each answerer is right."),
    ("What was asked", asked_table, "The files of questions, and the one of the paper that did so first."),
    ("By category", about_table, "Accuracy on each category that the files name."),
    ("Answerers compared", answerers_table, "Differences of accuracy on the same questions, in points."),
    ("Generated and real", files_table, "Differences of accuracy between files of questions, in points."),
    ("Cost of answers", cost_table, "What asking took."),
)


class Answered(NamedTuple):
    """What one answerer said to a question.

    Attributes:
        name: Of the answerer.
        word: `yes`, `no` or `unparsed`.
        kind: `right`, `wrong` or `unparsed`.
    """

    name: str
    word: str
    kind: str


class Shown(NamedTuple):
    """An example as a page shows it; its texts must be escaped.

    Attributes:
        image: A JPEG in base64; "" if the image is not at hand.
        name: Of the image.
        question: The question.
        right: The right answer.
        about: Its category.
        answers: What each answerer said.
    """

    image: str
    name: str
    question: str
    right: str
    about: str
    answers: tuple[Answered, ...]


class ShownFile(NamedTuple):
    """Examples of one file of questions, those that most answerers have wrong first."""

    name: str
    examples: tuple[Shown, ...]


def question_sections(study: QuestionStudy) -> list[ReportSection]:
    """Build the sections of a study; those without a row are left out."""
    made = ((title, make([study]), intro) for title, make, intro in PARTS)
    return [section_of(table, title, intro) for title, table, intro in made if table.rows]


def shown_examples(study: QuestionStudy, *, most_bytes: int = MOST_BYTES) -> list[ShownFile]:
    """Return the examples of each file, with thumbnails of the images that are where they were and as they were.

    Args:
        study: The study.
        most_bytes: Most base64 characters of all thumbnails together; those beyond are left out.
    """
    folders = {one.name: Path(one.file).parent for one in study.files}
    left = most_bytes
    found: dict[str, list[Shown]] = {}
    for one in study.examples:
        image = _thumbnail(folders[one.file] / one.image, one.pixels)
        image = image if len(image) <= left else ""
        left -= len(image)
        found.setdefault(one.file, []).append(_shown(one, image))
    return [ShownFile(name, tuple(examples)) for name, examples in found.items()]


def _shown(one: ExampleAnswers, image: str) -> Shown:
    answers = [
        Answered(name, word, "unparsed" if word == "unparsed" else "right" if word == one.answer else "wrong")
        for name, word in one.answers.items()
    ]
    return Shown(image, one.image, one.question, one.answer, one.about, tuple(answers))


def _thumbnail(path: Path, pixels: str) -> str:
    try:
        image = open_image(path)
        return encode(image) if pixel_digest(image) == pixels else ""
    except (EX2Error, *IMAGE_ERRORS):
        return ""
