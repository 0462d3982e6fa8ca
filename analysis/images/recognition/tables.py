"""Recognition as tables: means, categories, agreement, recognizers compared, sets against real images, within sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from analysis.images.recognition.record import OfCategory, Recognition
from analysis.images.recognition.rules import Rule
from analysis.images.recognition.within import Classifier
from analysis.images.recognition.wording import (
    RULE_NAMES,
    kind_name,
    level,
    p_cell,
    points_cell_of,
    rule_words,
    share_cell,
)
from analysis.statistics.intervals import Estimate
from analysis.tables.table import Cell, Row, Table, count_cell, text_cell

CLASSIFIERS: dict[Classifier, str] = {"probe": "linear probe", "centers": "class centers"}
NOT_ANSWERED = "no class of it, or not reviewed"
KINDS = ("images", "recognizer", "rule")


def recognition_tables(found: Sequence[Recognition]) -> list[Table]:
    """Lay out what recognizers saw.

    Args:
        found: One or several measurements; of several each table's key has a number.

    Returns:
        The tables in the order of a report; those without a row are left out.
    """
    made = []
    for number, one in enumerate(found, start=1):
        tables = [table for make in MAKERS if (table := make(one)).rows]
        several = len(found) > 1
        made += [replace(table, key=f"{table.key}-{number}" if several else table.key) for table in tables]
    return made


def means_table(found: Recognition) -> Table:
    """Top-1 and top-5 of each recognizer on each kind of images, under both rules."""
    rows = [
        Row(
            (kind_name(one.of), one.recognizer, RULE_NAMES[one.rule]),
            (
                share_cell(one.top1, *(("over seeds, which differ by more than images do",) * one.over_seeds)),
                share_cell(one.top5),
                share_cell(one.micro1),
                share_cell(one.micro5),
                count_cell(one.categories),
            ),
        )
        for one in found.recognized
    ]
    return _table(
        found,
        "images-recognition",
        "What recognizers see",
        KINDS,
        ("top-1", "top-5", "top-1, all images", "top-5, all images", "categories"),
        rows,
        "Top-1 and top-5 are means over the categories that every recognizer can answer, each counting equally; all "
        "images: each image counting equally. n counts different images, whatever seeds have them. Intervals are over "
        "images within each category, and over seeds where these differ by more than their images explain.",
    )


def shift_table(found: Recognition) -> Table:
    """What a set loses beyond real images of the same categories."""
    rows = [
        Row(
            (one.name, one.recognizer, RULE_NAMES[one.rule]),
            (
                share_cell(one.made),
                share_cell(one.real),
                points_cell_of(one.difference),
                p_cell(one.p),
                p_cell(one.p_holm),
                text_cell("told from real images" if one.told(found.confidence) else "not told from real images"),
            ),
        )
        for one in found.shifts
    ]
    return _table(
        found,
        "images-recognition-shift",
        "Image sets against real images",
        ("set", "recognizer", "rule"),
        ("top-1 on the set", "top-1 on real images", "difference", "p", "p, Holm", "verdict"),
        rows,
        "Means over the same categories; Newcombe's intervals, and the p-values that belong to them, corrected over "
        "all sets and recognizers under a rule. What recognizers miss on real images too is not the set's fault: a "
        "set is blamed for the difference only, and only where it is told.",
    )


def top1_table(found: Recognition) -> Table:
    """Top-1 by category, and the best recognizer of each."""
    best = {(one.of, one.category, one.rule): one for one in found.best}

    def best_cell(key: Key) -> Cell:
        one = best.get(key)
        if one is None:
            return Cell(empty=NOT_ANSWERED)
        return text_cell("all" if len(one.recognizers) == len(found.recognizers) else ", ".join(one.recognizers))

    rows = [Row(row.names, (*row.cells, best_cell(key))) for key, row in _by_category(found, lambda one: one.top1)]
    return _table(
        found,
        "images-recognition-top1",
        "Top-1 by category",
        ("images", "category", "rule"),
        (*(one.name for one in found.recognizers), "best"),
        rows,
        "Wilson's intervals. Best: the recognizers with the highest share, picked by these very images, so that the "
        "best one's share is rather too high.",
    )


def top5_table(found: Recognition) -> Table:
    """Top-5 by category."""
    return _table(
        found,
        "images-recognition-top5",
        "Top-5 by category",
        ("images", "category", "rule"),
        tuple(one.name for one in found.recognizers),
        [row for _, row in _by_category(found, lambda one: one.top5)],
        "Wilson's intervals. Right if one of the five likeliest classes is; of fewer classes all count.",
    )


def agreement_table(found: Recognition) -> Table:
    """On what share of images all recognizers are right or wrong, beside what independence would give."""
    rows = [
        Row(
            (
                kind_name(one.of),
                one.category or "mean over categories",
                RULE_NAMES[one.rule],
                f"top-{one.top}",
            ),
            (
                share_cell(one.succeed),
                Cell("percent", 100 * one.succeed_expected),
                share_cell(one.fail),
                Cell("percent", 100 * one.fail_expected),
            ),
        )
        for one in sorted(found.agreements, key=lambda one: one.category != "")
    ]
    return _table(
        found,
        "images-recognition-agreement",
        "Images on which all recognizers are right, or all are wrong",
        ("images", "category", "rule", "predictions"),
        ("all right", "if independent", "all wrong", "if independent"),
        rows,
        "If independent: the product of the recognizers' rates within the category; over categories the mean of these.",
    )


def equal_table(found: Recognition) -> Table:
    """Cochran's Q: are all recognizers equally good on the same images?"""
    rows = [
        Row(
            (kind_name(one.of), RULE_NAMES[one.rule]),
            (
                Cell("number", one.q, n=one.images),
                count_cell(one.freedom),
                count_cell(one.differing, n=one.images),
                p_cell(one.p),
                p_cell(one.p_holm),
            ),
        )
        for one in found.equal
    ]
    return _table(
        found,
        "images-recognition-equal",
        "Are all recognizers equally good? (top-1)",
        ("images", "rule"),
        ("Cochran's Q", "freedom", "images on which they differ", "p", "p, Holm"),
        rows,
        "p by the chi-squared distribution, which needs some two dozen images on which they differ; corrected over the "
        "kinds of images under a rule.",
    )


