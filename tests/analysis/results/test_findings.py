"""The numbers in words: what cannot be tested is not called insignificant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pages import against, arm, seed_result
from record_samples import measured, with_arms

from analysis.accuracy.record import Control, Covered, RewardGain
from analysis.report.accuracy import accuracy_table
from analysis.report.findings import findings
from analysis.results.experiment import Coverage, Experiment
from analysis.results.load import SeedResult
from analysis.results.pooling import Difference
from analysis.results.seeds import pool_seeds
from analysis.statistics.intervals import PairedMean
from analysis.verdicts.breakdown import LEAVES


def said(*results: SeedResult, **changes: Any) -> dict[str, str]:
    """What is said of these seeds, by topic, with fields of their experiment replaced."""
    experiment = replace(pool_seeds("tiny", results), **changes)
    return {finding.topic: finding.text for finding in findings(experiment)}


def test_one_pair_alone_cannot_be_tested() -> None:
    result = measured(seed_result(0), reward_gain=RewardGain(1.0, 0.5, PairedMean(0.5, None, None, None, None, 1), 0))
    text = said(result)["Reward"].replace("\u00a0", " ")
    assert text.startswith("Whether the alignment did anything cannot be tested: ")
    assert "+0.50 against the base model's" in text
    assert "No significant difference" not in text
    result = measured(result, reward_gain=RewardGain(1.0, 0.5, PairedMean(0.5, -0.5, 1.5, -0.5, 1.5, 9), 0))
    text = said(result)["Reward"].replace("\u00a0", " ")
    assert text.startswith("The alignment cannot be told from none: ")
    assert text.endswith("(n = 9 pairs); no significant difference: between −0.50 and +1.50 are possible.")


@pytest.mark.parametrize(
    ("significant", "value", "words"),
    [
        (
            True,
            0.1,
            ("classify better", "significantly above the templates (for these texts): spurious", "above it: name"),
        ),
        (True, -0.1, ("classify worse", "significantly below (for these texts): spurious", "below it: name")),
        (
            False,
            0.1,
            (
                "show no significant difference",
                "not told from the templates: spurious (+10.0\u00a0points, no significant difference: no interval",
                "not told from it: name",
            ),
        ),
        (
            None,
            0.1,
            (
                "templates classify better cannot be tested",
                "cannot be tested against the templates: spurious",
                "cannot be tested: name",
            ),
        ),
    ],
)
def test_every_sentence_has_four_wordings(
    monkeypatch: pytest.MonkeyPatch, significant: bool | None, value: float, words: tuple[str, str, str]
) -> None:
    result = seed_result(0)
    compared = [against("name", "aligned", -0.2, 0.001)]
    more = with_arms(result.accuracy, {"name": arm(120)}, compared, {"name": Control("name", "")})
    result = replace(result, accuracy=more)
    change = Difference(value, None, None, significant, None, 200, 1, shared=True)
    monkeypatch.setattr(Experiment, "tested", lambda *_: change)
    text = said(result)
    for topic, expected in zip(("Accuracy", "What each kind is worth", "Against other texts"), words, strict=True):
        assert expected in text[topic]


def test_a_share_whose_change_has_no_interval() -> None:
    change = Difference(0.1, None, None, None, None, 4, 1)
    text = said(seed_result(0), share_changes=dict.fromkeys(LEAVES, change))
    assert "points, cannot be tested; " in text["What alignment changed"]


def test_several_seeds_say_which_test_doubts_and_what_mcnemar_says(monkeypatch: pytest.MonkeyPatch) -> None:
    covered = (Covered(("visual", "non_visual"), classes=1),)
    results = [measured(seed_result(seed), covered_by_both=covered) for seed in (0, 1, 2)]
    doubted = Difference(
        0.02, 0.01, 0.03, False, None, 200, 3, True, (0.0, 0.04), (0.25, 0.5, 0.31), ("interval over images",)
    )
    monkeypatch.setattr(Experiment, "tested", lambda *_: doubted)
    both = {("visual", "non_visual"): Coverage(1, 1, doubted)}
    text = {topic: words.replace("\u00a0", " ") for topic, words in said(*results, covered=both).items()}
    # over seeds 1 to 3 points, over images 0 to 4
    test = (
        "no significant difference by interval over images, McNemar p 0.250–0.500 by seed: between 0.0 and +4.0 points "
        "are possible"
    )
    assert text["Accuracy"].endswith(f"own descriptions: +2.0 points [+1.0, +3.0] ({test}).")
    assert text["Classes without a kind"].endswith(f"is +2.0 points [+1.0, +3.0] ({test}, n = 200 images × 3 seeds).")
    clear = Difference(0.02, 0.01, 0.03, True, None, 200, 3, True, (0.01, 0.04), (0.002, 0.031, 0.01))
    monkeypatch.setattr(Experiment, "tested", lambda *_: clear)
    text = {topic: words.replace("\u00a0", " ") for topic, words in said(*results).items()}
    test = "intervals over 3 seeds and over images exclude 0, McNemar p 0.002–0.031 by seed"
    assert text["Accuracy"].endswith(f"({test}).")


@pytest.mark.parametrize(("filled", "named"), [(36, False), (37, True), (62, True)])
def test_a_kind_that_is_mostly_the_template_is_not_called_by_its_name(filled: int, named: bool) -> None:
    """Of 73 classes, 36 are less than half and 37 more."""
    made = pool_seeds("tiny", [seed_result(0)])
    change = Difference(-0.1, -0.15, -0.05, True, 0.001, 200, 1, shared=True)
    made = replace(
        made,
        classes=73,
        fallback={"non_visual": filled},
        accuracies=made.accuracies | {"non_visual": made.accuracies["aligned"]},
        differences=made.differences | {("non_visual", "templates"): change},
    )
    text = {finding.topic: finding.text.replace("\u00a0", " ") for finding in findings(made)}["What each kind is worth"]
    (row,) = (row for row in accuracy_table(made) if row["name"].startswith("non-visual"))
    if not named:
        assert (
            "significantly below (for these texts): spurious (−20.0 points [−24.0, −16.0]) and non-visual (−10.0 points"
            in text
        )
        assert (row["name"], row["verdict"]) == ("non-visual only", "p\u00a0=\u00a00.001, for these texts")
        return
    assert "significantly below (for these texts): spurious (−20.0 points [−24.0, −16.0]);" in text
    assert (
        f"no conclusion is drawn from non-visual ({filled} of 73 classes have no such text and take the plain template)"
        in text
    )
    assert row["name"] == f"non-visual, {73 - filled} of 73 classes"
    assert row["verdict"] == "no conclusion: most classes take the plain template"


def test_a_kind_is_above_the_templates_for_these_texts_or_over_draws() -> None:
    """One draw of one seed carries the images alone; two draws carry the texts too."""
    made = pool_seeds("tiny", [seed_result(0)])
    for draws, scope in ((0, "(for these texts)"), (2, "(over 2 draws of the texts)")):
        change = Difference(0.1, 0.05, 0.15, True, 0.001, 200, 1, shared=True, draws=draws)
        drawn = replace(made, differences={("visual", "templates"): change})
        text = {finding.topic: finding.text for finding in findings(drawn)}["What each kind is worth"]
        assert text.startswith(f"Used alone, significantly above the templates {scope}: visual (")
