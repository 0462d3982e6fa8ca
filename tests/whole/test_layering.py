"""The one arrow: analysis → ex2 → reward."""

from __future__ import annotations

import ast
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from needs import absent
from paths import ROOT
from processes import PATIENCE, new_interpreter

FORBIDDEN = {"reward": {"ex2", "analysis"}, "ex2": {"analysis"}, "analysis": set()}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", list(FORBIDDEN))
def test_arrow(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert len(files) > 5
    wrong = {str(path): imported(path) & FORBIDDEN[package] for path in files}
    assert {path: names for path, names in wrong.items() if names} == {}


def test_only_the_command_line_names_analysis() -> None:
    naming = {path.name for path in (ROOT / "ex2").rglob("*.py") if '"analysis.' in path.read_text()}
    assert naming == {"options.py", "stages.py"}


def test_help_loads_no_torch() -> None:
    code = (
        "import sys\n"
        "from ex2.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'torch', 'transformers', 'pydantic'} & set(sys.modules), 'heavy import'\n"
    )
    result = new_interpreter("-c", code)
    assert result.returncode == 0, result.stderr
    assert "example: ex2 run recipes/demo/visual.yaml" in result.stdout


def test_every_data_file_is_installed_with_its_package() -> None:
    """An editable install finds them in any case; a wheel holds only what pyproject.toml names."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        absent("git", "this is no git checkout")
    tracked = subprocess.run(["git", "ls-files", *FORBIDDEN], cwd=ROOT, capture_output=True, text=True, check=True)
    packed = {
        str(path.relative_to(ROOT))
        for package, patterns in settings.items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    left_out = [name for name in tracked.stdout.split() if not name.endswith(".py") and name not in packed]
    assert left_out == []


def numbers_given(call: ast.Call) -> dict[str, float]:
    return {
        keyword.arg: keyword.value.value
        for keyword in call.keywords
        if keyword.arg and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, int | float)
    }


def test_no_test_gives_a_process_a_short_time() -> None:
    """A busy machine takes ten times as long: what waits for a process waits for its end (see `processes.PATIENCE`)."""
    waits = {"run", "communicate", "wait", "join", "check_output", "HTTPConnection", "urlopen", "wait_for_selector"}
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                short = name in waits and numbers_given(node).get("timeout", PATIENCE) < 900
                if short or (name in ("set_default_timeout", "set_default_navigation_timeout") and node.args):
                    found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    assert found == ["browser.py:42: page.set_default_timeout(1000 * PATIENCE)"]
