"""Experiments from a paper's printed tables, in the form in which the user's own runs are held."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from analysis.results.experiment import Counts, Experiment
from analysis.results.pooling import Pooled
from analysis.verdicts.breakdown import Denominator
from reward.errors import UserError
from reward.files import read_json

ACCURACY, COUNTS = "table1_accuracy", "table13_counts"
NEEDED = ("datasets", "vlms", ACCURACY, COUNTS)

ARMS_OF_TABLES = {
    "table3_accuracy_by_information": ("templates", "spurious", "informative"),
    "table5_accuracy_by_visual": ("templates", "visual", "non_visual"),
}
CROSS, TARGETS = "table6_cross_vlm_accuracy", "table9_target_kl_10_vs_20"

BESIDE = ("source", "table7_templates_stanford_dogs", "figure4_attribute_pct")
"""Keys of a file that are not read here: other code reads them, or nothing needs to."""

MAIN_TARGET = 10.0
"""KL target of all of the paper's experiments except those of its Table 9, in nats."""


class Published(NamedTuple):
    """What was read from a file of printed tables.

    Attributes:
        experiments: One experiment for each VLM and dataset.
        by_target: One experiment for each VLM, dataset and KL target, where several targets were tried.
        ignored: Sentences on what else the file holds.
    """

    experiments: list[Experiment]
    by_target: list[Experiment]
    ignored: list[str]


def read_published(path: Path, denominator: Denominator = "all") -> Published:
    """Read a file of printed tables.

    Args:
        path: JSON with `datasets`, `vlms`, `table1_accuracy` and `table13_counts`, and optionally
            `table3_accuracy_by_information`, `table5_accuracy_by_visual`, `table6_cross_vlm_accuracy` and
            `table9_target_kl_10_vs_20`; accuracies in percent, unknown numbers null or left out.
        denominator: Denominator of the shares; `all` is the paper's.

    Raises:
        UserError: If the file has another form; the message names everything that is wrong with it.
    """
    data = read_json(path)
    missing = [key for key in NEEDED if not isinstance(data, dict) or key not in data]
    if missing:
        raise UserError(
            f"{path}: holds no published tables: lacks {', '.join(missing)}. Give run directories, or a JSON file with "
            f"{', '.join(NEEDED)}."
        )
    check = _Check([])
    vlms, datasets = check.names(data["vlms"], "vlms"), check.names(data["datasets"], "datasets")
    counts = {(vlm, dataset): check.counts(data[COUNTS], vlm, dataset) for vlm in vlms for dataset in datasets}
    experiments = _experiments(data, counts, denominator, check)
    by_target = _by_target(data, counts, denominator, check)
    for key in (*ARMS_OF_TABLES, CROSS, TARGETS):
        check.known(data.get(key, {}), key, datasets, vlms)
    if check.problems:
        raise UserError("\n  ".join([f"{path}: published tables:", *dict.fromkeys(check.problems)]))
    unused = [key for key in data if key not in (*NEEDED, *ARMS_OF_TABLES, CROSS, TARGETS, *BESIDE)]
    return Published(experiments, by_target, [f"{path}: not used: {', '.join(unused)}"] if unused else [])


class _Check:
    """Reads values of a file and collects what is wrong with them.

    Args:
        problems: List to which a sentence is appended for each problem.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems

    def names(self, value: Any, place: str) -> list[str]:
        """Return a list of distinct names; anything else is a problem, and gives an empty list."""
        fit = isinstance(value, list) and value and all(isinstance(name, str) and name for name in value)
        if fit and len(set(value)) == len(value):
            return list(value)
        self._say(place, value, "a list of one or more names, none of them twice")
        return []

    def mapping(self, value: Any, place: str) -> Mapping[str, Any]:
        """Return a JSON object; anything else is a problem, and gives an empty object."""
        if isinstance(value, dict):
            return value
        self._say(place, value, "an object with names as keys")
        return {}

    def inside(self, value: Any, *places: str) -> Mapping[str, Any]:
        """Return the object at a path of nested objects; an empty one if a level is absent."""
        for depth in range(1, len(places)):
            value = self.mapping(value, ".".join(places[:depth])).get(places[depth], {})
        return self.mapping(value, ".".join(places))

    def percent(self, value: Any, place: str) -> float | None:
        """Return a percentage; `None` for null."""
        if value is None or (_is_number(value) and 0 <= value <= 100):
            return value  # type: ignore[no-any-return]
        self._say(place, value, "a percentage from 0 to 100, or null")
        return None

    def counts(self, table: Any, vlm: str, dataset: str) -> Counts | None:
        """Return one experiment's counts from the table; `None` if they are faulty."""
        place, before = f"{COUNTS}.{vlm}.{dataset}", len(self.problems)
        found = self.inside(table, COUNTS, vlm, dataset)
        names = ("all", "spurious", "informative", "visual", "non_visual")
        for name in found:
            if name not in names:
                self._say(f"{place}.{name}", found[name], f"only {', '.join(names)}")
        numbers: dict[str, int | None] = {}
        for name in names:
            value = found.get(name)
            if not (isinstance(value, int) and not isinstance(value, bool) and value >= 0) and (
                value is not None or name == "all"
            ):
                self._say(f"{place}.{name}", value, "a whole number" + ("" if name == "all" else ", or null"))
                value = None
            numbers[name] = value
        if numbers["all"] is None:
            return None
        for whole, parts in (("all", ("spurious", "informative")), ("informative", ("visual", "non_visual"))):
            most = numbers[whole] if numbers[whole] is not None else numbers["all"]
            total = sum(numbers[part] or 0 for part in parts)
            if most is not None and total > most:
                self.problems.append(f"{place}: {' and '.join(parts)} are {total} together, more than {whole}: {most}.")
        if len(self.problems) > before:
            return None
        return Counts(numbers["all"], *(numbers[name] for name in names[1:]))

    def known(self, table: Any, key: str, datasets: Collection[str], vlms: Collection[str]) -> None:
        """Report the datasets and VLMs of a table that the file does not list; the table may also have a note."""
        for dataset, rows in self.mapping(table, key).items():
            if dataset == "note":
                continue
            if dataset not in datasets:
                self.problems.append(f"{key}.{dataset}: not among the datasets: {', '.join(datasets)}.")
            for vlm in self.mapping(rows, f"{key}.{dataset}"):
                if vlm not in vlms:
                    self.problems.append(f"{key}.{dataset}.{vlm}: not among the vlms: {', '.join(vlms)}.")

    def arm_names(self, found: Mapping[str, Any], place: str, allowed: Collection[str]) -> None:
        """Report keys that are not the name of an arm of a table."""
        for name in found:
            if name not in allowed:
                self._say(f"{place}.{name}", found[name], f"only {', '.join(allowed)}")

    def _say(self, place: str, value: Any, allowed: str) -> None:
        given = json.dumps(value, ensure_ascii=False)
        self.problems.append(f"{place}: given {given if len(given) < 60 else given[:57] + '…'}; give {allowed}.")


