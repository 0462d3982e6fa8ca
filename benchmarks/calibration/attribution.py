"""Is a gain by style told from a gain by content?

Worlds: in the captions of the *style* world the name is the picture's and the looks are anyone's, drawn anew for each
caption, so that visual texts are rewarded however the looks in them are; in those of the *content* world the looks are
the picture's and the name is anyone's. Three VLMs each. What EX2's report says of a gain is read by its own rule
(`analysis.results.reading`). In the style world "content" is the opposite of the truth, and so is "content harms"; in
the content world "style" is, and "content harms" too. "No gain", "open" and "not attributable" say neither.

Rules, fixed beforehand:

* Simulated: descriptions drawn from base samples reweighted by exp(score / β), 3 to 25 of each class, with as much KL
  as makes 33, 75 and 96 % of them visual, alike for every VLM: at least 500 experiments of one seed, of which at most
  6 % read the opposite of the truth, and, where 75 % and more are visual and each class has 10 texts and more, at least
  80 % read the truth. Twins: "style" and "content" said of everything.
* Trained: of the runs at a KL of 1 nat a description, at most 10 % (2 of 20) read the opposite, at least 80 % (16 of
  20) the truth; of fewer than 20 as many as do not contradict that (exact tests at 10 %). Twins: "style" and "content"
  said of everything; a policy that never moved, whose gain is nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from tqdm import tqdm

from analysis.accuracy.attribution import rearrange
from analysis.accuracy.measure import accuracy
from analysis.accuracy.record import Accuracy
from analysis.results.load import SeedResult
from analysis.results.reading import RULE, reading
from analysis.results.runs import experiment_of, read_run
from analysis.results.seeds import pool_seeds
from analysis.statistics.intervals import IntervalSettings
from analysis.verdicts.record import Breakdown
from analysis.verdicts.verdicts import Verdicts
from calibration.answers import Answer, Rule, frequency
from calibration.headlines import ACCURACY, CONFIDENCE, JUDGE
from calibration.runs import LOG_CONTROLLER, Job
from calibration.samples import RECIPE, base_texts, drawn_texts, optimum, optimum_with_share
from calibration.worlds import CONTENT_WORLD, STYLE_WORLD, World, folder, weights
from ex2.banks import test_embeddings
from ex2.data.demo.world import CONCEPTS
from ex2.data.names_in_texts import ClassNames
from ex2.data.prompts import generic_templates
from ex2.recipe_io import read_recipe
from ex2.run.descriptions import Description, LabeledText
from reward.image_bank import ImageEmbeddings
from reward.presets import load_vlm
from reward.vlm import VLM, TextEmbeddings

VLMS = (0, 1, 2)
TEXTS, SHARES = (3, 5, 10, 25), (1 / 3, 0.75, 0.96)
ENOUGH_TEXTS, ENOUGH_VISUAL = 10, 0.75
DRAWS = 504
MOST_WRONG, MOST_OPPOSITE, LEAST_RIGHT = 0.06, 0.1, 0.8
ALL_RUNS, CONTRADICTED = 20, 0.1
"""Trained runs of the full calibration, and the level of the tests where there are fewer."""
SAMPLES = 200
"""Bootstrap samples of an interval over images, of which the reading of one seed uses none."""
TARGET = 1.0
"""KL of the trained runs, in nats a description: nearly all of them can be visual."""
SETTINGS = (
    *LOG_CONTROLLER,
    f"rl.kl.target={TARGET:g}",
    "rl.batches=100",
    "rl.batch_size=64",
    "rl.minibatch_size=16",
    "rl.learning_rate=3e-4",
)

NAMES = tuple(row.name for row in RULE)
RIGHT: Mapping[str, str] = {STYLE_WORLD.name: "style", CONTENT_WORLD.name: "content"}
OPPOSITE: Mapping[str, frozenset[str]] = {
    STYLE_WORLD.name: frozenset({"content", "content harms"}),
    CONTENT_WORLD.name: frozenset({"style", "content harms"}),
}


class Read(NamedTuple):
    """What was read of one experiment.

    Attributes:
        world: Name of the world, without the number of its VLM.
        vlm: Number of the VLM.
        texts: Descriptions of each class.
        visual: Share of visual descriptions that was aimed at, or, of a trained run, was reached.
        said: The rule's row.
    """

    world: str
    vlm: int
    texts: int
    visual: float
    said: str

    @property
    def is_right(self) -> bool:
        return self.said == RIGHT[self.world]

    @property
    def is_opposite(self) -> bool:
        return self.said in OPPOSITE[self.world]

    @property
    def is_clear(self) -> bool:
        """Whether there are texts enough, and visual ones, for the truth to be read."""
        return self.texts >= ENOUGH_TEXTS and self.visual >= ENOUGH_VISUAL


class RememberedTexts:
    """A VLM that encodes each text once: simulated experiments share most of theirs.

    Args:
        vlm: The encoder.
    """

    def __init__(self, vlm: VLM) -> None:
        self._vlm = vlm
        self._known: dict[str, torch.Tensor] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._vlm, name)

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """Encode texts, shape (N, D)."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        if missing:
            self._known.update(zip(missing, self._vlm.encode_texts(missing).embeddings, strict=True))
        rows = torch.stack([self._known[text] for text in texts])
        return TextEmbeddings(rows, torch.zeros(len(texts), dtype=torch.bool))


