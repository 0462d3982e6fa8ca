"""Sets whose faults are planted, embedded once an image, and what is counted on them.

All pictures are the demo world's, drawn by the generator `toy` from a prompt that only names the class: it knows the
looks of every class, and draws a facet wrong as often as it is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from PIL import Image

from analysis.images.intervals import given_two_sets, set_difference
from analysis.images.resampling import SetImages, TestImages, measured
from analysis.statistics.intervals import Estimate, IntervalSettings
from ex2.data.demo.shapes import Shapes
from ex2.data.prompts import generic_templates
from ex2.sets.draw import requests_for
from ex2.sets.generators.toy import Toy
from ex2.sets.requests import Drawn
from reward.vlm import VLM

CLASSES = Shapes.class_names
SIMPLE = "a photo of a {}"
BATCH = 64
LEVELS: dict[str, Mapping[str, float]] = {
    "0 %": {},
    "25 %": {"pattern": 0.25},
    "50 %": {"pattern": 0.5},
    "75 %": {"pattern": 0.75},
    "two facets": {"pattern": 0.75, "shape": 0.75},
    "all facets": {"pattern": 0.75, "shape": 0.75, "colour": 0.75},
}
"""Name → facet → probability that it is drawn wrong; from the best set to one that knows nothing: of four values, one
that is wrong in 75 % is drawn at random."""
NEVER_RIGHT: Mapping[str, float] = {"pattern": 1.0, "shape": 1.0, "colour": 1.0}
"""A set that is wrong in all facets of all images knows more than nothing: its centers point away from their class."""
EVERY_SECOND: Mapping[str, float] = {"pattern": 0.5, "shape": 0.5, "colour": 0.5}
GRADED: dict[str, Mapping[str, float]] = {
    **LEVELS,
    "shape 25 %": {"shape": 0.25},
    "shape 50 %": {"shape": 0.5},
    "shape 75 %": {"shape": 0.75},
    "color 25 %": {"colour": 0.25},
    "color 50 %": {"colour": 0.5},
    "color 75 %": {"colour": 0.75},
    "two at 50 %": {"pattern": 0.5, "shape": 0.5},
    "three at 50 %": EVERY_SECOND,
}


@dataclass
class World:
    """The demo's test images and drawn sets under one VLM; equal images are embedded once.

    Attributes:
        vlm: Encodes all.
        embedded: SHA-256 of an image's pixels → its unit embedding, shape (D,).
        drawn: Number of images that were drawn.
    """

    vlm: VLM
    embedded: dict[bytes, torch.Tensor] = field(default_factory=dict)
    drawn: int = 0

    def embed(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Return the unit embeddings of images, shape (N, D)."""
        keys = [hashlib.sha256(image.tobytes()).digest() for image in images]
        new = {key: image for key, image in zip(keys, images, strict=True) if key not in self.embedded}
        waiting = list(new)
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            rows = self.vlm.encode_images([new[key] for key in batch])
            self.embedded.update(zip(batch, rows, strict=True))
        return torch.stack([self.embedded[key] for key in keys])

    def test(self, per_class: int = 60) -> TestImages:
        """Return the test images, with the text of each class: the mean of the generic templates', normalized."""
        images = Shapes(per_class).images("test")
        text = torch.stack([self._text(name) for name in CLASSES])
        return TestImages(
            self.embed([image.open() for image in images]),
            torch.tensor([image.label for image in images]),
            CLASSES,
            text=text,
        )

    def set(self, error: Mapping[str, float], seed: int, per_class: int = 20) -> SetImages:
        """Draw a set.

        Args:
            error: Facet → probability that it is drawn wrong.
            seed: Of the set.
            per_class: Images of each class.
        """
        requests = requests_for(CLASSES, per_class, seed, lambda label, _: (SIMPLE.replace("{}", CLASSES[label]), ""))
        answers = Toy(knows=CLASSES, error=error).draw(requests)
        self.drawn += len(answers)
        images = [answer.image for answer in answers if isinstance(answer, Drawn)]
        return SetImages(self.embed(images), torch.tensor([request.label for request in requests]), name=str(error))

    def _text(self, name: str) -> torch.Tensor:
        rows = self.vlm.encode_texts([template.replace("{}", name) for template in generic_templates()]).embeddings
        return torch.nn.functional.normalize(rows.mean(0), dim=0)


