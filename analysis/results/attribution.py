"""What a gain over the templates is made of, over seeds: style, unevenness and content, each with what it could be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import NamedTuple

from scipy.special import ndtri

from analysis.accuracy.record import Attribution, Hits, NamesInTexts, Permuted
from analysis.results.load import SeedResult, confidence_of
from analysis.results.pooling import DIFFERENCE, Difference, accuracy_difference, difference_over
from analysis.statistics.intervals import Estimate, all_equal, within
from analysis.statistics.permutation import permutation_test
from analysis.statistics.together import means_together


class BesidePermuted(NamedTuple):
    """Texts with their own classes beside the same texts with classes given by chance.

    Attributes:
        value: Accuracy of the own assignment minus the mean of the others.
        p: Its p-value, which is below the level exactly where the interval excludes 0.
    """

    value: Difference
    p: float


@dataclass(frozen=True)
class GainParts:
    """What a gain is made of; see `analysis.accuracy.attribution` for the quantities.

    With one seed, intervals hold what other images and another assignment of the texts would change; with several, they
    are Student's t over seeds; those beside permutations hold both.

    Attributes:
        names: Which names the aligned descriptions hold, all seeds together.
        texts: Number of texts that take part, all seeds together.
        left_out: Texts that name their class and were left out, all seeds together.
        pool: Number of texts that every class is given in the arm `everyone`, in the first seed.
        mask: What stands in the place of a masked name.
        style: The texts of all classes for every class, minus the templates.
        unevenness: Texts exchanged between classes, minus those of all classes.
        above_everyone: The class's own texts minus those of all classes: one end of content.
        above_exchanged: The class's own texts minus exchanged ones: the other end.
        above_another: The class's own texts minus all those of another class.
        seen: Texts without the name, minus the same shuffled over classes.
        seen_above_another: Texts without the name, minus all those of another class.
        misleading: Another class's texts minus exchanged ones; `None` without the control arm `other_class`.
        word_order: EX2's texts minus the same with their words shuffled; `None` without the control arm `shuffled`.
    """

    names: NamesInTexts
    texts: int
    left_out: int
    pool: int
    mask: str
    style: Difference
    unevenness: Difference
    above_everyone: Difference
    above_exchanged: BesidePermuted
    above_another: BesidePermuted
    seen: BesidePermuted
    seen_above_another: BesidePermuted
    misleading: Difference | None
    word_order: Difference | None

    @property
    def content_p(self) -> float:
        """p-value of content: the larger against exchanged texts and another class's; 1 if their signs differ."""
        return _p_of_both(self.above_exchanged, self.above_another)


class Part(NamedTuple):
    """A part of the gain, or the whole.

    Attributes:
        name: Its name.
        meaning: Which texts are compared with which.
        value: Its size.
        p: Its p-value; `None` where it is tested by its interval.
        is_whole: Whether it is the gain itself.
        is_part: Whether it is the gain or what that may be made of, and not only found of the same texts.
    """

    name: str
    meaning: str
    value: Difference
    p: float | None = None
    is_whole: bool = False
    is_part: bool = True


def parts_of(parts: GainParts, gain: Difference) -> list[Part]:
    """Return the gain and what it may be made of, and then what else was found of the texts, if it was measured.

    Args:
        parts: What the gain is made of.
        gain: EX2's accuracy minus the templates'.
    """
    listed = [
        Part("gain", "EX2's texts minus the templates", gain, is_whole=True),
        Part("style", "all classes' texts minus the templates", parts.style),
        Part("unevenness", "exchanged texts minus all classes'", parts.unevenness),
        Part("content, one end", "the class's own texts minus all classes'", parts.above_everyone),
        Part("content, other end", "the class's own minus exchanged texts", *parts.above_exchanged),
        Part("content, beside another class", "the class's own minus another class's texts", *parts.above_another),
    ]
    masked = f"the class's own texts with “{parts.mask}” for its name, minus"
    further = [
        Part("seen content", f"{masked} the same shuffled over classes", *parts.seen, is_part=False),
        Part(
            "seen content, beside another class",
            f"{masked} another class's",
            *parts.seen_above_another,
            is_part=False,
        ),
    ]
    if parts.misleading:
        meaning = "another class's texts minus exchanged ones"
        further.append(Part("misleading power", meaning, parts.misleading, is_part=False))
    if parts.word_order:
        meaning = "EX2's texts minus the same with words shuffled"
        further.append(Part("word order", meaning, parts.word_order, is_part=False))
    return [*listed, *further]


