"""Test images, class texts and sets as a VLM's embeddings, each made once and kept in the banks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from analysis.accuracy.encoded_texts import Texts
from analysis.accuracy.text_bank import text_banks
from analysis.accuracy.zero_shot import class_vectors
from analysis.images.given import ReadSeed
from analysis.images.record import NearTest
from analysis.images.resampling import TestImages
from analysis.images.scores import MetricName
from ex2.banks import bank_cache, own_share
from ex2.data.datasets.base import ImageDataset, open_dataset
from ex2.data.datasets.genbench import benchmark_of
from ex2.data.datasets.own_templates import own_templates
from ex2.data.prompts import generic_templates
from ex2.data.selection import too_few_classes
from ex2.recipe import Component
from ex2.sets.overlap import near_duplicates
from reward import image_bank
from reward.embedding import Loading
from reward.errors import UserError, unknown_name
from reward.images import LabeledImage
from reward.vlm import VLM

METRIC_NAMES: dict[str, MetricName] = {
    "accuracy": "accuracy",
    "mean per class": "mean_per_class",
    "11-point mAP": "map_11_point",
    "ROC AUC": "roc_auc",
}
"""A metric as GenBench's table has it → as `analysis.images.scores` has it."""
SHOWN = 3
"""Most images that a message names; the others are only counted."""


@dataclass(frozen=True)
class TestSide:
    """What sets are measured on.

    Attributes:
        test: Embeddings, labels as the metric takes them, and the classes' texts.
        main: One label for each image, shape (N,).
        texts: What the classes' texts are, in words.
        names: Of the N test images.
    """

    __test__ = False

    test: TestImages
    main: torch.Tensor
    texts: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class EmbeddedSeed:
    """The images of one seed of a set.

    Attributes:
        embeddings: Unit embeddings, ordered by label, then by index, shape (M, D).
        labels: The dataset's labels, shape (M,).
        near: Number of images that are nearly a test image.
        nearest: The nearest of them.
    """

    embeddings: torch.Tensor
    labels: torch.Tensor
    near: int
    nearest: tuple[NearTest, ...]


def open_split(dataset: Component, split: str, where: str = "dataset") -> tuple[ImageDataset, list[LabeledImage]]:
    """Open a dataset and return it with the images of a split; none is opened.

    Args:
        dataset: Its name and settings.
        split: The split that is tested on.
        where: What names the split, for messages.

    Raises:
        UserError: For an unknown dataset, setting or split, or fewer than two classes.
    """
    opened = open_dataset(dataset.name, dataset.settings)
    problems = []
    if split not in opened.splits:
        problems.append(unknown_name(where, split, opened.splits))
    if len(opened.class_names) < 2:
        problems.append(too_few_classes(opened.class_names, f"dataset {dataset.name}"))
    if problems:
        raise UserError("\n".join(problems))
    return opened, list(opened.images(split))


def embed_split(vlm: VLM, opened: ImageDataset, images: Sequence[LabeledImage], name: str, split: str) -> TestSide:
    """Embed the test images and the classes' texts, or take them from the banks.

    Args:
        vlm: The encoder.
        opened: The dataset.
        images: Images of the split.
        name: Of the dataset.
        split: Of the test images.

    Raises:
        UserError: If images cannot be read, a class has none, or embeddings are not finite.
    """
    where = f"dataset {name}, split '{split}'"
    found = image_bank.image_embeddings(
        vlm, images, opened.class_names, cache=bank_cache(), where=where, loading=Loading(), share=own_share()
    )
    check_finite(found.embeddings, [image.name for image in images], where)
    metric, labels = metric_of(name), found.labels
    labels_of = getattr(opened, "labels_of", None)
    if metric == "map_11_point" and labels_of is not None:
        # The dataset's 0 is what counts neither way, and -1 what is not seen; the metric has them the other way round.
        coded = torch.from_numpy(labels_of(split)).long()
        labels = torch.where(coded == 0, -1, coded.clamp(min=0))
    elif metric == "map_11_point":
        metric = "accuracy"
    text, words = class_texts(vlm, opened, name)
    test = TestImages(found.embeddings, labels, tuple(opened.class_names), metric, text)
    return TestSide(test, found.labels, words, tuple(image.name for image in images))


