"""A constant far from zero in the scores must not shorten responses: centred scores do not, raw ones do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from peft import LoraConfig
from tiny_trainers import PLAIN
from transformers import AutoModelForCausalLM, AutoTokenizer

import ex2.data
from ex2.data.demo.world import CONCEPTS
from ex2.data.prompts import make_prompts
from ex2.trainers.config import PPOConfig
from ex2.trainers.ppo import PPOTrainer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

BATCHES = 14
POLICY = Path(ex2.data.__file__).parent / "demo_policy"


class AlwaysThere:
    """25 whatever the text is: nothing can be earned, at any length."""

    __name__ = "always_25"

    def __call__(self, completions: list[str], **columns: Any) -> list[float | None]:
        return [25.0 for _ in completions]


def lengths(folder: Path, score_centering: str) -> list[float]:
    """Train; return the mean response length of each, in tokens."""
    seen: list[float] = []

    class Watching(PPOTrainer):
        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            super().log(logs, start_time)
            if "response_length" in self.batch_log:
                seen.append(float(self.batch_log["response_length"] or 0.0))

    config = PPOConfig(
        **PLAIN,
        output_dir=str(folder),
        seed=1,
        per_device_train_batch_size=8,
        steps_per_generation=4,
        num_iterations=4,
        max_steps=BATCHES * 16,
        logging_steps=16,
        save_strategy="no",
        learning_rate=1e-3,
        max_completion_length=24,
        top_k=0,
        score_centering=score_centering,
    )
    prompts = make_prompts([concept.name for concept in CONCEPTS], "all")
    trainer = Watching(
        model=AutoModelForCausalLM.from_pretrained(POLICY),
        reward_funcs=AlwaysThere(),
        args=config,
        train_dataset=Dataset.from_list([prompt.row("plain") for prompt in prompts]),
        processing_class=AutoTokenizer.from_pretrained(POLICY, padding_side="left"),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
    )
    trainer.train()
    return seen[:BATCHES]


@pytest.mark.slow
def test_raw_scores_with_an_offset_shorten_responses_and_centered_ones_do_not(tmp_path: Path) -> None:
    raw, centered = lengths(tmp_path / "raw", "none"), lengths(tmp_path / "centred", "first_batch")
    assert raw[0] == pytest.approx(centered[0])  # before the first update they are the same
    assert raw[-1] < 0.6 * raw[0]
    assert centered[-1] > 0.85 * centered[0]
