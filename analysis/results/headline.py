"""The headline of a report: which kind of description the VLM rewards, in one sentence, and the evidence for it.

One training that drifts by chance makes the same headline as a preference. So with fewer than `FEWEST_SEEDS` seeds the
headline says what became of this run's descriptions, and only from then on what the VLM rewards. It rewards a kind if
that rose over seeds and over classes: see `by_class`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from analysis.results.changes import FEWEST_CLASSES, class_words, leaf_changes, over_classes, together_words
from analysis.results.experiment import Experiment
from analysis.results.kl import KL_TOLERANCE
from analysis.results.reading import content_proved, reading
from analysis.results.unread import unread_banner
from analysis.results.wording import KIND_NAMES, count, kind_words, percent, percent_interval, percent_value, points
from analysis.statistics.together import FEWEST_SEEDS
from analysis.verdicts.breakdown import LEAVES, Group, Leaf

Rise = Literal["rose", "in these classes", "open"]

ANSWERS: dict[tuple[Rise, bool], str] = {
    ("rose", True): "{vlm} rewards {kind}",
    ("rose", False): "{vlm}: {kind} became more frequent in this run",
    ("in these classes", True): "{vlm}: over {seeds} seeds {kind} became more frequent in these classes",
    ("open", True): "{vlm}: over {seeds} seeds no kind of wording rose for certain",
    ("open", False): "{vlm}: no kind of wording rose for certain in this run",
}
"""The rule: whether the share that rose most is told from its share before, and whether there are enough seeds. With
these, whether it is told over classes too, or only in those at hand."""


UNCALIBRATED = "The judge that sorted the descriptions is uncalibrated: nobody knows how often it is wrong here."


class Headline(NamedTuple):
    """The report's first sentence.

    Attributes:
        answer: What the VLM rewards.
        evidence: The shares behind it.
        kind: The rewarded kind, or `None` if there is no clear one.
        caution: What limits the answer, in one or several sentences, which stand right beside it wherever it is shown;
            "" if nothing does.
        reading: What the accuracy gained is made of, in one or several sentences, which stand there too; "" if that is
            not known.
    """

    answer: str
    evidence: str
    kind: Group | None
    caution: str = ""
    reading: str = ""

    def lines(self) -> list[str]:
        """Return the lines of a text: the answer with its caution, the reading, the evidence; empty ones are absent."""
        first = " ".join(part for part in (f"{self.answer}.", self.caution) if part)
        return [line for line in (first, self.reading, self.evidence) if line]


def headline(experiment: Experiment, judge: str | None = None) -> Headline:
    """Say which kind of description the VLM rewards, by `ANSWERS`.

    Of visual, non-visual and spurious, it is the kind whose share rose most from the base model to the aligned one,
    provided that the interval of its rise lies above 0: see `leaf_changes`; and with enough seeds, provided that it
    rose over classes: see `over_classes`. Without a base model, or with a judge that could hardly be read, there is
    nothing to compare with.

    Args:
        experiment: A run's experiment.
        judge: What to be careful about in the judge, from `agreement.standing.judge_caution`. `None` where nobody has
            looked for people's labels: then every judge but an exact one is uncalibrated.
    """
    vlm = experiment.vlm
    shares = {leaf: share for leaf in reversed(LEAVES) if (share := experiment.share_of_all("aligned", leaf))}
    if experiment.unread:
        return Headline(f"{vlm}: what it rewards is not known", unread_banner(experiment), None)
    if not shares:
        return Headline(f"{vlm}: no aligned descriptions yet", "Only the base model was described.", None)
    caution, read = _caution(experiment, judge), reading(experiment)
    said, proved = read.words if read else "", content_proved(experiment)
    changes = leaf_changes(experiment)
    if not changes:
        most = max(shares, key=lambda leaf: shares[leaf].value)
        return Headline(
            f"{vlm}: most aligned descriptions are of {kind_words(most, proved)}",
            f"{percent(shares[most], 0)} ({count(shares[most])}); the base model was not described, so it stays open "
            "what the VLM changed.",
            None,
            caution,
            said,
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
    if rise == "rose" and enough and not _rose_over_classes(experiment, risen):
        rise, caution = "in these classes", " ".join(filter(None, [caution, _few_classes(experiment, risen)]))
    answer = ANSWERS[rise, enough].format(vlm=vlm, kind=kind_words(risen, proved), seeds=len(experiment.seeds))
    if enough:
        evidence += f" Change: {points(change)}. {together_words(experiment)}".rstrip()
        evidence = f"{evidence} {class_words(experiment, risen)}".rstrip()
    elif rise == "open":
        evidence += f" Change: {points(change)}{', cannot be tested' if change.significant is None else ''}."
    return Headline(answer, evidence, risen if rise == "rose" else None, caution, said)


def _rose_over_classes(experiment: Experiment, leaf: Leaf) -> bool:
    found = over_classes(experiment, leaf)
    return found is not None and found.value > 0 and found.p < 1 - experiment.confidence


def _few_classes(experiment: Experiment, leaf: Leaf) -> str:
    """Return why a rise over seeds is not called a preference."""
    if over_classes(experiment, leaf) is None:
        known = len(experiment.class_changes.get(leaf, ()))
        return f"Whether it would in others takes {FEWEST_CLASSES} classes; there are {known}."
    return "Over classes it is not told from chance: a few texts that the VLM likes for another reason do the same."


def _caution(experiment: Experiment, judge: str | None) -> str:
    """Return what limits every answer: too few seeds, a judge that nobody checked, a KL off its target."""
    said, seeds = [], len(experiment.seeds)
    if seeds < FEWEST_SEEDS:
        runs = "this run, with one seed" if seeds < 2 else f"this run, with {seeds} seeds"
        said.append(f"This is of {runs}: what the VLM does in other runs takes {FEWEST_SEEDS} seeds.")
    if judge is None:
        exact = experiment.judge is not None and experiment.judge.exact
        judge = "" if exact else UNCALIBRATED
    said.append(judge)
    off = experiment.kl.words(KL_TOLERANCE) if experiment.kl else ""
    if off:
        said.append(f"{off}. At its target the shares may be others.")
    return " ".join(part for part in said if part)
