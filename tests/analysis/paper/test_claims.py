"""Sentences over experiments: counted by their rules, by number and by interval, with thresholds as settings."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from paths import DATA
from rich.console import Console

from analysis.paper.claims import Claim, claim_table, claims, interval_note
from analysis.paper.command import print_claims
from analysis.paper.published import read_published
from analysis.results.experiment import Counts, Experiment
from analysis.results.headline import Headline
from analysis.results.pooling import Difference, Pooled
from analysis.tables.rules import Rules, weak_information

PAPER = DATA / "paper_tables.json"


def by_key(experiments: list[Experiment], rules: Rules | None = None) -> dict[str, Claim]:
    return {claim.key: claim for claim in claims(experiments, rules or Rules())}


def experiment(
    name: str, gains: dict[str, tuple[float, float]], informative: int = 50, visual: int | None = None, **settings: Any
) -> Experiment:
    """Of 100 descriptions, with gains over the templates in points: value and lower end of the interval."""
    accuracies = {arm: Pooled(0.5 + gain / 100, None, None, 100, 1) for arm, (gain, _) in gains.items()}
    differences = {
        (arm, "templates"): Difference(gain / 100, low / 100, 1.0, low > 0, 0.01, 100, 1)
        for arm, (gain, low) in gains.items()
    }
    visual = informative // 2 if visual is None else visual
    counts = Counts(100, 100 - informative, informative, visual, informative - visual)
    templates = {"templates": Pooled(0.5, None, None, 100, 1)}
    return Experiment(name, name, "d", accuracies | templates, differences, (counts,), **settings)


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
        "In 26 of 33 experiments spurious wording is almost solely responsible for the gain or contributes"
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
    # Of the 33, 10 lack an accuracy of informative ones (Table 3); one of these, EVA on pets, has no such description.
    informative = found["informative-responsible"]
    assert (informative.count, informative.of, informative.unknown) == (19, 33, 9)
    assert informative.text.startswith("In 19 of 33 experiments (not known for 9) informative wording is")
    assert informative.rule.endswith(
        "; not known for 9, whose accuracies are not given or, for most classes, the plain template's"
    )
    # Both kinds of the informative are counted over the same 19; Table 5 has 15 of them.
    assert [
        (found[f"{kind}-responsible"].count, found[f"{kind}-responsible"].of) for kind in ("visual", "non_visual")
    ] == [
        (10, 19),
        (15, 19),
    ]
    assert "(not known for 4) visual" in found["visual-responsible"].text
    assert "not known" not in found["non_visual-responsible"].text, "the 4 have under 25 % visual ones: that settles it"
    assert {claim.of for claim in found.values()} == {42, 33, 19}, "no rule chooses what it is counted over"


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
        "wording alone at least 2.5 points above the templates"
    )
    assert (found["spurious-responsible"].count, found["improvement-margin"].count) == (1, 0)
    assert by_key(made, Rules(considerable=2.5))["spurious-responsible"].count == 0
    assert found["improvement-margin"].rule == "accuracy of EX2 more than 4 points above the templates"


def test_only_what_improves_is_asked_who_is_responsible() -> None:
    worse = experiment("worse", {"aligned": (-1, -2), "spurious": (2, 1)}, informative=10)
    found = by_key([worse])
    assert set(found) == {"improvement", "improvement-margin"}
    assert found["improvement"].text.startswith("In 0 of 1 experiments")
    assert claims([], Rules()) == []


def test_an_unknown_accuracy_stays_among_those_looked_at() -> None:
    few = experiment("few", {"aligned": (1, 0.1)}, informative=10)
    half = experiment("half", {"aligned": (1, 0.1)}, informative=50)
    found = by_key([few, half])
    responsible = found["spurious-responsible"]
    assert (responsible.count, responsible.of, responsible.unknown, responsible.members) == (1, 2, 1, ("few",))
    assert responsible.text.startswith("In 1 of 2 experiments (not known for 1) spurious wording")
    assert (found["spurious-solely"].count, found["spurious-solely"].of, found["spurious-solely"].unknown) == (1, 2, 0)
    assert "spurious-margin" not in found, "nothing is known of any"


def test_a_kind_without_texts_is_not_responsible() -> None:
    # All 100 are informative: there is no spurious accuracy to wait for.
    all_informative = experiment("all", {"aligned": (2, 1), "informative": (2, 1)}, informative=100)
    both = experiment("both", {"aligned": (2, 1), "informative": (0, -1), "spurious": (2, 1)})
    found = by_key([all_informative, both])
    for key in ("spurious-responsible", "spurious-margin"):
        assert (found[key].count, found[key].of, found[key].unknown) == (1, 2, 0)
        assert found[key].members == ("both",)
    # Spurious texts that are all empty cannot be measured either: the run says so.
    empty = experiment("empty", {"aligned": (2, 1)}, informative=60, textless=frozenset({"spurious"}))
    found = by_key([empty, both])
    assert (found["spurious-responsible"].count, found["spurious-responsible"].of) == (1, 2)
    assert found["spurious-responsible"].unknown == 0


def test_by_interval_the_gain_itself_must_be_sure() -> None:
    # 5 % informative (Wilson's upper end 11.2 %) and a sure spurious gain; but the gain of all may be none.
    unsure = experiment("unsure", {"aligned": (3, -0.5), "spurious": (2, 0.6)}, informative=5)
    sure = experiment("sure", {"aligned": (3, 0.5), "spurious": (2, 0.6)}, informative=5)
    found = by_key([unsure, sure])
    for key in ("improvement", "spurious-responsible", "spurious-solely"):
        assert (found[key].count, found[key].by_interval) == (2, 1), key


def test_by_interval_the_informative_ones_must_surely_matter() -> None:
    gains = {"aligned": (3.0, 1.0), "non_visual": (2.0, 1.0)}
    # 90 informative; 30 informative (Wilson's lower end 21.9 %); informative ones whose gain may be none.
    sure = experiment("sure", gains | {"informative": (2, 1)}, informative=90)
    few = experiment("few", gains | {"informative": (2, 1)}, informative=30)
    weak = experiment("weak", gains | {"informative": (2, -1)}, informative=90)
    responsible = by_key([sure, few, weak])["non_visual-responsible"]
    assert (responsible.count, responsible.of, responsible.by_interval) == (3, 3, 1)
    assert "whose informative descriptions are at least 25 % and, alone, above the templates" in responsible.rule
    below = experiment("below", gains | {"informative": (-0.1, -1)}, informative=90)
    found = by_key([sure, experiment("under", gains | {"informative": (2, 1)}, informative=24), below])
    assert found["non_visual-responsible"].of == 1
    assert "at least 40 %" in by_key([sure], Rules(solely=40))["non_visual-responsible"].rule


def test_an_interval_without_its_test_is_not_sure() -> None:
    # 4:0 of 100 images: the bootstrap excludes 0, McNemar's p is 0.125.
    made = experiment("four", {})
    gain = Difference(0.04, 0.01, 0.08, False, 0.125, 100, 1, True, doubts=("McNemar",))
    accuracies = made.accuracies | {"aligned": Pooled(0.54, None, None, 100, 1)}
    four = replace(made, accuracies=accuracies, differences={("aligned", "templates"): gain})
    improvement = by_key([four])["improvement"]
    assert (improvement.count, improvement.by_interval, improvement.without_interval) == (1, 0, 0)


def test_several_seeds_need_both_intervals() -> None:
    made = experiment("seeds", {"aligned": (2, 1.2)})
    counted = []
    for low in (0.012, 0.008):
        gain = Difference(0.02, 0.012, 0.03, True, None, 100, 3, True, images=(low, 0.03), p_by_seed=(0.01,) * 3)
        claim = by_key([replace(made, differences={("aligned", "templates"): gain})])["improvement-margin"]
        counted.append((claim.count, claim.by_interval))
    assert counted == [(1, 1), (1, 0)]


def test_classes_by_template_stand_beside() -> None:
    made = experiment("e", {"aligned": (3, 1), "spurious": (2, 1)}, fallback={"spurious": 3}, classes=10)
    responsible = by_key([made])["spurious-responsible"]
    assert responsible.fallback == ("e: 3 of 10 classes by template",)
    table = claim_table([responsible])
    assert table.rows[0].cells[1].notes == responsible.fallback


def test_the_table_of_verdicts_names_count_interval_and_rule() -> None:
    table = claim_table(claims([experiment("e", {"aligned": (3, 1), "spurious": (2, 1)})], Rules()))
    row = next(row for row in table.rows if row.names == ("improvement",))
    cells = dict(zip(table.columns, row.cells, strict=True))
    assert (cells["count"].value, cells["of"].value, cells["by interval"].value) == (1, 1, 1)
    assert [cells[name].n for name in ("count", "by interval", "not known")] == [1, 1, 1]
    assert cells["rule"].text == "accuracy of EX2 above that of the templates"
    assert cells["experiments"].text == "e"


def test_counts_are_out_of_those_looked_at() -> None:
    made = [experiment(name, {"aligned": (gain, 0.1)}) for name, gain in (("a", 1), ("b", -1), ("c", 2))]
    row = claim_table(claims(made, Rules())).rows[0]
    assert (row.cells[1].value, row.cells[1].n, row.cells[2].value) == (2, 3, 3)
    made[0] = replace(made[0], missing_seeds=(1, 2))
    notes = claim_table(claims(made, Rules()), made).notes
    assert "Seeds not analysed, and left out of every number: a: 1, 2." in notes


@pytest.mark.parametrize(("filled", "unknown"), [(36, 0), (37, 1), (62, 1)])
def test_nothing_follows_from_an_arm_that_is_mostly_the_template(filled: int, unknown: int) -> None:
    """Of 73 classes, 37 are more than half: what such an arm gains is not known to be the kind's."""
    spurious = replace(
        experiment("e", {"aligned": (3, 1), "spurious": (2, 1)}), classes=73, fallback={"spurious": filled}
    )
    other = experiment("other", {"aligned": (3, 1), "spurious": (2, 1)})
    found = by_key([spurious, other])["spurious-responsible"]
    assert (found.count, found.of, found.unknown) == (2 - unknown, 2, unknown)
    assert by_key([spurious, other])["spurious-margin"].count == 2 - unknown
    (note,) = found.fallback
    assert note == f"e: {filled} of 73 classes by template" + (": no conclusion" if unknown else "")
    gone = replace(spurious, fallback={"informative": filled})
    low = replace(gone, differences=gone.differences | {("informative", "templates"): _difference(-1)})
    assert bool(weak_information(low, Rules())) is not bool(unknown), "below the templates by its own texts only"


