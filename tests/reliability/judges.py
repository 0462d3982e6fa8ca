"""A judge that a recipe of a cell names in the place of the run's."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.judge.base import JudgeRequest, OnAnswer, Verdict


class NoJudge:
    """Says no to everything."""

    name = "no"
    exact = True

    def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
        """Answer every request at once."""
        for request in requests:
            on_answer(request, Verdict(False, "no"))
