"""Does EX2 find a difference between two describings by the same policy?

Each describing draws texts anew. Their accuracies differ, on the same images, by more than images alone would let them:
an interval over images is one *for these texts*. With several draws of each question the interval holds them.

Rules, fixed beforehand, for the policy before alignment and for the optimum at a KL of 2 nats in the visual world:

* With four draws of each question, at most 6 % of pairs of describings differ significantly, Clopper and Pearson's
  upper end included, of at least 10,000. Twin: one draw, as most runs have, whose test is for these texts.
* Power: the optimum and a policy without visual texts, each with four draws, differ significantly in at least 80 %.
  Twin: never a difference. How often the two policies of the first rule differ stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from analysis.accuracy.measure import accuracy
from analysis.results.load import SeedResult
from analysis.results.seeds import pool_seeds
from analysis.statistics.intervals import IntervalSettings
from analysis.verdicts.record import Breakdown
from analysis.verdicts.verdicts import Verdicts
from calibration.answers import Answer, Frequency, Rule, frequency
from calibration.attribution import encoder
from calibration.headlines import ACCURACY, CONFIDENCE, JUDGE
from calibration.samples import Array, base_texts, drawn_texts, optimum
from calibration.worlds import dose_world
from ex2.run.descriptions import LabeledText

QUESTIONS, DRAWS, KL = 25, 4, 2.0
PAIRS, POWER_PAIRS, MOST, LEAST = 10_000, 200, 0.06, 0.8
NO_VISUAL = (0.0, 0.5, 0.5)
"""Shares of visual, non-visual and spurious texts of a policy without visual ones."""


def described(rng: np.random.Generator, distribution: Array, draws: int) -> tuple[list[LabeledText], list[int]]:
    """Describe every class.

    Args:
        rng: Source of the texts.
        distribution: Share of each of `base_texts()`, shape (C, T).
        draws: How often each question is asked.

    Returns:
        The texts with their class, and which draw each is of.
    """
    drawn = drawn_texts(rng, distribution, QUESTIONS * draws)
    made = [LabeledText(label, text) for label, own in enumerate(drawn) for text in own]
    return made, [place % draws for own in drawn for place in range(len(own))]


def differ(rng: np.random.Generator, first: Array, second: Array, draws: int) -> bool:
    """Say whether EX2 calls the accuracies of two describings significantly different.

    Args:
        rng: Source of the texts.
        first: Distribution of the one's texts, shape (C, T).
        second: That of the other's.
        draws: How often each question is asked.
    """
    vlm, images = encoder(dose_world(1.0))
    arms, numbers = {}, {}
    for name, distribution in (("aligned", first), ("base", second)):
        arms[name], numbers[name] = described(rng, distribution, draws)
    measured = accuracy(vlm, images, arms, IntervalSettings(CONFIDENCE, 200), draws=numbers if draws > 1 else None)
    found = replace(ACCURACY, images=len(images.labels), arms=measured.arms, differences=measured.differences)
    shares = Breakdown(judge=JUDGE, denominator="parsed", confidence=CONFIDENCE, policies={})
    tested = pool_seeds("world", [SeedResult(0, found, shares, [], Verdicts(), [])]).tested("aligned", "base")
    assert tested is not None, "the two are compared"
    return tested.significant is True


def differing(first: Array, second: Array, draws: int, pairs: int) -> Frequency:
    """Return how many pairs of describings differ significantly."""
    rng = np.random.default_rng([draws, pairs])
    told = sum(differ(rng, first, second, draws) for _ in tqdm(range(pairs), desc="draws", unit="pair", leave=False))
    return frequency(told, pairs)


def answer(pairs: int = PAIRS, power_pairs: int = POWER_PAIRS) -> Answer:
    """Draw pairs of describings, and hold the frequencies against the rules."""
    policies: Sequence[tuple[str, Array]] = (
        ("before alignment", base_texts().masses),
        (f"at KL {KL:g}", optimum(dose_world(1.0), KL).weights),
    )
    rules, rows = [], []
    for name, own in policies:
        several, one = differing(own, own, DRAWS, pairs), differing(own, own, 1, power_pairs)
        rules.append(
            Rule(
                f"{name}: at most {MOST:.0%} of pairs with {DRAWS} draws differ, upper end included",
                str(several),
                pairs >= PAIRS and several.high <= MOST,
                f"one draw, for these texts: {one}",
                one.high <= MOST,
            )
        )
        rows += [(name, str(DRAWS), str(several)), (name, "1", str(one))]
    power = differing(policies[1][1], base_texts().with_mix(NO_VISUAL).masses, DRAWS, power_pairs)
    rules.append(
        Rule(
            f"the optimum and a policy without visual texts differ in at least {LEAST:.0%}",
            str(power),
            power.count >= LEAST * power.n,
            "never a difference: 0",
            False,
        )
    )
    rows.append(("optimum; no visual texts", str(DRAWS), str(power)))
    both = differing(policies[1][1], policies[0][1], DRAWS, power_pairs)
    rows.append(("optimum; before alignment", str(DRAWS), str(both)))
    return Answer(
        "The same policy described again", tuple(rules), ("policy", "draws", "pairs that differ"), tuple(rows)
    )
