"""Phrases that stand in more of the aligned descriptions than of the base model's: log-odds with a prior."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ex2.data.names_in_texts import SLOT, mask_name
from ex2.run.descriptions import DescribedClass

Gram = tuple[str, ...]

_WORD = re.compile(r"\{\}|[^\W_]+(?:['’-][^\W_]+)*")

# fmt: off
FUNCTION_WORDS = frozenset({
    "a", "an", "the", "this", "that", "these", "those", "it", "its", "is", "are", "was", "were", "be", "been",
    "being", "am", "and", "or", "but", "if", "of", "to", "in", "on", "at", "by", "for", "from", "with", "as",
    "into", "about", "than", "then", "there", "here's", "i", "you", "he", "she", "we", "they", "them", "his", "her",
    "their", "our", "your", "my", "me", "us", "not", "no", "do", "does", "did", "has", "have", "had", "can",
    "could", "will", "would", "may", "might", "so", "such", "which", "who", "what", "when", "where", "how",
})
# fmt: on
"""Function words; a phrase that has no other words is not tested."""


class LogOdds(NamedTuple):
    """How much more frequent something is in one corpus.

    Attributes:
        value: Difference of log-odds (natural logarithm); above 0 if it is more frequent in the first corpus.
        z: The difference in standard deviations.
    """

    value: float
    z: float


class Phrase(NamedTuple):
    """A run of words, the class name masked as `{}`.

    Attributes:
        text: The words in lower case, with single blanks and no punctuation.
        aligned: Number of aligned descriptions that have the phrase.
        base: Number of the base model's descriptions that have the phrase.
        classes: Number of classes whose aligned descriptions have the phrase.
        log_odds: Difference of log-odds, aligned minus base.
        z: The difference in standard deviations.
    """

    text: str
    aligned: int
    base: int
    classes: int
    log_odds: float
    z: float


class Mining(NamedTuple):
    """What counts as a phrase.

    Attributes:
        longest: Most words of a phrase.
        min_count: Fewest aligned descriptions that must have the phrase.
        min_classes: Fewest classes whose aligned descriptions must have the phrase: what is said of one class only is
            no template.
        prior: Weight of the prior, as a number of observed phrases.
        min_z: Least difference of log-odds, in standard deviations.
        absorbed: A phrase is dropped if a longer phrase that contains it is in at least this share of its descriptions.
    """

    longest: int = 8
    min_count: int = 5
    min_classes: int = 2
    prior: float = 100.0
    min_z: float = 1.96
    absorbed: float = 0.7


DEFAULT = Mining()


def words_of(text: str, class_name: str) -> Gram:
    """Return a description's words in lower case, with `{}` for its class name and the name's parts."""
    masked = mask_name(re.sub(r"[{}]", " ", text), class_name)
    return tuple(_WORD.findall(masked.lower()))


def log_odds(first: int, first_total: int, second: int, second_total: int, prior: float, prior_total: float) -> LogOdds:
    """Compare how often a word stands in two corpora, with an informative Dirichlet prior.

    Args:
        first: Count in the first corpus.
        first_total: Count of all words in the first corpus.
        second: Count in the second corpus.
        second_total: Count of all words in the second corpus.
        prior: Pseudo-count of the word, above 0.
        prior_total: Pseudo-count of all words, above `prior`.

    Source: Monroe, Colaresi and Quinn (2008), Political Analysis 16, equations 16 and 20 to 22.
    """
    a, b = first + prior, second + prior
    value = math.log(a / (first_total + prior_total - a)) - math.log(b / (second_total + prior_total - b))
    return LogOdds(value, value / math.sqrt(1 / a + 1 / b))


def mine(aligned: Sequence[DescribedClass], base: Sequence[DescribedClass], settings: Mining = DEFAULT) -> list[Phrase]:
    """Find phrases that alignment made frequent.

    A description counts once for a phrase, however often it has it. The phrases of each length are a corpus of their
    own, and the prior of a phrase is proportional to its share of both sides' phrases of that length.

    Args:
        aligned: Aligned descriptions.
        base: The base model's descriptions.
        settings: What counts as a phrase.

    Returns:
        The phrases, by falling z and then by text. A phrase is left out if a longer one accounts for it (see
        `Mining.absorbed`).
    """
    sides = [[words_of(text, name) for name, text in side] for side in (aligned, base)]
    names = [name for name, _ in aligned]
    found: dict[Gram, Phrase] = {}
    frequent: set[Gram] = set()
    for length in range(1, settings.longest + 1):
        grams = [[_grams(words, length) for words in side] for side in sides]
        totals = [sum(map(len, side)) for side in grams]
        counts, classes = Counter[Gram](), defaultdict[Gram, set[str]](set)
        for name, own in zip(names, grams[0], strict=True):
            for gram in own:
                if length == 1 or (gram[1:] in frequent and gram[:-1] in frequent):
                    counts[gram] += 1
                    classes[gram].add(name)
        frequent = {gram for gram, count in counts.items() if count >= settings.min_count}
        if not frequent:
            break
        before = Counter(gram for own in grams[1] for gram in own if gram in frequent)
        for gram in frequent:
            share = (counts[gram] + before[gram]) / sum(totals)
            if len(classes[gram]) < settings.min_classes or not _says_something(gram) or share == 1:
                continue
            prior = settings.prior * share
            odds = log_odds(counts[gram], totals[0], before[gram], totals[1], prior, settings.prior)
            if odds.z >= settings.min_z:
                found[gram] = Phrase(" ".join(gram), counts[gram], before[gram], len(classes[gram]), *odds)
    kept = [phrase for gram, phrase in found.items() if not _absorbed(gram, phrase, found, settings.absorbed)]
    return sorted(kept, key=lambda phrase: (-phrase.z, phrase.text))


def different(phrases: Iterable[Phrase], most: int) -> list[Phrase]:
    """Take at most `most` phrases in their order, skipping each that is part of one already taken, or contains one."""
    taken: list[Phrase] = []
    for phrase in phrases:
        if len(taken) >= most:
            break
        words = tuple(phrase.text.split())
        if not any(_contains(tuple(t.text.split()), words) or _contains(words, tuple(t.text.split())) for t in taken):
            taken.append(phrase)
    return taken


def _grams(words: Gram, length: int) -> set[Gram]:
    return {words[start : start + length] for start in range(len(words) - length + 1)}


def _says_something(gram: Gram) -> bool:
    return any(word != SLOT and word not in FUNCTION_WORDS for word in gram)


def _absorbed(gram: Gram, phrase: Phrase, found: dict[Gram, Phrase], share: float) -> bool:
    return any(
        len(other) > len(gram) and longer.aligned >= share * phrase.aligned and _contains(other, gram)
        for other, longer in found.items()
    )


def _contains(outer: Gram, inner: Gram) -> bool:
    return any(outer[start : start + len(inner)] == inner for start in range(len(outer) - len(inner) + 1))
