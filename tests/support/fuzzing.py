"""What every fuzz test shares: how many cases there are, and what may come of one.

The suite draws `IN_SUITE` cases, always the same ones. `make fuzz` draws `CASES` of them from `SEED`, and tells how far
it is.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase

from reward.errors import EnvironmentFault, UserError
from reward.exits import guarded

T = TypeVar("T")

IN_SUITE = 2000
CASES = int(os.environ.get("EX2_FUZZ_CASES", IN_SUITE))
SEED = int(os.environ.get("EX2_FUZZ_SEED", 0))

SHARES = {
    "recipe bytes": 150,
    "recipe trees": 150,
    "recipe fragments": 150,
    "overrides": 150,
    "components": 100,
    "rows": 250,
    "row bytes": 100,
    "records": 150,
    "replies": 150,
    "completions": 200,
    "manifests": 100,
    "class names": 150,
    "images": 70,
    "archives": 30,
    "accelerate": 50,
    "description files": 50,
}
"""Kind of input → its cases in the suite."""

NEVER_REFUSED = frozenset({"class names", "replies", "completions"})
"""Kinds of input of which each is taken: what cannot be read there is counted, not refused."""

FEWEST = 0.03
"""Of every other kind at least this share is read and this share refused: who refuses all of them passes no test."""

MOST_SECONDS = 5
MOST_CHARACTERS = 2000


class TooSlow(BaseException):
    """A case that takes longer than `MOST_SECONDS`; not an `Exception`, so that no reader takes it for one of its."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise `AssertionError` if the block takes longer than `MOST_SECONDS`, also if it waits for something."""

    def ring(number: int, frame: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        yield
    except TooSlow as error:
        raise AssertionError(f"longer than {MOST_SECONDS} s") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


seen: Counter[bool] = Counter()
"""How many cases of the test that is running were read (True) and refused (False)."""


class Refused:
    """A case that ended in a message.

    Args:
        message: What the user reads.
    """

    def __init__(self, message: str) -> None:
        self.message = message


def outcome(read: Callable[[], T]) -> T | Refused:
    """Call a reader as the command line does.

    Args:
        read: Reads the case.

    Returns:
        What it returns, or the refusal if the command would end with status 1 or 2.

    Raises:
        AssertionError: If it takes too long, or the message is too long or empty.
        BaseException: What it raises, if the command would end with status 70: a fault of ours.
    """
    found: list[T] = []
    met: list[BaseException] = []

    def run() -> int:
        try:
            found.append(read())
        except BaseException as error:
            met.append(error)
            raise
        return 0

    printed = io.StringIO()
    with limited(), warnings.catch_warnings(), contextlib.redirect_stderr(printed):
        warnings.simplefilter("ignore")  # a library's advice is printed, and ends nothing
        status = guarded(run)
    seen[status == 0] += 1
    if status == 0:
        return found[0]
    if status not in (EnvironmentFault.exit_code, UserError.exit_code):
        raise met[0]
    message = printed.getvalue()
    assert len(message.removeprefix("ex2: ").strip()) > 0, "no message"
    assert len(message) <= MOST_CHARACTERS + 1, f"{len(message):,} characters: {message[:200]!r}"  # and the line's end
    return Refused(message)


def progress(kind: str, test: Callable[..., None]) -> Callable[..., None]:
    """Return a test that tells on stderr, at every thousandth case and at most, how far its kind of input is."""
    started, whole = time.monotonic(), cases_of(kind)
    done = 0

    @functools.wraps(test)
    def counted(**case: Any) -> None:
        nonlocal done, started
        done += 1
        started = time.monotonic() if done == 1 else started
        if done % 1000 == 0 or done == whole:
            print(f"{kind}: {done:,} of {whole:,}, {time.monotonic() - started:.0f} s", file=sys.__stderr__, flush=True)
        test(**case)

    return counted


def cases_of(kind: str) -> int:
    """Return how many cases a kind of input has in this process."""
    return max(1, round(SHARES[kind] * CASES / IN_SUITE))


def check_shares(kind: str, read: int, refused: int) -> None:
    """Check that cases of a kind of input were both read and refused, as often as they should.

    Raises:
        AssertionError: With how many were.
    """
    found = f"{kind}: {read} cases read, {refused} refused"
    print(found)
    if kind in NEVER_REFUSED:
        assert read, found
        assert not refused, found
    else:
        assert min(read, refused) >= FEWEST * (read + refused), found


def fuzz(kind: str, /, **drawn: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a fuzz test: the decorated function is called with each drawn case.

    Args:
        kind: A key of `SHARES`.
        **drawn: Strategy of each argument.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        shown = progress(kind, test) if CASES > IN_SUITE else test
        settings = hypothesis.settings(
            max_examples=cases_of(kind),
            database=None,  # the same cases on every machine
            deadline=None,  # `outcome` has a limit
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate, Phase.shrink),  # without explanations, which take longest
        )
        whole = hypothesis.seed(SEED)(settings(hypothesis.given(**drawn)(shown)))

        @functools.wraps(whole)
        def tested(*arguments: Any, **fixtures: Any) -> None:
            seen.clear()
            with warnings.catch_warnings():  # a large case that fails is to be shown, and not its size complained of
                warnings.filterwarnings("ignore", "Generating overly large repr")
                whole(*arguments, **fixtures)
            check_shares(kind, seen[True], seen[False])

        return tested

    return decorate
