"""Control arms: texts that should classify worse than EX2's descriptions if those help by what they say.

| arm | texts of a class | takes away |
|---|---|---|
| `class_name` | its bare name | every other word |
| `waffle` | its name with random words, the same for every class (arXiv 2306.07282) | any meaning |
| `shuffled` | EX2's, the words of each in random order, the name kept whole | word order |
| `other_class` | EX2's of another class, that class's name replaced by this one's | what is said of the class |
| `other_class_kept` | EX2's of another class as they are | the name too: they name the wrong class |
| `base_best` | those of the base model's with the highest rewards | alignment: chosen by reward, without training |

Which class another one's texts go to is drawn `PAIRINGS` times: with one pairing, an arm is as good or bad as that
pairing happens to be. Arms that say what a gain is made of are in `attribution`.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from analysis.accuracy.reassigned import Answer, answers_of, assignments, paired, renamed, shuffled
from analysis.accuracy.zero_shot import PLAIN_TEMPLATE
from ex2.data.names_in_texts import ClassNames, name_pattern
from ex2.run.descriptions import Description, LabeledText
from reward.files import read_json
from reward.records import Record

RANDOM_WORDS = 2
"""Words in a random-word description, about as many as a generated descriptor has."""
LEAST_WAFFLE = 15
"""Random-word descriptions made for a class that has no description of EX2's, whose number they would match."""
PAIRINGS = 20
"""Pairings of classes that accuracies with another class's texts are averaged over."""


class ControlArm(NamedTuple):
    """A control arm: texts to classify with.

    Attributes:
        name: Shown name.
        note: What the texts are, with how many there are.
        texts: Class index and text of each; a class may have any number of texts, also none.
        further: The texts of further assignments to classes: the arm's accuracy is averaged over all.
    """

    name: str
    note: str
    texts: list[LabeledText]
    further: tuple[list[LabeledText], ...] = ()

    @property
    def every(self) -> tuple[list[LabeledText], ...]:
        """All assignments."""
        return (self.texts, *self.further)


@dataclass(frozen=True)
class _RandomWords(Record):
    """Content of `random_words.json`."""

    words: tuple[str, ...]


@cache
def random_words() -> tuple[str, ...]:
    """Return the words that random-word descriptions are made of."""
    return _RandomWords.from_json(read_json(Path(__file__).with_name("random_words.json"))).words


def build_controls(
    chosen: Sequence[str], descriptions: Sequence[Description], names: ClassNames, seed: int
) -> dict[str, ControlArm]:
    """Make the chosen control arms of one seed's descriptions.

    Args:
        chosen: Names from `CONTROLS`.
        descriptions: Descriptions of both policies.
        names: The names of all classes.
        seed: Seed of the random words, the word order and the pairing of classes.

    Returns:
        Name → arm, in the chosen order. An arm for which there are no texts is included, with an empty list.
    """
    source = _Source(descriptions, answers_of(descriptions), names, seed)
    return {name: CONTROLS[name](source) for name in dict.fromkeys(chosen)}


class _Source(NamedTuple):
    descriptions: Sequence[Description]
    aligned: Sequence[Answer]
    names: ClassNames
    seed: int

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.names.names


def _class_name(source: _Source) -> ControlArm:
    texts = [LabeledText(label, name) for label, name in enumerate(source.class_names)]
    return ControlArm("class name alone", "one text a class: its name", texts)


def _waffle(source: _Source) -> ControlArm:
    counts: dict[int, int] = defaultdict(int)
    for one in source.aligned:
        counts[one.label] += 1
    each = max(counts.values(), default=LEAST_WAFFLE)
    texts = waffle_texts(source.class_names, random_words(), each, source.seed)
    return ControlArm("random words", f"{each} texts a class of {RANDOM_WORDS} random words, equal for all", texts)


def _shuffled(source: _Source) -> ControlArm:
    texts = [
        LabeledText(one.label, shuffle_words(one.text, source.class_names[one.label], source.seed))
        for one in source.aligned
    ]
    return ControlArm("EX2, words shuffled", "EX2's descriptions, words in random order, the class name whole", texts)


def _other_class(source: _Source) -> ControlArm:
    """Only texts that name their class take part: in the others, no name could be put in."""
    texts = [one for one in source.aligned if source.names.named(one.text, one.label)]
    given = assignments(paired, texts, PAIRINGS, source.seed) if _several_classes(texts) else []
    made = [renamed(texts, labels, source.names) for labels in given]
    return _averaged("EX2 of another class", "the other class's name replaced by the class's own", made)


