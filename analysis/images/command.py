"""`ex2 measure`: what image sets are worth to a VLM, from a recipe or from folders."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field

from analysis.images.embedded import bank_images, open_split
from analysis.images.given import common_number, given_folders, read_sets
from analysis.images.measure import Measuring, measured_sets, prepare
from analysis.images.page import write_page
from analysis.images.questions.command import ask_into
from analysis.images.questions.measure import Asking, Checked, checked
from analysis.images.recognition.measure import recognize
from analysis.images.recognition.stored import stored_recognition, write_recognition
from analysis.images.recognition.terminal import print_recognition
from analysis.images.record import Measures
from analysis.images.stored import (
    RESULT,
    check_directory,
    made_of,
    start_measuring,
    write_measures,
)
from analysis.images.terminal import print_measures
from ex2.banks import bank_cache
from ex2.checks.sets import lacking_weights, loading_problems, synsets_problems
from ex2.data.datasets.image_sets import raise_first
from ex2.recipe import Component, Named, RecipeSection, RunName
from ex2.recipe_io import read_set_recipe, read_words
from ex2.run.directory import RunDirectory
from ex2.run.lock import writing_stage
from ex2.runtime import set_threads
from ex2.set_recipe import Measure
from reward import image_bank
from reward.embedding import content_digests
from reward.errors import EX2Error, UserError
from reward.files import read_record
from reward.images import LabeledImage
from reward.terminal import PlainConsole
from reward.vlm import VLM


class Words(RecipeSection):
    """What is measured, where no recipe says it."""

    name: RunName
    output_dir: Named = "runs"
    threads: Annotated[int, Field(gt=0, le=1024)] | None = None
    vlm: Component
    dataset: Component
    split: Named
    measure: Measure = Measure()


@dataclass(frozen=True)
class Planned:
    """Images that would be embedded.

    Attributes:
        what: Test images, or a set's seed.
        images: Their number.
        cached: Whether the bank has them; None if it is not known before the VLM is loaded.
    """

    what: str
    images: int
    cached: bool | None


def main(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: `sets` (a recipe, or folders) and `overrides` of the command line; and, as far as they are given, `vlm`
            and `dataset` (name, then key=value), `split`, `dry_run`, `quiet` and `page`, False for no page.

    Returns:
        0. Measures are kept in the run's folder, and its page is written.

    Raises:
        UserError: If something is missing or does not fit; every problem of a kind at once. Stored measures stay.
        EnvironmentFault: If a file cannot be written.
    """
    recipe_path = _recipe_of(options.sets)
    recipe = None
    if recipe_path is not None:
        _refuse_words(options)
        recipe = read_set_recipe(recipe_path, options.overrides)
        what, directory, threads = Measuring.of(recipe), RunDirectory.of(recipe), recipe.threads
    else:
        words = _words(options)
        sets = tuple(given_folders(options.sets))
        what = Measuring(words.name, words.vlm, words.dataset, words.split, sets, words.measure)
        directory, threads = RunDirectory(Path(words.output_dir).expanduser() / words.name), words.threads
    check_directory(directory, recipe)
    asking = Asking.of(what.name, what.measure)
    questions = None if asking is None else checked(asking)
    if getattr(options, "dry_run", False):
        print_plan(plan(what, directory))
        for line in questions.plan(directory.root) if questions else ():
            print(line)
        return 0
    set_threads(threads)
    progress = not getattr(options, "quiet", False)
    with writing_stage(directory.root, "measure"):
        prepared = prepare(what, progress=progress)
        measures = measured_sets(what, prepared, progress=progress)
        if recipe is not None:
            measures = replace(measures, recipe=made_of(recipe))
        start_measuring(directory, recipe)
        path = write_measures(directory, measures)
        if what.measure.recognizers:
            write_recognition(directory, recognize(what, prepared, measures, progress=progress))
        failed = _answered(questions, directory, progress=progress)
    if getattr(options, "page", True):
        show(measures, directory.root)
    else:
        print_all(measures, directory.root)
    print(f"measures: {path}")
    if failed is not None:
        raise failed
    return 0


def _answered(questions: Checked | None, directory: RunDirectory, *, progress: bool) -> EX2Error | None:
    """Ask a recipe's questions; return why that failed, after which the measures are shown all the same."""
    try:
        if questions is not None:
            ask_into(questions, directory.root, progress=progress)
    except EX2Error as error:
        return error
    return None


def show(measures: Measures, directory: Path) -> None:
    """Print a summary and write the page."""
    print_all(measures, directory)
    print(f"page: {write_page(measures, directory)}")


