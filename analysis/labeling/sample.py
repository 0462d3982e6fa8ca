"""Which descriptions of a run people label: `labels/sample.json`.

The sample is drawn without replacement from the non-empty descriptions of all seeds and both policies. If the run has
been analysed, the judge's verdicts are its strata, and rare verdicts are drawn more often than by chance: a simple
random sample of a run that is nearly all visual has hardly a description that is not, and so tells little of the
judge's specificity. Within a stratum every description has the same chance. A label then stands for as many
descriptions as its stratum has for each label in it, and everything that is computed from labels weighs them so. If the
run has not been analysed, the sample is a simple random one, and all weights are 1.

People get the descriptions in the sample's order, which is random within blocks of 20, so that neither the order nor
the number of descriptions tells a verdict. Whoever stops early has labelled a simple random sample of each stratum too:
weights are made from the numbers that were labelled, not from those that were drawn. A larger sample extends a smaller
one, by the strata that the smaller one was drawn with.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from analysis.labeling.strata import Strata, read_strata, stratified
from analysis.verdicts.verdicts import Kind
from ex2.run.descriptions import stored_descriptions
from ex2.run.directory import RunDirectory
from ex2.run.made import require_stored
from ex2.run.sealed import check_sealed, write_sealed
from reward.errors import UserError
from reward.files import JSON, read_record
from reward.records import Omitted, Record

DESIGN = "simple random sample without replacement of the non-empty descriptions of all seeds and both policies"
STRATIFIED = (
    "random sample without replacement of the non-empty descriptions of all seeds and both policies, stratified by the "
    "judge's verdict: half of the labels divided equally among the kinds, half by the kinds' numbers"
)
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
class Sample(Record):
    """A sample of a run's descriptions.

    Attributes:
        seed: Seed of the drawing.
        population: Number of descriptions that the sample was drawn from.
        frame: `frame_digest` of the descriptions that the sample was drawn from.
        items: The descriptions drawn, in random order. A text that was generated twice may occur twice, as it counts
            twice in shares.
        judge: `judge_digest` of the judge whose verdicts are the strata; empty for a simple random sample, as are the
            next two.
        strata: Number of descriptions in each stratum of the population.
        verdicts: Stratum of each item.
    """

    seed: int
    population: int
    frame: str
    items: tuple[Drawn, ...]
    judge: Annotated[str, Omitted()] = ""
    strata: Annotated[Mapping[Kind, int], Omitted()] = field(default_factory=dict)
    verdicts: Annotated[tuple[Kind, ...], Omitted()] = ()

    @property
    def inclusion_probability(self) -> float:
        """Chance of each description to be in the sample; in a stratified one the mean of these chances."""
        return len(self.items) / self.population

    @property
    def drawn(self) -> dict[Kind, int]:
        """Number of items of each stratum; empty for a simple random sample."""
        counts = Counter(self.verdicts)
        return {kind: counts[kind] for kind in self.strata}

    @property
    def inclusion_probabilities(self) -> dict[Kind, float]:
        """Chance of each description of a stratum to be in the sample; empty for a simple random sample."""
        return {kind: count / self.strata[kind] for kind, count in self.drawn.items()}

    @property
    def fault(self) -> str:
        """What in the strata does not fit together; empty if they do."""
        if not self.strata and not self.verdicts:
            return ""
        if len(self.verdicts) != len(self.items):
            return f"{len(self.items)} items, but {len(self.verdicts)} verdicts"
        if sum(self.strata.values()) != self.population:
            return f"the strata have {sum(self.strata.values())} descriptions, the population {self.population}"
        counts = Counter(self.verdicts)
        more = [kind for kind, count in counts.items() if count > self.strata.get(kind, 0)]
        return f"more items than descriptions of the kind {', '.join(more)}" if more else ""

    def as_written(self, stored: JSON) -> JSON:
        """Store the design, the size and the inclusion probabilities too, for readers."""
        told: JSON = {"design": STRATIFIED if self.strata else DESIGN, "n": len(self.items)}
        told["inclusion_probability"] = self.inclusion_probabilities or self.inclusion_probability
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
        require_stored(RunDirectory(run), seed, "describe")
        for number, one in enumerate(stored_descriptions(RunDirectory(run).seed(seed), finished=True), start=1):
            if not one.is_empty:
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


def draw(frame: Sequence[Drawn], n: int, seed: int, kept: Sequence[Drawn] = (), strata: Strata | None = None) -> Sample:
    """Draw a sample; a larger one with the same seed and strata begins with a smaller one.

    The order depends on the seed and on the descriptions. If it depended on the seed alone, runs with equally many
    descriptions would draw the same lines, which for the base model are often the same texts.

    Args:
        frame: The descriptions to draw from.
        n: Number of descriptions to draw; if the frame has fewer, all are drawn.
        seed: Seed of the drawing.
        kept: Descriptions of a sample drawn earlier; the new sample begins with them.
        strata: The judge's verdicts on the frame; `None` draws a simple random sample.
    """
    digest = frame_digest(frame)
    rng = np.random.default_rng([seed, int(digest, 16)])
    order = [int(index) for index in rng.permutation(len(frame))]
    if strata:
        order = stratified(order, strata.kinds, rng)
    had = set(kept)
    items = [*kept, *(frame[index] for index in order if frame[index] not in had)][: max(n, len(kept))]
    if not strata:
        return Sample(seed, len(frame), digest, tuple(items))
    kinds = dict(zip(frame, strata.kinds, strict=True))
    verdicts = tuple(kinds[item] for item in items)
    return Sample(seed, len(frame), digest, tuple(items), strata.judge, strata.sizes, verdicts)


def open_sample(run: Path, n: int, seed: int | None = None) -> Sample:
    """Return a run's sample: the stored one, extended if it is too small, or else a new one, which is stored.

    A stored sample is extended by its own design: a simple random one stays one, and a stratified one keeps the
    verdicts that it was drawn with, also if another judge has judged the run since.

    Args:
        run: The run's folder.
        n: Least number of descriptions in the sample.
        seed: Seed of the drawing; `None` takes that of the stored sample, or 0.

    Raises:
        UserError: If the stored sample was drawn with another seed or from other descriptions, or if it is too small
            and the verdicts that it was drawn with have changed.
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
    places, strata = [(item.seed, item.class_name, item.text) for item in frame], None
    if not kept:
        strata = read_strata(run, places)
    elif kept.strata:
        strata = read_strata(run, places, kept.judge)
        if not _is_same(kept, frame, strata):
            raise UserError(
                f"--n: {n}, but {path} has {len(kept.items)} descriptions, and the verdicts that it was drawn with "
                f"have changed; label those, with --n {len(kept.items)}, or delete the file to draw anew (labels of "
                "texts that are drawn again are kept)."
            )
    sample = draw(frame, n, kept.seed if kept else seed or 0, kept.items if kept else (), strata)
    write_sealed(path, sample.to_json(), by="label")
    return sample


