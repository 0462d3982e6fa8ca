"""The report's numbers at a glance: the tiles on top, and the table of seeds."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.results.changes import change_of
from analysis.results.experiment import Described, Experiment
from analysis.results.headline import headline
from analysis.results.kl import KL_TOLERANCE, KLReached
from analysis.results.pooling import Difference
from analysis.results.reading import content_proved
from analysis.results.wording import (
    ARM_NAMES,
    KIND_NAMES,
    NBSP,
    batches,
    count,
    evidence,
    images_interval,
    kind_words,
    percent,
    percent_value,
    plain,
    points,
    points_value,
    signed,
    verdict_words,
)
from analysis.verdicts.breakdown import GROUPS, LEAVES
from ex2.policy.source import POLICIES
from reward.numerals import decimal


def tiles(experiment: Experiment) -> list[dict[str, str]]:
    """Return the tiles: for each number its label, value, interval, n, and what it is compared with."""
    made = []
    most = max(
        reversed(LEAVES), key=lambda leaf: share.value if (share := experiment.share_of_all("aligned", leaf)) else -1.0
    )
    kind = headline(experiment).kind or most
    after, before = experiment.share_of_all("aligned", kind), experiment.share_of_all("base", kind)
    if after:
        note = f"before: {percent(before, 0)}, {count(before)}" if before else "base model not described"
        made.append(
            _tile(
                kind_words(kind, content_proved(experiment)),
                percent_value(after, 0),
                percent(after),
                count(after),
                note,
                kind,
            )
        )
    gain = experiment.reward_gain
    if gain:
        value = signed(gain).split(" [")[0]
        made.append(_tile("reward gained", value, signed(gain), count(gain, "pairs"), "same class and question", "all"))
    own, change = experiment.accuracy("aligned"), experiment.tested("aligned", "templates")
    if own and change:
        still_open = verdict_words(change)
        note = f"{points_value(change)} on templates, {still_open}" if still_open else f"{points(change)} on templates"
        made.append(_tile("accuracy of EX2", percent_value(own), percent(own), count(own, "images"), note, "all"))
    return [*made, *_kl_tile(experiment.kl)]


def _kl_tile(kl: KLReached | None) -> list[dict[str, str]]:
    if kl is None:
        return []
    off, mean = kl.words(KL_TOLERANCE), kl.mean
    note, css = f"target {kl.target:g}" if kl.target else "no target", "all"
    if off:
        note, css = f"† {off}", "off"
    return [_tile("nats of KL", decimal(mean.value, 1), plain(mean), batches(mean), note, css)]


def _tile(label: str, value: str, full: str, n: str, note: str, css: str) -> dict[str, str]:
    interval = full[full.index("[") :] if "[" in full else "no interval"
    detail = f"{interval}, {n}".replace(f"{NBSP}×", " ×")  # a tile is narrow on a phone
    return {"label": label, "value": value, "detail": detail, "note": note, "css": css}


def seed_names(experiment: Experiment) -> list[str]:
    """Return the headers of the table of seeds: each seed, and then all of them together if there are several."""
    return [f"seed {seed}" for seed in experiment.seeds] + (["all seeds"] if len(experiment.seeds) > 1 else [])


def seed_table(columns: Sequence[Experiment]) -> list[tuple[str, list[str]]]:
    """Return one row per number: its name, and a cell for each column.

    Args:
        columns: Experiments in the order of `seed_names`: each seed alone, then all of them if there are several.
    """
    table: list[tuple[str, list[str]]] = []
    for group in GROUPS:
        cells = []
        for column in columns:
            share, change = column.share_of_all("aligned", group), change_of(column, group)
            cell = f"{percent(share)}, {count(share)}" if share else "–"
            still_open = f", {verdict_words(change)}" if change and verdict_words(change) else ""
            cells.append(f"{cell}; {points(change)}{still_open}" if change else cell)
        table.append((f"{KIND_NAMES[group]}, aligned; change", cells))
    for policy in reversed(POLICIES):
        described = [column.policies.get(policy) for column in columns]
        if any(described):
            table.append((f"unparsed answers, {policy}", [_unparsed(part) for part in described]))
    for arm in ("templates", "base", "aligned"):
        accuracies = [column.accuracy(arm) for column in columns]
        cells = [f"{percent(value)}, {count(value)}" if value else "–" for value in accuracies]
        table.append((f"accuracy, {ARM_NAMES[arm]}", cells))
    changes = [column.tested("aligned", "templates") for column in columns]
    cells = [_difference(value) if value else "–" for value in changes]
    table.append(("accuracy, EX2 minus templates", cells))
    gains = [column.reward_gain for column in columns]
    table.append(("reward gained", [f"{signed(gain)}, {count(gain, 'pairs')}" if gain else "–" for gain in gains]))
    for name, ends in (
        ("reward at the end", [column.reward_end for column in columns]),
        ("KL at the end, nats", [column.kl.mean if column.kl else None for column in columns]),
    ):
        table.append((name, [f"{plain(end)}, {batches(end)}" if end else "–" for end in ends]))
    return table


def _difference(change: Difference) -> str:
    return "; ".join(part for part in (points(change), images_interval(change), evidence(change)) if part)


def _unparsed(described: Described | None) -> str:
    if described is None:
        return "–"
    informative, visual = (described.unparsed[question] for question in ("informative", "visual"))
    total = described.descriptions
    if not informative + visual:
        return f"none of {total:,}"
    return f"{informative + visual:,} of {total:,}: informative {informative:,}, visual {visual:,}"
