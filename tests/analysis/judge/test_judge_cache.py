"""The cache of verdicts: what is kept, for how long, and in whose name it was paid."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from judge_stub import YES, Reply, completion, failure, requests_for, starting

from analysis.judge.base import Answer, JudgeRequest, Usage, Verdict
from analysis.judge.panel import PanelJudge
from analysis.judge.server import cache as cache_module
from analysis.judge.server.cache import AnswerCache, Kept, cache_key
from analysis.judge.server.client import OpenAIJudge
from analysis.verdicts.asking import judge_descriptions
from ex2.run.descriptions import DescribedClass
from reward.errors import EnvironmentFault

serve = pytest.fixture(starting)


def test_cache_key_changes_with_everything_that_matters() -> None:
    message = [{"role": "user", "content": "x"}]
    base = cache_key("http://a/v1", "m", message, {"temperature": 0.1, "top_p": 0.1})
    assert base == cache_key("http://a/v1/", "m", message, {"top_p": 0.1, "temperature": 0.1})
    others = {
        cache_key("http://b/v1", "m", message, {"temperature": 0.1, "top_p": 0.1}),
        cache_key("http://a/v1", "n", message, {"temperature": 0.1, "top_p": 0.1}),
        cache_key("http://a/v1", "m", [{"role": "user", "content": "y"}], {"temperature": 0.1, "top_p": 0.1}),
        cache_key("http://a/v1", "m", message, {"temperature": 0.2, "top_p": 0.1}),
    }
    assert len({base, *others}) == 5


def test_cache_keeps_json_across_openings(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "judge.sqlite")
    cache = AnswerCache(path)
    assert cache.get("k") is None
    cache.put("k", Kept("ünï\u2028 \x00 'quoted'", None, None))
    cache.close()
    cache = AnswerCache(path)
    assert cache.get("k") == Kept("ünï\u2028 \x00 'quoted'", None, None)
    cache.close()
    connection = sqlite3.connect(path)
    stored = connection.execute("SELECT answer FROM answers").fetchone()[0]
    connection.close()
    assert json.loads(stored) == {"raw": "ünï\u2028 \x00 'quoted'"}


def test_cache_default_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EX2_CACHE", str(tmp_path))
    cache = AnswerCache()
    cache.close()
    assert (tmp_path / "judge.sqlite").exists()


def test_a_cache_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "judge.sqlite").mkdir()
    with pytest.raises(
        EnvironmentFault, match=r"judge.sqlite: the judge's cache cannot be used \(unable to open database file"
    ):
        AnswerCache(str(tmp_path / "judge.sqlite"))


def old_file(path: Path, answers: dict[str, str], formats: dict[str, str]) -> None:
    """A cache as it was before it noted what answers took and when formats were learnt."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
    connection.execute("CREATE TABLE formats (server TEXT PRIMARY KEY, format TEXT NOT NULL)")
    connection.executemany(
        "INSERT INTO answers VALUES (?, ?)", [(key, json.dumps({"raw": raw})) for key, raw in answers.items()]
    )
    connection.executemany("INSERT INTO formats VALUES (?, ?)", formats.items())
    connection.commit()
    connection.close()


def test_files_of_before_still_open(tmp_path: Path) -> None:
    path = tmp_path / "judge.sqlite"
    old_file(path, {"k": YES}, {"http://a/v1 m": "text"})
    for _ in range(2):
        with AnswerCache(str(path)) as cache:
            assert cache.get("k") == Kept(YES, None, None)
            assert cache.format_of("http://a/v1 m") is None, "of unknown age"
            cache.put("new", Kept("x", Usage(2, 30, 4), "me"))
    with AnswerCache(str(path)) as cache:
        assert cache.get("new") == Kept("x", Usage(2, 30, 4), "me")


def test_two_processes_may_extend_a_file_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "judge.sqlite"
    old_file(path, {"k": YES}, {})
    extend = AnswerCache._extend

    def other_first(self: AnswerCache, table: str, columns: Any) -> None:
        monkeypatch.setattr(AnswerCache, "_extend", extend)
        AnswerCache(str(path)).close()
        extend(self, table, columns)

    monkeypatch.setattr(AnswerCache, "_extend", other_first)
    with AnswerCache(str(path)) as cache:
        assert cache.get("k") == Kept(YES, None, None)


