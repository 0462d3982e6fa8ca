"""Changes of the shares of kinds from the base model to the aligned one, tested together where there are seeds for it.

Wherever a change of visual, non-visual or spurious descriptions is shown, it is the one of `leaf_changes`: one number
must not be significant in one place and open in another.
"""

from __future__ import annotations

from dataclasses import replace

from analysis.results.experiment import Experiment
from analysis.results.pooling import Difference
from analysis.results.wording import NBSP
from analysis.statistics.intervals import all_equal
from analysis.statistics.together import FEWEST_SEEDS, POWER, JointMean, means_together
from analysis.verdicts.breakdown import LEAVES, Group, Leaf
from reward.numerals import decimal


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


def _together(experiment: Experiment) -> dict[Leaf, JointMean]:
    """Test the changes over enough seeds; a change that is equal in all seeds has no spread and takes no part."""
    changes = {leaf: experiment.share_changes[leaf].by_seed for leaf in LEAVES if leaf in experiment.share_changes}
    spread = {leaf: by for leaf, by in changes.items() if len(by) >= FEWEST_SEEDS and not all_equal(by)}
    return dict(zip(spread, means_together(list(spread.values()), experiment.confidence), strict=True))
