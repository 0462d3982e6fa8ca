"""The page over a folder of runs: self-contained, escaped, linked, and true to the numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import browser
import pytest
from measured_sets import demo
from pages import Page
from run_samples import write_run

from analysis.images.page import write_page
from analysis.report.index import render_index
from analysis.results.runs import read_run
from analysis.tables.rules import Rules
from analysis.tables.table import Cell, Row, Table
from analysis.tables.view import table_view
from ex2.cli import main
from ex2.run.directory import RunDirectory
from reward.files import read_json, write_json

HOSTILE = '</td><script>alert("x")</script> & <img src=x onerror=alert(1)>'


def index(folder: Path, *words: str) -> tuple[Page, str]:
    assert main(["index", str(folder), *words]) == 0
    html = (folder / "index.html").read_text()
    return Page(html), html


def said(page: Page) -> str:
    return re.sub(r"\s+", " ", page.text)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_run(tmp_path, "clip-pets", kl=13.0)
    write_run(tmp_path, "align-pets", vlm="align-base", correct={"aligned": 139})
    write_run(tmp_path / "deep er", "align-cub", vlm="align-base", dataset="cub", correct={"aligned": 141})
    for name in ("clip-pets", "deep er/align-cub"):
        (tmp_path / name / "report.html").write_text("x")
    return tmp_path


def test_the_grid_shows_the_main_numbers(runs: Path) -> None:
    page, _ = index(runs)
    text = said(page)
    assert "2 VLMs (align-base and clip-vit-b32) on 2 datasets (pets and cub)" in text
    # Wilson for 160 of 200: 73.91 to 84.95; 20 images of difference on one side only: McNemar's p is 2 · 2⁻²⁰.
    assert "80.0 % [73.9–85.0], n = 200 images+10.0 points [+6.1, +14.8]" in text
    assert "p < 0.001" in text
    assert "76.9 % [61.7–87.4] informative, n = 39" in text
    assert "† KL 13.0 of 10: more than 20 % off" in text
    assert text.partition("The paper's tables")[0].count("EX2 not above the templates") == 1
    assert "−0.5 points" in text
    assert "no significant difference, p = 0.500" in text
    assert "no run" in text
    assert "KL 10.0 of 10" in text
    widths = [
        float(str(attrs["style"]).removeprefix("width: ").removesuffix("%"))
        for tag, attrs in page.elements
        if tag == "span" and "style" in attrs
    ]
    assert widths == [50.0, 25.0, 22.5, 2.5] * 2  # 20, 10, 9 and 1 of 40; not for the run that does not improve


def test_verdicts_carry_rule_thresholds_and_the_count_by_interval(runs: Path) -> None:
    text = said(index(runs)[0])
    assert "In 2 of 3 experiments EX2's descriptions are more accurate than the templates." in text
    assert "Counted: accuracy of EX2 above that of the templates; by interval in 1." in text
    assert "at least 0.5 points above the templates" in text
    changed = said(index(runs, "--considerable", "0.7", "--solely", "10", "--kl-tolerance", "40")[0])
    assert "at least 0.7 points above the templates" in changed
    assert "informative share of the descriptions under 10 %" in changed
    assert "† KL 13.0" not in changed


def test_links_lead_to_reports_that_are_there(runs: Path) -> None:
    page, html = index(runs)
    links = {str(attrs["href"]) for tag, attrs in page.elements if tag == "a"}
    assert links == {"#h-grid", "clip-pets/report.html", "deep%20er/align-cub/report.html"}
    assert "align-pets (no report yet)" in said(page)
    assert not re.findall(r"https?://", html)
    assert "url(" not in html
    assert "default-src 'none'" in html
    assert html.count("<script") == 1, "what unfolds the page for print"


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    write_run(tmp_path, "x", vlm=HOSTILE, dataset="<b>pets</b>")
    page, html = index(tmp_path)
    assert HOSTILE in page.text
    assert "<b>pets</b>" in page.text
    assert "img" not in {tag for tag, _ in page.elements}
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert "alert" not in "".join(page.scripts)
    assert "<b>pets" not in html


def test_the_page_is_accessible(runs: Path) -> None:
    page, html = index(runs)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in page.elements:
        assert set(str(attrs.get("aria-labelledby", "")).split()) <= set(ids)
    assert [tag for tag, _ in page.elements if tag in ("h1", "main", "header", "footer")] == [
        "header",
        "h1",
        "main",
        "footer",
    ]
    cells = [attrs for tag, attrs in page.elements if tag == "td" and attrs.get("role") == "cell"]
    assert {"pets", "cub", "Seeds", "judged"} <= {str(attrs["data-label"]) for attrs in cells}
    assert None not in {attrs.get("data-label") for attrs in cells}, "every value of a card has a header's words"
    assert 'lang="en"' in html
    assert "visual: 20, non-visual: 10, spurious: 9, unparsed: 1" in said(page), "bars are said in words"


def test_the_papers_tables_are_on_the_page(runs: Path) -> None:
    page, html = index(runs)
    for key in ("01-accuracy", "02-informative", "03-accuracy-by-information", "04-visual", "13-counts"):
        assert f'<details class="card" id="table-{key}">' in html, "folded"
    assert 'id="table-06' not in html
    assert 'id="table-09' not in html, "no two KL targets"
    text = said(page).replace("\u00a0", " ")
    # 30 of 39 first answers that could be read; Wilson
    assert "76.9[61.7, 87.4]n = 39" in text.partition("Informative wording, % of")[2]
    write_run(runs, "clip-pets-20", kl=20.0, target=20.0)
    cross = {"fingerprint": "f", "vlm": "other", "images": "i", "fallback_classes": []}
    cross |= {"accuracy": 0.75, "low": 0.7, "high": 0.8, "n": 200, "correct": 150, "correct_bits": ""}
    write_cross(runs / "clip-pets", cross | {"against_own": None})
    html = index(runs)[1]
    assert 'id="table-06-cross-pets"' in html
    assert 'id="table-09-kl-targets"' in html


def write_cross(run: Path, row: dict[str, object]) -> None:
    from analysis.results.runs import aligned_texts, read_run
    from ex2.run.descriptions import digest_of

    digest = digest_of(aligned_texts(read_run(run).results[0]))
    write_json(run / "seed-0/cross.json", {"descriptions": digest, "classifiers": [row]})


def test_image_sets_are_on_the_page_beside_runs(tmp_path: Path) -> None:
    write_run(tmp_path, "clip-pets")
    run = read_run(tmp_path / "clip-pets")
    plain = render_index([run], Rules(), where=tmp_path, problems=())
    assert "Image sets" not in plain
    write_page(demo(), tmp_path / "sets")
    measured = [(tmp_path / "sets", demo()), (tmp_path / "other", replace(demo(), name="other"))]
    text = said(page := Page(render_index([run], Rules(), where=tmp_path, problems=(), measured=measured)))
    assert text.count("original is worth more than templates: its CLER is 14.9") == 2
    assert text.count("The ensemble flatters permuted, which is not told from nothing.") == 2
    links = [attrs["href"] for tag, attrs in page.elements if tag == "a"]
    assert "sets/report.html" in links
    assert "other/report.html" not in links
    assert "What each image set is worth" in text


def test_hypotheses_are_on_the_page(runs: Path) -> None:
    assert 'id="table-07' not in index(runs)[1], "nothing probed"
    reached = {"value": 13.0, "low": 12.0, "high": 14.0, "n": 2, "seeds": 1}
    run = {
        "run": "clip-pets",
        "vlm": "clip-vit-b32",
        "kl": {"reached": reached, "by_seed": {"0": 13.0}, "target": 10.0},
    }
    counted = {"vlm": "clip-vit-b32", "low": 0.6, "high": 0.8, "n": 200}
    tested = {
        "only_first": 0,
        "only_second": 20,
        "difference": -0.1,
        "difference_low": -0.15,
        "difference_high": -0.05,
        "p": 0.004,
        "p_holm": 0.004,
    }
    part = {
        "dataset": "pets",
        "split": "test",
        "phrases": {},
        "plain_template": "A photo of a {}.",
        "templates": [
            {"template": "A blur of {}.", "phrase": "a blur of {}", "runs": ["clip-pets"], "from_file": False}
        ],
        "plain": [counted | {"accuracy": 0.7}],
        "results": [counted | tested | {"accuracy": 0.6, "template": "A blur of {}.", "significant": True}],
        "runs": [run | {"texts": None, "seeds": [0], "missing_seeds": []}],
        "mined_classes": ["pug"],
        "tested_classes": ["oak"],
    }
    found = {"format": 2, "own": "clip-pets", "seed": 0, "confidence": 0.95, "datasets": [part]}
    found |= {
        "bootstrap_samples": 200,
        "templates_source": "",
        "tests": 1,
        "correction": "Holm over all tests of this file",
    }
    write_json(runs / "clip-pets/probe.json", found)  # as a version wrote it whose verb was `ex2 probe`

    def hypotheses(*words: str) -> str:
        page, html = index(runs, *words)
        assert '<details class="card" id="table-07-hypotheses">' in html
        shown = said(page).partition("Templates made of phrases")[2].partition("</table>")[0]
        return shown.replace("\u00a0", " ")

    text = hypotheses()
    assert "A blur of {}." in text
    assert "−10.0 † KL 13.0[−15.0, −5.0]" in text
    assert "align-pets: no hypotheses; run `ex2 phrases` on it." in text
    assert "† KL 13.0" not in hypotheses("--kl-tolerance", "40"), "the page's tolerance is the table's"


def test_a_name_spans_its_rows_and_cells_tell_all() -> None:
    empty = Cell(empty="no run")
    flagged = Cell("percent", 55.33, 53.4, 57.25, 2550, kl=13.0, kl_target=10.0, kl_off_target=True, notes=("why",))
    rows = [
        Row(("clip", "templates"), (flagged,)),
        Row(("clip", "EX2"), (empty,)),
        Row(("align", "templates"), (empty,)),
    ]
    view = table_view(Table("key", "Title", ("VLM", "descriptions"), ("pets",), tuple(rows), ("note",)))
    assert view.heads == ("VLM", "descriptions", "pets")
    assert [row.names for row in view.rows] == [
        (("clip", 2), ("templates", 1)),
        (("EX2", 1),),
        (("align", 1), ("templates", 1)),
    ]
    (cell,) = view.rows[0].cells
    assert (cell.main, cell.mark.replace("\u00a0", " ")) == ("55.3", "† KL 13.0")
    assert [line.replace("\u00a0", " ") for line in cell.details] == ["[53.4, 57.2]", "n = 2,550", "why"]
    assert view.rows[1].cells[0][:2] == ("", ("no run",))


def test_runs_tell_how_far_their_judge_can_be_trusted(runs: Path) -> None:
    path = RunDirectory(runs / "align-pets").seed(0).breakdown
    shares = read_json(path)
    shares["judge"]["exact"] = False
    write_json(path, shares)
    (runs / "deep er/align-cub/agreement.json").write_text("{")
    page, _ = index(runs)
    text = said(page)
    assert "Aligned descriptions" in text
    assert "grammar & councalibratedrubric paper-1" in text
    assert "grammar & coexactrubric paper-1" in text
    assert "grammar & counknown: " in text, "a broken file of people's answers does not cost the page"
    assert "agreement.json: " in text


def test_runs_that_are_not_analyzed_are_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "clip-pets/seed-0/breakdown.json").unlink()
    page, _ = index(runs)
    assert "Left out of every number:" in page.text
    assert "clip-pets: no seed has been analysed" in page.text
    assert "2 runs in" in capsys.readouterr().out
    for name in ("align-pets", "deep er/align-cub"):
        (runs / name / "seed-0/accuracy.json").unlink()
    assert main(["index", str(runs)]) == 2
    assert "no run to show" in capsys.readouterr().err
    assert main(["index", str(runs / "gone")]) == 2
    assert "gone: not found" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1200])
def test_in_a_browser(chromium: Any, runs: Path, tmp_path: Path, width: int, scheme: str) -> None:
    write_run(runs, "hostile", vlm=HOSTILE, dataset="<b>pets</b>" * 8, kinds={"visual": 21, "informative_unparsed": 9})
    index(runs)
    with browser.opened(chromium, runs / "index.html", width=width, scheme=scheme) as page:
        browser.open_all(page)
        assert browser.sticking_out(page) == []
        texts = (
            ".lead",
            ".verdict",
            ".number",
            ".number.better",
            ".kinds",
            ".grid-table .soft",
            ".flag",
            "summary",
            "a",
        )
        for selector in (*texts, "td small"):
            assert browser.contrast(page, selector) >= 4.5, selector
        assert browser.contrast(page, ".bar span:not([class*=unparsed])", "background") >= 3
        bar = page.locator(".bar").first
        parts = [part.bounding_box() for part in bar.locator("span").all()]
        gaps = [right["x"] - left["x"] - left["width"] for left, right in pairwise(parts)]
        assert gaps == pytest.approx([2.0] * len(gaps), abs=0.01)
        assert page.locator(".kinds").first.inner_text().startswith("visual: 20")
        assert page.locator(".kinds").first.is_visible()
        looks = {
            kind: page.locator(f".legend .fill-{kind}").evaluate("e => getComputedStyle(e).background")
            for kind in ("visual", "non_visual", "spurious", "unparsed", "informative_unparsed")
        }
        assert len(set(looks.values())) == 5
        assert all(("gradient" in look) == ("unparsed" in kind) for kind, look in looks.items())
        if width != 320:
            browser.screenshot(page, f"index-{width}-{scheme}", tmp_path)


@pytest.mark.parametrize("width", [320, 390])
def test_on_a_phone_the_indexs_tables_are_cards(chromium: Any, runs: Path, width: int) -> None:
    index(runs)
    with browser.opened(chromium, runs / "index.html", width=width) as page:
        browser.open_all(page)
        found = browser.cards(page)
        assert len(found) > 100
        assert [cell for cell in found if cell["label"] != cell["header"]] == []
        assert [cell for cell in found if not (cell["beside"] and cell["inside"])] == []
        assert browser.wide_boxes(page) == []
        again = page.locator("#table-01-accuracy .again").all_inner_texts()
        assert again == ["align-base", "align-base", "clip-vit-b32", "clip-vit-b32"], "a name that spanned its rows"
        naming = page.locator("#table-01-accuracy thead .naming").all_inner_texts()
        assert naming == ["VLM", "descriptions"]


def test_paper_holds_the_index(chromium: Any, runs: Path) -> None:
    index(runs)
    with browser.opened(chromium, runs / "index.html", width=718) as page:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        assert page.locator("details").count() > 6
        assert page.locator("details:not([open])").count() == 0
        assert browser.wide_boxes(page) == []
        assert browser.sticking_out(page) == []
