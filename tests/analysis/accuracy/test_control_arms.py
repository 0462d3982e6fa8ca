"""Control arms: what each is made of, by hand, and how they stand in the accuracy table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
import torch
from vlms import NamesVLM

import analysis.analyze
from analysis.accuracy.control_arms import (
    CONTROLS,
    PAIRINGS,
    best_of_n,
    build_controls,
    random_words,
    shuffle_words,
    waffle_texts,
)
from analysis.accuracy.description_files import dclip_text, read_arm, read_arms
from analysis.accuracy.measure import accuracy
from analysis.judge.base import JudgeRequest, OnAnswer, Verdict
from analysis.statistics.intervals import IntervalSettings
from ex2.data.names_in_texts import ClassNames
from ex2.recipe import Control, Recipe
from ex2.recipe_io import read_recipe
from ex2.run.descriptions import Description, append_descriptions
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import read_json
from reward.image_bank import ImageEmbeddings

CLASSES = ("red fox", "oak", "box")


def row(label: int, text: str, policy: str = "aligned", question: int = 0, reward: float | None = 1.0) -> Description:
    return Description(
        policy=policy,
        class_name=CLASSES[label],
        label=label,
        question_id=question,
        sample=0,
        text=text,
        reward=reward,
    )


# ---------------------------------------------------------------- arms


def test_the_recipe_names_every_control() -> None:
    assert set(get_args(Control)) == set(CONTROLS)


def test_waffle_gives_every_class_the_same_words() -> None:
    texts = waffle_texts(CLASSES, random_words(), 3, seed=0)
    assert [label for label, _ in texts] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    endings = [text.removeprefix(f"a photo of a {CLASSES[label]}, which has ") for label, text in texts]
    assert endings[:3] == endings[3:6] == endings[6:]
    for ending in endings:
        words = ending.split(" ")
        assert len(set(words)) == 2
        assert set(words) <= set(random_words())
    assert waffle_texts(CLASSES, random_words(), 3, seed=0) == texts
    assert waffle_texts(CLASSES, random_words(), 3, seed=1) != texts


def test_waffle_draws_every_word_alike() -> None:
    """600 texts of 2 of 6 words: each word in 200 ± 5 sd of sqrt(600 · 1/3 · 2/3) = 11.5."""
    words = ("a", "b", "c", "d", "e", "f")
    counts = Counter(w for _, text in waffle_texts(["x"], words, 600, 0) for w in text.split("has ")[1].split())
    assert set(counts) == set(words)
    assert all(abs(count - 200) < 58 for count in counts.values())


def test_shuffled_keeps_words_and_name() -> None:
    text = "The red  fox, they say,\nis shy. Red foxes run"
    made = shuffle_words(text, "red fox", seed=3)
    expected = ["The", "red fox", ",", "they", "say,", "is", "shy.", "Red foxes", "run"]
    assert sorted(made.replace("red fox", "red_fox").replace("Red foxes", "Red_foxes").split()) == sorted(
        word.replace(" ", "_") for word in expected
    )
    assert made != " ".join(expected)
    assert shuffle_words(text, "red fox", 3) == made
    assert len({shuffle_words(text, "red fox", seed) for seed in range(20)}) > 15


def test_best_of_n_by_hand() -> None:
    rows = [
        row(0, "a", question=0, reward=1.0),
        row(0, "b", question=0, reward=3.0),
        row(0, "c", question=0, reward=3.0),  # equal: the first wins
        row(0, "d", question=1, reward=None),
        row(0, " ", question=1, reward=9.0),
        row(1, "e", question=0, reward=-2.0),
    ]
    best = best_of_n(rows)
    assert best == ([(0, "b"), (1, "e")], 3, "question")
    single = [row(0, "a", question=0, reward=1.0), row(0, "b", question=1, reward=2.0), row(1, "c", reward=0.5)]
    assert best_of_n(single) == ([(0, "b"), (1, "c")], 2, "class")
    assert best_of_n([]) == ([], 0, "class")


def test_build_controls_takes_the_right_rows() -> None:
    rows = [
        row(0, "red fox: shy"),
        row(1, "oak: old", question=1),
        row(1, "  "),
        row(0, "base fox", "base", 0, 1.0),
        row(0, "better base fox", "base", 1, 2.0),
    ]
    made = build_controls(["base_best", "other_class", "class_name", "waffle"], rows, ClassNames(CLASSES), 0)
    assert list(made) == ["base_best", "other_class", "class_name", "waffle"]
    assert made["base_best"].texts == [(0, "better base fox")]
    assert made["base_best"].note == "the best by reward of 2 base descriptions a class"
    # Two classes with texts can only change places, in each of the pairings.
    assert [sorted(each) for each in made["other_class"].every] == [[(0, "red fox: old"), (1, "oak: shy")]] * PAIRINGS
    assert made["other_class"].note.endswith("averaged over 20 pairings")
    assert made["class_name"].texts == [(0, "red fox"), (1, "oak"), (2, "box")]
    assert len(made["waffle"].texts) == 3, "as many a class as EX2 has"
    empty = build_controls(list(CONTROLS), [], ClassNames(CLASSES), 0)
    assert [len(arm.texts) for arm in empty.values()] == [3, 45, 0, 0, 0, 0]


def test_both_meanings_of_another_class_in_the_table() -> None:
    """Where only names count, replaced names lose nothing and kept names lose all."""
    images = ImageEmbeddings(CLASSES, torch.eye(3).repeat(5, 1), torch.arange(3).repeat(5))
    rows = [row(label, f"a {name}, seen") for label, name in enumerate(CLASSES)]
    controls = build_controls(["other_class", "other_class_kept"], rows, ClassNames(CLASSES), 0)
    arms = {"templates": list(enumerate(CLASSES)), "aligned": [r.of_label for r in rows]}
    averaged = {arm: control.every for arm, control in controls.items()}
    measured = accuracy(NamesVLM(CLASSES), images, arms, IntervalSettings(samples=200), averaged=averaged)
    assert measured.arms["aligned"].top1.correct == 15
    assert measured.arms["other_class"].top1.correct == 15
    assert measured.arms["other_class_kept"].top1.correct == 0
    pairs = {(part.arm, part.against): part.paired for part in measured.differences}
    for against in ("templates", "aligned"):
        kept = pairs["other_class_kept", against]
        assert (kept.difference, kept.only_second, kept.n) == (-1.0, 15, 15)
        assert kept.p == pytest.approx(1 / 2**15)
        assert pairs["other_class", against].p == 1.0


def test_the_stage_measures_and_prints_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Names:
        class_names = CLASSES

    images = ImageEmbeddings(CLASSES, torch.eye(3).repeat(5, 1), torch.arange(3).repeat(5))
    monkeypatch.setattr(analysis.analyze, "load_vlm", lambda name, settings: NamesVLM(CLASSES))
    monkeypatch.setattr(analysis.analyze, "load_dataset", lambda source: Names())
    monkeypatch.setattr(analysis.analyze, "test_embeddings", lambda source, vlm: images)
    path = write(tmp_path / "cupl.json", {name: [f"{name}, a sentence"] for name in CLASSES})
    recipe = Recipe.model_validate(
        {
            "name": "r",
            "output_dir": str(tmp_path),
            "policy": {"model": "m"},
            "vlm": {"name": "demo-visual"},
            "dataset": {"name": "shapes", "reward_split": "reward", "test_split": "test"},
            "judge": {"name": "test_control_arms.YesJudge"},
            "analysis": {"controls": ["other_class_kept", "base_best"], "description_files": {str(path): "cupl"}},
        }
    )
    where = RunDirectory.of(recipe).seed(0)
    append_descriptions(where, [row(label, f"a {name}, seen") for label, name in enumerate(CLASSES)])
    analysis.analyze.analyze(recipe, 0)
    measured = read_json(where.accuracy)
    attribution = ["everyone", "exchanged", "masked"]
    assert list(measured["controls"]) == ["other_class_kept", "base_best", f"file:{path}", *attribution]
    assert measured["arms"]["other_class_kept"]["correct"] == 0
    assert measured["arms"]["base_best"] is None
    assert (measured["arms"][f"file:{path}"]["correct"], measured["arms"][f"file:{path}"]["n"]) == (15, 15)
    printed = " ".join(capsys.readouterr().out.split())
    # all 15 images lost: McNemar's mid-p is 2⁻¹⁵, of a line that is broken in the terminal
    assert "EX2 of another, as 0.0 % [0.0–21.8] −100.0 [−100.0, −63.2] <0.001 is" in printed
    assert (
        "with the other class's name, averaged over 20 pairings; points against EX2: −100.0 [−100.0, −63.2], p < 0.001"
        in printed
    )
    assert "base model, best of no descriptions n" in printed
    # no image apart of 15: Clopper and Pearson's 1 − 0.05^(1/15)
    against = "points against EX2: 0.0 [−18.1, +18.1], p = 1 n.s."
    assert f"file cupl.json: cupl file with texts for 3 of 3 classes; {against}" in printed
    path.write_text("{}")
    before = where.accuracy.read_bytes()
    with pytest.raises(
        UserError, match=r"analysis.description_files: .*cupl.json: an empty object; give an object of class"
    ):
        analysis.analyze.analyze(recipe, 0)
    assert where.accuracy.read_bytes() == before


class YesJudge:
    name, exact = "yes", True

    def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
        for request in requests:
            on_answer(request, Verdict(True, "yes"))


def test_an_unknown_control_is_told(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "name: r\npolicy: {model: m}\nvlm: {name: v}\njudge: {name: j}\nanalysis: {controls: [wafle]}\n"
        "dataset: {name: shapes, reward_split: a, test_split: b}\n"
    )
    with pytest.raises(UserError, match=r"r.yaml: analysis.controls.0: unknown 'wafle'. Did you mean 'waffle'\?"):
        read_recipe(path)


# ---------------------------------------------------------------- files


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_cupl_file(tmp_path: Path) -> None:
    path = write(tmp_path / "cupl.json", {"OAK": ["An oak is old."], "Red_Fox": ["A", "B"], "box": ["C"]})
    arm = read_arm(path, "cupl", CLASSES, partial=False)
    assert arm.texts == [(0, "A"), (0, "B"), (1, "An oak is old."), (2, "C")]
    assert arm.note == "cupl file with texts for 3 of 3 classes"


@pytest.mark.parametrize(
    ("descriptor", "expected"),
    [
        ("two legs", "hen, which has two legs"),
        ("a red comb", "hen, which is a red comb"),
        ("antlers", "hen, which has antlers"),
        ("An orange beak", "hen, which is An orange beak"),
        ("often brown", "hen, which often brown"),
        ("used for eggs", "hen, which is used for eggs"),
        ("has feathers", "hen, which has feathers"),
    ],
)
def test_dclip_wording(descriptor: str, expected: str) -> None:
    assert dclip_text("hen", descriptor) == expected


def test_names_that_do_not_fit_are_all_told(tmp_path: Path) -> None:
    path = write(tmp_path / "d.json", {"red foxx": ["x"], "zebra": ["y"], "oak": ["z"]})
    with pytest.raises(UserError) as caught:
        read_arms({str(path): "dclip"}, CLASSES, partial=False)
    assert str(caught.value).splitlines() == [
        f"analysis.description_files: {path}: its 3 classes are not the dataset's 3.",
        "  unknown: 'red foxx'; did you mean 'red fox'?",
        "  unknown: 'zebra'",
        "  missing: 'red fox'",
        "  missing: 'box'",
        "Rename them in the file, or set analysis.partial_files: classes without texts then take the plain template.",
    ]
    arm = read_arms({str(path): "dclip"}, CLASSES, partial=True)[f"file:{path}"]
    assert arm.texts == [(1, "oak, which has z")]
    assert arm.note == (
        "dclip file with texts for 1 of 3 classes; without: red fox, box; not in the dataset: red foxx, zebra"
    )


def test_a_file_without_any_class_is_refused_even_in_part(tmp_path: Path) -> None:
    path = write(tmp_path / "d.json", {"zebra": ["y"]})
    with pytest.raises(UserError, match=r"None fits: rename them in the file\."):
        read_arm(path, "cupl", CLASSES, partial=True)


def test_broken_files_are_told_together(tmp_path: Path) -> None:
    listed = write(tmp_path / "list.json", ["oak"])
    wrong = write(tmp_path / "wrong.json", {"oak": "text", "Red fox": [], "red-fox": ["a"], "box": [1]})
    (tmp_path / "torn.json").write_text('{"oak": [')
    paths = [listed, wrong, tmp_path / "torn.json", tmp_path / "none.json"]
    with pytest.raises(UserError) as caught:
        read_arms({str(path): "cupl" for path in paths}, CLASSES, partial=False)
    where = "analysis.description_files: "
    assert str(caught.value).splitlines() == [
        f"{where}{listed}: a list; give an object of class → list of texts.",
        f"{where}{wrong}: class 'oak': its value is no list of texts, one at least.",
        f"{where}{wrong}: class 'Red fox': its value is no list of texts, one at least.",
        f"{where}{wrong}: 'red-fox' and 'Red fox' are the same class.",
        f"{where}{wrong}: class 'box': its value is no list of texts, one at least.",
        f"{where}{tmp_path / 'torn.json'}: line 1: not JSON (Expecting value).",
        f"{where}{tmp_path / 'none.json'}: no such file; give a JSON file of class → list of texts.",
    ]
