"""Small files of questions about images, and answerers that count what they are asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from analysis.images.questions.answerers.base import Answerer, OnAnswer
from analysis.images.questions.files import Asked, ImageQuestion, QuestionFile, read_question_files
from analysis.judge.base import Answer, Unparsed, Verdict

COLORS = ("red", "blue", "green", "yellow", "white", "black")


def write_images(folder: Path, count: int = 3, size: tuple[int, int] = (20, 10)) -> list[str]:
    """Images of one color each, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number}.png" for number in range(count)]
    for number, name in enumerate(names):
        Image.new("RGB", size, (number % 256, number // 256, 128)).save(folder / name)
    return names


def write_rows(path: Path, rows: Sequence[Any]) -> Path:
    """A file of rows; a text stands as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def row(image: str, question: str = "Is it red?", answer: str = "yes", **more: str) -> dict[str, str]:
    return {"image": image, "question": question, "answer": answer, **more}


def questions_file(folder: Path, images: int, yes: int, no: int, about: Sequence[str] = ("",)) -> QuestionFile:
    """A file of so many questions spread over so many images: of five words, those whose answer is yes first."""
    names = write_images(folder, images)
    rows = [
        row(
            names[number % images],
            f"Is this number {number} ?",
            "yes" if number < yes else "no",
            about=about[number % len(about)],
        )
        for number in range(yes + no)
    ]
    (read,) = read_question_files({"asked": write_rows(folder / "questions.jsonl", rows)})
    return read


class Scripted:
    """Answers by a function of the question and counts what it is asked."""

    exact = False

    def __init__(self, say: Callable[[ImageQuestion], str] = lambda question: "yes", name: str = "own") -> None:
        self.say, self.name = say, name
        self.asked: list[ImageQuestion] = []

    def answer(self, questions: Sequence[ImageQuestion], on_answer: OnAnswer) -> None:
        for question in questions:
            self.asked.append(question)
            on_answer(question, answer_of(self.say(question)))


def answer_of(word: str) -> Answer:
    return Verdict(word == "yes", word) if word in ("yes", "no") else Unparsed(word)


def given_by(answerer: Answerer, asked: Sequence[Asked]) -> list[Answer]:
    """Each question's answer, in the order of the questions."""
    found: dict[tuple[str, str], Answer] = {}

    def on_answer(question: ImageQuestion, answer: Answer) -> None:
        key = (question.pixels, question.question)
        assert key not in found, "answered twice"
        found[key] = answer

    answerer.answer([one.question for one in asked], on_answer)
    return [found[one.question.pixels, one.question.question] for one in asked]
