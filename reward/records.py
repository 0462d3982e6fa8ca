"""Records that files hold: a dataclass that reads itself from a JSON object, checking what it finds, and writes itself.

    @dataclass(frozen=True)
    class Confusion(Record):
        class_name: Annotated[str, Field(alias="class")]
        images: int

    Confusion.from_json({"class": "cat", "images": 3}).to_json()

A field is stored under its alias, or under its name if it has none. Unknown keys are ignored, so that a later version
may add keys. A field with a default may be missing, as in files of earlier versions, unless it is marked `Always`.
Pydantic reads and checks files. A record that is made in code is not checked by pydantic: the type checker does that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any, Self, TypeVar, cast, get_args, get_type_hints

from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

JSON = dict[str, Any]
"""A JSON object."""


class Flat:
    """Marks a field that is itself a record and whose keys are stored among those of the record that holds it:
    `Annotated[Hits, Flat()]`."""


class Omitted:
    """Marks a field that is not written where it has its default, as files of earlier versions lack it."""


class Always:
    """Marks a field that every file has: one without it is faulty, although code need not give what has a default."""


class Whole:
    """Marks a mapping that has every key of its `Literal`, and is read without others: `Mapping[Kind, int]`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Tell pydantic which keys there are."""
        key, value = get_args(source)
        return core_schema.typed_dict_schema(
            {name: core_schema.typed_dict_field(handler.generate_schema(value)) for name in get_args(key)}
        )


class Keyed:
    """Stores a named tuple or a plain dataclass as an object: `Annotated[Estimate, Keyed(value="share")]`.

    Args:
        keys: Field → its key, where that is another one; None where it is not stored, and has its default.
    """

    def __init__(self, **keys: str | None) -> None:
        self.keys = keys

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return pydantic's schema that reads and writes the values as an object."""
        hints = get_type_hints(source)
        key_of = {name: key for name in hints if (key := self.keys.get(name, name)) is not None}
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

    def as_written(self, stored: JSON) -> JSON:
        """Return what is written, given the fields as stored: a record may add what other readers want to be told."""
        return stored

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return pydantic's schema, which reads and writes marked fields as their marks say."""
        schema = handler(source)
        flat, omitted, always = _marked(cls)
        if not flat and not omitted and not always and cls.as_written is Record.as_written:
            return schema
        # Where the record is met again, pydantic takes what it knows by this name: it must be what is made here.
        inner = {**handler.resolve_ref_schema(schema)}
        name = inner.pop("ref")
        if always:
            inner["schema"] = _without_defaults(inner["schema"], always)

        def read(stored: Any, take: Callable[[Any], Any]) -> Any:
            try:
                return take({**stored, **dict.fromkeys(flat, stored)} if isinstance(stored, dict) else stored)
            except ValidationError as error:
                raise _raised(error, flat) from None

        def write(record: Any, dump: Callable[[Any], JSON]) -> JSON:
            stored: JSON = {}
            for key, value in dump(record).items():
                if key in flat:
                    stored |= value
                elif key not in omitted or getattr(record, key) != omitted[key]:
                    stored[key] = value
            written: JSON = record.as_written(stored)
            return written

        return core_schema.no_info_wrap_validator_function(
            read,
            cast(CoreSchema, inner),
            ref=cast(str, name),
            serialization=core_schema.wrap_serializer_function_ser_schema(write, schema=cast(CoreSchema, inner)),
        )


Kind = TypeVar("Kind", bound="Record")


def of_format(kind: type[Kind], number: int) -> Callable[[object], Kind | None]:
    """Return what reads a record of one format from a JSON value; one of another format, or of none, is None.

    Args:
        kind: The record, stored with its format under `format`.
        number: The format.

    Raises:
        TypeError: When it reads what is no object.
    """

    def read(stored: object) -> Kind | None:
        if not isinstance(stored, dict):
            raise TypeError("no object")
        return kind.from_json(stored) if stored.get("format") == number else None

    return read


def problems(error: ValidationError) -> list[str]:
    """Return one message per problem of a stored object: its key, what was given and what is allowed."""
    lines = []
    for found in error.errors():
        if found["type"] == "default_factory_not_called":
            continue  # what the default is worked out of is told
        key = ".".join(str(part) for part in found["loc"])
        if found["type"] in ("missing", "missing_argument"):
            lines.append(f"'{key}' is missing")
        else:
            place = f"'{key}' is {found['input']!r:.60}" if key else f"it holds {found['input']!r:.60}"
            lines.append(f"{place}: {found['msg'][0].lower()}{found['msg'][1:]}")
    return list(dict.fromkeys(lines))  # of two flat fields with a key in common, both miss it


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


def _marked(cls: type[Any]) -> tuple[set[str], dict[str, Any], set[str]]:
    """Return the flat fields, the omitted ones with their defaults, and those always there; none has an alias."""
    assert dataclasses.is_dataclass(cls), f"{cls} is no dataclass"
    flat, omitted, always = set(), {}, set()
    hints = get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        marks = {type(mark) for mark in getattr(hints[field.name], "__metadata__", ())}
        if Flat in marks:
            flat.add(field.name)
        if Omitted in marks:
            default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
            assert default is not dataclasses.MISSING, f"{cls}.{field.name} has no default"
            omitted[field.name] = default
        if Always in marks:
            always.add(field.name)
    return flat, omitted, always


def _without_defaults(schema: Any, names: Collection[str]) -> Any:
    """Return the schema of a dataclass's fields, some of which may no longer be missing."""
    fields = [
        {**field, "schema": field["schema"]["schema"]} if field["name"] in names else field
        for field in schema["fields"]
    ]
    return {**schema, "fields": fields}


def _raised(error: ValidationError, flat: Collection[str]) -> ValidationError:
    """Return an error whose places are those in the file: the name of a flat field is no key there."""
    return ValidationError.from_exception_data(
        error.title,
        [
            InitErrorDetails(
                type=found["type"],
                loc=found["loc"][1:] if found["loc"] and found["loc"][0] in flat else found["loc"],
                input=found["input"],
                ctx=found.get("ctx", {}),
            )
            for found in error.errors(include_url=False)
        ],
    )
