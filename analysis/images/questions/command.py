"""`ex2 ask`: yes/no questions about images without a recipe; and the same as a part of `ex2 measure`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from analysis.images.questions.measure import Asking, Checked, ask_all, checked
from analysis.images.questions.page import write_page
from analysis.images.questions.record import QuestionStudy
from analysis.images.questions.stored import write_study
from analysis.images.questions.tables import question_tables
from analysis.images.questions.terminal import print_study
from analysis.tables.export import WRITERS
from analysis.tables.files import write_everything
from ex2.recipe import Component, Named, RecipeSection, RunName
from ex2.recipe_io import read_words
from ex2.run.lock import writing_stage
from ex2.set_recipe import SetRecipe
from reward.errors import UserError


class Words(RecipeSection):
    """What the command line says."""

    name: RunName
    output_dir: Named = "runs"
    questions: dict[str, Named]
    answerers: list[Component]
    confidence: Annotated[float, Field(ge=0.5, le=0.9999)] = 0.95


_SETTINGS = ("output_dir", "confidence")
"""Settings that may stand among the files."""


def main(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: `files` (paths, or NAME=path), `answerer` (lists of a name and key=value), `overrides`, `dry_run` and
            `quiet`.

    Returns:
        0. Answers, scores, tables and a page are kept in the folder `runs/NAME`.

    Raises:
        UserError: If a file of questions or an answerer cannot be used; a line for each problem.
        EnvironmentFault: If an answerer cannot be reached, or a file cannot be written. Answers so far are kept.
        NotYet: If answers come later.
    """
    words = _words(options)
    files = {name: Path(path).expanduser() for name, path in words.questions.items()}
    what = checked(Asking(words.name, files, tuple(words.answerers), confidence=words.confidence))
    folder = Path(words.output_dir).expanduser() / words.name
    if options.dry_run:
        for line in what.plan(folder):
            print(line)
        return 0
    with writing_stage(folder, "ask"):
        study = ask_into(what, folder, progress=not options.quiet)
        written = write_everything(question_tables([study]), {}, folder / "tables", [*WRITERS])
        page = write_page(study, folder)
    print(f"answers: {folder}, {len(written.names)} tables in {folder / 'tables'}")
    print(f"page: {page}")
    return 0


def ask_into(what: Checked, folder: Path, *, progress: bool = True) -> QuestionStudy:
    """Ask questions, keep answers and scores in a run's folder, and print a summary. Raises what `ask_all` raises."""
    study = ask_all(what, folder, progress=progress)
    write_study(folder, study)
    print_study(study)
    return study


def question_problems(recipe: SetRecipe, path: str) -> list[str]:
    """List what is wrong with a recipe's questions and answerers; nothing is sent.

    Args:
        recipe: The recipe.
        path: Its file, for messages.
    """
    asking = Asking.of(recipe.name, recipe.measure)
    try:
        if asking is not None:
            checked(asking)
    except UserError as error:
        return [f"{path}: {line}" for line in str(error).splitlines()]
    return []


def _words(options: argparse.Namespace) -> Words:
    """Return what the command line says.

    Raises:
        UserError: If something is missing or wrong; a line for each problem.
    """
    if not options.answerer:
        raise UserError(
            f"{', '.join(options.files)}: --answerer is missing; such as: ex2 ask {options.files[0]} --answerer openai "
            "model=gpt-4o-mini"
        )
    files: dict[str, str] = {}
    settings = [word for word in options.files if word.partition("=")[0] in _SETTINGS and "=" in word]
    for word in options.files:
        if word in settings:
            continue
        name, equals, path = word.partition("=")
        named = bool(equals) and not Path(word).exists()
        key, value = (name, path) if named else (Path(word).stem, word)
        if key in files:
            raise UserError(f"{word}: a second file named '{key}'; name them, such as: generated=a.jsonl real=b.jsonl")
        files[key] = value
    first = Path(next(iter(files.values()))).expanduser().resolve()
    tree: dict[str, Any] = {"name": f"{first.parent.name}-{first.stem}", "questions": files}
    tree |= {"answerers": [_section(*words) for words in options.answerer]}
    if options.name:
        tree["name"] = options.name
    return read_words(Words, tree, [*settings, *options.overrides])


def _section(name: str, *settings: str) -> dict[str, Any]:
    """Return an answerer's section, with settings read as a recipe's are."""
    read = read_words(_Answerer, {"answerer": {"name": name}}, [f"answerer.{setting}" for setting in settings])
    return {"name": read.answerer.name, **read.answerer.settings}


class _Answerer(RecipeSection):
    answerer: Component
