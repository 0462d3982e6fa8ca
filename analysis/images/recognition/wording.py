"""What the numbers of recognition are called, and cells made of them."""

from __future__ import annotations

from analysis.images.recognition.record import REAL, Recognition
from analysis.images.recognition.rules import Rule
from analysis.results.wording import NBSP, listing, p_digits
from analysis.statistics.intervals import Estimate
from analysis.tables.table import Cell, text_cell

RULE_NAMES: dict[Rule, str] = {"words": "words of labels", "synsets": "reviewed classes"}


def rule_words(found: Recognition) -> str:
    """Return the sentence that says when a prediction is right."""
    return (
        "Words of labels: all words of the category stand in a row in a label (list: "
        f"{found.labels}); rabbit and hare are one. Reviewed classes: the predicted class is in a reviewed list of "
        "ImageNet's classes of the category."
    )


def counted(number: int, one: str, several: str) -> str:
    """Return a number with its noun, such as `1 category` or `1,200 categories`."""
    return f"{number:,} {one if number == 1 else several}"


def kind_name(of: str) -> str:
    """Return a set's name, or what test images are called."""
    return "real images" if of == REAL else of


def level(found: Recognition) -> str:
    """Return `95 %`."""
    return f"{100 * found.confidence:g}{NBSP}%"


def share_cell(number: Estimate, *notes: str) -> Cell:
    """Make a cell of a share of images, in percent."""
    low, high = (None if end is None else 100 * end for end in (number.low, number.high))
    return Cell("percent", 100 * number.value, low, high, number.n, notes=notes)


def points_cell_of(number: Estimate) -> Cell:
    """Make a cell of a difference of shares, in points; its verdict stands in a column of its own."""
    low, high = (None if end is None else 100 * end for end in (number.low, number.high))
    return Cell("points", 100 * number.value, low, high, number.n)


def p_cell(p: float) -> Cell:
    """Make a cell of a p-value."""
    return text_cell(p_digits(p))


def not_answered_lines(found: Recognition) -> list[str]:
    """Say which categories are in no mean, a sentence for each rule and reason."""
    grouped: dict[tuple[Rule, str, tuple[str, ...]], list[str]] = {}
    for one in found.not_answered:
        name = one.category + (f" ({one.note})" if one.note else "")
        grouped.setdefault((one.rule, one.standing, one.recognizers), []).append(name)
    everyone = {one.name for one in found.recognizers}
    said = []
    for (rule, standing, recognizers), names in grouped.items():
        who = "" if set(recognizers) == everyone else f" to {listing(list(recognizers))}"
        what = "category is" if len(names) == 1 else "categories are"
        reason = "unanswerable" if standing == "unanswerable" else "not reviewed"
        said.append(f"By the {RULE_NAMES[rule]}, {len(names)} {what} {reason}{who} and in no mean: {listing(names)}.")
    return said
