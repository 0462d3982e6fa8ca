"""The toy generator: what it plants is there, within bounds that a generator which ignored it would not meet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from ex2.data.demo.shapes import draw
from ex2.data.demo.world import BY_NAME, CONCEPTS, Concept
from ex2.sets.generators import toy
from ex2.sets.generators.base import build_generator
from ex2.sets.generators.toy import LOOKS, Toy
from ex2.sets.requests import Drawn, DrawRequest, image_seed
from reward.errors import UserError

FULL = "A {} is a {} {} with {}."
N = 1600
"""Images of each count below: 100 of each of the 16 concepts."""


def request(concept: Concept, index: int, prompt: str, feedback: str = "") -> DrawRequest:
    return DrawRequest(
        class_name=concept.name,
        label=CONCEPTS.index(concept),
        index=index,
        prompt=prompt,
        seed=image_seed(0, concept.name, index),
        feedback=feedback,
    )


def described(concept: Concept) -> str:
    return FULL.format(concept.name, concept.colour, concept.shape, concept.pattern)


def right(generator: Toy, prompt: Callable[[Concept], str], concepts: tuple[Concept, ...] = CONCEPTS) -> dict[str, int]:
    """Count the images whose facets are the concept's, of N."""
    counts = dict.fromkeys(LOOKS, 0)
    for concept in concepts:
        for index in range(N // len(concepts)):
            made = generator.concept(request(concept, index, prompt(concept)))
            for facet in LOOKS:
                counts[facet] += made.value(facet) == concept.value(facet)
    return counts


def likely(count: int, share: float) -> bool:
    """Say whether a count of N is among the central 99.99 % of the binomial distribution: within about 0.05 of it."""
    low, high = stats.binom.interval(0.9999, N, share)
    return bool(low <= count <= high)


def test_stated_facets_are_drawn_and_the_others_at_random() -> None:
    made = right(Toy(), lambda concept: f"The {concept.name} is {concept.colour}.")
    assert made["colour"] == N
    assert likely(made["shape"], 0.25)
    assert likely(made["pattern"], 0.25)
    assert right(Toy(), described) == dict.fromkeys(LOOKS, N)


def test_a_name_alone_says_nothing_but_of_the_classes_that_it_knows() -> None:
    generator = Toy(knows=["wug", "niv"])
    known, unknown = (BY_NAME["wug"], BY_NAME["niv"]), tuple(one for one in CONCEPTS if one.name not in ("wug", "niv"))
    assert right(generator, lambda concept: f"A photo of a {concept.name}.", known) == dict.fromkeys(LOOKS, N)
    count = right(generator, lambda concept: f"A photo of a {concept.name}.", (*unknown, unknown[0], unknown[1]))
    assert all(likely(count[facet], 0.25) for facet in LOOKS)


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_a_facet_is_drawn_wrong_as_often_as_planted_and_no_other_is(share: float) -> None:
    made = right(Toy(error={"pattern": share}), described)
    assert likely(made["pattern"], 1 - share)
    assert (made["colour"], made["shape"]) == (N, N)
    assert right(Toy(error={"shape": 1.0}), described)["shape"] == 0


def test_an_error_is_made_of_what_is_known_too_and_any_other_value_is_as_likely() -> None:
    generator = Toy(knows=["wug"], error={"colour": 1.0})
    drawn = [generator.concept(request(BY_NAME["wug"], index, "a photo of a wug")).colour for index in range(N)]
    assert "red" not in drawn
    assert all(likely(drawn.count(other), 1 / 3) for other in ("blue", "green", "yellow"))


def test_a_facet_that_is_not_obeyed_is_drawn_as_if_it_was_not_stated() -> None:
    made = right(Toy(obey=0.6), described)
    assert all(likely(made[facet], 0.6 + 0.4 / 4) for facet in LOOKS)  # one of four random values is right
    assert right(Toy(obey=0.0, knows=[one.name for one in CONCEPTS]), described) == dict.fromkeys(LOOKS, N)


def test_facets_go_wrong_apart_from_each_other() -> None:
    generator = Toy(error={"colour": 0.5, "shape": 0.5})
    made = [
        generator.concept(request(concept, index, described(concept))) for concept in CONCEPTS for index in range(100)
    ]
    both = sum(
        one.colour != concept.colour and one.shape != concept.shape
        for one, concept in zip(made, [concept for concept in CONCEPTS for _ in range(100)], strict=True)
    )
    assert likely(both, 0.25)  # 0.5 if one number decided on both


def test_the_prompt_is_drawn_and_not_the_class_of_the_request() -> None:
    """A text about another class draws that one; a text without a name draws what it states."""
    wug, blicket = BY_NAME["wug"], BY_NAME["blicket"]
    knowing = Toy(knows=["wug", "blicket"])
    made = knowing.concept(request(wug, 0, "Blickets look good."))
    assert [made.value(facet) for facet in LOOKS] == [blicket.value(facet) for facet in LOOKS]
    made = knowing.concept(request(wug, 0, "It is green with dots."))
    assert (made.colour, made.pattern) == ("green", "dots")
    # What is said of another class than the first is no fact of the picture: "blue" is the blicket's.
    counted = [Toy().concept(request(wug, index, "The wug fears the blue blicket.")).colour for index in range(N)]
    assert likely(counted.count("blue"), 0.25)


def test_of_two_stated_values_each_is_as_likely() -> None:
    text = "The wug is red. The wug is blue."
    drawn = [Toy().concept(request(BY_NAME["wug"], index, text)).colour for index in range(N)]
    assert drawn.count("red") + drawn.count("blue") == N
    assert likely(drawn.count("red"), 0.5)


def test_feedback_takes_the_place_of_what_the_prompt_states() -> None:
    wug = BY_NAME["wug"]
    before = Toy().concept(request(wug, 3, "The wug is blue."))
    after = Toy().concept(request(wug, 3, "The wug is blue.", "The wug is red."))
    assert (before.colour, after.colour) == ("blue", "red")
    assert (before.shape, before.pattern) == (after.shape, after.pattern)


def digest(drawn: object) -> str:
    assert isinstance(drawn, Drawn)
    assert drawn.image.mode == "RGB"
    return hashlib.sha256(f"{drawn.image.size}".encode() + drawn.image.tobytes()).hexdigest()


def test_an_image_depends_on_its_request_alone() -> None:
    requests = [request(concept, index, described(concept)) for concept in CONCEPTS[:3] for index in range(3)]
    generator = Toy(error={"pattern": 0.5})
    together = [digest(one) for one in generator.draw(requests)]
    apart = [digest(Toy(error={"pattern": 0.5}).draw([one])[0]) for one in reversed(requests)]
    assert together == apart[::-1]
    assert len(set(together)) == len(requests)  # another index is another image


def test_a_setting_leaves_what_it_does_not_concern_as_it_is() -> None:
    requests = [request(concept, index, described(concept)) for concept in CONCEPTS for index in range(8)]
    sound, faulty = Toy(), Toy(error={"pattern": 0.25})
    same = [sound.concept(one).pattern == faulty.concept(one).pattern for one in requests]
    pairs = zip(sound.draw(requests), faulty.draw(requests), strict=True)
    assert [digest(a) == digest(b) for a, b in pairs] == same
    worse = Toy(error={"pattern": 0.5})
    assert not any(
        worse.concept(one).pattern == sound.concept(one).pattern
        for one, alike in zip(requests, same, strict=True)
        if not alike
    )  # what goes wrong at 25 % does at 50 %


def test_the_picture_is_that_of_the_demo_world() -> None:
    one = request(BY_NAME["wug"], 0, described(BY_NAME["wug"]))
    made = Toy(size=48).draw([one])[0]
    assert isinstance(made, Drawn)
    assert made.image.size == (48, 48)
    random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence((one.seed, 1))))
    assert (np.asarray(made.image) == draw(BY_NAME["wug"], random, 48)).all()


