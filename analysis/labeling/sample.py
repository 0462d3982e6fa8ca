"""Which descriptions of a run people label: `labels/sample.json`.

A simple random sample without replacement of the non-empty descriptions of all seeds and both policies, drawn as the
start of one random order, another one in each run. So every description has the same chance, and agreement, κ and the
judge's error rates are plain counts with the usual intervals; strata by verdict would need weights in each of them, and
would tell the labeller what the judge said. A larger sample extends a smaller one, and whoever stops early has labelled
a random sample too: people get the descriptions in that order.
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
        seed: Of the run.
        line: In that seed's `descriptions.jsonl`, from 1.
        class_name: Its class.
        text: The description.
    """

    seed: int
    line: int
    class_name: Annotated[str, Field(alias="class")]
    text: str


@dataclass(frozen=True)
class _Described(Record):
    """What is needed of a row of `descriptions.jsonl`."""

    class_name: Annotated[str, Field(alias="class")]
    text: str


@dataclass(frozen=True)
class Sample(Record):
    """A sample of a run's descriptions.

    Attributes:
        seed: Of the drawing.
        population: Descriptions it was drawn from.
        frame: Hash of those.
        items: In random order. A text that was generated twice may occur twice: shares count it twice too.
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
        """Tell readers the design, the size and the probability too."""
        told = {"design": DESIGN, "n": len(self.items), "inclusion_probability": self.inclusion_probability}
        return told | stored


def sample_path(run: Path) -> Path:
    """Return where a run's sample is kept."""
    return run / "labels" / "sample.json"


def seeds_of(run: Path) -> list[int]:
    """Return the seeds of a run that have been described, in order.

    Raises:
        UserError: If the folder is no run, or nothing has been described.
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
        UserError: If the folder is no run, a file cannot be read, or every description is empty.
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
    """Return a hash of descriptions, 16 hexadecimal digits: another text, place or seed gives another one.

    It is not `ex2.run.descriptions.digest_of`: the order of every sample drawn so far follows from it.
    """
    lines = "".join(json.dumps(list(astuple(item))) + "\n" for item in frame)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def draw(frame: Sequence[Drawn], n: int, seed: int, kept: Sequence[Drawn] = ()) -> Sample:
    """Draw a sample; a larger one with the same seed begins with a smaller one.

    The order follows from the seed and the descriptions: runs as long as each other, which often share the base
    model's descriptions line by line, must not draw the same lines.

    Args:
        frame: What to draw from.
        n: How many; all of them if there are fewer.
        seed: Of the drawing.
        kept: A sample drawn before, in whatever way: the new one begins with it.
    """
    digest = frame_digest(frame)
    order = np.random.default_rng([seed, int(digest, 16)]).permutation(len(frame))
    had = set(kept)
    items = [*kept, *(frame[index] for index in order if frame[index] not in had)][: max(n, len(kept))]
    return Sample(seed, len(frame), digest, tuple(items))


def open_sample(run: Path, n: int, seed: int | None = None) -> Sample:
    """Return a run's sample: the one kept there, extended if it is smaller, else a new one, which is kept.

    Args:
        run: The run's folder.
        n: Least size wanted.
        seed: Of the drawing; default: that of the sample kept, or 0.

    Raises:
        UserError: If the sample kept was drawn with another seed or from other descriptions.
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
        frame: Its descriptions, if they have been read.

    Raises:
        UserError: If there is none, it cannot be read, or the run's descriptions have changed since it was drawn.
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
