"""Every end of a command has its status and one message of bounded length; a traceback goes to a file, without secrets.

The statuses are those of the README: 0, 1, 2, 70, 75, 130, 143.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import PATIENCE

from reward.errors import EnvironmentFault, EX2Error, UserError, shortened, shown
from reward.exits import guarded


def raising(error: BaseException) -> Callable[[], int]:
    def run() -> int:
        raise error

    return run


class LaterError(EX2Error):
    exit_code = 75


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (UserError("x.yaml: one\nx.yaml: two"), 2, "ex2: x.yaml: one\nex2: x.yaml: two\n"),
        (EnvironmentFault("the disk"), 1, "ex2: the disk\n"),
        (LaterError("later"), 75, "ex2: later\n"),
        (KeyboardInterrupt(), 130, "\nex2: interrupted; the same command continues.\n"),
        (
            OSError(errno.EMFILE, "Too many open files", "/d/x"),
            1,
            "ex2: /d/x: Too many open files; mend it and repeat.\n",
        ),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "n" * 300),
            2,
            f"ex2: {shortened('n' * 300, 200)}: a name of this length is not possible.\n",
        ),
        (
            RuntimeError("Could not determine home directory."),
            2,
            "ex2: a path begins with ~, and there is no such home folder; write the path out.\n",
        ),
        (RuntimeError("Symlink loop from '/d/x'"), 2, "ex2: '/d/x' is a link that leads in a circle; give another.\n"),
        (
            MemoryError(),
            1,
            "ex2: out of memory (MemoryError); use smaller batches, such as rl.micro_batch_size=1.\n",
        ),
    ],
)
def test_statuses_and_messages(
    error: BaseException, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raising(error)) == status
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    "error", [KeyError("k"), SystemExit(0), SystemExit(), AssertionError("a\nb"), RecursionError()]
)
def test_what_nobody_foresaw_is_one_line_and_a_file(
    error: BaseException, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A library's `sys.exit(0)` is no success."""
    assert guarded(raising(error)) == 70
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ex2: {type(error).__name__}")
    assert "a fault of EX2" in line
    saved = Path(line.rpartition("Traceback: ")[2])
    assert saved.parent == tmp_path / "cache" / "tracebacks"
    assert "in raising" not in saved.read_text()
    assert "in run" in saved.read_text()


def test_without_a_cache_folder_the_traceback_goes_to_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EX2_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert guarded(raising(KeyError("k"))) == 70
    assert Path(capsys.readouterr().err.rpartition("Traceback: ")[2].strip()).parent == tmp_path


def test_no_secret_reaches_the_line_or_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-CANARY-1")
    words = "sk-CANARY-1 at http://me:CANARY-2@host/v1?api_key=CANARY-3&x=kept"
    guarded(raising(ValueError(words)))
    line = capsys.readouterr().err
    saved = Path(line.rpartition("Traceback: ")[2].strip()).read_text()
    assert "CANARY" not in line + saved
    assert "x=kept" in line
    assert "x=kept" in saved
    guarded(raising(UserError(words)))
    assert "CANARY" not in capsys.readouterr().err


