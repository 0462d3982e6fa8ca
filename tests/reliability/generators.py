"""A generator for the matrix's recipe of image sets, by dotted path as a user's own."""

from __future__ import annotations

from collections.abc import Sequence

from ex2.sets.generators.toy import Toy
from ex2.sets.requests import Drawn, DrawRequest, Failure

FAILS = ("fep", 2)
"""Class and number of the image that is not drawn."""


class Sometimes(Toy):
    """The toy, which fails on one image of each set, so that no log of a set is empty."""

    name = "sometimes"

    def draw(self, requests: Sequence[DrawRequest]) -> list[Drawn | Failure]:
        """Draw all but one."""
        drawn = super().draw(requests)
        return [
            Failure("blank", "nothing was drawn", 0.0) if (request.class_name, request.index) == FAILS else answer
            for request, answer in zip(requests, drawn, strict=True)
        ]
