"""The demo world's judge: it knows the grammar and the truth, so its answers are exact."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.judge.base import JudgeRequest, OnAnswer, Verdict
from ex2.data.demo.world import BY_NAME, VISUAL_FACETS, true_facts
from reward.errors import UserError, unknown_name


class ScriptedJudge:
    """Answers from the world's own parser, `ex2.data.demo.world.true_facts`.

    A text is informative if it states a true fact about the concept, and visual if it states a true fact about the
    concept's colour, shape or pattern. A visual text is therefore always informative too.
    """

    name = "scripted"
    exact = True

    @staticmethod
    def class_problems(class_names: Sequence[str]) -> list[str]:
        """List, in one line, classes of a dataset that are no concepts of the demo world."""
        unknown = [name for name in class_names if name not in BY_NAME]
        if not unknown:
            return []
        return [
            f"judge.name: 'scripted' knows the demo world only, and {len(unknown)} of the dataset's "
            f"{len(class_names)} classes are not of it, such as '{unknown[0]}'; choose another judge for this dataset."
        ]

    def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
        """Answer every request at once.

        Raises:
            UserError: If a class is not a concept of the demo world; no request is answered then.
        """
        for request in requests:
            if request.class_name not in BY_NAME:
                hint = "The scripted judge knows the demo world only; choose another judge for this dataset."
                raise UserError(unknown_name("judge scripted: class", request.class_name, BY_NAME, hint=hint))
        for request in requests:
            facts = true_facts(request.description, request.class_name)
            counted = facts & VISUAL_FACETS if request.question == "visual" else facts
            raw = f"yes: {', '.join(sorted(counted))}" if counted else "no"
            on_answer(request, Verdict(bool(counted), raw))
