"""The generator `original`: images of a dataset's split, against which drawn ones are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ex2.data.datasets.base import open_dataset
from ex2.data.selection import select
from ex2.data.source import Selection
from ex2.sets.generators.copies import Copies, CopyingGenerator, by_class
from reward.errors import UserError, unknown_name


class Original(CopyingGenerator):
    """Copies images of a dataset.

    Args:
        dataset: Name of the dataset, under `name`, and its settings.
        split: The split that the images are of; not the one that is tested on.
        selection: `first` takes a class's images by file name, `random` by the set's seed.
        pool: Most images of a class, by file name, that are chosen among; default: all. All of them are read once, so
            that a replaced file makes another set: of a very large split give some.

    Raises:
        UserError: If the dataset or the split is not there.
    """

    name = "original"

    def __init__(
        self, dataset: Mapping[str, Any], split: str, selection: Selection = "first", pool: int | None = None
    ) -> None:
        if "name" not in dataset:
            raise UserError("generator.dataset: 'name' is missing; give the name of a dataset and its settings.")
        given = dict(dataset)
        dataset_name = str(given.pop("name"))
        opened = open_dataset(dataset_name, given, "generator.dataset")
        if split not in opened.splits:
            raise UserError(unknown_name("generator.split", split, opened.splits))
        if pool is not None and pool < 1:
            raise UserError(f"generator.pool: given {pool}; at least one image of a class is needed.")
        images = opened.images(split)
        if pool is not None:
            images = select(images, pool, "first", 0)
        self.class_names = tuple(opened.class_names)
        self.settings = {"dataset": dataset_name, "split": split, "selection": selection, "pool": pool}
        self._copies = Copies(by_class(images, self.class_names), selection, f"dataset {dataset_name}, split '{split}'")
