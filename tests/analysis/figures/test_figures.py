"""Every drawing, alone and on a page: names of VLMs, datasets and arms are text, whatever they hold."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from drawings import boxes, overlaps, upright_lines
from markupsafe import Markup
from pages import against, arm, seed_result, with_signs
from record_samples import with_arms
from run_samples import write_run

from analysis.accuracy.record import Control
from analysis.figures import measure, svg
from analysis.figures.accuracy import accuracy_figure, accuracy_rows
from analysis.figures.breakdown import breakdown_figure
from analysis.figures.files import standalone
from analysis.figures.svg import ticks
from analysis.figures.training import smooth, thin, training_figures
from analysis.paper.figures import grid_figure
from analysis.report.signs import sign_panel
from analysis.results.pooling import OVER_IMAGES, Difference
from analysis.results.runs import experiment_of, read_run
from analysis.results.seeds import pool_seeds
from analysis.tables.rules import Rules

HOSTILE = '</text></svg><script>alert("x")</script><a href="javascript:x">\'&amp; ]]> \x0b\x00'
SHOWN = HOSTILE.replace("\x0b", "\ufffd").replace("\x00", "\ufffd")
KNOWN = {"svg", "title", "desc", "g", "path", "rect", "line", "circle", "polyline", "text", "tspan", "style"}
XML = "{http://www.w3.org/2000/svg}"


def parsed(drawing: Markup) -> ET.Element:
    """Read a drawing as XML, which forgives nothing; no element and no attribute is any but ours."""
    root = ET.fromstring(str(drawing))
    for element in root.iter():
        assert element.tag.removeprefix(XML) in KNOWN
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert "href" not in name
            assert "alert" not in value or name in ("aria-label", "data-label")
    ET.fromstring(standalone(drawing))
    return root


def words(root: ET.Element) -> str:
    return " ".join(root.itertext())


def test_arms() -> None:
    result = seed_result(0)
    controls = {HOSTILE: Control(HOSTILE, HOSTILE), "long": Control("w" * 90, "")}
    compared = [against(name, other, -0.1, 0.01) for name in controls for other in ("templates", "aligned")]
    more = with_arms(result.accuracy, dict.fromkeys(controls, arm(120)), compared, controls)
    result = replace(result, accuracy=more)
    for drawing in accuracy_figure(accuracy_rows(pool_seeds("tiny", [result]))):
        root = parsed(drawing)
        assert SHOWN in words(root), "in the words for those who cannot see it"


def test_arms_of_several_seeds_say_which_test_doubts() -> None:
    doubted = Difference(0.02, 0.01, 0.03, False, None, 200, 3, True, (0.0, 0.04), (0.25, 0.5), (OVER_IMAGES,))
    results = [seed_result(0), seed_result(1, aligned=164), seed_result(2, aligned=170)]
    rows = [
        row._replace(difference=doubted) if row.arm == "visual" else row
        for row in accuracy_rows(pool_seeds("tiny", results))
    ]
    for drawing, long in zip(accuracy_figure(rows), (90, 46), strict=True):
        lines = [" ".join(element.itertext()) for element in parsed(drawing).iter(f"{XML}text")]
        said = " ".join(lines).replace("\u00a0", " ")
        # 10, 12 and 15 points: 12.33 ± 4.302653 · 2.517 / √3 do not hold 0
        assert "interval over 3 seeds excludes 0, McNemar p 0.010 by seed" in said
        assert "no significant difference by interval over images, McNemar p 0.250–0.500 by seed" in said
        assert max(len(line) for line in lines) <= long


def test_no_words_of_the_arms_lie_on_a_line_or_on_each_other() -> None:
    doubted = Difference(0.02, 0.01, 0.03, False, None, 200, 3, True, (0.0, 0.04), (0.25, 0.5), (OVER_IMAGES,))
    single = Difference(0.005, -0.01, 0.02, False, 0.69, 200, 1, True, None, (), ())
    rows = accuracy_rows(pool_seeds("tiny", [seed_result(0), seed_result(1, aligned=164), seed_result(2, aligned=170)]))
    for difference in (doubted, single):
        shown = [row._replace(difference=difference) if row.difference else row for row in rows]
        root = parsed(accuracy_figure(shown)[0])
        words_shown = boxes(root)
        assert max(right for _, _, right, _, _ in words_shown) <= 960
        assert len(upright_lines(root)) > 8
        assert overlaps(root) == []


def test_lines_are_broken_where_they_would_be_too_wide() -> None:
    text = "no significant difference by interval over images, McNemar p\u00a0=\u00a00.250"
    broken = measure.lines(text, "tick", 140)
    assert " ".join(broken) == text
    assert len(broken) > 2
    assert all(measure.width(line, "tick") <= 140 for line in broken)
    assert any("p\u00a0=\u00a00.250" in line for line in broken), "what holds together stays together"
    assert measure.lines("a" * 80, "tick", 50) == ["a" * 80]
    assert measure.lines("", "tick", 50) == []
    assert measure.width("iii") < measure.width("mmm")
    assert measure.width("words", "strong") > measure.width("words")


@pytest.mark.parametrize("policy", ["aligned", "base"])
def test_breakdown(policy: str) -> None:
    made = pool_seeds("tiny", [seed_result(0), seed_result(1)])
    for drawing in breakdown_figure(made, policy) or ():  # type: ignore[arg-type]
        assert "Of 80 descriptions" in words(parsed(drawing))


def test_training_and_signs() -> None:
    figures = training_figures([with_signs(0), with_signs(1)])
    assert len(figures) == 2
    wide, narrow = (parsed(drawing) for drawing in figures[1])
    assert [root.attrib["viewBox"].split()[2] for root in (wide, narrow)] == ["440", "300"]
    assert wide.find(f"{XML}title").text == narrow.find(f"{XML}title").text  # type: ignore[union-attr]
    for sign in sign_panel([with_signs(0)]):
        parsed(sign.course)


def test_the_grid(tmp_path: Path) -> None:
    name = HOSTILE.replace("\x0b", "").replace("\x00", "")  # a recipe's YAML holds none
    folder = write_run(tmp_path, "run", vlm=name, dataset=name)
    root = parsed(grid_figure([experiment_of(read_run(folder))], Rules()))
    assert words(root).count(name) >= 2


def test_every_part_escapes_its_text() -> None:
    parts = [
        svg.text(0, 0, HOSTILE),
        svg.spans(0, 0, [(HOSTILE, "strong")]),
        svg.rect(0, 0, 1, 1, "fill-all", tip=HOSTILE),
        svg.circle((0, 0), 1, "dot", tip=HOSTILE),
    ]
    root = parsed(svg.document(10, 10, parts, title=HOSTILE, description=HOSTILE, key="k"))
    assert words(root).count(SHOWN) == 6


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (-0.3, 0.4, [-0.4, -0.2, 0, 0.2, 0.4]),
        (22.3, 26.1, [22, 23, 24, 25, 26, 27]),
        (5, 5, [4, 5, 6]),
        (0, 0, None),
    ],
)
def test_ticks_are_round_and_cover(low: float, high: float, expected: list[float] | None) -> None:
    found = ticks(low, high, 6)
    assert found[0] <= low
    assert found[-1] >= high
    assert found[0] < found[-1]
    if expected and low != high:
        assert found == expected


def test_smoothing_and_thinning() -> None:
    curve = [(float(x), float(x % 2)) for x in range(30)]
    assert smooth(curve)[15] == pytest.approx((15, 1 / 3))  # a window of three: 0, 1, 0
    assert thin(curve, 10)[0] == pytest.approx((1, 1 / 3))
    assert len(thin([(float(x), 0.0) for x in range(1000)])) == 400
