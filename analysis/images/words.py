"""Words rewarded and words that draw: the arms of runs by what their texts score, earn and draw, from records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from analysis.accuracy.record import Accuracy, read_accuracy
from analysis.images.record import ArmSource, Measures, WordsOfArm
from analysis.statistics.intervals import Estimate
from analysis.tables.table import Cell, Row, Table
from ex2.data.datasets.set_records import SetRecord
from ex2.run.directory import SeedDirectory
from reward.numerals import decimal

STRATEGY = "descriptions"


def source_of(record: SetRecord) -> ArmSource | None:
    """Return the arm that a set was drawn from, or None if it was not drawn from a run's texts."""
    settings = record.strategy_settings
    if record.strategy != STRATEGY:
        return None
    return ArmSource(*(str(settings.get(key, "")) for key in ("run", "run_seed", "arm")))


def read_analyses(runs: Mapping[str, str], sources: Mapping[str, ArmSource]) -> dict[tuple[str, str], Accuracy]:
    """Read the analyses of the runs whose texts were drawn; a run that has none any more is left out.

    Args:
        runs: Name of a set → the folder of the run that it was drawn from.
        sources: Name of a set → the arm that it was drawn from.

    Returns:
        Name of the run and its seed's folder → content of `accuracy.json`.

    Raises:
        UserError: If a file is not what an analysis writes.
    """
    found = {}
    for name, source in sources.items():
        path = SeedDirectory(Path(runs.get(name, "")) / source.seed).accuracy
        if name in runs and path.is_file():
            found[source.run, source.seed] = read_accuracy(path)
    return found


def words_of_arms(
    measures: Measures, sources: Mapping[str, ArmSource], analyses: Mapping[tuple[str, str], Accuracy]
) -> tuple[WordsOfArm, ...]:
    """Bring together what was measured of texts and of their pictures.

    Args:
        measures: The sets.
        sources: Name of a set → the arm that it was drawn from; other sets are left out.
        analyses: Run and its seed's folder → content of `accuracy.json`. A run may be missing.

    Returns:
        The arms in the order of the sets.
    """
    found = []
    for one in measures.sets:
        source = sources.get(one.name)
        if source is None:
            continue
        analysis = analyses.get((source.run, source.seed))
        arm = None if analysis is None else analysis.arms.get(source.arm)
        gain = None if analysis is None else analysis.reward_gain
        rewards = {} if gain is None else {"base": gain.base, "aligned": gain.aligned}
        found.append(
            WordsOfArm(
                source=source,
                vlm="" if analysis is None else analysis.vlm,
                text=None if arm is None else Estimate(arm.top1.accuracy, arm.top1.low, arm.top1.high, arm.top1.n),
                reward=rewards.get(source.arm),
                cler=one.number("cler"),
                knows=one.knows,
            )
        )
    return tuple(found)


def words_table(arms: Sequence[WordsOfArm], measures: Measures) -> Table:
    """Return the arms as a table.

    Args:
        arms: The arms.
        measures: The sets, for the names of VLM and dataset.
    """
    rows = tuple(
        Row(
            (f"{one.source.run}, {one.source.seed}", one.source.arm),
            (
                _percent(one.text, "the run's analysis is not at hand"),
                Cell(empty="no rewards are stored of this arm")
                if one.reward is None
                else Cell("logits", value=one.reward),
                _percent(one.cler, "not measured", _seeds_of(measures)),
                Cell(empty="not tested") if one.knows is None else Cell(text="yes" if one.knows else "no"),
            ),
        )
        for one in arms
    )
    return Table(
        "words_that_draw",
        "Words rewarded and words that draw",
        ("run", "texts"),
        ("accuracy of the texts", "mean reward", "CLER of their pictures", "above permuted labels"),
        rows,
        (
            "Accuracy and reward are those of the run's own VLM: "
            + "; ".join(dict.fromkeys(f"{one.source.run}, {one.vlm}" for one in arms if one.vlm))
            + ".",
            f"CLER is measured by {measures.vlm} on {measures.dataset}, centers: "
            f"{measures.settings.get('centers', 'unit')}.",
            "Rewards of different VLMs have different scales and stand in one column only to be compared within a run.",
        ),
    )


def words_said(arms: Sequence[WordsOfArm]) -> tuple[str, ...]:
    """Say of each run whether alignment moved reward and CLER the same way, one sentence each.

    A run without both its base and its aligned texts, or without their rewards and CLER, is left out.
    """
    said = []
    for (run, seed), of_run in groupby(sorted(arms, key=_run_of), key=_run_of):
        by_arm = {one.source.arm: one for one in of_run}
        if not {"base", "aligned"} <= by_arm.keys():
            continue
        base, aligned = by_arm["base"], by_arm["aligned"]
        if base.reward is None or aligned.reward is None or base.cler is None or aligned.cler is None:
            continue
        rewarded, drawn = aligned.reward - base.reward, 100 * (aligned.cler.value - base.cler.value)
        nothing = "; what they draw is not told from nothing" if aligned.knows is False else ""
        said.append(
            f"{run}, {seed}: aligned texts earn {decimal(rewarded, 2, sign=True)} against base and their pictures' "
            f"CLER is {decimal(drawn, 1, sign=True)} points{nothing}."
        )
    return tuple(said)


def _run_of(one: WordsOfArm) -> tuple[str, str]:
    return one.source.run, one.source.seed


def _percent(number: Estimate | None, absent: str, seeds: int = 1) -> Cell:
    if number is None:
        return Cell(empty=absent)
    low, high = (None if end is None else 100 * end for end in (number.low, number.high))
    return Cell("percent", 100 * number.value, low, high, number.n, seeds)


def _seeds_of(measures: Measures) -> int:
    return max(len(one.seeds) for one in measures.sets)
