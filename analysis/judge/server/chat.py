"""Many conversations with one OpenAI-compatible server, with limits, retries and the strictest JSON that it takes."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import openai

from analysis.judge.base import Usage
from analysis.judge.server.address import OPENAI_URL, Address
from analysis.judge.server.cost import estimate_tokens
from analysis.judge.server.faults import Wording, refuses
from analysis.judge.server.pace import Limits
from analysis.judge.server.replies import Chat, Reply, read_reply, retry_after, server_words
from reward.errors import EX2Error, UserError

FORMATS = ("json_schema", "json_object", "text")
"""Ways to ask for JSON, the strictest first; if a server refuses one, the next is tried."""

LENGTHS = ("max_tokens", "max_completion_tokens")
"""Fields of a request that limit the length of its answer; the second is OpenAI's for reasoning models."""
SECOND_TRY = {"temperature": 0.5, "top_p": 1.0}
"""Least sampling settings for the second try after an answer that could not be read: nearly greedy sampling would give
the same answer again."""

OTHERS = 3
"""Number of further conversations that must be refused too before the model or the settings are held to be the reason,
and that must fail too, with no reply in between, before the server is."""

FIRST_DELAY, LONGEST_DELAY = 0.5, 8.0
"""Seconds to wait before the second try, and the most to wait: the wait is doubled for each further try up to that."""
LONGEST_RETRY_AFTER = 120.0
"""Longest pause, in seconds, that a server may ask for; if it asks for a longer one, the request counts as failed."""

_RETRIED = (408, 409, 429)


OnReply = Callable[[Chat, Reply], Chat | None]
"""Called with a conversation and its reply; if it returns a conversation, this one is asked next."""


class _Setback(NamedTuple):
    """A try that failed and may be repeated.

    Attributes:
        fault: The error to raise if no try is left.
        retry_after: Pause in seconds that the server asks for; None if it asks for none.
    """

    fault: EX2Error
    retry_after: float | None


class _Exhausted(Exception):
    def __init__(self, chat: Chat, fault: EX2Error) -> None:
        super().__init__(str(fault))
        self.chat, self.fault = chat, fault


class _Refused(Exception):
    """A conversation was refused in every answer format, by a server that has not accepted any request yet."""

    def __init__(self, chat: Chat, reply: Reply, fault: UserError) -> None:
        super().__init__(str(fault))
        self.chat, self.reply, self.fault = chat, reply, fault


