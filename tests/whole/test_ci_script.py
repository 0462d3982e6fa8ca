"""`.ci/run` installs a browser or fails, runs every step with what it requires, and holds steps to their budgets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import browser
import pytest
from paths import ROOT
from processes import PATIENCE

MAKE = """#!/bin/sh
echo "make $*, requires ${EX2_REQUIRE:-nothing}"
[ "$1" != "$FAILS" ]
"""
STEPS = [
    "make install, requires nothing",
    "make check, requires nothing",
    "make test TEST_OPTIONS=--listed-skips ci, requires browser,dpkg,git,mount,namespaces,sandbox",
    "make test-bare, requires nothing",
    "make demo, requires nothing",
]
USER, ROOT_USER = "#!/bin/sh\necho 1000\n", "#!/bin/sh\necho 0\n"
INSTALLS = """#!/bin/sh
echo "apt-get $*"
case "$*" in
  *install*chromium) made=chromium ;;
  *install*bubblewrap) made=bwrap ;;
  *) exit 0 ;;
esac
printf '#!/bin/sh\\n' > "$BIN/$made"
chmod +x "$BIN/$made"
"""
FAILS = "#!/bin/sh\necho 'cannot resolve' >&2\nexit 100\n"
SUDO = '#!/bin/sh\nshift\nexec "$@"\n'
THERE = {"chromium": "#!/bin/sh\n", "bwrap": "#!/bin/sh\n"}


def ci(
    folder: Path, programs: dict[str, str], *, budgets: str = "total 100\n", pace: str = "1.00", fails: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a copy of the script in a checkout whose make only says what it was asked for."""
    bin_folder = folder / "bin"
    for path in (bin_folder, folder / "checkout/.ci", folder / "checkout/.venv/bin"):
        path.mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", folder / "checkout/.ci/run")
    (folder / "checkout/.ci/budgets").write_text(budgets)
    python = folder / "checkout/.venv/bin/python"
    written = {python: f"#!/bin/sh\necho {pace}\n"}
    written |= {bin_folder / name: text for name, text in ({"make": MAKE} | programs).items()}
    for path, text in written.items():
        path.write_text(text)
        path.chmod(0o755)
    for name in ("bash", "dirname", "env", "chmod", "sh", "timeout", "awk"):
        (bin_folder / name).symlink_to(shutil.which(name) or "missing")
    return subprocess.run(
        [bin_folder / "bash", folder / "checkout/.ci/run"],
        env={"PATH": str(bin_folder), "BIN": str(bin_folder), "HOME": os.environ.get("HOME", "/"), "FAILS": fails},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def steps(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stdout.splitlines() if line.startswith("make")]


@pytest.mark.parametrize(
    ("programs", "said"),
    [
        (THERE | {"apt-get": FAILS, "id": ROOT_USER}, ""),
        ({"apt-get": INSTALLS, "id": ROOT_USER}, "install -y -qq --no-install-recommends chromium"),
        ({"apt-get": INSTALLS, "id": USER, "sudo": SUDO}, "install -y -qq --no-install-recommends chromium"),
    ],
    ids=["there", "root", "sudo"],
)
def test_all_steps_run_where_there_are_a_browser_and_a_sandbox(
    tmp_path: Path, programs: dict[str, str], said: str
) -> None:
    done = ci(tmp_path, programs)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert ("recommends bubblewrap" in done.stdout) == bool(said)
    assert steps(done) == STEPS


@pytest.mark.parametrize(
    "programs",
    [{"apt-get": INSTALLS, "id": USER}, {"apt-get": FAILS, "id": ROOT_USER}, {"id": ROOT_USER}],
    ids=["no sudo", "no network", "no apt"],
)
def test_without_a_browser_nothing_passes(tmp_path: Path, programs: dict[str, str]) -> None:
    done = ci(tmp_path, programs)
    assert done.returncode == 1
    assert "ci: no Chromium here and none to be had from apt" in done.stderr
    assert steps(done) == []


def test_without_a_sandbox_nothing_passes(tmp_path: Path) -> None:
    done = ci(tmp_path, {"chromium": "#!/bin/sh\n", "apt-get": FAILS, "id": ROOT_USER})
    assert done.returncode == 1
    assert "ci: no bubblewrap here and none to be had from apt" in done.stderr
    assert steps(done) == []


@pytest.mark.parametrize("step", ["install", "check", "test", "test-bare", "demo"])
def test_a_failure_ends_it(tmp_path: Path, step: str) -> None:
    done = ci(tmp_path, THERE, fails=step)
    assert done.returncode == 1
    assert steps(done)[-1].startswith(f"make {step}")
    assert "times" not in done.stdout


def test_a_step_over_its_budget_is_a_failure_after_all_have_run(tmp_path: Path) -> None:
    make = MAKE.replace("[", '[ "$1" != test ] || /bin/sleep 2\n[', 1)
    budgets = "# seconds\ntest 1\ntest-bare 500\n"
    over = ci(tmp_path / "over", THERE | {"make": make}, budgets=budgets)
    assert over.returncode == 1
    assert steps(over) == STEPS
    assert re.search(r"ci: over its budget: test: \d+ s of 1\n", over.stderr)
    assert re.search(r"  test-bare: \d+ s of 500\n", over.stdout)
    stretched = ci(tmp_path / "stretched", THERE | {"make": make}, budgets=budgets, pace="150.50")
    assert stretched.returncode == 0, stretched.stderr
    assert "on a machine 150.50 times slower than the reference" in stretched.stdout
    assert re.search(r"  test: \d+ s of 150\n", stretched.stdout)


def test_the_budgets_are_those_of_steps_that_there_are() -> None:
    rows = [line.split() for line in (ROOT / ".ci/budgets").read_text().splitlines() if not line.startswith("#")]
    budgets = {step: int(seconds) for step, seconds in rows}
    assert budgets == {"test": 420, "test-bare": 420, "total": 2700}
    script = (ROOT / ".ci/run").read_text()
    assert all(f"step {step} " in script or f"note {step} " in script for step in budgets)


def test_a_missing_browser_fails_where_one_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("EX2_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium on this machine"), browser.launched():
        pass
    monkeypatch.setenv("EX2_REQUIRE", "git,browser")
    said = "EX2_REQUIRE=browser, but there is no Chromium"
    with pytest.raises(pytest.fail.Exception, match=said), browser.launched():
        pass
