"""The content of `agreement.json` as tables in the terminal and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from analysis.results.wording import KIND_NAMES
from reward.files import JSON

SHARE_NAMES = {"spurious": "spurious", "visual": "visual", "visual_of_informative": "visual, of the informative"}
COLUMNS = ("run", "labels_of", "policy", "subject", "quantity", "value", "low", "high", "n")
SECOND_QUESTION = (
    "the second question is compared where people and judge both call a description informative, so that its rates are "
    "not those of all descriptions, and need not compare with the paper's"
)
RATES = ("agreement", "kappa", "sensitivity", "specificity", "alpha")


def to_csv(result: JSON) -> str:
    """Return one line per number.

    Args:
        result: Content of `agreement.json`.

    Returns:
        A header and lines with the columns `COLUMNS`; unknown numbers are left out. `labels_of` tells whose labels:
        `own`, `pooled`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_lines(result))
    return text.getvalue()


def _lines(result: JSON) -> Iterator[list[Any]]:
    for scope in ("own", "pooled"):
        part = result[scope]
        if part is None:
            continue
        for quantity in ("kind_agreement", "kind_kappa"):
            if part[quantity]:
                yield [result["run"], scope, "", "kind", quantity.removeprefix("kind_"), *part[quantity].values()]
        for question, rates in part["questions"].items():
            for quantity in RATES:
                if rates[quantity]:
                    yield [result["run"], scope, "", question, quantity, *rates[quantity].values()]
    for policy, part in result["policies"].items():
        for name, shares in part["shares"].items():
            for quantity in ("judged", "corrected"):
                if estimate := shares[quantity]:
                    scope = result["corrected_with"] if quantity == "corrected" else ""
                    yield [result["run"], scope, policy, name, f"share_{quantity}", *estimate.values()]


def print_agreement(results: Sequence[JSON], console: Console) -> None:
    """Print the judge's agreement with people, then the shares of every run, judged and corrected.

    Args:
        results: Contents of `agreement.json`; at least one.
        console: Where to print.
    """
    pooled = results[0]["pooled"]
    for part, title in [(pooled, f"{len(results)} runs pooled")] if pooled else [(r["own"], r["run"]) for r in results]:
        console.print(_rates(part, f"{title}: judge against people, {results[0]['confidence']:.0%} intervals"))
        console.print(_kinds(part))
    console.print(_shares(results))
    for note in _notes(results):
        console.print(note, highlight=False, markup=False)


def _rates(part: JSON, title: str) -> Table:
    table = Table("question", *part["questions"], title=title, box=box.SIMPLE_HEAD)
    questions = part["questions"].values()
    table.add_row("agreement", *(_with_n(rates["agreement"]) for rates in questions))
    table.add_row(
        "  the paper's judge",
        *(f"{100 * rates['paper']['agreement']:.1f} % (n = {rates['paper']['n']})" for rates in questions),
    )
    table.add_row("Cohen's κ", *(_plain(rates["kappa"]) for rates in questions))
    table.add_row("sensitivity, of people's yes", *(_with_n(rates["sensitivity"]) for rates in questions))
    table.add_row("specificity, of people's no", *(_with_n(rates["specificity"]) for rates in questions))
    table.add_row("Krippendorff's α among raters", *(_plain(rates["alpha"]) for rates in questions))
    return table


def kinds_table(part: JSON) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Lay out what people say × what the judge says.

    Args:
        part: `own` or `pooled` of `agreement.json`.

    Returns:
        Names of the judge's verdicts, of them unread second answers only where there are any, and rows of a name and
        as many counts.
    """
    columns = [
        place
        for place, verdict in enumerate(part["verdicts"])
        if verdict in part["kinds"] or any(row[place] for row in part["table"])
    ]
    rows = [
        (KIND_NAMES[kind], [row[place] for place in columns])
        for kind, row in zip(part["kinds"], part["table"], strict=True)
    ]
    return [KIND_NAMES[part["verdicts"][place]] for place in columns], rows


def _kinds(part: JSON) -> Table:
    names, rows = kinds_table(part)
    table = Table("people say ↓, the judge →", *names, box=box.SIMPLE_HEAD)
    for name, counts in rows:
        table.add_row(name, *(str(count) for count in counts))
    return table


def _shares(results: Sequence[JSON]) -> Table:
    table = Table("run", "policy", "share", "as judged", "corrected", box=box.SIMPLE_HEAD)
    for result in results:
        for policy, part in result["policies"].items():
            for name, shares in part["shares"].items():
                table.add_row(
                    result["run"] if name == "spurious" else "",
                    f"{policy}, {part['descriptions']} descriptions" if name == "spurious" else "",
                    SHARE_NAMES[name],
                    _with_n(shares["judged"]),
                    _with_n(shares["corrected"]),
                )
    return table


def _notes(results: Sequence[JSON]) -> Iterator[str]:
    pooled = results[0]["pooled"]
    yield SECOND_QUESTION
    if pooled:
        yield f"pooled: each text counts once, however many runs share it: {pooled['labelled']} different ones labelled"
    for result in results:
        sample, raters = result["sample"], result["raters"]
        who = ", ".join(
            f"{rater} {effort['yes'] + effort['no']} (skips: {effort['skipped']})" for rater, effort in raters.items()
        )
        yield (
            f"{result['run']}: labelled {result['own']['labelled']} of a random {sample['n']} of "
            f"{sample['population']} descriptions, unparsed by the judge {result['own']['unparsed']}; different texts "
            f"by rater: {who}"
        )
        if set(result["rubrics"]) != {result["judge"]["rubric"]}:
            yield (
                f"{result['run']}: people answered rubric {', '.join(result['rubrics'])}, the judge "
                f"{result['judge']['rubric']}"
            )
    if any(len(result["raters"]) > 1 for result in results):
        yield f"what people say: {results[0]['truth']}"
    for reason, where in _unknown_shares(results).items():
        yield f"not corrected (–): {'; '.join(where)}: {reason}; label more, with `ex2 label --n`"
    yield "as judged: of the descriptions whose verdicts could be read"
    yield (
        "corrected: the mix of kinds that explains labels and verdicts best (Rogan and Gladen's estimate), taking the "
        "judge's error rates among the labelled for those everywhere; intervals carry the chance in all samples, and n "
        "counts the descriptions that the estimate rests on"
    )


def _unknown_shares(results: Sequence[JSON]) -> dict[str, list[str]]:
    """Return which shares could not be corrected, as `run, policy: share`, by the reason."""
    found: dict[str, list[str]] = {}
    for result in results:
        for policy, part in result["policies"].items():
            for name, shares in part["shares"].items():
                if shares["judged"] and not shares["corrected"]:
                    place = f"{result['run']}, {policy}: {SHARE_NAMES[name]}"
                    found.setdefault(shares["reason"], []).append(place)
    return found


def percent(estimate: JSON | None) -> str:
    """Return `86.0 % [73.8–93.0]`; a dash for what is unknown."""
    if estimate is None:
        return "–"
    value = f"{100 * estimate['value']:.1f} %"
    return value if estimate["low"] is None else f"{value} [{100 * estimate['low']:.1f}–{100 * estimate['high']:.1f}]"


def _with_n(estimate: JSON | None) -> str:
    return "–" if estimate is None else f"{percent(estimate)} (n = {estimate['n']})"


def _plain(estimate: JSON | None) -> str:
    if estimate is None:
        return "–"
    interval = "" if estimate["low"] is None else f" [{estimate['low']:.2f}, {estimate['high']:.2f}]"
    return f"{estimate['value']:.2f}{interval} (n = {estimate['n']})"
