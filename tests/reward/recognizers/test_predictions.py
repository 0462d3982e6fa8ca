"""Predictions: kept by fingerprint and content, computed once, never of what cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image

from reward.errors import UserError
from reward.recognizers.base import Vocabulary
from reward.recognizers.predictions import cached_top_classes, top_classes


@dataclass
class Shade:
    """An image of one grey."""

    value: int
    label: int = 0

    @property
    def name(self) -> str:
        return f"shade {self.value}"

    def open(self) -> Image.Image:
        if self.value < 0:
            raise UserError(f"{self.name}: not a readable image; replace it.")
        return Image.new("L", (2, 2), self.value)

    def digest(self) -> str:
        return str(self.value)


class ByShade:
    """Eight classes of grey, the nearest first; counts the images of each forward pass."""

    vocabulary: Vocabulary = "own"

    def __init__(self, name: str = "by shade", batch_size: int = 2, broken: int | None = None) -> None:
        self.name, self.batch_size, self.broken = name, batch_size, broken
        self.labels = tuple(f"grey {number}" for number in range(8))
        self.asked: list[int] = []

    def fingerprint(self) -> str:
        return f"{self.name} 1"

    def scores(self, images: Sequence[Image.Image]) -> torch.Tensor:
        self.asked.append(len(images))
        values = torch.tensor([float(image.getpixel((0, 0))) for image in images])
        found = -(values[:, None] - torch.arange(8)[None]).abs()
        if self.broken is not None:
            found[values == self.broken] = torch.nan
        return found


def asked(made: ByShade, values: Sequence[int], cache: Path) -> list[list[int]]:
    images = [Shade(value) for value in values]
    found = cached_top_classes(made, images, [image.digest() for image in images], cache=cache)
    assert found.shape == (len(values), 5)
    return found.tolist()


def test_an_image_is_asked_about_once(tmp_path: Path) -> None:
    made = ByShade()
    first = asked(made, [3, 5, 3, 0, 3], tmp_path)
    assert made.asked == [2, 1]
    assert first == [[3, 2, 4, 1, 5], [5, 4, 6, 3, 7], first[0], [0, 1, 2, 3, 4], first[0]]
    assert asked(made, [5, 3], tmp_path) == [first[1], first[0]]
    assert made.asked == [2, 1]
    asked(made, [3, 7], tmp_path)
    assert made.asked == [2, 1, 1]
    again = ByShade()
    asked(again, [7, 3, 5, 0], tmp_path)
    assert again.asked == []
    other = ByShade("another")
    asked(other, [7, 3], tmp_path)
    assert other.asked == [2]


def test_what_can_be_read_is_kept_and_the_rest_is_named(tmp_path: Path) -> None:
    made = ByShade(broken=4)
    with pytest.raises(UserError) as error:
        asked(made, [-1, 2, 4, -2], tmp_path)
    assert str(error.value).splitlines() == [
        "shade -1: not a readable image; replace it.",
        "shade -2: not a readable image; replace it.",
        "shade 4: the scores of 'by shade' are not finite; look at the image and the weights.",
    ]
    again = ByShade()
    asked(again, [2], tmp_path)
    assert again.asked == []
    with pytest.raises(UserError, match="… and 2 more images that cannot be recognized"):
        asked(ByShade(), range(-12, 0), tmp_path)


def test_a_torn_line_is_made_anew_and_another_s_rows_are_refused(tmp_path: Path) -> None:
    asked(ByShade(), [1, 2], tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text()[:-9])
    again = ByShade()
    asked(again, [1, 2], tmp_path)
    assert again.asked == [1]
    path.write_text('{"image": "1", "top": [9, 1, 2, 3, 4]}\n')
    with pytest.raises(UserError, match="predictions of no such recognizer as 'by shade'; delete the file"):
        asked(ByShade(), [1], tmp_path)
    path.write_text('{"image": "1", "top": []}\n')
    with pytest.raises(UserError, match="line 1: no prediction"):
        asked(ByShade(), [1], tmp_path)


def test_the_first_of_equal_classes_comes_first() -> None:
    assert top_classes(torch.tensor([[1.0, 2.0, 2.0, 0.0, 1.0, 2.0]])).tolist() == [[1, 2, 5, 0, 4]]
    assert top_classes(torch.tensor([[0.5, 0.7]])).tolist() == [[1, 0]]
    with pytest.raises(ValueError, match="not finite"):
        top_classes(torch.tensor([[0.5, float("inf")]]))
