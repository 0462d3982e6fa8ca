"""Tables, drawings and lines of recognition, on numbers that are known."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import browser
import numpy as np
import pytest
from measured_sets import demo
from recognizing import kind, planted, sight
from rich.console import Console

from analysis.images.page import render_page
from analysis.images.recognition.figure import LEVELS, categories_figure, main_rule, means_figure
from analysis.images.recognition.measure import numbers
from analysis.images.recognition.record import REAL, Failure, Failures, Recognition
from analysis.images.recognition.rules import answers
from analysis.images.recognition.scores import together
from analysis.images.recognition.sheets import failure_sheets
from analysis.images.recognition.tables import (
    equal_table,
    means_table,
    not_answered_table,
    recognition_tables,
    shift_table,
    top1_table,
)
from analysis.images.recognition.terminal import print_recognition, shift_lines
from ex2.data.demo.shapes import Shapes
from ex2.data.synsets import Category
from reward.presets import load_vlm
from reward.recognizers.by_class_names import ByClassNames
from reward.recognizers.predictions import top_classes

NAMES = tuple(f"a category of a long name {number}" for number in range(6))
LABELS = np.repeat(np.arange(6), 50)


def made(*wrong: tuple[float, float], names: tuple[str, ...] = ("first", "second")) -> Recognition:
    """Recognizers of ImageNet's classes 0 to 5 that err on real images and on a set; the last category has no class."""
    random = np.random.default_rng(0)
    labels = [*NAMES[:5], *(f"thing {number}" for number in range(5, 1000))]
    seen = [
        sight(name, [planted(LABELS, error, 6, random) for error in errors], labels, "imagenet-1k")
        for name, errors in zip(names, wrong, strict=True)
    ]
    listed = {name: Category((number,)) for number, name in enumerate(NAMES[:5])} | {NAMES[5]: Category((), "none")}
    found = numbers(seen, [kind(REAL, LABELS.tolist()), kind("<b>set</b>", LABELS.tolist())], NAMES, listed, 0.95)
    return replace(found, name="run", dataset="folder", split="test", vlm="vlm")


