"""Runs whose right and wrong images are chosen one by one, for what pools seeds and compares arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from run_samples import arm_of, write_run

from analysis.accuracy.record import Comparison, read_accuracy
from analysis.paper.grids import grid_tables
from analysis.results.experiment import Experiment
from analysis.statistics.paired import paired_accuracy
from analysis.tables.rules import Rules
from analysis.tables.table import Cell, Table
from reward.files import write_json, write_jsonl

Right = Sequence[bool]


def tables_of(experiments: Sequence[Experiment], rules: Rules | None = None) -> dict[str, Table]:
    """The grids, by file name."""
    return {table.key: table for table in grid_tables(experiments, rules or Rules())}


def place(table: Table, row: tuple[str, ...], column: str) -> Cell:
    """The cell of a row and column, by their names."""
    [found] = [r for r in table.rows if r.names == row]
    return found.cells[table.columns.index(column)]


def hits(n: int, *ranges: tuple[int, int]) -> list[bool]:
    """Of n images, right on those within the ranges, ends excluded."""
    return [any(low <= index < high for low, high in ranges) for index in range(n)]


def difference_of(arm: str, right: Right, against: str, other: Right) -> Comparison:
    """A comparison of two arms with these images right."""
    return Comparison(arm, against, paired_accuracy(right, other))


def set_arms(
    run: Path,
    seed: int,
    right: Mapping[str, Right | None],
    compared: Sequence[tuple[str, str]],
    fallback: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Replace what a seed of a written run measured.

    Args:
        run: From `write_run`.
        seed: Of the run.
        right: Whether each image is right, by arm; `None` for an arm without texts.
        compared: Pairs of arms.
        fallback: Classes without a text, by arm.
    """
    path = run / f"seed-{seed}" / "accuracy.json"
    known = {arm: bits for arm, bits in right.items() if bits is not None}
    content = replace(
        read_accuracy(path),
        arms={
            arm: None if bits is None else arm_of(bits, (fallback or {}).get(arm, ())) for arm, bits in right.items()
        },
        differences=tuple(
            difference_of(arm, known[arm], other, known[other])
            for arm, other in compared
            if {arm, other} <= known.keys()
        ),
        samples=4000,
        images=len(next(iter(known.values()))),
    )
    write_json(path, content.to_json())


def run_with_seeds(root: Path, name: str, aligned: Mapping[int, Right], templates: Right, **settings: Any) -> Path:
    """Write a run of templates and EX2's descriptions alone, compared, with chosen images right in each seed."""
    run = write_run(root, name, seeds=dict.fromkeys(aligned, 0), **settings)
    for seed, right in aligned.items():
        set_arms(run, seed, {"templates": templates, "aligned": right}, [("aligned", "templates")])
    return run


def set_kl(run: Path, seed: int, kl: float, target: float = 10.0) -> None:
    """Replace the KL that a seed of a written run reached."""
    write_jsonl(run / f"seed-{seed}" / "train.jsonl", [{"batch": b, "kl": kl, "kl_target": target} for b in (1, 2, 3)])
