"""An experiment holds every number that is pooled over a run's seeds, each equal to what the pooling itself gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pages import against, arm, seed_result
from record_samples import measured, with_arms
from run_samples import write_run

from analysis.accuracy.record import Control, Covered
from analysis.results.endings import end_of_training
from analysis.results.load import SeedResult
from analysis.results.pooling import (
    accuracy_difference,
    accuracy_of,
    as_denominator,
    covered_difference,
    further_accuracy,
    reward_gain,
    share_change,
    share_of,
)
from analysis.results.runs import experiment_of, read_run
from analysis.results.seeds import POLICIES, pool_seeds
from analysis.statistics.intervals import Estimate
from analysis.verdicts.breakdown import DENOMINATORS, GROUPS, Denominator


def with_everything(seed: int) -> SeedResult:
    """A seed with a control arm, further accuracies and covered classes; seeds differ in how many classes."""
    result = seed_result(seed, 28 + seed, aligned=160 + seed)
    shuffled = replace(arm(150 + seed), mean_per_class=Estimate(0.7 + seed / 100, 0.6, 0.8, 2))
    compared = [against("aligned", "shuffled", 0.05, 0.03), against("shuffled", "templates", 0.05, 0.04)]
    control = {"shuffled": Control("words shuffled", "in random order")}
    more = with_arms(result.accuracy, {"shuffled": shuffled}, compared, control)
    pair = ("visual", "non_visual")
    arms = {"visual": arm(160).top1, "non_visual": arm(140).top1}
    covered = Covered(pair, classes=2 - seed % 2, arms=arms, difference=against(*pair, 0.1, 0.02))
    return measured(replace(result, accuracy=more), covered_by_both=(covered,))


@pytest.mark.parametrize("seeds", [1, 3])
def test_each_number_is_what_the_pooling_gives(seeds: int) -> None:
    results = [with_everything(seed) for seed in range(seeds)]
    made = pool_seeds("r", results)
    assert (made.name, made.seeds, made.images, made.classes) == ("r", tuple(range(seeds)), 200, 2)
    assert list(made.arms) == list(results[0].accuracy.arms)
    for name in made.arms:
        assert made.accuracies.get(name) == accuracy_of(results, name)
        assert made.arms[name].top5 == further_accuracy(results, name, "top5")
        assert made.arms[name].mean_per_class == further_accuracy(results, name, "mean_per_class")
        for other in made.arms:
            assert made.tested(name, other) == accuracy_difference(results, name, other)
    for policy in POLICIES:
        for group in GROUPS:
            assert made.share_of_all(policy, group) == share_of(results, policy, group)
            assert made.share_of_parent(policy, group) == share_of(results, policy, group, "of_parent")
            for way in DENOMINATORS:
                seen = made.policies[policy].by_denominator[way].of_all.get(group)
                assert seen == share_of([as_denominator(result, way) for result in results], policy, group)
    for group in GROUPS:
        assert made.share_changes.get(group) == share_change(results, group)
    assert made.reward_gain == reward_gain(results)
    assert made.reward_end == end_of_training(results, "reward_mean")
    assert made.kl is not None
    assert made.kl.mean == end_of_training(results, "kl")
    assert made.covered["visual", "non_visual"].difference == covered_difference(results, ("visual", "non_visual"))


def test_what_is_counted_is_added_up() -> None:
    results = [with_everything(seed) for seed in range(3)]
    made = pool_seeds("r", results)
    assert made.arms["spurious"].fallback_classes == ("oak",)
    assert (made.arms["aligned"].texts, made.arms["non_visual"].texts) == (30, 0)
    assert made.controls == {"shuffled": Control("words shuffled", "in random order")}
    assert (made.covered["visual", "non_visual"].fewest, made.covered["visual", "non_visual"].most) == (1, 2)
    aligned = made.policies["aligned"]
    # Of 40 a seed 28, 29 and 30 are visual and one is unparsed; none of the base model's is.
    assert (aligned.descriptions, aligned.kinds["visual"], aligned.kinds["unparsed"]) == (120, 87, 3)
    assert aligned.unparsed == {"informative": 3, "visual": 0}
    assert made.policies["base"].unparsed == {"informative": 0, "visual": 0}
    assert made.judge == results[0].breakdown.judge


def test_a_model_that_was_not_described_has_no_shares() -> None:
    result = seed_result(0)
    policies = {"aligned": result.breakdown.policies["aligned"]}
    made = pool_seeds("r", [replace(result, breakdown=replace(result.breakdown, policies=policies))])
    assert list(made.policies) == ["aligned"]
    assert made.share_of_all("base", "visual") is None
    assert made.share_of_parent("base", "visual") is None
    assert made.share_changes == {}


@pytest.mark.parametrize("denominator", ["parsed", "all"])
def test_shares_are_those_of_the_counts(tmp_path: Path, denominator: Denominator) -> None:
    write_run(tmp_path, "clip", seeds={0: 160, 1: 163, 2: 166})
    made = experiment_of(read_run(tmp_path / "clip"), denominator)
    assert made.denominator == denominator
    printed = replace(made, policies={})  # as of a paper, which prints counts
    for group in GROUPS:
        assert made.share(group) is not None
        assert made.share(group) == printed.share(group)
