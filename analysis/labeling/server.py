"""`ex2 label`: a page on this machine where a person answers the judge's questions.

`analysis.labeling.local_pages` keeps others out. The page is not told any verdict, policy, reward, run or seed. It
hides how many descriptions of each verdict were drawn, too: it shows one description at a time, in the sample's random
order, and counts all together. Whoever knows that rare verdicts are drawn more often knows so of the sample, not of the
description shown. A person is asked in the words in which the run's judge was, so that both answer the same question.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from analysis.judge.rubric import PAPER, load_rubric
from analysis.labeling.local_pages import PageServer, serve
from analysis.labeling.log import Given
from analysis.labeling.sample import open_sample
from analysis.labeling.session import Session
from analysis.labeling.wording import judge_rubric
from ex2.run.directory import find_runs
from ex2.run.lock import writing_into
from reward.errors import UserError
from reward.records import JSON, Record
from reward.terminal import PlainConsole

LARGEST = 4096
"""Most bytes of a request's body; an answer takes about 100."""

_FILES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
}


def main(options: Namespace) -> int:
    """Serve the page until the user ends it.

    Args:
        options: `runs`, `n`, `seed`, `rater`, `rubric`, `host`, `port` and `open`.

    Returns:
        0. Every answer was saved when it was given.

    Raises:
        UserError: If a run, the rater's name, the rubric or the address cannot be used.
        EnvironmentFault: If the sample cannot be written.
    """
    session = open_session(options)
    with writing_into(session.samples, f"label-{session.rater}"):
        return _serve(session, options)


def _serve(session: Session, options: Namespace) -> int:
    simple = [str(run) for run, sample in session.samples.items() if not sample.strata]
    server = LabelServer(session, options.host, options.port)
    progress, console = session.progress(), PlainConsole(highlight=False, soft_wrap=True)
    console.print(f"{progress.done} of {progress.total} descriptions labelled by {session.rater}.", markup=False)
    console.print(f"Open {server.url} and answer with y, n, s (skip) and u (undo). Ctrl-C ends; all is saved.")
    console.print(f"The questions are worded as in rubric {session.rubric.version}.", markup=False)
    if simple:
        told = "drawn without the judge's verdicts, so that rare ones get few labels"
        console.print(f"{', '.join(simple)}: {told}.", markup=False)
    if server.is_public:
        console.print(f"Anyone who reaches {options.host} and has this address can answer, and it is not encrypted.")
    serve(server, open_browser=options.open)
    progress = session.progress()
    see = f"see `ex2 agreement {' '.join(map(str, options.runs))}`."
    console.print(
        f"{progress.done} labelled, {progress.skipped} skipped, {progress.left} left: "
        + ("the same command continues." if progress.left else see),
        markup=False,
    )
    return 0


def open_session(options: Namespace) -> Session:
    """Open the samples of all runs and make the session that asks about them.

    Args:
        options: The same as for `main`.

    Raises:
        UserError: If a run, the rater's name or the rubric cannot be used; the message lists the problems of all runs.
    """
    problems = [] if options.n > 0 else [f"--n: {options.n} is no number of descriptions; give 1 or more."]
    if options.seed is not None and options.seed < 0:
        problems.append(f"--seed: {options.seed} is no seed; give 0 or more.")
    samples = {}
    folders: list[Path] = []
    rubric = PAPER
    try:
        folders = find_runs(options.runs)
        rubric = load_rubric(options.rubric or judge_rubric(folders))
    except UserError as error:
        problems.append(str(error))
    for run in folders if not problems else ():  # a sample is not drawn for a command that fails
        try:
            samples[run] = open_sample(run, options.n, options.seed)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return Session(samples, options.rater, rubric)


@dataclass(frozen=True)
class PageAnswer(Record):
    """An answer as the page sends it.

    Attributes:
        key: Key of the description, as it was sent to the page.
        question: The question that the page showed.
        answer: The rater's answer.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # the page sends nothing else

    key: str
    question: str
    answer: Given


class LabelPage:
    """The page on which a rater answers.

    Args:
        session: Decides what is asked.
    """

    files: Mapping[str, tuple[Path, str]] = {
        name: (Path(__file__).with_name(file), kind) for name, (file, kind) in _FILES.items()
    }
    actions = ("answer", "undo", "reopen")
    largest = LARGEST

    def __init__(self, session: Session) -> None:
        self._session = session

    def state(self) -> JSON:
        """Return what the page shows."""
        return self._session.state()

    def action(self, name: str, body: Any) -> Callable[[], None]:
        """Save an answer, take one back, or ask skipped questions again; see `Page.action`."""
        if name == "answer":
            given = PageAnswer.from_json(body)
            return lambda: self._session.answer(given.key, given.question, given.answer)
        if body != {}:
            raise ValueError(f"{body!r}; allowed: no keys")
        return self._session.undo if name == "undo" else self._session.reopen

    def image(self, name: str) -> bytes | None:
        """Return None: there are no images."""
        return None


class LabelServer(PageServer):
    """Serves one session; arguments and errors are those of `PageServer`."""

    def __init__(self, session: Session, host: str = "127.0.0.1", port: int = 0) -> None:
        self.session = session
        super().__init__(LabelPage(session), host, port)
