"""Answers to binary questions as tables: what was asked, scores, categories, comparisons, cost."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.images.questions.published import fitting_words, published
from analysis.images.questions.record import (
    AnswererComparison,
    AnswererRecord,
    AnswerScores,
    FileComparison,
    QuestionCounts,
    QuestionStudy,
    Score,
)
from analysis.images.questions.wording import NAMES, RULES, all_cautions, tells
from analysis.results.wording import p_digits
from analysis.statistics.intervals import Estimate
from analysis.tables.table import NOTHING, Cell, Row, Table, count_cell, text_cell

SCORES: tuple[Score, ...] = ("accuracy", "balanced", "sensitivity", "specificity", "yes_rate", "accuracy_of_all")
"""Columns of the table of scores."""


def question_tables(found: Sequence[QuestionStudy]) -> list[Table]:
    """Lay out studies of questions.

    Args:
        found: One or several studies.

    Returns:
        The tables in the order of a report; those without a row are left out.
    """
    makers = (asked_table, scores_table, about_table, answerers_table, files_table, cost_table)
    return [table for make in makers if found and (table := make(found)).rows]


def asked_table(found: Sequence[QuestionStudy]) -> Table:
    """What each file holds, and what the paper's file held."""
    paper = published()
    rows = [
        Row((*run, one.name), _counts(one.counts, one.counts.words_per_question))
        for run, study in _each(found)
        for one in study.files
    ]
    rows.append(Row((*_published(found), paper.source), _counts(paper.counts, paper.words_per_question)))
    columns = ("images", "questions", "right answer yes", "right answer no", "questions an image", "majority", "words")
    notes = (
        "Majority: accuracy of giving the more frequent right answer to every question. Words: of a question, on "
        "average.",
    )
    return _table("questions-asked", "Questions about images", found, ("questions",), columns, rows, notes)


def scores_table(found: Sequence[QuestionStudy]) -> Table:
    """Accuracy, balanced accuracy and their parts, by answerer and file, and what was published."""
    paper = published()
    rows = []
    for run, study in _each(found):
        for one in study.scores:
            cells = [_percent(one.score(name), _asked(name, study.counts(one.file))) for name in SCORES]
            unparsed = count_cell(one.unparsed, n=one.asked)
            majority = Cell("percent", 100 * study.counts(one.file).majority, n=one.asked)
            rows.append(Row((*run, one.file, one.answerer), (*cells, unparsed, majority, _p_yes(one))))
    fits = fitting_words(paper.accuracy, paper.counts)
    printed = Cell("percent", paper.accuracy, n=paper.counts.questions, notes=(fits,))
    none = Cell(empty="not published")
    majority = Cell("percent", 100 * paper.counts.majority, n=paper.counts.questions)
    own = (printed, *[none] * (len(SCORES) - 1), none, majority, none)
    rows.append(Row((*_published(found), paper.source, paper.answerer), own))
    columns = (*(NAMES[name] for name in SCORES), "unparsed", "majority", "mean P(yes)")
    notes = (RULES, *(line for study in found for line in all_cautions(study)))
    names = ("questions", "answerer")
    return _table("questions-scores", "Answers to binary questions", found, names, columns, rows, notes)


def about_table(found: Sequence[QuestionStudy]) -> Table:
    """Accuracy by category of questions."""
    rows = [
        Row(
            (*run, one.file, one.answerer, part.about or "none"),
            (_percent(part.accuracy), count_cell(part.unparsed, n=part.asked)),
        )
        for run, study in _each(found)
        for one in study.scores
        for part in one.about
    ]
    names = ("questions", "answerer", "about")
    notes = ("Categories are the file's own; the intervals are each for itself.",)
    return _table("questions-about", "Answers by category", found, names, ("accuracy", "unparsed"), rows, notes)


def answerers_table(found: Sequence[QuestionStudy]) -> Table:
    """Answerers compared on the same questions."""
    rows = [
        Row(
            (*run, one.file, one.first),
            (
                text_cell(one.second),
                _points(one.difference),
                count_cell(one.only_first, n=one.difference.n),
                count_cell(one.only_second, n=one.difference.n),
                *_tested(one, study.confidence),
            ),
        )
        for run, study in _each(found)
        for one in study.answerer_comparisons
    ]
    columns = ("minus", "difference", "only the first right", "only the second right", "p", "p, Holm", "verdict")
    notes = (
        "On questions that both answered readably. What the answers about one image add to the difference is one step; "
        "p is corrected by Holm's method over all comparisons of answerers, and decides.",
    )
    return _table("questions-answerers", "Answerers compared", found, ("questions", "answerer"), columns, rows, notes)


