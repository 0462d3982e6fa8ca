"""The sandbox itself: bubblewrap's namespaces around one interpreter and the packages that a language draws with.

Inside there is no network, no process of this machine, no `/etc`, `/home` or `/proc`, no variable of the environment,
no capability, and no further namespace to be made. The system's libraries, the interpreter and the packages are there
to be read, and a small folder in memory is all that can be written.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from ex2.sets.sandbox.inside.jobs import Setup, packed
from reward.errors import EnvironmentFault, shortened

Kind = Literal["bubblewrap", "none"]
"""What runs a program: bubblewrap's namespaces, or this user's own rights."""

NOBODY = "65534"
_INSIDE = Path(__file__).parent / "inside"
_PYTHON, _PACKAGES, _OWN = "/sandbox/python", "/sandbox/packages", "/sandbox/server"
_STARTED_AS = "inside"
_LIBRARIES = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_PATIENCE = 60.0
"""Seconds in which bubblewrap starts on a machine that does many other things."""


@dataclass(frozen=True)
class View:
    """A file or folder of this machine that is seen inside, read-only.

    Attributes:
        source: Where it is on this machine.
        target: Where it is seen.
    """

    source: Path
    target: str


@dataclass(frozen=True)
class Surroundings:
    """What a language's worker has around it.

    Attributes:
        packages: Distributions that it imports; what they require comes with them.
        views: What else of this machine it reads.
        scratch: Bytes that it can write in memory.
    """

    packages: tuple[str, ...] = ()
    views: tuple[View, ...] = ()
    scratch: int = 4 << 20


def command(setup: Setup, around: Surroundings, kind: Kind) -> tuple[list[str], dict[str, str]]:
    """Return the words that start a worker's server, and its environment.

    Raises:
        EnvironmentFault: If bubblewrap is not installed.
        PackageNotFoundError: If a distribution is not installed.
    """
    options = ["-s", "-S", "-P", "-B", "-m"]
    if kind == "none":
        folders = dict.fromkeys([str(_INSIDE.parent), *(str(view.source.parent) for view in package_views(around))])
        environment = {**_environment(), "PYTHONPATH": ":".join(folders)}
        return [sys.executable, *options, f"{_STARTED_AS}.server", packed(setup)], environment
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    words = [program(), *namespaces(), *_system(), *_interpreter(version)]
    for view in (View(_INSIDE, f"{_OWN}/{_STARTED_AS}"), *package_views(around), *around.views):
        words += ["--ro-bind", str(view.source), view.target]
    words += ["--size", str(around.scratch), "--perms", "0700", "--tmpfs", "/tmp", "--chdir", "/tmp"]
    environment = {**_environment(), "PYTHONPATH": f"{_OWN}:{_PACKAGES}", "LD_LIBRARY_PATH": f"{_PYTHON}/lib"}
    for name, value in environment.items():
        words += ["--setenv", name, value]
    words += ["--remount-ro", "/", "--", f"{_PYTHON}/bin/{version}", *options, f"{_STARTED_AS}.server", packed(setup)]
    return words, {}


def namespaces() -> list[str]:
    """Return bubblewrap's options that keep what runs inside apart from this machine."""
    return [
        "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session",
        "--cap-drop", "ALL", "--clearenv", "--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox",
    ]  # fmt: skip


def program() -> str:
    """Return where bubblewrap is.

    Raises:
        EnvironmentFault: If it is not installed.
    """
    found = shutil.which("bwrap")
    if found is None:
        raise EnvironmentFault(
            "sandbox: bubblewrap is not installed, and code that a model wrote is not run without it; install it "
            "(Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf install bubblewrap), version 0.8 or newer."
        )
    return found


