"""A fair limit on how fast things start: they are spaced evenly, in the order in which they asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Pace:
    """Hands out starting times so that at most `per_minute` units start in a minute, without bursts.

    Each caller waits until the time reserved by all callers before it is over, so that callers start in the order in
    which they asked. In any minute at most `per_minute` units and those of one further caller start.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds_per_unit = 60.0 / per_minute
        self._clock = clock
        self._free_at = clock()

    def reserve(self, units: float) -> float:
        """Reserve the next starting time for so many units; return the seconds until then."""
        start = max(self._clock(), self._free_at)
        self._free_at = start + units * self._seconds_per_unit
        return start - self._clock()

    def adjust(self, units: float) -> None:
        """Add units that an estimate had missed, or take back units (below 0); starting times already reserved stay."""
        self._free_at += units * self._seconds_per_unit


class Limits:
    """Limits on requests and on tokens per minute, together; None is no limit."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._requests = Pace(requests_per_minute) if requests_per_minute else None
        self._tokens = Pace(tokens_per_minute) if tokens_per_minute else None

    async def wait(self, tokens: int) -> None:
        """Wait until a request with about so many tokens, answer included, may start."""
        delays = [self._requests.reserve(1)] if self._requests else []
        delays += [self._tokens.reserve(tokens)] if self._tokens else []
        if delays and max(delays) > 0:
            await asyncio.sleep(max(delays))

    def adjust(self, estimated: int, counted: int) -> None:
        """Replace an estimate by the server's count of tokens; a count of 0 means that the server does not count."""
        if self._tokens and counted:
            self._tokens.adjust(counted - estimated)