def _experiments(
    data: Mapping[str, Any],
    counts: Mapping[tuple[str, str], Counts | None],
    denominator: Denominator,
    check: _Check,
) -> list[Experiment]:
    found = []
    for (vlm, dataset), counted in counts.items():
        printed = check.inside(data[ACCURACY], ACCURACY, vlm, dataset)
        place = f"{ACCURACY}.{vlm}.{dataset}"
        check.arm_names(printed, place, ("templates", "ex2"))
        percents = {
            "templates": check.percent(printed.get("templates"), f"{place}.templates"),
            "aligned": check.percent(printed.get("ex2"), f"{place}.ex2"),
        }
        for table, allowed in ARMS_OF_TABLES.items():
            arms = check.inside(data.get(table, {}), table, dataset, vlm)
            check.arm_names(arms, f"{table}.{dataset}.{vlm}", allowed)
            for arm in allowed[1:]:
                percents[arm] = check.percent(arms.get(arm), f"{table}.{dataset}.{vlm}.{arm}")
        cross = check.inside(data.get(CROSS, {}), CROSS, dataset)
        crossed = {
            by: check.percent(rewards.get(vlm), f"{CROSS}.{dataset}.{by}.{vlm}")
            for by, row in cross.items()
            if (rewards := check.mapping(row, f"{CROSS}.{dataset}.{by}"))
        }
        found.append(
            Experiment(
                name=f"{vlm}, {dataset}",
                vlm=vlm,
                dataset=dataset,
                accuracies=_numbers(percents),
                counts=(counted,) if counted else (),
                denominator=denominator,
                kl_setting=MAIN_TARGET,
                cross=_numbers(crossed),
            )
        )
    return found


def _by_target(
    data: Mapping[str, Any],
    counts: Mapping[tuple[str, str], Counts | None],
    denominator: Denominator,
    check: _Check,
) -> list[Experiment]:
    found = []
    for dataset, vlms in check.mapping(data.get(TARGETS, {}), TARGETS).items():
        for vlm, row in check.mapping(vlms, f"{TARGETS}.{dataset}").items() if dataset != "note" else ():
            place, counted = f"{TARGETS}.{dataset}.{vlm}", counts.get((vlm, dataset))
            printed = check.mapping(row, place)
            check.arm_names(printed, place, [f"{what}_kl{kl}" for kl in (10, 20) for what in ("acc", "informative")])
            for target in (10, 20):
                keys = [f"{what}_kl{target}" for what in ("acc", "informative")]
                accuracy, share = (check.percent(printed.get(key), f"{place}.{key}") for key in keys)
                total = counted.all if counted else 0
                # Two decimals of at most 5,000 descriptions name one count.
                informative = None if share is None else round(share * total / 100)
                spurious = None if informative is None else total - informative
                found.append(
                    Experiment(
                        name=f"{vlm}, {dataset}, KL {target}",
                        vlm=vlm,
                        dataset=dataset,
                        accuracies=_numbers({"aligned": accuracy}),
                        counts=(Counts(total, spurious, informative, None, None),),
                        denominator=denominator,
                        kl_setting=float(target),
                    )
                )
    return found


def _numbers(percents: Mapping[str, float | None]) -> dict[str, Pooled]:
    """Return the percentages that are known, as accuracies without n or interval."""
    return {name: Pooled(value / 100, None, None, 0, 1) for name, value in percents.items() if value is not None}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
