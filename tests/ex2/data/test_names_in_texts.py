"""Class names inside texts: forms and parts, the longest first, and other names put in their place."""

from __future__ import annotations

import re

import pytest

from ex2.data import names_in_texts
from ex2.data.names_in_texts import (
    ClassNames,
    describing_names,
    mask_name,
    name_pattern,
    plain_name,
    plural,
    replace_name,
)


@pytest.mark.parametrize(
    ("singular", "expected"),
    [
        ("daisy", "daisies"),
        ("toy", "toys"),
        ("red fox", "red foxes"),
        ("wolf", "wolves"),
        ("bread knife", "bread knives"),
        ("leaf", "leaves"),
        ("giraffe", "giraffes"),
        ("reef", "reefs"),
        ("fireman", "firemen"),
        ("human", "humans"),
        ("Computer Mouse", "Computer mice"),
        ("737", "737s"),
    ],
)
def test_plural(singular: str, expected: str) -> None:
    assert plural(singular) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A Red  fox; RED-FOX, red_fox's", "A oak; oak, oak's"),
        ("red foxes and red foxs", "oaks and oaks"),
        ("a red foxhole, bored fox, fox", "a red foxhole, bored fox, fox"),
    ],
)
def test_replace_name(text: str, expected: str) -> None:
    assert replace_name(text, "red fox", "oak") == expected


def test_a_name_with_signs_is_no_pattern() -> None:
    assert replace_name("the 737 (MAX+) flies", "737 (MAX+)", r"\1 {}") == r"the \1 {} flies"
    assert ClassNames(["737 (MAX+)"]).put("the 737 (MAX+) flies", 0, r"\1") == r"the \1 flies"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the golden retriever dog is golden", "the {} is golden"),
        ("Golden Retrievers", "{}"),
        ("a dog and a retriever dog, golden dogs", "a {} and a {}, golden {}"),
    ],
)
def test_mask_name_takes_parts_of_two_words_and_the_noun(text: str, expected: str) -> None:
    assert mask_name(text, "golden retriever dog") == expected


NAMES = ClassNames(["rose", "desert rose", "daisy", "golden retriever", "striped texture"])


@pytest.mark.parametrize(
    ("text", "label", "own", "another"),
    [
        ("Daisies are white.", 2, True, False),
        ("a DAISY's leaf", 2, True, False),
        ("The daisylike flower", 2, False, False),
        ("A desert-rose has thick stems.", 0, False, True),  # a rose inside another name is no rose
        ("A desert_rose has thick stems.", 1, True, False),
        ("Roses, not desert roses.", 0, True, True),
        ("The rose has thick stems.", 1, True, False),  # a part of its own name, which is also another's
        ("Retrievers fetch.", 3, True, False),
        ("They are golden.", 3, False, False),  # the first word alone is no part
        ("It looks like a daisy.", 3, False, True),
        ("It has petals.", 0, False, False),
    ],
)
def test_whose_name_a_text_holds(text: str, label: int, own: bool, another: bool) -> None:
    assert NAMES.named(text, label) is own
    assert NAMES.names_another(text, label) is another


@pytest.mark.parametrize(
    ("text", "label", "new", "expected"),
    [
        ("A daisy is white. Daisies are small.", 2, "oak", "An oak is white. Oaks are small."),
        ("an  Oak-like daisy", 2, "rose", "an  Oak-like rose"),
        ("The Golden Retriever is a retriever, an old one", 3, "fox", "The Fox is a fox, an old one"),
        ("A desert rose is no rose", 1, "wolf", "A wolf is no wolf"),
        ("A desert rose is no rose", 0, "wolf", "A desert rose is no wolf"),
        ("A daisy", 2, "daisy", "A daisy"),  # its own name leaves the text as it is
        ("banana daisy", 2, "oak", "banana oak"),  # no article there
        ("Wow, a Daisy!", 2, "thing", "Wow, a Thing!"),
    ],
)
def test_another_name_is_put_in(text: str, label: int, new: str, expected: str) -> None:
    assert NAMES.put(text, label, new) == expected


def test_names_that_are_themselves_descriptions() -> None:
    """ "striped" describes three other classes; "texture", the noun, and names that stand for their class do not."""
    classes = ["striped texture", "dotted texture", "zebra", "wasp", "tiger", "sky"]
    texts = [
        (0, "A striped texture has lines."),
        (1, "A dotted texture is a texture with dots."),
        (2, "A zebra is striped."),
        (3, "A wasp is striped and has a texture."),
        (4, "The tiger, unlike the zebra, is orange and striped."),
        (5, "The sky is blue, a texture."),
    ]
    assert describing_names(ClassNames(classes), texts) == ("striped texture",)
    assert describing_names(ClassNames(classes), texts[:4]) == (), "two classes may be chance"
    solid = ["striped", *classes[1:]]
    assert describing_names(ClassNames(solid), texts) == ("striped",)


def test_plain_name() -> None:
    assert plain_name(" Red_Fox - dog ") == "red fox dog"


def test_names_that_begin_alike_are_not_all_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 names with one first word a text tries those that go on as it does, and the noun that all share."""
    tried: list[str] = []

    class Counted:
        def __init__(self, name: str) -> None:
            self.name, self.pattern = name, name_pattern(name)

        def match(self, text: str, start: int) -> re.Match[str] | None:
            tried.append(self.name)
            return self.pattern.match(text, start)

    monkeypatch.setattr(names_in_texts, "name_pattern", Counted)
    names = ClassNames([f"amber kind{number} finch" for number in range(300)])
    assert names.named("three amber kind7 finches and a finch", 7)
    assert tried == ["amber kind7 finch", "finch"]
    assert not names.named("an amber lamp", 7)
    assert tried == ["amber kind7 finch", "finch"]


@pytest.mark.parametrize("name", ["desert -", "- desert", "desert _ "])
def test_blanks_and_hyphens_around_a_name_do_not_hide_its_plural(name: str) -> None:
    assert ClassNames([name, "sea"]).named("DESERTS by the water", 0)
