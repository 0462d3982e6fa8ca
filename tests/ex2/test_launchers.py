"""A process and its launcher: the command that went on is the launcher's, and without it nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from ex2 import runtime
from ex2.cli.main import main
from ex2.runtime import end_with_launcher, known_launcher
from reward.exits import end_family

TAIL = ["launch", "--config_file", "my config.yaml", "-m", "ex2.train", "r.yaml", "name=[a]"]
TYPED = "accelerate launch --config_file 'my config.yaml' -m ex2.train r.yaml 'name=[a]'"


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        (["/v/bin/python3.11", "/v/bin/accelerate", *TAIL], TYPED),
        (["python", "-m", "accelerate.commands.accelerate_cli", *TAIL], TYPED),
        (["python", "-u", "-m", "accelerate.commands.accelerate_cli", *TAIL], TYPED),
        (["python", "-m", "accelerate.commands.launch", "-m", "ex2.train"], "accelerate-launch -m ex2.train"),
        (["/usr/bin/torchrun", "-m", "ex2.train"], "torchrun -m ex2.train"),
        (["python", "-m", "torch.distributed.run", "-m", "ex2.train"], "torchrun -m ex2.train"),
        (["vim", "accelerate"], ""),
        (["bash", "-c", "accelerate launch -m ex2.train r.yaml"], ""),
        (["python", "-m", "pytest", "tests", "accelerate"], ""),
        ([], ""),
    ],
)
def test_known_launchers(words: list[str], typed: str) -> None:
    assert known_launcher(words) == typed


def test_without_its_launcher_a_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    parent, sent = [7, 7, 1], list[tuple[int, int]]()
    monkeypatch.setattr(runtime, "launch_command", lambda: TYPED)
    monkeypatch.setattr(os, "getppid", lambda: parent.pop(0) if len(parent) > 1 else parent[0])
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    monkeypatch.setattr(runtime, "was_told", lambda: False)
    end_with_launcher(every=0.001)
    deadline = time.monotonic() + 10
    while not sent and time.monotonic() < deadline:
        time.sleep(0.001)
    assert sent == [(os.getpid(), signal.SIGTERM)]


def interrupted(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ex2.cli.stages.checked", interrupt)
    return main(words)


def test_the_command_that_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for launched, expected in (("", "ex2 train 'my r.yaml' rl.batches=2"), (TYPED, TYPED)):
        monkeypatch.setattr(runtime, "launch_command", lambda launched=launched: launched)
        assert interrupted("train", "my r.yaml", "rl.batches=2", monkeypatch=monkeypatch) == 130
        assert capsys.readouterr().err == f"\nex2: interrupted; the same command continues: {expected}\n"
    monkeypatch.setenv("WORLD_SIZE", "2")  # by a launcher that is not known
    monkeypatch.setattr(runtime, "launch_command", str)
    monkeypatch.setattr("reward.exits._first_to_speak", lambda: True)
    assert interrupted("train", "my r.yaml", monkeypatch=monkeypatch) == 130
    assert capsys.readouterr().err == "\nex2: interrupted; the same command continues.\n"


COUNTING = """
import signal, sys, time
count = 0
def more(*_):
    global count
    count += 1
signal.signal(signal.SIGTERM, more)
print("up", flush=True)
for _ in range(1000):
    if count:
        break
    time.sleep(0.01)
time.sleep(0.4)
print(count, flush=True)
"""
LAUNCHING = f"""
import signal, subprocess, sys, time
def hand_on(*_):
    time.sleep(0.1)
    child.terminate()
child = subprocess.Popen([sys.executable, "-c", {COUNTING!r}])
signal.signal(signal.SIGTERM, hand_on)
child.wait()
"""


def test_a_launcher_hands_on_the_only_signal() -> None:
    """A second one would interrupt the batch that the first one lets its processes finish."""
    with subprocess.Popen([sys.executable, "-c", LAUNCHING], stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "up\n"
        end_family(launcher.pid)
        assert launcher.stdout.read() == "1\n"


def test_what_does_not_end_is_killed() -> None:
    """The launcher is deaf, and its child was not told."""
    deaf = LAUNCHING.replace("signal.SIGTERM, hand_on", "signal.SIGTERM, signal.SIG_IGN")
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "up\n"
        end_family(launcher.pid, seconds=0.05)
        assert launcher.stdout.read() == ""
