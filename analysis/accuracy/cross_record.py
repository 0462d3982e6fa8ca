"""What `cross.json` holds: VLMs' accuracies with one seed's descriptions, read from the file and written to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from analysis.accuracy.record import Hits
from analysis.statistics.paired import PairedAccuracy
from ex2.run.sealed import check_sealed
from reward.files import read_record
from reward.records import Flat, Keyed, Record


@dataclass(frozen=True)
class AgainstOwn(Record):
    """How a VLM classifies with another VLM's descriptions, against how it does with its own, on the same images.

    Attributes:
        run: Name of the run that the VLM's own descriptions are from.
        run_seed: Seed of that run.
        paired: Accuracy with the other VLM's descriptions minus accuracy with its own.
        own_correct_bits: Which images the VLM classifies rightly with its own descriptions, from `pack_correct`; empty
            in files of earlier versions.
    """

    run: str
    run_seed: int
    paired: Annotated[PairedAccuracy, Keyed(), Flat()]
    own_correct_bits: str = ""


@dataclass(frozen=True, kw_only=True)
class CrossRow(Record):
    """One VLM's accuracy with the descriptions.

    Attributes:
        vlm: Shown name of the VLM.
        fingerprint: Fingerprint of the VLM's weights.
        images: Hash of which test images the VLM classifies rightly with the templates; it changes if the images do.
        hits: Images whose nearest class is the true one, with the VLM and the descriptions.
        fallback_classes: Classes without a description, recognized by the plain template.
        against_own: Comparison with the VLM's own descriptions. None where the descriptions are its own, and where no
            seed of its own runs is comparable.
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
        descriptions: Hash of the descriptions that the VLMs were measured with.
        classifiers: One row for each VLM.
    """

    descriptions: str
    classifiers: tuple[CrossRow, ...]


def read_cross(path: Path) -> Cross:
    """Read `cross.json`.

    Raises:
        UserError: If the file is missing, is not JSON, or lacks what every version of `ex2 cross` has written.
    """
    cross = read_record(path, Cross.from_json)
    check_sealed(path, "run `ex2 cross` again")
    return cross
