"""Sentences about many experiments, counted by stated rules: how often is a kind of description behind the gain?

Every count is given twice. The first goes by the plain numbers, as in the paper. The second counts only experiments
that fulfil the rule for sure: every interval lies on the rule's side and every test tells the difference from 0, both
for the rule and for the condition by which the experiment is looked at. Which experiments are looked at never depends
on the outcome of the rule: an experiment whose numbers do not settle the rule is looked at too, and is counted as not
known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from analysis.results.experiment import EPSILON, Experiment, improves
from analysis.results.headline import Headline
from analysis.results.pooling import Pooled
from analysis.results.reading import RULE, reading
from analysis.results.wording import KIND_NAMES, kind_words, listing
from analysis.statistics.together import FEWEST_SEEDS
from analysis.tables.rules import Rules, by_template, missing_seeds, weak_information
from analysis.tables.table import Cell, Row, Table, count_cell, text_cell
from analysis.verdicts.breakdown import Group


@dataclass(frozen=True)
class Claim:
    """One sentence with what it counts.

    Attributes:
        key: Short name.
        text: The sentence.
        rule: The rule by which experiments are counted, with its thresholds.
        count: Number of experiments that fulfil the rule.
        of: Number of experiments looked at.
        unknown: How many of these have numbers that do not tell whether they fulfil the rule.
        by_interval: How many of the experiments looked at fulfil the rule by every interval and test.
        without_interval: How many of the experiments looked at have no known intervals.
        members: Names of the experiments that fulfil the rule.
        fallback: Notes on the experiments in which the plain template stands for classes without a text of the kind:
            the experiment and the number of such classes.
        caution: How many of the experiments looked at are runs of few seeds, from `few_seeds_note`, and what gains are
            made of, from `readings_note`; stands beside the sentence.
    """

    key: str
    text: str
    rule: str
    count: int
    of: int
    unknown: int
    by_interval: int
    without_interval: int
    members: tuple[str, ...]
    fallback: tuple[str, ...] = ()
    caution: str = ""


class _Finding(NamedTuple):
    """Whether a rule holds for an experiment.

    Attributes:
        holds: By the plain numbers; `None` if they are not known.
        surely: By every interval and test; `None` if the intervals are not known.
    """

    holds: bool | None
    surely: bool | None


NOT_KNOWN = "whose accuracies are not given or, for most classes, the plain template's"

NO = _Finding(False, False)
UNKNOWN = _Finding(None, None)


def claims(experiments: Sequence[Experiment], rules: Rules) -> list[Claim]:
    """Count over a set of experiments how many fulfil each rule.

    Args:
        experiments: The experiments; those without accuracies are left out.
        rules: Thresholds of the rules.

    Returns:
        The sentences for which there is something to count.
    """
    measured = [experiment for experiment in experiments if improves(experiment) is not None]
    if not measured:
        return []
    better = [experiment for experiment in measured if improves(experiment)]
    known = [experiment for experiment in better if experiment.share("informative")]
    split = [e for e in known if e.share("visual") and not weak_information(e, rules)]
    made = [
        _count(
            "improvement",
            "In {count} of {of} experiments{unknown} EX2's descriptions are more accurate than the templates.",
            "accuracy of EX2 above that of the templates",
            [(e, _gain(e, "aligned", EPSILON)) for e in measured],
        ),
        _count(
            "improvement-margin",
            "In {count} of {of} experiments{unknown} EX2's descriptions beat the templates by a considerable margin.",
            f"accuracy of EX2 more than {rules.margin:g} {_points(rules.margin)} above the templates",
            [(e, _gain(e, "aligned", rules.margin / 100 + EPSILON)) for e in measured],
        ),
    ]
    improved = {id(e): _gain(e, "aligned", EPSILON) for e in better}
    matter = {id(e): _and((improved[id(e)], _informs(e, rules))) for e in split}
    where = "of the experiments that EX2 improves"
    narrower = (
        f"{where} and whose informative descriptions are at least {rules.solely:g} % and, alone, above the templates "
        "where that was measured"
    )
    pairs: tuple[tuple[Group, Group, Sequence[Experiment], dict[int, _Finding], str], ...] = (
        ("spurious", "informative", known, improved, where),
        ("informative", "spurious", known, improved, where),
        ("non_visual", "visual", split, matter, narrower),
        ("visual", "non_visual", split, matter, narrower),
    )
    for kind, other, base, belongs, scope in pairs:
        made += _responsible(kind, other, [(e, belongs[id(e)]) for e in base], scope, rules)
    return [claim for claim in made if claim.of > claim.unknown]


def _responsible(
    kind: Group, other: Group, base: Sequence[tuple[Experiment, _Finding]], scope: str, rules: Rules
) -> list[Claim]:
    """Count how often a kind is behind the gain.

    Args:
        kind: The kind that may be behind the gain.
        other: The other kind, which makes up the rest.
        base: Experiments looked at, each with whether it meets the condition for that.
        scope: Which experiments are looked at, in words.
        rules: Thresholds of the rules.
    """
    name = kind_words(kind)
    among = " of the informative descriptions" if kind in ("visual", "non_visual") else " of the descriptions"
    solely = f"{KIND_NAMES[other]} share{among} under {rules.solely:g} %"
    points = _points(rules.considerable)
    considerable = f"{name} alone at least {rules.considerable:g} {points} above the templates"
    alone = [(e, _below(e.share(other), rules.solely / 100)) for e, _ in base]
    helps = [(e, _gain(e, kind, rules.considerable / 100 - EPSILON)) for e, _ in base]
    strong = [(e, _gain(e, kind, rules.margin / 100 + EPSILON)) for e, _ in base]
    either = [(e, _or((one, two))) for (e, one), (_, two) in zip(alone, helps, strict=True)]
    belongs = [finding for _, finding in base]
    return [
        _count(
            f"{kind}-responsible",
            f"In {{count}} of {{of}} experiments{{unknown}} {name} is almost solely responsible for the gain or "
            "contributes considerably to it.",
            f"{scope}: {solely}, or {considerable}",
            either,
            belongs,
            kind,
        ),
        _count(
            f"{kind}-solely",
            f"In {{count}} of {{of}} experiments{{unknown}} {name} is almost solely responsible for the gain.",
            f"{scope}: {solely}",
            alone,
            belongs,
        ),
        _count(
            f"{kind}-margin",
            f"In {{count}} of {{of}} experiments{{unknown}} {name} alone beats the templates by a considerable margin.",
            f"{scope}: {name} alone more than {rules.margin:g} {_points(rules.margin)} above the templates",
            strong,
            belongs,
            kind,
        ),
    ]


def _count(
    key: str,
    text: str,
    rule: str,
    found: Sequence[tuple[Experiment, _Finding]],
    belongs: Sequence[_Finding] | None = None,
    kind: Group | None = None,
) -> Claim:
    sure = [finding.surely for _, finding in found]
    if belongs is not None:
        sure = [_and((finding, other)).surely for (_, finding), other in zip(found, belongs, strict=True)]
    members = tuple(experiment.name for experiment, finding in found if finding.holds)
    unknown = sum(finding.holds is None for _, finding in found)
    fallback = (
        f"{experiment.name}: {note}" for experiment, _ in found if kind for note in by_template(experiment, kind)
    )
    return Claim(
        key,
        text.format(count=len(members), of=len(found), unknown=f" (not known for {unknown})" if unknown else ""),
        rule + (f"; not known for {unknown}, {NOT_KNOWN}" if unknown else ""),
        len(members),
        len(found),
        unknown,
        sum(surely is True for surely in sure),
        sum(surely is None for surely in sure),
        members,
        tuple(fallback),
        " ".join(
            note
            for note in (
                few_seeds_note([experiment for experiment, _ in found]),
                readings_note([experiment for experiment, _ in found]) if belongs is not None else "",
            )
            if note
        ),
    )


def readings_note(experiments: Sequence[Experiment]) -> str:
    """Say what gains are made of by the reading rule; "" if that was measured for none.

    A kind of wording that is nearly all there is need not owe its gain to what it says: then "responsible" is too much.
    """
    read = [said for experiment in experiments if (said := reading(experiment)) and said.row]
    if not read:
        return ""
    counts = Counter(said.name for said in read)
    named = [f"{row.name} in {counts[row.name]}" for row in RULE if counts[row.name]]
    return (
        f"What the gain is made of was measured in {len(read)} of them, and says whether wording or content is "
        f"responsible: {listing(named)}."
    )


def few_seeds_note(experiments: Sequence[Experiment]) -> str:
    """Say that runs of fewer than `FEWEST_SEEDS` seeds tell only of these runs' descriptions; "" without such runs."""
    few = sum(0 < len(experiment.seeds) < FEWEST_SEEDS for experiment in experiments)  # published ones name no seeds
    if not few:
        return ""
    which = f"{few} of the {len(experiments)} experiments" if len(experiments) > 1 else "The experiment"
    has, where = ("has", "this run's") if few == 1 else ("have", "these runs'")
    return (
        f"{which} {has} fewer than {FEWEST_SEEDS} seeds: there the sentence is of {where} descriptions, not yet of the "
        f"VLM{'' if few == 1 else 's'}."
    )