def _other_class_kept(source: _Source) -> ControlArm:
    texts = source.aligned
    given = assignments(paired, texts, PAIRINGS, source.seed) if _several_classes(texts) else []
    made = [[LabeledText(label, one.text) for one, label in zip(texts, labels, strict=True)] for labels in given]
    return _averaged("EX2 of another, as is", "with the other class's name", made)


def _several_classes(texts: Sequence[Answer]) -> bool:
    return len({one.label for one in texts}) > 1


def _averaged(name: str, note: str, made: Sequence[list[LabeledText]]) -> ControlArm:
    if not made:
        return ControlArm(name, note, [])
    return ControlArm(name, f"{note}, averaged over {len(made)} pairings", made[0], tuple(made[1:]))


def _base_best(source: _Source) -> ControlArm:
    texts, n, unit = best_of_n([one for one in source.descriptions if one.policy == "base"])
    note = f"the best by reward of {n} base descriptions a {unit}" if texts else "no base descriptions with a reward"
    return ControlArm(f"base model, best of {n}" if texts else "base model, best of n", note, texts)


CONTROLS: dict[str, Callable[[_Source], ControlArm]] = {
    "class_name": _class_name,
    "waffle": _waffle,
    "shuffled": _shuffled,
    "other_class": _other_class,
    "other_class_kept": _other_class_kept,
    "base_best": _base_best,
}
"""The names are those of the recipe's `analysis.controls`."""


def waffle_texts(class_names: Sequence[str], words: Sequence[str], each: int, seed: int) -> list[LabeledText]:
    """Describe every class by the same random words: "a photo of a {class}, which has {words}".

    Args:
        class_names: C names in label order.
        words: Words to draw from; each text gets `RANDOM_WORDS` different ones.
        each: Number of texts for each class.
        seed: Seed of the draws.

    Returns:
        C · `each` texts with their class index, ordered by class.

    Source: Roth et al. (2023), arXiv 2306.07282.
    """
    draw = random.Random(f"waffle {seed}")
    endings = [" ".join(shuffled(words, draw)[:RANDOM_WORDS]) for _ in range(each)]
    return [
        LabeledText(label, f"{PLAIN_TEMPLATE.replace('{}', name)}, which has {ending}")
        for label, name in enumerate(class_names)
        for ending in endings
    ]


def shuffle_words(text: str, class_name: str, seed: int) -> str:
    """Put a text's words in random order; the class name, with any punctuation attached to it, counts as one word.

    Args:
        text: The text to shuffle; equal texts of a class are shuffled alike.
        class_name: Name of the class, which is kept whole so that only the order is lost.
        seed: Seed of the order.

    Returns:
        The words, joined by single blanks.
    """
    named = name_pattern(class_name)
    units, position = [], 0
    for found in named.finditer(text):
        units += text[position : found.start()].split()
        units.append(" ".join(found[0].split()))
        position = found.end()
    units += text[position:].split()
    return " ".join(shuffled(units, random.Random(f"shuffle {seed} {class_name} {text}")))


class BestOfN(NamedTuple):
    """The descriptions with the highest rewards.

    Attributes:
        texts: Class index and text of each.
        n: How many descriptions a best one was chosen from; the largest number, where groups differ in size.
        unit: What the descriptions of a group have in common: a question about a class, or only the class.
    """

    texts: list[LabeledText]
    n: int
    unit: str


def best_of_n(descriptions: Sequence[Description]) -> BestOfN:
    """Choose by reward the best of each question's samples, or of each class if questions have one sample only.

    Args:
        descriptions: Descriptions of one policy. Those without a reward or text are left out; of equal rewards the
            first wins.

    Returns:
        The chosen texts, in the order of `descriptions`.
    """
    scored = [one for one in descriptions if one.reward is not None and not one.is_empty]
    groups: dict[tuple[int | None, ...], list[Description]] = defaultdict(list)
    for one in scored:
        groups[one.label, one.question_id].append(one)
    unit = "question"
    if all(len(group) == 1 for group in groups.values()):
        unit = "class"
        groups = defaultdict(list)
        for one in scored:
            groups[(one.label,)].append(one)
    best = [max(group, key=_reward) for group in groups.values()]
    return BestOfN([one.of_label for one in best], max(map(len, groups.values()), default=0), unit)


def _reward(description: Description) -> float:
    return float("-inf") if description.reward is None else float(description.reward)
