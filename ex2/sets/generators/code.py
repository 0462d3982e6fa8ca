"""The generator `code`: a language model writes a program that draws, and a sandbox runs it.

What a model writes is taken for hostile. Without a sandbox nothing is asked of a model at all, unless the recipe says
`sandbox: none`, which is said aloud and stays with the set.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ex2.runtime import tell_once
from ex2.sets.authors.base import Author, Question, Reply, build_author
from ex2.sets.authors.examples import Example, read_examples, shipped_examples
from ex2.sets.requests import Drawn, DrawRequest, Failure, Program
from ex2.sets.sandbox.bubblewrap import Kind, check
from ex2.sets.sandbox.inside.jobs import MOST_PIXELS, Job
from ex2.sets.sandbox.languages.base import Language, language_named
from ex2.sets.sandbox.replies import code_in
from ex2.sets.sandbox.worker import Worker
from reward.errors import UserError, shown

VERSION = 1
"""Of what is asked, how code is found and how it is drawn: to be raised with every change of it."""
PROMPT = 'write code in the programming language "{language}" that draws a {concept}'
"""Source: Sharma, Rott Shaham, Baradad, Fu, Rodriguez-Munoz, Duggal, Isola and Torralba, "A Vision Check-up for
Language Models" (2024), section 4.1."""
SIZES = (16, MOST_PIXELS)
SECONDS = (0.1, 600.0)
MEMORY = (512, 1 << 16)