def pairs_table(found: Recognition) -> Table:
    """Recognizers in pairs, by McNemar's test."""
    rows = [
        Row(
            (kind_name(one.of), f"{one.first} − {one.second}", RULE_NAMES[one.rule]),
            (points_cell_of(one.difference), p_cell(one.p), p_cell(one.p_holm)),
        )
        for one in found.pairs
    ]
    return _table(
        found,
        "images-recognition-pairs",
        "Recognizers in pairs (top-1)",
        ("images", "recognizers", "rule"),
        ("difference", "p", "p, Holm"),
        rows,
        "Of all images of the common categories; McNemar's mid-p, corrected over all pairs and kinds of images under a "
        "rule.",
    )


def within_table(found: Recognition) -> Table:
    """A probe trained and tested within each set, beside CLER of the set on test images."""
    rows = [
        Row(
            (one.name,),
            (
                Cell(empty=one.why or "not measured")
                if one.accuracy is None
                else share_cell(
                    one.accuracy,
                    *(("over seeds, which differ by more than images do",) * one.over_seeds),
                ),
                text_cell(CLASSIFIERS[one.classifier]) if one.folds else Cell(empty="none"),
                text_cell(f"{one.count} {'seeds' if one.folds == 'seeds' else 'parts'}")
                if one.folds
                else Cell(empty="none"),
                Cell(empty="not measured") if one.cler is None else share_cell(one.cler._replace(n=0)),
            ),
        )
        for one in found.within
    ]
    return _table(
        found,
        "images-recognition-within",
        "Trained and tested within a set",
        ("set",),
        ("images left out, recognized", "classifier", "left out in turn", "CLER on test images"),
        rows,
        f"A classifier on {found.vlm}, trained on some of a set's images and tested on others of it, no image on both "
        "sides: a linear probe, or class centers where images are too few to choose its penalty. A set that is told "
        "apart within itself, and worth little on test images, is coherent but shifted; "
        "one that is not told apart within itself is at fault by itself, or has too few images to learn from.",
    )


def not_answered_table(found: Recognition) -> Table:
    """Categories that are in no mean."""
    rows = [
        Row(
            (RULE_NAMES[one.rule], one.category),
            (text_cell(one.standing), text_cell(", ".join(one.recognizers)), text_cell(one.note)),
        )
        for one in found.not_answered
    ]
    return _table(
        found,
        "images-recognition-unanswered",
        "Categories in no mean",
        ("rule", "category"),
        ("standing", "recognizers", "note"),
        rows,
        "Unanswerable: the recognizer has no class of it, so that it cannot be right. Unreviewed: nobody has looked "
        "which of its classes are; give measure.synsets.",
    )


MAKERS: tuple[Callable[[Recognition], Table], ...] = (
    means_table,
    shift_table,
    top1_table,
    top5_table,
    agreement_table,
    equal_table,
    pairs_table,
    within_table,
    not_answered_table,
)


Key = tuple[str, str, Rule]
"""Kind of images, category and rule."""


def _by_category(found: Recognition, number: Callable[[OfCategory], Estimate]) -> list[tuple[Key, Row]]:
    """Return a row of all recognizers for each kind of images, category and rule."""
    cells: dict[Key, dict[str, Cell]] = {}
    for one in found.categories:
        cells.setdefault((one.of, one.category, one.rule), {})[one.recognizer] = share_cell(number(one))
    names = [one.name for one in found.recognizers]
    return [
        (
            key,
            Row(
                (kind_name(key[0]), key[1], RULE_NAMES[key[2]]),
                tuple(by_name.get(name, Cell(empty=NOT_ANSWERED)) for name in names),
            ),
        )
        for key, by_name in cells.items()
    ]


def _table(
    found: Recognition,
    key: str,
    title: str,
    names: tuple[str, ...],
    columns: tuple[str, ...],
    rows: Sequence[Row],
    *notes: str,
) -> Table:
    where = f"{found.name}: {found.dataset}, {found.split} split; {level(found)} intervals."
    return Table(key, title, names, columns, tuple(rows), (*notes, rule_words(found), where))
