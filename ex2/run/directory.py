"""The run directory: one experiment's results, readable after a kill at any instant.

    runs/<name>/  recipe.yaml  provenance.json  report.html  labels/  agreement.json  attributes.json  phrases.json
                  sweep/
       seed-<n>/  checkpoints/  adapter/  train.jsonl  descriptions.jsonl  accuracy.json  verdicts.jsonl  breakdown.json
                  arm_texts.jsonl  attributes.jsonl  cross.json  judge_batches.json  disagreements.jsonl

`judge_batches.json` comes from a judge that is asked in batches, `disagreements.jsonl` from a panel of judges.

Files are replaced atomically; logs (`*.jsonl`) are appended, and a torn last line is dropped on reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reward.errors import EX2Error, UserError
from reward.files import read_object

if TYPE_CHECKING:
    from ex2.recipe import Recipe
    from ex2.set_recipe import SetRecipe


ANALYSIS_ID = "analysis_id"
"""Key of `accuracy.json` and `breakdown.json` whose values are equal if the same analysis wrote both."""


MANIFESTS = "manifests"
"""Folder, in a run's or a seed's, of the manifests of what lies there; a file in it is named like the one it is of."""


@dataclass(frozen=True)
class RunDirectory:
    """Paths of one recipe's run."""

    root: Path

    @classmethod
    def of(cls, recipe: Recipe | SetRecipe) -> RunDirectory:
        """Return the directory that a recipe names."""
        return cls(Path(recipe.output_dir).expanduser() / recipe.name)

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.root / "recipe.yaml"

    @property
    def provenance(self) -> Path:
        """Versions, platform, commit and command."""
        return self.root / "provenance.json"

    @property
    def report(self) -> Path:
        """The report page over all seeds."""
        return self.root / "report.html"

    def seed(self, seed: int) -> SeedDirectory:
        """Return the directory of one seed."""
        return SeedDirectory(self.root / f"seed-{seed}")


@dataclass(frozen=True)
class SeedDirectory:
    """Paths of one seed's results; each file is written by one stage."""

    root: Path

    @property
    def checkpoints(self) -> Path:
        """The trainer's checkpoints."""
        return self.root / "checkpoints"

    @property
    def adapter(self) -> Path:
        """Folder of the aligned adapter with its value head."""
        return self.root / "adapter"

    @property
    def train_log(self) -> Path:
        """One row per batch."""
        return self.root / "train.jsonl"

    @property
    def descriptions(self) -> Path:
        """One row per description."""
        return self.root / "descriptions.jsonl"

    @property
    def accuracy(self) -> Path:
        """Zero-shot accuracy of each arm."""
        return self.root / "accuracy.json"

    @property
    def arm_texts(self) -> Path:
        """One row per text of each arm of the analysis."""
        return self.root / "arm_texts.jsonl"

    @property
    def verdicts(self) -> Path:
        """One row per judge's answer."""
        return self.root / "verdicts.jsonl"

    @property
    def breakdown(self) -> Path:
        """Shares and counts of each kind."""
        return self.root / "breakdown.json"

    @property
    def is_trained(self) -> bool:
        """Whether the adapter is complete."""
        return (self.adapter / ADAPTER_DONE).is_file()

    @property
    def is_analyzed(self) -> bool:
        """Whether the analysis is complete.

        It is not if there is no breakdown, or if `accuracy.json` comes from another analysis than `breakdown.json`, as
        after an analysis was killed between writing the two."""
        try:
            stored = [read_object(path) for path in (self.breakdown, self.accuracy) if path.is_file()]
        except EX2Error:
            return False
        return self.breakdown.is_file() and len({str(one.get(ANALYSIS_ID)) for one in stored}) == 1


ADAPTER_DONE = "training.json"
"""File that is written last into the adapter's folder; without it, training is not done."""


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """Return the run directories that are given, and those below given folders.

    Args:
        paths: Run directories, or folders that hold run directories at any depth.

    Returns:
        Directories with a `recipe.yaml` or `provenance.json`: first the given ones, then those below folders, sorted.
        Each appears once, even if several paths lead to it.

    Raises:
        UserError: If a path does not exist or holds no run; the message names every such path.
    """
    named, below = _named_and_below(paths)
    return named + below


_OF_A_RUN = ("recipe.yaml", "provenance.json")
"""Files that a run's folder has; one that has lost its recipe is still found, so that it is told."""


def _named_and_below(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the run directories that are given, and separately those that lie below a given folder."""
    named: dict[Path, Path] = {}
    below: dict[Path, Path] = {}
    problems = []
    for path in paths:
        if (path / "recipe.yaml").is_file():
            named.setdefault(path.resolve(), path)
            continue
        holding = {file.parent for name in _OF_A_RUN for file in path.rglob(name)} if path.is_dir() else set()
        found = sorted(folder for folder in holding if folder.name != MANIFESTS or (folder / _OF_A_RUN[0]).is_file())
        if not found:
            what = "holds no run" if path.is_dir() else "is no folder" if path.exists() else "not found"
            problems.append(f"{path}: {what}; give a run's folder (it holds recipe.yaml) or a folder of such.")
        for folder in found:
            below.setdefault(folder.resolve(), folder)
    if problems:
        raise UserError("\n".join(problems))
    return list(named.values()), [folder for place, folder in below.items() if place not in named]
