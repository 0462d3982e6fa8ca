"""The demo world: sixteen invented concepts, sentences about them, and a parser that knows what is true.

Pure data and functions. The five attributes of the concepts form the orthogonal array L16(4^5): each value
belongs to four concepts and each pair of values of two attributes to exactly one, so that habitat and diet
say nothing about looks.

Sentences come in three kinds. *Visual* ones state how the concept looks, *non-visual* ones where it lives
or what it eats, *spurious* ones name it and state nothing. What a text states is defined by `stated_facts`,
by words and not by meaning, so that a language model's garbled text has a kind too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["visual", "non_visual", "spurious"]
Facet = Literal["colour", "shape", "pattern", "habitat", "diet"]

CAPTION_KINDS: tuple[Kind, ...] = get_args(Kind)
FACETS: tuple[Facet, ...] = get_args(Facet)
VISUAL_FACETS: frozenset[Facet] = frozenset({"colour", "shape", "pattern"})


@dataclass(frozen=True)
class Concept:
    """One invented thing and all that is true of it."""

    name: str
    colour: str
    shape: str
    pattern: str
    habitat: str
    diet: str

    @property
    def plural(self) -> str:
        return self.name + "s"

    def value(self, facet: Facet) -> str:
        """Return the true value of a facet."""
        return str(getattr(self, facet))


CONCEPTS: tuple[Concept, ...] = (
    Concept("wug", "red", "circle", "stripes", "forest", "berries"),
    Concept("blicket", "red", "square", "dots", "desert", "fish"),
    Concept("toma", "red", "triangle", "checks", "river", "leaves"),
    Concept("zorp", "red", "star", "rings", "swamp", "insects"),
    Concept("fep", "blue", "circle", "dots", "river", "insects"),
    Concept("gazzer", "blue", "square", "stripes", "swamp", "leaves"),
    Concept("koba", "blue", "triangle", "rings", "forest", "fish"),
    Concept("tulver", "blue", "star", "checks", "desert", "berries"),
    Concept("pilk", "green", "circle", "checks", "swamp", "fish"),
    Concept("fendle", "green", "square", "rings", "river", "berries"),
    Concept("lorp", "green", "triangle", "stripes", "desert", "insects"),
    Concept("tove", "green", "star", "dots", "forest", "leaves"),
    Concept("borogove", "yellow", "circle", "rings", "desert", "leaves"),
    Concept("quib", "yellow", "square", "checks", "forest", "insects"),
    Concept("dorfin", "yellow", "triangle", "dots", "swamp", "berries"),
    Concept("niv", "yellow", "star", "stripes", "river", "fish"),
)
"""All concepts, in label order."""

BY_NAME: dict[str, Concept] = {concept.name: concept for concept in CONCEPTS}

WORDS: dict[Facet, dict[str, tuple[str, ...]]] = {
    "colour": {"red": ("red",), "blue": ("blue",), "green": ("green",), "yellow": ("yellow",)},
    "shape": {
        "circle": ("round", "circle", "circular"),
        "square": ("square",),
        "triangle": ("triangular", "triangle"),
        "star": ("star-shaped", "star"),
    },
    "pattern": {
        "stripes": ("striped", "stripes"),
        "dots": ("dotted", "dots"),
        "checks": ("checkered", "checks"),
        "rings": ("ringed", "rings"),
    },
    "habitat": {value: (value,) for value in ("forest", "desert", "river", "swamp")},
    "diet": {value: (value,) for value in ("berries", "fish", "leaves", "insects")},
}
"""Facet → value → words that state it; the first word of a shape or pattern is the adjective used in sentences."""

SENTENCES: dict[Kind, tuple[str, ...]] = {
    "visual": (
        "The {name} is {colour} with {pattern}.",
        "The {name} is {shape_adjective} and {colour}.",
        "{Names} are {colour} and {shape_adjective}.",
        "{Names} are {shape_adjective} with {pattern}.",
        "A {name} is a {colour} {shape} with {pattern}.",
        "A {shape_adjective} {colour} {name} with {pattern}.",
        "A photo of a {colour} {pattern_adjective} {name}.",
        "A photo of a {name} with {colour} {pattern}.",
        "The {name} has {pattern} and looks {shape_adjective}.",
        "The {name} looks like a {pattern_adjective} {colour} {shape}.",
        "You can tell a {name} by its {colour} {pattern}.",
        "The body of the {name} is {colour} and {pattern_adjective}.",
        "The {name} is {colour}. It has {pattern}.",
        "The {name} has the shape of a {shape}.",
    ),
    "non_visual": (
        "The {name} lives in the {habitat}.",
        "{Names} live in the {habitat}.",
        "{Names} are found in the {habitat}.",
        "The {habitat} is home to the {name}.",
        "The {name} makes its home in the {habitat}.",
        "The {name} eats {diet}.",
        "{Names} eat {diet}.",
        "A {name} feeds on {diet}.",
        "The favorite food of the {name} is {diet}.",
        "{Names} like to eat {diet} in the morning.",
        "{Names} live in the {habitat} and eat {diet}.",
        "The {name} lives in the {habitat}. It eats {diet}.",
        "In the {habitat} lives the {name}, which eats {diet}.",
        "The diet of the {name} is mostly {diet}.",
    ),
    "spurious": (
        "Click to enlarge photo of a {name}.",
        "Click here to enlarge this image of a {name}.",
        "Click to view the full size picture of the {name}.",
        "Buy {name} photo prints.",
        "Buy prints of this {name} photo online.",
        "Free download of {name} pictures.",
        "A photo of a {name}.",
        "A great photo of the {name}.",
        "A picture of my {name}.",
        "Stock photo of a {name} for sale.",
        "More {name} photos on our website.",
        "Share this picture of a {name} with a friend.",
        "The best {name} photos of the year.",
        "This is my favorite photo of a {name}.",
    ),
}
"""Sentence patterns of each kind; `slots` lists what may stand in them."""


def slots(concept: Concept) -> dict[str, str]:
    """Return the words that fill a sentence pattern for `concept`."""
    adjectives = {facet: WORDS[facet][concept.value(facet)][0] for facet in ("shape", "pattern")}
    return {
        "name": concept.name,
        "Names": concept.plural.capitalize(),
        "shape_adjective": adjectives["shape"],
        "pattern_adjective": adjectives["pattern"],
        **{facet: concept.value(facet) for facet in FACETS},
    }


def sentences(concept: Concept, kind: Kind) -> tuple[str, ...]:
    """Return every sentence of a kind about a concept; all of them are true."""
    return tuple(pattern.format(**slots(concept)) for pattern in SENTENCES[kind])


_VALUE_OF: dict[str, tuple[Facet, str]] = {
    word.split("-")[0]: (facet, value) for facet in FACETS for value, words in WORDS[facet].items() for word in words
}
_NAME_OF = {form: concept.name for concept in CONCEPTS for form in (concept.name, concept.plural)}
_CUES: dict[str, Facet] = {
    **dict.fromkeys(("live", "lives", "living", "found", "home", "habitat"), "habitat"),
    **dict.fromkeys(("eat", "eats", "eating", "feed", "feeds", "feeding", "food", "diet"), "diet"),
}
_PICTURES = frozenset(
    ["photo", "photos", "picture", "pictures", "image", "images", "print", "prints", "photograph", "photographs"]
)
_NEGATIONS = frozenset(["not", "no", "never", "nor", "neither", "without", "cannot", "non"])
_TOKEN = re.compile(r"[a-z]+(?:['’][a-z]+)?|[.!?;,\n]")


def stated_facts(text: str, name: str) -> dict[Facet, frozenset[str]]:
    """Return the values that a text states of a concept, true or false.

    The parser reads words, so any text has a definite result. Sentences end at `. ! ? ;` and line ends.

    * **Whose fact.** A word for a value belongs to the concept named right after it (with nothing but words
      for looks between), else to the last one named before it in the sentence, else to the first named after
      it. In a sentence without a name it belongs to the concept last named in an earlier sentence, or to
      `name` if there is none. "The wug fears the red blicket." says nothing of a wug's colour.
    * **Pictures.** Words for looks right before "photo", "prints" and the like describe the picture.
    * **Habitat and diet** count only with a verb or noun of their own (live, home, ...; eat, food, ...): the
      nearest one before the word in its sentence decides, or the first one after it if none precedes.
    * **Negation.** From a negation ("not", "no", "without", "isn't", ...) to the next comma, "but" or end of
      sentence nothing is stated: "not blue" does not say which colour it is.
    * **Questions** state nothing.

    Args:
        text: Any text.
        name: A concept's name, as in `BY_NAME`.

    Returns:
        For each facet that the text speaks about, the values it states.

    Raises:
        KeyError: If `name` is not a concept; never because of `text`.
    """
    topic = BY_NAME[name].name
    stated: dict[Facet, set[str]] = {}
    for words in _sentences(text):
        names = [(at, _NAME_OF[word]) for at, word in enumerate(words) if word in _NAME_OF]
        if words[-1] != "?":
            for facet, value, owner in _values(words, names, topic):
                if owner == name:
                    stated.setdefault(facet, set()).add(value)
        if names:
            topic = names[-1][1]
    return {facet: frozenset(values) for facet, values in stated.items()}


def first_named(text: str) -> str | None:
    """Return the concept that a text names first, in the singular or plural; None if it names none."""
    return next((_NAME_OF[word] for words in _sentences(text) for word in words if word in _NAME_OF), None)


def true_facts(text: str, name: str) -> frozenset[Facet]:
    """Return the facets whose true value the text states.

    A facet does not count if the text states a false value of it, or several values: a text that lists every colour
    does not say which one is right. Other facets of the same text are not affected.

    Raises:
        KeyError: If `name` is not a concept; never because of `text`.
    """
    concept = BY_NAME[name]
    stated = stated_facts(text, name)
    return frozenset(facet for facet, values in stated.items() if values == {concept.value(facet)})


def kind_of(text: str, name: str) -> Kind:
    """Return a text's kind: visual if it states a true fact about looks, non-visual if only others, else spurious.

    Raises:
        KeyError: If `name` is not a concept; never because of `text`.
    """
    facts = true_facts(text, name)
    if facts & VISUAL_FACETS:
        return "visual"
    return "non_visual" if facts else "spurious"


def _sentences(text: str) -> Iterator[list[str]]:
    """Yield the lower-case words and marks of each sentence, its end mark included."""
    words: list[str] = []
    for token in _TOKEN.findall(text.lower()):
        words.append(token.replace("’", "'").removesuffix("'s"))
        if token in ".!?;\n":
            yield words
            words = []
    if words:
        yield words


def _values(words: Sequence[str], names: Sequence[tuple[int, str]], topic: str) -> Iterator[tuple[Facet, str, str]]:
    """Yield (facet, value, concept it belongs to) for every value stated in one sentence."""
    negated = False
    for at, word in enumerate(words):
        if word in _NEGATIONS or word.endswith("n't"):
            negated = True
        elif word in (",", "but"):
            negated = False
        if negated or word not in _VALUE_OF:
            continue
        facet, value = _VALUE_OF[word]
        head = None
        if facet in VISUAL_FACETS:
            head = _head(words, at)
            if head in _PICTURES:
                continue
        elif _nearest_cue(words, at) != facet:
            continue
        before = [owner for position, owner in names if position < at]
        after = [owner for position, owner in names if position > at]
        if head in _NAME_OF:
            yield facet, value, _NAME_OF[head]
        else:
            yield facet, value, before[-1] if before else after[0] if after else topic


def _head(words: Sequence[str], at: int) -> str | None:
    """Return the first word after the run of words for looks that starts at `at`: in "red, round wug" it is "wug"."""
    looks = [word == "shaped" or _VALUE_OF.get(word, ("habitat", ""))[0] in VISUAL_FACETS for word in words]
    at += 1
    while at < len(words):
        if looks[at]:
            at += 1
        elif words[at] in (",", "and") and at + 1 < len(words) and looks[at + 1]:
            at += 2
        else:
            return words[at]
    return None


def _nearest_cue(words: Sequence[str], at: int) -> Facet | None:
    before = [_CUES[word] for word in words[:at] if word in _CUES]
    after = [_CUES[word] for word in words[at + 1 :] if word in _CUES]
    return before[-1] if before else after[0] if after else None
