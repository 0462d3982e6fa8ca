"""How often does EX2 report a preference where there is none?

A score without a preference is a hash of the text, with the distribution that the VLM of the visual world gives the
class's texts, and the policy goes as far for it: its KL is set to what runs reach. (A VLM whose captions were shuffled
has almost equal scores for all texts. The policy stays where it was, and a test that says nothing about a policy that
never moved is easily passed.) Two cases: each seed has a hash of its own, so that what seeds have in common is chance;
and one hash for all seeds, as a run has one VLM. Then the few texts of each class that the hash likes are the same in
all seeds, and a kind rises in all of them if it happens to have more: seeds that agree do not yet show a preference
for the kind, which is why the headline asks classes too.

Rules, fixed beforehand, for each KL:

* In either case at most 6 % of experiments of three seeds have a headline that names a kind, and Clopper and Pearson's
  upper end is at most 6 %, among at least 10,000 simulated ones: base samples reweighted by exp(score / β), 25
  descriptions of each class. The KL is within 5 % of what it should be. Twin: a headline without a test, which always
  names the kind that rose most.
* The simulated policy moved: in the same texts, the visual world's own score has a headline in at least 95 %. Twin: a
  policy that never moved.

Real runs with the hash as their reward stand beside the simulated ones; they are too few for a rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy import stats
from theory import tilt_to_kl
from tqdm import tqdm

from analysis.verdicts.breakdown import Group
from calibration.answers import Answer, Frequency, Rule, frequency
from calibration.hash_reward import quantiles, score_at
from calibration.headlines import Counts, drawn_counts, headline_kind
from calibration.runs import LOG_CONTROLLER, Job
from calibration.samples import Array, BaseTexts, base_texts, optimum, scores_of
from calibration.worlds import dose_world, folder
from ex2.data.demo.world import CAPTION_KINDS, CONCEPTS
from reward.files import write_json

KLS = (0.5, 2.0)
"""Nats a description: what runs of `dose` are held at, and what the demo reaches."""
SEEDS, EACH = 3, 25
DRAWS, POWER_DRAWS, BATCH = 10_000, 200, 100
MOST, LEAST, KL_OFF = 0.06, 0.95, 0.05
SETTINGS = (
    *LOG_CONTROLLER,
    "rl.batches=100",
    "rl.batch_size=64",
    "rl.minibatch_size=16",
    "rl.learning_rate=3e-4",
)


def hash_shares(rng: np.random.Generator, base: BaseTexts, own: Array, kl: float, hashes: int) -> tuple[Array, Array]:
    """Tilt the base model's texts by hashes.

    Args:
        rng: Source of the hashes: a hash with a new salt is a new uniform number for each text.
        base: The base model's texts.
        own: Quantiles of each class's scores, shape (C, QUANTILES).
        kl: Mean KL over classes, in nats.
        hashes: Number of hashes H.

    Returns:
        Share of each kind in each class, shape (H, C, 3), and the KL reached, shape (H,).
    """
    uniform = rng.random((hashes, *base.masses.shape))
    scores = np.stack([score_at(own[label], uniform[:, label]) for label in range(len(own))], axis=1)
    tilt = tilt_to_kl(scores, base.masses, kl)
    return base.kind_shares(tilt.weights), tilt.kl


def visual_quantiles() -> Array:
    """Return the quantiles of each class's scores in the visual world, shape (C, QUANTILES)."""
    return np.stack([quantiles(s, m) for s, m in zip(scores_of(dose_world(1.0)), base_texts().masses, strict=True)])


def jobs(full: bool = False) -> list[tuple[int, float, Job]]:
    """Return the trained runs, three seeds for each experiment, with the experiment's number and its KL.

    Args:
        full: Whether there is an experiment at each KL rather than one.
    """
    path = folder() / "hash-scores.json"
    if not path.is_file():
        own = visual_quantiles().tolist()
        write_json(path, {concept.name: each for concept, each in zip(CONCEPTS, own, strict=True)})
    return [
        (number, KLS[-1 - number % 2], _job(path, SEEDS * number + place, KLS[-1 - number % 2]))
        for number in range(len(KLS) if full else 1)
        for place in range(SEEDS)
    ]


def _job(distributions: Path, salt: int, kl: float) -> Job:
    beta = float(optimum(dose_world(1.0), kl).beta)  # the scores are spread alike
    reward = f"reward={{name: calibration.hash_reward.HashReward, distributions: {distributions}, salt: {salt}}}"
    target = (f"rl.kl.target={kl:g}", f"rl.kl.init_coef={beta:.3g}")
    return Job(f"null-{kl:g}-{salt}", (*SETTINGS, *target, reward), salt)


def trained_rows(done: Sequence[tuple[int, float, Job]]) -> Iterator[tuple[str, ...]]:
    """Return a row for each experiment whose runs are done: KLs, shares and the headline."""
    for number in sorted({number for number, _, _ in done}):
        own = [(kl, job) for each, kl, job in done if each == number]
        if len(own) == SEEDS:
            named = headline_kind([job.counts("aligned") for _, job in own], [job.counts("base") for _, job in own])
            kls = ", ".join(f"{job.kl():.2f}" for _, job in own)
            changes = np.mean([np.array(job.shares()) - np.array(job.shares("base")) for _, job in own], axis=0)
            yield (
                f"{own[0][0]:g}",
                f"trained, KL {kls}; named: {named or 'none'}",
                *(f"{100 * change:+.0f} points" for change in changes),
                "",
            )