def told(found: Recognition) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    print_recognition(found, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_sentences_say_what_is_told_and_no_more() -> None:
    worse = shift_lines(made((0.1, 0.5), (0.1, 0.5)))
    assert worse[0].startswith("<b>set</b> is recognized less than real images by every recognizer: first −")
    same = shift_lines(made((0.1, 0.1), (0.3, 0.3)))
    assert same[0].startswith("<b>set</b> is not told from real images: first ")
    better = shift_lines(made((0.6, 0.1), (0.2, 0.2)))
    assert better[0].startswith("<b>set</b> is recognized more than real images by 1 of 2 recognizers: first +")
    both = shift_lines(made((0.6, 0.1), (0.1, 0.6)))
    assert both[0].startswith("<b>set</b> is told from real images, in both directions: first +")
    assert "p = " in both[0]
    assert "Holm's method" in both[0]


def test_the_terminal_shows_both_rules_and_who_cannot_answer() -> None:
    found = made((0.1, 0.5), (0.2, 0.6))
    text = told(found)
    assert all(words in text for words in ("words top-1", "classes top-5", "real images", "5 by the reviewed classes"))
    assert f"By the reviewed classes, 1 category is unanswerable and in no mean: {NAMES[5]} (none)." in " ".join(
        text.split()
    )
    assert "all recognizers right on" in text
    assert "if they were independent" in text


def test_tables_hold_every_number() -> None:
    found = made((0.1, 0.5), (0.2, 0.6))
    tables = {table.key: table for table in recognition_tables([found])}
    assert [*tables] == [
        "images-recognition", "images-recognition-shift", "images-recognition-top1", "images-recognition-top5",
        "images-recognition-agreement", "images-recognition-equal", "images-recognition-pairs",
        "images-recognition-unanswered",
    ]  # fmt: skip
    assert {key.removesuffix("-1") for key in (table.key for table in recognition_tables([found, found])[:8])} == {
        *tables
    }
    means = means_table(found)
    assert len(means.rows) == 2 * 2 * 2
    first = next(one for one in found.recognized if (one.of, one.recognizer, one.rule) == (REAL, "first", "synsets"))
    row = next(row for row in means.rows if row.names == ("real images", "first", "reviewed classes"))
    assert (row.cells[0].value, row.cells[0].n) == (100 * first.top1.value, 250)
    assert {row.cells[-1].text for row in shift_table(found).rows} == {"told from real images"}
    assert [row.cells[0].text for row in not_answered_table(found).rows] == ["unanswerable", "unanswerable"]
    assert {row.cells[1].value for row in equal_table(found).rows} == {1}
    best = {row.cells[-1].text for row in top1_table(found).rows}
    assert best <= {"first", "second", "all"}


def test_drawings_show_every_share() -> None:
    found = made((0.0, 0.5), (0.2, 0.6))
    assert main_rule(found) == "synsets"
    for drawn in (means_figure(found), categories_figure(found)):
        assert drawn is not None
        for svg in drawn:
            assert "&lt;b&gt;set&lt;/b&gt;" in svg
            assert "<b>" not in svg
    grids = categories_figure(found)
    assert grids is not None
    for svg in grids:
        squares = re.findall(r'class="share-(\d+)"', svg)
        assert len(squares) == 2 * 5 * 2
        assert squares.count(str(LEVELS)) >= 5  # the first recognizer on real images
    empty = replace(found, recognized=(), categories=())
    assert (means_figure(empty), categories_figure(empty)) == (None, None)


def test_all_right_on_the_demo_s_three_vlms_beside_independence() -> None:
    """Against counts made by loops, one class after another."""
    shapes = Shapes()
    images = list(shapes.images("test"))
    opened = [image.open() for image in images]
    labels = np.array([image.label for image in images])
    columns = []
    for name in ("demo-visual", "demo-non-visual", "demo-spurious"):
        recognizer = ByClassNames(shapes.class_names, load_vlm(name, {}))
        columns.append(top_classes(recognizer.scores(opened))[:, 0] == labels)
    right = np.stack(columns, axis=1)
    assert len(right) == 960
    observed, expected = [], []
    for label in range(16):
        rows = [row for row, own in zip(right.tolist(), labels.tolist(), strict=True) if own == label]
        observed.append(sum(all(row) for row in rows) / len(rows))
        product = 1.0
        for at in range(3):
            product *= sum(row[at] for row in rows) / len(rows)
        expected.append(product)
    found = together(right, labels, 0.95)[None]
    assert found.observed.value == pytest.approx(sum(observed) / 16, abs=1e-12)
    assert found.expected == pytest.approx(sum(expected) / 16, abs=1e-12)
    assert found.observed.value == pytest.approx(0.383, abs=5e-4)
    assert found.expected == pytest.approx(0.348, abs=5e-4)
    assert found.observed.low is not None
    assert found.observed.low > found.expected  # they succeed together more than independent ones
    shuffled = np.stack([np.random.default_rng(at).permutation(right[:, at]) for at in range(3)], axis=1)
    nothing = together(shuffled, np.zeros(960, dtype=int), 0.95)[None]
    assert nothing.observed.low is not None
    assert nothing.observed.high is not None
    assert nothing.observed.low < nothing.expected < nothing.observed.high


def test_labels_of_another_vocabulary_are_judged_by_words_only() -> None:
    assert [one.standing for one in answers("synsets", ("cat",), ("cat",), "own", {})] == ["unreviewed"]


@pytest.fixture(scope="module")
def chrome() -> Iterator[object]:
    with browser.launched() as started:
        yield started


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 961, 1200])
def test_recognition_does_not_stick_out_of_the_page(chrome: object, tmp_path: Path, width: int) -> None:
    names = tuple(f"a recognizer of a long name {number}" for number in range(10))
    path = tmp_path / "page.html"
    path.write_text(render_page(demo(), made(*[(0.1, 0.5)] * 10, names=names)), encoding="utf-8")
    page = browser.new_page(chrome, viewport={"width": width, "height": 900})
    page.goto(path.as_uri())
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """() => [...document.querySelectorAll('svg[aria-labelledby^=images-recognition] text')].filter(text => {
            const box = text.getBoundingClientRect(), whole = text.ownerSVGElement.getBoundingClientRect();
            return box.width && (box.right > whole.right + 1 || box.left < whole.left - 1);
        }).map(text => text.textContent)"""
    )
    assert page.locator("svg[aria-labelledby^=images-recognition]").count() == 4
    assert outside == []
    page.close()


@pytest.mark.parametrize(("number", "words"), [(1, "mean over 1 category,"), (2, "mean over 2 categories,")])
def test_one_category_is_no_categories(number: int, words: str) -> None:
    found = made((0.1, 0.5), (0.2, 0.6))
    few = replace(found, recognized=tuple(replace(one, categories=number) for one in found.recognized))
    drawn = means_figure(few)
    assert drawn is not None
    assert words in drawn[0]


def test_one_image_is_no_images() -> None:
    shown = Failure(of="set", seed=0, image="a.png", category="cup", predictions=("mug",))
    for number, words in ((1, "1 of 1 image whose"), (2, "1 of 2 images whose")):
        one = Failures(of="set", recognizer="first", rule="synsets", images=number, failed=1, shown=(shown,))
        (sheet,) = failure_sheets(
            replace(made((0.1, 0.5), (0.2, 0.6)), failures=(one,)),
            SimpleNamespace(sets=()),  # type: ignore[arg-type]
        )
        assert words in sheet.title
