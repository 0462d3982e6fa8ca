"""The reward `drawn_cler` on margins worked out by hand: pictures of one color, whose red and green are coordinates."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from PIL import Image

from reward.drawn import DrawnCler, entering_margins, lowest_entering_margins, picture_seed
from reward.errors import UserError
from reward.image_bank import ClassMeans

MEANS = ClassMeans(("e", "n"), torch.tensor([[0.8, 0.0], [0.0, 0.6]]), torch.tensor([2, 2]))
COLORS = {"east": (200, 0, 0), "north": (0, 200, 0), "a photo of a": (40, 30, 0)}
EAST_RISE = 1.08 / 3.6**0.5 - 0.28
"""(0.8, 0.6) stands in the center: margin 0.64 − 0.36. With (1, 0) it is (1.8, 0.6) / √3.6: margin 1.08 / √3.6."""
NORTH_RISE = -0.32 / 3.2**0.5 - 0.28
"""With (0, 1) it is (0.8, 1.6) / √3.2: margin (0.64 − 0.96) / √3.2."""
LOWEST = {"e": -0.96 - 0.28, "n": -1 + 0.28}
"""(0.8, 0.6) turned by a right angle away from (0.8, −0.6), whose length is 1, is (−0.6, 0.8); for the other class less
than that turns it to (0.8, −0.6), the opposite of (−0.8, 0.6)."""


class Colors:
    """A VLM that sees how red and green a picture is."""

    name, dim, scale, bias, context_length = "colors", 2, 10.0, 0.0, 77

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        rows = [[float(value) for value in image.getpixel((0, 0))[:2]] for image in images]  # type: ignore[index]
        return torch.nn.functional.normalize(torch.tensor(rows), dim=1)


class Painter:
    """Paints the first of COLORS that a text begins with, and of any other nothing."""

    def __init__(self, generator: Mapping[str, Any]) -> None:
        self.generator, self.asked = generator, [("", 0)][:0]

    def __call__(self, texts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image | None]:
        self.asked += zip(texts, seeds, strict=True)
        colors = [next((color for start, color in COLORS.items() if text.startswith(start)), None) for text in texts]
        return [None if color is None else Image.new("RGB", (2, 2), color) for color in colors]


def reward(**settings: Any) -> DrawnCler:
    return DrawnCler(Colors(), MEANS, Painter, {"name": "painter"}, **{"beside": 1, **settings})  # type: ignore[arg-type]


def test_rises_by_hand_and_the_least_without_a_picture() -> None:
    """The right picture raises the margin, the wrong one lowers it, one like those that stand there leaves it."""
    logged: dict[str, float] = {}
    scores = reward()(
        ["east", "north", "a photo of a e", " ", "a shape", "north", "a shape"],
        ["e", "e", "e", "e", "n", "n", "e"],
        log_metric=logged.__setitem__,
    )
    assert scores[:3] == [pytest.approx(10 * EAST_RISE), pytest.approx(10 * NORTH_RISE), pytest.approx(0, abs=1e-6)]
    assert scores[3:5] == [None, pytest.approx(10 * LOWEST["n"])]
    assert scores[5] == pytest.approx(-10 * NORTH_RISE)  # both classes' centers stand at one place
    assert scores[6] == pytest.approx(10 * LOWEST["e"])
    assert logged == {"share_empty": pytest.approx(1 / 7), "share_not_drawn": pytest.approx(2 / 7)}


@pytest.mark.parametrize("kind", ["unit", "mean"])
def test_no_picture_is_worth_less_than_none(kind: Any) -> None:
    """Of 100,000 pictures all around a sphere none is below the least, and one comes near it."""
    generator = torch.Generator().manual_seed(1)
    unit = torch.nn.functional.normalize
    around = unit(torch.randn(100_000, 3, generator=generator, dtype=torch.float64), dim=1)
    means = torch.randn(4, 3, generator=generator, dtype=torch.float64) / 3
    labels = torch.zeros(1, dtype=torch.long)
    alike = unit(means.unsqueeze(1) + torch.randn(4, 3, 3, generator=generator) / 4, dim=2)
    opposite = torch.stack([alike[:, 0], unit(torch.randn(4, 3, generator=generator) / 9 - alike[:, 0], dim=1)], dim=1)
    for beside in (alike, opposite, alike[:, :0]):
        lowest = lowest_entering_margins(beside, means, kind)
        for label in range(4):
            sums, toward = beside[label].sum(0), means[label] * 4 / 3 - means.sum(0) / 3
            after, before = sums + around, sums
            if kind == "unit":
                after, before = unit(after, dim=1), unit(before, dim=0)
            else:
                after, before = after / (beside.shape[1] + 1), before / max(1, beside.shape[1])
            least = float((after @ toward).min() - before @ toward)
            assert float(lowest[label]) <= least + 1e-9
            assert least - float(lowest[label]) < 0.002 * float(toward.norm()) + 0.01 * (beside is opposite)
    one = entering_margins(around[:1], labels, alike, means, kind)
    assert float(one[0]) >= float(lowest_entering_margins(alike, means, kind)[0])


@pytest.mark.parametrize(("kind", "expected"), [("unit", [0.8, -0.6, 0.28]), ("mean", [0.8, -0.6, 0.28])])
def test_alone_a_picture_scores_its_own_margin(kind: Any, expected: list[float]) -> None:
    found = reward(beside=0, centers=kind)(["east", "north", "a photo of a e"], ["e"] * 3)
    assert found == pytest.approx([10 * value for value in expected])


def test_mean_centers_by_hand() -> None:
    """Of K + 1 pictures the mean: (0.9, 0.3) has margin 0.54, where (0.8, 0.6) had 0.28; of three (2.6, 1.2) / 3."""
    assert reward(centers="mean")(["east"], ["e"]) == pytest.approx([10 * (0.54 - 0.28)])
    assert reward(centers="mean", beside=2)(["east"], ["e"]) == pytest.approx([10 * ((2.08 - 0.72) / 3 - 0.28)])


def test_a_score_depends_on_text_class_and_seed_alone() -> None:
    one = reward()
    alone = one(["east"], ["e"])
    assert one(["north", "east", "north", "east"], ["e", "e", "n", "e"])[1::2] == alone * 2
    painter = one.draw
    assert isinstance(painter, Painter)
    seeds = {text: {seed for asked, seed in painter.asked if asked == text} for text in ("east", "north")}
    assert seeds == {
        "east": {picture_seed(0, "e", "east")},
        "north": {picture_seed(0, "e", "north"), picture_seed(0, "n", "north")},
    }
    assert picture_seed(0, "e", "east") == 8436913367274539803  # from sha256sum
    assert picture_seed(1, "e", "east") != picture_seed(0, "e", "east") != picture_seed(0, "n", "east")
    again = reward(run_seed=1)
    again(["east"], ["e"])
    assert again.draw.asked[0] == ("east", picture_seed(1, "e", "east"))
    assert [text for text, _ in painter.asked].count("a photo of a e") == 1
    assert pickle.loads(pickle.dumps(one))(["east"], ["e"]) == alone  # noqa: S301 - our own bytes


def test_pictures_of_one_class_do_not_stand_beside_each_other() -> None:
    """Against each picture on its own, with two dimensions more and random numbers."""
    generator = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize
    pictures, beside = (unit(torch.randn(*shape, 4, generator=generator), dim=-1) for shape in ((7,), (3, 2)))
    means = torch.randn(3, 4, generator=generator) / 4
    labels = torch.tensor([0, 2, 0, 1, 0, 2, 1])
    expected = []
    for picture, label in zip(pictures, labels.tolist(), strict=True):
        toward = means[label] - (means.sum(0) - means[label]) / 2
        with_it, without = beside[label].sum(0) + picture, beside[label].sum(0)
        expected.append(float(with_it / with_it.norm() @ toward - without / without.norm() @ toward))
    assert entering_margins(pictures, labels, beside, means).tolist() == pytest.approx(expected, abs=1e-6)


def test_what_cannot_be_scored_is_said() -> None:
    with pytest.raises(UserError) as caught:
        DrawnCler(Colors(), ClassMeans(("e",), MEANS.means[:1], MEANS.counts[:1]), Painter, {"nam": "toy"}, beside=-1)  # type: ignore[arg-type]
    assert str(caught.value).splitlines() == [
        "reward.generator: given {'nam': 'toy'}; give a mapping with the generator's name, such as {name: toy}.",
        "reward.beside: given -1; give a number of pictures, from 0.",
        "reward drawn_cler: there is no other class to compare with; use the reward cosine.",
    ]
    with pytest.raises(UserError) as caught:
        reward()(["east"], ["west"])
    assert str(caught.value) == (
        "reward drawn_cler: no images of class 'west' in the image bank, which holds 2 classes; add images of it to "
        "the dataset's reward split."
    )
