"""How the report looks in a real browser: on a phone, a tablet and a screen, on paper, in both schemes; three seeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
from full_report import full_report
from pages import against, arm
from PIL import Image
from record_samples import with_arms
from run_samples import write_run

from analysis.accuracy.record import Control, read_accuracy
from analysis.report.page import write_report
from ex2.recipe_io import read_recipe
from ex2.run.directory import RunDirectory
from reward.files import write_json

WIDTHS = (320, 390, 720, 961, 1200)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full_report(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds with controls, a file's among them, which is called what a file may be called."""
    folder = write_run(
        tmp_path_factory.mktemp("three"),
        "seeds",
        kinds={"visual": 61, "non_visual": 20, "spurious": 37, "unparsed": 2, "informative_unparsed": 1},
        correct={"visual": 158, "non_visual": 141},
        seeds={0: 160, 1: 164, 2: 171},
    )
    for seed in (0, 1, 2):
        path = RunDirectory(folder).seed(seed).accuracy
        controls = {
            "class_name": Control("class name alone", "one text a class: its name"),
            "other": Control("descriptions of another class", "so that the words stay and the class does not"),
            "file": Control("cupl_full_prompts_v2_gpt3_davinci_002_temperature_0_99.json", "a file"),
        }
        arms = {name: arm(120 + seed + number) for number, name in enumerate(controls)}
        compared = [
            against(name, other, -0.1 - seed / 100, 0.001) for name in controls for other in ("templates", "aligned")
        ]
        write_json(path, with_arms(read_accuracy(path), arms, compared, controls).to_json())
    return write_report(read_recipe(folder / "recipe.yaml"))


@pytest.fixture(params=["one", "three"])
def any_report(request: pytest.FixtureRequest, report: Path, three: Path) -> Path:
    return {"one": report, "three": three}[request.param]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_and_every_word_can_be_read(chromium: Any, any_report: Path, width: int) -> None:
    with browser.opened(chromium, any_report, width=width) as page:
        browser.open_all(page)
        assert browser.sticking_out(page) == []
        assert browser.smallest_text(page) >= 10.5
        if width == 1200:
            assert browser.wide_boxes(page) == [], "no table is cut on a screen"


def all_are_cards(page: Any, *, least: int) -> None:
    """Every value of every table stands beside its header's words, and nothing scrolls sideways."""
    browser.open_all(page)
    found = browser.cards(page)
    assert len(found) >= least
    assert [cell for cell in found if cell["label"] != cell["header"]] == []
    assert [cell for cell in found if not (cell["beside"] and cell["inside"])] == []
    assert browser.wide_boxes(page) == []
    assert page.locator("table:not(.cards):not(.list):not(.grid-table)").count() == 0
    sides = "[...document.querySelectorAll('.scroll, pre')].filter(e => e.scrollWidth > e.clientWidth).length"
    assert page.evaluate(sides) == 0


@pytest.mark.parametrize("width", [320, 390, 700])
def test_on_a_phone_every_tables_row_is_a_card(chromium: Any, any_report: Path, width: int) -> None:
    with browser.opened(chromium, any_report, width=width) as page:
        all_are_cards(page, least=60)
        heads = page.locator("table.cards thead th.naming").all_inner_texts()
        assert {"Texts", "Number"} <= set(heads), "what a card's name is"
        assert not page.locator("table.cards td.nothing").first.is_visible(), "no header without a value"
    with browser.opened(chromium, any_report, width=701) as page:
        browser.open_all(page)
        assert {cell["label"] for cell in browser.cards(page)} == {""}, "wider, a table is a table"


@pytest.mark.parametrize("width", [390, 600, 718])
def test_on_paper_of_any_width_tables_stay_tables(chromium: Any, any_report: Path, width: int) -> None:
    with browser.opened(chromium, any_report, width=width) as page:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        assert {cell["label"] for cell in browser.cards(page)} == {""}
        shown = "[...new Set([...document.querySelectorAll('table.cards td')].map(e => getComputedStyle(e).display))]"
        assert page.evaluate(shown) == ["table-cell"]
        assert page.locator("table.cards thead").first.is_visible()
        assert not page.locator(".again").first.is_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_caution_is_right_below_the_answer(chromium: Any, report: Path, width: int) -> None:
    with browser.opened(chromium, report, width=width) as page:
        answer, caution = (page.locator(f".headline {part}").bounding_box() for part in ("h1", ".caution"))
        assert 0 <= caution["y"] - answer["y"] - answer["height"] <= 12
        assert caution["x"] == answer["x"]
        assert browser.contrast(page, ".caution") >= 4.5


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_screenshots_at_two_widths(chromium: Any, report: Path, tmp_path: Path, width: int, scheme: str) -> None:
    with browser.opened(chromium, report, width=width, scheme=scheme) as page:
        browser.open_all(page)
        path = browser.screenshot(page, f"report-{width}-{scheme}", tmp_path)
        with Image.open(path) as shot:
            assert shot.width == width
            assert shot.height > 3000
        if width == 390:
            who, score = (page.locator(f"#rows tr:first-child {part}").bounding_box() for part in (".who", ".score"))
            assert who["x"] + who["width"] <= score["x"]
            assert who["y"] == score["y"], "name and reward in one line"
            page.locator(".narrow .pick[data-kind=visual]").first.click()
            assert page.inner_text("#count").startswith("61 of 240 descriptions")