@cache
def check() -> None:
    """Run bubblewrap with all namespaces around a program that does nothing.

    Raises:
        EnvironmentFault: If it is not installed, or does not work here; with what to allow.
    """
    words = [program(), *namespaces(), "--ro-bind", "/usr", "/usr", *_links(), "--", "/usr/bin/true"]
    try:
        done = subprocess.run(words, capture_output=True, timeout=_PATIENCE, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFault(f"sandbox: bubblewrap did not start within {_PATIENCE:g} s; try again.") from error
    if done.returncode != 0:
        raise refused(done.stderr.decode(errors="replace"))


def refused(said: str) -> EnvironmentFault:
    """Return the error for a sandbox that does not start, with what bubblewrap said."""
    reason = shortened(" ".join(said.split()) or "without a word", 400)
    if "Unknown option" in reason:
        return EnvironmentFault(f"sandbox: this bubblewrap is too old ({reason}); version 0.8 or newer is needed.")
    return EnvironmentFault(
        f"sandbox: bubblewrap does not work here ({reason}), and code that a model wrote is not run without it. It "
        "makes user namespaces: allow them (sysctl user.max_user_namespaces above 0; on Ubuntu "
        "kernel.apparmor_restrict_unprivileged_userns=0, or a profile for bwrap; in a container, leave to make them)."
    )


def package_views(around: Surroundings) -> list[View]:
    """Return the files and folders of a worker's distributions and of what these require.

    Raises:
        PackageNotFoundError: If a distribution is not installed.
    """
    found: dict[str, View] = {}
    for name in _with_required(around.packages):
        distribution = importlib.metadata.distribution(name)
        for top in sorted({file.parts[0] for file in distribution.files or ()}):
            source = Path(str(distribution.locate_file(top)))
            if top != ".." and not top.endswith((".dist-info", ".pth")) and top != "__pycache__" and source.exists():
                found[top] = View(source, f"{_PACKAGES}/{top}")
    return list(found.values())


def _with_required(names: Iterable[str]) -> Iterator[str]:
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop(0)
        if name.lower() in seen:
            continue
        seen.add(name.lower())
        yield name
        for line in importlib.metadata.distribution(name).requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed.name)


def _environment() -> dict[str, str]:
    """Return all variables of a worker; one seed of hashes, so that sets of words have one order."""
    return {
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "MPLCONFIGDIR": "/tmp",
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _system() -> list[str]:
    words = []
    for folder in _LIBRARIES:
        if Path(folder).is_dir():
            words += ["--ro-bind", folder, folder]
            for hidden in sorted(Path(folder).glob("python3*/*-packages")):
                words += _hiding(str(hidden))
    words += _links()
    for device in _DEVICES:
        words += ["--dev-bind", device, device]
    return words


def _links() -> list[str]:
    """Return the folders at the root that lead into `/usr`, or are bound where they are folders of their own."""
    words = []
    for name in ("lib", "lib32", "lib64", "libx32", "bin"):
        path = Path("/", name)
        if path.is_symlink():
            words += ["--symlink", f"usr/{name}", f"/{name}"]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    return words


def _interpreter(version: str) -> list[str]:
    """Return the options that show the interpreter and its library, without what is installed beside it."""
    base = Path(sys.base_prefix)
    executable = next(
        (path for path in (base / "bin" / version, Path(sys.executable)) if path.exists()), Path(sys.executable)
    ).resolve()
    words = ["--ro-bind", str(executable), f"{_PYTHON}/bin/{version}"]
    for name in dict.fromkeys(["lib", sys.platlibdir]):
        if (base / name).is_dir():
            words += ["--ro-bind", str(base / name), f"{_PYTHON}/{name}"]
    for hidden in _installed(base):
        words += _hiding(f"{_PYTHON}/{hidden.relative_to(base)}")
    return words


def _hiding(folder: str) -> list[str]:
    """Return the options that show an empty folder in another's place."""
    return ["--size", "4096", "--tmpfs", folder, "--remount-ro", folder]


def _installed(base: Path) -> list[Path]:
    """Return the folders below an interpreter in which packages are installed."""
    stdlib = Path(sysconfig.get_path("stdlib", vars={"installed_base": str(base)}))
    folders = [stdlib / "site-packages", stdlib / "dist-packages", stdlib.parent / "python3" / "dist-packages"]
    found = []
    for folder in folders:
        with contextlib.suppress(ValueError):
            folder.relative_to(base)
            found += [folder] * folder.is_dir()
    return found


def missing(names: Sequence[str]) -> list[str]:
    """Return those distributions that are not installed."""
    lacking = []
    for name in names:
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            lacking.append(name)
    return lacking
