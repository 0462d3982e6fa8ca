"""The content of `agreement.json` as tables in the terminal and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.agreement.record import Agreement, PeopleComparison
from analysis.results.unread import unread_words
from analysis.results.wording import KIND_NAMES, UNKNOWN, percent
from analysis.statistics.intervals import Estimate
from reward.numerals import decimal
from reward.plain_text import csv_cell

SHARE_NAMES = {"spurious": "spurious", "visual": "visual", "visual_of_informative": "visual, of the informative"}
COLUMNS = ("run", "labels_of", "policy", "subject", "quantity", "value", "low", "high", "n")
SECOND_QUESTION = (
    "the second question is compared where people and judge both call a description informative, so that its rates are "
    "not those of all descriptions, and need not compare with the paper's"
)


WEIGHTED = (
    "the judge's rare verdicts were labelled more often: agreement, κ, sensitivity, specificity, α and corrected "
    "shares weigh each label by the descriptions that it stands for; n and the table of kinds count labels"
)


def to_csv(result: Agreement) -> str:
    """Return the result as CSV, one line per number.

    Args:
        result: What `ex2 agreement` found for a run.

    Returns:
        CSV with a header and the columns `COLUMNS`; unknown numbers are left out. The column `labels_of` says whose
        labels a number is from: `own` (the run's) or `pooled` (those of all runs). If under half of the judge's answers
        could be read, there are no shares, but the share of answers that could be read, as `answers_read`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(csv_cell, line) for line in _lines(result))
    return text.getvalue()


def _lines(result: Agreement) -> Iterator[list[Any]]:
    for scope, part in (("own", result.own), ("pooled", result.pooled)):
        if part is None:
            continue
        for quantity, kinds in (("agreement", part.kind_agreement), ("kappa", part.kind_kappa)):
            if kinds:
                yield [result.run, scope, "", "kind", quantity, *kinds]
        for question, answers in part.questions.items():
            for quantity, rate in answers.rates.items():
                if rate:
                    yield [result.run, scope, "", question, quantity, *rate]
    for one in result.unread:
        yield [result.run, "", one.policy, one.question, "answers_read", one.read / one.asked, "", "", one.asked]
    for policy, shares in result.policies.items() if not result.unread else ():
        for name, share in shares.shares.items():
            if share.judged:
                yield [result.run, "", policy, name, "share_judged", *share.judged]
            if share.corrected:
                yield [result.run, result.corrected_with, policy, name, "share_corrected", *share.corrected]


def print_agreement(results: Sequence[Agreement], console: Console) -> None:
    """Print the judge's agreement with people, then the shares of every run, judged and corrected.

    Args:
        results: What `ex2 agreement` found, for each of at least one run.
        console: Where to print.
    """
    pooled = results[0].pooled
    for part, title in [(pooled, f"{len(results)} runs pooled")] if pooled else [(r.own, r.run) for r in results]:
        console.print(_rates(part, f"{escape(title)}: judge against people, {results[0].confidence:.0%} intervals"))
        console.print(_kinds(part))
    for result in results:
        if result.unread:
            console.print(f"{result.run}: {unread_words(result.unread)}", highlight=False, markup=False)
    if any(not result.unread for result in results):
        console.print(_shares(results))
    for note in _notes(results):
        console.print(note, highlight=False, markup=False)


def _rates(part: PeopleComparison, title: str) -> Table:
    table = Table("question", *part.questions, title=title, box=box.SIMPLE_HEAD)
    questions = part.questions.values()
    table.add_row("agreement", *(_with_n(rates.agreement) for rates in questions))
    table.add_row(
        "  the paper's judge",
        *(f"{100 * rates.paper.agreement:.1f} % (n = {rates.paper.n})" for rates in questions),
    )
    table.add_row("Cohen's κ", *(_plain(rates.kappa) for rates in questions))
    table.add_row("sensitivity, of people's yes", *(_with_n(rates.sensitivity) for rates in questions))
    table.add_row("specificity, of people's no", *(_with_n(rates.specificity) for rates in questions))
    table.add_row("Krippendorff's α among raters", *(_plain(rates.alpha) for rates in questions))
    return table


