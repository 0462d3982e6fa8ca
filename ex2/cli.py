"""The `ex2` command: one verb per stage. Imports are lazy: `ex2 --help` loads no torch."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from ex2.label_verbs import add_label_verbs
from ex2.table_verbs import add_table_verbs

EXIT_INTERRUPTED = 130
EXIT_LATER = 75
"""Of `analysis.judge.base.NotYet`: answers were asked for and come later."""

STAGES = {
    "train": "ex2.train:train",
    "describe": "ex2.describe:describe",
    "analyze": "analysis.analyze:analyze",
}
"""Stages of one seed, in order. `analysis` is named by string only: the arrow is analysis → ex2 → reward."""
REPORT = "analysis.report:write_report"
SUMMARY = "analysis.seeds:print_summary"
JUDGE_PLAN = "analysis.judge_plan:plan"
TOOLS = {
    "vlms": "ex2.vlms:main",
    "data": "ex2.data.inspect:main",
    "sweep": "ex2.sweep:main",
    "attributes": "analysis.attributes:main",
    "probe": "analysis.probe.command:main",
    "tables": "analysis.tables.command:main",
    "cross": "analysis.cross:main",
    "index": "analysis.index_page:main",
    "export": "ex2.export:main",
    "label": "analysis.labelling.server:main",
    "agreement": "analysis.agreement:main",
}
"""Verbs that are no stage of one recipe; each takes the parsed options and returns the exit status."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after `ex2`; default: those of the process.

    Returns:
        0 done, 1 the environment's fault, 2 the user's, 75 waiting for a judge's batch, 130 interrupted.
    """
    options = parse(arguments)
    import logging

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # on import it advises GPU kernels to CPU users
    from reward.errors import EX2Error

    try:
        status: int = options.run(options)
    except EX2Error as error:
        if _is_main_process():
            print(f"ex2: {error}".replace("\n", "\nex2: "), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nex2: interrupted; the same command continues.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except OSError as error:  # a library's own write, outside our writers
        from ex2.run_dir import environment_fault

        fault = environment_fault(error)
        if fault is None:
            raise
        print(f"ex2: {fault}", file=sys.stderr)
        return fault.exit_code
    return status


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line; `key=value` may also stand after options, which argparse alone refuses."""
    top = parser()
    options, rest = top.parse_known_args(arguments)
    place = next((name for name in ("overrides", "settings") if isinstance(getattr(options, name, None), list)), None)
    if rest and (place is None or not all("=" in word and not word.startswith("-") for word in rest)):
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    if place is not None and rest:
        setattr(options, place, [*getattr(options, place), *rest])
    return options


