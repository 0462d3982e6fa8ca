"""A damaged cache of answers is set aside and made anew, with a line; no changed answer is ever given."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.judge.base import Usage
from analysis.judge.server.cache import AnswerCache, Kept

NUMBER = 200


def answer(number: int) -> Kept:
    return Kept(f"yes {number} " + "x" * 50, Usage(1, 2, 3), "runs/a")


def filled(path: Path) -> Path:
    with AnswerCache(str(path)) as cache:
        cache._connection.execute("BEGIN")
        for number in range(NUMBER):
            cache.put(f"k{number}", answer(number))
        cache._connection.execute("COMMIT")
    return path


def flip_a_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:12288] = bytes(byte ^ 255 for byte in content[8192:12288])
    path.write_bytes(content)


def other_table(words: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.unlink()
        connection = sqlite3.connect(path)
        connection.execute(words)
        connection.commit()
        connection.close()

    return make


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda path: path.write_bytes(b"no database " * 400), "file is not a database"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "database disk image is malformed"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4096]), "database disk image is malformed"),
        (flip_a_page, "database disk image is malformed"),
        (other_table("CREATE TABLE answers (foo)"), "the table answers has other columns"),
        (other_table("CREATE TABLE answers (key TEXT, answer TEXT)"), "the table answers has other columns"),
        (other_table("CREATE VIEW answers AS SELECT 1 AS key"), "the table answers has other columns"),
    ],
)
def test_a_damaged_file_is_set_aside(
    tmp_path: Path, damage: Callable[[Path], object], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = filled(tmp_path / "judge.sqlite")
    damage(path)
    with AnswerCache(str(path)) as cache:
        found = [cache.get(f"k{number}") for number in range(NUMBER)]
        assert all(kept in (None, answer(number)) for number, kept in enumerate(found))
        cache.put("new", answer(7))
        assert cache.get("new") == answer(7)
    said = capsys.readouterr().err
    assert said == f"{path}: damaged ({fault}): set aside as judge.sqlite.damaged and made anew\n"
    assert path.with_name("judge.sqlite.damaged").exists()


def test_an_empty_file_is_a_new_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "judge.sqlite"
    path.touch()
    with AnswerCache(str(filled(path))) as cache:
        assert cache.get("k3") == answer(3)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("wrong", [b"yEs 7 xx", b"\xffes 7 xx"])
def test_a_changed_answer_is_asked_for_again(tmp_path: Path, wrong: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    path = filled(tmp_path / "judge.sqlite")
    content = path.read_bytes()
    assert content.count(b"yes 7 xx") == 1
    path.write_bytes(content.replace(b"yes 7 xx", wrong))
    with AnswerCache(str(path)) as cache:
        assert (cache.get("k7"), cache.get("k8")) == (None, answer(8))
        assert capsys.readouterr().err == f"{path}: an answer is damaged: it is asked for again\n"
        cache.put("k7", answer(7))
        assert cache.get("k7") == answer(7)


def test_half_a_surrogate_pair_is_kept_as_what_is_no_character(tmp_path: Path) -> None:
    with AnswerCache(str(tmp_path / "judge.sqlite")) as cache:
        cache.put("a", Kept("yes \ud83d", None, None))
        assert cache.get("a") == Kept("yes \ufffd", None, None)


def test_rows_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    path = filled(tmp_path / "judge.sqlite")
    other_table("CREATE TABLE answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")(path)
    connection = sqlite3.connect(path)
    connection.executemany("INSERT INTO answers VALUES (?, ?)", [("a", '{"raw": "yes"}'), ("b", '{"raw": ')])
    connection.commit()
    connection.close()
    with AnswerCache(str(path)) as cache:
        assert (cache.get("a"), cache.get("b")) == (Kept("yes", None, None), None)
