"""Textual inversion on a tiny Stable Diffusion: what moves, what it is held to, and what is learned again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_diffusion
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ex2.sets import learned
from ex2.sets.captions import Filter, kept
from ex2.sets.generators.pipeline import Diffusers
from ex2.sets.inversion import Training, denoising_loss, initial_embedding, learn_embedding
from ex2.sets.learned import LearnedRow, find_embeddings
from ex2.sets.references import Reference
from ex2.sets.requests import Drawn, DrawRequest, image_seed
from reward.errors import UserError
from reward.files import read_rows

TRAINING = Training(steps=30, batch=4, rate=0.1, templates=("a photo of a {}", "a {}"), side=32, seed=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_diffusion.save_stable_diffusion(tmp_path_factory.mktemp("inverted") / "tiny")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures of each of two classes; the second class's name is several tokens."""
    colors = {"zorb": (220, 20, 20), "quux": (20, 20, 220)}
    return tiny_diffusion.write_photos(tmp_path / "photos", colors, 2, (40, 40))


def pictures(photos: Path, name: str = "zorb") -> list[Image.Image]:
    return [Image.open(path) for path in sorted((photos / name).iterdir())]


def loaded(model: Path) -> Any:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(model, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def weights(pipeline: Any) -> dict[str, torch.Tensor]:
    parts = {"unet": pipeline.unet, "vae": pipeline.vae, "text_encoder": pipeline.text_encoder}
    return {
        f"{part}.{name}": tensor.clone()
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }


def test_one_row_moves_and_its_loss_falls(model: Path, photos: Path) -> None:
    pipeline = loaded(model)
    before, flags = weights(pipeline), [one.requires_grad for one in pipeline.unet.parameters()]
    word, initial = initial_embedding(pipeline, ["zorb", "object"])
    assert word == "zorb"
    told: list[float] = []
    found = learn_embedding(pipeline, pictures(photos), initial, TRAINING, told.append)
    after = weights(pipeline)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before), "all other parameters, bit for bit"
    assert [one.requires_grad for one in pipeline.unet.parameters()] == flags
    assert len(pipeline.tokenizer) == len(tiny_diffusion.clip_tokenizer())
    assert found.embedding.shape == (32,)
    assert not torch.equal(found.embedding, initial)
    assert found.losses.tolist() == told
    assert len(told) == 30
    few = replace(TRAINING, steps=4)
    assert learn_embedding(pipeline, pictures(photos), initial, few).losses.tolist() == told[:4], "a seed decides all"
    assert learn_embedding(pipeline, pictures(photos), initial, replace(few, seed=1)).losses.tolist() != told[:4]

    def fixed_loss(row: torch.Tensor) -> float:
        """The loss of an embedding on a fixed batch of noise, through the pipeline's own text encoder."""
        table = pipeline.text_encoder.get_input_embeddings().weight
        place = pipeline.tokenizer("zorb", add_special_tokens=False)["input_ids"][0]
        kept_row = table[place].detach().clone()
        try:
            with torch.no_grad():
                table[place] = row
                ids = pipeline.tokenizer(
                    ["a photo of a zorb"] * 32, padding="max_length", max_length=16, return_tensors="pt"
                )["input_ids"]
                states = pipeline.text_encoder(ids)[0]
                seen = torch.stack(
                    [torch.from_numpy(np.asarray(one.resize((32, 32)), dtype=np.float32)) for one in pictures(photos)]
                )
                seen = (seen / 127.5 - 1).permute(0, 3, 1, 2).repeat(16, 1, 1, 1)
                return float(denoising_loss(pipeline, seen, states, torch.Generator().manual_seed(7)))
        finally:
            with torch.no_grad():
                table[place] = kept_row

    random = torch.randn(initial.shape, generator=torch.Generator().manual_seed(1)) * initial.std()
    unmoved = learn_embedding(pipeline, pictures(photos), initial, replace(few, rate=1e-12))
    assert fixed_loss(found.embedding) < fixed_loss(initial) - 0.005
    assert fixed_loss(found.embedding) < fixed_loss(random) - 0.005, "another embedding alone does not do it"
    assert abs(fixed_loss(unmoved.embedding) - fixed_loss(initial)) < 1e-5, "nor do steps that do not move it"


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_loss_is_of_what_the_schedule_says(prediction: str, tmp_path: Path, photos: Path) -> None:
    """Written out: noise, velocity, or image, with the cumulative products of the schedule."""
    pipeline = loaded(tiny_diffusion.save_stable_diffusion(tmp_path / "tiny", prediction=prediction))
    images = torch.rand((3, 3, 32, 32), generator=torch.Generator().manual_seed(3)) * 2 - 1
    states = torch.zeros(3, 16, 32)
    with torch.no_grad():
        found = float(denoising_loss(pipeline, images, states, torch.Generator().manual_seed(5)))
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        moments = pipeline.vae.encode(images).latent_dist
        latents = (moments.mean + moments.std * torch.randn(moments.mean.shape, generator=random)) * 0.18215
        noise = torch.randn(latents.shape, generator=random)
        steps = torch.randint(1000, (3,), generator=random)
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        kept_share = (1 - betas).cumprod(0)[steps].float()[:, None, None, None]
        noised = kept_share.sqrt() * latents + (1 - kept_share).sqrt() * noise
        predicted = pipeline.unet(noised, steps, states).sample
        wanted = {
            "epsilon": noise,
            "sample": latents,
            "v_prediction": kept_share.sqrt() * noise - (1 - kept_share).sqrt() * latents,
        }
        losses = {kind: float(((predicted - target) ** 2).mean()) for kind, target in wanted.items()}
    assert found == pytest.approx(losses[prediction], rel=1e-5)
    assert all(abs(found - other) > 1e-3 for kind, other in losses.items() if kind != prediction)


