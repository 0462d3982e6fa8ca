"""Unfinished files of killed processes are removed by the next writer, and those of living ones are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reward import temporaries
from reward.files import write_text
from reward.temporaries import new_name, scratch_folder


@pytest.fixture(autouse=True)
def nothing_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is a new process, as far as sweeping goes."""
    monkeypatch.setattr(temporaries, "_swept", set())


def killed_in_the_middle(code: str, folder: Path) -> list[Path]:
    """Run code that writes into a folder, kill it where it prints, and return the hidden entries that it left."""
    words = f"import time\nfrom pathlib import Path\nfolder = Path({str(folder)!r})\n{code}"
    with subprocess.Popen([sys.executable, "-c", words], text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGKILL)
    return hidden(folder)


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "code",
    [
        "from reward.files import replacing\n"
        "with replacing(folder / 'a.csv') as file:\n    file.write_text('half')\n"
        "    print('up', flush=True)\n    time.sleep(60)",
        "from reward.temporaries import scratch_folder\n"
        "with scratch_folder(folder / 'set') as place:\n    (place / 'inner').mkdir()\n"
        "    print('up', flush=True)\n    time.sleep(60)",
    ],
    ids=["file", "folder"],
)
def test_what_a_killed_process_left_is_removed_by_the_next_writer(code: str, tmp_path: Path) -> None:
    assert len(killed_in_the_middle(code, tmp_path)) == 1
    write_text(tmp_path / "another.csv", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["another.csv"]


def test_what_living_processes_write_stays(tmp_path: Path) -> None:
    mine, init = new_name(tmp_path / "a"), new_name(tmp_path / "b")
    parent = init.with_name(init.name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-"))
    for path in (mine, parent):
        path.write_text("half")
    temporaries._swept.clear()
    write_text(tmp_path / "c", "whole")
    assert set(tmp_path.iterdir()) == {mine, parent, tmp_path / "c"}


def test_another_machine_s_file_is_removed_after_a_week(tmp_path: Path) -> None:
    """Its process numbers mean nothing here; nor does a name that is no temporary file's."""
    there = tmp_path / ".a.csv.00000000-1-12345678"
    users = tmp_path / ".a.csv.notes"
    for path in (there, users):
        path.write_text("half")
    write_text(tmp_path / "c", "whole")
    assert there.exists()
    for path in (there, users):
        os.utime(path, (time.time() - 8 * 24 * 3600,) * 2)
    temporaries._swept.clear()
    write_text(tmp_path / "c", "whole")
    assert not there.exists()
    assert users.exists()


def test_a_folder_is_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else writing n files into one folder would look at n² names."""
    looked: list[str] = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked.append(str(path)) or scan(path))
    for number in range(5):
        write_text(tmp_path / f"{number}", "whole")
    assert looked == [str(tmp_path)]


def test_a_scratch_folder_goes_with_its_block(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "set") as place:
        (place / "inner").mkdir()
        assert place.parent == tmp_path
    assert list(tmp_path.iterdir()) == []
