"""Are shares right after correction for a judge that errs?

A judge answers the true yes with yes in 90 % and the true no with no in 80 % of texts. Which texts it errs on is fixed:
a text said twice is judged alike. Descriptions are drawn, 25 of each class from the base model and as many from base
samples reweighted toward the visual world at 0.5 nats. The judge's verdicts are logged, 200 of the 800 are labelled by
the world's own parser, and EX2's own code (`ex2 agreement`) reads all that from the run's folder and corrects.

Rules, fixed beforehand, over 400 such runs:

* The corrected interval of each share, visual and spurious, aligned and base, holds the true share in at least 90 %
  (its confidence is 95 %). Twin: the shares as judged, with their own intervals.
* The correction is better than none: the mean distance from the truth is at most half. Twin: the shares as judged.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Literal, NamedTuple

import numpy as np
from tqdm import tqdm

from analysis.agreement.command import agreement, read_runs
from analysis.agreement.corrected_shares import Unknown
from analysis.judge.base import JudgeRequest, OnAnswer, Verdict
from analysis.judge.scripted import ScriptedJudge
from analysis.labeling.log import Asked, Label, label_path
from analysis.labeling.sample import open_sample
from analysis.statistics.intervals import Estimate
from analysis.verdicts.asking import judge_descriptions
from analysis.verdicts.breakdown import breakdown
from analysis.verdicts.record import Breakdown, JudgeIdentity
from analysis.verdicts.verdicts import judge_digest
from calibration.answers import Answer, Rule, frequency
from calibration.attribution import draw_descriptions
from calibration.hash_reward import hashed
from calibration.headlines import CONFIDENCE
from calibration.samples import base_texts, optimum
from calibration.worlds import dose_world
from ex2.data.demo.world import kind_of
from ex2.run.descriptions import Description, append_descriptions
from ex2.run.directory import RunDirectory
from reward.files import append_jsonl, write_json, write_text

SENSITIVITY, SPECIFICITY = 0.9, 0.8
RUNS, LABELED, EACH, KL = 400, 200, 25, 0.5
LEAST_HELD, PART = 0.9, 0.5
SHARES: tuple[Literal["visual", "spurious"], ...] = ("visual", "spurious")
RATER = "world"


class ErringJudge:
    """A judge that knows the truth and says otherwise of some texts.

    Args:
        sensitivity: Share of true yeses that it answers with yes.
        specificity: Share of true noes that it answers with no.
        salt: Another salt errs on other texts.
    """

    name = "erring"
    exact = False

    def __init__(self, sensitivity: float = SENSITIVITY, specificity: float = SPECIFICITY, salt: int = 0) -> None:
        self.right = {True: sensitivity, False: specificity}
        self.salt = salt

    def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
        """Answer every request at once."""

        def erring(request: JudgeRequest, verdict: object) -> None:
            assert isinstance(verdict, Verdict), "the world's judge always answers"
            drawn = hashed(self.salt, f"{request.question} {request.class_name}", request.description)
            said = verdict.answer == (drawn < self.right[verdict.answer])
            on_answer(request, Verdict(said, "yes" if said else "no"))

        ScriptedJudge().answer(requests, erring)


class Corrected(NamedTuple):
    """One share of one run's policy, from 0 to 1.

    Attributes:
        policy: `aligned` or `base`.
        share: `visual` or `spurious`.
        truth: Among the run's descriptions.
        judged: As judged, with its interval.
        corrected: After correction.
    """

    policy: str
    share: str
    truth: float
    judged: Estimate
    corrected: Estimate | Unknown

    @property
    def is_held(self) -> bool:
        """Whether the corrected interval holds the truth; a share that stays unknown holds nothing."""
        return isinstance(self.corrected, Estimate) and _holds(self.corrected, self.truth)

    @property
    def judged_holds(self) -> bool:
        return _holds(self.judged, self.truth)

    @property
    def distances(self) -> tuple[float, float]:
        """How far the corrected share is from the truth, and the judged one."""
        corrected = self.corrected.value if isinstance(self.corrected, Estimate) else self.judged.value
        return abs(corrected - self.truth), abs(self.judged.value - self.truth)


def _holds(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None, "shares have intervals"
    assert estimate.high is not None, "shares have intervals"
    return estimate.low - 1e-9 <= truth <= estimate.high + 1e-9


def one_run(folder: Path, seed: int) -> list[Corrected]:
    """Draw, judge, label and correct one run.

    Args:
        folder: Where the run is written.
        seed: Of the draws and of the judge's errors.
    """
    rng = np.random.default_rng([seed, 3])
    tilt = optimum(dose_world(1.0), KL).weights
    aligned = draw_descriptions(rng, tilt, EACH)
    base = [Description(**{**vars(one), "policy": "base"}) for one in draw_descriptions(rng, base_texts().masses, EACH)]
    rows = [*aligned, *base]
    run = RunDirectory(folder)
    where = run.seed(0)
    write_text(run.recipe, "name: erring\n")
    append_descriptions(where, rows)
    settings = {"sensitivity": SENSITIVITY, "specificity": SPECIFICITY, "salt": seed}
    digest = judge_digest("calibration.judge_errors.ErringJudge", settings)
    verdicts = judge_descriptions(ErringJudge(salt=seed), [one.of_class for one in rows], where.verdicts, digest=digest)
    judge = JudgeIdentity("erring", False, "paper", digest)
    policies = breakdown(rows, verdicts, "parsed", CONFIDENCE)
    write_json(
        where.breakdown,
        Breakdown(judge=judge, denominator="parsed", confidence=CONFIDENCE, policies=policies).to_json(),
    )
    _label(folder, seed)
    (found,) = agreement(read_runs(Namespace(runs=[folder], rater=None, per_run=False, confidence=CONFIDENCE)))
    made = []
    for policy, own in (("aligned", aligned), ("base", base)):
        kinds = [kind_of(one.text, one.class_name) for one in own]
        for share in SHARES:
            corrected = found.policies[policy].shares[share]
            made.append(
                Corrected(policy, share, kinds.count(share) / len(kinds), corrected.judged, corrected.corrected)
            )
    return made


def _label(run: Path, seed: int) -> None:
    """Answer the sample's questions as people would who know the truth."""
    rows = []
    for number, item in enumerate(open_sample(run, LABELED, seed).items):
        kind, when = kind_of(item.text, item.class_name), f"2026-01-01T{number // 60:02}:{number % 60:02}:00+00:00"
        given = {"informative": kind != "spurious"} | ({"visual": kind == "visual"} if kind != "spurious" else {})
        for question, answer in given.items():
            label = Label(Asked(question, item.class_name, item.text), "yes" if answer else "no", "paper", when)  # type: ignore[arg-type]
            rows.append(label.to_json() | {"rater": RATER})
    append_jsonl(label_path(run, RATER), rows)


