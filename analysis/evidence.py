"""What the tests say of a difference of accuracies, in words: which test, how many seeds, and what it does not tell."""

from __future__ import annotations

from analysis.pooling import OVER_IMAGES, Difference
from analysis.wording import NBSP

NOT_SIGNIFICANT = "no significant difference"


def verdict_words(difference: Difference) -> str:
    """Return `no significant difference`, with the tests behind it where another test says otherwise; else ""."""
    if difference.significant is not False:
        return ""
    return NOT_SIGNIFICANT + (f" by {' and '.join(difference.doubts)}" if difference.doubts else "")


def seed_tests(difference: Difference) -> str:
    """Return McNemar's p of the seeds, smallest to largest: `McNemar p 0.002–0.31 by seed`; "" with one seed."""
    if not difference.p_by_seed:
        return ""
    low, high = (p_value(p) for p in (min(difference.p_by_seed), max(difference.p_by_seed)))
    return f"McNemar p{NBSP}{low if low == high else f'{low}–{high}'} by seed"


def evidence(difference: Difference) -> str:
    """Return all that the tests say.

    Returns:
        Such as `p = 0.012`, `no significant difference by McNemar, p = 0.125` or `intervals over 3 seeds and over
        images exclude 0, McNemar p 0.002–0.031 by seed`.
    """
    if difference.significant is None:
        return "one seed alone: no test"
    said = verdict_words(difference)
    if difference.p is not None:
        p = p_value(difference.p)
        value = f"p{NBSP}{p}" if p.startswith("<") else f"p{NBSP}={NBSP}{p}"
        return f"{said}, {value}" if said else value
    if not said:
        over = [f"over {difference.seeds} seeds"] if difference.seeds > 1 else []
        over += ["over images"] if difference.images else []
        if over:
            said = (
                f"interval{'s' if len(over) > 1 else ''} {' and '.join(over)} exclude{'' if len(over) > 1 else 's'} 0"
            )
    return ", ".join(part for part in (said, seed_tests(difference)) if part)


def images_interval(difference: Difference, digits: int = 1) -> str:
    """Return `[+0.9, +2.2] over images`, in points, of accuracies over several seeds; "" otherwise."""
    if difference.images is None:
        return ""
    low, high = (f"{round(100 * end, digits) + 0.0:+.{digits}f}".replace("-", "−") for end in difference.images)
    return f"[{low},{NBSP}{high}] {OVER_IMAGES.removeprefix('interval ')}"


def p_value(p: float) -> str:
    """Return `0.031`, or `<0.001`."""
    return f"<{NBSP}0.001" if p < 0.001 else f"{p:.3f}"
