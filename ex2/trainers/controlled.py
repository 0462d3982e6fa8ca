"""The part that the trainers of all three algorithms share, mixed into TRL's own trainers.

- The order of the data and the sampling depend on (seed, batch) only.
- Rewards are given the reference model's log-probabilities.
- The KL is measured and controlled in the same way for every algorithm.
- Every logger and every `BatchCallback` gets the same row for a batch.
- A loss or gradient that is not finite ends the run, and the batch is kept.
- A checkpoint is complete or recognisably torn.

What an algorithm computes in its rollout and its update is in `ex2.trainers.ppo` and `ex2.trainers.rloo_grpo`.

An overridden method of TRL calls `super()` and adds to its result; only those for TRL's model card and telemetry do
nothing. `test_trl_contract.py` pins the signatures and keys that this relies on, which are those of trl 1.16.
"""

from __future__ import annotations

import inspect
import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
from peft import PeftModel
from torch.utils.data import Sampler

from ex2.trainers.advantages import sequence_kl
from ex2.trainers.batch_log import batch_cost, logged_by_rewards
from ex2.trainers.checkpoints import delete_old_checkpoints, mark_complete
from ex2.trainers.config import GroupSampler
from ex2.trainers.finished_batch import BatchCallback, FinishedBatch
from ex2.trainers.kl_controller import KLController, horizon_problem
from ex2.trainers.not_finite import stop_not_finite
from ex2.trainers.prompt_order import PromptSampler
from ex2.trainers.rollout import Pass, WithValues
from ex2.trainers.scores import check_scored, combined_scores, is_news, with_reference
from ex2.trainers.seeded_sampling import SeededSampler, row_key, seeded_generation
from reward.errors import UserError
from reward.files import read_object

STATE = "ppo_state.json"
"""File of a checkpoint with the KL controller's state and the batch's number. All algorithms use this name, which comes
from PPO, the first of them."""

_TrainerBase: Any = object  # at run time the trainer that this is mixed into; `Any` to the type checker


