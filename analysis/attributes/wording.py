"""The result of a comparison of two VLMs' attributes, in words."""

from __future__ import annotations

from analysis.attributes.comparison import FEWEST_SEEDS_A_SIDE, enough_seeds
from analysis.attributes.record import Gap, RunsCompared
from analysis.results.wording import NBSP, NOT_SIGNIFICANT, p_words
from reward.numerals import decimal


def how_tested(row: RunsCompared) -> str:
    """Return what was exchanged: `whole seeds exchanged (4 and 4)` or `given these seeds (1 and 2)`.

    Args:
        row: The comparison of two runs.
    """
    first, second = row.seeds
    return f"{'whole seeds exchanged' if row.unit == 'seeds' else 'given these seeds'} ({first} and {second})"


def classes_words(row: RunsCompared) -> str:
    """Return `16 classes shared`, and how many each describes where that is more.

    Args:
        row: The comparison of two runs.
    """
    shared, described = row.shared_classes, row.classes
    of = "" if described == (shared, shared) else f" of the {described[0]} and {described[1]} that each describes"
    return f"{shared} classes shared{of}"


def verdict_words(row: RunsCompared, *, with_p: bool = True) -> str:
    """Return `differ, p = 0.0002`, or `no significant difference, p = 0.41` and what difference remains possible.

    Args:
        row: The comparison of two runs.
        with_p: Whether the corrected p-value is stated.
    """
    p = f", {p_words(row.p_holm)}" if with_p else ""
    if row.significant:
        return f"differ{p}"
    # The test of all attributes has no size of its own: the widest interval of one of them tells what is left open.
    widest = {
        gap.attribute: max(-low, high) for gap in row.attributes if (ends := possible(gap)) for low, high in [ends]
    }
    if not widest:
        return f"{NOT_SIGNIFICANT}{p}: no interval, so any size is possible"
    name = max(widest, key=lambda name: widest[name])
    return f"{NOT_SIGNIFICANT}{p}: of one attribute up to {decimal(widest[name], 1)}{NBSP}points are possible ({name})"


def possible(gap: Gap) -> tuple[float, float] | None:
    """Return the least and the most that a difference may be where it is not significant, in points; 0 is among it."""
    if gap.low is None or gap.high is None:
        return None
    return min(100 * gap.low, 0.0), max(100 * gap.high, 0.0)


def comparison_words(row: RunsCompared) -> str:
    """Return one sentence on two VLMs.

    Args:
        row: The comparison of two runs.
    """
    names = [gap.attribute for gap in row.attributes if gap.significant and enough_seeds(row.seeds)]
    which = f"; alone: {', '.join(names)}" if names else ""
    return f"{row.first} and {row.second}: {verdict_words(row)}, {how_tested(row)}, {classes_words(row)}{which}"


def could_tell(row: RunsCompared, tests: int, alpha: float) -> bool:
    """Say whether a test of one attribute could have been significant at all.

    Args:
        row: The comparison of two runs.
        tests: Number of tests of one attribute that are corrected together.
        alpha: Level of the tests.

    Returns:
        Whether both sides have enough seeds, and the smallest p that the exchange allows, corrected by the first step
        of Holm's method, is below the level. Whole seeds, 5 against 5, allow 2 / 252: that is enough for 6 tests at
        5 %, not for 7.
    """
    return enough_seeds(row.seeds) and row.least_p * tests < alpha


def untold(row: RunsCompared, alpha: float) -> str:
    """Return what stands instead of a p where seeds are too few, or none could have been below the level."""
    if not enough_seeds(row.seeds):
        return f"no p: it takes {FEWEST_SEEDS_A_SIDE} seeds a side to test one attribute"
    return f"no p: even the smallest possible, {row.least_p:.2g}, is not below {alpha:.2g} once corrected"
