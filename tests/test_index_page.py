"""The page over a folder of runs: self-contained, escaped, linked, and true to the numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from run_samples import write_run
from test_report import Page

from ex2.cli import main

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
    assert "80.0 % [73.9–85.0], n = 200 images+10.0 points [+5.5, +14.5]" in text
    assert "p < 0.001" in text
    assert "76.9 % [61.7–87.4] informative, n = 39" in text
    assert "† KL 13.0 of 10: more than 20 % off" in text
    assert text.count("EX2 not above the templates") == 1
    assert "−0.5 points" in text
    assert "no significant difference, p = 1.000" in text
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
    assert "<script" not in html
    assert "default-src 'none'" in html


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    write_run(tmp_path, "x", vlm=HOSTILE, dataset="<b>pets</b>")
    page, html = index(tmp_path)
    assert HOSTILE in page.text
    assert "<b>pets</b>" in page.text
    assert not {"script", "img"} & {tag for tag, _ in page.elements}
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
    assert {attrs["data-label"] for attrs in cells} == {"pets", "cub"}
    assert 'lang="en"' in html
    assert "visual: 20, non-visual: 10, spurious: 9, unparsed: 1" in said(page), "bars are said in words"


def test_runs_that_are_not_analysed_are_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
