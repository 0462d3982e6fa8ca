"""A process and its launcher: the command that went on is the launcher's, and without it nothing is left behind."""

from __future__ import annotations

import os
import signal
import time

import pytest

from ex2 import runtime
from ex2.cli.main import main
from ex2.runtime import end_with_launcher, known_launcher

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
