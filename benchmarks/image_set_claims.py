"""What a claim of the image sets' benchmark is."""

from __future__ import annotations

from typing import NamedTuple

MOST_REJECTED = 0.07
LEAST_COVERED = 0.93
SHOTS = 20


class Claim(NamedTuple):
    """A claim with what was measured, and the same measurement where it must fail.

    Attributes:
        claim: What must hold.
        found: What was measured.
        holds: Whether it holds.
        twin: The negative twin, with what was measured.
        twin_fails: Whether the claim fails there.
    """

    claim: str
    found: str
    holds: bool
    twin: str
    twin_fails: bool
