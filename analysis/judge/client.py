"""A judge behind any OpenAI-compatible server: OpenAI, vLLM, llama.cpp, Ollama, `transformers serve`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import openai

from analysis.judge.base import Answer, JudgeRequest, OnAnswer, Question, Unparsed, Verdict
from analysis.judge.cache import AnswerCache, cache_key
from analysis.judge.rubric import messages, parse, schema
from reward.errors import EnvironmentFault, EX2Error, UserError

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"

FORMATS = ("json_schema", "json_object", "text")
"""Ways to ask for JSON, the strictest first; a server that refuses one is asked in the next."""


class Reply(NamedTuple):
    """What the model said, or that it (or a filter) declined to say anything."""

    text: str
    refused: bool


class OpenAIJudge:
    """Asks a chat model the paper's two questions; a verdict is kept in a cache shared by all runs."""

    exact = False

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = None,
        temperature: float | None = 0.1,
        top_p: float | None = 0.1,
        max_tokens: int | None = 128,
        concurrency: int = 16,
        max_retries: int = 5,
        timeout: float = 60.0,
        cache: str | None = None,
        extra_body: dict[str, Any] | None = None,
    ) -> None:
        """Prepare the judge; nothing is sent yet. Sampling defaults are the paper's.

        Args:
            model: Model name as the server knows it; the paper used gpt-3.5-turbo-1106.
            base_url: Up to and including `/v1`; default OpenAI.
            api_key_env: Environment variable that holds the key. Default OPENAI_API_KEY for OpenAI and none for other
                servers, so that the key is never sent to another by accident.
            temperature: In [0, 2]; null leaves it to the server.
            top_p: In (0, 1]; null leaves it to the server.
            max_tokens: Of the answer; null leaves it to the server.
            concurrency: Requests under way at once.
            max_retries: Further tries after a refused connection, a time-out, 408, 409, 429, 5xx or an unreadable
                body. `Retry-After` is honoured up to a minute.
            timeout: Seconds per try.
            cache: SQLite file of verdicts; default `judge.sqlite` in the cache folder.
            extra_body: Further fields of the request, such as `max_completion_tokens` or `seed`.

        Raises:
            UserError: If the key's environment variable is not set, or a number is out of range.
        """
        if concurrency < 1 or max_retries < 0 or timeout <= 0:
            raise UserError(
                f"judge: concurrency {concurrency}, max_retries {max_retries}, timeout {timeout}: allowed are "
                "concurrency of at least 1, max_retries of at least 0, timeout above 0 seconds."
            )
        self.base_url = (base_url or OPENAI_URL).rstrip("/")
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(
                f"judge.base_url: '{base_url}' is no http(s) URL; give one such as http://localhost:8000/v1."
            )
        host = parts.netloc.rpartition("@")[2]  # a user name and password in the URL are never shown
        self._shown_url = f"{parts.scheme}://{host}{parts.path}"
        self.name = model if self.base_url == OPENAI_URL else f"{model} at {host}"
        if api_key_env is None and self.base_url == OPENAI_URL:
            api_key_env = OPENAI_KEY
        if api_key_env is not None and not os.environ.get(api_key_env):
            raise UserError(
                f"judge: the environment variable {api_key_env} is not set; {self._shown_url} needs an API key: "
                f"export {api_key_env}=…, or give judge.base_url of a server of your own."
            )
        self._api_key = os.environ[api_key_env] if api_key_env else "none"
        self.model = model
        given = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        self.sampling: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        self.extra_body = dict(extra_body or {})
        self.concurrency, self.max_retries, self.timeout = concurrency, max_retries, timeout
        self._cache_path = cache
        self._format = 0  # index into FORMATS; grows as the server refuses

    def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
        """Answer every request, those in the cache first.

        Args:
            requests: Any number; each is sent at most once, apart from retries.
            on_answer: Called once per request, in the order of the answers. A refusal arrives as `Unparsed`.

        Raises:
            UserError: If the server refuses the key, the model or the request itself.
            EnvironmentFault: If it cannot be reached or keeps failing; answers received so far have been passed on.
        """
        cache = AnswerCache(self._cache_path)
        try:
            missing = []
            for request in requests:
                raw = cache.get(self._key(request))
                if raw is None:
                    missing.append(request)
                else:
                    on_answer(request, parse(request.question, raw))
            if missing:
                asyncio.run(self._answer_all(missing, on_answer, cache))
        finally:
            cache.close()

    def _key(self, request: JudgeRequest) -> str:
        return cache_key(self.base_url, self.model, messages(request), {**self.sampling, "extra": self.extra_body})

    async def _answer_all(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer, cache: AnswerCache) -> None:
        async with openai.AsyncOpenAI(
            api_key=self._api_key, base_url=self.base_url, timeout=self.timeout, max_retries=self.max_retries
        ) as client:
            waiting = iter(requests)

            async def work(limit: int | None = None) -> None:
                while limit is None or limit > 0:
                    request = next(waiting, None)
                    if request is None:
                        return
                    answer = await self._ask(client, request)
                    if isinstance(answer, Verdict):  # refusals and unreadable answers may come out better next time
                        cache.put(self._key(request), answer.raw)
                    on_answer(request, answer)
                    limit = None if limit is None else limit - 1

            await work(limit=1)  # alone: it learns the format, and meets a dead server once instead of 16 times
            workers = [asyncio.create_task(work()) for _ in range(min(self.concurrency, len(requests)))]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _ask(self, client: openai.AsyncOpenAI, request: JudgeRequest) -> Answer:
        """Ask until the server gives a readable reply; what the reply says may still be unparsed."""
        body = ""
        for attempt in range(self.max_retries + 1):
            if attempt:
                await asyncio.sleep(min(0.1 * 2**attempt, 8.0))
            body = await self._send(client, request)
            reply = _read(body)
            if reply is not None:
                return Unparsed(reply.text) if reply.refused else parse(request.question, reply.text)
        raise EnvironmentFault(
            f"judge {self._shown_url}: the reply is no chat completion, after {self.max_retries + 1} tries: "
            f"'{_short(body)}'; check judge.base_url, then run the same command again: answers so far are kept."
        )

    async def _send(self, client: openai.AsyncOpenAI, request: JudgeRequest) -> str:
        """Send one request in the strictest format that the server takes; return the reply's body."""
        refusal: openai.APIStatusError | None = None
        for position in range(self._format, len(FORMATS)):
            try:
                response = await client.chat.completions.with_raw_response.create(
                    model=self.model,
                    messages=messages(request),  # type: ignore[arg-type]
                    extra_body={**_response_format(FORMATS[position], request.question), **self.extra_body},
                    **self.sampling,
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if error.code == "content_filter":
                    return json.dumps({"choices": [{"message": {"refusal": f"content filter: {error.message}"}}]})
                refusal = refusal or error
            except openai.APIError as error:
                raise self._fault(error) from error
            else:
                # Remembered only now: had every format been refused, the format would not be the reason.
                self._format = max(self._format, position)
                return response.text
        assert refusal is not None
        raise UserError(
            f"judge {self._shown_url}: refused the request for model '{self.model}' ({refusal.status_code}: "
            f"{_short(refusal.message)}); check judge.model and the sampling settings."
        ) from refusal

    def _fault(self, error: openai.APIError) -> EX2Error:
        where = f"judge {self._shown_url}"
        again = "then run the same command again: answers so far are kept."
        if isinstance(error, openai.APITimeoutError):
            return EnvironmentFault(
                f"{where}: no answer within {self.timeout:g} s, {self.max_retries + 1} tries; raise judge.timeout or "
                f"lower judge.concurrency, {again}"
            )
        if isinstance(error, openai.APIConnectionError):
            cause = _short(str(error.__cause__ or error.message))
            return EnvironmentFault(
                f"{where}: cannot be reached ({cause}), {self.max_retries + 1} tries; start the server or correct "
                f"judge.base_url, {again}"
            )
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return UserError(f"{where}: the API key was refused ({_short(error.message)}); check judge.api_key_env.")
        if isinstance(error, openai.NotFoundError):
            return UserError(
                f"{where}: not found: model '{self.model}' or the path ({_short(error.message)}); check judge.model, "
                "and that judge.base_url ends in /v1."
            )
        return EnvironmentFault(
            f"{where}: keeps failing ({_short(error.message)}), up to {self.max_retries + 1} tries; wait or lower "
            f"judge.concurrency, {again}"
        )


def _response_format(name: str, question: Question) -> dict[str, Any]:
    if name == "json_schema":
        described = {"name": question, "strict": True, "schema": schema(question)}
        return {"response_format": {"type": "json_schema", "json_schema": described}}
    return {"response_format": {"type": "json_object"}} if name == "json_object" else {}


def _read(body: str) -> Reply | None:
    """Take the first choice's text out of a chat completion; `None` if the body is none.

    Read by hand because the client's models accept any types, and servers differ in all fields but these.
    """
    try:
        choice = json.loads(body)["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
    except (json.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError):
        return None
    if isinstance(refusal, str) and refusal:
        return Reply(refusal, refused=True)
    if choice.get("finish_reason") == "content_filter":
        return Reply(str(content or "content filter"), refused=True)
    return Reply(content, refused=False) if isinstance(content, str) else None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:159] + "…"
