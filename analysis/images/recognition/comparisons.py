"""Recognizers against each other on the same images, and sets against real images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations

import numpy as np

from analysis.images.recognition.judged import Judged
from analysis.images.recognition.record import REAL, EqualAccuracies, PairOfRecognizers, ShiftOfSet
from analysis.images.recognition.rules import RULES
from analysis.images.recognition.scores import macro, shift
from analysis.statistics.cochran import cochran_q
from analysis.statistics.holm import holm
from analysis.statistics.intervals import Estimate
from analysis.statistics.paired import paired_counts


def equal_accuracies(judged: Sequence[Judged]) -> tuple[EqualAccuracies, ...]:
    """Test on each kind of images whether recognizers are equally good, corrected over the kinds under a rule."""
    made: list[EqualAccuracies] = []
    for rule in RULES:
        tested = [(one.of, cochran_q(one.right[1])) for one in judged if one.rule == rule and len(one.names) > 1]
        made += [
            EqualAccuracies(
                of=of,
                rule=rule,
                q=test.q,
                freedom=test.freedom,
                p=test.p,
                p_holm=p,
                images=test.n,
                differing=test.differing,
            )
            for (of, test), p in zip(tested, holm([test.p for _, test in tested]), strict=True)
        ]
    return tuple(made)


def recognizers_in_pairs(judged: Sequence[Judged], confidence: float) -> tuple[PairOfRecognizers, ...]:
    """Compare recognizers in pairs on the same images, corrected over all pairs and kinds of images under a rule."""
    made: list[PairOfRecognizers] = []
    for rule in RULES:
        of_rule = []
        for one in judged:
            if one.rule != rule:
                continue
            for first, second in combinations(range(len(one.names)), 2):
                a, b = one.right[1][:, first], one.right[1][:, second]
                found = paired_counts(int((a & ~b).sum()), int((b & ~a).sum()), len(a), confidence)
                of_rule.append((one, first, second, found))
        corrected = holm([found.p for *_, found in of_rule])
        made += [
            PairOfRecognizers(
                of=one.of,
                rule=rule,
                first=one.names[first],
                second=one.names[second],
                difference=Estimate(found.difference, found.low, found.high, found.n),
                p=found.p,
                p_holm=p,
            )
            for (one, first, second, found), p in zip(of_rule, corrected, strict=True)
        ]
    return tuple(made)


def shifts_of_sets(judged: Sequence[Judged], confidence: float) -> tuple[ShiftOfSet, ...]:
    """Compare each set with real images of the same categories, corrected over sets and recognizers under a rule."""
    made: list[ShiftOfSet] = []
    for rule in RULES:
        kinds = {one.of: one for one in judged if one.rule == rule}
        real = kinds.pop(REAL, None)
        of_rule = []
        for one in kinds.values() if real is not None else ():
            assert real is not None
            both = np.intersect1d(one.units.labels, real.units.labels)
            if not len(both):
                continue
            flags = np.isin(np.arange(one.answerable.shape[1]), both)
            here, there = one.only(flags), real.only(flags)
            for at, name in enumerate(one.names):
                shares = [partial(_macro, side, at) for side in (here, there)]
                of_rule.append((one.of, name, shares, shift(shares[0], shares[1], confidence)))
        corrected = holm([test.p for *_, test in of_rule])
        made += [
            ShiftOfSet(
                name=of,
                recognizer=name,
                rule=rule,
                made=shares[0](confidence),
                real=shares[1](confidence),
                difference=test.difference,
                p=test.p,
                p_holm=p,
            )
            for (of, name, shares, test), p in zip(of_rule, corrected, strict=True)
        ]
    return tuple(made)


def _macro(one: Judged, at: int, confidence: float) -> Estimate:
    return macro(one.right[1][:, at], one.units, confidence).share
