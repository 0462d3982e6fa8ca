"""One run's own tables: accuracy of every arm, the breakdown of both policies, an example for every question."""

from __future__ import annotations

from dataclasses import replace

from analysis.paper.comparisons import slug
from analysis.results.changes import change_of, changes_note
from analysis.results.experiment import Example, Experiment
from analysis.results.headline import Headline
from analysis.results.wording import KIND_NAMES
from analysis.tables.rules import FALLBACK, TESTS, Rules, by_template, common_notes, denominators, lost_answers, unknown
from analysis.tables.table import NOTHING, Cell, Table, count_cell, percent_cell, points_cell, row_of, text_cell
from analysis.verdicts.breakdown import GROUPS, Group
from analysis.verdicts.verdicts import KINDS
from ex2.policy.source import PolicyName

PAIRS: tuple[tuple[Group, Group], ...] = (("informative", "spurious"), ("visual", "non_visual"))
"""Pairs of kinds whose accuracies are compared."""


def run_tables(experiment: Experiment, rules: Rules, said: Headline | None = None) -> list[Table]:
    """Make one run's tables.

    Args:
        experiment: A run's experiment; the tables are named after its folder.
        rules: Thresholds of the rules.
        said: The run's headline, which stands below the tables with its caution.
    """
    tables = [_accuracy(experiment, rules, said), _breakdown(experiment, rules, said)]
    examples = question_examples(experiment, rules)
    return [*tables, examples] if examples else tables


def _stem(experiment: Experiment) -> str:
    return f"run-{slug(experiment.folder.name if experiment.folder else experiment.name)}"


def _accuracy(experiment: Experiment, rules: Rules, said: Headline | None) -> Table:
    rows = []
    for arm, texts in experiment.arms.items():
        cells = (
            percent_cell(experiment.accuracy(arm), "no descriptions"),
            _against(experiment, arm, "templates"),
            _against(experiment, arm, "aligned"),
            count_cell(texts.texts),
            count_cell(experiment.fallback.get(arm, 0), n=experiment.classes),
        )
        noted = [_with_template(cell, experiment, arm) for cell in cells]
        rows.append(row_of((experiment.arm_name(arm),), noted, experiment, rules.tolerance))
    nothing = Cell(empty=NOTHING)
    for arm, other in PAIRS:
        cell = _against(experiment, arm, other)
        cells = (_with_template(cell, experiment, arm, other), nothing, nothing, nothing, nothing)
        names = f"{experiment.arm_name(arm)} − {experiment.arm_name(other)}"
        rows.append(row_of((names,), cells, experiment, rules.tolerance))
    return Table(
        f"{_stem(experiment)}-accuracy",
        f"{experiment.name}: accuracy of {experiment.vlm} on {experiment.dataset} by texts, %",
        ("texts",),
        ("accuracy", "minus templates", "minus all of EX2's", "texts used", "classes without such a text"),
        tuple(rows),
        (
            f"{experiment.images:,} test images of {experiment.classes:,} classes.",
            FALLBACK,
            lost_answers([experiment]),
            TESTS,
            *(said.lines() if said else ()),
            *common_notes([experiment], rules),
        ),
    )


def _with_template(cell: Cell, experiment: Experiment, *arms: str) -> Cell:
    """Add to a cell of an accuracy or a difference for how many classes the plain template stands in for texts."""
    groups = [group for arm in arms for group in GROUPS if group == arm]
    if cell.empty or cell.unit not in ("percent", "points"):
        return cell
    return replace(cell, notes=(*cell.notes, *by_template(experiment, *groups)))


def _against(experiment: Experiment, arm: str, other: str) -> Cell:
    """Return the cell of the tested difference of two arms, whichever of them was subtracted in the test."""
    if arm == other:
        return Cell(empty=NOTHING)
    absent = "not tested" if arm in experiment.accuracies and other in experiment.accuracies else "no descriptions"
    return points_cell(experiment.tested(arm, other), absent)


def _breakdown(experiment: Experiment, rules: Rules, said: Headline | None) -> Table:
    rows = []
    policies: tuple[PolicyName, ...] = ("aligned", "base")
    described = {policy: experiment.policies.get(policy) for policy in policies}
    for group in GROUPS:
        cells: list[Cell] = []
        for policy, part in described.items():
            share, within = experiment.share_of_all(policy, group), experiment.share_of_parent(policy, group)
            absent = unknown(experiment, "no descriptions")
            cells += [
                percent_cell(share, absent),
                percent_cell(within, absent),
                count_cell(share.count if share else None, absent, n=part.descriptions if part else 0),
            ]
        absent = unknown(experiment, "base model not described")
        cells.append(points_cell(change_of(experiment, group), absent))
        rows.append(row_of((KIND_NAMES[group],), cells, experiment, rules.tolerance))
    lost = {policy: [part.kinds[kind] if part else 0 for kind in KINDS[-2:]] for policy, part in described.items()}
    columns = [f"{policy}, {of}" for policy in policies for of in ("of all", "of its parent", "descriptions")]
    return Table(
        f"{_stem(experiment)}-breakdown",
        f"{experiment.name}: what the descriptions are made of, % of {denominators([experiment])}",
        ("kind",),
        (*columns, "aligned − base, of all"),
        tuple(rows),
        (
            "The parent of visual and non-visual is informative.",
            "Answers that could not be read: "
            + "; ".join(f"{p}: {n[1]} informative, {n[0]} visual" for p, n in lost.items())
            + ".",
            *filter(None, [changes_note(experiment)]),
            *(said.lines() if said else ()),
            *common_notes([experiment], rules),
        ),
    )


def question_examples(experiment: Experiment, rules: Rules) -> Table | None:
    """Make a table with one description for every question.

    Args:
        experiment: The experiment whose examples, and KL if it is known, are shown; the table is named after its
            folder.
        rules: Thresholds of the rules.

    Returns:
        The table; `None` if the experiment has no examples.
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
        f"{_stem(experiment)}-examples",
        f"{experiment.name}: a description for every question",
        ("question",),
        ("class", "description", "judged", "reward"),
        tuple(rows),
        (
            "The class moves on by one from question to question; descriptions are of the first seed.",
            *common_notes([experiment], rules),
        ),
    )
