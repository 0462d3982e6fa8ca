"""Figures as files: they stand alone, say what they are of, and the PNG is the drawing."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from run_samples import write_run

from analysis.figures.files import captioned, drawing_style, standalone
from analysis.figures.png import to_png
from analysis.paper.figures import grid_figure, run_figures
from analysis.results.experiment import Counts, Experiment
from analysis.results.pooling import Pooled
from analysis.results.runs import experiment_of, read_run, with_denominator
from analysis.tables.rules import Rules


def test_figures_stand_alone(tmp_path: Path) -> None:
    write_run(tmp_path, "clip", vlm="<b>&clip", kl=13)
    run = read_run(tmp_path / "clip")
    drawings = {"grid": grid_figure([experiment_of(run)], Rules()), **run_figures([experiment_of(run)])}
    assert set(drawings) == {"grid", "run-clip-breakdown-aligned", "run-clip-breakdown-base", "run-clip-accuracy"}
    for drawing in drawings.values():
        text = standalone(drawing)
        root = ElementTree.fromstring(text)  # well-formed
        assert float(root.attrib["width"]) == float(root.attrib["viewBox"].split()[2])
        assert "var(" not in text
        assert "calc(" not in text
        assert "<b>" not in text
    words = "".join(ElementTree.fromstring(standalone(drawings["grid"])).itertext())
    assert "+10.00\u00a0points †" in words
    assert "<b>&clip" in words


def test_standalone_style_names_every_color() -> None:
    style = drawing_style()
    assert "--" not in style
    assert "[class" not in style
    assert ".fill-visual { fill: #1468b3;" in style


def test_png_is_the_drawing() -> None:
    accuracies = {arm: Pooled(value, None, None, 100, 1) for arm, value in (("templates", 0.6), ("aligned", 0.7))}
    experiment = Experiment("e", "A", "d", accuracies, counts=(Counts(10, 4, 6, 6, 0),))
    png = to_png(standalone(grid_figure([experiment], Rules())))
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert picture.shape[1] == 2 * (560 + 28)
    counted = {
        name: int((picture == np.array(color)).all(axis=2).sum())
        for name, color in (("visual", (0x14, 0x68, 0xB3)), ("spurious", (0xB8, 0x47, 0x13)))
    }
    # Bars of 160 × 16 units at twice the size, 60 % and 40 % of them; the legend's squares are of the same colours.
    bar, square = 4 * 160 * 16, 4 * 12 * 12
    assert counted["visual"] == pytest.approx(0.6 * bar + square, rel=0.03)
    assert counted["spurious"] == pytest.approx(0.4 * bar + square, rel=0.03)


def test_figures_of_a_run_say_what_shares_are_of_and_the_kl(tmp_path: Path) -> None:
    write_run(tmp_path, "clip", kl=13)
    run = read_run(tmp_path / "clip")
    words = {}
    for denominator in ("parsed", "all"):
        drawings = run_figures([experiment_of(with_denominator(run, denominator))])  # type: ignore[arg-type]
        for stem, drawing in drawings.items():
            root = ElementTree.fromstring(standalone(drawing))
            words[denominator, stem] = "".join(root.itertext())
            assert "KL reached, nats per description: clip-vit-b32, pets: 13.0 (target 10)." in words[denominator, stem]
    stem = "run-clip-breakdown-aligned"
    assert "Shares are of descriptions with readable verdicts." in words["parsed", stem]
    assert "Shares are of all descriptions, unparsed ones included." in words["all", stem]
    # 30 informative of 39 with verdicts, of 40 in all.
    assert "76.9\u00a0%" in words["parsed", stem]
    assert "75.0\u00a0%" in words["all", stem]
    assert "76.9\u00a0%" not in words["all", stem]


def test_a_caption_is_below_the_drawing_and_escaped(tmp_path: Path) -> None:
    write_run(tmp_path, "clip")
    plain = grid_figure([experiment_of(read_run(tmp_path / "clip"))], Rules())
    drawing = captioned(plain, ["<b>", "two"])
    first, second = (ElementTree.fromstring(str(each)) for each in (plain, drawing))
    before, after = (float(each.attrib["viewBox"].split()[3]) for each in (first, second))
    assert after == before + 2 * 18 + 6
    texts = [each for each in second.iter() if each.tag.endswith("text")]
    assert [each.text for each in texts[-2:]] == ["<b>", "two"]
    assert all(before < float(each.attrib["y"]) < after for each in texts[-2:])
