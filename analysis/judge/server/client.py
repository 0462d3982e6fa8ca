"""A judge behind any OpenAI-compatible server: OpenAI, vLLM, llama.cpp, Ollama, `transformers serve`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from analysis.judge.base import Answer, CostEstimate, JudgeRequest, OnAnswer, Usage
from analysis.judge.rubric import load_rubric
from analysis.judge.server.batch import BATCH_FILE
from analysis.judge.server.chat import ChatServer
from analysis.judge.server.conversation import Conversation
from analysis.judge.server.kept import NO_PART_OF_AN_ANSWER, KeptAnswers, given_sampling, server_setting_problems
from reward.errors import UserError


class OpenAIJudge:
    """Asks a chat model the rubric's two questions; verdicts are kept in a cache shared by all runs.

    If an answer cannot be read, the question is asked once more, with freer sampling and twice the tokens (the usual
    reason is an answer cut short). The second answer counts, whatever it is.
    """

    exact = False
    immaterial: ClassVar[frozenset[str]] = NO_PART_OF_AN_ANSWER
    """Settings that do not change any answer: verdicts stay valid when these settings change."""

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = None,
        rubric: str = "fenced",
        mode: Literal["direct", "batch"] = "direct",
        temperature: float | None = 0.1,
        top_p: float | None = 0.1,
        max_tokens: int | None = 128,
        concurrency: int = 16,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        max_retries: int = 5,
        timeout: float = 60.0,
        price_per_million: dict[str, float] | None = None,
        cache: str | None = None,
        extra_body: dict[str, Any] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Prepare the judge; nothing is sent yet. Sampling defaults are the paper's.

        Args:
            model: Model name as the server knows it; the paper used gpt-3.5-turbo-1106.
            base_url: Address of the server, up to and including `/v1`; default OpenAI's. A query behind it, such as
                `?api-version=1`, goes with every request. It is stored and shown, so that it cannot hold a secret.
            api_key_env: Environment variable that holds the API key. The default is OPENAI_API_KEY for OpenAI and no
                key for other servers, so that OpenAI's key is never sent to another server by accident.
            rubric: `fenced` (class name and description are enclosed and declared to be data), `paper` (the paper's
                words, which a description can talk a judge out of) or the path of a JSON file.
            mode: `batch` hands the questions in through the server's Batch API; the same command collects the answers.
            temperature: Sampling temperature, in [0, 2]; null leaves it to the server.
            top_p: Nucleus sampling, in (0, 1]; null leaves it to the server.
            max_tokens: Most tokens of an answer; null leaves it to the server.
            concurrency: Number of requests under way at once.
            requests_per_minute: Most requests started in a minute, evenly spaced; null is no limit.
            tokens_per_minute: Most tokens in a minute, input and output. A request counts with its longest possible
                answer until the length of the real one is known. null is no limit.
            max_retries: Further tries after a refused connection, a time-out, 408, 409, 429, 5xx or an unreadable
                body. `Retry-After` is honoured up to two minutes.
            timeout: Seconds per try.
            price_per_million: Prices of a million `input` and `output` tokens, for estimates and sums.
            cache: SQLite file of verdicts; default `judge.sqlite` in the cache folder.
            extra_body: Further fields of the request, such as `max_completion_tokens` or `seed`.
            folder: Folder of the seed's results, where batches under way are remembered and for which answers are paid.
                It is set by the program, not by a recipe.

        Raises:
            UserError: If a setting is out of range, or if the rubric or the URL is invalid; the message lists every
                problem.
        """
        given = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        checked = {
            **given,
            "base_url": base_url,
            "rubric": rubric,
            "concurrency": concurrency,
            "max_retries": max_retries,
            "timeout": timeout,
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "price_per_million": price_per_million,
            "extra_body": extra_body,
        }
        problems = self.setting_problems(checked, "judge")
        if problems:
            raise UserError("\n".join(problems))
        server = ChatServer(
            model,
            base_url,
            api_key_env,
            sampling=given_sampling(**given),
            extra_body=extra_body,
            concurrency=concurrency,
            max_retries=max_retries,
            timeout=timeout,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
        self.server, self.name = server, server.name
        words = load_rubric(rubric)
        self.conversation = Conversation(words, server)
        self.rubric_version = words.version
        batch_file = (folder or Path()) / BATCH_FILE if mode == "batch" else None
        self._kept = KeptAnswers(
            self.conversation, cache=cache, folder=folder, batch_file=batch_file, prices=price_per_million
        )

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: Iterable[str] = ()) -> list[str]:
        """List settings that cannot work; the arguments are those of `reward.components.settings_problems`."""
        problems = server_setting_problems(settings, where)
        try:
            load_rubric(settings.get("rubric", "fenced"))
        except UserError as error:
            problems += [where + line.removeprefix("judge") for line in str(error).splitlines()]
        return problems

    def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
        """Answer every request, those in the cache first; arguments and errors are those of `KeptAnswers.answer`."""
        self._kept.answer(requests, on_answer)

    def read_again(self, request: JudgeRequest, answer: Answer) -> Answer:
        """Read a stored answer's text by the rules of today; nothing is sent."""
        return replace(self.conversation.prompts.parse(request, answer.raw), spent=answer.spent)

    def estimate(self, requests: Sequence[JudgeRequest]) -> CostEstimate:
        """Estimate what `answer` would take; nothing is sent, and no key is needed."""
        return self._kept.estimate(requests)

    def cost(self, spent: Usage) -> float | None:
        """Return the price of what was spent; None without prices."""
        return self._kept.cost(spent)
