"""CLER's centers: against scikit-learn, against formulas written out, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid

from reward.errors import UserError
from reward.image_sets.centers import (
    class_centers,
    classes_without_images,
    ensemble,
    margins_left_one_out,
    predict,
)

CLASSES = ("ant", "bee", "cow")


def uneven(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return images of three classes of unequal spread and unequal lengths, their labels, and unit test images."""
    draw = np.random.default_rng(seed)
    middles = draw.normal(size=(3, 8))
    labels = np.repeat([0, 1, 2], 10)
    images = (middles[labels] + draw.normal(size=(30, 8)) * np.array([0.3, 1.0, 3.0])[labels, None]) * np.array(
        [1.0, 2.0, 0.5]
    )[labels, None]
    test = middles[np.repeat([0, 1, 2], 100)] + draw.normal(size=(300, 8)) * 1.5
    unit = torch.from_numpy(test / np.linalg.norm(test, axis=1, keepdims=True))
    return torch.from_numpy(images), torch.from_numpy(labels), unit


def written_out(images: np.ndarray, labels: np.ndarray, test: np.ndarray, kind: str) -> list[int]:
    """Predict one image at a time, as the formula says it."""
    centers = []
    for label in range(3):
        rows = [row if kind == "raw" else row / np.sqrt((row**2).sum()) for row in images[labels == label]]
        centers.append(sum(rows) / len(rows))
    return [max(range(3), key=lambda label: float((row * centers[label]).sum())) for row in test]


def test_unit_centers_predict_as_nearest_centroid_of_one_row_a_class() -> None:
    images, labels, test = uneven()
    centers = class_centers(images, labels, CLASSES)
    torch.testing.assert_close(centers.norm(dim=1), torch.ones(3, dtype=torch.float64))
    with np.errstate(invalid="ignore"):  # of a spread within classes, which one row each has not
        peer = NearestCentroid().fit(centers.numpy(), [0, 1, 2])
    assert predict(test, centers).tolist() == peer.predict(test.numpy()).tolist()


@pytest.mark.parametrize("kind", ["mean", "raw"])
def test_mean_and_raw_predict_as_written_out(kind: str) -> None:
    images, labels, test = uneven()
    centers = class_centers(images, labels, CLASSES, kind)
    assert predict(test, centers).tolist() == written_out(images.numpy(), labels.numpy(), test.numpy(), kind)


def test_the_three_kinds_differ_where_classes_are_spread_unequally() -> None:
    """A class of wide spread has a short mean: `mean` hardly ever predicts it, and `raw` prefers the longest."""
    images, labels, test = uneven()
    found = {kind: predict(test, class_centers(images, labels, CLASSES, kind)) for kind in ("unit", "mean", "raw")}
    of_cow = {kind: int((labels == 2).sum()) for kind, labels in found.items()}
    assert of_cow["unit"] > of_cow["mean"] > of_cow["raw"]
    assert (found["mean"] != found["raw"]).any()


def test_ensembles_are_the_formulas() -> None:
    images, labels, test = uneven()
    text = torch.nn.functional.normalize(torch.from_numpy(np.random.default_rng(1).normal(size=(3, 8))), dim=1)
    mean = class_centers(images, labels, CLASSES, "mean")
    by_hand = test.numpy() @ mean.numpy().T, test.numpy() @ text.numpy().T
    logits = (by_hand[0] + by_hand[1]) / 2
    assert predict(test, ensemble(mean, text, "logits")).tolist() == logits.argmax(1).tolist()
    np.testing.assert_allclose((test @ ensemble(mean, text, "logits").T).numpy(), logits, atol=1e-12)
    assert (predict(test, ensemble(mean, text, "centers")) != torch.from_numpy(logits.argmax(1))).any()


def test_the_published_formula_on_random_embeddings() -> None:
    """GenBench's code, in numpy: unit rows, their class means normalised, the text added, and normalised again."""
    draw = np.random.default_rng(2)
    images, text, test = (draw.normal(size=(rows, 16)).astype(np.float32) for rows in (40, 4, 50))

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / np.sqrt((rows**2).sum(1, keepdims=True))

    labels = np.tile([0, 1, 2, 3], 10)
    middles = unit(np.stack([unit(images)[labels == label].mean(0) for label in range(4)]))
    centers = class_centers(torch.from_numpy(images), torch.from_numpy(labels), tuple("abcd"))
    tests = torch.from_numpy(unit(test))
    np.testing.assert_allclose((tests @ centers.T).numpy(), unit(test) @ middles.T, atol=1e-6)
    joined = ensemble(centers, torch.from_numpy(unit(text)), "centers")
    np.testing.assert_allclose((tests @ joined.T).numpy(), unit(test) @ unit(unit(text) + middles).T, atol=1e-6)


