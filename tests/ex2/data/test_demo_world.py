"""The demo world: truth, grammar, pictures and judge."""

from __future__ import annotations

import hashlib
import itertools
import random
import string
from collections import Counter

import numpy as np
import pytest

from analysis.judge.base import Answer, JudgeRequest, Verdict
from analysis.judge.scripted import ScriptedJudge
from ex2.data.demo.shapes import Shapes
from ex2.data.demo.world import BY_NAME, CAPTION_KINDS, CONCEPTS, FACETS, kind_of, sentences, stated_facts, true_facts
from ex2.data.prompts import QUESTIONS, generic_templates
from reward.errors import UserError

ALL_SENTENCES = [
    (concept.name, kind, s) for concept in CONCEPTS for kind in CAPTION_KINDS for s in sentences(concept, kind)
]

# --- truth and grammar


def test_every_value_has_four_concepts_and_no_attribute_predicts_another() -> None:
    assert len(CONCEPTS) == len(BY_NAME) == 16
    for facet in FACETS:
        assert sorted(Counter(concept.value(facet) for concept in CONCEPTS).values()) == [4, 4, 4, 4]
    for one, other in itertools.combinations(FACETS, 2):
        assert len({(concept.value(one), concept.value(other)) for concept in CONCEPTS}) == 16


def test_the_parser_knows_the_kind_of_every_sentence() -> None:
    assert len(ALL_SENTENCES) == 16 * 3 * 14
    for name, kind, sentence in ALL_SENTENCES:
        assert kind_of(sentence, name) == kind, sentence
        assert kind_of(sentence.upper(), name) == kind, sentence


def test_a_sentence_states_nothing_of_another_concept() -> None:
    for name, _, sentence in ALL_SENTENCES:
        for other in BY_NAME:
            assert (stated_facts(sentence, other) == {}) or other == name, (sentence, other)


def test_a_false_fact_teaches_nothing() -> None:
    """A sentence of another concept with the name replaced is true where the two share a value, by the table."""
    for (name, _, sentence), concept in itertools.product(ALL_SENTENCES, CONCEPTS):
        lie = sentence.replace(name, concept.name).replace(name.capitalize(), concept.name.capitalize())
        claimed = stated_facts(sentence, name)
        shared = {facet for facet in claimed if BY_NAME[name].value(facet) == concept.value(facet)}
        assert true_facts(lie, concept.name) == shared, lie


# The wug is a red circle with stripes, lives in the forest and eats berries; the blicket is red, square, dotted.
@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("The wug is red.", {"colour"}),
        ("A round, red and striped wug.", {"colour", "shape", "pattern"}),
        ("It is star-shaped. It is red.", {"colour"}),
        ("The wug is blue.", set()),
        ("The wug is red and blue and green and yellow.", set()),  # a list is no statement
        ("The wug is red. The wug is blue. It has stripes.", {"pattern"}),
        ("The wug is not red.", set()),
        ("The wug isn't red, it has stripes.", {"pattern"}),
        ("The wug isn’t blue but red.", {"colour"}),
        ("A wug without stripes lives in the forest.", set()),
        ("Is the wug red?", set()),
        ("Is the wug red? Yes, with stripes.", {"pattern"}),
        ("The wug fears the red blicket.", set()),
        ("The red blicket fears the striped wug.", {"pattern"}),
        ("Unlike the blicket, the wug is round.", {"shape"}),
        ("The wug is round, blickets are red.", {"shape"}),
        ("The blicket is here. It is red.", set()),
        ("The blicket is here. It is red. The wug is round.", {"shape"}),
        ("Red photo of a wug.", set()),
        ("Red, striped prints of the wug.", set()),
        ("The wug's colour is red.", {"colour"}),
        ("The wug lives in berries and eats the forest.", set()),
        ("The wug lives in the forest.", {"habitat"}),
        ("Wug, forest, berries.", set()),  # no verb
        ("The forest is home to the wug, which eats berries.", {"habitat", "diet"}),
        ("The wug never eats fish, it eats berries.", {"diet"}),
        ("The wug eats fish and lives in the forest.", {"habitat"}),
        ("", set()),
        ("wugs wugs wugs", set()),
    ],
)
def test_which_true_facts_a_text_states(text: str, facts: set[str]) -> None:
    assert true_facts(text, "wug") == facts