def _difference(points: float) -> Difference:
    return Difference(points / 100, points / 100 - 0.005, points / 100 + 0.005, True, 0.01, 100, 1)


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ([(), ()], ""),
        ([(0, 1, 2), (0, 1, 2, 3)], ""),
        ([(0,)], "The experiment has fewer than 3 seeds: there the sentence is of this run's descriptions, not yet of"),
        ([(0, 1), (0,)], "2 of the 2 experiments have fewer than 3 seeds: there the sentence is of these runs'"),
        ([(0, 1, 2), (0,), ()], "1 of the 3 experiments has fewer than 3 seeds: there the sentence is of this run's"),
    ],
)
def test_few_seeds_speak_of_their_runs(seeds: list[tuple[int, ...]], words: str) -> None:
    made = [
        replace(experiment(f"e{number}", {"aligned": (3, 1), "spurious": (2, 1)}), seeds=own)
        for number, own in enumerate(seeds)
    ]
    found = claims(made, Rules())
    assert len({claim.caution for claim in found}) == 1
    assert found[0].caution.startswith(words) if words else found[0].caution == ""
    table = claim_table(found, made, headlines=[Headline("A", "E.", None, "C.")])
    said = f"{found[0].text} {found[0].caution}" if words else found[0].text
    assert table.rows[0].cells[0].text == said
    assert table.notes[-2:] == ("A. C.", "E.")
    console = Console(file=io.StringIO(), width=400)
    print_claims(found, console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines()[0] == said
