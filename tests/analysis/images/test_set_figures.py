"""Drawings of image sets: every dot at its number, no words on lines or other words, wherever the numbers lie."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from drawings import XML, boxes, overlaps
from markupsafe import Markup
from measured_sets import around, demo, measured_set, measurement

from analysis.figures.files import standalone, words_of
from analysis.images.bars import gain_figure, time_figure
from analysis.images.drawings import image_drawings
from analysis.images.figure import cost_figure, worth_figure
from analysis.images.record import Measures, ShotMeasures
from analysis.images.wording import forms
from analysis.statistics.intervals import Estimate

ENDS = [(0.0, 0.02), (0.4, 0.6), (0.97, 1.0), (0.0, 1.0), (0.0, 0.0)]


def of(low: float, high: float, *, priced: bool = True) -> Measures:
    number = Estimate((low + high) / 2, low, high, 3)
    lone = Estimate(low, None, None, 1)
    one = measured_set(
        "a set with a name of many words that is longer than a phone is wide", usd=3.0 if priced else None
    )
    cuts = tuple(
        ShotMeasures(shots=shots, numbers={"cler": number}, usd=0.001 * shots if priced else None) for shots in (1, 5)
    )
    numbers = {**one.numbers, "cler": number, "probe": lone}
    return measurement(replace(one, numbers=numbers, shots=cuts), measured_set("b", high, shots=cuts, usd=1.0))


def circles(drawing: Markup, css: str) -> list[tuple[float, float]]:
    root = ET.fromstring(str(drawing))
    found = [one for one in root.iter(f"{XML}circle") if one.attrib["class"] == css]
    return [(float(one.attrib["cx"]), float(one.attrib["cy"])) for one in found]


@pytest.mark.parametrize("priced", [True, False])
@pytest.mark.parametrize(("low", "high"), ENDS)
def test_no_words_lie_on_anything(low: float, high: float, priced: bool) -> None:
    found = of(low, high, priced=priced)
    cost = cost_figure(found)
    assert cost is not None
    gains, times = gain_figure([found, replace(found, name="other")]), time_figure(found)
    assert gains is not None
    assert times is not None
    for drawing in (*worth_figure(found), *cost, *gains, *times):
        root = ET.fromstring(str(drawing))
        assert len(boxes(root)) > 9
        assert overlaps(root) == []


def test_dots_lie_at_their_numbers() -> None:
    wide, narrow = worth_figure(demo())
    # 0 lies at 240 and 100 at 240 + 500 * 100 / 100; on a phone at 16 and 16 + 318
    assert [x for x, _ in circles(wide, "fill-visual")] == pytest.approx([240 + 5 * 86.1, 240 + 5 * 71.2, 240 + 5 * 44])
    assert [x for x, _ in circles(wide, "dot hollow")] == pytest.approx([240 + 5 * 6.1])
    assert next(x for x, _ in circles(narrow, "fill-visual")) == pytest.approx(16 + 3.18 * 86.1, abs=0.01)
    assert len(circles(wide, "fill-non_visual")) == 4
    assert circles(wide, "fill-templates")[0][0] == pytest.approx(240 + 5 * 70.7)


def test_only_what_is_not_told_from_nothing_is_hollow() -> None:
    for p, hollow in ((0.049, 0), (0.05, 1), (None, 0)):
        wide, _ = worth_figure(measurement(measured_set(knowledge_p=p)))
        assert len(circles(wide, "dot hollow")) == hollow


def test_costs_lie_on_a_scale_of_factors() -> None:
    found = cost_figure(demo())
    assert found is not None
    places = circles(found[0], "set-0")
    # from 0.1 USD at 46 to 10 USD at 936: 0.16, 0.8 and 3.2 USD
    assert [x for x, _ in places] == pytest.approx(
        [46 + 445 * 0.20412, 46 + 445 * 0.90309, 46 + 445 * 1.50515], abs=0.02
    )
    # 300 pixels are 80 percent, and 0 lies at 344
    assert [y for _, y in places] == pytest.approx([344 - 31 * 3.75, 344 - 58 * 3.75, 344 - 71.2 * 3.75], abs=0.02)
    assert "USD of the images of one seed" in words_of(found[0])


def test_without_every_price_the_scale_is_of_images() -> None:
    templates = replace(demo().sets[1], usd=None)
    found = cost_figure(measurement(templates))
    assert found is not None
    assert "images of each class" in words_of(found[0])
    assert "USD" not in words_of(found[0])
    assert cost_figure(measurement(measured_set())) is None


def test_captions_name_the_forms() -> None:
    said = forms(demo())
    drawings = image_drawings([demo(), replace(demo(), name="x", timings={})])
    assert list(drawings) == [
        "images-worth-demo-sets", "images-cost-demo-sets", "images-time-demo-sets", "images-worth-x", "images-cost-x",
        "images-probe",
    ]  # fmt: skip
    for name, drawing in drawings.items():
        assert (said in re.sub(r"\s+", " ", words_of(drawing))) == ("time" not in name)
        assert "prefers-color-scheme" not in standalone(drawing)
    assert image_drawings([]) == {}


def test_gains_of_the_probe_lie_at_their_numbers_largest_first() -> None:
    numbers = {"a": (0.05, 0.01), "b": (0.25, 0.1), "c": (-0.15, 0.05), "d": (0.02, 0.03)}
    found = measurement(
        *(
            measured_set(name, numbers={"probe_gain": around(value, reach, 3)})
            for name, (value, reach) in numbers.items()
        ),
        measured_set("not probed", numbers={}),
    )
    drawn = gain_figure([found])
    assert drawn is not None
    # from -20 points at 240 to +40 at 740
    full, hollow = circles(drawn[0], "dot"), circles(drawn[0], "dot hollow")
    assert [x for x, _ in full] == pytest.approx([240 + 500 * (20 + gain) / 60 for gain in (25, 5, -15)], abs=0.01)
    assert [x for x, _ in hollow] == pytest.approx([240 + 500 * 22 / 60], abs=0.01)
    assert [y for _, y in full] == sorted(y for _, y in full)
    words = words_of(drawn[0])
    assert re.findall(r"[+−]\d+\.\d\Wpoints", words) == [
        "+25.0\u00a0points", "+5.0\u00a0points", "+2.0\u00a0points", "−15.0\u00a0points",
    ]  # fmt: skip
    assert "not probed" not in words
    assert gain_figure([measurement(measured_set("x", numbers={}))]) is None
    two = gain_figure([found, replace(found, name="other", dataset="pets")])
    assert two is not None
    assert "pets: b" in words_of(two[0])


def test_times_are_bars_from_nothing_longest_first() -> None:
    drawn = time_figure(replace(demo(), timings={"cler": 0.5, "probe": 2.0, "kid": 0.0}))
    assert drawn is not None
    root = ET.fromstring(str(drawn[0]))
    bars = [one for one in root.iter(f"{XML}rect") if one.attrib["class"] == "fill-visual"]
    assert [(float(bar.attrib["x"]), float(bar.attrib["width"])) for bar in bars] == [(240, 500), (240, 125), (240, 1)]
    assert time_figure(replace(demo(), timings={"cler": 0.0})) is None


def test_names_are_escaped() -> None:
    wide, _ = worth_figure(measurement(measured_set("<script>&", 0.5, numbers={"cler": around(0.5, 0.1, 3)})))
    assert "<script>" not in wide
    assert "&lt;script&gt;&amp;" in wide
