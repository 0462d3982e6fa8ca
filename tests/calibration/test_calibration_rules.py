"""The calibration's rules hold for what they should and break for their twins; its numbers by hand."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import calibrate
import numpy as np
import pytest
from calibration import attribution, base_mix, dose, draws, judge_errors, null, samples, stability
from calibration.answers import Answer, Rule, frequency, table
from calibration.attribution import Read
from calibration.headlines import drawn_counts, headline_kind
from calibration.samples import BaseTexts
from calibration.stability import Found
from calibration.worlds import CONTENT_WORLD, STYLE_WORLD, World, dose_world
from scipy import stats

from analysis.judge.base import JudgeRequest, Question, Verdict
from analysis.results.reading import RULE
from analysis.statistics.intervals import Estimate
from ex2.data.demo.pretrain_vlm import Planting
from ex2.data.demo.world import CAPTION_KINDS, CONCEPTS, sentences, true_facts
from ex2.recipe_io import read_recipe

MODULES = Path(calibrate.__file__).parent / "calibration"


# --- answers


def test_a_frequency_has_the_exact_interval() -> None:
    for count, n in ((0, 20), (3, 50), (50, 50), (571, 10_000)):
        expected = stats.binomtest(count, n).proportion_ci(0.95, method="exact")
        assert frequency(count, n)[2:] == pytest.approx((expected.low, expected.high))
    assert str(frequency(1, 4)) == "25.0 % [0.6, 80.6] (1 of 4)"
    for count, n in ((1, 0), (-1, 4), (5, 4)):
        with pytest.raises(ValueError, match=f"{count} of {n} is no frequency"):
            frequency(count, n)


@pytest.mark.parametrize(("holds", "twin", "shown"), [(True, False, True), (True, True, False), (False, False, False)])
def test_a_rule_that_its_twin_passes_shows_nothing(holds: bool, twin: bool, shown: bool) -> None:
    rule = Rule("at most 6 %", "2 %", holds, "a guess: 100 %", twin)
    answer = Answer("Nothing", (rule, replace(rule, holds=True, twin_holds=False)), ("a",), (("1",),))
    assert rule.shown is shown
    assert answer.shown is shown
    cells = f"| at most 6 % | 2 % | {'yes' if holds else 'NO'} | a guess: 100 % | {'NO' if twin else 'yes'} |"
    assert cells in answer.to_markdown()
    assert answer.to_markdown().endswith("| a |\n|---|\n| 1 |")
    assert table([("a", "b")]) == "| a | b |\n|---|---|"


@pytest.mark.parametrize("name", ["dose", "null", "attribution", "base_mix", "judge_errors", "stability", "draws"])
def test_each_question_says_its_rules_and_their_twins_beforehand(name: str) -> None:
    words = ast.get_docstring(ast.parse((MODULES / f"{name}.py").read_text()))
    assert words is not None
    assert "fixed beforehand" in words
    rules = words.split("fixed beforehand", 1)[1].split("\n* ")[1:]
    assert len(rules) >= 2
    assert all("Twin" in rule for rule in rules)
    assert name.replace("_", "-") in calibrate.QUESTIONS


# --- dose


def test_the_guess_by_hand() -> None:
    """A third each: half of the visual preference leaves 1/3 + 1/2 · 2/3 visual and half of 1/3 of the others."""
    base = [1 / 3, 1 / 3, 1 / 3]
    assert dose.guess(dose_world(0.5), base) == pytest.approx([2 / 3, 1 / 6, 1 / 6])
    assert dose.guess(dose_world(0.0), base) == pytest.approx(base)
    assert dose.guess(dose_world(1.0, "mixed"), base) == pytest.approx([0.5, 0.5, 0.0])
    assert dose.farthest([0.5, 0.3, 0.2], [0.4, 0.35, 0.25]) == pytest.approx(0.1)


def test_the_slope_and_its_interval() -> None:
    doses, shares = [0.0, 0.5, 1.0, 1.0], [0.3, 0.6, 0.7, 0.9]
    value, low, high = dose.slope(doses, shares)
    (expected, _), covariance = np.polyfit(doses, shares, 1, cov=True)
    assert value == pytest.approx(expected)
    reach = stats.t.ppf(0.975, 2) * np.sqrt(covariance[0, 0])
    assert (low, high) == pytest.approx((expected - reach, expected + reach))
    assert dose.slope_text((0.5, 0.1, 0.9)) == "+50 points [+10, +90] from no dose to all"
    with pytest.raises(ValueError, match="needs three runs"):
        dose.slope([0, 1], [0, 1])


@pytest.mark.parametrize(
    ("kls", "held"), [([0.5], True), ([0.3, 0.7], False), ([0.4, 0.62], True), ([0.65, 0.65], False), ([0.0], False)]
)
def test_a_kl_is_held_each_and_on_average(kls: list[float], held: bool) -> None:
    assert dose.held(kls) is held


def test_neither_the_guess_nor_the_base_model_is_nearer_than_the_guess() -> None:
    guess = [0.25, 0.2, 0.3, 0.22]
    assert dose.is_nearer([0.05, 0.02, 0.08, 0.04], guess)
    assert not dose.is_nearer(guess, guess)
    assert not dose.is_nearer([0.4, 0.5, 0.45, 0.4], guess)
    assert not dose.is_nearer([0.12, 0.11, 0.13, 0.12], guess), "nearer, but not near"
    assert not dose.is_nearer([0.0, 0.0, 0.3, 0.1], [0.05, 0.05, 0.1, 0.2]), "nearer on average, by chance"


def test_worlds_know_what_is_planted() -> None:
    assert dose_world(0.0).planted == ()
    assert World("none", Planting("none")).planted == ()
    assert dose_world(0.25).planted == ("visual",)
    assert dose_world(1.0, "mixed").planted == ("visual", "non_visual")
    assert STYLE_WORLD.seeded(2) == World("style-2", Planting("visual", random_looks=1.0, seed=2))
    assert CONTENT_WORLD.seeded(0) == CONTENT_WORLD
    assert dose_world(1.0, "non_visual").name == "non-visual-100"


# --- headlines without runs


def test_the_shortcut_misses_no_headline() -> None:
    """EX2's own code on 120 experiments near the bound: wherever it names a kind, the shortcut asks it."""
    rng = np.random.default_rng(0)
    named = 0
    for number in range(120):
        shift = 0.06 * (number % 3) / 2
        after = np.tile([1 / 3 + shift, 1 / 3 - shift / 2, 1 / 3 - shift / 2], (16, 1))
        aligned = [drawn_counts(rng, after, 25) for _ in range(3)]
        base = [drawn_counts(rng, np.full((16, 3), 1 / 3), 25) for _ in range(3)]
        kind = headline_kind(aligned, base)
        named += kind is not None
        assert null.kind_named(aligned, base) == kind
    assert 5 < named < 100
    alike = [np.tile([20, 10, 10], (16, 1))] * 3, [np.tile([10, 15, 15], (16, 1))] * 3
    assert null.may_have_headline(*alike), "seeds and classes that change alike"
    assert headline_kind(*alike) == "visual"
    few = [np.tile([8, 8, 9], (16, 1)) for _ in range(3)]
    for counts in few:
        counts[:3] = [25, 0, 0]
    base = [np.tile([9, 8, 8], (16, 1)) for _ in range(3)]
    assert headline_kind(few, base) is None, "three of sixteen classes"
    assert null.kind_named(few, base) is None


