"""Whether a judge could answer, before anything is asked: its classes, its key, its model's folder, its server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from analysis.judge.table import JUDGES
from reward.components import resolve
from reward.errors import EX2Error

NO_SUCH_LIST = (404, 405, 501)
"""Answers of a server that is there and does not list its models."""
PING_SECONDS = 10.0
"""How long a server may take to say that it is there."""


class Readiness(NamedTuple):
    """What was found of a judge.

    Attributes:
        wrong: What is wrong with the recipe's choice.
        lacking: What this machine lacks: a key, a model's folder, a server that answers.
        unchecked: What was not looked at, and why.
    """

    wrong: list[str]
    lacking: list[str]
    unchecked: list[str]

    def __add__(self, other: Any) -> Readiness:
        return Readiness(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def judge_readiness(
    name: str, settings: Mapping[str, Any], class_names: Sequence[str] | None, *, online: bool = False
) -> Readiness:
    """Check a judge whose settings are valid, without asking it anything and without loading weights.

    A judge's class may have a static method `class_problems(class_names)` that lists why it cannot judge a dataset.

    Args:
        name: A key of `JUDGES` or a dotted path.
        settings: Its settings.
        class_names: The dataset's classes; None if it could not be opened.
        online: Also ask its server whether it is there.
    """
    if name == "panel":
        found = Readiness([], [], [])
        for place, member in enumerate(settings["judges"]):
            own = {key: value for key, value in member.items() if key != "name"}
            one = judge_readiness(member["name"], own, class_names, online=online)
            here = f"judge.judges[{place}]"
            found += Readiness(*([line.replace("judge", here, 1) for line in lines] for lines in one))
        return found
    factory = resolve(name, JUDGES, "judge")
    wrong: list[str] = []
    asks = getattr(factory, "class_problems", None)
    if asks is not None and class_names is not None:
        wrong += asks(class_names)
    if name == "openai":
        return Readiness(wrong, [], []) + _server(settings, online=online)
    if name == "local":
        return Readiness(wrong, [], []) + _model(settings)
    unknown = [] if name in JUDGES else [f"judge: whether '{name}' can answer"]
    return Readiness(wrong, [], unknown)


def _server(settings: Mapping[str, Any], *, online: bool) -> Readiness:
    from analysis.judge.server.chat import ChatServer

    keys = ("model", "base_url", "api_key_env", "timeout")
    try:
        server = ChatServer(**{key: settings[key] for key in keys if key in settings}, max_retries=0, sampling={})
        server.address.key  # noqa: B018 - raises if it is missing or cannot be sent
    except EX2Error as error:
        return Readiness([], str(error).splitlines(), [])
    if not online:
        return Readiness([], [], [f"judge: whether {server.shown_url} answers (ex2 validate --online asks it)"])
    return Readiness([], _ping(server), [])


def _ping(server: Any) -> list[str]:
    """Ask a server for its list of models, the one question that costs nothing."""
    import openai

    try:
        with server.address.client(openai.OpenAI, PING_SECONDS, 0) as client:
            client.models.list()
    except openai.APIResponseValidationError:
        return []
    except openai.APIError as error:
        known = getattr(error, "status_code", None) in NO_SUCH_LIST
        return [] if known else str(server.fault(error)).splitlines()
    except EX2Error as error:
        return str(error).splitlines()
    return []


def _model(settings: Mapping[str, Any]) -> Readiness:
    """Look for a local judge's model, and in a plain folder for the tokens by which it answers."""
    from analysis.judge.local import answer_tokens
    from ex2.policy.loading import load_tokenizer, resolve_model
    from ex2.policy.source import ModelSource

    model = settings["model"]
    try:
        resolved = resolve_model(model, "judge")
        if settings.get("gguf_file") or settings.get("trust_remote_code") or not Path(resolved).is_dir():
            return Readiness([], [], [f"judge: whether the tokenizer of '{model}' has tokens for yes and no"])
        answer_tokens(load_tokenizer(ModelSource(model, named_in="judge")))
    except EX2Error as error:
        return Readiness([], str(error).splitlines(), [])
    return Readiness([], [], [])
