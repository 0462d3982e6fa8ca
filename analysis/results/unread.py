"""Runs whose judge could hardly be read: their shares would be those of the few answers that could be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from analysis.results.experiment import Counts, Experiment, Shares, Unread
from analysis.verdicts.verdicts import Kind
from ex2.policy.source import PolicyName

FEWEST_SECOND = 10
"""Number of descriptions called informative from which unread second answers count: of fewer, chance decides."""

NO_SHARES = "under half of the answers could be read"
"""Stands where a share would be."""


class Judged(Protocol):
    """What a judge made of one policy's descriptions."""

    @property
    def descriptions(self) -> int: ...

    @property
    def empty(self) -> int: ...

    @property
    def kinds(self) -> Mapping[Kind, int]: ...


def unread_answers(policies: Mapping[PolicyName, Judged]) -> tuple[Unread, ...]:
    """List the questions of which under half of the answers could be read, for each policy.

    Args:
        policies: What the judge made of each policy's descriptions.
    """
    found = []
    for policy, part in policies.items():
        kinds = part.kinds
        informative = kinds["visual"] + kinds["non_visual"] + kinds["informative_unparsed"]
        asked = part.descriptions - part.empty
        rows = [Unread(policy, "informative", asked - kinds["unparsed"], asked)]
        if informative >= FEWEST_SECOND:
            rows.append(Unread(policy, "visual", informative - kinds["informative_unparsed"], informative))
        found += [row for row in rows if 2 * row.read < row.asked]
    return tuple(found)


def without_shares(experiment: Experiment, unread: tuple[Unread, ...]) -> Experiment:
    """Return an experiment without any share of kinds; how many descriptions there are, and its accuracies, stay.

    Args:
        experiment: The experiment.
        unread: Which answers could not be read.
    """
    none = Shares({}, {})
    return replace(
        experiment,
        unread=unread,
        counts=tuple(Counts(counts.all, None, None, None, None) for counts in experiment.counts),
        policies={
            policy: replace(part, shares=none, by_denominator=dict.fromkeys(part.by_denominator, none))
            for policy, part in experiment.policies.items()
        },
        share_changes={},
        class_changes={},
    )


def unread_banner(experiment: Experiment) -> str:
    """Return the sentence that stands in place of the shares; "" if the judge could be read."""
    return unread_words(experiment.unread)


def unread_words(unread: Sequence[Unread]) -> str:
    """Return the sentence that stands in place of the shares; "" if there is no unread question."""
    if not unread:
        return ""
    numbers = "; ".join(f"{one.policy}, {one.question}: {one.read:,} of {one.asked:,}" for one in unread)
    return f"No shares are shown, because under half of the judge's answers could be read ({numbers})."
