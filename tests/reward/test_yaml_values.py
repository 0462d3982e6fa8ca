"""YAML that a user wrote is a value, or an error of one line with the place: never a traceback, never a hang."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from reward.errors import UserError
from reward.yaml_values import read_text, read_yaml

BOMB = "\n".join(
    ["a0: &a0 [x,x,x,x,x,x,x,x,x]", *(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))]
)
"""Nine to the power of nine values in nine lines."""
CHAIN = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60))])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: 2024-99-99", "line 1: not valid YAML: '2024-99-99' is a date in YAML; put it in quotes."),
        ("a: 1\nname: 2024-01-02", "line 2: not valid YAML: '2024-01-02' is a date in YAML; put it in quotes."),
        ("a: 2001-12-14t21:59:43.10-05:00", "is a date in YAML"),
        ("a: !!int abc", "line 1: not valid YAML: 'abc' is no int."),
        ("a: !!float x", "line 1: not valid YAML: 'x' is no float."),
        ("a: !!bool maybe", "line 1: not valid YAML: 'maybe' is no bool."),
        ("a: !!int ''", "line 1: not valid YAML: '' is no int."),
        ("a: " + "9" * 5000, "line 1: not valid YAML: an integer of more than 18 digits: '9999"),
        ("a: 0x" + "f" * 40, "an integer of more than 18 digits"),
        ("a: !!binary '%%'", "is of the YAML type !!binary; give text"),
        ("a: !!set {x, y}", "is of the YAML type !!set; give a list"),
        ("a: !!omap [x: 1]", "is of the YAML type !!omap; give a mapping"),
        ("a: !!pairs [x: 1]", "is of the YAML type !!pairs; give a list"),
        ("a: &a {x: 1}\nb:\n  <<: *a", "line 3: not valid YAML: '<<' merges another mapping"),
        ("a: !!python/object/apply:os.system [x]", "could not determine a constructor for the tag"),
        ("a: !own x", "could not determine a constructor for the tag '!own'"),
        ("a: &a [*a]", "line 1: not valid YAML: the alias 'a' is in what it stands for."),
        ("a: &a {b: *a}", "the alias 'a' is in what it stands for"),
        ("a: *nothing", "found undefined alias 'nothing'"),
        ("a: " + "[" * 5000, "line 1: not valid YAML: nested more than 40 levels deep."),
        ("a: " + "{a: " * 5000, "nested more than 40 levels deep"),
        ("\n".join(" " * n + "a:" for n in range(100)), "line 40: not valid YAML: nested more than 40 levels deep."),
        (BOMB, "line 6: not valid YAML: more than 200,000 values, aliases replaced."),
        (CHAIN, "nested more than 40 levels deep"),
        ('a: "\\ud800"', "line 1: not valid YAML: the character U+D800 is not allowed in a value."),
        ('a: "x\\0y"', "line 1: not valid YAML: the character U+0000 is not allowed in a value."),
        ('a: "\\e[2J"', "the character U+001B is not allowed in a value"),
        ("b: 1\na: \x00", "line 2: not valid YAML: the character U+0000 is not allowed."),
        ("a: \x1b[2J", "line 1: not valid YAML: the character U+001B is not allowed."),
        ("a:\n\tb: 1", "line 2: not valid YAML: found character '\\t' that cannot start any token."),
        ("? [a, b]\n: 1", "line 1: not valid YAML: a list or mapping is no key."),
        ("? {a: b}\n: 1", "a list or mapping is no key"),
        ("a: 1\na: 2", "line 2: not valid YAML: key 'a' stands twice."),
        ("a: {1: x, '1': y}", "key '1' stands twice"),
        ("a: 1\n---\nb: 2", "line 2: not valid YAML: but found another document."),
        ("a: [1", "expected ',' or ']'"),
        ("%YAML 9.9\n---\na: 1", "found incompatible YAML document"),
        ("a: =", "could not determine a constructor"),
    ],
)
def test_mistakes_have_one_line_with_the_place(text: str, problem: str) -> None:
    started = time.monotonic()
    with pytest.raises(UserError) as caught:
        read_yaml(text, "x.yaml")
    message = str(caught.value)
    assert time.monotonic() - started < 2
    assert message.startswith("x.yaml: ")
    assert problem in message
    assert "\n" not in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: 1, b: [1.5, true, null, text]}", {"a": 1, "b": [1.5, True, None, "text"]}),
        ("name: '2024-01-02'", {"name": "2024-01-02"}),
        ("a: 999999999999999999", {"a": 999999999999999999}),
        ("a: -0x1F", {"a": -31}),
        ('a: "x\\ty\\nz ü 😀"', {"a": "x\ty\nz ü 😀"}),
        ("a: &a [1, 2]\nb: *a", {"a": [1, 2], "b": [1, 2]}),
        ("{1: one, 01: other, no: Norway, 2024-01-02: day, ~: nothing}", {
            "1": "one", "01": "other", "no": "Norway", "2024-01-02": "day", "~": "nothing"
        }),
        ("", None),
    ],
)  # fmt: skip
def test_values(text: str, value: Any) -> None:
    """Keys are the text that stands there, so that folders `1` and `01`, and the class `no`, stay what they are."""
    assert read_yaml(text, "x.yaml") == value


def test_files_that_are_no_text_are_refused_and_nothing_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(UserError, match=r"pipe\.yaml: is a pipe or a device, which is not read; give a regular file\."):
        read_text(tmp_path / "pipe.yaml")
    with pytest.raises(UserError, match="zero: is a pipe or a device"):
        read_text(Path("/dev/zero"))
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xfc\n")
    with pytest.raises(UserError, match=r"latin\.yaml: cannot be read: line 2 is not UTF-8; save the file as UTF-8\."):
        read_text(tmp_path / "latin.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (2 * 1024 * 1024 + 1))
    with pytest.raises(UserError, match=r"large\.yaml: has 2,097,153 bytes; at most 2,097,152 are read\."):
        read_text(tmp_path / "large.yaml")
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_text(tmp_path / "bom.yaml") == "a: 1\n"
