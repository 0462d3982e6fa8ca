"""A world of Gaussian embeddings in which the test images of a class fall together.

Sixteen classes are pairs of four shapes and four patterns; an embedding is the sum of what all images have in common,
of its shape's and its pattern's vector, and of noise. Test images are near their class's mean compared with how far a
set's centers are from each other by chance, so a center that is off takes most of a class at once.
"""

from __future__ import annotations

import torch

from analysis.images.resampling import SetImages, TestImages

CLASSES = tuple(f"class {number}" for number in range(16))


class GaussianWorld:
    """Draws test images and sets, each call others.

    Args:
        seed: Seed of everything.
        per_class: Test images of each class.
        shots: Images of each class in a set.
        dimensions: Dimensions of the embeddings.
        test_noise: Length of the noise of a test image, in lengths of a shape's vector.
        set_noise: The same of a set's image.
    """

    def __init__(
        self,
        seed: int,
        *,
        per_class: int = 60,
        shots: int = 20,
        dimensions: int = 64,
        test_noise: float = 1.2,
        set_noise: float = 2.5,
    ) -> None:
        self.draw = torch.Generator().manual_seed(seed)
        self.noise, self.dimensions = {"test": test_noise, "set": set_noise}, dimensions
        self.common, self.shift = 2 * self._rows(1), self._rows(1)
        self.shapes, self.patterns = self._rows(4), self._rows(4)
        self.test_labels = torch.arange(16).repeat_interleave(per_class)
        self.set_labels = torch.arange(16).repeat_interleave(shots)

    def test(self) -> TestImages:
        """Draw test images."""
        return TestImages(self._images(self.test_labels, self.test_labels % 4, "test"), self.test_labels, CLASSES)

    def set(self, wrong: float = 0.0) -> SetImages:
        """Draw a set, each image of another pattern with a given probability."""
        other = (self.set_labels + torch.randint(1, 4, self.set_labels.shape, generator=self.draw)) % 4
        is_wrong = torch.rand(self.set_labels.shape, generator=self.draw) < wrong
        return SetImages(
            self._images(self.set_labels, torch.where(is_wrong, other, self.set_labels % 4), "set"), self.set_labels
        )

    def permuted(self) -> SetImages:
        """Draw a set that knows nothing: its labels are permuted."""
        drawn = self.set()
        return SetImages(drawn.embeddings, drawn.labels[torch.randperm(len(drawn.labels), generator=self.draw)])

    def _images(self, labels: torch.Tensor, patterns: torch.Tensor, kind: str) -> torch.Tensor:
        means = self.common + self.shapes[labels // 4] + self.patterns[patterns]
        rows = means + (self.shift if kind == "set" else 0) + self.noise[kind] * self._rows(len(labels))
        return torch.nn.functional.normalize(rows, dim=1)

    def _rows(self, count: int) -> torch.Tensor:
        return torch.randn(count, self.dimensions, generator=self.draw) / self.dimensions**0.5
