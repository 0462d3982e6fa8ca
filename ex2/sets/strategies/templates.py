"""Prompts that are a class's name in a template: none, the simplest, or those of the data set."""

from __future__ import annotations

from collections.abc import Sequence

from ex2.sets.strategies.base import Classes, Prompt, Prompts, template_problems
from reward.errors import UserError

SIMPLE = "a photo of a {}"


def name(classes: Classes) -> Prompts:
    """Return the bare names: GenBench's simple template as its Table 6 and its code have it."""
    return Prompts("name", {}, lambda label, index: Prompt(classes.names[label]))


def simple(classes: Classes) -> Prompts:
    """Return "a photo of a {}" for every image: GenBench's simple template as its section 2.3 has it."""
    return Prompts("simple", {"template": SIMPLE}, lambda label, index: Prompt(_put(SIMPLE, classes.names[label])))


def defined(classes: Classes, templates: Sequence[str] | None = None) -> Prompts:
    """Return the class's name in many templates.

    The images of a class take the templates in an order of the set's seed and the class, each once, then each once in
    another order: K images of a class use min(K, T) of T templates, and none twice more often than another.

    Args:
        classes: The classes, with the data set's templates.
        templates: Templates with one `{}` each, in place of the data set's.

    Raises:
        UserError: If a template has not one `{}`.
    """
    given = classes.templates if templates is None else tuple(templates)
    problems = template_problems(given, "strategy.templates")
    if problems:
        raise UserError("\n".join(problems))

    taken = classes.in_templates if templates is None and classes.in_templates is not None else classes.names

    def prompt(label: int, index: int) -> Prompt:
        turn = classes.turn(len(given), index, "defined", classes.names[label])
        return Prompt(_put(given[turn], taken[label]))

    note = f"{len(given)} templates, each class's images taking them in turn in a seeded order"
    return Prompts("defined", {"templates": list(given)}, prompt, (note,))


def _put(template: str, class_name: str) -> str:
    return template.replace("{}", class_name)
