"""The verbs that work on one recipe: `ex2 validate`, `train`, `describe`, `analyze`, `report`, `run`.

Where a recipe of image sets is given, what they do is in `ex2.cli.sets`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from ex2.runtime import is_main_process, tell_once
from reward.errors import EXIT_LATER

if TYPE_CHECKING:
    from ex2.checks.validate import Depth, Stage

STAGES = {
    "train": "ex2.training.stage:train",
    "describe": "ex2.describe:describe",
    "analyze": "analysis.analyze:analyze",
}
"""Stages of one seed, in order. `analysis` is named by strings only, because it imports `ex2` and not the reverse."""

REPORT = "analysis.report.page:write_report"
SUMMARY = "analysis.results.summary:print_summary"
JUDGE_PLAN = "analysis.verdicts.plan:plan"
JUDGES = "analysis.judge.table:JUDGES"
JUDGE_CHECK = "analysis.judge.readiness:judge_readiness"
FILES_CHECK = "analysis.accuracy.description_files:read_arms"
MEASURE = "analysis.images.command:main"
STORED_MEASURES = "analysis.images.stored:stored_measures"
QUESTIONS_CHECK = "analysis.images.questions.command:question_problems"
MEASURES_PAGE = "analysis.images.page:write_page"


def checked(
    options: argparse.Namespace,
    *,
    depth: Depth = "all",
    stage: Stage = "all",
    online: bool = False,
    lacking: list[str] | None = None,
    findings: list[Any] | None = None,
) -> Any:
    """Read a recipe and check it, as every stage does at its start.

    Args:
        options: The command line.
        depth: How far to look, see `ex2.checks.validate.examine`.
        stage: What is about to be done, see `ex2.checks.validate.examine`.
        online: Whether the judge's server is asked whether it is there.
        lacking: Takes what this machine lacks, which then is no error: for plans.
        findings: Takes what was looked at.

    Raises:
        UserError: If there are problems; the message has all.
    """
    from ex2.checks.validate import AnalysisChecks, examine, report_problems
    from ex2.recipe_io import read_recipe
    from reward.errors import UserError

    recipe = read_recipe(options.recipe, options.overrides)
    checks = analysis_checks() if depth == "all" else AnalysisChecks(judges())
    found = examine(recipe, options.recipe, checks, depth=depth, stage=stage, online=online)
    if lacking is None:
        found.refuse()
    else:
        report_problems(found.wrong)
        lacking += [line.removeprefix(f"{options.recipe}: ") for line in [*found.lacking, *found.machine]]
    for line in found.later:
        tell_once(f"note: {line} The analysis will need it.")
    if findings is not None:
        findings.append(found)
    wanted = getattr(options, "seeds", None)
    if wanted and set(wanted) - set(recipe.seeds):
        raise UserError(f"--seeds: {wanted} are not all among the recipe's seeds {recipe.seeds}.")
    return recipe


def attribute(dotted: str) -> Any:
    module, _, name = dotted.partition(":")
    return getattr(importlib.import_module(module), name)


def call(dotted: str, *arguments: Any) -> Any:
    return attribute(dotted)(*arguments)


def judges() -> dict[str, str]:
    """Return the table of the judges that a recipe can name."""
    table: dict[str, str] = attribute(JUDGES)
    return table


def analysis_checks() -> Any:
    """Return the checks of `analysis`, as `ex2.checks.validate.AnalysisChecks`."""
    from ex2.checks.validate import AnalysisChecks

    return AnalysisChecks(judges(), attribute(JUDGE_CHECK), attribute(FILES_CHECK))


def of_sets(options: argparse.Namespace) -> bool:
    """Say whether the recipe is one of image sets."""
    from ex2.recipe_io import is_of_sets

    return is_of_sets(options.recipe)


def validate(options: argparse.Namespace) -> int:
    from ex2.recipe_io import to_yaml

    if of_sets(options):
        return int(call("ex2.cli.sets:validate", options))
    findings: list[Any] = []
    depth: Depth = "form" if options.recipe_only else "all"
    recipe = checked(options, depth=depth, online=options.online, findings=findings)
    print(to_yaml(recipe), end="")
    print(f"# {options.recipe}: valid" + (" (recipe only)" if options.recipe_only else ""))
    for found in findings:
        print_findings(found)
    return 0


def print_findings(found: Any) -> None:
    """Print what was looked at, and what was not."""
    print(f"# checked: {'; '.join(found.checked)}")
    if found.unchecked:
        print(f"# not checked: {'; '.join(found.unchecked)}")


def train(options: argparse.Namespace) -> int:
    if options.dry_run:
        lacking: list[str] = []
        recipe = checked(options, lacking=lacking)
        print(call("ex2.checks.plan:plan", recipe, options.recipe, options.overrides, lacking))
        return 0
    recipe = checked(options, stage="train")
    check_launch(recipe)
    start(recipe)
    for seed in options.seeds or recipe.seeds:
        call(STAGES["train"], recipe, seed)
    summarize(options, recipe)
    return 0


def check_launch(recipe: Any, accelerate_config: str | None = None) -> None:
    from ex2.checks.launch import check_launch, config_of_environment, read_accelerate_config

    given = read_accelerate_config(accelerate_config) if accelerate_config else config_of_environment(os.environ)
    check_launch(recipe, given)


def summarize(options: argparse.Namespace, recipe: Any) -> None:
    if is_main_process():
        call(SUMMARY, recipe, options.seeds or recipe.seeds)


def start(recipe: Any) -> None:
    from ex2.recipe_io import to_yaml

    if not is_main_process():
        return
    directory = call("ex2.run.provenance:start_run", recipe)
    print(f"# resolved recipe, saved as {directory.recipe}\n{to_yaml(recipe)}", flush=True)


def stage(name: str) -> Any:
    def run(options: argparse.Namespace) -> int:
        recipe = checked(options, stage="train")
        for seed in options.seeds or recipe.seeds:
            call(STAGES[name], recipe, seed)
        return 0

    return run


def analyze(options: argparse.Namespace) -> int:
    if options.dry_run:
        lacking: list[str] = []
        recipe = checked(options, stage="analyze", lacking=lacking)
        print(call(JUDGE_PLAN, recipe, options.seeds or recipe.seeds))
        for line in lacking:
            print(f"missing: {line}")
        return 0
    recipe = checked(options, stage="analyze")
    raise_all([error for seed in options.seeds or recipe.seeds for error in analyze_seed(recipe, seed)])
    return 0


def analyze_seed(recipe: Any, seed: int) -> list[Exception]:
    """Analyze one seed.

    Returns:
        The error of a judge whose answers come later, which must not keep other seeds from being analyzed; else empty.
    """
    from reward.errors import EX2Error

    try:
        call(STAGES["analyze"], recipe, seed)
    except EX2Error as error:
        if error.exit_code != EXIT_LATER:
            raise
        return [error]
    return []


def raise_all(errors: list[Exception]) -> None:
    """Raise a single error with the messages of all, which are of one class; do nothing if there are none."""
    if errors:
        raise type(errors[0])("\n".join(map(str, errors)))


def report(options: argparse.Namespace) -> int:
    if of_sets(options):
        return int(call("ex2.cli.sets:report", options))
    recipe = checked(options, depth="form")
    print(f"report: {call(REPORT, recipe)}")
    return 0


def run(options: argparse.Namespace) -> int:
    if of_sets(options):
        return int(call("ex2.cli.sets:run", options))
    recipe = checked(options)
    check_launch(recipe, options.accelerate_config)
    start(recipe)
    waiting: list[Exception] = []
    for seed in options.seeds or recipe.seeds:
        if options.accelerate_config:
            launch(options, seed)
        else:
            call(STAGES["train"], recipe, seed)
        call(STAGES["describe"], recipe, seed)
        waiting += analyze_seed(recipe, seed)
    raise_all(waiting)
    summarize(options, recipe)
    if not options.no_report:
        print(f"report: {call(REPORT, recipe)}")
    return 0


def launch(options: argparse.Namespace, seed: int) -> None:
    import subprocess

    from ex2.checks.launch import launch_line
    from reward.errors import EnvironmentFault, UserError
    from reward.exits import end_family

    line = launch_line(options.recipe, [*options.overrides, f"--seeds={seed}"], options.accelerate_config)
    launcher = subprocess.Popen([sys.executable, "-m", "accelerate.commands.accelerate_cli", *line[1:]])
    try:
        status = launcher.wait()
    except BaseException:  # a launcher that is killed leaves its processes behind
        end_family(launcher.pid)
        raise
    if status:
        kind = UserError if status == UserError.exit_code else EnvironmentFault
        raise kind(f"training ended with status {status}: {' '.join(line)}")
