"""Does EX2 find what was planted? Demo worlds with known preferences, three seeds each, against the method's theory.

python benchmarks/calibrate.py [--out benchmarks/results/calibration.md] [--processes 2]

Worlds: VLMs whose training captions were mostly visual, non-visual, spurious, or visual and non-visual in equal parts
(mixed), and one whose captions were shuffled over the pictures (none). That one's scores hardly differ between texts,
so the policy stays where it was; "none, amplified" is the same VLM with its scores standardised, which pushes the
policy as far away as PPO will go, after noise. Rules, fixed beforehand:

* recovered: the planted kinds together make up at least 75 % of EX2's descriptions, and each of them at least half of
  its equal part of that (75 % for one kind, 37.5 % would be equal for each of two, so 18.75 %);
* near the theory: each kind's share lies within 15 points of the share among samples of the base model reweighted by
  exp(score / β), at the KL that training reached in its last 10 batches;
* no preference, no gain: the 99 % interval of EX2's accuracy minus the templates', seeds pooled image by image,
  contains 0 and ends below 5 points; amplified, it ends below 5 points (what is written after noise may do harm).
  There the theory is not asked: the policy leaves what samples of the base model can show.

A run that is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import torch
from common import device
from safetensors.torch import save_file
from theory import Prediction, predict_shares
from tqdm import tqdm

from analysis.accuracy.record import read_accuracy
from analysis.accuracy.zero_shot import unpack_correct
from analysis.statistics.intervals import Estimate, mean_t
from analysis.verdicts.record import read_breakdown
from ex2 import banks
from ex2.data.demo.pretrain_vlm import PLANTED, Preference, train_vlm
from ex2.data.demo.world import CONCEPTS, KINDS, kind_of
from ex2.data.prompts import make_prompts
from ex2.policy.generation import TransformersGenerator, derived_seed
from ex2.policy.loading import load_model, load_tokenizer
from ex2.recipe import Recipe
from ex2.recipe_io import read_recipe
from ex2.run.directory import RunDirectory
from reward.backends.toy import SHIPPED, config_metadata
from reward.cache import cache_dir
from reward.cosine import CosineReward
from reward.files import read_jsonl
from reward.presets import load_vlm

RECIPE = "recipes/demo/visual.yaml"
SEEDS = (0, 1, 2)
SETTINGS = ["rl.batches=200", "rl.learning_rate=3.0e-4"]
"""Twice the demo's batches at a third of its rate: the theory speaks of the optimum, and the demo stops short of it,
at a KL of 2.3 where the optimum at its β has 0.5."""

SAMPLES_PER_PROMPT = 64
LAST_BATCHES = 10
ENOUGH, NEAR, MOST_GAIN, CONFIDENCE = 0.75, 0.15, 0.05, 0.99

BaseSamples = list[tuple[int, str]]
"""Label and text of each sample of the base model."""

Scored = dict[Hashable, tuple[list[float], list[Hashable]]]
"""For each class the samples' scores and kinds."""


class World(NamedTuple):
    """One planted preference and where its VLM's weights are."""

    preference: Preference
    weights: Path
    amplified: bool = False

    @property
    def name(self) -> str:
        return self.preference.replace("_", "-") + (", amplified" if self.amplified else "")

    @property
    def overrides(self) -> list[str]:
        return [
            f"name=calibrate-{self.name.replace(', ', '-')}",
            f"vlm={{name: toy, weights: {self.weights}}}",
            f"seeds={list(SEEDS)}",
            *SETTINGS,
            *(["reward.units=standardised"] if self.amplified else []),
        ]

    def recipe(self) -> Recipe:
        return read_recipe(RECIPE, self.overrides)


class Outcome(NamedTuple):
    """One run: measured and predicted shares in the order of `KINDS`, and accuracies."""

    world: World
    seed: int
    shares: dict[str, float]
    predicted: Prediction | None
    kl: float
    templates: float
    aligned: float
    gains: list[float]

    @property
    def recovered(self) -> bool:
        own = [self.shares[kind] for kind in PLANTED[self.world.preference]]
        return sum(own) >= ENOUGH and min(own) >= ENOUGH / len(own) / 2

    @property
    def distance(self) -> float | None:
        """The kind's share that is farthest from its prediction, from 0 to 1."""
        if self.predicted is None:
            return None
        return max(abs(self.shares[kind] - self.predicted.shares.get(kind, 0.0)) for kind in KINDS)


def make_worlds(folder: Path) -> list[World]:
    """Return the six worlds; train the VLMs that are not shipped."""
    worlds = []
    for preference in PLANTED:
        path = SHIPPED / f"{preference}.safetensors"
        if not path.is_file():
            path = folder / f"{preference}.safetensors"
            if not path.is_file():
                model = train_vlm(preference)
                folder.mkdir(parents=True, exist_ok=True)
                save_file(model.state_dict(), path, metadata=config_metadata(model.config))
        worlds.append(World(preference, path))
    return [*worlds, World("none", folder / "none.safetensors", amplified=True)]