@cache
def encoder(world: World) -> tuple[VLM, ImageEmbeddings]:
    """Return a world's VLM and its test images."""
    recipe = read_recipe(RECIPE, [f"vlm={{name: toy, weights: {weights(world.planting)}}}"])
    vlm = load_vlm(recipe.vlm.name, recipe.vlm.settings)
    remembered: VLM = RememberedTexts(vlm)  # type: ignore[assignment]
    return remembered, test_embeddings(recipe.dataset.source(), vlm)


def draw_descriptions(rng: np.random.Generator, distribution: np.ndarray, each: int) -> list[Description]:
    """Draw aligned descriptions of every class.

    Args:
        rng: Source of the draws.
        distribution: Share of each of `base_texts()`, shape (C, T).
        each: Descriptions of each class, one for each question.
    """
    return [
        Description(
            policy="aligned",
            class_name=CONCEPTS[label].name,
            label=label,
            text=text,
            question_id=question,
            sample=0,
        )
        for label, texts in enumerate(drawn_texts(rng, distribution, each))
        for question, text in enumerate(texts)
    ]


def read_descriptions(world: World, descriptions: Sequence[Description], seed: int) -> str:
    """Return what EX2's rule reads of descriptions, by one of `NAMES`."""
    vlm, images = encoder(world)
    names = images.class_names
    settings = IntervalSettings(CONFIDENCE, SAMPLES)
    arms = {
        "templates": [
            LabeledText(label, template.format(name))
            for label, name in enumerate(names)
            for template in generic_templates()
        ],
        "aligned": [one.of_label for one in descriptions],
    }
    rearranged = rearrange(descriptions, ClassNames(names), seed=seed, confidence=CONFIDENCE)
    measured = accuracy(vlm, images, arms, settings, rearranged=rearranged)
    found: Accuracy = replace(ACCURACY, images=len(images.labels), **settings._asdict(), **measured._asdict())
    shares = Breakdown(judge=JUDGE, denominator="parsed", confidence=CONFIDENCE, policies={})
    said = reading(pool_seeds("world", [SeedResult(seed, found, shares, list(descriptions), Verdicts(), [])]))
    assert said is not None, "aligned texts were compared with the templates"
    return said.name


def simulated(draws: int = DRAWS, seed: int = 0) -> list[Read]:
    """Simulate experiments: the cells of worlds, VLMs, numbers of texts and visual shares in turn."""
    found: list[Read] = []
    with tqdm(total=draws, desc="attribution", unit="experiment", leave=False) as bar:
        for number, (world, vlm, texts, share) in zip(range(draws), _cells(), strict=False):
            own = world.seeded(vlm)
            rng = np.random.default_rng([seed, number])
            descriptions = draw_descriptions(rng, _distribution(own, share), texts)
            found.append(Read(world.name, vlm, texts, share, read_descriptions(own, descriptions, number)))
            bar.update()
    return found


def _cells() -> Iterator[tuple[World, int, int, float]]:
    while True:
        yield from (
            (world, vlm, texts, share)
            for share in SHARES
            for texts in TEXTS
            for vlm in VLMS
            for world in (STYLE_WORLD, CONTENT_WORLD)
        )


@cache
def _distribution(world: World, share: float) -> np.ndarray:
    return base_texts().masses if share <= SHARES[0] else optimum_with_share(world, share).weights


def worlds() -> list[World]:
    """Return the worlds, each with all of its VLMs."""
    return [world.seeded(vlm) for vlm in VLMS for world in (STYLE_WORLD, CONTENT_WORLD)]


def jobs(full: bool = False) -> list[tuple[World, int, Job]]:
    """Return the trained runs, with their world and the number of its VLM.

    Args:
        full: Whether there are 20, ten of each world, rather than one of each VLM.
    """
    every = [
        (world, vlm, _job(world.seeded(vlm), seed))
        for seed in range(4)
        for vlm in VLMS
        for world in (STYLE_WORLD, CONTENT_WORLD)
    ]
    return every[: 20 if full else 6]


def _job(world: World, seed: int) -> Job:
    beta = float(optimum(world, TARGET).beta)
    vlm = f"vlm={{name: toy, weights: {weights(world.planting)}}}"
    return Job(f"attribution-{world.name}-seed{seed}", (*SETTINGS, f"rl.kl.init_coef={beta:.3g}", vlm), seed)


def trained(done: Sequence[tuple[World, int, Job]]) -> list[Read]:
    """Return what EX2's report reads of the runs."""
    found = []
    for world, vlm, job in done:
        said = reading(experiment_of(read_run(folder() / "runs" / job.name)))
        assert said is not None, "a run is compared with the templates"
        found.append(Read(world.name, vlm, 25, job.shares()[0], said.name))
    return found


