"""The answerers that a recipe can name, and what tells answers of one from those of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.images.questions.answerers.base import Answerer
from analysis.judge.panel import panel_members
from analysis.verdicts.verdicts import settings_digest
from reward.components import Parts, build, check_component, resolve
from reward.errors import EX2Error, UserError
from reward.own_code import code_digest
from reward.records import JSON

ANSWERERS = Parts(
    {
        "scripted": "analysis.images.questions.answerers.scripted:ScriptedAnswerer",
        "local": "analysis.images.questions.answerers.local:LocalAnswerer",
        "openai": "analysis.images.questions.answerers.server:OpenAIAnswerer",
        "panel": "analysis.images.questions.answerers.panel:PanelAnswerer",
    },
    kind="answerer",
    methods=("answer",),
)
"""Name → `"module:class"`, imported on use. A recipe may also give a dotted path.

An answerer satisfies `analysis.images.questions.answerers.base.Answerer`; the parameters of its constructor are
settings of the recipe. The program supplies `folder`, where it may remember what it has handed in, and `named_in`, the
section for its messages, if the constructor takes them.
"""

SUPPLIED = ("folder", "named_in")


def build_answerer(name: str, settings: Mapping[str, Any], where: str, folder: Path | None = None) -> Answerer:
    """Build an answerer; nothing is sent, and only what its constructor needs is loaded.

    Args:
        name: A key of `ANSWERERS` or a dotted path.
        settings: Keyword arguments of its constructor.
        where: File and section for messages.
        folder: Where it may remember what it has handed in.

    Raises:
        UserError: For an unknown name or setting, or a class that is no answerer.
    """
    answerer = build(name, settings, ANSWERERS, where, folder=folder, named_in=where)
    missing = [attribute for attribute in ("name", "exact", "answer") if not hasattr(answerer, attribute)]
    if missing:
        raise UserError(f"{where}: '{name}' is no answerer: it lacks {', '.join(missing)}.")
    result: Answerer = answerer
    return result


def answerer_problems(answerers: Sequence[tuple[str, Mapping[str, Any]]], where: str) -> list[str]:
    """List what is wrong with the names and settings of answerers.

    Args:
        answerers: Name and settings of each.
        where: File and section for messages, such as `x.yaml: measure.answerers`.
    """
    found = []
    for place, (name, settings) in enumerate(answerers):
        try:
            found += check_component(name, settings, ANSWERERS, f"{where}[{place}]", SUPPLIED)
        except EX2Error as error:
            found += str(error).splitlines()
    return found


def answerer_digest(name: str, settings: Mapping[str, Any]) -> str:
    """Return a short hash of all that determines an answerer's answers and how they are read.

    Settings that the class declares `immaterial` are left out; the version of its words and its reading is included,
    and so is the code of a class of the user's own.

    Raises:
        UserError: If there is no such answerer.
    """
    return settings_digest(name, _material(name, settings))


def _material(name: str, settings: Mapping[str, Any]) -> JSON:
    factory = resolve(name, ANSWERERS, "answerers.name")
    kept: JSON = {key: value for key, value in settings.items() if key not in getattr(factory, "immaterial", ())}
    version = getattr(factory, "answers_version", None)
    if version is not None:
        kept |= {"answers_version": version}
    own = code_digest(name, ANSWERERS)
    if own is not None:
        kept |= {"code": own}
    if name == "panel":
        kept |= {"answerers": [{"name": one, **_material(one, own)} for one, own in members_of(settings)]}
    return kept


def members_of(settings: Mapping[str, Any]) -> list[tuple[Any, JSON]]:
    """Return name and settings of the answerers that the settings of a panel name; names are not checked."""
    key = "answerers"
    return [(member.name, member.settings) for member in panel_members({"judges": settings.get(key, [])})]
