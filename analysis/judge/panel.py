"""Several judges at once: every judge is asked everything, and the majority decides."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict

from analysis.judge.base import (
    Answer,
    AnswerWord,
    CostEstimate,
    EstimatesCost,
    Judge,
    JudgeRequest,
    OnAnswer,
    Question,
    Unparsed,
    Usage,
    Verdict,
    answer_word,
)
from analysis.judge.table import JUDGES, build_judge
from reward.components import check_component
from reward.errors import EX2Error, UserError
from reward.files import write_jsonl
from reward.records import JSON, Flat, Keyed, Record

DISAGREEMENTS = "disagreements.jsonl"
CHUNK = 512
"""Questions that all judges answer before the next ones are asked: so many are lost at most by a kill."""


@dataclass(frozen=True)
class JudgeUsage(Record):
    """What one judge of a panel took.

    Attributes:
        name: Of the judge, or `not told apart`.
        spent: Requests and tokens.
        cost: In the currency of its prices; None if it is unknown.
    """

    name: str
    spent: Annotated[Usage, Keyed(), Flat()]
    cost: float | None


@dataclass(frozen=True)
class PanelVotes(Record):
    """How a panel voted on one question.

    Attributes:
        asked: Descriptions that it was asked about.
        unanimous: Those on which all judges agreed; unparsed counts as an opinion of its own.
        undecided: Those without a majority.
        judges: For each judge the number of its votes, by `yes`, `no` and `unparsed`.
    """

    asked: int
    unanimous: int
    undecided: int
    judges: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Vote(Record):
    """What one judge of a panel said.

    Attributes:
        judge: Its name, numbered if several have it.
        verdict: Its answer in one word.
        raw: Its words.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # with other keys it is the answer of a judge of one's own

    judge: str
    verdict: AnswerWord
    raw: str


class PanelMember(NamedTuple):
    """A judge of a panel, as a recipe gives it.

    Attributes:
        name: A key of `JUDGES` or a dotted path; whatever was given.
        settings: All else.
    """

    name: Any
    settings: JSON


def panel_members(settings: Mapping[str, Any]) -> list[PanelMember]:
    """Return the judges that the settings of a panel name."""
    return [
        PanelMember(given.get("name"), {key: value for key, value in given.items() if key != "name"})
        for given in settings.get("judges", [])
    ]


class PanelJudge:
    """Asks several judges; the answer is yes (no) if more than half of all judges say yes (no), else unparsed.

    `raw` of an answer is JSON: one object per judge, in order, with `judge`, `verdict` and `raw`.

    Args:
        judges: Two or more, each with `name` and its settings as under `judge` of a recipe.
        folder: Of the seed's results; given by the program.

    Raises:
        UserError: If one of them cannot be built; every problem at once.
    """

    def __init__(self, judges: list[dict[str, Any]], folder: Path | None = None) -> None:
        problems = self.setting_problems({"judges": judges}, "judge")
        if problems:
            raise UserError("\n".join(problems))
        self.judges: list[Judge] = [
            # A folder each: in its name a judge pays, and of equal judges the second finds the first one's answers.
            build_judge(one.name, one.settings, f"judge.judges[{place}]", folder and folder / f"judge-{place}")
            for place, one in enumerate(panel_members({"judges": judges}))
        ]
        self.names = distinct([judge.name for judge in self.judges])
        self.name = f"majority of {', '.join(self.names)}"
        self.exact = all(judge.exact for judge in self.judges)
        versions = dict.fromkeys(str(getattr(judge, "rubric_version", "")) for judge in self.judges)
        self.rubric_version = " and ".join(version for version in versions if version)

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: Iterable[str] = ()) -> list[str]:
        """List what is wrong with the judges' settings; arguments as `reward.components.settings_problems`."""
        judges = panel_members(settings)
        problems = [] if len(judges) > 1 else [f"{where}.judges: given {len(judges)}; a panel needs at least 2."]
        for place, one in enumerate(judges):
            here = f"{where}.judges[{place}]"
            if not isinstance(one.name, str):
                problems.append(f"{here}: 'name' is missing; available: {', '.join(sorted(JUDGES))}.")
                continue
            if one.name == "panel" or one.settings.get("mode") == "batch":
                problems.append(f"{here}: a panel takes no panel and no mode: batch; give these runs of their own.")
                continue
            try:
                problems += check_component(one.name, one.settings, JUDGES, here, ("folder",))
            except EX2Error as error:
                problems += str(error).splitlines()
        return problems

    def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
        """Answer every request once all judges have; errors as of the judges."""
        for start in range(0, len(requests), CHUNK):
            chunk = requests[start : start + CHUNK]
            given: dict[JudgeRequest, list[Answer]] = {request: [] for request in chunk}
            for judge in self.judges:
                judge.answer(chunk, lambda request, answer, given=given: given[request].append(answer))  # type: ignore[misc]
            for request, answers in given.items():
                on_answer(request, majority(self.names, answers))

    def estimate(self, requests: Sequence[JudgeRequest]) -> CostEstimate:
        """Add up the judges' estimates; those that cost nothing are left out."""
        parts = [judge.estimate(requests) for judge in self.judges if isinstance(judge, EstimatesCost)]
        return functools.reduce(CostEstimate.plus, parts, CostEstimate(0, Usage(), 0.0, Usage(), 0.0))

    def usage(self, spent: Usage, parts: Sequence[Usage]) -> list[JudgeUsage]:
        """Return what each judge took.

        Args:
            spent: On all answers.
            parts: The same by judge, as far as that was noted: logs of an earlier version lack it. What they leave open
                is listed under the name `not told apart`; it has a cost if that is the same for all judges.
        """
        rows = []
        for name, judge, part in zip(self.names, self.judges, parts, strict=bool(parts)):
            cost = judge.cost(part) if isinstance(judge, EstimatesCost) else 0.0 if part == Usage() else None
            rows.append(JudgeUsage(name, part, cost))
        rest = functools.reduce(Usage.minus, parts, spent)
        if rest != Usage():
            costs = {judge.cost(rest) for judge in self.judges if isinstance(judge, EstimatesCost)}
            rows.append(JudgeUsage("not told apart", rest, costs.pop() if len(costs) == 1 else None))
        return rows

    def cost(self, spent: Usage, parts: Sequence[Usage] = ()) -> float | None:
        """Return the price of what was spent: the sum over `usage`, or None if that of a part is unknown."""
        rows = self.usage(spent, parts)
        costs = [row.cost for row in rows if row.cost is not None]
        return sum(costs, 0.0) if len(costs) == len(rows) else None


