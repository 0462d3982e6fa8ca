"""JSON that no stage writes is refused, in one line that says where."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from reward.errors import UserError
from reward.files import append_jsonl, read_json, read_jsonl, read_object, read_rows, write_jsonl
from reward.strict_json import JSONFault, decode, line_of


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"", 1, "empty"),
        (b" \n\n", 3, "empty"),
        (b'{"a": 1,\n"b": "\xff"}', 2, "not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', 1, "not UTF-8"),  # a surrogate in bytes
        (b'{"a": 1,\n "a": 2}', 2, 'the key "a" occurs twice in an object'),
        (b'{"a": 1,\n "\\u0061": 2}', 2, 'the key "\\u0061" occurs twice in an object'),
        (b'[{"a": 1}, {"b": {"a": 1,\n\n"a": 1}}]', 3, 'the key "a" occurs twice in an object'),
        (b"[1,\nNaN]", 2, "NaN is no number"),
        (b"[\n\n-Infinity]", 3, "-Infinity is no number"),
        (b"[1.5, 1e308]", 1, "1e308 is too large a number"),
        (b"-1e999", 1, "-1e999 is too large a number"),
        (b'{"a":\n' + b"7" * 5000 + b"}", 2, "an integer of 5000 digits is too large a number"),
        (b"[" * 100_000, 1, "more than 100 levels of nesting"),
        (b'{"a":\n' * 100_000, 101, "more than 100 levels of nesting"),
        (b'["fine",\n"\\ud800"]', 2, 'half of a surrogate pair in "\\ud800"'),
        (b'{"a": 1', 1, "not JSON (Expecting ',' delimiter)"),
        (b'{"a": 1}\n{"b": 2}', 2, "not JSON (Extra data)"),
    ],
)
def test_what_is_refused(content: bytes, line: int, reason: str) -> None:
    with pytest.raises(JSONFault) as caught:
        decode(content)
    assert (caught.value.line, caught.value.reason) == (line, reason)


def test_what_is_taken() -> None:
    assert decode(b'\xef\xbb\xbf{"a": "NaN, \\"a\\": 1e999", "b": [{"a": 1}, {"a": 2}]}') == {
        "a": 'NaN, "a": 1e999',
        "b": [{"a": 1}, {"a": 2}],
    }
    assert decode('["\\ud83d\\ude00", -3, 2.5e-300, 1e99, null, true]') == ["😀", -3, 2.5e-300, 1e99, None, True]


DOCUMENT = """
{
 "a": 1,
 "b": [
  {"x": ", {"},
  {
   "x": null
  }
 ]
}
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [(("a",), 3), (("b", 0, "x"), 5), (("b", 1, "x"), 7), (("b", 1, "missing"), 6), (("missing",), 2), ((), 2)],
)
def test_the_line_of_a_value(path: Sequence[str | int], line: int) -> None:
    assert line_of(DOCUMENT, path) == line


def faults(path: Path, content: bytes) -> list[str]:
    path.write_bytes(content)
    found = []
    for read in (read_json, read_object, read_jsonl):
        try:
            read(path)
        except UserError as error:
            found.append(str(error))
    assert path.read_bytes() == content, "nothing is overwritten"
    return found


@pytest.mark.parametrize("content", [b"[]", b"5", b"null"])
def test_what_is_no_object_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    held = (
        f"{path}: line 1: it holds '{content.decode()}': an object is allowed; delete the file and run its stage again."
    )
    assert faults(path, content) == [
        f"{path}: line 1: not of the form that its stage writes; delete it and run its stage again.",
        held,
    ]
    assert faults(path, content + b"\n")[1] == held


def test_a_torn_row_is_told_where_the_log_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": 2')
    assert read_jsonl(path) == [{"n": 1}]
    with pytest.raises(UserError) as caught:
        read_jsonl(path, finished=True, remedy="do something")
    assert str(caught.value) == f"{path}: line 2: cut off; do something."


def test_what_is_no_torn_row_is_not_cut_away(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n": 1}\nmy notes')
    with pytest.raises(UserError, match="line 2: it holds 'my notes': an object is allowed; move the file away"):
        append_jsonl(path, [{"n": 2}])
    assert path.read_bytes() == b'{"n": 1}\nmy notes'


def test_half_a_surrogate_pair_is_written_as_what_is_no_character(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_jsonl(path, [{"raw": "yes \ud83d"}, {"raw": "\U0001f600"}])
    assert read_jsonl(path) == [{"raw": "yes \ufffd"}, {"raw": "😀"}]
    write_jsonl(path, [{"raw": "\udc00"}])
    assert read_jsonl(path) == [{"raw": "\ufffd"}]


def test_two_rows_with_one_key_are_told_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_jsonl(path, [{"n": 1}, {"n": 2}, {"n": 1}])

    def read(key: object) -> list[int]:
        return read_rows(path, lambda row: int(row["n"]), what="number", remedy="", key=key)  # type: ignore[arg-type]

    assert read(None) == read(lambda number: None) == [1, 2, 1]
    with pytest.raises(UserError) as caught:
        read(lambda number: number)
    assert str(caught.value) == (
        f"{path}: line 3: the same number as on line 1, as after two processes wrote at once; delete one of the two "
        "lines, or move the file away and run its stage again."
    )


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(UserError, match=r"x\.json: is no file; move it away and run its stage again\."):
        read_json(tmp_path / "x.json")
