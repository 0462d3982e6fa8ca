"""The result of a comparison of two VLMs' attributes, in words."""

from __future__ import annotations

from analysis.attributes.record import Gap, RunsCompared
from analysis.results.wording import p_words


def how_tested(row: RunsCompared) -> str:
    """Return what was exchanged: `whole seeds exchanged (4 and 4)` or `given these seeds (1 and 2)`.

    Args:
        row: The comparison of two runs.
    """
    first, second = row.seeds
    return f"{'whole seeds exchanged' if row.unit == 'seeds' else 'given these seeds'} ({first} and {second})"


def classes_words(row: RunsCompared) -> str:
    """Return `16 classes shared`, and how many each describes where that is more.

    Args:
        row: The comparison of two runs.
    """
    shared, described = row.shared_classes, row.classes
    of = "" if described == (shared, shared) else f" of the {described[0]} and {described[1]} that each describes"
    return f"{shared} classes shared{of}"


def verdict_words(row: RunsCompared | Gap, p: float | None = None) -> str:
    """Return `differ, p = 0.0002` or `no significant difference, p = 0.41`.

    Args:
        row: The comparison of two runs, or of one attribute in two runs.
        p: Corrected p-value to state; `None` takes the stored one.
    """
    p = row.p_holm if p is None else p
    return f"{'differ' if row.significant else 'no significant difference'}, {p_words(p)}"


def comparison_words(row: RunsCompared) -> str:
    """Return one sentence on two VLMs.

    Args:
        row: The comparison of two runs.
    """
    names = [gap.attribute for gap in row.attributes if gap.significant]
    which = f"; alone: {', '.join(names)}" if names else ""
    return f"{row.first} and {row.second}: {verdict_words(row)}, {how_tested(row)}, {classes_words(row)}{which}"
