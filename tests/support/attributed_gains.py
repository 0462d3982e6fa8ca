"""Results of a seed with the parts of a gain, in numbers that are easily followed by hand."""

from __future__ import annotations

from dataclasses import replace

from pages import against, arm, seed_result
from record_samples import measured, with_arms

from analysis.accuracy.record import Attribution, Control, Hits, NamesInTexts, Permuted
from analysis.results.load import SeedResult
from analysis.statistics.paired import PairedAccuracy

GRID = tuple(at / 1980 - 0.05 for at in range(199))
"""199 numbers from −0.05 to 0.05."""


def attribution(own: float = 0.8, exchanged: float = 0.7, whole: float = 0.6) -> Attribution:
    """200 images; accuracies of permuted texts are spread evenly around the given ones, to 0.05 on either side."""
    above = own - 0.72
    return Attribution(
        names=NamesInTexts(95, 3, 2, ("striped texture",)),
        texts=95,
        left_out=0,
        pool=90,
        mask="thing",
        own=Hits(own, own - 0.05, own + 0.05, 200, round(200 * own)),
        above_everyone=PairedAccuracy(above, above - 0.03, above + 0.04, 0.001, 20, 4, 200),
        exchanged=Permuted(tuple(exchanged + at for at in GRID), 0.01),
        whole=Permuted(tuple(whole + at for at in GRID), 0.02),
        masked=Hits(0.3, 0.25, 0.35, 200, 60),
        masked_shuffled=Permuted(tuple(0.1 + at for at in GRID), 0.015),
        masked_whole=Permuted(tuple(0.29 + at for at in GRID), 0.015),
    )


def with_gain(seed: int, part: Attribution | None = None, *, aligned: int = 160) -> SeedResult:
    """A seed whose arm `everyone` has 144 of 200 images right, exchanged texts 140 and another class's 120."""
    result = seed_result(seed, aligned=aligned)
    arms = {
        "everyone": arm(144 + seed),
        "exchanged": replace(arm(140), assignments=199),
        "masked": arm(60),
        "other_class": replace(arm(120), assignments=20),
        "shuffled": arm(158),
    }
    compared = [against(name, "templates", part.top1.accuracy - 0.7, 0.01) for name, part in arms.items()]
    compared += [against(name, "aligned", part.top1.accuracy - aligned / 200, 0.01) for name, part in arms.items()]
    controls = {name: Control(name.replace("_", " "), "what it is") for name in arms}
    accuracy = with_arms(result.accuracy, arms, compared, controls)
    return measured(replace(result, accuracy=accuracy), attribution=part or attribution())
