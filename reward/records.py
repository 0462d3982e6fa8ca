"""Records that files hold: a dataclass that reads itself from a JSON object, checking what it finds, and writes itself.

    @dataclass(frozen=True)
    class Confusion(Record):
        class_name: Annotated[str, Field(alias="class")]
        images: int

    Confusion.from_json({"class": "cat", "images": 3}).to_json()

A field is stored under its alias, or under its name if it has none. Unknown keys are ignored, so that a later version
may add keys. A field with a default may be missing, as in files of earlier versions. Pydantic reads and checks files. A
record that is made in code is not checked by pydantic: the type checker does that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Self, cast, get_type_hints

from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

JSON = dict[str, Any]
"""A JSON object."""


class Flat:
    """Marks a field that is itself a record and whose keys are stored among those of the record that holds it:
    `Annotated[Hits, Flat()]`."""


class Omitted:
    """Marks a field that is left out of the file if it is empty or None, as files of earlier versions lack it."""


class Keyed:
    """Stores a named tuple as an object: `Annotated[Estimate, Keyed(value="share")]`.

    Args:
        keys: Field → its key in the file, for fields whose key is not their name.
    """

    def __init__(self, **keys: str) -> None:
        self.keys = keys

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return pydantic's schema that reads and writes the tuple as an object."""
        key_of = {name: self.keys.get(name, name) for name in source._fields}
        hints = get_type_hints(source)
        parameters = [
            core_schema.arguments_parameter(
                name, handler.generate_schema(hints[name]), mode="positional_or_keyword", alias=key
            )
            for name, key in key_of.items()
        ]
        schema = core_schema.call_schema(core_schema.arguments_schema(parameters), source)

        def read(stored: Any) -> Any:
            if not isinstance(stored, dict):
                raise ValueError("an object is allowed")  # a sequence would be taken for positional arguments
            return {key: stored[key] for key in key_of.values() if key in stored}

        def write(value: Any) -> JSON:
            return {key: getattr(value, name) for name, key in key_of.items()}

        return core_schema.no_info_before_validator_function(
            read, schema, serialization=core_schema.plain_serializer_function_ser_schema(write)
        )


class Record:
    """Base of dataclasses that read themselves from JSON and write themselves as JSON."""

    def to_json(self) -> JSON:
        """Return the record as the JSON object that a file holds."""
        stored: JSON = _adapter(type(self)).dump_python(self, mode="json", by_alias=True)
        return stored

    @classmethod
    def from_json(cls, stored: Any) -> Self:
        """Make a record of the JSON object that a file holds.

        Raises:
            ValidationError: If a key is missing or its value is of another type; `problems` words it.
        """
        record: Self = _adapter(cls).validate_python(stored)
        return record

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return pydantic's schema, with fields marked `Flat` and `Omitted` read and written as these say."""
        schema = handler(source)
        marked = _marked(cls)
        if not marked:
            return schema
        # Where the record is met again, pydantic takes what it knows by this name: it must be what is made here.
        inner = {**handler.resolve_ref_schema(schema)}
        name = inner.pop("ref")
        flat = [name for name, marks in marked.items() if Flat in marks]
        omitted = [name for name, marks in marked.items() if Omitted in marks]

        def read(stored: Any) -> Any:
            return {**stored, **dict.fromkeys(flat, stored)} if isinstance(stored, dict) else stored

        def write(record: Any, dump: Callable[[Any], JSON]) -> JSON:
            stored: JSON = {}
            for key, value in dump(record).items():
                if key in flat:
                    stored |= value
                elif value or key not in omitted:
                    stored[key] = value
            return stored

        return core_schema.no_info_before_validator_function(
            read,
            cast(CoreSchema, inner),
            ref=cast(str, name),
            serialization=core_schema.wrap_serializer_function_ser_schema(write, schema=cast(CoreSchema, inner)),
        )


def problems(error: ValidationError) -> list[str]:
    """Return one message per problem of a stored object: its key, what was given and what is allowed."""
    lines = []
    for found in error.errors():
        key = ".".join(str(part) for part in found["loc"])
        if found["type"] in ("missing", "missing_argument"):
            lines.append(f"'{key}' is missing")
        else:
            place = f"'{key}' is {found['input']!r:.60}" if key else f"it holds {found['input']!r:.60}"
            lines.append(f"{place}: {found['msg'][0].lower()}{found['msg'][1:]}")
    return lines


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


def _marked(cls: type[Any]) -> dict[str, set[type[Any]]]:
    """Return the marks of each marked field, by the field's name; a marked field has no alias."""
    assert dataclasses.is_dataclass(cls), f"{cls} is no dataclass"
    found = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        marks = {type(mark) for mark in getattr(hint, "__metadata__", ())} & {Flat, Omitted}
        if marks:
            found[name] = marks
    return found
