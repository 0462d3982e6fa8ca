"""The judge: rubric, strict parser, cache, and the client against a server that misbehaves."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from judge_stub import NO, YES, Reply, ask, completion, described, failure, failure_with_code, requests_for, starting
from paths import DATA

from analysis.judge.base import Answer, JudgeRequest, Question, Unparsed, Verdict
from analysis.judge.rubric import PAPER
from analysis.judge.server import chat
from analysis.judge.server.client import OpenAIJudge
from analysis.judge.table import JUDGES, build_judge
from reward.components import check_component
from reward.errors import EnvironmentFault, UserError

messages, schema = PAPER.messages, PAPER.schema


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_DELAY", 0.002)


# ---------------------------------------------------------------- rubric and parser


PROMPTS = json.loads((DATA / "paper_prompts.json").read_text(encoding="utf-8"))
"""The paper's, copied apart from the rubric, so that a slip in either is seen."""


@pytest.mark.parametrize("question", ["informative", "visual"])
def test_messages_are_the_papers_word_for_word(question: Question) -> None:
    paper = PROMPTS[f"judge_{question}"]
    made = messages(JudgeRequest(question, "red fox", "It is red.\n\n  It lives\r\nin woods. "))
    assert [message["role"] for message in made] == ["system", "user", "assistant", "user"]
    filled = [
        paper["user"].replace("{class_name}", name).replace("{description}", text)
        for name, text in (
            (paper["one_shot_class"], paper["one_shot_description"]),
            ("red fox", "It is red. It lives in woods."),
        )
    ]
    assert [made[place]["content"] for place in (0, 1, 3)] == [PROMPTS["judge_system"], *filled]
    assert json.loads(made[2]["content"]) == paper["one_shot_answer"]


def test_the_papers_words_as_printed() -> None:
    """Its tables 11 and 12, for one class; the data file is compared with them too."""
    assert messages(JudgeRequest("informative", "red fox", "It is red."))[3]["content"] == (
        "You want to explain what a red fox is to your students. Does the following text snippet mention any specific "
        "details about red fox that increases your students' knowledge about red fox? Answer yes or no. Provide an "
        "explanation for your answer.\n\nText snippet: It is red."
    )
    assert messages(JudgeRequest("visual", "red fox", "It is red."))[3]["content"] == (
        "You want to explain to your students how a red fox looks like. Does the following text snippet mention any "
        "specific information that describes the physical appearance of a red fox which helps your students recognize "
        "a red fox when they see it? Answer yes or no. Provide an explanation for your answer.\n\n"
        "Text snippet: It is red."
    )


def test_the_papers_sampling_is_the_default() -> None:
    sampling = {key: PROMPTS["judge_sampling"][key] for key in ("temperature", "top_p", "max_tokens")}
    assert OpenAIJudge("m").server.sampling == sampling


def test_braces_in_a_description_are_not_filled_in() -> None:
    content = messages(JudgeRequest("visual", "oak", "{class_name} {0} {description} }"))[3]["content"]
    assert content.endswith("Text snippet: {class_name} {0} {description} }")


def test_schema_asks_for_the_explanation_first() -> None:
    made = schema("visual")
    assert list(made["properties"]) == made["required"] == ["explanation", "provides_visual_description"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (YES, True),
        (NO, False),
        ('{"increases_knowledge": true}', True),
        ('{"increases_knowledge": false}', False),
        ('{"increases_knowledge": "YES, it does."}', True),
        ('{"increases_knowledge": " no"}', False),
        (f"Here you are:\n```json\n{NO}\n```", False),
        (f"{NO} On second thought: {YES}", True),  # the last verdict wins
        ('{"increases_knowledge": "No", "increases_knowledge": "Yes"}', None),  # which of them is not guessed
        ('{ oops {"increases_knowledge": "No"}', False),
        ("", None),
        ("Yes", True),
        ("I would say yes", None),  # neither a JSON object nor the bare word
        ("{}", None),
        ('["increases_knowledge", "Yes"]', None),
        ('{"provides_visual_description": "Yes"}', None),  # the other question's key
        ('{"increases_knowledge": "downgrade"}', None),
        ('{"increases_knowledge": "nothing"}', None),
        ('{"increases_knowledge": "Yes and no"}', None),
        ('{"increases_knowledge": "maybe yes"}', None),
        ('{"increases_knowledge": 1}', None),
        ('{"increases_knowledge": null}', None),
        (f'{YES} {{"increases_knowledge": "unsure"}}', None),  # took its verdict back
        ('{"explanation": "It names the colour and the', None),  # cut at max_tokens
        ('{"answer": {"increases_knowledge": "Yes"}}', None),
        ("{" * 5000, None),
    ],
)
def test_parse(raw: str, expected: bool | None) -> None:
    assert PAPER.parse(JudgeRequest("informative", "oak", "It is tall."), raw) == (
        Unparsed(raw) if expected is None else Verdict(expected, raw)
    )


