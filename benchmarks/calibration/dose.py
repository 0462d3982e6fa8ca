"""Does more of a preference in the VLM make more of it in the descriptions, and as much as the theory says?

Worlds: the visual preference in none, 25, 50, 75 and 100 % of the captions, the rest of random kinds over random
pictures; and non-visual, spurious and mixed (visual and non-visual alike) in all of them. Every run is held at the same
KL, 0.5 nats a description, by the log controller: low enough that the descriptions cannot all be of one kind, which
would take 1.1 nats from a third, so that "everything is of the planted kind" is wrong.

Rules, fixed beforehand:

* Dose: over the runs, the visual share rises with the dose: the slope's interval (Student's t at 95 %) lies above 0.
  With one run of most doses, which are no line since shares saturate: the share of the whole dose minus that of none,
  by the spread of the whole one's runs, has its interval above 0.
  Twin: a policy that never moved: the base model's own samples of the same runs.
* Equal KL: the mean KL of the last 20 batches is within 35 % of the target in all runs, within 20 % on average. Twin:
  a policy that never moved.
* Theory: the share of each kind predicted from base samples reweighted by exp(score / β) at the KL that the run reached
  is nearer to the measured share than the guess base + dose · (planted − base). The distance is that of the kind which
  is farthest; the interval (Student's t at 95 %) of the guess's distance minus the theory's, over runs, lies above 0,
  and the theory's mean is at most 10 points. Twins: the guess, and the base model's shares.
* Recovered: in each world with the whole of a preference and three seeds, these have the headline with the planted kind
  (either of the two where two are planted). Twin: a policy that never moved.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean

import numpy as np
from scipy import stats
from theory import guessed_share

from analysis.statistics.intervals import Estimate, mean_t
from analysis.statistics.together import FEWEST_SEEDS
from analysis.verdicts.breakdown import Group
from calibration.answers import Answer, Rule
from calibration.headlines import headline_kind
from calibration.runs import Job
from calibration.samples import base_texts, optimum
from calibration.worlds import World, dose_world, weights
from ex2.data.demo.world import CAPTION_KINDS

TARGET = 0.5
DOSES = (0.0, 0.25, 0.5, 0.75, 1.0)
SEEDS = (0, 1, 2)
FAR, NEAR, MOST_OFF = 0.35, 0.2, 0.1
SETTINGS = (
    "rl.kl.controller=log",
    "rl.kl.horizon_unit=batches",
    "rl.kl.horizon=40",
    "rl.kl.damping=2.0",
    f"rl.kl.target={TARGET:g}",
    "rl.batches=300",
    "rl.batch_size=64",
    "rl.minibatch_size=16",
    "rl.learning_rate=3e-4",
)
"""The theory speaks of the optimum, which takes time. At a quarter of the dose and this KL it has 70 % visual texts;
runs had 56 % after 100 batches and 67 % after 300. With a rate of 5e-4, 200 batches led to 58 %, and a rate of 1e-3
goes through KLs from 0 to 4: what is described is the policy of the last batch. Where nothing is planted, scores hardly
differ, the KL follows β late and mostly by chance, and the controller of the other questions swung from 0.3 to 1."""


def worlds() -> list[World]:
    """Return the worlds."""
    return [*map(dose_world, DOSES), *(dose_world(1.0, kind) for kind in ("non_visual", "spurious", "mixed"))]


def job(world: World, seed: int) -> Job:
    """Return a world's run of one seed."""
    vlm = f"vlm={{name: toy, weights: {weights(world.planting)}}}"
    beta = float(optimum(world, TARGET).beta)
    return Job(f"dose-{world.name}", (*SETTINGS, f"rl.kl.init_coef={beta:.3g}", vlm), seed)


