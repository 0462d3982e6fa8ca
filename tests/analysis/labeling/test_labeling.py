"""Labelling by people: the sample, the log and the session."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from labeled_runs import give, make_run, options, session_of
from paths import DATA

from analysis.judge.rubric import load_rubric
from analysis.labeling.log import Asked, label_path, raters_of, read_labels, standing
from analysis.labeling.sample import Sample, draw, frame_digest, open_sample, read_frame, read_sample, sample_path
from analysis.labeling.server import open_session
from analysis.labeling.session import Session, Stale
from ex2.run.directory import RunDirectory
from ex2.run.sealed import write_sealed
from reward.errors import UserError
from reward.files import append_jsonl, read_json, write_json

# --- sample ---


def test_the_sample_is_random_and_grows(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    frame = read_frame(run)
    assert len(frame) == 2 * 2 * 29, "empty ones are not asked about"
    assert [item.seed for item in frame] == [0] * 58 + [3] * 58
    small = open_sample(run, 10)
    assert small.inclusion_probability == pytest.approx(10 / 116)
    kept = read_json(sample_path(run))
    assert (kept["n"], kept["population"], kept["inclusion_probability"]) == (10, 116, 10 / 116)
    assert "simple random sample without replacement" in kept["design"]
    large = open_sample(run, 40)
    assert large.items[:10] == small.items
    assert read_sample(run) == large
    assert open_sample(run, 10) == large, "labels beyond the tenth stay in the sample"
    assert len(open_sample(run, 1000).items) == 116
    assert len(set(open_sample(run, 1000).items)) == 116, "without replacement"
    assert draw(frame, 10, 1).items != small.items


def test_a_stored_sample_is_written_again(tmp_path: Path) -> None:
    stored = DATA / "stored_run" / "runs" / "stored" / "labels" / "sample.json"
    write_json(tmp_path / "sample.json", Sample.from_json(read_json(stored)).to_json())
    assert json.dumps(read_json(tmp_path / "sample.json"), sort_keys=True) == json.dumps(
        read_json(stored), sort_keys=True
    )


@pytest.mark.parametrize(
    ("content", "line", "wrong"),
    [
        ({}, 1, "'seed' is missing; 'population' is missing; 'frame' is missing; 'items' is missing"),
        (
            {"seed": 0, "population": 2, "frame": "0a", "items": [{"seed": 0, "line": 1}]},
            6,
            "'items.0.class' is missing; 'items.0.text' is missing",
        ),
        ({"items": []}, 1, "'seed' is missing; 'population' is missing; 'frame' is missing"),
        ([], 1, "it holds []: input should be a dictionary or an instance of Sample"),
    ],
)
def test_a_file_that_is_no_sample_is_one_line(tmp_path: Path, content: object, line: int, wrong: str) -> None:
    run = make_run(tmp_path / "run")
    write_sealed(sample_path(run), content)
    with pytest.raises(UserError) as caught:
        read_sample(run)
    said = f"{sample_path(run)}: line {line}: {wrong}; delete it and run `ex2 label {run}` again."
    assert str(caught.value) == said


def test_each_description_has_the_same_chance(tmp_path: Path) -> None:
    frame = read_frame(make_run(tmp_path / "run", {0: [f"t{i}" for i in range(10)]}))
    counts = Counter(item for seed in range(1000) for item in draw(frame, 5, seed).items)
    # 20 descriptions, 5 of 20 in each of 1,000 samples: 250 each, standard deviation √(1000·¼·¾) = 13.7.
    assert len(counts) == 20
    assert all(abs(count - 250) < 4 * 13.7 for count in counts.values())


def test_runs_of_one_length_draw_different_lines(tmp_path: Path) -> None:
    """They share the base model's descriptions line by line: the same lines would be labelled twice over."""
    frames = []
    for name in ("a", "b"):
        run = make_run(tmp_path / name, {0: [f"{name} {i}" for i in range(500)]})
        frames.append(read_frame(run))
    drawn = [{item.line for item in draw(frame, 100, 0).items} for frame in frames]
    # 100 of 1,000 each: 10 lines in common are expected, with a standard deviation of √(1000·.1·.1·.9·.9) = 2.8.
    assert len(drawn[0] & drawn[1]) < 10 + 4 * 2.8
    assert draw(frames[0], 100, 0) == draw(list(frames[0]), 100, 0), "the same descriptions, the same order"


def test_a_sample_drawn_in_another_way_stays_and_grows(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    frame = read_frame(run)
    before = np.random.default_rng(0).permutation(len(frame))[:10]
    kept = Sample(0, len(frame), frame_digest(frame), tuple(frame[index] for index in before))
    assert draw(frame, 10, 0).items != kept.items
    items = [{"seed": i.seed, "line": i.line, "class": i.class_name, "text": i.text} for i in kept.items]
    write_sealed(sample_path(run), {"seed": 0, "population": 116, "frame": kept.frame, "items": items})
    assert open_sample(run, 10) == kept
    larger = open_sample(run, 40)
    assert larger.items[:10] == kept.items
    assert len(set(larger.items)) == 40
    assert open_sample(run, 1000).items[:40] == larger.items
    assert set(open_sample(run, 1000).items) == set(frame)


def test_what_cannot_be_sampled_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    open_sample(run, 5, seed=3)
    with pytest.raises(UserError, match=r"--seed: 4, but .*sample\.json was drawn with seed 3; leave --seed out"):
        open_sample(run, 5, seed=4)
    new = {"class": "pug", "label": 0, "policy": "base", "text": "new"}
    append_jsonl(RunDirectory(run).seed(0).descriptions, [new])
    with pytest.raises(UserError, match=r"was drawn from other descriptions .* delete it and run `ex2 label"):
        open_sample(run, 5)
    empty = make_run(tmp_path / "empty", {0: [" "]})
    with pytest.raises(UserError, match=r"empty: every description is empty: nothing to label"):
        open_sample(empty, 5)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "recipe.yaml").write_text("")
    with pytest.raises(UserError) as caught:
        open_session(options(bare, empty))
    assert len(str(caught.value).splitlines()) == 2, "all problems at once"
    assert "bare: no seed-<n>/descriptions.jsonl in it" in str(caught.value)
    with pytest.raises(UserError, match=r"--n: 0 is no number of descriptions; give 1 or more"):
        open_session(options(run, n=0))
    with pytest.raises(UserError, match=r"--seed: -1 is no seed; give 0 or more"):
        open_session(options(run, seed=-1))
    with pytest.raises(UserError, match=r"--n: -1 .*\n.*nowhere: not found; give a run's folder"):
        open_session(options(tmp_path / "nowhere", n=-1))


