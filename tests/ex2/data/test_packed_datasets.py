"""Datasets that keep many images in one file: files that are not the official ones, damaged, or need a package."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import benchmark_miniatures
import numpy as np
import pytest
from miniatures import lines

from ex2.data.datasets.pixel_datasets import CIFAR10, MNIST
from ex2.data.datasets.row_datasets import FER2013, PCAM
from reward.errors import EnvironmentFault, UserError


def test_pickles_that_are_not_the_official_ones_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark_miniatures.cifar10(tmp_path, monkeypatch)
    path = tmp_path / "cifar-10-batches-py/two"
    path.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(
        UserError, match=rf"not the official file \(md5 differs\): {path}\. It is a pickle, which could r"
    ):
        CIFAR10(str(tmp_path))


def test_mnist_files_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark_miniatures.mnist(tmp_path, monkeypatch)
    labels = tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte"
    for content, message in (
        (benchmark_miniatures.idx(np.array([5, 5])), "t10k-images-idx3-ubyte: 1 images, and 2 labels; unpack"),
        (benchmark_miniatures.idx(np.array([10])), "labels from 10 to 10; 0 to 9 are allowed: unpack"),
        (
            benchmark_miniatures.idx(np.array([[5]])),
            "is no table of bytes in 1 dimensions, as MNIST's files are; unpack",
        ),
        (benchmark_miniatures.idx(np.array([5]))[:-1], r"labels-idx1-ubyte: 0 bytes for the shape \(1,\); unpack"),
        (b"", "is no table of bytes"),
    ):
        labels.write_bytes(content)
        with pytest.raises(UserError, match=message):
            MNIST(str(tmp_path))
    labels.unlink()
    with pytest.raises(
        UserError, match=r"is incomplete|no MNIST in .*t10k-labels-idx1-ubyte.gz \(or the same unpacked\)"
    ):
        MNIST(str(tmp_path))


def test_fer_in_the_order_of_columns_of_its_other_file(tmp_path: Path) -> None:
    path = tmp_path / "fer2013/icml_face_data.csv"
    pixels = " ".join(["0"] * 2303 + ["255"])
    lines(path, ["emotion, Usage, pixels", f"3,Training,{pixels}", "1,PrivateTest,1 2 256", ""])
    dataset = FER2013(str(tmp_path))
    (face,) = dataset.images("train")
    array = np.asarray(face.open())
    assert (array.shape, int(array.sum()), int(array[47, 47])) == ((48, 48), 255, 255)
    assert face.label == 3
    with pytest.raises(UserError, match=r"icml_face_data.csv\[00002\]: not 48 × 48 numbers of 0 to 255"):
        dataset.images("test")[0].open()
    lines(path, ["emotion, Usage, pixels", "7,Training,0", "x", "0,Test,0"])
    with pytest.raises(UserError) as raised:
        FER2013(str(tmp_path))
    assert str(raised.value) == (
        f"{path}: row 1: emotion '7', Usage 'Training'; row 2: emotion '', Usage ''; row 3: emotion '0', Usage 'Test'; "
        "an emotion of 0 to 6 and one of Training, PublicTest, PrivateTest are allowed: unpack the official archive "
        "again."
    )
    lines(path, ["pixels", "0"])
    with pytest.raises(UserError, match=r"columns \['pixels'\]; emotion, pixels and Usage are allowed"):
        FER2013(str(tmp_path))


def test_patches_need_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark_miniatures.pcam(tmp_path, monkeypatch)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(EnvironmentFault) as raised:
        PCAM(str(tmp_path))
    assert str(raised.value) == (
        "dataset pcam: PatchCamelyon's files are HDF5, and the package 'h5py', which reads them, is not installed; "
        "install it with: pip install h5py"
    )

    def broken(_path: Path) -> Any:
        raise OSError("truncated file")

    monkeypatch.setitem(sys.modules, "h5py", SimpleNamespace(File=broken))
    with pytest.raises(UserError, match=r"split_train_x.h5: it or .*train_y.h5 cannot be read \(truncated file\); unp"):
        PCAM(str(tmp_path))
