"""Asking answerers: each question once, and each answer is stored as it comes.

`answers.jsonl` in a run's folder holds the answers of all answerers that were ever asked there, each under the hash of
what determines it. What stands there is not asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from tqdm import tqdm

from analysis.images.questions.answerers.base import Answerer, CountsCost
from analysis.images.questions.answerers.table import answerer_digest, build_answerer
from analysis.images.questions.files import ImageQuestion
from analysis.judge.base import Answer, AnswerWord, Unparsed, Usage, Verdict, answer_word
from analysis.verdicts.asking import RowLog
from analysis.verdicts.pilot import PILOT, PILOT_FROM, mostly_unread
from analysis.verdicts.plan import Part, part_line
from reward.errors import EnvironmentFault, UserError
from reward.files import read_rows
from reward.records import JSON, Keyed, Omitted, Record

ANSWERS = "answers.jsonl"
"""Name of the log."""
FOLDER = "answerers"
"""Folder in a run's folder where answerers remember what they have handed in."""

Key = tuple[str, str]
"""Digest of the image, and the question."""


@dataclass(frozen=True, kw_only=True)
class AnswerRow(Record):
    """A line of the log.

    Attributes:
        image: Name of the image, as its file of questions had it.
        pixels: Digest of the image.
        question: The question.
        answerer: Name of the answerer.
        settings: `answerer_digest` of the answerer.
        verdict: The answer in one word.
        raw: What the answerer said.
        p_yes: The model's own probability of "Yes"; None if it tells none.
        spent: Requests and tokens that asking took; None if it does not count them.
        spent_by_member: What asking each answerer of a panel took, in order.
    """

    image: str
    pixels: str
    question: str
    answerer: str
    settings: str
    verdict: AnswerWord
    raw: str
    p_yes: Annotated[float | None, Omitted()] = None
    spent: Annotated[Annotated[Usage, Keyed()] | None, Omitted()] = None
    spent_by_member: Annotated[tuple[Annotated[Usage, Keyed()], ...], Omitted()] = ()

    @property
    def answer(self) -> Answer:
        """The answer."""
        if self.verdict == "unparsed":
            return Unparsed(self.raw, self.spent, self.spent_by_member, self.p_yes)
        return Verdict(self.verdict == "yes", self.raw, self.spent, self.spent_by_member, self.p_yes)


class Named(NamedTuple):
    """An answerer as a recipe names it.

    Attributes:
        name: A key of `ANSWERERS` or a dotted path.
        settings: Its settings.
        where: File and section for messages, such as `measure.answerers[0]`.
    """

    name: str
    settings: JSON
    where: str

    @property
    def digest(self) -> str:
        """Hash of all that determines its answers."""
        return answerer_digest(self.name, self.settings)

    def built(self, folder: Path) -> Answerer:
        """Build it, for a run's folder."""
        return build_answerer(self.name, self.settings, self.where, folder / FOLDER / self.digest)


def stored_answers(folder: Path, digest: str) -> dict[Key, Answer]:
    """Return what the log of a run holds of an answerer.

    Raises:
        UserError: If a line is no answer, or one stands there twice.
    """
    remedy = "delete the line, or move the file away and ask again"
    rows = read_rows(folder / ANSWERS, AnswerRow.from_json, what="answer", remedy=remedy, key=_identity)
    return {(row.pixels, row.question): row.answer for row in rows if row.settings == digest}


def ask_answerer(
    answerer: Answerer, named: Named, questions: Iterable[ImageQuestion], folder: Path, *, progress: bool = True
) -> dict[Key, Answer]:
    """Ask an answerer what is not in the log, and append each answer to it.

    Where there are many questions, the first are asked alone: if most of their answers cannot be read, the others are
    not asked.

    Args:
        answerer: Built from `named`.
        named: As the recipe names it.
        questions: Of all files; the same question about the same image is asked once.
        folder: The run's folder.
        progress: Whether to show a bar, with the time left.

    Returns:
        The answer to every question.

    Raises:
        EnvironmentFault: If it cannot be reached, or most of the first answers cannot be read. What was answered is in
            the log.
        NotYet: If it has the questions and will answer later.
        UserError: If it refuses the questions, or leaves one unanswered.
    """
    digest = named.digest
    known = stored_answers(folder, digest)
    asked = {key_of(question): question for question in questions}
    left = [question for key, question in asked.items() if key not in known]
    with tqdm(total=len(left), desc=f"ask {answerer.name}"[:40], unit="question", disable=not progress) as bar:
        if len(left) >= PILOT_FROM and not known:
            _ask(answerer, left[:PILOT], known, folder, digest, bar)
            _check(answerer, [known[key_of(one)] for one in left[:PILOT]], named, folder, len(left) - PILOT)
            left = left[PILOT:]
        _ask(answerer, left, known, folder, digest, bar)
    return {key: known[key] for key in asked}


def key_of(question: ImageQuestion) -> Key:
    """Return what two questions must not have in common."""
    return question.pixels, question.question


def ask_plan(named: Sequence[Named], questions: Sequence[ImageQuestion], folder: Path) -> list[str]:
    """Return a line for each answerer with what asking it would take; nothing is sent.

    Raises:
        UserError: If an answerer cannot be built.
    """
    lines = []
    for one in named:
        answerer, known = one.built(folder), stored_answers(folder, one.digest)
        asked = {key_of(question): question for question in questions}
        left = [question for key, question in asked.items() if key not in known]
        estimate = answerer.estimate(left) if isinstance(answerer, CountsCost) else None
        lines.append(f"{answerer.name}: {len(asked) - len(left):,} of {len(asked):,} answers in the log")
        lines.append(part_line("to ask", Part(len(left), estimate)).replace("this judge", "this answerer"))
    return lines


def _ask(
    answerer: Answerer,
    questions: Sequence[ImageQuestion],
    known: dict[Key, Answer],
    folder: Path,
    digest: str,
    bar: tqdm[Any],
) -> None:
    if not questions:
        return
    waiting = {key_of(question) for question in questions}
    with RowLog(folder / ANSWERS) as log:

        def on_answer(question: ImageQuestion, answer: Answer) -> None:
            waiting.remove(key_of(question))  # KeyError: answered twice, or what was not asked: a bug in it
            known[key_of(question)] = answer
            log.append(
                AnswerRow(
                    image=question.image,
                    pixels=question.pixels,
                    question=question.question,
                    answerer=answerer.name,
                    settings=digest,
                    verdict=answer_word(answer),
                    raw=answer.raw,
                    p_yes=answer.p_yes,
                    spent=answer.spent,
                    spent_by_member=answer.parts,
                )
            )
            bar.update()

        answerer.answer(questions, on_answer)
    if waiting:
        raise UserError(
            f"answerer '{answerer.name}': {len(waiting)} of {len(questions)} questions were left unanswered; an "
            "answerer must call on_answer once for each."
        )


def _check(answerer: Answerer, answers: Sequence[Answer], named: Named, folder: Path, left: int) -> None:
    if not mostly_unread(answers):
        return
    unread = [answer for answer in answers if isinstance(answer, Unparsed)]
    said = " ".join(unread[0].raw.split())[:200]
    raise EnvironmentFault(
        f"{named.where} {answerer.name}: {len(unread)} of the first {len(answers)} answers cannot be read, so that the "
        f"other {left} questions were not asked; for example: '{said}'. Correct its model or its settings, then run "
        f"the same command again: these answers are kept in {folder / ANSWERS}. To ask all the same, run it once more."
    )


def _identity(row: AnswerRow) -> tuple[str, str, str]:
    return row.settings, row.pixels, row.question
