"""A damaged bank is seen, set aside and made anew; one of an earlier version is read without being checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from reward.files import bank_file
from reward.sealed import UNSEALED, read_sealed

BANK = {"means": torch.arange(6.0).reshape(2, 3), "counts": torch.tensor([4, 5])}


def write(path: Path) -> bytes:
    with bank_file(path) as temporary:
        save_file(BANK, temporary, {"kind": "class_means", **UNSEALED})
    return path.read_bytes()


def read(path: Path) -> list[object] | None:
    stored = read_sealed(path, ("means", "counts"))
    return None if stored is None else [stored["means"].tolist(), stored["counts"].tolist()]


CONTENT = [[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], [4, 5]]


def test_what_was_written_is_read_and_each_flipped_byte_is_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bank.safetensors"
    whole = write(path)
    assert read(path) == CONTENT
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        assert read(path) is None, place
        assert path.with_name("bank.safetensors.damaged").read_bytes() == damaged
        assert not path.exists()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(whole)
    assert said[-1] == (
        f"{path}: damaged (other content than was written): set aside as bank.safetensors.damaged and made anew"
    )


@pytest.mark.parametrize("content", [b"", b"x" * 40, b"\xff" * 9, b"\x08" + b"\0" * 7 + b"{}      "])
def test_garbage_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bank.safetensors"
    path.write_bytes(content)
    assert read(path) is None
    assert [one.name for one in tmp_path.iterdir()] == ["bank.safetensors.damaged"]


def test_half_a_file_and_another_shape_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    whole = write(path)
    path.write_bytes(whole[:-8])
    assert read(path) is None
    other = whole.replace(b"[2,3]", b"[3,2]")
    assert other != whole
    path.write_bytes(other)
    assert read(path) is None


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    save_file(BANK, path, {"kind": "class_means", "class_names": json.dumps(["a", "b"])})
    assert read(path) == CONTENT
    save_file(BANK, path)
    assert read(path) == CONTENT


def test_a_missing_file_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read(tmp_path / "bank.safetensors") is None
    assert capsys.readouterr().err == ""
