"""Small sets of the demo world's classes, drawn by the toy generator, and what they are measured with."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.images.given import GivenSet
from analysis.images.measure import Measuring
from ex2.data.datasets.image_sets import ImageSet
from ex2.data.demo.shapes import Shapes
from ex2.recipe import Component
from ex2.set_recipe import Measure
from ex2.sets.draw import SetPlan, draw_set, requests_for
from ex2.sets.generators.toy import Toy

NAMES = Shapes.class_names
TEST = Component(name="shapes", images_per_class=3)
QUICK: dict[str, Any] = {"bootstrap_samples": 100, "permutations": 99}


def toy_set(
    root: Path,
    name: str,
    *,
    seed: int = 0,
    per_class: int = 3,
    error: Mapping[str, float] | None = None,
    names: Sequence[str] = NAMES,
) -> ImageSet:
    """Draw a set whose generator knows all classes and errs as is said, for 3.6 USD an hour."""
    plan = SetPlan(
        name=name,
        generator=Toy(knows=NAMES, error=error),
        class_names=tuple(names),
        requests=requests_for(names, per_class, seed, lambda label, index: (f"a photo of a {names[label]}", "")),
        seed=seed,
        strategy="simple",
        usd_per_hour=3.6,
        license="CC0",
    )
    return draw_set(plan, root, progress=False)


def class_folders(drawn: ImageSet, root: Path, *, shift: int = 0, names: Sequence[str] = NAMES) -> Path:
    """Copy a set into class folders, each image under the class that is `shift + index` classes away from its own."""
    for row in drawn.rows:
        other = names[(row.label + (shift + row.index if shift else 0)) % len(names)]
        (root / other).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(drawn.folder / row.file_name, root / other / f"{row.label:02}-{row.index}.png")
    return root


def measuring(sets: Sequence[GivenSet], **measure: Any) -> Measuring:
    """What is measured by the demo's visual VLM, with few resamples."""
    return Measuring("small", Component(name="demo-visual"), TEST, "test", tuple(sets), Measure(**{**QUICK, **measure}))
