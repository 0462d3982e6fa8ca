"""Asking a judge: every question once, each answer kept as it comes, and what is left to ask."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from analysis.judge.base import Answer, Judge, JudgeRequest
from analysis.verdicts.verdicts import VerdictRow, Verdicts, read_verdicts
from ex2.run.descriptions import DescribedClass
from reward.errors import UserError
from reward.files import append_jsonl


def judge_descriptions(judge: Judge, descriptions: Iterable[DescribedClass], path: Path, *, digest: str) -> Verdicts:
    """Ask the judge what is not yet in the log, and append each answer to it.

    Args:
        judge: Answers both questions.
        descriptions: Of any policies.
        path: `verdicts.jsonl`, appended.
        digest: `judge_digest`.

    Returns:
        A verdict or an unparsed answer for every description.

    Raises:
        EnvironmentFault: If the judge cannot be reached or the log not be written; answers so far are in the log.
        NotYet: If the judge answers later.
        UserError: If the judge refuses the requests, or leaves some unanswered.
    """
    described = list(descriptions)
    verdicts = read_verdicts(path, digest=digest)
    for _ in ("informative", "visual"):  # the second is known once the first is answered
        _ask(judge, open_questions(described, verdicts).certain, verdicts, path, digest)
    return verdicts


class OpenQuestions(NamedTuple):
    """What is still to be asked.

    Attributes:
        certain: All first questions without an answer, or, if there are none, the second ones.
        possible: Second questions that depend on answers to come.
    """

    certain: list[JudgeRequest]
    possible: list[JudgeRequest]


def open_questions(descriptions: Iterable[DescribedClass], verdicts: Verdicts) -> OpenQuestions:
    """List the questions that the verdicts leave open.

    Args:
        descriptions: Of any policies; each distinct pair counts once, empty texts never.
        verdicts: Known so far.
    """
    unique = dict.fromkeys(one for one in descriptions if not one.is_empty)
    first = [JudgeRequest("informative", *one) for one in unique]
    known = {request for request in first if request in verdicts}
    second = [
        JudgeRequest("visual", request.class_name, request.description)
        for request in first
        if request not in known or verdicts.answer("informative", request.class_name, request.description)
    ]
    second = [request for request in second if request not in verdicts]
    first = [request for request in first if request not in known]
    return OpenQuestions(first, second) if first else OpenQuestions(second, [])


def _ask(judge: Judge, requests: Sequence[JudgeRequest], verdicts: Verdicts, path: Path, digest: str) -> None:
    if not requests:
        return
    waiting = set(requests)
    with _VerdictLog(path) as log, tqdm(total=len(requests), desc=f"judge: {requests[0].question}", unit="desc") as bar:

        def on_answer(request: JudgeRequest, answer: Answer) -> None:
            waiting.remove(request)  # KeyError: the judge answered twice, or what was not asked: a bug in it
            verdicts.add(request.question, request.class_name, request.description, answer)
            log.append(VerdictRow.of(request, answer, judge, digest))
            bar.update()

        judge.answer(requests, on_answer)
    if waiting:
        raise UserError(
            f"judge '{judge.name}': {len(waiting)} of {len(requests)} questions were left unanswered; a judge must "
            "call on_answer once for each."
        )


class _VerdictLog:
    """Appends in batches: an append is synced to disk, which one answer at a time would slow down."""

    def __init__(self, path: Path, *, rows: int = 256, seconds: float = 1.0) -> None:
        self._path, self._rows, self._seconds = path, rows, seconds
        self._waiting: list[VerdictRow] = []
        self._flushed = time.monotonic()

    def append(self, row: VerdictRow) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= self._rows or time.monotonic() - self._flushed >= self._seconds:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            append_jsonl(self._path, [row.to_json() for row in self._waiting])
        self._waiting, self._flushed = [], time.monotonic()

    def __enter__(self) -> _VerdictLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.flush()  # after an error too: what was answered is kept
