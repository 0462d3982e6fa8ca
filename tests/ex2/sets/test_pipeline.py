"""The generator `diffusers` on a tiny Stable Diffusion of the real classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_diffusion
import torch
from numpy.typing import NDArray
from PIL import Image
from tiny_diffusion import asked

from ex2.data.names_in_texts import name_pattern
from ex2.sets.class_images import read_class_images
from ex2.sets.generators.pipeline import Diffusers
from ex2.sets.pixels import centered
from ex2.sets.requests import Drawn, Failure
from ex2.sets.strategies.base import Classes, build_strategy
from reward.errors import EnvironmentFault


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_diffusion.save_stable_diffusion(tmp_path_factory.mktemp("diffusion") / "tiny")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures of each of two classes, one color and noise each."""
    colors = {"zorb": (220, 20, 20), "blick": (20, 20, 220)}
    return tiny_diffusion.write_photos(tmp_path / "photos", colors, 3, (40, 44))


def pixels(answer: Drawn | Failure) -> NDArray[np.int64]:
    assert isinstance(answer, Drawn), answer
    return np.asarray(answer.image).astype(np.int64)


class Spy:
    """What a real pipeline's call was given and has returned."""

    def __init__(self, generator: Diffusers, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: list[dict[str, Any]] = []
        self.images: list[NDArray[np.float32]] = []
        self.steps: list[int] = []
        pipeline = generator._pipeline
        call = type(pipeline).__call__

        def spied(own: Any, **given: Any) -> Any:
            self.given.append(given)
            made = call(own, **given)
            self.images += [*made.images]
            self.steps.append(own._num_timesteps)
            return made

        monkeypatch.setattr(type(pipeline), "__call__", spied)


def test_an_image_is_the_same_in_any_batch(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Diffusers(str(model), steps=4, batch_size=5)
    spy = Spy(generator, monkeypatch)
    requests = [asked(0), asked(1), asked(0, "blick"), asked(2, negative_prompt="blurry"), asked(3)]
    together = generator.draw(requests)
    alone = [generator.draw([request])[0] for request in requests]
    backwards = generator.draw(requests[::-1])[::-1]
    whole = np.array(spy.images[:5])
    assert whole.std(axis=(1, 2, 3)).min() > 0.05, "pictures of something"
    assert np.abs(whole - np.array(spy.images[5:10])).max() < 1e-5
    assert np.abs(whole - np.array(spy.images[10:][::-1])).max() < 1e-5
    for one, other, third in zip(together, alone, backwards, strict=True):
        assert np.abs(pixels(one) - pixels(other)).max() <= 1  # of 255: what lies on the border between two values
        assert np.abs(pixels(one) - pixels(third)).max() <= 1
    assert np.abs(whole[0] - whole[1]).mean() > 0.01, "another seed is another image"
    # The twin: one seed for a whole batch would make the second image of a batch another one than it is alone.
    first, second = generator.draw([asked(0, seed=1), asked(0, seed=1)])
    assert np.abs(pixels(first) - pixels(second)).max() <= 1


def test_prompt_negative_prompt_and_feedback_change_an_image(model: Path) -> None:
    generator = Diffusers(str(model), steps=4)
    plain, other, negative, told, unread = generator.draw(
        [
            asked(),
            asked(prompt="a photo of a blick"),
            asked(negative_prompt="blurry"),
            asked(feedback="very red"),
            asked(negative_prompt=""),
        ]
    )
    for changed in (other, negative, told):
        assert np.abs(pixels(plain) - pixels(changed)).mean() > 0.5
    assert np.abs(pixels(plain) - pixels(unread)).max() <= 1
    assert generator.prompt(asked(feedback="very red")) == "a photo of a zorb very red"


def test_settings_reach_the_pipeline(model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Diffusers(str(model), steps=7, guidance=3.5, width=48, height=40, scheduler="DDPMScheduler")
    spy = Spy(generator, monkeypatch)
    requests = [asked(0), asked(1, negative_prompt="blurry")]
    drawn = generator.draw(requests)
    (given,) = spy.given
    seeds = [one.initial_seed() for one in given.pop("generator")]
    assert seeds == [request.seed for request in requests]
    assert given == {
        "prompt": ["a photo of a zorb"] * 2,
        "negative_prompt": ["", "blurry"],
        "num_inference_steps": 7,
        "guidance_scale": 3.5,
        "width": 48,
        "height": 40,
        "output_type": "np",
    }
    assert spy.steps == [7]
    assert [one.image.size for one in drawn if isinstance(one, Drawn)] == [(48, 40)] * 2
    assert type(generator._pipeline.scheduler).__name__ == "DDPMScheduler"
    assert (generator.size, Diffusers(str(model)).size) == (48, 32)

    started = Diffusers(str(model), steps=10, start={"folder": str(photos), "per_class": 2}, strength=0.4)
    spy = Spy(started, monkeypatch)
    started.draw(requests)
    assert (spy.given[0]["strength"], spy.steps) == (0.4, [4])
    assert [image.size for image in spy.given[0]["image"]] == [(32, 32)] * 2
    assert "width" not in spy.given[0]


def test_settings_name_all_that_images_depend_on(model: Path, tmp_path: Path) -> None:
    plain = Diffusers(str(model))
    assert json.loads(json.dumps(plain.settings)) == {
        "model": "tiny",
        "revision": None,
        "variant": None,
        "steps": 50,
        "guidance": 7.5,
        "width": None,
        "height": None,
        "scheduler": None,
        "dtype": "float32",
        "overlong": "error",
        "safety_checker": "absent",
        "start": None,
        "inversion": None,
    }
    assert Diffusers(str(model), batch_size=3, device="cpu").settings == plain.settings, "rounding makes no other set"
    shutil.copytree(model, tmp_path / "tiny")
    moved = Diffusers(str(tmp_path / "tiny"))
    assert (moved.settings, moved.fingerprint()) == (plain.settings, plain.fingerprint())
    weights = tmp_path / "tiny/unet/diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert Diffusers(str(tmp_path / "tiny")).fingerprint() != plain.fingerprint(), "one bit of a weight"
    assert set(plain.versions) == {"diffusers", "torch", "transformers"}


def test_images_start_from_a_few_in_a_seeded_order(model: Path, photos: Path) -> None:
    """The same prompt and noise from red or blue pictures: the more is noised away, the less is left of them."""

    def apart(strength: float) -> float:
        start = {"folder": str(photos), "per_class": 2}
        generator = Diffusers(str(model), steps=10, start=start, strength=strength)
        requests = [asked(0, name, prompt="a photo", seed=5) for name in ("zorb", "blick")]
        assert generator.request_problems(requests) == []
        red, blue = map(pixels, generator.draw(requests))
        return float(np.abs(red - blue).mean())

    assert apart(0.2) > 2 * apart(0.6) > 4 * apart(1.0)
    start = read_class_images({"folder": str(photos), "per_class": 2}, "generator.start")
    orders = [[start.of("zorb", index, seed).name[-5] for index in range(4)] for seed in range(8)]
    for order in orders:
        assert sorted(order[:2]) == sorted(order[2:]) == ["0", "1"], "each once, then each once again"
    assert len({*map(tuple, orders)}) > 1, "another seed, another order"
    generator = Diffusers(str(model), steps=4, start={"folder": str(photos), "per_class": 2}, strength=0.5)
    (drawn,) = generator.draw([asked(1, set_seed=3)])
    assert isinstance(drawn, Drawn)
    assert drawn.source == start.of("zorb", 1, 3).digest(), "a start image is found again among test images"
    assert generator.settings["start"] == {
        "from": "folder", "split": None, "per_class": 2, "selection": "first", "strength": 0.5,
    }  # fmt: skip
    fingerprint = generator.fingerprint()
    Image.new("RGB", (40, 40)).save(photos / "zorb/0.png")
    again = Diffusers(str(model), steps=4, start={"folder": str(photos), "per_class": 2}, strength=0.5)
    assert again.fingerprint() != fingerprint


def test_the_middle_of_an_image_is_taken() -> None:
    wide = Image.new("RGB", (40, 20), "black")
    wide.paste("white", (10, 0, 30, 20))
    square = centered(wide, 8, 8)
    assert square.size == (8, 8)
    assert np.asarray(square).min() > 200
    assert centered(wide, 20, 10).size == (20, 10)
    assert np.asarray(centered(wide, 20, 10)).min() == 0


def test_tokens_are_counted_and_prompts_cut(model: Path) -> None:
    generator = Diffusers(str(model), steps=2)
    assert generator.context == tiny_diffusion.CONTEXT == 16
    assert generator.count_tokens is not None
    assert generator.count_tokens("a photo of a zorb") == 7, "five words, and the tokens at start and end"
    long = asked(4, prompt="a zorb " + "in the style of " * 4)
    (line,) = generator.request_problems([asked(), long])
    assert line == (
        "generator.overlong: 1 of 2 prompts have more than the 16 tokens that the text encoder reads, up to 20, "
        "such as that of image 4 of 'zorb'; give shorter ones, or overlong: cut, which draws what is read of them "
        "and counts them."
    )
    assert generator.request_problems([asked(prompt="a zorb " + "red " * 12)]) == [], "16 tokens are read"
    cutting = Diffusers(str(model), steps=2, overlong="cut")
    assert cutting.request_problems([long]) == []
    answers = cutting.draw([asked(), long, asked(2, negative_prompt="red " * 15)])
    assert [one.truncated for one in answers if isinstance(one, Drawn)] == [False, True, True]
    # A strategy cuts whole names where the pipeline's tokenizer says so: 14 tokens between start and end, of names of
    # 4 tokens (three letters that are no word) and commas.
    names = ("zorb", *(f"{letter}xq" for letter in "bcdefghij"))
    classes = Classes(names, count_tokens=generator.count_tokens, context=generator.context)
    made = build_strategy("negative", {"others": 9, "over": "name"}, classes)(0, 0)
    assert generator.count_tokens(made.negative) <= 16
    left = [name for name in names[1:] if not name_pattern(name).search(made.negative)]
    assert 0 < len(left) < 9
    assert all(generator.count_tokens(f"{made.negative}, {name}") > 16 for name in left)


class Flagging:
    """A safety checker that flags every second image, as diffusers' own has it."""

    dtype = torch.float32

    def __call__(self, images: Any, clip_input: Any) -> tuple[Any, list[bool]]:
        flagged = [place % 2 == 1 for place in range(len(images))]
        for place in range(1, len(images), 2):
            images[place] = 0.0
        return images, flagged


def test_a_flagged_image_and_one_that_is_not_finite_are_failures(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Diffusers(str(model), steps=2)
    pipeline = generator._pipeline
    with monkeypatch.context() as patch:

        def run(image: Any, device: Any, dtype: Any) -> tuple[Any, list[bool]]:
            return Flagging()(image, None)

        patch.setattr(pipeline, "run_safety_checker", run)
        good, flagged = generator.draw([asked(0), asked(1)])
    assert isinstance(good, Drawn)
    assert isinstance(flagged, Failure)
    assert (flagged.status, flagged.message) == (
        "refused", "the pipeline's safety checker flagged the image, and made it black",
    )  # fmt: skip
    decode = pipeline.vae.decode

    def overflowing(latents: Any, **given: Any) -> Any:
        made = decode(latents, **given)
        made[0][1] = torch.nan
        return made

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.vae, "decode", overflowing)
        good, broken = generator.draw([asked(0), asked(1)])
    assert isinstance(good, Drawn)
    assert isinstance(broken, Failure)
    assert (broken.status, broken.message[:25]) == ("no_image", "pixels are not finite; fl")


def test_too_little_memory_names_the_batch_size(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Diffusers(str(model), steps=2, batch_size=6)
    pipeline = generator._pipeline

    def full(*given: Any, **words: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(pipeline.unet, "forward", full)
    with pytest.raises(EnvironmentFault, match=r"memory of the device does not suffice for 2 images.*\(now 6\)"):
        generator.draw([asked(0), asked(1)])
