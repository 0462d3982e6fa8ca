"""The paper's Figure 4 as bars: shares of attribute mentions, VLMs side by side, a panel for each dataset."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from markupsafe import Markup

from analysis.attributes.judges import OTHERS
from analysis.attributes.record import Attributes, Group
from analysis.attributes.wording import classes_words, how_tested, verdict_words
from analysis.figures import svg
from analysis.figures.palette import COLORS
from analysis.results.kl import KL_TOLERANCE, kl_summary
from analysis.results.pooling import Pooled

LEFT, BAR, RIGHT = 112.0, 13.0, 132.0
"""Pixels: width of the labels, height of a bar, width of the numbers beside the bars."""

WIDE, PAGE, NARROW = 4.6, 7.1, 1.9
"""Pixels per percent: in a file, on a page of width `PAGE_WIDTH`, and on a phone."""

PAGE_WIDTH, PHONE_WIDTH = 960.0, 350.0
"""Widths of the drawings for pages and for phones in pixels, the same as those of the report's other drawings."""

STYLE = "".join(f".vlm-{index}{{fill:{color}}}" for index, color in enumerate(COLORS))
"""CSS rules that the report's style sheet does not have."""


def attributes_figure(
    result: Attributes,
    *,
    tolerance: float = KL_TOLERANCE,
    unit: float = WIDE,
    least: float = 0.0,
    key: str = "attributes",
) -> Markup:
    """Draw the shares of attribute mentions in all informative descriptions.

    Args:
        result: Result of `ex2 attributes` for one or several runs.
        tolerance: How far the KL may be off its target, as a share of the target.
        unit: Pixels per percent.
        least: Least width of the drawing in pixels; a page would stretch a narrower one to its own width.
        key: Name of the drawing, unique in the page.

    Returns:
        An SVG that uses the classes of the report's style sheet. Attributes without a mention on a dataset are left
        out; the others are ordered by their greatest share, with `others` last. How VLMs were compared is written below
        each panel.
    """
    parts = [Markup("<style>{}</style>").format(Markup(STYLE))]
    top, said = 16.0, []
    widest = least
    for dataset in dict.fromkeys(group.dataset for group in result.groups):
        groups = [group for group in result.groups if group.dataset == dataset]
        drawn, top, reach = _panel(dataset, groups, result.confidence, top, unit, tolerance)
        parts += drawn
        widest = max(widest, reach)
        for row in result.comparisons:
            if row.dataset == dataset:
                top += 22
                verdict, _, open_ends = verdict_words(row).partition(": ")
                parts.append(svg.text(0, top, f"{row.first} and {row.second}: {verdict}", "small"))
                for line in filter(None, (open_ends, how_tested(row), classes_words(row))):
                    top += 17
                    parts.append(svg.text(0, top, line, "tick"))
                widest = max(widest, 560.0)
        top += 40
        for group in groups:
            shares = {name: own.of_mentions for name, own in group.all.attributes.items() if own.mentions}
            words = ", ".join(f"{name} {100 * share.value:.1f} %" for name, share in shares.items() if share)
            said.append(f"{dataset}, {group.label}: {words or 'nothing mentioned'}")
    return svg.document(
        widest,
        max(top - 28, 40),
        parts,
        title="Attributes that informative descriptions mention",
        description="; ".join(said) + ".",
        key=key,
    )


def drawn_attributes(groups: Sequence[Group]) -> list[str]:
    """Return the attributes that any of these groups mentions, ordered by falling greatest share, `others` last."""
    shares = {
        name: [share.value for group in groups if (share := group.all.attributes[name].of_mentions)]
        for name in groups[0].all.attributes
        if any(group.all.attributes[name].mentions for group in groups)
    }
    return sorted(shares, key=lambda name: (name == OTHERS, -max(shares[name])))


def _panel(
    dataset: str, groups: Sequence[Group], confidence: float, top: float, unit: float, tolerance: float
) -> tuple[list[Markup], float, float]:
    """Draw one dataset; return the elements, the y of their lower edge, and the width."""
    order = drawn_attributes(groups)
    shares = {name: [group.all.attributes[name].of_mentions for group in groups] for name in order}
    highest = [min(100 * share.high, 100) for row in shares.values() for share in row if share and share.high]
    reach = max([20.0, *highest, *(100 * share.value for row in shares.values() for share in row if share)])
    ticks = [tick for tick in svg.ticks(0, reach, 3 if unit == NARROW else 5) if tick <= max(reach, 90) + 10]
    parts = [svg.text(0, top, f"{dataset}: share of mentions, %", "strong")]
    top += 18
    parts.append(svg.text(0, top, f"{confidence:.0%} intervals".replace("%", "\u00a0%"), "tick"))
    widest = 0.0
    for index, group in enumerate(groups):
        top += 22
        parts.append(svg.rect(0, top - 10, 11, 11, _css(index), radius=2))
        mark = " †" if group.kl and group.kl.off(tolerance) else ""
        parts.append(svg.text(18, top, f"{group.label}{mark}", "small"))
        most = 46 if unit == NARROW else 120
        known = (counts_words(group), kl_summary(group.kl, tolerance))
        for line in [line for words in known for line in textwrap.wrap(words, most)]:
            top += 16
            parts.append(svg.text(18, top, line, "tick"))
            widest = max(widest, 24 + 6.3 * len(line))
    start = top + 38
    step = len(groups) * (BAR + 3) + 12
    end = start + step * len(order)
    for tick in ticks if order else ():
        x = LEFT + tick * unit
        parts.append(svg.line((x, start - 6), (x, end - 6), "grid"))
        parts.append(svg.text(x, start - 11, f"{tick:g}", "tick", anchor="middle"))
    y = start
    for name in order:
        parts.append(svg.text(LEFT - 10, y + (step - 12) / 2 + 4, name, "small", anchor="end"))
        for index, share in enumerate(shares[name]):
            if share is not None:
                parts += _bar(share, y + index * (BAR + 3), index, f"{groups[index].label}: {name}", unit)
        y += step
    return parts, end, max(widest, LEFT + ticks[-1] * unit + RIGHT if order else 0.0)


def counts_words(group: Group) -> str:
    """Return `n = 96 mentions in 96 descriptions, 2 seeds`, and how many answers could not be read.

    Args:
        group: A run's attributes.
    """
    part = group.all
    seeds = len(group.seeds)
    said = f"n = {part.mentions:,} mentions in {part.descriptions:,} descriptions"
    said += f", {seeds} seed{'' if seeds == 1 else 's'}"
    if group.missing_seeds:
        said += f" (seed {', '.join(map(str, group.missing_seeds))} missing)"
    return said + (f", {part.unparsed} unparsed" if part.unparsed else "")


def _bar(share: Pooled, y: float, index: int, name: str, unit: float) -> list[Markup]:
    value = 100 * share.value
    words, end = f"{value:.1f}", value
    parts = []
    if share.low is not None and share.high is not None:
        low, high = max(100 * share.low, 0.0), min(100 * share.high, 100.0)  # t over seeds knows no bounds
        words, end = f"{value:.1f} [{low:.1f}–{high:.1f}]", max(high, value)
        parts.append(svg.interval(LEFT + low * unit, LEFT + high * unit, y + BAR / 2, "whisker"))
    return [
        svg.rect(LEFT, y, value * unit, BAR, _css(index), radius=2, tip=f"{name} {words} %"),
        *parts,
        svg.text(LEFT + end * unit + 8, y + BAR - 2, words, "tick"),
    ]


def _css(index: int) -> str:
    return f"vlm-{index % len(COLORS)}"