def test_everything_wrong_with_a_set_is_told_at_once() -> None:
    images = torch.ones(5, 2)
    images[1, 0], images[3] = torch.nan, 0.0
    with pytest.raises(UserError) as caught:
        class_centers(images, torch.tensor([0, 0, 0, 2, 2]), CLASSES, where="sets/a")
    assert str(caught.value).splitlines() == [
        "sets/a: the embeddings of 1 of 5 images are not finite (1); look at these images, and at the precision of the "
        "VLM.",
        "sets/a: the embeddings of 1 of 5 images are 0, which has no direction (3); look at these images.",
        "sets/a: no images of class 'bee' (1 of 3 classes); draw some, remove the class, or set missing: text.",
        "sets/a: classes have between 2 ('cow') and 3 ('ant') images; equal numbers are needed: set shots: 2 or fewer, "
        "or shots: all to allow it.",
    ]


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 0], ("ant",), "image set: 1 class; at least 2 are needed to tell one from another; add classes."),
        ([0, 4], CLASSES, "image set: labels 4 have no class; there are 3 classes, so 0 to 2 are allowed."),
    ],
)
def test_classes_that_cannot_be(labels: list[int], classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError) as caught:
        class_centers(torch.eye(2), torch.tensor(labels), classes)
    assert str(caught.value) == message


def test_images_that_cancel_have_no_unit_center() -> None:
    images = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 1, 1])
    with pytest.raises(UserError, match="image set: the images of class 'ant' cancel: their mean has no direction"):
        class_centers(images, labels, ("ant", "bee"))
    assert class_centers(images, labels, ("ant", "bee"), "mean").tolist() == [[0, 0], [0, 1]]


def test_unequal_numbers_are_averaged_where_allowed() -> None:
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [3.0, 4.0], [0.0, -1.0]])
    labels = torch.tensor([0, 0, 0, 1, 1])
    centers = class_centers(images, labels, ("ant", "bee"), "mean", unequal=True)
    torch.testing.assert_close(centers, torch.tensor([[1 / 3, 2 / 3], [0.3, -0.1]]))


def test_a_class_without_images_may_take_its_text() -> None:
    images, labels = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]]), torch.tensor([0, 2])
    text = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.6, 0.8], [1.0, 0.0, 0.0]])
    centers = class_centers(images, labels, CLASSES, missing="text", text=text)
    torch.testing.assert_close(centers, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8], [0.0, 0.0, 1.0]]))
    assert classes_without_images(labels, CLASSES) == ("bee",)
    with pytest.raises(UserError, match=r"image set: missing: text with centers: mean: a text's length"):
        class_centers(images, labels, CLASSES, "mean", missing="text", text=text)


def test_a_test_image_that_is_not_finite_is_told() -> None:
    with pytest.raises(UserError) as caught:
        predict(torch.tensor([[1.0, 0.0], [torch.nan, 0.0]]), torch.eye(2))
    assert str(caught.value) == (
        "test images: the embeddings of 1 of 2 images are not finite (1); look at these images, and at the precision "
        "of the VLM."
    )


@pytest.mark.parametrize("kind", ["unit", "mean", "raw"])
def test_margins_left_one_out_are_two_centers_compared(kind: str) -> None:
    """By brute force: the mean margin of reference images, whose class counts once, with and without the image."""
    images, labels, reference = uneven()
    of_reference = np.repeat([0, 1, 2], 100)

    def margin(center: np.ndarray, label: int) -> float:
        by_class = [float((reference.numpy()[of_reference == other] @ center).mean()) for other in range(3)]
        return by_class[label] - (sum(by_class) - by_class[label]) / 2

    def center(rows: np.ndarray) -> np.ndarray:
        mean = (rows if kind == "raw" else rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(0)
        return mean / np.linalg.norm(mean) if kind == "unit" else mean

    expected = []
    for number, label in enumerate(labels.tolist()):
        members = labels.numpy() == label
        others = members & (np.arange(30) != number)
        expected.append(margin(center(images.numpy()[members]), label) - margin(center(images.numpy()[others]), label))
    means = torch.stack([reference[label * 100 : label * 100 + 100].mean(0) for label in range(3)])
    np.testing.assert_allclose(margins_left_one_out(images, labels, means, kind).numpy(), expected, atol=1e-12)


def test_an_only_image_is_compared_with_no_center() -> None:
    """Its margin is cos with its own class's mean minus that with the other's: 0.6 · 2 − 0.8 · 1."""
    found = margins_left_one_out(
        torch.tensor([[3.0, 4.0]]), torch.tensor([0]), torch.tensor([[2.0, 0.0], [0.0, 1.0]]), "unit"
    )
    torch.testing.assert_close(found, torch.tensor([0.4], dtype=torch.float64))