def parser() -> argparse.ArgumentParser:
    """Return the parser; every help text ends with an example."""
    top = argparse.ArgumentParser(
        prog="ex2",
        description="Which words does a vision-language model reward, and are they about what it sees?",
        epilog="example: ex2 run recipes/demo/visual.yaml",
    )
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(name: str, text: str, run: Any, example: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: {example}"
        )
        sub.add_argument("recipe", metavar="RECIPE", help="YAML file of one experiment")
        sub.add_argument("overrides", metavar="section.key=value", nargs="*", help="settings that override the file's")
        sub.set_defaults(run=run)
        return sub

    def with_seeds(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub.add_argument("--seeds", type=_seeds, help="some of the recipe's seeds, such as 0,2; default: all")
        return sub

    sub = verb("validate", "check a recipe and what it names", _validate, "ex2 validate recipes/demo/visual.yaml")
    sub.add_argument("--recipe-only", action="store_true", help="leave out folders and files outside the recipe")
    sub = with_seeds(
        verb(
            "train",
            "align the policy with the VLM (Extract)",
            _train,
            "ex2 train recipes/demo/visual.yaml ppo.batches=20",
        )
    )
    sub.add_argument("--dry-run", action="store_true", help="show the plan and the memory it needs; load no weights")
    with_seeds(
        verb(
            "describe",
            "describe every class with the aligned and the base policy",
            _stage("describe"),
            "ex2 describe recipes/demo/visual.yaml",
        )
    )
    sub = with_seeds(
        verb(
            "analyze",
            "judge the descriptions and measure what each kind is worth (Explore)",
            _analyze,
            "ex2 analyze recipes/demo/visual.yaml",
        )
    )
    sub.add_argument("--dry-run", action="store_true", help="show what the judge would cost; ask nothing")
    verb("report", "write report.html from what is there", _report, "ex2 report recipes/demo/visual.yaml")
    sub = with_seeds(
        verb("run", "do all stages that are not done, up to the report", _run, "ex2 run recipes/demo/visual.yaml")
    )
    sub.add_argument("--accelerate-config", metavar="FILE", help="train through `accelerate launch` with this file")
    sub.add_argument("--no-report", action="store_true", help="leave the report out, such as until all seeds are done")

    sub = with_seeds(
        verb(
            "export",
            "hand an aligned policy on: its adapter, or one model with the adapter merged in",
            lambda options: _call(TOOLS["export"], options),
            "ex2 export recipes/demo/visual.yaml --merge --out aligned",
        )
    )
    sub.add_argument("--out", metavar="DIR", required=True, help="new folder; with several seeds, one in it for each")
    sub.add_argument("--merge", action="store_true", help="write one model, as transformers and vLLM load it")

    def tool(name: str, text: str, example: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: {example}"
        )
        sub.set_defaults(run=lambda options: _call(TOOLS[name], options))
        return sub

    sub = tool("vlms", "list the VLMs that a recipe can name, or check one", "ex2 vlms clip-vit-b32 --check")
    sub.add_argument("name", metavar="NAME", nargs="?", help="preset, backend or dotted path; default: list all")
    sub.add_argument("settings", metavar="key=value", nargs="*", help="the VLM's settings, such as device=cpu")
    sub.add_argument("--check", action="store_true", help="load it and run the contract suite on it")

    sub = tool("data", "show what a dataset holds, before anything is trained on it", "ex2 data pets --root data/pets")
    sub.add_argument("name", metavar="NAME", help="row of the dataset table, or a dotted path")
    sub.add_argument("settings", metavar="key=value", nargs="*", help="other settings of the dataset")
    sub.add_argument("--root", help="the dataset's folder")
    sub.add_argument("--sheet", metavar="FILE", help="where the contact sheet goes; default: NAME.png in this folder")
    sub.add_argument("--download", action="store_true", help="fetch the official archives into the folder and unpack")

    sub = tool(
        "attributes",
        "let the judge name the attributes of informative descriptions, and compare VLMs (Figure 4)",
        "ex2 attributes runs/demo-visual runs/demo-non-visual",
    )
    sub.add_argument("runs", metavar="RUN", nargs="+", help="folder of an analysed run, or a folder of such")
    sub.add_argument(
        "--out",
        metavar="DIR",
        help="of the tables, default: the run's folder, or attributes/ for several; each run keeps its part",
    )
    sub.add_argument(
        "--sample", type=int, default=50, metavar="N", help="descriptions of each seed's sample (paper: 50)"
    )
    sub.add_argument("--seed", type=int, default=0, help="of the sample and the tests")

    sub = tool(
        "probe",
        "test phrases that alignment made frequent as templates, on classes they were not mined on",
        "ex2 probe runs/demo-visual --vlms demo-spurious",
    )
    sub.add_argument("runs", metavar="RUN", nargs="+", help="folder of a described run, or a folder of such")
    sub.add_argument("--templates", metavar="FILE", help="JSON of your own templates, tested beside the mined ones")
    sub.add_argument("--vlms", metavar="VLM", nargs="+", default=[], help="further VLMs than the runs' own")
    sub.add_argument("--top", type=int, default=10, metavar="N", help="phrases to mine from each run; 0: none")
    sub.add_argument("--seed", type=int, default=0, help="of the split of classes and the intervals")
    sub.add_argument(
        "--out",
        metavar="DIR",
        help="of the tables, default: the run's folder, or probe/ for several runs; each run keeps its part",
    )

    sub = tool(
        "sweep", "run a grid of recipes × seeds", "ex2 sweep recipes/demo/*.yaml --seeds 0,1,2 --set ppo.batches=50"
    )
    sub.add_argument("recipes", metavar="RECIPE", nargs="+", help="YAML files")
    sub.add_argument("--seeds", type=_seeds, help="instead of each recipe's own, such as 0,1,2")
    sub.add_argument(
        "--set",
        dest="overrides",
        metavar="section.key=value",
        action="append",
        default=[],
        help="setting that overrides every file's; may be given more than once",
    )
    sub.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="one run after the other, or a cluster"
    )
    sub.add_argument("--accelerate-config", metavar="FILE", help="train through `accelerate launch` with this file")
    add_table_verbs(tool)
    add_label_verbs(tool)
    return top


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of seeds such as 0,1,2") from error


