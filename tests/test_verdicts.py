"""Sentences over experiments: counted by their rules, by number and by interval, with thresholds as settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.pooling import Difference, Pooled
from analysis.tables.experiment import Counts, Experiment
from analysis.tables.grids import Rules
from analysis.tables.published import read_published
from analysis.tables.verdicts import Verdict, interval_note, verdict_table, verdicts

PAPER = Path(__file__).parent / "data" / "paper_tables.json"


def by_key(experiments: list[Experiment], rules: Rules | None = None) -> dict[str, Verdict]:
    return {verdict.key: verdict for verdict in verdicts(experiments, rules or Rules())}


def experiment(name: str, gains: dict[str, tuple[float, float]], informative: int = 50) -> Experiment:
    """Of 100 descriptions, with gains over the templates in points: value and lower end of the interval."""
    accuracies = {arm: Pooled(0.5 + gain / 100, None, None, 100, 1) for arm, (gain, _) in gains.items()}
    differences = {
        (arm, "templates"): Difference(gain / 100, low / 100, 1.0, low > 0, 0.01, 100, 1)
        for arm, (gain, low) in gains.items()
    }
    counts = Counts(100, 100 - informative, informative, informative // 2, informative - informative // 2)
    templates = {"templates": Pooled(0.5, None, None, 100, 1)}
    return Experiment(name, name, "d", accuracies | templates, differences, (counts,))


def test_the_papers_counts() -> None:
    found = by_key(read_published(PAPER).experiments)
    assert (found["improvement"].count, found["improvement"].of) == (33, 42)
    assert (
        found["improvement"].text == "In 33 of 42 experiments EX2's descriptions are more accurate than the templates."
    )
    assert (found["spurious-solely"].count, found["spurious-solely"].of) == (10, 33)
    assert "informative share of the descriptions under 25 %" in found["spurious-solely"].rule
    # 10 under 25 %, and by Table 3: flowers 4 (all but ALIGN), pets 4, cub 1 (CLIPA), dogs 3 (CLIP, EVA, MetaCLIP),
    # aircraft 3, cars 1 (ALIGN).
    assert (found["spurious-responsible"].count, found["spurious-responsible"].of) == (26, 33)
    assert found["spurious-responsible"].text.startswith(
        "In 26 of 33 experiments spurious descriptions are almost solely responsible for the gain or contribute"
    )
    # Under 25 % visual: CLIP aircraft, ALIGN cub, aircraft and cars.
    assert (found["non_visual-solely"].count, found["non_visual-solely"].of) == (4, 19)
    assert set(found["non_visual-solely"].members) == {
        "CLIP, fgvc_aircraft",
        "ALIGN, cub",
        "ALIGN, fgvc_aircraft",
        "ALIGN, stanford_cars",
    }
    assert interval_note(found["improvement"]) == "no intervals to count by"


@pytest.mark.parametrize(("gain", "considerable", "by_margin"), [(0.49, 0, 0), (0.5, 1, 0), (1.0, 1, 0), (1.01, 1, 1)])
def test_thresholds_are_inclusive_where_they_say_at_least(gain: float, considerable: int, by_margin: int) -> None:
    found = by_key([experiment("e", {"aligned": (gain, -1), "spurious": (gain, -1)})])
    assert found["spurious-responsible"].count == considerable
    assert found["spurious-margin"].count == by_margin
    assert found["improvement-margin"].count == by_margin


@pytest.mark.parametrize(("informative", "solely"), [(24, 1), (25, 0), (26, 0)])
def test_almost_solely_is_a_share_under_25_percent(informative: int, solely: int) -> None:
    found = by_key([experiment("e", {"aligned": (2, 1), "spurious": (-1, -2)}, informative)])
    assert found["spurious-solely"].count == solely
    assert found["spurious-responsible"].count == solely


def test_counts_by_interval_stand_beside() -> None:
    sure = experiment("sure", {"aligned": (3, 1.5), "spurious": (2, 0.6)})
    unsure = experiment("unsure", {"aligned": (3, -0.5), "spurious": (2, 0.4)})
    # 20 of 100: Wilson's upper end is 28.9 %; 10 of 100: 17.4 %.
    few = experiment("few", {"aligned": (1, 0.1), "spurious": (0, -1)}, informative=20)
    fewer = experiment("fewer", {"aligned": (1, 0.1), "spurious": (0, -1)}, informative=10)
    found = by_key([sure, unsure, few, fewer])
    assert (found["improvement"].count, found["improvement"].by_interval) == (4, 3)
    assert (found["spurious-solely"].count, found["spurious-solely"].by_interval) == (2, 1)
    responsible = found["spurious-responsible"]
    assert (responsible.count, responsible.of, responsible.by_interval) == (4, 4, 2)
    assert responsible.members == ("sure", "unsure", "few", "fewer")
    assert interval_note(responsible) == "by interval in 2"


def test_thresholds_are_settings_and_are_printed() -> None:
    made = [experiment("e", {"aligned": (3, 1), "spurious": (2, 1)}, informative=40)]
    rules = Rules(considerable=2.5, margin=4.0, solely=45.0)
    found = by_key(made, rules)
    assert found["spurious-responsible"].rule == (
        "of the experiments that EX2 improves: informative share of the descriptions under 45 %, or spurious "
        "descriptions alone at least 2.5 points above the templates"
    )
    assert (found["spurious-responsible"].count, found["improvement-margin"].count) == (1, 0)
    assert by_key(made, Rules(considerable=2.5))["spurious-responsible"].count == 0
    assert found["improvement-margin"].rule == "accuracy of EX2 more than 4 points above the templates"


def test_only_what_improves_is_asked_who_is_responsible() -> None:
    worse = experiment("worse", {"aligned": (-1, -2), "spurious": (2, 1)}, informative=10)
    found = by_key([worse])
    assert set(found) == {"improvement", "improvement-margin"}
    assert found["improvement"].text.startswith("In 0 of 1 experiments")
    assert verdicts([], Rules()) == []


def test_an_unknown_accuracy_counts_only_if_the_share_settles_it() -> None:
    few = experiment("few", {"aligned": (1, 0.1)}, informative=10)
    half = experiment("half", {"aligned": (1, 0.1)}, informative=50)
    found = by_key([few, half])
    assert (found["spurious-responsible"].count, found["spurious-responsible"].of) == (1, 1)
    assert (found["spurious-solely"].count, found["spurious-solely"].of) == (1, 2)
    assert "spurious-margin" not in found


def test_the_table_of_verdicts_names_count_interval_and_rule() -> None:
    table = verdict_table(verdicts([experiment("e", {"aligned": (3, 1), "spurious": (2, 1)})], Rules()))
    row = next(row for row in table.rows if row.names == ("improvement",))
    cells = dict(zip(table.columns, row.cells, strict=True))
    assert (cells["count"].value, cells["of"].value, cells["by interval"].value) == (1, 1, 1)
    assert cells["rule"].text == "accuracy of EX2 above that of the templates"
    assert cells["experiments"].text == "e"
