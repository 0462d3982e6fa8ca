"""Strategies for hostile input: values, texts and damaged bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

HOSTILE_TEXTS = (
    "",
    " ",
    "\0",
    "a\nb",
    "\ud800",
    "\ufeffx",
    "e\u0301",
    "x" * 3000,
    "=1+1",
    "\t@x",
    "<script>alert(1)</script>",
    "</script><!--",
    "{}",
    "{0.__class__}",
    "{x}",
    "{",
    "%s%n",
    "../../x",
    "/etc/passwd",
    "a" * 300,
    "10",
    "True",
    "nan",
    "1e999",
    "\u202etxt.exe",
    "\x1b[31mred",
    "*" * 40,
    "(a+)+$",
    "\\",
    "'",
    '"',
    "$(id)",
    "_",
    "-",
)
"""Texts that end, break or turn what they are put into."""

HOSTILE_NUMBERS = (
    *(0, 1, -1, 2, 2**31, 2**63, -(2**63) - 1, 10**400),
    *(0.5, -0.0, 1e-320, 1e308, math.nan, math.inf, -math.inf),
)
"""Numbers out of range, or none at all."""


def nested(depth: int, inner: Any = 0) -> Any:
    """Return a list of a list of a list …, `depth` times."""
    for _ in range(depth):
        inner = [inner]
    return inner


texts = st.sampled_from(HOSTILE_TEXTS) | st.text(max_size=20)
scalars = st.none() | st.booleans() | st.sampled_from(HOSTILE_NUMBERS) | st.integers() | st.floats() | texts
deep = st.sampled_from([1, 50, 90, 200]).map(nested)
values = (
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=5,
    )
    | deep
)
"""What JSON or YAML can hold, where something else is wanted."""


def paths_of(tree: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places in a tree of mappings and lists, its own included."""
    inner = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    return [above, *(path for key, value in inner for path in paths_of(value, (*above, key)))]


def put(tree: Any, path: Sequence[Any], value: Any) -> Any:
    """Return a copy of a tree with another value at a place."""
    if not path:
        return value
    first, *rest = path
    if isinstance(tree, Mapping):
        return {**tree, first: put(tree[first], rest, value)} if first in tree else {**tree, first: value}
    if isinstance(tree, list) and isinstance(first, int) and first < len(tree):
        return [*tree[:first], put(tree[first], rest, value), *tree[first + 1 :]]
    return tree


@st.composite
def spoiled(draw: st.DrawFn, tree: Any, most: int = 3) -> Any:
    """Draw a tree with up to `most` values replaced, keys removed or keys added; now and then with none."""
    for _ in range(draw(st.sampled_from((0, 1, 1, 1, 1, most)))):
        path = draw(st.sampled_from(paths_of(tree)))
        what = draw(st.sampled_from(("value", "value", "value", "key", "missing")))
        if what == "key":
            tree = put(tree, (*path, draw(texts)), draw(values))
        elif what == "missing" and path:
            tree = without(tree, path)
        else:
            tree = put(tree, path, draw(values))
    return tree


def without(tree: Any, path: Sequence[Any]) -> Any:
    """Return a copy of a tree without what stands at a place."""
    first, *rest = path
    if isinstance(tree, Mapping) and first in tree:
        if not rest:
            return {key: value for key, value in tree.items() if key != first}
        return {**tree, first: without(tree[first], rest)}
    if isinstance(tree, list) and isinstance(first, int) and first < len(tree):
        inner = [without(tree[first], rest)] if rest else []
        return [*tree[:first], *inner, *tree[first + 1 :]]
    return tree


def as_json(value: Any) -> bytes:
    """Return JSON, which holds NaN and lone surrogates where the value does."""
    return json.dumps(value).encode()


BROKEN_JSON = (
    *(b"", b"[]", b"5", b"null", b"{}", b'"x"', b"\xff\xfe", b"\xef\xbb\xbf{}", b"{", b"[" * 100_000, b"NaN", b"1e999"),
    *(b'{"a":' * 100_000, b'{"a": 1, "a": 2}', b"\0" * 100, b"9" * 5000, b"{}{}", b"\n\n", b'"\\ud800"', b"\r\n"),
)
"""Content that is no JSON object, or hardly one."""


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes], most: int = 5) -> bytes:
    """Draw the content of a file that was cut, overwritten, stretched or mixed; now and then of a whole one."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, most))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        what = draw(st.sampled_from(("byte", "byte", "byte", "cut", "insert", "delete", "repeat", "zero")))
        if what == "byte" and content:
            content[place] = draw(st.integers(0, 255))
        elif what == "cut":
            del content[place:]
        elif what == "insert":
            content[place:place] = draw(st.binary(max_size=8))
        elif what == "delete":
            del content[place : place + draw(st.integers(1, 16))]
        elif what == "repeat":
            content[place:place] = content[place : place + 32]
        elif what == "zero":
            content[place : place + 8] = bytes(len(content[place : place + 8]))
    return bytes(content)
