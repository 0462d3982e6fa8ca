"""What a setting may hold: texts and numbers that can be written to a file and read back the same."""

from __future__ import annotations

import math
from typing import Any

from pydantic_core import PydanticCustomError


def storable(value: Any) -> Any:
    """Return a setting as it is; for pydantic's validators.

    Args:
        value: What YAML can hold; lists and mappings are looked through, keys included.

    Raises:
        PydanticCustomError: For a text that no path and no UTF-8 file could hold, and for an infinite number or NaN,
            which JSON does not have.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise PydanticCustomError("not_storable", "No text may hold the character NUL")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise PydanticCustomError(
                "not_storable", "No text may hold half of a surrogate pair, which is no character"
            )
    elif isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("not_storable", "No number may be infinite or NaN")
    elif isinstance(value, dict):
        storable(list(value))
        storable(list(value.values()))
    elif isinstance(value, list | tuple):
        for inner in value:
            storable(inner)
    return value


def all_different(values: list[Any]) -> list[Any]:
    """Return a list of settings as it is; for pydantic's validators.

    Raises:
        PydanticCustomError: If an entry stands in it twice.
    """
    if len(set(values)) != len(values):
        raise PydanticCustomError("repeated", "Every entry may stand once only")
    return values


def not_empty(value: list[str] | str) -> list[str] | str:
    """Return a text, or a list of texts, as it is; for pydantic's validators.

    Raises:
        PydanticCustomError: If it, or an entry of the list, is empty.
    """
    if not value or not all(value):
        raise PydanticCustomError("empty", "Neither it nor an entry may be empty")
    return value
