"""Zero-shot classification: hand-computed vectors, open_clip's own classifier, and accuracies of arms."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import open_clip
import pytest
import torch
from vlms import TableVLM

from analysis.accuracy.measure import Measured, accuracy, reward_gain, texts_by_arm
from analysis.accuracy.record import Confusion
from analysis.accuracy.zero_shot import class_vectors, confusions, pack_correct, rank_classes, unpack_correct
from analysis.judge.base import Unparsed, Verdict
from analysis.statistics.intervals import IntervalSettings, mean_share
from analysis.verdicts.verdicts import Verdicts
from ex2.data.prompts import generic_templates
from ex2.run.descriptions import Description
from reward.image_bank import ImageEmbeddings


def test_generic_templates_are_open_clips() -> None:
    assert [template.format("red fox") for template in generic_templates()] == [
        template("red fox") for template in open_clip.OPENAI_IMAGENET_TEMPLATES
    ]
    assert len(generic_templates()) == 80


def test_class_vectors_agree_with_open_clips_classifier() -> None:

    def embed(texts: Sequence[str]) -> torch.Tensor:
        generators = [torch.Generator().manual_seed(zlib.crc32(text.encode())) for text in texts]
        return torch.stack([torch.randn(24, generator=generator) for generator in generators])

    class Model:
        def encode_text(self, codes: torch.Tensor, normalize: bool) -> torch.Tensor:
            assert normalize
            return torch.nn.functional.normalize(embed([bytes(row).decode() for row in codes.tolist()]), dim=-1)

    def tokenizer(texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([list(text.ljust(64).encode()) for text in texts])

    names = ["red fox", "pug", "oak"]
    theirs = open_clip.build_zero_shot_classifier(Model(), tokenizer, names, open_clip.OPENAI_IMAGENET_TEMPLATES)
    texts = [template.format(name).ljust(64) for name in names for template in generic_templates()]
    index = torch.arange(3).repeat_interleave(80)
    ours = class_vectors(embed(texts), index, 3, torch.ones(3, 24))
    torch.testing.assert_close(ours.vectors, theirs.T, atol=1e-6, rtol=0)
    assert ours.fallback == ()


def test_unequal_counts_and_fallback_by_hand() -> None:
    # Class 0: (3, 4) → (0.6, 0.8) and (0, 2) → (0, 1); their mean (0.3, 0.9) is (1, 3)/√10.
    # Class 1: one text, (−5, 0) → (−1, 0). Class 2 has none and takes (0, −7) → (0, −1).
    texts = torch.tensor([[3.0, 4.0], [-5.0, 0.0], [0.0, 2.0]])
    fallback = torch.tensor([[9.0, 9.0], [9.0, 9.0], [0.0, -7.0]])
    made = class_vectors(texts, torch.tensor([0, 1, 0]), 3, fallback)
    expected = torch.tensor([[1 / math.sqrt(10), 3 / math.sqrt(10)], [-1.0, 0.0], [0.0, -1.0]])
    torch.testing.assert_close(made.vectors, expected)
    assert made.fallback == (2,)
    images = torch.tensor([[0.0, 1.0], [-1.0, 0.2], [0.1, -1.0]])
    ranking = rank_classes(images, made.vectors, torch.tensor([0, 1, 0]))
    assert ranking.predicted.tolist() == [0, 1, 2]


def test_no_text_at_all_is_the_fallback() -> None:
    made = class_vectors(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), 2, torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    assert made.vectors.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert made.fallback == (0, 1)


def test_wrong_shapes_and_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fallback \(3, 2\) do not fit 2 classes"):
        class_vectors(torch.ones(1, 2), torch.tensor([0]), 2, torch.ones(3, 2))
    with pytest.raises(ValueError, match=r"class_index must lie in \[0, 2\), got up to 2"):
        class_vectors(torch.ones(1, 2), torch.tensor([2]), 2, torch.ones(2, 2))


def test_ranks_by_hand_and_on_ties_the_lower_index_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.accuracy.zero_shot.CHUNK", 2)  # three images: two chunks
    vectors = torch.tensor([[0.1, 0.0], [0.5, 0.0], [0.5, 0.0], [0.9, 0.0]])
    ranking = rank_classes(torch.tensor([[1.0, 0.0]] * 4), vectors, torch.tensor([0, 1, 2, 3]))
    assert ranking.predicted.tolist() == [3, 3, 3, 3]
    assert ranking.rank.tolist() == [3, 1, 2, 0]
    assert ranking.hits(1) == [False, False, False, True]
    assert ranking.hits(2) == [False, True, False, True]
    assert rank_classes(torch.zeros(0, 2), vectors, torch.zeros(0, dtype=torch.long)).hits(1) == []


def test_ranks_agree_with_scikit_style_top_k_by_brute_force() -> None:
    generator = torch.Generator().manual_seed(1)
    images, vectors = torch.randn(50, 6, generator=generator), torch.randn(9, 6, generator=generator)
    labels = torch.randint(9, (50,), generator=generator)
    ranking = rank_classes(images, vectors, labels)
    for k in (1, 3, 5):
        best = (images @ vectors.T).topk(k).indices
        assert ranking.hits(k) == [label in row for label, row in zip(labels.tolist(), best.tolist(), strict=True)]


def test_confusions_by_hand() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    predicted = torch.tensor([1, 1, 2, 0, 1, 2])
    assert confusions(predicted, labels, 2) == [(0, 1, 2, 3), (0, 2, 1, 3)]
    assert len(confusions(predicted, labels, 9)) == 3


def test_mean_share_by_hand() -> None:
    """3 of 4 and 0 of 2: mean 0.375. Smoothed shares 4/6 and 1/4: √(2/9/4 + 3/16/2)/2 = 0.19320; z = 1.95996."""
    estimate = mean_share([3, 0], [4, 2])
    assert estimate.value == pytest.approx(0.375)
    assert estimate.n == 2
    assert estimate.high == pytest.approx(0.375 + 1.959964 * 0.193199, abs=1e-4)
    assert estimate.low == pytest.approx(max(0.0, 0.375 - 1.959964 * 0.193199), abs=1e-4)
    with pytest.raises(ValueError, match="every class needs a trial"):
        mean_share([0], [0])


@pytest.mark.parametrize("n", [1, 7, 8, 9, 640])
def test_correctness_survives_packing(n: int) -> None:
    correct = [(index * index) % 3 == 1 for index in range(n)]
    assert unpack_correct(pack_correct(correct), n) == correct
    assert len(pack_correct(correct)) <= 4 * math.ceil(math.ceil(n / 8) / 3)


def description(
    label: int, text: str, policy: str = "aligned", reward: float | None = 1.0, question: int = 0
) -> Description:
    return Description(
        policy=policy,
        class_name=("pug", "oak")[label],
        label=label,
        question_id=question,
        sample=0,
        text=text,
        reward=reward,
    )


@pytest.fixture
def measured() -> dict[str, Any]:
    """Two classes; pug points right, oak up. Informative texts are right, the spurious one of pug is wrong."""
    vlm = TableVLM({"a photo of a pug": (1.0, 0.0), "a photo of a oak": (0.0, 1.0)})
    for name, vector in (("pug", (1.0, 0.0)), ("oak", (0.0, 1.0))):
        vlm.vectors |= {template.format(name): vector for template in generic_templates()}
    vlm.vectors |= {"barks": (1.0, 0.0), "green": (0.0, 1.0), "click here": (-1.0, 0.0), "no idea": (0.0, 1.0)}
    rows = [
        description(0, "barks"),
        description(0, "click here"),
        description(0, "  "),
        description(1, "green"),
        description(1, "no idea"),
    ]
    verdicts = Verdicts()
    for name, text, informative, visual in (("pug", "barks", True, False), ("oak", "green", True, True)):
        verdicts.add("informative", name, text, Verdict(informative, ""))
        verdicts.add("visual", name, text, Verdict(visual, ""))
    verdicts.add("informative", "pug", "click here", Verdict(False, ""))
    verdicts.add("informative", "oak", "no idea", Unparsed(""))
    # Four pugs, one of them above the diagonal, and one oak.
    images = torch.tensor([[1.0, 0.1], [1.0, 0.2], [1.0, 0.3], [0.5, 1.0], [0.0, 1.0]])
    bank = ImageEmbeddings(("pug", "oak"), torch.nn.functional.normalize(images), torch.tensor([0, 0, 0, 0, 1]))
    result = accuracy(vlm, bank, texts_by_arm(rows, verdicts, bank.class_names), IntervalSettings())
    assert len(vlm.encoded) == len(set(vlm.encoded)), "a text was encoded twice"
    return result


def test_arms_by_hand(measured: Measured) -> None:
    arms = measured.arms
    # Templates: (1, 0) and (0, 1): all but the fourth pug.
    assert (arms["templates"].top1.correct, arms["templates"].top1.n, arms["templates"].texts) == (4, 5, 160)
    assert arms["templates"].top1.accuracy == 0.8
    assert arms["base"] is None
    # All aligned texts that are not empty, the unparsed one included. Pug: barks + click here cancel out to 0.
    assert arms["aligned"].texts == 4
    assert arms["aligned"].fallback_classes == ()
    assert arms["informative"].top1.correct == 4
    # Spurious: pug (−1, 0); oak has none and takes the plain template (0, 1). Every image is nearer to oak.
    assert arms["spurious"].top1.correct == 1
    assert arms["spurious"].fallback_classes == ("oak",)
    assert arms["visual"].fallback_classes == ("pug",)
    assert unpack_correct(arms["spurious"].top1.correct_bits, 5) == [False, False, False, False, True]
    # Two classes: no top-5. Pug 3 of 4 and oak 1 of 1.
    assert arms["templates"].top5 is None
    assert arms["templates"].mean_per_class.value == pytest.approx(0.875)
    assert arms["templates"].confusions == (Confusion("pug", "oak", images=1, of=4),)


def test_differences_and_covered_classes(measured: Measured) -> None:
    differences = {(part.arm, part.against): part.paired for part in measured.differences}
    spurious = differences["spurious", "templates"]
    # Templates are right on three images that spurious has wrong, never the other way: p = 2 · (1/2)³.
    assert (spurious.only_first, spurious.only_second, spurious.p) == (0, 3, 0.125)
    assert spurious.difference == pytest.approx(-0.6)
    assert ("aligned", "base") not in differences
    # Pug alone has both spurious and informative texts: one class cannot be told from others.
    assert measured.covered_by_both[0].to_json() == {
        "groups": ["informative", "spurious"],
        "classes": 1,
        "arms": {},
        "difference": None,
    }


def test_groups_are_compared_where_both_have_texts() -> None:
    names = ("pug", "oak", "red fox")
    east, north, west = (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)
    vlm = TableVLM({"a photo of a pug": east, "a photo of a oak": north, "a photo of a red fox": west})
    vlm.vectors |= {"barks": east, "green": north, "sly": west, "click pug": north, "click oak": east}
    arms = {
        "templates": [(0, "a photo of a pug"), (1, "a photo of a oak"), (2, "a photo of a red fox")],
        "informative": [(0, "barks"), (1, "green"), (2, "sly")],
        "spurious": [(0, "click pug"), (1, "click oak")],  # swapped; none of red fox
    }
    images = ImageEmbeddings(names, torch.tensor([east, east, north, west]), torch.tensor([0, 0, 1, 2]))
    result = accuracy(vlm, images, arms, IntervalSettings())
    # With its plain template, spurious still recognises the fox; among the two shared classes nothing.
    assert result.arms["spurious"].top1.correct == 1
    (covered,) = result.covered_by_both
    assert (covered.classes, covered.difference.paired.n, covered.difference.paired.difference) == (2, 3, 1.0)
    assert {name: part.correct for name, part in covered.arms.items()} == {
        "informative": 3,
        "spurious": 0,
        "templates": 3,
    }


def test_reward_gain_pairs_class_and_question() -> None:
    rows = [
        description(0, "a", "aligned", 5.0, question=1),
        description(0, "b", "base", 3.0, question=1),
        description(0, "c", "aligned", 4.0, question=2),
        description(0, "d", "base", 3.0, question=2),
        description(1, "e", "aligned", 9.0, question=1),
        description(1, "", "base", None, question=1),
    ]
    gain = reward_gain(rows, IntervalSettings())
    assert gain is not None
    # Differences 2 and 1: mean 1.5, and too few for an interval.
    assert (gain.paired.difference, gain.paired.n, gain.unpaired) == (1.5, 2, 2)
    assert (gain.paired.low, gain.paired.high, gain.paired.bootstrap_low) == (None, None, None)
    assert (gain.aligned, gain.base) == (4.5, 3.0)
    assert reward_gain(rows[:1], IntervalSettings()) is None
    more = [
        description(0, "a", policy, reward, question=question)
        for question, gap in ((3, 3.0), (4, 4.0), (5, 5.0))
        for policy, reward in (("aligned", 1.0 + gap), ("base", 1.0))
    ]
    gain = reward_gain([*rows, *more], IntervalSettings())
    assert gain is not None
    # Differences 1 to 5: mean 3, standard error √(2.5/5), t(0.975, 4) = 2.776445.
    assert (gain.paired.difference, gain.paired.n) == (3.0, 5)
    assert gain.paired.high == pytest.approx(3 + 2.776445 * 0.5**0.5, abs=1e-5)
