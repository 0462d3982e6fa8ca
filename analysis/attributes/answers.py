"""A judge's answers on which attributes descriptions name: each is asked for once and kept in a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field
from tqdm import tqdm

from analysis.attributes.judges import ATTRIBUTES, VERSION, AttributeAnswer, AttributeJudge, NamedAttributes
from analysis.judge.base import Unparsed
from analysis.results.kl import KLReached
from analysis.verdicts.record import read_breakdown
from ex2.run.descriptions import DescribedClass, digest_of, stored_descriptions
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import append_jsonl, read_rows
from reward.records import JSON, Record

LOG = "attributes.jsonl"
"""Name of the log in a seed's folder; it has one row for each answer."""

Answers = dict[DescribedClass, AttributeAnswer]
Row = tuple[str, AttributeAnswer]
"""A description's class, and the answer on the description."""


@dataclass(frozen=True, kw_only=True)
class AnswerRow(Record):
    """A line of the log.

    Attributes:
        class_name: The description's class.
        description: The description.
        attributes: Names from `ATTRIBUTES`; None if the answer could not be read.
        own: Names that the judge gave and that are not among `ATTRIBUTES`; None if the answer could not be read.
        raw: What the judge said.
        parsed: Whether the answer could be read.
        judge: Name of the judge.
        version: Version of the question's wording.
        settings: `asked_digest` of the judge.
    """

    class_name: Annotated[str, Field(alias="class")]
    description: str
    attributes: tuple[str, ...] | None
    own: tuple[str, ...] | None = None
    raw: str
    parsed: bool = True
    judge: str = ""
    version: str
    settings: str

    @staticmethod
    def of(one: DescribedClass, answer: AttributeAnswer, judge: AttributeJudge, digest: str) -> AnswerRow:
        """Return the log's line for an answer.

        Args:
            one: The description that was asked about.
            answer: What the judge answered.
            judge: The judge that was asked.
            digest: `asked_digest` of the judge.
        """
        named = answer if isinstance(answer, NamedAttributes) else None
        return AnswerRow(
            class_name=one.class_name,
            description=one.text,
            attributes=named.attributes if named else None,
            own=named.own if named else None,
            raw=answer.raw,
            parsed=named is not None,
            judge=judge.name,
            version=VERSION,
            settings=digest,
        )

    @property
    def described(self) -> DescribedClass:
        """The description that was asked about."""
        return DescribedClass(self.class_name, self.description)

    @property
    def answer(self) -> AttributeAnswer:
        """The answer."""
        if self.attributes is None:
            return Unparsed(self.raw)
        return NamedAttributes(self.attributes, self.own or (), self.raw)


@dataclass(frozen=True)
class SeedAnswers:
    """One seed's informative aligned descriptions with their attributes.

    Attributes:
        seed: The seed.
        rows: Class and answer of each description; a text that occurs several times is there each time.
    """

    seed: int
    rows: list[Row]


@dataclass(frozen=True)
class Answered:
    """The answers on a run's descriptions.

    Attributes:
        run: Name of the run.
        vlm: Shown name of the VLM.
        dataset: Shown name of the dataset.
        seeds: The answers of each seed, at least one.
        missing: Seeds of the recipe that have not been analysed.
        judge: Name of the judge that answered.
        exact: Whether the answers are true by construction.
        texts: `judged_digest` of these seeds.
        kl: The KL that the run reached; None if it is not known.
    """

    run: str
    vlm: str
    dataset: str
    seeds: list[SeedAnswers]
    missing: tuple[int, ...] = ()
    judge: str = ""
    exact: bool = False
    texts: str = ""
    kl: KLReached | None = None


def judged_digest(directory: RunDirectory, seeds: Sequence[int]) -> str:
    """Return a hash of the aligned descriptions of some seeds and of the judge that called them informative or not.

    Raises:
        UserError: If a seed has not been analysed.
    """
    content = [
        [
            seed,
            read_breakdown(directory.seed(seed).breakdown).judge.settings,
            [one.of_class for one in stored_descriptions(directory.seed(seed)) if one.policy == "aligned"],
        ]
        for seed in seeds
    ]
    return digest_of(content)


def ask(judge: AttributeJudge, described: Sequence[DescribedClass], path: Path, *, digest: str) -> Answers:
    """Ask the judge what is not yet in the log, and append each answer to it.

    Args:
        judge: The judge to ask.
        described: The descriptions; one that occurs several times is asked about once.
        path: Path of `attributes.jsonl`, to which new answers are appended.
        digest: `asked_digest` of the judge. Answers in the log with another digest are not used.

    Returns:
        The answer for each description.

    Raises:
        UserError: If a line of the log is no answer, or if the judge leaves a description unanswered.
        EnvironmentFault: If the judge cannot be reached or the log cannot be written. Answers received so far are in
            the log.
    """
    answers = read_answers(path, digest=digest)
    missing = [one for one in dict.fromkeys(described) if one not in answers]
    waiting: list[JSON] = []

    def on_named(one: DescribedClass, answer: AttributeAnswer) -> None:
        answers[one] = answer
        waiting.append(AnswerRow.of(one, answer, judge, digest).to_json())
        bar.update()
        if len(waiting) >= 64:
            append_jsonl(path, waiting)
            waiting.clear()

    if missing:
        with tqdm(total=len(missing), desc="judge: attributes", unit="desc") as bar:
            try:
                judge.name_attributes(missing, on_named)
            finally:
                append_jsonl(path, waiting)  # after an error too: what was answered is kept
    left = [one for one in missing if one not in answers]
    if left:
        raise UserError(f"judge '{judge.name}': {len(left)} of {len(missing)} descriptions were left unanswered.")
    return answers


def read_answers(path: Path, *, digest: str) -> Answers:
    """Read a judge's answers to the current wording of the question from the log; a missing file holds none.

    Raises:
        UserError: If a line is no answer, or a judge's answer on one description stands there twice.
    """
    answers: Answers = {}
    for row in read_rows(path, _row, what="answer", remedy="delete the file and ask again", key=_identity):
        if row.settings == digest and row.version == VERSION:
            answers[row.described] = row.answer
    return answers


def _row(stored: JSON) -> AnswerRow:
    row = AnswerRow.from_json(stored)
    unknown = sorted(set(row.attributes or ()) - set(ATTRIBUTES)) if row.version == VERSION else []
    if unknown:
        raise ValueError(f"no answer ('{unknown[0][:60]}' is no attribute)")
    return row


def _identity(row: AnswerRow) -> tuple[str, ...]:
    """Return what no other answer of the log has."""
    return (*row.described, row.version, row.settings)
