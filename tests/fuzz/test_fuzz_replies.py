"""Hostile replies of judges: read as what they say, or left unparsed; never an exception."""

from __future__ import annotations

import json
import math

import hostile
import pytest
from fuzzing import fuzz, outcome
from hypothesis import strategies as st

from analysis.judge.base import JudgeRequest, Unparsed, Verdict
from analysis.judge.panel import read_votes
from analysis.judge.reading import json_objects
from analysis.judge.rubric import PAPER
from analysis.judge.server.batch_results import read_lines
from analysis.judge.server.replies import Reply, read_reply, retry_after

TAGS = (
    "<think>",
    "</think>",
    "<thinking>",
    "[THINK]",
    "[/THINK]",
    "<|channel|>final<|message|>",
    "◁think▷",
    "◁/think▷",
)
WORDS = ("Yes", "no.", "Actually,", "correction:", "wait", " ", "\n", "```json", "```", "{", "}", "[", '"', "{}", "\\")
OBJECTS = ('{"visual": "Yes"}', '{"visual": "No"}', '{"visual": true}', '{"visual": null}', '{"visual": {"visual": 1}}')
LONG = (
    "{" * 5000,
    '{"a":' * 5000,
    "<think>" * 5000,
    "{}" * 5000,
    "[" * 20_000,
    "<" * 20_000,
    "Yes " * 5000,
    "wait " * 5000,
)
"""What takes long if each place is looked at anew from each other one."""
said = st.lists(
    st.sampled_from(TAGS) | st.sampled_from(WORDS) | st.sampled_from(OBJECTS) | hostile.texts, max_size=8
).map("".join)
VISUAL = JudgeRequest("visual", "cat", "A cat is {grey}.")
KEY = PAPER.part("visual").key


@pytest.mark.parametrize("raw", LONG, ids=lambda raw: raw[:6])
def test_long_replies_take_no_time(raw: str) -> None:
    assert outcome(lambda: PAPER.parse(VISUAL, raw)) == Unparsed(raw)
    assert outcome(lambda: json_objects(raw)) == ([{}] * 5000 if raw.startswith("{}") else [])


@fuzz(
    "replies",
    raw=said,
    cut=st.booleans(),
    description=said,
    meant=st.booleans(),
)
def test_replies_are_read_or_left_unparsed(raw: str, cut: bool, description: str, meant: bool) -> None:
    request = JudgeRequest("visual", "cat", description)
    answer = outcome(lambda: PAPER.parse(request, raw, cut=cut))
    assert isinstance(answer, Verdict | Unparsed)
    assert answer.raw == raw
    assert answer == PAPER.parse(request, raw, cut=cut)
    assert all(isinstance(found, dict) for found in outcome(lambda: json_objects(raw)))
    outcome(lambda: read_votes(raw))
    plain = json.dumps({"explanation": "so", KEY: "Yes" if meant else "No"})
    thought = raw.replace("<", "(").replace("[", "(").replace("◁", "(")  # whose tags might end the block
    assert PAPER.parse(VISUAL, plain) == Verdict(meant, plain)
    assert PAPER.parse(VISUAL, f"<think>{thought}</think>{plain}") == Verdict(meant, f"<think>{thought}</think>{plain}")


COMPLETION = {
    "id": "x",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Yes", "refusal": None}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
PARTS = hostile.put(COMPLETION, ("choices", 0, "message", "content"), [{"type": "text", "text": "Yes"}, "no"])


@fuzz(
    "completions",
    body=hostile.spoiled(COMPLETION).map(json.dumps)
    | hostile.spoiled(PARTS).map(json.dumps)
    | hostile.damaged([hostile.as_json(COMPLETION)]).map(lambda content: content.decode(errors="replace"))
    | st.sampled_from(hostile.BROKEN_JSON).map(lambda content: content.decode(errors="replace")),
    header=hostile.texts
    | st.sampled_from(["1", "-1", "nan", "inf", "1e999", "Fri, 31 Feb 2026 25:00:00 GMT", "9" * 400]),
)
def test_completions_are_replies_or_none(body: str, header: str) -> None:
    reply = outcome(lambda: read_reply(body))
    if reply is not None:
        assert isinstance(reply, Reply)
        assert isinstance(reply.text, str)
        assert all(type(count) is int and count >= 0 for count in reply.spent)
    outcome(lambda: list(read_lines(body)))
    for name in ("retry-after", "retry-after-ms"):
        pause = outcome(lambda name=name: retry_after({name: header}))
        assert pause is None or (isinstance(pause, float) and pause >= 0 and math.isfinite(pause))