@pytest.fixture
def printed(chromium: Any, any_report: Path) -> Iterator[Any]:
    """The page as laid out on A4 with Chromium's margins: 718 pixels."""
    with browser.opened(chromium, any_report, width=718, scheme="dark") as page:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        yield page


def test_paper_holds_every_table_whole(printed: Any) -> None:
    assert printed.locator("details").count() >= 3
    assert printed.locator("details:not([open])").count() == 0
    assert browser.wide_boxes(printed) == []
    assert browser.sticking_out(printed) == []
    assert (
        printed.evaluate("[...document.querySelectorAll('.scroll')].map(e => getComputedStyle(e).overflowX)").count(
            "visible"
        )
        == printed.locator(".scroll").count()
    ), "paper does not scroll"
    assert printed.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)", "never dark"
    assert browser.contrast(printed, ".lead") > 10
    assert not printed.is_visible("#filters")
    assert not printed.is_visible("p.only-script")
    assert printed.is_visible("#rows")


def test_printing_leaves_the_screen_as_it_was(chromium: Any, report: Path) -> None:
    with browser.opened(chromium, report) as page:
        folded = page.locator("details:not([open])").count()
        unfolded = page.locator("details[open]").count()
        assert folded >= 2
        page.evaluate("""() => {
          window.during = [];
          const folded = () => document.querySelectorAll("details:not([open])").length;
          addEventListener("beforeprint", () => { window.during.push(folded()); });
        }""")
        page.pdf(format="A4")
        assert page.evaluate("window.during") == [0], "the browser itself asked, and all was open"
        assert page.locator("details:not([open])").count() == folded
        assert page.locator("details[open]").count() == unfolded


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(chromium: Any, report: Path, scheme: str) -> None:
    with browser.opened(chromium, report, scheme=scheme) as page:
        browser.open_all(page)
        page.wait_for_selector("#rows tr")
        for selector in (
            *(".eyebrow", "h1", ".lead", ".facts dt", ".tile-value", ".tile-detail", ".intro", "figcaption", "summary"),
            *("th small", "td small", "thead th", ".warning", ".filters label", "select", "#f-text", "#count", "#more"),
            *(".list small", ".asked", ".score", ".chip", ".chip-unparsed", ".findings dd", ".prose p", "footer"),
        ):
            if page.locator(selector).count():
                assert browser.contrast(page, selector) >= 4.5, selector
        assert browser.contrast(page, "#f-text", pseudo="::placeholder") >= 4.5
        for selector in ("select", "#f-text", "button[type=reset]", ".list thead button"):
            assert browser.contrast(page, selector, "border") >= 3, selector
        for kind in ("visual", "non_visual", "spurious", "informative", "unparsed", "informative_unparsed", "all"):
            assert browser.contrast(page, f"figure .wide .fill-{kind}:not(.light)", "fill") >= 3, kind
        for kind in ("templates", "base", "aligned", "control"):
            assert browser.contrast(page, f"figure .wide .fill-{kind}", "fill") >= 3, kind
        assert browser.contrast(page, "figure .wide .light[class^=fill-]", "fill") >= 3
        assert browser.contrast(page, ".swatch", "background") >= 3


def test_three_seeds_side_by_side(chromium: Any, three: Path) -> None:
    with browser.opened(chromium, three) as page:
        page.wait_for_selector("#rows tr")
        table = page.locator("[aria-label='Numbers of each seed']")
        heads = table.locator("thead th").all_inner_texts()
        assert heads == ["Number", "seed 0", "seed 1", "seed 2", "all seeds"]

        def row(name: str) -> list[str]:
            cells = table.locator("tr", has=page.locator(f"th:text-is('{name}')")).locator("td").all_inner_texts()
            return [cell.replace("\u00a0", " ") for cell in cells]

        # 160, 164 and 171 of 200: mean 82.5, standard deviation √7.75 = 2.7839, t(0.975, 2) = 4.302653: ± 6.9
        accuracy = row("accuracy, EX2, all descriptions")
        assert [cell.split(" %")[0] for cell in accuracy] == ["80.0", "82.0", "85.5", "82.5"]
        assert "[75.6–89.4], n = 200 images × 3 seeds" in accuracy[3].replace("n = 200 ×", "n = 200 images ×")
        unparsed = row("unparsed answers, aligned")
        assert unparsed == ["3 of 121: informative 2, visual 1"] * 3 + ["9 of 363: informative 6, visual 3"]
        assert row("unparsed answers, base") == ["none of 121"] * 3 + ["none of 363"]
        assert "[65.0–" not in row("accuracy, 80 generic templates")[3]
        assert row("accuracy, 80 generic templates")[3] == row("accuracy, 80 generic templates")[0]
        page.select_option("#f-seed", "1")
        page.wait_for_selector("#count:has-text('121 of 726 descriptions')")
        assert all("seed 1" in who for who in page.locator("#rows .who").all_inner_texts())
        browser.open_all(page)
        assert page.locator("[aria-label=Accuracies] tr", has_text="class name alone").count() == 1