def metric_of(dataset: str) -> MetricName:
    """Return a dataset's own metric: GenBench's for its 22, else accuracy."""
    row = benchmark_of(dataset)
    return METRIC_NAMES[row.metric] if row else "accuracy"


def class_texts(vlm: VLM, opened: ImageDataset, name: str) -> tuple[torch.Tensor, str]:
    """Return the unit text embedding of each class, shape (C, D), and what the texts are, in words.

    They are those of the dataset's templates, or of the generic ones if it has none, averaged as in CLIP's paper.

    Args:
        vlm: The encoder.
        opened: The dataset.
        name: Of the dataset.
    """
    own = own_templates(name, opened)
    templates = own.templates if own else generic_templates()
    names = own.names if own else tuple(opened.class_names)
    pairs = [(label, template.format(name)) for label, name in enumerate(names) for template in templates]
    texts = Texts(vlm, [text for _, text in pairs], banks=text_banks())
    labels = torch.tensor([label for label, _ in pairs])
    made = class_vectors(texts[[text for _, text in pairs]], labels, len(names), torch.zeros(len(names), vlm.dim))
    kind = f"the dataset's {len(templates)} template" if own else f"the {len(templates)} generic template"
    words = kind + "s" * (len(templates) > 1)
    return made.vectors, words


def embed_seed(vlm: VLM, seed: ReadSeed, side: TestSide, name: str) -> EmbeddedSeed:
    """Embed a set's images, or take them from the bank.

    Args:
        vlm: The encoder.
        seed: The images.
        side: The test images.
        name: Of the set, for the progress bar and messages.

    Raises:
        UserError: If images cannot be read or were changed, equal images have different classes, or embeddings are not
            finite.
    """
    where = f"set '{name}', seed {seed.image_set.record.seed}"
    images, names, labels = bank_images(seed, side.test.classes)
    found = image_bank.image_embeddings(
        vlm, images, names, cache=bank_cache(), where=where, loading=Loading(), share=own_share()
    )
    check_finite(found.embeddings, [image.name for image in images], where)
    near, count = near_duplicates(found.embeddings, side.test.embeddings)
    number = seed.image_set.record.seed
    nearest = tuple(
        NearTest(seed=number, image=seed.rows[one.row].file_name, test=side.names[one.test], cosine=one.cosine)
        for one in near
    )
    return EmbeddedSeed(found.embeddings, labels, count, nearest)


def bank_images(seed: ReadSeed, class_names: Sequence[str]) -> tuple[list[LabeledImage], list[str], torch.Tensor]:
    """Return what a set's bank is of: images, and the names of the classes that have some; and the dataset's labels.

    A bank has no class without images, so the images' labels number the classes that have some.
    """
    present = sorted(seed.counts())
    number = {label: place for place, label in enumerate(present)}
    images = [seed.image(row, number[row.label]) for row in seed.rows]
    return images, [class_names[label] for label in present], torch.tensor([row.label for row in seed.rows])


def check_finite(embeddings: torch.Tensor, names: Sequence[str], where: str) -> None:
    """Refuse embeddings that are not finite, by the names of their images.

    Raises:
        UserError: If there are any.
    """
    faulty = torch.nonzero(~torch.isfinite(embeddings).all(1)).flatten().tolist()
    if faulty:
        listed = ", ".join(names[row] for row in faulty[:SHOWN]) + ", …" * (len(faulty) > SHOWN)
        raise UserError(
            f"{where}: the embeddings of {len(faulty)} of {len(names)} images are not finite, such as {listed}; look "
            "at these images, and at the precision of the VLM."
        )
