"""Strata of a sample: the judge's verdicts, and a random order in which rare ones come more often than by chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from analysis.verdicts.breakdown import LEAVES
from analysis.verdicts.record import read_breakdown
from analysis.verdicts.verdicts import Kind, read_verdicts
from ex2.run.directory import RunDirectory

EQUAL = 0.5
"""Share of the labels that is divided equally among the kinds that the judge found; the rest is divided by the kinds'
numbers. With all divided equally, the few labels of a frequent verdict would miss the judge's rare errors there, on
which specificity depends as much. Measured for a judge that calls 97 % visual: half is the best of 0, a half and 1."""

BLOCK = 20
"""Number of places within which the order of the verdicts is random. Shorter blocks keep a small sample closer to the
shares that `EQUAL` gives; in longer ones less can be guessed of a verdict from those before it."""


class Strata(NamedTuple):
    """What a judge made of the descriptions that can be drawn.

    Attributes:
        judge: `judge_digest` of the judge.
        kinds: The kind of each description, in the order of the frame.
    """

    judge: str
    kinds: tuple[Kind, ...]

    @property
    def sizes(self) -> dict[Kind, int]:
        """Number of descriptions of each kind that occurs."""
        return {**Counter(self.kinds)}


def read_strata(run: Path, places: Sequence[tuple[int, str, str]], judge: str | None = None) -> Strata | None:
    """Read a judge's verdicts on the descriptions that can be drawn.

    Args:
        run: The run's folder.
        places: Seed, class and text of each description.
        judge: `judge_digest` of the judge; `None` takes the one of the run's breakdowns.

    Returns:
        The strata; `None` if a seed is not analysed, if its seeds have different judges, or if the judge has not judged
        all descriptions.

    Raises:
        UserError: If a file cannot be read.
    """
    seeds, found = [*dict.fromkeys(seed for seed, _, _ in places)], {judge}
    if judge is None:
        paths = [RunDirectory(run).seed(seed).breakdown for seed in seeds]
        found = {read_breakdown(path).judge.settings if path.exists() else None for path in paths}
    digest, *others = found
    if digest is None or others:
        return None
    verdicts = {seed: read_verdicts(RunDirectory(run).seed(seed).verdicts, digest=digest) for seed in seeds}
    try:
        return Strata(digest, tuple(verdicts[seed].kind(class_name, text) for seed, class_name, text in places))
    except KeyError:
        return None


def shares_of_labels(sizes: Mapping[Kind, int]) -> dict[Kind, float]:
    """Return the share of the labels that each stratum is to get.

    Answers that could not be read get their share by number alone: no rate is conditional on them.

    Args:
        sizes: Number of descriptions in each stratum.
    """
    total, leaves = sum(sizes.values()), [kind for kind in LEAVES if sizes.get(kind)]
    equal = EQUAL if leaves else 0.0
    return {
        kind: (1 - equal) * size / total + (equal / len(leaves) if kind in leaves else 0.0)
        for kind, size in sizes.items()
    }


def stratified(order: Sequence[int], kinds: Sequence[Kind], rng: np.random.Generator) -> list[int]:
    """Rearrange a random order so that every beginning of it has the shares of `shares_of_labels`, up to a block.

    Within a stratum the descriptions keep their order, so that the first ones of a stratum are a simple random sample
    of it, however many there are.

    Args:
        order: A permutation of the places of the descriptions, shape (N,).
        kinds: Stratum of each description, shape (N,).
        rng: Shuffles each block.

    Returns:
        A permutation of the same places. A stratum that is used up leaves its places to the others, by their shares.

    Source of the rounding: Sainte-Laguë's method, which divides seats among parties.
    """
    waiting: dict[Kind, list[int]] = {}
    for place in reversed(order):
        waiting.setdefault(kinds[place], []).append(place)
    shares = shares_of_labels({kind: len(places) for kind, places in waiting.items()})
    taken = dict.fromkeys(shares, 0)
    result: list[int] = []
    while len(result) < len(order):
        block: list[Kind] = []
        while len(block) < BLOCK:
            left = [kind for kind in shares if len(waiting[kind]) > block.count(kind)]
            if not left:
                break
            block.append(max(left, key=lambda kind: shares[kind] / (taken[kind] + 0.5)))
            taken[block[-1]] += 1
        result += [waiting[block[index]].pop() for index in rng.permutation(len(block))]
    return result
