"""What a server declines or leaves empty: one description is counted, all descriptions are the settings' fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from judge_stub import NO, YES, Reply, ask, completion, described, failure, requests_for, starting

from analysis.judge.base import JudgeRequest, Unparsed, Usage, Verdict
from analysis.judge.server import chat
from analysis.judge.server.client import OpenAIJudge
from reward.errors import EnvironmentFault, UserError

serve = pytest.fixture(starting)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_DELAY", 0.002)


def text_of(body: dict[str, Any]) -> str:
    return described(body)


# ---------------------------------------------------------------- a reply without content


def thought(body: dict[str, Any], needed: int) -> Reply:
    """A reasoning model's reply: no content as long as `max_tokens` ends its thoughts."""
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if limit >= needed:
        return completion(YES)
    status, headers, content = completion(None, reasoning_content="Let me see")
    reply = json.loads(content)
    reply["choices"][0]["finish_reason"] = "length"
    return status, headers, json.dumps(reply)


def test_a_model_cut_short_in_its_thoughts_is_asked_once_more_with_more_room(serve: Any) -> None:
    server = serve(lambda body, number: thought(body, 200 if text_of(body) == "text 0" else 10_000))
    answers = ask(OpenAIJudge("m", server.url, cache=":memory:", max_retries=0), requests_for(3))
    assert answers == {"text 0": Verdict(True, YES), "text 1": Unparsed(""), "text 2": Unparsed("")}
    assert [answer.spent for answer in answers.values()] == [Usage(2, 200, 14)] * 3
    assert sorted(body["max_tokens"] for body in server.asked) == [128] * 3 + [256] * 3


def test_a_reply_that_leaves_the_key_out_is_empty_too(serve: Any) -> None:
    body = {"choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant"}}]}
    server = serve(lambda asked, number: (200, {}, json.dumps(body)))
    assert ask(OpenAIJudge("m", server.url, cache=":memory:"), requests_for(1)) == {"text 0": Unparsed("")}
    assert len(server.asked) == 2


def test_the_second_try_doubles_whatever_limits_the_length(serve: Any) -> None:
    server = serve(lambda body, number: thought(body, 800))
    settings = {"max_tokens": None, "temperature": None, "top_p": None, "cache": ":memory:"}
    extra = {"max_completion_tokens": 400, "temperature": 1, "seed": 3}
    judge = OpenAIJudge("m", server.url, **settings, extra_body=extra)
    assert ask(judge, requests_for(1)) == {"text 0": Verdict(True, YES)}
    sent = [{key: body.get(key) for key in ("max_completion_tokens", "temperature", "seed")} for body in server.asked]
    assert sent == [extra, {**extra, "max_completion_tokens": 800}]
    assert "max_tokens" not in server.asked[1]
    judge = OpenAIJudge("m", server.url, **settings, extra_body={"max_tokens": None, "top_p": 0.2})
    assert judge.conversation.chat(requests_for(1)[0], again=True).sampling == {"top_p": 1.0}, "what is null stays so"


# ---------------------------------------------------------------- refused for its text


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("refused", ["text 0", "text 3"])
def test_one_refused_description_is_counted_wherever_it_stands(serve: Any, status: int, refused: str) -> None:
    server = serve(lambda body, number: failure(status, "not this") if text_of(body) == refused else completion(NO))
    judge = OpenAIJudge("m", server.url, cache=":memory:", concurrency=1)
    answers = ask(judge, requests_for(6))
    assert answers.pop(refused) == Unparsed(f"{status}: not this")
    assert set(answers.values()) == {Verdict(False, NO)}
    assert len(answers) == 5
    assert judge.server.format == 0, "a refusal of the text is none of the format"


def test_neighbours_refused_for_one_word_do_not_end_the_run(serve: Any) -> None:
    refused = {f"text {number}" for number in range(10)}  # a whole class
    server = serve(lambda body, number: failure(400, "no weapons") if text_of(body) in refused else completion(YES))
    answers = ask(OpenAIJudge("m", server.url, cache=":memory:"), requests_for(40))
    assert {text for text, answer in answers.items() if isinstance(answer, Unparsed)} == refused
    assert len(answers) == 40


