"""Loading a recipe's recognizers: each once before anything is embedded, and again when it is asked."""

from __future__ import annotations

from collections.abc import Sequence

from ex2.recipe import Component
from reward.errors import UserError
from reward.presets import shown_name
from reward.recognizers.base import Recognizer
from reward.recognizers.by_class_names import ByClassNames
from reward.recognizers.table import load_recognizer
from reward.vlm import VLM


def key_of(number: int) -> str:
    """Return where a recognizer stands in the recipe."""
    return f"measure.recognizers.{number}"


def loaded(part: Component, number: int, class_names: Sequence[str], vlm: Component, encoder: VLM) -> Recognizer:
    """Load a recognizer.

    Args:
        part: The recognizer.
        number: Its place in the recipe.
        class_names: Of the dataset, in label order.
        vlm: The recipe's VLM, by whose name tables show it.
        encoder: The same, loaded.

    Raises:
        UserError: If it cannot be loaded.
    """
    made = load_recognizer(part.name, part.settings, key_of(number), classes=tuple(class_names), encoder=encoder)
    if isinstance(made, ByClassNames) and made.encoder is encoder:
        made.name = f"{shown_name(vlm.name, encoder)} by class names"
    return made


def check_loading(parts: Sequence[Component], class_names: Sequence[str], vlm: Component, encoder: VLM) -> None:
    """Load every recognizer, one after another, and keep none. Other arguments are those of `loaded`.

    Args:
        parts: The recipe's recognizers.
        class_names: Of the dataset, in label order.
        vlm: The recipe's VLM.
        encoder: The same, loaded.

    Raises:
        UserError: If some cannot be loaded, or have the same name in tables; a line for each problem.
    """
    problems, names = [], set[str]()
    for number, part in enumerate(parts):
        key = key_of(number)
        try:
            name = loaded(part, number, class_names, vlm, encoder).name
        except UserError as error:
            problems += [line if line.startswith(key) else f"{key}: {line}" for line in str(error).splitlines()]
            continue
        if name in names:
            problems.append(f"{key}: '{name}' stands twice; leave one out.")
        names.add(name)
    if problems:
        raise UserError("\n".join(problems))
