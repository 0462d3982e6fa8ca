"""`ex2 attributes`: its summary by hand, over one, two and three seeds, and all of it on the demo world."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from attributed_runs import answered, named, saying, write_attributed
from paths import ROOT

from analysis.attributes.answers import Row
from analysis.attributes.figure import attributes_figure
from analysis.attributes.judges import ATTRIBUTES, NamedAttributes
from analysis.attributes.section import attribute_section
from analysis.attributes.stored import stored_attributes
from analysis.attributes.summary import summarize
from analysis.attributes.tables import tables_of
from analysis.attributes.wording import comparison_words, could_tell
from analysis.figures.palette import COLORS
from analysis.judge.base import Unparsed
from analysis.results.pooling import Pooled
from analysis.statistics.intervals import wilson
from ex2.cli import main
from ex2.data.demo.world import SENTENCES
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import read_jsonl, write_jsonl

VISUAL, LIFE, SPURIOUS = (SENTENCES[kind] for kind in ("visual", "non_visual", "spurious"))


def known(share: Pooled | None) -> Pooled:
    assert share is not None
    return share


# ---------------------------------------------------------------- summary


def test_summary_by_hand() -> None:
    rows: list[Row] = [
        ("oak", named("colour", "size")),
        ("oak", named("colour")),
        ("pug", NamedAttributes((), (), "")),
        ("pug", Unparsed("?")),
        ("pug", NamedAttributes(("others",), ("smell", "price"), "")),
    ]
    result = summarize([answered("A", rows)], 0.95, sample=3, seed=0)
    (group,) = result.groups
    part = group.all
    assert (part.descriptions, part.unparsed, part.without_attribute, part.mentions) == (5, 1, 1, 4)
    color = part.attributes["colour"]
    of_mentions, of_descriptions = known(color.of_mentions), known(color.of_descriptions)
    assert (color.mentions, of_mentions.value, of_mentions.n) == (2, 0.5, 4)
    assert (of_descriptions.value, of_descriptions.n) == (0.5, 4)
    assert known(part.attributes["diet"].of_mentions).value == 0
    assert group.sample.descriptions == 3
    assert group.own_names == {"smell": 1, "price": 1}
    assert result.comparisons == ()


def test_two_seeds_are_pooled_by_students_t() -> None:
    """Shares 8/10 and 6/10: mean 0.7, standard error 0.1, t of one degree of freedom 12.7062.

    As one sample they would be 14 of 20 with Wilson's [0.48, 0.86]: the spread of the seeds would be missing.
    """
    seeds = [saying("oak", first, "colour") + saying("oak", 10 - first, "size") for first in (8, 6)]
    (group,) = summarize([answered("A", *seeds)], 0.95, sample=50, seed=0).groups
    share = known(group.all.attributes["colour"].of_mentions)
    assert (share.value, share.n, share.seeds) == (pytest.approx(0.7), 20, 2)
    assert (share.low, share.high) == (0.0, 1.0), "0.7 ± 1.27062, cut to what a share can be"
    assert wilson(14, 20).low == pytest.approx(0.481, abs=1e-3)
    assert group.all.attributes["colour"].by_seed == (0.8, 0.6)
    assert known(group.all.attributes["colour"].of_descriptions).low == pytest.approx(share.low)
    assert group.seeds == (0, 1)
    drawn = str(attributes_figure(summarize([answered("A", *seeds)], 0.95, sample=9, seed=0)))
    assert "70.0 [0.0–100.0]" in drawn, "cut to what a share can be"
    assert "20 descriptions, 2 seeds" in drawn


def test_every_seed_counts_alike_whatever_its_number_of_descriptions() -> None:
    """1/2, 3/10 and 10/100: the mean of 0.5, 0.3 and 0.1, not 14/112; standard error 0.2/√3, t 4.30265."""
    sizes = ((1, 2), (3, 10), (10, 100))
    seeds = [saying("oak", hits, "use") + saying("oak", n - hits, "diet") for hits, n in sizes]
    (group,) = summarize([answered("A", *seeds)], 0.95, sample=5, seed=0).groups
    share = known(group.all.attributes["use"].of_mentions)
    assert share.value == pytest.approx(0.3)
    assert share.high == pytest.approx(0.3 + 4.30265 * 0.2 / 3**0.5, abs=1e-5)
    assert (share.n, share.seeds) == (112, 3)
    assert group.sample.descriptions == 2 + 5 + 5, "the sample is drawn from each seed"


def test_a_seed_without_mentions_has_no_share() -> None:
    (group,) = summarize([answered("A", saying("oak", 4, "use"), [])], 0.95, sample=5, seed=0).groups
    share = known(group.all.attributes["use"].of_mentions)
    assert (share.value, share.seeds) == (1.0, 1)
    assert group.all.attributes["use"].by_seed == (1.0, None)


# ---------------------------------------------------------------- comparisons


def test_comparison_and_figure() -> None:
    visual: list[Row] = [(f"c{index % 5}", named("colour", "shape")) for index in range(40)]
    other: list[Row] = [(f"c{index % 5}", named("habitat")) for index in range(38)] + saying("c0", 2, "colour")
    runs = [answered("<A>", visual), answered("B", other), answered("A", [], dataset="e")]
    result = summarize(runs, 0.95, sample=50, seed=0)
    (row,) = result.comparisons
    assert row.significant
    assert row.p_holm == row.p == pytest.approx(1 / 5001)
    by_name = {part.attribute: part for part in row.attributes}
    assert set(by_name) == {"colour", "shape", "habitat"}
    assert by_name["habitat"].difference == pytest.approx(-38 / 40)
    assert by_name["habitat"].p_holm == pytest.approx(3 / 5001)
    assert (row.unit, row.seeds, row.least_p) == ("descriptions", (1, 1), pytest.approx(1 / 5001))
    drawn = str(attributes_figure(result))
    assert "&lt;A&gt;: colour 50.0 [" in drawn
    assert "<A>" not in drawn
    assert "e, A: nothing mentioned" in drawn
    assert drawn.count('class="whisker"') == 3 * 2, "attributes without a mention are left out"
    assert "given these seeds (1 and 1)" in drawn
    assert "5 classes shared" in drawn


def test_differences_are_of_the_classes_that_both_describe() -> None:
    """In oak and pug both say colour half the time. The first alone describes elm, always by its size."""
    both = [row for name in ("oak", "pug") for row in saying(name, 10, "colour") + saying(name, 10, "use")]
    result = summarize([answered("A", both + saying("elm", 40, "size")), answered("B", both)], 0.95, sample=5, seed=0)
    (row,) = result.comparisons
    assert {part.attribute: part.difference for part in row.attributes} == {"colour": 0.0, "use": 0.0}
    assert (row.shared_classes, row.classes, row.p) == (2, (3, 2), 1.0)
    assert row.attributes[0].mentions == (40, 40)
    words = comparison_words(row)
    assert words == (
        "A and B: no significant difference, p\u00a0=\u00a01.000: of one attribute up to 20.9\u00a0points are possible "
        "(colour), given these seeds (1 and 1), 2 classes shared of the 3 and 2 that each describes"
    )
    # Newcombe's interval of 20 of 40 against 20 of 40: √2 of half Wilson's
    half = 1.959964 * (0.25 / 40 + 1.959964**2 / 6400) ** 0.5 / (1 + 1.959964**2 / 40)
    assert 100 * 2**0.5 * half == pytest.approx(20.93, abs=0.005)


def test_differences_over_seeds_by_hand() -> None:
    """0.8 and 0.6 against 0.3 and 0.1: 0.5 ± t of two degrees of freedom (4.30265) times √(0.01 + 0.01)."""
    sides = [[saying("oak", k, "colour") + saying("oak", 10 - k, "size") for k in hits] for hits in ((8, 6), (3, 1))]
    (row,) = summarize([answered("A", *sides[0]), answered("B", *sides[1])], 0.95, sample=5, seed=0).comparisons
    color = row.attributes[0]
    assert (color.attribute, color.difference, color.over_seeds) == ("colour", pytest.approx(0.5), True)
    reach = 4.30265 * 0.02**0.5
    assert (color.low, color.high) == (
        pytest.approx(0.5 - reach, abs=1e-5),
        1.0,
    ), "0.5 + 0.61 is no difference of shares"
    assert (row.unit, row.seeds) == ("descriptions", (2, 2)), "one of 6 choices is no small p"
    assert "given these seeds (2 and 2)" in comparison_words(row)


def test_enough_seeds_are_exchanged_whole() -> None:
    """Four against four: the two most extreme of 70 choices."""
    sides = [
        [saying("oak", k, "colour") + saying("oak", 10 - k, "size") for k in hits]
        for hits in ((8, 7, 9, 8), (3, 1, 2, 4))
    ]
    (row,) = summarize([answered("A", *sides[0]), answered("B", *sides[1])], 0.95, sample=5, seed=0).comparisons
    assert (row.unit, row.permutations, row.p) == ("seeds", 70, pytest.approx(2 / 70))
    assert row.significant
    assert row.least_p == pytest.approx(2 / 70)
    assert "whole seeds exchanged (4 and 4)" in comparison_words(row)


def test_runs_of_one_vlm_are_told_apart() -> None:
    runs = [answered("A", saying("oak", 3, "use"), run=name) for name in ("one", "two")]
    result = summarize(runs, 0.95, sample=5, seed=0)
    assert [group.label for group in result.groups] == ["A (one)", "A (two)"]
    part = result.part_of(result.groups[1])
    assert [group.run for group in part.groups] == ["two"]
    assert part.comparisons == result.comparisons


# ---------------------------------------------------------------- the whole path


@pytest.fixture
def analyzed(tmp_path: Path) -> list[Path]:
    """Two runs: one speaks of looks, one of life; a seventh sentence of each is spurious."""
    return [
        write_attributed(tmp_path / "runs", "visual", {0: [*VISUAL[:6], SPURIOUS[0]]}, kl={0: 13.0}),
        write_attributed(tmp_path / "runs", "life", {0: [*LIFE[:6], SPURIOUS[0]]}, vlm="demo-non-visual"),
    ]


def test_the_verb(analyzed: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mentions are counted here from the slots of the sentence patterns."""
    out = tmp_path / "out"
    assert main(["attributes", *map(str, analyzed), "--out", str(out)]) == 0
    result = json.loads((out / "attributes.json").read_text())
    visual, other = (group["all"] for group in result["groups"])
    assert (visual["descriptions"], other["descriptions"]) == (96, 96), "the spurious ones are not asked for"
    counts = {name: row["mentions"] for name, row in visual["attributes"].items() if row["mentions"]}
    slots_of = [[s for s in ("colour", "shape", "pattern") if f"{{{s}" in p] for p in VISUAL[:6]]
    assert counts == {
        "colour": 16 * sum("colour" in found for found in slots_of),
        "shape": 16 * sum("shape" in found for found in slots_of),
        "texture": 16 * sum("pattern" in found for found in slots_of),
    }
    assert {name for name, row in other["attributes"].items() if row["mentions"]} == {"habitat", "diet"}
    assert result["comparisons"][0]["significant"]
    assert len(read_jsonl(analyzed[0] / "seed-0" / "attributes.jsonl")) == 96
    printed = " ".join(capsys.readouterr().out.split())
    assert "demo-visual and demo-non-visual: differ, p < 0.001, given these seeds (1 and 1), 16 classes" in printed
    assert "in 96 descriptions, 1 seed, 0 without attribute; KL 13.00 [13.00, 13.00] nats, target 10: more" in printed
    before = (out / "attributes.json").read_text()
    assert main(["attributes", *map(str, analyzed), "--out", str(out)]) == 0
    assert (out / "attributes.json").read_text() == before
    assert len(read_jsonl(analyzed[0] / "seed-0" / "attributes.jsonl")) == 96, "nothing is asked twice"


