"""Small sets for tests, and a generator that counts what it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from ex2.data.datasets.image_sets import ImageSet
from ex2.sets.draw import SetPlan, draw_set, requests_for
from ex2.sets.requests import Drawn, DrawRequest, Failure

CLASSES = ("cat", "sea lion")


class Blocks:
    """Draws a block of one color that the request's seed decides; an image takes half a second.

    Args:
        failing: Label and index of requests that time out.
        batch_size: Most requests at once.
    """

    name = "blocks"
    settings: ClassVar[dict[str, Any]] = {"side": 8}

    def __init__(self, failing: Sequence[tuple[int, int]] = (), batch_size: int = 2) -> None:
        self.failing, self.batch_size = set(failing), batch_size
        self.calls: list[list[tuple[int, int]]] = []

    def fingerprint(self) -> str:
        return "blocks 1"

    def draw(self, requests: Sequence[DrawRequest]) -> list[Drawn | Failure]:
        self.calls.append([(request.label, request.index) for request in requests])
        return [self._one(request) for request in requests]

    def _one(self, request: DrawRequest) -> Drawn | Failure:
        if (request.label, request.index) in self.failing:
            return Failure("timeout", "took\ntoo long", 2.0)
        return Drawn(Image.new("RGB", (8, 8), f"#{request.seed & 0xFFFFFF:06x}"), 0.5)


def plan(generator: Any = None, *, per_class: int = 2, seed: int = 0, **changes: Any) -> SetPlan:
    """A set of two classes, with prompts that tell class and number."""
    names = changes.pop("class_names", CLASSES)
    requests = requests_for(names, per_class, seed, lambda label, index: (f"{names[label]} no. {index}", "blur"))
    given = {"name": "blocks", "class_names": names, "requests": requests, "seed": seed, "strategy": "numbered"}
    return SetPlan(generator=generator or Blocks(), **{**given, **changes})


def drawn(root: Path, generator: Any = None, **given: Any) -> ImageSet:
    """A set, drawn without a bar."""
    return draw_set(plan(generator, **given), root, progress=False)


def content(folder: Path) -> dict[str, bytes]:
    """Path from a folder → content of each file below it, without locks."""
    files = (path for path in folder.rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    return {name: held for name, held in found.items() if not name.endswith(".lock")}
