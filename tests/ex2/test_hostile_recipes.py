"""Recipes that hold what no recipe can mean end in one line of bounded length, with the place named."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from paths import ROOT

from ex2.cli import main
from ex2.recipe_io import read_recipe, to_yaml
from reward.errors import UserError

DEMO = str(ROOT / "recipes/demo/visual.yaml")
NINES = "9" * 5000


def recipe(folder: Path, old: str, new: str) -> Path:
    path = folder / "x.yaml"
    text = Path(DEMO).read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return path


def bomb() -> str:
    first = "&a0 [x,x,x,x,x,x,x,x,x]"
    return f"[{first}, {', '.join(f'&a{n} [' + ','.join([f'*a{n - 1}'] * 9) + ']' for n in range(1, 9))}]"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2024-99-99", "not valid YAML: '2024-99-99' is a date in YAML; put it in quotes."),
        ("!!int abc", "not valid YAML: 'abc' is no int."),
        (bomb(), "not valid YAML: more than 200,000 values, aliases replaced."),
        ("{a: " * 1000, "not valid YAML: nested more than 40 levels deep."),
        (NINES, "not valid YAML: an integer of more than 18 digits: '999"),
        ('"\\ud800"', "not valid YAML: the character U+D800 is not allowed in a value."),
        ('"a\\0b"', "not valid YAML: the character U+0000 is not allowed in a value."),
    ],
)
@pytest.mark.parametrize("by_override", [False, True])
def test_a_value_that_cannot_be_meant(
    name: str, message: str, by_override: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same from the file and from the command line, through the command itself."""
    started = time.monotonic()
    if by_override:
        assert main(["validate", DEMO, f"name={name}"]) == 2
        where = "ex2: command line: name: line 1: "
    else:
        path = recipe(tmp_path, "\nname: demo-visual\n", f"\nname: {name}\n")
        assert main(["validate", str(path)]) == 2
        line = path.read_text().splitlines().index(f"name: {name}") + 1
        where = f"ex2: {path}: line {line}: "
    told = capsys.readouterr().err
    assert time.monotonic() - started < 2
    assert told.startswith(where + message)
    assert told.count("\n") == 1
    assert len(told) < 600


@pytest.mark.parametrize(
    "override",
    ["reward." + ".".join("a" * 50) + "=1", "reward.\x00=1", "reward.\udcff=1", "x" * 5000 + "=1", "a..b=1", "=1", "x"],
)
def test_keys_that_cannot_be_meant(override: str) -> None:
    with pytest.raises(UserError, match=r"^command line: '.*' is no setting; write section\.key=value") as caught:
        read_recipe(DEMO, [override])
    assert len(str(caught.value)) < 400


def test_a_long_value_is_shown_in_part() -> None:
    for key in ("policy.dtype", "rl.batches", "prompts.questions", "algorithm"):
        with pytest.raises(UserError) as caught:
            read_recipe(DEMO, [f"{key}={'x' * 10_000}"])
        assert len(str(caught.value)) <= 1000
        assert "characters left out" in str(caught.value)


def test_keys_of_a_mapping_are_text_as_it_stands_there() -> None:
    """`01` is 1 in YAML, and `no` is False: names of folders and classes would be others."""
    made = read_recipe(DEMO, ["reward.of={01: a, 1: b, no: c, 2024-01-02: d}"])
    assert made.reward.settings == {"of": {"01": "a", "1": "b", "no": "c", "2024-01-02": "d"}}
    assert "'01': a" in to_yaml(made)


def test_a_pipe_as_recipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "x.yaml")
    assert main(["validate", str(tmp_path / "x.yaml")]) == 2
    assert capsys.readouterr().err == (
        f"ex2: {tmp_path}/x.yaml: is a pipe or a device, which is not read; give a regular file.\n"
    )


def test_a_module_that_ends_the_program_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "module_that_exits.py").write_text("import sys; sys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["validate", DEMO, "reward={name: module_that_exits.X}"]) == 2
    note, told = capsys.readouterr().err.splitlines()
    assert note == "note: imports module_that_exits (your code)"
    assert told == (
        f"ex2: {DEMO}: reward.name: importing 'module_that_exits' at {tmp_path}/module_that_exits.py, line 1, ended "
        "the program (0); a module must be importable without effects."
    )


def test_what_argparse_repeats_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["x" * 10_000])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err) < 2000


def test_help_says_what_the_statuses_mean(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "70 of EX2 itself, 75 a judge's answers come later, 130 interrupted, 143" in " ".join(
        capsys.readouterr().out.split()
    )
