"""Checks of a recipe: all that can be known before the first second of computation. They report every problem at once.

`examine` is what `ex2 validate`, `--dry-run` and the start of every stage call. What it finds is of two kinds: what is
wrong with the recipe wherever it is run, and what this machine lacks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

from ex2.checks.form import drawing_parts, form_problems, parts, setting_problems
from ex2.data.datasets.base import ImageDataset
from ex2.data.prompts import question_ids, too_few_prompts
from ex2.recipe import Recipe
from reward.components import check_component
from reward.errors import EnvironmentFault, EX2Error, UserError
from reward.presets import vlm_problems

Depth = Literal["form", "settings", "all"]
"""form: the recipe's own text; settings: also what its components say of their settings, which imports them; all: also
what lies outside the recipe."""
Stage = Literal["all", "train", "analyze"]
"""What is about to be done: everything (also a plan or a check), training or describing, which take no judge, or the
analysis, which takes no policy."""


@dataclass
class Findings:
    """What a check has found; every line begins with the recipe's file.

    Attributes:
        wrong: What is wrong with the recipe.
        lacking: What this machine lacks for it, and the user can give: images, packages, keys.
        machine: What the machine itself refuses: room on the disk, permissions, memory.
        later: What the analysis will lack, where the stage that is about to begin can do without.
        checked: What was looked at, for people.
        unchecked: What was not, and why.
    """

    wrong: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    machine: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Everything that would end a run."""
        return [*self.wrong, *self.lacking, *self.machine]

    def refuse(self) -> None:
        """Raise what would end a run, as one error; do nothing if there is nothing.

        Raises:
            UserError: If anything is wrong with what was given.
            EnvironmentFault: If all that is wrong is the machine's.
        """
        if self.problems:
            kind = UserError if self.wrong or self.lacking else EnvironmentFault
            raise kind("\n".join(self.problems))


class AnalysisChecks(NamedTuple):
    """Checks of `analysis`, which `ex2` does not import.

    Attributes:
        judges: Judges that a recipe can name: name → `"module:class"`.
        judge: `analysis.judge.readiness.judge_readiness`; None leaves out what lies outside the recipe.
        files: `analysis.accuracy.description_files.read_arms`; None likewise.
    """

    judges: Mapping[str, str]
    judge: Callable[..., tuple[list[str], list[str], list[str]]] | None = None
    files: Callable[..., object] | None = None


def recipe_problems(recipe: Recipe, path: str, *, judges: Mapping[str, str], check_inputs: bool = True) -> list[str]:
    """List everything that is wrong with a recipe, without loading weights; the judge is not asked whether it is ready.

    Args:
        recipe: A recipe of valid form.
        path: The recipe's file, for messages.
        judges: Judges that a recipe can name: name → `"module:class"`.
        check_inputs: Also look at what lies outside the recipe.
    """
    return examine(recipe, path, AnalysisChecks(judges), depth="all" if check_inputs else "settings").problems


def examine(
    recipe: Recipe,
    path: str,
    analysis: AnalysisChecks,
    *,
    depth: Depth = "all",
    stage: Stage = "all",
    online: bool = False,
) -> Findings:
    """Check a recipe, without loading weights.

    Args:
        recipe: A recipe whose keys, types and ranges are valid.
        path: The recipe's file, for messages.
        analysis: Checks of `analysis`.
        depth: How far to look.
        stage: What is about to be done.
        online: Also ask whether the judge's server can be reached.
    """
    found = Findings(checked=["keys, types and ranges", "names"])
    examination = _Examination(recipe, path, analysis, found)
    if depth == "form":
        examination.collect(lambda: form_problems(recipe, analysis.judges))
        found.unchecked.append("values of components' settings, own classes and all that lies outside the recipe")
        return found
    examination.settings()
    if depth == "all":
        examination.outside(stage, online=online)
    return found


