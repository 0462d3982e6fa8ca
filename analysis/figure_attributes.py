"""The paper's Figure 4 as bars: shares of attribute mentions, VLMs side by side, a panel for each dataset."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from analysis import svg
from ex2.run_dir import JSON

EDGE, LEFT, UNIT, BAR, RIGHT = 12.0, 142.0, 4.6, 13.0, 128.0
"""Pixels: of the margin, of margin and labels, for a per cent, of a bar's height, of the numbers beside the bars."""

COLOURS = ("#1468b3", "#b84713", "#0f7560", "#7b4aa8", "#8b8678", "#a37200", "#3f6f8f", "#a33b6a")
"""Of the first VLM, the second, …; each differs from its neighbours in lightness too."""

STYLE = (
    "svg{background:#fffefb;font:13px system-ui,'Segoe UI',Roboto,'Liberation Sans',sans-serif;fill:#1c2230}"
    ".strong{font-weight:600}.soft{fill:#586173}.grid{stroke:#e7e3d9}.whisker{stroke:#1c2230;fill:none;stroke-width:1.4}"
    ".halo{stroke:#fffefb;fill:none;stroke-width:4;opacity:.7}"
    + "".join(f".vlm-{index}{{fill:{colour}}}" for index, colour in enumerate(COLOURS))
)


def attributes_figure(result: JSON) -> Markup:
    """Draw the shares of all informative descriptions.

    Args:
        result: Content of `attributes.json`.

    Returns:
        An SVG that stands alone; attributes without a mention on a dataset are left out, the others ordered by their
        greatest share, `others` last.
    """
    parts = [Markup("<style>{}</style>").format(Markup(STYLE))]
    top, said = 24.0, []
    longest = 0.0
    for dataset in dict.fromkeys(group["dataset"] for group in result["groups"]):
        groups = [group for group in result["groups"] if group["dataset"] == dataset]
        drawn, top, reach = _panel(dataset, groups, result["confidence"], top)
        parts += drawn
        longest = max(longest, reach)
        top += 34
        for group in groups:
            shares = {name: row["of_mentions"] for name, row in group["all"]["attributes"].items() if row["mentions"]}
            words = ", ".join(f"{name} {100 * share['share']:.1f} %" for name, share in shares.items())
            said.append(f"{dataset}, {group['vlm']}: {words or 'nothing mentioned'}")
    return svg.document(
        LEFT + longest * UNIT + RIGHT,
        max(top - 20, 40),
        parts,
        title="Attributes that informative descriptions mention",
        description="; ".join(said) + ".",
        key="attributes",
    )


def _panel(dataset: str, groups: Sequence[JSON], confidence: float, top: float) -> tuple[list[Markup], float, float]:
    shares = {
        name: [group["all"]["attributes"][name]["of_mentions"] for group in groups]
        for name in groups[0]["all"]["attributes"]
        if any(group["all"]["attributes"][name]["mentions"] for group in groups)
    }
    heights = {name: max(share["share"] for share in row if share) for name, row in shares.items()}
    order = sorted(shares, key=lambda name: (name == "others", -heights[name]))
    reach = max([20.0, *(100 * share["high"] for row in shares.values() for share in row if share)])
    ticks = [tick for tick in svg.ticks(0, reach) if tick <= reach + 10]
    reach = ticks[-1]
    parts = [svg.text(EDGE, top, f"{dataset}: share of mentions, %, {confidence:.0%} intervals", "strong")]
    top += 10
    for index, group in enumerate(groups):
        top += 18
        parts.append(svg.rect(EDGE, top - 10, 11, 11, _css(index), radius=2))
        counts = f"n = {group['all']['mentions']} mentions in {group['all']['descriptions']} descriptions"
        if group["all"]["unparsed"]:
            counts += f", {group['all']['unparsed']} unparsed"
        parts.append(svg.spans(EDGE + 18, top, [(f"{group['vlm']} ", ""), (counts, "soft")]))
    start = top + 30
    step = len(groups) * (BAR + 3) + 12
    end = start + step * len(order)
    for tick in ticks:
        x = LEFT + tick * UNIT
        parts.append(svg.line((x, start - 6), (x, end - 6), "grid"))
        parts.append(svg.text(x, start - 11, f"{tick:g}", "soft", anchor="middle"))
    y = start
    for name in order:
        parts.append(svg.text(LEFT - 10, y + (step - 12) / 2 + 4, name, anchor="end"))
        for index, share in enumerate(shares[name]):
            if share is not None:
                parts += _bar(share, y + index * (BAR + 3), index, f"{groups[index]['vlm']}: {name}")
        y += step
    return parts, end, reach


def _bar(share: JSON, y: float, index: int, name: str) -> list[Markup]:
    value, low, high = (100 * share[key] for key in ("share", "low", "high"))
    words = f"{value:.1f} [{low:.1f}–{high:.1f}]"
    return [
        svg.rect(LEFT, y, value * UNIT, BAR, _css(index), radius=2, tip=f"{name} {words} %"),
        svg.interval(LEFT + low * UNIT, LEFT + high * UNIT, y + BAR / 2, "whisker"),
        svg.text(LEFT + high * UNIT + 8, y + BAR - 2, words, "soft"),
    ]


def _css(index: int) -> str:
    return f"vlm-{index % len(COLOURS)}"