def may_have_headline(aligned: Sequence[Counts], base: Sequence[Counts]) -> bool:
    """Say whether a headline could name a kind; where not, EX2's own code, which takes 0.1 s, need not be asked.

    By Holm's method no p is below the plain one of Student's t, so that where all of these are above 0.06, over seeds
    or over classes, no rise is significant at 0.05. What changes alike in all is left to EX2's code.
    """
    share = np.array(
        [a / a.sum(-1, keepdims=True) - b / b.sum(-1, keepdims=True) for a, b in zip(aligned, base, strict=True)]
    )
    over_seeds, over_classes = share.mean(axis=1), share.mean(axis=0)
    told = _p(over_seeds) < MOST
    return bool((told & (_p(over_classes) < MOST)).any())


def _p(changes: Array) -> Array:
    """Return the p of Student's t of each column, 0 where all of it is alike."""
    spread = changes.std(axis=0, ddof=1)
    t = changes.mean(axis=0) / np.maximum(spread, 1e-12) * np.sqrt(len(changes))
    return np.where(spread < 1e-12, 0.0, 2 * stats.t.sf(np.abs(t), len(changes) - 1))


def kind_named(aligned: Sequence[Counts], base: Sequence[Counts]) -> Group | None:
    """Return the kind that EX2's headline names."""
    return headline_kind(aligned, base) if may_have_headline(aligned, base) else None


def simulated(
    kl: float, draws: int, *, shared: bool = False, seed: int = 0
) -> tuple[Counter[Group | None], float, float]:
    """Simulate experiments without a preference.

    Args:
        kl: KL that every seed's policy reaches.
        draws: Number of experiments.
        shared: Whether the seeds of an experiment have one hash.
        seed: Of the simulation.

    Returns:
        How often each headline was given; the mean KL; and the mean size of the change of the visual share, in [0, 1].
    """
    rng, base = np.random.default_rng([seed, shared, round(1000 * kl)]), base_texts()
    before = base.kind_shares(base.masses)
    own = visual_quantiles()
    found: Counter[Group | None] = Counter()
    kls, moved = [], []
    for start in tqdm(range(0, draws, BATCH), desc=f"null, KL {kl:g}", unit="batch", leave=False):
        size = min(BATCH, draws - start)
        shares, reached = hash_shares(rng, base, own, kl, size if shared else size * SEEDS)
        shares = np.repeat(shares, SEEDS, axis=0) if shared else shares
        kls.append(reached)
        moved.append(np.abs(shares.mean(axis=1) - before.mean(axis=0))[:, CAPTION_KINDS.index("visual")])
        found.update(_headlines(rng, shares, before))
    return found, float(np.concatenate(kls).mean()), float(np.concatenate(moved).mean())


def _headlines(rng: np.random.Generator, shares: Array, before: Array) -> Iterator[Group | None]:
    for first in range(0, len(shares), SEEDS):
        aligned = [drawn_counts(rng, own, EACH) for own in shares[first : first + SEEDS]]
        yield kind_named(aligned, [drawn_counts(rng, before, EACH) for _ in range(SEEDS)])


def visual_named(kl: float, draws: int, *, moved: bool) -> Frequency:
    """Return how often the headline is that of the visual world, with its own score.

    Args:
        kl: KL that the policies reach.
        draws: Number of experiments.
        moved: False leaves the policies where they were.
    """
    rng, base = np.random.default_rng([7, moved, round(1000 * kl)]), base_texts()
    before = base.kind_shares(base.masses)
    after = base.kind_shares(optimum(dose_world(1.0), kl).weights) if moved else before
    found = Counter(_headlines(rng, np.repeat(after[None], SEEDS * draws, axis=0), before))
    return frequency(found["visual"], draws)


def answer(done: Sequence[tuple[int, float, Job]] = (), draws: int = DRAWS, power_draws: int = POWER_DRAWS) -> Answer:
    """Simulate, and hold the frequencies against the rules; trained runs that are done stand beside."""
    rules, rows = [], []
    for kl in KLS:
        for case, shared in (("a hash for each seed", False), ("one hash for all seeds", True)):
            found, reached, moved = simulated(kl, draws, shared=shared)
            false = frequency(draws - found[None], draws)
            rules.append(
                Rule(
                    f"KL {kl:g}, {case}: at most {MOST:.0%} of experiments name a kind, upper end included",
                    f"{false}; KL {reached:.2f}; the visual share moved by {100 * moved:.1f} points",
                    draws >= DRAWS and false.high <= MOST and abs(reached / kl - 1) <= KL_OFF,
                    "a headline without a test: 100 %",
                    frequency(draws, draws).high <= MOST,
                )
            )
            each = (str(frequency(found[kind], draws)) for kind in CAPTION_KINDS)
            rows.append((f"{kl:g}", case, *each, str(false)))
        power, unmoved = (visual_named(kl, power_draws, moved=moved) for moved in (True, False))
        rules.append(
            Rule(
                f"KL {kl:g}: the visual world's own score is reported in at least {LEAST:.0%}",
                str(power),
                power.count >= LEAST * power.n,
                f"a policy that never moved: {unmoved}",
                unmoved.count >= LEAST * unmoved.n,
            )
        )
    rows += trained_rows(done)
    header = ("KL", "score", "visual named", "non-visual named", "spurious named", "any named")
    return Answer("Nothing where there is nothing", tuple(rules), header, tuple(rows))
