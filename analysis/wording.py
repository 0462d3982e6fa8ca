"""Numbers as text: every one with its interval, and its n where the reader needs it."""

from __future__ import annotations

from analysis.pooling import Difference, Pooled

NBSP = "\u00a0"

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


def percent(pooled: Pooled, digits: int = 1) -> str:
    """Return `87.0 % [83.4–89.9]`; without brackets if there is no interval."""
    return f"{percent_value(pooled, digits)}{percent_interval(pooled, digits)}"


def percent_value(pooled: Pooled, digits: int = 1) -> str:
    """Return `87.0 %`."""
    return f"{100 * pooled.value:.{digits}f}{NBSP}%"


def percent_interval(pooled: Pooled, digits: int = 1) -> str:
    """Return ` [83.4–89.9]`, cut to 0–100, or nothing."""
    if pooled.low is None or pooled.high is None:
        return ""
    low, high = max(pooled.low, 0.0), min(pooled.high, 1.0)  # a t-interval over few seeds knows no bounds
    return f"{NBSP}[{100 * low:.{digits}f}–{100 * high:.{digits}f}]"


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
