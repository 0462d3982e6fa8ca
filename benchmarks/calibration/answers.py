"""What a question of the calibration answers: rules with their values, twins that must break them, and rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from scipy import stats


@dataclass(frozen=True)
class Rule:
    """One rule, what was found, and what its twin would have found.

    Attributes:
        says: The rule, with its bound.
        found: The number it is about, in words.
        holds: Whether it holds.
        twin: What must break the rule: a guess, or a policy that never moved; with its number.
        twin_holds: Whether the twin passes, in which case the rule shows nothing.
    """

    says: str
    found: str
    holds: bool
    twin: str
    twin_holds: bool

    @property
    def shown(self) -> bool:
        """Whether the rule holds and its twin does not."""
        return self.holds and not self.twin_holds


@dataclass(frozen=True)
class Answer:
    """One question's answer.

    Attributes:
        title: The question.
        rules: Its rules.
        header: Names of the columns of `rows`.
        rows: What was measured, a cell for each column.
        notes: Sentences for readers, such as which runs are not there yet.
    """

    title: str
    rules: tuple[Rule, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def shown(self) -> bool:
        """Whether all rules hold and none of the twins."""
        return all(rule.shown for rule in self.rules)

    def to_markdown(self) -> str:
        """Lay the answer out as a page."""
        rules = [("rule", "found", "holds", "must break it", "does")]
        rules += [
            (rule.says, rule.found, "yes" if rule.holds else "NO", rule.twin, "NO" if rule.twin_holds else "yes")
            for rule in self.rules
        ]
        parts = [f"# {self.title}", table(rules), *self.notes]
        if self.rows:
            parts.append(table([self.header, *self.rows]))
        return "\n\n".join(parts)


def table(lines: Sequence[Sequence[str]]) -> str:
    """Lay lines out as a Markdown table, of which the first is the header."""
    head, *rest = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *rest])


class Frequency(NamedTuple):
    """How often something happened, with the exact interval of its probability at 95 %.

    Attributes:
        count: Times it happened.
        n: Times it could have.
        low: Lower end of Clopper and Pearson's interval.
        high: Upper end.
    """

    count: int
    n: int
    low: float
    high: float

    def __str__(self) -> str:
        share = 100 * self.count / self.n
        return f"{share:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}] ({self.count} of {self.n:,})"


def frequency(count: int, n: int, confidence: float = 0.95) -> Frequency:
    """Return a frequency with its interval.

    Raises:
        ValueError: If `n` is 0 or the count is not between 0 and `n`.

    Source: Clopper and Pearson (1934), Biometrika 26.
    """
    if not 0 <= count <= n or n == 0:
        raise ValueError(f"{count} of {n} is no frequency")
    alpha = 1 - confidence
    low = float(stats.beta.ppf(alpha / 2, count, n - count + 1)) if count else 0.0
    high = float(stats.beta.ppf(1 - alpha / 2, count + 1, n - count)) if count < n else 1.0
    return Frequency(count, n, low, high)