def unmoved(done: Sequence[tuple[World, int, Job]]) -> list[Read]:
    """Return what would be read of policies that say what the base model says."""
    found = []
    for number, (world, vlm, _) in enumerate(done):
        rng = np.random.default_rng([99, number])
        own = world.seeded(vlm)
        descriptions = draw_descriptions(rng, base_texts().masses, 25)
        found.append(Read(world.name, vlm, 25, 1 / 3, read_descriptions(own, descriptions, number)))
    return found


def said_of_everything(reads: Sequence[Read], said: str) -> list[Read]:
    """Return the same experiments read as one thing."""
    return [one._replace(said=said) for one in reads]


def wrong_at_most(reads: Sequence[Read], most: float) -> bool:
    """Say whether few enough experiments read the opposite."""
    return sum(one.is_opposite for one in reads) <= most * len(reads)


def right_at_least(reads: Sequence[Read], least: float) -> bool:
    """Say whether enough experiments read the truth."""
    return bool(reads) and sum(one.is_right for one in reads) >= least * len(reads)


def runs_are_right(runs: Sequence[Read]) -> bool:
    """Say whether few enough trained runs read the opposite of the truth and enough read it.

    Of fewer than 20 runs the bounds are those that they do not contradict, each by an exact test at 10 %: of six, two
    that read the opposite and four that read the truth.
    """
    number = len(runs)
    opposite, right = sum(one.is_opposite for one in runs), sum(one.is_right for one in runs)
    if number >= ALL_RUNS:
        return wrong_at_most(runs, MOST_OPPOSITE) and right_at_least(runs, LEAST_RIGHT)
    few = stats.binom.sf(opposite - 1, number, MOST_OPPOSITE) >= CONTRADICTED
    return bool(number) and few and stats.binom.cdf(right, number, LEAST_RIGHT) >= CONTRADICTED


def answer(reads: Sequence[Read], runs: Sequence[Read], still: Sequence[Read]) -> Answer:
    """Hold simulated experiments and trained runs against the rules.

    Args:
        reads: Simulated experiments.
        runs: Trained runs.
        still: What would be read of policies that never moved.
    """
    guesses = ("style", "content")
    clear = [one for one in reads if one.is_clear]
    rules = [
        Rule(
            f"simulated: at most {MOST_WRONG:.0%} read the opposite",
            str(frequency(sum(one.is_opposite for one in reads), len(reads))),
            len(reads) >= 500 and wrong_at_most(reads, MOST_WRONG),
            "; ".join(f"“{said}” of everything: {_opposite(said_of_everything(reads, said))}" for said in guesses),
            any(wrong_at_most(said_of_everything(reads, said), MOST_WRONG) for said in guesses),
        ),
        Rule(
            f"simulated, {ENOUGH_TEXTS} texts and {ENOUGH_VISUAL:.0%} visual or more: at least {LEAST_RIGHT:.0%} right",
            str(frequency(sum(one.is_right for one in clear), len(clear))),
            right_at_least(clear, LEAST_RIGHT),
            "; ".join(f"“{said}” of everything: {_right(said_of_everything(clear, said))}" for said in guesses),
            any(right_at_least(said_of_everything(clear, said), LEAST_RIGHT) for said in guesses),
        ),
    ]
    if runs:
        rules.append(
            Rule(
                f"trained: at most {MOST_OPPOSITE:.0%} opposite, at least {LEAST_RIGHT:.0%} right",
                f"{_opposite(runs)} opposite, {_right(runs)} right",
                runs_are_right(runs),
                "; ".join(
                    [
                        *(
                            f"“{said}” of everything: {_right(said_of_everything(runs, said))} right"
                            for said in guesses
                        ),
                        f"policies that never moved: {_right(still)} right",
                    ]
                ),
                any(map(runs_are_right, (*(said_of_everything(runs, said) for said in guesses), still))),
            )
        )
    rows = [*_rows("simulated", reads), *_rows("trained", runs), *_rows("never moved", still)]
    return Answer("Style or content", tuple(rules), ("", "world", "texts a class", "visual", *NAMES), tuple(rows))


def _opposite(reads: Sequence[Read]) -> str:
    return f"{sum(one.is_opposite for one in reads)} of {len(reads)}"


def _right(reads: Sequence[Read]) -> str:
    return f"{sum(one.is_right for one in reads)} of {len(reads)}"


def _rows(kind: str, reads: Sequence[Read]) -> Iterator[tuple[str, ...]]:
    places = sorted({(one.world, one.texts, round(one.visual, 2) if kind == "simulated" else 0.0) for one in reads})
    for world, texts, visual in places:
        own = [
            one
            for one in reads
            if (one.world, one.texts) == (world, texts) and (kind != "simulated" or round(one.visual, 2) == visual)
        ]
        counts = Counter(one.said for one in own)
        mean = sum(one.visual for one in own) / len(own)
        yield kind, world, str(texts), f"{100 * mean:.0f} %", *(str(counts[name]) for name in NAMES)
