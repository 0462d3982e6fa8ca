"""Secrets in settings and texts: found by their names, places and forms, refused in recipes, hidden in messages.

A recipe is stored with each run, printed, and published on the report and the model card. Therefore a secret must not
stand in it at all: it belongs in an environment variable, of which the recipe gives the name.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, unquote_plus, urlsplit

HIDDEN = "***"
"""What stands in the place of a secret."""

LEAST_LENGTH = 8
"""Characters of the shortest value that is taken for a secret by the name of its environment variable."""

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_STRONG = re.compile(
    "apikey|accesskey|privatekey|signingkey|passw|passphrase|secret|credential|authorization|cookie|"
    "(?:access|auth|bearer|refresh|api|hf|session)token"
)
"""Found in names whose values are secrets whatever they look like; names are compared in lower case, letters only."""
_WEAK = frozenset({"key", "token", "pwd", "pass", "auth", "jwt", "bearer"})
"""Last words of names whose values may be secrets."""
_REFERENCES = frozenset({"env", "file", "path", "name", "variable", "length", "id"})
"""Last words of names whose values only say where a secret is."""
_IN_QUERY = _WEAK | {"apikey", "sig", "signature", "access", "code", "session", "sas"}
_QUERY = re.compile("token|signature")

_FORMS = re.compile(
    r"\b(?:sk-(?=[\w-]{0,200}\d)[\w-]{16,}|hf_\w{16,}|gh[pousr]_\w{20,}|xox[abpr]-[\w-]{10,}|AKIA[0-9A-Z]{16}"
    r"|AIza[\w-]{30,}|eyJ[\w-]{10,2000}\.[\w-]{10,2000}\.[\w-]+)"
)
"""Keys and tokens of well-known services, recognized by how they begin."""
_URL = re.compile(r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_PARAMETER = re.compile(r"(?P<before>[?&;#])(?P<name>[^\s=&;#?]{1,100})=(?P<value>[^\s&;#'\"]+)")
_USER = re.compile(
    r"(?<=://)(?:[^\s/?#]{0,500}|[^\s@/:]{0,500}:(?!\d+/)[^\s@]{0,500})@"  # a password may hold a slash
    r"|\b[^\s/:@'\"=]{1,100}:[^\s/:@'\"]{1,100}@(?=[\w.-]+[:/])"  # no scheme: user:password@host/
)
_SCHEME = r"(?:(?:Bearer|Basic|Digest|Negotiate|Token|ApiKey)\s+)?"
_ASSIGNED = re.compile(
    r"(?P<name>(?<![\w.%-])[\w.%-]+)(?P<between>['\"]\s*:\s*['\"]?|=['\"]?)"
    rf"(?P<value>{_SCHEME}"
    r"[^\s'\"&;,}…$*][^\s'\"&;,}]*)"
)
_IN_BRACES = re.compile(
    r"(?P<before>[{,]\s?)(?P<name>[\w.-]{1,100})(?P<between>\s?:\s?)"
    rf"(?P<value>{_SCHEME}"
    r"[^\s'\"&;,}…$*][^\s,}]*)"
)
_BEARER = re.compile(r"(?P<scheme>\b(?:Bearer|Basic)\s+)[\w.~+/=-]{8,}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_WHY = "a recipe is stored with its runs, on reports and on model cards"


def names_secret(name: str) -> bool:
    """Say whether a setting of this name holds a secret, such as `api_key`, `Authorization` or `dbPassword`."""
    words = _words(name)
    return bool(words) and words[-1] not in _REFERENCES and _STRONG.search("".join(words)) is not None


def secret_problems(tree: Any, where: str) -> list[str]:
    """List the secrets in a recipe, without showing any.

    Found are user names, passwords and secret parameters in URLs, settings whose names say that they are secrets, keys
    of well-known services, and a key in the place of its environment variable's name.

    Args:
        tree: Settings as read from YAML; parts may contain each other.
        where: Name of the file, for the messages.

    Returns:
        One line per secret: the file, the key, what is wrong and what to do.
    """
    return [f"{where}: {key}: {problem}" for key, problem in _found(tree)]


def redacted_tree(tree: Any) -> Any:
    """Return settings with `HIDDEN` in the place of every secret: for recipes that earlier versions have stored."""
    if isinstance(tree, dict):
        return {key: _redacted_setting(str(key), value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [redacted_tree(value) for value in tree]
    return redacted(tree, {}) if isinstance(tree, str) else tree


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a text with `HIDDEN` in the place of every secret.

    Args:
        text: Any text, such as an error of a library or a command line.
        environment: Environment variables, default those of the process; the secrets that they hold are hidden too, see
            `secrets_of`.
    """
    text = without(text, secrets_of(os.environ if environment is None else environment))
    if "@" in text:
        text = _USER.sub(f"{HIDDEN}@", text)
    if "=" in text:
        text = _PARAMETER.sub(_hidden_parameter, text)
    if "=" in text or ":" in text:
        text = _ASSIGNED.sub(_hidden_assigned, text)
    if "{" in text:
        text = _IN_BRACES.sub(_hidden_assigned, text)
    return _FORMS.sub(HIDDEN, _BEARER.sub(rf"\g<scheme>{HIDDEN}", text))


_named: set[str] = set()
"""Environment variables that recipes name as those of secrets."""


def hold_secrets(tree: Any) -> None:
    """Take the values of the environment variables that a recipe names, as in `api_key_env`, for secrets from now on.

    Args:
        tree: Settings as read from YAML.
    """
    _named.update(value for path, value in _leaves(tree) if isinstance(value, str) and _is_of_variable(path))


