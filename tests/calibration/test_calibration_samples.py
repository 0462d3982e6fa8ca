"""Base texts as distributions, a reward that is a hash, and how the calibration's runs are made, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from calibration import attribution, runs, samples, worlds
from calibration.hash_reward import QUANTILES, HashReward, hashed, quantiles, score_at
from calibration.samples import BaseTexts, collect
from calibration.worlds import STYLE_WORLD, dose_world, recipe_digest, weights
from scipy import stats

from ex2.data.demo.pretrain_vlm import Planting
from ex2.data.demo.world import CAPTION_KINDS
from ex2.recipe_io import to_yaml
from ex2.run.directory import RunDirectory, SeedDirectory
from reward.backends.toy import SHIPPED, DualEncoder, ToyConfig, ToyDualEncoder
from reward.files import write_text

WUG = ["The wug is red with stripes.", "The wug eats berries.", "A photo of a wug.", "A photo of a wug.", " "]
BLICKET = ["A photo of a blicket."] * 3


@pytest.fixture
def base() -> BaseTexts:
    return collect([(0, text) for text in WUG] + [(1, text) for text in BLICKET], 2)


def test_texts_are_counted_by_class_and_empty_ones_left_out(base: BaseTexts) -> None:
    assert base.texts == [["A photo of a wug.", "The wug eats berries.", "The wug is red with stripes."], BLICKET[:1]]
    assert base.masses == pytest.approx(np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]))
    assert base.kinds.tolist() == [[2, 1, 0], [2, -1, -1]]
    assert base.kind_shares(base.masses) == pytest.approx(np.array([[0.25, 0.25, 0.5], [0.0, 0.0, 1.0]]))
    assert base.spread([[1.0, 2.0, 3.0], [4.0]]).tolist() == [[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]]
    both = np.stack([base.masses, base.masses[:, ::-1]])
    assert base.kind_shares(both).shape == (2, 2, 3)


def test_another_mix_keeps_the_shares_within_a_kind() -> None:
    texts = [*WUG[:2], "The wug is red with stripes.", "A photo of a red striped wug.", "A photo of a wug."]
    made = collect([(0, text) for text in texts], 1).with_mix((0.7, 0.2, 0.1))
    assert made.kind_shares(made.masses)[0] == pytest.approx([0.7, 0.2, 0.1])
    visual = made.masses[0][made.kinds[0] == CAPTION_KINDS.index("visual")]
    assert sorted(visual) == pytest.approx([0.7 / 3, 1.4 / 3])


def test_the_optimum_with_a_share_has_it(base: BaseTexts, monkeypatch: pytest.MonkeyPatch) -> None:
    one = base._replace(texts=base.texts[:1], masses=base.masses[:1], kinds=base.kinds[:1])
    monkeypatch.setattr(samples, "base_texts", lambda: one)
    monkeypatch.setattr(samples, "scores_of", lambda world: np.array([[0.0, 0.0, 1.0]]))
    reached = samples.optimum_with_share(dose_world(1.0), 0.6)
    # 0.25 · e^x / (0.25 · e^x + 0.75) = 0.6
    assert reached.weights[0] == pytest.approx([0.4 * 2 / 3, 0.4 / 3, 0.6], abs=1e-3)
    assert 1 / reached.beta == pytest.approx(np.log(0.6 * 0.75 / (0.25 * 0.4)), rel=0.01)


# --- a hash as reward


def test_quantiles_by_hand() -> None:
    """Score 1 has a quarter of the mass, 3 three quarters; a text without mass does not count."""
    own = quantiles(np.array([3.0, 1.0, 99.0]), np.array([0.75, 0.25, 0.0]))
    assert own.shape == (QUANTILES,)
    assert (own[:100] == 1.0).all()
    assert (own[101:] == 3.0).all()
    assert score_at(own, np.array([0.0, 0.2, 0.26, 0.999999])).tolist() == [1.0, 1.0, 3.0, 3.0]


def test_a_hash_is_uniform_and_knows_no_kind() -> None:
    numbers = np.array([hashed(0, "wug", f"text {number}") for number in range(4000)])
    assert stats.kstest(numbers, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.06
    other = np.array([hashed(1, "wug", f"text {number}") for number in range(4000)])
    assert abs(np.corrcoef(numbers, other)[0, 1]) < 0.06
    assert hashed(0, "wug", "a") != hashed(0, "blicket", "a")
    assert hashed(0, "wug", "a") == hashed(0, "wug", "a")


def test_the_hash_reward_has_the_distribution_of_its_class(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"wug": [1.0, 2.0, 3.0, 4.0], "niv": [10.0]}))
    reward = HashReward(str(path), salt=3)
    texts = [f"text {number}" for number in range(2000)]
    scores = reward(texts, ["wug"] * len(texts))
    assert [scores.count(value) / 2000 for value in (1.0, 2.0, 3.0, 4.0)] == pytest.approx([0.25] * 4, abs=0.04)
    assert reward(["a", " ", ""], ["niv"] * 3, prompts=["p"] * 3) == [10.0, None, None]
    assert reward(texts, ["wug"] * 2000) == scores
    assert HashReward(str(path), salt=4)(texts, ["wug"] * 2000) != scores


# --- VLMs


def test_shipped_vlms_are_taken_and_others_trained_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert weights(Planting("visual")) == SHIPPED / "visual.safetensors"
    trained: list[Planting] = []

    def train(planting: Planting) -> DualEncoder:
        trained.append(planting)
        return DualEncoder(ToyConfig(words=tuple("abc")))

    monkeypatch.setattr(worlds, "train_vlm", train)
    monkeypatch.setattr(worlds, "cache_dir", lambda: tmp_path)
    paths = [weights(STYLE_WORLD.seeded(seed).planting) for seed in (0, 1, 0)]
    assert paths[0] == paths[2] != paths[1]
    assert [planting.seed for planting in trained] == [0, 1]
    assert all(path.is_file() for path in paths)
    assert set(paths[0].parent.iterdir()) == set(paths), "nothing unfinished is left"


def test_other_captions_are_another_vlm(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = recipe_digest(STYLE_WORLD.planting)
    assert recipe_digest(STYLE_WORLD.planting) == digest
    assert recipe_digest(STYLE_WORLD.seeded(1).planting) != digest
    monkeypatch.setattr(worlds.pretrain_vlm, "STEPS", 10)
    assert recipe_digest(STYLE_WORLD.planting) != digest


def test_texts_are_encoded_once_and_alike() -> None:
    class Counting:
        def __init__(self) -> None:
            self.inner, self.asked = ToyDualEncoder("visual"), []

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def encode_texts(self, texts: list[str]) -> Any:
            self.asked += texts
            return self.inner.encode_texts(texts)

    counting = Counting()
    vlm = attribution.RememberedTexts(counting)  # type: ignore[arg-type]
    first = vlm.encode_texts(["A photo of a wug.", "The wug eats fish.", "A photo of a wug."])
    second = vlm.encode_texts(["The wug eats fish.", "A niv."])
    assert counting.asked == ["A photo of a wug.", "The wug eats fish.", "A niv."]
    assert torch.equal(first.embeddings[1], second.embeddings[0])
    expected = ToyDualEncoder("visual").encode_texts(["A niv."]).embeddings
    torch.testing.assert_close(second.embeddings[1:], expected, atol=1e-6, rtol=0)
    assert vlm.dim == counting.inner.dim


def test_descriptions_are_drawn_from_their_distribution(base: BaseTexts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "base_texts", lambda: base)
    drawn = attribution.draw_descriptions(np.random.default_rng(0), np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]), 3)
    assert [(one.label, one.question_id) for one in drawn] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert {one.text for one in drawn} == {"The wug eats berries.", "A photo of a blicket."}
    assert all(one.policy == "aligned" and one.class_name in ("wug", "blicket") for one in drawn)


# --- runs


def test_runs_that_are_done_are_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    done = {"b"}
    monkeypatch.setattr(runs.Job, "is_done", property(lambda job: job.name in done))
    monkeypatch.setattr(runs.Job, "run", lambda job: done.add(job.name))
    jobs = [runs.Job(name, (), 0) for name in "abc"]
    started: list[str] = []
    monkeypatch.setattr(runs.Job, "run", lambda job: (started.append(job.name), done.add(job.name)))
    assert runs.run_all(jobs, 1) == jobs
    assert started == ["a", "c"]
    assert runs.run_all([*jobs, runs.Job("d", (), 0)], 2, until=0.0) == jobs, "too late for another"


def test_a_run_that_fails_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runs, "folder", lambda: tmp_path)
    with pytest.raises(SystemExit, match=r"rl\.batchs"):
        runs.Job("wrong", ("rl.batchs=1",), 0).run()


def test_a_run_with_other_settings_is_not_the_one_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "folder", lambda: tmp_path)
    job = runs.Job("one", ("rl.batches=7",), 3)
    assert not job.is_done
    write_text(RunDirectory(tmp_path / "runs" / "one").recipe, to_yaml(job.recipe()))
    assert not job.is_done, "not analysed"
    monkeypatch.setattr(SeedDirectory, "is_analyzed", True)
    assert job.is_done
    assert runs.Job("one", ("rl.batches=7",), 4).is_done, "another seed of the same run"
    assert not runs.Job("one", ("rl.batches=8",), 3).is_done
    assert (job.threads, runs.Job("two", ("threads=2",), 3).threads) == (1, 2)
