"""A judge behind any OpenAI-compatible server: OpenAI, vLLM, llama.cpp, Ollama, `transformers serve`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from analysis.judge.base import Answer, CostEstimate, JudgeRequest, OnAnswer, Usage, Verdict
from analysis.judge.rubric import load_rubric
from analysis.judge.server.address import url_problem
from analysis.judge.server.batch import BATCH_FILE, collect_or_submit
from analysis.judge.server.cache import AnswerCache, Kept
from analysis.judge.server.chat import FORMATS, ChatServer
from analysis.judge.server.conversation import Conversation
from analysis.judge.server.cost import PRICES, cost
from reward.errors import UserError


class OpenAIJudge:
    """Asks a chat model the rubric's two questions; verdicts are kept in a cache shared by all runs.

    If an answer cannot be read, the question is asked once more, with freer sampling and twice the tokens (the usual
    reason is an answer cut short). The second answer counts, whatever it is.
    """

    exact = False
    immaterial: ClassVar[frozenset[str]] = frozenset(
        {
            "api_key_env",
            "concurrency",
            "max_retries",
            "timeout",
            "requests_per_minute",
            "tokens_per_minute",
            "price_per_million",
            "cache",
            "mode",
        }
    )
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
        }
        problems = self.setting_problems(checked, "judge")
        if problems:
            raise UserError("\n".join(problems))
        server = ChatServer(
            model,
            base_url,
            api_key_env,
            sampling={key: value for key, value in given.items() if value is not None},
            extra_body=extra_body,
            concurrency=concurrency,
            max_retries=max_retries,
            timeout=timeout,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
        self.server, self.name = server, server.name
        self.conversation = Conversation(load_rubric(rubric), server)
        self.rubric_version = self.conversation.rubric.version
        self._prices, self._cache_path = price_per_million, cache
        self._payer = None if folder is None else str(folder.resolve())
        self._batch_file = (folder or Path()) / BATCH_FILE if mode == "batch" else None

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: Iterable[str] = ()) -> list[str]:
        """List settings that cannot work; the arguments are those of `reward.components.settings_problems`."""
        allowed: dict[str, tuple[Callable[[Any], bool], str]] = {
            "temperature": (lambda value: 0 <= value <= 2, "0 to 2"),
            "top_p": (lambda value: 0 < value <= 1, "above 0, up to 1"),
            "max_tokens": (lambda value: value >= 1, "at least 1"),
            "concurrency": (lambda value: value >= 1, "at least 1"),
            "max_retries": (lambda value: value >= 0, "at least 0"),
            "timeout": (lambda value: value > 0, "above 0 seconds"),
            "requests_per_minute": (lambda value: value > 0, "above 0, or null for no limit"),
            "tokens_per_minute": (lambda value: value > 0, "above 0, or null for no limit"),
            "price_per_million": (
                lambda value: set(value) == set(PRICES) and all(price >= 0 for price in value.values()),
                "one price of at least 0 for 'input' and one for 'output'",
            ),
        }
        problems = [
            f"{where}.{key}: given {settings[key]!r}; allowed is {words}."
            for key, (fits, words) in allowed.items()
            if settings.get(key) is not None and not fits(settings[key])
        ]
        wrong_url = url_problem(settings.get("base_url"))
        if wrong_url:
            problems.append(f"{where}.base_url: {wrong_url}")
        try:
            load_rubric(settings.get("rubric", "fenced"))
        except UserError as error:
            problems += [where + line.removeprefix("judge") for line in str(error).splitlines()]
        return problems

    def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
        """Answer every request, those in the cache first.

        Args:
            requests: Any number of requests.
            on_answer: Called once per request, in the order in which answers arrive. A refusal is passed on as
                `Unparsed`.

        Raises:
            UserError: If the API key is missing, or if the server refuses the key, the model or the first request.
            EnvironmentFault: If the server cannot be reached or keeps failing. Answers received so far have been passed
                on.
            NotYet: In batch mode, as long as a batch is under way.
        """
        with AnswerCache(self._cache_path) as cache:
            missing: dict[str, list[JudgeRequest]] = {}
            for request in requests:
                key = self.conversation.key(request)
                kept = cache.get(key)
                if kept is None:  # texts that differ in their line breaks only are one question
                    missing.setdefault(key, []).append(request)
                    continue
                # Asked for in the same name, and yet not known to who asks: it was paid for just before a kill.
                ours = self._payer is not None and kept.payer == self._payer
                answer = self.conversation.rubric.parse(request, kept.raw)
                on_answer(request, replace(answer, spent=kept.spent if ours else None))

            def keep(request: JudgeRequest, answer: Answer) -> None:
                key = self.conversation.key(request)
                if isinstance(answer, Verdict):  # refusals and unreadable answers may come out better next time
                    cache.put(key, Kept(answer.raw, answer.spent, self._payer))
                first, *others = missing[key]
                on_answer(first, answer)
                for other in others:
                    on_answer(other, replace(answer, spent=None))

            asked = [same[0] for same in missing.values()]
            server = f"{self.server.base_url} {self.server.model}"
            known = cache.format_of(server)
            self.server.format = max(self.server.format, FORMATS.index(known) if known in FORMATS else 0)
            try:
                if self._batch_file is not None:
                    collect_or_submit(self.conversation, asked, keep, self._batch_file)
                else:
                    self.conversation.ask([self.conversation.chat(request) for request in asked], keep)
            finally:
                # A format that was only taken over keeps its date, so that it is tried out anew some day.
                if self.server.format_works and FORMATS[self.server.format] != known:
                    cache.remember_format(server, FORMATS[self.server.format])

    def read_again(self, request: JudgeRequest, answer: Answer) -> Answer:
        """Read a stored answer's text by the rules of today; nothing is sent."""
        return replace(self.conversation.rubric.parse(request, answer.raw), spent=answer.spent)

    def estimate(self, requests: Sequence[JudgeRequest]) -> CostEstimate:
        """Estimate what `answer` would take; nothing is sent, and no key is needed."""
        cached, missing = 0, {}
        with AnswerCache(self._cache_path) as cache:
            for request in requests:
                key = self.conversation.key(request)
                if cache.get(key) is None:
                    missing[key] = request
                else:
                    cached += 1
        first = second = Usage()
        for request in missing.values():
            first = first.plus(self.server.estimate(self.conversation.chat(request)))
            second = second.plus(self.server.estimate(self.conversation.chat(request, again=True)))
        most = first.plus(second)
        limited = not missing or first.output_tokens > 0
        return CostEstimate(cached, first, self.cost(first), most, self.cost(most), limited)

    def cost(self, spent: Usage) -> float | None:
        """Return the price of what was spent; None without prices."""
        return cost(spent, self._prices)