def files_table(found: Sequence[QuestionStudy]) -> Table:
    """Each answerer's accuracy on a file minus that on the reference, such as generated minus real."""
    rows = [
        Row(
            (*run, one.answerer, one.file),
            (text_cell(one.against), _points(one.difference), *_tested(one, study.confidence)),
        )
        for run, study in _each(found)
        for one in study.file_comparisons
    ]
    columns = ("minus", "difference of accuracy", "p", "p, Holm", "verdict")
    notes = (
        "Other images and other questions on both sides: the difference is of both together. p is corrected by Holm's "
        "method over all comparisons of files, and decides.",
    )
    names = ("answerer", "questions")
    return _table("questions-files", "Files of questions compared", found, names, columns, rows, notes)


def cost_table(found: Sequence[QuestionStudy]) -> Table:
    """What answers took, of answerers that count it."""
    rows = [
        Row((*run, one.name), _spent(one))
        for run, study in _each(found)
        for one in study.answerers
        if one.spent is not None
    ]
    columns = ("requests", "input tokens", "output tokens", "cost")
    notes = ("Cost: in the currency of the prices that the recipe gives; answers from the cache took nothing.",)
    return _table("questions-cost", "What answers took", found, ("answerer",), columns, rows, notes)


def _each(found: Sequence[QuestionStudy]) -> list[tuple[tuple[str, ...], QuestionStudy]]:
    """Return each study with what its rows' names begin with: its own name, where there are several."""
    return [((study.name,) if len(found) > 1 else (), study) for study in found]


def _published(found: Sequence[QuestionStudy]) -> tuple[str, ...]:
    return ("published",) if len(found) > 1 else ()


def _table(
    key: str,
    title: str,
    found: Sequence[QuestionStudy],
    row_names: tuple[str, ...],
    columns: tuple[str, ...],
    rows: Sequence[Row],
    notes: tuple[str, ...],
) -> Table:
    names = ("run", *row_names) if len(found) > 1 else row_names
    return Table(key, title, names, columns, tuple(rows), notes)


def _counts(counts: QuestionCounts, words: float) -> tuple[Cell, ...]:
    majority = Cell("percent", 100 * counts.majority, n=counts.questions)
    mean = [Cell("number", value, n=counts.questions) for value in (counts.per_image, words)]
    whole = [count_cell(value) for value in (counts.images, counts.questions, counts.yes, counts.no)]
    return (*whole, mean[0], majority, mean[1])


def _asked(score: Score, counts: QuestionCounts) -> int:
    """Return how many questions of a file a score is of; of the mean of two, the fewer."""
    of = {"sensitivity": counts.yes, "specificity": counts.no, "balanced": min(counts.yes, counts.no)}
    return of.get(score, counts.questions)


def _percent(number: Estimate | None, questions: int = 1) -> Cell:
    """Return a share; where there is none, whether no answer to such questions could be read, or there are none."""
    if number is None:
        return Cell(empty="no readable answer" if questions else "no such question")
    low, high = (None if end is None else 100 * end for end in (number.low, number.high))
    return Cell("percent", 100 * number.value, low, high, number.n)


def _points(number: Estimate) -> Cell:
    low, high = (None if end is None else 100 * end for end in (number.low, number.high))
    return Cell("points", 100 * number.value, low, high, number.n)


def _tested(one: AnswererComparison | FileComparison, confidence: float) -> tuple[Cell, Cell, Cell]:
    told = "told apart" if tells(one, confidence) else "not told apart"
    return text_cell(p_digits(one.p)), text_cell(p_digits(one.p_holm)), text_cell(told)


def _p_yes(one: AnswerScores) -> Cell:
    if one.p_yes is None:
        return Cell(empty=NOTHING)
    return Cell("number", one.p_yes, n=one.asked, notes=("VQAScore",) if one.vqascore else ())


def _spent(one: AnswererRecord) -> tuple[Cell, ...]:
    assert one.spent is not None
    cost = Cell(empty="no price known") if one.cost is None else Cell("number", one.cost)
    return (*(count_cell(value) for value in one.spent), cost)
