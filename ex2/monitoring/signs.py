"""Signs that a policy games its reward, computed from its descriptions by pure functions.

A sign is a number per description; the trainer logs its mean over the global batch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from reward.text_rewards import repeated_share

VARYING = ("seconds_", "tokens_per_second", "peak_memory")
"""Beginnings of the log's keys whose values differ between two runs of the same recipe."""

_WORD = re.compile(r"\w+(?:['’]\w+)*")
# an end mark, closing quotes or brackets, then a space or the end; "3.5" and "e.g." inside a sentence are no end
_SENTENCE_END = re.compile(r"(?<!\be\.g)(?<!\bi\.e)[.!?…]+[\"'”’)\]]*(?=\s|$)")


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    return _WORD.findall(text.lower())


def name_repetitions(text: str, class_name: str) -> int:
    """Return how often a description names its class, as whole words in a row; case and punctuation are ignored.

    A plural or another inflection of the name does not count.
    """
    words, name = words_of(text), words_of(class_name)
    if not name:
        return 0
    return sum(words[start : start + len(name)] == name for start in range(len(words) - len(name) + 1))


def without_name(text: str, class_name: str) -> str:
    """Return a description without the name of its class; the other words stay as they are."""
    name = words_of(class_name)
    if not name:
        return text
    pattern = r"\W+".join(map(re.escape, name))
    return re.sub(r"\s{2,}", " ", re.sub(rf"(?<!\w){pattern}(?!\w)", "", text, flags=re.IGNORECASE)).strip()


def repetition(text: str, n: int = 2) -> float:
    """Return the share of a description's word n-grams that occurred in it before, in [0, 1)."""
    return repeated_share(words_of(text), n)


def copied_share(text: str, prompt: str, n: int = 3) -> float:
    """Return the share of a description's word n-grams that occur in the prompt too, in [0, 1].

    A description of fewer than n words is compared as a whole; an empty one copies nothing.
    """
    words, source = words_of(text), words_of(prompt)
    n = min(n, len(words))
    if n == 0:
        return 0.0
    known = {tuple(source[start : start + n]) for start in range(len(source) - n + 1)}
    grams = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    return sum(gram in known for gram in grams) / len(grams)


def mean_surprise(logprobs: Sequence[float]) -> float | None:
    """Return minus the mean log-probability of a description's tokens, in nats; None if it has no token.

    The exponential of this number's mean over descriptions is their perplexity.
    """
    return -sum(logprobs) / len(logprobs) if logprobs else None


def cut_to_sentence(text: str) -> str:
    """Return a text up to the end of its last full sentence; a text without a full sentence is left whole."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else text


def text_signs(text: str, prompt: str, class_name: str) -> dict[str, float]:
    """Return the signs that depend on a description's words alone: name → value."""
    return {
        "sign_name_repetitions": float(name_repetitions(text, class_name)),
        "sign_repetition": repetition(text),
        "sign_copied": copied_share(text, prompt),
    }
