"""The cosine reward and its image bank, on small checkpoints of the real classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from vlms import Axes

from ex2.data.datasets.image_folders import ImageFolder
from reward import image_bank
from reward.cosine import CosineReward, mean_scaled_cosine
from reward.errors import UserError
from reward.image_bank import ClassMeans, bank_key, check_classes, mean_by_class
from reward.presets import load_vlm
from reward.text_rewards import LengthPenalty
from reward.vlm import VLM

CLASSES = [f"class {n}" for n in range(4)]
TEXTS = ["a photo of a class 0", "something else entirely", "x", "a red striped thing, from the left"]


@pytest.fixture(params=["huggingface", "open_clip"])
def vlm(request: pytest.FixtureRequest, clip: Path, open_clip_folder: Path) -> VLM:
    if request.param == "huggingface":
        return load_vlm("huggingface", {"model": str(clip), "context_length": 40, "image_size": 32, "device": "cpu"})
    settings = {"model": f"local-dir:{open_clip_folder}", "context_length": 77, "image_size": 32, "device": "cpu"}
    return load_vlm("open_clip", settings)


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


def test_length_penalty_by_hand() -> None:
    assert LengthPenalty(limit=2)(["a b c d", "a b", ""]) == [-2.0, 0.0, 0.0]


# --- image bank -------------------------------------------------------------------------------------------------------


def test_mean_by_class_by_hand() -> None:
    means, counts = mean_by_class(
        [torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.6, 0.8]])], torch.tensor([0, 2, 0]), 3
    )
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
