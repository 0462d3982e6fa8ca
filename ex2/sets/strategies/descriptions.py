"""Prompts that are a run's texts: the base model's, the aligned one's, or those of any other arm of its analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ex2.run.arm_texts import read_arm_texts
from ex2.run.directory import RunDirectory, SeedDirectory
from ex2.run.made import require_stored
from ex2.sets.strategies.base import Classes, Prompt, Prompts
from ex2.sets.strategies.templates import SIMPLE
from reward.errors import UserError, shown, unknown_name
from reward.file_digests import FileDigest

SHOWN_CLASSES = 5


def descriptions(
    classes: Classes,
    run: str,
    arm: str = "aligned",
    run_seed: int | None = None,
    missing: Literal["error", "simple"] = "error",
) -> Prompts:
    """Return the texts of one arm of a run that has been analysed.

    The images of a class take its texts in an order of the set's seed and the class, each once, then each once in
    another order. A text that the run has twice counts twice, as it does in the arm's accuracy.

    Args:
        classes: The classes, which the run's must include by name.
        run: The run's folder.
        arm: `base`, `aligned`, or any other arm of `accuracy.json` but the templates.
        run_seed: Which of the run's seeds; not needed if it has one.
        missing: What becomes of a class that has no text: an error, or "a photo of a {}" in their place.

    Raises:
        UserError: If there is no such run, seed or arm, the run's files are not what was written, or classes have no
            text; every such class at once.
    """
    where = _seed_of(run, run_seed)
    texts: dict[str, list[str]] = {}
    arms = set()
    for row in read_arm_texts(where):
        arms.add(row.arm)
        if row.arm == arm and row.text.strip():
            texts.setdefault(row.class_name, []).append(" ".join(row.text.split()))
    if arm not in arms:
        raise UserError(unknown_name("strategy.arm", arm, arms, hint=f"These are in {where.arm_texts}."))
    without = [name for name in classes.names if name not in texts]
    if without and missing == "error":
        listed = ", ".join(map(shown, without[:SHOWN_CLASSES])) + (", …" if len(without) > SHOWN_CLASSES else "")
        raise UserError(
            f"{where.arm_texts}: arm '{arm}' has no text for {len(without)} of {len(classes.names)} classes: {listed}. "
            f"Draw the classes of that run, or give missing: simple for “{SIMPLE}” in their place."
        )

    def prompt(label: int, index: int) -> Prompt:
        name = classes.names[label]
        own = texts.get(name, [SIMPLE.replace("{}", name)])
        return Prompt(own[classes.turn(len(own), index, "descriptions", name)])

    distinct = [len(set(texts[name])) for name in classes.names if name in texts]
    notes = [
        f"{arm} of {Path(run).name}, {where.root.name}: from {min(distinct, default=0)} to {max(distinct, default=0)} "
        "distinct texts a class, repeated where a class has more images"
    ]
    if without:
        notes.append(f"{len(without)} of {len(classes.names)} classes have no text and are drawn from “{SIMPLE}”")
    settings = {
        "run": Path(run).name,
        "run_seed": where.root.name,
        "arm": arm,
        "missing": missing,
        "texts": FileDigest.of(where.arm_texts).sha256[:16],
    }
    return Prompts("descriptions", settings, prompt, tuple(notes))


def _seed_of(run: str, run_seed: int | None) -> SeedDirectory:
    """Return the folder of a run's seed whose analysis is complete and unchanged."""
    directory = RunDirectory(Path(run))
    if not directory.root.is_dir():
        raise UserError(f"strategy.run: no folder {shown(run)}; give a run's folder, such as runs/NAME.")
    found = sorted(int(path.name[5:]) for path in directory.root.glob("seed-*") if path.name[5:].isdigit())
    chosen = found[0] if run_seed is None and len(found) == 1 else run_seed
    if chosen is None or chosen not in found:
        had = f"its seeds are {', '.join(map(str, found))}" if found else "it has no seeds"
        given = "not given" if run_seed is None else f"given {run_seed}"
        raise UserError(f"strategy.run_seed: {given}; give one seed of {shown(run)}: {had}.")
    where = directory.seed(chosen)
    if not where.arm_texts.is_file():
        raise UserError(f"{where.arm_texts}: not found; run `ex2 analyze RECIPE` again, which writes it.")
    require_stored(directory, chosen, "analyze")
    return where
