"""Scores of answers: planted errors are found, an answerer that does not look is exposed, the paper's numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from asked_questions import answer_of, given_by, questions_file, row, write_images, write_rows

from analysis.images.questions.answerers.scripted import ScriptedAnswerer
from analysis.images.questions.answerers.table import answerer_digest, build_answerer
from analysis.images.questions.asking import key_of
from analysis.images.questions.files import QuestionFile, read_question_files
from analysis.images.questions.measure import Asking, study_of
from analysis.images.questions.published import attainable, fitting_words, published
from analysis.images.questions.record import AnswererRecord, AnswerScores, QuestionStudy
from analysis.images.questions.scores import counts_of, examples_of, scores_of
from analysis.images.questions.tables import asked_table, question_tables, scores_table
from analysis.images.questions.wording import all_cautions, cautions
from analysis.judge.base import Answer
from analysis.statistics.intervals import Estimate
from ex2.data.demo.world import BY_NAME, CONCEPTS
from ex2.sets.draw import SetPlan, draw_set, requests_for
from ex2.sets.generators.toy import Toy
from ex2.sets.toy_questions import main as write_questions
from ex2.sets.toy_questions import true_answer
from reward.errors import UserError

NAMES = tuple(BY_NAME)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> QuestionFile:
    """1,920 questions about 320 toy images, six an image, whose facets are drawn at random."""
    root = tmp_path_factory.mktemp("sets")
    requests = requests_for(NAMES, 20, 0, lambda label, index: (NAMES[label], ""))
    plan = SetPlan(name="toy", generator=Toy(), class_names=NAMES, requests=requests, seed=0)
    folder = draw_set(plan, root, progress=False).folder
    write_questions([str(folder), "--out", str(root / "questions.jsonl")])
    (read,) = read_question_files({"drawn": root / "questions.jsonl"})
    return read


def scored(file: QuestionFile, **settings: float) -> AnswerScores:
    return scores_of("drawn", "scripted", file.asked, given_by(ScriptedAnswerer(**settings), file.asked))


def holds(number: Estimate | None, value: float) -> bool:
    assert number is not None
    assert number.low is not None
    assert number.high is not None
    return number.low <= value <= number.high


def study(file: QuestionFile, answers: dict[str, list[Answer]]) -> QuestionStudy:
    found = {
        name: {key_of(one.question): given for one, given in zip(file.asked, of_it, strict=True)}
        for name, of_it in answers.items()
    }
    records = [AnswererRecord(name=name, kind="own", digest="", settings={}, exact=False) for name in answers]
    return study_of(Asking("study", {file.name: file.path}, ()), [file], found, records)


def test_planted_errors_are_recovered_within_their_intervals(toys: QuestionFile) -> None:
    counts = counts_of(toys.asked)
    assert (counts.images, counts.yes, counts.no, counts.per_image) == (320, 960, 960, 6.0)
    found = [scored(toys, error=0.1, seed=seed) for seed in range(20)]
    assert sum(holds(one.accuracy, 0.9) for one in found) >= 18, "of twenty 95 % intervals"
    assert sum(one.accuracy.value for one in found if one.accuracy) / 20 == pytest.approx(0.9, abs=0.005)
    biased = [scored(toys, yes_bias=0.05, seed=seed) for seed in range(20)]
    assert all(one.sensitivity is not None and one.sensitivity.value == 1.0 for one in biased)
    assert sum(holds(one.specificity, 0.95) for one in biased) >= 18
    assert sum(holds(one.yes_rate, 0.525) for one in biased) >= 18
    for one in (*found, *biased):
        assert not holds(one.accuracy, 1.0), "a broken measure that always says 100 % would be found out"
    assert scored(toys).accuracy is not None
    assert scored(toys).accuracy.value == 1.0, "and without errors there are none"


def test_an_answerer_that_always_says_yes_is_exposed(tmp_path: Path) -> None:
    file = questions_file(tmp_path, images=50, yes=180, no=60)
    always = scores_of("asked", "parrot", file.asked, [answer_of("yes")] * 240)
    assert always.accuracy is not None
    assert always.balanced is not None
    assert (always.accuracy.value, always.balanced.value) == (0.75, 0.5)
    assert (always.sensitivity and always.sensitivity.value, always.specificity and always.specificity.value) == (
        1.0,
        0.0,
    )
    chance, majority = cautions(always, counts_of(file.asked).majority)
    assert chance.startswith("parrot on asked: balanced accuracy is at chance, 50.0\u00a0% [")
    assert "though accuracy is 75.0\u00a0% [" in chance
    assert chance.endswith("; it says yes to every question.")
    assert "is not told from always giving the more frequent answer, which has 75.0\u00a0%." in majority
    sees = scores_of("asked", "sees", file.asked, [answer_of("yes" if one.answer else "no") for one in file.asked])
    assert cautions(sees, 0.75) == [], "one who sees is blamed for nothing"


def test_unparsed_answers_are_counted_and_neither_right_nor_wrong(tmp_path: Path) -> None:
    file = questions_file(tmp_path, images=10, yes=20, no=20, about=("color", "count"))
    words = ["yes" if one.answer else "no" for one in file.asked]
    words[:4] = ["maybe"] * 4
    words[4] = "no"
    found = scores_of("asked", "shy", file.asked, list(map(answer_of, words)))
    assert found.unparsed == 4
    assert found.accuracy is not None
    assert (found.accuracy.value, found.accuracy.n) == (35 / 36, 36)
    assert (found.accuracy_of_all.value, found.accuracy_of_all.n) == (35 / 40, 40)
    assert [(one.about, one.asked, one.unparsed) for one in found.about] == [("color", 20, 2), ("count", 20, 2)]
    (line,) = cautions(found, 0.5)
    assert line.startswith(
        "shy on asked: 4 of 40 answers are neither yes nor no; counted as wrong, accuracy is 87.5\u00a0%"
    )
    none = scores_of("asked", "mute", file.asked, [answer_of("maybe")] * 40)
    assert (none.accuracy, none.balanced, none.yes_rate) == (None, None, None)
    assert none.accuracy_of_all.value == 0.0
    assert cautions(none, 0.5) == ["mute on asked: none of 40 answers could be read; there is no accuracy."]


def test_the_papers_numbers_come_out_of_the_functions_of_every_table() -> None:
    paper = published()
    assert (paper.counts.questions, paper.counts.yes + paper.counts.no) == (241, 132 + 109)
    assert paper.counts.per_image == pytest.approx(4.82)
    assert paper.counts.majority == pytest.approx(0.5477, abs=5e-5)
    assert attainable(77.27, 241) == [] == [k for k in range(242) if round(100 * k / 241, 2) == 77.27]
    assert attainable(77.27, 132) == [102] == [k for k in range(133) if round(100 * k / 132, 2) == 77.27]
    assert attainable(77.27, 109) == []
    assert attainable(77.18, 241) == [186], "and the neighbor that there is would be found"
    assert fitting_words(77.27, paper.counts) == (
        "no whole number of 241 gives it; 102 of the 132 whose answer is yes does"
    )
    assert fitting_words(77.18, paper.counts) == "186 of 241"


def test_a_file_of_the_papers_size_stands_beside_it_with_the_same_numbers(tmp_path: Path) -> None:
    file = questions_file(tmp_path, images=50, yes=132, no=109)
    words = ["yes" if number < 186 else "no" for number in range(241)]
    found = study(file, {"own": list(map(answer_of, words))})
    ours, theirs = asked_table([found]).rows
    assert ours.names == ("asked",)
    assert [cell.value for cell in ours.cells[:6]] == [cell.value for cell in theirs.cells[:6]]
    assert [cell.value for cell in ours.cells] == [50, 241, 132, 109, 4.82, pytest.approx(54.7718, abs=1e-4), 5.0]
    own, printed = scores_table([found]).rows
    assert own.names == ("asked", "own")
    assert own.cells[0].value == pytest.approx(100 * (132 + 55) / 241)
    assert printed.cells[0].notes == ("no whole number of 241 gives it; 102 of the 132 whose answer is yes does",)


def test_answerers_and_files_are_compared_with_corrected_p_values(tmp_path: Path) -> None:
    files = [questions_file(tmp_path / name, images=40, yes=100, no=100) for name in ("generated", "real")]
    files = [
        QuestionFile(name, one.path, one.digest, one.asked)
        for name, one in zip(("generated", "real"), files, strict=True)
    ]
    asking = Asking("both", {one.name: one.path for one in files}, ())

    def right(one: QuestionFile, wrong: int) -> dict[tuple[str, str], Answer]:
        return {
            key_of(asked.question): answer_of("yes" if asked.answer != (number < wrong) else "no")
            for number, asked in enumerate(one.asked)
        }

    # The images of both folders are the same, so that the questions must differ for the answers to.
    real = QuestionFile(
        "real",
        files[1].path,
        files[1].digest,
        tuple(
            type(one)(
                one.question._replace(question=f"{one.question.question} really"), one.answer, one.about, one.line
            )
            for one in files[1].asked
        ),
    )
    files[1] = real
    found = {
        "good": right(files[0], 0) | right(real, 0),
        "bad": right(files[0], 60) | right(real, 0),
        "same": right(files[0], 60) | right(real, 0),
    }
    records = [AnswererRecord(name=name, kind="own", digest="", settings={}, exact=False) for name in found]
    made = study_of(asking, files, found, records)
    assert made.reference == "real"
    by_pair = {(one.file, one.first, one.second): one for one in made.answerer_comparisons}
    assert len(by_pair) == 6
    apart = by_pair["generated", "good", "bad"]
    assert apart.difference.value == pytest.approx(0.3)
    assert (apart.only_first, apart.only_second) == (60, 0)
    assert apart.p < apart.p_holm < 0.001
    equal = by_pair["generated", "bad", "same"]
    assert (equal.difference.value, equal.p, equal.p_holm) == (0.0, 1.0, 1.0)
    by_answerer = {one.answerer: one for one in made.file_comparisons}
    assert by_answerer["bad"].difference.value == pytest.approx(-0.3)
    assert by_answerer["bad"].p_holm < 0.001
    assert by_answerer["good"].p_holm == 1.0
    assert [table.key for table in question_tables([made])] == [
        "questions-asked",
        "questions-scores",
        "questions-answerers",
        "questions-files",
    ]
    assert QuestionStudy.from_json(made.to_json()) == made


def test_wrong_ones_are_shown_first(tmp_path: Path) -> None:
    file = questions_file(tmp_path, images=10, yes=20, no=0)
    first = [answer_of("no" if number in (5, 7) else "yes") for number in range(20)]
    second = [answer_of({7: "no", 9: "maybe"}.get(number, "yes")) for number in range(20)]
    shown = examples_of("asked", file.asked, {"a": first, "b": second}, most=6)
    assert [one.question.split()[3] for one in shown] == ["7", "5", "9", "0", "1", "2"]
    assert [(one.wrong, one.unparsed) for one in shown] == [(2, 0), (1, 0), (0, 1), (0, 0), (0, 0), (0, 0)]


def test_the_scripted_answerer_sees_toy_images_only(tmp_path: Path, toys: QuestionFile) -> None:
    write_images(tmp_path)
    (other,) = read_question_files({"q": write_rows(tmp_path / "q.jsonl", [row("0.png")])})
    with pytest.raises(UserError, match=r"^answerer: .*0\.png is no image of a set that the generator 'toy' drew"):
        given_by(ScriptedAnswerer(), other.asked)
    wug = CONCEPTS[0]
    assert true_answer("Is it red?", wug) is True
    assert true_answer("Is it a blue circle?", wug) is False
    assert true_answer("Is it not red?", wug) is None
    assert true_answer("Is it nice?", wug) is None
    again = [given_by(ScriptedAnswerer(error=0.5, seed=3), toys.asked[:50]) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0] != given_by(ScriptedAnswerer(error=0.5, seed=4), toys.asked[:50])


def test_a_panel_follows_the_majority_and_a_tie_is_unparsed(toys: QuestionFile) -> None:
    wrong = {"name": "scripted", "error": 1.0}
    right = {"name": "scripted"}
    asked = toys.asked[:20]
    two = build_answerer("panel", {"answerers": [right, right, wrong]}, "answerers[0]")
    assert scores_of("q", "p", asked, given_by(two, asked)).accuracy_of_all.value == 1.0
    tie = build_answerer("panel", {"answerers": [right, wrong]}, "answerers[0]")
    assert scores_of("q", "p", asked, given_by(tie, asked)).unparsed == 20
    with pytest.raises(UserError) as raised:
        build_answerer("panel", {"answerers": [{"name": "panel"}]}, "answerers[2]")
    assert str(raised.value).splitlines() == [
        "answerers[2].answerers: given 1; a panel needs at least 2.",
        "answerers[2].answerers[0]: a panel takes no panel and no mode: batch; list these beside it.",
    ]


def test_a_digest_tells_what_changes_an_answer() -> None:
    plain = answerer_digest("openai", {"model": "m"})
    assert plain == answerer_digest(
        "openai", {"model": "m", "concurrency": 3, "price_per_million": {"input": 1, "output": 2}}
    )
    assert plain != answerer_digest("openai", {"model": "m", "longest": 512})
    assert plain != answerer_digest("scripted", {"error": 0.1})
    members = [{"name": "openai", "model": "m"}, {"name": "openai", "model": "n"}]
    one = answerer_digest("panel", {"answerers": members})
    assert one == answerer_digest("panel", {"answerers": [{**members[0], "timeout": 5}, members[1]]})
    assert one != answerer_digest("panel", {"answerers": [members[0], members[0]]})


def test_a_study_says_what_is_wrong_with_each_answerer(tmp_path: Path) -> None:
    file = questions_file(tmp_path, images=50, yes=150, no=50)
    said = all_cautions(study(file, {"a": [answer_of("yes")] * 200, "b": [answer_of("maybe")] * 200}))
    assert len(said) == 3
    assert said[2] == "b on asked: none of 200 answers could be read; there is no accuracy."
