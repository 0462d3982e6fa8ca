"""Numbers as text, with their intervals, and with n where the reader needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from analysis.results.endings import END
from analysis.results.pooling import OVER_IMAGES, Difference, Pooled

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
    return count(end, "batches") + (f", fewer than{NBSP}{END}" if is_short(end) else "")


def is_short(end: Pooled) -> bool:
    """Say whether a number at the end of training is of fewer than `END` batches in some seed."""
    return end.n < END * end.seeds


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
    return f"{100 * share.value:.{digits}f}{blank}%"


def percent_interval(share: Share, digits: int = 1, *, blank: str = NBSP) -> str:
    """Return ` [83.4–89.9]` with a leading blank, cut to 0–100; "" if there is no interval."""
    if share.low is None or share.high is None:
        return ""
    low, high = max(share.low, 0.0), min(share.high, 1.0)  # a t-interval over few seeds knows no bounds
    return f"{blank}[{100 * low:.{digits}f}–{100 * high:.{digits}f}]"


def points(difference: Difference, digits: int = 1) -> str:
    """Return `+4.2 points [+2.1, +6.3]` of a difference of shares."""
    value = f"{_signed(100 * difference.value, digits)}{NBSP}points"
    if difference.low is None or difference.high is None:
        return value
    low, high = _signed(100 * difference.low, digits), _signed(100 * difference.high, digits)
    return f"{value} [{low},{NBSP}{high}]"


def signed(difference: Difference, digits: int = 2) -> str:
    """Return `+1.12 [+0.89, +1.35]`."""
    value = _signed(difference.value, digits)
    if difference.low is None or difference.high is None:
        return value
    return f"{value} [{_signed(difference.low, digits)},{NBSP}{_signed(difference.high, digits)}]"


def plain(pooled: Pooled, digits: int = 2) -> str:
    """Return `8.61 [8.40, 8.82]`: a comma, because such numbers may be below 0."""
    value = f"{pooled.value:.{digits}f}"
    if pooled.low is not None and pooled.high is not None:
        value += f" [{pooled.low:.{digits}f}, {pooled.high:.{digits}f}]"
    return value.replace("-", "−")


def listing(words: list[str]) -> str:
    """Return `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _signed(value: float, digits: int) -> str:
    rounded = round(value, digits) + 0.0  # + 0.0 turns −0.0 into 0.0
    return f"{rounded:+.{digits}f}".replace("-", "−")


def p_words(p: float) -> str:
    """Return `p = 0.012` or `p < 0.001`."""
    return f"p{NBSP}<{NBSP}0.001" if p < 0.001 else f"p{NBSP}={NBSP}{p:.3f}"


def p_digits(p: float) -> str:
    """Return `0.0120`, or `7.6e-06` where four decimals would be zero, for a column of p-values in a table."""
    return f"{p:.4f}" if p >= 0.0001 else f"{p:.1e}"


NOT_SIGNIFICANT = "no significant difference"


def verdict_words(difference: Difference) -> str:
    """Return `no significant difference`, naming the tests that say so if others disagree; "" for other differences."""
    if difference.significant is not False:
        return ""
    return NOT_SIGNIFICANT + (f" by {' and '.join(difference.doubts)}" if difference.doubts else "")


def brief_verdict(significant: bool | None, doubts: Sequence[str]) -> str:
    """Return `n.s.` for a cell of a table, naming the tests that say so if others disagree; "" for other differences.

    Args:
        significant: Whether the difference is significant; `None` if it was not tested.
        doubts: The `doubts` of a `Difference`.
    """
    if significant is not False:
        return ""
    return "n.s." + (f" by {' and '.join(doubts)}" if doubts else "")


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
        texts` or `intervals over 3 seeds and over images exclude 0, McNemar p 0.002–0.031 by seed`.
    """
    if difference.significant is None:
        return "one seed alone: no test"
    said = verdict_words(difference)
    if difference.p is not None:
        p = p_value(difference.p)
        value = f"p{NBSP}{p}" if p.startswith("<") else f"p{NBSP}={NBSP}{p}"
        value = ", ".join(part for part in (value, texts_words(difference)) if part)
        return f"{said}, {value}" if said else value
    if not said:
        over = [f"over {difference.seeds} seeds"] if difference.seeds > 1 else []
        over += ["over images"] if difference.images else []
        if over:
            said = (
                f"interval{'s' if len(over) > 1 else ''} {' and '.join(over)} exclude{'' if len(over) > 1 else 's'} 0"
            )
    return ", ".join(part for part in (said, seed_tests(difference)) if part)


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
    low, high = (f"{round(100 * end, digits) + 0.0:+.{digits}f}".replace("-", "−") for end in difference.images)
    return f"[{low},{NBSP}{high}] {OVER_IMAGES.removeprefix('interval ')}"


def p_value(p: float) -> str:
    """Return `0.031`, or `<0.001`."""
    return f"<{NBSP}0.001" if p < 0.001 else f"{p:.3f}"
