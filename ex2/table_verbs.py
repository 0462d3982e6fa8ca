"""Options of the verbs that look at several runs: `ex2 tables`, `ex2 cross`, `ex2 index`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

AddVerb = Callable[[str, str, str], argparse.ArgumentParser]
"""Takes a verb, its help and an example."""

RUNS = "run folders, or folders that hold some"


def add_table_verbs(tool: AddVerb) -> None:
    """Add the verbs to the command line."""
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
    """Add the thresholds of verdict sentences and marks."""
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
