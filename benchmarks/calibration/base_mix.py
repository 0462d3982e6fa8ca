"""Is a preference found against a base model that says mostly something else?

The demo's base model says the three kinds equally often. Here its texts are weighted so that one kind is 70 %, another
20 % and the third 10 %, in all six orders, then reweighted by exp(score / β) toward the visual, the non-visual and the
spurious world at 0.25 nats: 25 descriptions of each class, three seeds.

Rules, fixed beforehand:

* Against each of the six mixes, the headline names the planted kind in at least 95 % of experiments, whatever the base
  model says most. Twins: "the kind that most aligned descriptions are of", and a policy that never moved.
* Without a preference (each seed a hash of its own, as in `null`) at most 6 % of experiments name a kind, the upper end
  of the interval included. Twin: the kind that rose most, without a test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import numpy as np
from theory import tilt_to_kl
from tqdm import tqdm

from analysis.verdicts.breakdown import Group
from calibration.answers import Answer, Rule, frequency
from calibration.headlines import Counts, drawn_counts
from calibration.null import EACH, SEEDS, hash_shares, kind_named, visual_quantiles
from calibration.samples import Array, base_texts, scores_of
from calibration.worlds import dose_world
from ex2.data.demo.world import CAPTION_KINDS, Kind

KL = 0.25
MIX = (0.7, 0.2, 0.1)
MIXES = tuple(permutations(MIX))
DRAWS, NULL_DRAWS, BATCH = 20, 500, 100
LEAST, MOST = 0.95, 0.06


def mostly(aligned: Sequence[Counts]) -> Kind:
    """Return the kind that most aligned descriptions are of, which is no answer to what the VLM rewards."""
    totals = np.array(aligned).sum(axis=(0, 1))
    return CAPTION_KINDS[int(totals.argmax())]


def _draw(rng: np.random.Generator, after: Array, before: Array) -> tuple[list[Counts], list[Counts]]:
    """Draw an experiment's counts, aligned and base; `after` has a distribution for each seed, shape (S, C, 3)."""
    return [drawn_counts(rng, own, EACH) for own in after], [drawn_counts(rng, before, EACH) for _ in range(SEEDS)]


def planted(mix: tuple[float, float, float], kind: Kind, draws: int) -> tuple[int, int, int]:
    """Return in how many experiments the planted kind is named: by the headline, by `mostly`, of unmoved policies."""
    rng = np.random.default_rng([CAPTION_KINDS.index(kind), *(round(100 * share) for share in mix)])
    base = base_texts().with_mix(mix)
    before = base.kind_shares(base.masses)
    after = base.kind_shares(tilt_to_kl(scores_of(dose_world(1.0, kind)), base.masses, KL).weights)
    found: list[tuple[Group | None, Kind, Group | None]] = []
    for _ in range(draws):
        aligned, own = _draw(rng, np.repeat(after[None], SEEDS, axis=0), before)
        still, _ = _draw(rng, np.repeat(before[None], SEEDS, axis=0), before)
        found.append((kind_named(aligned, own), mostly(aligned), kind_named(still, own)))
    named, most, unmoved = (sum(one[place] == kind for one in found) for place in range(3))
    return named, most, unmoved


def nothing(mix: tuple[float, float, float], draws: int) -> Counter[Group | None]:
    """Return the headlines of experiments whose scores are hashes."""
    rng = np.random.default_rng([9, *(round(100 * share) for share in mix)])
    base = base_texts().with_mix(mix)
    before = base.kind_shares(base.masses)
    own = visual_quantiles()
    found: Counter[Group | None] = Counter()
    for start in range(0, draws, BATCH):
        size = min(BATCH, draws - start)
        shares, _ = hash_shares(rng, base, own, KL, size * SEEDS)
        for first in range(0, size * SEEDS, SEEDS):
            found[kind_named(*_draw(rng, shares[first : first + SEEDS], before))] += 1
    return found


def answer(draws: int = DRAWS, null_draws: int = NULL_DRAWS) -> Answer:
    """Simulate every mix, and hold the frequencies against the rules."""
    rows, counts = [], []
    false = 0
    for mix in tqdm(MIXES, desc="base mix", unit="mix", leave=False):
        each = [planted(mix, kind, draws) for kind in CAPTION_KINDS]
        wrong = null_draws - nothing(mix, null_draws)[None]
        false += wrong
        total = [sum(one[place] for one in each) for place in range(3)]
        counts.append(total)
        shown = " / ".join(f"{100 * share:.0f}" for share in mix)
        rows.append((shown, *(f"{one[0]} of {draws}" for one in each), str(frequency(wrong, null_draws))))
    n = draws * len(CAPTION_KINDS)
    named, most, unmoved = ([total[place] for total in counts] for place in range(3))
    total_false = frequency(false, null_draws * len(MIXES))
    rules = (
        Rule(
            f"against every mix, at least {LEAST:.0%} name the planted kind",
            f"least {min(named)} of {n}",
            min(named) >= LEAST * n,
            f"the most frequent kind: least {min(most)} of {n}; a policy that never moved: most {max(unmoved)} of {n}",
            min(most) >= LEAST * n or max(unmoved) >= LEAST * n,
        ),
        Rule(
            f"without a preference at most {MOST:.0%} name one, upper end included",
            str(total_false),
            total_false.high <= MOST,
            "the kind that rose most, without a test: 100 %",
            frequency(null_draws, null_draws).high <= MOST,
        ),
    )
    header = (
        "base, visual / non-visual / spurious",
        *(f"{kind.replace('_', '-')} planted, named" for kind in CAPTION_KINDS),
        "named without",
    )
    return Answer("A base model that says mostly something else", rules, header, tuple(rows))
