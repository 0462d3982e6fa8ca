"""`.ci/run` requires a browser where one can be had, and says so where none can."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci/run"
MAKE = '#!/bin/sh\necho "make $1, browser ${EX2_REQUIRE_BROWSER:-not required}"\n'
USER = "#!/bin/sh\necho 1000\n"
ROOT = "#!/bin/sh\necho 0\n"
INSTALLS = """#!/bin/sh
echo "apt-get $*"
case "$*" in *install*)
  printf '#!/bin/sh\\n' > "$BIN/chromium"
  chmod +x "$BIN/chromium"
esac
"""
FAILS = "#!/bin/sh\necho 'cannot resolve' >&2\nexit 100\n"
SUDO = '#!/bin/sh\nshift\nexec "$@"\n'


@pytest.mark.parametrize(
    ("programs", "required", "said"),
    [
        ({"chromium": "#!/bin/sh\n", "apt-get": FAILS, "id": ROOT}, True, ""),
        ({"apt-get": INSTALLS, "id": ROOT}, True, "install -y -qq --no-install-recommends chromium"),
        ({"apt-get": INSTALLS, "id": USER, "sudo": SUDO}, True, "install -y -qq --no-install-recommends chromium"),
        ({"apt-get": INSTALLS, "id": USER}, False, "ci: no Chromium here"),
        ({"apt-get": FAILS, "id": ROOT}, False, "ci: no Chromium here"),
        ({"id": ROOT}, False, "ci: no Chromium here"),
    ],
    ids=["there", "root", "sudo", "no sudo", "no network", "no apt"],
)
def test_the_browser(tmp_path: Path, programs: dict[str, str], required: bool, said: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in ({"make": MAKE} | programs).items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    for name in ("bash", "dirname", "env", "chmod", "sh", "timeout"):
        (folder / name).symlink_to(shutil.which(name) or "missing")
    done = subprocess.run(
        [folder / "bash", SCRIPT],
        env={"PATH": str(folder), "BIN": str(folder), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr
    state = "1" if required else "not required"
    wanted = [f"make {target}, browser {state}" for target in ("install", "check", "test", "demo")]
    assert [line for line in done.stdout.splitlines() if line.startswith("make")] == wanted


def test_a_failure_ends_it(tmp_path: Path) -> None:
    (tmp_path / "make").write_text('#!/bin/sh\necho "make $1"\n[ "$1" != check ]\n')
    (tmp_path / "make").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    stub = tmp_path / "chromium"
    stub.write_text("#!/bin/sh\n")
    stub.chmod(0o755)
    done = subprocess.run([SCRIPT], env={"PATH": path}, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout.split("\n")[:2]) == (1, ["make install", "make check"])
    assert "make test" not in done.stdout


def test_a_missing_browser_fails_where_one_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    import browser

    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("EX2_REQUIRE_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium on this machine"), browser.launched():
        pass
    monkeypatch.setenv("EX2_REQUIRE_BROWSER", "1")
    said = "EX2_REQUIRE_BROWSER=1, but there is no Chromium"
    with pytest.raises(pytest.fail.Exception, match=said), browser.launched():
        pass
