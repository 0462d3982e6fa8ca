"""What is wrong with a recognizer's numbers, device, file of weights or own class is a line that names its key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torchvision.models import get_model

from reward.components import resolve, settings_problems
from reward.errors import UserError
from reward.presets import BACKENDS
from reward.recognizers.base import put_weights, read_weights
from reward.recognizers.table import load_recognizer, recognizer_problems, weights_problems

EACH: list[tuple[str, dict[str, Any]]] = [
    ("torchvision", {"model": "squeezenet1_1"}),
    ("timm", {"model": "resnet10t.c3_in1k"}),
    ("vlm", {}),
    ("efficientnet-lite0", {}),
    ("resnet101", {}),
]


@pytest.mark.parametrize(("name", "settings"), EACH)
def test_batch_sizes_are_whole_numbers_above_zero(name: str, settings: dict[str, Any]) -> None:
    for given in (0, -3, "8", 8.0, True):
        (line,) = recognizer_problems(name, {**settings, "batch_size": given}, "r")
        assert line.startswith(f"r.batch_size: given {given!r}; input should be ")
    assert recognizer_problems(name, {**settings, "batch_size": 1}, "r") == []


@pytest.mark.parametrize("name", ["open_clip", "huggingface", "conse"])
def test_batch_sizes_of_vlms_too(name: str) -> None:
    lines = settings_problems(resolve(BACKENDS[name].replace(":", "."), {}, "v"), {"batch_size": 0}, "v")
    assert "v.batch_size: given 0; input should be greater than 0." in lines
    lines = settings_problems(resolve(BACKENDS[name].replace(":", "."), {}, "v"), {"batch_size": 8}, "v")
    assert not [line for line in lines if "batch_size" in line]


@pytest.mark.parametrize(("name", "settings"), [one for one in EACH if one[0] != "vlm"])
def test_devices_are_torch_s_and_this_machine_s(name: str, settings: dict[str, Any]) -> None:
    assert recognizer_problems(name, {**settings, "device": "foo"}, "r") == [
        "r.device: given 'foo'; auto, cpu, cuda, cuda:1, mps and the like are allowed."
    ]
    for device in ("auto", "cpu", "meta"):
        assert recognizer_problems(name, {**settings, "device": device}, "r") == []
        told = [one for one in weights_problems(name, {**settings, "device": device}, "r") if ".device" in one]
        assert len(told) == (device == "meta")  # nothing can be computed on it
    assert told[0].startswith("r.device: meta: not on this machine (")
    assert "\n" not in told[0]


def test_a_home_that_is_not_there_names_its_key() -> None:
    for name, model in (("torchvision", "alexnet"), ("timm", "resnet10t.c3_in1k")):
        with pytest.raises(UserError, match=r"^r\.weights: given '~nosuchuser/w\.pth': no such user's folder; [^\n]*$"):
            weights_problems(name, {"model": model, "weights": "~nosuchuser/w.pth"}, "r")


def test_files_that_are_no_weights_are_a_line(tmp_path: Path) -> None:
    (tmp_path / "junk.pth").write_bytes(b"junk")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    torch.save({1: torch.zeros(2)}, tmp_path / "numbers.pth")
    torch.save({"state_dict": {"state_dict": 5}}, tmp_path / "nested.pth")
    told = {
        "junk.pth": "no readable weights|holds more than weights",
        "empty.pth": "no readable weights",
        "empty.safetensors": "no readable weights",
        "numbers.pth": "holds no weights by name",
        "nested.pth": "holds no weights by name",
    }
    for name, words in told.items():
        with pytest.raises(UserError, match=words) as error:
            load_recognizer("torchvision", {"model": "squeezenet1_1", "weights": str(tmp_path / name)}, "r")
        assert str(error.value).startswith(f"recognizer 'squeezenet1_1': {tmp_path / name}: ")
        assert "\n" not in str(error.value)


def test_weights_are_finite(tmp_path: Path) -> None:
    path, module = tmp_path / "w.pth", torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    state = module.state_dict()
    torch.save(state, path)
    put_weights(module, read_weights(path, "r"), path, "r")
    for key, value in (("0.bias", float("inf")), ("1.running_var", float("nan"))):
        faulty = {name: one.clone() for name, one in torch.load(path).items()}
        faulty[key][0] = value
        with pytest.raises(UserError) as error:
            put_weights(module, faulty, path, "r")
        assert str(error.value) == f"r: {path}: {key}, one of 1, holds values that are not finite; give another file."
    with pytest.raises(UserError, match="the weights are those of another model"):
        put_weights(get_model("squeezenet1_1", weights=None), state, path, "r")


class Own:
    """A recognizer of the user's own, whose attributes are as they are given."""

    name: Any = "own"

    def __init__(self, batch_size: Any = 4, labels: Any = ("a", "b"), vocabulary: Any = "own") -> None:
        self.batch_size, self.labels, self.vocabulary = batch_size, labels, vocabulary

    def fingerprint(self) -> str:
        return "own"

    def scores(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return torch.zeros(len(images), 2)


def test_an_own_class_has_what_a_recognizer_has() -> None:
    path = f"{Own.__module__}.Own"
    assert load_recognizer(path, {}, "r").batch_size == 4
    with pytest.raises(UserError) as error:
        load_recognizer(path, {"batch_size": 0, "labels": "ab", "vocabulary": "imagenet"}, "r")
    lines = str(error.value).splitlines()
    assert lines == [
        f"r: '{path}': labels: given 'ab'; a list of texts is needed.",
        f"r: '{path}': vocabulary: given 'imagenet'; one of imagenet-1k, classes, own is needed.",
        f"r: '{path}': batch_size: given 0; a whole number above 0 is needed.",
    ]
