"""From descriptions to verdicts to shares: what is asked, what is resumed, what is counted, and the whole stage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from vlms import NamesVLM

import analysis.analyze
from analysis.accuracy.record import read_accuracy
from analysis.analyze import analyze
from analysis.judge.base import JudgeRequest, OnAnswer, Unparsed, Verdict
from analysis.verdicts.asking import judge_descriptions
from analysis.verdicts.breakdown import breakdown, group_shares
from analysis.verdicts.record import read_breakdown
from analysis.verdicts.verdicts import Kind, judge_digest, read_verdicts, settings_digest
from ex2.recipe import Recipe
from ex2.run.descriptions import Description, append_descriptions
from ex2.run.directory import RunDirectory
from reward.errors import EnvironmentFault, UserError
from reward.files import append_jsonl, read_json, read_jsonl
from reward.image_bank import ImageEmbeddings

CLASSES = ("pug", "oak", "red fox")


class KeywordJudge:
    """Informative: mentions 'is' or 'lives'. Visual: 'is'. Unparsed: mentions 'hm'. Stops at 'crash'."""

    name, exact = "keywords", True

    def __init__(self, strict: bool = True) -> None:
        self.strict = strict
        self.asked: list[JudgeRequest] = []

    def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
        for request in requests:
            words = request.description.split()
            if "crash" in words:
                raise EnvironmentFault("judge: gone")
            self.asked.append(request)
            if "hm" in words:
                on_answer(request, Unparsed("hm"))
            else:
                on_answer(
                    request, Verdict("is" in words or (request.question == "informative" and "lives" in words), "ok")
                )


def row(label: int, text: str, policy: str = "aligned", question: int = 0, reward: float | None = 1.0) -> Description:
    return Description(
        policy=policy,
        class_name=CLASSES[label],
        label=label,
        question_id=question,
        question="Describe a {}.",
        sample=0,
        seed=0,
        text=text,
        tokens=3,
        reward=reward,
        vlm_cut=False,
    )


ROWS = [
    row(0, "a pug is small", question=0, reward=5.0),
    row(0, "a pug is small", question=1, reward=5.0),  # the same text again: asked once, counted twice
    row(1, "a pug is small", question=0, reward=5.0),  # the same text of another class: asked again
    row(1, "oak lives long", question=1, reward=4.0),
    row(2, "click red fox", question=0, reward=3.0),
    row(2, " \n", question=1, reward=None),
    row(2, "hm", question=2, reward=2.0),
    row(0, "click here", "base", question=0, reward=1.0),
    row(1, "oak lives long", "base", question=1, reward=1.5),
]
TEXTS = [one.of_class for one in ROWS]


def test_what_is_asked(tmp_path: Path) -> None:
    judge = KeywordJudge()
    verdicts = judge_descriptions(judge, TEXTS, tmp_path / "verdicts.jsonl", digest="d")
    informative = [(r.class_name, r.description) for r in judge.asked if r.question == "informative"]
    assert informative == [
        ("pug", "a pug is small"),
        ("oak", "a pug is small"),
        ("oak", "oak lives long"),
        ("red fox", "click red fox"),
        ("red fox", "hm"),
        ("pug", "click here"),
    ]
    visual = [(r.class_name, r.description) for r in judge.asked if r.question == "visual"]
    assert visual == [("pug", "a pug is small"), ("oak", "a pug is small"), ("oak", "oak lives long")]
    assert [verdicts.kind(*r) for r in TEXTS] == [
        "visual",
        "visual",
        "visual",
        "non_visual",
        "spurious",
        "spurious",
        "unparsed",
        "spurious",
        "non_visual",
    ]
    logged = read_jsonl(tmp_path / "verdicts.jsonl")
    assert logged[0] == {
        "question": "informative",
        "class": "pug",
        "description": "a pug is small",
        "verdict": "yes",
        "raw": "ok",
        "judge": "keywords",
        "rubric": "paper-1",
        "settings": "d",
    }
    assert [r["verdict"] for r in logged].count("unparsed") == 1


def test_resume_asks_only_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    with pytest.raises(EnvironmentFault, match="judge: gone"):
        judge_descriptions(KeywordJudge(), [*TEXTS[:4], row(0, "crash").of_class, *TEXTS[4:]], path, digest="d")
    assert len(read_jsonl(path)) == 3, "answers before the crash are in the log"
    with path.open("a") as file:
        file.write('{"question": "informative", "class": "red f')  # killed in the middle of a line
    judge = KeywordJudge()
    judge_descriptions(judge, TEXTS, path, digest="d")
    assert [r.question for r in judge.asked] == ["informative"] * 3 + ["visual"] * 3
    judge = KeywordJudge()
    judge_descriptions(judge, TEXTS, path, digest="d")
    assert judge.asked == []
    judge_descriptions(judge, TEXTS, path, digest="other")
    assert len(judge.asked) == 9, "another judge or setting asks anew"
    assert len(read_verdicts(path, digest="d")) == 9


def test_settings_digest() -> None:
    assert settings_digest("openai", {"model": "m", "top_p": 0.1}) == settings_digest(
        "openai", {"top_p": 0.1, "model": "m"}
    )
    assert settings_digest("openai", {"model": "m"}) != settings_digest("openai", {"model": "n"})


def test_a_judge_that_leaves_questions_open_is_told(tmp_path: Path) -> None:
    class Lazy(KeywordJudge):
        def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
            super().answer(requests[:-1], on_answer)

    with pytest.raises(UserError, match="judge 'keywords': 1 of 6 questions were left unanswered"):
        judge_descriptions(Lazy(), TEXTS, tmp_path / "verdicts.jsonl", digest="d")


def test_a_foreign_log_is_told(tmp_path: Path) -> None:
    log = tmp_path / "verdicts.jsonl"
    row = {"question": "informative", "class": "pug", "description": "x", "verdict": "maybe", "raw": "hm"}
    for content, told in (
        (
            {"question": "informative", "class": "pug", "answer": "yes"},
            "'description' is missing; 'verdict' is missing; 'raw' is missing; 'settings' is missing",
        ),
        ({**row, "settings": "d"}, "'verdict' is 'maybe': input should be 'yes', 'no' or 'unparsed'"),
    ):
        log.unlink(missing_ok=True)
        append_jsonl(log, [content])  # type: ignore[list-item]
        with pytest.raises(UserError) as caught:
            read_verdicts(log, digest="d")
        assert str(caught.value) == f"{log}: line 1: no verdict ({told}); delete the file and analyse again."
    log.write_text('"row"\n')
    with pytest.raises(UserError) as caught:
        read_verdicts(log, digest="d")
    held = f"""{log}: line 1: it holds '"row"': an object is allowed; delete the file and analyse again."""
    assert str(caught.value) == held


def test_breakdown_by_hand(tmp_path: Path) -> None:
    verdicts = judge_descriptions(KeywordJudge(), TEXTS, tmp_path / "verdicts.jsonl", digest="d")
    result = breakdown(ROWS, verdicts, "parsed")
    aligned = result["aligned"]
    assert (aligned.descriptions, aligned.unique, aligned.empty) == (7, 6, 1)
    assert aligned.unparsed == {"informative": 1, "visual": 0}
    groups = aligned.groups
    assert (groups["spurious"].count, groups["informative"].count) == (2, 4)
    assert groups["informative"].of_all.value == pytest.approx(4 / 6)
    assert (groups["visual"].of_parent.value, groups["visual"].of_parent.n) == (0.75, 4)
    assert (groups["visual"].of_all.value, groups["visual"].of_all.n) == (0.5, 6)
    base = result["base"].groups
    assert base["visual"].of_parent == (0.0, 0.0, pytest.approx(0.975), 1)


def test_the_papers_denominator() -> None:
    # Table 13, CLIP on Pets: 925 = 353 spurious + 571 informative + 1 lost; 571 = 254 + 313 + 4 lost.
    counts: dict[Kind, int] = {
        "spurious": 353,
        "visual": 313,
        "non_visual": 254,
        "informative_unparsed": 4,
        "unparsed": 1,
    }
    paper = group_shares(counts, "all")
    assert round(100 * paper["informative"].of_all.value, 2) == 61.73  # table 2
    assert round(100 * paper["visual"].of_parent.value, 2) == 54.82  # table 4
    assert paper["visual"].of_all.n == 925
    parsed = group_shares(counts, "parsed")
    assert parsed["informative"].of_all.n == 924
    assert parsed["visual"].of_parent.n == 567
    assert parsed["visual"].of_all.n == 920


def test_nothing_informative_has_no_share_of_visual() -> None:
    shares = group_shares({"spurious": 5}, "parsed")
    assert shares["visual"].of_parent is None
    assert shares["visual"].of_all.value == 0.0
    assert group_shares({}, "all")["spurious"].of_all is None


# ---------------------------------------------------------------- the stage


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    made = Recipe.model_validate(
        {
            "name": "tiny",
            "output_dir": str(tmp_path),
            "policy": {"model": "package:tiny"},
            "vlm": {"name": "toy"},
            "dataset": {"name": "shapes", "reward_split": "train", "test_split": "test"},
            "judge": {"name": f"{__name__}.KeywordJudge"},
            "analysis": {"bootstrap_samples": 200},
        }
    )
    images = torch.nn.functional.normalize(torch.eye(3).repeat(10, 1) + 0.05, dim=-1)
    bank = ImageEmbeddings(CLASSES, images, torch.arange(3).repeat(10))
    monkeypatch.setattr(analysis.analyze, "load_vlm", lambda name, settings: NamesVLM(CLASSES))
    monkeypatch.setattr(analysis.analyze, "test_embeddings", lambda source, vlm: bank)
    return made


def test_the_stage_writes_and_prints(recipe: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    where = RunDirectory(Path(recipe.output_dir) / recipe.name).seed(0)
    append_descriptions(where, ROWS)
    analyze(recipe, 0)
    measured, shares = read_json(where.accuracy), read_json(where.breakdown)
    assert measured["arms"]["templates"]["accuracy"] == 1.0
    assert measured["arms"]["visual"]["fallback_classes"] == ["red fox"]
    assert measured["reward_gain"]["difference"] == pytest.approx((4.0 + 2.5) / 2)
    assert (measured["reward_gain"]["n"], measured["reward_gain"]["unpaired"]) == (2, 5)
    assert shares["judge"] == {
        "name": "keywords",
        "exact": True,
        "rubric": "paper-1",
        "settings": judge_digest(recipe.judge.name, {}),
    }
    assert shares["policies"]["aligned"]["groups"]["visual"]["of_all"]["share"] == 0.5
    printed = capsys.readouterr().out
    assert "100.0 % [88.4–100.0]" in printed
    assert "50.0 % [11.8–88.2]" in printed
    assert (
        "aligned: 7 descriptions, 1 empty (counted as spurious), unparsed answers: 1 informative, 0 visual"
        in " ".join(printed.split())
    )
    # Unparsed answers, empty texts, classes without texts and pairs without a reward are all in these files.
    assert json.dumps(read_accuracy(where.accuracy).to_json()) == json.dumps(measured)
    assert json.dumps(read_breakdown(where.breakdown).to_json()) == json.dumps(shares)
    before = where.accuracy.read_text()
    analyze(recipe, 0)
    assert where.accuracy.read_text() == before, "the stage is deterministic"


def test_no_descriptions_is_one_line(recipe: Recipe) -> None:
    with pytest.raises(UserError, match=r"descriptions.jsonl: no descriptions; run `ex2 describe RECIPE` first"):
        analyze(recipe, 0)


def test_descriptions_of_another_dataset_are_refused(recipe: Recipe) -> None:
    where = RunDirectory(Path(recipe.output_dir) / recipe.name).seed(0)
    append_descriptions(where, [replace(ROWS[0], class_name="cat")])
    with pytest.raises(UserError, match=r"class 'cat' with label 0 is not in the dataset, whose classes are pug, oak"):
        analyze(recipe, 0)
    where.descriptions.write_text(json.dumps({"class": "pug"}) + "\n")
    with pytest.raises(
        UserError, match=r"descriptions.jsonl: line 1: lacks label, question_id, sample, policy, text, rew"
    ):
        analyze(recipe, 0)


def test_a_judge_that_fails_leaves_earlier_results(recipe: Recipe) -> None:
    where = RunDirectory(Path(recipe.output_dir) / recipe.name).seed(0)
    append_descriptions(where, ROWS)
    analyze(recipe, 0)
    before = where.accuracy.read_text()
    append_descriptions(where, [replace(row(0, "crash"), sample=1)])
    with pytest.raises(EnvironmentFault, match="judge: gone"):
        analyze(recipe, 0)
    assert where.accuracy.read_text() == before
