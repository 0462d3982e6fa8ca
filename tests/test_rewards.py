"""Rewards and VLM backends on small checkpoints of the real classes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPModel

from ex2.data.image_datasets import ImageFolder
from reward import image_bank
from reward.components import build
from reward.cosine import CosineReward, mean_scaled_cosine
from reward.errors import UserError
from reward.image_bank import ClassMeans, bank_key, check_classes, mean_by_class
from reward.length import LengthPenalty
from reward.presets import PRESETS, load_vlm, vlm_problems
from reward.table import REWARDS
from reward.vlm import VLM

CLASSES = [f"class {n}" for n in range(4)]
TEXTS = ["a photo of a class 0", "something else entirely", "x", "a red striped thing, from the left"]


@pytest.fixture(params=["huggingface", "open_clip"])
def vlm(request: pytest.FixtureRequest, clip: Path, open_clip_folder: Path) -> VLM:
    if request.param == "huggingface":
        return load_vlm("huggingface", {"model": str(clip), "context_length": 40, "image_size": 32, "device": "cpu"})
    settings = {"model": f"local-dir:{open_clip_folder}", "context_length": 77, "image_size": 32, "device": "cpu"}
    return load_vlm("open_clip", settings)


def images(count: int) -> list[Image.Image]:
    random = np.random.default_rng(1)
    return [Image.fromarray(random.integers(0, 256, (30 + n, 40, 3), dtype=np.uint8)) for n in range(count)]


def test_unit_norm_float32_and_batch_size_does_not_matter(vlm: VLM) -> None:
    assert isinstance(vlm, VLM)
    for encode, things in ((vlm.encode_images, images(5)), (lambda t: vlm.encode_texts(t).embeddings, TEXTS)):
        together = encode(things)  # type: ignore[operator]
        alone = torch.cat([encode([thing]) for thing in things])  # type: ignore[operator]
        assert together.dtype == torch.float32
        assert together.shape == (len(things), vlm.dim)
        torch.testing.assert_close(together.norm(dim=1), torch.ones(len(things)), atol=1e-5, rtol=0)
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_too_long_text_is_cut_with_the_end_token_kept(vlm: VLM) -> None:
    """What lies beyond the context cannot matter; losing the end token would, as the text is read off there."""
    base = "ab " * 100
    result = vlm.encode_texts([base, base + "and a tail that nobody reads", "short"])
    assert result.cut.tolist() == [True, True, False]
    torch.testing.assert_close(result.embeddings[0], result.embeddings[1])
    assert not torch.allclose(result.embeddings[0], result.embeddings[2])


def test_agreement_with_clips_own_logits(clip: Path) -> None:
    vlm = load_vlm("huggingface", {"model": str(clip), "context_length": 40, "image_size": 32, "device": "cpu"})
    model = CLIPModel.from_pretrained(clip).eval()
    tokenizer, processor = vlm._tokenizer, vlm._processor  # type: ignore[attr-defined]
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs, **processor(images=images(3), return_tensors="pt")).logits_per_image
    ours = vlm.scale * vlm.encode_images(images(3)) @ vlm.encode_texts(TEXTS).embeddings.T + vlm.bias
    torch.testing.assert_close(ours, logits, rtol=1e-5, atol=1e-5)


def test_agreement_with_open_clips_own_logits(open_clip_folder: Path) -> None:
    import open_clip

    name = f"local-dir:{open_clip_folder}"
    vlm = load_vlm("open_clip", {"model": name, "context_length": 77, "image_size": 32, "device": "cpu"})
    model, preprocess = open_clip.create_model_from_pretrained(name)
    model.eval()
    pixels = torch.stack([preprocess(image) for image in images(3)])
    with torch.no_grad():
        logits, _ = model.get_logits(pixels, open_clip.get_tokenizer(name)(TEXTS))
    ours = vlm.scale * vlm.encode_images(images(3)) @ vlm.encode_texts(TEXTS).embeddings.T + vlm.bias
    torch.testing.assert_close(ours, logits, rtol=1e-5, atol=1e-5)


def test_reward_is_the_mean_of_scaled_cosines_over_the_class_images(
    vlm: VLM, image_folder: Path, tmp_path: Path
) -> None:
    """Closed form against brute force: every image against every text, one cosine at a time, in float64."""
    dataset = ImageFolder(str(image_folder))
    files = dataset.images("reward")
    means = image_bank.class_means(vlm, files, dataset.class_names, cache=tmp_path, where="test")
    assert means.counts.tolist() == [3, 3, 3, 3]
    names = ["class 0", "class 3", "class 1", "class 2"]
    scores = CosineReward(vlm, means)(TEXTS, names)
    for text, name, score in zip(TEXTS, names, scores, strict=True):
        text_vector = vlm.encode_texts([text]).embeddings[0].double()
        cosines = []
        for file in files:
            if dataset.class_names[file.label] == name:
                image_vector = vlm.encode_images([file.open()])[0].double()
                cosines.append(float(vlm.scale * torch.cosine_similarity(image_vector, text_vector, dim=0)))
        assert score == pytest.approx(sum(cosines) / 3, rel=0, abs=1e-5)


def test_mean_scaled_cosine_by_hand() -> None:
    # (0.6·0.5 + 0.8·0.1)·10 − 1
    value = mean_scaled_cosine(torch.tensor([[0.6, 0.8]]), torch.tensor([[0.5, 0.1]]), scale=10.0, bias=-1.0)
    assert value.item() == pytest.approx(2.8)
    with pytest.raises(ValueError, match=r"text \(1, 2\) and class_mean \(2, 2\) differ"):
        mean_scaled_cosine(torch.zeros(1, 2), torch.zeros(2, 2), scale=1.0)


class Axes:
    """A VLM of two dimensions whose embeddings are plain to see; counts the texts it encodes."""

    name, dim, scale, bias, context_length = "axes", 2, 10.0, 0.0, 9

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def fingerprint(self) -> str:
        return "axes"

    def encode_images(self, images: Any) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]] * len(images))

    def encode_texts(self, texts: Any) -> Any:
        from reward.vlm import TextEmbeddings

        self.encoded += texts
        vectors = torch.tensor([[1.0, 0.0] if "right" in text else [0.0, 1.0] for text in texts])
        return TextEmbeddings(vectors, torch.tensor([len(text) > 9 for text in texts]))


MEANS = ClassMeans(("cat", "dog"), torch.tensor([[0.5, 0.1], [0.2, 0.4]]), torch.tensor([2, 2]))


def test_empty_descriptions_are_none_and_counted_and_equal_texts_are_encoded_once() -> None:
    vlm, logged = Axes(), {}
    reward = CosineReward(vlm, MEANS)
    scores = reward(
        ["right", "", " \n ", "up", "right", "right, and long"],
        class_name=["cat", "cat", "dog", "dog", "dog", "cat"],
        log_metric=logged.__setitem__,
    )
    assert scores == [pytest.approx(5.0), None, None, pytest.approx(4.0), pytest.approx(2.0), pytest.approx(5.0)]
    assert vlm.encoded == ["right", "up", "right, and long"]
    assert logged == {"share_empty": pytest.approx(2 / 6), "share_cut_by_vlm": pytest.approx(1 / 4)}


def test_chat_completions_score_as_plain_ones() -> None:
    reward = CosineReward(Axes(), MEANS)
    chat = [[{"role": "assistant", "content": "right"}]]
    assert reward(chat, class_name=["cat"]) == reward(["right"], class_name=["cat"])


def test_unknown_class_is_an_error_that_names_it() -> None:
    with pytest.raises(UserError, match=r"no images of class 'emu', 'yak' in the image bank, which holds 2 classes"):
        CosineReward(Axes(), MEANS)(["a", "b", "c"], class_name=["yak", "cat", "emu"])


@pytest.mark.parametrize("name", sorted(REWARDS))
def test_every_reward_keeps_trls_contract(name: str) -> None:
    settings = {"length_penalty": {"limit": 2}}.get(name, {})
    reward = build(name, settings, REWARDS, "reward", vlm=Axes(), class_means=MEANS)
    columns = {"class_name": ["cat", "dog"], "label": [0, 1], "prompts": ["p", "p"], "trainer_state": None}
    scores = reward(completions=["one two three four", ""], **columns)
    assert reward.__name__ == name
    assert len(scores) == 2
    assert all(score is None or isinstance(score, float) for score in scores)
    copied = pickle.loads(pickle.dumps(reward))  # noqa: S301 - our own bytes
    assert copied(completions=["one two three four", ""], **columns) == scores


def test_length_penalty_by_hand() -> None:
    assert LengthPenalty(limit=2)(["a b c d", "a b", ""]) == [-2.0, 0.0, 0.0]


# --- image bank -------------------------------------------------------------------------------------------------------


def test_mean_by_class_by_hand() -> None:
    means, counts = mean_by_class(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), torch.tensor([0, 2, 0]), 3)
    torch.testing.assert_close(means, torch.tensor([[0.8, 0.4], [0.0, 0.0], [0.0, 1.0]]))
    assert counts.tolist() == [2, 0, 1]


def test_bank_is_made_once_and_made_anew_when_anything_changes(image_folder: Path, tmp_path: Path) -> None:
    dataset, vlm = ImageFolder(str(image_folder)), Axes()
    files, names = dataset.images("reward"), dataset.class_names
    image_bank.class_means(vlm, files, names, cache=tmp_path, where="t")
    (path,) = tmp_path.glob("class-means-*.safetensors")
    stamp = path.stat().st_mtime_ns
    image_bank.class_means(vlm, files, names, cache=tmp_path, where="t")
    assert path.stat().st_mtime_ns == stamp
    key = bank_key(vlm, files, names, "class_means")
    other = Axes()
    other.fingerprint = lambda: "axes 2"  # type: ignore[method-assign]
    changed = {
        bank_key(other, files, names, "class_means"),
        bank_key(vlm, files[:-1], names, "class_means"),
        bank_key(vlm, dataset.images("test"), names, "class_means"),
        bank_key(vlm, files, tuple(reversed(names)), "class_means"),
        bank_key(vlm, files, names, "images"),
    }
    assert len(changed | {key}) == 6


def test_a_torn_bank_is_made_again(image_folder: Path, tmp_path: Path) -> None:
    dataset, vlm = ImageFolder(str(image_folder)), Axes()
    make = lambda: image_bank.class_means(vlm, dataset.images("reward"), dataset.class_names, cache=tmp_path, where="t")  # noqa: E731
    whole = make()
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:50])
    torch.testing.assert_close(make().means, whole.means)
    assert set(load_file(path)) == {"means", "counts"}


class At:
    """A labelled image that is never opened."""

    def __init__(self, label: int) -> None:
        self.label, self.name = label, f"image {label}"


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, 0], ["cat", "dog"], r"d: no images of class 'dog' \(1 of 2 classes\); add images"),
        ([0, 1], ["cat", "cat"], r"d: duplicate class names 'cat'"),
        ([0, 1], ["cat", " "], r"d: a class name is empty \(label 1\)"),
        ([0, 1, 5], ["cat", "dog"], r"d: labels \[5\] have no class name; there are 2 names"),
    ],
)
def test_classes_are_checked(labels: list[int], names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_classes([At(label) for label in labels], names, "d")  # type: ignore[arg-type]


def test_unreadable_image_is_an_error_that_names_it(image_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for split in ("reward", "test"):
        (root / split / "cat").mkdir(parents=True)
        (root / split / "cat" / "a.png").write_bytes(b"\x89PNG not really")
    dataset = ImageFolder(str(root))
    with pytest.raises(UserError, match=r"reward/cat/a\.png: not a readable image .*replace the file or remove it"):
        image_bank.class_means(Axes(), dataset.images("reward"), dataset.class_names, cache=tmp_path, where="t")


# --- presets and what they pin ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_names_a_backend_and_gives_it_all_it_needs(name: str) -> None:
    assert vlm_problems(name, {}, "vlm") == []


def test_a_name_never_picks_a_backend() -> None:
    with pytest.raises(UserError, match=r"vlm.name: unknown 'clip-vit-b23'\. Did you mean 'clip-vit-b32'\?"):
        vlm_problems("clip-vit-b23", {}, "vlm")
    assert vlm_problems("clip-vit-b32", {"imagesize": 3}, "vlm") == [
        "vlm: unknown 'imagesize'. Did you mean 'image_size'? Available: batch_size, context_length, device, dtype, "
        "image_size, lowercase, model, padding, revision, scale, trust_remote_code."
    ]
    assert "vlm: 'model' is missing; 'HuggingFaceVLM' cannot do without it." in vlm_problems("huggingface", {}, "vlm")


def test_weights_that_are_missing_are_an_error_not_a_warning(clip: Path, tmp_path: Path) -> None:
    for file in clip.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(clip / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weights of a CLIPModel \(visual_projection\.weight"):
        load_vlm("huggingface", {"model": str(tmp_path), "context_length": 40, "image_size": 32, "device": "cpu"})


@pytest.mark.parametrize(
    ("pin", "message"),
    [
        ({"image_size": 48}, r"image_size is 48, but the checkpoint's preprocessing gives 32×32"),
        ({"context_length": 77}, r"context_length is 77, but the text tower has 40 positions"),
        ({"scale": 50.0}, r"scale is 50\.0, but the checkpoint's is 14\.28"),
    ],
)
def test_a_checkpoint_that_differs_from_its_preset_is_an_error(clip: Path, pin: dict[str, Any], message: str) -> None:
    settings = {"model": str(clip), "context_length": 40, "image_size": 32, "device": "cpu", **pin}
    with pytest.raises(UserError, match=message):
        load_vlm("huggingface", settings)


def test_a_language_model_is_no_vlm(mistral: Path) -> None:
    with pytest.raises(UserError, match="is a mistral, not an image-text dual encoder"):
        load_vlm("huggingface", {"model": str(mistral), "context_length": 40, "image_size": 32, "device": "cpu"})


def test_open_clip_names_are_checked_before_anything_is_loaded() -> None:
    with pytest.raises(UserError, match=r"vlm.model: unknown 'ViT-B-23'\. Did you mean 'ViT-B-32'"):
        load_vlm("open_clip", {"model": "ViT-B-23", "context_length": 77, "image_size": 224})
    with pytest.raises(UserError, match=r"vlm.pretrained: unknown 'laion2b'"):
        load_vlm("open_clip", {"model": "ViT-B-32", "pretrained": "laion2b", "context_length": 77, "image_size": 224})


def test_fingerprint_follows_the_weights(clip: Path, tmp_path: Path) -> None:
    import tiny

    settings = {"context_length": 40, "image_size": 32, "device": "cpu"}
    first = load_vlm("huggingface", {"model": str(clip), **settings}).fingerprint()
    again = load_vlm("huggingface", {"model": str(clip), **settings}).fingerprint()
    other = load_vlm("huggingface", {"model": str(tiny.save_clip(tmp_path / "c", seed=1)), **settings}).fingerprint()
    assert first == again
    assert first != other
