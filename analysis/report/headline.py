"""The headline of a report: which kind of description the VLM rewards, in one sentence, and the evidence for it.

One training that drifts by chance makes the same headline as a preference. So with fewer than `FEWEST_SEEDS` seeds the
headline says what became of this run's descriptions, and only from then on what the VLM rewards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

from analysis.results.experiment import Experiment
from analysis.results.pooling import Difference
from analysis.results.unread import unread_banner
from analysis.results.wording import KIND_NAMES, NBSP, count, percent, percent_interval, percent_value, points
from analysis.statistics.intervals import all_equal
from analysis.statistics.together import FEWEST_SEEDS, POWER, JointMean, means_together
from analysis.verdicts.breakdown import LEAVES, Group, Leaf

Rise = Literal["rose", "open"]

ANSWERS: dict[tuple[Rise, bool], str] = {
    ("rose", True): "{vlm} rewards {kind} descriptions",
    ("rose", False): "{vlm}: this run's descriptions became more often {kind}",
    ("open", True): "{vlm}: over {seeds} seeds no kind of description rose for certain",
    ("open", False): "{vlm}: no kind of this run's descriptions rose for certain",
}
"""The rule: whether the share that rose most is told from its share before, and whether there are enough seeds."""


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


def headline(experiment: Experiment) -> Headline:
    """Say which kind of description the VLM rewards, by `ANSWERS`.

    Of visual, non-visual and spurious, it is the kind whose share rose most from the base model to the aligned one,
    provided that the interval of its rise lies above 0: see `leaf_changes`. Without a base model, or with a judge
    that could hardly be read, there is nothing to compare with.
    """
    vlm = experiment.vlm
    shares = {leaf: share for leaf in reversed(LEAVES) if (share := experiment.share_of_all("aligned", leaf))}
    if experiment.unread:
        return Headline(f"{vlm}: what it rewards is not known", unread_banner(experiment), None)
    if not shares:
        return Headline(f"{vlm}: no aligned descriptions yet", "Only the base model was described.", None)
    changes = leaf_changes(experiment)
    if not changes:
        most = max(shares, key=lambda leaf: shares[leaf].value)
        return Headline(
            f"{vlm}: most aligned descriptions are {KIND_NAMES[most]}",
            f"{percent(shares[most], 0)} ({count(shares[most])}); the base model was not described, so it stays open "
            "what the VLM changed.",
            None,
        )
    risen = max(changes, key=lambda leaf: changes[leaf].value)
    change, after, before = changes[risen], shares[risen], experiment.share_of_all("base", risen)
    assert before is not None
    evidence = (
        f"{percent_value(after, 0)}{percent_interval(after, 0)} of aligned descriptions are {KIND_NAMES[risen]} "
        f"({count(after)}); before, of the base model's, {percent(before, 0)} ({count(before)})."
    )
    rise: Rise = "rose" if change.significant and change.value > 0 else "open"
    enough = len(experiment.seeds) >= FEWEST_SEEDS
    answer = ANSWERS[rise, enough].format(vlm=vlm, kind=KIND_NAMES[risen], seeds=len(experiment.seeds))
    caution = together_words(experiment) if enough else f"What the VLM does in other runs takes {FEWEST_SEEDS} seeds."
    evidence += f" Change: {points(change)}. {caution}" if enough else f" {caution}"
    return Headline(answer, evidence, risen if rise == "rose" else None)


def leaf_changes(experiment: Experiment) -> dict[Leaf, Difference]:
    """Return the changes of the shares of visual, non-visual and spurious descriptions, in this order.

    From `FEWEST_SEEDS` seeds on they are tested together: intervals and significance are Holm's over the three, see
    `means_together`. With fewer seeds each stands alone.
    """
    alpha, found = 1 - experiment.confidence, _together(experiment)
    changes = {leaf: experiment.share_changes[leaf] for leaf in reversed(LEAVES) if leaf in experiment.share_changes}
    for leaf, joint in found.items():
        low, high = max(joint.low, -1.0), min(joint.high, 1.0)
        changes[leaf] = replace(changes[leaf], low=low, high=high, significant=joint.p < alpha)
    return changes


def together_words(experiment: Experiment) -> str:
    """Say how the changes of several seeds were tested and what could have been found; "" where they were not."""
    found = _together(experiment)
    if not found:
        return ""
    least = 100 * max(each.detectable for each in found.values())
    sizes = f"changes of {least:.0f}{NBSP}points or more" if least <= 100 else "not even a change of all descriptions"
    return (
        f"Intervals hold for all kinds together (t over {len(experiment.seeds)} seeds, Holm); as much as seeds differ "
        f"here, the test finds {sizes} in {100 * POWER:.0f} of 100 studies."
    )


def _together(experiment: Experiment) -> dict[Leaf, JointMean]:
    """Test the changes over enough seeds; a change that is equal in all seeds has no spread and takes no part."""
    changes = {leaf: experiment.share_changes[leaf].by_seed for leaf in LEAVES if leaf in experiment.share_changes}
    spread = {leaf: by for leaf, by in changes.items() if len(by) >= FEWEST_SEEDS and not all_equal(by)}
    return dict(zip(spread, means_together(list(spread.values()), experiment.confidence), strict=True))
