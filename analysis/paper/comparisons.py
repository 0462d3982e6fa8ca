"""Experiments side by side: VLMs with each other's descriptions (Table 6), KL targets (Table 9), answers (Table 10)."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.results.experiment import Example, Experiment, by_row, by_target, datasets_of
from analysis.results.wording import KIND_NAMES, NBSP, batches, is_short
from analysis.tables.rules import TESTS, Rules, common_notes, denominators, lost_answers, unknown
from analysis.tables.table import Cell, Row, Table, percent_cell, points_cell, row_of, text_cell, with_kl
from reward.errors import UserError

EXAMPLES = 3
"""Number of pairs of class and question shown for each dataset if the user names none."""


def cross_tables(experiments: Sequence[Experiment], rules: Rules) -> list[Table]:
    """Lay out, for each dataset, every VLM's accuracy with every VLM's descriptions.

    Args:
        experiments: The experiments; those without accuracies across VLMs are left out.
        rules: Thresholds of the rules.

    Returns:
        A table for each dataset that has such accuracies: a row for each classifier, a column for each set of
        descriptions.
    """
    tables = []
    for dataset in datasets_of(experiments):
        own = [experiment for experiment in experiments if experiment.dataset == dataset and experiment.cross]
        columns = {label: placed[dataset] for label, placed in by_row(own).items()}
        classifiers = dict.fromkeys([e.vlm for e in own] + [name for e in own for name in e.cross])
        compared = any(experiment.cross_differences for experiment in own)
        rows = []
        for name in classifiers:
            cells = [with_kl(percent_cell(e.cross.get(name)), e.kl, rules.tolerance) for e in columns.values()]
            rows.append(Row((name, "accuracy") if compared else (name,), tuple(cells)))
            if compared:
                changes = [
                    Cell(empty="its own descriptions")
                    if e.vlm == name and name not in e.cross_differences
                    else points_cell(e.cross_differences.get(name))
                    for e in columns.values()
                ]
                marked = (
                    with_kl(cell, e.kl, rules.tolerance) for cell, e in zip(changes, columns.values(), strict=True)
                )
                rows.append(Row((name, "minus that with its own"), tuple(marked)))
        if not rows:
            continue
        tables.append(
            Table(
                f"table-06-cross-{slug(dataset)}",
                f"{dataset}: accuracy of each VLM with descriptions aligned to each VLM, %",
                ("classifier", "number") if compared else ("classifier",),
                tuple(f"descriptions of {label}" for label in columns),
                tuple(rows),
                (
                    "Differences compare the same images; the classifier's own descriptions are of the same seed.",
                    TESTS,
                    *common_notes(own, rules),
                ),
            )
        )
    return tables


def kl_table(experiments: Sequence[Experiment], rules: Rules) -> Table | None:
    """Lay out accuracy and the informative share by KL target.

    Args:
        experiments: The experiments; those without a target are left out.
        rules: Thresholds of the rules.

    Returns:
        The table; `None` unless a VLM was aligned on one dataset with two targets. Its cells are filled also where
        accuracy does not exceed the templates', because that is part of the comparison.
    """
    tried: dict[tuple[str, str], set[float]] = {}
    for e in experiments:
        if e.kl_setting is not None:
            tried.setdefault((e.vlm, e.dataset), set()).add(e.kl_setting)
    several = {pair for pair, found in tried.items() if len(found) > 1}
    if not several:
        return None
    chosen = [e for e in experiments if e.kl_setting is not None and (e.vlm, e.dataset) in several]
    targets = sorted({e.kl_setting for e in chosen if e.kl_setting is not None})
    datasets = datasets_of(chosen)
    places = [(dataset, target) for dataset in datasets for target in targets]
    rows = []
    for label, placed in by_target(chosen).items():
        for name in ("accuracy of EX2", "informative", "KL reached"):
            cells = [
                _kl_cell(placed[place], name, rules) if place in placed else Cell(empty="no run") for place in places
            ]
            rows.append(Row((label, name), tuple(cells)))
    return Table(
        "table-09-kl-targets",
        f"Accuracy and informative descriptions by KL target, % of {denominators(chosen)}; KL reached, nats per "
        "description",
        ("VLM", "number"),
        tuple(f"{dataset}, KL{NBSP}{target:g}" for dataset, target in places),
        tuple(rows),
        (
            "Filled whether or not EX2's descriptions are more accurate than the templates.",
            lost_answers(chosen),
            *common_notes(chosen, rules),
        ),
    )


def _kl_cell(experiment: Experiment, name: str, rules: Rules) -> Cell:
    if name == "KL reached":
        kl = experiment.kl and experiment.kl.mean
        notes = (batches(kl),) if kl and is_short(kl) else ()
        cell = Cell("nats", kl.value, kl.low, kl.high, kl.n, kl.seeds, notes=notes) if kl else Cell(empty="not known")
    elif name == "informative":
        cell = percent_cell(experiment.share("informative"), unknown(experiment))
    else:
        cell = percent_cell(experiment.accuracy("aligned"))
    return with_kl(cell, experiment.kl, rules.tolerance)


def example_tables(
    experiments: Sequence[Experiment],
    rules: Rules,
    *,
    class_name: str | None = None,
    question: int | None = None,
    most: int = EXAMPLES,
) -> list[Table]:
    """Lay out, for each dataset, what every VLM's policy answers to the same question about the same class.

    Args:
        experiments: The experiments; those without descriptions are left out.
        rules: Thresholds of the rules.
        class_name: The only class to show; `None` shows a different class for each question.
        question: Number of the only question to show; `None` shows the first ones that all experiments answer.
        most: Largest number of pairs of class and question for each dataset; ignored if class and question are given.

    Returns:
        A table for each dataset with descriptions.

    Raises:
        UserError: If there is no dataset all of whose experiments have the class and question.
    """
    tables, seen = [], False
    for dataset in datasets_of(experiments):
        own = [e for e in experiments if e.dataset == dataset and e.examples]
        if not own:
            continue
        seen = True
        texts = [{(x.class_name, x.question_id): x for x in e.examples} for e in own]
        shared = [key for key in texts[0] if all(key in other for other in texts[1:])]
        keys = [k for k in shared if class_name in (None, k[0]) and question in (None, k[1])]
        chosen = _spread(keys, most)
        labels = [label for label, placed in by_row(own).items() if dataset in placed]
        ordered = [placed[dataset] for placed in by_row(own).values() if dataset in placed]
        by_experiment = {id(e): t for e, t in zip(own, texts, strict=True)}
        rows = [
            row_of(
                (key[0], by_experiment[id(ordered[0])][key].question or f"question {key[1]}", label),
                _example_cells(by_experiment[id(experiment)][key]),
                experiment,
                rules.tolerance,
            )
            for key in chosen
            for label, experiment in zip(labels, ordered, strict=True)
        ]
        if rows:
            tables.append(
                Table(
                    f"table-10-examples-{slug(dataset)}",
                    f"{dataset}: the same question about the same class for every VLM",
                    ("class", "question", "VLM"),
                    ("description", "judged", "reward"),
                    tuple(rows),
                    (
                        "The first description of the first seed that is not empty; rewards are in the VLM's own "
                        "logits, not comparable between VLMs.",
                        *common_notes(own, rules),
                    ),
                )
            )
    if not tables and (class_name is not None or question is not None):
        if not seen:
            option = "--class" if class_name is not None else "--question"
            raise UserError(
                f"ex2 tables: {option}: nothing given has descriptions to choose from; give run directories, or leave "
                "it out."
            )
        wanted = " and ".join(
            part
            for part in (
                f"class '{class_name}'" if class_name is not None else "",
                f"question {question}" if question is not None else "",
            )
            if part
        )
        known = sorted({x.class_name for e in experiments for x in e.examples})
        numbers = sorted({x.question_id for e in experiments for x in e.examples})
        raise UserError(
            f"ex2 tables: no dataset's runs all describe {wanted}. Classes: {', '.join(known[:12])}"
            f"{', …' if len(known) > 12 else ''}. Questions: {numbers[0]} to {numbers[-1]}."
        )
    return tables


def _spread(keys: Sequence[tuple[str, int]], most: int) -> list[tuple[str, int]]:
    """Choose pairs of class and question; a class or question repeats only when no pair without repetition is left."""
    chosen: list[tuple[str, int]] = []
    waiting = list(keys)
    while waiting and len(chosen) < most:
        classes, questions = {c for c, _ in chosen}, {q for _, q in chosen}
        best = min(waiting, key=lambda key: (key[0] in classes) + (key[1] in questions))
        chosen.append(best)
        waiting.remove(best)
    return chosen


def _example_cells(example: Example) -> tuple[Cell, ...]:
    reward = Cell("logits", example.reward, n=1) if example.reward is not None else Cell(empty="no reward")
    return text_cell(" ".join(example.text.split())), text_cell(KIND_NAMES[example.kind]), reward


def slug(name: str) -> str:
    """Return a name that is safe in a file name."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name).strip("-") or "unnamed"
