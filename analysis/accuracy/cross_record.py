"""What `cross.json` holds: VLMs' accuracies with one seed's descriptions, read from the file and written to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from analysis.accuracy.record import Hits
from analysis.statistics.intervals import PairedAccuracy
from reward.files import read_record
from reward.records import Flat, Keyed, Record


@dataclass(frozen=True)
class AgainstOwn(Record):
    """A VLM with others' descriptions against the same VLM with its own, on the same images.

    Attributes:
        run: Name of the run whose descriptions are its own.
        run_seed: Seed of theirs.
        paired: Difference of the accuracies: with others' minus with its own.
        own_correct_bits: Which images are right with its own; empty in files of earlier versions.
    """

    run: str
    run_seed: int
    paired: Annotated[PairedAccuracy, Keyed(), Flat()]
    own_correct_bits: str = ""


@dataclass(frozen=True, kw_only=True)
class CrossRow(Record):
    """One VLM's accuracy with the descriptions.

    Attributes:
        vlm: As shown.
        fingerprint: Of its weights.
        images: Hash of which test images the templates get right with it.
        hits: Images whose nearest class is the true one.
        fallback_classes: Classes without a description, recognized by the plain template.
        against_own: None where the descriptions are the VLM's own, and where no seed of its own is comparable.
    """

    vlm: str
    fingerprint: str
    images: str
    hits: Annotated[Hits, Flat()]
    fallback_classes: tuple[str, ...]
    against_own: AgainstOwn | None


@dataclass(frozen=True)
class Cross(Record):
    """Content of `cross.json`.

    Attributes:
        descriptions: Hash of those that the VLMs were measured with.
        classifiers: One row for each VLM.
    """

    descriptions: str
    classifiers: tuple[CrossRow, ...]


def read_cross(path: Path) -> Cross:
    """Read `cross.json`.

    Raises:
        UserError: If the file is missing, is not JSON, or lacks what every version of `ex2 cross` has written.
    """
    return read_record(path, Cross.from_json)
