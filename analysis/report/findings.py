"""The report's findings: the numbers in plain sentences, which fixed rules make."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from analysis.accuracy.measure import COMPARISONS
from analysis.agreement.section import number_text, share_text
from analysis.agreement.standing import judge_standing
from analysis.agreement.stored import QUESTION_WORDS, JudgeAgreement
from analysis.agreement.tables import SHARE_NAMES
from analysis.results.changes import leaf_changes, together_words
from analysis.results.experiment import Experiment
from analysis.results.pooling import Difference
from analysis.results.unread import unread_banner
from analysis.results.wording import (
    KIND_NAMES,
    NOT_SIGNIFICANT,
    batches,
    count,
    evidence,
    listing,
    percent,
    plain,
    points,
    points_value,
    signed,
    texts_words,
    verdict_words,
)
from analysis.statistics.together import FEWEST_SEEDS

T = TypeVar("T")

EXPLAINED = {
    "visual": "they tell how the class looks",
    "non_visual": "they tell something true or false about the class that a picture does not show",
    "spurious": "they tell nothing about the class",
}


class Finding(NamedTuple):
    """One sentence of the findings.

    Attributes:
        topic: The sentence's topic in two or three words.
        text: The sentence.
    """

    topic: str
    text: str


def findings(experiment: Experiment, agreement: JudgeAgreement | None = None) -> list[Finding]:
    """Return a run's findings: shares, reward, accuracy, what each kind is worth, and what to be careful about.

    Args:
        experiment: A run's experiment.
        agreement: How far the judge agrees with people; `None` if nobody labelled the run.
    """
    found = [
        _unread(experiment),
        _shares(experiment),
        _reward(experiment),
        _accuracy(experiment),
        _worth(experiment),
        *_coverage(experiment),
        _controls(experiment),
        _kl(experiment),
        _judge(experiment, agreement),
    ]
    return [finding for finding in found if finding] + _cautions(experiment)


def _unread(experiment: Experiment) -> Finding | None:
    banner = unread_banner(experiment)
    return Finding("The judge could hardly be read", banner) if banner else None


def _shares(experiment: Experiment) -> Finding | None:
    changes = leaf_changes(experiment)
    if not changes:
        return None
    sentences = [f"{KIND_NAMES[leaf]} {_told(change)}" for leaf, change in changes.items()]
    most = max(changes, key=lambda leaf: changes[leaf].value)
    return Finding(
        "What alignment changed",
        " ".join(
            part
            for part in (
                f"Share among all descriptions, aligned minus base: {'; '.join(sentences)}.",
                together_words(experiment),
                f"{KIND_NAMES[most].capitalize()} means: {EXPLAINED[most]}.",
            )
            if part
        ),
    )


def _reward(experiment: Experiment) -> Finding | None:
    gain = experiment.reward_gain
    if gain is None:
        return None
    verdict = _verdict(
        gain,
        above="The alignment reached its aim",
        below="The alignment lowered the reward it was to raise",
        same="The alignment cannot be told from none",
        untested="Whether the alignment did anything cannot be tested",
    )
    open_gain = verdict_words(gain, shares=False)
    return Finding(
        "Reward",
        f"{verdict}: on the same class and question, aligned descriptions score {signed(gain)} against the base "
        f"model's, in units of the VLM's logits ({count(gain, 'pairs')})" + (f"; {open_gain}." if open_gain else "."),
    )


def _accuracy(experiment: Experiment) -> Finding | None:
    own, change = experiment.accuracy("aligned"), experiment.tested("aligned", "templates")
    if own is None or change is None:
        return None
    verdict = _verdict(
        change,
        above="EX2's descriptions classify better than the 80 generic templates",
        below="EX2's descriptions classify worse than the 80 generic templates",
        same=f"EX2's descriptions and the 80 generic templates show {NOT_SIGNIFICANT} in accuracy",
        untested="Whether EX2's descriptions or the 80 generic templates classify better cannot be tested",
    )
    said = ", ".join(part for part in (count(change, "images"), texts_words(change)) if part)
    text = f"{verdict}: {percent(own)}, {points(change)} ({said})."
    base = experiment.tested("aligned", "base")
    if base:
        test = evidence(base)
        text += f" Against the base model's own descriptions: {points(base)}{f' ({test})' if test else ''}."
    return Finding("Accuracy", text)


def _worth(experiment: Experiment) -> Finding | None:
    filled: list[str] = []
    better: list[str] = []
    same: list[str] = []
    worse: list[str] = []
    untested: list[str] = []
    scope = ""
    for group in ("spurious", "informative", "visual", "non_visual"):
        change = experiment.tested(group, "templates")
        if change is None:
            continue
        scope = scope or texts_words(change)
        if experiment.mostly_template(group):
            filled.append(
                f"{KIND_NAMES[group]} ({experiment.fallback[group]} of {experiment.classes} classes have no such text "
                "and take the plain template)"
            )
            continue
        said = f"{KIND_NAMES[group]} ({_told(change)})"
        _verdict(change, above=better, below=worse, same=same, untested=untested).append(said)
    if not better + same + worse + untested + filled:
        return None
    sentences, tested = [], f" ({scope})" if scope else ""
    if better:
        sentences.append(f"significantly above the templates{tested}: {listing(better)}")
    if same:
        sentences.append(f"not told from the templates: {listing(same)}")
    if worse:
        sentences.append(f"significantly below{tested}: {listing(worse)}")
    if untested:
        sentences.append(f"cannot be tested against the templates: {listing(untested)}")
    if filled:
        sentences.append(f"no conclusion is drawn from {listing(filled)}")
    return Finding("What each kind is worth", f"Used alone, {'; '.join(sentences)}.")


def _coverage(experiment: Experiment) -> list[Finding]:
    notes = []
    for groups in COMPARISONS[-2:]:
        covered = experiment.covered.get(groups)
        if covered is None:
            continue
        total = experiment.classes
        first, second = (KIND_NAMES[group] for group in groups)
        text = (
            f"{_range(total - covered.most, total - covered.fewest)} of {total} classes lack {first} or {second} "
            "descriptions; in such a group they are recognised by the plain template, which blurs the comparison."
        )
        change = covered.difference
        if change:
            test = evidence(change)
            text += (
                f" Among the {_range(covered.fewest, covered.most)} classes that have both, {first} minus {second} is "
                f"{points(change)} ({test + ', ' if test else ''}{count(change, 'images')})."
            )
        notes.append(Finding("Classes without a kind", text))
    return notes


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def _kl(experiment: Experiment) -> Finding | None:
    kl = experiment.kl
    if kl is None:
        return None
    target = "" if kl.target is None else f"target {kl.target:g}, "
    cut = f", {kl.cut_words}" if kl.cut else ""
    return Finding(
        "Distance from the base model",
        f"At the end of training the KL divergence is {plain(kl.mean)} nats per description ({target}"
        f"{batches(kl.mean)}{cut}). A larger one allows more change, and more reward at the price of language.",
    )


def _controls(experiment: Experiment) -> Finding | None:
    below: list[str] = []
    same: list[str] = []
    above: list[str] = []
    untested: list[str] = []
    for arm, control in experiment.controls.items():
        change = experiment.tested(arm, "aligned")
        if change is None:
            continue
        said = f"{control.name} ({_told(change)})"
        _verdict(change, above=above, below=below, same=same, untested=untested).append(said)
    parts = (
        ("below it", below),
        ("not told from it", same),
        ("above it", above),
        ("cannot be tested", untested),
    )
    sentences = [f"{words}: {listing(arms)}" for words, arms in parts if arms]
    if not sentences:
        return None
    return Finding(
        "Against other texts", f"Against all of EX2's descriptions, on the same images, {'; '.join(sentences)}."
    )


def _judge(experiment: Experiment, agreement: JudgeAgreement | None) -> Finding | None:
    judge = experiment.judge
    standing = judge_standing(experiment, agreement)
    if judge is None or standing == "exact":
        return None
    if agreement is None or agreement.silent:
        why = agreement.silent if agreement else "its verdicts have not been compared with people's"
        return Finding(
            "The judge is uncalibrated",
            f"{judge.name} sorted the descriptions, and shares carry its errors beside the intervals shown: {why}.",
        )
    rates = [
        f"{words}: {share_text(rate.agreement)}, Cohen's κ {number_text(rate.kappa)}"
        for words, rate in zip(
            ("informative or not", "visual or not, where both call it informative"),
            agreement.content.used.questions.values(),
            strict=True,
        )
    ]
    text = f"{judge.name} agrees with people on {'; '.join(rates)}."
    for question, why in agreement.shortfalls.items():
        if why:
            text += f" It is not calibrated on {QUESTION_WORDS[question]}: {why}."
    aligned = agreement.content.policies.get("aligned")
    shares = aligned.shares if aligned and not experiment.unread else {}
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


def _cautions(experiment: Experiment) -> list[Finding]:
    found = []
    policies = experiment.policies.values()
    unparsed = sum(sum(part.unparsed.values()) for part in policies)
    empty = sum(part.empty for part in policies)
    total = sum(part.descriptions for part in policies)
    kept = (
        "stay in the denominator, as in the paper"
        if experiment.denominator == "all"
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
    if len(experiment.seeds) == 1:
        found.append(
            Finding(
                "One seed",
                "Intervals of shares and rewards tell how much other descriptions of the same classes and questions "
                f"would change the numbers; those of accuracies, how much other images{_and_draws(experiment)} would. "
                f"How much another alignment would is unknown until the recipe runs on {FEWEST_SEEDS} seeds or more. "
                "All sentences are of this run.",
            )
        )
    elif len(experiment.seeds) < FEWEST_SEEDS:
        found.append(
            Finding(
                "Two seeds",
                f"Two seeds hardly tell how much seeds differ: all sentences are of these runs until there are "
                f"{FEWEST_SEEDS} seeds or more.",
            )
        )
    return found


def _told(change: Difference) -> str:
    """Return a change of shares with its interval; of one that is not significant, what sizes of it are possible."""
    if change.significant is None:
        return f"{points(change)}, cannot be tested"
    still_open = verdict_words(change)
    return f"{points_value(change)}, {still_open}" if still_open else points(change)


def _and_draws(experiment: Experiment) -> str:
    change = experiment.tested("aligned", "templates")
    if change and change.draws:
        return " and other descriptions"
    return ", for these texts (describe.per_question of 2 or more tells how much other texts would),"


def _verdict(difference: Difference, *, above: T, below: T, same: T, untested: T) -> T:
    """Choose by what a difference's test says; `untested` if it was not tested."""
    if difference.significant is None:
        return untested
    if not difference.significant:
        return same
    return above if difference.value > 0 else below
