"""Samples that are stratified by the judge's verdict: what is drawn, in which order, and what is kept."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labeled_runs import give, options, session_of, simple_sample
from run_samples import write_run

from analysis.judge.rubric import load_rubric
from analysis.labeling.sample import Sample, open_sample, read_sample, sample_path
from analysis.labeling.server import open_session
from analysis.labeling.strata import BLOCK, shares_of_labels, stratified
from analysis.labeling.wording import judge_rubric
from analysis.verdicts.verdicts import Kind
from ex2.run.directory import RunDirectory
from ex2.run.sealed import write_sealed
from reward.errors import UserError
from reward.files import read_json, read_jsonl, write_json, write_jsonl

RARE: Any = {"visual": 190, "non_visual": 5, "spurious": 5}
"""Of 200 aligned descriptions; as many base ones are spurious."""


def kind_in(text: str) -> str:
    return text.split()[-1]


def rare_run(root: Path, **more: Any) -> Path:
    """A run of which the judge calls nearly all visual: the base model's descriptions too, but for five."""
    run = write_run(root, "rare", kinds=RARE, **more)
    where = RunDirectory(run).seed(0)
    rows = [*read_jsonl(where.verdicts)]
    spared = 0
    for row in [*rows]:
        if row["description"].startswith("base") and row["question"] == "informative":
            spared += 1
            row["verdict"] = "yes" if spared > 5 else "no"
            if spared > 5:
                rows.append(row | {"question": "visual"})
    last = {(row["question"], row["class"], row["description"]): row for row in rows}
    write_jsonl(where.verdicts, last.values())
    return run


def test_half_of_the_labels_is_shared_equally_among_the_kinds() -> None:
    # Half of the labels by number, .94, .03, .01 and .02; a sixth for each kind, none for what could not be read.
    shares = shares_of_labels({"visual": 940, "spurious": 30, "non_visual": 10, "unparsed": 20})
    assert shares == pytest.approx(
        {"visual": 0.47 + 1 / 6, "spurious": 0.015 + 1 / 6, "non_visual": 0.005 + 1 / 6, "unparsed": 0.01}
    )
    assert shares_of_labels({"visual": 7}) == {"visual": 1.0}
    assert shares_of_labels({"unparsed": 3}) == {"unparsed": 1.0}, "no kind to share the half among"


def test_each_beginning_has_its_share_of_each_stratum_and_each_stratum_its_order() -> None:
    kinds: list[Kind] = ["visual"] * 940 + ["spurious"] * 30 + ["non_visual"] * 10 + ["unparsed"] * 20
    rng = np.random.default_rng(3)
    random = [int(place) for place in rng.permutation(1000)]
    order = stratified(random, kinds, rng)
    assert sorted(order) == [*range(1000)], "a permutation"
    for kind in ("visual", "spurious", "non_visual", "unparsed"):
        own = [place for place in random if kinds[place] == kind]
        assert [place for place in order if kinds[place] == kind] == own, "random within the stratum"
    for n in (40, 60):
        found = Counter(kinds[place] for place in order[:n])
        assert abs(found["visual"] - n * (0.47 + 1 / 6)) <= 1
        assert abs(found["spurious"] - n * (0.015 + 1 / 6)) <= 1
        assert abs(found["non_visual"] - n * (0.005 + 1 / 6)) <= 1
    # All rare ones are drawn after about 180: then visual and unparsed, as 47 to 1, share what is left.
    assert Counter(kinds[place] for place in order[:400])["unparsed"] in (5, 6, 7)


def test_the_order_within_a_block_tells_no_verdict() -> None:
    """Over 2,000 orders every place of a block has a rare verdict equally often."""
    kinds: list[Kind] = ["visual"] * 190 + ["spurious"] * 10
    rng = np.random.default_rng(5)
    counts = np.zeros(BLOCK)
    for _ in range(2000):
        order = stratified([int(place) for place in rng.permutation(200)], kinds, rng)
        counts += [kinds[place] == "spurious" for place in order[:BLOCK]]
    share = counts.sum() / (2000 * BLOCK)
    assert share == pytest.approx(0.25, abs=0.06), "half of the half, and a twentieth of the other"
    # Three and a half standard errors of a share over 2,000 orders.
    assert np.abs(counts / 2000 - share).max() < 3.5 * np.sqrt(share * (1 - share) / 2000)


