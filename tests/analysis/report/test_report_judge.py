"""What the report says of the judge: when people's answers count, in which words, with which n."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agreed_runs import KINDS, agreement_of, edit, make, results_of, said
from pages import seed_result
from record_samples import judged
from run_samples import write_run
from scipy import stats

from analysis.agreement.labels import JUDGE_QUESTIONS
from analysis.agreement.raters import Confusion, cohen_kappa
from analysis.agreement.section import agreement_tables, number_text, share_text
from analysis.agreement.standing import judge_standing
from analysis.agreement.stored import JudgeAgreement, read_judge_agreement
from analysis.judge.base import Usage
from analysis.judge.panel import JudgeUsage, PanelVotes
from analysis.labeling.sample import open_sample
from analysis.report.descriptions import explanation
from analysis.report.judge import both_denominators, usage
from analysis.results.seeds import pool_seeds
from analysis.statistics.intervals import Estimate
from analysis.verdicts.breakdown import DENOMINATORS
from analysis.verdicts.record import JudgingCost
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import JSON, read_jsonl, write_jsonl


def test_an_agreement_that_holds(tmp_path: Path) -> None:
    run = make(tmp_path, 100)
    found = agreement_of(run)
    assert (found.stale, found.lacking) == ("", "")
    n = found.content.own.questions["informative"].n
    assert judge_standing(pool_seeds("run", results_of(run)), found) == (
        f"calibrated on labelled descriptions: {n} (informative or not); not on visual or not"
    ), "fewer than ten were called non-visual"
    write_run(tmp_path, "bare", kinds=KINDS)
    assert read_judge_agreement(tmp_path / "bare", results_of(tmp_path / "bare"), complete=True) is None


def test_another_judge_needs_no_new_labels(tmp_path: Path) -> None:
    run = make(tmp_path)
    breakdown = RunDirectory(run).seed(0).breakdown
    edit(breakdown, lambda content: content["judge"].update(settings="other"))
    assert agreement_of(run).stale == "it was made for grammar & co with rubric paper-1; run `ex2 agreement` again"
    log = RunDirectory(run).seed(0).verdicts  # analysed again, by a judge that says the same
    write_jsonl(log, [row | {"settings": "other"} for row in read_jsonl(log)])
    edit(breakdown, lambda content: content["judge"].update(rubric="fenced-1"))
    assert agreement_of(run).stale == (
        "it was made for grammar & co with rubric paper-1; people answered rubric paper-1, the judge fenced-1: if its "
        "questions differ, label again with `ex2 label --rubric`, then run `ex2 agreement` again"
    )
    assert agreement_tables(agreement_of(run)) is None
    assert judge_standing(pool_seeds("run", results_of(run)), agreement_of(run)) == "uncalibrated"
    assert "agreement.json does not count: it was made for" in said(run)["The judge is uncalibrated"]


def test_new_descriptions_are_noticed_whatever_their_number(tmp_path: Path) -> None:
    run = make(tmp_path)
    path = RunDirectory(run).seed(0).descriptions
    rows = read_jsonl(path)
    assert rows[3]["text"] != "another one"
    write_jsonl(path, [*rows[:3], rows[3] | {"text": "another one"}, *rows[4:]])
    expected = "the descriptions changed since; label those drawn anew with `ex2 label`, then run `ex2 agreement` again"
    assert agreement_of(run).stale == expected
    with pytest.raises(UserError, match=r"was drawn from other descriptions .* delete it and run `ex2 label"):
        open_sample(run, 5)
    write_jsonl(path, rows)
    assert agreement_of(run).stale == ""
    edit(run / "agreement.json", lambda content: content["sample"].pop("frame"))
    assert agreement_of(run).stale == ("it does not tell which descriptions it was made for; run `ex2 agreement` again")


def test_new_verdicts_of_the_same_judge_are_noticed(tmp_path: Path) -> None:
    run = make(tmp_path)
    kinds = {"visual": 23, "non_visual": 9}
    edit(RunDirectory(run).seed(0).breakdown, lambda content: content["policies"]["aligned"]["kinds"].update(kinds))
    assert agreement_of(run).stale == "the judge's verdicts changed since; run `ex2 agreement` again"


def test_other_seeds_than_the_page(tmp_path: Path) -> None:
    run = make(tmp_path, seeds={0: 160, 3: 161})
    assert agreement_of(run).stale == ""
    fewer = results_of(run)[:1]
    found = read_judge_agreement(run, fewer, complete=True)
    assert found is not None
    assert found.stale == "it covers the seeds 0, 3, not those of this page; name the same in the recipe"
    partial = read_judge_agreement(run, fewer, complete=False)
    assert partial is not None
    assert partial.stale == "", "the page names the seeds that are not analysed yet"


@pytest.mark.parametrize(
    ("n", "only", "words"),
    [(1, " visual", "1 of them, all informative"), (3, "spurious", "3 of them, all spurious")],
)
def test_labels_of_one_answer_calibrate_nothing(tmp_path: Path, n: int, only: str, words: str) -> None:
    run = make(tmp_path, n, only=only)
    found = agreement_of(run)
    assert found.stale == ""
    assert found.lacking == (
        f"people labelled {words}: label until both answers occur, with `ex2 label --n`, then run `ex2 agreement`"
    )
    assert judge_standing(pool_seeds("run", results_of(run)), found) == "uncalibrated"
    assert words in said(run)["The judge is uncalibrated"]


def with_confusions(found: JudgeAgreement, **questions: tuple[int, int, int, int]) -> JudgeAgreement:
    """With these confusions: both yes, only people, only the judge, both no; 40 and 40 right where none is given."""
    used = dict(found.content.own.questions)
    for name in JUDGE_QUESTIONS:
        used[name] = replace(used[name], confusion=Confusion(*questions.get(name, (40, 0, 0, 40))))
    return found._replace(content=replace(found.content, own=replace(found.content.own, questions=used)))


def standing(run: Path, **questions: tuple[int, int, int, int]) -> tuple[str, dict[str, str]]:
    """The judge's standing with these confusions, and what is short, by question."""
    found = with_confusions(agreement_of(run), **questions)
    short: dict[str, str] = {name: why.partition(":")[0] for name, why in found.shortfalls.items()}
    return judge_standing(pool_seeds("run", results_of(run)), found), short


