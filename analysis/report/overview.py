"""The report's numbers at a glance: the tiles on top, and the table of seeds."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.report.findings import LEAVES, headline
from analysis.results.kl import KL_TOLERANCE, kl_of
from analysis.results.load import SeedResult
from analysis.results.pooling import (
    Difference,
    Policy,
    accuracy_difference,
    accuracy_of,
    end_of_training,
    reward_gain,
    share_change,
    share_of,
)
from analysis.results.wording import (
    ARM_NAMES,
    KIND_NAMES,
    NBSP,
    count,
    evidence,
    images_interval,
    percent,
    percent_value,
    plain,
    points,
    signed,
)
from analysis.verdicts.breakdown import GROUPS

POLICIES: tuple[Policy, ...] = ("aligned", "base")


def tiles(results: Sequence[SeedResult]) -> list[dict[str, str]]:
    """Return four numbers to take away: label, value, what it is compared with, n and interval."""
    made = []
    most = max(LEAVES, key=lambda leaf: share.value if (share := share_of(results, "aligned", leaf)) else -1.0)
    kind = headline(results).kind or most
    after, before = share_of(results, "aligned", kind), share_of(results, "base", kind)
    if after:
        note = f"before: {percent(before, 0)}, {count(before)}" if before else "base model not described"
        made.append(
            _tile(f"{KIND_NAMES[kind]} descriptions", percent_value(after, 0), percent(after), count(after), note, kind)
        )
    gain = reward_gain(results)
    if gain:
        value = signed(gain).split(" [")[0]
        made.append(_tile("reward gained", value, signed(gain), count(gain, "pairs"), "same class and question", "all"))
    own, change = accuracy_of(results, "aligned"), accuracy_difference(results, "aligned", "templates")
    if own and change:
        note = f"{points(change)} on templates{', not significant' if change.significant is False else ''}"
        made.append(_tile("accuracy of EX2", percent_value(own), percent(own), count(own, "images"), note, "all"))
    return [*made, *_kl_tile(results)]


def _kl_tile(results: Sequence[SeedResult]) -> list[dict[str, str]]:
    kl = kl_of(results)
    if kl is None:
        return []
    off, mean = kl.words(KL_TOLERANCE), kl.mean
    note, css = f"target {kl.target:g}" if kl.target else "no target", "all"
    if off:
        note, css = f"† {off}", "off"
    return [_tile("nats of KL", f"{mean.value:.1f}", plain(mean), count(mean, "batches"), note, css)]


def _tile(label: str, value: str, full: str, n: str, note: str, css: str) -> dict[str, str]:
    interval = full[full.index("[") :] if "[" in full else "no interval"
    detail = f"{interval}, {n}".replace(f"{NBSP}×", " ×")  # a tile is narrow on a phone
    return {"label": label, "value": value, "detail": detail, "note": note, "css": css}


def seed_names(results: Sequence[SeedResult]) -> list[str]:
    """Return the heads of the table's columns: each seed, then all of them if there are several."""
    return [f"seed {result.seed}" for result in results] + (["all seeds"] if len(results) > 1 else [])


def seed_table(results: Sequence[SeedResult]) -> list[tuple[str, list[str]]]:
    """Return one row per number: its name, and a cell for each of `seed_names`."""
    columns: list[Sequence[SeedResult]] = [[result] for result in results]
    if len(results) > 1:
        columns.append(results)
    table: list[tuple[str, list[str]]] = []
    for group in GROUPS:
        cells = []
        for column in columns:
            share, change = share_of(column, "aligned", group), share_change(column, group)
            cell = f"{percent(share)}, {count(share)}" if share else "–"
            cells.append(f"{cell}; {points(change)}" if change else cell)
        table.append((f"{KIND_NAMES[group]}, aligned; change", cells))
    for policy in POLICIES:
        if any(policy in result.breakdown.policies for result in results):
            table.append((f"unparsed answers, {policy}", [_unparsed(column, policy) for column in columns]))
    for arm in ("templates", "base", "aligned"):
        accuracies = [accuracy_of(column, arm) for column in columns]
        cells = [f"{percent(value)}, {count(value)}" if value else "–" for value in accuracies]
        table.append((f"accuracy, {ARM_NAMES[arm]}", cells))
    changes = [accuracy_difference(column, "aligned", "templates") for column in columns]
    cells = [_difference(value) if value else "–" for value in changes]
    table.append(("accuracy, EX2 minus templates", cells))
    gains = [reward_gain(column) for column in columns]
    table.append(("reward gained", [f"{signed(gain)}, {count(gain, 'pairs')}" if gain else "–" for gain in gains]))
    for name, key in (("reward at the end", "reward_mean"), ("KL at the end, nats", "kl")):
        reached = [end_of_training(column, key) for column in columns]
        table.append((name, [f"{plain(end)}, {count(end, 'batches')}" if end else "–" for end in reached]))
    return table


def _difference(change: Difference) -> str:
    return "; ".join(part for part in (points(change), images_interval(change), evidence(change)) if part)


def _unparsed(column: Sequence[SeedResult], policy: Policy) -> str:
    parts = [part for result in column if (part := result.breakdown.policy(policy))]
    if not parts:
        return "–"
    informative, visual = (sum(part.unparsed[question] for part in parts) for question in ("informative", "visual"))
    total = sum(part.descriptions for part in parts)
    if not informative + visual:
        return f"none of {total:,}"
    return f"{informative + visual:,} of {total:,}: informative {informative:,}, visual {visual:,}"