def _is_same(kept: Sample, frame: Sequence[Drawn], strata: Strata | None) -> bool:
    """Say whether strata read now are those that a sample was drawn with, as far as it shows them."""
    if strata is None or strata.sizes != {**kept.strata}:
        return False
    kinds = dict(zip(frame, strata.kinds, strict=True))
    return [kinds.get(item) for item in kept.items] == [*kept.verdicts]


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
    sample = read_record(path, Sample.from_json, remedy=f"delete it and run `ex2 label {run}` again")
    if sample.fault:
        raise UserError(f"{path}: no sample ({sample.fault}); delete it and run `ex2 label {run}` again.")
    check_sealed(path, f"delete it and run `ex2 label {run}` again")
    frame = read_frame(run) if frame is None else frame
    gone = sorted({item.seed for item in sample.items} - {item.seed for item in frame})
    if gone:
        lines = [
            f"{RunDirectory(run).seed(seed).descriptions}: not found, but {path} was drawn from it." for seed in gone
        ]
        raise UserError("\n".join([*lines, f"Put it back, or delete {path} and run `ex2 label {run}` again."]))
    if sample.frame != frame_digest(frame):
        raise UserError(
            f"{path}: was drawn from other descriptions than {run} holds now; delete it and run `ex2 label {run}` "
            "again (labels of texts that are drawn again are kept)."
        )
    return sample