BOTH = "calibrated on labelled descriptions: 80 (informative or not) and 80 (visual or not)"


def test_calibrated_is_named_by_question_and_has_three_thresholds(tmp_path: Path) -> None:
    run = make(tmp_path)
    assert standing(run) == (BOTH, {"informative": "", "visual": ""})
    # Each answer ten times, or nine.
    assert standing(run, visual=(10, 0, 0, 10))[1]["visual"] == ""
    words, short = standing(run, visual=(9, 0, 0, 71))
    assert words == "calibrated on labelled descriptions: 80 (informative or not); not on visual or not"
    assert short["visual"] == "people said yes 9 and no 71 times"
    assert standing(run, informative=(71, 0, 0, 9))[0].endswith("80 (visual or not); not on informative or not")
    # κ above 0 with its interval, or not: 14 and 13 of 20 right in each row.
    for right, why in ((14, ""), (13, "Cohen's κ cannot be told from 0")):
        kappa = cohen_kappa([[right, 20 - right], [20 - right, right]])
        assert kappa is not None
        assert kappa.low is not None
        assert (kappa.low > 0) is (why == "")
        assert standing(run, informative=(right, 20 - right, 20 - right, right))[1]["informative"] == why


def test_ten_labels_with_a_kappa_below_zero_calibrate_nothing(tmp_path: Path) -> None:
    run = make(tmp_path)
    ten = (2, 3, 3, 2)
    kappa = cohen_kappa([[2, 3], [3, 2]])
    assert kappa is not None
    assert kappa.value == pytest.approx(-0.2)
    words, short = standing(run, informative=ten, visual=ten)
    assert words == "uncalibrated"
    assert set(short.values()) == {"people said yes 5 and no 5 times"}
    assert standing(run, informative=(8, 12, 12, 8))[1]["informative"] == "Cohen's κ cannot be told from 0"
    text = said(run)
    assert "The judge is uncalibrated" not in text
    assert "It is not calibrated on visual or not: people said yes" in text["The judge against people"]


