"""The report's section on what the gain over the templates is made of: the rule's sentence, numbers and picture."""

from __future__ import annotations

from analysis.accuracy.record import NamesInTexts
from analysis.figures.gain import gain_figure
from analysis.results.attribution import GainParts, Part, parts_of
from analysis.results.experiment import Experiment
from analysis.results.reading import reading
from analysis.results.wording import NBSP, evidence, images_interval, listing, p_words, points
from analysis.tables.view import ReportSection
from reward.numerals import decimal

TITLE = "What the gain is made of"
COLUMNS = ("Part", "Is", "Points of accuracy", "Evidence")


def gain_section(experiment: Experiment) -> ReportSection | None:
    """Return the section; `None` if it was not measured what the gain is made of.

    Args:
        experiment: A run's experiment.
    """
    said, parts, gain = reading(experiment), experiment.gain_parts, experiment.tested("aligned", "templates")
    if said is None or parts is None or gain is None:
        return None
    found = parts_of(parts, gain)
    wide, narrow = gain_figure([part for part in found if part.is_part])
    return ReportSection(TITLE, said.words, COLUMNS, tuple(_row(part) for part in found), _notes(parts), wide, narrow)


def _row(part: Part) -> tuple[str, ...]:
    # An average over assignments has no test of single images: its interval says all.
    test = evidence(part.value) if part.value.p is not None or part.value.p_by_seed else ""
    value = "; ".join(words for words in (points(part.value), images_interval(part.value)) if words)
    return (part.name, part.meaning, value, test if part.p is None else p_words(part.p))


def _notes(parts: GainParts) -> tuple[str, ...]:
    notes = [names_words(parts.names)]
    if parts.names.describing:
        names = [f"“{name}”" for name in parts.names.describing[:5]]
        rest = len(parts.names.describing) - len(names)
        more = f" and {rest} more" if rest else ""
        notes.append(
            f"Names that are themselves descriptions: {listing(names)}{more}. What such a name says counts as the "
            "name, not as content."
        )
    left = f"; {parts.left_out:,} were left out to encode fewer texts" if parts.left_out else ""
    notes += [
        f"{parts.texts:,} texts that name their class take part{left}; {parts.pool:,} are given to every class.",
        "In the place of a name stands the class's own. Content is tested by permutations: of the texts over classes "
        "within each question (its other end), and of all texts of a class to another one; the larger p counts, and "
        "both must be on one side. Each p and its interval hold what other assignments of the texts, other images and, "
        "where there are several, other seeds would change.",
    ]
    return tuple(notes)


def names_words(names: NamesInTexts) -> str:
    """Return which shares of the texts name their class, another one, and none."""
    own, other, none = (100 * part / names.texts for part in (names.own, names.other, names.none))
    return (
        f"Of {names.texts:,} aligned texts, {decimal(own, 1)}{NBSP}% name their class, {decimal(other, 1)}{NBSP}% "
        f"another class and {decimal(none, 1)}{NBSP}% none."
    )