@dataclass
class _Examination:
    recipe: Recipe
    path: str
    analysis: AnalysisChecks
    found: Findings

    def collect(self, check: Callable[[], Sequence[str]], into: list[str] | None = None) -> bool:
        """Add what a check lists or raises to a list, by default to what is wrong; say whether that is nothing."""
        prefix = f"{self.path}: "
        try:
            lines = check()
        except EX2Error as error:
            lines = str(error).splitlines()
        found = self.found.wrong if into is None else into
        found += [line if line.startswith(prefix) else prefix + line for line in lines]
        return not lines

    def settings(self) -> None:
        recipe = self.recipe
        self.collect(lambda: vlm_problems(recipe.vlm.name, recipe.vlm.settings, "vlm"))
        for part in parts(recipe, self.analysis.judges)[1:]:
            self.collect(partial(check_component, part.name, part.settings, part.table, part.key, part.supplied))
        self.collect(lambda: setting_problems(recipe))
        self.found.checked.append("settings of every component")

    def outside(self, stage: Stage, *, online: bool) -> None:
        sound = not any(line.startswith(f"{self.path}: dataset") for line in self.found.wrong)
        dataset = self._dataset() if sound else None
        names = None if dataset is None else dataset.class_names
        if dataset is not None:
            self._images(dataset)
            self._files(dataset.class_names, self.found.later if stage == "train" else self.found.lacking)
        else:
            self.found.unchecked.append("images and description files: the dataset could not be opened")
        if stage != "analyze":
            self._drawing(names)
            self._policy(names, stage)
        self._judge(names, self.found.later if stage == "train" else self.found.lacking, online=online)

    def _dataset(self) -> ImageDataset | None:
        from ex2.data.selection import load_dataset

        opened: list[ImageDataset] = []

        def load() -> list[str]:
            opened.append(load_dataset(self.recipe.dataset.source()))
            return []

        self.collect(load, self.found.lacking)
        return opened[0] if opened else None

    def _images(self, dataset: ImageDataset) -> None:
        counted: list[int] = []
        if self.collect(lambda: image_problems(self.recipe, dataset, counted), self.found.lacking):
            self.found.checked.append(f"{sum(counted):,} images")

    def _files(self, class_names: Sequence[str], into: list[str]) -> None:
        asked, read = self.recipe.analysis, self.analysis.files
        if not asked.description_files or read is None:
            return

        def check() -> list[str]:
            read(asked.description_files, class_names, partial=asked.partial_files)
            return []

        if self.collect(check, into):
            self.found.checked.append(f"{len(asked.description_files)} description files")

    def _drawing(self, class_names: Sequence[str] | None) -> None:
        if not drawing_parts(self.recipe) or any(line.startswith(f"{self.path}: reward") for line in self.found.wrong):
            return
        from ex2.checks.drawing import drawing_lines, drawing_problems

        if self.collect(lambda: drawing_problems(self.recipe, class_names)):
            self.found.checked += drawing_lines(self.recipe)

    def _policy(self, class_names: Sequence[str] | None, stage: Stage) -> None:
        from ex2.checks.machine import disk_problem, memory_problem, missing_parts, policy_memory
        from ex2.checks.policy import policy_problems
        from ex2.run.made import outgrown
        from ex2.run.provenance import clash

        recipe = self.recipe
        found = policy_problems(recipe, class_names)
        self.collect(lambda: found.wrong)
        self.collect(lambda: [*found.lacking, *missing_parts(recipe)], self.found.lacking)
        self.found.unchecked += found.unchecked
        if not found.unchecked:
            self.found.checked.append("the policy's configuration, tokenizer, adapter and positions")
        self.collect(lambda: _listed(clash(recipe)), self.found.lacking)
        if stage == "all":
            self.collect(lambda: outgrown(recipe), self.found.lacking)
        self.found.checked.append("the run's folder")
        if found.size is None:
            return
        memory = policy_memory(recipe, *found.size)
        prompts = len(class_names or ()) * len(question_ids(recipe.prompts.questions))
        for problem in (memory_problem(recipe, memory), disk_problem(recipe, found.size.trained, prompts)):
            self.collect(partial(_listed, problem), self.found.machine)
        self.found.checked.append("memory and disk against an estimate")

    def _judge(self, class_names: Sequence[str] | None, into: list[str], *, online: bool) -> None:
        judge, ready = self.recipe.judge, self.analysis.judge
        if ready is None or any(line.startswith(f"{self.path}: judge") for line in self.found.wrong):
            return
        wrong, lacking, unchecked = ready(judge.name, judge.settings, class_names, online=online)
        self.collect(lambda: wrong)
        self.collect(lambda: lacking, into)
        self.found.unchecked += unchecked
        self.found.checked.append("the judge")


def _listed(problem: str | None) -> list[str]:
    return [] if problem is None else [problem]


def image_problems(recipe: Recipe, dataset: ImageDataset, counted: list[int] | None = None) -> list[str]:
    """List classes without images, images that cannot be read, too few prompts, and images in both splits.

    Args:
        recipe: The recipe.
        dataset: Its dataset, opened.
        counted: The number of images of each split is appended to it.
    """
    from ex2.checks.images import unreadable_images
    from ex2.data.selection import check_overlap, passed_over, reward_images
    from ex2.runtime import tell_once
    from reward.image_bank import check_classes

    source = recipe.dataset.source()
    note = passed_over(source, dataset)
    if note:
        tell_once(f"note: {note}")
    rewarded = reward_images(source, dataset)
    test = list(dataset.images(source.test_split))
    problems: list[str] = []
    for split, images in ((source.reward_split, rewarded), (source.test_split, test)):
        if counted is not None:
            counted.append(len(images))
        try:
            check_classes(images, dataset.class_names, f"dataset {source.name}, split '{split}'")
        except UserError as error:
            problems += str(error).splitlines()
    prompts = len(dataset.class_names) * len(question_ids(recipe.prompts.questions))
    if prompts < recipe.prompts_per_batch:
        problems.append(too_few_prompts(prompts, recipe.prompts_per_batch))
    unreadable = unreadable_images([*rewarded, *test])
    if unreadable:
        return problems + unreadable
    check_overlap(rewarded, test, source)
    return problems


def report_problems(problems: Sequence[str]) -> None:
    """Raise all problems as one `UserError`, or do nothing if there are none."""
    if problems:
        raise UserError("\n".join(problems))