# ---------------------------------------------------------------- client


serve = pytest.fixture(starting)


def test_paper_sampling_and_schema_are_sent_and_answers_cached(serve: Any, tmp_path: Path) -> None:
    server = serve(lambda body, number: completion(YES))
    judge = OpenAIJudge("m", server.url, cache=str(tmp_path / "c.sqlite"))
    assert ask(judge, requests_for(20)) == {f"text {index}": Verdict(True, YES) for index in range(20)}
    sent = server.asked[0]
    assert (sent["model"], sent["temperature"], sent["top_p"], sent["max_tokens"]) == ("m", 0.1, 0.1, 128)
    assert sent["response_format"]["json_schema"]["schema"] == schema("informative")
    assert len(server.asked) == 20
    again = OpenAIJudge("m", server.url, cache=str(tmp_path / "c.sqlite"))
    assert len(ask(again, requests_for(21))) == 21
    assert len(server.asked) == 21, "only the new one is asked"
    warmer = OpenAIJudge("m", server.url, temperature=0.2, cache=str(tmp_path / "c.sqlite"))
    ask(warmer, requests_for(1))
    assert len(server.asked) == 22, "other sampling asks anew"
    assert not judge.exact
    assert judge.name == f"m at {server.url.split('/')[2]}"


def test_server_errors_and_rate_limits_are_retried(serve: Any) -> None:
    script = [
        failure(500, "oops", **{"Retry-After-Ms": "5"}),
        failure(429, "slow down", **{"Retry-After": "0.05"}),
        failure(503, "busy", **{"Retry-After-Ms": "5"}),
        completion(NO),
    ]
    server = serve(lambda body, number: script[number - 1])
    assert ask(OpenAIJudge("m", server.url, cache=":memory:"), requests_for(1)) == {"text 0": Verdict(False, NO)}
    assert len(server.asked) == 4


