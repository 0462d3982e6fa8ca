"""A page on this machine that a person works on in a browser: a server of one page, which nobody else can use.

Only someone who has the page's address can use it, because the address holds a random token. Requests that other sites
make a browser send are refused, also those under a name of theirs that leads to this machine. The page loads nothing
from other servers.
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
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from reward.errors import EX2Error, UserError
from reward.records import JSON
from reward.signals import is_met
from reward.terminal import PlainConsole

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Stale(Exception):
    """Raised for what a page asks that is not open any more: it was sent twice, or from an older page."""


class Page(Protocol):
    """What a page shows and does.

    Attributes:
        files: Name in the address → file and its kind; "" is the page itself.
        actions: Names of what the page can ask for.
        largest: Most bytes of what it sends.
    """

    @property
    def files(self) -> Mapping[str, tuple[Path, str]]: ...

    @property
    def actions(self) -> Collection[str]: ...

    @property
    def largest(self) -> int: ...

    def state(self) -> JSON:
        """Return what the page shows."""
        ...

    def action(self, name: str, body: Any) -> Callable[[], None]:
        """Return what is done for a request, which may raise `Stale`.

        Raises:
            ValueError: If the body has another form.
        """
        ...

    def image(self, name: str) -> bytes | None:
        """Return an image of the page as a PNG; None if there is none of this name."""
        ...


def serve(server: PageServer, *, open_browser: bool) -> None:
    """Serve until the user ends it.

    Args:
        server: The server.
        open_browser: Whether to open the page in the browser.
    """
    if open_browser:
        import webbrowser

        webbrowser.open(server.url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        is_met()
        PlainConsole(highlight=False).print()
    finally:
        server.server_close()


class PageServer(ThreadingHTTPServer):
    """Serves one page; what the page does is done for one request at a time."""

    daemon_threads = True
    block_on_close = False  # a browser may hold a connection open that it has not used: ending must not wait for it

    def __init__(self, page: Page, host: str = "127.0.0.1", port: int = 0) -> None:
        """Open the server's socket.

        Args:
            page: What is shown and done.
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.

        Raises:
            UserError: If the address cannot be used.
        """
        self.page, self.lock = page, threading.Lock()
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
    server: PageServer
    timeout = 60

    def do_GET(self) -> None:
        """Send the page, its style and script, its images, or the state."""
        name = self._name()
        page = self.server.page
        if not self._for_us():
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
        elif name is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif name == "state":
            self._do(lambda: None)
        elif name in page.files:
            file, kind = page.files[name]
            self._send(HTTPStatus.OK, file.read_bytes(), kind)
        elif (image := page.image(name)) is not None:
            self._send(HTTPStatus.OK, image, "image/png")
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Do what the page asks for; the reply is the new state."""
        name = self._name()
        if not self._for_us():
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return
        if self.headers.get("Origin", f"http://{self.headers['Host']}") != f"http://{self.headers['Host']}":
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        if name is None or name not in self.server.page.actions:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        # A form of another site can send no JSON without the browser asking us first.
        length = self.headers.get("Content-Length", "")
        if (
            not length.isdigit()
            or int(length) > self.server.page.largest
            or self.headers.get_content_type() != "application/json"
        ):
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        try:
            action = self.server.page.action(name, json.loads(self.rfile.read(int(length))))
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

    def _do(self, action: Callable[[], None]) -> None:
        status = HTTPStatus.OK
        try:
            with self.server.lock:
                try:
                    action()
                except Stale:
                    status = HTTPStatus.CONFLICT  # the state tells what is asked
                state = self.server.page.state()
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
