"""The descriptions of a run as data for the report's table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.judge.base import Question
from analysis.judge.panel import read_votes
from analysis.results.load import SeedResult
from analysis.results.wording import KIND_NAMES
from analysis.verdicts.breakdown import MEMBERS
from analysis.verdicts.verdicts import KINDS, Kind
from ex2.data.names_in_texts import SLOT, replace_name
from reward.files import JSON

ORDER: tuple[Kind, ...] = ("visual", "non_visual", "informative_unparsed", "spurious", "unparsed")
"""Order of the kinds when the list is sorted by verdict."""

MOST_NOTE = 300
"""Most characters of a judge's explanation that the page has."""


def descriptions_table(results: Sequence[SeedResult], images: Mapping[str, Sequence[str]]) -> JSON:
    """Pack the descriptions for the page's script: each distinct text once, and rows of indices into the texts.

    Args:
        results: At least one seed.
        images: Class name → thumbnails, from `class_images`; classes may be missing.

    Raises:
        UserError: If a description has no verdict, because descriptions changed since the analysis.
    """
    classes: dict[str, int] = {}
    questions: dict[str, int] = {}  # with the class's name in it
    asked: dict[int, int | str] = {}  # index of such a question → of the template it was made of
    templates: dict[int | str, str] = {}
    notes: dict[str, int] = {"": 0}
    rows: list[list[Any]] = []
    for result in results:
        for one in result.descriptions:
            kind = result.kind(one)
            question: Question = "informative" if kind in ("spurious", "unparsed") else "visual"
            text = questions.setdefault(one.question, len(questions))
            template = replace_name(one.question, one.class_name, SLOT)
            key = template if one.question_id is None else one.question_id
            templates.setdefault(key, template)
            asked[text] = key
            note = explanation(result.verdicts.raw(question, *one.of_class))
            rows.append(
                [
                    classes.setdefault(one.class_name, len(classes)),
                    text,
                    one.policy,
                    result.seed,
                    one.text,
                    KINDS.index(kind),
                    None if one.reward is None else round(float(one.reward), 3),
                    notes.setdefault(note, len(notes)),
                    int(bool(one.cut)),
                ]
            )
    order = sorted(templates, key=lambda key: (isinstance(key, str), key))
    places = {key: place for place, key in enumerate(order)}
    return {
        "classes": list(classes),
        "questions": list(questions),
        "templates": [templates[key] for key in order],
        "asked": [places[asked[index]] for index in range(len(questions))],
        "notes": list(notes),
        "kinds": [{"key": kind, "name": KIND_NAMES[kind]} for kind in KINDS],
        "groups": [
            {"key": group, "name": f"{KIND_NAMES[group]}, all", "kinds": sorted(KINDS.index(kind) for kind in members)}
            for group, members in MEMBERS.items()
            if len(members) > 1
        ],
        "order": list(ORDER),
        "images": [list(images.get(name, ())) for name in classes],
        "rows": rows,
    }


def explanation(raw: str) -> str:
    """Return why the judge answered so: its JSON's explanation, or else its words if they are more than yes or no.

    For a panel, return the votes of its judges.
    """
    votes = read_votes(raw)
    if votes is not None:
        said = "; ".join(f"{vote.judge}: {vote.verdict}" for vote in votes)
        return said if len(said) <= MOST_NOTE else said[: MOST_NOTE - 1] + "…"
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):  # also of thousands of digits, or of levels
        value = None
    said = str(value.get("explanation", "")) if isinstance(value, dict) else raw.strip()
    if said.lower().rstrip(".") in ("yes", "no"):
        return ""
    return said if len(said) <= MOST_NOTE else said[: MOST_NOTE - 1] + "…"