def test_a_faulty_server_leaves_one_answer_each(serve: Any) -> None:
    quick = {"Retry-After-Ms": "1"}
    faults = [
        failure(500, "oops", **quick),
        failure(429, "slow", **quick),
        (200, {}, '{"choices": [{"mess'),
        (200, {}, ""),
        (200, {}, '{"choices": "none"}'),
        (200, {"Content-Type": "text/html"}, "<html>busy</html>"),
        completion(None),
    ]
    # Every third call fails, each in another way.
    server = serve(lambda body, number: faults[number // 3 % len(faults)] if number % 3 == 0 else completion(YES))
    answers = ask(OpenAIJudge("m", server.url, cache=":memory:", concurrency=4), requests_for(24))
    assert answers == {f"text {index}": Verdict(True, YES) for index in range(24)}


@pytest.mark.parametrize(
    ("refused", "formats"),
    [
        (("json_schema",), ["json_schema", "json_object", "json_object"]),
        (("json_schema", "json_object"), ["json_schema", "json_object", None, None]),
    ],
)
def test_refused_formats_are_learnt_once(serve: Any, refused: tuple[str, ...], formats: list[str | None]) -> None:
    def handler(body: dict[str, Any], number: int) -> Reply:
        kind = body.get("response_format", {}).get("type")
        return failure(400, f"response_format {kind} is not supported") if kind in refused else completion(YES)

    server = serve(handler)
    judge = OpenAIJudge("m", server.url, cache=":memory:", concurrency=1)
    assert len(ask(judge, requests_for(2))) == 2
    assert [body.get("response_format", {}).get("type") for body in server.asked] == formats


def test_refusals_and_garbage_are_unparsed_and_not_cached(serve: Any, tmp_path: Path) -> None:
    def handler(body: dict[str, Any], number: int) -> Reply:
        text = described(body)
        if text.endswith("text 0"):
            return completion(None, refusal="I cannot help with that.")
        if text.endswith("text 1"):
            return failure_with_code(400, "content_filter")
        return completion("I would say yes")

    server = serve(handler)
    judge = OpenAIJudge("m", server.url, cache=str(tmp_path / "c.sqlite"))
    answers = ask(judge, requests_for(3))
    assert answers["text 0"] == Unparsed("I cannot help with that.")
    assert isinstance(answers["text 1"], Unparsed)
    assert answers["text 1"].raw.startswith("content filter: ")
    assert answers["text 2"] == Unparsed("I would say yes")
    ask(judge, requests_for(3))
    assert len(server.asked) == 12, "each is asked again once, and none is kept"


def test_unreachable_server_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        judge = OpenAIJudge("m", url, cache=":memory:", max_retries=0)
        with pytest.raises(EnvironmentFault) as caught:
            ask(judge, requests_for(30))
    message = str(caught.value)
    assert message.startswith(f"judge http://127.0.0.1:{url.split(':')[-1]}: cannot be reached (")
    assert "1 tries; start the server or correct judge.base_url, then run the same command again" in message
    assert "\n" not in message


def test_exhausted_retries_keep_what_was_answered(serve: Any, tmp_path: Path) -> None:
    down = failure(500, "out of\nmemory", **{"Retry-After-Ms": "1"})
    server = serve(lambda body, number: completion(YES) if number <= 5 else down)
    judge = OpenAIJudge("m", server.url, cache=str(tmp_path / "c.sqlite"), max_retries=2, concurrency=1)
    answers: dict[str, Answer] = {}
    with pytest.raises(
        EnvironmentFault, match=r"keeps failing \(.*out of\\?n? ?memory.*\), up to 3 tries; wait or lower"
    ):
        judge.answer(requests_for(9), lambda request, answer: answers.update({request.description: answer}))
    assert len(answers) == 5
    assert len(server.asked) == 5 + 4 * 3, "four different ones in vain: then it is not their text"


def test_replies_that_are_no_completions_end_in_one_line(serve: Any) -> None:
    server = serve(lambda body, number: (200, {"Content-Type": "text/html"}, "<html>login</html>"))
    judge = OpenAIJudge("m", server.url, cache=":memory:", max_retries=1)
    with pytest.raises(
        EnvironmentFault, match=r"no chat completion, after 2 tries: '<html>login</html>'; check judge.base_url"
    ):
        ask(judge, requests_for(2))


def test_timeouts_end_in_one_line(serve: Any) -> None:
    release = threading.Event()

    def handler(body: dict[str, Any], number: int) -> Reply:
        release.wait(5)
        return completion(YES)

    server = serve(handler)
    judge = OpenAIJudge("m", server.url, cache=":memory:", max_retries=0, timeout=0.1)
    with pytest.raises(EnvironmentFault, match=r"no answer within 0.1 s, 1 tries; raise judge.timeout"):
        ask(judge, requests_for(1))
    release.set()


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, r"the API key was refused \(.*nope.*\); check judge.api_key_env"),
        (403, r"the API key was refused"),
        (404, r"not found: model 'm' or the path \(.*nope.*\); check judge.model, and that judge.base_url ends in /v1"),
    ],
)
def test_refusals_that_retrying_cannot_mend(serve: Any, status: int, text: str) -> None:
    server = serve(lambda body, number: failure(status, "nope"))
    with pytest.raises(UserError, match=text):
        ask(OpenAIJudge("m", server.url, cache=":memory:"), requests_for(4))
    assert len(server.asked) == 1


