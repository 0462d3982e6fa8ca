"""An answerer behind any OpenAI-compatible server that takes images: OpenAI, vLLM, llama.cpp, Ollama."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from analysis.images.questions.answerers.base import OnAnswer
from analysis.images.questions.answerers.prompts import LONGEST, LONGEST_ALLOWED, Detail, QuestionPrompts
from analysis.images.questions.answerers.reading import VERSION
from analysis.images.questions.files import ImageQuestion
from analysis.judge.base import CostEstimate, Usage
from analysis.judge.server.batch import BATCH_FILE
from analysis.judge.server.chat import ChatServer
from analysis.judge.server.conversation import Conversation
from analysis.judge.server.kept import NO_PART_OF_AN_ANSWER, KeptAnswers, given_sampling, server_setting_problems
from reward.errors import UserError


class _Ranged(NamedTuple):
    """Settings of images that have invalid values; the default stands for one that is not given, and is valid."""

    longest: int = LONGEST
    tokens_per_image: int | None = None


class OpenAIAnswerer:
    """Asks a vision model one question about one image at a time; answers are kept in a cache shared by all runs.

    If an answer cannot be read, the question is asked once more, with freer sampling and twice the tokens. The second
    answer counts, whatever it is.
    """

    exact = False
    immaterial: ClassVar[frozenset[str]] = NO_PART_OF_AN_ANSWER | {"tokens_per_image"}
    """Settings that do not change any answer."""
    answers_version = VERSION

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = None,
        mode: Literal["direct", "batch"] = "direct",
        longest: int = LONGEST,
        detail: Detail | None = None,
        tokens_per_image: int | None = None,
        temperature: float | None = 0.0,
        top_p: float | None = None,
        max_tokens: int | None = 32,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        max_retries: int = 5,
        timeout: float = 60.0,
        price_per_million: dict[str, float] | None = None,
        cache: str | None = None,
        extra_body: dict[str, Any] | None = None,
        folder: Path | None = None,
        named_in: str = "answerer",
    ) -> None:
        """Prepare the answerer; nothing is sent yet.

        Args:
            model: Model name as the server knows it; it must take images.
            base_url: As of the judge `openai`.
            api_key_env: Likewise, as are the settings below without a description.
            mode: `batch` hands the questions in through the server's Batch API; the same command collects the answers.
            longest: Most pixels of an image's longer side; a larger image is scaled down before it is sent.
            detail: `low`, `high` or `auto`, as OpenAI's API has it; null sends nothing.
            tokens_per_image: Input tokens of an image, for estimates; null counts as for gpt-4o.
            temperature: Sampling temperature; null leaves it to the server.
            top_p: Nucleus sampling; null leaves it to the server.
            max_tokens: Most tokens of an answer; null leaves it to the server.
            concurrency: Number of requests under way at once.
            requests_per_minute: Most requests started in a minute.
            tokens_per_minute: Most tokens in a minute.
            max_retries: Further tries.
            timeout: Seconds per try.
            price_per_million: Prices of a million `input` and `output` tokens.
            cache: SQLite file of answers; default `judge.sqlite` in the cache folder.
            extra_body: Further fields of the request.
            folder: Where batches under way are remembered and for which answers are paid; set by the program.
            named_in: The section that names the answerer, for messages; set by the program.

        Raises:
            UserError: If a setting is out of range; the message lists every problem.
        """
        given = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        checked = {
            **given,
            "base_url": base_url,
            "concurrency": concurrency,
            "max_retries": max_retries,
            "timeout": timeout,
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "price_per_million": price_per_million,
            "longest": longest,
            "tokens_per_image": tokens_per_image,
            "extra_body": extra_body,
        }
        problems = self.setting_problems(checked, named_in)
        if problems:
            raise UserError("\n".join(problems))
        self.server = ChatServer(
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
            named_in=named_in,
        )
        self.name = self.server.name
        self.conversation = Conversation(QuestionPrompts(longest, detail, tokens_per_image), self.server)
        batch_file = (folder or Path()) / BATCH_FILE if mode == "batch" else None
        self._kept = KeptAnswers(
            self.conversation, cache=cache, folder=folder, batch_file=batch_file, prices=price_per_million
        )

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: Iterable[str] = ()) -> list[str]:
        """List settings that cannot work; the arguments are those of `reward.components.settings_problems`."""
        found = server_setting_problems(settings, where)
        given = _Ranged(**{key: settings[key] for key in _Ranged._fields if key in settings})
        least, most = LONGEST_ALLOWED
        if not least <= given.longest <= most:
            found.append(f"{where}.longest: given {given.longest!r}; allowed are {least} to {most:,} pixels.")
        if given.tokens_per_image is not None and given.tokens_per_image < 0:
            found.append(f"{where}.tokens_per_image: given {given.tokens_per_image!r}; allowed is at least 0.")
        return found

    def answer(self, questions: Sequence[ImageQuestion], on_answer: OnAnswer) -> None:
        """Answer every question, those in the cache first; errors are those of `KeptAnswers.answer`."""
        self._kept.answer(questions, on_answer)

    def estimate(self, questions: Sequence[ImageQuestion]) -> CostEstimate:
        """Estimate what `answer` would take; nothing is sent, and no key is needed."""
        return self._kept.estimate(questions)

    def cost(self, spent: Usage) -> float | None:
        """Return the price of what was spent; None without prices."""
        return self._kept.cost(spent)
