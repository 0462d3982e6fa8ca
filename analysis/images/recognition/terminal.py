"""Recognition in the terminal: means by both rules, sets against real images, what all recognizers share."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from analysis.images.recognition.figure import main_rule
from analysis.images.recognition.record import Recognition
from analysis.images.recognition.rules import RULES
from analysis.images.recognition.tables import CLASSIFIERS
from analysis.images.recognition.wording import RULE_NAMES, kind_name, level, not_answered_lines, share_cell
from analysis.images.wording import points_of
from analysis.results.wording import p_digits, percent
from analysis.tables.table import Cell, Row, Table
from analysis.tables.terminal import print_table
from reward.numerals import decimal
from reward.terminal import PlainConsole

MOST_OF_NAME = 12
"""Characters of a name that are not broken over lines."""


def print_recognition(found: Recognition, console: Console | None = None) -> None:
    """Print what recognizers see.

    Args:
        found: What they see.
        console: Where to print; by default the terminal.
    """
    where = console or PlainConsole(highlight=False)
    print_table(_means(found), where, widest_name=MOST_OF_NAME)
    for line in [*shift_lines(found), *_together(found), *_within(found), *not_answered_lines(found)]:
        where.print(line, markup=False, highlight=False, soft_wrap=True)


def _means(found: Recognition) -> Table:
    by = {(one.of, one.recognizer, one.rule): one for one in found.recognized}
    rows = []
    for of, name in dict.fromkeys((one.of, one.recognizer) for one in found.recognized):
        cells = []
        for rule in RULES:
            one = by.get((of, name, rule))
            for number in (None, None) if one is None else (one.top1, one.top5):
                cells.append(Cell(empty="none") if number is None else replace(share_cell(number), n=0))
        rows.append(Row((kind_name(of), name), tuple(cells)))
    columns = tuple(f"{name} top-{top}" for name in ("words", "classes") for top in (1, 5))
    images = dict.fromkeys(f"{kind_name(one.of)} {found.images[one.of]:,}" for one in found.recognized)
    counts = {one.rule: one.categories for one in found.recognized}
    over = ", ".join(f"{count} by the {RULE_NAMES[rule]}" for rule, count in counts.items())
    title = f"{found.name}: what recognizers see, {level(found)} intervals"
    notes = (
        f"Means over categories: {over}. Labels: {found.labels}. Different images, also of categories in no mean: "
        f"{', '.join(images)}.",
    )
    return Table("images-recognition", title, ("images", "recognizer"), columns, tuple(rows), notes)


def shift_lines(found: Recognition) -> list[str]:
    """Say of each set what it loses beyond real images, by the main rule; a sentence for each."""
    rule = main_rule(found)
    rows = [one for one in found.shifts if one.rule == rule]
    said = []
    for name in dict.fromkeys(one.name for one in rows):
        own = [one for one in rows if one.name == name]
        told = [one for one in own if one.told(found.confidence)]
        numbers = "; ".join(
            f"{one.recognizer} {points_of(one.difference)}, p = {p_digits(one.p_holm)} by Holm's method" for one in own
        )
        if not told:
            verdict = "is not told from real images"
        elif len({one.difference.value > 0 for one in told}) > 1:
            verdict = "is told from real images, in both directions"
        else:
            word = "less" if told[0].difference.value < 0 else "more"
            many = "every recognizer" if len(told) == len(own) else f"{len(told)} of {len(own)} recognizers"
            verdict = f"is recognized {word} than real images by {many}"
        said.append(f"{name} {verdict}: {numbers}.")
    return said


def _together(found: Recognition) -> list[str]:
    rule = main_rule(found)
    return [
        f"{kind_name(one.of)}: all recognizers right on {percent(one.succeed, blank=' ')} of images, against "
        f"{decimal(100 * one.succeed_expected, 1)} % if they were independent; all wrong on "
        f"{percent(one.fail, blank=' ')} against {decimal(100 * one.fail_expected, 1)} %"
        for one in found.agreements
        if one.rule == rule and one.top == 1 and not one.category
    ]


def _within(found: Recognition) -> list[str]:
    said = []
    for one in found.within:
        if one.accuracy is None:
            said.append(f"within {one.name}: not measured, since {one.why}")
            continue
        cler = "" if one.cler is None else f"; its CLER on real images is {percent(one.cler, blank=' ')}"
        said.append(
            f"within {one.name}: {CLASSIFIERS[one.classifier]} of other images of the set recognize "
            f"{percent(one.accuracy, blank=' ')} of n = {one.accuracy.n:,}{cler}"
        )
    return said
