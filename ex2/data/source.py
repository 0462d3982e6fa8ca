"""Which dataset, and which of its images: what the builders of this folder and of `ex2.banks` take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Selection = Literal["first", "random"]


@dataclass(frozen=True)
class DatasetSource:
    """A dataset with the split that feeds the reward and the split that measures accuracy.

    Attributes:
        name: A row of `ex2.data.datasets.base.DATASETS`, or a dotted path.
        reward_split: Its images make the class means.
        test_split: Its images are classified.
        settings: The dataset's own keyword arguments.
        images_per_class: Most images of a class that feed the reward.
        selection: `first` takes them by file name, `random` by `selection_seed`.
        selection_seed: Of the random choice.
        workers: Processes that decode images; None chooses by the number of cores and images.
    """

    name: str
    reward_split: str
    test_split: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    images_per_class: int = 256
    selection: Selection = "first"
    selection_seed: int = 0
    workers: int | None = None
