"""Pages in a real browser: found, opened and watched, and what an eye would measure on them.

Screenshots go to `$EX2_SCREENSHOTS` if it is set, else to the test's own folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from needs import absent
from playwright.sync_api import sync_playwright
from processes import PATIENCE

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def launched() -> Iterator[Any]:
    """Start the machine's Chromium."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        absent("browser", "there is no Chromium on this machine")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=1000 * PATIENCE)
        yield browser
        browser.close()


def new_page(browser: Any, **settings: Any) -> Any:
    """Return an empty page that waits as long as a busy machine needs.

    Args:
        browser: Launched.
        **settings: As Playwright's, such as `viewport` and `color_scheme`.
    """
    page = browser.new_page(**settings)
    page.set_default_timeout(1000 * PATIENCE)
    return page


@contextmanager
def opened(browser: Any, path: Path, *, width: int = 1200, scheme: str = "light", height: int = 900) -> Iterator[Any]:
    """Open a file; at the end the browser must not have complained, nor have asked for anything else."""
    page = new_page(browser, viewport={"width": width, "height": height}, color_scheme=scheme)
    problems: list[str] = []
    elsewhere: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda sent: elsewhere.append(sent.url))
    try:
        page.goto(path.as_uri())
        yield page
        assert problems == []
        assert [url for url in elsewhere if not url.startswith("data:")] == [path.as_uri()]
    finally:
        page.close()


def screenshot(page: Any, name: str, otherwise: Path) -> Path:
    """Keep a picture of the whole page.

    Args:
        page: Opened.
        name: Of the file, without ending.
        otherwise: Folder if `$EX2_SCREENSHOTS` is not set.

    Returns:
        Where it is.
    """
    folder = Path(os.environ.get("EX2_SCREENSHOTS", otherwise))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path


COLORS = """
    const rgba = text => { const v = text.match(/[\\d.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v; };
    const over = (front, back) => [0, 1, 2].map(i => front[3] * front[i] + (1 - front[3]) * back[i]).concat(1);
    const luminance = colour => colour.slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
      const back = rgba(getComputedStyle(element).backgroundColor);
      if (back[3] === 1) return back;
      return over(back, element.parentElement ? behind(element.parentElement) : [255, 255, 255, 1]);
    };
    const ratio = (one, other) => {
      const [a, b] = [one, other].map(luminance);
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
"""


def contrast(page: Any, selector: str, of: str = "color", pseudo: str = "") -> float:
    """Return the least WCAG contrast of the elements that a selector finds with what is behind them.

    Args:
        page: Opened.
        selector: Must find some that are shown.
        of: `color` of the text, `border` against what is outside, `fill` of a drawing's part or `background` of a box.
        pseudo: Such as `::placeholder`.
    """
    found = page.evaluate(
        "([selector, of, pseudo]) => {"
        + COLORS
        + """
      const shown = [...document.querySelectorAll(selector)].filter(e => e.getClientRects().length);
      return shown.map(element => {
        const style = getComputedStyle(element, pseudo || null), outside = () => behind(element.parentElement);
        if (of === "border") return ratio(over(rgba(style.borderTopColor), outside()), outside());
        if (of === "background") return ratio(behind(element), outside());
        if (of === "fill") {
          const fill = rgba(style.fill);
          return ratio(over([...fill.slice(0, 3), fill[3] * Number(style.fillOpacity)], outside()), outside());
        }
        return ratio(over(rgba(style.color), behind(element)), behind(element));
      });
    }""",
        [selector, of, pseudo],
    )
    assert found, f"nothing that is shown: {selector}"
    return float(min(found))


def smallest_text(page: Any) -> float:
    """Return the size in pixels of the smallest text in a drawing that is shown."""
    return float(
        page.evaluate("""() => Math.min(...[...document.querySelectorAll("svg text")]
          .filter(e => e.getClientRects().length && e.textContent.trim())
          .map(e => parseFloat(getComputedStyle(e.querySelector("tspan") || e).fontSize) * e.getScreenCTM().a))""")
    )


def sticking_out(page: Any) -> list[str]:
    """Return the words of drawings that are cut at an edge, and the boxes whose content is wider than they are."""
    return list(
        page.evaluate("""() => {
      const cut = [...document.querySelectorAll("svg text")].filter(e => {
        if (!e.getClientRects().length) return false;
        const box = e.getBBox(), view = e.ownerSVGElement.viewBox.baseVal;
        return box.x < -1 || box.x + box.width > view.width + 1 || box.y + box.height > view.height + 6;
      }).map(e => `text: ${e.textContent}`);
      for (const box of document.querySelectorAll(".tile, figure, .findings, .grid-table td, .filters"))
        if (box.scrollWidth > box.clientWidth) cut.push(`${box.className || box.tagName}: ${box.innerText}`);
      const whole = document.documentElement;
      if (whole.scrollWidth > innerWidth) cut.push(`page: ${whole.scrollWidth} in ${innerWidth}`);
      return cut;
    }""")
    )


def wide_boxes(page: Any) -> list[str]:
    """Return the regions that are narrower than the table in them."""
    return list(
        page.evaluate("""() => [...document.querySelectorAll(".scroll, .card, main")]
          .filter(e => e.getClientRects().length && e.scrollWidth > e.clientWidth)
          .map(e => `${e.ariaLabel || e.className || e.tagName}: ${e.scrollWidth} in ${e.clientWidth}`)""")
    )


def cards(page: Any) -> list[dict[str, Any]]:
    """Return what each shown cell of a table laid out as cards has beside its value, and where.

    Returns:
        For each cell: the `label` that is shown and the `header` of its column, whether the label is `beside` its value
        (left of it, in one line with its beginning), and whether both are `inside` the window.
    """
    return list(
        page.evaluate("""() => [...document.querySelectorAll("table.cards td[data-label]")]
      .filter(cell => cell.getClientRects().length).map(cell => {
        const row = cell.parentElement, table = row.closest("table"), heads = [...table.tHead.rows[0].cells];
        const columns = heads.length, place = columns - [...row.cells].reverse().indexOf(cell) - 1;
        const value = cell.firstElementChild.getBoundingClientRect(), box = cell.getBoundingClientRect();
        const label = getComputedStyle(cell, "::before").content.replace(/^"|"$/g, "");
        return {
          label: label === "none" ? "" : label, header: heads[place].textContent,
          beside: value.left > box.left + 40 && value.top - box.top < 8,
          inside: box.left >= 0 && box.right <= innerWidth,
        };
      })""")
    )


def open_all(page: Any) -> None:
    """Open everything that is folded."""
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
