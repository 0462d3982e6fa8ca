"""Answers on attributes: asked once, kept in a log, and the descriptions that they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from analysis.attributes.judges import ATTRIBUTES, VERSION, AttributeJudge, NamedAttributes, Unparsed
from analysis.results.kl import KLReached
from analysis.verdicts.record import read_breakdown
from ex2.run.descriptions import DescribedClass, stored_descriptions
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import JSON, append_jsonl, read_jsonl

LOG = "attributes.jsonl"
"""In a seed's folder: one row per answer."""

Answers = dict[DescribedClass, "NamedAttributes | Unparsed"]
Row = tuple[str, "NamedAttributes | Unparsed"]
"""Class and answer of one description."""


@dataclass(frozen=True)
class SeedAnswers:
    """One seed's informative aligned descriptions with their attributes.

    Attributes:
        seed: The seed.
        rows: Class and answer of each, repeated texts included.
    """

    seed: int
    rows: list[Row]


@dataclass(frozen=True)
class Answered:
    """A run's answers.

    Attributes:
        run: Its name.
        vlm: As shown.
        dataset: As shown.
        seeds: At least one.
        missing: Seeds of the recipe that have not been analysed.
        judge: Who answered.
        exact: Whether the answers are true by construction.
        texts: From `texts_digest`, of these seeds.
        kl: What the run reached; None if it is not known.
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


def texts_digest(directory: RunDirectory, seeds: Sequence[int]) -> str:
    """Return a hash of the aligned descriptions of some seeds and of who judged them informative.

    What was measured of others is not taken for theirs.

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
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


def ask(judge: AttributeJudge, described: Sequence[DescribedClass], path: Path, *, digest: str) -> Answers:
    """Ask the judge what is not yet in the log, and append each answer to it.

    Args:
        judge: Names attributes.
        described: Repeated ones are asked once.
        path: `attributes.jsonl`, appended.
        digest: Of the judge's settings; answers of others in the log are not taken over.

    Returns:
        An answer for each.

    Raises:
        UserError: If a line of the log is no answer, or the judge leaves some unanswered.
        EnvironmentFault: If the judge cannot be reached or the log not be written; answers so far are in the log.
    """
    answers = read_answers(path, digest=digest)
    missing = [one for one in dict.fromkeys(described) if one not in answers]
    waiting: list[JSON] = []

    def on_named(one: DescribedClass, answer: NamedAttributes | Unparsed) -> None:
        answers[one] = answer
        named = isinstance(answer, NamedAttributes)
        waiting.append(
            {
                "class": one.class_name,
                "description": one.text,
                "attributes": list(answer.attributes) if isinstance(answer, NamedAttributes) else None,
                "own": list(answer.own) if isinstance(answer, NamedAttributes) else None,
                "raw": answer.raw,
                "parsed": named,
                "judge": judge.name,
                "version": VERSION,
                "settings": digest,
            }
        )
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
    """Read the log of answers of one judge and the current question; a missing file holds none.

    Raises:
        UserError: If a line is no answer.
    """
    answers: Answers = {}
    for number, row in enumerate(read_jsonl(path), start=1):
        try:
            if row["settings"] != digest or row["version"] != VERSION:
                continue
            one = DescribedClass(row["class"], row["description"])
            names = row["attributes"]
            unknown = sorted(set(names or ()) - set(ATTRIBUTES))
            if unknown:
                raise KeyError(unknown[0])
            answers[one] = (
                Unparsed(row["raw"]) if names is None else NamedAttributes(tuple(names), tuple(row["own"]), row["raw"])
            )
        except KeyError as error:
            raise UserError(
                f"{path}: line {number}: no answer ({error} missing or unknown); delete the file and ask again."
            ) from error
    return answers
