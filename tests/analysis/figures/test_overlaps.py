"""No words of a drawing lie on the line of zero, on another line or on each other, wherever the numbers lie."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from attributed_gains import with_gain
from drawings import boxes, overlaps, upright_lines
from pages import seed_result

from analysis.figures.accuracy import accuracy_figure, accuracy_rows
from analysis.figures.gain import gain_figure
from analysis.phrases.figure import narrow_phrases_figure, phrases_figure
from analysis.phrases.trials import Trial
from analysis.results.attribution import Part, parts_of
from analysis.results.pooling import OVER_IMAGES, Difference, Pooled
from analysis.results.seeds import pool_seeds

ENDS = [(-0.5, -0.3), (-0.02, 0.02), (-0.3, 0.02), (-0.02, 0.3), (0.001, 0.4), (-0.9, 0.9), (0.0, 0.0)]


def difference(low: float, high: float, seeds: int = 1) -> Difference:
    told = low > 0 or high < 0
    value = (low + high) / 2
    if seeds == 1:
        return Difference(value, low, high, told, 0.012 if told else 0.5, 960, 1, shared=True)
    ends = (low - 0.01, high + 0.01)
    return Difference(
        value, low, high, told, None, 960, seeds, True, ends, (0.25, 0.5, 0.01), (OVER_IMAGES,) * (not told)
    )


def gain_parts(low: float, high: float, seeds: int) -> list[Part]:
    made = pool_seeds("tiny", [with_gain(seed) for seed in range(seeds)])
    gain = made.tested("aligned", "templates")
    assert gain is not None
    assert made.gain_parts is not None
    rows = [part for part in parts_of(made.gain_parts, gain) if part.is_part]
    rows[1] = rows[1]._replace(
        meaning="texts of all classes, the same for every one, minus those of the plain templates"
    )
    return [row._replace(value=difference(low * (at + 1) / 6, high, seeds)) for at, row in enumerate(rows)]


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(("low", "high"), ENDS)
def test_what_a_gain_is_made_of(low: float, high: float, seeds: int) -> None:
    for drawing in gain_figure(gain_parts(low, high, seeds)):
        root = ET.fromstring(str(drawing))
        assert len(upright_lines(root)) >= 2
        assert len(boxes(root)) > 18
        assert overlaps(root) == []


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(("low", "high"), ENDS)
def test_arms(low: float, high: float, seeds: int) -> None:
    rows = accuracy_rows(pool_seeds("tiny", [seed_result(seed, aligned=160 + 4 * seed) for seed in range(seeds)]))
    shown = [
        row._replace(difference=difference(low, high, seeds), mostly_template=at == 4, fallback=7 * (at == 4))
        if row.difference
        else row
        for at, row in enumerate(rows)
    ]
    for drawing in accuracy_figure(shown):
        assert overlaps(ET.fromstring(str(drawing))) == []


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(("low", "high"), ENDS)
def test_templates(low: float, high: float, seeds: int) -> None:
    plain = Trial("pets", "A photo of a {}.", "CLIP", Pooled(0.8, 0.7, 0.9, 960, 1), None, None, "plain")
    change = difference(low, high, seeds)
    other = replace(plain, template="A photo of a {}, from afar.", change=change, p=0.31, origin="visual, life")
    rows = [
        plain,
        other,
        replace(other, vlm="demo-non-visual"),
        replace(other, template="A {} " + "of long words " * 6),
    ]
    for drawing in (phrases_figure(rows, 0.95), narrow_phrases_figure(rows, 0.95)):
        root = ET.fromstring(str(drawing))
        assert len(upright_lines(root)) >= 2
        assert overlaps(root) == []


def test_the_walk_finds_what_lies_on_something() -> None:
    def drawing(*inside: str) -> ET.Element:
        svg = f'<svg viewBox="0 0 200 60" xmlns="http://www.w3.org/2000/svg">{"".join(inside)}</svg>'
        return ET.fromstring(svg)

    word = '<text x="100" y="30" text-anchor="middle">words</text>'
    assert overlaps(drawing(word)) == []
    assert overlaps(drawing(word, '<line class="zero" x1="100" x2="100" y1="0" y2="60"/>')) == [
        ("words", "line at 100")
    ]
    assert overlaps(drawing(word, '<line class="zero" x1="100" x2="100" y1="40" y2="60"/>')) == []
    assert overlaps(drawing(word, word)) == [("words", "words")]
    assert overlaps(drawing(word.replace("100", "190"))) == [("words", "edge")]