def test_rare_verdicts_are_drawn_more_often_with_known_chances(tmp_path: Path) -> None:
    run = rare_run(tmp_path)
    sample = open_sample(run, 40)
    assert sample.strata == {"visual": 385, "spurious": 10, "non_visual": 5}
    # Of 40: visual 40 · (.5 · .9625 + 1/6) = 25.9, spurious 40 · (.0125 + 1/6) = 7.2, the five non-visual ones.
    assert sum(sample.drawn.values()) == 40
    assert sample.drawn["non_visual"] == 5
    assert sample.drawn["spurious"] in (7, 8)
    stored = read_json(sample_path(run))
    assert stored["design"].startswith("random sample without replacement")
    assert "stratified by the judge's verdict" in stored["design"]
    assert stored["inclusion_probability"] == {
        "visual": sample.drawn["visual"] / 385,
        "spurious": sample.drawn["spurious"] / 10,
        "non_visual": 1.0,
    }
    for item, kind in zip(sample.items, sample.verdicts, strict=True):
        said = kind_in(item.text)
        assert kind == said if item.text.startswith("aligned") else kind in ("visual", "spurious")
    assert Sample.from_json(stored) == read_sample(run) == sample


@pytest.mark.slow
def test_each_description_of_a_stratum_has_the_same_chance(tmp_path: Path) -> None:
    run = rare_run(tmp_path)
    counts: Counter[str] = Counter()
    for seed in range(300):
        sample_path(run).unlink(missing_ok=True)
        counts.update(item.text for item in open_sample(run, 20, seed).items)
    drawn = [counts[text] for text in spurious_of(run)]
    # About 3.6 of ten in each of 300 samples: 107 each, standard deviation √(300 · .36 · .64) = 8.3.
    assert len(drawn) == 10
    assert max(drawn) - min(drawn) < 6 * 8.3


def spurious_of(run: Path) -> set[str]:
    rows = read_jsonl(RunDirectory(run).seed(0).verdicts)
    return {row["description"] for row in rows if row["question"] == "informative" and row["verdict"] == "no"}


def test_a_larger_sample_extends_a_smaller_one(tmp_path: Path) -> None:
    run = rare_run(tmp_path)
    small = open_sample(run, 15)
    large = open_sample(run, 90)
    assert large.items[:15] == small.items
    assert large.verdicts[:15] == small.verdicts
    assert open_sample(run, 20) == large
    assert len(set(open_sample(run, 1000).items)) == 400
    sample_path(run).unlink()
    assert open_sample(run, 90) == large, "whatever was drawn first"


def judged_anew(run: Path, *, keep: bool) -> None:
    """Another judge calls all spurious; its verdicts come after the first's in the log, or replace them."""
    where = RunDirectory(run).seed(0)
    content = read_json(where.breakdown)
    write_json(where.breakdown, content | {"judge": content["judge"] | {"settings": "other"}})
    rows = [*read_jsonl(where.verdicts)]
    firsts = [row | {"settings": "other", "verdict": "no"} for row in rows if row["question"] == "informative"]
    write_jsonl(where.verdicts, [*rows, *firsts] if keep else firsts)


def test_a_sample_keeps_the_verdicts_that_it_was_drawn_with(tmp_path: Path) -> None:
    run = rare_run(tmp_path)
    small = open_sample(run, 15)
    judged_anew(run, keep=True)
    large = open_sample(run, 60)
    assert (large.judge, large.strata) == (small.judge, small.strata)
    assert large.verdicts[:15] == small.verdicts
    sample_path(run).unlink()
    assert {**open_sample(run, 60).strata} == {"spurious": 400}, "a new one takes the new judge's"


def test_a_sample_whose_verdicts_are_gone_is_not_extended(tmp_path: Path) -> None:
    run = rare_run(tmp_path)
    small = open_sample(run, 15)
    judged_anew(run, keep=False)
    assert open_sample(run, 15) == small, "what was drawn can be labelled"
    with pytest.raises(UserError) as caught:
        open_sample(run, 16)
    assert str(caught.value) == (
        f"--n: 16, but {sample_path(run)} has 15 descriptions, and the verdicts that it was drawn with have changed; "
        "label those, with --n 15, or delete the file to draw anew (labels of texts that are drawn again are kept)."
    )


def test_a_run_that_is_not_wholly_judged_by_one_judge_is_sampled_simply(tmp_path: Path) -> None:
    for number, spoil in enumerate((no_breakdown, one_verdict_less, two_judges)):
        run = rare_run(tmp_path / str(number), seeds={0: 160, 1: 160} if spoil is two_judges else None)
        spoil(run)
        sample = open_sample(run, 10)
        assert (sample.judge, {**sample.strata}, sample.verdicts) == ("", {}, ())
        stored = read_json(sample_path(run))
        assert stored["design"].startswith("simple random sample")
        assert set(stored) == {"design", "n", "inclusion_probability", "seed", "population", "frame", "items"}


def no_breakdown(run: Path) -> None:
    RunDirectory(run).seed(0).breakdown.unlink()


def one_verdict_less(run: Path) -> None:
    path = RunDirectory(run).seed(0).verdicts
    last = next(row for row in read_jsonl(path) if row["question"] == "informative")
    write_jsonl(path, [row for row in read_jsonl(path) if row["description"] != last["description"]])


def two_judges(run: Path) -> None:
    path = RunDirectory(run).seed(1).breakdown
    content = read_json(path)
    write_json(path, content | {"judge": content["judge"] | {"settings": "other"}})