def test_every_format_is_written(analyzed: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["attributes", str(tmp_path / "runs"), "--out", str(out)]) == 0
    stems = ("figure-04-attributes", "figure-04-attributes-of-descriptions", "figure-04-attributes-tests")
    files = {f"{stem}.{ending}" for stem in stems for ending in ("csv", "json", "tex")}
    files |= {"attributes.json", f"{stems[0]}.svg", f"{stems[0]}.png"}
    assert {path.name for path in out.iterdir()} == files
    assert (out / f"{stems[0]}.svg").read_text().startswith("<?xml")
    assert (out / f"{stems[0]}.png").read_bytes().startswith(b"\x89PNG")
    assert "given these seeds (1 and 1)" in (out / f"{stems[2]}.csv").read_text()


def test_one_run_keeps_its_result(analyzed: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attributes", str(analyzed[0]), "--sample", "10"]) == 0
    result = json.loads((analyzed[0] / "attributes.json").read_text())
    assert result["groups"][0]["sample"]["descriptions"] == 10
    assert (analyzed[0] / "figure-04-attributes.png").exists()
    assert main(["attributes", str(analyzed[0]), "--sample", "0"]) == 2
    assert "--sample: 0; give 1 or more." in capsys.readouterr().err


def test_out_may_spell_a_run_s_folder_as_it_likes(
    analyzed: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored there stays the run's own part, which is read again."""
    monkeypatch.chdir(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(analyzed[0])
    named = [str(folder.relative_to(tmp_path)) for folder in analyzed]
    for out in (str(analyzed[0]), f"runs/../{named[0]}", str(link)):
        assert main(["attributes", *named, "--out", out]) == 0
        content, problem = stored_attributes(RunDirectory(analyzed[0]))
        assert problem == ""
        assert content is not None
        assert [group.run for group in content.groups] == ["visual"]


def test_runs_that_are_not_analyzed(analyzed: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Below a folder they are left out and named, by their own name they are an error; missing seeds are named."""
    torn = write_attributed(tmp_path / "runs", "torn", {0: VISUAL[:1]})
    (torn / "seed-0" / "accuracy.json").unlink()
    part = write_attributed(tmp_path / "runs", "part", {0: VISUAL[:3], 1: VISUAL[3:6]}, not_analyzed=(2, 3))
    assert main(["attributes", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"left out: {torn}: no seed has been analysed" in printed.replace("torn :", "torn:")
    assert "2 seeds (seed 2, 3 missing)" in printed
    group = json.loads((part / "attributes.json").read_text())["groups"][0]
    assert (group["seeds"], group["missing_seeds"]) == ([0, 1], [2, 3])
    assert "torn: no seed has been analysed" in (tmp_path / "out" / "figure-04-attributes.tex").read_text()
    assert main(["attributes", *map(str, analyzed), str(torn)]) == 2
    assert "no seed has been analysed; run `ex2 analyze" in capsys.readouterr().err


# ---------------------------------------------------------------- the report's section


def test_the_section(analyzed: list[Path], tmp_path: Path) -> None:
    run = RunDirectory(analyzed[0])
    assert attribute_section(run) is None
    assert main(["attributes", *map(str, analyzed), "--out", str(tmp_path / "out")]) == 0
    section = attribute_section(run)
    assert section is not None
    stored, problem = stored_attributes(run)
    assert stored is not None
    assert problem == ""
    shares = {row[0]: row for row in section.rows}
    assert set(shares) == {"colour", "shape", "texture"}
    part = stored.groups[0].all
    share = known(part.attributes["colour"].of_mentions)
    assert shares["colour"][1].startswith(f"{100 * share.value:.1f}\u00a0% [".replace(" [", "\u00a0["))
    assert shares["colour"][2] == f"n\u00a0=\u00a0{part.mentions}\u00a0mentions"
    assert any("KL\u00a013.00" in note and "more than 20\u00a0% above it" in note for note in section.notes)
    assert any(note.startswith("demo-visual and demo-non-visual: differ") for note in section.notes)
    assert 'id="attributes-t"' in str(section.figure)
    assert 'id="attributes-narrow-t"' in str(section.narrow)
    assert "demo-non-visual" not in str(section.figure), "a run's page shows the run"


def test_a_section_of_other_descriptions_says_so(analyzed: list[Path]) -> None:
    run = RunDirectory(analyzed[0])
    assert main(["attributes", str(analyzed[0])]) == 0
    rows = read_jsonl(run.seed(0).descriptions)
    write_jsonl(run.seed(0).descriptions, [rows[0] | {"text": "another"}, *rows[1:]])
    section = attribute_section(run)
    assert section is not None
    assert section.rows == ()
    assert section.notes[0].endswith("the descriptions or their judge changed since; run `ex2 attributes` again.")
    (analyzed[0] / "attributes.json").write_text('{"groups": []}')
    with pytest.raises(UserError, match=r"attributes\.json: its content is not what attributes wrote; run `ex2 attrib"):
        attribute_section(run)
    (analyzed[0] / "manifests/attributes.json").unlink()
    section = attribute_section(run)
    assert section is not None
    assert "not of this version; run `ex2 attributes` again" in section.notes[0]


def test_colors_show_on_light_and_dark_pages() -> None:
    """Contrast as WCAG 2.1 defines it, against the cards of both: 3 at least."""

    def luminance(color: str) -> float:
        parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    sheets = ("figures/colors.css", "tables/pages/templates/report.css")
    sheet = "".join((ROOT / "analysis" / name).read_text() for name in sheets)
    cards = re.findall(r"--card: (#\w{6})", sheet)
    assert len(cards) >= 2
    for color in COLORS:
        for card in cards:
            low, high = sorted((luminance(color), luminance(card)))
            assert (high + 0.05) / (low + 0.05) >= 3, (color, card)


@pytest.mark.parametrize(("attributes", "told"), [(6, True), (7, False)])
def test_no_p_where_none_could_be_significant(attributes: int, told: bool) -> None:
    """Whole seeds, 5 against 5: the least p is 2/252 = 0.0079, six times of which is below 5 %, seven times not."""
    names = ATTRIBUTES[:attributes]

    def seeds(first: int, others: int) -> list[list[Row]]:
        return [
            [row for name in names for row in saying("oak", (first if name == names[0] else others) + seed, name)]
            for seed in range(5)
        ]

    result = summarize([answered("A", *seeds(30, 3)), answered("B", *seeds(8, 9))], 0.95, sample=5, seed=0)
    (row,) = result.comparisons
    assert (row.unit, row.seeds, len(row.attributes)) == ("seeds", (5, 5), attributes)
    assert row.least_p == row.attributes[0].p == pytest.approx(2 / 252)
    table = tables_of([result])[-1]
    (shown,) = (found.cells for found in table.rows if found.names[3] == names[0])
    together = table.rows[0].cells
    cells = dict(zip(table.columns, shown, strict=True))
    assert together[table.columns.index("p")].text == "0.0079", "of all attributes together there is one test"
    assert any("could be below 0.05 once corrected, none is given" in note for note in table.notes)
    if told:
        assert (cells["p"].text, cells["p, corrected"].text) == ("0.0079", f"{6 * 2 / 252:.4f}")
        assert cells["first minus second"].significant is True
        return
    assert cells["p"].text == "no p: even the smallest possible, 0.0079, is not below 0.05 once corrected"
    assert cells["p, corrected"].text == "–"
    assert (cells["first minus second"].significant, cells["first minus second"].notes) == (None, ())


def test_what_could_be_told_follows_from_the_least_p() -> None:
    """5 against 5 allow 2/252: not below 5 % for seven tests. Descriptions of these seeds allow 1/5001."""
    (row,) = summarize(
        [answered("A", *([saying("oak", 9, "colour")] * 5)), answered("B", *([saying("oak", 9, "size")] * 5))],
        0.95,
        sample=5,
        seed=0,
    ).comparisons
    assert row.least_p == pytest.approx(2 / 252)
    assert [could_tell(row, tests, 0.05) for tests in (6, 7)] == [True, False]
    assert could_tell(replace(row, least_p=1 / 5001), 100, 0.05)
