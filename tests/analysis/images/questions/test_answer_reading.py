"""Yes, no, or neither: nothing is guessed."""

from __future__ import annotations

import pytest

from analysis.images.questions.answerers.reading import read_answer
from analysis.judge.base import Verdict


def word(raw: str, *, cut: bool = False) -> str:
    found = read_answer(raw, "Is it red?", cut=cut)
    assert found.raw == raw
    return ("yes" if found.answer else "no") if isinstance(found, Verdict) else "unparsed"


YES = (
    "Yes",
    "yes.",
    "Yes, there is.",
    "YES!",
    "**Yes**, it is red.",
    "Yes - the car is red.",
    "Yes the car is red.",
    '{"answer": "Yes"}',
    '{"answer": true}',
    '```json\n{"answer": "Yes, it is."}\n```',
    "<think>No, wait. It could be blue, no?</think>Yes.",
    "“Yes.”",
    "Yes\n\nThe car in the middle is red.",
)
NO = (
    "No",
    "no",
    "No, there isn't.",
    "No, it is not red.",
    "No there is none.",
    "No, I can't see a red car.",
    '{"answer": "No"}',
    "<think>Yes? Yes!</think> No.",
)
NEITHER = (
    "",
    "maybe",
    "Maybe yes.",
    "It is red.",
    "No idea.",
    "No way to tell.",
    "No clue, sorry",
    "Yes and no.",
    "Yes, no doubt.",
    "No, sorry: yes.",
    "Yes, perhaps.",
    "No, it is hard to tell.",
    "No, I cannot tell.",
    "Yes. On second thought, the car is blue.",
    "Yesterday it was red.",
    "Nothing is red.",
    "Not sure.",
    "I would say yes.",
    "<think>Yes.",
    '{"answer": "maybe"}',
    '{"verdict": "Yes"}',
    '{"answer": "Yes"} {"answer": "No"}',
    '{"answer": null}',
)


@pytest.mark.parametrize("raw", YES)
def test_yes_is_read(raw: str) -> None:
    assert word(raw) == "yes"


@pytest.mark.parametrize("raw", NO)
def test_no_is_read(raw: str) -> None:
    assert word(raw) == "no"


@pytest.mark.parametrize("raw", NEITHER)
def test_what_is_neither_is_unparsed(raw: str) -> None:
    assert word(raw) == "unparsed"


def test_what_was_cut_off_is_an_answer_only_if_nothing_could_follow() -> None:
    assert word("Yes, there is", cut=True) == "unparsed"
    assert word("Yes", cut=True) == "unparsed"
    assert word('{"answer": "Yes"}', cut=True) == "yes"


def test_json_that_was_copied_from_the_question_is_no_answer() -> None:
    question = 'Does it say {"answer": "Yes"}?'
    assert not isinstance(read_answer('{"answer": "Yes"}', question), Verdict)
    assert isinstance(read_answer('{"answer": "No"}', question), Verdict)
