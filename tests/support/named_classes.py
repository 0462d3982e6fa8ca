"""Small datasets of every kind with given class names, and what is said when one is refused."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import datasets as hf
import miniatures
import pytest

from ex2.data.datasets.base import open_dataset
from reward.errors import UserError


def folders(root: Path, names: Iterable[str], splits: Sequence[str] = ("reward", "test")) -> str:
    for split in splits:
        for number, name in enumerate(names):
            miniatures.picture(root / split / name / f"{split}{number}.png")
    return str(root)


def table(path: Path, labels: Sequence[str]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [[f"{number}.png", label, "train"] for number, label in enumerate(labels)]
        csv.writer(file).writerows([["path", "label", "split"], *rows])
    return str(path)


def hub(root: Path, feature: object, labels: Sequence[object]) -> str:
    for number in range(len(labels)):
        miniatures.picture(root / f"{number}.png")
    paths = [str(root / f"{number}.png") for number in range(len(labels))]
    features = hf.Features({"photo": hf.Image(), "kind": feature})
    rows = hf.Dataset.from_dict({"photo": paths, "kind": list(labels)}, features=features)
    hf.DatasetDict({"train": rows}).save_to_disk(str(root / "saved"))
    return str(root / "saved")


def refusal(name: str, **settings: object) -> list[str]:
    with pytest.raises(UserError) as raised:
        open_dataset(name, settings)
    assert len(str(raised.value)) < 2000
    return str(raised.value).splitlines()