def run(world: World, seed: int) -> None:
    """Train, describe and analyze one seed in a process of its own.

    Raises:
        SystemExit: With the end of what it printed, if it fails.
    """
    words = [sys.executable, "-m", "ex2.cli", "run", RECIPE, *world.overrides, f"--seeds={seed}", "--no-report"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(words)}\n{ended.stderr[-3000:]}")


def base_samples(recipe: Recipe, path: Path) -> BaseSamples:
    """Sample the base model for every prompt, once."""
    if not path.is_file():
        generator = TransformersGenerator(
            load_model(recipe.policy.source(), torch.device("cpu")),
            load_tokenizer(recipe.policy.source()),
            adapter=None,
            style=recipe.prompts.style,
            sampling=recipe.generation.sampling(),
        )
        prompts = make_prompts([concept.name for concept in CONCEPTS], recipe.prompts.questions)
        rows = []
        for sample in tqdm(range(SAMPLES_PER_PROMPT), desc="base model", unit="round"):
            for start in range(0, len(prompts), 200):
                batch = prompts[start : start + 200]
                made = generator.generate(batch, "base", derived_seed("calibrate", sample, start))
                rows += [(prompt.label, text.text) for prompt, text in zip(batch, made, strict=True)]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows))
    return [(label, text) for label, text in json.loads(path.read_text())]


def scored_samples(world: World, samples: BaseSamples) -> Scored:
    """Score the base model's samples by this world's reward; empty ones have no score and are left out."""
    recipe = world.recipe()
    vlm = load_vlm(recipe.vlm.name, recipe.vlm.settings)
    reward = CosineReward(vlm, banks.class_means(recipe.dataset.source(), vlm))
    unique = sorted({pair for pair in samples if pair[1].strip()})
    scores = reward([text for _, text in unique], [CONCEPTS[label].name for label, _ in unique])
    known = {
        pair: (score, kind_of(pair[1], CONCEPTS[pair[0]].name)) for pair, score in zip(unique, scores, strict=True)
    }
    groups: Scored = defaultdict(lambda: ([], []))
    for pair in samples:
        score, kind = known.get(pair, (None, None))
        if score is not None:
            groups[pair[0]][0].append(score)
            groups[pair[0]][1].append(kind)
    return groups


