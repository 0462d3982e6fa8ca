"""Class names inside descriptions: found as whole words, in any case, singular or plural, the longest first."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

SLOT = "{}"
"""Stands for the class name in a template or phrase."""

_JOINT = re.compile(r"[\s_-]+")
_WORD = re.compile(r"[^\W_]+")
_BEFORE_IES, _BEFORE_ES = re.compile(r"[^aeiou]y$"), re.compile(r"(s|x|z|ch|sh)$")
_TO_VES = re.compile(r"((?<=l)f|(?<=lea)f|(?<=i)fe)$")
_IRREGULAR = {
    "child": "children",
    "foot": "feet",
    "goose": "geese",
    "man": "men",
    "mouse": "mice",
    "ox": "oxen",
    "tooth": "teeth",
    "woman": "women",
}
_NO_MEN = ("human", "caiman", "german", "ottoman", "roman", "shaman", "talisman")


def plural(name: str) -> str:
    """Return the plural of a name: "daisies", "red foxes", "firemen"."""
    stem, _, last = name.rpartition(" ")
    lower = last.lower()
    for singular, irregular in _IRREGULAR.items():
        if lower == singular or (singular == "man" and lower.endswith("man") and lower not in _NO_MEN):
            made = last[: len(last) - len(singular)] + irregular
            break
    else:
        if _BEFORE_IES.search(lower):
            made = last[:-1] + "ies"
        elif _TO_VES.search(lower):
            made = _TO_VES.sub("ves", last)
        else:
            made = last + ("es" if _BEFORE_ES.search(lower) else "s")
    return f"{stem} {made}".strip()


def _plurals(word: str) -> list[str]:
    """Return what counts as the plural of a name's last word, the right one first."""
    return [*dict.fromkeys([plural(word), f"{word}es", f"{word}s"])]


@cache
def name_pattern(name: str) -> re.Pattern[str]:
    """Return a pattern for a class name; its words may be joined by blanks, hyphens or underscores.

    Group 1 is what stands there if it is a plural, regular or not.
    """
    words = _words(name)
    start = "".join(f"{re.escape(word)}{_JOINT.pattern}" for word in words[:-1])
    plurals = "|".join(start + re.escape(form) for form in _plurals(words[-1]))
    return re.compile(rf"(?<!\w)(?:({plurals})|{start}{re.escape(words[-1])})(?!\w)", re.IGNORECASE)


def replace_name(text: str, old: str, new: str) -> str:
    """Replace the class name `old` by `new`, a plural by a plural; articles are not adapted."""
    return name_pattern(old).sub(lambda found: plural(new) if found[1] else new, text)


@cache
def _parts(name: str) -> tuple[str, ...]:
    """Return a name and its parts, the longest first.

    Parts are all runs of two words or more, and the last word (the noun): for "golden retriever dog" these are
    "retriever dog", "golden retriever" and "dog".
    """
    words = _words(name)
    return tuple(
        " ".join(words[start : start + length])
        for length in range(len(words), 0, -1)
        for start in range(len(words) - length, -1, -1)
        if length > 1 or start == len(words) - 1
    )


def mask_name(text: str, name: str, mask: str = SLOT) -> str:
    """Replace a class's name and its parts (runs of two words or more, the last word) by `mask`, plurals included."""
    for part in _parts(name):
        text = name_pattern(part).sub(lambda found: mask, text)
    return text


class Mention(NamedTuple):
    """A place in a text where a class is named.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        plural: Whether it is a plural.
        whole: Labels of the classes whose whole name stands there.
        part: Labels of the classes of whose name a part stands there.
    """

    start: int
    end: int
    plural: bool
    whole: frozenset[int]
    part: frozenset[int]


class _Known(NamedTuple):
    """A name, or a part of one, that is looked for.

    Attributes:
        rank: The longest have the lowest.
        pattern: From `name_pattern`.
        whole: Labels of the classes of which it is the name.
        part: Labels of those of which it is a part.
    """

    rank: int
    pattern: re.Pattern[str]
    whole: frozenset[int]
    part: frozenset[int]


