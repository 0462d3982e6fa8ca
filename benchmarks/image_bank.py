"""Building an image bank: 20,000 small JPEGs against decoding and the VLM's forward, each measured alone.

python benchmarks/image_bank.py [--images 20000] [--threads 1]

The VLM is a CLIPModel of Hugging Face transformers with random weights: image tower of 4 layers, width 192, patches of
8 pixels in 64.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import torch
from common import device
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    PreTrainedTokenizerFast,
)

from ex2.data.datasets.image_folders import ImageFolder
from reward import image_bank
from reward.embedding import Loading, content_digests, default_workers
from reward.images import LabeledImage
from reward.presets import load_vlm
from reward.vlm import PixelVLM

CLASSES, SIDE, BATCH = 100, 96, 64


def save_images(root: Path, count: int) -> ImageFolder:
    """Write `count` JPEGs of smooth noise over 100 classes."""
    random = np.random.default_rng(0)
    for number in range(count):
        folder = root / "reward" / f"class_{number % CLASSES:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{number:06d}.jpg", quality=90)
    return ImageFolder(str(root))


def save_clip(folder: Path) -> None:
    """Write the CLIP checkpoint."""
    torch.manual_seed(0)
    words = {"<pad>": 0, "<s>": 1, "</s>": 2, "a": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    sizes = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 6}
    text = CLIPTextConfig(vocab_size=4, **sizes, bos_token_id=1, eos_token_id=2, pad_token_id=0, projection_dim=512)
    vision = CLIPVisionConfig(**sizes, image_size=64, patch_size=8, projection_dim=512)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=512)
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}).save_pretrained(folder)


class PeakMemory:
    """Greatest resident memory of this process and its workers while the block runs, in MB (1e6 bytes)."""

    def __enter__(self) -> PeakMemory:
        self.peak, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._done.wait(0.05):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:  # proportional: what is shared with the workers counts once
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total / 1e6)


def build(vlm: PixelVLM, images: Sequence[LabeledImage], names: Sequence[str]) -> tuple[float, float]:
    """Return seconds and peak memory of a bank of all images, cache empty."""
    with tempfile.TemporaryDirectory() as cache, PeakMemory() as memory:
        start = time.perf_counter()
        image_bank.image_embeddings(vlm, images, names, cache=Path(cache), where="bank", loading=Loading())
        seconds = time.perf_counter() - start
    return seconds, memory.peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "clip"
        save_clip(checkpoint)
        dataset = save_images(Path(folder) / "photos", options.images)
        images, names = dataset.images("reward"), dataset.class_names
        settings = {"model": str(checkpoint), "context_length": 77, "image_size": 64, "device": "cpu"}
        vlm = load_vlm("huggingface", settings)
        assert isinstance(vlm, PixelVLM)
        print(f"{options.images} JPEGs of {SIDE}×{SIDE}, {CLASSES} classes | {device()}", flush=True)

        start = time.perf_counter()
        content_digests(images)
        print(f"content hashes      {time.perf_counter() - start:7.1f} s")

        few = images[:BATCH]
        pixels = torch.stack([vlm.pixels(image.open()) for image in few])
        start = time.perf_counter()
        for image in images:
            vlm.pixels(image.open())
        decoding = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(0, len(images), BATCH):
            vlm.encode_pixels(pixels)
        forward = time.perf_counter() - start
        print(f"decoding alone      {decoding:7.1f} s  {len(images) / decoding:7.0f} images/s")
        print(f"forward alone       {forward:7.1f} s  {len(images) / forward:7.0f} images/s")

        shown = f"{default_workers(len(images))} workers"
        few_seconds, few_memory = build(vlm, images[::4], names)
        seconds, memory = build(vlm, images, names)
        print(f"bank, a quarter     {few_seconds:7.1f} s  peak {few_memory:.0f} MB, {shown}")
        print(f"bank                {seconds:7.1f} s  peak {memory:.0f} MB, {shown}")
        print(f"bank / (decoding + forward) = {seconds / (decoding + forward):.2f}")


if __name__ == "__main__":
    main()
