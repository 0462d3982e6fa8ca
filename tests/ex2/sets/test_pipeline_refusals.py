"""What the generator `diffusers` refuses, and where it finds its pipeline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_diffusion
from PIL import Image

from ex2.sets.class_images import read_class_images
from ex2.sets.generators.base import build_generator
from ex2.sets.generators.pipeline import Diffusers
from ex2.sets.generators.pipeline_folder import PipelineFolder
from ex2.sets.requests import Drawn, DrawRequest, image_seed
from reward.errors import UserError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_diffusion.save_stable_diffusion(tmp_path_factory.mktemp("diffusion") / "tiny")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures of each of two classes, one color and noise each."""
    pixels = np.random.default_rng(0)
    for name, color in (("zorb", (220, 20, 20)), ("blick", (20, 20, 220))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            noisy = np.array(color) + pixels.normal(0, 15, (40, 44, 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def asked(index: int = 0, name: str = "zorb", prompt: str | None = None, **changes: Any) -> DrawRequest:
    text = f"a photo of a {name}" if prompt is None else prompt
    given = {"class_name": name, "label": 0, "index": index, "prompt": text, "seed": image_seed(0, name, index)}
    return DrawRequest(**{**given, **changes})


def problems(**settings: Any) -> list[str]:
    with pytest.raises(UserError) as raised:
        build_generator("diffusers", settings)
    return str(raised.value).splitlines()


def changed(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder)
    return folder


def test_what_is_wrong_is_told_at_once(model: Path, tmp_path: Path) -> None:
    assert problems(
        model=str(tmp_path / "none"), steps=0, guidance=-1.0, width=30, batch_size=0, strength=0.5, inversion="nowhere"
    ) == [
        "generator.steps: given 0; give from 1 to 10,000.",
        "generator.guidance: given -1; give from 0 to 100.",
        "generator.width: given 30; a multiple of 8 from 8 to 4,096 pixels is allowed.",
        "generator.batch_size: given 0; at least 1 is needed.",
        "generator.start: missing, and strength is given; the two go together.",
        f"generator.model: no folder {str(tmp_path / 'none')!r}; give a folder with a diffusion pipeline, or a hub id "
        "(org/name).",
        "generator.inversion: no folder 'nowhere'; give the folder of learned embeddings, one file a class.",
    ]
    start = {"folder": str(tmp_path)}
    for strength, told in ((0.0, "above 0"), (1.5, "above 0"), (0.01, "leaves less than one of 50 steps")):
        lines = problems(model=str(model), start=start, strength=strength)
        assert told in lines[0]
        assert lines[1].startswith("generator.start.folder: no class folders in")
    assert problems(model=str(model), stepz=3)[0].startswith("generator: unknown 'stepz'. Did you mean 'steps'?")


def test_folders_that_are_no_pipeline(model: Path, tmp_path: Path) -> None:
    assert problems(model=str(tmp_path)) == [
        f"generator.model: '{tmp_path.name}' is no pipeline: it has no model_index.json; give a folder that diffusers "
        "has saved, or a hub id (org/name)."
    ]
    pickled = changed(model, tmp_path / "pickled")
    weights = pickled / "unet/diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    assert problems(model=str(pickled)) == [
        "generator.model: 'pickled': unet has its weights only as diffusion_pytorch_model.bin, which can run code when "
        "it is loaded; save the pipeline as safetensors (save_pretrained does), or give one that has them."
    ]
    bare = changed(model, tmp_path / "bare")
    (bare / "vae/diffusion_pytorch_model.safetensors").unlink()
    shutil.rmtree(bare / "tokenizer")
    assert problems(model=str(bare)) == [
        "generator.model: 'bare': its model_index.json names tokenizer, and there is no such folder; fetch the "
        "pipeline again.",
        "generator.model: 'bare': vae has no weights (*.safetensors); fetch the pipeline again.",
    ]
    half = changed(model, tmp_path / "half")
    unet = half / "unet/diffusion_pytorch_model.safetensors"
    assert problems(model=str(half), variant="fp16")[0].startswith(
        "generator.model: 'half': text_encoder has no weights of the variant 'fp16'"
    )
    unet.rename(unet.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert "unet has only those of a variant" in problems(model=str(half))[0]
    own = changed(model, tmp_path / "own")
    index = json.loads((own / "model_index.json").read_text())
    (own / "model_index.json").write_text(json.dumps({**index, "unet": ["my_code", "MyUNet"]}))
    assert "unet is MyUNet of 'my_code', code of the pipeline's own, which is not run" in problems(model=str(own))[0]
    (own / "model_index.json").write_text(json.dumps({**index, "_class_name": "MyPipeline"}))
    (line,) = Diffusers(str(own)).request_problems([asked()])
    assert line.startswith("generator.model: its pipeline is a 'MyPipeline', which diffusers")
    assert PipelineFolder(model).problems("x") == []
    assert problems(model="org/never-fetched")[0].startswith(
        "generator.model: 'org/never-fetched' is not in the local cache of the hub; fetch it first: python -c"
    )


def test_a_repository_of_the_hub_is_read_from_its_cache(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As huggingface_hub lays it out: its commit stands for the content of all files."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    commits = [letter * 40 for letter in "ab"]
    repository = tmp_path / "hub/models--org--tiny"
    for commit in commits:
        changed(model, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commits[0])
    newest, first, second = (
        Diffusers("org/tiny", revision=revision, steps=2) for revision in (None, commits[0], commits[1])
    )
    assert newest.fingerprint() == first.fingerprint() != second.fingerprint()
    assert newest.settings["model"] == "org/tiny"
    assert isinstance(newest.draw([asked()])[0], Drawn)


def test_what_the_pipeline_does_not_take_is_told_before_it_is_loaded(model: Path, tmp_path: Path) -> None:
    def told(requests: Sequence[DrawRequest], **settings: Any) -> list[str]:
        return Diffusers(str(model), **settings).request_problems(requests)

    negative = [asked(negative_prompt="blurry")]
    assert told(negative) == []
    assert told([asked()], guidance=1.0) == []
    (line,) = told(negative, guidance=1.0)
    assert line.startswith("generator.guidance: given 1, at which negative prompts are not read")
    (line,) = told([asked()], scheduler="NoScheduler")
    assert "has no 'NoScheduler'" in line
    unconditional = changed(model, tmp_path / "other")
    index = json.loads((unconditional / "model_index.json").read_text())
    (unconditional / "model_index.json").write_text(json.dumps({**index, "_class_name": "DDIMPipeline"}))
    assert [line.partition(";")[0] for line in Diffusers(str(unconditional)).request_problems(negative)] == [
        "generator.model: a DDIMPipeline takes no prompt",
        "generator.model: a DDIMPipeline reads no negative prompts",
    ]
    damaged = changed(model, tmp_path / "damaged")
    (damaged / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"generator.model: 'damaged' cannot be loaded \("):
        Diffusers(str(damaged)).draw([asked()])


def test_start_needs_an_image_of_each_class(model: Path, photos: Path) -> None:
    generator = Diffusers(str(model), steps=4, start={"folder": str(photos)}, strength=0.5)
    (line,) = generator.request_problems([asked(), asked(0, "quux")])
    assert line == ("generator.start: class 'quux' has no image (2 classes have); add some, or leave it out.")
    for given, told in (
        ({}, "give either dataset with split, or folder"),
        ({"folder": str(photos), "per_class": 0}, "generator.start.per_class: given 0"),
        ({"dataset": {"root": "x"}, "split": "train"}, "give a dataset's name under 'name'"),
        ({"dataset": {"name": "folder", "root": str(photos)}}, "generator.start.split: given None"),
        ({"folder": str(photos), "selection": "last"}, "unknown 'last'"),
        ({"folder": str(photos), "shots": 5}, "generator.start: unknown 'shots'"),
    ):
        with pytest.raises(UserError) as raised:
            read_class_images(given, "generator.start")
        assert told in str(raised.value)