def asked(name: str, index: int = 0, prompt: str | None = None) -> DrawRequest:
    text = f"a photo of a {name}" if prompt is None else prompt
    return DrawRequest(class_name=name, label=0, index=index, prompt=text, seed=image_seed(0, name, index))


def inverting(model: Path, photos: Path, **settings: Any) -> Diffusers:
    given = {"images": {"folder": str(photos), "per_class": 2}, "steps": 8, "rate": 0.1, "label": "toys", **settings}
    return Diffusers(str(model), steps=3, inversion=given)


REQUESTS = [asked("zorb"), asked("quux")]


def difference(first: Any, second: Any) -> float:
    assert isinstance(first, Drawn)
    assert isinstance(second, Drawn)
    return float(np.abs(np.asarray(first.image).astype(int) - np.asarray(second.image).astype(int)).mean())


def test_embeddings_are_learned_once_and_load_again(
    model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = inverting(model, photos)
    assert generator.request_problems(REQUESTS) == []
    drawn = generator.draw(REQUESTS)
    plain = Diffusers(str(model), steps=3).draw(REQUESTS)
    assert all(difference(*pair) > 0.5 for pair in zip(drawn, plain, strict=True))
    (log,) = (Path(learned.cache_dir()) / "inversions").glob("*/learned.jsonl")
    rows = read_rows(log, LearnedRow.from_json, what="class", remedy="-")
    assert [(row.class_name, row.token, row.initial, row.steps, len(row.images)) for row in rows] == [
        ("zorb", "<|toys zorb|>", "zorb", 8, 2),
        ("quux", "<|toys quux|>", "object", 8, 2),
    ], "a name of several tokens begins as another word, which is stated"

    pipeline = loaded(model)
    table = pipeline.text_encoder.get_input_embeddings().weight.detach().clone()
    pipeline.load_textual_inversion(str(log.parent), weight_name="quux.safetensors")
    token = pipeline.tokenizer.convert_tokens_to_ids("<|toys quux|>")
    known = load_file(log.parent / "quux.safetensors")["<|toys quux|>"]
    grown = pipeline.text_encoder.get_input_embeddings().weight
    assert torch.equal(grown[token], known)
    assert torch.equal(grown[: len(table)], table)
    ids = pipeline.tokenizer("a photo of a <|toys quux|>")["input_ids"]
    assert ids.count(token) == 1

    def no_learning(*given: Any, **words: Any) -> Any:
        raise AssertionError("learned again")

    monkeypatch.setattr("ex2.sets.inversion.learn_embedding", no_learning)
    again = inverting(model, photos)
    assert again.fingerprint() == generator.fingerprint()
    assert all(difference(*pair) < 0.01 for pair in zip(drawn, again.draw(REQUESTS), strict=True))
    from_folder = Diffusers(str(model), steps=3, inversion=str(log.parent))
    assert isinstance(from_folder.draw([asked("", prompt="a photo")])[0], Drawn), "a text of no class"
    assert from_folder.request_problems(REQUESTS) == []
    assert all(difference(*pair) < 0.01 for pair in zip(drawn, from_folder.draw(REQUESTS), strict=True))
    assert f"embeddings of 2 classes: {log.parent}" in capsys.readouterr().err


def test_a_kill_leaves_the_classes_before_it(model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ex2.sets import inversion

    learn, calls = inversion.learn_embedding, []

    def killed(*given: Any, **words: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return learn(*given, **words)

    monkeypatch.setattr("ex2.sets.inversion.learn_embedding", killed)
    with pytest.raises(KeyboardInterrupt):
        inverting(model, photos).draw(REQUESTS)
    inverting(model, photos).draw(REQUESTS)
    assert len(calls) == 3, "the first class is not learned again"
    (folder,) = (Path(learned.cache_dir()) / "inversions").iterdir()
    damaged = folder / "zorb.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    inverting(model, photos).draw(REQUESTS)
    assert len(calls) == 4, "a damaged one is"


def test_settings_and_images_decide_the_embedding(model: Path, photos: Path) -> None:
    first = inverting(model, photos).fingerprint()
    assert inverting(model, photos).fingerprint() == first
    assert inverting(model, photos, steps=9).fingerprint() != first
    assert inverting(model, photos, images={"folder": str(photos), "per_class": 1}).fingerprint() != first
    Image.new("RGB", (40, 40), "green").save(photos / "zorb/0.png")
    assert inverting(model, photos).fingerprint() != first


def problems(model: Path, inversion: Any, **settings: Any) -> list[str]:
    with pytest.raises(UserError) as raised:
        Diffusers(str(model), inversion=inversion, **settings)
    return str(raised.value).splitlines()


def test_what_is_wrong_is_told(model: Path, photos: Path, tmp_path: Path) -> None:
    generator = inverting(model, photos)
    assert generator.request_problems([*REQUESTS, asked("blick")]) == [
        "generator.inversion.images: class 'blick' has no image (2 classes have); add some, or leave it out."
    ]
    (line,) = generator.request_problems([asked("zorb", prompt="a photo")])
    assert line.startswith(
        "generator.inversion: 1 of 1 prompts do not name their class, such as 'a photo' for 'zorb', so that its"
    )
    images = {"folder": str(photos)}
    given = {"images": images, "steps": 0, "rate": 2.0, "templates": ["a photo"]}
    assert [line.partition(";")[0] for line in problems(model, given)] == [
        "generator.inversion.templates: given 'a photo'",
        "generator.inversion.steps: given 0",
        "generator.inversion.rate: given 2",
    ]
    assert "unknown 'step'" in problems(model, {"images": images, "step": 3})[0]
    assert "gradients vanish in float16" in problems(model, {"images": images}, dtype="float16")[0]
    assert "'images' is missing" in problems(model, {})[0]
    with pytest.raises(UserError, match="none of 'quux', 'unheard' is one token"):
        inverting(model, photos, initial="unheard").draw([asked("quux")])


def test_a_folder_of_embeddings_is_checked(model: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none/zorb.bin").write_bytes(b"x")
    assert problems(model, str(tmp_path / "none")) == [
        f"generator.inversion: only zorb.bin, which can run code when it is loaded in '{tmp_path / 'none'}'; "
        "embeddings are <class>.safetensors, one file a class."
    ]
    some = tmp_path / "some"
    some.mkdir()
    save_file({"<a>": torch.zeros(32)}, some / "zorb.safetensors")
    assert find_embeddings(some, "x").problems(["zorb", "sea lion"]) == [
        "x: class 'sea lion' has no embedding: there is no sea_lion.safetensors; learn it, or leave the class out."
    ]
    save_file({"<a>": torch.zeros(1, 32)}, some / "quux.safetensors")
    save_file({"<b>": torch.zeros(2, 32)}, some / "two.safetensors")
    (some / "wrong.safetensors").write_bytes(b"wrong")
    lines = problems(model, str(some))
    assert [line.split(": ")[2].partition(" ")[0] for line in lines] == ["holds", "no", "its"] or len(lines) == 3
    wide = tmp_path / "wide"
    wide.mkdir()
    save_file({"<a>": torch.zeros(48)}, wide / "zorb.safetensors")
    with pytest.raises(UserError, match="an embedding does not fit the pipeline"):
        Diffusers(str(model), steps=2, inversion=str(wide)).draw([asked("zorb")])


def test_small_images_are_warned_of(model: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (31, 40), "red").save(photos / "zorb/0.png")
    inverting(model, photos, steps=1).draw([asked("zorb")])
    assert "careful: 1 of 2 images to learn from have a side below 32 pixels" in capsys.readouterr().err
    Image.new("RGB", (32, 40), "red").save(photos / "zorb/0.png")
    inverting(model, photos, steps=1).draw([asked("zorb")])
    assert "careful" not in capsys.readouterr().err


# --- which retrieved images are learned from ---


def test_the_filter_keeps_from_its_bound_on() -> None:
    assert kept([0.79999, 0.8, float("nan"), 1.0, -1.0], 0.8) == [1, 3]
    assert kept([0.1, 0.2], -1.0) == [0, 1]
    assert kept([], 0.8) == []


@pytest.fixture
def pool(tmp_path: Path, photos: Path) -> Path:
    """Four images that are said to be zorbs; a captioner's column knows that two are not, and says nothing of one."""
    rows = []
    for number, told in enumerate(("zorb", "blue", "", "zorb")):
        Image.new("RGB", (40, 40), (60 * number, 0, 0)).save(tmp_path / f"{number}.png")
        rows.append({"caption": "a photo of a zorb", "file": f"{number}.png", "blip": told or "-"})
    rows[2]["blip"] = "blurry style"
    return tiny_diffusion.write_pool(tmp_path, rows)


def test_captions_choose_the_images(model: Path, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = str(tiny_diffusion.save_sentence_encoder(tmp_path / "encoder"))
    images = {"pool": str(pool), "encoder": encoder, "per_class": 4}
    chosen: list[int] = []

    def count(pipeline: Any, pictures: Any, *given: Any) -> Any:
        chosen.append(len(pictures))
        raise KeyboardInterrupt

    monkeypatch.setattr("ex2.sets.inversion.learn_embedding", count)

    def learned_from(**changes: Any) -> int:
        generator = Diffusers(str(model), steps=2, inversion={"images": images, "steps": 1, **changes})
        assert generator.request_problems([asked("zorb")]) == []
        with pytest.raises(KeyboardInterrupt):
            generator.draw([asked("zorb")])
        return chosen[-1]

    column = {"captioner": {"name": "column", "column": "blip"}, "encoder": encoder}
    assert learned_from() == 4
    assert learned_from(filter={**column, "at_least": -1.0}) == 4
    assert learned_from(filter={**column, "at_least": 0.999}) == 2, "those whose caption is the class's name"
    images["per_class"] = 2
    assert learned_from() == 2
    nothing = {**column, "captioner": {"name": "column", "column": "caption"}, "at_least": 1.0}
    with pytest.raises(
        UserError, match=r"class 'zorb': none of its 2 images is kept by the filter; lower filter\.at_least"
    ):
        Diffusers(str(model), steps=2, inversion={"images": images, "filter": nothing}).draw([asked("zorb")])


def test_a_filter_is_checked(model: Path, pool: Path, photos: Path, tmp_path: Path) -> None:
    encoder = str(tiny_diffusion.save_sentence_encoder(tmp_path / "encoder"))
    images = {"pool": str(pool), "encoder": encoder}
    captioner = {"name": "column", "column": "blip"}

    def told(images: Any, **given: Any) -> list[str]:
        return problems(model, {"images": images, "filter": {"encoder": encoder, **given}})

    assert told(images, captioner=captioner, at_least=2.0) == [
        "generator.inversion.filter.at_least: given 2; a cosine is in [-1, 1]."
    ]
    assert "unknown 'blip2'" in told(images, captioner={"name": "blip2"})[0]
    assert "no model in 'nowhere'" in told(images, captioner={"name": "transformers", "model": "nowhere"})[0]
    assert "reads a pool's list, and there is none" in told({"folder": str(photos)}, captioner=captioner)[0]
    assert "has no text in column 'said'" in told(images, captioner={"name": "column", "column": "said"})[0]


def test_an_image_to_text_model_captions(tmp_path: Path, pool: Path) -> None:
    """A tiny GIT of the real classes: its words are noise, but those of the model for these pixels."""
    from transformers import AutoModelForImageTextToText, GitConfig, GitForCausalLM, GitProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    from ex2.data.datasets.base import ImageFile

    torch.manual_seed(0)
    tokenizer_folder = tiny_diffusion.save_sentence_encoder(tmp_path / "words")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    config = GitConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=37,
        bos_token_id=2, eos_token_id=3, pad_token_id=0, initializer_range=0.5,
        vision_config={"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 37,
                       "image_size": 32, "patch_size": 16},
    )  # fmt: skip
    folder = tmp_path / "git"
    GitForCausalLM(config).save_pretrained(folder)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    GitProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)
    captioner = Filter(
        {"name": "transformers", "model": str(folder), "max_new_tokens": 4}, encoder=str(tokenizer_folder)
    ).captioner
    references = [Reference(ImageFile(tmp_path / f"{number}.png", 0)) for number in range(3)]
    said = captioner.captions(references)
    assert len(said) == 3
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    for reference, text in zip(references, said, strict=True):
        inputs = GitProcessor.from_pretrained(folder)(images=reference.image.open(), return_tensors="pt")
        ids = model.generate(pixel_values=inputs["pixel_values"], max_new_tokens=4, do_sample=False)
        assert text == " ".join(tokenizer.decode(ids[0], skip_special_tokens=True).split())
    assert json.dumps(captioner.fingerprint())
