"""Are planted truths found? Sets with known faults, measured by demo-visual; each claim beside a twin that must fail.

    python benchmarks/image_sets.py [--pairs 200] [--sets 1000] [--permutations 300] [--samples 1000] [--out FILE.md]

Takes about nine minutes on one core. Exits with 1 unless all claims hold and all twins fail.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import mean, stdev

import torch
from common import processor
from image_set_claims import LEAST_COVERED, MOST_REJECTED, SHOTS, Claim
from image_set_power import (
    TRUTH,
    Coverage,
    Draw,
    Power,
    Z,
    coverage,
    coverage_table,
    power,
    power_table,
    redrawn_of,
)
from image_set_seeds import coverage_of_seeds, seeds_apart_claim, seeds_coverage_claim, seeds_rule_claim
from image_set_truths import (
    CLASSES,
    EVERY_SECOND,
    GRADED,
    LEVELS,
    NEVER_RIGHT,
    World,
    cler,
    cler_difference,
    constant,
    in_order,
    permuted,
    rejections,
    tells_apart,
    two_of_pool,
)
from scipy import stats

from analysis.images.intervals import GIVEN_TWO_SETS
from analysis.images.probe import choose_l2, fit
from analysis.images.resampling import SetImages, TestImages, measured
from analysis.images.retrieval import spearman
from analysis.images.scores import accuracy
from analysis.statistics.intervals import IntervalSettings, mean_t
from reward.files import write_text
from reward.presets import load_vlm

ROOT = Path(__file__).parent.parent
SEEDS = (0, 1, 2)
POOL = 250
"""Images of each class that pairs of equal sets are taken from."""
LEAST_CORRELATION = 0.95
CHANCE = 1 / len(CLASSES)
CHANCE_WITHIN = 0.01
FLATTERY = 0.2
"""How far above its own CLER the ensemble of a worthless set stands, at least."""
APART_SEEDS, APART_LEAST = 10, 9
APART_TRIPLES = 20
ORACLE_WITHIN = 0.07
TEST_POOL = 300
"""Test images of each class that coverage and power draw from."""
COMPARED = (
    ("0 %", "50 %", 20),
    ("50 %", "75 %", 20),
    ("0 %", "50 %", 10),
    ("0 %", "50 %", 40),
    ("0 %", "0 %", 20),
    ("labels permuted", "labels permuted", 20),
)
"""Pairs of kinds of sets, and images of each class."""


def order_claim(clers: Sequence[Sequence[float]], nothing: Sequence[Sequence[float]]) -> Claim:
    """Return the claim that CLER falls from each level to the next.

    Args:
        clers: By seed, the CLER of each level.
        nothing: The same with each set's labels permuted.
    """
    right, by_chance = sum(map(in_order, clers)), sum(map(in_order, nothing))
    return Claim(
        f"CLER's order over {len(clers[0])} levels is that of the planted faults, at {SHOTS} shots",
        f"on {right} of {len(clers)} seeds",
        right == len(clers),
        f"labels permuted: on {by_chance} of {len(nothing)}",
        by_chance < len(nothing),
    )


def correlation_claim(clers: Sequence[float], probes: Sequence[float], nothing: Sequence[float]) -> Claim:
    """Return the claim that CLER ranks sets as the linear probe does.

    Args:
        clers: CLER of each graded set.
        probes: The probe's accuracy after training on each.
        nothing: CLER of each with its labels permuted.
    """
    rho, twin = spearman(clers, probes).value, spearman(nothing, probes).value
    return Claim(
        f"Spearman of CLER and probe over {len(clers)} graded sets > {LEAST_CORRELATION:g}",
        f"{rho:.3f}",
        rho > LEAST_CORRELATION,
        f"CLER of the sets with labels permuted: {twin:.3f}",
        not twin > LEAST_CORRELATION,
    )


def flattery_claim(worthless: SetImages, good: SetImages, test: TestImages) -> Claim:
    """Return the claim that the ensemble hides a worthless set."""
    bad, best = measured(worthless, test), measured(good, test)

    def said(found: dict[str, float]) -> str:
        return f"text {found['text']:.3f}, CLER {found['cler']:.3f}, ensemble {found['ensemble']:.3f}"

    return Claim(
        f"the ensemble of a set that draws all facets at random is more than {FLATTERY:g} above its CLER",
        said({**bad}),
        bad["ensemble"] - bad["cler"] > FLATTERY,
        f"the 0 % set: {said({**best})}",
        not best["ensemble"] - best["cler"] > FLATTERY,
    )


def rule_claim(what: str, pairs: Sequence[tuple[SetImages, SetImages]], test: TestImages, samples: int) -> Claim:
    """Return the claim that sets of equal worth are seldom told apart."""
    found = rejections(pairs, test, samples)
    return Claim(
        f"of {found.pairs} pairs of {what} sets the 95 % rule tells at most {MOST_REJECTED:.0%} apart",
        f"{found.interval} ({found.interval / found.pairs:.1%})",
        found.interval <= MOST_REJECTED * found.pairs,
        f"McNemar's p < 0.05, which is {GIVEN_TWO_SETS}: {found.mcnemar} ({found.mcnemar / found.pairs:.1%})",
        found.mcnemar > MOST_REJECTED * found.pairs,
    )


def apart_claim(
    world: World, what: str, error: Mapping[str, float], test: TestImages, samples: int, spread: float | None = None
) -> Claim:
    """Return the claim that the same rule tells a good set from a worse one.

    Beside it stands what hides a difference: how wide the intervals are against how far differences spread over draws
    of both sets, and how many Student's t over three seeds tells apart. With `spread`, the standard deviation of a
    difference over draws of sets and test images, also how many a test tells apart that knows it.
    """
    found, equal = [], 0
    for seed in range(APART_SEEDS):
        settings = IntervalSettings(samples=samples, seed=seed)
        good, other = world.set({}, seed, SHOTS), world.set({}, 2000 + seed, SHOTS)
        found.append(cler_difference(good, world.set(error, 1000 + seed, SHOTS), test, settings))
        equal += tells_apart(cler_difference(good, other, test, settings))
    values = [one.value for one in found]
    apart, width = sum(map(tells_apart, found)), mean((one.high or 0.0) - (one.low or 0.0) for one in found) / 2
    triples = [[values[(first + step) % APART_SEEDS] for step in range(3)] for first in range(APART_SEEDS)]
    by_seeds = sum(tells_apart(mean_t(triple)) for triple in triples)
    knowing = ""
    if spread is not None:
        beyond = sum(abs(value) > Z * spread for value in values)
        knowing = f"; beyond 1.96 of the sd over draws and test images, {spread:.3f}: {beyond} of {APART_SEEDS}"
    return Claim(
        f"the rule tells the 0 % set from one wrong in {what} in at least {APART_LEAST} of {APART_SEEDS} seeds",
        f"in {apart}; difference {mean(values):.3f} (sd over seeds {stdev(values):.3f}), intervals ± {width:.3f}; by t "
        f"over three seeds: {by_seeds} of {APART_SEEDS}{knowing}",
        apart >= APART_LEAST,
        f"the 0 % set and another 0 % set: in {equal}",
        equal < APART_LEAST,
    )


def coverage_claim(found: Sequence[Coverage]) -> Claim:
    """Return the claim that intervals hold what sets score in the mean over other draws and test images."""
    least = min(one.held / one.sets for one in found)
    plain = min(one.wilson / one.sets for one in found)
    shares = ", ".join(f"{one.kind} {one.held / one.sets:.1%}" for one in found)
    return Claim(
        "95 % intervals of single sets hold the expected CLER over draws of set and test images in at least "
        f"{LEAST_COVERED:.0%}, for each of {len(found)} kinds of sets",
        f"least {least:.1%} ({shares})",
        least >= LEAST_COVERED,
        f"Wilson's intervals of the same scores: least {plain:.1%}",
        plain < LEAST_COVERED,
    )


def oracle_claim(found: Power, equal: Power) -> Claim:
    """Return the claim that the rule tells about as many pairs apart as a test that knows how differences spread."""
    told, least = found.told / found.pairs, found.oracle - ORACLE_WITHIN
    return Claim(
        f"of {found.pairs} fresh pairs of {found.kind} sets the rule tells no more than {ORACLE_WITHIN:g} fewer apart "
        "than a test that knows the standard deviation of differences over draws",
        f"rule {told:.1%}, that test {found.oracle:.1%}; expected difference {found.distance:.1f} sd, intervals "
        f"{found.width:.2f} times ± 1.96 sd",
        told >= least,
        f"{equal.kind}: rule {equal.told / equal.pairs:.1%}",
        equal.told / equal.pairs < least,
    )


def chance_claim(images: SetImages, test: TestImages, permutations: int) -> Claim:
    """Return the claim that sets that know nothing score 1 / classes in the mean."""
    values = [cler(permuted(images, seed), test) for seed in range(permutations)]
    spread = torch.tensor(values).std().item()
    own = cler(images, test)
    return Claim(
        f"mean CLER of {permutations} label-permuted sets is within {CHANCE:.4f} ± {CHANCE_WITHIN:g}",
        f"{mean(values):.4f} (sd of a set {spread:.3f}, highest {max(values):.3f})",
        abs(mean(values) - CHANCE) <= CHANCE_WITHIN,
        f"the set itself: {own:.4f}; one image for all classes: {cler(constant(images), test):.4f}, by a tie",
        abs(own - CHANCE) > CHANCE_WITHIN,
    )


def probe_accuracy(images: SetImages, test: TestImages) -> float:
    """Return the accuracy on the test images of a linear probe whose strength is chosen inside the set."""
    strength = choose_l2(images.embeddings, images.labels, len(CLASSES)).l2
    probe = fit(images.embeddings, images.labels, len(CLASSES), strength)
    return accuracy(probe.scores(test.embeddings).numpy(), test.labels.numpy())


def levels_table(clers: Sequence[Sequence[float]]) -> str:
    """Lay CLER out by level and seed, as Markdown."""
    lines = [f"| level | {' | '.join(f'seed {seed}' for seed in SEEDS)} | mean |", "|---|" + "---|" * (len(SEEDS) + 1)]
    for place, level in enumerate(LEVELS):
        values = [of_seed[place] for of_seed in clers]
        lines.append(f"| {level} | {' | '.join(f'{value:.3f}' for value in values)} | {mean(values):.3f} |")
    return "\n".join(lines)


def graded_table(clers: Sequence[float], probes: Sequence[float]) -> str:
    """Lay CLER and probe out by graded set, as Markdown."""
    rows = zip(GRADED, clers, probes, strict=True)
    return "\n".join(
        ["| set | CLER | probe |", "|---|---|---|", *(f"| {name} | {a:.3f} | {b:.3f} |" for name, a, b in rows)]
    )


def claims_table(claims: Sequence[Claim]) -> str:
    """Lay the claims out as Markdown."""
    lines = ["| claim | measured | holds | negative twin | fails there |", "|---|---|---|---|---|"]
    for one in claims:
        holds, fails = ("yes" if flag else "**no**" for flag in (one.holds, one.twin_fails))
        lines.append(f"| {one.claim} | {one.found} | {holds} | {one.twin} | {fails} |")
    return "\n".join(lines)


def why_not(found: Power) -> str:
    """Return what nine of ten seeds would ask of a test that knows the standard deviation of differences."""
    chance = float(stats.binom.sf(APART_LEAST - 1, APART_SEEDS, found.oracle))
    return (
        f"Of {found.kind} sets at {found.shots} images a class, differences lie {found.distance:.1f} sd "
        f"from 0 in the mean. A test that knows the sd tells {found.oracle:.1%} apart and so finds "
        f"at least {APART_LEAST} of {APART_SEEDS} seeds with a chance of {chance:.1%}."
    )


def main(words: Sequence[str] | None = None) -> int:
    """Measure all claims, print and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--sets", type=int, default=1000, help="of each kind, for what intervals cover")
    parser.add_argument("--permutations", type=int, default=300)
    parser.add_argument("--samples", type=int, default=1000, help="resamples behind each interval of a pair")
    parser.add_argument("--out", type=Path, help="Markdown file")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    begun, processor_begun = time.perf_counter(), time.process_time()
    world = World(load_vlm("demo-visual", {}))
    test = world.test()
    by_seed = [[world.set(error, seed, SHOTS) for error in LEVELS.values()] for seed in SEEDS]
    clers = [[cler(images, test) for images in of_seed] for of_seed in by_seed]
    nothing = [[cler(permuted(images, seed), test) for images in of_seed] for seed, of_seed in enumerate(by_seed)]
    graded = [world.set(error, SEEDS[0], SHOTS) for error in GRADED.values()]
    graded_clers = [cler(images, test) for images in graded]
    probes = [probe_accuracy(images, test) for images in graded]
    pools = [world.set(LEVELS[level], 3000, POOL) for level in ("0 %", "50 %")]
    equal = [two_of_pool(pools[pair % 2], SHOTS, pair) for pair in range(options.pairs)]
    of_nothing = [
        (permuted(one, 2 * pair), permuted(other, 2 * pair + 1))
        for pair, (one, other) in enumerate(two_of_pool(pools[0], SHOTS, 5000 + pair) for pair in range(options.pairs))
    ]
    many = world.test(TEST_POOL)
    made = {level: world.set(LEVELS[level], 14000, POOL) for level in ("0 %", "50 %", "75 %", "all facets")}
    draw: dict[str, Draw] = {level: partial(redrawn_of, pool, True) for level, pool in made.items()}
    draw["labels permuted"] = partial(redrawn_of, made["0 %"], False)
    covered = [
        coverage(kind, one, many, SHOTS, options.sets, options.samples, 17000 + place)
        for place, (kind, one) in enumerate(draw.items())
    ]
    compared = [
        power(
            f"{first} and {second}",
            (draw[first], draw[second]),
            many,
            shots,
            options.pairs if place == 0 else options.pairs // 2,
            options.samples,
            18000 + place,
        )
        for place, (first, second, shots) in enumerate(COMPARED)
    ]
    away = measured(world.set(NEVER_RIGHT, SEEDS[0], SHOTS), test)
    claims = [
        order_claim(clers, nothing),
        correlation_claim(graded_clers, probes, [cler(permuted(images, 7), test) for images in graded]),
        flattery_claim(by_seed[0][-1], by_seed[0][0], test),
        rule_claim("label-permuted", of_nothing, test, options.samples),
        rule_claim("equally good", equal, test, options.samples),
        apart_claim(world, "50 % of patterns", LEVELS["50 %"], test, options.samples, compared[0].spread),
        apart_claim(world, "50 % of each facet", EVERY_SECOND, test, options.samples),
        oracle_claim(compared[0], compared[4]),
        coverage_claim(covered),
        seeds_rule_claim("label-permuted", draw["labels permuted"], test, options.pairs, 21000),
        seeds_rule_claim("equally good (0 %)", draw["0 %"], test, options.pairs, 22000),
        seeds_rule_claim("equally good (50 %)", draw["50 %"], test, options.pairs, 23000),
        seeds_apart_claim(world, test, APART_TRIPLES, 40000),
        seeds_coverage_claim(
            [
                coverage_of_seeds(kind, one, many, SHOTS, options.sets, 27000 + place)
                for place, (kind, one) in enumerate(draw.items())
            ]
        ),
        chance_claim(by_seed[0][0], test, options.permutations),
    ]
    seconds, used = time.perf_counter() - begun, time.process_time() - processor_begun
    page = f"""# Image sets: planted truths, 2026-11-29

{processor()}; Python {platform.python_version()}, torch {version("torch")}, numpy {version("numpy")}; commit
{commit()},
`python benchmarks/image_sets.py`: {world.drawn:,} images drawn, {len(world.embedded):,} different ones embedded by
demo-visual, {len(test.labels)} test images of {len(CLASSES)} classes, {SHOTS} images a class, centers `unit`;
{options.samples} resamples an interval. {used:.0f} s of one core, {seconds:.0f} s by the clock.

{claims_table(claims)}

CLER by share of wrong patterns (`two facets`: 75 % wrong in pattern and shape, which is to draw them at random;
`all facets`: in color too). A set never right in any facet knows more than nothing, since its centers point away from
their class: text {away["text"]:.3f}, CLER {away["cler"]:.3f}, ensemble {away["ensemble"]:.3f}; nothing flatters it. It
was the first reading of "all facets wrong", and the order held with it too.

{levels_table(clers)}

What intervals cover, {SHOTS} images a class: sets and {len(test.labels)} test images are drawn with replacement from
{POOL} and {TEST_POOL} a class, so that the expected score over both is known; expected scores and standard deviations
are of {TRUTH:,} draws.

{coverage_table(covered)}

What the rule tells apart, of the same draws. The distance is the expected difference over its standard deviation; a
test that knows this deviation tells apart what is beyond 1.96 of it, and intervals of width 1 are that wide. `held`
counts intervals that hold the expected difference.

{power_table(compared)}

{why_not(compared[0])}

CLER and linear probe of the graded sets, seed {SEEDS[0]}:

{graded_table(graded_clers, probes)}
"""
    print(page)
    if options.out:
        write_text(options.out, page)
    return 0 if all(one.holds and one.twin_fails for one in claims) else 1


def commit() -> str:
    """Return the short hash of the commit that is checked out."""
    words = ["git", "-C", os.fspath(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


if __name__ == "__main__":
    raise SystemExit(main())
