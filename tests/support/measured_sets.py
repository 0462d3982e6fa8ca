"""Hand-made measurements of image sets, for tests of tables, figures and pages."""

from __future__ import annotations

from typing import Any

from analysis.images.record import (
    Measures,
    MetricCorrelation,
    NearTest,
    SeedMeasures,
    SetComparison,
    SetMeasures,
    ShotMeasures,
)
from analysis.statistics.intervals import Estimate

SETTINGS = {"centers": "unit", "ensemble": "centers", "confidence": 0.95, "probe_init": "zero", "permutations": 999}
TEXT = 0.707


def around(value: float, reach: float, n: int) -> Estimate:
    return Estimate(value, value - reach, value + reach, n)


def measured_set(
    name: str = "templates",
    cler: float = 0.712,
    *,
    seeds: int = 3,
    knowledge_p: float | None = 0.001,
    reach: float = 0.03,
    ensemble: float = 0.792,
    **changes: Any,
) -> SetMeasures:
    """A set of 16 classes and 20 images of each, whose labels permuted give 0.0625."""
    n = seeds if seeds >= 3 else 960
    numbers = {
        "cler": around(cler, reach, n),
        "ensemble": around(ensemble, 0.02, n),
        "gain": around(ensemble - TEXT, 0.025, n),
        "probe": around(0.801, 0.02, n),
        "probe_gain": around(0.801 - TEXT, 0.02, n),
    }
    given: dict[str, Any] = {
        "name": name,
        "generator": "toy",
        "strategy": "defined",
        "per_class": 20,
        "asked": 320 * seeds,
        "made": 320 * seeds,
        "failed": {},
        "truncated": 0,
        "dropped": 0,
        "near": 0,
        "filled": (),
        "seeds": tuple(
            SeedMeasures(
                seed=seed,
                folder=f"sets/{name}-1a2b3c4d/seed-{seed}",
                digest=f"{seed:064d}",
                values={"cler": cler, "ensemble": ensemble},
                knowledge_p=knowledge_p,
                nothing=None if knowledge_p is None else 0.0625,
            )
            for seed in range(seeds)
        ),
        "over": "seeds" if seeds >= 3 else "images",
        "numbers": numbers,
        "seconds": 12.5,
        "bytes": 1_234_567,
    }
    return SetMeasures(**{**given, **changes})


def compared(
    name: str, against: str, value: float, reach: float, p_holm: float | None, *, over: Any = "seeds"
) -> SetComparison:
    number = around(value, reach, 3 if over == "seeds" else 960)
    p = None if p_holm is None else p_holm / 2
    return SetComparison(
        name=name, against=against, quantity="cler", difference=number, over=over, p=p, p_holm=p_holm, given_sets_p=1e-5
    )


def measurement(*sets: SetMeasures, **changes: Any) -> Measures:
    chosen = sets or (measured_set(),)
    given: dict[str, Any] = {
        "name": "demo-sets",
        "vlm": "demo-visual",
        "fingerprint": "f" * 64,
        "dataset": "creatures",
        "split": "test",
        "images": 960,
        "classes": tuple(f"class {at}" for at in range(16)),
        "metric": "accuracy",
        "settings": SETTINGS,
        "against": chosen[0].name if len(chosen) > 1 else "",
        "text": around(TEXT, 0.029, 960),
        "texts": "80 generic templates",
        "sets": chosen,
        "timings": {"cler": 0.0042, "probe": 12.31},
    }
    return Measures(**{**given, **changes})


def demo() -> Measures:
    """Four sets: the real images, a good generator with a price, one that knows nothing, and one of few images."""
    further = {
        "clip_score": around(0.2871, 0.004, 3),
        "frechet": around(0.412, 0.05, 3),
        "kid": around(0.0123, 0.002, 3),
        "precision_at_5": around(0.66, 0.03, 3),
        "recall_at_5": around(0.055, 0.003, 3),
    }
    nearest = tuple(
        NearTest(seed=seed, image=f"images/class 1/0000{seed}.png", test=f"test/<i>{seed}</i>.png", cosine=cosine)
        for seed, cosine in enumerate((0.9987, 0.991, 0.9804))
    )
    original = measured_set(
        "original", 0.861, generator="original", strategy="", licence="CC BY 4.0", near=3, nearest=nearest
    )
    templates = measured_set(
        usd=9.6,
        failed={"blank": 4, "timeout": 2},
        made=954,
        truncated=7,
        shots=(
            ShotMeasures(shots=1, numbers={"cler": around(0.31, 0.09, 3), "ensemble": around(0.71, 0.03, 3)}, usd=0.16),
            ShotMeasures(
                shots=5,
                numbers={
                    "cler": around(0.58, 0.05, 3),
                    "ensemble": around(0.75, 0.02, 3),
                    "gain": around(0.75 - TEXT, 0.02, 3),
                    "probe": around(0.69, 0.03, 3),
                },
                usd=0.8,
            ),
        ),
        numbers={**measured_set().numbers, **further},
    )
    nothing = measured_set(
        "permuted", 0.061, reach=0.05, ensemble=0.383, knowledge_p=0.62, strategy="name", dropped=2, filled=("class 3",)
    )
    nothing_numbers = {
        **nothing.numbers,
        "probe": around(0.064, 0.04, 3),
        "probe_gain": around(0.064 - TEXT, 0.04, 3),
    }
    few = measured_set("<i>few</i> drawings of a long name", 0.44, seeds=1, per_class=5, asked=80, made=80, reach=0.12)
    sets = (original, templates, SetMeasures(**{**vars(nothing), "numbers": nothing_numbers}), few)
    return measurement(
        *sets,
        comparisons=(
            compared("templates", "original", -0.149, 0.04, 0.004),
            compared("permuted", "original", -0.8, 0.06, 0.0006),
            compared(few.name, "original", -0.42, 0.13, 0.0004, over="images"),
        ),
        correlations=(
            MetricCorrelation(quantity="cler", rho=Estimate(0.964, None, None, 7)),
            MetricCorrelation(quantity="frechet", rho=Estimate(-0.5, None, None, 7)),
        ),
    )
