"""A set of drawings by code as it is typed: drawn, checked, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from sandboxes import needs_sandbox

from ex2.cli import main
from ex2.data.datasets.image_sets import read_set
from ex2.data.demo.world import CONCEPTS
from ex2.runtime import tell_once
from ex2.sets.sandbox import bubblewrap

SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"><rect width="2" height="4" fill="#00f"/></svg>'


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `code.yaml`: a scripted drawing of each of the demo world's classes, in a blue of its own."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"class": concept.name, "replies": [SQUARE.replace("#00f", f"#0000{255 - 16 * label:02x}")]}
        for label, concept in enumerate(CONCEPTS)
    ]
    Path("answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    author = {"name": "scripted", "file": "answers.jsonl"}
    generator = {"name": "code", "language": "svg", "author": author, "size": 32}
    tree = {
        "name": "x",
        "vlm": {"name": "demo-visual"},
        "dataset": {"name": "shapes", "reward_split": "reward", "test_split": "test"},
        "images": {"seeds": [0], "per_class": 1, "sets": {"code": {"generator": generator}}},
    }
    Path("code.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return tmp_path


def ended(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, list[str]]:
    status = main(words)
    told = capsys.readouterr()
    return status, told.out, told.err.splitlines()


def without_bubblewrap(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "check", bubblewrap.check.__wrapped__)
    monkeypatch.setattr("ex2.sets.generators.code.check", bubblewrap.check)
    monkeypatch.setenv("PATH", str(folder))


def test_drawn_and_read_back(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs_sandbox()
    status, out, _ = ended(capsys, "draw", "code.yaml")
    (folder,) = Path("sets").glob("code-*/seed-0")
    assert (status, out) == (0, f"code, seed 0: 16 of 16 images: {folder}\n")
    found = read_set(folder)
    assert found.record.sandbox == "bubblewrap"
    with Image.open(folder / found.rows[0].file_name) as image:
        assert [image.getpixel(place) for place in ((5, 5), (25, 5))] == [(0, 0, 255), (255, 255, 255)]
    assert len(list((folder / "code").iterdir())) == 16


def test_a_finished_set_needs_no_sandbox(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_sandbox()
    assert main(["draw", "code.yaml"]) == 0
    without_bubblewrap(work, monkeypatch)
    capsys.readouterr()
    for verb in ("draw", "validate"):
        status, _, err = ended(capsys, verb, "code.yaml")
        assert (status, err) == (0, []), verb


def test_without_a_sandbox_all_verbs_say_so(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_bubblewrap(work, monkeypatch)
    tell_once.cache_clear()
    for verb in ("validate", "draw"):
        status, _, err = ended(capsys, verb, "code.yaml")
        assert status == 1, verb
        assert len(err) == 1
        assert err[0].startswith("ex2: code.yaml: sandbox: bubblewrap is not installed, and code that a model wrote")
    assert not Path("sets").exists()
    status, out, err = ended(capsys, "draw", "code.yaml", "images.sets.code.generator.sandbox=none")
    assert status == 0
    assert "16 of 16 images, from code run without a sandbox:" in out
    caution = "careful: Code that a model wrote drew code without a sandbox, with the rights of who ran it."
    words = ["images.sets.code.generator.sandbox=none", "measure.permutations=99", "measure.bootstrap_samples=100"]
    status, out, _ = ended(capsys, "measure", "code.yaml", *words, "measure.metrics=[cler]")
    assert status == 0
    assert caution in out
    assert err[0].startswith("note: sandbox: none: code that a model wrote is run on this machine with your rights")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["language=sgv"], ["unknown 'sgv'. Did you mean 'svg'? Available: matplotlib, svg, tikz, turtle."]),
        (["size=4096"], ["given 4096; give from 16 to 2,048 pixels."]),
        (["author.file=none.jsonl"], ["no file 'none.jsonl'. Give one of lines with a class and its replies."]),
        (["author={name: scriptd}"], ["unknown 'scriptd'. Did you mean 'scripted'? Available: local, scripted."]),
        (["shots=5"], ["given 5, and EX2 has 4 examples in 'svg'; give fewer, or a file of examples."]),
        (["size=1", "shots=-1"], ["given 1; give from 16 to 2,048 pixels.", "given -1; give 0 or more."]),
        (["author={}"], ["'name' is missing; say who writes, such as local or scripted."]),
    ],
)
def test_bad_settings(words: list[str], said: list[str], work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = [f"images.sets.code.generator.{word}" for word in words]
    for verb in ("validate", "draw"):
        status, _, err = ended(capsys, verb, "code.yaml", *changes)
        assert status == 2
        assert len(err) == len(said)
        for line, end in zip(err, said, strict=True):
            assert line.startswith("ex2: code.yaml: images.sets.code.generator.")
            assert end in line
    assert not Path("sets").exists()


def test_an_example_among_the_tested_a_class_without_a_line_and_no_renderer(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own, name = work / "own.jsonl", CONCEPTS[0].name
    own.write_text(json.dumps({"concept": name, "code": SQUARE}))
    lines = Path("answers.jsonl").read_text().splitlines()
    Path("answers.jsonl").write_text("\n".join(lines[1:]))
    words = ["shots=1", f"examples={own}"]
    status, _, err = ended(capsys, "validate", "code.yaml", *(f"images.sets.code.generator.{word}" for word in words))
    starts = [line.partition(";")[0] for line in err]
    assert (status, starts) == (
        2,
        [
            f"ex2: code.yaml: images.sets.code.generator.shots: the example '{name}' is among what is to be drawn, and "
            "would be copied",
            f"ex2: code.yaml: images.sets.code.generator.author.file: 'answers.jsonl' has no line of class '{name}'",
        ],
    )
    Path("answers.jsonl").write_text("\n".join(lines))
    monkeypatch.setattr("ex2.sets.generators.code.check", lambda: None)
    monkeypatch.setattr("ex2.sets.sandbox.languages.tikz.shutil.which", lambda name: None)
    status, _, err = ended(capsys, "validate", "code.yaml", "images.sets.code.generator.language=tikz")
    assert (status, [line.partition(",")[0] for line in err]) == (
        2,
        [
            f"ex2: code.yaml: images.sets.code.generator.language: 'tikz' needs {program}"
            for program in ("pdflatex", "pdftoppm")
        ],
    )


def test_the_form_alone_imports_no_renderer(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = ended(capsys, "validate", "code.yaml", "--recipe-only", "name=y")
    assert (status, err) == (0, [])
    stored: Any = yaml.safe_load(out)["images"]["sets"]["code"]["generator"]
    assert stored["author"] == {"name": "scripted", "file": "answers.jsonl"}
