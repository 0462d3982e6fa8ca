"""The reward of a batch: the closed form against the text forward and against one cosine per image.

python benchmarks/reward_throughput.py
"""

from __future__ import annotations

from functools import partial

import torch
from common import measure

from reward.cosine import CosineReward, mean_scaled_cosine
from reward.image_bank import ClassMeans
from reward.vlm import TextEmbeddings

DIM, IMAGES, BATCH = 512, 256, 32


class FreeText:
    """A VLM whose text forward costs nothing: what is left is the reward's own cost."""

    name, dim, scale, bias, context_length = "free", DIM, 100.0, 0.0, 77

    def __init__(self) -> None:
        vectors = torch.nn.functional.normalize(torch.randn(BATCH, DIM), dim=-1)
        self.embeddings = TextEmbeddings(vectors, torch.zeros(BATCH, dtype=torch.bool))

    def fingerprint(self) -> str:
        return "free"

    def encode_images(self, images: object) -> torch.Tensor:
        raise TypeError("no images here")

    def encode_texts(self, texts: list[str]) -> TextEmbeddings:
        return self.embeddings


def brute_force(images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Mean over images of 100 · cosine: images (B, N, D), texts (B, D)."""
    return 100 * (images @ texts.unsqueeze(-1)).mean((1, 2))


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vlm = FreeText()
    vectors = vlm.embeddings.embeddings
    for classes in (1, 32):
        names = tuple(f"class {n}" for n in range(classes))
        images = torch.nn.functional.normalize(torch.randn(classes, IMAGES, DIM), dim=-1)
        reward = CosineReward(vlm, ClassMeans(names, images.mean(1), torch.full((classes,), IMAGES)))
        texts = [f"description {n}" for n in range(BATCH)]
        of = [names[n % classes] for n in range(BATCH)]
        rows = torch.arange(BATCH) % classes
        own_images, own_means = images[rows], reward.class_means.means[rows]
        size = f"{BATCH} texts, {classes} classes, {IMAGES} images a class, D {DIM}"
        measure("reward call without its text forward", size, partial(reward, texts, of), repeats=200)
        closed = measure("closed form", size, partial(mean_scaled_cosine, vectors, own_means, scale=100.0), repeats=200)
        brute = measure("every cosine", size, partial(brute_force, own_images, vectors))
        difference = mean_scaled_cosine(vectors, own_means, scale=100.0) - brute_force(own_images, vectors)
        print(f"closed form | {size} | {brute / closed:.0f} times faster, differs by {difference.abs().max():.1e}")


if __name__ == "__main__":
    main()
