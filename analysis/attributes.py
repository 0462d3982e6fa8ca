"""`ex2 attributes`: which attributes informative descriptions speak of, per run, and whether two VLMs differ."""

from __future__ import annotations

import argparse
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from tqdm import tqdm

from analysis.attribute_judges import (
    ATTRIBUTES,
    VERSION,
    AttributeJudge,
    Described,
    Named,
    Unreadable,
    attribute_judge,
)
from analysis.attribute_shares import Mentions, compare, mention_share
from analysis.attribute_tables import show, to_csv
from analysis.breakdown import MEMBERS
from analysis.figure_attributes import attributes_figure
from analysis.judging import judge_digest
from analysis.probe.testing import holm
from analysis.statistics import newcombe, wilson
from analysis.tables.runs import Run, find_runs, read_runs
from ex2.run_dir import JSON, append_jsonl, read_jsonl, write_json, write_text
from reward.errors import UserError

RESULT, TABLE, FIGURE = "attributes.json", "attributes.csv", "attributes.svg"
LOG = "attributes.jsonl"
"""In a seed's folder: one row per answer."""
PERMUTATIONS = 5000

Answers = dict[Described, "Named | Unreadable"]


class Sorted(NamedTuple):
    """A run's informative descriptions with their attributes.

    Attributes:
        label: The VLM, with the run's name if several runs have it on one dataset.
        dataset: Of the run.
        rows: Class and answer of each informative aligned description of all seeds, repeated texts included.
        judge: Who answered.
        exact: Whether the answers are true by construction.
        run: Its name.
    """

    label: str
    dataset: str
    rows: list[tuple[str, Named | Unreadable]]
    judge: str
    exact: bool
    run: str


def main(options: argparse.Namespace) -> int:
    """Run the verb.

    Args:
        options: `runs`, `out`, `sample` and `seed` of the command line.

    Returns:
        0.

    Raises:
        UserError: For a path that is no analysed run, or a judge that cannot name attributes.
        EnvironmentFault: If the judge cannot be reached or a file not be written; answers so far are kept.
    """
    if options.sample < 1:
        raise UserError(f"--sample: {options.sample}; give 1 or more.")
    folders = find_runs([Path(path) for path in options.runs])
    runs = read_runs(folders)
    out = Path(options.out) if options.out else folders[0] if len(folders) == 1 else Path("attributes")
    result = summarise([*name_runs(runs)], _confidence(runs), sample=options.sample, seed=options.seed)
    write_json(out / RESULT, result)
    write_text(out / TABLE, to_csv(result))
    write_text(out / FIGURE, str(attributes_figure(result)))
    console = Console()
    show(result, console)
    console.print(f"written: {out}: {RESULT}, {TABLE}, {FIGURE}", highlight=False, markup=False, soft_wrap=True)
    return 0


def name_runs(runs: Sequence[Run]) -> Iterator[Sorted]:
    """Ask for the attributes of every run's informative aligned descriptions; what is in the logs is not asked."""
    places = Counter((run.results[0].accuracy["vlm"], run.results[0].accuracy["dataset"]) for run in runs)
    for run in runs:
        section = run.recipe.judge
        judge = attribute_judge(section.name, section.settings)
        digest = judge_digest(section.name, section.settings)
        rows: list[tuple[str, Named | Unreadable]] = []
        for result in run.results:
            described = [
                Described(row["class"], row["text"])
                for row in result.descriptions
                if row["policy"] == "aligned"
                and result.verdicts.kind(row["class"], row["text"]) in MEMBERS["informative"]
            ]
            answers = ask(judge, described, run.directory.seed(result.seed).root / LOG, digest=digest)
            rows += [(one.class_name, answers[one]) for one in described]
        vlm, dataset = run.results[0].accuracy["vlm"], run.results[0].accuracy["dataset"]
        label = f"{vlm} ({run.recipe.name})" if places[vlm, dataset] > 1 else str(vlm)
        yield Sorted(label, str(dataset), rows, judge.name, judge.exact, run.recipe.name)


