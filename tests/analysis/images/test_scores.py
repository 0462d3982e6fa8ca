"""The data sets' own metrics, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, precision_recall_curve, roc_auc_score

from analysis.images.scores import METRICS, accuracy, map_11_point, mean_per_class, roc_auc
from reward.errors import UserError

DRAW = np.random.default_rng(0)
LABELS = np.array([0] * 30 + [1] * 15 + [2] * 5)
SCORES = (8 * (np.eye(3)[LABELS] + DRAW.normal(size=(50, 3)))).round() / 8
"""In eighths, so that some are equal, and differences too."""
SHOWN = (DRAW.random((50, 3)) < 0.3).astype(int)
COUNTS = DRAW.integers(0, 4, size=50)


@pytest.mark.parametrize("weights", [None, COUNTS])
def test_accuracy_and_mean_per_class_equal_scikit_learn(weights: np.ndarray | None) -> None:
    guessed = SCORES.argmax(1)
    expected = accuracy_score(LABELS, guessed, sample_weight=weights)
    balanced = balanced_accuracy_score(LABELS, guessed, sample_weight=weights)
    assert accuracy(SCORES, LABELS, weights) == pytest.approx(expected, abs=1e-12)
    assert mean_per_class(SCORES, LABELS, weights) == pytest.approx(balanced, abs=1e-12)
    assert abs(expected - balanced) > 0.01


@pytest.mark.parametrize("weights", [None, COUNTS])
def test_roc_auc_equals_scikit_learn_on_the_softmax(weights: np.ndarray | None) -> None:
    labels, scores = SHOWN[:, 0], SCORES[:, :2]
    softmax = np.exp(scores[:, 1]) / np.exp(scores).sum(1)
    expected = roc_auc_score(labels, softmax.round(9), sample_weight=weights)
    assert roc_auc(scores, labels, weights) == pytest.approx(expected, abs=1e-12)
    exact = roc_auc_score(labels, scores[:, 1] - scores[:, 0], sample_weight=weights)
    assert roc_auc(scores, labels, weights) == pytest.approx(exact, abs=1e-12)
    assert abs(exact - roc_auc_score(labels, scores[:, 1], sample_weight=weights)) > 0.004  # one column is not enough


@pytest.mark.parametrize("weights", [None, COUNTS])
def test_map_equals_the_largest_precision_at_each_recall(weights: np.ndarray | None) -> None:
    expected = []
    for column, relevant in zip(SCORES.T, SHOWN.T, strict=True):
        precision, recall, _ = precision_recall_curve(relevant, column, sample_weight=weights)
        precision, recall = precision[:-1], recall[:-1]  # scikit-learn adds a precision of 1 at no recall
        expected += [precision[recall >= level / 10 - 1e-12].max() for level in range(11)]
    assert map_11_point(SCORES, SHOWN, weights) == pytest.approx(np.mean(expected), abs=1e-12)


def test_map_by_hand() -> None:
    """Ranked relevant, not, relevant: precision 1 up to recall 0.5 (6 of 11 levels), 2/3 beyond (5)."""
    assert map_11_point(np.array([[0.9], [0.8], [0.1]]), np.array([[1], [0], [1]])) == pytest.approx(
        (6 + 5 * 2 / 3) / 11
    )


@pytest.mark.parametrize(
    ("name", "scores", "labels", "message"),
    [
        ("accuracy", [[np.nan, 1.0], [0.0, 1.0]], [0, 1], "scores: those of 1 of 2 test images are not finite"),
        ("map_11_point", [[0.0, 1.0]], [[0, 1]], r"11-point mAP: no test image shows the class 0 \(1 of 2\)"),
        ("roc_auc", [[0.0, 1.0, 2.0]], [0], "ROC AUC: 3 classes; 2 are allowed"),
        ("roc_auc", [[0.0, 1.0]], [0], "ROC AUC: 1 test images of class 0 and 0 of class 1; both are needed"),
    ],
)
def test_what_is_refused(name: str, scores: list, labels: list, message: str) -> None:
    with pytest.raises(UserError, match=message):
        METRICS[name](np.array(scores), np.array(labels))


def test_an_image_that_counts_neither_way_for_a_class_is_out_of_its_ranking() -> None:
    # Class 0 ranks image 0 first, which is uncounted: without it, images 1 (seen) and 2 (not) make a precision of 1.
    # Counted as not seen, the precision would be 1/2. Class 1 ranks 2 (not), 1 (not), 0 (seen): 1/3 at every recall.
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    labels = np.array([[-1, 1], [1, 0], [0, 0]])
    assert map_11_point(scores, labels) == pytest.approx((1 + 1 / 3) / 2)
    # Image 2 counted three times: at class 1 four come before the seen one; at class 0 it comes after the seen one.
    assert map_11_point(scores, labels, np.array([1, 1, 3])) == pytest.approx((1 + 1 / 5) / 2)
    with pytest.raises(UserError, match=r"no test image shows the class 0 \(1 of 2\)"):
        map_11_point(scores[[0, 2]], labels[[0, 2]])
