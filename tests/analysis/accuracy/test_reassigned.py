"""Texts given to other classes: what each way keeps and what it loses, and the texts with other names."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from analysis.accuracy.reassigned import (
    Answer,
    assignments,
    blocks_of,
    count_names,
    derangement,
    draw_evenly,
    exchanged,
    paired,
    renamed,
    shuffled_labels,
    whole,
)
from ex2.data.names_in_texts import ClassNames

NAMES = ClassNames(["oak", "red fox", "box"])
ANSWERS = [
    Answer(0, 0, "The oak is old."),
    Answer(0, 1, "Oaks grow."),
    Answer(0, 1, "An oak stands."),
    Answer(1, 0, "The red fox runs."),
    Answer(1, 1, "Red foxes hunt."),
    Answer(2, 1, "A box holds."),
]


def test_names_are_counted() -> None:
    texts = [*ANSWERS, Answer(2, 0, "It is like an oak."), Answer(2, 0, "It holds."), Answer(0, 0, "oak, no box")]
    found = count_names(texts, NAMES)
    assert (found.own, found.other, found.none, found.texts) == (7, 1, 1, 9)


def test_exchanged_keeps_each_question_and_the_number_of_each_class() -> None:
    seen = set()
    for given in assignments(exchanged, ANSWERS, 400, seed=0):
        for question in (0, 1):
            places = [at for at, one in enumerate(ANSWERS) if one.question == question]
            assert sorted(given[at] for at in places) == sorted(ANSWERS[at].label for at in places)
        seen.add(given)
    # Of 2 texts of question 0 and of 0, 0, 1, 2 for question 1 there are 2 · 4!/2! different assignments.
    assert len(seen) == 24
    assert tuple(one.label for one in ANSWERS) in seen, "the identity is not left out"


def test_whole_moves_classes_together() -> None:
    seen = Counter(assignments(whole, ANSWERS, 600, seed=3))
    assert len(seen) == 6
    assert all(60 < count < 145 for count in seen.values()), "100 ± 5 sd of 9.1"
    for given in seen:
        assert given[0] == given[1] == given[2]
        assert given[3] == given[4]
        assert sorted({given[0], given[3], given[5]}) == [0, 1, 2]


def test_paired_leaves_no_class_its_own() -> None:
    for given in assignments(paired, ANSWERS, 50, seed=1):
        assert all(label != one.label for label, one in zip(given, ANSWERS, strict=True))
        assert len({(one.label, label) for label, one in zip(given, ANSWERS, strict=True)}) == 3


def test_shuffled_labels_keeps_numbers_only() -> None:
    made = assignments(shuffled_labels, ANSWERS, 300, seed=1)
    assert all(sorted(given) == [0, 0, 0, 1, 1, 2] for given in made)
    assert len(set(made)) > 40, "of 60"


def test_many_classes_are_exchanged_within_blocks() -> None:
    """43 classes are divided into blocks of 15, 14 and 14; no text ever leaves its class's block."""
    blocks = blocks_of(range(43), seed=0)
    assert sorted(map(len, blocks)) == [14, 14, 15]
    assert sorted(label for block in blocks for label in block) == list(range(43))
    assert blocks_of(range(43), seed=1) != blocks
    assert blocks_of(range(20), seed=5) == (tuple(range(20)),)
    assert sorted(map(len, blocks_of(range(21), seed=5))) == [10, 11]
    block = {label: number for number, labels in enumerate(blocks) for label in labels}
    answers = [Answer(label, question, "") for label in range(43) for question in range(2)]
    for way in (exchanged, whole, paired):
        reached = {one.label: {one.label} for one in answers}
        for given in assignments(way, answers, 200, seed=0):
            assert sorted(given) == [one.label for one in answers]
            for one, label in zip(answers, given, strict=True):
                reached[one.label].add(label)
        assert all(labels == set(blocks[block[label]]) for label, labels in reached.items())


def test_ways_and_seeds_draw_by_themselves() -> None:
    assert assignments(whole, ANSWERS, 5, 0) == assignments(whole, ANSWERS, 5, 0)
    assert assignments(whole, ANSWERS, 9, 0)[:5] == assignments(whole, ANSWERS, 5, 0)
    assert assignments(whole, ANSWERS, 20, 0) != assignments(whole, ANSWERS, 20, 1)


def test_renamed_by_hand() -> None:
    assert renamed(ANSWERS, (1, 1, 2, 0, 2, 2), NAMES) == [
        (1, "The red fox is old."),
        (1, "Red foxes grow."),
        (2, "A box stands."),
        (0, "The oak runs."),
        (2, "Boxes hunt."),
        (2, "A box holds."),
    ]


def test_derangement_moves_everything() -> None:
    for seed in range(200):
        pairs = derangement(range(7), random.Random(seed))
        assert sorted(pairs) == sorted(pairs.values()) == list(range(7))
        assert all(item != partner for item, partner in pairs.items())
    # A random cycle of four: every other item is the partner in about a third of the cases (200 ± 4 sd of 11.5).
    partners = Counter(derangement(range(4), random.Random(f"{seed}"))[0] for seed in range(600))
    assert set(partners) == {1, 2, 3}
    assert all(150 < count < 250 for count in partners.values())
    assert derangement([5], random.Random(0)) == {}
    assert derangement([5, 9], random.Random(0)) == {5: 9, 9: 5}


@pytest.mark.parametrize("most", [1, 2, 5, 7, 11, 12, 20])
def test_texts_are_drawn_evenly(most: int) -> None:
    """Class 0 has 6 texts of 2 questions, class 1 has 4 of 4 questions, class 2 has 2 of 1."""
    texts = [
        *(Answer(0, at % 2, f"a{at}") for at in range(6)),
        *(Answer(1, at, f"b{at}") for at in range(4)),
        *(Answer(2, 0, f"c{at}") for at in range(2)),
    ]
    for seed in range(20):
        drawn = draw_evenly(texts, most, random.Random(seed))
        assert len(drawn) == len(set(drawn)) == min(most, 12)
        assert drawn == sorted(drawn, key=texts.index)
        counts = Counter(one.label for one in drawn)
        sizes = {0: 6, 1: 4, 2: 2}
        for label in sizes:
            for other in sizes:
                if counts[label] < sizes[label]:
                    assert counts[other] <= counts[label] + 1
        questions = Counter(one.question for one in drawn if one.label == 0)
        assert abs(questions[0] - questions[1]) <= 1
