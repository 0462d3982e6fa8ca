"""Texts given to other classes than their own, with the class's own name put in: by chance, and in several ways.

| assignment | what stays | what is lost |
|---|---|---|
| `everyone` | which texts there are | whose they are, and that classes have different ones |
| `exchanged` | also how many texts a class has and which questions they answer | whose each text is |
| `whole` | also which texts stand together | whose they are |
| `paired` | the same, but no class keeps its own | whose they are, for certain |
| `shuffled` | how many texts a class has | whose each is, and which questions a class's texts answer |

All but the first and the last stay within blocks of at most `BLOCK` classes, drawn at random. Permutations within
blocks are a group, so that tests by them are exact, and each text is encoded with few names, however many classes there
are.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from analysis.accuracy.record import NamesInTexts
from ex2.data.names_in_texts import ClassNames, describing_names
from ex2.run.descriptions import Description, LabeledText

T = TypeVar("T")

Assignment = tuple[int, ...]
"""Label that each text is given, in the order of the texts, shape (T,)."""

Blocks = tuple[tuple[int, ...], ...]
"""Labels that may be exchanged with each other."""

BLOCK = 20
"""Most classes of a block."""


class Answer(NamedTuple):
    """An aligned description, for what is done to it here.

    Attributes:
        label: Its class.
        question: Number of the question that it answers; `None` where that is not known.
        text: The text.
    """

    label: int
    question: int | None
    text: str


def answers_of(descriptions: Iterable[Description]) -> list[Answer]:
    """Return the aligned descriptions that are not empty, in their order."""
    return [
        Answer(one.label, one.question_id, one.text)
        for one in descriptions
        if one.policy == "aligned" and not one.is_empty
    ]


def count_names(answers: Sequence[Answer], names: ClassNames) -> NamesInTexts:
    """Count the texts that name their class, another one, and none."""
    own = sum(names.named(one.text, one.label) for one in answers)
    other = sum(names.names_another(one.text, one.label) for one in answers if not names.named(one.text, one.label))
    describing = describing_names(names, [(one.label, one.text) for one in answers])
    return NamesInTexts(own, other, len(answers) - own - other, describing)


def draw_evenly(answers: Sequence[Answer], most: int, draw: random.Random) -> list[Answer]:
    """Draw texts evenly over classes, and over the questions of each.

    Args:
        answers: Texts to draw from.
        most: Largest number to draw.
        draw: Source of chance.

    Returns:
        All texts if there are at most `most`; else `most` of them in their order: no class has two more than another
        that has texts left, and in a class no question two more than another that has texts left.
    """
    if len(answers) <= most:
        return list(answers)
    by_class: dict[int, list[int]] = defaultdict(list)
    for place, label in enumerate(one.label for one in answers):
        by_class[label].append(place)
    queues = []
    for places in by_class.values():
        drawn: Counter[int | None] = Counter()
        ranked = []
        for place in shuffled(places, draw):
            drawn[answers[place].question] += 1
            ranked.append((drawn[answers[place].question], draw.random(), place))
        queues.append([place for _, _, place in sorted(ranked)])
    chosen: list[int] = []
    depth = 0
    while len(chosen) < most:
        level = shuffled([queue[depth] for queue in queues if depth < len(queue)], draw)
        chosen += level[: most - len(chosen)]
        depth += 1
    return [answers[place] for place in sorted(chosen)]


def blocks_of(labels: Iterable[int], seed: int, most: int = BLOCK) -> Blocks:
    """Divide classes at random into blocks of nearly equal size.

    Args:
        labels: The classes; at least two, for each to have another one in its block.
        seed: Seed of the draw.
        most: Most classes of a block, at least 3: with 2, a block could have one class only.
    """
    order = shuffled(sorted(set(labels)), random.Random(f"blocks {seed}"))
    number = max(1, -(-len(order) // most))
    return tuple(tuple(sorted(order[start::number])) for start in range(number))


def exchanged(answers: Sequence[Answer], blocks: Blocks, draw: random.Random) -> Assignment:
    """Permute the texts of each question over the classes of a block, each question by itself."""
    block = {label: number for number, labels in enumerate(blocks) for label in labels}
    groups: dict[tuple[int | None, int], list[int]] = defaultdict(list)
    for place, one in enumerate(answers):
        groups[one.question, block[one.label]].append(place)
    given = [0] * len(answers)
    for places in groups.values():
        for place, label in zip(places, shuffled([answers[at].label for at in places], draw), strict=True):
            given[place] = label
    return tuple(given)


def shuffled_labels(answers: Sequence[Answer], blocks: Blocks, draw: random.Random) -> Assignment:
    """Permute all texts over the classes, whichever block they are in."""
    return tuple(shuffled([one.label for one in answers], draw))


def whole(answers: Sequence[Answer], blocks: Blocks, draw: random.Random) -> Assignment:
    """Permute the classes of each block: all texts of one go to the same other one, or stay."""
    partner: dict[int, int] = {}
    for labels in blocks:
        partner |= zip(labels, shuffled(labels, draw), strict=True)
    return tuple(partner[one.label] for one in answers)


def paired(answers: Sequence[Answer], blocks: Blocks, draw: random.Random) -> Assignment:
    """Give all texts of each class to another one of its block, in a random cycle."""
    partner: dict[int, int] = {}
    for labels in blocks:
        partner |= derangement(labels, draw)
    return tuple(partner[one.label] for one in answers)


Assign = Callable[[Sequence[Answer], Blocks, random.Random], Assignment]


def assignments(assign: Assign, answers: Sequence[Answer], number: int, seed: int) -> list[Assignment]:
    """Make assignments of one way, each drawn anew, within the seed's blocks of the classes that have texts.

    Args:
        assign: The way, such as `exchanged`.
        answers: The texts.
        number: How many assignments.
        seed: Seed of the draws; every way draws by itself.
    """
    draw = random.Random(f"{assign.__name__} {seed}")
    blocks = blocks_of((one.label for one in answers), seed)
    return [assign(answers, blocks, draw) for _ in range(number)]


def renamed(answers: Sequence[Answer], given: Assignment, names: ClassNames) -> list[LabeledText]:
    """Return the texts with the names of the classes that they are given to in the place of their own."""
    return [
        LabeledText(label, names.put(one.text, one.label, names.names[label]))
        for one, label in zip(answers, given, strict=True)
    ]


def derangement(items: Iterable[int], draw: random.Random) -> dict[int, int]:
    """Pair every item with another one, so that each is the partner of exactly one: a random cycle.

    Args:
        items: The items; with fewer than two, nothing is paired.
        draw: Source of chance.

    Returns:
        Item → its partner, never itself.
    """
    order = shuffled(sorted(set(items)), draw)
    return dict(zip(order, [*order[1:], *order[:1]], strict=True)) if len(order) > 1 else {}


def shuffled(items: Sequence[T], draw: random.Random) -> list[T]:
    """Return the items in random order, the same in every version of Python: `Random.shuffle` promises nothing."""
    keys = [draw.random() for _ in items]
    return [items[index] for index in sorted(range(len(items)), key=keys.__getitem__)]
