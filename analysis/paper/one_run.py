"""One run's own tables: accuracy of every arm, the breakdown of both policies, an example for every question."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from analysis.paper.comparisons import slug
from analysis.results.experiment import Example, Experiment
from analysis.results.pooling import Policy, share_change, share_of
from analysis.results.runs import Run
from analysis.results.wording import ARM_NAMES, KIND_NAMES
from analysis.tables.rules import FALLBACK, TESTS, Rules, by_template, common_notes, denominators, lost_answers
from analysis.tables.table import NOTHING, Cell, Table, count_cell, percent_cell, points_cell, row_of, text_cell
from analysis.verdicts.breakdown import GROUPS, Group
from analysis.verdicts.verdicts import KINDS

PAIRS: tuple[tuple[Group, Group], ...] = (("informative", "spurious"), ("visual", "non_visual"))
"""Kinds whose accuracies are compared."""


def run_tables(run: Run, experiment: Experiment, rules: Rules) -> list[Table]:
    """Lay out one run.

    Args:
        run: Analysed; its shares are shown as they are, see `with_denominator`.
        experiment: The same run's pooled numbers.
        rules: Thresholds.
    """
    folder = run.directory.root
    stem = _stem(folder)
    tables = [_accuracy(stem, run, experiment, rules), _breakdown(stem, run, experiment, rules)]
    examples = question_examples(folder, experiment, rules)
    return [*tables, examples] if examples else tables


def _stem(folder: Path) -> str:
    return f"run-{slug(folder.name)}"


def _accuracy(stem: str, run: Run, experiment: Experiment, rules: Rules) -> Table:
    rows = []
    first = run.results[0].accuracy
    names = {arm: control.name for result in run.results for arm, control in result.accuracy.controls.items()}
    for arm in dict.fromkeys(arm for result in run.results for arm in result.accuracy.arms):
        parts = [part for result in run.results if (part := result.accuracy.arm(arm))]
        cells = (
            percent_cell(experiment.accuracies.get(arm), "no descriptions"),
            _against(experiment, arm, "templates"),
            _against(experiment, arm, "aligned"),
            count_cell(sum(part.texts for part in parts)),
            count_cell(max((len(part.fallback_classes) for part in parts), default=0), n=first.classes),
        )
        name = names.get(arm) or ARM_NAMES.get(arm, arm.replace("_", " "))
        rows.append(row_of((name,), cells, experiment, rules.tolerance))
    nothing = Cell(empty=NOTHING)
    for arm, other in PAIRS:
        cell = _against(experiment, arm, other)
        if not cell.empty:
            cell = replace(cell, notes=(*cell.notes, *by_template(experiment, arm, other)))
        cells = (cell, nothing, nothing, nothing, nothing)
        rows.append(row_of((f"{ARM_NAMES[arm]} − {ARM_NAMES[other]}",), cells, experiment, rules.tolerance))
    return Table(
        f"{stem}-accuracy",
        f"{experiment.name}: accuracy of {experiment.vlm} on {experiment.dataset} by texts, %",
        ("texts",),
        ("accuracy", "minus templates", "minus all of EX2's", "texts used", "classes without such a text"),
        tuple(rows),
        (
            f"{first.images:,} test images of {first.classes:,} classes.",
            FALLBACK,
            lost_answers([experiment]),
            TESTS,
            *common_notes([experiment], rules),
        ),
    )


def _against(experiment: Experiment, arm: str, other: str) -> Cell:
    """Return a tested difference of two arms, whichever way round it was tested."""
    if arm == other:
        return Cell(empty=NOTHING)
    absent = "not tested" if arm in experiment.accuracies and other in experiment.accuracies else "no descriptions"
    return points_cell(experiment.tested(arm, other), absent)


def _breakdown(stem: str, run: Run, experiment: Experiment, rules: Rules) -> Table:
    rows = []
    policies: tuple[Policy, ...] = ("aligned", "base")
    stored = {policy: [part for r in run.results if (part := r.breakdown.policy(policy))] for policy in policies}
    described = {policy: sum(part.descriptions for part in parts) for policy, parts in stored.items()}
    for group in GROUPS:
        cells: list[Cell] = []
        for policy in policies:
            share, within = share_of(run.results, policy, group), share_of(run.results, policy, group, "of_parent")
            cells += [
                percent_cell(share, "no descriptions"),
                percent_cell(within, "no descriptions"),
                count_cell(share.count if share else None, "no descriptions", n=described[policy]),
            ]
        cells.append(points_cell(share_change(run.results, group), "base model not described"))
        rows.append(row_of((KIND_NAMES[group],), cells, experiment, rules.tolerance))
    lost = {
        policy: [sum(part.kinds[kind] for part in parts) for kind in KINDS[-2:]] for policy, parts in stored.items()
    }
    columns = [f"{policy}, {of}" for policy in policies for of in ("of all", "of its parent", "descriptions")]
    return Table(
        f"{stem}-breakdown",
        f"{experiment.name}: what the descriptions are made of, % of {denominators([experiment])}",
        ("kind",),
        (*columns, "aligned − base, of all"),
        tuple(rows),
        (
            "The parent of visual and non-visual is informative.",
            "Answers that could not be read: "
            + "; ".join(f"{p}: {n[1]} informative, {n[0]} visual" for p, n in lost.items())
            + ".",
            *common_notes([experiment], rules),
        ),
    )


def question_examples(folder: Path, experiment: Experiment, rules: Rules) -> Table | None:
    """Lay out a description for every question.

    Args:
        folder: The run's; names the table.
        experiment: Its examples are shown, and its KL if it has one.
        rules: Thresholds.

    Returns:
        `None` without examples.
    """
    if not experiment.examples:
        return None
    by_question: dict[int, list[Example]] = {}
    for example in experiment.examples:
        by_question.setdefault(example.question_id, []).append(example)
    rows = []
    for place, (number, examples) in enumerate(sorted(by_question.items())):
        example = examples[place % len(examples)]  # another class for each question, without choosing by hand
        reward = Cell("logits", example.reward, n=1) if example.reward is not None else Cell(empty="no reward")
        said = text_cell(" ".join(example.text.split()))
        cells = (text_cell(example.class_name), said, text_cell(KIND_NAMES[example.kind]), reward)
        rows.append(row_of((example.question or f"question {number}",), cells, experiment, rules.tolerance))
    return Table(
        f"{_stem(folder)}-examples",
        f"{experiment.name}: a description for every question",
        ("question",),
        ("class", "description", "judged", "reward"),
        tuple(rows),
        (
            "The class moves on by one from question to question; descriptions are of the first seed.",
            *common_notes([experiment], rules),
        ),
    )
