"""The report in a real browser: no errors, filters, orders and clicks work, hostile text stays text."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import browser
import pytest
from full_report import HOSTILE, full_report
from pages import page as parts
from pages import seed_result
from PIL import Image
from run_samples import write_run

from analysis.report.images import class_images, thumbnails
from analysis.report.page import write_report
from analysis.tables.pages.thumbnails import encode
from ex2.data.demo.shapes import Shapes
from ex2.recipe import Recipe
from ex2.recipe_io import read_recipe
from reward.files import read_json, write_json


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full_report(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def page(chromium: Any, report: Path) -> Iterator[Any]:
    """The report, wide and light."""
    with browser.opened(chromium, report) as shown:
        shown.wait_for_selector("#rows tr")
        yield shown
        assert "owned" not in shown.title()


def count(page: Any) -> str:
    return str(page.inner_text("#count")).partition(" descriptions")[0]


def found(page: Any, expected: str) -> None:
    page.wait_for_selector(f"#count:has-text('{expected} descriptions')")


def test_filters(page: Any) -> None:
    assert count(page) == "120 of 240"
    expected = {"informative": 82, "visual": 61, "spurious": 37, "unparsed": 1, "informative_unparsed": 1, "": 120}
    for kind, size in expected.items():
        page.select_option("#f-kind", kind)
        found(page, f"{size} of 240")
    page.select_option("#f-class", label="oak")
    found(page, "60 of 240")
    page.fill("#f-text", "ALIGNED 0 11")
    found(page, "6 of 240")  # 11, 111 to 119
    assert page.locator("#rows mark").first.inner_text() == "aligned 0 11"
    page.click("button[type=reset]")
    found(page, "120 of 240")
    page.select_option("#f-order", "-reward")
    page.wait_for_selector("#rows tr:first-child .score:has-text('31.90')")  # 20 + 119 / 10
    page.click("button[type=reset]")
    assert page.locator("#f-question option").all_inner_texts() == ["all", "Describe a {}.", "What is a {}?"]
    page.select_option("#f-question", label="What is a {}?")
    found(page, "60 of 240")
    assert set(page.locator("#rows .asked").all_inner_texts()) == {"What is a {}?"}
    assert page.locator("#f-seed").count() == 0, "one seed alone is no choice"


def test_equal_descriptions_are_one_row_with_their_number(chromium: Any, tmp_path: Path) -> None:
    """Three equal ones of one class and one of another; of the three, two have a reward."""
    result = seed_result(0)
    same = [
        replace(one, text="aligned 0 0") for one in result.descriptions if one.text in ("aligned 0 0", "aligned 0 2")
    ]
    other = replace(same[0], reward=None, question="What is a {}?")
    rows = [one for one in result.descriptions if one.text not in ("aligned 0 0", "aligned 0 2")]
    made = replace(result, descriptions=[*same, other, *rows])
    path = tmp_path / "page.html"
    path.write_text(parts(tmp_path, made)[1], encoding="utf-8")
    with browser.opened(chromium, path) as page:
        page.wait_for_selector("#rows tr")
        assert str(page.inner_text("#count")) == "41 of 81 descriptions, 39 different ones"
        first = page.locator("#rows tr").first
        assert first.locator(".times").inner_text().strip() == "× 3"
        assert first.locator(".score").inner_text() == "20.10"  # of 20.0, 20.2 and none
        assert first.locator(".asked small").inner_text() == "and 1 more question"
        assert page.locator("#rows .times").count() == 1
        page.select_option("#f-policy", "")
        page.fill("#f-text", "aligned 0 0")
        found(page, "3 of 81")


def test_no_reward_is_a_zero_with_a_sign(chromium: Any, tmp_path: Path) -> None:
    result = seed_result(0)
    rewards = [-0.001, 0.001, -0.0, -0.01, -12.25]
    rows = [replace(one, reward=reward) for one, reward in zip(result.descriptions[40:45], rewards, strict=True)]
    made = replace(result, descriptions=[*rows, *result.descriptions[:40], *result.descriptions[45:]])
    path = tmp_path / "page.html"
    path.write_text(parts(tmp_path, made)[1], encoding="utf-8")
    with browser.opened(chromium, path) as page:
        page.wait_for_selector("#rows tr")
        shown = page.locator("#rows .score").all_inner_texts()[:5]
        assert shown == ["0.00", "0.00", "0.00", "−0.01", "−12.25"]


def test_the_columns_order_the_list(page: Any) -> None:
    def first(part: str) -> str:
        return str(page.locator(f"#rows tr:first-child {part}").inner_text())

    def sorts() -> list[str]:
        return [str(head.get_attribute("aria-sort")) for head in page.locator("th[data-order]").all()]

    assert sorts() == ["none"] * 4
    assert [name.split("\n")[0] for name in page.locator("#rows .who").all_inner_texts()[:2]] == ["pug", "oak"]
    page.click("th button:text('Class')")
    assert first(".who").startswith("oak"), "by name, not by first appearance"
    assert sorts() == ["ascending", "none", "none", "none"]
    page.click("th button:text('Class')")
    assert first(".who").startswith("pug")
    assert (sorts()[0], page.input_value("#f-order")) == ("descending", "-class")
    page.click("th button:text('Reward')")
    assert (first(".score"), sorts()[3]) == ("31.90", "descending")
    page.click("th button:text('Reward')")
    assert (first(".score"), sorts()[3]) == ("20.00", "ascending")
    page.click("th button:text('Question')")
    assert first(".asked") == "Describe a {}."
    page.click("th button:text('Question')")
    assert first(".asked") == "What is a {}?"
    page.click("th button:text('Verdict')")
    assert first(".verdict") == "visual"
    page.click("th button:text('Verdict')")
    assert first(".verdict") == "unparsed"
    page.select_option("#f-order", "class")
    page.wait_for_selector("th[data-order=class][aria-sort=ascending]")


def test_the_last_page_keeps_the_focus(page: Any) -> None:
    assert page.locator("#rows tr").count() == 50
    page.focus("#more")
    page.keyboard.press("Enter")
    assert page.locator("#rows tr").count() == 100
    assert page.evaluate("document.activeElement.id") == "more"
    page.keyboard.press("Enter")
    assert page.locator("#rows tr").count() == 120
    assert not page.is_visible("#more")
    assert page.evaluate("[...document.querySelectorAll('#rows tr')].indexOf(document.activeElement)") == 100


def test_a_click_or_enter_on_a_bar_filters(page: Any) -> None:
    page.fill("#f-text", "no such words")
    found(page, "0 of 240")
    page.click("figure:has-text('After') .wide .pick[data-kind=non_visual] rect")
    assert count(page) == "20 of 240"
    assert page.evaluate("document.activeElement.id") == "descriptions"
    assert page.input_value("#f-text") == ""
    part = page.locator("figure:has-text('Before') .wide .pick[data-kind=spurious]")
    part.focus()
    page.keyboard.press("Enter")
    assert count(page) == "120 of 240"
    assert page.input_value("#f-policy") == "base"
    bar = page.locator(".wide svg[aria-labelledby^=accuracy-t] .pick[data-kind=visual]")
    assert bar.get_attribute("aria-label") == "List visual descriptions of the aligned model"
    bar.focus()
    page.keyboard.press("Space")
    assert count(page) == "61 of 240"
    assert page.locator(".wide svg[aria-labelledby^=accuracy-t] .pick").count() == 6, "not templates, not controls"
    assert set(page.locator("svg:has(.pick)").evaluate_all("all => all.map(e => e.getAttribute('role'))")) == {"group"}


def test_hostile_text_shows_as_text(page: Any) -> None:
    page.fill("#f-text", "owned")
    found(page, "1 of 240")
    shown = page.locator("#rows .said > span").evaluate("e => e.textContent")
    assert shown == HOSTILE
    assert page.locator("#rows script, #rows b, #rows .said img").count() == 0
    assert page.locator("script").count() == 2
    assert "<b>cupl</b>" in page.locator("tbody th", has_text="cupl").first.evaluate("e => e.textContent")


def test_the_judge_and_the_controls_are_shown(page: Any, report: Path) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    text = page.inner_text("main").replace("\u00a0", " ")
    assert "The judge is uncalibrated" not in text
    assert "The judge against people\ngrammar & co agrees with people on informative or not: " in text
    content = read_json(report.parent / "agreement.json")
    n = content["own"]["questions"]["informative"]["n"]
    yes = (
        content["own"]["questions"]["informative"]["both_yes"]
        + content["own"]["questions"]["informative"]["only_people"]
    )
    on = "calibrated on labelled descriptions: "
    assert (on in text) is (min(yes, n - yes) >= 10)
    assert "It is not calibrated on visual or not: people said yes " in text
    corrected = content["policies"]["aligned"]["shares"]["visual"]["corrected"]
    assert f"{100 * corrected['value']:.1f} % [{100 * corrected['low']:.1f}–{100 * corrected['high']:.1f}]" in text
    # 37 of 119 readable first answers, 37 of 120; 61 of 118 that reached a leaf; 61 of 81 and of 82 informative.
    table = page.inner_text("[aria-label='Shares by denominator, aligned model']").replace("\u00a0", " ")
    for share in ("31.1 % ", "30.8 % ", "51.7 % ", "50.8 % ", "75.3 % ", "74.4 % "):
        assert share in table
    assert page.locator("[aria-label='Shares by denominator, base model']").count() == 0, "all could be read"
    assert "1,234 requests, 99,000 tokens in and 4,321 out; 0.1250 by the prices given" in text
    assert "of 200 descriptions asked about, 20 without one mind, 3 without a majority" in text
    assert "seed-0/disagreements.jsonl" in text
    row = page.locator("[aria-label=Accuracies] tr", has_text="class name alone").inner_text().replace("\u00a0", " ")
    assert "60.0 % [55.0–65.0]" in row
    assert "−20.0 points" in row
    assert "below it: class name alone (−20.0 points" in text


def test_images_of_the_class(page: Any) -> None:
    images = page.locator("#rows tr").first.locator("img")
    assert images.count() == 2, "of three chosen one cannot be read"
    assert page.locator("#rows tr").nth(1).locator("img").count() == 3
    assert images.first.get_attribute("alt") == "pug, test image 1"
    assert images.first.evaluate("e => e.complete && e.naturalWidth") == 32


def test_a_calibration_of_another_judge_does_not_count(report: Path) -> None:
    path = report.parent / "agreement.json"
    good = read_json(path)
    recipe = read_recipe(report.parent / "recipe.yaml")
    try:
        write_json(path, good | {"judge": good["judge"] | {"rubric": "fenced-1"}})
        text = write_report(recipe).with_name("other.html")
        shutil.move(report, text)
        html = text.read_text(encoding="utf-8")
        assert "The judge is uncalibrated" in html
        assert "it was made for grammar &amp; co with rubric fenced-1; run `ex2 agreement` again" in html
        assert "Corrected for the judge" not in html
        write_json(path, good | {"sample": good["sample"] | {"frame": "0123456789abcdef"}})
        assert "People's answers do not count here: the descriptions changed" in write_report(recipe).read_text("utf-8")
    finally:
        write_json(path, good)
        write_report(read_recipe(report.parent / "recipe.yaml", ["dataset.name=full_report.PugAndOak"]))


def test_thumbnails_are_small_bounded_and_steady() -> None:
    dataset = Shapes(images_per_class=5)
    images = dataset.images("test")
    made = thumbnails(dataset, images)
    assert list(made) == list(dataset.class_names)
    assert {len(found) for found in made.values()} == {3}
    assert made == thumbnails(dataset, images)
    few = thumbnails(dataset, images, most_images=2 * len(dataset.class_names))
    assert {len(found) for found in few.values()} == {2}
    size = sum(len(found[0]) for found in made.values())
    bounded = thumbnails(dataset, images, most_bytes=size)
    assert {len(found) for found in bounded.values()} == {1}, "first one of every class"
    assert sum(len(text) for found in bounded.values() for text in found) <= size


def test_any_image_becomes_a_small_jpeg() -> None:
    clear = Image.new("RGBA", (400, 100), (255, 0, 0, 0))
    with Image.open(io.BytesIO(base64.b64decode(encode(clear)))) as made:
        assert (made.format, made.size, made.mode) == ("JPEG", (64, 16), "RGB")
        assert min(made.getpixel((30, 8))) > 250, "transparent is white"
    tagged = Image.new("RGB", (200, 100))
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    file = io.BytesIO()
    tagged.save(file, "JPEG", exif=exif)
    assert b"where I live" in file.getvalue()
    assert b"where I live" not in base64.b64decode(encode(Image.open(file)))


def test_a_dataset_that_cannot_be_opened_costs_nothing_but_the_images(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "bare")
    recipe: Recipe = read_recipe(folder / "recipe.yaml")
    assert recipe.dataset.name == "pets"
    assert class_images(recipe.dataset.source()) == {}
    html = write_report(recipe).read_text(encoding="utf-8")
    assert "test images of its class" not in html
