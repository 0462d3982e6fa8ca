"""A skip that nobody has written down ends the run with status 1, whatever kind of skip it is."""

from __future__ import annotations

import fnmatch
import re
import shutil
from pathlib import Path

import pytest
from paths import ROOT, SUPPORT
from processes import Ended, new_interpreter
from skip_list import read_list

LISTED = """
[[skip]]
test = "test_it.py::test_known*"
reason = "slow"
run_by = "test-slow"
only = ["ci"]
"""
KNOWN = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.skip(reason="slow")
def test_known(n): ...

def test_passes(): ...
"""
UNKNOWN = {
    "another test": '@pytest.mark.skip(reason="slow")\ndef test_new(): ...',
    "another reason": '@pytest.mark.skip(reason="broken")\ndef test_known_too(): ...',
    "in the test": 'def test_new():\n    pytest.skip("no time")',
    "in a fixture": '@pytest.fixture\ndef it():\n    pytest.skip("no time")\ndef test_new(it): ...',
    "an import in the test": 'def test_new():\n    pytest.importorskip("no_such_package")',
    "an import of the module": 'pytest.importorskip("no_such_package")',
    "expected to fail": '@pytest.mark.xfail(reason="later")\ndef test_new():\n    assert 0',
}


def run(folder: Path, text: str, *options: str) -> Ended:
    (folder / "support").mkdir()
    shutil.copy(SUPPORT / "skip_list.py", folder / "support")
    (folder / "skips.toml").write_text(LISTED)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(text)
    words = ("-m", "pytest", "-p", "skip_list", "--listed-skips", *(options or ("ci",)))
    return new_interpreter(*words, folder=folder, PYTHONPATH=str(folder / "support"))


def test_a_listed_skip_passes_and_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, KNOWN)
    assert done.returncode == 0, done.stdout
    assert "skipped: 2, 0 of them not listed" in done.stdout
    assert "  2 test_it.py::test_known: slow; make test-slow runs it\n" in done.stdout


@pytest.mark.parametrize("kind", UNKNOWN)
def test_any_other_skip_is_a_failure(kind: str, tmp_path: Path) -> None:
    done = run(tmp_path, f"{KNOWN}\n{UNKNOWN[kind]}\n")
    assert done.returncode == 1, done.stdout
    assert "1 of them not listed" in done.stdout
    assert re.search(r"NOT LISTED test_it.py(::test_\w+)?: ", done.stdout)
    assert "Let them run, or list them in skips.toml with the make target that runs them." in done.stdout


@pytest.mark.parametrize(
    "options", [("bare",), ("ci", "-k", "passes"), ("ci", "-n", "2", "-k", "passes")], ids=["bare", "chosen", "workers"]
)
def test_what_is_listed_for_another_run_or_left_out_is_a_failure(options: tuple[str, ...], tmp_path: Path) -> None:
    done = run(tmp_path, KNOWN, *options)
    assert done.returncode == 1, done.stdout
    assert "2 of them not listed" in done.stdout


def test_workers_report_their_skips(tmp_path: Path) -> None:
    done = run(tmp_path, f"{KNOWN}\n{UNKNOWN['in the test']}", "ci", "-n", "2")
    assert done.returncode == 1, done.stdout
    assert "skipped: 3, 1 of them not listed" in done.stdout


def test_a_failure_stays_one(tmp_path: Path) -> None:
    assert run(tmp_path, f"{KNOWN}\ndef test_fails():\n    assert 0\n").returncode == 1


def test_the_list_names_tests_that_there_are_and_targets_that_run_them() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for skip in read_list():
        path, _, pattern = skip.test.partition("::")
        functions = re.findall(r"^def (test_\w+)", (ROOT / path).read_text(), re.MULTILINE)
        assert fnmatch.filter(functions, pattern), f"{skip.test}: no such test"
        recipe = re.search(rf"^{skip.run_by}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        assert recipe is not None, f"{skip.run_by}: no such target"
        assert path in recipe[1] or " tests\n" in recipe[1], f"{skip.run_by} does not run {path}"
        assert ("--run-slow" in recipe[1]) == ("slow" in skip.reason or skip.only == ("slow",)), skip