def majority(names: Sequence[str], answers: Sequence[Answer]) -> Answer:
    """Combine the answers of all judges to one question.

    Args:
        names: Of the judges.
        answers: One of each, in the same order.

    Returns:
        The answer of more than half of them, unparsed ones included in the count; otherwise `Unparsed`. What each took
        is kept with it.
    """
    votes = [Vote(name, answer_word(answer), answer.raw) for name, answer in zip(names, answers, strict=True)]
    raw = json.dumps([vote.to_json() for vote in votes], ensure_ascii=False)
    parts: tuple[Usage, ...] = ()
    if any(answer.spent is not None for answer in answers):
        parts = tuple(answer.spent or Usage() for answer in answers)
    spent = functools.reduce(Usage.plus, parts) if parts else None
    for meaning in (True, False):
        if 2 * sum(isinstance(answer, Verdict) and answer.answer is meaning for answer in answers) > len(answers):
            return Verdict(meaning, raw, spent, parts)
    return Unparsed(raw, spent, parts)


def read_votes(raw: str) -> list[Vote] | None:
    """Return every judge's vote from a panel's `raw`; None if it is no panel's."""
    try:
        stored = json.loads(raw)
        votes = [Vote.from_json(vote) for vote in stored] if isinstance(stored, list) else []
    except (ValueError, RecursionError):
        return None
    return votes if len(votes) > 1 else None


def disagreements(answers: Iterable[tuple[JudgeRequest, Answer]]) -> Iterator[dict[str, Any]]:
    """List the questions on which a panel's judges were not of one mind.

    Args:
        answers: Of any judge; those of no panel are passed over.

    Yields:
        `question`, `class`, `description`, the panel's `verdict` and all `votes`.
    """
    for request, answer in answers:
        votes = read_votes(answer.raw)
        if votes is not None and len({vote.verdict for vote in votes}) > 1:
            yield {
                "question": request.question,
                "class": request.class_name,
                "description": request.description,
                "verdict": answer_word(answer),
                "votes": [vote.to_json() for vote in votes],
            }


def write_disagreements(answers: Iterable[tuple[JudgeRequest, Answer]], folder: Path) -> None:
    """Write `disagreements.jsonl` of a panel; an earlier one is removed if there is nothing to tell."""
    rows, path = list(disagreements(answers)), folder / DISAGREEMENTS
    if rows:
        write_jsonl(path, rows)
    else:
        path.unlink(missing_ok=True)


def panel_summary(answers: Iterable[tuple[JudgeRequest, Answer]]) -> dict[Question, PanelVotes] | None:
    """Count how often a panel's judges agree.

    Args:
        answers: Of a panel; those of other judges are passed over.

    Returns:
        By question; None if no panel was asked.
    """
    result: dict[Question, PanelVotes] = {}
    for request, answer in answers:
        votes = read_votes(answer.raw)
        if votes is None:
            continue
        so_far = result.get(request.question, PanelVotes(0, 0, 0, {}))
        judges = {judge: dict(counts) for judge, counts in so_far.judges.items()}
        for vote in votes:
            of_judge = judges.setdefault(vote.judge, {"yes": 0, "no": 0, "unparsed": 0})
            of_judge[vote.verdict] += 1
        result[request.question] = PanelVotes(
            so_far.asked + 1,
            so_far.unanimous + (len({vote.verdict for vote in votes}) == 1),
            so_far.undecided + isinstance(answer, Unparsed),
            judges,
        )
    return result or None


def distinct(names: Sequence[str]) -> list[str]:
    """Number names that occur more than once: a, a → a (1), a (2)."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(f"{name} ({seen[name]})" if names.count(name) > 1 else name)
    return result
