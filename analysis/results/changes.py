"""Changes of the shares of kinds from the base model to the aligned one, tested together where there are seeds for it.

Wherever a change of visual, non-visual or spurious descriptions is shown, it is the one of `leaf_changes`: one number
must not be significant in one place and open in another.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from analysis.results.experiment import Experiment
from analysis.results.pooling import Difference
from analysis.results.wording import NBSP, brackets
from analysis.statistics.intervals import all_equal
from analysis.statistics.together import FEWEST_SEEDS, POWER, JointMean, means_together
from analysis.verdicts.breakdown import LEAVES, Group, Leaf
from reward.numerals import decimal

FEWEST_CLASSES = 5
"""Fewest classes from which it is concluded that a kind rose in more than those at hand."""


class OverClasses(NamedTuple):
    """The change of a kind's share as the mean over classes, tested together with the other kinds'.

    Attributes:
        value: Mean over classes, in [-1, 1].
        low: Lower end of its interval, Holm's over the kinds; `None` where all classes change alike.
        high: Upper end.
        p: p-value, corrected by Holm's method over the kinds.
        classes: Number of classes.
    """

    value: float
    low: float | None
    high: float | None
    p: float
    classes: int


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


def change_of(experiment: Experiment, group: Group) -> Difference | None:
    """Return a group's change as it is shown: of the three kinds that of `leaf_changes`, of informative its own."""
    together = [change for leaf, change in leaf_changes(experiment).items() if leaf == group]
    return together[0] if together else experiment.share_changes.get(group)


def changes_note(experiment: Experiment) -> str:
    """Say which of the changes shown beside each other hold together and which stand alone; "" without changes."""
    if not experiment.share_changes:
        return ""
    if _together(experiment):
        return (
            f"Changes of visual, non-visual and spurious hold together (Holm over {len(experiment.seeds)} seeds); that "
            "of informative stands alone."
        )
    if len(experiment.seeds) >= FEWEST_SEEDS:
        return "Each change stands alone: what is equal in all seeds has no spread to test by."
    return (
        "Each change stands alone: the more of them are looked at, the likelier one is told from 0 by chance. From "
        f"{FEWEST_SEEDS} seeds on visual, non-visual and spurious are tested together."
    )


def together_words(experiment: Experiment) -> str:
    """Say how the changes of several seeds were tested and what could have been found; "" where they were not."""
    found = _together(experiment)
    if not found:
        return ""
    least = 100 * max(each.detectable for each in found.values())
    sizes = (
        f"changes of {decimal(least, 0)}{NBSP}points or more"
        if least <= 100
        else "not even a change of all descriptions"
    )
    return (
        f"Intervals hold for all kinds together (t over {len(experiment.seeds)} seeds, Holm); as much as seeds differ "
        f"here, the test finds {sizes} in {decimal(100 * POWER, 0)} of 100 studies."
    )


def over_classes(experiment: Experiment, leaf: Leaf) -> OverClasses | None:
    """Test the change of a kind's share over classes; `None` with fewer than `FEWEST_CLASSES`.

    Student's t over classes, Holm over the kinds that have a spread. A kind that changes by the same in all classes,
    which has no spread, is tested by its signs.
    """
    values = experiment.class_changes.get(leaf, ())
    if len(values) < FEWEST_CLASSES:
        return None
    if all_equal(values):
        p = min(1.0, len(experiment.class_changes) * 2.0 ** (1 - len(values))) if values[0] else 1.0
        return OverClasses(values[0], None, None, p, len(values))
    spread = {each: own for each, own in experiment.class_changes.items() if not all_equal(own)}
    joint = dict(zip(spread, means_together(list(spread.values()), experiment.confidence), strict=True))[leaf]
    return OverClasses(joint.value, max(joint.low, -1.0), min(joint.high, 1.0), joint.p, len(values))


def class_words(experiment: Experiment, leaf: Leaf) -> str:
    """Return `Over 16 classes: +12.3 points [+9.1, +15.5] (t, Holm).`; "" where that was not tested."""
    found = over_classes(experiment, leaf)
    if found is None:
        return ""
    said = f"{decimal(100 * found.value, 1, sign=True)}{NBSP}points"
    if found.low is None or found.high is None:
        return f"Over {found.classes} classes: {said} in each (signs, Holm)."
    return f"Over {found.classes} classes: {said} {brackets(100 * found.low, 100 * found.high, 1)} (t, Holm)."


def _together(experiment: Experiment) -> dict[Leaf, JointMean]:
    """Test the changes over enough seeds; a change that is equal in all seeds has no spread and takes no part."""
    changes = {leaf: experiment.share_changes[leaf].by_seed for leaf in LEAVES if leaf in experiment.share_changes}
    spread = {leaf: by for leaf, by in changes.items() if len(by) >= FEWEST_SEEDS and not all_equal(by)}
    return dict(zip(spread, means_together(list(spread.values()), experiment.confidence), strict=True))
