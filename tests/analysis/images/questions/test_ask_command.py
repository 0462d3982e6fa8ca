"""`ex2 ask` and the questions of `ex2 measure`: kept answers, plans, pages, tables, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asked_questions import questions_file, row, write_images, write_rows
from judge_stub import Handler, Reply, Server, completion, failure, starting

from analysis.images.questions.asking import ANSWERS
from analysis.images.questions.stored import RESULT, stored_study
from ex2.cli.main import main
from ex2.sets.toy_questions import main as write_questions
from reward.errors import UserError

start = pytest.fixture(starting)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def say_yes(body: dict[str, Any], number: int) -> Reply:
    return completion("Yes, there is.")


def test_answers_are_kept_and_answering_again_asks_nothing(
    start: Callable[[Handler], Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions_file(tmp_path / "photos", images=5, yes=8, no=4, about=("color", "count"))
    server = start(say_yes)
    words = ["ask", "photos/questions.jsonl", "--answerer", "openai", "model=m", f"base_url={server.url}", "--name=own"]
    prices = "price_per_million={input: 1, output: 2}"
    assert main([*words[:-1], prices, "--name=own", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "0 of 12 answers in the log" in said
    assert re.search(
        r"to ask: 12 questions, 0 of them in the cache; 12 requests, about [\d,]+ input and at most 384", said
    )
    assert "by the given prices" in said
    assert server.asked == []
    assert not (tmp_path / "runs").exists(), "nothing was written"
    assert main([*words, "--quiet"]) == 0
    assert len(server.asked) == 12
    shown = capsys.readouterr().out
    assert "careful: m at 127.0.0.1" in shown
    assert "it says yes to every question" in shown
    assert "took 12 requests, 1,200 input and 84 output tokens" in shown
    folder = tmp_path / "runs" / "own"
    before = (folder / ANSWERS).read_bytes()
    assert main([*words, "--quiet"]) == 0
    assert len(server.asked) == 12, "answered from the log"
    assert (folder / ANSWERS).read_bytes() == before
    (folder / ANSWERS).unlink()
    assert main([*words, "--quiet"]) == 0
    assert len(server.asked) == 12, "answered from the cache"
    found = stored_study(folder)
    assert found is not None
    assert [(one.asked, one.unparsed) for one in found.scores] == [(12, 0)]
    names = {path.name for path in (folder / "tables").iterdir()}
    assert {"questions-scores.csv", "questions-scores.json", "questions-scores.tex", "questions-about.csv"} <= names
    page = (folder / "questions.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 7, "four that are wrong, three that are right"


def test_what_was_answered_is_kept_when_a_later_question_fails(
    start: Callable[[Handler], Server], tmp_path: Path
) -> None:
    questions_file(tmp_path / "photos", images=6, yes=6, no=6)
    server = start(lambda body, number: completion("Yes") if number <= 5 else failure(401, "no more"))
    settings = ["model=m", f"base_url={server.url}", "concurrency=1", "max_retries=0"]
    words = ["ask", "photos/questions.jsonl", "--answerer", "openai", *settings, "--name=own", "--quiet"]
    assert main(words) == 2
    log = tmp_path / "runs" / "own" / ANSWERS
    assert len(log.read_text().splitlines()) == 5
    assert not (tmp_path / "runs" / "own" / RESULT).exists(), "nothing is scored of half the answers"
    server.asked.clear()
    again = start(say_yes)
    assert main([word.replace(server.url, again.url) for word in words]) == 0
    assert len(again.asked) == 12, "another server may be another model"


def test_answers_that_cannot_be_read_end_after_a_few(
    start: Callable[[Handler], Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions_file(tmp_path / "photos", images=10, yes=30, no=30)
    server = start(lambda body, number: completion("What a nice picture."))
    settings = ["model=m", f"base_url={server.url}"]
    words = ["ask", "photos/questions.jsonl", "--answerer", "openai", *settings, "--name=own", "--quiet"]
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "20 of the first 20 answers cannot be read, so that the other 40 questions were not asked" in told
    assert len(server.asked) == 40, "twenty, each twice"


def test_what_is_missing_on_the_command_line_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions_file(tmp_path / "a", images=4, yes=6, no=6)
    assert main(["ask", "x=a/questions.jsonl", "x=a/questions.jsonl", "--answerer", "scripted"]) == 2
    assert "a second file named 'x'" in capsys.readouterr().err
    assert main(["ask", "a/questions.jsonl"]) == 2
    assert "--answerer is missing; such as: ex2 ask a/questions.jsonl --answerer openai" in capsys.readouterr().err


def test_every_problem_of_files_and_answerers_is_told_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path)
    write_rows(tmp_path / "q.jsonl", [row("0.png", answer="perhaps"), row("9.png")])
    answerers = [
        "--answerer",
        "opnai",
        "--answerer",
        "openai",
        "model=m",
        "longest=3",
        "--answerer",
        "scripted",
        "error=2",
    ]
    assert main(["ask", "q.jsonl", *answerers]) == 2
    told = capsys.readouterr().err
    for line in (
        "answerers[0].name: unknown 'opnai'. Did you mean 'openai'?",
        "answerers[1].longest: given 3; allowed are 32 to 4,096 pixels.",
        "answerers[2].error: given 2; allowed is 0 to 1, a probability.",
        "q.jsonl: line 1: 'answer' is 'perhaps': allowed are 'yes' and 'no'",
        "q.jsonl: line 2: image '9.png': not found",
    ):
        assert line in told, line
    assert "Traceback" not in told
    assert not (tmp_path / "runs").exists()


RECIPE = """
name: asked
threads: 1
vlm: {name: demo-visual}
dataset: {name: shapes, images_per_class: 2, reward_split: reward, test_split: test}
images:
  seeds: [0]
  per_class: 2
  sets: {drawn: {generator: {name: toy}}}