def _gain(experiment: Experiment, arm: str, threshold: float) -> _Finding:
    """Say whether an arm's gain over the templates exceeds a threshold; an arm without texts has no gain.

    Of an arm that is mostly the plain template it is not known.
    """
    change = experiment.difference(arm, "templates")
    if experiment.mostly_template(arm):
        return UNKNOWN  # the template's accuracy more than that of the texts
    if change is None:
        return UNKNOWN if experiment.has_texts(arm) else NO
    return _Finding(change.value > threshold, change.surely_above(threshold))


def _below(share: Pooled | None, threshold: float) -> _Finding:
    if share is None:
        return UNKNOWN
    return _Finding(share.value < threshold, None if share.high is None else share.high < threshold)


def _informs(experiment: Experiment, rules: Rules) -> _Finding:
    """Say whether informative descriptions are frequent enough and, if known, more accurate than the templates."""
    share, gain = experiment.share("informative"), _gain(experiment, "informative", EPSILON)
    low = None if share is None else share.low
    return _Finding(
        not weak_information(experiment, rules),
        _all_of((None if low is None else low >= rules.solely / 100, gain.surely)),
    )


def _or(findings: Iterable[_Finding]) -> _Finding:
    """Say whether at least one of several rules holds; `None` if none is known to hold and one is not known."""
    holds, surely = zip(*findings, strict=True)
    return _Finding(_any_of(holds), _any_of(surely))


