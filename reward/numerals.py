"""Numbers as text, all through here: a number that rounds to zero is written without a sign."""

from __future__ import annotations

MINUS = "−"


def decimal(value: float, digits: int, *, sign: bool = False) -> str:
    """Return a number with a fixed number of decimals: `8.61`, `−0.35`, or with `sign` `+1.12`.

    Args:
        value: The number.
        digits: Number of decimals.
        sign: Whether a plus stands before numbers above 0.

    Returns:
        The number, with the minus of typography. What rounds to zero has no sign, neither minus nor plus: a KL of
        −0.0004 is `0.00`, and so is a gain of +0.004 points with two decimals.
    """
    return _unsigned_zero(f"{value:{'+' if sign else ''}.{digits}f}")


def compact(value: float, digits: int = 6, *, sign: bool = False) -> str:
    """Return a number with so many significant digits and no zeros at its end: `12.5`, `3e-05`, `−4`.

    Args:
        value: The number.
        digits: Number of significant digits.
        sign: Whether a plus stands before numbers above 0.
    """
    return _unsigned_zero(f"{value:{'+' if sign else ''}.{digits}g}")


def _unsigned_zero(text: str) -> str:
    bare = text.lstrip("+-")
    if bare.strip("0.") == "":
        return bare
    return MINUS + bare if text.startswith("-") else text
