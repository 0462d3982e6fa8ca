"""Questions to a server whose answers are kept in a cache shared by all runs: what was paid for is not asked again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic

from analysis.judge.base import Answer, CostEstimate, Q, Usage, Verdict
from analysis.judge.server.address import url_problem
from analysis.judge.server.batch import collect_or_submit
from analysis.judge.server.cache import AnswerCache, Kept
from analysis.judge.server.chat import FORMATS
from analysis.judge.server.conversation import Conversation
from analysis.judge.server.cost import PRICES, cost

NO_PART_OF_AN_ANSWER = frozenset(
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
"""Settings of a server that do not change any answer: answers stay valid when these settings change."""


class KeptAnswers(Generic[Q]):
    """Asks a server what the cache does not hold.

    Args:
        conversation: Builds the questions and reads the answers.
        cache: SQLite file of the answers; None for the one that all runs share.
        folder: Folder of results in whose name answers are paid; None if that is not to be remembered.
        batch_file: Where batches under way are remembered; None asks directly.
        prices: Price of a million `input` and `output` tokens; None if it is not known.
    """

    def __init__(
        self,
        conversation: Conversation[Q],
        *,
        cache: str | None,
        folder: Path | None,
        batch_file: Path | None,
        prices: Mapping[str, float] | None,
    ) -> None:
        self._conversation, self._cache_path, self._prices = conversation, cache, prices
        self._payer = None if folder is None else str(folder.resolve())
        self._batch_file = batch_file

    def answer(self, requests: Sequence[Q], on_answer: Callable[[Q, Answer], None]) -> None:
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
        conversation = self._conversation
        server = conversation.server
        with AnswerCache(self._cache_path, server.named_in) as cache:
            missing: dict[str, list[Q]] = {}
            for request in requests:
                key = conversation.key(request)
                kept = cache.get(key)
                if kept is None:  # texts that differ in their line breaks only are one question
                    missing.setdefault(key, []).append(request)
                    continue
                # Asked for in the same name, and yet not known to who asks: it was paid for just before a kill.
                ours = self._payer is not None and kept.payer == self._payer
                answer = conversation.prompts.parse(request, kept.raw)
                on_answer(request, replace(answer, spent=kept.spent if ours else None))

            def keep(request: Q, answer: Answer) -> None:
                key = conversation.key(request)
                if isinstance(answer, Verdict):  # refusals and unreadable answers may come out better next time
                    cache.put(key, Kept(answer.raw, answer.spent, self._payer))
                first, *others = missing[key]
                on_answer(first, answer)
                for other in others:
                    on_answer(other, replace(answer, spent=None))

            asked = [same[0] for same in missing.values()]
            name = f"{server.base_url} {server.model}"
            known = cache.format_of(name)
            server.format = max(server.format, FORMATS.index(known) if known in FORMATS else 0)
            try:
                if self._batch_file is not None:
                    collect_or_submit(conversation, asked, keep, self._batch_file)
                else:
                    conversation.ask([conversation.chat(request) for request in asked], keep)
            finally:
                # A format that was only taken over keeps its date, so that it is tried out anew some day.
                if server.format_works and FORMATS[server.format] != known:
                    cache.remember_format(name, FORMATS[server.format])

    def estimate(self, requests: Sequence[Q]) -> CostEstimate:
        """Estimate what `answer` would take; nothing is sent, and no key is needed."""
        conversation, server = self._conversation, self._conversation.server
        cached, missing = 0, {}
        with AnswerCache(self._cache_path, server.named_in) as cache:
            for request in requests:
                key = conversation.key(request)
                if cache.get(key) is None:
                    missing[key] = request
                else:
                    cached += 1
        first = second = Usage()
        for request in missing.values():
            first = first.plus(server.estimate(conversation.chat(request)))
            second = second.plus(server.estimate(conversation.chat(request, again=True)))
        most = first.plus(second)
        limited = not missing or first.output_tokens > 0
        return CostEstimate(cached, first, self.cost(first), most, self.cost(most), limited)

    def cost(self, spent: Usage) -> float | None:
        """Return the price of what was spent; None without prices."""
        return cost(spent, self._prices)


ASKED = ("messages", "model", "stream", "n")
"""Fields of a request that no further setting may replace: another question would be asked, or another reply read."""


def server_setting_problems(settings: Mapping[str, Any], where: str) -> list[str]:
    """List settings of a server, its limits and its sampling that cannot work.

    Args:
        settings: As a recipe has them.
        where: File and section for messages.
    """
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
    own = [key for key in settings.get("extra_body") or {} if key in ASKED]
    problems += [f"{where}.extra_body: '{key}' is what is asked of whom; leave it out." for key in own]
    wrong_url = url_problem(settings.get("base_url"))
    if wrong_url:
        problems.append(f"{where}.base_url: {wrong_url}")
    return problems


def given_sampling(**settings: float | None) -> dict[str, Any]:
    """Return the settings of the sampling that are not left to the server."""
    return {key: value for key, value in settings.items() if value is not None}
