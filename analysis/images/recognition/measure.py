"""From image sets and recognizers to `Recognition`: shares, what recognizers have in common, sets against real images.

Different images count once, whatever seeds have them. All images of a set are looked at, also where others of its
numbers are of the first ones of each class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from analysis.images.measure import Measuring, Prepared
from analysis.images.recognition.comparisons import equal_accuracies, recognizers_in_pairs, shifts_of_sets
from analysis.images.recognition.failures import failures_of, seen_images
from analysis.images.recognition.judged import TOPS, Judged, judge
from analysis.images.recognition.record import (
    REAL,
    Agreement,
    Belonging,
    BestOfCategory,
    NotAnswered,
    OfCategory,
    Recognition,
    Recognized,
    RecognizerRecord,
    SynsetsRecord,
    WithinSet,
)
from analysis.images.recognition.rules import RULES, Answers, Rule, answers
from analysis.images.recognition.scores import by_category, macro, micro, together
from analysis.images.recognition.seen import Kind, Sight, kind_of_set, kind_of_split, rows_of, sights
from analysis.images.recognition.stored import belonging
from analysis.images.recognition.within import within_set
from analysis.images.record import Measures
from analysis.statistics.intervals import Estimate
from ex2.data.synsets import Category, packaged_synsets, read_synsets
from reward.recognizers.imagenet import imagenet_labels


def recognize(what: Measuring, prepared: Prepared, measures: Measures, *, progress: bool = True) -> Recognition:
    """Ask the recipe's recognizers what the sets and the test images show.

    Args:
        what: The sets, and the recognizers.
        prepared: The sets, read and embedded.
        measures: What else was measured on them.
        progress: Whether to show bars.

    Raises:
        UserError: If a recognizer cannot be loaded, or images cannot be read.
    """
    names = tuple(prepared.opened.class_names)
    synsets, own_file = synsets_for(what.measure.synsets, names)
    kinds = [kind_of_split(prepared.images, prepared.digests, prepared.side.main), *map(kind_of_set, prepared.sets)]
    found = sights(what, prepared, kinds, progress=progress)
    confidence = what.measure.confidence
    made = numbers(found, kinds, names, synsets, confidence)
    clers = {one.name: one.number("cler") for one in measures.sets}
    within = [_within(kind, prepared, clers.get(kind.of), confidence, len(names)) for kind in kinds if kind.of != REAL]
    return replace(
        made,
        name=what.name,
        dataset=what.dataset.name,
        split=what.split,
        vlm=measures.vlm,
        belongs=belonging(measures),
        synsets=own_file,
        within=tuple(within),
    )


def synsets_for(path: str | None, class_names: Sequence[str]) -> tuple[dict[str, Category], SynsetsRecord | None]:
    """Return the reviewed classes of categories, a user's in the place of the packaged ones, and the user's file.

    Raises:
        UserError: If the user's file is faulty; a line for each problem.
    """
    if path is None:
        return packaged_synsets(), None
    own = read_synsets(path, class_names)
    return packaged_synsets() | own.categories, SynsetsRecord(file=str(own.path), digest=own.digest)


def numbers(
    found: Sequence[Sight],
    kinds: Sequence[Kind],
    class_names: Sequence[str],
    synsets: Mapping[str, Category],
    confidence: float,
) -> Recognition:
    """Compute everything that follows from what recognizers see; names of where it is from are empty.

    Args:
        found: What each recognizer sees on each kind of images.
        kinds: The test images and the sets.
        class_names: The categories in label order.
        synsets: Category, as it is looked up → its ImageNet classes.
        confidence: Coverage of intervals.
    """
    right = {rule: [_answers(rule, one, class_names, synsets) for one in found] for rule in RULES}
    judged = [one for rule in RULES for kind in _numbered(kinds) if (one := judge(rule, found, kind, right[rule]))]
    common = [one.only(np.ones(len(class_names), dtype=bool)) for one in judged]
    common = [one for one in common if len(one.units.labels)]
    recognized = tuple(row for one in common for row in _means(one, confidence))
    return Recognition(
        name="",
        dataset="",
        split="",
        vlm="",
        labels=imagenet_labels().name,
        confidence=confidence,
        belongs=Belonging(),
        sets=tuple(kind.of for kind in kinds if kind.of != REAL),
        images={kind.of: len(kind.images) for kind in kinds},
        recognizers=tuple(
            RecognizerRecord(
                name=one.name,
                vocabulary=one.vocabulary,
                classes=len(one.labels),
                fingerprint=hashlib.sha256(one.fingerprint.encode()).hexdigest(),
            )
            for one in found
        ),
        not_answered=tuple(row for rule in RULES for row in _not_answered(rule, found, right[rule], class_names)),
        recognized=recognized,
        categories=tuple(row for one in judged for row in _of_categories(one, class_names, confidence)),
        best=tuple(row for one in common for row in _best(one, class_names, confidence)),
        agreements=tuple(row for one in common for row in _agreements(one, class_names, confidence)),
        equal=equal_accuracies(common),
        pairs=recognizers_in_pairs(common, confidence),
        shifts=shifts_of_sets(common, confidence),
        failures=failures_of(recognized, found, kinds, right, class_names),
        seen=seen_images(found, kinds, class_names),
    )


def _numbered(kinds: Sequence[Kind]) -> list[tuple[int, Kind]]:
    return [*enumerate(kinds)]


def _answers(
    rule: Rule, one: Sight, class_names: Sequence[str], synsets: Mapping[str, Category]
) -> tuple[Answers, ...]:
    return answers(rule, class_names, one.labels, one.vocabulary, synsets)


def _not_answered(
    rule: Rule, found: Sequence[Sight], right: Sequence[Sequence[Answers]], class_names: Sequence[str]
) -> list[NotAnswered]:
    made = []
    for label, category in enumerate(class_names):
        by_reason: dict[Answers, list[str]] = {}
        for one, of_one in zip(found, right, strict=True):
            if not of_one[label].ids:
                by_reason.setdefault(of_one[label], []).append(one.name)
        made += [
            NotAnswered(
                rule=rule, recognizers=tuple(names), category=category, standing=reason.standing, note=reason.note
            )
            for reason, names in by_reason.items()
        ]
    return made


def _means(one: Judged, confidence: float) -> list[Recognized]:
    made = []
    for at, name in enumerate(one.names):
        first, five = (one.right[top][:, at] for top in TOPS)
        top1 = macro(first, one.units, confidence)
        made.append(
            Recognized(
                of=one.of,
                recognizer=name,
                rule=one.rule,
                categories=len(np.unique(one.units.labels)),
                top1=top1.share,
                top5=macro(five, one.units, confidence).share,
                micro1=micro(first, one.units, confidence).share,
                micro5=micro(five, one.units, confidence).share,
                over_seeds=top1.over_seeds,
            )
        )
    return made


def _of_categories(one: Judged, class_names: Sequence[str], confidence: float) -> list[OfCategory]:
    made = []
    for at, name in enumerate(one.names):
        top1, top5 = (by_category(one.right[top][:, at], one.units.labels, confidence) for top in TOPS)
        made += [
            OfCategory(
                of=one.of,
                recognizer=name,
                rule=one.rule,
                category=class_names[label],
                top1=top1[label],
                top5=top5[label],
            )
            for label in top1
            if one.answerable[at, label]
        ]
    return made


def _best(one: Judged, class_names: Sequence[str], confidence: float) -> list[BestOfCategory]:
    shares = [by_category(one.right[1][:, at], one.units.labels, confidence) for at in range(len(one.names))]
    made = []
    for label in shares[0]:
        most = max(of_one[label].value for of_one in shares)
        best = [at for at, of_one in enumerate(shares) if of_one[label].value == most]
        made.append(
            BestOfCategory(
                of=one.of,
                rule=one.rule,
                category=class_names[label],
                recognizers=tuple(one.names[at] for at in best),
                top1=shares[best[0]][label],
            )
        )
    return made


def _agreements(one: Judged, class_names: Sequence[str], confidence: float) -> list[Agreement]:
    if len(one.names) < 2:
        return []
    made = []
    for top in TOPS:
        succeed = together(one.right[top], one.units.labels, confidence)
        fail = together(~one.right[top], one.units.labels, confidence)
        made += [
            Agreement(
                of=one.of,
                rule=one.rule,
                top=top,
                category="" if label is None else class_names[label],
                succeed=succeed[label].observed,
                fail=fail[label].observed,
                succeed_expected=succeed[label].expected,
                fail_expected=fail[label].expected,
            )
            for label in succeed
        ]
    return made


def _within(kind: Kind, prepared: Prepared, cler: Estimate | None, confidence: float, classes: int) -> WithinSet:
    embeddings = rows_of(kind, [one.embeddings for one in prepared.embedded[kind.of]])
    found = within_set(embeddings, kind.units, classes)
    if isinstance(found, str):
        return WithinSet(name=kind.of, why=found, cler=cler)
    share = micro(found.right, kind.units, confidence)
    return WithinSet(
        name=kind.of,
        accuracy=share.share,
        over_seeds=share.over_seeds,
        folds=found.folds,
        count=found.number,
        classifier=found.classifier,
        cler=cler,
    )
