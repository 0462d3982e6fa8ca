"""Rewards beyond the cosine, and the standardization, on numbers worked out by hand or by brute force."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from vlms import Compass

from reward.components import build, check_component
from reward.cosine import CosineReward
from reward.drawn import DrawTexts
from reward.errors import UserError
from reward.image_bank import ClassMeans
from reward.margin import MarginReward, margins
from reward.standardization import Standardization, standardization, stored_standardization
from reward.table import REWARDS, SUPPLIED
from reward.text_rewards import Fluency, Repetition, repeated_share

MEANS = ClassMeans(("0", "90", "180"), torch.tensor([[0.8, 0.0], [0.0, 0.5], [-0.4, 0.3]]), torch.tensor([2, 2, 2]))


def nothing_drawn(generator: object) -> DrawTexts:
    return no_pictures


def no_pictures(texts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image | None]:
    return [None] * len(texts)


def supplied(vlm: Compass, tmp_path: Path) -> dict[str, Any]:
    return {
        "vlm": vlm,
        "class_means": MEANS,
        "draw": nothing_drawn,
        "standardization": lambda: stored_standardization(vlm, MEANS, ["{}", "a {}"], cache=tmp_path),
    }


# --- margin -----------------------------------------------------------------------------------------------------------


def test_margins_by_hand() -> None:
    """Text (1, 0): scores 8, 0 and −4; text (0, 1): 0, 5 and 3."""
    texts = torch.eye(2)
    own = torch.tensor([0, 1])
    mean = margins(texts, MEANS.means, own, scale=10.0, against="mean")
    torch.testing.assert_close(mean, torch.tensor([8.0 - (0.0 - 4.0) / 2, 5.0 - (0.0 + 3.0) / 2]))
    hardest = margins(texts, MEANS.means, own, scale=10.0, against="hardest")
    torch.testing.assert_close(hardest, torch.tensor([8.0 - 0.0, 5.0 - 3.0]))


def test_margin_reward_of_a_batch() -> None:
    """The VLM's bias of −1 cancels; the empty description has no score."""
    vlm = Compass()
    reward = MarginReward(vlm, MEANS, against="hardest")
    assert reward(["east 0", " ", "north 90", "east 0"], ["0", "0", "90", "180"]) == [
        pytest.approx(8.0),
        None,
        pytest.approx(2.0),
        pytest.approx(-12.0),
    ]
    assert vlm.encoded == ["east 0", "north 90"]
    assert reward(["", ""], ["0", "90"]) == [None, None]


def test_margin_needs_another_class() -> None:
    alone = ClassMeans(("0",), torch.ones(1, 2), torch.ones(1))
    with pytest.raises(UserError, match=r"reward margin: there is no other class to compare with"):
        MarginReward(Compass(), alone)


# --- standardization -------------------------------------------------------------------------------------------------


def test_standardization_against_brute_force() -> None:
    """Every text against every class's images, one score at a time, in NumPy."""
    random = np.random.default_rng(3)
    texts = random.normal(size=(4, 5, 6))
    texts /= np.linalg.norm(texts, axis=-1, keepdims=True)
    means = random.normal(size=(4, 6)) / 4
    own, other = [], []
    for label in range(4):
        scores = [[7.0 * float(texts[k, t] @ means[label]) - 2.0 for t in range(5)] for k in range(4)]
        own.append(scores[label])
        other.append([score for k in range(4) if k != label for score in scores[k]])
    made = standardization(torch.tensor(texts), torch.tensor(means), scale=7.0, bias=-2.0)
    assert made.own_mean == pytest.approx(np.mean(own))
    assert made.other_mean == pytest.approx(np.mean(other))
    assert made.own_std == pytest.approx(np.sqrt(np.mean(np.var(own, axis=1))))
    assert made.other_std == pytest.approx(np.sqrt(np.mean(np.var(other, axis=1))))