class ChatServer:
    """A model behind a server; `OpenAIJudge` documents the settings.

    Attributes:
        address: Where the server is, and its key.
        base_url: Address of the server with its query, such as an API's version.
        shown_url: Address of the server without its query.
        named_in: The recipe's section that names the model: error messages begin with it.
        format: Index into `FORMATS` of the strictest format to try; it grows as the server refuses formats.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = None,
        *,
        sampling: Mapping[str, Any],
        extra_body: Mapping[str, Any] | None = None,
        concurrency: int = 16,
        max_retries: int = 5,
        timeout: float = 60.0,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        named_in: str = "judge",
    ) -> None:
        self.address = Address.of(base_url, api_key_env, named_in)
        self.base_url, self.shown_url, self.model = self.address.url, self.address.shown, model
        self.name = model if self.base_url == OPENAI_URL else f"{model} at {self.address.host}"
        self.sampling, self.extra_body = dict(sampling), dict(extra_body or {})
        self.concurrency, self.max_retries, self.timeout = concurrency, max_retries, timeout
        self.named_in = named_in
        self.wording = Wording(self.shown_url, model, timeout, max_retries + 1, named_in)
        self._limits = Limits(requests_per_minute, tokens_per_minute)
        self.format = 0
        self.format_works = False  # a reply has come in it: from then on a refusal is about the conversation

    @property
    def where(self) -> str:
        """The server as messages name it, such as `judge http://localhost:8000/v1`."""
        return f"{self.named_in} {self.shown_url}"

    def body(self, chat: Chat, format_index: int | None = None) -> dict[str, Any]:
        """Return the JSON body of a request."""
        name = FORMATS[self.format if format_index is None else format_index]
        wanted: dict[str, Any] = {}
        if name == "json_schema":
            described = {"name": chat.schema_name, "strict": True, "schema": chat.schema}
            wanted = {"response_format": {"type": name, "json_schema": described}}
        elif name == "json_object":
            wanted = {"response_format": {"type": name}}
        always = {"model": self.model, "messages": chat.sent(), **self.sampling}
        return {**always, **wanted, **self.extra_body, **chat.sampling}

    def second_sampling(self) -> dict[str, Any]:
        """Return the settings of a second try that change: freer sampling, twice the length; unset ones stay unset."""
        given = {**self.sampling, **self.extra_body}
        first = {key: value for key, value in given.items() if isinstance(value, int | float)}
        changed = {key: max(first[key], least) for key, least in SECOND_TRY.items() if key in first}
        return changed | {key: 2 * first[key] for key in LENGTHS if key in first}

    def estimate(self, chat: Chat) -> Usage:
        """Estimate what one request takes: roughly the input tokens, at most the output tokens (0 without a limit)."""
        body = {**self.sampling, **self.extra_body, **chat.sampling}
        lengths = [body[key] for key in LENGTHS if isinstance(body.get(key), int | float)]
        read = estimate_tokens(chat.messages) + chat.attached_tokens
        return Usage(1, read, int(max(lengths, default=0)))

    def ask_all(self, chats: Sequence[Chat], on_reply: OnReply, example: Chat | None = None) -> None:
        """Hold all conversations, `concurrency` of them at once.

        The first conversation is asked alone: it finds the format that the server takes, and a dead server is met only
        once. If it is refused, others are tried to see whether its text is the reason. A conversation that fails in all
        its tries while others succeed is asked again at the end.

        Args:
            chats: Any number of conversations.
            on_reply: Called with each conversation and its reply, also for conversations that it returned itself.
            example: A conversation that no server has reason to refuse. It is asked only if too few others are left to
                find the reason of a refusal. Its reply is not passed on; what it took is added to the refused
                conversation.

        Raises:
            UserError: If the server refuses the key, or refuses several conversations, as it does for a wrong model or
                setting.
            EnvironmentFault: If the server cannot be reached or keeps failing. Replies received so far have been passed
                on.
        """
        if chats:
            asyncio.run(self._ask_all(deque(chats), on_reply, example))

    async def _ask_all(self, waiting: deque[Chat], on_reply: OnReply, example: Chat | None) -> None:
        again: deque[Chat] = deque()  # those that failed; they are asked when no other is left
        failed: list[int] = []  # those of them that failed since the last reply, by their messages
        asking = replies = 0

        def deliver(chat: Chat, reply: Reply) -> None:
            nonlocal replies
            replies += 1
            failed.clear()
            further = on_reply(chat, reply)
            if further is not None:
                waiting.appendleft(further)

        async def work(client: openai.AsyncOpenAI) -> None:
            nonlocal asking
            while waiting or again:
                asking += 1
                before = replies
                try:
                    chat, reply = await self._ask(client, (waiting or again).popleft())
                except _Exhausted as exhausted:
                    key, alone = id(exhausted.chat.messages), asking == 1
                    hopeless = key in failed or len(failed) >= OTHERS
                    if alone and (hopeless or (replies == before and not (waiting or again))):
                        raise exhausted.fault from exhausted
                    failed.append(key)
                    # Neighbours speak of one class, and may fail for the same word: one further on is asked next.
                    waiting.rotate(-(len(waiting) // (OTHERS + 1)))
                    again.append(exhausted.chat)
                    if hopeless:
                        return  # those who still ask may get a reply; the last of them decides
                    continue
                finally:
                    asking -= 1
                deliver(chat, reply)

        # Retries are ours: each has to wait for its turn under the limits.
        async with self.address.client(openai.AsyncOpenAI, self.timeout, max_retries=0) as client:
            await self._begin(client, waiting, deliver, example)
            workers = [asyncio.create_task(work(client)) for _ in range(min(self.concurrency, len(waiting)))]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _begin(
        self,
        client: openai.AsyncOpenAI,
        waiting: deque[Chat],
        deliver: Callable[[Chat, Reply], None],
        example: Chat | None,
    ) -> None:
        """Ask one conversation after the other until one is answered, which shows that model and settings are right."""
        refused: list[_Refused] = []
        while waiting or (refused and example is not None):
            asked = example
            if waiting:
                # Spread over the line: neighbours speak of one class, and may be refused for the same word.
                place = len(waiting) * len(refused) // (OTHERS + 1)
                asked = waiting[place]
                del waiting[place]
            assert asked is not None
            try:
                chat, reply = await self._ask(client, asked)
            except _Exhausted as exhausted:
                raise exhausted.fault from exhausted
            except _Refused as refusal:
                refused.append(refusal)
                if len(refused) > OTHERS or asked is example:
                    break
                continue
            if asked is example:
                refused[0].reply = refused[0].reply._replace(spent=refused[0].reply.spent.plus(reply.spent))
                break
            deliver(chat, reply)
            if self.format_works:  # else a filter took offence, which tells nothing
                break
        if refused and not self.format_works:
            raise refused[0].fault from refused[0]
        for each in refused:
            deliver(each.chat, each.reply)

    async def _ask(self, client: openai.AsyncOpenAI, chat: Chat) -> tuple[Chat, Reply]:
        """Ask until the server gives a readable reply."""
        setback: _Setback | None = None
        for attempt in range(self.max_retries + 1):
            if setback is not None:
                await asyncio.sleep(_delay(attempt, setback.retry_after))
            estimated = self.estimate(chat)
            await self._limits.wait(estimated.input_tokens + estimated.output_tokens)
            chat = replace(chat, spent=chat.spent.plus(Usage(requests=1)))
            got = await self._send(client, chat)
            if isinstance(got, _Setback):
                setback = got
                if got.retry_after is not None and got.retry_after > LONGEST_RETRY_AFTER:
                    break
                continue
            self._limits.adjust(
                estimated.input_tokens + estimated.output_tokens, got.spent.input_tokens + got.spent.output_tokens
            )
            return chat, got._replace(spent=chat.spent.plus(got.spent))
        assert setback is not None
        raise _Exhausted(chat, setback.fault)

    async def _send(self, client: openai.AsyncOpenAI, chat: Chat) -> Reply | _Setback:
        """Send one request in the strictest format that the server takes."""
        for position in range(self.format, len(FORMATS)):
            last = position == len(FORMATS) - 1
            try:
                async with asyncio.timeout(self.timeout):  # the client's own limit is per read: a trickle never ends
                    response = await client.chat.completions.with_raw_response.create(
                        model=self.model, messages=[], extra_body=self.body(chat, position)
                    )
                    body = self.address.hide(response.text)
            except openai.APIStatusError as error:
                words = self.address.hide(server_words(error))
                declined = Reply(f"{error.status_code}: {words}", refused=True, spent=Usage())
                if error.code == "content_filter":
                    return declined._replace(text=f"content filter: {words}")
                if not refuses(error) or (error.status_code >= 500 and (self.format_works or last)):
                    return self._setback(error)
                if self.format_works:
                    return declined
                if last:
                    fault = self.wording.refused(error.status_code, words)
                    raise _Refused(chat, declined._replace(spent=chat.spent), fault) from error
            except (openai.APIError, TimeoutError) as error:
                return self._setback(error)
            else:
                reply = read_reply(body)
                if reply is None:
                    return _Setback(self.wording.no_completion(body), None)
                # Remembered only now: had every format been refused, the format would not be the reason.
                self.format, self.format_works = max(self.format, position), True
                return reply
        raise AssertionError("there is no format to ask in")

    def _setback(self, error: openai.APIError | TimeoutError) -> _Setback:
        """Return a failure that may be temporary; raise one that will not pass."""
        fault = self.fault(error)
        if isinstance(error, openai.APIStatusError):
            passes = error.status_code in _RETRIED or error.status_code >= 500
            if not passes or error.code == "insufficient_quota":
                raise fault from error
            return _Setback(fault, retry_after(error.response.headers))
        return _Setback(fault, None)

    def fault(self, error: openai.APIError | TimeoutError) -> EX2Error:
        """Return an error of the client as one line that says what to do."""
        return self.wording.fault(error, self.address.hide)


def _delay(attempt: int, wanted: float | None) -> float:
    """Return the seconds to wait before a further try; a random part keeps requests from returning all at once."""
    backoff = min(FIRST_DELAY * 2.0 ** (attempt - 1), LONGEST_DELAY)
    return backoff * random.uniform(0.5, 1.0) if wanted is None else wanted + min(wanted, backoff) * random.random() / 4
