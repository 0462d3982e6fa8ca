"""The generator `code`: what is asked, what becomes of each answer, what is kept, and what is refused at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sandboxes import needs_sandbox

from ex2.data.datasets.image_sets import read_set
from ex2.data.datasets.set_records import SetRecord
from ex2.sets.authors.base import Question, Reply
from ex2.sets.draw import SetPlan, draw_set, requests_for
from ex2.sets.generators import code as code_module
from ex2.sets.generators.base import build_generator
from ex2.sets.generators.code import Code
from ex2.sets.requests import Drawn
from ex2.sets.sandbox import bubblewrap
from reward.errors import EnvironmentFault, UserError

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">'
CIRCLE = f'{HEAD}<circle cx="5" cy="5" r="4" fill="#f00"/></svg>'
SQUARE = f'{HEAD}<rect x="2" y="2" width="6" height="6" fill="#00f"/></svg>'
ANSWERS: dict[str, list[tuple[str, str]]] = {
    "red circle": [
        (f"Here:\n```svg\n{CIRCLE}\n```", "drawn"),
        ("I do not draw.", "no_code"),
        (f'```svg\n{HEAD}<image href="/x.png"/></svg>\n```', "refused"),
        (f"```svg\n{HEAD}<rect\n```", "syntax"),
        (f"```svg\n{HEAD}</svg>\n```", "blank"),
    ],
    "blue square": [
        (f"```svg\n{SQUARE}\n```", "drawn"),
        (f"```svg\n{SQUARE}\n```", "drawn"),
        (f"```svg\n{CIRCLE}\n```", "drawn"),
        ("", "no_code"),
        (SQUARE, "drawn"),
    ],
}
CLASSES = tuple(ANSWERS)


def scripted(folder: Path, answers: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
    rows = answers or {name: [text for text, _ in told] for name, told in ANSWERS.items()}
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps({"class": name, "replies": list(told)}) + "\n" for name, told in rows.items()))
    return {"name": "scripted", "file": str(path)}


def plan(generator: Any, per_class: int = 5, class_names: Sequence[str] = CLASSES) -> SetPlan:
    requests = requests_for(class_names, per_class, 0, lambda label, index: (class_names[label], ""))
    return SetPlan(name="drawings", generator=generator, class_names=tuple(class_names), requests=requests, seed=0)


def code(folder: Path, **settings: Any) -> Code:
    author = settings.pop("author", None) or scripted(folder)
    made = build_generator("code", {"language": "svg", "author": author, "size": 20, **settings})
    assert isinstance(made, Code)
    return made


def refused(folder: Path, **settings: Any) -> list[str]:
    with pytest.raises(UserError) as error:
        build_generator(
            "code", {"language": "svg", "author": settings.pop("author", None) or scripted(folder), **settings}
        )
    assert error.value.exit_code == 2
    return str(error.value).splitlines()


def test_each_answer_becomes_an_image_or_a_status(tmp_path: Path) -> None:
    needs_sandbox()
    generator = code(tmp_path)
    found = draw_set(plan(generator), tmp_path / "sets", progress=False)
    generator.close()
    statuses = {(row.label, row.index): row.status for row in found.failures}
    told = {(label, index): statuses.get((label, index), "drawn") for label in range(2) for index in range(5)}
    assert told == {
        (label, index): status for label, name in enumerate(CLASSES) for index, (_, status) in enumerate(ANSWERS[name])
    }
    assert found.record.failed == {"blank": 1, "no_code": 2, "refused": 1, "syntax": 1}
    assert found.record.sandbox == "bubblewrap"
    assert found.record.versions["resvg-py"]
    (first, second, third, fourth, last) = found.rows
    pixels = [Image.open(found.folder / row.file_name).getpixel((10, 10)) for row in found.rows]
    assert pixels == [(255, 0, 0), (0, 0, 255), (0, 0, 255), (255, 0, 0), (0, 0, 255)]
    assert (first.width, first.height) == (20, 20)
    assert first.code == hashlib.sha256(f"{CIRCLE}\n".encode()).hexdigest()
    assert found.code_of(first) == f"{CIRCLE}\n"
    assert second.code == third.code
    assert fourth.code == first.code
    assert last.code == hashlib.sha256(SQUARE.encode()).hexdigest()
    assert {row.status for row in found.failures if not row.code} == {"no_code"}
    kept = {path.name for path in (found.folder / "code").iterdir()}
    assert kept == {f"{sha}.svg" for sha in {row.code for row in (*found.rows, *found.failures)} - {""}}
    assert next(row.message for row in found.failures if row.status == "refused") == (
        "element image; reference of image to what is outside"
    )


def test_code_that_was_changed_or_lost_is_found(tmp_path: Path) -> None:
    needs_sandbox()
    found = draw_set(plan(code(tmp_path), 1), tmp_path / "sets", progress=False)
    path = next((found.folder / "code").iterdir())
    content = path.read_bytes()
    path.write_bytes(b"changed")
    with pytest.raises(UserError, match=f"{path}: its content is not what was written"):
        read_set(found.folder).check_content()
    path.rename(path.with_name("stray.svg"))
    with pytest.raises(UserError) as error:
        read_set(found.folder)
    assert f"{path.with_suffix('')}.*: not found, but a row has it" in str(error.value)
    assert "stray.svg: no row is about it" in str(error.value)
    path.with_name("stray.svg").rename(path)
    path.write_bytes(content)
    read_set(found.folder).check_content()


class Recorder:
    """An author that keeps what it is asked."""

    settings: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def fingerprint(self) -> str:
        return "recorder"

    def write(self, questions: Sequence[Question]) -> list[Reply]:
        self.asked += questions
        return [Reply(CIRCLE, truncated=True) for _ in questions]


def test_the_question_is_the_papers_with_examples_before_it(tmp_path: Path) -> None:
    needs_sandbox()
    generator = code(tmp_path, shots=2)
    generator.author = author = Recorder()
    (answer,) = generator.draw(plan(generator, 1, ["red circle"]).requests)
    generator.close()
    assert isinstance(answer, Drawn)
    assert answer.truncated
    (question,) = author.asked
    assert question.text == 'write code in the programming language "SVG" that draws a red circle'
    assert [asked for asked, _ in question.examples] == [
        'write code in the programming language "SVG" that draws a red balloon',
        'write code in the programming language "SVG" that draws a house with a door',
    ]
    assert all(told.startswith("```svg\n<svg") and told.endswith("</svg>\n```") for _, told in question.examples)
    assert question.opening == "```svg\n"
    titles = {"matplotlib": "python-matplotlib", "turtle": "python-turtle", "tikz": "TikZ"}
    for language, title in titles.items():
        made = code(tmp_path, language=language)
        assert f'language "{title}" that' in made.question(plan(made, 1).requests[0]).text


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "refused"])
def test_without_a_sandbox_nothing_is_asked(missing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = code(tmp_path)
    generator.author = author = Recorder()
    bubblewrap.check.cache_clear()
    empty = tmp_path / "bin"
    empty.mkdir()
    if not missing:
        (empty / "bwrap").write_text("#!/bin/sh\necho 'bwrap: no namespaces' >&2\nexit 1\n")
        (empty / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(empty))
    for draw in (
        lambda: generator.draw(plan(generator, 1).requests),
        lambda: draw_set(plan(generator, 1), tmp_path / "sets", progress=False),
    ):
        with pytest.raises(EnvironmentFault, match="sandbox: bubblewrap") as error:
            draw()
        assert error.value.exit_code == 1
    bubblewrap.check.cache_clear()
    assert author.asked == []
    assert not list((tmp_path / "sets").rglob("*.png"))


def test_no_sandbox_is_said_and_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    monkeypatch.setattr(code_module, "tell_once", said.append)
    generator = code(tmp_path, sandbox="none")
    found = draw_set(plan(generator, 1), tmp_path / "sets", progress=False)
    generator.close()
    assert found.record.sandbox == "none"
    assert found.record.generator_settings["sandbox"] == "none"
    assert said[0].startswith("note: sandbox: none: code that a model wrote is run on this machine with your rights")
    from ex2.sets.command import print_sets

    print_sets([found])
    assert "2 of 2 images, from code run without a sandbox" in capsys.readouterr().out
    inside: SetRecord = plan(code(tmp_path), 1).record()
    assert inside.sandbox == "bubblewrap"
    assert inside.digest != found.record.digest, "another set than the one of the sandbox"


def test_bad_settings_are_told_all_at_once(tmp_path: Path) -> None:
    assert refused(tmp_path, language="sgv", author={"name": "scriptd"}, size=4096, seconds=0, memory=1, shots=-1) == [
        "generator.size: given 4096; give from 16 to 2,048 pixels.",
        "generator.seconds: given 0; give from 0.1 to 600.0 seconds.",
        "generator.memory: given 1; give from 512 to 65,536 MiB.",
        "generator.shots: given -1; give 0 or more.",
        "generator.language: unknown 'sgv'. Did you mean 'svg'? Available: matplotlib, svg, tikz, turtle.",
        "generator.author: unknown 'scriptd'. Did you mean 'scripted'? Available: local, scripted. Or give the dotted "
        "path of your own.",
    ]
    assert refused(tmp_path, author={"file": "x"}) == [
        "generator.author: 'name' is missing; say who writes, such as local or scripted."
    ]
    assert refused(tmp_path, shots=9) == [
        "generator.shots: given 9, and EX2 has 4 examples in 'svg'; give fewer, or a file of examples."
    ]
    assert refused(tmp_path, sandbox="no") == [
        "generator.sandbox: unknown 'no'. Did you mean 'none'? Available: bubblewrap, none."
    ]
    local = {"name": "local", "model": "x", "max_new_tokens": 0, "temperature": -1, "top_p": 0}
    assert [line.partition(";")[0] for line in refused(tmp_path, author=local)] == [
        "generator.author.max_new_tokens: given 0",
        "generator.author.temperature: given -1",
        "generator.author.top_p: given 0",
    ]


def test_an_example_among_the_tested_is_an_error(tmp_path: Path) -> None:
    answers = {"Red Balloon": [CIRCLE], "cat": [CIRCLE]}
    generator = code(tmp_path, author=scripted(tmp_path, answers), shots=1)
    with pytest.raises(UserError) as error:
        draw_set(plan(generator, 1, [*answers]), tmp_path / "sets", progress=False)
    assert str(error.value) == (
        "generator.shots: the example 'red balloon' is among what is to be drawn, and would be copied; give fewer "
        "shots, or other examples."
    )
    assert generator.request_problems(plan(generator, 1, ["cat"]).requests) == []
    own = tmp_path / "examples.jsonl"
    own.write_text(json.dumps({"concept": "a cat", "code": CIRCLE}) + "\n")
    made = code(tmp_path, author=scripted(tmp_path, answers), shots=1, examples=str(own))
    assert [line.partition(" is among")[0] for line in made.request_problems(plan(made, 1, ["cat"]).requests)] == [
        "generator.shots: the example 'a cat'"
    ]


def test_a_scripted_file_without_a_class_or_with_too_few_replies(tmp_path: Path) -> None:
    generator = code(tmp_path, author=scripted(tmp_path, {"cat": [CIRCLE]}))
    file = tmp_path / "answers.jsonl"
    assert generator.request_problems(plan(generator, 2, ["cat", "dog"]).requests) == [
        f"generator.author.file: '{file}' has 1 replies for class 'cat', and 2 images of it are asked for; add "
        "replies, or ask for fewer.",
        f"generator.author.file: '{file}' has no line of class 'dog'; add it.",
    ]
    assert refused(tmp_path, author={"name": "scripted", "file": "none.jsonl"}) == [
        "generator.author.file: no file 'none.jsonl'. Give one of lines with a class and its replies."
    ]
    row = '{"class": "cat", "replies": []}'
    file.write_text(f'{{"class": "cat"}}\n\nno\n{row}\n{row}')
    said = [line.partition(" (")[0] for line in refused(tmp_path, author={"name": "scripted", "file": str(file)})]
    assert said == [
        f"{file}: line 1: no line of replies",
        f"{file}: line 3: not JSON",
        f"{file}: line 5: a second line of replies for 'cat'; delete one.",
    ]


def test_a_missing_renderer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ex2.sets.sandbox.languages.tikz.shutil.which", lambda name: None)
    generator = code(tmp_path, language="tikz", sandbox="none")
    with pytest.raises(UserError) as error:
        generator.check_machine()
    hint = "on Debian: apt-get install texlive-latex-base texlive-pictures poppler-utils"
    assert str(error.value).splitlines() == [
        f"generator.language: 'tikz' needs {name}, which is not installed; {hint}" for name in ("pdflatex", "pdftoppm")
    ]


def test_what_decides_a_set(tmp_path: Path) -> None:
    plain = code(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    assert code(other).fingerprint() == plain.fingerprint(), "it is the file's content that counts"
    assert code(other).settings == plain.settings
    assert code(tmp_path, shots=1).fingerprint() != plain.fingerprint()
    assert code(other, author=scripted(other, {"x": ["y"]})).fingerprint() != plain.fingerprint()


def test_each_language_has_examples_that_are_drawn() -> None:
    needs_sandbox()
    from ex2.sets.authors.examples import shipped_examples
    from ex2.sets.sandbox.inside.jobs import Job
    from ex2.sets.sandbox.languages.base import LANGUAGES, language_named
    from ex2.sets.sandbox.worker import Worker

    for name in LANGUAGES:
        language = language_named(name)
        examples = shipped_examples(name)
        assert len({example.concept for example in examples}) == 4
        assert [language.policy(example.code) for example in examples] == [[]] * 4
        if name == "tikz" and language.problems():
            continue
        with Worker(language) as worker:
            for example in examples:
                outcome = worker.run(Job(example.code, 64, 0, 60.0, 1 << 30))
                assert outcome.status == "drawn", (name, example.concept, outcome)


class Once:
    """An author whose server is gone after some answers; it is the same author again after that."""

    settings: Mapping[str, Any] = {}

    def __init__(self, answers: int) -> None:
        self.left = answers

    def fingerprint(self) -> str:
        return "once"

    def write(self, questions: Sequence[Question]) -> list[Reply]:
        if self.left < len(questions):
            raise EnvironmentFault("server: gone")
        self.left -= len(questions)
        return [Reply(ANSWERS[one.request.class_name][one.request.index][0]) for one in questions]


def test_a_set_that_is_gone_on_with_has_the_same_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_sandbox()
    monkeypatch.setattr(code_module.Code, "batch_size", 2, raising=False)
    generator = code(tmp_path)
    generator.author = Once(100)
    whole = draw_set(plan(generator), tmp_path / "whole", progress=False)
    generator.author = Once(5)
    with pytest.raises(EnvironmentFault, match="server: gone"):
        draw_set(plan(generator), tmp_path / "sets", progress=False)
    (folder,) = (tmp_path / "sets").glob("*/seed-0")
    (folder / "code" / f"{'0' * 64}.svg").write_text("of a row that was never written")
    generator.author = Once(100)
    found = draw_set(plan(generator), tmp_path / "sets", progress=False)
    generator.close()
    found.check_content()
    there, wanted = ({path.name for path in (one.folder / "code").iterdir()} for one in (found, whole))
    assert there == wanted
    told = [[(row.label, row.index, row.code, row.pixels) for row in one.rows] for one in (found, whole)]
    assert told[0] == told[1]