def _is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _checked(options: argparse.Namespace, *, check_inputs: bool = True) -> Any:
    from ex2.recipe_io import read_recipe
    from ex2.validate import recipe_problems, report_problems
    from reward.errors import UserError

    recipe = read_recipe(options.recipe, options.overrides)
    report_problems(recipe_problems(recipe, options.recipe, check_inputs=check_inputs))
    wanted = getattr(options, "seeds", None)
    if wanted and set(wanted) - set(recipe.seeds):
        raise UserError(f"--seeds: {wanted} are not all among the recipe's seeds {recipe.seeds}.")
    return recipe


def _call(dotted: str, *arguments: Any) -> Any:
    module, _, name = dotted.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments)


def _validate(options: argparse.Namespace) -> int:
    from ex2.recipe_io import to_yaml

    recipe = _checked(options, check_inputs=not options.recipe_only)
    print(to_yaml(recipe), end="")
    print(f"# {options.recipe}: valid" + (" (recipe only)" if options.recipe_only else ""))
    return 0


def _train(options: argparse.Namespace) -> int:
    if options.dry_run:
        recipe = _checked(options, check_inputs=False)
        print(_call("ex2.plan:plan", recipe, options.recipe, options.overrides))
        return 0
    recipe = _checked(options)
    _check_launch(recipe)
    _start(recipe)
    for seed in options.seeds or recipe.seeds:
        _call(STAGES["train"], recipe, seed)
    _summarise(options, recipe)
    return 0


def _check_launch(recipe: Any, accelerate_config: str | None = None) -> None:
    from ex2.launch import check_launch, config_of_environment, read_accelerate_config

    given = read_accelerate_config(accelerate_config) if accelerate_config else config_of_environment(os.environ)
    check_launch(recipe, given)


def _summarise(options: argparse.Namespace, recipe: Any) -> None:
    if _is_main_process():
        _call(SUMMARY, recipe, options.seeds or recipe.seeds)


def _start(recipe: Any) -> None:
    from ex2.recipe_io import to_yaml

    if not _is_main_process():
        return
    directory = _call("ex2.provenance:start_run", recipe)
    print(f"# resolved recipe, saved as {directory.recipe}\n{to_yaml(recipe)}", flush=True)


def _stage(name: str) -> Any:
    def run(options: argparse.Namespace) -> int:
        recipe = _checked(options)
        for seed in options.seeds or recipe.seeds:
            _call(STAGES[name], recipe, seed)
        return 0

    return run


def _analyze(options: argparse.Namespace) -> int:
    if options.dry_run:
        recipe = _checked(options, check_inputs=False)
        print(_call(JUDGE_PLAN, recipe, options.seeds or recipe.seeds))
        return 0
    recipe = _checked(options)
    _raise_all([error for seed in options.seeds or recipe.seeds for error in _analyze_seed(recipe, seed)])
    return 0


def _analyze_seed(recipe: Any, seed: int) -> list[Exception]:
    """Analyze one seed; a judge that answers later holds up no other seed, so its error is returned."""
    from reward.errors import EX2Error

    try:
        _call(STAGES["analyze"], recipe, seed)
    except EX2Error as error:
        if error.exit_code != EXIT_LATER:
            raise
        return [error]
    return []


def _raise_all(errors: list[Exception]) -> None:
    """Raise errors of one class as one, or do nothing if there are none."""
    if errors:
        raise type(errors[0])("\n".join(map(str, errors)))


def _report(options: argparse.Namespace) -> int:
    print(f"report: {_call(REPORT, _checked(options, check_inputs=False))}")
    return 0


def _run(options: argparse.Namespace) -> int:
    recipe = _checked(options)
    _check_launch(recipe, options.accelerate_config)
    _start(recipe)
    waiting: list[Exception] = []
    for seed in options.seeds or recipe.seeds:
        if options.accelerate_config:
            _launch(options, seed)
        else:
            _call(STAGES["train"], recipe, seed)
        _call(STAGES["describe"], recipe, seed)
        waiting += _analyze_seed(recipe, seed)
    _raise_all(waiting)
    _summarise(options, recipe)
    if not options.no_report:
        print(f"report: {_call(REPORT, recipe)}")
    return 0


def _launch(options: argparse.Namespace, seed: int) -> None:
    import subprocess

    from ex2.plan import launch_line
    from reward.errors import EnvironmentFault, UserError

    line = launch_line(options.recipe, [*options.overrides, f"--seeds={seed}"], options.accelerate_config)
    status = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.accelerate_cli", *line[1:]], check=False
    ).returncode
    if status:
        kind = UserError if status == UserError.exit_code else EnvironmentFault
        raise kind(f"training ended with status {status}: {' '.join(line)}")


if __name__ == "__main__":
    raise SystemExit(main())
