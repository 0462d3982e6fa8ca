"""A fair limit on how fast things start: they are spaced evenly, in the order in which they asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Pace:
    """Hands out starting times so that at most `per_minute` units start in a minute, without bursts.

    Each caller gets the moment at which all before it have used up their share of time, so that nobody overtakes. In
    any minute no more than `per_minute` and one caller's units start.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds_per_unit = 60.0 / per_minute
        self._clock = clock
        self._free_at = clock()

    def reserve(self, units: float) -> float:
        """Take the next place in the line; return the seconds until it comes."""
        start = max(self._clock(), self._free_at)
        self._free_at = start + units * self._seconds_per_unit
        return start - self._clock()

    def correct(self, units: float) -> None:
        """Take back (below 0) or add units that an estimate got wrong; those in the line keep their places."""
        self._free_at += units * self._seconds_per_unit


class Limits:
    """Requests and tokens per minute together; None is no limit."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._requests = Pace(requests_per_minute) if requests_per_minute else None
        self._tokens = Pace(tokens_per_minute) if tokens_per_minute else None

    async def wait(self, tokens: int) -> None:
        """Wait for the turn of a request with about that many tokens, answer included."""
        delays = [self._requests.reserve(1)] if self._requests else []
        delays += [self._tokens.reserve(tokens)] if self._tokens else []
        if delays and max(delays) > 0:
            await asyncio.sleep(max(delays))

    def correct(self, estimated: int, counted: int) -> None:
        """Replace an estimate by the server's count; 0 if it does not count."""
        if self._tokens and counted:
            self._tokens.correct(counted - estimated)
