"""The one arrow: analysis → ex2 → reward."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from pathlib import Path

import pytest
from needs import absent
from processes import ROOT, new_interpreter

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


def test_only_the_command_line_and_validate_name_analysis() -> None:
    naming = {path.name for path in (ROOT / "ex2").rglob("*.py") if '"analysis.' in path.read_text()}
    assert naming == {"cli.py", "validate.py"}


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
    tracked = subprocess.run(["git", "ls-files", *FORBIDDEN], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        absent("git", "this is no git checkout")
    packed = {
        str(path.relative_to(ROOT))
        for package, patterns in settings.items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    left_out = [name for name in tracked.stdout.split() if not name.endswith(".py") and name not in packed]
    assert left_out == []
