"""Datasets with a metric of their own, in their official layouts, from files to the number."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmark_miniatures import VOC_OBJECT
from miniatures import lines, official
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score

from analysis.images.given import given_folders
from analysis.images.measure import Measuring, measure_sets
from analysis.images.record import Measures
from ex2.data.datasets.base import open_dataset
from ex2.recipe import Component
from ex2.set_recipe import Measure
from reward.presets import load_vlm

Floats = NDArray[np.float64]


def colored(path: Path, seed: int, base: int) -> None:
    """An image of a color with noise, so that images of one base are alike to the VLM."""
    draw = np.random.default_rng(seed)
    color = np.array([base * 37 % 256, base * 91 % 256, base * 53 % 256])
    pixels = np.clip(color + draw.normal(0, 40, (24, 24, 3)), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def measured(root: Path, dataset: str, names: tuple[str, ...]) -> tuple[Measures, Any]:
    """Measure a plain folder of three images a class on the test split of a dataset that lies in `root`."""
    for label, name in enumerate(names):
        for number in range(3):
            colored(root / "set" / name / f"{number}.png", 1000 + 10 * label + number, label)
    vlm: Any = load_vlm("demo-visual", {})
    split = "dev" if dataset == "hateful_memes" else "test"
    settings = Measure(metrics=("cler", "probe"), bootstrap_samples=200, permutations=99)
    what = Measuring(
        "x",
        Component(name="demo-visual"),
        Component(name=dataset, root=str(root)),
        split,
        tuple(given_folders([str(root / "set")])),
        settings,
    )
    return measure_sets(what, vlm=vlm, progress=False), vlm


def scores(vlm: Any, root: Path, dataset: str, split: str, names: tuple[str, ...], template: str) -> dict[str, Floats]:
    """Scores of test images by centers and by texts, computed here from what the VLM gives for single images."""
    opened = open_dataset(dataset, {"root": str(root)})
    test = vlm.encode_images([image.open() for image in opened.images(split)]).double().numpy()
    centers, texts = [], []
    for name in names:
        paths = sorted((root / "set" / name).iterdir())
        center = vlm.encode_images([Image.open(path) for path in paths]).double().numpy().mean(0)
        centers.append(center / np.linalg.norm(center))
        texts.append(vlm.encode_texts([template.format(name)]).embeddings.double().numpy()[0])
    return {"cler": test @ np.array(centers).T, "text": test @ np.array(texts).T}


def eleven_points(ranked: Floats, shown: NDArray[np.int8]) -> float:
    """VOC 2007's mean average precision, written out image by image."""
    found = []
    for column, seen in zip(ranked.T, shown.T, strict=True):
        order = [at for at in np.argsort(-column, kind="stable") if seen[at] != 0]
        hits = np.cumsum([seen[at] == 1 for at in order])
        pairs = [(hit / hits[-1], hit / (place + 1)) for place, hit in enumerate(hits)]
        levels = [max([p for r, p in pairs if r >= level / 10 - 1e-12], default=0.0) for level in range(11)]
        found.append(sum(levels) / 11)
    return float(np.mean(found))


