"""In which words people are asked: those in which the run's judge was."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.judge.panel import panel_members
from analysis.judge.rubric import SHIPPED, load_rubric
from analysis.judge.table import JUDGES
from analysis.verdicts.record import read_breakdown
from ex2.recipe_io import stored_tree
from ex2.run.directory import RunDirectory
from reward.components import resolve
from reward.errors import UserError

WITHOUT = "paper"
"""Rubric of judges that have no setting for it: they are asked the paper's questions."""


def judge_rubric(runs: Sequence[Path]) -> str:
    """Return the name of the rubric in which the judge of some runs was asked, as `load_rubric` takes it.

    Args:
        runs: The runs' folders; at least one.

    Returns:
        The rubric of the runs' recipes, or the shipped one that the breakdowns name, if the run was analysed with
        another one than its recipe's.

    Raises:
        UserError: If runs have different rubrics, if the judges of a panel have, or if a run was analysed with a rubric
            that is neither shipped nor its recipe's; the message lists the problems of all runs.
    """
    found: dict[str, Path] = {}
    problems = []
    for run in runs:
        try:
            found.setdefault(_rubric_of(run), run)
        except UserError as error:
            problems.append(str(error))
    if len(found) > 1:
        named = ", ".join(f"'{rubric}' ({run})" for rubric, run in found.items())
        problems.append(
            f"--rubric: the judges of these runs were asked in different words: {named}; label the runs apart, or name "
            "one rubric for all."
        )
    if problems:
        raise UserError("\n".join(problems))
    return next(iter(found))


def _rubric_of(run: Path) -> str:
    judge = stored_tree(RunDirectory(run).recipe).get("judge")
    named = [*dict.fromkeys(_named(judge if isinstance(judge, Mapping) else {}))]
    paths = sorted(run.glob(f"seed-*/{RunDirectory(run).seed(0).breakdown.name}"))
    asked = [*dict.fromkeys(read_breakdown(path).judge.rubric for path in paths)]
    if not asked and len(named) == 1:
        return named[0]
    if len(asked) == 1:
        for rubric in [*named, *SHIPPED]:
            if load_rubric(rubric).version == asked[0]:
                return rubric
    words = ", ".join(f"'{version}'" for version in asked or named)
    raise UserError(
        f"--rubric: the judge of {run} was asked in {words}, which is no one rubric that people can be shown; name "
        f"one: {', '.join(SHIPPED)}, or the path of a JSON file."
    )


def _named(judge: Mapping[str, Any]) -> Iterator[str]:
    """Yield the rubrics that a recipe's judge, or the judges of its panel, are asked with."""
    name = str(judge.get("name", ""))
    if name == "panel":
        for member in panel_members(judge):
            yield from _named({**member.settings, "name": member.name})
    elif "rubric" in judge:
        yield str(judge["rubric"])
    elif name in JUDGES or "." not in name:
        yield WITHOUT
    else:
        given = inspect.signature(resolve(name, JUDGES, "judge.name")).parameters.get("rubric")
        yield WITHOUT if given is None or given.default is inspect.Parameter.empty else str(given.default)
