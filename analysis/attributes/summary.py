"""Shares of attributes for every run, over its seeds, and comparisons of VLMs: what `attributes.json` holds."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analysis.attributes.answers import Answered, Row, SeedAnswers
from analysis.attributes.comparison import Side, compare, enough_seeds, least_p, restricted, shared_classes
from analysis.attributes.judges import ATTRIBUTES, VERSION, AttributeAnswer, NamedAttributes
from analysis.attributes.record import Attributes, AttributeShares, Gap, Group, Identity, Mentioned, RunsCompared
from analysis.attributes.shares import Mentions, mention_share, over_seeds, welch
from analysis.statistics import holm
from analysis.statistics.intervals import Estimate, all_equal, newcombe
from analysis.statistics.shares import share_interval

PERMUTATIONS = 5000


def summarize(runs: Sequence[Answered], confidence: float, *, sample: int, seed: int) -> Attributes:
    """Compute shares for every run, and compare every pair of runs on one dataset.

    Args:
        runs: The answers on each run's descriptions.
        confidence: Coverage of the intervals, in (0, 1). Tests are made at the level 1 − `confidence`.
        sample: Number of descriptions in each seed's random sample; a seed with fewer has all of them in it.
        seed: Seed of the samples and the tests.

    Returns:
        The content of `attributes.json`. p-values are corrected by Holm's method: those of comparisons over all
        comparisons, those of attributes over all attributes of all comparisons.
    """
    groups = labeled([_group(run, confidence, sample, seed) for run in runs])
    pairs = [
        (groups[one].label, groups[other].label, runs[one], runs[other])
        for one, other in itertools.combinations(range(len(runs)), 2)
        if runs[one].dataset == runs[other].dataset
    ]
    comparisons = [
        compared for pair in pairs if (compared := _comparison(*pair, confidence, seed=seed, tests=len(pairs)))
    ]
    return Attributes(
        question=VERSION,
        attributes=tuple(ATTRIBUTES),
        confidence=confidence,
        sample=sample,
        seed=seed,
        intervals="of one seed: descriptions as clusters (Wilson at the effective number of mentions, Clopper and "
        "Pearson where it is few); of several: Student's t over seeds",
        test=f"whole seeds exchanged where there are enough of them, else {PERMUTATIONS} relabellings of whole "
        "descriptions within classes, given these seeds; Holm's correction",
        groups=tuple(groups),
        comparisons=corrected(comparisons, 1 - confidence),
    )


def corrected(comparisons: Sequence[RunsCompared], alpha: float) -> tuple[RunsCompared, ...]:
    """Correct p-values by Holm's method: those of comparisons together, and those of all their attributes together.

    Args:
        comparisons: The comparisons that are shown together; their earlier corrections are replaced.
        alpha: Level of the tests, in (0, 1).

    Returns:
        The comparisons. No attribute alone is significant where a side has fewer than `FEWEST_SEEDS_A_SIDE` seeds.
    """
    whole = holm.holm_tests([row.p for row in comparisons], alpha)
    single = iter(holm.holm_tests([gap.p for row in comparisons for gap in row.attributes], alpha))
    made = []
    for row, own in zip(comparisons, whole, strict=True):
        enough = enough_seeds(row.seeds)
        tests = [(gap, next(single)) for gap in row.attributes]
        gaps = tuple(replace(gap, p_holm=test.p, significant=test.significant and enough) for gap, test in tests)
        made.append(replace(row, p_holm=own.p, significant=own.significant, attributes=gaps))
    return tuple(made)


def matrix(answers: Sequence[AttributeAnswer]) -> Mentions:
    """Return which attributes each parsed answer names, shape (parsed, attributes)."""
    parsed = [answer for answer in answers if isinstance(answer, NamedAttributes)]
    rows = [[int(name in answer.attributes) for name in ATTRIBUTES] for answer in parsed]
    return np.array(rows, dtype=np.int64).reshape(len(parsed), len(ATTRIBUTES))


def labeled(groups: Sequence[Group]) -> list[Group]:
    """Give every group a label that no other group on its dataset has.

    Args:
        groups: The groups; their labels so far are replaced.

    Returns:
        The same groups with new labels. A label is the VLM's name. The run's name is added if several groups on the
        dataset have that VLM, and a number if that is not enough.
    """
    places = Counter((group.vlm, group.dataset) for group in groups)
    made: list[Group] = []
    taken: set[tuple[str, str]] = set()
    for group in groups:
        label = group.vlm
        if places[group.vlm, group.dataset] > 1:
            label = f"{label} ({group.run})"
        number = 1
        while (free := label if number == 1 else f"{label} ({number})", group.dataset) in taken:
            number += 1
        taken.add((free, group.dataset))
        made.append(replace(group, label=free))
    return made


def _group(run: Answered, confidence: float, sample: int, seed: int) -> Group:
    """Summarise one run, with the label that it has when it is the only run."""
    everything = [[answer for _, answer in part.rows] for part in run.seeds]
    chosen = [
        _sampled(answers, sample, f"attributes {seed} {part.seed}")
        for part, answers in zip(run.seeds, everything, strict=True)
    ]
    own = Counter(
        name
        for answers in everything
        for answer in answers
        if isinstance(answer, NamedAttributes)
        for name in answer.own
    )
    return Group(
        label=run.vlm,
        vlm=run.vlm,
        dataset=run.dataset,
        run=run.run,
        seeds=tuple(part.seed for part in run.seeds),
        missing_seeds=tuple(run.missing),
        judge=run.judge,
        exact=run.exact,
        texts=run.texts,
        kl=run.kl,
        all=_mentioned(everything, confidence),
        sample=_mentioned(chosen, confidence),
        own_names=dict(own.most_common()),
    )


def _sampled(answers: Sequence[AttributeAnswer], size: int, key: str) -> list[AttributeAnswer]:
    draw = random.Random(key)
    keys = [draw.random() for _ in answers]
    return [answers[index] for index in sorted(sorted(range(len(answers)), key=keys.__getitem__)[:size])]


def _mentioned(seeds: Sequence[Sequence[AttributeAnswer]], confidence: float) -> Mentioned:
    by_seed = [matrix(answers) for answers in seeds]
    of_each = [mentions.sum(1) for mentions in by_seed]
    attributes: dict[str, AttributeShares] = {}
    for column, name in enumerate(ATTRIBUTES):
        hits = [mentions[:, column] for mentions in by_seed]
        of_mentions = [mention_share(own, each, confidence) for own, each in zip(hits, of_each, strict=True)]
        with_it = [share_interval(int(own.sum()), len(own), confidence) if len(own) else None for own in hits]
        attributes[name] = AttributeShares(
            mentions=sum(int(own.sum()) for own in hits),
            of_mentions=over_seeds(of_mentions, confidence),
            of_descriptions=over_seeds(with_it, confidence),
            by_seed=tuple(share.value if share else None for share in of_mentions),
        )
    described = sum(len(answers) for answers in seeds)
    return Mentioned(
        descriptions=described,
        unparsed=described - sum(len(mentions) for mentions in by_seed),
        without_attribute=sum(int((each == 0).sum()) for each in of_each),
        mentions=sum(int(each.sum()) for each in of_each),
        attributes=attributes,
    )


def _comparison(
    first_label: str,
    second_label: str,
    first: Answered,
    second: Answered,
    confidence: float,
    *,
    seed: int,
    tests: int,
) -> RunsCompared | None:
    names = {name for run in (first, second) for part in run.seeds for name, _ in part.rows}
    index = {name: number for number, name in enumerate(sorted(names))}
    ours, theirs = _side(first.seeds, index), _side(second.seeds, index)
    test = compare(ours, theirs, alpha=1 - confidence, tests=tests, permutations=PERMUTATIONS, seed=seed)
    if test is None:
        return None
    shared = shared_classes(ours, theirs)
    kept = restricted(ours, shared), restricted(theirs, shared)
    gaps = tuple(
        _gap(name, *kept, column, test.attribute_p[column], confidence)
        for column, name in enumerate(ATTRIBUTES)
        if any(mentions[:, column].any() for side in kept for mentions, _ in side)
    )
    by_seeds = test.unit == "seeds"
    return RunsCompared(
        dataset=first.dataset,
        first=first_label,
        second=second_label,
        runs=((first.run, first.texts), (second.run, second.texts)),
        seeds=(len(first.seeds), len(second.seeds)),
        unit=test.unit,
        statistic=test.statistic,
        p=test.p,
        permutations=test.permutations,
        least_p=least_p(len(first.seeds), len(second.seeds)) if by_seeds else 1 / (test.permutations + 1),
        shared_classes=test.classes,
        classes=(_class_count(ours), _class_count(theirs)),
        attributes=gaps,
    )


def _class_count(side: Side) -> int:
    return len({int(label) for _, classes in side for label in classes})


def _side(seeds: Sequence[SeedAnswers], index: dict[str, int]) -> Side:
    side = []
    for part in seeds:
        parsed: list[Row] = [(name, answer) for name, answer in part.rows if isinstance(answer, NamedAttributes)]
        classes: NDArray[np.int64] = np.array([index[name] for name, _ in parsed], dtype=np.int64)
        side.append((matrix([answer for _, answer in parsed]), classes))
    return side


def _gap(name: str, first: Side, second: Side, column: int, p: float, confidence: float) -> Gap:
    """Return an attribute's difference of shares, with an interval over seeds if both sides have several seeds."""
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
    return Gap(
        attribute=name,
        difference=gap.value if gap else None,
        low=gap.low if gap else None,
        high=gap.high if gap else None,
        mentions=(_mention_count(first), _mention_count(second)),
        over_seeds=over,
        p=p,
    )


def _mention_count(side: Side) -> int:
    return sum(int(mentions.sum()) for mentions, _ in side)


def merged(results: Sequence[Attributes]) -> Attributes:
    """Merge stored results into one.

    Args:
        results: At least one result, each of one or several runs. A group or comparison that several results hold is
            taken once.

    Returns:
        All groups, with labels that are unique on each dataset, and all comparisons whose two runs are among the
        groups, with p-values corrected over all of these. The confidence is the largest of any result; everything else,
        such as the size of the sample, is that of the first result.
    """
    by_identity: dict[Identity, Group] = {group.identity: group for result in results for group in result.groups}
    groups = {group.identity: group for group in labeled(list(by_identity.values()))}
    compared: dict[frozenset[Identity], RunsCompared] = {}
    for result in results:
        for row in result.comparisons:
            if all(run in groups for run in row.runs):
                first, second = (groups[run].label for run in row.runs)
                compared.setdefault(frozenset(row.runs), replace(row, first=first, second=second))
    confidence = max(result.confidence for result in results)
    comparisons = corrected(list(compared.values()), 1 - confidence)
    return replace(results[0], confidence=confidence, groups=tuple(groups.values()), comparisons=comparisons)