def test_voc_is_measured_by_its_mean_average_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 classes; some test images show two, and one shows a class only in an object that is difficult."""
    monkeypatch.setenv("EX2_CACHE", str(tmp_path / "cache"))
    base, spelled = tmp_path / "VOCdevkit/VOC2007", official("voc2007")
    names = tuple(open_class_names(tmp_path, base, spelled))
    shown = np.full((60, 20), -1, dtype=np.int8)
    objects: dict[str, list[tuple[str, int, int]]] = {}
    for number in range(60):
        main, second = number % 20, (number * 7 + 3) % 20
        listed = [(spelled[main], 0, 90)]
        shown[number, main] = 1
        if number % 3 == 0 and second != main:
            difficult = int(number % 2)
            listed.append((spelled[second], difficult, 9))
            shown[number, second] = 0 if difficult else 1
        objects[f"{number:06d}"] = listed
        colored(base / f"JPEGImages/{number:06d}.jpg", number, main)
    write_voc(base, objects, "test")
    found, vlm = measured(tmp_path, "voc2007", names)
    assert (found.metric, found.texts) == ("map_11_point", "the dataset's 1 template")
    opened = open_dataset("voc2007", {"root": str(tmp_path)})
    order = [int(Path(image.name).stem) for image in opened.images("test")]
    expected = scores(vlm, tmp_path, "voc2007", "test", names, "a photo of a {}.")
    cler = found.sets[0].numbers["cler"]
    assert cler.value == pytest.approx(eleven_points(expected["cler"], shown[order]), abs=1e-6)
    assert found.text.value == pytest.approx(eleven_points(expected["text"], shown[order]), abs=1e-6)
    wrong = np.where(shown[order] == 0, -1, shown[order])
    assert abs(eleven_points(expected["cler"], wrong) - cler.value) > 1e-4, "a difficult object counts neither way"
    assert (cler.low or 0) <= cler.value <= (cler.high or 1)
    assert 0 < found.sets[0].numbers["probe"].value <= 1


def open_class_names(root: Path, base: Path, spelled: list[str]) -> tuple[str, ...]:
    """Names of VOC's classes as EX2 has them, from a layout of one image in each split but the test's."""
    objects = {"900001": [(spelled[0], 0, 9)], "900002": [(spelled[1], 0, 9)]}
    for number in objects:
        colored(base / f"JPEGImages/{number}.jpg", int(number), 0)
    for split, listed in {"train": ["900001"], "val": ["900002"], "trainval": [*objects], "test": ["900001"]}.items():
        write_voc(base, {name: objects[name] for name in listed}, split)
    return tuple(open_dataset("voc2007", {"root": str(root)}).class_names)


def write_voc(base: Path, objects: dict[str, list[tuple[str, int, int]]], split: str) -> None:
    for name, listed in objects.items():
        inner = [VOC_OBJECT.format(*one) for one in listed]
        lines(base / f"Annotations/{name}.xml", ["<annotation>", *inner, "</annotation>"])
    lines(base / f"ImageSets/Main/{split}.txt", list(objects))


def test_memes_are_measured_by_the_area_under_the_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EX2_CACHE", str(tmp_path / "cache"))
    base, labels = tmp_path / "hateful_memes", [number % 3 == 0 for number in range(40)]
    for split, count in (("train", 4), ("dev", 40)):
        rows = [{"id": at, "img": f"img/{split}{at}.png", "label": int(labels[at]), "text": "…"} for at in range(count)]
        for at, row in enumerate(rows):
            colored(base / str(row["img"]), 7 * at + (split == "dev"), int(labels[at]) * 2 + at % 2)
        (base / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    names = tuple(open_dataset("hateful_memes", {"root": str(tmp_path)}).class_names)
    found, vlm = measured(tmp_path, "hateful_memes", names)
    assert found.metric == "roc_auc"
    given = [image.label for image in open_dataset("hateful_memes", {"root": str(tmp_path)}).images("dev")]
    expected = scores(vlm, tmp_path, "hateful_memes", "dev", names, "a {}.")
    area: Callable[[Floats], float] = lambda ranked: roc_auc_score(given, ranked[:, 1] - ranked[:, 0])  # noqa: E731
    cler, share = found.sets[0].numbers["cler"].value, float(np.mean(expected["cler"].argmax(1) == given))
    assert cler == pytest.approx(area(expected["cler"]), abs=1e-6)
    assert found.text.value == pytest.approx(area(expected["text"]), abs=1e-6)
    assert abs(cler - share) > 0.01, "the share of right predictions is another number"
    assert torch.isfinite(torch.tensor(found.sets[0].numbers["probe"].value))
