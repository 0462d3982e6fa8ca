"""Which descriptions are judged, and the log of verdicts: a killed run asks only what is missing.

Each distinct pair (class, text) of both policies is judged: is it informative, and if it is, is it visual? An empty
description is not sent: it says nothing, so it counts as spurious.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from analysis.judge.base import (
    Answer,
    AnswerWord,
    Judge,
    JudgeRequest,
    Question,
    Unparsed,
    Usage,
    Verdict,
    answer_word,
)
from analysis.judge.panel import panel_members
from analysis.judge.reading import FORMER_READINGS, READING
from analysis.judge.rubric import PAPER, load_rubric
from analysis.judge.table import JUDGES
from ex2.run.descriptions import is_empty
from reward.components import resolve
from reward.files import read_rows
from reward.own_code import code_digest
from reward.records import JSON, Keyed, Omitted, Record

Kind = Literal["spurious", "visual", "non_visual", "informative_unparsed", "unparsed"]
"""What the two verdicts make of a description. `informative_unparsed` lacks the second verdict, `unparsed` the
first."""

KINDS: tuple[Kind, ...] = ("spurious", "visual", "non_visual", "informative_unparsed", "unparsed")


class Verdicts:
    """A judge's answers, by question, class and text."""

    def __init__(self) -> None:
        self._answers: dict[tuple[Question, str, str], Answer] = {}
        self.spent: Usage | None = None
        """What all answers took, replaced ones included; None if no judge counted it."""
        self.parts: tuple[Usage, ...] = ()
        """What each judge of a panel took, in order. Less than `spent` if an earlier version wrote answers."""

    def add(self, question: Question, class_name: str, text: str, answer: Answer) -> None:
        """Record an answer; a later one on the same question replaces it."""
        self._answers[question, class_name, text] = answer
        if answer.spent is not None:
            self.spent = (self.spent or Usage()).plus(answer.spent)
        if answer.parts:
            known = self.parts or (Usage(),) * len(answer.parts)
            self.parts = tuple(mine.plus(more) for mine, more in zip(known, answer.parts, strict=True))

    def items(self) -> Iterator[tuple[JudgeRequest, Answer]]:
        """Yield all questions with their answers, in the order in which the questions were first answered."""
        for key, answer in self._answers.items():
            yield JudgeRequest(*key), answer

    def __contains__(self, request: JudgeRequest) -> bool:
        return (request.question, request.class_name, request.description) in self._answers

    def __len__(self) -> int:
        return len(self._answers)

    def answer(self, question: Question, class_name: str, text: str) -> bool | None:
        """Look an answer up.

        Args:
            question: Which of the two questions.
            class_name: The description's class.
            text: The description.

        Returns:
            Yes (`True`), no (`False`) or unparsed (`None`).

        Raises:
            KeyError: If the question has no answer.
        """
        given = self._answers[question, class_name, text]
        return given.answer if isinstance(given, Verdict) else None

    def raw(self, question: Question, class_name: str, text: str) -> str:
        """Return what the judge said; empty if the question has no answer."""
        given = self._answers.get((question, class_name, text))
        return given.raw if given else ""

    def kind(self, class_name: str, text: str) -> Kind:
        """Combine the answers on a description into its kind.

        Args:
            class_name: The description's class.
            text: The description; an empty one is spurious without being judged.

        Returns:
            The kind of the description.

        Raises:
            KeyError: If the description has not been judged.
        """
        if is_empty(text):
            return "spurious"
        informative = self.answer("informative", class_name, text)
        if not informative:
            return "unparsed" if informative is None else "spurious"
        visual = self.answer("visual", class_name, text)
        return "informative_unparsed" if visual is None else ("visual" if visual else "non_visual")


