"""The demo world's answerer: it knows what was drawn, and errs as often as it is told to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from analysis.images.questions.answerers.base import OnAnswer
from analysis.images.questions.files import ImageQuestion
from analysis.judge.base import Answer, Unparsed, Verdict
from ex2.data.demo.world import Concept
from ex2.sets.toy_questions import drawn_looks, true_answer
from reward.errors import UserError


class ScriptedAnswerer:
    """Answers questions about images of a set that the generator `toy` drew, with planted errors.

    It reads how an image was drawn from the set's record and rows, and from the question which of the world's values
    it names; the right answer is yes if all of them were drawn. With probability `error` the answer is turned round;
    then with probability `yes_bias` it is yes, whatever it was. A question that names no value is unparsed. Chance is
    decided by seed, image and question alone.

    Args:
        error: Probability that an answer is turned round.
        yes_bias: Probability that the answer is yes, whatever was seen.
        seed: Of the errors.
        named_in: The section that names the answerer, for messages; set by the program.

    Raises:
        UserError: If a setting is out of range.
    """

    exact = True
    answers_version = 1

    def __init__(self, error: float = 0.0, yes_bias: float = 0.0, seed: int = 0, named_in: str = "answerer") -> None:
        problems = self.setting_problems({"error": error, "yes_bias": yes_bias, "seed": seed}, named_in)
        if problems:
            raise UserError("\n".join(problems))
        self._error, self._yes_bias, self._seed, self._where = error, yes_bias, seed, named_in
        planted = [f"{100 * share:g} % {what}" for share, what in ((error, "errors"), (yes_bias, "yes-bias")) if share]
        self.name = ", ".join(["scripted", *planted, *([f"seed {seed}"] if seed else [])])

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: Iterable[str] = ()) -> list[str]:
        """List settings that are out of range; the arguments are those of `reward.components.settings_problems`."""
        return [
            f"{where}.{key}: given {settings[key]!r}; allowed is 0 to 1, a probability."
            for key in ("error", "yes_bias")
            if not 0 <= settings.get(key, 0.0) <= 1
        ]

    def answer(self, questions: Sequence[ImageQuestion], on_answer: OnAnswer) -> None:
        """Answer every question at once.

        Raises:
            UserError: If an image is not of a set that the generator `toy` drew; nothing is answered then.
        """
        seen: dict[Path | None, Concept] = {}
        for question in questions:
            if question.path not in seen:
                seen[question.path] = self._seen(question)
        for question in questions:
            on_answer(question, self._answer(question, seen[question.path]))

    def _seen(self, question: ImageQuestion) -> Concept:
        if question.path is None:
            raise UserError(f"{self._where}: the scripted answerer knows drawn images only.")
        looks = _looks(question.path.resolve())
        if looks is None:
            raise UserError(
                f"{self._where}: {question.path} is no image of a set that the generator 'toy' drew, and the scripted "
                "answerer knows no others; choose another answerer for these questions."
            )
        return looks

    def _answer(self, question: ImageQuestion, concept: Concept) -> Answer:
        truth = true_answer(question.question, concept)
        if truth is None:
            return Unparsed("it names nothing that could be drawn")
        turned, biased = self._chances(question)
        said = truth != (turned < self._error) or biased < self._yes_bias
        return Verdict(said, "Yes." if said else "No.")

    def _chances(self, question: ImageQuestion) -> tuple[float, float]:
        content = f"{self._seed}\0{question.pixels}\0{question.question}".encode()
        digest = hashlib.sha256(content).digest()
        return int.from_bytes(digest[:7], "big") / 2**56, int.from_bytes(digest[7:14], "big") / 2**56


@lru_cache(maxsize=1 << 16)
def _looks(path: Path) -> Concept | None:
    """Return what an image of a toy set shows; None for any other image."""
    for folder in path.parents[:4]:
        found = _of_folder(folder)
        if found is not None:
            return found.get(path.relative_to(folder).as_posix())
    return None


@lru_cache(maxsize=64)
def _of_folder(folder: Path) -> Mapping[str, Concept] | None:
    return drawn_looks(folder)
