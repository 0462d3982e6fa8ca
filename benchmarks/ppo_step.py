"""One PPO batch, in its phases, on Mistral shapes with random weights: the figures of the peer, measured here.

python benchmarks/ppo_step.py [--layers 2 --hidden 128] [--micro 8]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from common import device
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast, ProgressCallback

from ex2.runtime import quiet_libraries
from ex2.trainers.config import PPOConfig
from ex2.trainers.ppo import PPOTrainer


def tokenizer_of(size: int) -> PreTrainedTokenizerFast:
    """Words w0, w1, … as tokens."""
    words = {"<pad>": 0, "<s>": 1, "</s>": 2} | {f"w{n}": n + 3 for n in range(size - 3)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", padding_side="left"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=4000)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--micro", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    quiet_libraries()
    config = MistralConfig(
        vocab_size=options.vocabulary,
        hidden_size=options.hidden,
        intermediate_size=4 * options.hidden,
        num_hidden_layers=options.layers,
        num_attention_heads=max(options.hidden // 64, 2),
        num_key_value_heads=max(options.hidden // 128, 1),
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = MistralForCausalLM(config)
    parameters = sum(p.numel() for p in model.parameters())
    rows: list[dict[str, Any]] = []

    class Timed(PPOTrainer):
        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            super().log(logs, start_time)
            rows.append(dict(self.batch_log))

    with tempfile.TemporaryDirectory() as folder:
        trainer = Timed(
            model=model,
            reward_funcs=lambda completions, **_: [float(len(text)) for text in completions],
            args=PPOConfig(
                output_dir=str(Path(folder)),
                per_device_train_batch_size=options.micro,
                gradient_accumulation_steps=8 // options.micro,
                steps_per_generation=32 // options.micro,
                num_iterations=4,
                max_steps=16 * options.batches,
                logging_steps=16,
                save_strategy="no",
                max_completion_length=32,
                beta=1.0,
                disable_dropout=True,
                bf16=torch.cuda.is_available(),
                use_cpu=not torch.cuda.is_available(),
                gradient_checkpointing=False,
                report_to=[],
                disable_tqdm=True,
                max_grad_norm=0.0,
                learning_rate=1.41e-5,
                dataloader_pin_memory=False,
            ),
            train_dataset=Dataset.from_list(
                [{"prompt": " ".join(f"w{(n * 7 + k) % 900}" for k in range(12))} for n in range(500)]
            ),
            processing_class=tokenizer_of(options.vocabulary),
            peft_config=LoraConfig(r=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
        )
        trainer.remove_callback(ProgressCallback)
        trainer.train()
    seen = [row for row in rows if "seconds_update" in row][1:]
    line = {
        "what": "PPO batch: 32 prompts of 12 tokens, 32 new tokens, 4 epochs of 4 minibatches of 8",
        "parameters": parameters,
        "micro_batch": options.micro,
        "device": device(),
        "rollout_s": round(statistics.median(row["seconds_rollout"] for row in seen), 3),
        "update_s": round(statistics.median(row["seconds_update"] for row in seen), 3),
    }
    line["batch_s"] = round(line["rollout_s"] + line["update_s"], 3)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