def ask(judge: AttributeJudge, described: Sequence[Described], path: Path, *, digest: str) -> Answers:
    """Ask the judge what is not yet in the log, and append each answer to it.

    Args:
        judge: Names attributes.
        described: Repeated ones are asked once.
        path: `attributes.jsonl`, appended.
        digest: Of the judge's settings; answers of others in the log are not taken over.

    Returns:
        An answer for each.

    Raises:
        UserError: If a line of the log is no answer, or the judge leaves some unanswered.
        EnvironmentFault: If the judge cannot be reached or the log not be written; answers so far are in the log.
    """
    answers = read_answers(path, digest=digest)
    missing = [one for one in dict.fromkeys(described) if one not in answers]
    waiting: list[JSON] = []

    def on_named(one: Described, answer: Named | Unreadable) -> None:
        answers[one] = answer
        named = isinstance(answer, Named)
        waiting.append(
            {
                "class": one.class_name,
                "description": one.text,
                "attributes": list(answer.attributes) if isinstance(answer, Named) else None,
                "own": list(answer.own) if isinstance(answer, Named) else None,
                "raw": answer.raw,
                "parsed": named,
                "judge": judge.name,
                "version": VERSION,
                "settings": digest,
            }
        )
        bar.update()
        if len(waiting) >= 64:
            append_jsonl(path, waiting)
            waiting.clear()

    if missing:
        with tqdm(total=len(missing), desc="judge: attributes", unit="desc") as bar:
            try:
                judge.name_attributes(missing, on_named)
            finally:
                append_jsonl(path, waiting)  # after an error too: what was answered is kept
    left = [one for one in missing if one not in answers]
    if left:
        raise UserError(f"judge '{judge.name}': {len(left)} of {len(missing)} descriptions were left unanswered.")
    return answers


def read_answers(path: Path, *, digest: str) -> Answers:
    """Read the log of answers of one judge and the current question; a missing file holds none.

    Raises:
        UserError: If a line is no answer.
    """
    answers: Answers = {}
    for number, row in enumerate(read_jsonl(path), start=1):
        try:
            if row["settings"] != digest or row["version"] != VERSION:
                continue
            one = Described(row["class"], row["description"])
            names = row["attributes"]
            unknown = sorted(set(names or ()) - set(ATTRIBUTES))
            if unknown:
                raise KeyError(unknown[0])
            answers[one] = (
                Unreadable(row["raw"]) if names is None else Named(tuple(names), tuple(row["own"]), row["raw"])
            )
        except KeyError as error:
            raise UserError(
                f"{path}: line {number}: no answer ({error} missing or unknown); delete the file and ask again."
            ) from error
    return answers


def summarise(runs: Sequence[Sorted], confidence: float, *, sample: int, seed: int) -> JSON:
    """Compute shares for every run, and compare every pair of runs on one dataset.

    Args:
        runs: With their answers.
        confidence: Of intervals; tests are at one minus it.
        sample: Descriptions of the random sample; fewer if there are fewer.
        seed: Of the sample and the tests.

    Returns:
        Content of `attributes.json`. p-values are corrected by Holm's method: `p_holm` of a comparison over all
        comparisons, of an attribute over all attributes of all comparisons.
    """
    groups = [_group(run, confidence, sample, seed) for run in runs]
    comparisons = [
        compared
        for first, second in itertools.combinations(runs, 2)
        if first.dataset == second.dataset and (compared := _comparison(first, second, confidence, seed))
    ]
    for rows in (comparisons, [row for compared in comparisons for row in compared["attributes"]]):
        for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
            row["p_holm"], row["significant"] = p, p < 1 - confidence
    return {
        "question": VERSION,
        "attributes": list(ATTRIBUTES),
        "confidence": confidence,
        "seed": seed,
        "intervals": "shares of mentions, descriptions as clusters (Wilson at the effective number of mentions)",
        "test": f"{PERMUTATIONS} relabellings of whole descriptions within classes; Holm's correction",
        "groups": groups,
        "comparisons": comparisons,
    }


