"""When a prediction is right: two rules, by the words of labels and by a reviewed list of classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ex2.data.synsets import Category, words_of
from reward.recognizers.base import Vocabulary

Rule = Literal["words", "synsets"]
RULES: tuple[Rule, ...] = ("words", "synsets")

SAME_WORDS: Mapping[str, tuple[str, ...]] = {"rabbit": ("rabbit", "hare"), "hare": ("rabbit", "hare")}
"""Categories that the paper takes for one another."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")

Standing = Literal["answerable", "unanswerable", "unreviewed"]
"""Whether a recognizer can be right on a category: it has classes of it, it has none, or nobody has looked."""


@dataclass(frozen=True)
class Answers:
    """Which of a recognizer's classes are right for one category.

    Attributes:
        ids: Their numbers.
        standing: `answerable` exactly if there are some.
        note: What was decided where it was not plain.
    """

    ids: frozenset[int]
    standing: Standing
    note: str = ""


def word_ids(category: str, labels: Sequence[str]) -> tuple[int, ...]:
    """Return the classes in whose label all words of a category stand, in a row and in their order.

    Args:
        category: Such as `clock`, or `toilet seat`. `rabbit` and `hare` are found by either word.
        labels: Of each class; synonyms, which words do not reach across, are separated by a comma.

    Returns:
        Numbers of the classes, ascending. Whole words count: `sunglasses` is not found by `sunglass`.

    Source: Borji, "How good are deep models in understanding the generated images?" (2022), section 2.
    """
    wanted = [_words(one) for one in SAME_WORDS.get(words_of(category), (category,))]
    return tuple(
        number
        for number, label in enumerate(labels)
        if any(_in_a_row(words, _words(synonym)) for synonym in label.split(",") for words in wanted)
    )


def answers(
    rule: Rule,
    categories: Sequence[str],
    labels: Sequence[str],
    vocabulary: Vocabulary,
    synsets: Mapping[str, Category],
) -> tuple[Answers, ...]:
    """Return what is right for each category.

    Args:
        rule: By the words of labels, or by the list.
        categories: Names of the dataset's classes in label order.
        labels: Of the recognizer's classes.
        vocabulary: What these are. Where they are the dataset's own, both rules ask for the category itself; of others
            than ImageNet's, the list knows nothing.
        synsets: Category, as it is looked up → its ImageNet classes.
    """
    if vocabulary == "classes":
        return tuple(Answers(frozenset([number]), "answerable") for number in range(len(categories)))
    if rule == "words":
        return tuple(_of(word_ids(name, labels)) for name in categories)
    if vocabulary == "own":
        return tuple(Answers(frozenset(), "unreviewed", "its labels are not ImageNet's") for _ in categories)
    found = [synsets.get(words_of(name)) for name in categories]
    return tuple(Answers(frozenset(), "unreviewed") if one is None else _of(one.ids, one.note) for one in found)


def _of(ids: Sequence[int], note: str = "") -> Answers:
    return Answers(frozenset(ids), "answerable" if ids else "unanswerable", note)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.replace("_", " ").lower())


def _in_a_row(words: Sequence[str], among: Sequence[str]) -> bool:
    count = len(words)
    return count > 0 and any(list(among[start : start + count]) == list(words) for start in range(len(among)))
