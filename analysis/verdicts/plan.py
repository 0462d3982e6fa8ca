"""What judging would take, before anything is sent: questions, requests, tokens, money."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from analysis.judge.base import CostEstimate, EstimatesCost, Judge, JudgeRequest
from analysis.judge.table import build_judge
from analysis.verdicts.asking import known_verdicts, open_questions
from analysis.verdicts.verdicts import former_digests, judge_digest, rubric_version
from ex2.recipe import Recipe
from ex2.run.descriptions import read_descriptions
from ex2.run.directory import RunDirectory
from ex2.run.made import require

CERTAIN, POSSIBLE = "to ask", "then, if all are informative, at most"


class Part(NamedTuple):
    """A number of questions, and the judge's estimate for them, None if the judge does not count."""

    questions: int
    estimate: CostEstimate | None

    def plus(self, other: Part) -> Part:
        """Return the sum of both."""
        both = self.estimate and other.estimate and self.estimate.plus(other.estimate)
        return Part(self.questions + other.questions, both)


def plan(recipe: Recipe, seeds: Sequence[int]) -> str:
    """Return what judging would take, in words, with a sum over several seeds.

    Nothing is sent, and only what the judge's constructor needs is loaded.

    Args:
        recipe: The experiment, whose descriptions have been made.
        seeds: Seeds of the recipe.

    Raises:
        UserError: If there are no descriptions, or the judge's settings are wrong.
    """
    lines: list[str] = []
    totals: dict[str, Part] = {}
    for seed in seeds:
        where = RunDirectory.of(recipe).seed(seed)
        require(recipe, where, "describe")
        descriptions = read_descriptions(where)
        digest = judge_digest(recipe.judge.name, recipe.judge.settings)
        earlier = former_digests(recipe.judge.name, recipe.judge.settings)
        judge = build_judge(recipe.judge.name, recipe.judge.settings, "judge", where.root)
        known = known_verdicts(judge, where.verdicts, digest=digest, earlier=earlier).verdicts
        questions = open_questions([one.of_class for one in descriptions], known)
        lines.append(
            f"{recipe.name}, seed {seed}, judge {judge.name}, rubric {rubric_version(judge)}: {len(descriptions)} "
            f"descriptions, {len(known)} verdicts in the log"
        )
        for words, asked in ((CERTAIN, questions.certain), (POSSIBLE, questions.possible)):
            if asked or words == CERTAIN:
                part = _part(judge, asked)
                lines.append(part_line(words, part))
                totals[words] = totals[words].plus(part) if words in totals else part
    if len(seeds) > 1:
        lines.append(f"{recipe.name}, all {len(seeds)} seeds; a text that seeds share is asked once, and counted twice")
        lines += [part_line(words, part) for words, part in totals.items()]
    return "\n".join(lines)


def _part(judge: Judge, asked: Sequence[JudgeRequest]) -> Part:
    return Part(len(asked), judge.estimate(asked) if isinstance(judge, EstimatesCost) else None)


def part_line(words: str, part: Part) -> str:
    """Return a line with what answering some questions would take, headed by some words."""
    if part.estimate is None:
        return f"  {words}: {part.questions} questions; this judge counts no tokens"
    estimate = part.estimate
    told = []
    for spent, cost in ((estimate.spent, estimate.cost), (estimate.most, estimate.most_cost)):
        limit = f"at most {spent.output_tokens:,}" if estimate.limited else "any number of"
        price = "" if cost is None else f", about {cost:,.4f} by the given prices"
        if price and not estimate.limited:
            price += " for the input alone"
        told.append(f"{spent.requests:,} requests, about {spent.input_tokens:,} input and {limit} output tokens{price}")
    line = f"  {words}: {part.questions} questions, {estimate.cached} of them in the cache; {told[0]}"
    if estimate.spent.requests:
        line += f"; if every answer needs its second try {told[1]}"
    return line if estimate.cost is not None else f"{line}; no price_per_million given"
