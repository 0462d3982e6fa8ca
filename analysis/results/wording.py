"""Numbers as text, with their intervals, and with n where the reader needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from analysis.results.endings import END
from analysis.results.pooling import OVER_IMAGES, Difference, Pooled
from reward.numerals import decimal

NBSP = "\u00a0"
UNKNOWN = "–"
"""Stands where a number is not known."""

KIND_NAMES = {
    "visual": "visual",
    "non_visual": "non-visual",
    "spurious": "spurious",
    "informative": "informative",
    "informative_unparsed": "informative, visual unparsed",
    "unparsed": "unparsed",
}

NO_CONCLUSION = "no conclusion: most classes take the plain template"
"""Stands where a verdict on an arm would be that `Experiment.mostly_template` is true of."""

ARM_NAMES = {
    "templates": "80 generic templates",
    "base": "base model",
    "aligned": "EX2, all descriptions",
    "spurious": "spurious only",
    "informative": "informative only",
    "visual": "visual only",
    "non_visual": "non-visual only",
}


def count(number: Pooled | Difference, unit: str = "") -> str:
    """Return `n = 1,196 pairs, 3 seeds`; images, which all seeds share, as `n = 640 images × 3 seeds`."""
    what = f"n{NBSP}={NBSP}{number.n:,}{NBSP + unit if unit else ''}"
    if number.seeds < 2:
        return what
    return f"{what}{NBSP}×{NBSP}{number.seeds}{NBSP}seeds" if number.shared else f"{what}, {number.seeds}{NBSP}seeds"


def batches(end: Pooled) -> str:
    """Return `n = 10 batches` of a number at the end of training, and that they are `fewer than 10` where they are."""
    short = f", fewer than{NBSP}{END}" + (" in a seed" if end.seeds > 1 else "")
    return count(end, "batches") + (short if is_short(end) else "")


def is_short(end: Pooled) -> bool:
    """Say whether a number at the end of training is of fewer than `END` batches in some seed."""
    return end.n < END * end.seeds or (end.fewest is not None and end.fewest < END)


def kind_words(kind: str, content_proved: bool = False) -> str:
    """Return what a kind of description is called: `visual wording`, or `visual descriptions`.

    Args:
        kind: A kind, as in `KIND_NAMES`.
        content_proved: Whether it is proved that what the descriptions say of their class counts. Without that the
            kind is one of wording: a text may speak of looks and say nothing of the class's own.
    """
    return f"{KIND_NAMES[kind]} {'descriptions' if content_proved else 'wording'}"


class Share(Protocol):
    """A share in [0, 1] with its interval, whatever it was estimated from."""

    @property
    def value(self) -> float: ...

    @property
    def low(self) -> float | None: ...

    @property
    def high(self) -> float | None: ...


def percent(share: Share | None, digits: int = 1, *, blank: str = NBSP) -> str:
    """Return `87.0 % [83.4–89.9]`; without brackets if there is no interval, a dash for what is unknown.

    Args:
        share: A share in [0, 1].
        digits: Number of decimals of the percentage.
        blank: Blank between the parts. A terminal may break the line there; a page may not, so the default is a
            no-break space.
    """
    if share is None:
        return UNKNOWN
    return f"{percent_value(share, digits, blank=blank)}{percent_interval(share, digits, blank=blank)}"


def percent_value(share: Share, digits: int = 1, *, blank: str = NBSP) -> str:
    """Return `87.0 %`."""
    return f"{decimal(100 * share.value, digits)}{blank}%"


def percent_interval(share: Share, digits: int = 1, *, blank: str = NBSP) -> str:
    """Return ` [83.4–89.9]` with a leading blank, cut to 0–100; "" if there is no interval."""
    if share.low is None or share.high is None:
        return ""
    low, high = max(share.low, 0.0), min(share.high, 1.0)  # a t-interval over few seeds knows no bounds
    return f"{blank}[{decimal(100 * low, digits)}–{decimal(100 * high, digits)}]"


def points(difference: Difference, digits: int = 1) -> str:
    """Return `+4.2 points [+2.1, +6.3]` of a difference of shares."""
    value = points_value(difference, digits)
    if difference.low is None or difference.high is None:
        return value
    return f"{value} {brackets(100 * difference.low, 100 * difference.high, digits)}"


def points_value(difference: Difference, digits: int = 1) -> str:
    """Return `+4.2 points`."""
    return f"{decimal(100 * difference.value, digits, sign=True)}{NBSP}points"


def signed(difference: Difference, digits: int = 2) -> str:
    """Return `+1.12 [+0.89, +1.35]`."""
    value = decimal(difference.value, digits, sign=True)
    if difference.low is None or difference.high is None:
        return value
    return f"{value} {brackets(difference.low, difference.high, digits)}"


def plain(pooled: Pooled, digits: int = 2) -> str:
    """Return `8.61 [8.40, 8.82]`: a comma, because such numbers may be below 0."""
    value = decimal(pooled.value, digits)
    if pooled.low is not None and pooled.high is not None:
        value += f" [{decimal(pooled.low, digits)}, {decimal(pooled.high, digits)}]"
    return value


def listing(words: list[str]) -> str:
    """Return `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def brackets(low: float, high: float, digits: int) -> str:
    """Return `[+2.1, +6.3]`, the interval of a difference."""
    return f"[{decimal(low, digits, sign=True)},{NBSP}{decimal(high, digits, sign=True)}]"


def p_words(p: float) -> str:
    """Return `p = 0.012` or `p < 0.001`."""
    return f"p{NBSP}<{NBSP}0.001" if p < 0.001 else f"p{NBSP}={NBSP}{p:.3f}"


def p_digits(p: float) -> str:
    """Return `0.0120`, or `7.6e-06` where four decimals would be zero, for a column of p-values in a table."""
    return f"{p:.4f}" if p >= 0.0001 else f"{p:.1e}"


NOT_SIGNIFICANT = "no significant difference"


def verdict_words(difference: Difference, tests: str = "", *, shares: bool = True) -> str:
    """Return that a difference is not significant, and which sizes of it remain possible; "" for other differences.

    Args:
        difference: The difference.
        tests: What its tests say, such as `p = 0.62`; stands before the sizes.
        shares: Whether it is one of shares or accuracies, told in points.

    Returns:
        For example `no significant difference by McNemar, p = 0.125: between −1.2 and +3.0 points are possible`.
    """
    if difference.significant is not False:
        return ""
    ends = difference.not_excluded
    scaled = tuple(100 * end for end in ends) if ends and shares else ends
    said = NOT_SIGNIFICANT + (f" by {' and '.join(difference.doubts)}" if difference.doubts else "")
    return open_difference(scaled, "points" if shares else "", tests=tests, said=said)


def open_difference(
    ends: tuple[float, ...] | None, unit: str = "points", *, tests: str = "", said: str = NOT_SIGNIFICANT
) -> str:
    """Return `no significant difference: between −1.2 and +3.0 points are possible`: it never stands alone.

    Args:
        ends: The least and the most that is not excluded, in the unit; `None` if no interval says so.
        unit: Unit of the two; "" for none.
        tests: What tests say; stands before the two.
        said: The beginning.
    """
    if tests:
        said += f", {tests}"
    if ends is None:
        return f"{said}: no interval, so any size is possible"
    digits = 1 if unit == "points" else 2
    low, high = (decimal(end, digits, sign=True) for end in ends)
    unit = f"{NBSP}{unit}" if unit else ""
    return f"{said}: between {low} and {high}{unit} are possible"


def brief_verdict(significant: bool | None, doubts: Sequence[str], *, bounded: bool) -> str:
    """Return `n.s.` for a cell of a table that shows the interval, naming the tests that say so if others disagree.

    Args:
        significant: Whether the difference is significant; `None` if it was not tested.
        doubts: The `doubts` of a `Difference`.
        bounded: Whether the cell has an interval to show; if not, that is said.

    Returns:
        The words; "" for other differences.
    """
    if significant is not False:
        return ""
    by = f" by {' and '.join(doubts)}" if doubts else ""
    return f"n.s.{by}" + ("" if bounded else ", without an interval")


def seed_tests(difference: Difference) -> str:
    """Return McNemar's p of the seeds, smallest to largest: `McNemar p 0.002–0.31 by seed`; "" with one seed."""
    if not difference.p_by_seed:
        return ""
    low, high = (p_value(p) for p in (min(difference.p_by_seed), max(difference.p_by_seed)))
    return f"McNemar p{NBSP}{low if low == high else f'{low}–{high}'} by seed"


def evidence(difference: Difference) -> str:
    """Return in words all that the tests say of a difference.

    Returns:
        For example `p = 0.012, over 2 draws of the texts`, `no significant difference by McNemar, p = 0.125, for these
        texts: between 0.0 and +4.0 points are possible` or `intervals over 3 seeds and over images exclude 0, McNemar p
        0.002–0.031 by seed`.
    """
    if difference.significant is None:
        return "one seed alone: no test"
    tests = seed_tests(difference)
    if difference.p is not None:
        tests = ", ".join(part for part in (p_words(difference.p), texts_words(difference)) if part)
    said = verdict_words(difference, tests)
    if said or difference.p is not None:
        return said or tests
    over = [f"over {difference.seeds} seeds"] if difference.seeds > 1 else []
    over += ["over images"] if difference.images else []
    if over:
        said = f"interval{'s' if len(over) > 1 else ''} {' and '.join(over)} exclude{'' if len(over) > 1 else 's'} 0"
    return ", ".join(part for part in (said, tests) if part)


def texts_words(difference: Difference) -> str:
    """Return `over 2 draws of the texts` if interval and test hold draws, `for these texts` if they are over images
    alone; "" for several seeds, each of which has its own texts, and for what is no difference of accuracies."""
    if difference.draws:
        return f"over {difference.draws} draws of the texts"
    return "for these texts" if difference.of_these_texts else ""


def images_interval(difference: Difference, digits: int = 1) -> str:
    """Return `[+0.9, +2.2] over images`, in points, for a difference over several seeds; "" if it has none."""
    if difference.images is None:
        return ""
    low, high = (100 * end for end in difference.images)
    return f"{brackets(low, high, digits)} {OVER_IMAGES.removeprefix('interval ')}"


def p_value(p: float) -> str:
    """Return `0.031`, or `<0.001`."""
    return f"<{NBSP}0.001" if p < 0.001 else f"{p:.3f}"