def test_a_lone_refused_description_is_told_from_wrong_settings_by_the_rubrics_example(
    serve: Any, tmp_path: Path
) -> None:
    server = serve(lambda body, number: failure(400, "no") if text_of(body) == "text 0" else completion(YES))
    for _ in range(2):  # on resume too: the format is in the cache then, which proves nothing about the settings
        judge = OpenAIJudge("m", server.url, cache=str(tmp_path / "c.sqlite"))
        got: list[Any] = []
        judge.answer(requests_for(1), lambda request, answer: got.append(answer))  # noqa: B023
        assert got == [Unparsed("400: no")]
        # three formats as one request, the example with its 100 and 7 tokens, and the second try
        assert got[0].spent == Usage(3, 100, 7)
    assert [text_of(body) for body in server.asked].count("A photo of a tench, with dark green color.") == 2


@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_server_that_refuses_everything_is_the_users_to_mend(serve: Any, count: int) -> None:
    server = serve(lambda body, number: failure(400, "max_tokens is too large"))
    judge = OpenAIJudge("m", server.url, cache=":memory:")
    with pytest.raises(
        UserError, match=r"refused the request for model 'm' \(400: max_tokens is too large\); check judge.model and"
    ):
        ask(judge, requests_for(count))
    texts = [text_of(body) for body in server.asked]
    tried = {1: 2, 2: 3, 9: 1 + chat.OTHERS}[count]  # with few of its own, the example decides
    assert len(set(texts)) == tried
    assert len(texts) == 3 * tried, "each in three formats, and no other was sent"
    assert judge.server.format == 0, "no format is forgotten"


def test_a_content_filter_says_nothing_about_the_settings(serve: Any) -> None:
    filtered = (400, {}, json.dumps({"error": {"message": "filtered", "code": "content_filter"}}))
    server = serve(lambda body, number: filtered if text_of(body) == "text 0" else failure(400, "unknown field top_p"))
    with pytest.raises(UserError, match=r"400: unknown field top_p"):
        OpenAIJudge("m", server.url, cache=":memory:").answer(requests_for(5), lambda request, answer: None)


# ---------------------------------------------------------------- refused for its format


def test_a_server_that_fails_over_an_unknown_format_is_asked_in_another(serve: Any) -> None:
    words = "1 validation error: {'type': 'literal_error', 'loc': ('body', 'response_format', 'type')}"

    def handler(body: dict[str, Any], number: int) -> Reply:
        kind = body.get("response_format", {}).get("type")
        return failure(500, words) if kind == "json_schema" else completion(YES)

    server = serve(handler)
    judge = OpenAIJudge("m", server.url, cache=":memory:", concurrency=1)
    assert ask(judge, requests_for(2)) == {"text 0": Verdict(True, YES), "text 1": Verdict(True, YES)}
    kinds = [body["response_format"]["type"] for body in server.asked]
    assert kinds == ["json_schema", "json_object", "json_object"]


def test_a_failure_over_a_format_that_works_is_a_failure(serve: Any) -> None:
    def handler(body: dict[str, Any], number: int) -> Reply:
        return completion(YES) if number == 1 else failure(500, "response_format: out of memory")

    server = serve(handler)
    judge = OpenAIJudge("m", server.url, cache=":memory:", concurrency=1, max_retries=1)
    with pytest.raises(EnvironmentFault, match=r"keeps failing \(response_format: out of memory\), up to 2 tries"):
        ask(judge, requests_for(2))
    assert judge.server.format == 0


def test_texts_that_differ_in_line_breaks_are_one_question(serve: Any) -> None:
    server = serve(lambda body, number: completion(YES))
    texts = ["red\nand round", "red and round", "red  \n\n and round"]
    got: dict[str, Any] = {}
    judge = OpenAIJudge("m", server.url, cache=":memory:")
    requests = [JudgeRequest("informative", "oak", text) for text in texts]
    assert judge.estimate(requests).spent.requests == 1
    judge.answer(requests, lambda request, answer: got.update({request.description: answer}))
    assert len(server.asked) == 1
    assert [got[text].spent for text in texts] == [Usage(1, 100, 7), None, None]