measure:
  metrics: [cler]
  permutations: 99
  bootstrap_samples: 100
  questions: {drawn: sets/questions.jsonl}
  answerers:
    - {name: scripted}
    - {name: scripted, error: 0.3, seed: 1}
"""


def test_a_recipes_questions_are_asked_after_its_sets_were_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "asked.yaml"
    recipe.write_text(RECIPE)
    assert main(["draw", "asked.yaml"]) == 0
    assert main(["measure", "asked.yaml"]) == 2
    assert "sets/questions.jsonl: cannot be read (No such file or directory)" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "asked" / "measures.json").exists(), "told before the sets were measured"
    assert main(["validate", "asked.yaml"]) == 2
    (folder,) = (tmp_path / "sets").glob("drawn-*/seed-0")
    write_questions([str(folder), "--out", "sets/questions.jsonl"])
    assert main(["validate", "asked.yaml"]) == 0
    assert "files of questions, and settings of answerers" in capsys.readouterr().out
    assert main(["measure", "asked.yaml", "--dry-run"]) == 0
    assert "scripted: 0 of 192 answers in the log" in capsys.readouterr().out
    assert main(["measure", "asked.yaml"]) == 0
    run = tmp_path / "runs" / "asked"
    found = stored_study(run)
    assert found is not None
    right, erring = found.scores
    assert right.accuracy is not None
    assert erring.accuracy is not None
    assert right.accuracy.value == 1.0
    assert 0.55 < erring.accuracy.value < 0.85
    (pair,) = found.answerer_comparisons
    assert pair.difference.value == pytest.approx(1 - erring.accuracy.value)
    page = (run / "report.html").read_text()
    assert "Examples of answers" in page
    assert "drawn: 12 questions" in page
    assert main(["tables", "runs", "--out", "tables"]) == 0
    scores = json.loads((tmp_path / "tables" / "questions-scores.json").read_text())
    assert [one["names"] for one in scores["rows"]][:2] == [
        ["drawn", "scripted"],
        ["drawn", "scripted, 30 % errors, seed 1"],
    ]
    assert main(["index", "runs"]) == 0
    assert "Answers to binary questions" in (tmp_path / "runs" / "index.html").read_text()
    capsys.readouterr()
    recipe.write_text(RECIPE.replace("error: 0.3", "error: 0.2"))
    assert main(["report", "asked.yaml"]) == 2
    assert "asked.yaml: measure.answerers: now " in capsys.readouterr().err
    (tmp_path / "sets" / "other.jsonl").write_text((tmp_path / "sets" / "questions.jsonl").read_text())
    recipe.write_text(RECIPE.replace("questions.jsonl", "other.jsonl"))
    assert main(["report", "asked.yaml"]) == 2
    assert "asked.yaml: measure.questions.drawn: now sets/other.jsonl" in capsys.readouterr().err


def asked_before(tmp_path: Path) -> tuple[Path, Path]:
    """Measure a recipe with questions; return the recipe and the run's folder."""
    recipe = tmp_path / "asked.yaml"
    recipe.write_text(RECIPE)
    assert main(["draw", "asked.yaml"]) == 0
    (folder,) = (tmp_path / "sets").glob("drawn-*/seed-0")
    write_questions([str(folder), "--out", "sets/questions.jsonl"])
    assert main(["measure", "asked.yaml"]) == 0
    return recipe, tmp_path / "runs" / "asked"


