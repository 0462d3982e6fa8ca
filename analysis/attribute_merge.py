"""Contents of several `attributes.json` as one: every run once, told apart by name, its tests corrected together."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.attribute_summary import correct, identity, labels_of, pair_of
from ex2.run_dir import JSON


def merged(results: Sequence[JSON]) -> JSON:
    """Put stored results together.

    Args:
        results: At least one, each of one or several runs; what several hold is taken once.

    Returns:
        As `attributes.json`, with `sample_size` in each group, labels that no two groups on a dataset share, those
        comparisons whose two runs are there, and p-values corrected over all of these. The level of the tests is that
        of the largest confidence.
    """
    groups = {
        identity(group): {**group, "sample_size": result["sample"]} for result in results for group in result["groups"]
    }
    for group, label in zip(groups.values(), labels_of(list(groups.values())), strict=True):
        group["label"] = label
    compared: dict[frozenset[tuple[str, str]], JSON] = {}
    for result in results:
        for row in result["comparisons"]:
            pair = pair_of(row)
            if all(run in groups for run in pair):
                first, second = (groups[run]["label"] for run in pair)
                rows = [dict(part) for part in row["attributes"]]
                compared.setdefault(frozenset(pair), {**row, "first": first, "second": second, "attributes": rows})
    confidence = max(result["confidence"] for result in results)
    comparisons = list(compared.values())
    correct(comparisons, 1 - confidence)
    return {**results[0], "confidence": confidence, "groups": list(groups.values()), "comparisons": comparisons}
