"""Rules on the log of training: when a run goes bad. Pure functions of the rows of `train.jsonl`.

A resumed run reads its earlier rows again and goes on counting where it stopped; the report finds by the same
functions what fired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Action = Literal["warn", "stop"]
Row = Mapping[str, Any]

FIRST = "first"
"""In `Rule.times`: the metric's own value when it was first logged."""

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
    "value_loss": "Value loss",
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
"""What a rule can look at, with its name in reports. A reward's own `share_…` and `term_…` can be named too."""
SIGNS = (
    "sign_name_repetitions",
    "sign_repetition",
    "sign_copied",
    "sign_perplexity",
    "sign_name_gain",
    "share_cut_by_vlm",
)
"""Signs that the policy games the reward, in the order of reports."""


@dataclass(frozen=True)
class Rule:
    """A metric that stays beyond a limit.

    Attributes:
        metric: Column of the log.
        above: Limit that it must not exceed; exactly one of `above` and `below` is given.
        below: Limit that it must not fall under.
        times: Column that the limit is a multiple of, or `first` for the metric's own first value; None: of nothing.
        batches: Logged batches in a row, beyond the limit, after which the rule fires.
        action: What follows.
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
"""What no healthy description shows: a name three times in 32 tokens, a third of the word pairs said before, half of
its words the prompt's."""


class Firing(NamedTuple):
    """A rule that fired.

    Attributes:
        rule: The rule.
        batch: At which it fired.
        since: First batch beyond the limit.
        value: Of the metric in that last batch.
        limit: Which it should have kept.
    """

    rule: Rule
    batch: int
    since: int
    value: float
    limit: float

    def __str__(self) -> str:
        word = "above" if self.rule.above is not None else "below"
        return (
            f"{METRICS.get(self.rule.metric, self.rule.metric)} is {self.value:.3g}, {word} {self.limit:.3g} since "
            f"batch {self.since} (rule: {self.rule})"
        )


@dataclass
class _Count:
    first: float | None = None
    since: int | None = None
    length: int = 0


@dataclass
class Watch:
    """Follows the rules through a run, row by row.

    A row without the metric is passed over: it neither adds to a row of bad batches nor ends it. A rule that has fired
    can fire again once the metric has been within its limit.

    Attributes:
        rules: To follow.
    """

    rules: Sequence[Rule]
    _counts: list[_Count] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._counts = [_Count() for _ in self.rules]

    @property
    def in_trouble(self) -> bool:
        """Whether a metric of a rule that stops is beyond its limit now, be it for one batch."""
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
    """Return every rule that fired in a run, in order."""
    watch = Watch(rules)
    return [firing for row in rows for firing in watch.update(row)]


def objective(rows: Sequence[Row], last: int = 10) -> float | None:
    """Return what PPO maximises, mean reward − β · KL, over the last batches; None if none has it.

    Args:
        rows: Of the log.
        last: Batches of the mean: one alone is noisy.
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
