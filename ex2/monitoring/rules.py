"""Rules that tell from the log of training when a run goes wrong. All functions depend on rows of `train.jsonl` alone.

Therefore a resumed run, which reads its earlier rows again, continues counting where it stopped, and the report finds
with the same functions which rules fired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from reward.numerals import compact

Action = Literal["warn", "stop"]
Row = Mapping[str, Any]

FIRST = "first"
"""Value of `Rule.times` that stands for the metric's own first logged value."""

METRICS = {
    "reward_mean": "Mean reward",
    "reward_std": "Spread of the reward",
    "unscored": "Descriptions without a score",
    "kl": "KL, nats per description",
    "kl_per_token": "KL, nats per token",
    "kl_coef": "β",
    "kl_target": "KL target",
    "response_length": "Tokens per description",
    "share_without_eos": "Share that reached the token limit",
    "share_empty": "Share of empty descriptions",
    "share_cut_by_vlm": "Share cut at the VLM's context",
    "explained_variance": "Explained variance",
    "policy_loss": "Policy loss",
    "value_loss": "Value loss, in squares of max(1, β)",
    "ratio_mean": "Mean ratio",
    "ratio_max": "Largest ratio",
    "clip_fraction": "Clipped share of the policy loss",
    "value_clip_fraction": "Clipped share of the value loss",
    "entropy": "Entropy, nats per token",
    "grad_norm": "Gradient norm",
    "skipped_minibatches": "Skipped minibatches",
    "sign_name_repetitions": "Class name, times per description",
    "sign_repetition": "Repeated share of word pairs",
    "sign_copied": "Share copied from the prompt",
    "sign_perplexity": "Perplexity under the reference model",
    "sign_reward_without_name": "Reward after removing the class name",
    "sign_name_gain": "Reward that the class name brings",
}
"""Metric that a rule can name → its name in reports. The `share_…` and `term_…` that a reward logs can be named too."""
SIGNS = (
    "sign_name_repetitions",
    "sign_repetition",
    "sign_copied",
    "sign_perplexity",
    "sign_name_gain",
    "share_cut_by_vlm",
)
"""Metrics that are signs of a policy gaming its reward, in the order of reports."""


@dataclass(frozen=True)
class Rule:
    """A rule that fires if a metric stays beyond a limit for some batches.

    Attributes:
        metric: Key of the log's rows.
        above: Upper limit of the metric; exactly one of `above` and `below` is given.
        below: Lower limit of the metric.
        times: What the limit is multiplied by: the value under this key in the same row, or for `first` the metric's
            own first value. With None the limit is used as it is.
        batches: Number of consecutive logged batches beyond the limit at which the rule fires.
        action: `warn` or `stop`, what follows when the rule fires.
    """

    metric: str
    above: float | None = None
    below: float | None = None
    times: str | None = None
    batches: int = 1
    action: Action = "warn"

    def __str__(self) -> str:
        word, limit = ("above", self.above) if self.above is not None else ("below", self.below)
        unit = "" if self.times is None else " × its first value" if self.times == FIRST else f" × {self.times}"
        return f"{self.metric} {word} {limit:g}{unit} in {self.batches} batch{'es' * (self.batches > 1)}"


DEFAULT_RULES = (
    Rule("kl", above=3, times="kl_target", batches=20),
    Rule("sign_name_repetitions", above=3, batches=10),
    Rule("sign_repetition", above=0.3, batches=10),
    Rule("sign_copied", above=0.5, batches=10),
    Rule("sign_perplexity", above=10, times=FIRST, batches=10),
    Rule("share_cut_by_vlm", above=0.5, batches=10),
    Rule("entropy", below=0.1, times=FIRST, batches=20),
)
"""Rules of a recipe that gives none. Their limits lie beyond what healthy descriptions show: the class name three times
in 32 tokens, a third of the word pairs repeated, half of the words copied from the prompt."""


class Firing(NamedTuple):
    """One firing of a rule.

    Attributes:
        rule: The rule that fired.
        batch: Number of the batch at which it fired.
        since: Number of the first batch of the series beyond the limit.
        value: Value of the metric in `batch`.
        limit: Limit of the metric in `batch`.
    """

    rule: Rule
    batch: int
    since: int
    value: float
    limit: float

    def __str__(self) -> str:
        word = "above" if self.rule.above is not None else "below"
        value, limit = compact(self.value, 3), compact(self.limit, 3)
        return (
            f"{METRICS.get(self.rule.metric, self.rule.metric)} is {value}, {word} {limit} since batch {self.since} "
            f"(rule: {self.rule})"
        )


@dataclass
class _Count:
    first: float | None = None
    since: int | None = None
    length: int = 0


@dataclass
class Watch:
    """Applies rules to a run, row by row.

    A row without a rule's metric is skipped: it neither adds to a series of batches beyond the limit nor ends it. A
    rule that has fired can fire again after the metric has been within its limit.

    Attributes:
        rules: The rules to apply.
    """

    rules: Sequence[Rule]
    _counts: list[_Count] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._counts = [_Count() for _ in self.rules]

    @property
    def in_trouble(self) -> bool:
        """Whether the metric of any rule with action `stop` is beyond its limit in the newest batch that has it."""
        return any(
            rule.action == "stop" and count.length > 0 for rule, count in zip(self.rules, self._counts, strict=True)
        )

    def update(self, row: Row) -> list[Firing]:
        """Take the next batch's row and return the rules that fire with it."""
        found = []
        for rule, count in zip(self.rules, self._counts, strict=True):
            value = _number(row.get(rule.metric))
            if value is None:
                continue
            count.first = value if count.first is None else count.first
            limit = _limit(rule, row, count.first)
            if limit is None:
                continue
            if value > limit if rule.above is not None else value < limit:
                count.since = row["batch"] if count.length == 0 else count.since
                count.length += 1
                if count.length == rule.batches:
                    found.append(Firing(rule, row["batch"], count.since or row["batch"], value, limit))
            else:
                count.length = 0
        return found


def fired(rules: Sequence[Rule], rows: Iterable[Row]) -> list[Firing]:
    """Return every firing of the rules in a run, in the order of batches."""
    watch = Watch(rules)
    return [firing for row in rows for firing in watch.update(row)]


def objective(rows: Sequence[Row], last: int = 10) -> float | None:
    """Return the mean over the last batches of what PPO maximises: mean reward − β · KL.

    Args:
        rows: Rows of the log.
        last: Number of batches to average, since a single one is noisy.

    Returns:
        The mean in units of the reward; None if none of these batches has reward, β and KL.
    """
    keys = ("reward_mean", "kl_coef", "kl")
    values = []
    for row in rows[-last:]:
        reward, coef, kl = (_number(row.get(key)) for key in keys)
        if reward is not None and coef is not None and kl is not None:
            values.append(reward - coef * kl)
    return sum(values) / len(values) if values else None


def _limit(rule: Rule, row: Row, first: float) -> float | None:
    factor = rule.above if rule.above is not None else rule.below
    assert factor is not None
    unit = 1.0 if rule.times is None else first if rule.times == FIRST else _number(row.get(rule.times))
    return None if unit is None else factor * unit


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value - value != 0:
        return None
    return float(value)
