"""Reading `train.jsonl`, the log of training: one row of numbers for each batch, in order."""

from __future__ import annotations

from dataclasses import replace

from ex2.run.directory import SeedDirectory
from ex2.run.manifest import MENDS, file_problems, read_manifest
from reward.errors import UserError
from reward.files import JSON, read_rows


def read_train_log(where: SeedDirectory) -> list[JSON]:
    """Return the rows of a seed's log in the order of batches; empty if the file is missing.

    Each row has its `batch`, from 1, and numbers by name; None is a number that is not known.

    Raises:
        UserError: If a row is none of these, if a batch stands there twice, or if training has ended and left another
            log.
    """
    manifest = read_manifest(where.root, "train")
    name = where.train_log.name
    if manifest is not None and manifest.complete and name in manifest.files:
        own = replace(manifest, files={name: manifest.files[name]})
        problems = [*file_problems(where.root, own, MENDS["train"])]
        if problems:
            raise UserError("\n".join(problems))
    rows = read_rows(
        where.train_log,
        _checked,
        what="batch",
        remedy="delete the line, or move the file away",
        key=lambda row: row["batch"],
    )
    return sorted(rows, key=lambda row: int(row["batch"]))


def _checked(row: JSON) -> JSON:
    batch = row.get("batch")
    if type(batch) is not int or batch < 1:
        raise ValueError("'batch' is missing" if "batch" not in row else f"'batch' is {batch!r:.60}, not 1 or more")
    for name, value in row.items():
        if value is not None and type(value) not in (int, float):
            raise ValueError(f"{name[:60]!r} is {value!r:.60}, not a number or null")
    return row
