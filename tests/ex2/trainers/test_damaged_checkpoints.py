"""A checkpoint counts only if its files are what was written; the adapter's folder too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ex2.monitoring.guard import read_best
from ex2.run.adapter import FILES, adapter_digests, verify_adapter
from ex2.trainers.checkpoints import checkpoint_fault, delete_old_checkpoints, mark_complete, newest_checkpoint
from reward.errors import UserError
from reward.files import write_json

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""SHA-256 of `abc`, from FIPS 180-2, appendix B.1."""


def checkpoint(root: Path, step: int) -> Path:
    folder = root / f"checkpoint-{step}"
    (folder / "global").mkdir(parents=True)
    (folder / "adapter.safetensors").write_bytes(b"abc")
    (folder / "global" / "optimizer.pt").write_bytes(b"moments")
    mark_complete(folder, {"global_step": step})
    return folder


def newest(root: Path) -> tuple[Path | None, list[str]]:
    said: list[str] = []
    return newest_checkpoint(root, say=said.append), said


def test_what_is_kept_of_each_file(tmp_path: Path) -> None:
    stored = json.loads((checkpoint(tmp_path, 4) / "complete.json").read_text())
    assert stored["global_step"] == 4
    assert stored["files"]["adapter.safetensors"] == {"size": 3, "sha256": ABC}
    assert sorted(stored["files"]) == ["adapter.safetensors", "global/optimizer.pt"]


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda folder: (folder / "global/optimizer.pt").unlink(), "global/optimizer.pt: missing"),
        (
            lambda folder: (folder / "adapter.safetensors").write_bytes(b"abd"),
            "adapter.safetensors: other content than was written",
        ),
        (lambda folder: (folder / "adapter.safetensors").write_bytes(b""), "adapter.safetensors: 0 bytes, not 3"),
        (
            lambda folder: (folder / "adapter.safetensors").write_bytes(b"x" * 1200),
            "adapter.safetensors: 1,200 bytes, ",
        ),
        (lambda folder: (folder / "complete.json").write_bytes(b""), "complete.json: line 1: empty"),
        (lambda folder: (folder / "complete.json").write_bytes(b"[]"), "complete.json: line 1: it holds []: input"),
        (
            lambda folder: (folder / "complete.json").write_text('{"files": {"a": {"size": "3", "sha256": "0"}}}'),
            "complete.json: line 1: 'files.a.size' is '3': input should be a valid integer",
        ),
    ],
)
def test_a_damaged_one_is_passed_over_for_the_one_before(
    tmp_path: Path, damage: Callable[[Path], object], fault: str
) -> None:
    good, bad = checkpoint(tmp_path, 8), checkpoint(tmp_path, 12)
    assert newest(tmp_path) == (bad, [])
    damage(bad)
    found, said = newest(tmp_path)
    assert found == good
    assert len(said) == 1
    assert said[0].startswith(f"{bad}: passed over: {fault}")
    damage(good)
    found, said = newest(tmp_path)
    assert found is None
    assert said[2:] == [f"{tmp_path}: no checkpoint is left: training starts from the beginning"]


def test_one_of_an_earlier_version_is_taken_unchecked(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, 4)
    (folder / "complete.json").write_text('{"global_step": 4}')
    assert newest(tmp_path) == (folder, [f"{folder}: made before files were hashed: not checked"])
    assert checkpoint_fault(folder) is None


def test_files_that_are_not_known_are_no_fault(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, 4)
    (folder / "best.json").write_text("{}")
    (tmp_path / "checkpoint-4.old").mkdir()
    (tmp_path / "checkpoint-4.old" / "complete.json").write_text("{}")
    assert newest(tmp_path) == (folder, [])


def test_one_that_was_passed_over_does_not_outlive_the_next(tmp_path: Path) -> None:
    """Else the next start would find it to be the newest again, and the good one after it deleted."""
    steps = [checkpoint(tmp_path, step) for step in (4, 8, 16)]
    delete_old_checkpoints(tmp_path, keep=1, newest=steps[1])
    assert [path.is_dir() for path in steps] == [False, True, False]


def test_without_any_nothing_is_said(tmp_path: Path) -> None:
    assert newest(tmp_path) == (None, [])


@pytest.mark.parametrize("content", ["[]", "", '{"batch": 3}', '{"batch": null, "objective": 1}'])
def test_a_damaged_note_on_the_best_one_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "best.json").write_text(content)
    with pytest.raises(UserError) as caught:
        read_best(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/best/best.json: line 1: ")
    assert str(caught.value).endswith(f"; move {tmp_path}/best away.")


SUMMARY = {"batches": 3, "kl": 1.5, "kl_coef": 0.2}
REMEDY = "put it back, or move the folder away and run `ex2 train RECIPE`, which goes on from the last checkpoint."


def adapter(folder: Path) -> Path:
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"abc")
    (folder / "README.md").write_text("card")
    write_json(folder / "training.json", SUMMARY | {FILES: adapter_digests(folder)})
    return folder


def test_an_adapter_is_verified(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter")
    stored = json.loads((folder / "training.json").read_text())
    assert stored["files"] == {"adapter_model.safetensors": {"size": 3, "sha256": ABC}}
    assert verify_adapter(folder) is True
    (folder / "README.md").write_text("another card, written after the analysis")
    assert verify_adapter(folder) is True
    (folder / "adapter_model.safetensors").write_bytes(b"abd")
    with pytest.raises(UserError) as caught:
        verify_adapter(folder)
    assert str(caught.value) == f"{folder}/adapter_model.safetensors: other content than was written; {REMEDY}"


def test_an_adapter_of_an_earlier_version_cannot_be_verified(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter")
    write_json(folder / "training.json", SUMMARY)
    assert verify_adapter(folder) is False


@pytest.mark.parametrize("content", ["", "[]", "5", '{"batches": null, "kl_coef": 1}', '{"batches": 3}'])
def test_a_damaged_summary_is_one_line(tmp_path: Path, content: str) -> None:
    folder = adapter(tmp_path / "adapter")
    (folder / "training.json").write_text(content)
    with pytest.raises(UserError) as caught:
        verify_adapter(folder)
    assert str(caught.value).startswith(f"{folder}/training.json: line 1: ")
    assert str(caught.value).endswith(REMEDY)
