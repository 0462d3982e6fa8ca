"""What several seeds of a run reached, in the terminal: mean and interval of reward, KL and accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from analysis.accuracy.measure import ARMS
from analysis.accuracy.record import read_accuracy
from analysis.results.endings import end_of_logs
from analysis.results.experiment import Experiment
from analysis.results.headline import headline
from analysis.results.pooling import ANY, SHARE, Pooled
from analysis.results.unread import unread_banner
from analysis.results.wording import (
    NBSP,
    NO_CONCLUSION,
    UNKNOWN,
    batches,
    brief_verdict,
    is_short,
    percent,
    points,
    signed,
    texts_words,
    verdict_words,
)
from analysis.statistics.intervals import Estimate, all_equal, mean_t, within
from analysis.verdicts.breakdown import DENOMINATORS, GROUPS
from ex2.recipe import Recipe
from ex2.run.directory import RunDirectory
from ex2.run.training_log import read_train_log
from reward.numerals import decimal

BOUNDS = {"KL, nats": (0.0, math.inf), "accuracy": SHARE}
"""What the numbers over seeds can be, where that is not anything."""

NO_P = "no p"
"""Stands in the column of p where there is no conclusion; the reason stands below the table."""


class Summary(NamedTuple):
    """A number over several seeds.

    Attributes:
        name: Name of the number.
        values: The number in each seed that has it.
        over_seeds: Mean of these values, with Student's t-interval.
        short: Seed → in words the number of batches that the number is a mean of, for seeds with few, see
            `wording.is_short`.
    """

    name: str
    values: dict[int, float]
    over_seeds: Estimate
    short: dict[int, str]


def print_summary(recipe: Recipe, seeds: Sequence[int]) -> None:
    """Print the summary of several seeds; print nothing if there is only one."""
    if len(seeds) > 1:
        lines = summary_lines(summarize(recipe, seeds), recipe.analysis.confidence)
        note = recipe.generation.kl_note()
        print("\n".join([*lines, f"KL: {note}"] if lines and note else lines))


def summarize(recipe: Recipe, seeds: Sequence[int]) -> list[Summary]:
    """Read what the seeds have reached so far.

    Args:
        recipe: The run's recipe.
        seeds: The seeds to summarise.

    Returns:
        Mean reward and KL at the end of training (see `endings.end_of_logs`), and top-1 accuracies where they have been
        measured. Numbers that no seed has are left out.
    """
    run = RunDirectory.of(recipe)
    found: dict[str, dict[int, float]] = {}
    short: dict[str, dict[int, str]] = {}
    for seed in seeds:
        where = run.seed(seed)
        rows = read_train_log(where)
        for name, key in (("reward", "reward_mean"), ("KL, nats", "kl")):
            reached = end_of_logs([rows], key, recipe.analysis.confidence)
            if reached:
                found.setdefault(name, {})[seed] = reached.value
                if is_short(reached):
                    short.setdefault(name, {})[seed] = batches(reached)
        if where.accuracy.exists():
            aligned = read_accuracy(where.accuracy).arm("aligned")
            if aligned:
                found.setdefault("accuracy", {})[seed] = aligned.top1.accuracy
    return [
        Summary(
            name,
            values,
            within(mean_t(list(values.values()), recipe.analysis.confidence), *BOUNDS.get(name, ANY)),
            short.get(name, {}),
        )
        for name, values in found.items()
    ]


def summary_lines(summaries: Sequence[Summary], confidence: float) -> list[str]:
    """Return a table: one line per number, one column per seed, and the mean with its interval."""
    if not summaries:
        return []
    seeds = sorted({seed for summary in summaries for seed in summary.values})
    lines = [
        f"{'at the end of training':<22}" + "".join(f"{f'seed {seed}':>10}" for seed in seeds) + "   mean over seeds"
    ]
    for summary in summaries:
        shown = 100.0 if summary.name == "accuracy" else 1.0
        name = "accuracy, %" if summary.name == "accuracy" else summary.name
        cells = [decimal(shown * summary.values[seed], 2) if seed in summary.values else "–" for seed in seeds]
        mean, low, high, n = summary.over_seeds
        interval = (
            "no interval" if low is None or high is None else f"[{decimal(shown * low, 2)}, {decimal(shown * high, 2)}]"
        )
        if n > 1 and all_equal(list(summary.values.values())):
            interval = "no interval: all are equal"  # not one of no width, which would look certain
        lines.append(
            f"{name:<22}"
            + "".join(f"{cell:>10}" for cell in cells)
            + f"   {decimal(shown * mean, 2)} {interval} (n = {n})"
        )
    for summary in summaries:
        if summary.short:
            each = "; ".join(f"seed {seed}: {words}" for seed, words in summary.short.items())
            lines.append(f"{summary.name.partition(',')[0]}, {each}".replace(NBSP, " "))
    return [*lines, f"brackets: {100 * confidence:g} % t-intervals over seeds"]


def print_seed(experiment: Experiment, console: Console) -> None:
    """Print accuracy of each arm, share of each group or why there is none, reward and KL, and the headline.

    Args:
        experiment: Experiment of one seed only.
        console: Where to print.
    """
    [seed] = experiment.seeds
    controls, policies = experiment.controls, experiment.policies
    table = Table(
        "accuracy with",
        Column(f"n = {experiment.images} images", no_wrap=True),
        Column("points on templates", no_wrap=True),
        "p",
        title=f"{escape(experiment.name)}, seed {seed}, {experiment.confidence:.0%} intervals",
        box=box.SIMPLE_HEAD,
    )
    for arm in (*ARMS, *controls):
        accuracy = experiment.accuracy(arm)
        label = ("  " if arm in GROUPS else "") + arm.replace("_", "-")
        label = escape(controls[arm].name) if arm in controls else label
        change, verdict = _compared(experiment, arm, "templates")
        table.add_row(label, _interval(accuracy) if accuracy else "no descriptions", change, verdict)
    console.print(table)
    if any(experiment.mostly_template(arm) for arm in experiment.accuracies):
        console.print(f"{NO_P}, {NO_CONCLUSION}", highlight=False, markup=False)
    gain = experiment.tested("aligned", "templates")
    if gain and texts_words(gain):
        console.print(f"intervals and p of EX2's accuracies are {texts_words(gain)}", highlight=False, markup=False)
    for arm, control in controls.items():
        change, verdict = _compared(experiment, arm, "aligned")
        p = verdict if verdict == NO_P else f"p = {verdict}".replace("= <", "< ")
        against = f"; points against EX2: {change}, {p}" if change else ""
        console.print(f"{control.name}: {control.note}{against}", highlight=False, markup=False)
    banner = unread_banner(experiment)
    if banner:
        console.print(banner, style="bold", highlight=False, markup=False)
    else:
        console.print(_shares_table(experiment))
    reward = experiment.reward_gain
    if reward:
        test = _bracketed(verdict_words(reward, shares=False))
        console.print(
            f"reward, aligned − base on the same class and question: {_spaced(signed(reward, 3))} "
            f"(n = {reward.n} pairs){test}",
            highlight=False,
            markup=False,
        )
    if experiment.kl:
        console.print(_spaced(experiment.kl.summary()), highlight=False, markup=False)
    for policy, part in policies.items():
        informative, visual = (part.unparsed[question] for question in ("informative", "visual"))
        console.print(
            f"{policy}: {part.descriptions} descriptions, {part.empty} empty (counted as spurious), unparsed "
            f"answers: {informative} informative, {visual} visual",
            highlight=False,
        )
    for line in headline(experiment).lines():
        console.print(_spaced(line), highlight=False, markup=False)


def _shares_table(experiment: Experiment) -> Table:
    policies = experiment.policies
    any_unparsed = any(any(part.unparsed.values()) for part in policies.values())
    table = Table(
        "share of descriptions",
        *(f"{policy}, n = {part.descriptions}" for policy, part in policies.items()),
        box=box.SIMPLE_HEAD,
    )
    for group in GROUPS:
        label = group.replace("_", "-")
        if not any_unparsed:
            table.add_row(label, *(_interval(part.shares.of_all.get(group)) for part in policies.values()))
            continue
        for way, words in zip(DENOMINATORS, ("of readable answers", "of all"), strict=True):  # the paper's is of all
            cells = [_interval(part.by_denominator[way].of_all.get(group)) for part in policies.values()]
            table.add_row(f"{label}, {words}", *cells)
    return table


def _compared(experiment: Experiment, arm: str, against: str) -> tuple[str, str]:
    """Return `+4.6 [+3.0, +6.2]`, and its p followed by `n.s.` if it is not significant by the report's rule.

    In place of p stands that there is no conclusion for an arm that is mostly the plain template. Both are "" for what
    was not compared.
    """
    change = experiment.tested(arm, against)
    if change is None:
        return "", ""
    said = _spaced(points(change).replace(f"{NBSP}points", ""))
    if experiment.mostly_template(arm):
        return said, NO_P
    p = "" if change.p is None else "<0.001" if change.p < 0.001 else f"{change.p:.2g}"
    bounded = change.low is not None and change.high is not None
    verdict = brief_verdict(change.significant, change.doubts, bounded=bounded)
    return said, " ".join(part for part in (p, verdict) if part)


def _bracketed(words: str) -> str:
    return f" ({_spaced(words)})" if words else ""


def _spaced(words: str) -> str:
    """Return words that a terminal may break at every blank."""
    return words.replace(NBSP, " ")


def _interval(share: Pooled | None) -> str:
    return UNKNOWN if share is None or share.low is None else percent(share, blank=" ")
