"""Negative prompts: names of other classes, and words for what no image is to have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from ex2.sets.strategies.base import Classes, Prompt, Prompts, build_inner
from ex2.sets.strategies.phrases import paper_phrases
from reward.errors import UserError, shown


def negative(
    classes: Classes,
    others: int = 5,
    quality: Literal["none", "paper"] | list[str] = "none",
    over: str | dict[str, Any] = "defined",
) -> Prompts:
    """Return another strategy's prompts with negative ones.

    A negative prompt is words for quality, then the names of other classes in an order of the set's seed, the class and
    the index, so that no set hangs on one choice. It is cut where the next name would not fit the text encoder's
    context: a name is there whole or not at all.

    Args:
        classes: The classes, with how tokens are counted; without that, nothing is cut.
        others: Number of other classes that are named, all if there are fewer.
        quality: Words for what no image is to have: none, the paper's, or a list.
        over: The strategy whose prompts these are, by name or with settings.

    Raises:
        UserError: If a setting does not fit, or the words for quality alone do not fit the context.

    Source: arXiv 2307.13697, sections 2.3 and 9.
    """
    words = list(paper_phrases().negative) if quality == "paper" else [] if quality == "none" else list(quality)
    problems = []
    if others < 0:
        problems.append(f"strategy.others: given {shown(others)}; give a number of classes, from 0.")
    if not others and not words:
        problems.append("strategy.others: given 0, and no quality: nothing is left to be negative; give one of them.")
    if words and not _fits(classes, words):
        problems.append(
            f"strategy.quality: {len(words)} words or phrases take more than the {classes.context} tokens that the "
            "generator reads; give fewer."
        )
    if problems:
        raise UserError("\n".join(problems))
    inner = build_inner(over, classes, "strategy.over")

    def parts(label: int, index: int) -> list[str]:
        own = classes.names[label]
        candidates = [other for other in classes.names if other != own]
        found = list(words)
        for at in classes.order(len(candidates), "negative", own, index)[:others]:
            if not _fits(classes, [*found, candidates[at]]):
                break
            found.append(candidates[at])
        return found

    def prompt(label: int, index: int) -> Prompt:
        return inner(label, index)._replace(negative=", ".join(parts(label, index)))

    named = min(others, len(classes.names) - 1)
    notes = [f"negative prompts name {named} other classes, drawn anew for each image"]
    limited = range(0 if classes.count_tokens is None else len(classes.names))
    cut = sum(len(parts(label, 0)) < len(words) + named for label in limited)
    if cut:
        notes.append(
            f"for {cut} of {len(classes.names)} classes fewer names fit the first image's {classes.context} tokens"
        )
    settings = {
        "others": others,
        "quality": words,
        "context": None if classes.count_tokens is None else classes.context,
        "over": {"name": inner.name, **inner.settings},
    }
    return replace(inner, name="negative", settings=settings, of=prompt, notes=(*inner.notes, *notes))


def _fits(classes: Classes, parts: Sequence[str]) -> bool:
    return classes.count_tokens is None or classes.count_tokens(", ".join(parts)) <= classes.context
