"""The generator `toy`: draws the demo world's pictures from what a prompt states, with faults that are planted.

It reads prompts as the demo world's parser does and sees nothing else of a request but its seed, as a text-to-image
model would: a prompt that names another class is drawn as that class. What it does wrong is known in advance, so that a
metric can be held to it.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ex2.data.demo.shapes import draw
from ex2.data.demo.world import (
    BY_NAME,
    CONCEPTS,
    FACETS,
    VISUAL_FACETS,
    WORDS,
    Concept,
    Facet,
    first_named,
    stated_facts,
)
from ex2.sets.requests import Drawn, DrawRequest, Failure
from reward.errors import UserError, shown, unknown_name

VERSION = 1
"""Of what is drawn from a request: to be raised with every change of it, which makes new sets of all that are drawn."""

LOOKS: tuple[Facet, ...] = tuple(facet for facet in FACETS if facet in VISUAL_FACETS)
SIZES = (8, 1024)
"""Least and greatest width of an image, in pixels."""


class Toy:
    """Draws one concept: each facet of its looks as stated, else as known, else at random.

    For each of color, shape and pattern, from the image's seed:

    1. If the prompt states a value, it is obeyed with probability `obey`; of several stated ones any is taken.
    2. If not, a class that it `knows` is drawn right, and of any other each of the four values is as likely.
    3. Then with probability `error` of the facet the value is replaced by one of the other three.

    The class is the one that the prompt names first. What feedback states of the class takes the place of what the
    prompt states of it. The negative prompt is not read. Changing one setting leaves what it does not concern as it is,
    since each decision has a random number of its own.

    Args:
        knows: Classes whose looks it knows; of all others it has only heard the name.
        error: Facet (`colour`, `shape` or `pattern`) → probability that it is drawn wrong.
        obey: Probability that a stated facet is obeyed.
        size: Width and height, pixels.

    Raises:
        UserError: If a setting is out of range; every problem at once.
    """

    name = "toy"
    batch_size = 64  # an image takes a third of a millisecond, and a batch's rows are waited for until they are on disk
    subjects = frozenset(BY_NAME)

    def __init__(
        self,
        knows: Sequence[str] = (),
        error: Mapping[str, float] | None = None,
        obey: float = 1.0,
        size: int = 32,
    ) -> None:
        wrong = dict(error or {})
        problems = [unknown_name("generator.knows", name, BY_NAME) for name in knows if name not in BY_NAME]
        problems += [unknown_name("generator.error", facet, LOOKS) for facet in wrong if facet not in LOOKS]
        for key, share in {"obey": obey, **{f"error.{facet}": share for facet, share in wrong.items()}}.items():
            if not (math.isfinite(share) and 0 <= share <= 1):
                problems.append(f"generator.{key}: given {shown(share)}; give a probability, from 0 to 1.")
        if not SIZES[0] <= size <= SIZES[1]:
            problems.append(f"generator.size: given {shown(size)}; give from {SIZES[0]} to {SIZES[1]} pixels.")
        if problems:
            raise UserError("\n".join(problems))
        self.knows = frozenset(knows)
        self.error = {facet: float(wrong.get(facet, 0.0)) for facet in LOOKS}
        self.obey, self.size = float(obey), size

    @property
    def settings(self) -> Mapping[str, Any]:
        """All settings, those that were left to their defaults too."""
        return {"knows": sorted(self.knows), "error": self.error, "obey": self.obey, "size": self.size}

    def fingerprint(self) -> str:
        """Return a hash of the settings and of the version of what is drawn."""
        content = json.dumps({"version": VERSION, **self.settings}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def draw(self, requests: Sequence[DrawRequest]) -> list[Drawn | Failure]:
        """Draw an image for each request; none fails."""
        drawn: list[Drawn | Failure] = []
        for request in requests:
            begun = time.perf_counter()
            pixels = draw(self.concept(request), _random(request.seed, 1), self.size)
            drawn.append(Drawn(Image.fromarray(pixels), time.perf_counter() - begun))
        return drawn

    def concept(self, request: DrawRequest) -> Concept:
        """Return what is drawn for a request; only its looks matter."""
        subject = first_named(request.prompt)
        # In a text without a name, the parser takes all for facts of the concept that it is asked about: any will do.
        about = subject or CONCEPTS[0].name
        stated = {**stated_facts(request.prompt, about), **stated_facts(request.feedback, about)}
        numbers = dict(zip(LOOKS, _random(request.seed, 0).random_sample((len(LOOKS), 5)), strict=True))
        looks: dict[str, Any] = {
            facet: self._value(facet, sorted(stated.get(facet, ())), subject, numbers[facet]) for facet in LOOKS
        }
        return replace(BY_NAME[about], **looks)

    def _value(self, facet: Facet, stated: Sequence[str], subject: str | None, numbers: NDArray[np.float64]) -> str:
        obeyed, which_stated, which, wrong, which_wrong = numbers.tolist()
        values = list(WORDS[facet])
        if stated and obeyed < self.obey:
            value = stated[int(which_stated * len(stated))]
        elif subject in self.knows:
            value = BY_NAME[subject].value(facet)
        else:
            value = values[int(which * len(values))]
        if wrong < self.error[facet]:
            others = [other for other in values if other != value]
            value = others[int(which_wrong * len(others))]
        return value


def _random(seed: int, stream: int) -> np.random.RandomState:
    # RandomState, because NumPy promises that its numbers never change; those of Generator may.
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence((seed, stream))))