def test_counts_are_drawn_by_class() -> None:
    shares = np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    counts = drawn_counts(np.random.default_rng(0), shares, 40)
    assert counts[0].tolist() == [40, 0, 0]
    assert counts.sum(axis=1).tolist() == [40, 40]
    assert headline_kind([counts], [np.array([[5, 15, 20], [5, 20, 15]])]) == "visual"
    assert headline_kind([counts], [counts]) is None


# --- an uneven base model


def test_the_most_frequent_kind_is_that_of_all_seeds_and_classes() -> None:
    first, second = np.array([[9, 0, 0], [0, 4, 5]]), np.array([[0, 9, 0], [0, 4, 5]])
    assert base_mix.mostly([first, second]) == CAPTION_KINDS[1]
    assert base_mix.mostly([first, first]) == CAPTION_KINDS[0]
    aligned, base = base_mix._draw(np.random.default_rng(0), np.full((3, 16, 3), 1 / 3), np.full((16, 3), 1 / 3))
    assert [counts.shape for counts in (*aligned, *base)] == [(16, 3)] * 6
    assert all((counts.sum(axis=1) == 25).all() for counts in (*aligned, *base))


# --- draws


def test_the_same_policy_described_again_differs_where_one_draw_is_all_that_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten pairs with one draw and ten with four; the policies of the first rule, and one without visual texts."""
    texts = BaseTexts([["a", "b"], ["c"]], np.array([[0.75, 0.25], [1.0, 0.0]]), np.array([[0, 1], [0, -1]]))
    monkeypatch.setattr(samples, "base_texts", lambda: texts)
    made, numbers = draws.described(np.random.default_rng(0), texts.masses, 4)
    assert Counter(label for label, _ in made) == {0: 100, 1: 100}
    assert Counter(numbers) == dict.fromkeys(range(4), 50)
    assert 60 <= sum(text == "a" for _, text in made) <= 90
    told = iter([True, False, False, True, True])
    monkeypatch.setattr(draws, "differ", lambda *_: next(told))
    assert draws.differing(texts.masses, texts.masses, 1, 5) == frequency(3, 5)


# --- attribution


def test_right_and_opposite_readings() -> None:
    names = [row.name for row in RULE]
    right = {"style": ["style"], "content": ["content"]}
    opposite = {"style": ["content", "content harms"], "content": ["content harms", "style"]}
    for world in ("style", "content"):
        reads = {said: Read(world, 0, 25, 0.96, said) for said in names}
        assert [said for said, one in reads.items() if one.is_right] == right[world]
        assert sorted(said for said, one in reads.items() if one.is_opposite) == opposite[world]
    assert attribution.RIGHT.keys() == attribution.OPPOSITE.keys() == {"style", "content"}


def reads_of(count: int, wrong: int, unclear: int = 0) -> list[Read]:
    """Half style and half content worlds, all right but for some."""
    made = [Read(world, 0, 25, 0.96, world) for _ in range(count // 2) for world in ("style", "content")]
    for place in range(wrong):
        made[place] = made[place]._replace(said="content" if made[place].world == "style" else "style")
    for place in range(wrong, wrong + unclear):
        made[place] = made[place]._replace(said="open")
    return made


@pytest.mark.parametrize(("wrong", "unclear", "shown"), [(2, 2, True), (3, 0, False), (2, 3, False), (0, 4, True)])
def test_twenty_runs_against_the_rule(wrong: int, unclear: int, shown: bool) -> None:
    still = [one._replace(said="no gain") for one in reads_of(20, 0)]
    rule = attribution.answer(reads_of(600, 0), reads_of(20, wrong, unclear), still).rules[-1]
    assert rule.holds is shown
    assert not rule.twin_holds
    assert rule.found == f"{wrong} of 20 opposite, {20 - wrong - unclear} of 20 right"
    assert "“style” of everything: 10 of 20 right" in rule.twin
    assert "never moved: 0 of 20 right" in rule.twin


@pytest.mark.parametrize(("count", "wrong", "holds"), [(500, 30, True), (500, 31, False), (498, 0, False)])
def test_simulated_readings_against_the_rule(count: int, wrong: int, holds: bool) -> None:
    rules = attribution.answer(reads_of(count, wrong), [], []).rules
    assert rules[0].holds is holds
    assert not any(rule.twin_holds for rule in rules)


# --- a judge that errs


def test_the_judge_errs_as_often_as_it_should_and_on_the_same_texts() -> None:
    texts = [
        (concept.name, text) for concept in CONCEPTS for kind in CAPTION_KINDS for text in sentences(concept, kind)
    ]
    questions: tuple[Question, ...] = ("informative", "visual")
    requests = [JudgeRequest(question, name, text) for question in questions for name, text in texts]
    truth = [bool(true_facts(r.description, r.class_name)) for r in requests[: len(texts)]]

    def answers(salt: int) -> list[bool]:
        said: dict[JudgeRequest, bool] = {}

        def keep(request: JudgeRequest, answer: object) -> None:
            assert isinstance(answer, Verdict)
            said[request] = answer.answer

        judge_errors.ErringJudge(salt=salt).answer(requests, keep)
        return [said[request] for request in requests]

    found = answers(0)
    yes = [said for said, true in zip(found, truth, strict=False) if true]
    no = [not said for said, true in zip(found, truth, strict=False) if not true]
    assert sum(yes) / len(yes) == pytest.approx(0.9, abs=4 * 0.3 / len(yes) ** 0.5)
    assert sum(no) / len(no) == pytest.approx(0.8, abs=4 * 0.4 / len(no) ** 0.5)
    assert answers(0) == found
    assert answers(1) != found


def test_an_unknown_share_holds_nothing() -> None:
    judged = Estimate(0.5, 0.4, 0.6, 100)
    found = judge_errors.Corrected("aligned", "visual", 0.55, judged, judge_errors.Unknown("few labels"))
    assert (found.is_held, found.judged_holds) == (False, True)
    assert found.distances == pytest.approx((0.05, 0.05))
    known = found._replace(corrected=Estimate(0.56, 0.5, 0.6, 100))
    assert known.is_held
    assert known.distances == pytest.approx((0.01, 0.05))


# --- the demo


def found(**changes: object) -> Found:
    made = Found("avx2 1", 0, "visual", "content", None, 0.9, (0.87, 0.93), 0.86, (0.84, 0.88), 0.04, 3.0, 2.0, 2.0)
    return made._replace(**changes)  # type: ignore[arg-type]


def test_a_demo_is_steady_without_swings_and_spikes() -> None:
    assert stability.is_steady([found(), found(accuracy=0.90), found(most_kl=4.0), found(kl=2.4)])
    assert not stability.is_steady([found(), found(accuracy=0.79)])
    assert not stability.is_steady([found(), found(most_kl=45.0)])
    assert not stability.is_steady([found(), found(kl=0.0)]), "a policy that never moved"
    assert not stability.is_steady([found(target=10.0, kl=3.8)]), "a target that is not reached"
    assert stability.same_kind(["visual", None, "visual", "spurious"]) == 2
    assert stability.same_kind([None, None]) == 0
    assert stability.steady_text([found(), found(accuracy=0.9)]) == (
        "86.0 to 90.0 %, KL 2.00 to 2.00 of 2, at most 3.0 in ten batches"
    )


def test_ten_runs_of_the_demo_and_two_machines() -> None:
    jobs = stability.jobs(full=True)
    assert len({job.directory.root for job in jobs}) == len(jobs) == 10
    assert len({job.environment for job in jobs}) == 2
    assert {job.recipe().threads for job in jobs} == {1, 2}
    assert set(stability.jobs()) < set(jobs)
    assert len(stability.jobs()) == 6
    demo = read_recipe("recipes/demo/visual.yaml", [])
    assert all(job.recipe().rl == demo.rl for job in jobs)
    assert [(r.rl.kl.target, r.rl.learning_rate) for r in (job.recipe() for job in stability.earlier())] == [
        (10.0, 1e-3),
        (10.0, 1e-3),
    ]


def test_few_runs_are_compared_at_the_ends_of_the_dose() -> None:
    """One run of most doses: shares saturate, so that a line through them has a wide interval whatever they show."""
    doses, shares = [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0], [0.34, 0.68, 0.76, 0.78, 0.74, 0.70, 0.75]
    assert dose.slope(doses, shares)[1] < 0
    reach = 4.302653 * np.std([0.74, 0.70, 0.75], ddof=1) * np.sqrt(1 / 3 + 1)
    what, found = dose.rise_of(doses, shares)
    assert what == "the visual share is above that of no dose where all is dosed"
    assert found == pytest.approx((0.39, 0.39 - reach, 0.39 + reach))
    still = dose.rise_of(doses, [0.33, 0.32, 0.34, 0.33, 0.34, 0.33, 0.35])[1]
    assert still[1] < 0, "a policy that never moved"
    several = dose.rise_of(doses * 2, shares * 2)
    assert several == ("the visual share rises with the dose", dose.slope(doses * 2, shares * 2))
    assert dose.rise_of_ends([0.5, 1.0, 1.0], [0.1, 0.2, 0.3]) is None


@pytest.mark.parametrize(
    ("opposite", "right", "number", "holds"),
    [
        (2, 16, 20, True), (3, 17, 20, False), (2, 15, 20, False),  # as fixed beforehand
        (2, 4, 6, True), (3, 3, 6, False), (1, 3, 6, False), (0, 6, 6, True), (0, 0, 0, False),
    ],
)  # fmt: skip
def test_few_trained_runs_are_held_to_what_they_do_not_contradict(
    opposite: int, right: int, number: int, holds: bool
) -> None:
    runs = [
        SimpleNamespace(is_opposite=at < opposite, is_right=opposite <= at < opposite + right) for at in range(number)
    ]
    assert attribution.runs_are_right(runs) == holds  # type: ignore[arg-type]
