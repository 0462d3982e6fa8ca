"""Prompts with phrases that ask for a better image, and with or without parentheses that weight them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from ex2.data.names_in_texts import name_pattern
from ex2.sets.strategies.base import Classes, Prompt, Prompts, build_inner
from ex2.sets.strategies.phrases import paper_phrases
from reward.errors import UserError

Weighting = Literal["literal", "strip", "embedding"]


def restrictive(
    classes: Classes,
    weighting: Weighting,
    phrases: Sequence[str] | None = None,
    emphasize_class: bool = False,
    over: str | dict[str, Any] = "defined",
) -> Prompts:
    """Return another strategy's prompts, each followed by phrases such as "sharp focus".

    Args:
        classes: The classes.
        weighting: What becomes of the paper's double parentheses. `literal`: they stand in the prompt, where a text
            encoder reads them as characters, as diffusers does. `strip`: the phrases stand there without them.
            `embedding`: they stand there for a generator that weights embeddings by them, and no other may draw them.
        phrases: In place of the paper's.
        emphasize_class: Whether the class's name stands in double parentheses too.
        over: The strategy whose prompts these are, by name or with settings.

    Raises:
        UserError: If a setting does not fit; every problem at once.

    Source: arXiv 2307.13697, section 2.3 and Table 6.
    """
    given = paper_phrases().restrictive if phrases is None else tuple(phrases)
    problems = []
    if not given and not emphasize_class:
        problems.append("strategy.phrases: given none; give at least one, or emphasize_class: true.")
    if any(not phrase.strip() for phrase in given):
        problems.append("strategy.phrases: an empty one is given; leave it out.")
    if emphasize_class and weighting == "strip":
        problems.append(
            "strategy.emphasize_class: true has no effect with weighting: strip; give literal or embedding."
        )
    if problems:
        raise UserError("\n".join(problems))
    inner = build_inner(over, classes, "strategy.over")

    def prompt(label: int, index: int) -> Prompt:
        made = inner(label, index)
        text = made.text
        if emphasize_class:
            text = name_pattern(classes.names[label]).sub(lambda found: f"(({found[0]}))", text)
        added = given if weighting == "strip" else [f"(({phrase}))" for phrase in given]
        return made._replace(text=", ".join([text, *added]))

    settings: Mapping[str, Any] = {
        "weighting": weighting,
        "phrases": list(given),
        "emphasize_class": emphasize_class,
        "over": {"name": inner.name, **inner.settings},
    }
    needs_weights = inner.needs_weights or weighting == "embedding"
    return replace(inner, name="restrictive", settings=settings, of=prompt, needs_weights=needs_weights)