def outcome(world: World, seed: int, scored: Scored | None) -> Outcome:
    """Read what one run left, and predict it from the scored samples."""
    where = RunDirectory.of(world.recipe()).seed(seed)
    arms = {name: arm.top1 for name, arm in read_accuracy(where.accuracy).arms.items() if arm}
    groups = read_breakdown(where.breakdown).policies["aligned"].groups
    tail = read_jsonl(where.train_log)[-LAST_BATCHES:]
    kl = sum(row["kl"] for row in tail) / len(tail)
    right = {arm: unpack_correct(arms[arm].correct_bits, arms[arm].n) for arm in ("templates", "aligned")}
    return Outcome(
        world,
        seed,
        {kind: share.value for kind in KINDS if (share := groups[kind].of_all)},
        predict_shares(scored, max(kl, 0.0)) if scored is not None else None,
        kl,
        arms["templates"].accuracy,
        arms["aligned"].accuracy,
        [float(a) - float(t) for a, t in zip(right["aligned"], right["templates"], strict=True)],
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """Return one line for each run, as Markdown."""
    lines = [
        "| planted | seed | KL | visual | non-visual | spurious | farthest | recovered | accuracy |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in outcomes:
        expected = one.predicted.shares if one.predicted else None
        shares = [
            f"{100 * one.shares[kind]:.0f}" + (f" ({100 * expected.get(kind, 0.0):.0f})" if expected else "")
            for kind in ("visual", "non_visual", "spurious")
        ]
        recovered = "" if one.world.preference == "none" else "yes" if one.recovered else "no"
        accuracy = f"{100 * one.templates:.1f} → {100 * one.aligned:.1f}"
        distance = "" if one.distance is None else f"{100 * one.distance:.0f}"
        kl = f"{max(one.kl, 0.0):.1f}"  # an estimate about 0 may be below it
        lines.append(
            f"| {one.world.name} | {one.seed} | {kl} | {' | '.join(shares)} | {distance} | {recovered} | {accuracy} |"
        )
    return "\n".join(lines)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return one line for each world, means over its seeds, and the verdicts, as Markdown."""
    lines = [
        "| planted in the VLM | KL | visual | non-visual | spurious | farthest from the theory | accuracy |",
        "|---|---|---|---|---|---|---|",
    ]
    for world in dict.fromkeys(one.world for one in outcomes):
        own = [one for one in outcomes if one.world == world]
        shares = [
            f"{mean(100 * one.shares[kind] for one in own):.0f} %"
            + (
                f" ({mean(100 * one.predicted.shares.get(kind, 0.0) for one in own if one.predicted):.0f} %)"
                if own[0].predicted
                else ""
            )
            for kind in ("visual", "non_visual", "spurious")
        ]
        farthest = f"{100 * max(distances(own)):.0f} points" if distances(own) else ""
        accuracy = f"{mean(100 * one.templates for one in own):.1f} → {mean(100 * one.aligned for one in own):.1f} %"
        kl = f"{mean(max(one.kl, 0.0) for one in own):.1f}"
        lines.append(f"| {world.name} | {kl} | {' | '.join(shares)} | {farthest} | {accuracy} |")
    planted = [one for one in outcomes if one.world.preference != "none"]
    verdicts = [
        ("planted kind recovered", f"{sum(one.recovered for one in planted)} of {len(planted)}"),
        ("farthest from the theory", f"{100 * max(distances(outcomes)):.1f} points"),
        ("accuracy gained without a preference", gain_as_text(outcomes, amplified=False)),
        ("the same, amplified", gain_as_text(outcomes, amplified=True)),
    ]
    return "\n".join([*lines, "", *(f"* {name}: {value}" for name, value in verdicts)])


def gain_as_text(outcomes: Sequence[Outcome], amplified: bool) -> str:
    """Return the gain with its interval over images, by which the rule goes, and the one over seeds beside it."""
    gain = gain_without_preference(outcomes, amplified)
    seeds = mean_t([sum(gains) / len(gains) for gains in gains_without_preference(outcomes, amplified)], CONFIDENCE)
    return (
        f"{100 * gain.value:+.2f} points, {CONFIDENCE:.0%} interval {interval(gain)} over n = {gain.n} images, "
        f"{interval(seeds)} over {seeds.n} seeds"
    )


def interval(gain: Estimate) -> str:
    if gain.low is None or gain.high is None:
        return "(none)"
    return f"[{100 * gain.low:+.2f}, {100 * gain.high:+.2f}]"


def distances(outcomes: Sequence[Outcome]) -> list[float]:
    return [one.distance for one in outcomes if one.distance is not None]


def gains_without_preference(outcomes: Sequence[Outcome], amplified: bool) -> list[list[float]]:
    """Return, for each seed of the world without preference, EX2's minus the templates' hit on each image."""
    return [one.gains for one in outcomes if one.world.preference == "none" and one.world.amplified == amplified]


def gain_without_preference(outcomes: Sequence[Outcome], amplified: bool) -> Estimate:
    """Return EX2's accuracy minus the templates': image by image, seeds averaged."""
    by_image = zip(*gains_without_preference(outcomes, amplified), strict=True)
    return mean_t([sum(gains) / len(gains) for gains in by_image], CONFIDENCE)


def passed(outcomes: Sequence[Outcome]) -> bool:
    """Whether all rules hold: at least 11 of 12 recovered, all near the theory, no gain from nothing."""
    planted = [one for one in outcomes if one.world.preference != "none"]
    recovered = sum(one.recovered for one in planted) >= len(planted) - 1
    gain, amplified = (gain_without_preference(outcomes, amplified) for amplified in (False, True))
    bounded = all(one.high is not None and one.high < MOST_GAIN for one in (gain, amplified))
    around_0 = gain.low is not None and gain.high is not None and gain.low <= 0 <= gain.high
    return recovered and bounded and around_0 and max(distances(outcomes)) <= NEAR


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write the table there")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    folder = cache_dir() / "calibration"
    worlds = make_worlds(folder)
    jobs = [(world, seed) for seed in SEEDS for world in worlds]
    earlier = sum(RunDirectory.of(world.recipe()).seed(seed).is_analyzed for world, seed in jobs)
    with ThreadPoolExecutor(options.processes) as pool, tqdm(total=len(jobs), desc="runs", unit="run") as bar:
        for _ in pool.map(lambda job: run(*job), jobs):
            bar.update()
    samples = base_samples(worlds[0].recipe(), folder / "base.json")
    outcomes = []
    for world in worlds:
        scored = None if world.amplified else scored_samples(world, samples)
        outcomes += [outcome(world, seed, scored) for seed in SEEDS]
    took = f"{(time.perf_counter() - start) / 60:.0f} minutes"
    took += f", {earlier} of {len(jobs)} runs from an earlier call" if earlier else ""
    head = f"{device()}; {took}. Shares in percent, the theory's in brackets."
    text = f"{head}\n\n{summary(outcomes)}\n\nEach run:\n\n{table(outcomes)}\n"
    print(text)
    if options.out:
        options.out.write_text(f"# What EX2 finds where the truth is known\n\n`make calibrate`. {text}")
    return 0 if passed(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
