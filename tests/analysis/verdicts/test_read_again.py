"""Logs of versions that read texts by other rules: read again, not asked again, and unchanged for old results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from judge_stub import NO, YES, completion, starting

from analysis.judge.base import JudgeRequest, Unparsed, Usage, Verdict
from analysis.judge.panel import PanelJudge
from analysis.judge.scripted import ScriptedJudge
from analysis.judge.server.client import OpenAIJudge
from analysis.verdicts.asking import judge_descriptions, known_verdicts
from analysis.verdicts.verdicts import VerdictRow, asked_digest, former_digests, judge_digest, read_verdicts
from ex2.run.descriptions import DescribedClass
from reward.files import append_jsonl, read_jsonl, write_jsonl

serve = pytest.fixture(starting)

CUT = f"<think>The form is {YES}"
SECOND = "538040e3066b"
ROWS = [DescribedClass("oak", f"text {number}") for number in range(4)]
FORMER = {  # what an earlier version made of it, what is made of it today
    CUT: ("yes", None),
    f"<think>{YES}</think>{NO}": ("yes", False),
    f"{YES} {NO}": ("no", None),
    "**No**": ("unparsed", False),
}


def write_former(path: Path, judge: Any, digest: str, raws: list[str] | None = None) -> None:
    rows = []
    for one, raw, (word, _) in zip(ROWS, raws or list(FORMER), FORMER.values(), strict=True):
        answer = (
            Unparsed(raw, Usage(1, 100, 7)) if word == "unparsed" else Verdict(word == "yes", raw, Usage(1, 100, 7))
        )
        rows.append(VerdictRow.of(JudgeRequest("informative", *one), answer, judge, digest).to_json())
    write_jsonl(path, rows)


def test_texts_of_an_earlier_log_are_read_again_and_not_asked_again(serve: Any, tmp_path: Path) -> None:
    server = serve(lambda body, number: completion("{}"))
    settings = {"model": "m", "base_url": server.url, "cache": ":memory:"}
    judge, path = OpenAIJudge(**settings), tmp_path / "verdicts.jsonl"
    earlier, digest = asked_digest("openai", settings), judge_digest("openai", settings)
    write_former(path, judge, earlier)
    before = path.read_text()
    assert len(known_verdicts(judge, path, digest=digest, earlier=(earlier,)).reread) == 4
    assert path.read_text() == before, "a look writes nothing"
    for _ in range(2):
        verdicts = judge_descriptions(judge, ROWS, path, digest=digest, earlier=(earlier,))
        assert [verdicts.answer("informative", *one) for one in ROWS] == [today for _, today in FORMER.values()]
        assert verdicts.spent == Usage(4, 400, 28), "what was paid counts once"
        assert len(read_jsonl(path)) == 8, "and is written once"
    assert server.asked == []
    assert path.read_text().startswith(before)
    former = read_verdicts(path, digest=earlier)
    assert [former.answer("informative", *one) for one in ROWS] == [True, True, False, None], "for stored results"


def test_without_an_earlier_digest_and_for_judges_without_texts_nothing_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    judge = OpenAIJudge("m", "http://localhost:1/v1")
    write_former(path, judge, "former")
    assert len(known_verdicts(judge, path, digest="d").verdicts) == 0
    assert len(known_verdicts(judge, path, digest="former", earlier=("former",)).reread) == 0
    assert len(known_verdicts(ScriptedJudge(), path, digest="d", earlier=("former",)).verdicts) == 0


def test_a_panels_votes_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    panel = PanelJudge([{"name": "openai", "model": name, "base_url": "http://localhost:1/v1"} for name in "abc"])
    said = [(CUT, CUT, NO), (NO, f"<think>{YES}</think>{NO}", YES), (YES, YES, CUT), ("No", "No", YES)]
    words = [("yes", "yes", "no"), ("no", "yes", "yes"), ("yes", "yes", "yes"), ("unparsed", "unparsed", "yes")]
    raws = [
        json.dumps(
            [{"judge": name, "verdict": word, "raw": raw} for name, word, raw in zip(panel.names, w, r, strict=True)]
        )
        for w, r in zip(words, said, strict=True)
    ]
    write_former(path, panel, "former", raws)
    verdicts = known_verdicts(panel, path, digest="d", earlier=("former",)).verdicts
    assert [verdicts.answer("informative", *one) for one in ROWS] == [None, False, True, False]
    assert json.loads(verdicts.raw("informative", *ROWS[0]))[0] == {
        "judge": panel.names[0],
        "verdict": "unparsed",
        "raw": CUT,
    }
    assert verdicts.spent == Usage(4, 400, 28)


def test_the_digest_knows_the_rules_of_reading_only_where_texts_are_read() -> None:
    assert judge_digest("openai", {"model": "m"}) != asked_digest("openai", {"model": "m"})
    panel = {"judges": [{"name": "scripted"}, {"name": "openai", "model": "m"}]}
    assert judge_digest("panel", panel) != asked_digest("panel", panel)
    for name, settings in (
        ("scripted", {}),
        ("local", {"model": "m"}),
        ("panel", {"judges": [{"name": "scripted"}] * 2}),
    ):
        assert judge_digest(name, settings) == asked_digest(name, settings)


def test_the_digest_of_what_is_asked_is_that_of_earlier_versions() -> None:
    """Written down from the version before: logs of today's runs must be found."""
    assert asked_digest("openai", {"model": "m", "rubric": "paper"}) == "5343744d64e4"
    members = [{"name": "scripted"}, {"name": "openai", "model": "m", "timeout": 3.0, "rubric": "paper"}]
    assert asked_digest("panel", {"judges": members}) == "900eac5fda76"


def test_a_log_of_any_earlier_version_is_found_and_the_newest_reading_goes_first(serve: Any, tmp_path: Path) -> None:
    """Written down from the version that read for the second time: it had this digest."""
    server = serve(lambda body, number: completion("{}"))
    settings = {"model": "m", "base_url": server.url, "cache": ":memory:"}
    found = former_digests("openai", settings)
    assert (len(found), found[-1]) == (2, asked_digest("openai", settings))
    assert judge_digest("openai", settings) not in found
    assert former_digests("openai", {"model": "m", "rubric": "paper"})[0] == SECOND
    assert former_digests("scripted", {}) == (judge_digest("scripted", {}),), "nothing was read there"
    judge, path = OpenAIJudge(**settings), tmp_path / "verdicts.jsonl"
    write_former(path, judge, found[1])
    paid = [VerdictRow.from_json(row) for row in read_jsonl(path)]
    newer = [replace(row, settings=found[0], raw=NO, verdict="no") for row in paid[:2]]
    append_jsonl(path, [row.to_json() for row in newer])
    verdicts = judge_descriptions(judge, ROWS, path, digest=judge_digest("openai", settings), earlier=found)
    assert [verdicts.answer("informative", *one) for one in ROWS] == [False, False, None, False]
    assert server.asked == [], "nothing is paid twice"
    assert len(read_jsonl(path)) == 4 + 2 + 4
