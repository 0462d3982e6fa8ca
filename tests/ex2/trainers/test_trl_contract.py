"""What our trainers rely on in TRL and transformers: an upgrade that moves any of it fails here, and loudly."""

from __future__ import annotations

import inspect

import pytest
import trl
from packaging.version import Version
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from trl.trainer import rloo_trainer
from trl.trainer.utils import FusedCausalLMOutput, add_fused_lm_head

from ex2.trainers.config import PPOConfig
from ex2.trainers.ppo import PPOTrainer


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_version_is_the_pinned_one() -> None:
    assert Version("1.16") <= Version(trl.__version__) < Version("1.17")


def test_hooks_have_the_signatures_we_override() -> None:
    assert parameters(RLOOTrainer._get_per_token_logps_and_entropies)[:6] == [
        "self",
        "model",
        "input_ids",
        "attention_mask",
        "logits_to_keep",
        "batch_size",
    ]
    assert parameters(RLOOTrainer._calculate_rewards) == [
        "self",
        "inputs",
        "prompts",
        "completions",
        "completion_ids_list",
    ]
    assert parameters(RLOOTrainer._generate_and_score_completions) == ["self", "inputs"]
    assert parameters(RLOOTrainer._compute_loss) == ["self", "model", "inputs"]
    assert parameters(RLOOTrainer._prepare_inputs) == ["self", "generation_batch"]
    assert parameters(RLOOTrainer._get_train_sampler) == ["self", "dataset"]
    assert parameters(RLOOTrainer.training_step) == ["self", "model", "inputs", "num_items_in_batch"]
    assert parameters(RLOOTrainer.log) == ["self", "logs", "start_time"]
    assert parameters(RLOOTrainer._save_checkpoint) == ["self", "model", "trial"]
    assert parameters(RLOOTrainer._load_from_checkpoint) == ["self", "resume_from_checkpoint", "model"]
    assert parameters(RLOOTrainer._send_telemetry) == ["self"]


def test_telemetry_is_off() -> None:
    assert PPOTrainer._send_telemetry is not RLOOTrainer._send_telemetry
    assert "send_telemetry" not in PPOTrainer._send_telemetry.__code__.co_names


def test_rollout_passes_policy_then_reference_and_returns_the_keys_we_read() -> None:
    source = inspect.getsource(RLOOTrainer._generate_and_score_completions)
    policy = source.index("old_per_token_logps, _, _ = self._get_per_token_logps_and_entropies")
    reference = source.index("ref_per_token_logps, _, _ = self._get_per_token_logps_and_entropies")
    rewards = source.index("self._calculate_rewards(")
    assert policy < reference < rewards
    for key in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask"):
        assert f'"{key}": {key}' in source


def test_log_probability_pass_only_calls_the_model() -> None:
    """`_WithValues` stands in for the model there: it must be called, and nothing else."""
    source = inspect.getsource(RLOOTrainer._get_per_token_logps_and_entropies)
    assert "outputs = model(**model_inputs, labels=labels, fused_lm_head=True)" in source
    assert source.count("model.") == source.count("model.accelerator")


def test_fused_head_returns_log_probs_and_entropy() -> None:
    assert {"log_probs", "entropy"} <= set(FusedCausalLMOutput.__dataclass_fields__)
    assert "last_hidden_state[:, :-1]" in inspect.getsource(add_fused_lm_head)


def test_loss_is_divided_by_accumulation_steps_by_the_trainer() -> None:
    assert "RLOO returns an unscaled loss" in inspect.getsource(RLOOTrainer._compute_loss)


def test_unscored_rows_are_logged_by_the_logger_we_filter() -> None:
    assert rloo_trainer.logger.name == "trl.trainer.rloo_trainer"
    assert "All reward functions returned None" in inspect.getsource(RLOOTrainer._calculate_rewards)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_config_refuses_one_generation_only_in_the_parent(tmp_path: object) -> None:
    with pytest.raises(ValueError, match="at least 2 generations"):
        RLOOConfig(output_dir=str(tmp_path), num_generations=1, bf16=False, use_cpu=True)
    config = PPOConfig(
        output_dir=str(tmp_path), per_device_train_batch_size=4, steps_per_generation=2, bf16=False, use_cpu=True
    )
    assert config.num_generations == 1
    assert config.generation_batch_size == 8
    with pytest.raises(ValueError, match="rollout of one process has 1 sample"):
        PPOConfig(output_dir=str(tmp_path), per_device_train_batch_size=1, steps_per_generation=1, bf16=False)


# --- RLOO and GRPO ---------------------------------------------------------------------------------------------------


def test_beta_is_read_where_we_set_it() -> None:
    rloo = inspect.getsource(RLOOTrainer._generate_and_score_completions)
    assert "rewards = rewards - self.beta * kl" in rloo
    assert "self.beta" not in inspect.getsource(RLOOTrainer._compute_loss)
    grpo = inspect.getsource(GRPOTrainer._compute_loss)
    assert "per_token_loss = per_token_loss + self.beta * per_token_kl" in grpo
    assert GRPOConfig.__dataclass_fields__["use_bias_correction_kl"].default is True
    assert GRPOConfig.__dataclass_fields__["loss_type"].default == "dapo"


def test_grpos_hooks_have_the_signatures_and_keys_we_rely_on() -> None:
    for name in (
        "_get_per_token_logps_and_entropies",
        "_calculate_rewards",
        "_generate_and_score_completions",
        "_compute_loss",
        "_get_train_sampler",
        "training_step",
        "log",
        "_save_checkpoint",
        "_load_from_checkpoint",
        "_send_telemetry",
    ):
        of_rloo = inspect.signature(getattr(RLOOTrainer, name)).parameters
        assert list(inspect.signature(getattr(GRPOTrainer, name)).parameters) == list(of_rloo), name
    for trainer in (RLOOTrainer, GRPOTrainer):
        assert list(inspect.signature(trainer._generate_single_turn).parameters)[:2] == ["self", "prompt_ids"]
        source = inspect.getsource(trainer._compute_loss)
        for metric in ("clip_ratio/region_mean", "entropy"):
            assert f'["{metric}"]' in source
        assert "outputs = model(**model_inputs" in inspect.getsource(trainer._get_per_token_logps_and_entropies)
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    passes = source.rindex("ref_per_token_logps, _, _ = self._get_per_token_logps_and_entropies")
    assert source.index("old_per_token_logps, _, _ = self._get_per_token_logps") < passes
    assert passes < source.index("self._calculate_rewards(")