def test_answers_to_other_questions_are_not_shown_beside_a_measurement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without questions, with another answerer that fails, and with intervals of another coverage."""
    recipe, run = asked_before(tmp_path)
    kept = (run / RESULT).read_bytes()
    recipe.write_text(RECIPE[: RECIPE.index("  questions:")])
    assert main(["measure", "asked.yaml"]) == 0
    assert "Examples of answers" not in (run / "report.html").read_text()
    assert main(["tables", "runs", "--out", "none"]) == 0
    assert not [*(tmp_path / "none").glob("questions-*")]
    told = capsys.readouterr().err
    assert f"note: runs/asked/{RESULT}: of other questions and answerers than the measurement's" in told
    (tmp_path / "failing.py").write_text(
        "from reward.errors import UserError\n"
        "class Fails:\n"
        "    name, exact = 'fails', False\n"
        "    def answer(self, questions, on_answer):\n"
        "        raise UserError('nobody answers')\n"
    )
    recipe.write_text(RECIPE.replace("{name: scripted}", "{name: failing.Fails}"))
    assert main(["measure", "asked.yaml"]) == 2
    assert (run / RESULT).read_bytes() == kept, "what was answered before stays"
    assert "Examples of answers" not in (run / "report.html").read_text()
    recipe.write_text(RECIPE)
    assert main(["measure", "asked.yaml"]) == 0
    assert "Examples of answers" in (run / "report.html").read_text()


def test_a_damaged_study_leaves_others_on_the_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, run = asked_before(tmp_path)
    (run / RESULT).write_text("{}")
    capsys.readouterr()
    assert main(["index", "runs"]) == 0
    page = (tmp_path / "runs" / "index.html").read_text()
    assert RESULT in page
    assert "What each image set is worth" in page
    assert "Answers to binary questions" not in page


def test_measures_are_kept_and_shown_where_answers_fail(
    start: Callable[[Handler], Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start(lambda body, number: failure(404, "no such model"))
    recipe = tmp_path / "asked.yaml"
    recipe.write_text(RECIPE.replace("{name: scripted}", f"{{name: openai, model: m, base_url: '{server.url}'}}"))
    assert main(["draw", "asked.yaml"]) == 0
    (folder,) = (tmp_path / "sets").glob("drawn-*/seed-0")
    write_questions([str(folder), "--out", "sets/questions.jsonl"])
    assert main(["measure", "asked.yaml"]) == 2
    said = capsys.readouterr()
    assert "measure.answerers[0] http" in said.err
    assert "measures: " in said.out
    assert (tmp_path / "runs" / "asked" / "measures.json").exists()
    assert (tmp_path / "runs" / "asked" / "report.html").exists()


def test_a_page_shows_hostile_words_as_words(tmp_path: Path) -> None:
    write_images(tmp_path / "photos", 1)
    bad = "<script>alert(1)</script>"
    write_rows(
        tmp_path / "photos" / "q.jsonl", [row("0.png", bad, about=bad), row("0.png", "Is it red?", "no", about=bad)]
    )
    path = tmp_path / "own_answerer.py"
    path.write_text(
        "from analysis.judge.base import Verdict\n"
        "class Own:\n"
        f"    name, exact = {bad!r}, False\n"
        "    def answer(self, questions, on_answer):\n"
        "        for question in questions: on_answer(question, Verdict(True, 'yes'))\n"
    )
    assert main(["ask", "photos/q.jsonl", "--answerer", "own_answerer.Own", "--name=own", "--quiet"]) == 0
    page = (tmp_path / "runs" / "own" / "questions.html").read_text()
    assert bad not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_damaged_study_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions_file(tmp_path / "photos", images=2, yes=2, no=2)
    (tmp_path / "own_yes.py").write_text(
        "from analysis.judge.base import Verdict\n"
        "class Yes:\n"
        "    name, exact = 'yes', False\n"
        "    def answer(self, questions, on_answer):\n"
        "        for question in questions: on_answer(question, Verdict(True, 'yes'))\n"
    )
    assert main(["ask", "photos/questions.jsonl", "--answerer", "own_yes.Yes", "--name=own", "--quiet"]) == 0
    stored = tmp_path / "runs" / "own" / RESULT
    stored.write_text(stored.read_text().replace('"unparsed": 0', '"unparsed": 1', 1))
    with pytest.raises(UserError, match=r"questions\.json"):
        stored_study(tmp_path / "runs" / "own")


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ("  questions: {drawn: sets/questions.jsonl}\n", "answerers: none are given, and questions need some"),
        ("  answerers: [{name: scripted}]\n", "questions: none are given, and answerers need some"),
    ],
)
def test_questions_without_answerers_and_answerers_without_questions_are_refused(
    kept: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "asked.yaml"
    recipe.write_text(RECIPE.partition("  questions:")[0] + kept)
    assert main(["validate", "asked.yaml", "--recipe-only"]) == 2
    assert told in capsys.readouterr().err
