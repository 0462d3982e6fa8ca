"""What the gain is made of, on the report, in the tables and as a drawing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from attributed_gains import attribution, with_gain
from markupsafe import escape
from pages import HOSTILE, page
from record_samples import measured
from run_samples import write_run

from analysis.accuracy.record import NamesInTexts, Permuted
from analysis.figures.gain import gain_figure
from analysis.paper.claims import claims
from analysis.paper.gain import gain_table
from analysis.report.gain import gain_section, names_words
from analysis.results.attribution import parts_of
from analysis.results.experiment import Experiment
from analysis.results.runs import experiment_of, read_run
from analysis.results.seeds import pool_seeds
from analysis.statistics.paired import PairedAccuracy
from analysis.tables.rules import Rules
from reward.files import write_json

CLOSE = PairedAccuracy(0.0, -0.001, 0.001, 1.0, 0, 0, 200)
"""Own texts that are as good as all classes'."""


def experiment(*results: object, seeds: int = 1) -> Experiment:
    return pool_seeds("tiny", [with_gain(seed) for seed in range(seeds)])


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_the_section_by_hand() -> None:
    section = gain_section(experiment())
    assert section is not None
    assert plain(section.intro) == (
        "What these texts say of the class brings between 8.0 and 10.0 of the +10.0 points (p = 0.010)."
    )
    shown = {row[0]: (plain(row[2]).split(" [")[0], plain(row[3])) for row in section.rows}
    open_ = "no significant difference by interval over images, p = 0.010, for these texts"
    assert shown == {
        "gain": ("+10.0 points", "p = 0.010, for these texts"),
        "style": ("+2.0 points", f"{open_}: between −2.0 and +6.0 points are possible"),
        "unevenness": ("−2.0 points", ""),
        "content, one end": ("+8.0 points", ""),
        "content, other end": ("+10.0 points", "p = 0.010"),
        "content, beside another class": ("+20.0 points", "p = 0.010"),
        "seen content": ("+20.0 points", "p = 0.010"),
        "seen content, beside another class": ("+1.0 points", "p = 0.810"),
        "misleading power": ("−10.0 points", ""),
        "word order": ("+1.0 points", f"{open_}: between −3.0 and +5.0 points are possible"),
    }
    assert "“thing”" in next(row[1] for row in section.rows if row[0] == "seen content")
    said = [plain(note) for note in section.notes]
    assert said[0] == "Of 100 aligned texts, 95.0 % name their class, 3.0 % another class and 2.0 % none."
    assert "“striped texture”" in said[1]
    assert said[2] == "95 texts that name their class take part; 90 are given to every class."


def test_what_is_missing_or_left_out_is_said() -> None:
    part = replace(attribution(), left_out=7, names=NamesInTexts(3, 0, 0, tuple("abcdefg")))
    section = gain_section(pool_seeds("r", [with_gain(0, part)]))
    assert section is not None
    assert "7 were left out to encode fewer texts" in section.notes[2]
    assert "“e” and 2 more" in section.notes[1].replace(" and “e”", ", “e”")
    assert gain_section(pool_seeds("r", [measured(with_gain(0), attribution=None)])) is None
    assert plain(names_words(NamesInTexts(1, 1, 1))).startswith("Of 3 aligned texts, 33.3 % name")


def test_the_page_shows_it_and_escapes_names(tmp_path: Path) -> None:
    part = replace(attribution(), names=NamesInTexts(95, 3, 2, (HOSTILE,)))
    parsed, html = page(tmp_path, with_gain(0, part))
    assert "What the gain is made of" in parsed.text
    assert "between 8.0 and 10.0" in plain(parsed.text)
    assert HOSTILE not in html
    assert "“</script>" in parsed.text


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_drawing_has_a_dot_for_every_part(seeds: int) -> None:
    made = experiment(seeds=seeds)
    assert made.gain_parts is not None
    gain = made.tested("aligned", "templates")
    assert gain is not None
    rows = [part for part in parts_of(made.gain_parts, gain) if part.is_part]
    for drawing in gain_figure(rows):
        assert str(drawing).count("<circle") == len(rows) == 6
        for row in rows:
            assert row.name in drawing
            assert escape(row.meaning.split()[0]) in drawing


def test_the_table_has_a_row_for_each_experiment_that_has_it(tmp_path: Path) -> None:
    for name in ("with", "without"):
        write_run(tmp_path, name)
    write_json(tmp_path / "with/seed-0/accuracy.json", with_gain(0).accuracy.to_json())
    experiments = [experiment_of(read_run(tmp_path / name)) for name in ("with", "without")]
    table = gain_table(experiments, Rules())
    assert table is not None
    assert len(table.rows) == 1
    cells = dict(zip(table.columns, table.rows[0].cells, strict=True))
    assert cells["name their class"].value == pytest.approx(95.0)
    assert cells["style"].value == pytest.approx(2.0)
    assert cells["content, other end"].value == pytest.approx(10.0)
    assert plain(cells["content, p"].text) == "p = 0.010"
    assert "between 8.0 and 10.0" in plain(cells["reading"].text)
    assert gain_table(experiments[1:], Rules()) is None


def test_sentences_on_what_is_responsible_say_what_the_gain_is_made_of(tmp_path: Path) -> None:
    """Content in one run, style in another, not measured in a third."""
    for name in ("content", "style", "unknown"):
        write_run(tmp_path, name)
    result = with_gain(0)
    write_json(tmp_path / "content/seed-0/accuracy.json", result.accuracy.to_json())
    styled = with_gain(0, attribution(own=0.7, exchanged=0.7, whole=0.7)).accuracy
    narrow = replace(styled.attribution, exchanged=Permuted((0.7, 0.701) * 100, 0.001), above_everyone=CLOSE)
    differences = tuple(
        replace(one, paired=one.paired._replace(low=0.01, high=0.03, difference=0.02))
        if (one.arm, one.against) == ("everyone", "templates")
        else one
        for one in styled.differences
    )
    write_json(
        tmp_path / "style/seed-0/accuracy.json",
        replace(styled, attribution=narrow, differences=differences).to_json(),
    )
    found = claims([experiment_of(read_run(tmp_path / name)) for name in ("content", "style", "unknown")], Rules())
    said = {claim.key: claim.caution for claim in found}
    assert said["visual-solely"].endswith("content in 1 and style in 1.")
    assert "measured in 2 of them" in said["visual-solely"]
    assert "made of" not in said["improvement"], "that sentence calls nothing responsible"
