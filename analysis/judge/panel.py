"""Several judges at once: every judge is asked everything, and the majority decides."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
    ReadsAgain,
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
"""Number of questions that all judges answer before the next ones are asked; a kill loses at most so many."""


@dataclass(frozen=True)
class JudgeUsage(Record):
    """What one judge of a panel took.

    Attributes:
        name: Name of the judge, or `not told apart` for what cannot be attributed to one judge.
        spent: Requests and tokens.
        cost: Price in the currency of the judge's prices; None if it is unknown.
    """

    name: str
    spent: Annotated[Usage, Keyed(), Flat()]
    cost: float | None


@dataclass(frozen=True)
class PanelVotes(Record):
    """How a panel voted on one question.

    Attributes:
        asked: Number of descriptions that the panel was asked about.
        unanimous: Number of descriptions on which all judges agreed; `unparsed` counts as a third opinion beside yes
            and no.
        undecided: Number of descriptions without a majority.
        judges: For each judge, its number of votes for `yes`, `no` and `unparsed`.
    """

    asked: int
    unanimous: int
    undecided: int
    judges: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Vote(Record):
    """What one judge of a panel said.

    Attributes:
        judge: Name of the judge, numbered if several judges of the panel have it.
        verdict: The judge's answer in one word.
        raw: What the judge said.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # with other keys it is the answer of a judge of one's own

    judge: str
    verdict: AnswerWord
    raw: str

    @property
    def answer(self) -> Answer:
        """The vote as the judge's answer."""
        return Unparsed(self.raw) if self.verdict == "unparsed" else Verdict(self.verdict == "yes", self.raw)


class PanelMember(NamedTuple):
    """A judge of a panel, as a recipe gives it.

    Attributes:
        name: A key of `JUDGES` or a dotted path, not checked: of any type, as the recipe has it.
        settings: The judge's other settings.
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
        folder: Folder of the seed's results; set by the program, not by a recipe.

    Raises:
        UserError: If a judge cannot be built; the message lists every problem.
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
        """List problems of the judges' settings; the arguments are those of `reward.components.settings_problems`."""
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
        """Answer every request as soon as all judges have answered it; raises what the judges raise."""
        for start in range(0, len(requests), CHUNK):
            chunk = requests[start : start + CHUNK]
            given: dict[JudgeRequest, list[Answer]] = {request: [] for request in chunk}
            for judge in self.judges:
                judge.answer(chunk, lambda request, answer, given=given: given[request].append(answer))  # type: ignore[misc]
            for request, answers in given.items():
                on_answer(request, majority(self.names, answers))

    def read_again(self, request: JudgeRequest, answer: Answer) -> Answer:
        """Read every judge's stored text by the rules of today, and let the majority decide anew; nothing is sent."""
        votes = read_votes(answer.raw) or []
        if len(votes) != len(self.judges):
            return answer
        answers = [
            judge.read_again(request, vote.answer) if isinstance(judge, ReadsAgain) else vote.answer
            for judge, vote in zip(self.judges, votes, strict=True)
        ]
        return replace(majority(self.names, answers), spent=answer.spent, parts=answer.parts)

    def estimate(self, requests: Sequence[JudgeRequest]) -> CostEstimate:
        """Add up the judges' estimates; those that cost nothing are left out."""
        parts = [judge.estimate(requests) for judge in self.judges if isinstance(judge, EstimatesCost)]
        return functools.reduce(CostEstimate.plus, parts, CostEstimate(0, Usage(), 0.0, Usage(), 0.0))

    def usage(self, spent: Usage, parts: Sequence[Usage]) -> list[JudgeUsage]:
        """Return the requests, tokens and money that each judge took.

        Args:
            spent: What all answers took together.
            parts: What each judge took, in order, as far as it is known: logs of earlier versions do not say it. What
                `parts` lack of `spent` is listed under the name `not told apart`; its cost is known only if all judges
                would charge the same for it.
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
        """Return the price of what was spent: the sum of the costs in `usage`, or None if one of them is unknown."""
        rows = self.usage(spent, parts)
        costs = [row.cost for row in rows if row.cost is not None]
        return sum(costs, 0.0) if len(costs) == len(rows) else None


def majority(names: Sequence[str], answers: Sequence[Answer]) -> Answer:
    """Combine the answers of all judges to one question.

    Args:
        names: Names of the judges.
        answers: The answer of each judge, in the same order.

    Returns:
        The answer that more than half of all judges gave, those with an unparsed answer counted too; `Unparsed` if
        there is none. It holds what each judge took.
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
    """Return every judge's vote from the `raw` text of a panel's answer; None if the text is not a panel's."""
    try:
        stored = json.loads(raw)
        votes = [Vote.from_json(vote) for vote in stored] if isinstance(stored, list) else []
    except (ValueError, RecursionError):
        return None
    return votes if len(votes) > 1 else None


def disagreements(answers: Iterable[tuple[JudgeRequest, Answer]]) -> Iterator[dict[str, Any]]:
    """List the questions on which a panel's judges did not agree.

    Args:
        answers: Questions and answers; answers that are not a panel's are skipped.

    Yields:
        For each such question an object with `question`, `class`, `description`, the panel's `verdict` and all `votes`.
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
    """Write a panel's `disagreements.jsonl`; if there are no disagreements, an earlier file is removed."""
    rows, path = list(disagreements(answers)), folder / DISAGREEMENTS
    if rows:
        write_jsonl(path, rows)
    else:
        path.unlink(missing_ok=True)


def panel_summary(answers: Iterable[tuple[JudgeRequest, Answer]]) -> dict[Question, PanelVotes] | None:
    """Count how often a panel's judges agree.

    Args:
        answers: Questions and answers; answers that are not a panel's are skipped.

    Returns:
        Votes by question; None if no answer is a panel's.
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