def test_standardized_scores_do_not_depend_on_the_vlms_scale_and_keep_the_order(tmp_path: Path) -> None:
    """The same encoder with logits 10 times as wide and shifted: other scores, equal standardized ones."""
    wide = Compass()
    wide.scale, wide.bias = 100.0, 3.0
    wide.fingerprint = lambda: "wide"  # type: ignore[method-assign]
    texts, names = ["0", "30", "60", "200"], ["0", "90", "180", "0"]
    plain = [CosineReward(vlm, MEANS)(texts, names) for vlm in (Compass(), wide)]
    standard = [
        build("cosine", {"units": "standardized"}, REWARDS, "reward", **supplied(vlm, tmp_path))(texts, names)
        for vlm in (Compass(), wide)
    ]
    assert plain[0] != pytest.approx(plain[1])
    assert standard[0] == pytest.approx(standard[1], abs=1e-5)
    assert np.argsort(standard[0]).tolist() == np.argsort(plain[0]).tolist()


def test_a_generic_template_scores_zero_on_average_when_standardized(tmp_path: Path) -> None:
    reward = build("cosine", {"units": "standardized"}, REWARDS, "reward", **supplied(Compass(), tmp_path))
    scores = reward(["0", "a 0", "90", "a 90", "180", "a 180"], ["0", "0", "90", "90", "180", "180"])
    assert np.mean(scores) == pytest.approx(0.0, abs=1e-6)


def test_standardization_is_kept_in_the_bank_and_follows_images_and_templates(tmp_path: Path) -> None:
    vlm = Compass()
    first = stored_standardization(vlm, MEANS, ["{}"], cache=tmp_path)
    vlm.encoded.clear()
    assert stored_standardization(vlm, MEANS, ["{}"], cache=tmp_path) == first
    assert vlm.encoded == []
    stored_standardization(vlm, MEANS, ["{}", "the {}"], cache=tmp_path)
    other = ClassMeans(MEANS.class_names, MEANS.means * 0.5, MEANS.counts)
    assert stored_standardization(vlm, other, ["{}"], cache=tmp_path).other_std == pytest.approx(first.other_std / 2)
    assert len(list(tmp_path.glob("standardization-*.safetensors"))) == 3


def test_a_standardized_margin_is_divided_by_the_spread_alone(tmp_path: Path) -> None:
    given = supplied(Compass(), tmp_path)
    spread = given["standardization"]().other_std
    plain = build("margin", {}, REWARDS, "reward", **given)(["0"], ["0"])
    standard = build("margin", {"units": "standardized"}, REWARDS, "reward", **given)(["0"], ["0"])
    assert standard[0] == pytest.approx(plain[0] / spread)


def test_standardized_units_without_a_standardization_or_with_one_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"reward\.units: standardized scores need a standardization"):
        CosineReward(Compass(), MEANS, units="standardized")
    alone = ClassMeans(("0",), torch.ones(1, 2), torch.ones(1))
    with pytest.raises(UserError, match=r"reward\.units: standardized scores need two classes or more"):
        stored_standardization(Compass(), alone, ["{}"], cache=tmp_path)


def test_standardize_by_hand() -> None:
    standardization = Standardization(own_mean=20.0, own_std=1.0, other_mean=12.0, other_std=4.0)
    torch.testing.assert_close(
        standardization.standardize(torch.tensor([20.0, 26.0, 12.0])), torch.tensor([0.0, 1.5, -2])
    )


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "n", "share"),
    [
        ("a b c d", 2, 0.0),
        ("a b a b a b", 2, 3 / 5),  # ab ba ab ba ab: two kinds of five
        ("so so so so", 1, 3 / 4),
        ("one", 2, 0.0),
        ("", 2, 0.0),
    ],
)
def test_repeated_share_by_hand(text: str, n: int, share: float) -> None:
    assert repeated_share(text.split(), n) == pytest.approx(share)
    assert Repetition(n)([text.upper()]) == [pytest.approx(-share)]


def test_fluency_is_the_mean_log_probability_of_a_token() -> None:
    scores = Fluency()(["a b", "", " "], reference_logprobs=[[-1.0, -2.0, -6.0], [-3.0], [-1.0]])
    assert scores == [pytest.approx(-3.0), None, None]
    assert Fluency()(["a"], reference_logprobs=[[]]) == [None]


# --- sum --------------------------------------------------------------------------------------------------------------

TERMS = [
    {"name": "cosine", "weight": 0.5},
    {"name": "repetition", "n": 1, "weight": 3},
    {"name": "length_penalty", "limit": 2},
]