class Code:
    """Asks an author for a program that draws each request's prompt, and runs it.

    A drawing is scaled so that its longer side fills the image; what is left of the square is white. Each image is of
    one answer: a program that fails is not written again.

    Args:
        language: `svg`, `matplotlib`, `turtle` or `tikz`.
        author: Who writes: `name` and settings, as the table of authors has them.
        shots: Worked examples before each question.
        examples: File of lines `{"concept": …, "code": …}` to take them from, in order. Default: EX2's own.
        sandbox: `none` runs programs with the rights of this user, on this machine, without any boundary.
        size: Width and height of an image, pixels.
        seconds: Wall clock that a program may take.
        memory: Memory that a program may take, MiB of address space.

    Raises:
        UserError: If a setting is unknown or out of range, or an author or file cannot be used; every problem at once.
    """

    name = "code"

    def __init__(
        self,
        language: str,
        author: Mapping[str, Any],
        shots: int = 0,
        examples: str | None = None,
        sandbox: Kind = "bubblewrap",
        size: int = 256,
        seconds: float = 10.0,
        memory: int = 1024,
    ) -> None:
        problems = [
            *_out_of("size", size, SIZES, "pixels"),
            *_out_of("seconds", seconds, SECONDS, "seconds"),
            *_out_of("memory", memory, MEMORY, "MiB"),
            *([f"generator.shots: given {shown(shots)}; give 0 or more."] if shots < 0 else []),
        ]
        found: Language | None = None
        writer: Author | None = None
        named: Sequence[Example] = ()
        try:
            found = language_named(language)
            named = shipped_examples(found.name) if examples is None else read_examples(examples)
        except UserError as error:
            problems += str(error).splitlines()
        try:
            settings = {key: value for key, value in author.items() if key != "name"}
            if "name" not in author:
                raise UserError("generator.author: 'name' is missing; say who writes, such as local or scripted.")
            writer = build_author(str(author["name"]), settings)
        except UserError as error:
            problems += str(error).splitlines()
        if found is not None and shots > len(named):
            where = "EX2 has" if examples is None else f"'{examples}' has"
            problems.append(
                f"generator.shots: given {shots}, and {where} {len(named)} examples in '{found.name}'; give fewer, or "
                "a file of examples."
            )
        if problems or found is None or writer is None:
            raise UserError("\n".join(problems))
        self.language, self.author = found, writer
        self._author_name = str(author["name"])
        self.shots = tuple(named[:shots])
        self.sandbox, self.size, self.seconds, self.memory = sandbox, size, float(seconds), memory
        self.offline = getattr(writer, "offline", True)
        self._worker: Worker | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """All settings, those that were left to their defaults too."""
        return {
            "language": self.language.name,
            "author": {"name": self._author_name, **self.author.settings},
            "shots": [example.concept for example in self.shots],
            "sandbox": self.sandbox,
            "size": self.size,
            "seconds": self.seconds,
            "memory": self.memory,
        }

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the packages that draw."""
        return self.language.versions()

    def fingerprint(self) -> str:
        """Return a hash of the author, of the question and its examples, and of the version of what is done."""
        shots = [[example.concept, example.code] for example in self.shots]
        content = json.dumps([VERSION, PROMPT, shots, self.author.fingerprint()])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def check_machine(self) -> None:
        """Check that there is a sandbox, and what renders the language; where none is wanted, say so aloud.

        Raises:
            UserError: If the renderer is not installed; a line for each part of it.
            EnvironmentFault: If there is no sandbox here, and the recipe does not say that none is wanted.
        """
        if self.sandbox == "bubblewrap":
            check()
        else:
            tell_once(
                "note: sandbox: none: code that a model wrote is run on this machine with your rights, as the recipe "
                "says; it can read, write, delete and send whatever you can."
            )
        problems = self.language.problems()
        if problems:
            raise UserError("\n".join(problems))

    def request_problems(self, requests: Sequence[DrawRequest]) -> list[str]:
        """Return a line for each example that is among what is drawn, and what the author cannot answer."""
        tested = {_plain(text) for request in requests for text in (request.class_name, request.prompt)}
        problems = [
            f"generator.shots: the example '{example.concept}' is among what is to be drawn, and would be copied; give "
            "fewer shots, or other examples."
            for example in self.shots
            if _plain(example.concept) in tested
        ]
        ask = getattr(self.author, "problems", None)
        return problems + ([] if ask is None else list(ask(requests)))

    def draw(self, requests: Sequence[DrawRequest]) -> list[Drawn | Failure]:
        """Ask for each request's program, and run it.

        Raises:
            UserError: If something is not installed, an example is among what is drawn, or the author has no answer.
            EnvironmentFault: If there is no sandbox; then nothing has been asked of the author.
        """
        self.check_machine()
        problems = self.request_problems(requests)
        if problems:
            raise UserError("\n".join(problems))
        replies = self.author.write([self.question(request) for request in requests])
        if len(replies) != len(requests):
            raise UserError(f"author '{self._author_name}': {len(replies)} answers to {len(requests)} questions.")
        return [self._answer(request, reply) for request, reply in zip(requests, replies, strict=True)]

    def question(self, request: DrawRequest) -> Question:
        """Return what the author is asked for a request."""
        opening = f"```{self.language.tags[0]}\n"
        examples = tuple(
            (self._asked(example.concept), f"{opening}{example.code.rstrip()}\n```") for example in self.shots
        )
        return Question(request, self._asked(request.prompt), examples, opening)

    def close(self) -> None:
        """End the worker; the next drawing starts another one."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _asked(self, concept: str) -> str:
        return PROMPT.replace("{language}", self.language.title).replace("{concept}", concept)

    def _answer(self, request: DrawRequest, reply: Reply) -> Drawn | Failure:
        code = code_in(reply.text, self.language)
        if not code.strip():
            return Failure("no_code", f"no code in {shown(reply.text)}", reply.seconds)
        program = Program(code, self.language.extension)
        reasons = self.language.policy(code)
        if reasons:
            return Failure("refused", "; ".join(reasons), reply.seconds, program)
        if self._worker is None:
            self._worker = Worker(self.language, self.sandbox)
        job = Job(code, self.size, request.seed, self.seconds, self.memory << 20)
        outcome = self._worker.run(job)
        seconds = reply.seconds + outcome.seconds
        if outcome.status != "drawn":
            return Failure(outcome.status, outcome.message, seconds, program)
        assert outcome.image is not None
        return Drawn(outcome.image, seconds, truncated=reply.truncated, code=program)


def _out_of(key: str, value: float, limits: tuple[float, float], unit: str) -> list[str]:
    low, high = limits
    if math.isfinite(value) and low <= value <= high:
        return []
    return [f"generator.{key}: given {shown(value)}; give from {low:,} to {high:,} {unit}."]


def _plain(text: str) -> str:
    """Return what is drawn without the article and the case in which it is named."""
    words = text.casefold().split()
    return " ".join(words[1:] if words[:1] in (["a"], ["an"], ["the"]) else words)