def test_a_format_is_learnt_anew_after_a_week(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgraded = False

    def handler(body: dict[str, Any], number: int) -> Reply:
        kind = body["response_format"]["type"]
        return completion(YES) if upgraded or kind == "json_object" else failure(400, "no schemas here")

    server = serve(handler)

    def ask(day: float, text: str) -> list[str]:
        monkeypatch.setattr(cache_module.time, "time", lambda: start + day * 86_400)
        before = len(server.asked)
        judge = OpenAIJudge("m", server.url, cache=str(tmp_path / "c.sqlite"))
        judge.answer([JudgeRequest("informative", "oak", text)], lambda request, answer: None)
        return [body["response_format"]["type"] for body in server.asked[before:]]

    start = time.time()
    assert ask(0, "a") == ["json_schema", "json_object"]
    upgraded = True
    assert ask(3, "b") == ["json_object"]
    assert ask(6.9, "c") == ["json_object"], "use alone does not prolong it"
    assert ask(7.1, "d") == ["json_schema"]
    assert ask(14, "e") == ["json_schema"]


# ---------------------------------------------------------------- who paid


def judged(url: str, folder: Path, cache: Path, log: str = "verdicts.jsonl") -> Usage | None:
    folder.mkdir(exist_ok=True)
    rows = [DescribedClass("oak", f"text {number}") for number in range(4)]
    judge = OpenAIJudge("m", url, cache=str(cache), folder=folder, concurrency=1)
    return judge_descriptions(judge, rows, folder / log, digest="d").spent


def test_answers_saved_by_the_cache_count_for_the_run_that_paid(serve: Any, tmp_path: Path) -> None:
    server = serve(lambda body, number: completion(YES.replace("No", "Yes")))
    cache, one, other = tmp_path / "c.sqlite", tmp_path / "one", tmp_path / "other"
    # Each of the four is informative; the visual question gets the wrong key, twice, and is unparsed.
    full = judged(server.url, one, cache)
    assert full == Usage(4 + 8, 1200, 84)
    # A kill lost the log, not the cache: the informative answers are recovered with what they took.
    log = (one / "verdicts.jsonl").read_text().splitlines(keepends=True)
    (one / "verdicts.jsonl").write_text("".join(log[:1] + log[4:]))
    asked = len(server.asked)
    assert judged(server.url, one, cache) == full
    assert len(server.asked) == asked
    assert judged(server.url, one, cache) == full, "and they count once only"
    assert judged(server.url, other, cache) == Usage(8, 800, 56), "another run did not pay for them"


def test_a_judge_without_a_run_pays_for_nobody(serve: Any, tmp_path: Path) -> None:
    server = serve(lambda body, number: completion(YES))
    for expected in (Usage(1, 100, 7), None):
        got: list[Answer] = []
        OpenAIJudge("m", server.url, cache=str(tmp_path / "c.sqlite")).answer(
            requests_for(1),
            lambda request, answer: got.append(answer),  # noqa: B023
        )
        assert got == [Verdict(True, YES)]
        assert got[0].spent == expected


def test_equal_judges_of_a_panel_pay_once(serve: Any, tmp_path: Path) -> None:
    server = serve(lambda body, number: completion(YES))
    member = {"name": "openai", "model": "m", "base_url": server.url, "cache": str(tmp_path / "c.sqlite")}
    got: list[Answer] = []
    PanelJudge([member, member], folder=tmp_path).answer(requests_for(2), lambda request, answer: got.append(answer))
    assert len(server.asked) == 2
    assert [answer.parts for answer in got] == [(Usage(1, 100, 7), Usage())] * 2


def open_files() -> set[str]:
    return {Path(file.path).name for file in psutil.Process().open_files()}


def test_a_file_that_nobody_holds_any_more_is_closed(tmp_path: Path) -> None:
    """Python 3.13 warns of connections that are left open."""
    cache = AnswerCache(str(tmp_path / "held.sqlite"))
    assert "held.sqlite" in open_files()
    del cache
    assert "held.sqlite" not in open_files()
    (tmp_path / "broken.sqlite").write_text("no database" * 100)
    cache = AnswerCache(str(tmp_path / "broken.sqlite"))
    assert "broken.sqlite" in open_files()
    del cache
    assert "broken.sqlite" not in open_files()
