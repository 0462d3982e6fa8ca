"""What the generator `diffusers` refuses, and where it finds its pipeline."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_diffusion
import torch
from PIL import Image
from tiny_diffusion import asked

from ex2.sets.class_images import read_class_images
from ex2.sets.generators.base import build_generator
from ex2.sets.generators.pipeline import Diffusers
from ex2.sets.generators.pipeline_folder import PipelineFolder
from ex2.sets.requests import Drawn, DrawRequest
from reward.backends.common import pick_device
from reward.errors import EnvironmentFault, UserError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_diffusion.save_stable_diffusion(tmp_path_factory.mktemp("diffusion") / "tiny")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures of each of two classes, one color and noise each."""
    colors = {"zorb": (220, 20, 20), "blick": (20, 20, 220)}
    return tiny_diffusion.write_photos(tmp_path / "photos", colors, 3, (40, 44))


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
    assert "given 'NoScheduler', which diffusers" in line
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


def test_a_device_that_is_not_there(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available=False: None)
    for device in ("foo", "cuda", "cuda:1", "meta", "cpu:1", "", "cuda:x"):
        told = f"generator.device: given {device!r}, which this machine does not have; give auto or one of cpu."
        generator = Diffusers(str(model), steps=1, device=device)
        for ask in (generator.check_machine, lambda drawing=generator: drawing.draw([asked()])):
            with pytest.raises(UserError) as raised:
                ask()
            assert str(raised.value) == told
        with pytest.raises(UserError, match=r"^device: given"):
            pick_device(device)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available=False: torch.device("cuda"))
    monkeypatch.setattr("torch.accelerator.device_count", lambda: 2)
    assert [str(pick_device(one)) for one in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda:1"]
    with pytest.raises(UserError, match=r"given 'cuda:2', .*give auto or one of cpu, cuda, cuda:0, cuda:1\.$"):
        pick_device("cuda:2")
    Diffusers(str(model), steps=1, device="cpu").check_machine()


def test_a_captioners_device_is_looked_for_too(model: Path, tmp_path: Path) -> None:
    (tmp_path / "git").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "git" / name).write_text("{}")
    Image.new("RGB", (6, 5)).save(tmp_path / "a.png")
    pool = tiny_diffusion.write_pool(tmp_path, [{"caption": "zorb", "file": "a.png"}])
    encoder = str(tiny_diffusion.save_sentence_encoder(tmp_path / "encoder"))
    captioner = {"name": "transformers", "model": str(tmp_path / "git"), "device": "foo"}
    for wrong in ({"batch_size": 0}, {"max_new_tokens": -1}):
        (line,) = problems(model=str(model), inversion={
            "images": {"pool": str(pool), "encoder": encoder},
            "filter": {"captioner": captioner | wrong, "encoder": encoder},
        })  # fmt: skip
        assert line.endswith("at least 1 is needed.")
    inversion = {
        "images": {"pool": str(pool), "encoder": encoder},
        "filter": {"captioner": captioner, "encoder": encoder},
    }
    with pytest.raises(UserError, match=r"^generator\.inversion\.filter\.captioner\.device: given 'foo'"):
        Diffusers(str(model), steps=1, inversion=inversion).check_machine()


@pytest.mark.parametrize(
    ("scheduler", "reason"),
    [
        ("AutoencoderKL", "which is no scheduler of diffusers"),
        ("ConfigMixin", "which is no scheduler of diffusers|which diffusers .* does not have"),
        ("DiffusionPipeline", "which is no scheduler of diffusers"),
        ("__path__", "which is no scheduler of diffusers"),
        ("SchedulerMixin", "which does not go with the pipeline's DDIMScheduler; give one of DDIMScheduler, DDPM"),
        ("FlowMatchEulerDiscreteScheduler", "which does not go with the pipeline's DDIMScheduler; give one of DDIM"),
    ],
)
def test_schedulers_that_do_not_fit(model: Path, scheduler: str, reason: str) -> None:
    (line,) = Diffusers(str(model), steps=1, scheduler=scheduler).request_problems([asked()])
    assert re.match(f"generator.scheduler: given '{scheduler}', ({reason})", line), line


def test_schedulers_that_fit(model: Path) -> None:
    for scheduler in ("DDIMScheduler", "EulerDiscreteScheduler", "UniPCMultistepScheduler"):
        assert Diffusers(str(model), steps=1, scheduler=scheduler).request_problems([asked()]) == []


