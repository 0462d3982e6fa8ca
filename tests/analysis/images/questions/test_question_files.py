"""What is wrong with a file of questions is told all at once, by file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from asked_questions import row, write_images, write_rows
from PIL import Image

from analysis.images.questions.files import EXAMPLE, WHITE, image_numbers, read_question_files
from reward.errors import UserError


def problems(path: Path) -> list[str]:
    with pytest.raises(UserError) as raised:
        read_question_files({"q": path})
    return str(raised.value).splitlines()


def test_questions_are_read_without_the_right_answer(tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    rows = [
        row("images/0.png", " Is it   red? ", about="color"),
        row("images/1.png", answer="no"),
        "",
        row("images/0.png", "Is it blue?"),
    ]
    (read,) = read_question_files({"q": write_rows(tmp_path / "q.jsonl", rows)})
    assert [(one.question.question, one.answer, one.about, one.line) for one in read.asked] == [
        ("Is it red?", True, "color", 1),
        ("Is it red?", False, "", 2),
        ("Is it blue?", True, "", 4),
    ]
    assert "answer" not in type(read.asked[0].question)._fields
    assert (read.asked[0].question.width, read.asked[0].question.height) == (20, 10)


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    write_images(tmp_path / "here")
    write_images(tmp_path)
    (tmp_path / "here" / "broken.png").write_bytes(b"no image")
    outside = tmp_path / "here" / "link.png"
    outside.symlink_to(tmp_path / "0.png")
    rows = [
        row("0.png"),
        row("gone.png"),
        row("broken.png"),
        row("../0.png"),
        row(str(tmp_path / "0.png")),
        row("link.png"),
        row("1.png", " "),
        row("1.png", answer="maybe"),
        {"image": "1.png", "question": "Is it red?"},
        row("0.png", "is  it RED?", "no"),
        "{not JSON",
        "[1, 2]",
        row(""),
        row("a\0b.png"),
    ]
    path = write_rows(tmp_path / "here" / "q.jsonl", rows)
    told = problems(path)
    parts = [line.removeprefix(f"{path}: line ").partition(": ") for line in told]
    starts = {int(number): words for number, _, words in parts}
    assert len(starts) == len(told)
    assert sorted(starts) == [*range(2, 15)], "a line each, and none about the good one"
    assert starts[2].startswith("image 'gone.png': not found; give a path from the file's folder")
    assert "broken.png: not a readable image (of no known format, or damaged)" in starts[3]
    for line, name in ((4, "'../0.png'"), (5, repr(str(tmp_path / "0.png"))), (6, "'link.png'"), (13, "''")):
        assert starts[line].startswith(f"image {name}: leads out of the folder"), starts[line]
    assert starts[7] == "'question' is empty; write one that yes or no answers."
    assert starts[8] == "'answer' is 'maybe': allowed are 'yes' and 'no'"
    assert starts[9] == "'answer' is missing"
    assert starts[10] == "the same question about the same image as on line 1; delete one."
    assert starts[11].startswith("not JSON (")
    assert starts[12] == f"it holds [1, 2]: an object is allowed, such as {EXAMPLE}"
    assert starts[14].startswith("image 'a\\x00b.png': ")


def test_the_same_pixels_under_another_name_are_the_same_image(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
    Image.new("RGB", (4, 4), "red").save(tmp_path / "b.bmp")
    path = write_rows(tmp_path / "q.jsonl", [row("a.png"), row("b.bmp")])
    assert problems(path) == [f"{path}: line 2: the same question about the same image as on line 1; delete one."]
    (read,) = read_question_files({"q": write_rows(path, [row("a.png"), row("b.bmp", "Is it blue?", "no")])})
    assert image_numbers(read.asked) == [0, 0]


def test_a_file_that_is_not_there_or_empty_is_told(tmp_path: Path) -> None:
    gone, empty = tmp_path / "gone.jsonl", write_rows(tmp_path / "empty.jsonl", ["", " "])
    with pytest.raises(UserError) as raised:
        read_question_files({"a": gone, "b": empty, "c": tmp_path})
    first, second, third = str(raised.value).splitlines()
    assert first == (
        f"{gone}: cannot be read (No such file or directory); write questions with `ex2 label FOLDER --questions`, or "
        "correct the path."
    )
    assert second == f"{empty}: holds no question; give a line such as {EXAMPLE}"
    assert json.loads(EXAMPLE)["answer"] == "yes"
    assert third.startswith(f"{tmp_path}: cannot be read (Is a directory)")


def test_the_example_of_a_server_is_a_white_square() -> None:
    assert WHITE.open().getcolors() == [(64 * 64, (255, 255, 255))]