@dataclass(frozen=True)
class Rejections:
    """How often two sets of equal worth were told apart.

    Attributes:
        pairs: Number of pairs.
        interval: Pairs whose difference has 0 outside of its interval.
        mcnemar: Pairs with McNemar's p below 0.05.
    """

    pairs: int
    interval: int
    mcnemar: int

    def __add__(self, other: Rejections) -> Rejections:
        """Return the counts of both."""
        return Rejections(self.pairs + other.pairs, self.interval + other.interval, self.mcnemar + other.mcnemar)


def cler(images: SetImages, test: TestImages) -> float:
    """Return a set's CLER."""
    return measured(images, TestImages(test.embeddings, test.labels, test.classes, test.metric))["cler"]


def in_order(values: Sequence[float]) -> bool:
    """Say whether each value is below the one before."""
    return all(after < before for before, after in pairwise(values))


def permuted(images: SetImages, seed: int) -> SetImages:
    """Return the same images with their labels permuted: a set that knows nothing."""
    order = torch.randperm(len(images.labels), generator=torch.Generator().manual_seed(seed))
    return SetImages(images.embeddings, images.labels[order], images.kind, images.join, images.unequal, images.name)


def constant(images: SetImages) -> SetImages:
    """Return a set in which every class has the first image of all, as often as it had images."""
    same = images.embeddings[:1].expand_as(images.embeddings).contiguous()
    return SetImages(same, images.labels, images.kind, images.join, images.unequal, images.name)


def two_of_pool(pool: SetImages, per_class: int, seed: int) -> tuple[SetImages, SetImages]:
    """Return two sets of one generator, without a common image, from many images of it.

    Args:
        pool: The images, at least `2 · per_class` of each class.
        per_class: Images of each class in each set.
        seed: Decides which are taken.
    """
    generator = torch.Generator().manual_seed(seed)
    halves: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for label in range(len(CLASSES)):
        members = torch.nonzero(pool.labels == label).flatten()
        chosen = members[torch.randperm(len(members), generator=generator)[: 2 * per_class]]
        halves[0].append(chosen[:per_class])
        halves[1].append(chosen[per_class:])
    first, second = (torch.cat(rows) for rows in halves)
    return (
        SetImages(pool.embeddings[first], pool.labels[first], pool.kind),
        SetImages(pool.embeddings[second], pool.labels[second], pool.kind),
    )


def cler_difference(first: SetImages, second: SetImages, test: TestImages, settings: IntervalSettings) -> Estimate:
    """Return the difference of two sets' CLER with its interval."""
    alone = TestImages(test.embeddings, test.labels, test.classes, test.metric)
    return set_difference(first, second, alone, settings).cler


def tells_apart(found: Estimate) -> bool:
    """Say whether an interval has 0 outside."""
    return found.low is not None and found.high is not None and not found.low <= 0 <= found.high


def rejections(
    pairs: Sequence[tuple[SetImages, SetImages]], test: TestImages, samples: int, confidence: float = 0.95
) -> Rejections:
    """Count the pairs that are told apart.

    Args:
        pairs: Sets of equal worth.
        test: The test images.
        samples: Number of resamples for each.
        confidence: Coverage of the intervals.
    """
    interval = sum(
        tells_apart(cler_difference(*pair, test, IntervalSettings(confidence, samples, seed)))
        for seed, pair in enumerate(pairs)
    )
    mcnemar = sum(given_two_sets(*pair, test).p < 1 - confidence for pair in pairs)
    return Rejections(len(pairs), interval, mcnemar)
