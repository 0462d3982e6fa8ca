"""The processes that tests start are what an interpreter would be: status, output, signals, folder, environment."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import processes
import pytest
from processes import Process, command, on_processes, until


def tell(status: int, path: str) -> int:
    atexit.register(lambda: print("at the exit"))
    print("out", Path.cwd(), os.environ.get("WITNESS"), path in sys.path, "torch" in sys.modules)
    print("err", file=sys.stderr)
    return status


def test_status_output_folder_and_environment(tmp_path: Path) -> None:
    process = Process(tell, 3, "/somewhere", folder=tmp_path, environment={"WITNESS": "w", "PYTHONPATH": "/somewhere"})
    ended = process.wait()
    assert ended == (3, f"out {tmp_path} w True True\nat the exit\n", "err\n")
    assert process.wait() == ended
    assert (process.stdout, process.is_running) == (ended.stdout, False)


def fail() -> None:
    raise ValueError("no good")


def interrupted() -> None:
    print("up", flush=True)
    try:
        while True:
            time.sleep(0.01)
    except KeyboardInterrupt:
        print("goodbye")


def test_an_error_a_kill_and_an_interrupt() -> None:
    error = Process(fail).wait()
    assert error.returncode == 1
    assert "ValueError: no good" in error.stderr
    for number, status, said in ((signal.SIGKILL, -9, "up\n"), (signal.SIGINT, 0, "up\ngoodbye\n")):
        process = Process(interrupted)
        until(lambda process=process: process.stdout == "up\n", unless_ended=process)
        process.send_signal(number)
        assert process.wait()[:2] == (status, said)


def test_what_hangs_is_ended_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PATIENCE", 0.5)
    process = Process(interrupted)
    with pytest.raises(AssertionError, match="it hangs:\nup"):
        process.wait()
    assert not process.is_running
    with pytest.raises(AssertionError, match="it never happened"):
        until(lambda: False)


def test_waiting_for_what_a_dead_process_cannot_do() -> None:
    with pytest.raises(AssertionError, match="it ended before:"):
        until(lambda: False, unless_ended=Process(fail))


def test_a_module_runs_as_python_m_does(tmp_path: Path) -> None:
    (tmp_path / "said.py").write_text("import sys\nprint(__name__, sys.argv[1:])\nsys.exit(4)\n")
    assert command("said", "a b", folder=tmp_path) == (4, "__main__ ['a b']\n", "")


def meet(folder: Path) -> None:
    import torch

    torch.distributed.init_process_group("gloo")
    ranks: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(ranks, torch.distributed.get_rank())
    (folder / f"{torch.distributed.get_rank()}").write_text(str(ranks))
    torch.distributed.destroy_process_group()


def test_processes_of_a_group_meet_and_a_failure_of_one_is_told(tmp_path: Path) -> None:
    on_processes(2, meet, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"0": "[0, 1]", "1": "[0, 1]"}
    with pytest.raises(AssertionError, match="no good"):
        on_processes(2, fail)
