"""Image retrieval and correlations over data sets, by hand, by brute force and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from analysis.images import retrieval as module
from analysis.images.retrieval import of_paper_rule, retrieval, spearman
from analysis.statistics.intervals import IntervalSettings
from reward.errors import UserError


def test_precision_and_recall_by_hand() -> None:
    """On a circle: query 0 meets three of class 0; query 1 meets one of class 1 and two of class 0."""
    degrees = torch.tensor([0.0, 5.0, -5.0, 40.0, 90.0, 120.0]).deg2rad()
    test = torch.stack([degrees.cos(), degrees.sin()], 1) * torch.tensor([[9.0], [1], [1], [1], [1], [1]])
    query = torch.tensor([0.0, 20.0]).deg2rad()
    queries = torch.stack([query.cos(), query.sin()], 1)
    found = retrieval(queries, torch.tensor([0, 1]), test, torch.tensor([0, 0, 0, 1, 1, 1]), k=3)
    assert found.by_class == {0: (1.0, 1.0), 1: (pytest.approx(1 / 3), pytest.approx(1 / 3))}
    assert (found.precision, found.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


@pytest.mark.parametrize("rows", [1024, 4])
def test_by_brute_force_with_unequal_classes(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", rows)
    draw = np.random.default_rng(0)
    queries, test = draw.normal(size=(15, 4)), draw.normal(size=(40, 4))
    labels, test_labels = draw.integers(3, size=15), np.sort(draw.choice(3, 40, p=[0.6, 0.3, 0.1]))
    precision, recall = {}, {}
    for query, label in zip(queries, labels, strict=True):
        cosines = [float(query @ row / np.linalg.norm(row)) for row in test]
        nearest = sorted(range(40), key=lambda place: -cosines[place])[:5]
        hits = sum(test_labels[place] == label for place in nearest)
        precision.setdefault(label, []).append(hits / 5)
        recall.setdefault(label, []).append(hits / int((test_labels == label).sum()))
    found = retrieval(*(torch.from_numpy(array) for array in (queries, labels, test, test_labels)))
    assert found.precision == pytest.approx(np.mean([np.mean(values) for values in precision.values()]))
    assert found.recall == pytest.approx(np.mean([np.mean(values) for values in recall.values()]))
    assert found.precision != pytest.approx(found.recall)


def test_what_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        retrieval(torch.full((1, 2), torch.nan), torch.tensor([0]), torch.eye(2), torch.tensor([1, 1]))
    assert str(caught.value).splitlines() == [
        "retrieval: k: 5; from 1 to the number of test images, 2, are allowed.",
        "retrieval: 1 of 1 embeddings of the set are not finite; look at these images.",
        "retrieval: no class has both images of the set and test images; give the same classes.",
    ]
    with pytest.raises(UserError, match="correlation over 3 data sets: at least 2 are needed"):
        spearman([1, 1, 1], [1, 2, 3])


def test_spearman_and_its_bootstrap() -> None:
    draw = np.random.default_rng(1)
    first = draw.normal(size=18).round(1)
    second = first + draw.normal(size=18).round(1)
    found = spearman(first.tolist(), second.tolist(), IntervalSettings(samples=400))
    assert found.value == pytest.approx(spearmanr(first, second).statistic)
    rows = np.random.default_rng(0).integers(18, size=(400, 18))  # the same resamples, correlated by scipy
    again = np.quantile([spearmanr(first[row], second[row]).statistic for row in rows], [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(tuple(again), abs=1e-12)
    assert found.n == 18
    assert spearman([1, 2, 3], [1, 2, 4]) == (pytest.approx(1.0), None, None, 3)


def test_the_papers_rule_leaves_the_four_of_fewest_categories_out() -> None:
    """Table 4 with FER-2013's 7: PatchCamelyon, Rendered-SST2, Hateful Memes (2 each) and KITTI Distance (4)."""
    categories = [1000, 10, 100, 102, 20, 10, 397, 101, 37, 102, 196, 100, 211, 2, 10, 43, 2, 7, 45, 2, 47, 4]
    kept = of_paper_rule(categories)
    assert len(kept) == 18
    assert sorted(set(range(22)) - set(kept)) == [13, 16, 19, 21]
    with pytest.raises(UserError, match="data sets 3 and 4 both have 2 categories; which four have the fewest is not"):
        of_paper_rule([2, 2, 2, 2, 2, 9, 9])
    with pytest.raises(UserError, match="5 data sets; at least 6 are needed"):
        of_paper_rule([2, 3, 4, 5, 6])
