"""Asking a judge: a pilot first, then each question once, and each answer is stored as it comes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from analysis.judge.base import Answer, Judge, JudgeRequest, ReadsAgain
from analysis.verdicts.pilot import check_pilot, pilot_questions
from analysis.verdicts.verdicts import VerdictRow, Verdicts, read_verdicts
from ex2.run.descriptions import DescribedClass
from reward.errors import UserError
from reward.files import append_jsonl
from reward.records import Record


def judge_descriptions(
    judge: Judge, descriptions: Iterable[DescribedClass], path: Path, *, digest: str, earlier: Sequence[str] = ()
) -> Verdicts:
    """Ask the judge what is not yet in the log, and append each answer to it.

    Args:
        judge: The judge to ask.
        descriptions: Descriptions of any policies.
        path: Path of `verdicts.jsonl`, to which new answers are appended.
        digest: `judge_digest` of the judge; answers in the log with another digest are not used.
        earlier: `former_digests` of the judge: answers in the log that an earlier version read are read again. They
            are appended as answers of today; their own rows stay, because stored results were made of them.

    Returns:
        A verdict or an unparsed answer for every description.

    Raises:
        EnvironmentFault: If the judge cannot be reached, the log cannot be written, or most of the pilot's answers
            cannot be read. Answers received so far are in the log.
        NotYet: If the judge has the questions and will answer later.
        UserError: If the judge refuses the requests, or leaves a question unanswered.
    """
    described = list(descriptions)
    verdicts, reread = known_verdicts(judge, path, digest=digest, earlier=earlier)
    if reread:
        append_jsonl(path, [VerdictRow.of(request, answer, judge, digest).to_json() for request, answer in reread])
    pilot = pilot_questions(_open_first(described, verdicts), verdicts)
    if pilot:
        _ask(judge, pilot, verdicts, path, digest, name="pilot")
        check_pilot(judge, verdicts, path, left=len(_open_first(described, verdicts)))
    for _ in ("informative", "visual"):  # the second is known once the first is answered
        _ask(judge, open_questions(described, verdicts).certain, verdicts, path, digest)
    return verdicts


def _open_first(described: Sequence[DescribedClass], verdicts: Verdicts) -> list[JudgeRequest]:
    return [request for request in open_questions(described, verdicts).certain if request.question == "informative"]


class Known(NamedTuple):
    """What a log holds of a judge's answers.

    Attributes:
        verdicts: The answers, those that were read again included.
        reread: Answers of an earlier version as they are read today, which the log does not hold yet.
    """

    verdicts: Verdicts
    reread: list[tuple[JudgeRequest, Answer]]


def known_verdicts(judge: Judge, path: Path, *, digest: str, earlier: Sequence[str] = ()) -> Known:
    """Read what a log holds of a judge's answers; nothing is asked or written. Arguments as of `judge_descriptions`."""
    verdicts = read_verdicts(path, digest=digest)
    reread: list[tuple[JudgeRequest, Answer]] = []
    if isinstance(judge, ReadsAgain):
        for former in earlier:
            found = read_verdicts(path, digest=former) if former != digest else Verdicts()
            for request, stored in found.items():
                if request not in verdicts:
                    answer = judge.read_again(request, stored)
                    reread.append((request, answer))
                    verdicts.add(request.question, request.class_name, request.description, answer)
    return Known(verdicts, reread)


class OpenQuestions(NamedTuple):
    """What is still to be asked.

    Attributes:
        certain: Questions to ask now: all first questions without an answer, or all second ones if no first one is
            open.
        possible: Second questions that may have to be asked later, depending on the answers to the first.
    """

    certain: list[JudgeRequest]
    possible: list[JudgeRequest]


def open_questions(descriptions: Iterable[DescribedClass], verdicts: Verdicts) -> OpenQuestions:
    """List the questions that the verdicts leave open.

    Args:
        descriptions: Descriptions of any policies. Each distinct pair of class and text counts once; empty texts do not
            count.
        verdicts: The verdicts known so far.
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


def _ask(
    judge: Judge, requests: Sequence[JudgeRequest], verdicts: Verdicts, path: Path, digest: str, name: str = ""
) -> None:
    if not requests:
        return
    waiting = set(requests)
    shown = f"judge: {name or requests[0].question}"
    with RowLog(path) as log, tqdm(total=len(requests), desc=shown, unit="desc") as bar:

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


class RowLog:
    """Appends rows to a log several at a time, because each append is synced to disk, which takes time."""

    def __init__(self, path: Path, *, rows: int = 256, seconds: float = 1.0) -> None:
        self._path, self._rows, self._seconds = path, rows, seconds
        self._waiting: list[Record] = []
        self._flushed = time.monotonic()

    def append(self, row: Record) -> None:
        """Take a row; it is on the disk when some more have come, or a second has passed, or the block ends."""
        self._waiting.append(row)
        if len(self._waiting) >= self._rows or time.monotonic() - self._flushed >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Write what was taken."""
        if self._waiting:
            append_jsonl(self._path, [row.to_json() for row in self._waiting])
        self._waiting, self._flushed = [], time.monotonic()

    def __enter__(self) -> RowLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.flush()  # after an error too: what was answered is kept
