"""The rules behind tables and verdict sentences: thresholds, empty cells, and the notes that every table carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.results.experiment import EPSILON, Experiment, by_row, improves
from analysis.results.kl import KL_TOLERANCE
from analysis.results.unread import NO_SHARES, unread_banner
from analysis.results.wording import NO_CONCLUSION, NOT_SIGNIFICANT, batches, is_short
from analysis.verdicts.breakdown import Group
from reward.numerals import decimal

NOT_ABOVE = "EX2 not above the templates"

TESTS = (
    "Accuracies of one seed have Wilson intervals, or Clopper and Pearson's where fewer than 4 images are right or "
    "wrong; differences McNemar's mid-p test, and the interval over images that belongs to it: for these texts, "
    "unless each question was asked several times, which tells what other draws would change. Over several seeds "
    "intervals are Student's t; beside a difference stand the interval over images of the seeds' mean, which must "
    "exclude 0 too, as must the one over seeds and images together, and McNemar's p, the seeds' smallest to largest. "
    f"n.s.: {NOT_SIGNIFICANT}, so that every size between the brackets beside it is possible; a test named after it is "
    "the one that does not tell. What no seed changes has the "
    "interval of one seed. Tests are not corrected for their number."
)

FALLBACK = "Classes without a text of a kind are recognised by the plain template; cells say how many."


@dataclass(frozen=True)
class Rules:
    """Thresholds behind tables and verdict sentences.

    Attributes:
        considerable: A gain over the templates of at least so many percentage points is considerable.
        margin: A gain over the templates of more than so many percentage points is by a considerable margin.
        solely: A kind is almost solely responsible if less than so many percent of the descriptions are of the other
            kind.
        kl_tolerance: How far the KL reached may be off its target, in percent of the target.
        every_cell: Whether to fill the breakdown also where EX2 is not more accurate than the templates.
    """

    considerable: float = 0.5
    margin: float = 1.0
    solely: float = 25.0
    kl_tolerance: float = 100 * KL_TOLERANCE
    every_cell: bool = False

    @property
    def gate(self) -> str:
        """The rule for empty cells, as a note."""
        if self.every_cell:
            return "Filled whether or not EX2's descriptions are more accurate than the templates."
        return "Empty where EX2's descriptions are not more accurate than the templates."

    @property
    def kl(self) -> str:
        """The rule for the dagger at a cell, as a note."""
        return f"A dagger marks experiments whose KL is more than {self.kl_tolerance:g} % off its target in any seed."

    @property
    def tolerance(self) -> float:
        """How far the KL reached may be off its target, as a share of the target."""
        return self.kl_tolerance / 100


def shown(experiment: Experiment, rules: Rules) -> bool:
    """Say whether the breakdown of an experiment is shown."""
    return rules.every_cell or improves(experiment) is True


def weak_information(experiment: Experiment, rules: Rules) -> tuple[str, ...]:
    """Return reasons why the informative descriptions say little about the gain; none if they do say much."""
    share, gain = experiment.share("informative"), experiment.difference("informative", "templates")
    if experiment.mostly_template("informative"):
        gain = None  # it would be the template's
    notes = []
    if share and 100 * share.value < rules.solely:
        notes.append(f"under {rules.solely:g} % informative")
    if gain and gain.value <= EPSILON:
        notes.append("informative descriptions alone not above the templates")
    return tuple(notes)


def common_notes(experiments: Sequence[Experiment], rules: Rules) -> tuple[str, ...]:
    """Return the notes of every table over experiments: runs without shares, the KL reached, seeds left out."""
    return (*unread_notes(experiments), *kl_note(experiments), rules.kl, *missing_seeds(experiments))


def unread_notes(experiments: Sequence[Experiment]) -> list[str]:
    """Return a sentence for each run whose judge could hardly be read."""
    return [f"{experiment.name}: {unread_banner(experiment)}" for experiment in experiments if experiment.unread]


def unknown(experiment: Experiment, otherwise: str = "not known") -> str:
    """Return the words that stand where an experiment lacks a share or a count of a kind."""
    return NO_SHARES if experiment.unread else otherwise


def kl_note(experiments: Sequence[Experiment]) -> list[str]:
    """Return the KL of every experiment that has one, as a note: a printed table's cells have no room for it."""
    reached = [
        f"{label}, {dataset}: {decimal(kl.mean.value, 1)} ({f'target {kl.target:g}' if kl.target else 'no target'}"
        + (f"; seeds {', '.join(decimal(own, 1) for own in kl.by_seed.values())}" if len(kl.by_seed) > 1 else "")
        + (f"; {batches(kl.mean)}" if is_short(kl.mean) else "")
        + (f"; {kl.cut_words})" if kl.cut else ")")
        for label, placed in by_row(experiments).items()
        for dataset, experiment in placed.items()
        if (kl := experiment.kl)
    ]
    return [f"KL reached, nats per description: {'; '.join(reached)}."] if reached else []


def missing_seeds(experiments: Sequence[Experiment]) -> list[str]:
    """Return which seeds of which experiments have not been analysed, as a note."""
    missing = [f"{e.name}: {', '.join(map(str, e.missing_seeds))}" for e in experiments if e.missing_seeds]
    return [f"Seeds not analysed, and left out of every number: {'; '.join(missing)}."] if missing else []


def lost_answers(experiments: Sequence[Experiment]) -> str:
    """Return how many of the judge's answers could not be read, by question, as a note."""
    said = []
    for name, question in (("lost_information", "informative"), ("lost_visibility", "visual")):
        lost = [value for experiment in experiments if (value := experiment.total(name)) is not None]
        where = f"{len(lost)} experiment{'' if len(lost) == 1 else 's'}"
        said.append(f"Answers lost to the question whether {question}: {sum(lost)} in {where}.")
    return " ".join(said)


def denominators(experiments: Sequence[Experiment]) -> str:
    """Return in words which descriptions the shares are of, for a title."""
    kinds = {experiment.denominator for experiment in experiments}
    words = {"all": "all descriptions, unparsed ones included", "parsed": "descriptions with readable verdicts"}
    return " or of ".join(words[kind] for kind in sorted(kinds)) if kinds else "descriptions"


def by_template(experiment: Experiment, *groups: Group) -> tuple[str, ...]:
    """Return notes that say for how many classes the plain template stands in for missing texts of each kind."""
    of = f" of {experiment.classes}" if experiment.classes else ""
    found = {group: experiment.fallback[group] for group in groups if experiment.fallback.get(group)}
    named = len(groups) > 1
    return tuple(
        f"{group.replace('_', '-') + ': ' if named else ''}{count}{of} classes by template"
        + (f": {NO_CONCLUSION.partition(':')[0]}" if experiment.mostly_template(group) else "")
        for group, count in found.items()
    )
