"""Where a judge's server is and how it is reached: its URL, the API key, and clients that do not show either."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import openai

from analysis.judge.server.proxies import usable_environment
from reward.errors import UserError
from reward.secrets import secret_problems, secrets_of, without

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"

HEADERS = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS")
"""Environment variables that the client sends as headers."""

Client = TypeVar("Client", openai.OpenAI, openai.AsyncOpenAI)


def url_problem(base_url: str | None) -> str | None:
    """Say what is wrong with a `base_url`, without showing secrets; None if nothing is. The default, None, is valid."""
    secrets = secret_problems({"judge": {"base_url": base_url}}, "")
    if secrets:
        return secrets[0].removeprefix(": judge.base_url: ")
    try:
        parts = urlsplit(base_url or OPENAI_URL)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket too many
        fits = False
    if not fits:
        return f"'{base_url}' is no http(s) URL; give one such as http://localhost:8000/v1."
    if parts.fragment:
        return f"'{base_url}' has a part behind '#', which is never sent; leave it out."
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    twice = next((name for name in names if names.count(name) > 1), None)
    return None if twice is None else f"'{base_url}' gives '{twice}' twice; keep one."


def not_in_headers(value: str) -> str | None:
    """Name the first character of a value that an HTTP header cannot hold, or None; the value itself is not shown."""
    if value != value.strip(" "):
        return "a space at its beginning or end"
    for number, character in enumerate(value, start=1):
        if not " " <= character <= "~":
            place = "at its end" if number == len(value) else f"as character {number} of {len(value)}"
            what = {"\n": "a line break", "\r": "a line break (CR)", "\t": "a tab"}.get(character)
            return f"{what or unicodedata.name(character, f'U+{ord(character):04X}')} {place}"
    return None


@dataclass(frozen=True)
class Address:
    """A server and what it wants to see.

    Attributes:
        url: Address of the server as it was given, without slashes at its end.
        key_name: Environment variable that holds the API key; None for a server that needs none.
        host: Host and port.
        shown: Address without its query.
        query: Parameters that every request carries behind its path, such as an API's version.
        named_in: The recipe's section that names the server, for messages.
    """

    url: str
    key_name: str | None
    host: str
    shown: str
    query: dict[str, str]
    named_in: str = "judge"

    @classmethod
    def of(cls, base_url: str | None, key_name: str | None, named_in: str = "judge") -> Address:
        """Read a URL; the default is OpenAI's, whose key has a default name.

        Raises:
            UserError: If `url_problem` finds something.
        """
        url = (base_url or OPENAI_URL).rstrip("/")
        problem = url_problem(base_url)
        if problem:
            raise UserError(f"{named_in}.base_url: {problem}")
        parts = urlsplit(url)
        shown = f"{parts.scheme}://{parts.netloc}{parts.path}"
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if key_name is None and url == OPENAI_URL:
            key_name = OPENAI_KEY
        return cls(url, key_name, parts.netloc, shown, query, named_in)

    @property
    def key(self) -> str:
        """The API key; `none` for a server that needs no key.

        Raises:
            UserError: If the key's environment variable is not set, or its value cannot be sent.
        """
        if self.key_name is None:
            return "none"
        key = os.environ.get(self.key_name)
        if not key:
            raise UserError(
                f"{self.named_in}: the environment variable {self.key_name} is not set; {self.shown} needs an API key: "
                f"export {self.key_name}=…, or give {self.named_in}.base_url of a server of your own."
            )
        wrong = not_in_headers(key)
        if wrong:
            raise UserError(
                f"{self.named_in}: the environment variable {self.key_name} holds {wrong}, which HTTP cannot send in a "
                "key; set it again without."
            )
        return key

    def hide(self, text: str) -> str:
        """Return what a server said without what it, or a proxy, was sent as headers: some servers repeat it.

        A key of under `LEAST_LENGTH` characters, such as `none` or `x` for servers that take any, is no secret.
        """
        sent = [os.environ.get(name, "") for name in (self.key_name, *HEADERS) if name]
        return without(text, [*sent, *secrets_of(os.environ)])

    def client(self, kind: type[Client], timeout: float, max_retries: int) -> Client:
        """Return a client for the server.

        Args:
            kind: The client's class.
            timeout: Seconds per try.
            max_retries: Further tries that the client itself makes.

        Raises:
            UserError: If the API key is missing or cannot be sent, or a header of the environment cannot be sent.
            EnvironmentFault: If the environment's proxies or certificates cannot be used.
        """
        key = self.key
        for name in HEADERS:
            wrong = [not_in_headers(line.strip()) for line in os.environ.get(name, "").strip("\n").split("\n")]
            if any(wrong):
                raise UserError(
                    f"{self.named_in}: the environment variable {name} holds {next(filter(None, wrong))}, which HTTP "
                    "cannot send in a header; set it again without, or unset it."
                )
        with usable_environment(f"{self.named_in} {self.shown}"):
            plain = openai.DefaultHttpxClient if kind is openai.OpenAI else openai.DefaultAsyncHttpxClient
            # a redirect would hand the questions, and headers of the environment, to a server that nobody named
            wire: Any = plain(follow_redirects=False)
            return kind(
                http_client=wire,
                api_key=key,
                base_url=self.shown.rstrip("/"),
                default_query=dict(self.query),
                timeout=timeout,
                max_retries=max_retries,
            )
