"""One run's own tables: accuracy of every arm, the breakdown of both policies, an example for every question."""

from __future__ import annotations

from analysis.breakdown import GROUPS
from analysis.judging import KINDS
from analysis.pooling import Policy, share_change, share_of
from analysis.tables.comparisons import slug
from analysis.tables.experiment import Example, Experiment
from analysis.tables.grids import Rules
from analysis.tables.runs import Run
from analysis.tables.table import (
    Cell,
    Row,
    Table,
    count_cell,
    of_experiment,
    percent_cell,
    points_cell,
    text_cell,
)
from analysis.wording import ARM_NAMES, KIND_NAMES


def run_tables(run: Run, experiment: Experiment, rules: Rules) -> list[Table]:
    """Lay out one run.

    Args:
        run: Analysed.
        experiment: The same run's pooled numbers.
        rules: Thresholds.
    """
    stem = f"run-{slug(run.directory.root.name)}"
    tables = [_accuracy(stem, run, experiment, rules), _breakdown(stem, run, experiment, rules)]
    if experiment.examples:
        tables.append(_examples(stem, experiment, rules))
    return tables


def _accuracy(stem: str, run: Run, experiment: Experiment, rules: Rules) -> Table:
    rows = []
    names = {arm: part["name"] for r in run.results for arm, part in r.accuracy.get("controls", {}).items()}
    for arm in dict.fromkeys(arm for result in run.results for arm in result.accuracy["arms"]):
        parts = [part for result in run.results if (part := result.accuracy["arms"].get(arm))]
        change = points_cell(experiment.difference(arm, "templates")) if arm != "templates" else Cell(empty="–")
        compared = experiment.differences.get((arm, "aligned"))
        cells = (
            of_experiment(percent_cell(experiment.accuracies.get(arm), "no descriptions"), experiment, _share(rules)),
            change,
            points_cell(compared, "not tested") if arm != "aligned" else Cell(empty="–"),
            count_cell(sum(part["texts"] for part in parts)),
            count_cell(max((len(part["fallback_classes"]) for part in parts), default=0)),
        )
        rows.append(Row((names.get(arm) or ARM_NAMES.get(arm, arm.replace("_", " ")),), cells))
    first = run.results[0].accuracy
    return Table(
        f"{stem}-accuracy",
        f"{experiment.name}: accuracy of {experiment.vlm} on {experiment.dataset} by texts, %",
        ("texts",),
        ("accuracy", "minus templates", "minus all of EX2's", "texts used", "classes without such a text"),
        tuple(rows),
        (f"{first['images']:,} test images of {first['classes']:,} classes.", rules.kl),
    )


def _breakdown(stem: str, run: Run, experiment: Experiment, rules: Rules) -> Table:
    rows = []
    policies: tuple[Policy, ...] = ("aligned", "base")
    for group in GROUPS:
        cells: list[Cell] = []
        for policy in policies:
            share, part = share_of(run.results, policy, group), share_of(run.results, policy, group, "of_parent")
            cells += [
                of_experiment(percent_cell(share, "no descriptions"), experiment, _share(rules)),
                percent_cell(part, "no descriptions"),
                count_cell(share.count if share else None, "no descriptions"),
            ]
        change = share_change(run.results, group)
        rows.append(Row((KIND_NAMES[group],), (*cells, points_cell(change, "base model not described"))))
    lost = {
        policy: [
            sum(r.breakdown["policies"].get(policy, {"kinds": {kind: 0}})["kinds"][kind] for r in run.results)
            for kind in KINDS[-2:]
        ]
        for policy in policies
    }
    parts = [f"{policy}, {of}" for policy in policies for of in ("of all", "of its parent", "descriptions")]
    return Table(
        f"{stem}-breakdown",
        f"{experiment.name}: what the descriptions are made of, %",
        ("kind",),
        (*parts, "aligned − base, of all"),
        tuple(rows),
        (
            "The parent of visual and non-visual is informative.",
            "Answers that could not be read: "
            + "; ".join(f"{p}: {n[1]} informative, {n[0]} visual" for p, n in lost.items())
            + ".",
            rules.kl,
        ),
    )


def _examples(stem: str, experiment: Experiment, rules: Rules) -> Table:
    by_question: dict[int, list[Example]] = {}
    for example in experiment.examples:
        by_question.setdefault(example.question_id, []).append(example)
    rows = []
    for place, (number, examples) in enumerate(sorted(by_question.items())):
        example = examples[place % len(examples)]  # another class for each question, without choosing by hand
        reward = Cell("logits", example.reward, n=1) if example.reward is not None else Cell(empty="no reward")
        said = of_experiment(text_cell(" ".join(example.text.split())), experiment, _share(rules))
        cells = (text_cell(example.class_name), said, text_cell(KIND_NAMES[example.kind]), reward)
        rows.append(Row((example.question or f"question {number}",), cells))
    return Table(
        f"{stem}-examples",
        f"{experiment.name}: a description for every question",
        ("question",),
        ("class", "description", "judged", "reward"),
        tuple(rows),
        ("The class moves on by one from question to question; descriptions are of the first seed.",),
    )


def _share(rules: Rules) -> float:
    return rules.kl_tolerance / 100
