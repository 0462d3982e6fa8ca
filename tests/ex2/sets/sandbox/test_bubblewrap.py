"""The namespaces alone, without the filter of system calls; and what is said where there are none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from canary import Canary, canary, sleepers, wait_until
from processes import PATIENCE
from sandboxes import needs_sandbox

from ex2.sets.sandbox import bubblewrap
from ex2.sets.sandbox.bubblewrap import Surroundings, command, package_views
from ex2.sets.sandbox.inside.jobs import Setup
from ex2.sets.sandbox.languages.base import language_named
from reward.errors import EnvironmentFault

SETUP = Setup("turtle_program", filtered=False, writes=True)


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[Canary]:
    with canary(tmp_path / "bait") as made:
        yield made


def words_for(code: str) -> list[str]:
    """The sandbox around a program in place of the server: no filter, no limits, only what bubblewrap does."""
    needs_sandbox()
    words, environment = command(SETUP, language_named("turtle").around(), "bubblewrap")
    assert environment == {}
    return [*words[: words.index("-m")], "-c", code]


def inside(code: str) -> str:
    done = subprocess.run(
        words_for(code), capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LINKS = ("lib", "lib32", "lib64", "libx32", "bin")
VARIABLES = (
    "HOME LC_ALL LD_LIBRARY_PATH MPLCONFIGDIR OMP_NUM_THREADS OPENBLAS_NUM_THREADS PWD PYTHONHASHSEED PYTHONPATH TMPDIR"
)
ATTEMPTS = """
import os, socket, ctypes, sys
def attempt(name, call):
    try:
        print(name, call())
    except OSError as error:
        print(name, error.strerror)
def write(path):
    with open(path, 'w') as file:
        return file.write('x')
attempt('file', lambda: open('{file}').read())
attempt('passwords', lambda: open('/etc/passwd').read())
attempt('home', lambda: os.listdir('/root'))
attempt('processes', lambda: os.listdir('/proc'))
attempt('network', lambda: socket.create_connection(('127.0.0.1', {port}), 2))
for path in ('/x', '/usr/lib/x', '/sandbox/x', '/sandbox/server/inside/server.py', '/dev/x', sys.prefix + '/x'):
    attempt(path, lambda: write(path))
attempt('temporary', lambda: write('/tmp/x'))
def fill():
    for n in range(9):
        with open('/tmp/%d' % n, 'wb') as file:
            file.write(bytes(1 << 20))
attempt('too much', fill)
C = ctypes.CDLL(None, use_errno=True)
print('namespace', C.unshare(0x10000000))
print('mount', C.mount(b'none', b'/tmp', b'tmpfs', 0, 0))
print('user', os.getuid(), os.getgid())
print('process', os.getpid() < 10, 'parent', os.getppid() < 10)
print('host', os.uname().nodename)
print('root', *os.listdir('/'))
print('installed', os.listdir(sys.prefix + '/lib/python%d.%d/site-packages' % sys.version_info[:2]))
import glob
print('beside', *[name for folder in glob.glob('/usr/lib*/python3*/*-packages') for name in os.listdir(folder)])
print('packages', sorted(os.listdir('/sandbox/packages')), sorted(os.listdir('/sandbox/server')))
print('variables', *sorted(os.environ))
print('privileges', C.prctl(39, 0, 0, 0, 0))
with socket.socket() as plug:
    attempt('capability', lambda: os.chroot('/tmp'))
print('interfaces', [name for _, name in socket.if_nameindex()])
"""


def test_namespaces_hold_without_the_filter(bait: Canary) -> None:
    said = dict(line.partition(" ")[::2] for line in inside(bait.filled(ATTEMPTS)).splitlines())
    folders = said.pop("root")
    there = {"usr", "sandbox", "tmp", "dev"}
    assert there <= {*folders.split()} <= {*there, *LINKS}
    assert "PIL" in said["packages"]
    assert "ex2" not in said["packages"]
    assert said.pop("packages").endswith("['inside']")
    read_only, gone = "Read-only file system", "No such file or directory"
    prefix = "/sandbox/python/x"
    assert said == {
        "file": gone,
        "passwords": gone,
        "home": gone,
        "processes": gone,
        "network": "Connection refused",
        **dict.fromkeys(["/x", "/usr/lib/x", "/sandbox/x", "/dev/x", prefix], read_only),
        "/sandbox/server/inside/server.py": read_only,
        "temporary": "1",
        "too": "much No space left on device",
        "namespace": "-1",
        "mount": "-1",
        "user": "65534 65534",
        "process": "True parent True",
        "host": "sandbox",
        "installed": "[]",
        "beside": "",
        "variables": VARIABLES,
        "privileges": "1",
        "capability": "Operation not permitted",
        "interfaces": "['lo']",
    }
    assert bait.listening.getsockname()[1] > 0
    with pytest.raises(BlockingIOError):
        bait.listening.accept()


STAYS = """
import subprocess, sys
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep({nap})', 'sleep', '{nap}'], start_new_session=True)
print('started', flush=True)
sys.stdin.read()
"""


def test_all_of_a_namespace_ends_with_its_first_process(bait: Canary) -> None:
    with subprocess.Popen(words_for(bait.filled(STAYS)), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        assert wait_until(lambda: len(sleepers(bait.nap)) == 1, PATIENCE), "it runs, and this machine sees it"
        process.kill()
    assert wait_until(lambda: sleepers(bait.nap) == [], 30.0)


def test_only_the_packages_that_draw_are_seen() -> None:
    names = {view.target.rpartition("/")[2] for view in package_views(Surroundings(("matplotlib",)))}
    assert {"matplotlib", "numpy", "PIL", "dateutil", "kiwisolver"} <= names
    assert not names & {"ex2", "reward", "analysis", "torch", "transformers", "pip", "site-packages"}
    assert {view.target.rpartition("/")[2] for view in package_views(Surroundings(("resvg-py",)))} == {"resvg_py"}


@pytest.fixture
def no_memory() -> Iterator[None]:
    bubblewrap.check.cache_clear()
    yield
    bubblewrap.check.cache_clear()


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str | None) -> EnvironmentFault:
    if script is not None:
        (folder / "bwrap").write_text(f"#!{sys.executable}\n{script}")
        (folder / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(EnvironmentFault) as error:
        bubblewrap.check()
    assert error.value.exit_code == 1
    return error.value


@pytest.mark.usefixtures("no_memory")
def test_without_bubblewrap_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(fake(tmp_path, monkeypatch, None)) == (
        "sandbox: bubblewrap is not installed, and code that a model wrote is not run without it; install it (Debian, "
        "Ubuntu: apt-get install bubblewrap; Fedora: dnf install bubblewrap), version 0.8 or newer."
    )


@pytest.mark.usefixtures("no_memory")
def test_a_refused_bubblewrap_says_what_to_allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys\nsys.exit('bwrap: No permissions to create new namespace\\n')"
    said = str(fake(tmp_path, monkeypatch, script))
    assert said.startswith(
        "sandbox: bubblewrap does not work here (bwrap: No permissions to create new namespace), and"
    )
    assert "user.max_user_namespaces" in said


@pytest.mark.usefixtures("no_memory")
def test_an_old_bubblewrap_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = str(fake(tmp_path, monkeypatch, "import sys\nsys.exit('bwrap: Unknown option --disable-userns')"))
    assert said == (
        "sandbox: this bubblewrap is too old (bwrap: Unknown option --disable-userns); version 0.8 or newer is needed."
    )
