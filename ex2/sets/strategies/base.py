"""What a prompt strategy is given and what it returns, and the table of those that a recipe can name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ex2.data.prompts import generic_templates
from reward.components import Parts, build
from reward.errors import UserError, shown

STRATEGIES = Parts(
    {
        "name": "ex2.sets.strategies.templates:name",
        "simple": "ex2.sets.strategies.templates:simple",
        "defined": "ex2.sets.strategies.templates:defined",
        "restrictive": "ex2.sets.strategies.restrictive:restrictive",
        "negative": "ex2.sets.strategies.negative:negative",
        "sentence": "ex2.sets.strategies.sentence:sentence",
        "descriptions": "ex2.sets.strategies.descriptions:descriptions",
    },
    kind="strategy",
    methods=("__call__",),
)
"""Name → `"module:function"`, imported on use. A recipe may also give a dotted path.

A strategy is a function of `classes` and of the recipe's settings, which returns `Prompts`, or anything that gives for
a label and an index a prompt and a negative prompt.
"""


class Prompt(NamedTuple):
    """What one image is drawn from: what is to be seen, and what is not."""

    text: str
    negative: str = ""


@dataclass(frozen=True)
class Prompts:
    """The prompts of a set.

    Attributes:
        name: The strategy's.
        settings: All that the prompts depend on besides the classes and the set's seed, as JSON, with a hash of what
            was read from files.
        of: Label and index of an image within its class → its prompt. It does not depend on how many images there are.
        notes: What is to be said of them, in sentences.
        needs_weights: Whether the generator must read weights in parentheses, as by its attribute `reads_weights`.
    """

    name: str
    settings: Mapping[str, Any]
    of: Callable[[int, int], Prompt]
    notes: tuple[str, ...] = ()
    needs_weights: bool = False

    def __call__(self, label: int, index: int) -> Prompt:
        """Return the prompt of one image."""
        return self.of(label, index)


@dataclass(frozen=True)
class Classes:
    """What a strategy is given.

    Attributes:
        names: C class names in label order.
        set_seed: Seed of the set.
        templates: Templates of the data set, each with one `{}`; by default the project's 80 generic ones.
        in_templates: What stands for `{}` in these, for each class; None for the names.
        count_tokens: Text → number of its tokens in the generator's text encoder, those at start and end included; None
            for a generator without a context.
        context: Most tokens that the encoder reads.
        write: Language model: text and seed → a text.
    """

    names: tuple[str, ...]
    set_seed: int = 0
    templates: tuple[str, ...] = field(default_factory=generic_templates)
    in_templates: tuple[str, ...] | None = None
    count_tokens: Callable[[str], int] | None = None
    context: int = 77
    write: Callable[[str, int], str] | None = None

    def order(self, count: int, *key: object) -> list[int]:
        """Return a seeded order of so many things, the same in every version of Python.

        Args:
            count: Number of things.
            *key: What the order is of; it depends on this and the set's seed alone.
        """
        return sorted(range(count), key=lambda at: seeded(self.set_seed, *key, at))

    def turn(self, count: int, index: int, *key: object) -> int:
        """Return which of `count` things image `index` takes: each once in a seeded order, then each once in another.

        Args:
            count: Number of things, at least 1.
            index: Number of the image within its class.
            *key: What the things are.
        """
        return self.order(count, *key, index // count)[index % count]


def seeded(*key: object) -> bytes:
    """Return the SHA-256 of some numbers and texts: a random number that depends on nothing else."""
    return hashlib.sha256("\0".join(map(str, key)).encode(errors="surrogatepass")).digest()


def build_strategy(name: str, settings: Mapping[str, Any], classes: Classes, where: str = "strategy") -> Prompts:
    """Build a strategy by its row in the table or a dotted path.

    Raises:
        UserError: For an unknown strategy or setting, or settings that do not fit.
    """
    made = build(name, settings, STRATEGIES, where, classes=classes)
    return made if isinstance(made, Prompts) else Prompts(name, dict(settings), lambda *place: Prompt(*made(*place)))


def build_inner(over: str | Mapping[str, Any], classes: Classes, where: str) -> Prompts:
    """Build the strategy that another one changes the prompts of.

    Args:
        over: Its name, or a mapping with `name` and its settings.
        classes: As the outer strategy was given.
        where: Key of the setting for messages.

    Raises:
        UserError: As `build_strategy`, or if it is neither.
    """
    if isinstance(over, str):
        return build_strategy(over, {}, classes, where)
    if not isinstance(over.get("name"), str):
        raise UserError(f"{where}: given {shown(over)}; give a strategy's name, or a mapping with its name.")
    return build_strategy(over["name"], {key: over[key] for key in over if key != "name"}, classes, where)


def generator_problems(prompts: Prompts, generator: object, where: str) -> list[str]:
    """Return what a generator cannot do with a strategy's prompts, one line each."""
    if prompts.needs_weights and not getattr(generator, "reads_weights", False):
        name = getattr(generator, "name", type(generator).__name__)
        return [
            f"{where}.weighting: 'embedding' is for a generator that weights its text embeddings by parentheses, which "
            f"'{name}' does not (it has no reads_weights); give literal or strip."
        ]
    return []


def template_problems(templates: Sequence[str], where: str) -> list[str]:
    """Return a line for each template that has not one place for the class name, or if there is none."""
    if not templates:
        return [f"{where}: given none; give at least one template with a {{}} for the class name."]
    return [
        f"{where}: given {shown(template)}; a template has one {{}} for the class name."
        for template in templates
        if template.count("{}") != 1
    ]