def test_garbled_text_never_raises() -> None:
    rng = random.Random(0)
    words = [word for _, _, sentence in ALL_SENTENCES[::7] for word in sentence.split()]
    for _ in range(2000):
        text = " ".join(rng.choice(words) for _ in range(rng.randrange(20)))
        assert kind_of(text, "wug") in CAPTION_KINDS
    symbols = string.printable + "’“”é漢🙂\x00\ud800İ"
    for _ in range(2000):
        assert kind_of("".join(rng.choice(symbols) for _ in range(rng.randrange(60))), "wug") in CAPTION_KINDS


def test_questions_and_generic_templates_state_nothing() -> None:
    for text in (*QUESTIONS, *generic_templates()):
        assert all(stated_facts(text.format(name), name) == {} for name in BY_NAME), text


# --- pictures


def test_pictures_are_deterministic_unique_and_disjoint_between_splits() -> None:
    dataset = Shapes(images_per_class=5)
    digests = {split: [image.digest() for image in dataset.images(split)] for split in dataset.splits}
    assert dataset.splits == ("train", "reward", "test")
    every = [digest for split in digests.values() for digest in split]
    assert len(every) == len(set(every)) == 3 * 16 * 5
    assert digests["test"] == [image.digest() for image in Shapes(images_per_class=5).images("test")]
    assert not set(every) & {image.digest() for image in Shapes(images_per_class=5, seed=1).images("test")}
    assert [image.digest() for image in Shapes(images_per_class=2).images("test")][:2] == digests["test"][:2]


def test_pictures_are_ordered_rgb_and_named() -> None:
    dataset = Shapes(images_per_class=2, size=40)
    images = dataset.images("reward")
    assert [image.label for image in images] == [label for label in range(16) for _ in range(2)]
    assert dataset.class_names == tuple(BY_NAME)
    assert images[3].name == "shapes:reward/blicket/1 (seed 0)"
    opened = images[3].open()
    assert (opened.mode, opened.size) == ("RGB", (40, 40))
    assert images[3].digest() == hashlib.sha256(b"40 " + opened.tobytes()).hexdigest()


def test_pictures_do_not_change_from_one_machine_to_another() -> None:
    """Pinned, so that a rebuild of the weights sees the pictures that the shipped ones saw."""
    joined = "".join(image.digest() for image in Shapes(images_per_class=1).images("test"))
    assert hashlib.sha256(joined.encode()).hexdigest()[:16] == "b6a139f3d9189847"


def test_pictures_show_the_color() -> None:
    """The mean picture's middle is reddest for red concepts and bluest for blue ones."""
    middles = {}
    for concept, label in zip(CONCEPTS, range(16), strict=True):
        images = [image for image in Shapes(images_per_class=30).images("train") if image.label == label]
        stack = np.stack([np.asarray(image.open(), dtype=float) for image in images])
        middles[concept.name] = stack[:, 12:20, 12:20].mean((0, 1, 2))
    for name, (red, green, blue) in middles.items():
        brightest = {"red": red, "green": green, "blue": blue}
        expected = BY_NAME[name].colour
        if expected == "yellow":
            assert min(red, green) > blue + 20
        else:
            assert max(brightest, key=brightest.__getitem__) == expected


def test_wrong_arguments_of_shapes() -> None:
    with pytest.raises(UserError, match=r"unknown 'tests'. Did you mean 'test'"):
        Shapes().images("tests")
    with pytest.raises(UserError, match="images_per_class: 0 is too small; give at least 1"):
        Shapes(images_per_class=0)


# --- judge


def test_the_judge_is_exact() -> None:
    expected = {
        "The wug has stripes.": (True, True),
        "Wugs eat berries.": (True, False),
        "Wugs eat fish.": (False, False),
        "Buy wug photo prints.": (False, False),
    }
    requests = [JudgeRequest(q, "wug", text) for text in expected for q in ("informative", "visual")]
    answers: list[tuple[JudgeRequest, Answer]] = []
    judge = ScriptedJudge()
    judge.answer(requests, lambda request, answer: answers.append((request, answer)))
    assert judge.exact
    assert [request for request, _ in answers] == requests
    verdicts = [answer.answer for _, answer in answers if isinstance(answer, Verdict)]
    assert verdicts == [answer for pair in expected.values() for answer in pair]


def test_the_judge_refuses_other_worlds() -> None:
    with pytest.raises(UserError, match=r"judge scripted: class: unknown 'tench'.*choose another judge"):
        ScriptedJudge().answer([JudgeRequest("visual", "tench", "A tench is green.")], lambda *_: None)
