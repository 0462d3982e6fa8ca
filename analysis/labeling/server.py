"""`ex2 label`: a page on this machine where a person answers the judge's questions.

Only someone who has the page's address can use it, because the address holds a random token. Requests that other sites
make a browser send are refused, also those under a name of theirs that leads to this machine. The page loads nothing
from other servers, and is not told any verdict, policy, reward, run or seed. It hides how many descriptions of each
verdict were drawn, too: it shows one description at a time, in the sample's random order, and counts all together.
Whoever knows that rare verdicts are drawn more often knows so of the sample, not of the description shown. A person is
asked in the words in which the run's judge was, so that both answer the same question.
"""

from __future__ import annotations

import errno
import hmac
import ipaddress
import json
import secrets
import socket
import socketserver
import sys
import threading
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ConfigDict

from analysis.judge.rubric import PAPER, load_rubric
from analysis.labeling.log import Given
from analysis.labeling.sample import open_sample
from analysis.labeling.session import Session, Stale
from analysis.labeling.wording import judge_rubric
from ex2.run.directory import find_runs
from ex2.run.lock import writing_into
from reward.errors import EX2Error, UserError
from reward.records import Record
from reward.signals import is_met
from reward.terminal import PlainConsole

LARGEST = 4096
"""Most bytes of a request's body; an answer takes about 100."""

_FILES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
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
    if options.open:
        import webbrowser

        webbrowser.open(server.url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        is_met()
        console.print()
    finally:
        server.server_close()
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


class LabelServer(ThreadingHTTPServer):
    """Serves one session; requests are handled one at a time."""

    daemon_threads = True
    block_on_close = False  # a browser may hold a connection open that it has not used: ending must not wait for it

    def __init__(self, session: Session, host: str = "127.0.0.1", port: int = 0) -> None:
        """Open the server's socket.

        Args:
            session: The session that decides what is asked.
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.

        Raises:
            UserError: If the address cannot be used.
        """
        self.session, self.lock = session, threading.Lock()
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            where = "--host" if isinstance(error, socket.gaierror) or _errno(error) == errno.EADDRNOTAVAIL else "--port"
            advice = "give an address of this machine" if where == "--host" else "leave --port out to take a free one"
            raise UserError(f"{where}: cannot listen on {host} port {port} ({error}); {advice}.") from error
        self.is_public = not str(self.server_address[0]).startswith("127.")

    @property
    def url(self) -> str:
        """Address of the page, with the token."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}/{self.token}/"

    def is_ours(self, host: str) -> bool:
        """Say whether a `Host` header names this server: by its address, or by a name that only this machine gives.

        A server on all addresses (0.0.0.0) takes any address, because no name of another site is one.
        """
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        here = str(self.server_address[0])
        if name == here or (name == "localhost" and not self.is_public):
            return True
        return here == "0.0.0.0" and (name == socket.gethostname().lower() or _is_address(name))  # nosec B104 # no binding

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore browsers that hang up and sockets that close at the end; show any other error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def server_bind(self) -> None:
        """Open the socket without looking up this machine's name as `http.server` does, which takes seconds offline."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


class Handler(BaseHTTPRequestHandler):
    """Answers one request and closes its connection, so that no connection outlives the server."""

    server_version, sys_version = "ex2", ""
    server: LabelServer
    timeout = 60

    def do_GET(self) -> None:
        """Send the page, its style and script, or the state."""
        name = self._name()
        if not self._for_us():
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
        elif name == "state":
            self._do(lambda: None)
        elif name in _FILES:
            file, kind = _FILES[name]
            self._send(HTTPStatus.OK, Path(__file__).with_name(file).read_bytes(), kind)
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Save an answer, take one back, or ask skipped questions again; the reply is the new state."""
        name = self._name()
        if not self._for_us():
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return
        if self.headers.get("Origin", f"http://{self.headers['Host']}") != f"http://{self.headers['Host']}":
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        if name not in ("answer", "undo", "reopen"):
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        # A form of another site can send no JSON without the browser asking us first.
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST or self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        try:
            action = self._action(name, json.loads(self.rfile.read(int(length))))
        except (ValueError, RecursionError):
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        self._do(action)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the terminal shows the address."""

    def _for_us(self) -> bool:
        """Say whether the request names this machine: a site may let its own name lead to an address of ours.

        The port may be another one, as behind a tunnel.
        """
        hosts = self.headers.get_all("Host", [])
        return len(hosts) == 1 and self.server.is_ours(hosts[0])

    def _name(self) -> str | None:
        """Return the part of the path after the token; `None` if the token is wrong or missing."""
        _, _, rest = self.path.partition("/")
        token, slash, name = rest.partition("/")
        right = hmac.compare_digest(token.encode(), self.server.token.encode())
        return name if right and slash else None

    def _action(self, name: str, body: Any) -> Callable[[], None]:
        """Return the action that a request asks for; raise a `ValueError` if the body has another form."""
        session = self.server.session
        if name == "answer":
            given = PageAnswer.from_json(body)
            return lambda: session.answer(given.key, given.question, given.answer)
        if body != {}:
            raise ValueError(f"{body!r}; allowed: no keys")
        return session.undo if name == "undo" else session.reopen

    def _do(self, action: Callable[[], None]) -> None:
        status = HTTPStatus.OK
        try:
            with self.server.lock:
                try:
                    action()
                except Stale:
                    status = HTTPStatus.CONFLICT  # the state tells what is asked
                state = self.server.session.state()
        except EX2Error as error:
            status, state = HTTPStatus.INTERNAL_SERVER_ERROR, {"problem": str(error)}
        self._send(status, json.dumps(state).encode(), "application/json")

    def _refuse(self, status: HTTPStatus) -> None:
        self._send(status, b"", "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _is_address(name: str | None) -> bool:
    try:
        return bool(ipaddress.ip_address(name or ""))
    except ValueError:
        return False


def _errno(error: BaseException) -> int | None:
    return getattr(error, "errno", None)
