"""Shares of attributes for every run, over its seeds, and comparisons of VLMs: what `attributes.json` holds."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.attributes.answers import Answered, Row, SeedAnswers, texts_digest
from analysis.attributes.comparison import Comparison, Side, compare, least_p, restricted, shared_classes
from analysis.attributes.judges import ATTRIBUTES, VERSION, Named, Unreadable
from analysis.attributes.shares import Mentions, mention_share, over_seeds, stored_share, welch
from analysis.statistics.holm import mark
from analysis.statistics.intervals import Estimate, all_equal, newcombe, wilson
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import JSON, read_json

RESULT = "attributes.json"
"""In a run's folder: its own part of the last `ex2 attributes` that it took part in."""

FORMAT = 2
PERMUTATIONS = 5000

AGAIN = "run `ex2 attributes` again"


def summarise(runs: Sequence[Answered], confidence: float, *, sample: int, seed: int) -> JSON:
    """Compute shares for every run, and compare every pair of runs on one dataset.

    Args:
        runs: With their answers.
        confidence: Of intervals; tests are at one minus it.
        sample: Descriptions of each seed's random sample; fewer if there are fewer.
        seed: Of the samples and the tests.

    Returns:
        Content of `attributes.json`. p-values are corrected by Holm's method: `p_holm` of a comparison over all
        comparisons, of an attribute over all attributes of all comparisons.
    """
    groups = [_group(run, confidence, sample, seed) for run in runs]
    labels = labels_of(groups)
    pairs = [
        (labels[one], labels[other], runs[one], runs[other])
        for one, other in itertools.combinations(range(len(runs)), 2)
        if runs[one].dataset == runs[other].dataset
    ]
    comparisons = [
        compared for pair in pairs if (compared := _comparison(*pair, confidence, seed=seed, tests=len(pairs)))
    ]
    correct(comparisons, 1 - confidence)
    return {
        "format": FORMAT,
        "question": VERSION,
        "attributes": list(ATTRIBUTES),
        "confidence": confidence,
        "sample": sample,
        "seed": seed,
        "intervals": "of one seed: descriptions as clusters (Wilson at the effective number of mentions); of several: "
        "Student's t over seeds",
        "test": f"whole seeds exchanged where there are enough of them, else {PERMUTATIONS} relabellings of whole "
        "descriptions within classes, given these seeds; Holm's correction",
        "groups": [{"label": label, **group} for label, group in zip(labels, groups, strict=True)],
        "comparisons": comparisons,
    }


def correct(comparisons: Sequence[JSON], level: float) -> None:
    """Add `p_holm` and `significant`: of comparisons over all of them, of attributes over all of all comparisons.

    Args:
        comparisons: Of `attributes.json`, changed in place.
        level: Of the tests.
    """
    for rows in (comparisons, [row for compared in comparisons for row in compared["attributes"]]):
        mark(rows, level)


def part_of(result: JSON, group: JSON) -> JSON:
    """Return what concerns one run: its group and the comparisons that it is in."""
    own = [row for row in result["comparisons"] if identity(group) in pair_of(row)]
    return {**result, "groups": [group], "comparisons": own}


def identity(group: JSON) -> tuple[str, str]:
    """Return what tells one run's results from others', whichever file holds them: name and descriptions."""
    return group["run"], group["texts"]


