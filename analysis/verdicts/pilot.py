"""The pilot: before the bulk of a run's questions, a few show whether the judge's answers can be read at all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from analysis.judge.base import Answer, Judge, JudgeRequest, Unparsed
from analysis.verdicts.verdicts import Verdicts
from reward.errors import EnvironmentFault

PILOT = 20
"""Number of questions that are asked first."""
PILOT_FROM = 2 * PILOT
"""Number of questions, answered and open, from which a pilot is worth its wait."""

_MOST_SHOWN = 200


def pilot_questions(requests: Sequence[JudgeRequest], verdicts: Verdicts) -> list[JudgeRequest]:
    """Choose the questions to ask before the others.

    The answers known so far are seen as blocks of `PILOT`, in the order in which they came. Once most of a whole block
    could be read, the pilot is over for good. Until then a block that was begun is filled up, so that a pilot that was
    handed in as a batch goes on as the same pilot.

    Args:
        requests: Open first questions.
        verdicts: The verdicts known so far.

    Returns:
        Questions drawn evenly from the open ones, the same ones if a pilot goes on; none if no pilot is needed.
    """
    known = _first_answers(verdicts)
    blocks = [known[start : start + PILOT] for start in range(0, len(known) - PILOT + 1, PILOT)]
    if len(known) + len(requests) < PILOT_FROM or any(not mostly_unread(block) for block in blocks):
        return []
    return sorted(requests, key=_place)[: PILOT - len(known) % PILOT]


def check_pilot(judge: Judge, verdicts: Verdicts, path: Path, *, left: int) -> None:
    """Stop if most of the pilot's answers cannot be read, unless no question is left to be saved.

    Args:
        judge: The judge that was asked.
        verdicts: The verdicts known so far, the pilot's included.
        path: Path of the log that holds them.
        left: Number of questions that wait for the pilot.

    Raises:
        EnvironmentFault: If the last whole block of `PILOT` answers is mostly unread. Nothing is lost or overwritten.
    """
    known = _first_answers(verdicts)
    last = known[: len(known) - len(known) % PILOT][-PILOT:]
    if not left or not last or not mostly_unread(last):
        return
    unread = [answer for answer in last if isinstance(answer, Unparsed)]
    example = " ".join(unread[0].raw.split())
    shown = f"'{example[:_MOST_SHOWN]}{'…' if len(example) > _MOST_SHOWN else ''}'" if example else "an empty text"
    raise EnvironmentFault(
        f"judge {judge.name}: {len(unread)} of the pilot's {len(last)} answers cannot be read, so that the other "
        f"{left} questions were not asked; for example: {shown}. Correct judge.model, its sampling settings or the "
        "server (a model that thinks needs a larger judge.max_tokens), then run the same command again: these answers "
        f"are kept in {path}, and no result was overwritten."
    )


def mostly_unread(answers: Sequence[Answer]) -> bool:
    """Say whether more than half of some answers could not be read."""
    return 2 * sum(isinstance(answer, Unparsed) for answer in answers) > len(answers)


def _first_answers(verdicts: Verdicts) -> list[Answer]:
    return [answer for request, answer in verdicts.items() if request.question == "informative"]


def _place(request: JudgeRequest) -> str:
    """Return a question's place in a random order that no other question changes."""
    return hashlib.sha256(f"{request.class_name}\n{request.description}".encode()).hexdigest()