@dataclass(frozen=True, kw_only=True)
class VerdictRow(Record):
    """A line of the log of verdicts.

    Attributes:
        question: The question that was asked.
        class_name: The description's class.
        description: The description.
        verdict: The answer in one word.
        raw: What the judge said.
        judge: Name of the judge.
        rubric: Version of the questions. It and `judge` are empty in rows that the first version wrote.
        settings: `judge_digest` of the judge.
        spent: Requests and tokens that asking took; None if the judge does not count them.
        spent_by_judge: What asking each judge of a panel took, in order.
    """

    question: Question
    class_name: Annotated[str, Field(alias="class")]
    description: str
    verdict: AnswerWord
    raw: str
    judge: str = ""
    rubric: str = ""
    settings: str
    spent: Annotated[Annotated[Usage, Keyed()] | None, Omitted()] = None
    spent_by_judge: Annotated[tuple[Annotated[Usage, Keyed()], ...], Omitted()] = ()

    @staticmethod
    def of(request: JudgeRequest, answer: Answer, judge: Judge, digest: str) -> VerdictRow:
        """Return the log's line for an answer.

        Args:
            request: The question that was asked.
            answer: What the judge answered.
            judge: The judge that was asked.
            digest: `judge_digest` of the judge.
        """
        return VerdictRow(
            question=request.question,
            class_name=request.class_name,
            description=request.description,
            verdict=answer_word(answer),
            raw=answer.raw,
            judge=judge.name,
            rubric=rubric_version(judge),
            settings=digest,
            spent=answer.spent,
            spent_by_judge=answer.parts,
        )

    @property
    def answer(self) -> Answer:
        """The answer."""
        if self.verdict == "unparsed":
            return Unparsed(self.raw, self.spent, self.spent_by_judge)
        return Verdict(self.verdict == "yes", self.raw, self.spent, self.spent_by_judge)


def settings_digest(name: str, settings: Mapping[str, Any]) -> str:
    """Return a short hash of a judge's name and settings, by which verdicts of other judges are told apart."""
    return hashlib.sha256(json.dumps([name, dict(settings)], sort_keys=True, default=str).encode()).hexdigest()[:12]


def judge_digest(name: str, settings: Mapping[str, Any]) -> str:
    """Return the `settings_digest` of all that determines a judge's answers, and how they are read.

    Settings that the judge declares `immaterial` (limits, prices, places) are left out; the rubric's version is
    included, and so are the version of the rules by which texts are read and the code of a judge of the user's own.

    Args:
        name: A key of `JUDGES` or a dotted path.
        settings: The judge's settings, as for `build_judge`.

    Raises:
        UserError: If there is no such judge or rubric.
    """
    return settings_digest(name, _material(name, settings, READING, code=True))


def asked_digest(name: str, settings: Mapping[str, Any]) -> str:
    """Return the `settings_digest` of all that determines what a judge says, however it is read.

    It is the `judge_digest` of versions that had one way of reading only. Arguments and errors are those of
    `judge_digest`.
    """
    return settings_digest(name, _material(name, settings, None, code=True))


def former_digests(name: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the digests by which earlier versions logged answers to the same questions, the newest version's first.

    Arguments and errors are those of `judge_digest`.
    """
    readings = (*FORMER_READINGS, None)
    of_readings = (settings_digest(name, _material(name, settings, reading, code=False)) for reading in readings)
    return tuple(dict.fromkeys(of_readings))


def _material(name: str, settings: Mapping[str, Any], reading: str | None, *, code: bool) -> JSON:
    factory = resolve(name, JUDGES, "judge.name")
    kept = {key: value for key, value in settings.items() if key not in getattr(factory, "immaterial", ())}
    own = code_digest(name, JUDGES) if code else None
    if own is not None:
        kept |= {"code": own}
    rubric = inspect.signature(factory).parameters.get("rubric")
    if rubric is not None:
        kept |= {"rubric": load_rubric(str(kept.get("rubric", rubric.default))).version}
        if reading is not None:
            kept |= {"reading": reading}
    if name == "panel":
        members = panel_members(settings)
        kept["judges"] = [{"name": o.name, **_material(o.name, o.settings, reading, code=code)} for o in members]
    return kept


def rubric_version(judge: Judge) -> str:
    """Return the version of a judge's rubric; a judge class of the user's own without one has the paper's questions."""
    return str(getattr(judge, "rubric_version", PAPER.version))


def read_verdicts(path: Path, *, digest: str) -> Verdicts:
    """Read the log of verdicts.

    Args:
        path: `verdicts.jsonl`; a missing file holds no verdicts.
        digest: `judge_digest` of the judge. The log may hold verdicts of other judges, settings or rubrics, which are
            skipped.

    Returns:
        The verdicts of that judge.

    Raises:
        UserError: If a line is not a verdict, or a judge's verdict on one question stands there twice.
    """
    verdicts = Verdicts()
    again = "delete the file and analyse again"
    for row in read_rows(path, VerdictRow.from_json, what="verdict", remedy=again, key=_identity):
        if row.settings == digest:
            verdicts.add(row.question, row.class_name, row.description, row.answer)
    return verdicts


def _identity(row: VerdictRow) -> tuple[str, ...]:
    """Return what no other verdict of the log has."""
    return row.question, row.class_name, row.description, row.settings
