"""Several answerers at once: every one is asked everything, and the majority decides; a tie is unparsed."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.images.questions.answerers.base import CountsCost, OnAnswer
from analysis.images.questions.answerers.table import ANSWERERS, SUPPLIED, build_answerer, members_of
from analysis.images.questions.files import ImageQuestion
from analysis.judge.base import Answer, CostEstimate, Usage
from analysis.judge.panel import CHUNK, distinct, majority
from reward.components import check_component
from reward.errors import EX2Error, UserError
from reward.records import JSON


class PanelAnswerer:
    """Answers yes (no) if more than half of all answerers say yes (no), else the answer is unparsed.

    `raw` of an answer is JSON: one object per answerer, as of the judge `panel`.

    Args:
        answerers: Two or more, each with `name` and its settings.
        folder: Where they may remember what they have handed in; set by the program.
        named_in: The section that names the panel, for messages; set by the program.

    Raises:
        UserError: If an answerer cannot be built; the message lists every problem.
    """

    def __init__(self, answerers: list[dict[str, Any]], folder: Path | None = None, named_in: str = "answerer") -> None:
        problems = self.setting_problems({"answerers": answerers}, named_in)
        if problems:
            raise UserError("\n".join(problems))
        self.members = [
            build_answerer(name, settings, f"{named_in}.answerers[{place}]", folder and folder / f"member-{place}")
            for place, (name, settings) in enumerate(members_of({"answerers": answerers}))
        ]
        self.names = distinct([member.name for member in self.members])
        self.name = f"majority of {', '.join(self.names)}"
        self.exact = all(member.exact for member in self.members)

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: Iterable[str] = ()) -> list[str]:
        """List problems of the answerers' settings; arguments as of `reward.components.settings_problems`."""
        members: list[tuple[Any, JSON]] = members_of(settings)
        found = [] if len(members) > 1 else [f"{where}.answerers: given {len(members)}; a panel needs at least 2."]
        for place, (name, own) in enumerate(members):
            here = f"{where}.answerers[{place}]"
            if not isinstance(name, str):
                found.append(f"{here}: 'name' is missing; available: {', '.join(sorted(ANSWERERS))}.")
                continue
            if name == "panel" or own.get("mode") == "batch":
                found.append(f"{here}: a panel takes no panel and no mode: batch; list these beside it.")
                continue
            try:
                found += check_component(name, own, ANSWERERS, here, SUPPLIED)
            except EX2Error as error:
                found += str(error).splitlines()
        return found

    def answer(self, questions: Sequence[ImageQuestion], on_answer: OnAnswer) -> None:
        """Answer every question as soon as all answerers have; raises what they raise."""
        for start in range(0, len(questions), CHUNK):
            chunk = questions[start : start + CHUNK]
            given: dict[ImageQuestion, list[Answer]] = {question: [] for question in chunk}
            for member in self.members:
                member.answer(chunk, lambda question, answer, given=given: given[question].append(answer))  # type: ignore[misc]
            for question, answers in given.items():
                on_answer(question, majority(self.names, answers))

    def estimate(self, questions: Sequence[ImageQuestion]) -> CostEstimate:
        """Add up the answerers' estimates; those that cost nothing are left out."""
        parts = [member.estimate(questions) for member in self.members if isinstance(member, CountsCost)]
        return functools.reduce(CostEstimate.plus, parts, CostEstimate(0, Usage(), 0.0, Usage(), 0.0))

    def cost(self, spent: Usage, parts: Sequence[Usage] = ()) -> float | None:
        """Return the price of what was spent, if it is known of whom: the sum over the answerers; else None."""
        if spent == Usage():
            return 0.0
        if len(parts) != len(self.members):
            return None
        costs = [
            member.cost(part) if isinstance(member, CountsCost) else 0.0
            for member, part in zip(self.members, parts, strict=True)
        ]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None
