"""Writing questions about the images of a folder: which image is shown, and what is kept."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import ConfigDict

from analysis.images.questions.files import QuestionRow, YesNo, open_image, read_question_files
from analysis.labeling.local_pages import Stale
from reward.errors import EX2Error, UserError
from reward.files import append_jsonl, write_jsonl
from reward.images import IMAGE_ERRORS
from reward.records import JSON, Record

FILE = "questions.jsonl"
"""Name of the file of questions, in the images' folder."""
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
SHOWN = 1024
"""Most pixels of the longer side of an image on the page."""
LONGEST = 500
"""Most characters of a question or a category."""


@dataclass(frozen=True)
class Written(Record):
    """A question as the page sends it.

    Attributes:
        image: The image that the page showed.
        question: The question.
        answer: The right answer.
        about: Its category.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # the page sends nothing else

    image: str
    question: str
    answer: YesNo
    about: str


@dataclass(frozen=True)
class Turned(Record):
    """A wish to see another image: by how many further, and the image that the page showed."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    image: str
    by: int


class WritingSession:
    """Shows one image after the other; each question is on the disk before the page is told so.

    It begins at the first image without a question, so that the same command goes on where it was left.

    Args:
        folder: Folder of images, in any depth, such as that of a set. `questions.jsonl` in it is read, and grows.

    Raises:
        UserError: If there is no image, or the file of questions is faulty; a line for each problem.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"{folder}: is no folder; give one that holds images.")
        self.file = folder / FILE
        self.images = list(_images(folder))
        if not self.images:
            raise UserError(f"{folder}: holds no image ({', '.join(sorted(ENDINGS))}).")
        self._folder, self._rows, self._own = folder, list[QuestionRow](), 0
        if self.file.exists() and self.file.stat().st_size:
            (read,) = read_question_files({"questions": self.file})
            self._rows = [
                QuestionRow(one.question.image, one.question.question, "yes" if one.answer else "no", one.about)
                for one in read.asked
            ]
        asked = {row.image for row in self._rows}
        self._place = next((at for at, name in enumerate(self.images) if name not in asked), 0)

    @property
    def written(self) -> int:
        """Number of questions in the file."""
        return len(self._rows)

    def state(self) -> JSON:
        """Return what the page shows: the image, its questions, and counts of all."""
        name = self.images[self._place]
        yes = sum(row.answer == "yes" for row in self._rows)
        return {
            "image": name,
            "number": self._place + 1,
            "images": len(self.images),
            "asked": len({row.image for row in self._rows}),
            "written": len(self._rows),
            "yes": yes,
            "no": len(self._rows) - yes,
            "can_undo": self._own > 0,
            "about": sorted({row.about for row in self._rows if row.about}),
            "questions": [[row.question, row.answer, row.about] for row in self._rows if row.image == name],
        }

    def add(self, given: Written) -> None:
        """Keep a question.

        Raises:
            Stale: If another image is shown; nothing is kept.
            UserError: If it is empty, too long, or stands there already.
            EnvironmentFault: If it cannot be written.
        """
        self._check(given.image)
        question, about = (" ".join(text.split()) for text in (given.question, given.about))
        if not question or max(len(question), len(about)) > LONGEST:
            raise UserError(f"a question has 1 to {LONGEST} characters, and a category at most as many.")
        if any(row.image == given.image and row.question.casefold() == question.casefold() for row in self._rows):
            raise UserError("this question is there already.")
        row = QuestionRow(given.image, question, given.answer, about)
        append_jsonl(self.file, [row.to_json()])
        self._rows.append(row)
        self._own += 1

    def undo(self) -> None:
        """Take back the last question that this session wrote; if there is none, nothing happens.

        Raises:
            EnvironmentFault: If the file cannot be written; it stays as it was.
        """
        if not self._own:
            return
        write_jsonl(self.file, [row.to_json() for row in self._rows[:-1]])
        self._own -= 1
        self._place = self.images.index(self._rows.pop().image)

    def turn(self, given: Turned) -> None:
        """Show another image; beyond either end the order begins anew.

        Raises:
            Stale: If another image is shown.
        """
        self._check(given.image)
        self._place = (self._place + given.by) % len(self.images)

    def picture(self, number: int) -> bytes | None:
        """Return an image as a PNG, not larger than a page needs; None if there is none of this number."""
        if not 1 <= number <= len(self.images):
            return None
        try:
            image = open_image(self._folder / self.images[number - 1])
        except (EX2Error, *IMAGE_ERRORS):
            return None
        image.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        image.save(file, "PNG")
        return file.getvalue()

    def _check(self, image: str) -> None:
        if image != self.images[self._place]:
            raise Stale


class WritingPage:
    """The page of a session.

    Args:
        session: Decides what is shown.
    """

    files: Mapping[str, tuple[Path, str]] = {
        "": (Path(__file__).with_name("page.html"), "text/html; charset=utf-8"),
        "page.js": (Path(__file__).with_name("page.js"), "text/javascript; charset=utf-8"),
        "own.css": (Path(__file__).with_name("own.css"), "text/css; charset=utf-8"),
        "page.css": (Path(__file__).parents[3] / "labeling" / "page.css", "text/css; charset=utf-8"),
    }
    actions = ("add", "undo", "turn")
    largest = 8192

    def __init__(self, session: WritingSession) -> None:
        self._session = session

    def state(self) -> JSON:
        """Return what the page shows."""
        return self._session.state()

    def action(self, name: str, body: Any) -> Callable[[], None]:
        """Return what is done for a request.

        Raises:
            ValueError: If the body has another form.
        """
        if name == "add":
            written = Written.from_json(body)
            return lambda: self._session.add(written)
        if name == "turn":
            turned = Turned.from_json(body)
            return lambda: self._session.turn(turned)
        if body != {}:
            raise ValueError(f"{body!r}; allowed: no keys")
        return self._session.undo

    def image(self, name: str) -> bytes | None:
        """Return the image of a name such as `image-3`."""
        kind, _, number = name.partition("-")
        return self._session.picture(int(number)) if kind == "image" and number.isdecimal() else None


def _images(folder: Path) -> Iterator[str]:
    """Yield the paths of all images below a folder, from it, in order; hidden folders are left out."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.suffix.lower() in ENDINGS and path.is_file() and not any(part.startswith(".") for part in name.parts):
            yield name.as_posix()
