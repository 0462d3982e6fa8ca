"""The report's tables of accuracy: every arm, and which classes are mistaken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.figures.accuracy import accuracy_rows
from analysis.results.experiment import Experiment
from analysis.results.load import SeedResult
from analysis.results.pooling import Difference
from analysis.results.wording import NBSP, NO_CONCLUSION, count, evidence, images_interval, percent, points


def accuracy_table(experiment: Experiment) -> list[dict[str, Any]]:
    """Return a row of cells for each arm: accuracies, difference to the templates, and for controls also to EX2."""
    rows = []
    for row in accuracy_rows(experiment):
        texts = experiment.arms.get(row.arm)
        fallback = texts.fallback_classes if texts else ()
        rows.append(
            {
                "css": row.color,
                "name": row.name,
                "note": row.note,
                "accuracy": percent(row.accuracy) if row.accuracy else "no descriptions",
                "top5": percent(texts.top5 if texts else None),
                "mean_per_class": percent(texts.mean_per_class if texts else None),
                "n": count(row.accuracy).removeprefix(f"n{NBSP}={NBSP}") if row.accuracy else "0",
                "texts": f"{texts.texts if texts else 0:,}",
                "difference": points(row.difference) if row.difference else "",
                "over_images": images_interval(row.difference) if row.difference else "",
                "verdict": NO_CONCLUSION if experiment.mostly_template(row.arm) else _verdict(row.difference),
                "to_aligned": points(row.to_aligned) if row.to_aligned else "",
                "to_aligned_over_images": images_interval(row.to_aligned) if row.to_aligned else "",
                "to_aligned_verdict": NO_CONCLUSION
                if row.to_aligned and experiment.mostly_template(row.arm)
                else _verdict(row.to_aligned),
                "fallback": len(fallback),
                "fallback_names": ", ".join(fallback[:12]) + (", …" if len(fallback) > 12 else ""),
            }
        )
    return rows


def _verdict(difference: Difference | None) -> str:
    return evidence(difference) if difference else ""


def confusion_table(results: Sequence[SeedResult], most: int = 12) -> list[dict[str, Any]]:
    """Return the pairs of classes that templates or EX2 confuse most, averaged over seeds, greatest change first."""
    images: dict[tuple[str, str], dict[str, float]] = {}
    sizes: dict[str, int] = {}
    for arm in ("templates", "aligned"):
        parts = [part for result in results if (part := result.accuracy.arm(arm))]
        for part in parts:
            for pair in part.confusions:
                of_arm = images.setdefault((pair.class_name, pair.predicted), {})
                of_arm[arm] = of_arm.get(arm, 0.0) + pair.images / len(parts)
                sizes[pair.class_name] = pair.of
    ordered = sorted(images.items(), key=lambda item: (-max(item[1].values()), item[0]))[:most]
    return [
        {
            "class": name,
            "predicted": predicted,
            "of": sizes[name],
            **{arm: f"{round(of_arm[arm], 1):g}" if arm in of_arm else "fewer" for arm in ("templates", "aligned")},
        }
        for (name, predicted), of_arm in ordered
    ]
