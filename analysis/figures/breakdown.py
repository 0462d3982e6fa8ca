"""The paper's Figure 3 as a flow: all → informative / spurious → visual / non-visual, as wide as their shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from analysis.figures import svg
from analysis.figures.svg import pick
from analysis.results.changes import change_of
from analysis.results.experiment import Experiment
from analysis.results.wording import KIND_NAMES, percent, percent_interval, percent_value, points
from analysis.verdicts.breakdown import Group
from analysis.verdicts.verdicts import KINDS
from ex2.policy.source import PolicyName

NODE = 14  # width of a node
GAP = 22  # least space between two nodes or labels
LINE = 18  # height of a line of text


class Node(NamedTuple):
    """One box of the flow.

    Attributes:
        kind: A group, or a kind of unparsed answers; it decides the colour.
        size: Number of descriptions in the box, summed over seeds.
        lines: Lines of the label, each a list of parts with their style: the first has bold and plain parts, the others
            are small.
    """

    kind: str
    size: int
    lines: list[list[tuple[str, str]]]


class Flow(NamedTuple):
    """What one figure shows.

    Attributes:
        total: Number of the policy's descriptions, summed over seeds.
        informative: The middle node.
        leaves: Children of `informative`, from top to bottom.
        others: Nodes beside `informative`: spurious, then unparsed.
        summary: What the figure shows, in words.
    """

    total: int
    informative: Node
    leaves: list[Node]
    others: list[Node]
    summary: str


def breakdown_figure(experiment: Experiment, policy: PolicyName) -> tuple[Markup, Markup] | None:
    """Draw the breakdown of one policy's descriptions.

    Args:
        experiment: A run's experiment. Widths show counts summed over its seeds; numbers are pooled over them.
        policy: The policy; the base model's breakdown is drawn lighter and lower, without accuracies.

    Returns:
        A wide and a narrow drawing (for phones), or `None` if the policy has no descriptions, or the run no shares.
    """
    flow = _flow(experiment, policy)
    if flow is None:
        return None
    return _wide(flow, policy), _narrow(flow, policy)


def _flow(experiment: Experiment, policy: PolicyName) -> Flow | None:
    described = experiment.policies.get(policy)
    if described is None or not described.descriptions or experiment.unread:
        return None
    total = described.descriptions
    lost = {kind: described.kinds[kind] for kind in KINDS[-2:]}
    leaves = [_group(experiment, policy, "visual"), _group(experiment, policy, "non_visual")]
    others = [_group(experiment, policy, "spurious")]
    for kind, nodes in zip(lost, (leaves, others), strict=True):
        if lost[kind]:
            nodes.append(_unparsed(kind, lost[kind]))
    informative = _group(experiment, policy, "informative")
    words = [f"{KIND_NAMES[node.kind]} {node.size}" for node in (informative, *leaves, *others)]
    return Flow(total, informative, leaves, others, f"Of {total} descriptions: {', '.join(words)}.")


def _group(experiment: Experiment, policy: PolicyName, group: Group) -> Node:
    share, within = experiment.share_of_all(policy, group), experiment.share_of_parent(policy, group)
    name = KIND_NAMES[group].capitalize()
    if share is None:
        return Node(group, 0, [[(name, "strong"), (" none", "strong")]])
    lines = [[(f"{name} {percent_value(share)}", "strong"), (percent_interval(share), "soft")]]
    detail = f"{share.count:,} of {share.n:,} descriptions"
    if within and group in ("visual", "non_visual"):
        detail = f"{share.count:,} of {share.n:,}; {percent(within, 0)} of informative"
    lines.append([(detail, "small soft")])
    if policy == "aligned":
        change, accuracy = change_of(experiment, group), experiment.accuracy(group)
        if change:
            note = ", n.s." if change.significant is False else " on base"
            lines.append([(f"{points(change)}{note}", "small soft")])
        if accuracy:
            lines.append([("accuracy ", "small soft"), (percent(accuracy), "small")])
    return Node(group, share.count, lines)


def _unparsed(kind: str, count: int) -> Node:
    return Node(kind, count, [[(f"{KIND_NAMES[kind].capitalize()} ", "strong"), (f"n = {count:,}", "soft")]])


def _wide(flow: Flow, policy: PolicyName) -> Markup:
    light = policy == "base"
    scale = (120 if light else 240) / flow.total  # height of one description
    x = (4.0, 300.0, 600.0)
    top = 16.0 + LINE * max(2, len(flow.informative.lines))
    opacity = " light" if light else ""

    def height(node: Node) -> float:
        return max(node.size * scale, 1.5 if node.size else 0.0)

    def slot(node: Node) -> float:  # a label may be higher than its node
        return max(height(node), LINE * len(node.lines)) + GAP

    everything = [
        svg.rect(x[0], top, NODE, flow.total * scale, f"fill-all{opacity}", radius=2),
        svg.spans(x[0], top - 30, [("All descriptions", "strong")]),
        svg.spans(x[0], top - 12, [(f"{policy} model, n = {flow.total:,}", "small soft")]),
    ]
    parts = [_pick(everything, policy, "", flow.total)]

    def drawn(node: Node, place: int, taken: float, y: float, label: list[Markup]) -> Markup:
        band = _band(x[place - 1], taken, x[place], y, height(node), node.kind, opacity)
        return _pick([band, _node(node, x[place], y, height(node), opacity), *label], policy, node.kind, node.size)

    # The upper edges of All, Informative and Visual are level, so that the labels above them stay clear of the bands.
    informative = flow.informative
    label = _label(informative, x[1], top - 12 - LINE * (len(informative.lines) - 1))
    parts.append(drawn(informative, 1, top, top, label))
    taken, y = top, top
    for leaf in flow.leaves:
        parts.append(drawn(leaf, 2, taken, y, _label(leaf, x[2] + NODE + 10, y + 13)))
        taken, y = taken + height(leaf), y + slot(leaf)
    taken, y = top + height(informative), max(y, top + height(informative) + GAP)
    for other in flow.others:
        parts.append(drawn(other, 1, taken, y, _label(other, x[1] + NODE + 10, y + 13)))
        taken, y = taken + height(other), y + slot(other)
    bottom = max(y - GAP, top + flow.total * scale) + 6
    title = f"Breakdown of the {policy} model's descriptions"
    return svg.document(960, bottom, parts, title=title, description=flow.summary, key=f"flow-{policy}")


def _narrow(flow: Flow, policy: PolicyName) -> Markup:
    """Draw the levels as bars below each other: all, split by informative, split by visual; labels stand below."""
    light = " light" if policy == "base" else ""
    width, bar, space = 350.0, 22.0, 20.0
    unit = width / flow.total
    y0, y1, y2 = 22.0, 22.0 + bar + space, 22.0 + 2 * (bar + space)
    everything = [
        svg.spans(0, 14, [("All descriptions ", "strong"), (f"{policy} model, n = {flow.total:,}", "small soft")]),
        svg.rect(0, y0, width, bar, f"fill-all{light}", radius=2),
    ]
    parts = [_pick(everything, policy, "", flow.total)]
    for above, below, nodes in ((y0, y1, (flow.informative, *flow.others)), (y1, y2, tuple(flow.leaves))):
        left = 0.0
        for node in nodes:
            right = left + node.size * unit
            parts.append(svg.funnel(above + bar, left, right, below, left, right, f"band-{node.kind}{light}"))
            parts.append(svg.rect(left, below, right - left, bar, f"fill-{node.kind}{light}", radius=2))
            left = right
    y = y2 + bar + 26
    # A bar may be narrower than a finger: on phones the labels are what is touched.
    for node in (flow.informative, *flow.leaves, *flow.others):
        indent = 16 if node in flow.leaves else 0
        swatch = svg.rect(indent, y - 11, 12, 12, f"fill-{node.kind}{light}", radius=2)
        touched = svg.rect(0, y - LINE, width, LINE * len(node.lines) + 8, "hit")
        parts.append(_pick([touched, swatch, *_label(node, indent + 20, y)], policy, node.kind, node.size))
        y += LINE * len(node.lines) + 8
    title = f"Breakdown of the {policy} model's descriptions"
    return svg.document(width, y - 12, parts, title=title, description=flow.summary, key=f"flow-{policy}-narrow")


def _pick(parts: Sequence[Markup], policy: PolicyName, kind: str, size: int) -> Markup:
    if not size:
        return Markup("").join(parts)
    what = f"{KIND_NAMES[kind]} descriptions" if kind else "descriptions"
    return pick(parts, policy=policy, kind=kind, label=f"{what} of the {policy} model")


def _band(x0: float, y0: float, x1: float, y1: float, height: float, kind: str, opacity: str) -> Markup:
    return svg.ribbon(x0 + NODE, y0, y0 + height, x1, y1, y1 + height, f"band-{kind}{opacity}")


def _node(node: Node, x: float, y: float, height: float, opacity: str) -> Markup:
    tip = f"{KIND_NAMES[node.kind]}: {node.size} descriptions"
    return svg.rect(x, y, NODE, height, f"fill-{node.kind}{opacity}", radius=2, tip=tip)


def _label(node: Node, x: float, y: float) -> list[Markup]:
    return [svg.spans(x, y + LINE * row, line) for row, line in enumerate(node.lines)]
