"""What intervals cover where a dataset's metric ranks test images: 11-point mAP (VOC 2007), ROC AUC (Hateful Memes).

    python benchmarks/image_set_ranks.py [--sets 400] [--out FILE.md]

Sets and test images are drawn with replacement from many Gaussian ones, as if these were all that there are, so that
expected scores over draws of both are known. Ends with status 1 unless 95 % intervals of every kind of set hold them in
at least 93 %, and intervals over test images alone do not.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import torch
from common import processor
from image_set_claims import LEAST_COVERED
from torch.nn.functional import normalize

from analysis.images.intervals import share_interval
from analysis.images.resampling import SetImages, TestImages, TestVariation, measured, resampled
from analysis.images.seeds import pooled
from reward.files import write_text

DIM = 16
POOL = 400
"""Images of each class of a set, and of all test images for each class."""
SHOTS = 20
TEST = 60
"""Test images for each class."""
TRUTH = 1500
SAMPLES = 400
SEEDS = 3
KINDS = (("good", 1.0, True), ("weak", 0.3, True), ("nothing", 0.0, True), ("labels permuted", 1.0, False))
"""Kind of set, how much of a class's middle its images have, and whether labels stay."""


class World(NamedTuple):
    """Images of a kind of set, and the test images.

    Attributes:
        name: Of both.
        images: Embeddings, shape (C, POOL, D).
        known: Whether a drawn set's labels stay.
        test: All test images.
    """

    name: str
    images: torch.Tensor
    known: bool
    test: TestImages

    def set(self, generator: torch.Generator) -> SetImages:
        """Draw a set."""
        classes = len(self.images)
        chosen = torch.randint(POOL, (classes, SHOTS), generator=generator)
        rows = torch.stack([of_class[places] for of_class, places in zip(self.images, chosen, strict=True)])
        labels = torch.arange(classes).repeat_interleave(SHOTS)
        if not self.known:
            labels = labels[torch.randperm(len(labels), generator=generator)]
        return SetImages(rows.flatten(0, 1), labels)

    def tested(self, generator: torch.Generator) -> TestImages:
        """Draw test images: so many of each class, or of all where an image shows several."""
        labels, classes = self.test.labels, len(self.images)
        if labels.ndim == 2:
            rows = torch.randint(len(labels), (TEST * classes,), generator=generator)
        else:
            of_class = [torch.nonzero(labels == label).flatten() for label in range(classes)]
            rows = torch.cat([one[torch.randint(len(one), (TEST,), generator=generator)] for one in of_class])
        return replace(self.test, embeddings=self.test.embeddings[rows], labels=labels[rows])


def worlds(seed: int = 0) -> list[World]:
    """Return the worlds: both metrics, each with good, weak and worthless sets, and labels that are permuted."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, DIM, generator=generator)

    found = []
    for metric, classes in (("roc_auc", 2), ("map_11_point", 6)):
        middles = normalize(noise(classes), dim=1)
        if metric == "roc_auc":
            labels = torch.arange(classes).repeat_interleave(POOL)
            shown = middles[labels]
        else:
            labels = (torch.rand(POOL * classes, classes, generator=generator) < 0.25).long()
            labels[torch.arange(len(labels)), torch.arange(len(labels)) % classes] = 1
            labels[torch.rand(labels.shape, generator=generator) < 0.03] = -1  # difficult, which counts for neither
            shown = (labels == 1).float() @ middles
        test = TestImages(
            normalize(shown + 0.35 * noise(len(labels)), dim=1), labels, tuple(map(str, range(classes))), metric
        )
        for kind, signal, known in KINDS:
            spread = 0.35 * (torch.rand(classes, 1, 1, generator=generator) + 0.5)
            images = normalize(signal * middles.unsqueeze(1) + spread * noise(classes, POOL), dim=2)
            found.append(World(f"{metric}, {kind}", images, known, test))
    return found


class Held(NamedTuple):
    """How often intervals hold the expected score; shares, and half of mean widths beside 1.96 true deviations."""

    name: str
    expected: float
    deviation: float
    single: float
    seeds: float
    test_alone: float
    width: float


def held(world: World, sets: int, seed: int) -> Held:
    """Count how often intervals of one set, of three seeds, and over test images alone hold the expected score."""
    generator = torch.Generator().manual_seed(seed)
    scores = [measured(world.set(generator), world.tested(generator))["cler"] for _ in range(TRUTH)]
    expected = mean(scores)
    counts, widths = [0, 0, 0], []
    for number in range(sets):
        test = world.tested(generator)
        variation = TestVariation.of(test, seed=number)
        found = [
            resampled(world.set(generator), test, samples=SAMPLES, seed=SEEDS * number + place, variation=variation)[
                "cler"
            ]
            for place in range(SEEDS)
        ]
        alone = replace(found[0], over_draws=0.0, doubt=0.0)
        for place, one in enumerate((found[0], pooled(found), alone)):
            interval = share_interval(one, len(test.labels))
            counts[place] += (interval.low or 0.0) <= expected <= (interval.high or 0.0)
            if not place:
                widths.append(((interval.high or 0.0) - (interval.low or 0.0)) / 2)
    single, seeds, test_alone = (count / sets for count in counts)
    deviation = torch.tensor(scores).std().item()
    return Held(world.name, expected, deviation, single, seeds, test_alone, mean(widths))


def main(words: Sequence[str] | None = None) -> int:
    """Count, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=400)
    parser.add_argument("--out", type=Path, help="Markdown file")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    begun = time.process_time()
    rows, fine = [], True
    for number, world in enumerate(worlds()):
        one = held(world, options.sets, 100 + number)
        fine &= min(one.single, one.seeds) >= LEAST_COVERED > one.test_alone
        rows.append(
            f"| {one.name} | {one.expected:.3f} | {1.96 * one.deviation:.3f} | {one.width:.3f} | {one.single:.1%} | "
            f"{one.seeds:.1%} | {one.test_alone:.1%} |"
        )
        print(rows[-1], flush=True)
    page = f"""# Intervals of rankings of test images

{processor()}; Python {platform.python_version()}, torch {version("torch")}; `benchmarks/image_set_ranks.py`:
{options.sets} sets of each kind, {SHOTS} images a class, {TEST} test images for each class; expected scores are of
{TRUTH:,} draws. {time.process_time() - begun:.0f} s of one core. Every kind must be held in at least
{LEAST_COVERED:.0%}, and must not by intervals over test images alone: {"yes" if fine else "**no**"}.

| metric and set | expected | 1.96 sd | intervals ± | held, one set | held, three seeds | held, test images alone |
|---|---|---|---|---|---|---|
"""
    page += "\n".join(rows) + "\n"
    if options.out:
        write_text(options.out, page)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