def test_sensitivity_and_specificity_must_exceed_a_coins(tmp_path: Path) -> None:
    """κ's interval and Newcombe's differ a little: where κ tells and these do not, the judge is not calibrated."""
    agreed, seen = agreement_of(make(tmp_path)), set()
    for yes, no in ((10, 30), (12, 40)):
        for right in range(yes + 1):
            for wrong in range(no + 1):
                found = Confusion(right, yes - right, wrong, no - wrong)
                sensitivity, false_yes = wilsons(right, yes), wilsons(wrong, no)
                gap = right / yes - wrong / no
                low = gap - math.hypot(right / yes - sensitivity[0], false_yes[1] - wrong / no)
                if abs(low) >= 0.04:
                    continue
                kappa = found.kappa()
                assert kappa is not None
                assert kappa.low is not None
                if kappa.low > 0:
                    why = with_confusions(agreed, informative=found).shortfalls["informative"]
                    assert (why == "") is (low > 0), found
                    assert why in (
                        "",
                        "sensitivity and specificity together cannot be told from 100 %, those of a coin",
                    )
                    seen.add(why)
    assert len(seen) == 2, "both sides of the threshold"


def wilsons(hits: int, n: int) -> tuple[float, float]:
    """Ends of a share's interval by scipy: exact below four hits or misses."""
    method: Any = "exact" if min(hits, n - hits) < 4 else "wilson"
    interval = stats.binomtest(hits, n).proportion_ci(0.95, method=method)
    return float(interval.low), float(interval.high)


def test_every_number_has_its_n(tmp_path: Path) -> None:
    run = make(tmp_path, 100)
    content = agreement_of(run).content
    tables = agreement_tables(agreement_of(run))
    assert tables is not None
    # All 100 are labelled, 99 have a first verdict, 33 of them informative; 32 have the second. The judge never errs.
    first, second = tables["questions"]
    plain = {key: value.replace("\u00a0", " ") for key, value in first.items()}
    assert plain["agreement"].endswith("] (n = 99)")
    assert plain["kappa"].startswith("1.00 [")
    assert plain["kappa"].endswith("] (n = 99)")
    assert plain["sensitivity"].endswith("] (n = 33)")
    assert plain["specificity"].endswith("] (n = 66)")
    assert plain["alpha"] == "–"
    assert second["agreement"].endswith(" (n\u00a0=\u00a032)")
    assert "where people and judge both call a description informative" in tables["second"]
    assert tables["verdicts"] == ["spurious", "non-visual", "visual", "informative, visual unparsed"]
    assert tables["table"][0] == ("spurious", [66, 0, 0, 0])
    judged = {
        row["name"]: row["judged"].replace("\u00a0", " ").split("] ")[-1]
        for row in tables["shares"]
        if row["policy"] == "aligned"
    }
    # As in the breakdown: 49 first verdicts, 48 in a leaf, 32 informative with a second one.
    assert judged == {"spurious": "(n = 49)", "visual": "(n = 48)", "visual, of the informative": "(n = 32)"}
    corrected = content.policies["aligned"].shares["spurious"].corrected
    assert corrected is not None
    assert (corrected.value, corrected.n) == (pytest.approx(16 / 49), 49)
    text = said(run)["The judge against people"]
    assert "(n = 99), Cohen's κ 1.00 [" in text
    assert "visual or not, where both call it informative: 100.0 % [" in text
    assert "Corrected for its errors, the aligned descriptions are spurious 32.7 % [" in text


def test_a_share_that_the_labels_cannot_give_says_why(tmp_path: Path) -> None:
    run = make(tmp_path, 30)
    reason = "the judge calls 5 descriptions non-visual, people none of the labelled"

    def forget(content: JSON) -> None:
        for name in ("visual", "visual_of_informative"):
            content["policies"]["aligned"]["shares"][name].update(corrected=None, reason=reason)

    edit(run / "agreement.json", forget)
    tables = agreement_tables(agreement_of(run))
    assert tables is not None
    cells = {row["name"]: row["corrected"] for row in tables["shares"] if row["policy"] == "aligned"}
    assert cells["visual"] == cells["visual, of the informative"] == f"– ({reason})"
    assert cells["spurious"].startswith(tuple("0123456789"))
    text = said(run)["The judge against people"]
    assert f"Not corrected: visual; visual, of the informative: {reason}." in text
    assert "the aligned descriptions are spurious" in text


