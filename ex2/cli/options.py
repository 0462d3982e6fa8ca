"""The verbs and their options; every help text ends with an example."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ex2.cli.stages import MEASURE, analysis_checks, analyze, call, report, run, stage, train, validate
from reward.errors import EXIT_STATUSES, LONGEST, shortened

TOOLS = {
    "vlms": "ex2.cli.vlms:main",
    "data": "ex2.data.inspect:main",
    "draw": "ex2.cli.sets:draw",
    "measure": MEASURE,
    "ask": "analysis.images.questions.command:main",
    "sweep": "ex2.sweep.command:main",
    "attributes": "analysis.attributes.command:main",
    "phrases": "analysis.phrases.command:main",
    "tables": "analysis.paper.command:main",
    "cross": "analysis.cross:main",
    "index": "analysis.report.index:main",
    "export": "ex2.run.export:main",
    "label": "analysis.labeling.server:main",
    "agreement": "analysis.agreement.command:main",
}
"""Verbs that are no stage of one recipe; each takes the parsed options and returns the exit status."""

SET_EXPORT = "ex2.cli.sets:export"
"""What `export` does with a folder."""

WRITE_QUESTIONS = "analysis.images.questions.writing.command:main"
"""What `label` does with `--questions`."""

SET_LAYOUTS = ("class_folders", "geneval", "genbench")
"""As in `ex2.sets.exports`, which is not imported for a help text."""

AddVerb = Callable[[str, str, str], argparse.ArgumentParser]
"""Adds a verb: takes its name, its help text and an example, and returns its parser."""

RUNS = "run folders, or folders that hold some"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line. Words `key=value` may also follow options, which argparse alone does not allow."""
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
    top = _Parser(
        prog="ex2",
        description="Which words does a vision-language model reward, and are they about what it sees?",
        epilog=f"example: ex2 run recipes/demo/visual.yaml. {EXIT_STATUSES}.",
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

    sub = verb("validate", "check a recipe and what it names", validate, "ex2 validate recipes/demo/visual.yaml")
    sub.add_argument("--recipe-only", action="store_true", help="the recipe's own text, in a second; imports nothing")
    sub.add_argument("--online", action="store_true", help="also ask the judge's server whether it is there")
    sub = with_seeds(
        verb(
            "train",
            "align the policy with the VLM (Extract)",
            train,
            "ex2 train recipes/demo/visual.yaml rl.batches=20",
        )
    )
    sub.add_argument("--dry-run", action="store_true", help="show the plan and the memory it needs; load no weights")
    with_seeds(
        verb(
            "describe",
            "describe every class with the aligned and the base policy",
            stage("describe"),
            "ex2 describe recipes/demo/visual.yaml",
        )
    )
    sub = with_seeds(
        verb(
            "analyze",
            "judge the descriptions and measure what each kind is worth (Explore)",
            analyze,
            "ex2 analyze recipes/demo/visual.yaml",
        )
    )
    sub.add_argument("--dry-run", action="store_true", help="show what the judge would cost; ask nothing")
    verb("report", "write report.html from what is there", report, "ex2 report recipes/demo/visual.yaml")
    sub = with_seeds(
        verb("run", "do all stages that are not done, up to the report", run, "ex2 run recipes/demo/visual.yaml")
    )
    sub.add_argument("--accelerate-config", metavar="FILE", help="train through `accelerate launch` with this file")
    sub.add_argument("--no-report", action="store_true", help="leave the report out, such as until all seeds are done")

    sub = with_seeds(
        verb(
            "export",
            "hand an aligned policy on, its adapter or one model with it merged in; or an image set, in another layout",
            lambda options: call(SET_EXPORT if Path(options.recipe).is_dir() else TOOLS["export"], options),
            "ex2 export recipes/demo/visual.yaml --merge --out aligned",
        )
    )
    sub.add_argument("--out", metavar="DIR", required=True, help="new folder; with several seeds, one in it for each")
    sub.add_argument("--merge", action="store_true", help="write one model, as transformers and vLLM load it")
    sub.add_argument(
        "--layout", choices=SET_LAYOUTS, help=f"of a set's folder, given for RECIPE; default: {SET_LAYOUTS[0]}"
    )

    def tool(name: str, text: str, example: str, aliases: Sequence[str] = ()) -> argparse.ArgumentParser:
        described = text[0].upper() + text[1:] + "."
        sub = verbs.add_parser(name, help=text, description=described, epilog=f"example: {example}", aliases=aliases)
        sub.set_defaults(run=lambda options: call(TOOLS[name], options))
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
        "phrases",
        "test phrases that alignment made frequent as templates, on classes they were not mined on",
        "ex2 phrases runs/demo-visual --vlms demo-spurious",
        aliases=("probe",),
    )
    sub.add_argument("runs", metavar="RUN", nargs="+", help="folder of a described run, or a folder of such")
    sub.add_argument("--templates", metavar="FILE", help="JSON of your own templates, tested beside the mined ones")
    sub.add_argument("--vlms", metavar="VLM", nargs="+", default=[], help="further VLMs than the runs' own")
    sub.add_argument("--top", type=int, default=10, metavar="N", help="phrases to mine from each run; 0: none")
    sub.add_argument("--seed", type=int, default=0, help="of the split of classes and the intervals")
    sub.add_argument(
        "--out",
        metavar="DIR",
        help="of the tables, default: the run's folder, or phrases/ for several runs; each run keeps its part",
    )

    sub = tool(
        "sweep",
        "run a grid of recipes × seeds, and recipes of image sets",
        "ex2 sweep recipes/paper/*/pets.yaml --seeds 0,1,2 --set rl.batches=50",
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
    sub.set_defaults(run=lambda options: call(TOOLS["sweep"], options, analysis_checks()))
    add_set_verbs(tool)
    add_ask_verb(tool)
    add_table_verbs(tool)
    add_label_verbs(tool)
    return top


class _Parser(argparse.ArgumentParser):
    """Tells mistakes in bounded length: argparse repeats what was given, however long it is."""

    def error(self, message: str) -> NoReturn:
        super().error(shortened(message, LONGEST // 2))


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of seeds such as 0,1,2") from error


def add_set_verbs(tool: AddVerb) -> None:
    """Add the verbs `draw` and `measure` to the command line."""
    sub = tool("draw", "draw the image sets of a recipe that are not there yet", "ex2 draw recipes/demo/sets.yaml")
    sub.add_argument("recipe", metavar="RECIPE|FOLDER", help="YAML file; or images, one folder a class, for a new set")
    sub.add_argument("overrides", metavar="section.key=value", nargs="*", help="settings that override the file's")
    sub.add_argument("--sets", type=_names, metavar="A,B", help="some of the recipe's sets; default: all")
    sub.add_argument("--seeds", type=_seeds, help="some of the recipe's seeds, such as 0,2; default: all")
    sub.add_argument("--root", metavar="DIR", default="sets", help="where a folder's set goes; default: %(default)s")
    sub.add_argument("--dry-run", action="store_true", help="images, time, USD and size; draw nothing")
    sub = tool(
        "measure",
        "measure what image sets are worth to a VLM, and compare them",
        "ex2 measure recipes/demo/sets.yaml",
    )
    sub.add_argument("sets", metavar="RECIPE|SET", nargs="+", help="YAML file, or folders of sets; also key=value")
    sub.add_argument("--vlm", metavar="NAME", nargs="+", help="without a recipe: the VLM, then its settings key=value")
    sub.add_argument("--dataset", metavar="NAME", nargs="+", help="likewise: the dataset, then its settings")
    sub.add_argument("--split", metavar="SPLIT", help="likewise: the split of the test images")
    sub.add_argument("--dry-run", action="store_true", help="images that would be embedded; load and measure nothing")
    sub.set_defaults(overrides=[], run=_measure)


def add_ask_verb(tool: AddVerb) -> None:
    """Add the verb `ask` to the command line."""
    sub = tool(
        "ask",
        "ask models yes/no questions about images, and score the answers",
        "ex2 ask questions.jsonl --answerer openai model=gpt-4o-mini --answerer local model=models/vlm",
    )
    sub.add_argument("files", metavar="QUESTIONS", nargs="+", help="JSON lines; several: generated=FILE real=FILE")
    sub.add_argument(
        "--answerer",
        metavar="NAME",
        nargs="+",
        action="append",
        default=[],
        help="openai, local, panel, scripted or a dotted path, then key=value; may be given more than once",
    )
    sub.add_argument("--name", help="of the folder of results in runs/; default: of the first file's folder and file")
    sub.add_argument("--dry-run", action="store_true", help="requests, tokens and cost; ask nothing")
    sub.add_argument("--quiet", action="store_true", help="show no bars")
    sub.set_defaults(overrides=[])


def _measure(options: argparse.Namespace) -> Any:
    """Measure, after telling settings from files: argparse takes all words for the latter."""
    words = options.sets
    options.sets = [word for word in words if "=" not in word or Path(word).exists()]
    options.overrides = [*(word for word in words if word not in options.sets), *options.overrides]
    return call(TOOLS["measure"], options)


def _names(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def add_table_verbs(tool: AddVerb) -> None:
    """Add the verbs `tables`, `cross` and `index` to the command line."""
    sub = tool(
        "tables",
        "write the tables and figures over runs",
        "ex2 tables runs --out tables",
    )
    sub.add_argument("runs", metavar="RUN", nargs="+", type=Path, help=f"{RUNS}, or JSON files of published tables")
    sub.add_argument("--out", metavar="DIR", type=Path, required=True, help="where the files go")
    sub.add_argument(
        "--format",
        dest="formats",
        metavar="NAMES",
        default=None,
        help="some of csv,json,latex,svg,png; default: all",
    )
    sub.add_argument("--denominator", choices=("parsed", "all"), help="of shares; default: each run's own; all: paper")
    sub.add_argument("--class", dest="class_name", metavar="NAME", help="of the examples side by side; default: some")
    sub.add_argument("--question", type=int, metavar="N", help="of the examples side by side; default: some")
    add_thresholds(sub)
    sub = tool("cross", "measure every VLM with the descriptions of every other", "ex2 cross runs/clip runs/siglip")
    sub.add_argument("runs", metavar="RUN", nargs="+", type=Path, help=f"{RUNS}; of two VLMs on a dataset at least")
    sub = tool("index", "write a page over a folder of runs", "ex2 index runs")
    sub.add_argument("folder", metavar="DIR", type=Path, help="holds run folders; index.html goes into it")
    add_thresholds(sub)


def add_thresholds(sub: argparse.ArgumentParser) -> None:
    """Add the options for the thresholds at which a report's verdict sentences and marks change."""
    group = sub.add_argument_group("thresholds")
    group.add_argument(
        "--considerable",
        type=float,
        default=0.5,
        metavar="POINTS",
        help="gain from which one is considerable: %(default)s",
    )
    group.add_argument(
        "--margin", type=float, default=1.0, metavar="POINTS", help="gain beyond which it is by a margin: %(default)s"
    )
    group.add_argument(
        "--solely",
        type=float,
        default=25.0,
        metavar="PERCENT",
        help="share of the other kind below which a kind is almost solely responsible: %(default)s",
    )
    group.add_argument(
        "--kl-tolerance", type=float, default=20.0, metavar="PERCENT", help="that KL may be off target: %(default)s"
    )
    group.add_argument("--every-cell", action="store_true", help="fill cells where EX2 is not above the templates too")


def add_label_verbs(tool: AddVerb) -> None:
    """Add the verbs `label` and `agreement` to the command line."""
    sub = tool("label", "answer the judge's questions yourself, on a page in the browser", "ex2 label runs/demo-visual")
    sub.add_argument("runs", metavar="RUN", nargs="+", type=Path, help=f"{RUNS}; mixed, and not named on the page")
    sub.add_argument(
        "--n",
        type=int,
        default=50,
        help="random descriptions of each run, of an analysed one more of the judge's rare verdicts: %(default)s",
    )
    sub.add_argument("--rater", metavar="NAME", default="rater-1", help="who answers, each in a log: %(default)s")
    sub.add_argument("--seed", type=int, help="of the drawing; default: that of the sample drawn before, or 0")
    sub.add_argument("--rubric", help="wording: name or JSON file; default: that in which the run's judge was asked")
    sub.add_argument("--host", default="127.0.0.1", help="address to listen on: %(default)s, this machine only")
    sub.add_argument("--port", type=int, default=0, help="default: a free one")
    sub.add_argument("--open", action="store_true", help="open the page in the browser")
    sub.add_argument(
        "--questions",
        action="store_true",
        help="RUN is a folder of images, such as a set: write yes/no questions about them, kept in its questions.jsonl",
    )
    sub.set_defaults(run=lambda options: call(WRITE_QUESTIONS if options.questions else TOOLS["label"], options))
    sub = tool("agreement", "compare the judge with people and correct the shares for its errors", "ex2 agreement runs")
    sub.add_argument("runs", metavar="RUN", nargs="+", type=Path, help=f"{RUNS}; labelled and analysed")
    sub.add_argument("--per-run", action="store_true", help="correct each run with its own labels; default: with all")
    sub.add_argument("--rater", metavar="NAME", help="take this rater's answers alone; default: the majority's")
    sub.add_argument("--confidence", type=float, default=0.95, help="coverage of the intervals: %(default)s")
