"""PPO on TRL's RLOO trainer: rollouts, reward calls, devices, PEFT and checkpoints are TRL's; the algorithm is ours.

Every hook calls `super()` and adds to what it returns. `tests/test_trl_contract.py` pins the signatures and keys.
Works with trl 1.16; names follow `ex2.trainers.advantages`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import math
import shutil
import time
from pathlib import Path
from typing import Any, NoReturn

import torch
from peft import PeftModel
from torch.utils.data import Sampler
from transformers import set_seed
from trl import RLOOTrainer

from ex2.trainers.advantages import explained_variance, gae, sequence_kl, token_rewards, whiten
from ex2.trainers.batch_log import batch_cost, logged_by_rewards
from ex2.trainers.checkpoints import delete_old_checkpoints, load_parameters, mark_complete, save_parameters
from ex2.trainers.config import PPOConfig
from ex2.trainers.losses import PPOLoss, ppo_loss, token_weights
from ex2.trainers.not_finite import stop_not_finite
from ex2.trainers.prompt_order import PromptSampler
from ex2.trainers.rollout import MinibatchSizes, Pass, WithValues, gather_rollout, local_rows, minibatch_rows
from ex2.trainers.scores import check_scored, combined_scores, is_news, with_reference
from ex2.trainers.seeded_sampling import SeededSampler, row_key, seeded_generation
from ex2.trainers.value_head import add_value_head

PPO_STATE = "ppo_state.json"
VALUE_HEAD = "value_head.safetensors"


class PPOTrainer(RLOOTrainer):  # type: ignore[misc]  # trl is untyped
    """Proximal policy optimisation with a value head and a KL-controlled per-token reward.

    Takes the arguments of `trl.RLOOTrainer`; `args` is a `PPOConfig`. With `peft_config` the reference is the policy
    without its adapter, else a second model. After `train()`, `kl_controller.coef` is the final β and `score_mean`
    what was subtracted from the scores.

    Every process holds the whole rollout: minibatches are cut from one permutation of the global batch, so that their
    contents do not depend on the number of processes.
    """

    _tag_names = ("ex2", "ppo")
    _name = "PPO"
    args: PPOConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        logging.getLogger("trl.trainer.rloo_trainer").addFilter(is_news)
        super().__init__(*args, **kwargs)
        model = self.accelerator.unwrap_model(self.model)
        self._language_model = model.get_base_model() if isinstance(model, PeftModel) else model
        self._takes_positions = "position_ids" in inspect.signature(self._language_model.forward).parameters
        self.value_head = add_value_head(self._language_model)
        # TRL casts trainable parameters of 8-bit and 4-bit bases to bf16, where a step of 1e-5 is lost.
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        self.kl_controller = self.args.make_kl_controller()
        self.score_mean: float | None = None
        self.batch_log: dict[str, float | int | None] = {}
        self._start_batch = 0  # the dataloader is made before the trainer's state is restored
        self._passes: list[Pass] = []
        self._scores = torch.zeros(0)
        self._rollout: dict[str, torch.Tensor] = {}
        self._order = torch.zeros(0, dtype=torch.long)
        self._updates: list[PPOLoss] = []
        self._minibatch: dict[str, torch.Tensor] = {}  # of the newest forward
        self._entropies: list[float] = []
        self._seconds = dict.fromkeys(("rollout", "reward", "update"), 0.0)

    # --- data -------------------------------------------------------------------------------------------------------

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        config = self.args
        return PromptSampler(
            size=len(self.train_dataset if dataset is None else dataset),
            batch_size=config.generation_batch_size,
            repeats=config.forwards_per_batch,
            batches=config.max_steps // config.updates_per_batch,
            seed=config.seed,
            start=self._start_batch,
        )

    @property
    def batch_number(self) -> int:
        """Batches completed, counted from 0."""
        return int(self.state.global_step // self.args.updates_per_batch)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        config = self.args
        position = self._step % config.forwards_per_batch
        epoch, place = divmod(position, config.steps_per_generation)
        if position == 0 or not self._rollout:
            start = time.perf_counter()
            set_seed(self._key(epoch=0))  # sampling is a function of (seed, batch, process): a restart repeats it
            local = self._generate_and_score_completions(generation_batch)
            self._rollout = gather_rollout(local, self.accelerator, self._tokenizer.pad_token_id)
            self._seconds["rollout"] += time.perf_counter() - start
        if place == 0:  # a new permutation each epoch; TRL's buffer is shuffled once
            generator = torch.Generator().manual_seed(self._key(epoch=epoch + 1))
            self._order = torch.randperm(len(self._rollout["loss_mask"]), generator=generator)
        rows = self._rows(place, 1)
        inputs = {key: value[rows] for key, value in self._rollout.items()}
        minibatch = self._rollout["loss_mask"][minibatch_rows(self._order, place, self._sizes).to(rows.device)]
        # The trainer averages over accumulation steps and processes; the loss is a mean over the minibatch.
        forwards = config.gradient_accumulation_steps * self.accelerator.num_processes
        inputs["weights"] = forwards * token_weights(inputs["loss_mask"], minibatch, config.loss_mean)
        return inputs

    def _key(self, *, epoch: int) -> int:
        """Seed of a batch's random choices: epoch 0 is the rollout's, then one for each PPO epoch's order."""
        words = (self.args.seed, self.batch_number, epoch)
        digest = hashlib.sha256(":".join(map(str, words)).encode()).digest()
        return int.from_bytes(digest[:4], "big")  # numpy takes 32 bits

    @property
    def _sizes(self) -> MinibatchSizes:
        config = self.args
        return MinibatchSizes(
            config.per_device_train_batch_size, config.gradient_accumulation_steps, self.accelerator.num_processes
        )

    def _rows(self, place: int, micro_batches: int) -> torch.Tensor:
        process = self.accelerator.process_index
        rows = local_rows(self._order, place, self._sizes, process=process, forwards=micro_batches)
        return rows.to(self.accelerator.device)

    # --- rollout ----------------------------------------------------------------------------------------------------

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = WithValues(model, takes_positions=self._takes_positions)
        logprobs, entropies, aux_loss = super()._get_per_token_logps_and_entropies(recorder, *args, **kwargs)
        self._passes.append(Pass(logprobs, torch.cat(recorder.values)[:, -logprobs.shape[1] :]))
        return logprobs, entropies, aux_loss

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        start = time.perf_counter()
        if len(self._passes) == 2:  # training: TRL has run the policy, then the reference
            inputs = with_reference(inputs, self._passes[1].logprobs, completion_ids_list)
        rewards_per_func: torch.Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._seconds["reward"] += time.perf_counter() - start
        self._scores = combined_scores(rewards_per_func, self.reward_weights)
        return rewards_per_func

    def _generate_single_turn(self, prompt_ids: Any, images: Any, multimodal_fields: Any) -> Any:
        config = self.args
        first = self.accelerator.process_index * len(prompt_ids)
        keys = [row_key(config.seed, self.batch_number, first + row) for row in range(len(prompt_ids))]
        sampler = SeededSampler(keys, temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)
        with seeded_generation(self._language_model, sampler):
            return super()._generate_single_turn(prompt_ids, images, multimodal_fields)

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        self._passes = []
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.model.training:
            output = self._add_advantages(output)
        return output

    def _add_advantages(self, output: dict[str, Any]) -> dict[str, Any]:
        config = self.args
        policy, reference = self._passes  # TRL runs the policy first, then the reference
        response_mask = output["completion_mask"].bool()
        check_scored(self._scores, self.batch_number + 1)
        scored = ~self._scores.isnan()
        reward_mean = float(self._scores[scored].mean())
        if self.score_mean is None:
            self.score_mean = reward_mean if config.score_centering == "first_batch" else 0.0
        rows = slice(self.accelerator.process_index * len(response_mask), None)
        scores = self._scores[rows][: len(response_mask)].to(policy.logprobs.device)
        loss_mask = response_mask & ~scores.isnan().unsqueeze(1)

        kl_coef = self.kl_controller.coef
        rewards = token_rewards(
            (scores - self.score_mean).nan_to_num(0.0),
            policy.logprobs,
            reference.logprobs,
            response_mask,
            kl_coef=kl_coef,
        )
        advantages, returns = gae(rewards, policy.values, response_mask, gamma=config.gamma, lam=config.lam)
        variance = explained_variance(policy.values, returns, loss_mask, reduce=self._sum)
        if config.whiten_advantages:
            advantages = whiten(advantages, loss_mask, reduce=self._sum)

        kl = sequence_kl(policy.logprobs, reference.logprobs, response_mask)
        ended = torch.isin(output["completion_ids"], torch.tensor(self.eos_token_ids, device=kl.device)) & response_mask
        totals = self._sum(
            torch.stack([kl.sum(), response_mask.sum().float(), ended.any(-1).sum().float(), kl.new_tensor(len(kl))])
        ).tolist()
        samples = round(totals[3])
        mean_kl = totals[0] / samples
        self.batch_log = {
            "reward_mean": reward_mean,
            "reward_std": float(self._scores[scored].std()) if scored.sum() > 1 else 0.0,
            "unscored": int((~scored).sum()),
            "kl": mean_kl,
            "kl_per_token": totals[0] / totals[1],
            "kl_coef": kl_coef,
            "kl_target": self.kl_controller.sequence_target(totals[1] / samples),
            "response_length": totals[1] / samples,
            "share_without_eos": 1 - totals[2] / samples,
            "explained_variance": variance,
        }
        self.kl_controller.update(mean_kl, samples, length=totals[1] / samples)  # takes effect in the next batch
        return output | {
            "old_logprobs": policy.logprobs,
            "old_values": policy.values,
            "advantages": advantages,
            "returns": returns,
            "loss_mask": loss_mask,
        }

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self.accelerator.reduce(values, reduction="sum")
        return total

    # --- update -----------------------------------------------------------------------------------------------------

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        start, rollout_before = time.perf_counter(), self._seconds["rollout"]
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        self._seconds["update"] += time.perf_counter() - start - (self._seconds["rollout"] - rollout_before)
        return loss

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        config = self.args
        self._passes = []
        _, entropies, _ = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
            inputs["completion_ids"].shape[1],
            compute_entropy=True,
        )
        new = self._passes[-1]
        mask = inputs["loss_mask"]
        result = ppo_loss(
            new.logprobs,
            new.values,
            inputs["old_logprobs"],
            inputs["old_values"],
            inputs["advantages"],
            inputs["returns"],
            mask,
            clip_range=self.epsilon_low,
            value_clip_range=config.value_clip_range,
            value_coef=config.value_coef,
            ratio_threshold=config.ratio_threshold,
            weights=inputs["weights"],
            guard_responses=config.loss_mean == "responses",
        )
        for what, value in (("the policy's loss", result.policy_loss), ("the value loss", result.value_loss)):
            if not math.isfinite(value):
                self._stop(what, value, {**inputs, "new_logprobs": new.logprobs, "new_values": new.values})
        self._minibatch = inputs
        self._updates.append(result)
        self._entropies.append(float((entropies.detach() * mask).sum() / mask.sum().clamp(min=1)))
        return result.loss

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        norm = super()._get_grad_norm(*args, **kwargs)
        if norm is not None and not math.isfinite(norm):  # before the optimizer's step: the weights are still good
            self._stop("the gradient's norm", float(norm), self._minibatch)
        return norm

    def _stop(self, what: str, value: float, tensors: dict[str, torch.Tensor]) -> NoReturn:
        said = zip(self._logs["prompt"], self._logs["completion"], *self._logs["rewards"].values(), strict=True)
        stop_not_finite(
            what,
            value,
            checkpoints=Path(self.args.output_dir),
            batch=self.batch_number + 1,
            rows=[{"prompt": prompt, "text": text, "score": score} for prompt, text, score, *_ in said],
            tensors=tensors,
            process=self.accelerator.process_index,
        )

    # --- logging and checkpoints ------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Complete the batch's row (`batch_log`) at its last update, and pass it to every logger."""
        if self._updates:
            tokens = self.batch_log["response_length"] * self.args.generation_batch_size
            updates, device = self._updates, self.accelerator.device
            names = ("policy_loss", "value_loss", "ratio_mean", "clip_fraction", "value_clip_fraction")
            lists = {name: [getattr(update, name) for update in updates] for name in names}
            lists["entropy"] = self._entropies
            means = torch.tensor([sum(values) / len(values) for values in lists.values()], device=device)
            means = self.accelerator.reduce(means, reduction="mean")
            largest = self.accelerator.gather(torch.tensor([max(u.ratio_max for u in updates)], device=device))
            skipped = self._sum(torch.tensor([sum(u.skipped for u in updates)], device=device))
            self.batch_log = {
                "batch": self.batch_number,
                "samples": self.batch_number * self.args.generation_batch_size,
                **self.batch_log,
                **logged_by_rewards(self._metrics["train"]),
                **dict(zip(lists, means.tolist(), strict=True)),
                "ratio_max": float(largest.max()),
                "skipped_minibatches": int(skipped),
                "grad_norm": logs.get("grad_norm"),
                "learning_rate": logs.get("learning_rate"),
                **{f"seconds_{phase}": seconds for phase, seconds in self._seconds.items()},
                **batch_cost(tokens, self._seconds),
            }
            logs = {**logs, **{f"ppo/{key}": value for key, value in self.batch_log.items() if value is not None}}
            self._updates, self._entropies = [], []
            self._seconds = dict.fromkeys(self._seconds, 0.0)
        super().log(logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint; `complete.json` comes last, and only then are older ones deleted."""
        root = Path(self._get_output_dir(trial=trial))
        folder = root / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            shutil.rmtree(folder, ignore_errors=True)  # torn by a kill
            folder.mkdir(parents=True)
            state = {
                **self.kl_controller.state(),
                "score_mean": self.score_mean,
                "batch": self.batch_number,
                "kl": self.batch_log.get("kl"),
            }
            (folder / PPO_STATE).write_text(json.dumps(state))
        self.accelerator.wait_for_everyone()
        self.save_value_head(folder)
        limit, self.args.save_total_limit = self.args.save_total_limit, None  # TRL's parent would delete too early
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            mark_complete(folder, {"global_step": self.state.global_step})
            delete_old_checkpoints(root, keep=limit)

    def save_value_head(self, folder: Path) -> None:
        """Write the value head as safetensors beside an adapter; all processes take part, the main one writes."""
        save_parameters(self.value_head, folder / VALUE_HEAD, gathering=self._dist, write=self.args.should_save)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if not isinstance(self.accelerator.unwrap_model(self.model), PeftModel):
            # a whole model is saved as its class defines it; the value head lies beside it
            weights = self.model.state_dict() if state_dict is None else state_dict
            state_dict = {name: value for name, value in weights.items() if not name.startswith("value_head.")}
        super()._save(output_dir, state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        folder = Path(resume_from_checkpoint)
        load_parameters(self.value_head, folder / VALUE_HEAD, gathering=self._dist)
        state = json.loads((folder / PPO_STATE).read_text())
        self.kl_controller.restore(state)
        self.score_mean = state["score_mean"]
        self._start_batch = state["batch"]
        self.batch_log = {"kl": state["kl"]}

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write nothing: TRL's card describes another algorithm."""

    def _send_telemetry(self) -> None:
        """Send nothing."""
