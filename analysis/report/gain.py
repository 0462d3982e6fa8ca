"""The report's section on what the gain over the templates is made of: the rule's sentence, numbers and picture."""

from __future__ import annotations

from analysis.accuracy.record import NamesInTexts
from analysis.figures.gain import drawn_parts, gain_figure
from analysis.results.attribution import GainParts
from analysis.results.experiment import Experiment
from analysis.results.pooling import Difference
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
    wide, narrow = gain_figure(drawn_parts(parts, gain))
    return ReportSection(TITLE, said.words, COLUMNS, tuple(_rows(parts, gain)), tuple(_notes(parts)), wide, narrow)


def _rows(parts: GainParts, gain: Difference) -> list[tuple[str, ...]]:
    rows = [
        ("gain", "EX2's texts minus the templates", gain, evidence(gain)),
        (
            "style",
            "all classes' texts, the same for every class, minus the templates",
            parts.style,
            evidence(parts.style),
        ),
        ("unevenness", "texts exchanged between classes minus all classes' texts", parts.unevenness, ""),
        ("content, one end", "the class's own texts minus all classes'", parts.above_everyone, ""),
        (
            "content, other end",
            "the class's own texts minus exchanged ones",
            parts.above_exchanged,
            p_words(parts.content_p),
        ),
        (
            "seen content",
            f"the class's own texts with “{parts.mask}” for its name, minus the same shuffled over classes",
            parts.seen,
            p_words(parts.seen_p),
        ),
    ]
    if parts.misleading:
        rows.append(("misleading power", "another class's texts minus exchanged ones", parts.misleading, ""))
    if parts.word_order:
        order = parts.word_order
        rows.append(("word order", "EX2's texts minus the same with words shuffled", order, evidence(order)))
    return [
        (name, meaning, "; ".join(part for part in (points(value), images_interval(value)) if part), test)
        for name, meaning, value, test in rows
    ]


def _notes(parts: GainParts) -> list[str]:
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
        "within each question, and of all texts of a class to another one; the larger p counts. Intervals of content "
        "hold what other images and other assignments of the texts would change.",
    ]
    return notes


def names_words(names: NamesInTexts) -> str:
    """Return which shares of the texts name their class, another one, and none."""
    own, other, none = (100 * part / names.texts for part in (names.own, names.other, names.none))
    return (
        f"Of {names.texts:,} aligned texts, {decimal(own, 1)}{NBSP}% name their class, {decimal(other, 1)}{NBSP}% "
        f"another class and {decimal(none, 1)}{NBSP}% none."
    )