def test_missing_key_and_wrong_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    judge = OpenAIJudge("gpt-3.5-turbo-1106", cache=":memory:")
    assert judge.estimate(requests_for(1)).spent.requests == 1, "an estimate needs no key"
    with pytest.raises(
        UserError, match=r"environment variable OPENAI_API_KEY is not set; https://api.openai.com/v1 needs"
    ):
        ask(judge, requests_for(1))
    with pytest.raises(UserError, match=r"judge.base_url: 'localhost:8000' is no http\(s\) URL"):
        OpenAIJudge("m", "localhost:8000")
    with pytest.raises(UserError) as caught:
        OpenAIJudge(
            "m",
            "http://localhost:1/v1",
            concurrency=0,
            top_p=0.0,
            tokens_per_minute=-1,
            price_per_million={"input": 1.0, "outptu": 2.0},
        )
    assert str(caught.value).splitlines() == [
        "judge.top_p: given 0.0; allowed is above 0, up to 1.",
        "judge.concurrency: given 0; allowed is at least 1.",
        "judge.tokens_per_minute: given -1; allowed is above 0, or null for no limit.",
        "judge.price_per_million: given {'input': 1.0, 'outptu': 2.0}; allowed is one price of at least 0 for 'input' "
        "and one for 'output'.",
    ]


def test_validation_tells_all_problems_at_once() -> None:
    settings = {"model": "m", "timeout": 0, "base_url": "localhost:8000/v1", "rubric": "papr", "max_tokens": 0}
    assert check_component("openai", settings, JUDGES, "x.yaml: judge", ("name",)) == [
        "x.yaml: judge.max_tokens: given 0; allowed is at least 1.",
        "x.yaml: judge.timeout: given 0; allowed is above 0 seconds.",
        "x.yaml: judge.base_url: 'localhost:8000/v1' is no http(s) URL; give one such as http://localhost:8000/v1.",
        "x.yaml: judge.rubric: unknown 'papr'. Did you mean 'paper'? Available: fenced, paper. Or give the path of a "
        "JSON file, such as my_rubric.json.",
    ]


@pytest.mark.parametrize(
    "url", ["ftp://host/v1", "http://", "http://host:port/v1", "https:///v1", "http://[::1/v1", ""]
)
def test_urls_that_are_none(url: str) -> None:
    problems = check_component("openai", {"model": "m", "base_url": url}, JUDGES, "judge", ("name",))
    assert [f"judge.base_url: '{url}' is no http(s) URL" in problem for problem in problems] == [True] * bool(url)


def test_the_openai_key_stays_with_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-private")
    monkeypatch.setenv("MY_KEY", "mine")
    assert OpenAIJudge("m", "http://localhost:1/v1").server.address.key == "none"
    assert OpenAIJudge("m", "http://localhost:1/v1", api_key_env="MY_KEY").server.address.key == "mine"
    assert OpenAIJudge("m").server.address.key == "sk-private"
    assert OpenAIJudge("m").name == "m"


# ---------------------------------------------------------------- table


class NoJudge:
    """Of the user's own, and something else."""

    name = "none"


def test_judges_are_built_by_name_or_path() -> None:
    judge = build_judge(
        "openai", {"model": "m", "base_url": "http://localhost:1/v1", "cache": ":memory:"}, "x.yaml: judge"
    )
    assert isinstance(judge, OpenAIJudge)
    with pytest.raises(UserError, match=r"x.yaml: judge: unknown 'opnai'. Did you mean 'openai'\?"):
        build_judge("opnai", {}, "x.yaml: judge")
    with pytest.raises(UserError, match=r"x.yaml: judge: unknown 'modl'. Did you mean 'model'\?"):
        build_judge("openai", {"modl": "m"}, "x.yaml: judge")
    with pytest.raises(UserError, match=r"'test_judge.NoJudge' is no judge: it lacks answer"):
        build_judge("test_judge.NoJudge", {}, "x.yaml: judge")