def matrix(answers: Sequence[Named | Unreadable]) -> Mentions:
    """Return which attributes each parsed answer names, shape (parsed, attributes)."""
    parsed = [answer for answer in answers if isinstance(answer, Named)]
    rows = [[int(name in answer.attributes) for name in ATTRIBUTES] for answer in parsed]
    return np.array(rows, dtype=np.int64).reshape(len(parsed), len(ATTRIBUTES))


def _group(run: Sorted, confidence: float, sample: int, seed: int) -> JSON:
    answers = [answer for _, answer in run.rows]
    draw = random.Random(f"attributes {seed}")
    keys = [draw.random() for _ in answers]
    chosen = sorted(range(len(answers)), key=keys.__getitem__)[:sample]
    own = Counter(name for answer in answers if isinstance(answer, Named) for name in answer.own)
    return {
        "vlm": run.label,
        "dataset": run.dataset,
        "run": run.run,
        "judge": run.judge,
        "exact": run.exact,
        "all": _shares(answers, confidence),
        "sample": _shares([answers[index] for index in sorted(chosen)], confidence),
        "own_names": dict(own.most_common()),
    }


def _shares(answers: Sequence[Named | Unreadable], confidence: float) -> JSON:
    mentions = matrix(answers)
    of_each = mentions.sum(1)
    attributes: JSON = {}
    for column, name in enumerate(ATTRIBUTES):
        hits = mentions[:, column]
        share = mention_share(hits, of_each, confidence)
        with_it = wilson(int(hits.sum()), len(hits), confidence) if len(hits) else None
        attributes[name] = {
            "mentions": int(hits.sum()),
            "of_mentions": share and {"share": share.value, "low": share.low, "high": share.high, "n": share.n},
            "of_descriptions": with_it
            and {"share": with_it.value, "low": with_it.low, "high": with_it.high, "n": with_it.n},
        }
    return {
        "descriptions": len(answers),
        "unparsed": len(answers) - len(mentions),
        "without_attribute": int((of_each == 0).sum()),
        "mentions": int(mentions.sum()),
        "attributes": attributes,
    }


def _comparison(first: Sorted, second: Sorted, confidence: float, seed: int) -> JSON | None:
    sides = []
    index = {name: number for number, name in enumerate(sorted({name for name, _ in first.rows + second.rows}))}
    for run in (first, second):
        parsed = [(name, answer) for name, answer in run.rows if isinstance(answer, Named)]
        classes = np.array([index[name] for name, _ in parsed], dtype=np.int64)
        sides.append((matrix([answer for _, answer in parsed]), classes))
    (ours, our_classes), (theirs, their_classes) = sides
    test = compare(ours, our_classes, theirs, their_classes, permutations=PERMUTATIONS, seed=seed)
    if test is None:
        return None
    rows = []
    for column, name in enumerate(ATTRIBUTES):
        if not ours[:, column].sum() + theirs[:, column].sum():
            continue
        shares = [mention_share(side[:, column], side.sum(1), confidence) for side in (ours, theirs)]
        if shares[0] is None or shares[1] is None:
            continue
        gap = newcombe(shares[0], shares[1])
        p = test.attribute_p[column]
        rows.append({"attribute": name, "difference": gap.value, "low": gap.low, "high": gap.high, "p": p})
    return {
        "dataset": first.dataset,
        "first": first.label,
        "second": second.label,
        "statistic": test.statistic,
        "p": test.p,
        "permutations": test.permutations,
        "classes": test.classes,
        "attributes": rows,
    }


def _confidence(runs: Sequence[Run]) -> float:
    return float(runs[0].recipe.analysis.confidence)
