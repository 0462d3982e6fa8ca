"""A sum of rewards with weights: `{name: sum, terms: [{name: cosine}, {name: repetition, weight: 5}]}`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reward.completions import Completion
from reward.components import build, check_component
from reward.errors import UserError
from reward.scoring import LogMetric
from reward.table import REWARDS


class WeightedSum:
    """TRL reward function: Σ weight · term. A description that any term cannot score gets `None`.

    Each term's unweighted mean is logged as `term_NAME`.

    Args:
        terms: Mappings, each with `name`, the term's own settings, and `weight` (default 1).
        **supplied: What the program supplies to rewards, such as `vlm` and `class_means`; each term gets what it takes.

    Raises:
        UserError: If terms are wrong; the message has every problem.
    """

    __name__ = "sum"

    def __init__(self, terms: list[dict[str, Any]], **supplied: Any) -> None:
        problems = self.setting_problems({"terms": terms}, "reward", set(supplied))
        if problems:
            raise UserError("\n".join(problems))
        self.weights = [float(term.get("weight", 1.0)) for term in terms]
        self.terms = [
            build(term["name"], _own(term), REWARDS, f"reward.terms[{index}]", **supplied)
            for index, term in enumerate(terms)
        ]

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: Iterable[str]) -> list[str]:
        """List what is wrong with the terms, without building them.

        Args:
            settings: Settings of the sum: a mapping with `terms`.
            where: File and section for messages.
            supplied: Names of what the program supplies to rewards.

        Returns:
            One message per problem.
        """
        terms = settings.get("terms")
        if not isinstance(terms, list) or not terms:
            return [f"{where}.terms: given {terms!r}; give a list of rewards, such as [{{name: cosine, weight: 1}}]."]
        problems = []
        for index, term in enumerate(terms):
            place = f"{where}.terms[{index}]"
            if not isinstance(term, dict) or not isinstance(term.get("name"), str):
                problems.append(f"{place}: given {term!r}; give a mapping with the reward's name.")
                continue
            weight = term.get("weight", 1.0)
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                problems.append(f"{place}.weight: given {weight!r}; give a number.")
            try:
                problems += check_component(term["name"], _own(term), REWARDS, place, supplied)
            except UserError as error:
                problems += str(error).splitlines()
        return problems

    @property
    def needs_reference(self) -> bool:
        """Whether a term asks for the reference model's log-probabilities."""
        return any(getattr(term, "needs_reference", False) for term in self.terms)

    def __call__(
        self, completions: Sequence[Completion], log_metric: LogMetric | None = None, **columns: Any
    ) -> list[float | None]:
        """Return each completion's weighted sum, or `None`; every term is called with all columns."""
        totals: list[float | None] = [0.0] * len(completions)
        for weight, term in zip(self.weights, self.terms, strict=True):
            scores = term(completions=completions, log_metric=log_metric, **columns)
            known = [score for score in scores if score is not None]
            if log_metric is not None and known:
                log_metric(f"term_{term.__name__}", sum(known) / len(known))
            totals = [
                None if total is None or score is None else total + weight * score
                for total, score in zip(totals, scores, strict=True)
            ]
        return totals


def _own(term: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in term.items() if key not in ("name", "weight")}
