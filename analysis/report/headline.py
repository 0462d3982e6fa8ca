"""The headline of a report: which kind of description the VLM rewards, in one sentence, and the evidence for it."""

from __future__ import annotations

from typing import NamedTuple

from analysis.results.experiment import Experiment
from analysis.results.pooling import Difference
from analysis.results.unread import unread_banner
from analysis.results.wording import KIND_NAMES, count, percent, percent_interval, percent_value
from analysis.verdicts.breakdown import LEAVES, Group, Leaf


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
    """Say which kind of description the VLM rewards.

    Rule: of visual, non-visual and spurious, the kind whose share rose most from the base model to the aligned one,
    provided that the interval of its rise lies above 0. Without a base model, or with a judge that could hardly be
    read, there is nothing to compare.
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
    if change.significant and change.value > 0:
        return Headline(f"{vlm} rewards {KIND_NAMES[risen]} descriptions", evidence, risen)
    if change.significant is None or any(other.significant for other in changes.values()):
        return Headline(f"{vlm}: no kind of description rose for certain", evidence, None)
    return Headline(f"{vlm} rewards no kind of description more than another", evidence, None)


def leaf_changes(experiment: Experiment) -> dict[Leaf, Difference]:
    """Return the changes of the shares of visual, non-visual and spurious descriptions, in this order."""
    return {leaf: experiment.share_changes[leaf] for leaf in reversed(LEAVES) if leaf in experiment.share_changes}
