"""Words rewarded and words that draw, from a stored analysis and hand-made measures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.accuracy.record import read_accuracy
from analysis.images.record import ArmSource, Measures, SeedMeasures, SetMeasures
from analysis.images.section import image_sections
from analysis.images.words import read_analyses, source_of, words_of_arms, words_said, words_table
from analysis.statistics.intervals import Estimate
from ex2.data.datasets.set_records import SetRecord

STORED = Path(__file__).parents[2] / "data/stored_run/runs/stored/seed-0/accuracy.json"
SOURCES = {name: ArmSource("stored", "seed-0", name) for name in ("aligned", "base", "waffle")}


def measured(name: str, cler: float | None, *p_values: float) -> SetMeasures:
    return SetMeasures(
        name=name,
        generator="toy",
        strategy="descriptions",
        per_class=20,
        asked=320,
        made=320,
        failed={},
        truncated=0,
        dropped=0,
        near=0,
        filled=(),
        seeds=tuple(
            SeedMeasures(seed=seed, folder="f", digest="d", values={}, knowledge_p=p) for seed, p in enumerate(p_values)
        ),
        over="seeds",
        numbers={} if cler is None else {"cler": Estimate(cler, cler - 0.05, cler + 0.05, 3)},
        seconds=1.0,
        bytes=1,
    )


def measures(*sets: SetMeasures) -> Measures:
    return Measures(
        name="words",
        vlm="demo-visual",
        fingerprint="f",
        dataset="shapes",
        split="test",
        images=960,
        classes=("a", "b"),
        metric="accuracy",
        settings={"centers": "mean"},
        against="aligned",
        text=Estimate(0.8, 0.7, 0.9, 960),
        texts="templates",
        sets=sets,
        timings={},
    )


ALL = measures(
    measured("aligned", 0.0625, 0.4, 0.01, 0.2),
    measured("original", 0.9, 0.01),
    measured("base", 0.5, 0.01, 0.02, 0.03),
    measured("waffle", None),
)
ANALYSES = {("stored", "seed-0"): read_accuracy(STORED)}


def test_text_reward_and_cler_of_each_arm_stand_side_by_side() -> None:
    """Against the stored JSON, read without the project's code; a set of no run is left out."""
    stored = json.loads(STORED.read_text())
    arms = words_of_arms(ALL, SOURCES, ANALYSES)
    assert [one.source.arm for one in arms] == ["aligned", "base", "waffle"]
    for one in arms:
        assert one.text is not None
        assert one.text.value == stored["arms"][one.source.arm]["accuracy"]
        assert one.vlm == stored["vlm"]
    assert [one.reward for one in arms] == [stored["reward_gain"]["aligned"], stored["reward_gain"]["base"], None]
    assert [one.knows for one in arms] == [False, True, None]
    table = words_table(arms, ALL)
    aligned, _, waffle = table.rows
    assert aligned.names == ("stored, seed-0", "aligned")
    assert aligned.cells[0].value == pytest.approx(100 * stored["arms"]["aligned"]["accuracy"])
    assert aligned.cells[1].value == stored["reward_gain"]["aligned"]
    drawn = aligned.cells[2]
    assert (drawn.value, drawn.low, drawn.high, drawn.n, drawn.seeds) == (6.25, pytest.approx(1.25), 11.25, 3, 3)
    assert [row.cells[3].text for row in table.rows] == ["no", "yes", ""]
    empty = [cell.empty for cell in waffle.cells[1:]]
    assert empty == ["no rewards are stored of this arm", "not measured", "not tested"]
    assert table.notes[0].endswith(f"stored, {stored['vlm']}.")
    assert table.notes[1] == "CLER is measured by demo-visual on shapes, centers: mean."


def test_reward_and_cler_that_part_are_said() -> None:
    stored = json.loads(STORED.read_text())["reward_gain"]
    arms = words_of_arms(ALL, SOURCES, ANALYSES)
    gain = f"{stored['aligned'] - stored['base']:+.2f}".replace("-", "−")
    assert words_said(arms) == (
        f"stored, seed-0: aligned texts earn {gain} against base and their pictures' CLER is −43.8 points; what they "
        "draw is not told from nothing.",
    )
    knowing = [replace(one, knows=True) for one in arms]
    assert words_said(knowing)[0].endswith("CLER is −43.8 points.")
    assert words_said(arms[:1]) == ()
    assert words_said(words_of_arms(ALL, SOURCES, {})) == ()


def test_a_set_tells_its_arm() -> None:
    record = SetRecord(
        name="s",
        digest="0" * 64,
        seed=0,
        generator="toy",
        generator_settings={},
        fingerprint="f",
        strategy="descriptions",
        strategy_settings={"run": "demo", "run_seed": "seed-1", "arm": "base", "missing": "error"},
        class_names=("a", "b"),
        per_class=1,
        requests="",
        asked=0,
        usd_per_hour=None,
        license="",
        versions={},
    )
    assert source_of(record) == ArmSource("demo", "seed-1", "base")
    assert source_of(replace(record, strategy="name")) is None


def test_words_are_kept_with_the_measurement_and_shown(tmp_path: Path) -> None:
    runs = {"aligned": str(STORED.parents[1]), "waffle": str(tmp_path)}
    found = read_analyses(runs, SOURCES)
    assert found.keys() == {("stored", "seed-0")}
    assert read_analyses({"base": str(tmp_path)}, SOURCES) == {}
    whole = replace(ALL, words=words_of_arms(ALL, SOURCES, found))
    assert Measures.from_json(json.loads(json.dumps(whole.to_json()))) == whole
    titles = {section.title: section for section in image_sections(whole)}
    section = titles["Words rewarded and words that draw"]
    assert [row[0] for row in section.rows] == [f"stored, seed-0 · {arm}" for arm in ("aligned", "base", "waffle")]
    assert section.notes[0] == words_said(whole.words)[0]
    assert "Words rewarded and words that draw" not in {one.title for one in image_sections(ALL)}
