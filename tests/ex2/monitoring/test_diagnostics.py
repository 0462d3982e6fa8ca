"""Signs of reward hacking, the reward that logs them, and what a batch cost: numbers counted by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ex2.monitoring.observed_reward import Observed
from ex2.monitoring.signs import (
    copied_share,
    cut_to_sentence,
    mean_surprise,
    name_repetitions,
    repetition,
    without_name,
)
from ex2.trainers.batch_log import batch_cost, logged_by_rewards, peak_memory
from reward.errors import UserError


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("A pug. The PUG, a pug's nose; pugs.", "pug", 2),  # "pug's" and "pugs" are other words
        ("German shepherd, german-shepherd, german  Shepherd: shepherd", "German shepherd", 3),
        ("red fox red fox red", "red fox red", 2),  # places may overlap
        ("nothing of the kind", "pug", 0),
        ("", "pug", 0),
        ("a pug", "", 0),
    ],
)
def test_name_repetitions(text: str, name: str, expected: int) -> None:
    assert name_repetitions(text, name) == expected


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("The pug has a curled tail.", "Pug", "The has a curled tail."),
        ("pugs are not a PUG", "pug", "pugs are not a"),
        ("A german\nShepherd, a dog", "German shepherd", "A , a dog"),
        ("a Boeing-747, here", "Boeing 747", "a , here"),
        ("any", "", "any"),
    ],
)
def test_without_name(text: str, name: str, expected: str) -> None:
    assert without_name(text, name) == expected


def test_repetition_counts_word_pairs() -> None:
    # the-cat cat-sat sat-the the-cat cat-sat: 5 pairs, 3 different
    assert repetition("The cat sat. The cat sat!") == pytest.approx(1 - 3 / 5)
    assert repetition("one two three") == 0
    assert repetition("one") == 0


def test_copied_share_against_the_prompt() -> None:
    prompt = "What does a red fox look like?\n\n"
    # trigrams: a-red-fox (there), red-fox-has, fox-has-fur
    assert copied_share("A red fox has fur", prompt) == pytest.approx(1 / 3)
    assert copied_share("What does a red fox look like", prompt) == 1
    assert copied_share("red fox", prompt) == 1  # two words: compared as a whole
    assert copied_share("fox red", prompt) == 0
    assert copied_share("", prompt) == 0


def test_surprise_and_perplexity() -> None:
    assert mean_surprise([-1.0, -3.0]) == 2.0
    assert mean_surprise([]) is None
    logged = logged_by_rewards(
        {"sign_surprise": [9.0, math.log(8)], "share_empty": [0.25], "term_cosine": [], "kl": [3.0], "sign_copied": [0]}
    )
    assert logged == pytest.approx({"sign_perplexity": 8.0, "share_empty": 0.25, "sign_copied": 0})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is red. It has four l", "It is red."),
        ("It weighs 3.5 kg and is", "It weighs 3.5 kg and is"),
        ('He said "Look!" and then', 'He said "Look!"'),
        ("Is it? Yes… and", "Is it? Yes…"),
        ("Dogs, e.g. pugs, and", "Dogs, e.g. pugs, and"),
        ("No end here", "No end here"),
        ("Whole. ", "Whole."),
        ("", ""),
    ],
)
def test_cut_to_sentence(text: str, expected: str) -> None:
    assert cut_to_sentence(text) == expected


def test_cost_of_a_batch() -> None:
    cost = batch_cost(120.0, {"rollout": 2.0, "reward": 0.5, "update": 1.0})
    assert cost["tokens_per_second"] == pytest.approx(40.0)  # the reward's half second is a part of the rollout's two
    assert cost["peak_memory_gib"] == pytest.approx(peak_memory() / 2**30, rel=0.1)
    held = [bytearray(64 * 2**20)]
    assert peak_memory() >= len(held[0])


class Names:
    """Ten for each time the class is named, plus one per word; None if empty."""

    __name__ = "names"

    def __init__(self, wrong: float | None = None) -> None:
        self.wrong, self.calls = wrong, []  # type: ignore[var-annotated]

    def __call__(
        self, completions: list[str], class_name: list[str], log_metric: Any = None, **columns: Any
    ) -> list[float | None]:
        self.calls.append((list(completions), columns))
        scores: list[float | None] = [
            10.0 * name_repetitions(text, name) + len(text.split()) if text else None
            for text, name in zip(completions, class_name, strict=True)
        ]
        if self.wrong is not None:
            scores[1] = self.wrong
        if log_metric is not None:
            log_metric("share_empty", sum(text == "" for text in completions) / len(completions))
        return scores


def observe(reward: Names, folder: Path, *, step: int = 0, sample: int = 2, chat: bool = False) -> Any:
    logged: dict[str, list[float]] = {}
    texts = ["a pug pug", "an oak", "", "elm a b a b"]
    prompts: list[Any] = ["What is a pug?\n\n", "What is an oak tree?\n\n", "?", "?"]
    completions: list[Any] = texts
    if chat:
        prompts = [[{"role": "user", "content": prompt}] for prompt in prompts]
        completions = [[{"role": "assistant", "content": text}] for text in texts]
    observed = Observed(
        reward, checkpoints=folder, updates_per_batch=4, without_name_every=10, without_name_sample=sample
    )
    scores = observed(
        prompts=prompts,
        completions=completions,
        class_name=["pug", "oak", "elm", "elm"],
        label=[0, 1, 2, 2],
        reference_logprobs=[[-1.0, -2.0], [-4.0], [], [-0.5]],
        trainer_state=SimpleNamespace(global_step=step),
        log_metric=lambda name, value: logged.setdefault(name, []).append(value),
    )
    return scores, logged


def test_signs_are_logged_description_by_description(tmp_path: Path) -> None:
    reward = Names()
    scores, logged = observe(reward, tmp_path)
    assert scores == [23.0, 12.0, None, 15.0]
    assert logged["sign_name_repetitions"] == [2, 1, 0, 1]
    # elm-a a-b b-a a-b: 4 pairs, 3 different
    assert logged["sign_repetition"] == [0, 0, 0, 0.25]
    # "a pug pug" is one trigram and not in the prompt; "an oak" is compared as a whole
    assert logged["sign_copied"] == [0, 1, 0, 0]
    assert logged["sign_surprise"] == [1.5, 4.0, 0.5]
    # without their names the first two read "a" and "an"; only the sample of two is encoded again
    assert reward.calls[1][0] == ["a", "an"]
    assert reward.calls[1][1]["label"] == [0, 1]
    assert logged["sign_reward_without_name"] == [1.0, 1.0]
    assert logged["sign_name_gain"] == [22.0, 11.0]
    assert logged["share_empty"] == [0.25], "the second call logs nothing of its own"


def test_the_reward_without_the_name_is_measured_every_tenth_batch(tmp_path: Path) -> None:
    measured = [
        batch for batch in range(1, 32) if "sign_name_gain" in observe(Names(), tmp_path, step=4 * (batch - 1))[1]
    ]
    assert measured == [1, 11, 21, 31]


def test_chats_are_observed_too(tmp_path: Path) -> None:
    texts: list[list[str]] = []

    class Reader(Names):
        def __call__(self, completions: list[Any], **columns: Any) -> list[float | None]:  # type: ignore[override]
            texts.append([message[0]["content"] for message in completions])
            return super().__call__(completions=texts[-1], **columns)

    scores, logged = observe(Reader(), tmp_path, chat=True)
    assert scores == [23.0, 12.0, None, 15.0]
    assert logged["sign_copied"] == [0, 1, 0, 0]
    assert texts[1] == ["a", "an"]


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_score_that_is_no_number_ends_the_run_and_keeps_the_batch(tmp_path: Path, wrong: float) -> None:
    good = tmp_path / "checkpoint-8"
    good.mkdir()
    (good / "complete.json").write_text("{}")
    with pytest.raises(UserError) as caught:
        observe(Names(wrong), tmp_path, step=9)
    message = str(caught.value)
    assert message.startswith(f"batch 3: 1 of 4 scores of reward 'names': {wrong}. The batch is kept in ")
    assert f"the last good checkpoint is {good}" in message
    assert "what cannot be scored gets None" in message
    kept = json.loads((tmp_path / "not_finite" / "batch-3" / "process-0.json").read_text())
    assert kept["value"] == repr(wrong)
    assert kept["descriptions"][1] == {"prompt": "What is an oak tree?\n\n", "text": "an oak", "score": repr(wrong)}
    assert kept["descriptions"][2]["score"] is None
