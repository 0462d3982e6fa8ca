"""The numbers in plain sentences, made by stated rules and never by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from analysis.accuracy.measure import COMPARISONS
from analysis.agreement.section import number_text, share_text
from analysis.agreement.stored import JudgeAgreement
from analysis.agreement.tables import SHARE_NAMES
from analysis.figures.accuracy import accuracy_rows
from analysis.results.load import SeedResult
from analysis.results.pooling import (
    Difference,
    accuracy_difference,
    accuracy_of,
    covered_difference,
    end_of_training,
    reward_gain,
    share_change,
    share_of,
)
from analysis.results.wording import (
    KIND_NAMES,
    NOT_SIGNIFICANT,
    count,
    evidence,
    listing,
    percent,
    percent_interval,
    percent_value,
    plain,
    points,
    signed,
)
from analysis.verdicts.breakdown import Group

T = TypeVar("T")

NOTES = {True: "", False: f", {NOT_SIGNIFICANT}", None: ", cannot be tested"}
"""What is said of a change of shares, by its test."""

LEAVES: tuple[Group, ...] = ("visual", "non_visual", "spurious")

EXPLAINED = {
    "visual": "they tell how the class looks",
    "non_visual": "they tell something true or false about the class that a picture does not show",
    "spurious": "they tell nothing about the class",
}


class Headline(NamedTuple):
    """The report's first sentence.

    Attributes:
        answer: What the VLM rewards.
        evidence: The shares behind it.
        kind: The rewarded kind, or `None` if there is no clear one.
    """

    answer: str
    evidence: str
    kind: Group | None


class Finding(NamedTuple):
    """A sentence of the reading.

    Attributes:
        topic: Two or three words.
        text: The sentence.
    """

    topic: str
    text: str


def headline(results: Sequence[SeedResult]) -> Headline:
    """Say which kind of description the VLM rewards.

    Rule: of visual, non-visual and spurious, the kind whose share rose most from the base model to the aligned one,
    provided that the interval of its rise lies above 0. Without a base model there is nothing to compare with.
    """
    vlm = results[0].accuracy.vlm
    shares = {leaf: share for leaf in LEAVES if (share := share_of(results, "aligned", leaf))}
    if not shares:
        return Headline(f"{vlm}: no aligned descriptions yet", "Only the base model was described.", None)
    changes = {leaf: change for leaf in LEAVES if (change := share_change(results, leaf))}
    if not changes:
        most = max(shares, key=lambda leaf: shares[leaf].value)
        return Headline(
            f"{vlm}: most aligned descriptions are {KIND_NAMES[most]}",
            f"{percent(shares[most], 0)} ({count(shares[most])}); the base model was not described, so it stays open "
            "what the VLM changed.",
            None,
        )
    most = max(changes, key=lambda leaf: changes[leaf].value)
    change, after, before = changes[most], shares[most], share_of(results, "base", most)
    assert before is not None
    evidence = (
        f"{percent_value(after, 0)}{percent_interval(after, 0)} of aligned descriptions are {KIND_NAMES[most]} "
        f"({count(after)}); before, of the base model's, {percent(before, 0)} ({count(before)})."
    )
    if change.significant and change.value > 0:
        return Headline(f"{vlm} rewards {KIND_NAMES[most]} descriptions", evidence, most)
    if change.significant is None or any(other.significant for other in changes.values()):
        return Headline(f"{vlm}: no kind of description rose for certain", evidence, None)
    return Headline(f"{vlm} rewards no kind of description more than another", evidence, None)


def findings(results: Sequence[SeedResult], calibration: JudgeAgreement | None = None) -> list[Finding]:
    """Read the run: shares, reward, accuracy, the worth of each kind, and what to be careful about.

    Args:
        results: At least one seed.
        calibration: What people said of the judge.
    """
    found = [
        _shares(results),
        _reward(results),
        _accuracy(results),
        _worth(results),
        *_coverage(results),
        _controls(results),
        _kl(results),
        _judge(results, calibration),
    ]
    return [finding for finding in found if finding] + _cautions(results)


def judge_standing(results: Sequence[SeedResult], calibration: JudgeAgreement | None = None) -> str:
    """Return whether the judge is `exact`, `calibrated on 50 labelled descriptions`, or `uncalibrated`.

    Calibrated takes people's answers of both kinds to the first question; how many, the words tell.
    """
    if results[0].breakdown.judge.exact:
        return "exact"
    if calibration is None or calibration.lacking:
        return "uncalibrated"
    return f"calibrated on {calibration.content.used.questions['informative'].n:,} labelled descriptions"


def _shares(results: Sequence[SeedResult]) -> Finding | None:
    changes = {leaf: change for leaf in LEAVES if (change := share_change(results, leaf))}
    if not changes:
        return None
    sentences = []
    for leaf, change in changes.items():
        note = NOTES[change.significant]
        sentences.append(f"{KIND_NAMES[leaf]} {points(change)}{note}")
    most = max(changes, key=lambda leaf: changes[leaf].value)
    return Finding(
        "What alignment changed",
        f"Share among all descriptions, aligned minus base: {'; '.join(sentences)}. {KIND_NAMES[most].capitalize()} "
        f"means: {EXPLAINED[most]}.",
    )


def _reward(results: Sequence[SeedResult]) -> Finding | None:
    gain = reward_gain(results)
    if gain is None:
        return None
    verdict = _verdict(
        gain,
        above="The alignment reached its aim",
        below="The alignment lowered the reward it was to raise",
        same=f"{NOT_SIGNIFICANT.capitalize()}: the alignment cannot be told from none",
        untested="Whether the alignment did anything cannot be tested",
    )
    return Finding(
        "Reward",
        f"{verdict}: on the same class and question, aligned descriptions score {signed(gain)} against the base "
        f"model's, in units of the VLM's logits ({count(gain, 'pairs')}).",
    )


def _accuracy(results: Sequence[SeedResult]) -> Finding | None:
    own, change = accuracy_of(results, "aligned"), accuracy_difference(results, "aligned", "templates")
    if own is None or change is None:
        return None
    verdict = _verdict(
        change,
        above="EX2's descriptions classify better than the 80 generic templates",
        below="EX2's descriptions classify worse than the 80 generic templates",
        same=f"EX2's descriptions and the 80 generic templates show {NOT_SIGNIFICANT} in accuracy",
        untested="Whether EX2's descriptions or the 80 generic templates classify better cannot be tested",
    )
    text = f"{verdict}: {percent(own)}, {points(change)} ({count(change, 'images')})."
    base = accuracy_difference(results, "aligned", "base")
    if base:
        test = evidence(base)
        text += f" Against the base model's own descriptions: {points(base)}{f' ({test})' if test else ''}."
    return Finding("Accuracy", text)


def _worth(results: Sequence[SeedResult]) -> Finding | None:
    better: list[str] = []
    same: list[str] = []
    worse: list[str] = []
    untested: list[str] = []
    for group in ("spurious", "informative", "visual", "non_visual"):
        change = accuracy_difference(results, group, "templates")
        if change is None:
            continue
        said = f"{KIND_NAMES[group]} ({points(change)})"
        _verdict(change, above=better, below=worse, same=same, untested=untested).append(said)
    if not better + same + worse + untested:
        return None
    sentences = []
    if better:
        sentences.append(f"significantly above the templates: {listing(better)}")
    if same:
        sentences.append(f"{NOT_SIGNIFICANT} from the templates: {listing(same)}")
    if worse:
        sentences.append(f"significantly below: {listing(worse)}")
    if untested:
        sentences.append(f"cannot be tested against the templates: {listing(untested)}")
    return Finding("What each kind is worth", f"Used alone, {'; '.join(sentences)}.")


def _coverage(results: Sequence[SeedResult]) -> list[Finding]:
    notes = []
    for groups in COMPARISONS[-2:]:
        parts = [part for result in results for part in result.accuracy.covered_by_both if part.groups == groups]
        if not parts:
            continue
        total = results[0].accuracy.classes
        covered = sorted({part.classes for part in parts})
        first, second = (KIND_NAMES[group] for group in groups)
        text = (
            f"{_range(total - covered[-1], total - covered[0])} of {total} classes lack {first} or {second} "
            "descriptions; in such a group they are recognised by the plain template, which blurs the comparison."
        )
        change = covered_difference(results, groups)
        if change:
            test = evidence(change)
            text += (
                f" Among the {_range(covered[0], covered[-1])} classes that have both, {first} minus {second} is "
                f"{points(change)} ({test + ', ' if test else ''}{count(change, 'images')})."
            )
        notes.append(Finding("Classes without a kind", text))
    return notes


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def _kl(results: Sequence[SeedResult]) -> Finding | None:
    reached = end_of_training(results, "kl")
    targets = [row["kl_target"] for r in results for row in r.train[-1:] if row.get("kl_target") is not None]
    if reached is None:
        return None
    target = f"target {targets[0]:g}, " if targets else ""
    return Finding(
        "Distance from the base model",
        f"In the last tenth of training the KL divergence is {plain(reached)} nats per description ({target}"
        f"{count(reached, 'batches')}). A larger one allows more change, and more reward at the price of language.",
    )


def _controls(results: Sequence[SeedResult]) -> Finding | None:
    below: list[str] = []
    same: list[str] = []
    above: list[str] = []
    untested: list[str] = []
    for row in accuracy_rows(results):
        if row.to_aligned is None:
            continue
        said = f"{row.name} ({points(row.to_aligned)})"
        _verdict(row.to_aligned, above=above, below=below, same=same, untested=untested).append(said)
    parts = (
        ("below it", below),
        (f"{NOT_SIGNIFICANT} from it", same),
        ("above it", above),
        ("cannot be tested", untested),
    )
    sentences = [f"{words}: {listing(arms)}" for words, arms in parts if arms]
    if not sentences:
        return None
    return Finding(
        "Against other texts", f"Against all of EX2's descriptions, on the same images, {'; '.join(sentences)}."
    )


def _judge(results: Sequence[SeedResult], calibration: JudgeAgreement | None) -> Finding | None:
    judge = results[0].breakdown.judge
    standing = judge_standing(results, calibration)
    if standing == "exact":
        return None
    if standing == "uncalibrated" or calibration is None:
        why = calibration.lacking if calibration else "its verdicts have not been compared with people's"
        return Finding(
            "The judge is uncalibrated",
            f"{judge.name} sorted the descriptions, and shares carry its errors beside the intervals shown: {why}.",
        )
    rates = [
        f"{words}: {share_text(rate.agreement)}, Cohen's κ {number_text(rate.kappa)}"
        for words, rate in zip(
            ("informative or not", "visual or not, where both call it informative"),
            calibration.content.used.questions.values(),
            strict=True,
        )
    ]
    text = f"{judge.name} agrees with people on {'; '.join(rates)}."
    aligned = calibration.content.policies.get("aligned")
    shares = aligned.shares if aligned else {}
    corrected = [
        f"{SHARE_NAMES[name]} {share_text(share.corrected)} instead of {share_text(share.judged)}"
        for name, share in shares.items()
        if share.corrected
    ]
    if corrected:
        text += f" Corrected for its errors, the aligned descriptions are {'; '.join(corrected)}."
    reasons: dict[str, list[str]] = {}
    for name, share in shares.items():
        if share.judged and not share.corrected:
            reasons.setdefault(share.reason, []).append(SHARE_NAMES[name])
    for reason, names in reasons.items():
        text += f" Not corrected: {'; '.join(names)}: {reason}."
    return Finding("The judge against people", text)


def _cautions(results: Sequence[SeedResult]) -> list[Finding]:
    found = []
    policies = [part for result in results for part in result.breakdown.policies.values()]
    unparsed = sum(sum(part.unparsed.values()) for part in policies)
    empty = sum(part.empty for part in policies)
    total = sum(part.descriptions for part in policies)
    kept = (
        "stay in the denominator, as in the paper"
        if results[0].breakdown.denominator == "all"
        else "are left out of the denominator"
    )
    if unparsed:
        found.append(
            Finding(
                "Unparsed answers",
                f"{unparsed} of the judge's answers on {total:,} descriptions could not be read and {kept}.",
            )
        )
    if empty:
        found.append(
            Finding(
                "Empty descriptions",
                f"{empty} of {total:,} descriptions are empty: counted as spurious, not shown to the judge, without "
                "reward and without part in any accuracy.",
            )
        )
    if len(results) == 1:
        found.append(
            Finding(
                "One seed",
                "Intervals tell how much other images or descriptions would change the numbers; how much another "
                "alignment would is unknown until the recipe runs on several seeds.",
            )
        )
    return found


def _verdict(difference: Difference, *, above: T, below: T, same: T, untested: T) -> T:
    """Choose by what the test says; without an interval nothing can be said of a difference, not even that."""
    if difference.significant is None:
        return untested
    if not difference.significant:
        return same
    return above if difference.value > 0 else below