def print_all(measures: Measures, directory: Path) -> None:
    """Print what was measured, and what recognizers saw if that is stored."""
    print_measures(measures)
    recognition = stored_recognition(directory, measures)
    if recognition is not None:
        print_recognition(recognition)


def plan(what: Measuring, directory: RunDirectory) -> list[Planned]:
    """Return what measuring would embed; the VLM is not loaded, and no image is opened.

    A bank's name holds the VLM's fingerprint, which is known before it is loaded if the run's folder has measures.

    Raises:
        UserError: As `measure_sets`, for what is found before images are opened.
    """
    what.check()
    opened, images = open_split(what.dataset, what.split, "dataset.test_split")
    names = tuple(opened.class_names)
    raise_first([*lacking_weights(what.measure), *synsets_problems(what.measure, names)])
    raise_first(loading_problems(what.measure))
    sets = read_sets(what.sets, names, None, overlap=what.measure.overlap, missing=what.measure.missing)
    common_number(sets, names, what.measure.shots)
    known = _known(directory)

    def cached(of: Sequence[LabeledImage], classes: Sequence[str], digests: Sequence[str] | None) -> bool | None:
        if known is None:
            return None
        key = image_bank.bank_key(cast(VLM, known), of, classes, "images", digests)
        return (bank_cache() / f"images-{key}.safetensors").is_file()

    test = cached(images, names, content_digests(images, title="test images")) if known else None
    found = [Planned(f"test images of {what.dataset.name}, split '{what.split}'", len(images), test)]
    for one in sets:
        for seed in one.seeds:
            of_seed, classes, _ = bank_images(seed, names)
            there = cached(of_seed, classes, [row.sha256 for row in seed.rows])
            title = f"set '{one.given.name}', seed {seed.image_set.record.seed}"
            found.append(Planned(title, len(of_seed), there))
    return found


def print_plan(planned: Sequence[Planned]) -> None:
    """Print what would be embedded, a line each, and the sum."""
    console = PlainConsole(highlight=False)
    words = {True: "from the bank", False: "to be embedded", None: "to be embedded, unless the bank has them"}
    for one in planned:
        console.print(f"{one.what}: {one.images:,} images, {words[one.cached]}", soft_wrap=True, markup=False)
    left = sum(one.images for one in planned if not one.cached)
    console.print(f"{left:,} images to embed at most; nothing was measured.", soft_wrap=True, markup=False)


@dataclass(frozen=True)
class _Known:
    """A VLM of which only the fingerprint is known."""

    print: str

    def fingerprint(self) -> str:
        return self.print


def _known(directory: RunDirectory) -> _Known | None:
    path = directory.root / RESULT
    if not path.is_file():
        return None
    try:
        return _Known(read_record(path, Measures.from_json).fingerprint)
    except UserError:
        return None


def _recipe_of(words: Sequence[str]) -> str | None:
    """Return the recipe among the words; None if they name folders.

    Raises:
        UserError: If a recipe stands among other words.
    """
    files = [word for word in words if not Path(word).expanduser().is_dir() and Path(word).suffix in (".yaml", ".yml")]
    if files and len(words) > 1:
        raise UserError(f"{', '.join(words)}: give one recipe, or folders, not both.")
    return files[0] if files else None


def _refuse_words(options: argparse.Namespace) -> None:
    given = [f"--{word}" for word in ("vlm", "dataset", "split") if getattr(options, word, None)]
    if given:
        raise UserError(
            f"{', '.join(given)}: goes with folders, and {options.sets[0]} is a recipe, which says it; leave it "
            "out, or override the recipe, such as vlm.name=NAME."
        )


def _words(options: argparse.Namespace) -> Words:
    """Return what the command line says of VLM, dataset and split.

    Raises:
        UserError: If something is missing or wrong; a line for each.
    """
    missing = [f"--{word}" for word in ("vlm", "dataset", "split") if not getattr(options, word, None)]
    if missing:
        raise UserError(
            f"{', '.join(options.sets)}: no recipe, so {', '.join(missing)} is missing; such as: ex2 measure "
            f"{options.sets[0]} --vlm clip-vit-b32 --dataset folder root=photos --split test"
        )
    first = Path(options.sets[0]).expanduser().resolve()
    tree: dict[str, Any] = {"name": first.name if not first.name.startswith("seed-") else first.parent.name}
    settings = []
    for word in ("vlm", "dataset"):
        name, *own = getattr(options, word)
        tree[word] = {"name": name}
        settings += [f"{word}.{setting}" for setting in own]
    tree["split"] = options.split
    return read_words(Words, tree, [*settings, *options.overrides])
