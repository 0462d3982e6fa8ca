"""Which descriptions are judged, and the log of verdicts: a killed run asks only what is missing.

Every distinct (class, text) of both policies is asked whether it is informative; of those that are, whether they are
visual. An empty description is not sent: it tells nothing, so it counts as spurious.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from analysis.judge.base import Answer, Judge, JudgeRequest, Question, Unparsed, Verdict
from analysis.judge.rubric import RUBRIC_VERSION
from ex2.run_dir import JSON, append_jsonl, read_jsonl
from reward.errors import UserError

Kind = Literal["spurious", "visual", "non_visual", "informative_unparsed", "unparsed"]
"""What the two verdicts make of a description; the two last kinds lack the second or the first verdict."""

KINDS: tuple[Kind, ...] = ("spurious", "visual", "non_visual", "informative_unparsed", "unparsed")


class Verdicts:
    """Answers by question, class and text."""

    def __init__(self) -> None:
        self._answers: dict[tuple[Question, str, str], Answer] = {}

    def add(self, question: Question, class_name: str, text: str, answer: Answer) -> None:
        """Record an answer; a later one on the same question replaces it."""
        self._answers[question, class_name, text] = answer

    def __contains__(self, request: JudgeRequest) -> bool:
        return (request.question, request.class_name, request.description) in self._answers

    def __len__(self) -> int:
        return len(self._answers)

    def answer(self, question: Question, class_name: str, text: str) -> bool | None:
        """Look an answer up.

        Args:
            question: Which of the two.
            class_name: The description's class.
            text: The description.

        Returns:
            Yes (`True`), no (`False`) or unparsed (`None`).

        Raises:
            KeyError: If that has not been asked.
        """
        given = self._answers[question, class_name, text]
        return given.answer if isinstance(given, Verdict) else None

    def raw(self, question: Question, class_name: str, text: str) -> str:
        """Return what the judge said; empty if that has not been asked."""
        given = self._answers.get((question, class_name, text))
        return given.raw if given else ""

    def kind(self, class_name: str, text: str) -> Kind:
        """Combine both answers.

        Args:
            class_name: The description's class.
            text: The description; empty ones are spurious unasked.

        Returns:
            What the description is.

        Raises:
            KeyError: If it has not been judged.
        """
        if is_empty(text):
            return "spurious"
        informative = self.answer("informative", class_name, text)
        if not informative:
            return "unparsed" if informative is None else "spurious"
        visual = self.answer("visual", class_name, text)
        return "informative_unparsed" if visual is None else ("visual" if visual else "non_visual")


def is_empty(text: str) -> bool:
    """Say whether a description holds nothing but blanks."""
    return not text.strip()


def settings_digest(name: str, settings: Mapping[str, Any]) -> str:
    """Return a short hash of a judge's name and settings: verdicts of another judge are not taken over."""
    return hashlib.sha256(json.dumps([name, dict(settings)], sort_keys=True, default=str).encode()).hexdigest()[:12]


def read_verdicts(path: Path, *, digest: str) -> Verdicts:
    """Read the log of verdicts.

    Args:
        path: `verdicts.jsonl`; a missing file holds no verdicts.
        digest: `settings_digest` of the judge; the log may hold verdicts of others.

    Returns:
        The verdicts of that judge with the current rubric; of several on one question the last.

    Raises:
        UserError: If a line is not a verdict.
    """
    verdicts = Verdicts()
    answers = {"yes": True, "no": False, "unparsed": None}  # what follows raises KeyError for any other word
    for number, row in enumerate(read_jsonl(path), start=1):
        try:
            if row["settings"] == digest and row["rubric"] == RUBRIC_VERSION:
                value, raw = answers[row["verdict"]], row["raw"]
                answer = Unparsed(raw) if value is None else Verdict(value, raw)
                verdicts.add(row["question"], row["class"], row["description"], answer)
        except KeyError as error:
            raise UserError(
                f"{path}: line {number}: no verdict ({error} missing or unknown); delete the file and analyse again."
            ) from error
    return verdicts


def judge_descriptions(judge: Judge, descriptions: Iterable[JSON], path: Path, *, digest: str) -> Verdicts:
    """Ask the judge what is not yet in the log, and append each answer to it.

    Args:
        judge: Answers both questions.
        descriptions: Rows with `class` and `text`, of any policies.
        path: `verdicts.jsonl`, appended.
        digest: `settings_digest` of the judge.

    Returns:
        A verdict or an unparsed answer for every description.

    Raises:
        EnvironmentFault: If the judge cannot be reached or the log not be written; answers so far are in the log.
        UserError: If the judge refuses the requests, or leaves some unanswered.
    """
    verdicts = read_verdicts(path, digest=digest)
    unique = dict.fromkeys((row["class"], row["text"]) for row in descriptions if not is_empty(row["text"]))
    asked = [JudgeRequest("informative", *pair) for pair in unique]
    _ask(judge, [request for request in asked if request not in verdicts], verdicts, path, digest)
    asked = [JudgeRequest("visual", *pair) for pair in unique if verdicts.answer("informative", *pair)]
    _ask(judge, [request for request in asked if request not in verdicts], verdicts, path, digest)
    return verdicts


def _ask(judge: Judge, requests: Sequence[JudgeRequest], verdicts: Verdicts, path: Path, digest: str) -> None:
    if not requests:
        return
    waiting = set(requests)
    with _VerdictLog(path) as log, tqdm(total=len(requests), desc=f"judge: {requests[0].question}", unit="desc") as bar:

        def on_answer(request: JudgeRequest, answer: Answer) -> None:
            waiting.remove(request)  # KeyError: the judge answered twice, or what was not asked: a bug in it
            verdicts.add(request.question, request.class_name, request.description, answer)
            log.append(
                {
                    "question": request.question,
                    "class": request.class_name,
                    "description": request.description,
                    "verdict": ("yes" if answer.answer else "no") if isinstance(answer, Verdict) else "unparsed",
                    "raw": answer.raw,
                    "judge": judge.name,
                    "rubric": RUBRIC_VERSION,
                    "settings": digest,
                }
            )
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
        self._waiting: list[JSON] = []
        self._flushed = time.monotonic()

    def append(self, row: JSON) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= self._rows or time.monotonic() - self._flushed >= self._seconds:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            append_jsonl(self._path, self._waiting)
        self._waiting, self._flushed = [], time.monotonic()

    def __enter__(self) -> _VerdictLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.flush()  # after an error too: what was answered is kept