def test_a_simple_sample_stays_one_when_its_run_is_analyzed(tmp_path: Path) -> None:
    run = rare_run(tmp_path)
    small = simple_sample(run, 10)
    large = open_sample(run, 30)
    assert large.items[:10] == small.items
    assert (large.strata, large.verdicts) == ({}, ())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda stored: stored["verdicts"].pop(), "20 items, but 19 verdicts"),
        (lambda stored: stored.update(verdicts=[]), "20 items, but 0 verdicts"),
        (lambda stored: stored["strata"].update(visual=1), "the strata have 16 descriptions, the population 400"),
        (
            lambda stored: stored["strata"].update(visual=394, spurious=1),
            "more items than descriptions of the kind spurious",
        ),
    ],
)
def test_strata_that_do_not_fit_are_a_fault(tmp_path: Path, change: Any, fault: str) -> None:
    run = rare_run(tmp_path)
    open_sample(run, 20)
    stored = read_json(sample_path(run))
    change(stored)
    write_sealed(sample_path(run), stored)
    with pytest.raises(UserError) as caught:
        read_sample(run)
    assert str(caught.value) == f"{sample_path(run)}: no sample ({fault}); delete it and run `ex2 label {run}` again."


def test_the_page_is_told_no_verdict_and_no_count_of_one(tmp_path: Path) -> None:
    run = rare_run(tmp_path)
    session = session_of(run, n=30)
    keys: set[str] = set()
    while ask := session.state()["ask"]:
        state = session.state()
        keys |= set(state)
        hidden = {**ask, "description": "", "before": "", "after": "", "example": ""}
        assert not {"spurious", "non_visual", "visual"} & set(json.dumps(hidden | {"question": ""}).split('"'))
        give(session, "no")
    assert keys == {"rater", "total", "done", "skipped", "can_undo", "ask"}


# --- wording ---


def named(run: Path, judge: dict[str, Any], version: str | None = None) -> Path:
    """The run with a judge in its recipe, and the rubric's version in its breakdown; without one, not analysed."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.yaml").write_text(json.dumps({"name": run.name, "judge": judge}))
    if version:
        content = read_json(RunDirectory(rare_run(run.parent / "stored")).seed(0).breakdown)
        write_json(RunDirectory(run).seed(0).breakdown, content | {"judge": content["judge"] | {"rubric": version}})
    return run


@pytest.mark.parametrize(
    ("judge", "rubric"),
    [
        ({"name": "openai", "rubric": "fenced"}, "fenced"),
        ({"name": "openai"}, "paper"),
        ({"name": "scripted"}, "paper"),
        ({"name": "panel", "judges": [{"name": "openai", "rubric": "fenced"}] * 2}, "fenced"),
    ],
)
def test_people_are_asked_what_the_recipes_judge_was(tmp_path: Path, judge: dict[str, Any], rubric: str) -> None:
    assert judge_rubric([named(tmp_path / "run", judge)]) == rubric


def test_the_rubric_that_was_used_counts(tmp_path: Path) -> None:
    run = named(tmp_path / "run", {"name": "openai", "rubric": "paper"}, load_rubric("fenced").version)
    assert judge_rubric([run]) == "fenced", "analysed with another rubric than the recipe's"
    unknown = named(tmp_path / "unknown", {"name": "openai", "rubric": "paper"}, "mine-3")
    with pytest.raises(UserError) as caught:
        judge_rubric([unknown])
    assert str(caught.value) == (
        f"--rubric: the judge of {unknown} was asked in 'mine-3', which is no one rubric that people can be shown; "
        "name one: fenced, paper, or the path of a JSON file."
    )
    members = [{"name": "openai", "rubric": "fenced"}, {"name": "scripted"}]
    mixed = named(tmp_path / "mixed", {"name": "panel", "judges": members})
    with pytest.raises(UserError, match=r"was asked in 'fenced', 'paper', which is no one rubric"):
        judge_rubric([mixed])


def test_runs_in_different_words_need_a_rubric_named(tmp_path: Path) -> None:
    first, second = rare_run(tmp_path / "a"), rare_run(tmp_path / "b")
    edited = read_json(RunDirectory(second).seed(0).breakdown)
    fenced = load_rubric("fenced").version
    write_json(RunDirectory(second).seed(0).breakdown, edited | {"judge": edited["judge"] | {"rubric": fenced}})
    with pytest.raises(UserError) as caught:
        open_session(options(first, second, rubric=None))
    assert str(caught.value) == (
        f"--rubric: the judges of these runs were asked in different words: 'paper' ({first}), 'fenced' ({second}); "
        "label the runs apart, or name one rubric for all."
    )
    assert not sample_path(first).exists(), "nothing is drawn for a command that fails"
    assert open_session(options(second, rubric=None)).rubric.version == fenced
    assert open_session(options(second, rubric="paper")).rubric.version == load_rubric("paper").version
    assert open_session(options(first, second, rubric="fenced")).rubric.version == fenced