def pair_of(comparison: JSON) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the identities of the two runs that were compared."""
    first, second = comparison["runs"]
    return (first[0], first[1]), (second[0], second[1])


def stored_attributes(directory: RunDirectory) -> tuple[JSON | None, str]:
    """Read what `ex2 attributes` left in a run's folder.

    Args:
        directory: Of the run.

    Returns:
        The content of `attributes.json` of this run alone, or `None`; and why it cannot be used, "" if nothing is
        stored or nothing is wrong.
    """
    path = directory.root / RESULT
    if not path.exists():
        return None, ""
    content = read_json(path)
    groups = content.get("groups", []) if isinstance(content, dict) and content.get("format") == FORMAT else []
    if len(groups) != 1:
        return None, f"{path}: not of this version; {AGAIN}."
    try:
        now = texts_digest(directory, groups[0]["seeds"])
    except UserError:
        now = ""
    if now != groups[0]["texts"]:
        return None, f"{path}: the descriptions or their judge changed since; {AGAIN}."
    own: JSON = content
    return own, ""


def matrix(answers: Sequence[Named | Unreadable]) -> Mentions:
    """Return which attributes each parsed answer names, shape (parsed, attributes)."""
    parsed = [answer for answer in answers if isinstance(answer, Named)]
    rows = [[int(name in answer.attributes) for name in ATTRIBUTES] for answer in parsed]
    return np.array(rows, dtype=np.int64).reshape(len(parsed), len(ATTRIBUTES))


def labels_of(groups: Sequence[JSON]) -> list[str]:
    """Name every group as no other on its dataset.

    Args:
        groups: Of `attributes.json`; they need no labels yet.

    Returns:
        The VLM, with the run's name where several groups on a dataset have that VLM, and a number where that is not
        enough.
    """
    places = Counter((group["vlm"], group["dataset"]) for group in groups)
    labels: list[str] = []
    taken: set[tuple[str, str]] = set()
    for group in groups:
        label = group["vlm"]
        if places[group["vlm"], group["dataset"]] > 1:
            label = f"{label} ({group['run']})"
        number = 1
        while (free := label if number == 1 else f"{label} ({number})", group["dataset"]) in taken:
            number += 1
        taken.add((free, group["dataset"]))
        labels.append(free)
    return labels


def _group(run: Answered, confidence: float, sample: int, seed: int) -> JSON:
    everything = [[answer for _, answer in part.rows] for part in run.seeds]
    chosen = [
        _sampled(answers, sample, f"attributes {seed} {part.seed}")
        for part, answers in zip(run.seeds, everything, strict=True)
    ]
    own = Counter(
        name for answers in everything for answer in answers if isinstance(answer, Named) for name in answer.own
    )
    return {
        "vlm": run.vlm,
        "dataset": run.dataset,
        "run": run.run,
        "seeds": [part.seed for part in run.seeds],
        "missing_seeds": list(run.missing),
        "judge": run.judge,
        "exact": run.exact,
        "texts": run.texts,
        "kl": run.kl,
        "all": _shares(everything, confidence),
        "sample": _shares(chosen, confidence),
        "own_names": dict(own.most_common()),
    }


def _sampled(answers: Sequence[Named | Unreadable], size: int, key: str) -> list[Named | Unreadable]:
    draw = random.Random(key)
    keys = [draw.random() for _ in answers]
    return [answers[index] for index in sorted(sorted(range(len(answers)), key=keys.__getitem__)[:size])]


def _shares(seeds: Sequence[Sequence[Named | Unreadable]], confidence: float) -> JSON:
    by_seed = [matrix(answers) for answers in seeds]
    of_each = [mentions.sum(1) for mentions in by_seed]
    attributes: JSON = {}
    for column, name in enumerate(ATTRIBUTES):
        hits = [mentions[:, column] for mentions in by_seed]
        of_mentions = [mention_share(own, each, confidence) for own, each in zip(hits, of_each, strict=True)]
        with_it = [wilson(int(own.sum()), len(own), confidence) if len(own) else None for own in hits]
        attributes[name] = {
            "mentions": sum(int(own.sum()) for own in hits),
            "of_mentions": stored_share(over_seeds(of_mentions, confidence)),
            "of_descriptions": stored_share(over_seeds(with_it, confidence)),
            "by_seed": [share.value if share else None for share in of_mentions],
        }
    described = sum(len(answers) for answers in seeds)
    return {
        "descriptions": described,
        "unparsed": described - sum(len(mentions) for mentions in by_seed),
        "without_attribute": sum(int((each == 0).sum()) for each in of_each),
        "mentions": sum(int(each.sum()) for each in of_each),
        "attributes": attributes,
    }


def _comparison(
    first_label: str,
    second_label: str,
    first: Answered,
    second: Answered,
    confidence: float,
    *,
    seed: int,
    tests: int,
) -> JSON | None:
    names = {name for run in (first, second) for part in run.seeds for name, _ in part.rows}
    index = {name: number for number, name in enumerate(sorted(names))}
    sides = [_side(run.seeds, index) for run in (first, second)]
    test = compare(*sides, level=1 - confidence, tests=tests, permutations=PERMUTATIONS, seed=seed)
    if test is None:
        return None
    shared = shared_classes(*sides)
    described = [len({int(label) for _, classes in side for label in classes}) for side in sides]
    kept = [restricted(side, shared) for side in sides]
    rows = []
    for column, name in enumerate(ATTRIBUTES):
        if any(mentions[:, column].any() for side in kept for mentions, _ in side):
            gap = _difference(kept[0], kept[1], column, confidence)
            rows.append({"attribute": name, **gap, "p": test.attribute_p[column]})
    return {
        "dataset": first.dataset,
        "first": first_label,
        "second": second_label,
        "runs": [[first.run, first.texts], [second.run, second.texts]],
        "seeds": [len(first.seeds), len(second.seeds)],
        **_tested(test, len(first.seeds), len(second.seeds)),
        "shared_classes": test.classes,
        "classes": described,
        "attributes": rows,
    }


def _tested(test: Comparison, first: int, second: int) -> dict[str, Any]:
    return {
        "unit": test.unit,
        "statistic": test.statistic,
        "p": test.p,
        "permutations": test.permutations,
        "least_p": least_p(first, second) if test.unit == "seeds" else 1 / (test.permutations + 1),
    }


def _side(seeds: Sequence[SeedAnswers], index: dict[str, int]) -> Side:
    side = []
    for part in seeds:
        parsed: list[Row] = [(name, answer) for name, answer in part.rows if isinstance(answer, Named)]
        classes: NDArray[np.int64] = np.array([index[name] for name, _ in parsed], dtype=np.int64)
        side.append((matrix([answer for _, answer in parsed]), classes))
    return side


def _difference(first: Side, second: Side, column: int, confidence: float) -> JSON:
    """Return the difference of shares in the shared classes: over seeds if both have several, else given them."""
    ours, theirs = (
        [share.value for m, _ in side if (share := mention_share(m[:, column], m.sum(1), confidence))]
        for side in (first, second)
    )
    over = min(len(ours), len(theirs)) > 1 and not (all_equal(ours) and all_equal(theirs))
    gap: Estimate | None = None
    if over:
        gap = welch(ours, theirs, confidence)
    else:
        together = [np.concatenate([mentions for mentions, _ in side]) for side in (first, second)]
        pooled = [mention_share(mentions[:, column], mentions.sum(1), confidence) for mentions in together]
        if pooled[0] is not None and pooled[1] is not None:
            gap = newcombe(pooled[0], pooled[1])
    return {
        "difference": gap.value if gap else None,
        "low": gap.low if gap else None,
        "high": gap.high if gap else None,
        "mentions": [sum(int(mentions.sum()) for mentions, _ in side) for side in (first, second)],
        "over_seeds": over,
    }


def merged(results: Sequence[JSON]) -> JSON:
    """Put stored results together.

    Args:
        results: At least one, each of one or several runs; what several hold is taken once.

    Returns:
        As `attributes.json`, with `sample_size` in each group, labels that no two groups on a dataset share, those
        comparisons whose two runs are there, and p-values corrected over all of these. The level of the tests is that
        of the largest confidence.
    """
    groups = {
        identity(group): {**group, "sample_size": result["sample"]} for result in results for group in result["groups"]
    }
    for group, label in zip(groups.values(), labels_of(list(groups.values())), strict=True):
        group["label"] = label
    compared: dict[frozenset[tuple[str, str]], JSON] = {}
    for result in results:
        for row in result["comparisons"]:
            pair = pair_of(row)
            if all(run in groups for run in pair):
                first, second = (groups[run]["label"] for run in pair)
                rows = [dict(part) for part in row["attributes"]]
                compared.setdefault(frozenset(pair), {**row, "first": first, "second": second, "attributes": rows})
    confidence = max(result["confidence"] for result in results)
    comparisons = list(compared.values())
    correct(comparisons, 1 - confidence)
    return {**results[0], "confidence": confidence, "groups": list(groups.values()), "comparisons": comparisons}