class ControlledTrainer(_TrainerBase):  # type: ignore[misc]
    """Mixin for `trl.RLOOTrainer` or `trl.GRPOTrainer`, whose arguments it takes; it must come first among the bases.

    After `train()`, `kl_controller.coef` is the final β.

    Raises:
        UserError: If the horizon of the KL controller is too short for the batch.

    Attributes:
        trl_logger: Name of the logger that TRL's trainer uses.
        kl_controller: The KL controller.
        score_mean: Constant that is subtracted from the scores, in units of the reward; None if there is none.
        batch_log: Row of the newest batch.
    """

    trl_logger: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        logging.getLogger(self.trl_logger).addFilter(is_news)
        super().__init__(*args, **kwargs)
        model = self.accelerator.unwrap_model(self.model)
        self._language_model = model.get_base_model() if isinstance(model, PeftModel) else model
        self._takes_positions = "position_ids" in inspect.signature(self._language_model.forward).parameters
        # TRL casts trainable parameters of 8-bit and 4-bit bases to bf16, where a step of 1e-5 is lost.
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        self.kl_controller: KLController = self.args.make_kl_controller()
        too_short = horizon_problem(self.kl_controller, self.args.generation_batch_size)
        if too_short:
            raise UserError(too_short)
        self.score_mean: float | None = None
        self.batch_log: dict[str, float | int | None] = {}
        self._start_batch = 0  # the dataloader is made before the trainer's state is restored
        self._passes: list[Pass] = []  # since the rollout or the update began
        self._scores = torch.zeros(0)  # of the global batch
        self._minibatch: dict[str, Any] = {}  # of the newest forward
        self._updates: list[Any] = []  # what each forward since the last row found
        self._seconds = dict.fromkeys(("rollout", "reward", "update"), 0.0)
        self.facts: Callable[[], dict[str, Any]] = dict  # what else `complete.json` of a checkpoint is to hold

    # --- data -------------------------------------------------------------------------------------------------------

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        config = self.args
        prompts = PromptSampler(
            size=len(self.train_dataset if dataset is None else dataset),
            batch_size=config.generation_batch_size // config.num_generations,
            repeats=config.forwards_per_batch,
            batches=config.max_steps // config.updates_per_batch,
            seed=config.seed,
            start=self._start_batch,
        )
        return GroupSampler(prompts, config.num_generations)

    @property
    def reward_unit(self) -> float:
        """What the batch's scores and KL penalties are divided by, in units of the score: β, but at least 1.

        A KL of some nats that β makes large would otherwise drown all else in the losses.
        """
        return max(1.0, self.kl_controller.coef)

    @property
    def batch_number(self) -> int:
        """Number of completed batches; so it is also the number, from 0, of the batch in progress."""
        return int(self.state.global_step // self.args.updates_per_batch)

    # --- rollout ----------------------------------------------------------------------------------------------------

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        config = self.args
        first = self.accelerator.process_index * len(prompt_ids)
        keys = [row_key(config.seed, self.batch_number, first + row) for row in range(len(prompt_ids))]
        sampler = SeededSampler(keys, temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)
        with seeded_generation(self._language_model, sampler):
            return super()._generate_single_turn(prompt_ids, *args, **kwargs)

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = WithValues(model, takes_positions=self._takes_positions)
        logprobs, *others = super()._get_per_token_logps_and_entropies(recorder, *args, **kwargs)
        values, sizes = (torch.cat(kept)[:, -logprobs.shape[1] :] for kept in (recorder.values, recorder.state_sizes))
        self._passes.append(Pass(logprobs, values, sizes))
        return logprobs, *others

    def _response_pass(self, model: Any, rollout: dict[str, torch.Tensor], **kwargs: Any) -> Any:
        """Return log-probabilities and entropies of a rollout's response tokens under a model, each of shape (B, T)."""
        return self._get_per_token_logps_and_entropies(
            model,
            torch.cat([rollout["prompt_ids"], rollout["completion_ids"]], dim=1),
            torch.cat([rollout["prompt_mask"], rollout["completion_mask"]], dim=1),
            rollout["completion_ids"].shape[1],
            **kwargs,
        )

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        start = time.perf_counter()
        # TRL has run the reference last; in an evaluation it runs none where the configured `beta` is 0
        if self.model.training or len(self._passes) == 2:
            inputs = with_reference(inputs, self._passes[-1].logprobs, completion_ids_list)
        rewards_per_func: torch.Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._seconds["reward"] += time.perf_counter() - start
        self._scores = combined_scores(rewards_per_func, self.reward_weights)
        if self.model.training:
            check_scored(self._scores, self.batch_number + 1)
        return rewards_per_func

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        self._passes = []
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        return output

    def _measure(
        self, output: dict[str, Any], logprobs: torch.Tensor, ref_logprobs: torch.Tensor
    ) -> dict[str, float | int | None]:
        """Return the first part of the batch's row, measured over all processes, and move β for the next batch.

        Args:
            output: TRL's rollout of this process, with B responses.
            logprobs: Log-probabilities of their tokens under the policy that sampled them, shape (B, T).
            ref_logprobs: The same under the reference model, shape (B, T).
        """
        mask = output["completion_mask"].bool()
        kl = sequence_kl(logprobs, ref_logprobs, mask)
        ended = torch.isin(output["completion_ids"], torch.tensor(self.eos_token_ids, device=kl.device)) & mask
        sums = torch.stack([kl.sum(), mask.sum().float(), ended.any(-1).sum().float(), kl.new_tensor(len(kl))])
        kl_sum, tokens, with_eos, count = self._sum(sums).tolist()
        mean_kl, length = kl_sum / count, tokens / count
        scored = self._scores[~self._scores.isnan()]
        row: dict[str, float | int | None] = {
            "reward_mean": float(scored.mean()),
            "reward_std": float(scored.std()) if len(scored) > 1 else 0.0,
            "unscored": len(self._scores) - len(scored),
            "kl": mean_kl,
            "kl_per_token": kl_sum / tokens,
            "kl_coef": self.kl_controller.coef,
            "reward_unit": self.reward_unit,
            "kl_target": self.kl_controller.sequence_target(length),
            "response_length": length,
            "share_without_eos": 1 - with_eos / count,
        }
        self.kl_controller.update(mean_kl, round(count), length=length)
        return row

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor over all processes."""
        total: torch.Tensor = self.accelerator.reduce(values, reduction="sum")
        return total

    # --- update -----------------------------------------------------------------------------------------------------

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        start, rollout_before = time.perf_counter(), self._seconds["rollout"]
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        self._seconds["update"] += time.perf_counter() - start - (self._seconds["rollout"] - rollout_before)
        return loss

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        norm = super()._get_grad_norm(*args, **kwargs)
        if norm is not None and not math.isfinite(norm):  # before the optimizer's step: the weights are still good
            self._stop("the gradient's norm", float(norm), self._minibatch)
        return norm

    def _stop(self, what: str, value: float, inputs: dict[str, Any]) -> NoReturn:
        """End the run because of a value that is not finite; the batch is kept.

        Args:
            what: The quantity, such as `the value loss`.
            value: Infinite or NaN.
            inputs: Inputs of the update; those that are tensors are kept.
        """
        said = zip(self._logs["prompt"], self._logs["completion"], *self._logs["rewards"].values(), strict=True)
        stop_not_finite(
            what,
            value,
            checkpoints=Path(self.args.output_dir),
            batch=self.batch_number + 1,
            rows=[{"prompt": prompt, "text": text, "score": score} for prompt, text, score, *_ in said],
            tensors={key: tensor for key, tensor in inputs.items() if isinstance(tensor, torch.Tensor)},
            process=self.accelerator.process_index,
        )

    # --- logging ----------------------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the row of a finished batch (`batch_log`) to `logs`, and tell every `BatchCallback` of the batch."""
        finished = bool(self._updates)
        if finished:
            tokens = self.batch_log["response_length"] * self.args.generation_batch_size
            of_updates = self._update_row(logs)
            self.batch_log = {
                "batch": self.batch_number,
                "samples": self.batch_number * self.args.generation_batch_size,
                **self.batch_log,
                **logged_by_rewards(self._metrics["train"]),
                **of_updates,
                "grad_norm": logs.get("grad_norm"),
                "learning_rate": logs.get("learning_rate"),
                **{f"seconds_{phase}": seconds for phase, seconds in self._seconds.items()},
                **batch_cost(tokens, self._seconds),
            }
            row = {f"{self._name.lower()}/{key}": value for key, value in self.batch_log.items() if value is not None}
            logs = {**logs, **row}
            self._updates, self._seconds = [], dict.fromkeys(self._seconds, 0.0)
        super().log(logs, start_time)
        if finished:
            batch = self._finished_batch()
            for callback in self.callback_handler.callbacks:
                if isinstance(callback, BatchCallback):
                    callback.on_batch(batch, self.args, self.control)

    def _finished_batch(self) -> FinishedBatch:
        completions, scores = self._logs["completion"], next(iter(self._logs["rewards"].values()))
        return FinishedBatch(self.batch_log, list(completions), list(scores), self.kl_controller)

    def _update_row(self, logs: dict[str, float]) -> dict[str, float | int | None]:
        """Return the part of the batch's row that comes from its updates (`_updates`), over all processes.

        Args:
            logs: What transformers logs at the batch's end, with `loss`.
        """
        raise NotImplementedError

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint; `complete.json` comes last, and only then are older ones deleted."""
        root = Path(self._get_output_dir(trial=trial))
        folder = root / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            shutil.rmtree(folder, ignore_errors=True)  # torn by a kill
            folder.mkdir(parents=True)
            kl = self.batch_log.get("kl")
            state = {**self.kl_controller.state(), **self._own_state(), "batch": self.batch_number, "kl": kl}
            (folder / STATE).write_text(json.dumps(state))
        self.accelerator.wait_for_everyone()
        self.save_value_head(folder)
        limit, self.args.save_total_limit = self.args.save_total_limit, None  # TRL's parent would delete too early
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            mark_complete(folder, {"global_step": self.state.global_step, **self.facts()})
            delete_old_checkpoints(root, keep=limit, newest=folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        folder = Path(resume_from_checkpoint)
        state = read_object(folder / STATE)
        self._restore_own(folder, state)
        self.kl_controller.restore(state)
        self.batch_log = {"kl": state["kl"]}
        self._start_batch = state["batch"]

    def load_checkpoint(self, folder: Path) -> None:
        """Go back to a complete checkpoint: to its weights, its β and all else that a resumed run starts from."""
        self._load_from_checkpoint(str(folder))

    def summary(self) -> dict[str, Any]:
        """Return a summary of the training so far.

        Returns:
            `batches`, the number completed; `kl` of the newest, in nats per description; `kl_coef`, which is β; and
            `score_mean`, the attribute.
        """
        return {
            "batches": self.batch_number,
            "kl": self.batch_log.get("kl"),
            "kl_coef": self.kl_controller.coef,
            "score_mean": self.score_mean,
        }

    def _own_state(self) -> dict[str, Any]:
        """Return what this algorithm alone adds to a checkpoint's state."""
        return {}

    def _restore_own(self, folder: Path, state: dict[str, Any]) -> None:
        """Take back what this algorithm alone wrote into a checkpoint."""

    def save_value_head(self, folder: Path) -> None:
        """Write the value head into a folder; does nothing for an algorithm without one."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write nothing: TRL's card describes another algorithm, or does not know the recipe."""

    def _send_telemetry(self) -> None:
        """Send nothing."""