def gain_parts(results: Sequence[SeedResult]) -> GainParts | None:
    """Pool over seeds what a gain is made of; `None` unless it was measured in every seed with aligned descriptions.

    Args:
        results: Results of at least one seed.
    """
    results = [result for result in results if result.accuracy.arm("aligned")]
    found = [part for result in results if (part := result.accuracy.attribution)]
    if not found:
        return None
    style = accuracy_difference(results, "everyone", "templates")
    if style is None or len(found) < len(results):
        return None
    confidence = confidence_of(results)
    z = -float(ndtri((1 - confidence) / 2))

    def over(estimates: Sequence[Estimate]) -> Difference:
        made = difference_over([within(one, *DIFFERENCE) for one in estimates], confidence, DIFFERENCE)
        assert made is not None, "there is a seed"
        return made

    names = [part.names for part in found]
    return GainParts(
        names=NamesInTexts(
            sum(each.own for each in names),
            sum(each.other for each in names),
            sum(each.none for each in names),
            tuple(dict.fromkeys(name for each in names for name in each.describing)),
        ),
        texts=sum(part.texts for part in found),
        left_out=sum(part.left_out for part in found),
        pool=found[0].pool,
        mask=found[0].mask,
        style=style,
        unevenness=over([_unevenness(result, z) for result in results]),
        above_everyone=over([_above_everyone(part, z) for part in found]),
        above_exchanged=beside_permuted([part.own for part in found], [part.exchanged for part in found], confidence),
        above_another=beside_permuted([part.own for part in found], [part.whole for part in found], confidence),
        seen=beside_permuted([part.masked for part in found], [part.masked_shuffled for part in found], confidence),
        seen_above_another=beside_permuted(
            [part.masked for part in found], [part.masked_whole for part in found], confidence
        ),
        misleading=_misleading(results, z),
        word_order=accuracy_difference(results, "aligned", "shuffled"),
    )


def beside_permuted(own: Sequence[Hits], permuted: Sequence[Permuted], confidence: float) -> BesidePermuted:
    """Set accuracies of each seed beside permuted ones: over seeds too, where there are several.

    With one seed, p and interval are the permutations': they hold other assignments and other images, which both spread
    the permuted accuracies as they do the own one. With several, the test is the same of the means, and Student's t
    over seeds beside it: the interval holds both, and the larger p counts.

    Args:
        own: The accuracy of each seed.
        permuted: What it is beside, of each seed.
        confidence: Coverage of the interval, in (0, 1).
    """
    values = [one.accuracy - each.mean for one, each in zip(own, permuted, strict=True)]
    tested = permutation_test(
        mean(one.accuracy for one in own),
        [mean(each) for each in zip(*(each.accuracies for each in permuted), strict=False)],
        confidence,
    )
    p, low, high = tested
    if len(values) > 1 and not all_equal(values):
        (over,) = means_together([values], confidence)
        p, low, high = max(p, over.p), min(low, over.low), max(high, over.high)
    low, high = max(low, DIFFERENCE[0]), min(high, DIFFERENCE[1])
    by_seed = tuple(values) if len(values) > 1 else ()
    n = sum(one.n for one in own)
    made = Difference(mean(values), low, high, p < 1 - confidence, None, n, len(values), by_seed=by_seed)
    return BesidePermuted(made, p)


def _above_everyone(part: Attribution, z: float) -> Estimate:
    paired, spread = part.above_everyone, z * stdev(part.exchanged.accuracies)
    below, above = paired.difference - paired.low, paired.high - paired.difference
    return Estimate(
        paired.difference,
        paired.difference - math.hypot(below, spread),
        paired.difference + math.hypot(above, spread),
        paired.n,
    )


def _unevenness(result: SeedResult, z: float) -> Estimate:
    """Return exchanged minus everyone; over images, the two differ as much as the own texts differ from the exchanged.

    Which images are right with how many of the exchanges is not stored. The own texts are one of those that could have
    been exchanged, so their standard error, against the mean over exchanges, stands for it.
    """
    part, everyone = result.accuracy.attribution, result.accuracy.arm("everyone")
    assert part is not None, "measured"
    assert everyone is not None, "measured with it"
    value = part.exchanged.mean - everyone.top1.accuracy
    reach = z * part.exchanged.error
    return Estimate(value, value - reach, value + reach, part.own.n)


def _misleading(results: Sequence[SeedResult], z: float) -> Difference | None:
    estimates = []
    for result in results:
        part, other = result.accuracy.attribution, result.accuracy.arm("other_class")
        if part is None or other is None:
            return None
        value = other.top1.accuracy - part.exchanged.mean
        # Over images the two are no more apart than the own texts and other classes' are.
        reach = z * part.whole.error
        estimates.append(within(Estimate(value, value - reach, value + reach, part.own.n), *DIFFERENCE))
    return difference_over(estimates, confidence_of(results), DIFFERENCE)


def _p_of_both(first: BesidePermuted, second: BesidePermuted) -> float:
    """Return the larger p-value; 1 if one is above and the other below."""
    return max(first.p, second.p) if (first.value.value > 0) is (second.value.value > 0) else 1.0