def _and(findings: Iterable[_Finding]) -> _Finding:
    holds, surely = zip(*findings, strict=True)
    return _Finding(_all_of(holds), _all_of(surely))


def _any_of(values: Sequence[bool | None]) -> bool | None:
    return True if any(values) else None if None in values else False


def _all_of(values: Sequence[bool | None]) -> bool | None:
    return False if False in values else None if None in values else True


def _points(threshold: float) -> str:
    return "point" if threshold == 1 else "points"


def interval_note(claim: Claim) -> str:
    """Return the count by intervals and tests, in words."""
    if claim.without_interval == claim.of:
        return "no intervals to count by"
    note = f"by interval in {claim.by_interval}"
    return note + (f"; {claim.without_interval} without an interval" if claim.without_interval else "")


def claim_table(
    found: Sequence[Claim], experiments: Sequence[Experiment] = (), *, headlines: Sequence[Headline] = ()
) -> Table:
    """Lay the sentences out as a table, which can be written in every format.

    Args:
        found: The sentences.
        experiments: The experiments that were counted; a note below the table names their missing seeds.
        headlines: The runs' headlines, which stand below the table with their cautions.
    """
    rows = []
    for claim in found:
        by_interval = count_cell(claim.by_interval, n=claim.of)
        if claim.without_interval == claim.of:
            by_interval = Cell(empty="no intervals")
        cells = (
            text_cell(" ".join(part for part in (claim.text, claim.caution) if part)),
            Cell("count", claim.count, n=claim.of, notes=claim.fallback),
            count_cell(claim.of),
            count_cell(claim.unknown, n=claim.of),
            by_interval,
            count_cell(claim.without_interval, n=claim.of),
            text_cell(claim.rule),
            text_cell("; ".join(claim.members)),
        )
        rows.append(Row((claim.key,), cells))
    columns = ("sentence", "count", "of", "not known", "by interval", "without interval", "rule", "experiments")
    notes = (
        "By interval: every interval lies on the rule's side and every test tells the difference from 0, for the rule "
        "and for what puts an experiment among those looked at.",
        "Not known: the numbers given do not settle the rule, or most classes take the plain template.",
        *missing_seeds(experiments),
        *(line for said in headlines for line in said.lines()),
    )
    return Table("verdicts", "Verdicts over all experiments", ("verdict",), columns, tuple(rows), notes)
