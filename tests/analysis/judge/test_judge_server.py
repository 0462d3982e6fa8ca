"""The judge's client against `transformers serve`, on a checkpoint made here and on a real model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
import torch
from judge_stub import ask, requests_for
from real_servers import ROWS, SMOLLM2, judge_for_real, remembered_format, smollm2, transformers_serve
from transformers import AutoModelForCausalLM, AutoTokenizer

from analysis.judge.base import JudgeRequest, Unparsed, Usage, Verdict
from analysis.judge.server.client import OpenAIJudge
from analysis.verdicts.asking import judge_descriptions
from ex2.policy.gguf import convert_gguf
from ex2.run.descriptions import DescribedClass
from reward.errors import UserError

ANSWER = '{"explanation": "So it is.", "increases_knowledge": "Yes", "provides_visual_description": "No"}'
CHAT_TEMPLATE = "{% for turn in messages %}<s>{{ turn['role'] }}: {{ turn['content'] }}</s>{% endfor %}<s>"

pytestmark = pytest.mark.slow


def save_parrot(folder: Path) -> Path:
    """Save a Mistral that answers `ANSWER` to everything: attention and MLP are 0, its head maps a token to the next.

    After `<s>`, with which the chat template ends, comes the answer, one token of its own; after that the end.
    """
    tiny.save_mistral(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([ANSWER])
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    start, answer, end = (tokenizer.convert_tokens_to_ids(token) for token in ("<s>", ANSWER, "</s>"))
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embeddings, head = model.model.embed_tokens.weight, model.lm_head.weight
        embeddings.zero_()
        head.zero_()
        embeddings[start, 0] = embeddings[answer, 1] = 1.0
        head[answer, 0] = head[end, 1] = 10.0
    model.config.max_position_embeddings = 4096
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def parrot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("parrot")
    model = str(save_parrot(folder / "model"))
    with transformers_serve(model, folder / "log.txt") as url:
        yield model, url


def test_the_whole_way_from_descriptions_to_kinds(parrot: tuple[str, str], tmp_path: Path) -> None:
    model, url = parrot
    judge = OpenAIJudge(model, url, cache=str(tmp_path / "c.sqlite"), concurrency=4)
    rows = [DescribedClass("owl", f"An owl has {number} eyes.") for number in range(6)]
    verdicts = judge_descriptions(judge, rows, tmp_path / "verdicts.jsonl", digest="d")
    assert {verdicts.kind("owl", row.text) for row in rows} == {"non_visual"}
    assert verdicts.raw("visual", "owl", rows[0].text) == ANSWER
    # Tokens as the server counts them: one byte each, the answer and its end.
    tokenizer = AutoTokenizer.from_pretrained(model)
    questions = [JudgeRequest(question, "owl", row.text) for question in ("informative", "visual") for row in rows]
    chats = [judge.conversation.chat(request).messages for request in questions]
    prompts = sum(len(tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"]) for chat in chats)
    assert verdicts.spent == Usage(12, prompts, 24)
    # It takes any response_format, and heeds none: the strict parser does the reading.
    assert remembered_format(tmp_path / "c.sqlite", url, model) == "json_schema"
    assert judge.server.format_works


def test_a_restart_asks_the_server_nothing(parrot: tuple[str, str], tmp_path: Path) -> None:
    model, url = parrot
    cache = str(tmp_path / "c.sqlite")
    first: list[Verdict] = []
    OpenAIJudge(model, url, cache=cache).answer(requests_for(3), lambda request, answer: first.append(answer))  # type: ignore[arg-type]
    again = ask(OpenAIJudge(model, url, cache=cache), requests_for(3))
    assert [answer.spent for answer in first] == [Usage(1, first[0].spent.input_tokens, 2)] * 3  # type: ignore[union-attr]
    assert {answer.spent for answer in again.values()} == {None}


def test_an_answer_cut_short_is_unparsed(parrot: tuple[str, str]) -> None:
    model, url = parrot
    template = {"chat_template_kwargs": {"chat_template": "{{ messages[0]['content'] }}"}}  # ends in no <s>: babble
    answers = ask(OpenAIJudge(model, url, cache=":memory:", max_tokens=4, extra_body=template), requests_for(2))
    assert all(isinstance(answer, Unparsed) for answer in answers.values())
    assert [answer.spent.requests for answer in answers.values() if answer.spent] == [2, 2]


def test_the_wrong_model_is_the_users(parrot: tuple[str, str]) -> None:
    with pytest.raises(UserError, match=r"refused the request for model 'other' \(400: .*pinned.*check judge.model"):
        ask(OpenAIJudge("other", parrot[1], cache=":memory:"), requests_for(2))


def test_a_real_model_answers_real_questions(tmp_path: Path) -> None:
    source = smollm2()
    model = str(convert_gguf(source.parent, SMOLLM2, tmp_path / "converted"))
    with transformers_serve(model, tmp_path / "log.txt") as url:
        verdicts = judge_for_real(url, model, tmp_path, max_tokens=64, concurrency=2)
        assert remembered_format(tmp_path / "c.sqlite", url, model) == "json_schema"
    kinds = [verdicts.kind(*row) for row in ROWS]
    print(f"transformers serve, SmolLM2-135M: {kinds}, {verdicts.spent}")
