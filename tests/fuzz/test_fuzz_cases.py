"""What a fuzz test asks of each case."""

from __future__ import annotations

import time

import fuzzing
import pytest
from fuzzing import IN_SUITE, SHARES, Refused, check_shares, outcome

from reward.errors import EnvironmentFault, UserError


def test_the_suite_draws_two_thousand_cases() -> None:
    assert sum(SHARES.values()) == IN_SUITE == 2000


@pytest.mark.parametrize("kind", [UserError, EnvironmentFault])
def test_a_refusal_is_an_outcome(kind: type[Exception]) -> None:
    def refuse() -> None:
        raise kind("x.yaml: threads: given 'x'; a number is allowed.")

    refused = outcome(refuse)
    assert isinstance(refused, Refused)
    assert refused.message == "ex2: x.yaml: threads: given 'x'; a number is allowed.\n"
    assert outcome(lambda: 5) == 5


@pytest.mark.parametrize("kind", [ValueError, RecursionError, KeyError])
def test_any_other_exception_is_a_fault(kind: type[Exception]) -> None:
    def fail() -> None:
        raise kind("ours")

    with pytest.raises(kind, match="ours"):
        outcome(fail)


def test_a_refusal_without_words_is_a_fault() -> None:
    def refuse() -> None:
        raise UserError("")

    with pytest.raises(AssertionError, match="no message"):
        outcome(refuse)


def test_a_case_that_waits_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "MOST_SECONDS", 0.05)
    with pytest.raises(AssertionError, match=r"longer than 0.05 s"):
        outcome(lambda: time.sleep(20))


@pytest.mark.parametrize(
    ("kind", "read", "refused"),
    [("rows", 0, 200), ("rows", 200, 0), ("rows", 5, 195), ("replies", 0, 1), ("replies", 9, 1)],
)
def test_who_reads_all_or_refuses_all_fails(kind: str, read: int, refused: int) -> None:
    with pytest.raises(AssertionError, match=f"{kind}: {read} cases read, {refused} refused"):
        check_shares(kind, read, refused)


@pytest.mark.parametrize(("kind", "read", "refused"), [("rows", 6, 194), ("rows", 194, 6), ("replies", 9, 0)])
def test_shares_of_both_pass(kind: str, read: int, refused: int) -> None:
    check_shares(kind, read, refused)
