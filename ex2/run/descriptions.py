"""The descriptions of a seed, as they are written and read."""

from __future__ import annotations

from collections.abc import Sequence

from ex2.run.directory import SeedDirectory
from reward.errors import UserError
from reward.files import JSON, read_jsonl


def read_descriptions(where: SeedDirectory) -> list[JSON]:
    """Read a seed's descriptions.

    Raises:
        UserError: If there are none, or a row is not one.
    """
    rows = read_jsonl(where.descriptions)
    if not rows:
        raise UserError(f"{where.descriptions}: no descriptions; run `ex2 describe RECIPE` first (ex2 run does all).")
    needed = ("class", "label", "question_id", "sample", "policy", "text", "reward")
    for number, row in enumerate(rows, start=1):
        missing = [key for key in needed if key not in row]
        if missing or row["policy"] not in ("base", "aligned"):
            problem = f"lacks {', '.join(missing)}" if missing else f"policy is '{row['policy']}', not base or aligned"
            raise UserError(f"{where.descriptions}: line {number}: {problem}; delete the file and describe again.")
    return rows


def _check_labels(descriptions: Sequence[JSON], class_names: Sequence[str], where: SeedDirectory) -> None:
    for row in descriptions:
        label = row["label"]
        if not 0 <= label < len(class_names) or class_names[label] != row["class"]:
            raise UserError(
                f"{where.descriptions}: class '{row['class']}' with label {label} is not in the dataset, whose classes "
                f"are {', '.join(class_names[:5])}, …: the dataset changed since; delete the file and describe again."
            )