def test_faults_of_the_users_own_module_are_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "module_that_divides.py").write_text("import json\nclass R:\n    def __call__(self):\n        1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("reward.exits._foreign", {"module_that_divides"})
    made = importlib.import_module("module_that_divides").R()
    assert guarded(made) == 2
    assert capsys.readouterr().err.startswith(
        f"ex2: {tmp_path}/module_that_divides.py: line 4 (your code): ZeroDivisionError: division by zero. Traceback: "
    )


def test_a_long_message_keeps_its_first_and_last_lines_and_is_saved_whole(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"x.yaml: problem {number} {'y' * 90}" for number in range(100)]
    assert guarded(raising(UserError("\n".join(lines)))) == 2
    told = capsys.readouterr().err
    assert len(told) <= 2001  # and the line break at the end
    assert told.splitlines()[0] == f"ex2: {lines[0]}"
    assert told.splitlines()[-1] == f"ex2: {lines[-1]}"
    (notice,) = [line for line in told.splitlines() if "The whole message: " in line]
    assert Path(notice.rpartition(": ")[2]).read_text() == "\n".join(f"ex2: {line}" for line in lines)


def test_one_long_line_is_cut_in_the_middle(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(raising(UserError(f"first {'x' * 9000} last")))
    told = capsys.readouterr().err
    assert len(told) <= 2001
    assert told.startswith("ex2: first xxx")
    assert " last" in told
    assert "characters left out" in told


def test_shortened() -> None:
    """The notice for 1,000 letters has 32: of 130, 98 are left, a third of them, 32, for the end."""
    assert shortened("a" * 130, 130) == "a" * 130
    assert shortened("a" * 500 + "b" * 500, 130) == f"{'a' * 66} … (902 characters left out) … {'b' * 32}"


def test_shown_values_are_bounded() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ValueError

    assert shown("x") == "'x'"
    assert len(shown("x" * 10**6)) <= 200
    assert shown(Odd()) == "a Odd"
    assert shown(10**5000) == "a int"  # Python refuses to print as many digits


def test_control_characters_are_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    """A file's name may clear the screen or colour it."""
    guarded(raising(UserError("\x1b[2Jname\r\udcff.png: bad")))
    assert capsys.readouterr().err == "ex2: \\x1b[2Jname\\r\\udcff.png: bad\n"


def child(code: str, **pipes: int) -> subprocess.Popen[str]:
    words = f"import sys, time\nfrom reward.exits import guarded\n{code}\nsys.exit(guarded(run))"
    return subprocess.Popen([sys.executable, "-c", words], text=True, stderr=subprocess.PIPE, **pipes)


def test_sigterm_closes_what_is_open_and_gives_143() -> None:
    process = child(
        "def run():\n    try:\n        print('up', flush=True)\n        time.sleep(60)\n"
        "    finally:\n        print('closed')\n",
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, told = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - started < 10
    assert (process.returncode, out, told) == (143, "closed\n", "ex2: ended by SIGTERM; the same command continues.\n")


@pytest.mark.parametrize("rows", [1, 100_000])
def test_a_reader_that_leaves_is_met_quietly(rows: int) -> None:
    """As in `ex2 … | true`, for output that fits the buffer and for output that does not."""
    process = child(
        f"def run():\n    sys.stdin.read()\n    for _ in range({rows}): print('x' * 80)\n    return 0",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert process.communicate("", timeout=PATIENCE)[1] == ""
    assert process.returncode == 1


def test_a_deleted_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    words = (
        "import os, sys\nfrom reward.exits import guarded\n"
        f"os.chdir({str(folder)!r}); os.rmdir({str(folder)!r})\nsys.exit(guarded(lambda: 0))"
    )
    ended = subprocess.run([sys.executable, "-c", words], text=True, capture_output=True, check=False, timeout=PATIENCE)
    assert ended.returncode == 2
    assert ended.stderr == "ex2: the current folder no longer exists; change to another and repeat the command.\n"


def test_of_several_processes_the_first_to_fail_speaks(tmp_path: Path) -> None:
    """All are children of this process, as those of one launcher are; each exits with its own status."""
    words = (
        "import sys\nfrom reward.errors import UserError\nfrom reward.exits import guarded\n"
        "def run(): raise UserError('the batch')\nsys.exit(guarded(run))"
    )
    environments = [{"RANK": str(rank), "WORLD_SIZE": "3", "TMPDIR": str(tmp_path)} for rank in range(3)]
    ended = [
        subprocess.run(
            [sys.executable, "-c", words],
            env={**os.environ, **environment},
            text=True,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
        for environment in reversed(environments)
    ]
    assert [each.returncode for each in ended] == [2, 2, 2]
    assert sorted(each.stderr for each in ended) == ["", "", "ex2: the batch\n"]
