"""Files of yes/no questions about images: a JSON line a question, the images beside it.

    {"image": "images/dog/00001.png", "question": "Is the dog brown?", "answer": "yes", "about": "color"}

An image is named by its path from the file's folder. `about` is any category of the user's, such as color, count,
spatial or attribute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image
from pydantic import ValidationError

from reward.errors import UserError, shown
from reward.images import decode, open_regular
from reward.preprocess import to_rgb
from reward.records import Record, problems
from reward.strict_json import JSONFault
from reward.strict_json import decode as decode_json

YesNo = Literal["yes", "no"]
REMEDY = "replace the image, or remove its questions"


@dataclass(frozen=True)
class QuestionRow(Record):
    """A line of a file of questions.

    Attributes:
        image: Path of the image from the file's folder, with slashes.
        question: The question.
        answer: The right answer.
        about: Category of the question; any text.
    """

    image: str
    question: str
    answer: YesNo
    about: str = ""


class ImageQuestion(NamedTuple):
    """A question as it is asked: it does not tell the right answer.

    Attributes:
        path: The image's file; None for a white square.
        image: Name of the image, from the file's folder.
        pixels: `pixel_digest` of the image.
        width: Of the image, in pixels.
        height: Likewise.
        question: The question.
    """

    path: Path | None
    image: str
    pixels: str
    width: int
    height: int
    question: str

    def open(self) -> Image.Image:
        """Read the image as it was when the questions were read.

        Returns:
            The image as a viewer shows it, in mode RGB, without metadata.

        Raises:
            UserError: If it cannot be read any more, or has changed.
        """
        if self.path is None:
            return Image.new("RGB", (self.width, self.height), "white")
        image = open_image(self.path)
        if pixel_digest(image) != self.pixels:
            raise UserError(f"{self.path}: has changed since the questions were read; run the same command again.")
        return image


WHITE = ImageQuestion(None, "white", "white", 64, 64, "Is this image white?")
"""A question that no server has reason to refuse."""


@dataclass(frozen=True)
class Asked:
    """A question with what is known of it.

    Attributes:
        question: The question.
        answer: The right answer: True for yes.
        about: Its category; "" for none.
        line: Its line in the file, from 1.
    """

    question: ImageQuestion
    answer: bool
    about: str
    line: int


@dataclass(frozen=True)
class QuestionFile:
    """A file of questions that was read.

    Attributes:
        name: Its name in tables, such as `generated`.
        path: The file.
        digest: SHA-256 of its content.
        asked: Its questions, in the order of lines.
    """

    name: str
    path: Path
    digest: str
    asked: tuple[Asked, ...]


def open_image(path: Path) -> Image.Image:
    """Read an image as a viewer shows it, in mode RGB, without metadata.

    Raises:
        UserError: If it is not there or is no image that can be read.
    """
    try:
        with open_regular(path) as file:
            image = to_rgb(decode(file, str(path), REMEDY))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {REMEDY}.") from error
    image.info.clear()
    return image


def pixel_digest(image: Image.Image) -> str:
    """Return the SHA-256 of width, height and the pixels in RGB, row by row."""
    return hashlib.sha256(f"{image.width}x{image.height} ".encode() + image.tobytes()).hexdigest()


def read_question_files(files: Mapping[str, Path]) -> list[QuestionFile]:
    """Read files of questions and look at every image.

    Args:
        files: Name in tables → file.

    Raises:
        UserError: If something is wrong with any of them; a line for each problem, with file and line.
    """
    read, wrong = [], list[str]()
    for name, path in files.items():
        found, told = _read(name, path)
        read.append(found)
        wrong += told
    if wrong:
        raise UserError("\n".join(wrong))
    return read


def _read(name: str, path: Path) -> tuple[QuestionFile, list[str]]:
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        hint = "write questions with `ex2 label FOLDER --questions`, or correct the path"
        return QuestionFile(name, path, "", ()), [f"{path}: cannot be read ({error.strerror}); {hint}."]
    except UserError as error:
        return QuestionFile(name, path, "", ()), [str(error)]
    wrong: list[str] = []
    asked: list[Asked] = []
    look = _Images(path.parent)
    line_of: dict[tuple[str, str], int] = {}
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        row, told = _row(line, where)
        if row is not None:
            image, problem = look(row.image)
            told += [f"{where}: {problem}"] if problem else []
            if image is not None:
                key = (image.pixels, " ".join(row.question.split()).casefold())
                first = line_of.setdefault(key, number)
                if first != number:
                    told.append(f"{where}: the same question about the same image as on line {first}; delete one.")
                question = image._replace(question=" ".join(row.question.split()))
                asked.append(Asked(question, row.answer == "yes", row.about.strip(), number))
        wrong += told
    if not asked and not wrong:
        wrong.append(f"{path}: holds no question; give a line such as {EXAMPLE}")
    return QuestionFile(name, path, hashlib.sha256(content).hexdigest(), tuple(asked)), wrong


EXAMPLE = '{"image": "a.png", "question": "Is it red?", "answer": "yes", "about": "color"}'


def _row(line: bytes, where: str) -> tuple[QuestionRow | None, list[str]]:
    """Return a line's row, None if it is none, and what is wrong with it."""
    try:
        stored = decode_json(line)
    except JSONFault as error:
        return None, [f"{where}: {error.reason}; give a line such as {EXAMPLE}"]
    if not isinstance(stored, dict):
        return None, [f"{where}: it holds {shown(stored)}: an object is allowed, such as {EXAMPLE}"]
    try:
        row = QuestionRow.from_json(stored)
    except ValidationError as error:
        told = [f"{where}: {problem}" for problem in problems(error)]
        return None, [line.replace("input should be 'yes' or 'no'", "allowed are 'yes' and 'no'") for line in told]
    return row, [f"{where}: 'question' is empty; write one that yes or no answers."] * (not row.question.strip())


class _Images:
    """Finds the images of a file of questions; each is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[ImageQuestion | None, str]] = {}

    def __call__(self, name: str) -> tuple[ImageQuestion | None, str]:
        """Return a question about an image without its words, and what is wrong with the image; one of them."""
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name: str) -> tuple[ImageQuestion | None, str]:
        here = f"give a path from the file's folder, {self._folder}"
        try:
            path = self._folder / name
            if (
                not name.strip()
                or Path(name).is_absolute()
                or not path.resolve().is_relative_to(self._folder.resolve())
            ):
                return None, f"image {shown(name)}: leads out of the folder; {here}."
            if not path.exists():
                return None, f"image {shown(name)}: not found; {here}."
            image = open_image(path)
        except UserError as error:
            return None, f"image {error}"
        except (OSError, ValueError, RuntimeError):  # a name that is too long, has a null byte, or links in a circle
            return None, f"image {shown(name)}: no path; {here}."
        return ImageQuestion(path, name, pixel_digest(image), image.width, image.height, ""), ""


def image_numbers(questions: Sequence[Asked]) -> list[int]:
    """Return the number of each question's image, images being counted in the order in which they are met."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(one.question.pixels, len(numbers)) for one in questions]
