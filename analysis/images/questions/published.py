"""What was published on answering binary questions about generated images, beside which a user's numbers stand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from analysis.images.questions.record import QuestionCounts
from reward.files import read_json
from reward.records import Record


@dataclass(frozen=True)
class PublishedAnswers(Record):
    """Numbers as they are printed.

    Attributes:
        source: Where they stand.
        answerer: Who answered.
        counts: What was asked.
        accuracy: In percent, with two decimals.
        words_per_question: On average.
    """

    source: str
    answerer: str
    counts: QuestionCounts
    accuracy: float
    words_per_question: float


@cache
def published() -> PublishedAnswers:
    """Return the paper's numbers."""
    return PublishedAnswers.from_json(read_json(Path(__file__).with_name("published.json")))


def attainable(percent: float, n: int, digits: int = 2) -> list[int]:
    """Return the numbers of hits among n whose share is printed as a percentage.

    Args:
        percent: As it is printed.
        n: Number of trials.
        digits: Decimals of the print.
    """
    near = round(percent * n / 100)
    candidates = range(max(0, near - 2 - n // 10), min(n, near + 2 + n // 10) + 1)
    return [hits for hits in candidates if abs(round(100 * hits / n, digits) - percent) < 10.0**-digits / 2]


def fitting_words(accuracy: float, counts: QuestionCounts) -> str:
    """Say which of a file's numbers of questions a printed accuracy fits, in words."""
    hits = attainable(accuracy, counts.questions)
    if hits:
        return f"{' or '.join(map(str, hits))} of {counts.questions}"
    parts = {"whose answer is yes": counts.yes, "whose answer is no": counts.no}
    fits = [f"{found[0]} of the {n} {words}" for words, n in parts.items() if n and (found := attainable(accuracy, n))]
    return f"no whole number of {counts.questions} gives it" + (f"; {' and '.join(fits)} does" if fits else "")
