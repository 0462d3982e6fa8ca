"""Experiments from printed tables: the paper's numbers through the same builder as one's own runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from analysis.breakdown import Denominator
from analysis.pooling import Pooled
from analysis.tables.experiment import Counts, Experiment
from ex2.run_dir import read_json
from reward.errors import UserError

NEEDED = ("datasets", "vlms", "table1_accuracy", "table13_counts")

MAIN_TARGET = 10.0
"""KL target of all of the paper's experiments but those of its Table 9."""


class Published(NamedTuple):
    """What was read.

    Attributes:
        experiments: One for each VLM and dataset.
        by_target: One for each VLM, dataset and KL target, where several targets were tried.
    """

    experiments: list[Experiment]
    by_target: list[Experiment]


def read_published(path: Path, denominator: Denominator = "all") -> Published:
    """Read a file of printed tables.

    Args:
        path: JSON with `datasets`, `vlms`, `table1_accuracy` and `table13_counts`, and optionally
            `table3_accuracy_by_information`, `table5_accuracy_by_visual`, `table6_cross_vlm_accuracy` and
            `table9_target_kl_10_vs_20`; accuracies in percent, unknown numbers null.
        denominator: Of the shares; `all` is the paper's.

    Raises:
        UserError: If it is no such file.
    """
    data = read_json(path)
    missing = [key for key in NEEDED if not isinstance(data, dict) or key not in data]
    if missing:
        raise UserError(
            f"{path}: holds no published tables: lacks {', '.join(missing)}. Give run directories, or a JSON file with "
            f"{', '.join(NEEDED)}."
        )
    try:
        return Published(_experiments(data, denominator), _by_target(data, denominator))
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: published tables: {error} is missing or of the wrong type.") from error


def _experiments(data: Mapping[str, Any], denominator: Denominator) -> list[Experiment]:
    found = []
    for vlm in data["vlms"]:
        for dataset in data["datasets"]:
            printed = data["table1_accuracy"][vlm][dataset]
            accuracies = {"templates": _percent(printed["templates"]), "aligned": _percent(printed["ex2"])}
            for table in ("table3_accuracy_by_information", "table5_accuracy_by_visual"):
                arms = data.get(table, {}).get(dataset, {}).get(vlm, {})
                accuracies |= {arm: _percent(value) for arm, value in arms.items() if arm != "templates"}
            cross = data.get("table6_cross_vlm_accuracy", {}).get(dataset, {})
            found.append(
                Experiment(
                    name=f"{vlm}, {dataset}",
                    vlm=vlm,
                    dataset=dataset,
                    accuracies=accuracies,
                    counts=(Counts(**data["table13_counts"][vlm][dataset]),),
                    denominator=denominator,
                    kl_setting=MAIN_TARGET,
                    cross={by: _percent(rewards[vlm]) for by, rewards in cross.items() if vlm in rewards},
                )
            )
    return found


def _by_target(data: Mapping[str, Any], denominator: Denominator) -> list[Experiment]:
    found = []
    for dataset, vlms in data.get("table9_target_kl_10_vs_20", {}).items():
        for vlm, printed in vlms.items():
            total = data["table13_counts"][vlm][dataset]["all"]
            for target in (10, 20):
                share = printed[f"informative_kl{target}"]
                # Two decimals of at most 5,000 descriptions name one count.
                informative = None if share is None else round(share * total / 100)
                spurious = None if informative is None else total - informative
                found.append(
                    Experiment(
                        name=f"{vlm}, {dataset}, KL {target}",
                        vlm=vlm,
                        dataset=dataset,
                        accuracies={"aligned": _percent(printed[f"acc_kl{target}"])},
                        counts=(Counts(total, spurious, informative, None, None),),
                        denominator=denominator,
                        kl_setting=float(target),
                    )
                )
    return found


def _percent(value: float) -> Pooled:
    return Pooled(value / 100, None, None, 0, 1)
