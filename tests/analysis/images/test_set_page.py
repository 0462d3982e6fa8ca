"""The page of image sets: headline, caution, plain words, sheets from the sets' folders, and no page without them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import browser
import pytest
from drawn_sets import Blocks, drawn
from measured_sets import demo, measured_set, measurement
from run_samples import write_run

from analysis.images.page import brief, render_page, write_page
from analysis.images.record import Measures
from analysis.images.section import PARTS, image_sections
from analysis.images.sheets import contact_sheet
from analysis.images.stored import write_measures
from analysis.images.tables import image_tables
from ex2.cli import main
from ex2.run.directory import RunDirectory


def on_disk(root: Path, *names: str, per_class: int = 2) -> Measures:
    """Sets of the two classes of `drawn_sets`, drawn and measured by hand."""
    made = []
    for name in names:
        found = drawn(root, Blocks(), name=name, per_class=per_class)
        one = measured_set(name)
        first = replace(one.seeds[0], folder=str(found.folder), digest=found.record.seal)
        made.append(replace(one, seeds=(first, *one.seeds[1:])))
    return measurement(*made, classes=("cat", "sea lion"))


def test_sections_hold_the_numbers_of_the_tables() -> None:
    sections = image_sections(demo())
    tables = image_tables([demo()])
    lacking = ("Words rewarded and words that draw", "Text similarity")
    shown = [part.title for part in PARTS if part.title not in lacking]
    assert [section.title for section in sections] == shown
    by_title = {section.title: section for section in sections}
    worth = by_title["Worth"]
    nbsp = "\u00a0"
    assert worth.columns == ("set", *tables[0].columns)
    assert worth.rows[1][:3] == (
        "templates",
        f"70.7{nbsp}%{nbsp}[67.8,{nbsp}73.6]; n{nbsp}={nbsp}960",
        f"71.2{nbsp}%{nbsp}[68.2,{nbsp}74.2]; n{nbsp}={nbsp}960{nbsp}×{nbsp}3{nbsp}seeds",
    )
    assert worth.notes[0].startswith("The ensemble flatters permuted")
    assert image_sections(demo(), warnings=False)[0].notes[0].startswith("Nothing:")
    assert by_title["Fewer images"].rows[0][0] == "templates · 1"
    assert (worth.figure is None, by_title["Yield"].figure is None) == (False, True)
    assert [section.title for section in image_sections(measurement())] == [
        "Worth", "Probe", "Yield", "Leakage", "Time",
    ]  # fmt: skip


def test_page_stands_alone_and_says_the_caution_beside_the_headline(tmp_path: Path) -> None:
    path = write_page(demo(), tmp_path)
    assert path == tmp_path / "report.html"
    page = path.read_text("utf-8")
    head = page[page.index('<div class="headline') : page.index('<p class="lead">')]
    assert "original is worth more than templates" in head
    assert "The ensemble flatters permuted" in head
    assert page.index("In plain words</h2>") < page.index('id="h-sheet"') < page.index('id="h-part-1"')
    assert "&lt;i&gt;few&lt;/i&gt; drawings of a long name" in page
    assert "<i>few" not in page
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", page)
    assert page.count("its images are not on this machine.") == 4
    ids = re.findall(r'<h2 id="([^"]+)"', page)
    assert re.findall(r'<li><a href="#([^"]+)"', page) == ids


def test_sheet_shows_the_first_images_of_each_class(tmp_path: Path) -> None:
    sheet = contact_sheet(on_disk(tmp_path, "one", "two", per_class=5))
    assert sheet.sets == ("one", "two")
    assert [(name, [len(images) for images in sets]) for name, sets in sheet.rows] == [
        ("cat", [3, 3]),
        ("sea lion", [3, 3]),
    ]
    assert (sheet.more, sheet.missing) == (0, ())
    page = render_page(on_disk(tmp_path, "one", "two", per_class=5))
    assert page.count('src="data:image/jpeg;base64,') == 12
    assert 'alt="sea lion, two"' in page


def test_every_class_has_an_image_before_any_has_two(tmp_path: Path) -> None:
    found = on_disk(tmp_path, "one", per_class=3)
    whole = [len(image) for _, (images,) in contact_sheet(found).rows for image in images]
    small = contact_sheet(found, most_bytes=sum(whole) // 2)
    assert [len(images) for _, (images,) in small.rows] in ([2, 1], [1, 1])


def test_an_image_that_was_changed_is_not_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = on_disk(tmp_path, "one", "two")
    folder = Path(found.sets[0].seeds[0].folder)
    path = next((folder / "images").glob("*/00000.png"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    sheet = contact_sheet(found)
    assert (sheet.sets, sheet.missing) == (("two",), ("one: its images cannot be read any more.",))
    told = capsys.readouterr().err
    assert told.startswith(
        f"note: {path}: its content is not what was written; put it back as it was, or move {folder}"
    )


def test_sets_that_cannot_be_shown_are_named(tmp_path: Path) -> None:
    found = on_disk(tmp_path, "one", "two", "three", "four")
    first, second, third, fourth = found.sets
    other = replace(first, seeds=(replace(first.seeds[0], digest="0" * 64),))
    (Path(second.seeds[0].folder) / "metadata.jsonl").write_text("")
    gone = replace(third, seeds=(replace(third.seeds[0], folder=str(tmp_path / "gone")),))
    plain = replace(gone, name="five", seeds=(replace(third.seeds[0], folder=str(tmp_path)),))
    sheet = contact_sheet(replace(found, sets=(other, second, gone, replace(fourth, seeds=()), plain)))
    assert (sheet.sets, sheet.rows) == ((), ())
    assert sheet.missing == (
        "one: its images are not those that were measured.",
        "two: its images cannot be read any more.",
        "three: its images are not on this machine.",
        "four: no seed was measured.",
        "five: a folder without a record of its images, which are not shown.",
    )


@pytest.fixture(scope="module")
def chrome() -> Iterator[object]:
    with browser.launched() as started:
        yield started


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 720, 961, 1200])
def test_nothing_sticks_out_of_the_page(chrome: object, tmp_path: Path, width: int) -> None:
    page = browser.new_page(chrome, viewport={"width": width, "height": 900})
    page.goto(write_page(demo(), tmp_path).as_uri())
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """() => [...document.querySelectorAll('svg text')].filter(text => {
            const box = text.getBoundingClientRect(), whole = text.ownerSVGElement.getBoundingClientRect();
            return box.width && (box.right > whole.right + 1 || box.left < whole.left - 1);
        }).map(text => text.textContent)"""
    )
    assert outside == []
    page.close()


@pytest.mark.parametrize("aligned", [True, False])
def test_index_and_tables_over_measurements(tmp_path: Path, capsys: pytest.CaptureFixture[str], aligned: bool) -> None:
    if aligned:
        write_run(tmp_path, "clip-pets")
    for name, dataset in (("one", "creatures"), ("two", "pets")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "provenance.json").write_text("{}")
        found = replace(demo(), name=name, dataset=dataset)
        write_measures(RunDirectory(folder), found)
        write_page(found, folder)
    assert main(["index", str(tmp_path)]) == 0
    page = (tmp_path / "index.html").read_text("utf-8")
    assert ("2 measurements of image sets</h1>" in page, 'id="h-sets"' in page) == (True, True)
    assert ('id="h-grid"' in page, "1 experiment and 2 measurements" in page) == (aligned, aligned)
    assert 'href="one/report.html"' in page
    assert main(["tables", str(tmp_path), "--out", str(tmp_path / "tables"), "--format", "csv,svg"]) == 0
    written = {path.name for path in (tmp_path / "tables").iterdir()}
    wanted = {"images-worth.csv", "images-grid-cler.csv", "images-grid-cler-pairs.csv", "images-worth-one.svg"}
    assert wanted <= written
    assert ("figure-grid.svg" in written) is aligned
    assert ("table-01-accuracy.csv" in written, "The paper's tables" in page) == (aligned, aligned)
    (tmp_path / "two" / "measures.json").write_text("{}")
    capsys.readouterr()
    assert main(["index", str(tmp_path)]) == 0
    assert "index: left out: " in capsys.readouterr().out


def test_a_long_fingerprint_is_cut_and_told_by_its_hash() -> None:
    assert brief("open_clip 1") == "open_clip 1"
    assert brief("a" * 300) == "a" * 300
    digest = hashlib.sha256(b"a" * 15_387).hexdigest()[:16]
    assert brief("a" * 15_387) == f"{'a' * 240} … (15,387 characters, SHA-256 begins {digest})"
    assert digest in render_page(replace(measurement(), fingerprint="a" * 15_387))
