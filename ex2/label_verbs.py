"""Options of the verbs that hold a judge against people: `ex2 label`, `ex2 agreement`."""

from __future__ import annotations

from pathlib import Path

from ex2.table_verbs import RUNS, AddVerb


def add_label_verbs(tool: AddVerb) -> None:
    """Add the verbs to the command line."""
    sub = tool("label", "answer the judge's questions yourself, on a page in the browser", "ex2 label runs/demo-visual")
    sub.add_argument("runs", metavar="RUN", nargs="+", type=Path, help=f"{RUNS}; mixed, and not named on the page")
    sub.add_argument("--n", type=int, default=50, help="random descriptions of each run: %(default)s")
    sub.add_argument("--rater", metavar="NAME", default="rater-1", help="who answers, each in a log: %(default)s")
    sub.add_argument("--seed", type=int, help="of the drawing; default: that of the sample drawn before, or 0")
    sub.add_argument("--rubric", default="paper", help="wording: name or JSON file, as of the judge; default: paper")
    sub.add_argument("--host", default="127.0.0.1", help="address to listen on: %(default)s, this machine only")
    sub.add_argument("--port", type=int, default=0, help="default: a free one")
    sub.add_argument("--open", action="store_true", help="open the page in the browser")
    sub = tool("agreement", "compare the judge with people and correct the shares for its errors", "ex2 agreement runs")
    sub.add_argument("runs", metavar="RUN", nargs="+", type=Path, help=f"{RUNS}; labelled and analysed")
    sub.add_argument("--per-run", action="store_true", help="correct each run with its own labels; default: with all")
    sub.add_argument("--rater", metavar="NAME", help="take this rater's answers alone; default: the majority's")
    sub.add_argument("--confidence", type=float, default=0.95, help="coverage of the intervals: %(default)s")