def test_a_change_of_what_is_drawn_is_a_new_version() -> None:
    """Mean intensities, which hold on every machine: if they change, raise VERSION, and put the new ones here."""
    requests = [request(concept, 7, f"a photo of a {concept.name}") for concept in CONCEPTS[:4]]
    made = [np.asarray(one.image).mean() for one in Toy(obey=0.5).draw(requests) if isinstance(one, Drawn)]
    assert toy.VERSION == 1
    assert made == pytest.approx([110.2, 78.3, 120.0, 144.8], abs=0.06)


def test_the_fingerprint_covers_every_setting_and_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [Toy(knows=["wug"]), Toy(error={"pattern": 0.1}), Toy(error={"shape": 0.1}), Toy(obey=0.9), Toy(size=48)]
    assert len({one.fingerprint() for one in [Toy(), *others]}) == 6
    assert Toy(knows=["niv", "wug"]).fingerprint() == Toy(knows=["wug", "niv"], obey=1).fingerprint()
    before = Toy().fingerprint()
    monkeypatch.setattr(toy, "VERSION", 2)
    assert Toy().fingerprint() != before


def test_it_is_a_row_of_the_table_and_tells_every_problem_at_once() -> None:
    built = build_generator("toy", {"knows": ["wug"], "error": {"pattern": 0.25}, "obey": 0.9, "size": 64})
    assert built.settings == {
        "knows": ["wug"],
        "error": {"colour": 0.0, "shape": 0.0, "pattern": 0.25},
        "obey": 0.9,
        "size": 64,
    }
    settings = {"knows": ["wugg"], "error": {"color": 0.1, "shape": 1.5}, "obey": float("nan"), "size": 4}
    with pytest.raises(UserError) as raised:
        build_generator("toy", settings)
    assert str(raised.value).splitlines() == [
        "generator.knows: unknown 'wugg'. Did you mean 'wug'? Available: blicket, borogove, dorfin, fendle, fep, "
        "gazzer, koba, lorp, niv, pilk, quib, toma, tove, tulver, wug, zorp.",
        "generator.error: unknown 'color'. Did you mean 'colour'? Available: colour, pattern, shape.",
        "generator.obey: given nan; give a probability, from 0 to 1.",
        "generator.error.shape: given 1.5; give a probability, from 0 to 1.",
        "generator.size: given 4; give from 8 to 1024 pixels.",
    ]