def test_a_saved_scheduler_may_have_an_infinite_bound(model: Path, tmp_path: Path) -> None:
    from diffusers import DPMSolverMultistepScheduler

    other = changed(model, tmp_path / "other")
    DPMSolverMultistepScheduler(num_train_timesteps=50, steps_offset=1).save_pretrained(other / "scheduler")
    assert "-Infinity" in (other / "scheduler/scheduler_config.json").read_text()
    index = json.loads((other / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "DPMSolverMultistepScheduler"]
    (other / "model_index.json").write_text(json.dumps(index))
    assert Diffusers(str(other), steps=50).request_problems([asked()]) == []
    (line,) = Diffusers(str(other), steps=51, scheduler="DDIMScheduler").request_problems([asked()])
    assert line == "generator.steps: given 51; the pipeline's DDIMScheduler has 50 steps of training; give fewer."


def test_steps_that_a_scheduler_does_not_take(model: Path) -> None:
    for scheduler, own in ((None, "DDIMScheduler"), ("EulerDiscreteScheduler", "EulerDiscreteScheduler")):
        (line,) = Diffusers(str(model), steps=1001, scheduler=scheduler).request_problems([asked()])
        assert line == f"generator.steps: given 1,001; the pipeline's {own} has 1,000 steps of training; give fewer."
        assert Diffusers(str(model), steps=1000, scheduler=scheduler).request_problems([asked()]) == []
    with pytest.raises(UserError) as raised:
        Diffusers(str(model), steps=1001).draw([asked()])
    assert str(raised.value).startswith(
        "generator: the StableDiffusionPipeline 'tiny' refuses what it is asked (ValueError: `num_inference_steps`"
    )
    assert "\n" not in str(raised.value)


def test_a_full_memory_is_not_taken_for_a_refusal(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any, **words: Any) -> None:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr("diffusers.StableDiffusionPipeline.__call__", full)
    with pytest.raises(EnvironmentFault, match="does not suffice for 1 images at once"):
        Diffusers(str(model), steps=1).draw([asked()])


@pytest.mark.parametrize("name", ["__path__", "__version__", "DDIMScheduler", "AutoencoderKL", "utils"])
def test_what_is_no_pipeline_of_diffusers(model: Path, tmp_path: Path, name: str) -> None:
    other = changed(model, tmp_path / "other")
    index = json.loads((other / "model_index.json").read_text())
    (other / "model_index.json").write_text(json.dumps({**index, "_class_name": name}))
    (line,) = Diffusers(str(other)).request_problems([asked()])
    assert line.startswith(f"generator.model: its pipeline is a '{name}', which is no pipeline of diffusers")


def test_configurations_that_are_none(model: Path, tmp_path: Path) -> None:
    other = changed(model, tmp_path / "other")
    (other / "unet/config.json").write_text("[]")
    (other / "vae/config.json").write_text("{")
    (other / "scheduler/scheduler_config.json").write_text("5")
    lines = problems(model=str(other))
    assert [line.partition(" (")[0] for line in sorted(lines)] == [
        "generator.model: 'other': scheduler/scheduler_config.json: holds no object; fetch the pipeline again.",
        "generator.model: 'other': unet/config.json: holds no object; fetch the pipeline again.",
        "generator.model: 'other': vae/config.json: cannot be read",
    ]
    config = json.loads((model / "scheduler/scheduler_config.json").read_text())
    (other / "unet/config.json").write_text((model / "unet/config.json").read_text())
    (other / "vae/config.json").write_text((model / "vae/config.json").read_text())
    (other / "scheduler/scheduler_config.json").write_text(json.dumps({**config, "num_train_timesteps": -1}))
    (line,) = Diffusers(str(other)).request_problems([asked()])
    assert line.startswith("generator.model: its DDIMScheduler cannot be made of scheduler/scheduler_config.json (")


@pytest.mark.parametrize("name", ["~nosuchuser/x", "a" * 300 + "/b", "/" + "a" * 300])
def test_names_that_no_folder_can_have(model: Path, name: str) -> None:
    (line,) = problems(model=name)
    assert line.startswith("generator.model: ")
    (line,) = problems(model=str(model), inversion=name)
    assert line.startswith("generator.inversion: no folder ")
