"""What a recipe names by a dotted path is the user's code: told before it is imported, and its faults are named."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reward.components import build, check_component
from reward.errors import UserError
from reward.table import REWARDS

OWN = """
class Reward:
    def __call__(self, completions, **columns):
        return [1.0 for _ in completions]
class Empty: ...
def make(): return Reward()
def make_nothing(): return {}
class Odd:
    def __init__(self, x: "nothing.like[this"): ...
    def __call__(self): ...
number = 3
"""

STDLIB = "is of Python's own library, which has no reward; name your own class."
NAMED = "; a reward is named by its class, or by a function that makes it."


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("reward.exits._foreign", set())
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("builtins.dict", f"reward.name: 'builtins.dict' {STDLIB}"),
        ("os.system", f"reward.name: 'os.system' {STDLIB}"),
        ("math.pi", f"reward.name: 'math.pi' {STDLIB}"),
        ("subprocess:run", f"reward.name: 'subprocess:run' {STDLIB}"),
        (".foo.bar", "reward.name: given '.foo.bar'; a dotted path has names between its dots, as my_pkg.MyClass."),
        ("a..b", "reward.name: given 'a..b'; a dotted path has names between its dots, as my_pkg.MyClass."),
        ("a.", "reward.name: given 'a.'; a dotted path has names between its dots, as my_pkg.MyClass."),
        ("../x.py", "reward.name: given '../x.py'; a dotted path has names between its dots, as my_pkg.MyClass."),
        ("a.b\0c", "reward.name: given 'a.b\\x00c'; a dotted path has names between its dots, as my_pkg.MyClass."),
        ("own_parts.number", f"reward.name: 'own_parts.number' is an int{NAMED}"),
        ("own_parts.Empty", "reward.name: 'own_parts.Empty' is no reward: it lacks __call__."),
        ("numpy.pi", f"reward.name: 'numpy.pi' is a float{NAMED}"),
        ("numpy.array", f"reward.name: 'numpy.array' is a builtin_function_or_method{NAMED}"),
        ("torch.Generator", "reward.name: 'torch.Generator' is no reward: it lacks __call__."),
        ("own_parts.nothing", "reward.name: module 'own_parts' has no 'nothing'."),
    ],
)  # fmt: skip
def test_what_is_no_component_is_refused(name: str, message: str, folder: Path) -> None:
    (folder / "own_parts.py").write_text(OWN)
    with pytest.raises(UserError) as caught:
        check_component(name, {}, REWARDS, "reward")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("x = 1\nraise RuntimeError('no\\nway')", "line 2, failed (RuntimeError: no way)"),
        ("import sys\nsys.exit(0)", "line 2, ended the program (0)"),
        ("raise SystemExit", "line 1, ended the program ()"),
        ("x = (\n", "line 1, failed (SyntaxError: '(' was never closed)"),
        ("import json\njson.nothing", "line 2, failed (AttributeError: module 'json' has no attribute 'nothing')"),
        ("from json import nothing", "line 1, failed (ImportError: cannot import name 'nothing' from 'json'"),
        ("raise ValueError('x' * 5000)", "characters left out"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_the_line(
    code: str, what: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`sys.exit(0)` in it is no success."""
    module = "own_broken_" + re.sub(r"\W", "_", what[:24])
    (folder / f"{module}.py").write_text(code)
    with pytest.raises(UserError) as caught:
        check_component(f"{module}.X", {}, REWARDS, "reward")
    message = str(caught.value)
    assert message.startswith(f"reward.name: importing '{module}' at {folder}/{module}.py, line ")
    assert what in message
    assert "\n" not in message
    assert len(message) < 1000
    assert capsys.readouterr().err.count(f"note: imports {module} (your code)\n") == 1


def test_what_is_a_component_is_built(folder: Path) -> None:
    (folder / "own_parts.py").write_text(OWN)
    for name in ("own_parts.Reward", "own_parts.make"):
        assert build(name, {}, REWARDS, "reward")(["a", "b"]) == [1.0, 1.0]
    assert check_component("own_parts.Odd", {"x": 1}, REWARDS, "reward") == []  # its annotation is nobody's to read


def test_a_function_that_makes_something_else_is_named(folder: Path) -> None:
    (folder / "own_parts.py").write_text(OWN)
    with pytest.raises(UserError, match=r"^reward: 'own_parts.make_nothing' makes no reward: a dict lacks __call__\.$"):
        build("own_parts.make_nothing", {}, REWARDS, "reward")


def test_nothing_of_the_standard_library_is_called(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(UserError):
        build("os.system", {"command": "touch called"}, REWARDS, "reward")
    assert not (folder / "called").exists()