def simulated(runs: int = RUNS) -> list[Corrected]:
    """Simulate runs, each in a folder that is removed."""
    found = []
    for seed in tqdm(range(runs), desc="erring judge", unit="run", leave=False):
        with tempfile.TemporaryDirectory(prefix="ex2-erring-") as folder:
            found += one_run(Path(folder) / "run", seed)
    return found


def answer(found: Sequence[Corrected]) -> Answer:
    """Hold corrected shares against the rules."""
    rows, held, judged = [], [], []
    for policy in ("aligned", "base"):
        for share in SHARES:
            own = [one for one in found if (one.policy, one.share) == (policy, share)]
            held.append(frequency(sum(one.is_held for one in own), len(own)))
            judged.append(frequency(sum(one.judged_holds for one in own), len(own)))
            truth, said = mean(one.truth for one in own), mean(one.judged.value for one in own)
            after = [one.corrected.value for one in own if isinstance(one.corrected, Estimate)]
            told = f"{100 * mean(after):.1f} %" if after else "unknown"
            rows.append(
                (policy, share, f"{100 * truth:.1f} %", f"{100 * said:.1f} %", told, str(held[-1]), str(judged[-1]))
            )
    off, before = (mean(one.distances[place] for one in found) for place in (0, 1))
    rules = (
        Rule(
            f"each corrected interval holds the truth in at least {LEAST_HELD:.0%}",
            "; ".join(map(str, held)),
            all(one.count >= LEAST_HELD * one.n for one in held),
            f"as judged: {'; '.join(map(str, judged))}",
            all(one.count >= LEAST_HELD * one.n for one in judged),
        ),
        Rule(
            f"corrected shares are at most {PART:.0%} as far from the truth as judged ones",
            f"{100 * off:.1f} points, as judged {100 * before:.1f}",
            off <= PART * before,
            f"as judged: {100 * before:.1f} points",
            before <= PART * before,
        ),
    )
    header = ("policy", "share", "truth", "as judged", "corrected", "corrected interval holds", "judged interval holds")
    return Answer("A judge that errs", rules, header, tuple(rows))
