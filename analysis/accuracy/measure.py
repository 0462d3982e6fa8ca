"""Zero-shot accuracy of each arm: templates, the base model's and EX2's descriptions, each kind of EX2's, controls."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from analysis.accuracy.attribution import MASK, Rearranged
from analysis.accuracy.averages import Average, average_arm, average_over, beside, compare_averages
from analysis.accuracy.draws import Draws
from analysis.accuracy.encoded_texts import Texts
from analysis.accuracy.jackknife import DrawnTexts, draw_variances
from analysis.accuracy.record import Arm, Attribution, Comparison, Confusion, Covered, Hits, RewardGain
from analysis.accuracy.zero_shot import PLAIN_TEMPLATE, Ranking, class_vectors, confusions, pack_correct, rank_classes
from analysis.statistics.intervals import (
    Estimate,
    IntervalSettings,
    mean_share,
    mean_t,
    paired_mean,
)
from analysis.statistics.paired import paired_accuracy
from analysis.statistics.shares import share_interval
from analysis.verdicts.breakdown import GROUPS, MEMBERS
from analysis.verdicts.verdicts import Verdicts
from ex2.data.prompts import generic_templates
from ex2.run.descriptions import Description, LabeledText
from reward.image_bank import ImageEmbeddings
from reward.vlm import VLM

ARMS = ("templates", "base", "aligned", *GROUPS)
"""Arms that every run has; the last four are parts of `aligned`."""

COMPARISONS = (
    *((arm, "templates") for arm in ARMS[1:]),
    ("aligned", "base"),
    ("informative", "spurious"),
    ("visual", "non_visual"),
)

CONTROLS_AGAINST = ("templates", "aligned")
"""Arms that every arm which is not among `ARMS` (a control) is compared with."""

MOST_CONFUSIONS = 20
"""Pairs of classes kept for each arm."""


def texts_by_arm(
    descriptions: Iterable[Description], verdicts: Verdicts, class_names: Sequence[str]
) -> dict[str, list[LabeledText]]:
    """Sort texts into arms; empty descriptions are left out, as there is nothing to encode.

    Args:
        descriptions: Descriptions of both policies.
        verdicts: Verdicts on every description that is not empty.
        class_names: C names in label order.

    Returns:
        For each arm the class index and text of each of its texts, repeated texts included.
    """
    templates = [
        LabeledText(label, template.format(name))
        for label, name in enumerate(class_names)
        for template in generic_templates()
    ]
    sorted_in = descriptions_by_arm(descriptions, verdicts)
    return {"templates": templates, **{arm: [one.of_label for one in own] for arm, own in sorted_in.items()}}


def descriptions_by_arm(descriptions: Iterable[Description], verdicts: Verdicts) -> dict[str, list[Description]]:
    """Sort descriptions into the arms that are made of them, those of `ARMS` but the templates; empty ones into none.

    Args:
        descriptions: Descriptions of both policies.
        verdicts: Verdicts on every description that is not empty.
    """
    arms: dict[str, list[Description]] = {arm: [] for arm in ARMS[1:]}
    for one in descriptions:
        if one.is_empty:
            continue
        arms[one.policy].append(one)
        if one.policy == "aligned":
            kind = verdicts.kind(*one.of_class)
            for group in GROUPS:
                if kind in MEMBERS[group]:
                    arms[group].append(one)
    return arms


def draws_by_arm(descriptions: Iterable[Description], verdicts: Verdicts) -> dict[str, list[int]]:
    """Return which draw of its class and question each text is, in the order of `texts_by_arm`, without templates."""
    sorted_in = descriptions_by_arm(descriptions, verdicts)
    return {arm: [one.sample or 0 for one in own] for arm, own in sorted_in.items()}


class Measured(NamedTuple):
    """What `accuracy` returns.

    Attributes:
        arms: Result of each arm, by name; None for an arm without texts.
        differences: Comparisons of two arms on the same images.
        covered_by_both: Comparisons of two groups on the classes for which both have texts. All other classes are left
            out, as images and as possible answers, so that no fallback template takes part.
        attribution: What the gain is made of; None without rearranged texts.
    """

    arms: dict[str, Arm | None]
    differences: tuple[Comparison, ...]
    covered_by_both: tuple[Covered, ...]
    attribution: Attribution | None


def accuracy(
    vlm: VLM,
    images: ImageEmbeddings,
    arms: Mapping[str, Sequence[LabeledText]],
    settings: IntervalSettings,
    *,
    averaged: Mapping[str, Sequence[Sequence[LabeledText]]] | None = None,
    rearranged: Rearranged | None = None,
    banks: Path | None = None,
    draws: Mapping[str, Sequence[int]] | None = None,
    fixed: Collection[str] = ("templates",),
) -> Measured:
    """Measure every arm on the same test images.

    Args:
        vlm: Encodes the texts.
        images: Test images of C classes.
        arms: Class index and text of each arm's texts, by arm. An arm without texts is not measured. Arms that are not
            among `ARMS` are compared with those of `CONTROLS_AGAINST`.
        settings: How intervals are made.
        averaged: Further arms, whose accuracy is averaged over several assignments of texts to classes: the texts of
            each, by arm.
        rearranged: Texts that say what the gain of the aligned ones is made of. Their arms are measured beside the
            others: `everyone`, `masked` and, averaged, `exchanged`.
        banks: Folder of text banks; with `None` no embedding is kept.
        draws: For arms of descriptions, which draw each text is of, in the order of its texts, see `draws_by_arm`.
        fixed: Arms whose texts are the same in every draw.
    """
    plain = [PLAIN_TEMPLATE.format(name) for name in images.class_names]
    averaged = dict(averaged or {})
    hidden: dict[str, Sequence[Sequence[LabeledText]]] = {}
    if rearranged:
        arms = {**arms, "everyone": rearranged.everyone, "masked": rearranged.masked}
        averaged["exchanged"] = rearranged.exchanged
        hidden = {"own": [rearranged.own], **rearranged.averaged}
    every = [*arms.values(), *(each for sets in (*averaged.values(), *hidden.values()) for each in sets)]
    texts = Texts(vlm, [*plain, *(text for pairs in every for _, text in pairs)], banks=banks)
    fallback = texts[plain]
    vectors = {
        arm: class_vectors(
            texts[[text for _, text in pairs]],
            torch.tensor([label for label, _ in pairs], dtype=torch.long),
            len(plain),
            fallback,
        )
        for arm, pairs in arms.items()
        if pairs
    }
    rankings = {arm: rank_classes(images.embeddings, made.vectors, images.labels) for arm, made in vectors.items()}
    right = {arm: ranking.hits(1) for arm, ranking in rankings.items()}
    names = images.class_names
    compared = [pair for pair in (*COMPARISONS, *_control_comparisons(arms)) if set(pair) <= right.keys()]
    drawn = {
        arm: DrawnTexts(
            texts[[text for _, text in arms[arm]]],
            torch.tensor([label for label, _ in arms[arm]], dtype=torch.long),
            torch.tensor(numbers, dtype=torch.long),
            vectors[arm],
        )
        for arm, numbers in (draws or {}).items()
        if arm in vectors
    }
    told = _drawn(images, drawn, [*((arm,) for arm in drawn), *compared], fixed, fallback)
    measured: dict[str, Arm | None] = {}
    for arm, pairs in arms.items():
        if arm not in right:
            measured[arm] = None
            continue
        ranking = rankings[arm]
        measured[arm] = Arm(
            top1=_hits(right[arm], settings.confidence, keep_bits=True),
            texts=len(pairs),
            unique_texts=len(set(pairs)),
            fallback_classes=tuple(names[label] for label in vectors[arm].fallback),
            top5=_hits(ranking.hits(5), settings.confidence) if len(names) > 5 else None,
            mean_per_class=_mean_per_class(ranking, images, settings.confidence),
            confusions=tuple(
                Confusion(names[pair.label], names[pair.predicted], pair.images, pair.of)
                for pair in confusions(ranking.predicted, images.labels, MOST_CONFUSIONS)
            ),
            draws=told.get((arm,)),
        )
    covered = []
    for first, second in COMPARISONS[-2:]:
        if first in vectors and second in vectors and (vectors[first].fallback or vectors[second].fallback):
            made = {arm: vectors[arm].vectors for arm in (first, second, "templates")}
            missing = {*vectors[first].fallback, *vectors[second].fallback}
            covered.append(_covered_by_both(images, made, missing, settings))
    differences = tuple(replace(_difference(right, *pair, settings), draws=told.get(pair)) for pair in compared)
    averages = {
        arm: average_over(texts, sets, images, fallback) for arm, sets in (averaged | hidden).items() if any(sets)
    }
    for arm, sets in averaged.items():
        average = averages.get(arm)
        measured[arm] = average_arm(average, sets, names, settings.confidence) if average else None
    differences += tuple(
        compare_averages(arm, averages[arm], against, right[against], settings.confidence)
        for arm in averaged
        for against in CONTROLS_AGAINST
        if arm in averages and against in right
    )
    found = _attribution(rearranged, averages, right, settings) if rearranged else None
    return Measured(measured, differences, tuple(covered), found)


def reward_gain(descriptions: Iterable[Description], settings: IntervalSettings) -> RewardGain | None:
    """Compare the rewards of aligned and base descriptions of the same class, question and sample.

    Args:
        descriptions: Descriptions of both policies.
        settings: How intervals are made.

    Returns:
        Mean rewards of the pairs and their difference, with a t-interval and a bootstrap interval; `unpaired` counts
        descriptions without a partner or whose partner has no reward. `None` if there is no pair.
    """
    of_aligned: dict[tuple[str, int | None, int | None], float] = {}
    of_base: dict[tuple[str, int | None, int | None], float] = {}
    rewards = {"aligned": of_aligned, "base": of_base}
    total = 0
    for one in descriptions:
        total += 1
        if one.reward is not None:
            rewards[one.policy][one.class_name, one.question_id, one.sample] = float(one.reward)
    shared = [key for key in of_aligned if key in of_base]
    if not shared:
        return None
    aligned = [of_aligned[key] for key in shared]
    base = [of_base[key] for key in shared]
    paired = paired_mean(aligned, base, confidence=settings.confidence, samples=settings.samples, seed=settings.seed)
    return RewardGain(mean_t(aligned).value, mean_t(base).value, paired, total - 2 * len(shared))


def _attribution(
    texts: Rearranged, averages: Mapping[str, Average], right: Mapping[str, Sequence[bool]], settings: IntervalSettings
) -> Attribution:
    own = [bool(hit) for hit in averages["own"].right]
    return Attribution(
        names=texts.names,
        texts=len(texts.own),
        left_out=texts.left_out,
        pool=texts.pool,
        mask=MASK,
        own=_hits(own, settings.confidence, keep_bits=True),
        above_everyone=paired_accuracy(own, right["everyone"], confidence=settings.confidence),
        exchanged=beside(own, averages["exchanged"]),
        whole=beside(own, averages["whole"]),
        masked=_hits(right["masked"], settings.confidence, keep_bits=True),
        masked_shuffled=beside(right["masked"], averages["masked_shuffled"]),
        masked_whole=beside(right["masked"], averages["masked_whole"]),
    )


def _control_comparisons(arms: Iterable[str]) -> list[tuple[str, str]]:
    return [(arm, against) for arm in arms if arm not in ARMS for against in CONTROLS_AGAINST]


def _drawn(
    images: ImageEmbeddings,
    arms: Mapping[str, DrawnTexts],
    asked: Sequence[tuple[str, ...]],
    fixed: Collection[str],
    fallback: torch.Tensor,
) -> dict[tuple[str, ...], Draws]:
    """Return what draws tell of accuracies and differences, where each arm was drawn or is fixed."""
    varying = {
        names: tuple(name for name in names if name in arms)
        for names in asked
        if all(name in arms or name in fixed for name in names)
    }
    kept = list(dict.fromkeys(parts for parts in varying.values() if parts))
    found = draw_variances(images, arms, kept, fallback)
    return {names: found[parts] for names, parts in varying.items() if parts in found}


def _hits(right: Sequence[bool], confidence: float, *, keep_bits: bool = False) -> Hits:
    estimate = share_interval(sum(right), len(right), confidence)
    assert estimate.low is not None, "a share has an interval"
    assert estimate.high is not None, "a share has an interval"
    bits = pack_correct(right) if keep_bits else ""
    return Hits(estimate.value, estimate.low, estimate.high, estimate.n, sum(right), bits)


def _mean_per_class(ranking: Ranking, images: ImageEmbeddings, confidence: float) -> Estimate:
    counts = torch.bincount(images.labels, minlength=len(images.class_names))
    hits = torch.bincount(images.labels[ranking.rank == 0], minlength=len(images.class_names))
    present = counts > 0
    return mean_share(hits[present].tolist(), counts[present].tolist(), confidence)


def _difference(right: Mapping[str, Sequence[bool]], first: str, second: str, settings: IntervalSettings) -> Comparison:
    return Comparison(first, second, paired_accuracy(right[first], right[second], confidence=settings.confidence))


def _covered_by_both(
    images: ImageEmbeddings, vectors: Mapping[str, torch.Tensor], missing: set[int], settings: IntervalSettings
) -> Covered:
    classes = [label for label in range(len(images.class_names)) if label not in missing]
    first, second = list(vectors)[:2]
    keep = torch.isin(images.labels, torch.tensor(classes, dtype=torch.long))
    if len(classes) < 2 or not bool(keep.any()):  # one class alone cannot be told from others
        return Covered((first, second), len(classes))
    kept = torch.tensor(classes, dtype=torch.long)
    labels = torch.searchsorted(kept, images.labels[keep])  # positions among the kept classes, which ascend
    right = {arm: rank_classes(images.embeddings[keep], made[kept], labels).hits(1) for arm, made in vectors.items()}
    return Covered(
        groups=(first, second),
        classes=len(classes),
        arms={arm: _hits(values, settings.confidence, keep_bits=True) for arm, values in right.items()},
        difference=_difference(right, first, second, settings),
        without=tuple(sorted(images.class_names[label] for label in missing)),
    )
