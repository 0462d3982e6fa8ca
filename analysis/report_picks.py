"""Parts of a drawing that filter the report's table of descriptions; in a file of its own a drawing ignores them."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup


def pick(parts: Iterable[Markup], *, policy: str, kind: str, label: str) -> Markup:
    """Group elements that the page's script turns into a button; without the script they are a drawing as any.

    Args:
        parts: Elements.
        policy: Whose descriptions are shown then.
        kind: Which of them: a kind, a group, or nothing for all.
        label: What the button is called.

    Returns:
        A `g` element.
    """
    return Markup('<g class="pick" data-policy="{}" data-kind="{}" data-label="{}">{}</g>').format(
        policy, kind, label, Markup("").join(parts)
    )