def kinds_table(part: PeopleComparison) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Lay out what people say × what the judge says.

    Args:
        part: The judge against people, on one run's labels or on pooled ones.

    Returns:
        Names of the judge's verdicts (the columns), and rows of a kind's name and its counts. Informative descriptions
        with an unread second answer have a column only if there are any.
    """
    columns = [
        place
        for place, verdict in enumerate(part.verdicts)
        if verdict in part.kinds or any(row[place] for row in part.table)
    ]
    rows = [
        (KIND_NAMES[kind], [row[place] for place in columns]) for kind, row in zip(part.kinds, part.table, strict=True)
    ]
    return [KIND_NAMES[part.verdicts[place]] for place in columns], rows


def _kinds(part: PeopleComparison) -> Table:
    names, rows = kinds_table(part)
    table = Table("people say ↓, the judge →", *names, box=box.SIMPLE_HEAD)
    for name, counts in rows:
        table.add_row(name, *(str(count) for count in counts))
    return table


def _shares(results: Sequence[Agreement]) -> Table:
    table = Table("run", "policy", "share", "as judged", "corrected", box=box.SIMPLE_HEAD)
    for result in results:
        for policy, part in result.policies.items() if not result.unread else ():
            for name, share in part.shares.items():
                table.add_row(
                    escape(result.run) if name == "spurious" else "",
                    f"{policy}, {part.descriptions} descriptions" if name == "spurious" else "",
                    SHARE_NAMES[name],
                    _with_n(share.judged),
                    _with_n(share.corrected),
                )
    return table


def _notes(results: Sequence[Agreement]) -> Iterator[str]:
    pooled = results[0].pooled
    yield SECOND_QUESTION
    if any(result.used.weighted_table for result in results):
        yield WEIGHTED
    if pooled:
        yield f"pooled: each text counts once, however many runs share it: {pooled.labeled} different ones labelled"
    for result in results:
        sample, raters = result.sample, result.raters
        who = ", ".join(
            f"{rater} {effort.yes + effort.no} (skips: {effort.skipped})" for rater, effort in raters.items()
        )
        strata = ", ".join(
            f"{KIND_NAMES[kind]} {part.labeled} of {part.population}" for kind, part in sample.strata.items()
        )
        yield (
            f"{result.run}: labelled {result.own.labeled} of a random {sample.n} of {sample.population} descriptions"
            + (f" (by verdict: {strata})" if strata else "")
            + f", unparsed by the judge {result.own.unparsed}; different texts by rater: {who}"
        )
        if set(result.rubrics) != {result.judge.rubric}:
            yield f"{result.run}: people answered rubric {', '.join(result.rubrics)}, the judge {result.judge.rubric}"
    if any(len(result.raters) > 1 for result in results):
        yield f"what people say: {results[0].truth}"
    for reason, where in _unknown_shares(results).items():
        yield f"not corrected (–): {'; '.join(where)}: {reason}; label more, with `ex2 label --n`"
    if all(result.unread for result in results):
        return
    yield "as judged: of the descriptions whose verdicts could be read"
    yield (
        "corrected: the mix of kinds that explains labels and verdicts best (Rogan and Gladen's estimate), taking the "
        "judge's error rates among the labelled for those everywhere; intervals carry the chance in all samples, and n "
        "counts the descriptions that the estimate rests on"
    )


def _unknown_shares(results: Sequence[Agreement]) -> dict[str, list[str]]:
    """Return reason → the shares that could not be corrected for that reason, each as `run, policy: share`."""
    found: dict[str, list[str]] = {}
    for result in results:
        for policy, part in result.policies.items() if not result.unread else ():
            for name, share in part.shares.items():
                if share.judged and not share.corrected:
                    place = f"{result.run}, {policy}: {SHARE_NAMES[name]}"
                    found.setdefault(share.reason, []).append(place)
    return found


def _with_n(estimate: Estimate | None) -> str:
    return UNKNOWN if estimate is None else f"{percent(estimate, blank=' ')} (n = {estimate.n})"


def _plain(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    value, low, high, n = estimate
    ends = "" if low is None or high is None else f" [{decimal(low, 2)}, {decimal(high, 2)}]"
    return f"{decimal(value, 2)}{ends} (n = {n})"
