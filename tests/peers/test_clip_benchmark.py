"""Zero-shot accuracy against CLIP_benchmark: the same inputs, equal predictions. `make peers` runs it alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn import metrics
from torch.utils.data import DataLoader, Dataset

from analysis.accuracy.measure import accuracy
from analysis.accuracy.zero_shot import PLAIN_TEMPLATE, class_vectors, rank_classes, unpack_correct
from analysis.statistics.intervals import IntervalSettings
from ex2.data.demo.shapes import Shapes
from ex2.data.prompts import generic_templates
from reward.image_bank import ImageEmbeddings
from reward.preprocess import to_rgb
from reward.presets import load_vlm
from reward.vlm import VLM

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from clip_benchmark.metrics import zeroshot_classification as peer

SHAPES = Shapes()
IMAGES = [image for image in SHAPES.images("test") if image.index < 12]  # type: ignore[attr-defined]
LABELS = torch.tensor([image.label for image in IMAGES])


class Tensors(Dataset[Any]):
    """What CLIP_benchmark reads: preprocessed images with their labels."""

    classes = SHAPES.class_names

    def __init__(self, preprocess: Any) -> None:
        self.preprocess = preprocess

    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.preprocess(IMAGES[index].open()), IMAGES[index].label


class DemoAsOpenClip:
    """The demo world's VLM with open_clip's method names."""

    def __init__(self, vlm: Any) -> None:
        self.vlm = vlm

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.vlm.encode_pixels(pixels)

    def encode_text(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.vlm.encode_texts([self.texts[number] for number in numbers.tolist()]).embeddings

    def tokenizer(self, texts: list[str]) -> torch.Tensor:
        self.texts = texts
        return torch.arange(len(texts))


def ours_and_peers(kind: str, open_clip_folder: Path) -> tuple[VLM, Any, Any, Any]:
    if kind == "demo":
        vlm: Any = load_vlm("demo-visual", {})
        model = DemoAsOpenClip(vlm)
        return vlm, model, model.tokenizer, vlm.pixels
    import open_clip

    name = f"local-dir:{open_clip_folder}"
    vlm = load_vlm("open_clip", {"model": name, "context_length": 77, "image_size": 32, "device": "cpu"})
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    return vlm, model.eval(), open_clip.get_tokenizer(name), lambda image: preprocess(to_rgb(image))


@pytest.mark.parametrize("kind", ["demo", "open_clip"])
@pytest.mark.parametrize("texts", ["templates", "descriptions"])
def test_predictions_and_accuracies_are_the_peers(kind: str, texts: str, open_clip_folder: Path) -> None:
    vlm, model, tokenizer, preprocess = ours_and_peers(kind, open_clip_folder)
    names = SHAPES.class_names
    if texts == "templates":
        theirs: Any = [template.replace("{}", "{c}") for template in generic_templates()]
        pairs = [(label, t.format(name)) for label, name in enumerate(names) for t in generic_templates()]
    else:  # as in CuPL: each class its own, and unequal numbers of them
        theirs = {
            name: [f"a {word} {name}" for word in ("red", "striped", "small", "round")[: 1 + label % 4]]
            for label, name in enumerate(names)
        }
        pairs = [(label, text) for label, name in enumerate(names) for text in theirs[name]]

    classifier = peer.zero_shot_classifier(model, tokenizer, list(names), theirs, "cpu", amp=False)
    logits, target = peer.run_classification(
        model, classifier, DataLoader(Tensors(preprocess), batch_size=32), "cpu", amp=False
    )
    assert target.tolist() == LABELS.tolist()

    bank = ImageEmbeddings(names, vlm.encode_images([image.open() for image in IMAGES]), LABELS)
    made = class_vectors(
        vlm.encode_texts([text for _, text in pairs]).embeddings,
        torch.tensor([label for label, _ in pairs]),
        len(names),
        vlm.encode_texts([PLAIN_TEMPLATE.format(name) for name in names]).embeddings,
    )
    ranking = rank_classes(bank.embeddings, made.vectors, LABELS)
    assert ranking.predicted.tolist() == logits.argmax(1).tolist()
    assert len(set(ranking.predicted.tolist())) > 3, "predictions that hardly differ prove nothing"

    measured = accuracy(vlm, bank, {"templates": pairs}, IntervalSettings(samples=10)).arms["templates"]
    assert measured is not None
    assert measured.top5 is not None
    assert measured.mean_per_class is not None
    # scikit-learn on the peer's logits: its own top-k function fails with NumPy 2.4
    true, scores = target.numpy(), logits.numpy()
    assert measured.top1.accuracy == pytest.approx(metrics.accuracy_score(true, scores.argmax(1)))
    assert measured.top5.accuracy == pytest.approx(metrics.top_k_accuracy_score(true, scores, k=5))
    recall = metrics.balanced_accuracy_score(true, scores.argmax(1))
    assert measured.mean_per_class.value == pytest.approx(recall)
    assert unpack_correct(measured.top1.correct_bits, len(LABELS)) == (logits.argmax(1) == target).tolist()
