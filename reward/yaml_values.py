"""Reads YAML that a user wrote: whatever cannot be read, or cannot be meant, is an error with its line.

PyYAML's own constructors fail with exceptions of Python's, expand aliases without a limit and follow any depth. YAML's
dates, sets and bytes fit no setting, so they are refused here, where the line is known.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from reward.errors import UserError, shortened
from reward.images import open_regular

MOST_LEVELS = 40
"""Deepest nesting; a recipe has six levels."""
MOST_VALUES = 200_000
"""Most values after every alias is replaced by what it stands for; a long text counts as several."""
MOST_DIGITS = 18
"""Most digits of an integer: what 64 bits hold."""
MOST_BYTES = 2 << 20
"""Largest file."""

_PREFIX = "tag:yaml.org,2002:"
_REFUSED = {
    "timestamp": "is a date in YAML; put it in quotes",
    "binary": "is of the YAML type !!binary; give text",
    "set": "is of the YAML type !!set; give a list",
    "omap": "is of the YAML type !!omap; give a mapping",
    "pairs": "is of the YAML type !!pairs; give a list",
    "merge": "merges another mapping (<<); write its settings out",
}
_PLAIN = {"int", "float", "bool", "null", "timestamp"}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def read_yaml(text: str, where: str) -> Any:
    """Return the value of a YAML document.

    Args:
        text: One document.
        where: File or key, for the message.

    Raises:
        UserError: If it is no YAML, has a key twice, is nested too deeply, becomes too large by aliases, or holds what
            fits no setting: dates, bytes, integers of more than 64 bits, control characters. The message has one line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # nosec B506 # a SafeLoader that takes even less
    except yaml.MarkedYAMLError as error:
        mark, words = error.problem_mark or error.context_mark, error.problem or error.context or "no document"
        line = f"line {mark.line + 1}: " if mark else ""
        raise UserError(f"{where}: {line}not valid YAML: {_one_line(words)}.") from error
    except yaml.reader.ReaderError as error:
        line = f"line {text.count(chr(10), 0, error.position) + 1}: "
        code = f"U+{ord(error.character):04X}" if isinstance(error.character, str) else f"U+{error.character:04X}"
        raise UserError(f"{where}: {line}not valid YAML: the character {code} is not allowed.") from error
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not valid YAML: {_one_line(str(error))}.") from error
    except (RecursionError, ValueError, OverflowError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise UserError(f"{where}: not valid YAML: {_one_line(str(error))}.") from error


def read_text(path: Path) -> str:
    """Return the text of a file that a user wrote, without a byte order mark.

    Raises:
        UserError: If it is no regular file, is too large, or is not UTF-8.
        OSError: If it is missing or cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise UserError(f"{path}: has {size:,} bytes; at most {MOST_BYTES:,} are read.")
        content = file.read(MOST_BYTES)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}: cannot be read: line {line} is not UTF-8; save the file as UTF-8.") from error


def _one_line(words: str) -> str:
    return shortened(" ".join(words.split()), 300)


class _Extent(NamedTuple):
    """Number of values and depth of a node, with aliases replaced by what they stand for."""

    values: int
    levels: int


class _Loader(yaml.SafeLoader):
    """Keys are text as it stands there, `1` and `no` too. YAML keeps the last of two equal keys: here an error."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._level = 0
        self._extents: dict[int, _Extent] = {}
        """By the identity of a finished node."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._level += 1
        if self._level > MOST_LEVELS:
            raise _problem(f"nested more than {MOST_LEVELS} levels deep", event.start_mark)
        node = super().compose_node(parent, index)
        self._level -= 1
        if node is None:
            return None
        if isinstance(event, yaml.AliasEvent) and id(node) not in self._extents:
            raise _problem(f"the alias '{_one_line(str(event.anchor))}' is in what it stands for", event.start_mark)
        extent = self._extents.setdefault(id(node), self._extent(node))
        if extent.values > MOST_VALUES:
            raise _problem(f"more than {MOST_VALUES:,} values, aliases replaced", event.start_mark)
        if extent.levels > MOST_LEVELS:
            raise _problem(f"nested more than {MOST_LEVELS} levels deep", event.start_mark)
        return node

    def _extent(self, node: yaml.Node) -> _Extent:
        if isinstance(node, yaml.ScalarNode):
            return _Extent(1 + len(node.value) // 64, 1)
        nodes = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        parts = [self._extents[id(part)] for part in nodes]
        return _Extent(1 + sum(part.values for part in parts), 1 + max((part.levels for part in parts), default=0))

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        kind = node.tag.removeprefix(_PREFIX)
        if kind in _REFUSED:
            given = f"'{_one_line(node.value)}' " if isinstance(node, yaml.ScalarNode) else "a value "
            raise _problem(given + _REFUSED[kind], node.start_mark)
        try:
            if kind == "int" and sum(map(str.isalnum, node.value)) > MOST_DIGITS:
                raise _problem(
                    f"an integer of more than {MOST_DIGITS} digits: '{_one_line(node.value)}'", node.start_mark
                )
            return super().construct_object(node, deep=deep)
        except (ValueError, OverflowError, TypeError, AttributeError, KeyError, IndexError) as error:
            given = _one_line(node.value) if isinstance(node, yaml.ScalarNode) else "…"
            raise _problem(f"'{given}' is no {kind}", node.start_mark) from error

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str):
            odd = _CONTROL.search(value) or _SURROGATE.search(value)
            if odd:
                raise _problem(f"the character U+{ord(odd[0]):04X} is not allowed in a value", node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        if isinstance(node, yaml.MappingNode):
            node.value = [(_as_text(key), value) for key, value in node.value]
            for part, _ in node.value:
                key = self.construct_object(part, deep=True)
                if not isinstance(key, str):
                    raise _problem("a list or mapping is no key", part.start_mark)
                if key in keys:
                    raise _problem(f"key '{_one_line(key)}' stands twice", part.start_mark)
                keys.add(key)
        return super().construct_mapping(node, deep=deep)


def _problem(words: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=words, problem_mark=mark)


def _as_text(key: yaml.Node) -> yaml.Node:
    if isinstance(key, yaml.ScalarNode) and key.tag.removeprefix(_PREFIX) in _PLAIN:
        return yaml.ScalarNode(f"{_PREFIX}str", key.value, key.start_mark, key.end_mark, key.style)
    return key


def yaml_line(value: Any) -> str:
    """Return a value as YAML on one line, as the command line takes it."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...").strip()
