"""Prompts that a language model writes about a class."""

from __future__ import annotations

from functools import cache

from ex2.data.names_in_texts import ClassNames
from ex2.sets.requests import image_seed
from ex2.sets.strategies.base import Classes, Prompt, Prompts, template_problems
from reward.errors import UserError, shown

MOST_TRIES = 100


def sentence(classes: Classes, ask: str = "{}", reject: bool = True, tries: int = 10) -> Prompts:
    """Return sentences by a language model, one for each image.

    Args:
        classes: The classes, with the language model.
        ask: What the model is given, with a `{}` for the class name; the bare name for a word-to-sentence model.
        reject: Whether a sentence that names another class is written again with another seed. A part of the
            class's own name is not another class: "lion" may stand for "sea lion".
        tries: Sentences that are asked for at most for one image.

    Raises:
        UserError: If there is no language model or a setting does not fit; when a prompt is made, if each try is empty
            or names another class.

    Source: arXiv 2307.13697, section 2.3, category enhancement, whose images show what else the sentence names.
    """
    problems = template_problems([ask], "strategy.ask")
    if not 1 <= tries <= MOST_TRIES:
        problems.append(f"strategy.tries: given {shown(tries)}; give from 1 to {MOST_TRIES}.")
    write = classes.write
    if write is None:
        problems.append("strategy: 'sentence' needs a language model that writes, and none is given.")
    if problems or write is None:
        raise UserError("\n".join(problems))
    names = ClassNames(classes.names)

    @cache
    def prompt(label: int, index: int) -> Prompt:
        own, last = classes.names[label], ""
        for attempt in range(tries):
            seed = image_seed(classes.set_seed, f"{own}\0sentence {attempt}", index)
            last = " ".join(write(ask.replace("{}", own), seed).split())
            if last and not (reject and names.names_another(last, label)):
                return Prompt(last)
        why = "names another class" if last else "is empty"
        raise UserError(
            f"strategy: 'sentence': none of {tries} sentences for image {index} of {shown(own)} will do; the last "
            f"{why}: {shown(last)}. Give more tries, another ask, or reject: false."
        )

    notes = ("sentences that name another class were written again",) if reject else ()
    return Prompts("sentence", {"ask": ask, "reject": reject, "tries": tries}, prompt, notes)