class ClassNames:
    """The names of all classes, to be found in texts and put in each other's place.

    Of the names that begin at a word, the longest counts, and what it covers is not searched again: in "a desert-rose"
    the class "desert rose" is named, and not the class "rose", if there are both.

    Args:
        names: C names in label order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        whole: dict[str, set[int]] = defaultdict(set)
        part: dict[str, set[int]] = defaultdict(set)
        for label, name in enumerate(names):
            first, *others = _parts(name)
            whole[first.lower()].add(label)
            for other in others:
                part[other.lower()].add(label)
        # By the first two words of each form: a text is read word by word, however many classes there are, and however
        # many of them begin with the same word.
        self._starting: dict[tuple[str, ...], list[_Known]] = defaultdict(list)
        for rank, known in enumerate(sorted({*whole, *part}, key=lambda known: (-len(known), known))):
            entry = _Known(rank, name_pattern(known), frozenset(whole[known]), frozenset(part[known]))
            words = _words(known)
            for last in (words[-1], *_plurals(words[-1])):
                form = " ".join([*words[:-1], last])
                start = tuple(_WORD.findall(form)[:2])
                if start and entry not in self._starting[start]:
                    self._starting[start].append(entry)
        self.mentions = lru_cache(maxsize=1 << 16)(self._mentions)

    def _mentions(self, text: str) -> tuple[Mention, ...]:
        found, position = [], 0
        words = [*_WORD.finditer(text)]
        for place, word in enumerate(words):
            if word.start() < position:
                continue
            for known in self._beginning([one[0].lower() for one in words[place : place + 2]]):
                match = known.pattern.match(text, word.start())
                if match:
                    found.append(Mention(match.start(), match.end(), bool(match[1]), known.whole, known.part))
                    position = match.end()
                    break
        return tuple(found)

    def _beginning(self, words: Sequence[str]) -> Sequence[_Known]:
        """Return what may begin with one or two words, the longest name first."""
        longer, shorter = self._starting.get(tuple(words), ()), self._starting.get((words[0],), ())
        if len(words) == 1 or not longer:
            return shorter
        return sorted([*longer, *shorter], key=lambda known: known.rank) if shorter else longer

    def named(self, text: str, label: int) -> bool:
        """Say whether a text names a class, by its whole name or by a part of it."""
        return any(label in mention.whole or label in mention.part for mention in self.mentions(text))

    def names_another(self, text: str, label: int) -> bool:
        """Say whether a text names another class than the given one by its whole name, and does not mean this one."""
        return any(
            mention.whole - {label} and label not in mention.whole | mention.part for mention in self.mentions(text)
        )

    def put(self, text: str, label: int, new: str) -> str:
        """Put another name in the place of a class's name.

        Args:
            text: A text.
            label: The class whose name, or a part of it, is replaced wherever it stands.
            new: The name to put there. Where a plural stood, its plural; where a capital letter began, it begins with
                one; "a" and "an" right before it are adapted. The class's own name leaves the text as it is.
        """
        if new == self.names[label]:
            return text
        made, position = [], 0
        for mention in self.mentions(text):
            if label not in mention.whole and label not in mention.part:
                continue
            name = plural(new) if mention.plural else new
            if text[mention.start].isupper():
                name = name[:1].upper() + name[1:]
            made.append(_with_article(text[position : mention.start], name))
            made.append(name)
            position = mention.end
        return "".join([*made, text[position:]])


_ARTICLE = re.compile(r"(?<!\w)(an?)(\s+)$", re.IGNORECASE)


def _with_article(before: str, name: str) -> str:
    """Let an indefinite article at the end of `before` fit the name that follows, by the name's first letter."""
    found = _ARTICLE.search(before)
    if not found or not name:
        return before
    article = "an" if name[0].lower() in "aeiou" else "a"
    return before[: found.start()] + found[1][0] + article[1:] + found[2]


def describing_names(names: ClassNames, texts: Sequence[tuple[int, str]], least: float = 0.1) -> tuple[str, ...]:
    """Return the class names that are themselves descriptions, such as "striped texture".

    Args:
        names: The names of all classes.
        texts: Label and text of each description.
        least: Least share of the other classes in whose texts a word of the name must stand, beside any name of a
            class, for the name to count; always at least three classes.

    Returns:
        Names of which a word that tells kinds apart (not the noun at the end of a longer name) is used to describe
        other classes. What such a word says counts as the name, not as content.
    """
    used: dict[str, set[int]] = defaultdict(set)
    for label, text in set(texts):
        covered = {at for mention in names.mentions(text) for at in range(mention.start, mention.end) if mention.whole}
        for word in _WORD.finditer(text):
            if word.start() not in covered:
                used[word[0].lower()].add(label)
        # The name of another class, as a word in this one's text, describes too if it is not the class that is meant.
        for mention in names.mentions(text):
            if mention.whole and label not in mention.whole:
                for word in _WORD.findall(text[mention.start : mention.end]):
                    used[word.lower()].add(label)
    fewest = max(3, round(least * (len(names.names) - 1)))
    found = []
    for label, name in enumerate(names.names):
        words = [word.lower() for word in _words(name)]
        telling = words[:-1] or words
        users = [used.get(word, set()) for word in telling]
        if any(len(labels) - (label in labels) >= fewest for labels in users):  # no copy: a word may be in all texts
            found.append(name)
    return tuple(found)


def plain_name(name: str) -> str:
    """Return a name as it is compared: in lower case, with each run of blanks, hyphens and underscores as one blank."""
    return " ".join(_words(name.lower()))


def _words(name: str) -> list[str]:
    return _JOINT.split(name.strip())