def test_a_sum_weighs_its_terms_and_logs_each(tmp_path: Path) -> None:
    """Cosine of "0" with class 0: 10 · 0.8 − 1 = 7; one of "so so 0" is repeated: 3 · −1/3; one word over two: −1."""
    reward = build("sum", {"terms": TERMS}, REWARDS, "reward", **supplied(Compass(), tmp_path))
    logged: dict[str, float] = {}
    columns = {"class_name": ["0", "0", "90"], "log_metric": logged.__setitem__}
    scores = reward(completions=["0", "so so 0", ""], **columns)
    assert scores == [pytest.approx(3.5), pytest.approx(3.5 - 1.0 - 1.0), None]
    assert logged["term_cosine"] == pytest.approx(7.0)
    assert logged["term_repetition"] == pytest.approx(-1 / 9)
    assert logged["term_length_penalty"] == pytest.approx(-1 / 3)
    assert not reward.needs_reference
    fluent = build("sum", {"terms": [*TERMS, {"name": "fluency"}]}, REWARDS, "r", **supplied(Compass(), tmp_path))
    assert fluent.needs_reference
    scores = fluent(completions=["0"], class_name=["0"], reference_logprobs=[[-0.5, -1.5]])
    assert scores == [pytest.approx(2.5)]


def test_every_problem_of_a_sum_is_told_at_once() -> None:
    terms = [
        {"name": "cosin"},
        {"name": "margin", "against": "hard"},
        {"weight": 2},
        {"name": "fluency", "weight": "x"},
    ]
    assert check_component("sum", {"terms": terms}, REWARDS, "reward", SUPPLIED) == [
        "reward.terms[0].name: unknown 'cosin'. Did you mean 'cosine'? Available: cosine, drawn_cler, fluency, "
        "length_penalty, margin, repetition, sum. Or give the dotted path of your own.",
        "reward.terms[1].against: unknown 'hard'. Did you mean 'hardest'? Available: hardest, mean.",
        "reward.terms[2]: given {'weight': 2}; give a mapping with the reward's name.",
        "reward.terms[3].weight: given 'x'; give a number.",
    ]
    assert check_component("sum", {"term": []}, REWARDS, "reward", SUPPLIED) == [
        "reward: unknown 'term'. Did you mean 'terms'? Available: terms.",
        "reward: 'terms' is missing; 'WeightedSum' cannot do without it.",
    ]
    assert check_component("sum", {"terms": []}, REWARDS, "reward", SUPPLIED) == [
        "reward.terms: given []; give a list of rewards, such as [{name: cosine, weight: 1}]."
    ]


def test_settings_are_checked_by_their_types() -> None:
    assert check_component("cosine", {"units": "standard"}, REWARDS, "reward", SUPPLIED) == [
        "reward.units: unknown 'standard'. Did you mean 'standardized'? Available: standardized, vlm."
    ]
    assert check_component("length_penalty", {"limit": "many"}, REWARDS, "reward", SUPPLIED) == [
        "reward.limit: given 'many'; input should be a valid integer, unable to parse string as an integer."
    ]


@pytest.mark.parametrize("name", sorted(REWARDS))
def test_every_reward_keeps_trls_contract(name: str, tmp_path: Path) -> None:
    settings = {
        "length_penalty": {"limit": 2},
        "sum": {"terms": TERMS},
        "drawn_cler": {"generator": {"name": "toy"}, "beside": 0},
    }.get(name, {})
    reward = build(name, settings, REWARDS, "reward", **supplied(Compass(), tmp_path))
    columns = {
        "class_name": ["0", "90"],
        "label": [0, 1],
        "prompts": ["p", "p"],
        "completion_ids": [[1, 2], [3]],
        "reference_logprobs": [[-1.0, -1.0], [-2.0]],
        "trainer_state": None,
    }
    scores = reward(completions=["one two three 4", ""], **columns)
    assert reward.__name__ == name
    assert len(scores) == 2
    assert all(score is None or isinstance(score, float) for score in scores)
    copied = pickle.loads(pickle.dumps(reward))  # noqa: S301 - our own bytes
    assert copied(completions=["one two three 4", ""], **columns) == scores
