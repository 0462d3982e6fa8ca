"""What is written has the permissions that the user's umask leaves, whatever library wrote it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from analysis.judge.server.cache import AnswerCache
from ex2.trainers.checkpoints import mark_complete
from reward import files
from reward.files import append_jsonl, bank_file, new_folder, write_json
from reward.sealed import UNSEALED


@pytest.fixture(params=[(0o077, 0o600, 0o700), (0o002, 0o664, 0o775), (0o022, 0o644, 0o755)], ids=["077", "002", "022"])
def modes(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    mask, *wanted = request.param
    before = os.umask(mask)
    yield (wanted[0], wanted[1])
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_files_and_folders_keep_the_umask(tmp_path: Path, modes: tuple[int, int]) -> None:
    of_files, of_folders = modes
    write_json(tmp_path / "runs/r/a.json", {})
    write_json(tmp_path / "runs/r/a.json", {"again": 1})
    append_jsonl(tmp_path / "runs/r/log.jsonl", [{}])
    with bank_file(tmp_path / "cache/bank.safetensors") as temporary:
        save_file({"x": torch.zeros(1)}, temporary, UNSEALED)
    with new_folder(tmp_path / "adapter") as folder:
        (folder / "inner").mkdir(parents=True)
        save_file({"x": torch.zeros(1)}, folder / "adapter.safetensors")
        save_file({"x": torch.zeros(1)}, folder / "inner/value_head.safetensors")
    checkpoint = tmp_path / "checkpoint-1"
    checkpoint.mkdir()
    save_file({"x": torch.zeros(1)}, checkpoint / "value_head.safetensors")
    mark_complete(checkpoint, {})
    AnswerCache(str(tmp_path / "judge.sqlite")).close()
    found = {path.relative_to(tmp_path).as_posix(): mode(path) for path in tmp_path.rglob("*")}
    files = {name for name in found if "." in name.rpartition("/")[2]}
    assert len(files) == 8
    assert found == {name: of_files if name in files else of_folders for name in found}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_signal_while_the_file_is_made_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """SIGTERM and Ctrl-C arrive as exceptions, also between the making of the file and the block that writes it."""
    genuine = files._make

    def interrupted(path: Path) -> int:
        if when == "after":
            genuine(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "_make", interrupted)
    (tmp_path / "x.json").write_text("before")
    with pytest.raises(KeyboardInterrupt):
        files.write_text(tmp_path / "x.json", "after")
    with pytest.raises(KeyboardInterrupt):
        files.usual_permissions(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert (tmp_path / "x.json").read_text() == "before"