def test_texts_of_numbers() -> None:
    assert share_text(Estimate(0.5, 0.25, 0.75, n=1234)) == ("50.0\u00a0%\u00a0[25.0–75.0] (n\u00a0=\u00a01,234)")
    assert share_text(None) == number_text(None) == "–"
    assert number_text(Estimate(1.0, None, None, n=7)) == "1.00 (n\u00a0=\u00a07)"
    assert number_text(Estimate(-0.125, -0.5, 0.25, n=7)) == ("−0.12\u00a0[−0.50,\u00a00.25] (n\u00a0=\u00a07)")


@pytest.mark.parametrize(
    ("costs", "panel", "words"),
    [
        ((0.5, 0.25), None, "0.7500 by the prices given"),
        ((0.5, None), None, "no prices were given"),
        ((None, None), {"informative": PanelVotes(0, 0, 0, {})}, "the cost is unknown: not every judge was priced"),
    ],
)
def test_what_the_verdicts_cost(costs: tuple[float | None, ...], panel: Any, words: str) -> None:
    results = [
        judged(seed_result(seed), usage=JudgingCost(Usage(10, 2000, 30), cost), panel=panel)
        for seed, cost in enumerate(costs)
    ]
    assert usage(results) == f"20 requests, 4,000 tokens in and 60 out; {words}"


def test_what_each_judge_of_a_panel_took_is_summed_over_seeds() -> None:
    def spent(requests: int) -> Usage:
        return Usage(requests, 600 * requests, requests)

    def row(name: str, requests: int, cost: float | None) -> JudgeUsage:
        return JudgeUsage(name, spent(requests), cost)

    seeds = [[row("a", 2, 0.125), row("b", 1, 0.5)], [row("a", 3, 0.25), row("b", 4, None)]]
    votes = {"informative": PanelVotes(0, 0, 0, {})}
    results = [
        judged(seed_result(seed), usage=JudgingCost(spent(5), None, tuple(judges)), panel=votes)
        for seed, judges in enumerate(seeds)
    ]
    assert usage(results) == (
        "10 requests, 6,000 tokens in and 10 out; the cost is unknown: not every judge was priced. "
        "a: 5 requests, 3,000 tokens in and 5 out, cost 0.3750; b: 5 requests, 3,000 tokens in and 5 out, cost unknown"
    )


def test_both_denominators_need_no_more_than_the_counts(tmp_path: Path) -> None:
    """20 visual, 10 non-visual, 9 spurious, 1 unparsed: 30 of 40 or of 39 informative, 20 of 30 visual."""
    results = results_of(write_run(tmp_path, "run"))
    for place, result in enumerate(results):
        policies = result.breakdown.policies.items()
        without = {policy: replace(part, by_denominator={}) for policy, part in policies}
        results[place] = judged(result, policies=without)
    (table,) = both_denominators(pool_seeds("run", results))
    rows = {name: [cell.replace("\u00a0", " ") for cell in cells] for name, cells in table["rows"]}
    ways = dict(zip(DENOMINATORS, rows["informative"], strict=True))
    assert ways["all"].startswith("75.0 % [")
    assert ways["all"].endswith("n = 40")
    assert ways["parsed"].startswith("76.9 % [")
    assert ways["parsed"].endswith("n = 39")
    assert all(cell.startswith("66.7 % [") for cell in rows["visual, of informative"])


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"explanation": "It is red.", "increases_knowledge": "Yes"}', "It is red."),
        ("Yes.", ""),
        ("", ""),
        ("I would say so", "I would say so"),
        ("[1]", "[1]"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_explanation(raw: str, expected: str) -> None:
    assert explanation(raw) == expected
