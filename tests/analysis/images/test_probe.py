"""The linear probe, against scikit-learn."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from analysis.images import probe
from analysis.images.probe import choose_l2, fit
from reward.errors import UserError


def world(per_class: int, dimensions: int = 24, classes: int = 6, noise: float = 1.5) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    middles = torch.randn(classes, dimensions, generator=generator)
    labels, test_labels = torch.arange(classes).repeat(per_class), torch.arange(classes).repeat(50)
    data, test = (
        torch.nn.functional.normalize(
            middles[of] + noise * torch.randn(len(of), dimensions, generator=generator), dim=1
        )
        for of in (labels, test_labels)
    )
    return data, labels, test, test_labels, torch.nn.functional.normalize(middles, dim=1)


@pytest.mark.parametrize("rows", [7, 8192])
@pytest.mark.parametrize(("per_class", "l2"), [(3, 0.1), (20, 0.1), (20, 3.0)])
def test_predictions_and_logits_are_those_of_scikit_learn(
    per_class: int, l2: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fewer images than dimensions, and with more; from zero and from the texts; at once, and in parts."""
    monkeypatch.setattr(probe, "ROWS", rows)
    data, labels, test, _, text = world(per_class)
    peer = LogisticRegression(C=1 / l2, max_iter=5000, tol=1e-9).fit(data.double().numpy(), labels.numpy())
    logits = torch.from_numpy(peer.decision_function(test.double().numpy()))
    for found in (fit(data, labels, 6, l2), fit(data, labels, 6, l2, init="text", text=text)):
        scores = found.scores(test)
        assert scores.argmax(1).tolist() == peer.predict(test.double().numpy()).tolist()
        centered = scores - scores.mean(1, keepdim=True)  # a constant for all classes changes no probability
        torch.testing.assert_close(centered, logits - logits.mean(1, keepdim=True), atol=2e-3, rtol=0)


def test_a_start_from_the_texts_left_at_once_predicts_as_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    data, labels, test, _, text = world(20)
    monkeypatch.setattr(probe, "_minimised", lambda value, start, tolerance: start)
    found = fit(data, labels, 6, 1.0, init="text", text=text)
    assert found.scores(test).argmax(1).tolist() == (test @ text.T).argmax(1).tolist()
    assert fit(data, labels, 6, 1.0).scores(test).abs().max() == 0


def test_l2_is_chosen_alike_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    data, labels, *_ = world(12, noise=3.0)
    whole = choose_l2(data, labels, 6)
    monkeypatch.setattr(probe, "ROWS", 7)
    parts = choose_l2(data, labels, 6)
    assert (parts.l2, parts.held_out) == (whole.l2, whole.held_out)
    assert dict(parts.tried) == pytest.approx(dict(whole.tried))


def test_l2_is_chosen_on_a_part_of_the_set_and_near_the_best_of_the_test_images() -> None:
    data, labels, test, test_labels, _ = world(12, noise=3.0)
    choice = choose_l2(data, labels, 6)
    assert choice.held_out == 18  # 3 of 12 in each class
    strengths = [strength for strength, _ in choice.tried]
    assert strengths == sorted(strengths)
    assert choice.l2 in strengths
    accuracies = dict(choice.tried)
    assert accuracies[choice.l2] == max(accuracies.values()) > min(accuracies.values())
    ratios = {round(strength / 10**exponent, 6) for strength, exponent in zip(strengths[:1], (-6,), strict=True)}
    assert ratios == {round(72 / 54, 6)}  # 72 images instead of the 54 that the search fitted

    def right(l2: float) -> float:
        return float((fit(data, labels, 6, l2).scores(test).argmax(1) == test_labels).double().mean())

    assert right(choice.l2) > max(right(l2) for l2 in (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)) - 0.05
    assert choose_l2(data, labels, 6) == choice


def test_everything_wrong_is_told_at_once() -> None:
    data = torch.ones(3, 2)
    data[0, 0] = torch.nan
    with pytest.raises(UserError) as caught:
        fit(data, torch.tensor([0, 0, 2]), 2, 0.0)
    assert str(caught.value).splitlines() == [
        "linear probe: 1 of 3 embeddings are not finite; look at these images, and at the precision of the VLM.",
        "linear probe: no images of class 1 (1 of 2 classes); draw some, or remove the class.",
        "linear probe: label 2; 0 to 1 are allowed.",
        "linear probe: l2 0.0; a finite number above 0 is allowed.",
    ]
    with pytest.raises(UserError, match="linear probe: class 1 has a single image, and none can be held out"):
        choose_l2(torch.eye(3), torch.tensor([0, 0, 1]), 2)