def jobs(full: bool = False) -> list[tuple[World, Job]]:
    """Return the runs; the first seed of every world comes first.

    Args:
        full: Whether `FEWEST_SEEDS` seeds of every world are run, as a headline needs. Else it is one, and as many of
            the whole visual preference.
    """
    return [
        (world, job(world, seed))
        for seed in SEEDS
        for world in worlds()
        if full or seed == 0 or world == dose_world(1.0)
    ]


def guess(world: World, base: Sequence[float]) -> list[float]:
    """Return the shares that one would guess: from the base model's to the planted kinds by the dose."""
    planted = world.planted
    dose = world.planting.dose if planted else 0.0
    return [
        guessed_share(share, dose, (kind in planted) / max(len(planted), 1))
        for kind, share in zip(CAPTION_KINDS, base, strict=True)
    ]


def farthest(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the distance of the kind whose shares differ most."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def slope(doses: Sequence[float], shares: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the least-squares slope of shares on doses and its interval; none is narrower than the line's residuals.

    Raises:
        ValueError: If there are fewer than three runs.
    """
    if len(doses) < 3:
        raise ValueError("a slope with an interval needs three runs")
    fit = stats.linregress(doses, shares)
    reach = float(stats.t.ppf((1 + confidence) / 2, len(doses) - 2)) * float(fit.stderr)
    return float(fit.slope), float(fit.slope) - reach, float(fit.slope) + reach


def rise_of_ends(
    doses: Sequence[float], shares: Sequence[float], confidence: float = 0.95
) -> tuple[float, float, float] | None:
    """Return by how much the share with the whole dose is above that with none, and its interval.

    It is for few runs, whose shares, which saturate, are no straight line. The spread is that of the runs of the whole
    dose, so that there must be two of them; None without.
    """
    most, least = ([share for dose, share in zip(doses, shares, strict=True) if dose == end] for end in (1.0, 0.0))
    if len(most) < 2 or not least:
        return None
    value = mean(most) - mean(least)
    error = float(np.std(most, ddof=1)) * math.sqrt(1 / len(most) + 1 / len(least))
    reach = float(stats.t.ppf((1 + confidence) / 2, len(most) - 1)) * error
    return value, value - reach, value + reach


def rise_of(doses: Sequence[float], shares: Sequence[float]) -> tuple[str, tuple[float, float, float]]:
    """Return what is taken for the rise, and the rise: a slope where each dose has several runs, else of both ends."""
    ends = rise_of_ends(doses, shares)
    if ends is None or min(Counter(doses).values()) > 1:
        return "the visual share rises with the dose", slope(doses, shares)
    return "the visual share is above that of no dose where all is dosed", ends


def answer(done: Sequence[tuple[World, Job]]) -> Answer:
    """Hold the runs that are done against the rules."""
    rows, measured = [], []
    base_shares = base_texts().kind_shares(base_texts().masses).mean(axis=0).tolist()
    for world, one in done:
        kl, shares = one.kl(), one.shares()
        predicted = base_texts().kind_shares(optimum(world, kl).weights).mean(axis=0).tolist()
        guessed = guess(world, base_shares)
        distances = [farthest(shares, other) for other in (predicted, guessed, base_shares)]
        measured.append((world, one, kl, shares, distances))
        cells = [
            f"{100 * s:.0f} ({100 * p:.0f}; {100 * g:.0f})" for s, p, g in zip(shares, predicted, guessed, strict=True)
        ]
        rows.append((world.name, str(one.seed), f"{kl:.2f}", *cells, *(f"{100 * d:.0f}" for d in distances[:2])))
    theory, guessing, unmoved = ([found[-1][place] for found in measured] for place in range(3))
    dosed = [
        (world.planting.dose, shares[0], one.shares("base")[0])
        for world, one, _, shares, _ in measured
        if world.planting.preference == "visual"
    ]
    (what, rise), (_, still) = (
        rise_of([each[0] for each in dosed], [each[place] for each in dosed]) for place in (1, 2)
    )
    kls = [kl for _, _, kl, _, _ in measured]
    rules = (
        Rule(
            what,
            slope_text(rise),
            rise[1] > 0,
            f"a policy that never moved: {slope_text(still)}",
            still[1] > 0,
        ),
        Rule(
            f"KL {TARGET:g} within {FAR:.0%} in all runs, {NEAR:.0%} on average",
            f"{min(kls):.2f} to {max(kls):.2f}, mean {mean(kls):.2f}",
            held(kls),
            "a policy that never moved: 0",
            held([0.0]),
        ),
        Rule(
            f"the theory is off by at most {100 * MOST_OFF:.0f} points on average, and nearer than the guess",
            f"theory {100 * mean(theory):.1f}, guess {100 * mean(guessing):.1f}, {nearer_text(theory, guessing)}",
            is_nearer(theory, guessing),
            f"the guess {100 * mean(guessing):.1f} points; a policy that never moved {100 * mean(unmoved):.1f}",
            is_nearer(guessing, guessing) or is_nearer(unmoved, guessing),
        ),
        recovered(done),
    )
    header = (
        "planted",
        "seed",
        "KL",
        *(f"{kind.replace('_', '-')} (theory; guess)" for kind in CAPTION_KINDS),
        "theory off by",
        "guess off by",
    )
    return Answer("More of a preference, more of it found", rules, header, tuple(rows))


def nearer(distances: Sequence[float], guesses: Sequence[float]) -> Estimate:
    """Return by how much the guess is farther from what was measured, with Student's interval over runs."""
    return mean_t([guessed - own for own, guessed in zip(distances, guesses, strict=True)], 0.95)


def is_nearer(distances: Sequence[float], guesses: Sequence[float]) -> bool:
    """Say whether predictions are near what was measured, and nearer than the guess for certain."""
    low = nearer(distances, guesses).low
    return mean(distances) <= MOST_OFF and low is not None and low > 0


def nearer_text(distances: Sequence[float], guesses: Sequence[float]) -> str:
    """Write by how much the guess is farther."""
    found = nearer(distances, guesses)
    ends = "" if found.low is None or found.high is None else f" [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    return f"farther by {100 * found.value:+.1f}{ends}"


def slope_text(found: tuple[float, float, float]) -> str:
    """Write a slope in points for the whole dose."""
    value, low, high = (100 * part for part in found)
    return f"{value:+.0f} points [{low:+.0f}, {high:+.0f}] from no dose to all"


def held(kls: Sequence[float]) -> bool:
    """Say whether KLs are near the target: each, and on average."""
    return all(abs(kl / TARGET - 1) <= FAR for kl in kls) and abs(mean(kls) / TARGET - 1) <= NEAR


def headlines(done: Sequence[tuple[World, Job]]) -> Mapping[World, tuple[Group | None, Group | None]]:
    """Return, for each whole world with all its seeds, the headline's kind, and that of a policy that never moved.

    The policy that never moved said what the base model says in the next seed.
    """
    by_world: dict[World, list[Job]] = defaultdict(list)
    for world, one in done:
        if world.planted and world.planting.dose == 1:
            by_world[world].append(one)
    found = {}
    for world, own in by_world.items():
        if len(own) >= FEWEST_SEEDS:
            base = [one.counts("base") for one in own]
            found[world] = (
                headline_kind([one.counts("aligned") for one in own], base),
                headline_kind([*base[1:], base[0]], base),
            )
    return found


def recovered(done: Sequence[tuple[World, Job]]) -> Rule:
    """Hold the headlines of the whole preferences against the rule."""
    found = headlines(done)
    right = sum(kind in world.planted for world, (kind, _) in found.items())
    still = sum(kind in world.planted for world, (_, kind) in found.items())
    return Rule(
        "each whole preference has the headline with its kind",
        f"{right} of {len(found)} worlds",
        bool(found) and right == len(found),
        f"a policy that never moved: {still} of {len(found)}",
        bool(found) and still == len(found),
    )