def secrets_of(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the secrets that environment variables hold.

    They are the values of variables whose names say so or that a recipe names for it, what `…_HEADERS` give as headers'
    values, and of a URL with a user, such as a proxy's, its password and the Base64 text by which HTTP sends both.
    """
    for name, value in environment.items():
        if name in _named or _is_secret_variable(name, value):
            yield value
        if _words(name)[-1:] == ["headers"]:
            for line in value.splitlines():
                content = line.partition(":")[2].strip()
                yield content
                yield from content.split()[1:]  # behind a scheme, such as Bearer
        before, at, _ = value.partition("://")[2].rpartition("@")
        user, _, password = unquote(before).partition(":")
        if at and user:
            yield before.partition(":")[2]
            yield password
            yield base64.b64encode(f"{user}:{password}".encode()).decode()


def without(text: str, secrets: Iterable[str]) -> str:
    """Return a text with `HIDDEN` in the place of some secrets, also as they look in JSON and in URLs.

    Those of under `LEAST_LENGTH` characters stay: replacing them would spoil other words.
    """
    forms = {form for one in secrets for form in (one, json.dumps(one)[1:-1], quote(one, safe=""))}
    for form in sorted(forms, key=len, reverse=True):  # one may hold another
        if len(form) >= LEAST_LENGTH and form in text:
            text = text.replace(form, HIDDEN)
    return text


def _is_secret_variable(name: str, value: str) -> bool:
    """Say whether a variable holds a secret: PWD, the folder of the process, only looks like one by its name."""
    return names_secret(name) or (_words(name)[-1:] in _LAST and not os.path.isabs(value))


_LAST = tuple([word] for word in sorted(_WEAK))


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name)]


def _found(tree: Any) -> Iterator[tuple[str, str]]:
    """Yield keys and problems in the order of the file."""
    for path, value in _leaves(tree):
        problem = _problem(path, value)
        if problem:
            yield ".".join(path), problem


def _leaves(tree: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and value of each setting, in the order of the file."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    seen: set[int] = set()  # YAML's aliases make parts that contain themselves, or each other a thousand times
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict | list):
            if id(value) in seen:
                continue
            seen.add(id(value))
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [((*path, str(key)), part) for key, part in reversed(list(parts))]
        else:
            yield path, value


def _name_of(path: tuple[str, ...]) -> str:
    return next((part for part in reversed(path) if not part.isdigit()), "")


def _is_of_variable(path: tuple[str, ...]) -> bool:
    """Say whether a setting is the name of an environment variable."""
    return _words(_name_of(path))[-1:] == ["env"]


def _problem(path: tuple[str, ...], value: Any) -> str | None:
    name = _name_of(path)
    if not isinstance(value, str):
        given = isinstance(value, int | float | bytes) and not isinstance(value, bool)
        return _advice(path, "is a secret by its name") if given and names_secret(name) else None
    if _is_of_variable(path):
        if _is_variable(value):
            return None
        return (
            "is no name of an environment variable, and may be the secret itself (not shown); give a name, such as "
            "OPENAI_API_KEY, and set that variable."
        )
    if not value:
        return None
    if names_secret(name) or (_words(name)[-1:] in _LAST and _looks_random(value)):
        return _advice(path, "is a secret by its name")
    for url in _URL.findall(value) or ([value] if _words(name)[-1:] == ["url"] else []):
        if _has_user(url):
            return _advice(path, "holds a user name or a password before the host")
        for parameter in _PARAMETER.finditer(url):
            if _secret_parameter(parameter["name"]):
                return _advice(path, f"holds a secret as its part '{unquote_plus(parameter['name'])}'")
    return _advice(path, "holds a key or token of a service") if _FORMS.search(value) else None


def _advice(path: tuple[str, ...], problem: str) -> str:
    judge = path[:1] == ("judge",)
    remedy = "name that in api_key_env" if judge else "let your code read it there"
    return f"{problem} (not shown), and {_WHY}; put it into an environment variable and {remedy}."


def _is_variable(value: str) -> bool:
    """Say whether a value is the name of an environment variable rather than a key."""
    if not _VARIABLE.fullmatch(value) or _FORMS.search(value):
        return False
    digits = any(character.isdigit() for character in value)
    random = len(value) >= 16 and digits and ("_" not in value or value.upper() != value)
    return value in os.environ or not random


def _looks_random(value: str) -> bool:
    """Say whether a value is more likely a secret than a word, a column's name or a token such as `[PAD]`."""
    mixed = any(character.isdigit() or character.isupper() for character in value)
    return len(value) >= LEAST_LENGTH and mixed and value[0] not in "<[" and not any(map(str.isspace, value))


def _has_user(url: str) -> bool:
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc or "%40" in parts.netloc:
            return True
        _ = parts.port
    except ValueError:  # such as http://user:pass/word@host: "pass" is no port
        return "@" in url
    return not parts.netloc and "@" in url


def _secret_parameter(name: str) -> bool:
    plain = unquote_plus(unquote_plus(name))
    words = _words(plain)
    squashed = "".join(words)
    return names_secret(plain) or bool(_IN_QUERY.intersection(words)) or _QUERY.search(squashed) is not None


def _hidden_parameter(match: re.Match[str]) -> str:
    if not _secret_parameter(match["name"]) or match["value"][0] in "…$*":
        return match[0]
    return f"{match['before']}{match['name']}={HIDDEN}"


def _hidden_assigned(match: re.Match[str]) -> str:
    kept = len(match[0]) - len(match["value"])
    return match[0][:kept] + HIDDEN if names_secret(match["name"]) else match[0]


def _redacted_setting(name: str, value: Any) -> Any:
    plain = isinstance(value, str | int | float | bytes) and not isinstance(value, bool)
    if not plain or value == "" or not _problem((name,), value):
        return redacted_tree(value)
    known = redacted(value, {}) if isinstance(value, str) else HIDDEN
    return known if known != value else HIDDEN
