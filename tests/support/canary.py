"""What hostile programs are after, and whether they got it: a file, an image, a folder, a socket, a variable."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from PIL import Image

from ex2.sets.sandbox.outcomes import Outcome

COLOR = (201, 37, 143)
"""Of the canary's image; no attack paints with it."""
SANDBOX_PROCESSES = 3
"""bubblewrap outside, bubblewrap as the first process inside, and the server."""


@dataclass
class Canary:
    """What must neither be read, nor written, nor reached.

    Attributes:
        folder: Holds nothing but `file`, `image` and `other.svg`.
        word: In the file.
        listening: A socket that nobody connects to.
        environment: How this process's environment begins.
        nap: Seconds that no other process on this machine sleeps.
    """

    folder: Path
    word: str
    listening: socket.socket
    environment: str
    nap: int
    names: list[str] = field(default_factory=list)

    def filled(self, code: str) -> str:
        """Return a program with the canary's parts in their places."""
        parts = {
            "file": self.folder / "secret.txt",
            "image": self.folder / "secret.png",
            "folder": self.folder,
            "port": self.listening.getsockname()[1],
            "pid": os.getpid(),
            "nap": self.nap,
        }
        for name, value in parts.items():
            code = code.replace("{" + name + "}", str(value))
        return code

    def escapes(self, outcome: Outcome) -> list[str]:
        """Return what a program got, by how it ended and by what is left of the canary."""
        found = []
        for word, what in (
            (self.word, "read the file"),
            ("other.svg", "read the folder"),
            (self.environment, "read the environment"),
            ("ESCAPED", "says so"),
        ):
            if word in outcome.message:
                found.append(what)
        if outcome.image is not None and shows(outcome.image):
            found.append("read the image")
        if sorted(os.listdir(self.folder)) != self.names or self.word != (self.folder / "secret.txt").read_text():
            found.append("wrote")
        try:
            self.listening.accept()[0].close()
            found.append("connected")
        except BlockingIOError:
            pass
        return found


def shows(image: Image.Image) -> bool:
    """Say whether an image has the canary's color, or about it, anywhere."""
    colors = image.convert("RGB").getcolors(image.width * image.height) or []
    return any(max(abs(one - own) for one, own in zip(color, COLOR, strict=True)) < 12 for _, color in colors)


@contextmanager
def canary(folder: Path) -> Iterator[Canary]:
    """Set out a canary in a folder that every user of the machine may read and write."""
    folder.mkdir()
    folder.chmod(0o777)
    word = f"canary-{secrets.token_hex(8)}"
    (folder / "secret.txt").write_text(word)
    Image.new("RGB", (64, 64), COLOR).save(folder / "secret.png")
    (folder / "other.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><rect id="x" width="64" height="64" fill="#c9258f"/></svg>'
    )
    environment = Path("/proc/self/environ").read_text(errors="replace").split("\0")[0]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield Canary(folder, word, listening, environment, 600 + secrets.randbelow(10**6), sorted(os.listdir(folder)))


def sleepers(nap: int) -> list[psutil.Process]:
    """Return the processes on this machine, in whatever namespace, that sleep so many seconds."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if words[-2:] == ["sleep", str(nap)] and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def processes_below(pid: int | None) -> list[psutil.Process]:
    """Return a process with all that it has started and that runs."""
    if pid is None:
        return []
    try:
        root = psutil.Process(pid)
        found = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    return [one for one in found if _runs(one)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it has ended since it was listed
        return False


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    """Wait for something, at most so long; say whether it has come."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.02)
    return done()
