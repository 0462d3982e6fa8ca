"""Which descriptions of a run people label: `labels/sample.json`.

It is a simple random sample without replacement of the non-empty descriptions of all seeds and both policies: the
beginning of one random order, which differs between runs. So every description has the same chance, and agreement, κ
and the judge's error rates are plain counts with the usual intervals. Strata by verdict would need weights in all of
these, and would tell the labeller what the judge said. A larger sample extends a smaller one. People get the
descriptions in the sample's order, so that whoever stops early has labelled a random sample too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, ValidationError

from ex2.run.descriptions import is_empty
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import JSON, read_json, read_jsonl, write_json
from reward.records import Record, problems

DESIGN = "simple random sample without replacement of the non-empty descriptions of all seeds and both policies"
_SEED_FOLDER = re.compile(r"seed-(\d+)")


@dataclass(frozen=True)
class Drawn(Record):
    """One description of a run.

    Attributes:
        seed: The run's seed that the description is from.
        line: Number of its line in that seed's `descriptions.jsonl`, from 1.
        class_name: The description's class.
        text: The description's text.
    """

    seed: int
    line: int
    class_name: Annotated[str, Field(alias="class")]
    text: str


@dataclass(frozen=True)
class _Described(Record):
    """The part of a row of `descriptions.jsonl` that is needed here."""

    class_name: Annotated[str, Field(alias="class")]
    text: str


@dataclass(frozen=True)
class Sample(Record):
    """A sample of a run's descriptions.

    Attributes:
        seed: Seed of the drawing.
        population: Number of descriptions that the sample was drawn from.
        frame: `frame_digest` of the descriptions that the sample was drawn from.
        items: The descriptions drawn, in random order. A text that was generated twice may occur twice, as it counts
            twice in shares.
    """

    seed: int
    population: int
    frame: str
    items: tuple[Drawn, ...]

    @property
    def inclusion_probability(self) -> float:
        """Chance of each description to be in the sample."""
        return len(self.items) / self.population

    def as_written(self, stored: JSON) -> JSON:
        """Store the design, the size and the inclusion probability too, for readers."""
        told = {"design": DESIGN, "n": len(self.items), "inclusion_probability": self.inclusion_probability}
        return told | stored


def sample_path(run: Path) -> Path:
    """Return where a run's sample is kept."""
    return run / "labels" / "sample.json"


def seeds_of(run: Path) -> list[int]:
    """Return the seeds of a run that have been described, in order.

    Raises:
        UserError: If the folder is not a run, or if nothing has been described.
    """
    if not run.is_dir():
        raise UserError(f"{run}: no folder; give run folders, such as runs/demo-visual.")
    numbers = sorted(int(match[1]) for path in run.iterdir() if (match := _SEED_FOLDER.fullmatch(path.name)))
    described = [number for number in numbers if RunDirectory(run).seed(number).descriptions.exists()]
    if not described:
        raise UserError(
            f"{run}: no seed-<n>/descriptions.jsonl in it; give run folders, such as runs/demo-visual, and run "
            "`ex2 describe RECIPE` first."
        )
    return described


def read_frame(run: Path) -> list[Drawn]:
    """Return every description that can be drawn, in the order of seeds and lines.

    Raises:
        UserError: If the folder is not a run, if a file cannot be read, or if every description is empty.
    """
    frame = []
    for seed in seeds_of(run):
        path = RunDirectory(run).seed(seed).descriptions
        for number, row in enumerate(read_jsonl(path), start=1):
            try:
                one = _Described.from_json(row)
            except ValidationError as error:
                raise UserError(
                    f"{path}: line {number}: lacks class or text; delete the file and describe again."
                ) from error
            if not is_empty(one.text):
                frame.append(Drawn(seed, number, one.class_name, one.text))
    if not frame:
        raise UserError(f"{run}: every description is empty: nothing to label.")
    return frame


def frame_digest(frame: Sequence[Drawn]) -> str:
    """Return a hash of descriptions, 16 hexadecimal digits, which changes with any text, line or seed.

    `ex2.run.descriptions.digest_of` cannot replace it, because the order of all samples drawn so far depends on this
    hash.
    """
    lines = "".join(json.dumps(list(astuple(item))) + "\n" for item in frame)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def draw(frame: Sequence[Drawn], n: int, seed: int, kept: Sequence[Drawn] = ()) -> Sample:
    """Draw a sample; a larger one with the same seed begins with a smaller one.

    The order depends on the seed and on the descriptions. If it depended on the seed alone, runs with equally many
    descriptions would draw the same lines, which for the base model are often the same texts.

    Args:
        frame: The descriptions to draw from.
        n: Number of descriptions to draw; if the frame has fewer, all are drawn.
        seed: Seed of the drawing.
        kept: Descriptions of a sample drawn earlier; the new sample begins with them.
    """
    digest = frame_digest(frame)
    order = np.random.default_rng([seed, int(digest, 16)]).permutation(len(frame))
    had = set(kept)
    items = [*kept, *(frame[index] for index in order if frame[index] not in had)][: max(n, len(kept))]
    return Sample(seed, len(frame), digest, tuple(items))


def open_sample(run: Path, n: int, seed: int | None = None) -> Sample:
    """Return a run's sample: the stored one, extended if it is too small, or else a new one, which is stored.

    Args:
        run: The run's folder.
        n: Least number of descriptions in the sample.
        seed: Seed of the drawing; `None` takes that of the stored sample, or 0.

    Raises:
        UserError: If the stored sample was drawn with another seed or from other descriptions.
        EnvironmentFault: If the sample cannot be written.
    """
    path, frame = sample_path(run), read_frame(run)
    kept = read_sample(run, frame) if path.exists() else None
    if kept and seed is not None and seed != kept.seed:
        raise UserError(
            f"--seed: {seed}, but {path} was drawn with seed {kept.seed}; leave --seed out, or delete the file to draw "
            "anew (labels of texts that are drawn again are kept)."
        )
    if kept and len(kept.items) >= min(n, kept.population):
        return kept
    sample = draw(frame, n, kept.seed if kept else seed or 0, kept.items if kept else ())
    write_json(path, sample.to_json())
    return sample


def read_sample(run: Path, frame: Sequence[Drawn] | None = None) -> Sample:
    """Read a run's sample.

    Args:
        run: The run's folder.
        frame: The run's descriptions, if they have been read already; `None` reads them.

    Raises:
        UserError: If there is no sample, if it cannot be read, or if the run's descriptions have changed since it was
            drawn.
    """
    path = sample_path(run)
    if not path.exists():
        raise UserError(f"{path}: not found: nobody has labelled this run; run `ex2 label {run}` first.")
    content = read_json(path)
    try:
        sample = Sample.from_json(content)
    except ValidationError as error:
        raise UserError(
            f"{path}: no sample ({'; '.join(problems(error))}); delete it and run `ex2 label {run}` again."
        ) from error
    if sample.frame != frame_digest(read_frame(run) if frame is None else frame):
        raise UserError(
            f"{path}: was drawn from other descriptions than {run} holds now; delete it and run `ex2 label {run}` "
            "again (labels of texts that are drawn again are kept)."
        )
    return sample
