"""Labels of descriptions that were drawn in strata, with different chances: weighted tables, and draws of them.

A label stands for as many descriptions as its stratum has for each label in it, N / n. The draws are a Bayesian
bootstrap within strata: one Dirichlet distribution for the cells of each stratum, and one for the sizes of a run's
strata, since the run's descriptions are themselves a sample of what its policies say. If everything is labelled, these
together are the Dirichlet distribution of a simple random sample. All numbers of a comparison are made from such draws,
so that they carry the weights alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from analysis.agreement.labels import Labeled, RunLabels
from ex2.run.descriptions import DescribedClass

Places = tuple[int, ...]
"""The strata that a labelled description was drawn in, by their places in `Design.strata`, each as often as it was."""


class Stratum(NamedTuple):
    """A part of the descriptions in which each had the same chance to be drawn.

    Attributes:
        run: Place of its run among those compared; -1 for the simple random samples of all runs together.
        size: Number of descriptions in it.
    """

    run: int
    size: int


@dataclass(frozen=True)
class Design:
    """How the labelled descriptions of some runs were drawn.

    Attributes:
        strata: All strata. Simple random samples are one stratum together, in which each text counts once.
        labeled: Number of labelled descriptions by run, and by -1 the number of texts labelled in simple random
            samples. Where runs are pooled, a run counts by its labels, however many descriptions it has.
        by_row: Strata of each row of a single run's sample; empty for several runs.
        by_text: Strata of each distinct text. A text that several runs drew has one label, which stands for the
            descriptions of all of them.
    """

    strata: tuple[Stratum, ...]
    labeled: Mapping[int, int]
    by_row: tuple[Places, ...]
    by_text: Mapping[DescribedClass, Places]

    @staticmethod
    def of(runs: Sequence[RunLabels]) -> Design | None:
        """Return the design of some runs' samples; `None` if all are simple random ones, and all weights are 1.

        Args:
            runs: At least one run.
        """
        if not any(run.sample.strata for run in runs):
            return None
        strata: list[Stratum] = []
        labeled: Counter[int] = Counter()
        by_row: list[Places] = []
        by_text: dict[DescribedClass, list[int]] = {}
        simple = {
            row.described
            for run in runs
            if not run.sample.strata
            for row in run.labeled
            if row.people.informative is not None
        }
        for number, run in enumerate(runs):
            if not run.sample.strata:
                continue
            first = {kind: len(strata) + place for place, kind in enumerate(run.sample.strata)}
            strata += [Stratum(number, size) for size in run.sample.strata.values()]
            for row, kind in zip(run.labeled, run.sample.verdicts, strict=True):
                by_row.append((first[kind],))
                by_text.setdefault(row.described, []).append(first[kind])
                labeled[number] += row.people.informative is not None
        if simple:
            for text in simple:
                by_text.setdefault(text, []).append(len(strata))
            strata.append(Stratum(-1, len(simple)))
            labeled[-1] = len(simple)
        texts = {text: tuple(places) for text, places in by_text.items()}
        return Design(tuple(strata), labeled, tuple(by_row) if len(runs) == 1 else (), texts)

    def places(self, rows: Sequence[Labeled]) -> list[Places]:
        """Return the strata of rows: those of a single run's sample, or of distinct texts of several runs."""
        return [*self.by_row] if self.by_row else [self.by_text.get(row.described, ()) for row in rows]


@dataclass(frozen=True)
class StratifiedTable:
    """Labelled descriptions by stratum and cell.

    A table has C cells; a description may also be outside of it, as one that the judge called spurious is outside of
    the second question.

    Attributes:
        design: How the descriptions were drawn.
        groups: Number of labelled descriptions by (cell, strata); cell C is outside.
        prior: Pseudo-count of each cell in each stratum, in draws, shape (S, C + 1): 0 where a cell cannot occur.
    """

    design: Design
    groups: Mapping[tuple[int, Places], int]
    prior: np.ndarray

    @staticmethod
    def of(
        design: Design, cells: Sequence[int | None], places: Sequence[Places], possible: Sequence[Sequence[int]], n: int
    ) -> StratifiedTable:
        """Count labelled descriptions.

        Args:
            design: How they were drawn.
            cells: Cell of each description, n if it is outside, `None` if people did not answer, shape (U,).
            places: Strata of each description, shape (U,).
            possible: Cells that each description could have been in, whatever people say of it, shape (U, …). A cell
                has a pseudo-count in the strata where a description could have been in it.
            n: Number of cells.

        Returns:
            The table, with pseudo-counts of 1, shared among the runs.
        """
        groups: Counter[tuple[int, Places]] = Counter()
        prior = np.zeros((len(design.strata), n + 1))
        for cell, where, may in zip(cells, places, possible, strict=True):
            for place in where:
                prior[place, [*may]] = 1 / len(design.labeled)
            if cell is not None and where:
                groups[cell, where] += 1
        return StratifiedTable(design, groups, prior)

    def value(self) -> np.ndarray:
        """Return the weighted table, shape (C,), summing to the number of labels if none is outside."""
        counts = np.array([*self.groups.values()], dtype=np.float64)
        sizes = np.array([stratum.size for stratum in self.design.strata], dtype=np.float64)
        return self._table(counts, np.zeros_like(self.prior), sizes)

    def draw(self, prior: float, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Draw tables, shape (D, C).

        Args:
            prior: Pseudo-count of each cell that can occur, in each stratum.
            draws: Number of draws.
            rng: Source of the draws.
        """
        pseudo = prior * self.prior
        counts = rng.gamma([*self.groups.values()], size=(draws, len(self.groups)))
        sizes = np.array([stratum.size for stratum in self.design.strata]) + pseudo.sum(axis=1)
        return self._table(
            counts, rng.gamma(pseudo, size=(draws, *pseudo.shape)), rng.gamma(sizes, size=(draws, len(sizes)))
        )

    def _table(self, counts: np.ndarray, pseudo: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Weigh counts of groups, shape (…, G), with pseudo-counts, shape (…, S, C + 1), by sizes, shape (…, S)."""
        found = pseudo.copy()
        for index, (cell, places) in enumerate(self.groups):
            for place in places:
                found[..., place, cell] += counts[..., index]
        mass = np.zeros_like(sizes)
        runs = np.array([stratum.run for stratum in self.design.strata])
        for run, labeled in self.design.labeled.items():
            own = runs == run
            mass[..., own] = labeled * sizes[..., own] / sizes[..., own].sum(axis=-1, keepdims=True)
        total = found.sum(axis=-1)
        weight = np.divide(mass, total, out=np.zeros_like(mass), where=total > 0)
        return np.asarray(np.einsum("...s,...sc->...c", weight, found)[..., :-1])