@pytest.mark.parametrize("name", ["", "../anna", "a/b", ".hidden", "x" * 41, "sample", "anna\n"])
def test_names_of_raters_are_names_of_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"--rater: .* is no name of a rater: it takes up to 40 letters"):
        label_path(tmp_path, name)


# --- session ---


def test_the_way_through_a_sample(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    session = session_of(run)
    first = session.state()
    assert (first["total"], first["done"], first["can_undo"]) == (5, 0, False)
    assert first["ask"]["question"] == "informative"
    rubric = load_rubric("paper").informative.user
    shown = first["ask"]["before"] + "\n" + first["ask"]["description"] + first["ask"]["after"]
    expected = rubric.replace("{class_name}", "pug").replace("{description}", first["ask"]["description"])
    assert shown.split() == expected.split(), "the rubric's wording"
    give(session, "yes")
    second = session.state()["ask"]
    assert (second["question"], second["description"]) == ("visual", first["ask"]["description"])
    assert "physical appearance" in second["before"]
    give(session, "no", "no", "skip")
    state = session.state()
    assert (state["done"], state["skipped"]) == (2, 1)
    assert state["ask"]["question"] == "informative", "the visual one only of informative descriptions"
    with pytest.raises(Stale):
        session.answer(second["key"], "visual", "yes")
    session.undo()
    assert session.state()["skipped"] == 0
    session.undo()
    session.undo()
    assert session.state()["ask"] == second
    give(session, "yes", "skip", "yes", "skip", "no", "no")
    state = session.state()
    assert (state["done"], state["skipped"], state["ask"]) == (3, 2, None)
    session.reopen()
    assert session.state()["skipped"] == 0
    give(session, "no", "yes")
    assert session.state()["ask"] is None
    assert session.state()["done"] == 5


def test_every_answer_is_on_the_disk_and_resumed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    session = session_of(run)
    give(session, "yes", "no")
    path = label_path(run, "anna")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["question"], row["answer"]) for row in rows] == [("informative", "yes"), ("visual", "no")]
    assert set(rows[0]) == {"question", "class", "description", "answer", "rater", "rubric", "time"}
    with path.open("a") as file:
        file.write('{"question": "informative", "cla')  # a kill in the middle of a write
    again = session_of(run)
    assert again.state() == session.state()
    give(again, "no")
    assert len(read_labels(path)) == 3
    other = session_of(run, rater="bob")
    assert other.state()["done"] == 0
    assert (
        other.state()["ask"]["key"]
        == Session({run: open_sample(run, 5)}, "eve", load_rubric("paper")).state()["ask"]["key"]
    ), "every rater gets the same order"
    give(other, "no")
    assert raters_of(run) == ["anna", "bob"]


def test_runs_are_mixed_and_equal_texts_asked_once(tmp_path: Path) -> None:
    first = make_run(tmp_path / "runs" / "a", {0: ["same", "one", "two"]})
    second = make_run(tmp_path / "runs" / "b", {0: ["same", "three"]})
    session = session_of(tmp_path / "runs", n=100)
    assert session.state()["total"] == 4, "same, one, two, three: each policy has them, and two runs share one"
    asked = []
    while ask := session.state()["ask"]:
        asked.append(ask["description"])
        give(session, "no")
    assert sorted(asked) == ["one", "same", "three", "two"]
    assert {label.asked.text for label in read_labels(label_path(first, "anna"))} == {"same", "one", "two"}
    assert {label.asked.text for label in read_labels(label_path(second, "anna"))} == {"same", "three"}
    assert "31.4" not in json.dumps(session.state())


def test_what_was_labeled_in_one_run_counts_in_another(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "a", {0: ["same"]}), make_run(tmp_path / "b", {0: ["same", "new"]})
    give(session_of(first), "yes", "no")
    both = session_of(first, second)
    assert (both.state()["total"], both.state()["done"]) == (2, 1)
    given = standing(read_labels(label_path(second, "anna")))
    assert {asked.question: label.answer for asked, label in given.items()} == {"informative": "yes", "visual": "no"}
    # A kill came between two logs: taken back in one, not in the other.
    lines = label_path(second, "anna").read_text().splitlines()
    append_jsonl(label_path(first, "anna"), [json.loads(lines[1]) | {"answer": "withdrawn", "time": "2999-01-01"}])
    assert session_of(first, second).state()["done"] == 0
    assert Asked("visual", "pug", "same") not in standing(read_labels(label_path(second, "anna")))


def test_another_wording_is_asked_anew(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    give(session_of(run), "no", "no")
    assert session_of(run).state()["done"] == 2
    fenced = open_session(options(run, rubric="fenced"))
    assert fenced.state()["done"] == 0
    with pytest.raises(UserError, match=r"unknown 'papre'\. Did you mean 'paper'"):
        open_session(options(run, rubric="papre"))
