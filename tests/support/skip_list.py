"""Skips that are known and skips that are not: `pytest --listed-skips ci` fails on any that `skips.toml` does not list.

A test that is skipped passes without having run. So every skip is printed with its reason and with the make target that
runs the test, and one that nobody has written down ends the run with status 1.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

LIST = Path(__file__).parents[1] / "skips.toml"
RUNS = ("ci", "bare", "slow")
LEFT_OUT = "deselected on the command line"


@dataclass(frozen=True)
class Listed:
    """A skip that may happen.

    Attributes:
        test: Glob of node ids, such as `tests/test_x.py::test_y*`.
        reason: What the skip says.
        run_by: Make target that runs the test.
        only: Runs that may skip it, of `RUNS`.
    """

    test: str
    reason: str
    run_by: str
    only: tuple[str, ...] = RUNS

    def allows(self, node: str, reason: str, run: str) -> bool:
        """Whether a skip is this one."""
        return run in self.only and reason == self.reason and fnmatch.fnmatchcase(node, self.test)


def read_list(path: Path = LIST) -> list[Listed]:
    """Read the list.

    Raises:
        pytest.UsageError: If it names a run that there is not.
    """
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["skip"]
    listed = [Listed(row["test"], row["reason"], row["run_by"], tuple(row.get("only", RUNS))) for row in rows]
    unknown = {run for skip in listed for run in skip.only} - set(RUNS)
    if unknown:
        raise pytest.UsageError(f"{path}: only: unknown {sorted(unknown)}; known: {', '.join(RUNS)}")
    return listed


@dataclass
class SkipList:
    """Collects what a run skips, and judges it at its end.

    Attributes:
        run: One of `RUNS`.
        listed: What may be skipped.
        skipped: Node ids, and reasons.
    """

    run: str
    listed: list[Listed]
    skipped: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._note(report)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.skipped |= {item.nodeid: LEFT_OUT for item in items}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.skipped |= dict.fromkeys(getattr(node, "workeroutput", {}).get(LEFT_OUT, []), LEFT_OUT)

    def _note(self, report: Any) -> None:
        if hasattr(report, "wasxfail"):
            reason = f"expected to fail: {report.wasxfail}"
        else:
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        self.skipped[report.nodeid] = reason

    def unlisted(self) -> dict[str, str]:
        """Return the skips that nobody has written down."""
        return {
            node: reason
            for node, reason in self.skipped.items()
            if not any(skip.allows(node, reason, self.run) for skip in self.listed)
        }

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unlisted() and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        unlisted = self.unlisted()
        terminalreporter.section(f"skipped: {len(self.skipped)}, {len(unlisted)} of them not listed")
        known = Counter(
            (node.partition("[")[0], reason, skip.run_by)
            for node, reason in self.skipped.items()
            for skip in self.listed
            if node not in unlisted and skip.allows(node, reason, self.run)
        )
        for (node, reason, target), count in sorted(known.items()):
            terminalreporter.write_line(f"{count:3} {node}: {reason}; make {target} runs it")
        for node, reason in sorted(unlisted.items()):
            terminalreporter.write_line(f"NOT LISTED {node}: {reason}", red=True)
        if unlisted:
            terminalreporter.write_line(
                f"Let them run, or list them in {LIST.name} with the make target that runs them.", red=True
            )


class Worker:
    """Tells the process that judges what this worker was told to leave out: pytest-xdist does not."""

    def __init__(self, output: dict[str, Any]) -> None:
        self.output = output

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.output.setdefault(LEFT_OUT, []).extend(item.nodeid for item in items)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--listed-skips",
        choices=RUNS,
        help="fail on any skip that tests/skips.toml does not list for this run",
    )


def pytest_configure(config: pytest.Config) -> None:
    run = config.getoption("--listed-skips")
    if not run:
        return
    output = getattr(config, "workeroutput", None)  # a worker of pytest-xdist has one
    config.pluginmanager.register(SkipList(run, read_list()) if output is None else Worker(output))
