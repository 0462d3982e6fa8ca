"""From files of questions and answerers to a `QuestionStudy`: everybody is asked, scored and compared."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from analysis.images.questions.answerers.base import Answerer, CountsCost
from analysis.images.questions.answerers.panel import PanelAnswerer
from analysis.images.questions.answerers.table import answerer_problems
from analysis.images.questions.asking import Key, Named, ask_answerer, ask_plan, key_of
from analysis.images.questions.files import ImageQuestion, QuestionFile, read_question_files
from analysis.images.questions.record import AnswererRecord, QuestionsRecord, QuestionStudy
from analysis.images.questions.scores import (
    compared_answerers,
    compared_files,
    counts_of,
    examples_of,
    given_answers,
    scores_of,
)
from analysis.judge.base import Answer, NotYet, Usage
from analysis.judge.panel import distinct
from ex2.recipe import Component
from ex2.set_recipe import Measure
from reward.errors import EX2Error, UserError

REAL = "real"
"""Name of the file that the others are compared with; without one of this name it is the last."""


@dataclass(frozen=True)
class Asking:
    """What is to be asked of whom.

    Attributes:
        name: Of the recipe, or of the folder of results.
        files: Name in tables → file of questions.
        answerers: In the order of tables.
        where: The section of the answerers, for messages, such as `measure.answerers`.
        confidence: Coverage of the intervals, in (0, 1).
    """

    name: str
    files: Mapping[str, Path]
    answerers: tuple[Component, ...]
    where: str = "answerers"
    confidence: float = 0.95

    @classmethod
    def of(cls, name: str, measure: Measure) -> Asking | None:
        """Return what the section `measure` of a recipe of this name asks for; None if it has no questions."""
        if not measure.questions:
            return None
        files = {key: Path(path).expanduser() for key, path in measure.questions.items()}
        return cls(name, files, tuple(measure.answerers), "measure.answerers", measure.confidence)

    @property
    def named(self) -> list[Named]:
        """The answerers with the sections that name them."""
        return [Named(one.name, one.settings, f"{self.where}[{place}]") for place, one in enumerate(self.answerers)]


@dataclass(frozen=True)
class Checked:
    """What is to be asked, once files and settings were looked at.

    Attributes:
        asking: What was asked for.
        files: The files as they were read.
    """

    asking: Asking
    files: tuple[QuestionFile, ...] = field(repr=False)

    @property
    def questions(self) -> list[ImageQuestion]:
        """The questions of all files."""
        return [one.question for file in self.files for one in file.asked]

    def plan(self, folder: Path) -> list[str]:
        """Return what asking would take, in lines; nothing is sent."""
        return ask_plan(self.asking.named, self.questions, folder)


def checked(asking: Asking) -> Checked:
    """Read the files of questions and check the answerers' settings; nothing is sent, and no model is loaded.

    Raises:
        UserError: If something is wrong with either; a line for each problem.
    """
    problems = answerer_problems([(one.name, one.settings) for one in asking.answerers], asking.where)
    files: list[QuestionFile] = []
    try:
        files = read_question_files(asking.files)
    except UserError as error:
        problems += str(error).splitlines()
    if problems:
        raise UserError("\n".join(problems))
    return Checked(asking, tuple(files))


def ask_all(what: Checked, folder: Path, *, progress: bool = True) -> QuestionStudy:
    """Ask every answerer every question, and score the answers.

    Args:
        what: Files and answerers.
        folder: The run's folder, whose log of answers grows.
        progress: Whether to show bars.

    Raises:
        UserError: As `ask_answerer`; answers received so far are in the log.
        EnvironmentFault: Likewise.
        NotYet: If answerers will answer later; all others have been asked.
    """
    asking = what.asking
    answerers: list[Answerer] = []
    problems: list[str] = []
    for named in asking.named:  # all are built first: a model that is missing is told before another is paid
        try:
            answerers.append(named.built(folder))
        except UserError as error:
            problems += str(error).splitlines()
    if problems:
        raise UserError("\n".join(problems))
    names = distinct([one.name for one in answerers])
    found: dict[str, dict[Key, Answer]] = {}
    waiting: list[EX2Error] = []
    for name, answerer, named in zip(names, answerers, asking.named, strict=True):
        try:
            found[name] = ask_answerer(answerer, named, what.questions, folder, progress=progress)
        except NotYet as error:
            waiting.append(error)
    if waiting:
        raise NotYet("\n".join(map(str, waiting)))
    records = [
        _record(name, answerer, named, found[name])
        for name, answerer, named in zip(names, answerers, asking.named, strict=True)
    ]
    return study_of(asking, what.files, found, records)


def study_of(
    asking: Asking,
    files: Sequence[QuestionFile],
    found: Mapping[str, Mapping[Key, Answer]],
    records: Sequence[AnswererRecord],
) -> QuestionStudy:
    """Score and compare answers.

    Args:
        asking: What was asked.
        files: The files.
        found: Name of the answerer → its answer to every question.
        records: Who answered, in the same order.
    """
    answers = {
        file.name: {name: [known[key_of(one.question)] for one in file.asked] for name, known in found.items()}
        for file in files
    }
    given = {
        file.name: {name: given_answers(file.asked, of_file) for name, of_file in answers[file.name].items()}
        for file in files
    }
    reference = (REAL if REAL in given else files[-1].name) if len(files) > 1 else ""
    confidence = asking.confidence
    return QuestionStudy(
        name=asking.name,
        confidence=confidence,
        files=tuple(
            QuestionsRecord(name=file.name, file=str(file.path), digest=file.digest, counts=counts_of(file.asked))
            for file in files
        ),
        answerers=tuple(records),
        scores=tuple(
            scores_of(file.name, name, file.asked, answers[file.name][name], confidence)
            for file in files
            for name in found
        ),
        answerer_comparisons=tuple(compared_answerers(given, confidence)),
        file_comparisons=tuple(compared_files(given, reference, confidence)) if reference else (),
        reference=reference,
        examples=tuple(one for file in files for one in examples_of(file.name, file.asked, answers[file.name])),
    )


def _record(name: str, answerer: Answerer, named: Named, answers: Mapping[Key, Answer]) -> AnswererRecord:
    spent = [answer.spent for answer in answers.values() if answer.spent is not None]
    whole = functools.reduce(Usage.plus, spent, Usage()) if spent else None
    cost = None
    if whole is not None and isinstance(answerer, PanelAnswerer):
        parts = [answer.parts for answer in answers.values() if answer.parts]
        sums = [functools.reduce(Usage.plus, column, Usage()) for column in zip(*parts, strict=True)]
        cost = answerer.cost(whole, sums)
    elif whole is not None and isinstance(answerer, CountsCost):
        cost = answerer.cost(whole)
    return AnswererRecord(
        name=name,
        kind=named.name,
        digest=named.digest,
        settings=dict(named.settings),
        exact=answerer.exact,
        spent=whole,
        cost=cost,
    )
