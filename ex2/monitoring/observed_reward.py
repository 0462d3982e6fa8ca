"""A wrapper around a reward that measures signs of reward hacking in the descriptions it scores, for any trainer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ex2.monitoring.endings import with_texts
from ex2.monitoring.signs import mean_surprise, text_signs, without_name
from ex2.trainers.not_finite import stop_not_finite
from reward.completions import Completion, texts_of
from reward.scoring import LogMetric


class Observed:
    """A TRL reward function that logs signs of reward hacking beside its scores.

    Signs are logged description by description, so that TRL averages them over the global batch. The scores are those
    of the wrapped reward.

    Args:
        reward: The reward to wrap.
        checkpoints: Folder of the run's checkpoints; a batch with a score that is not finite is kept below it.
        updates_per_batch: Optimizer steps in a batch, to compute the batch's number from the trainer's step.
        without_name_every: Batches between two measurements of the reward without the class name; 0 turns them off.
        without_name_sample: Number of this process's descriptions that such a measurement scores again.
    """

    def __init__(
        self,
        reward: Any,
        *,
        checkpoints: Path,
        updates_per_batch: int,
        without_name_every: int = 10,
        without_name_sample: int = 16,
    ) -> None:
        self.reward, self.checkpoints, self.updates_per_batch = reward, checkpoints, updates_per_batch
        self.without_name_every, self.without_name_sample = without_name_every, without_name_sample
        self.__name__ = reward.__name__

    @property
    def needs_reference(self) -> bool:
        """Whether the reward asks for the reference model's log-probabilities."""
        return bool(getattr(self.reward, "needs_reference", False))

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Completion],
        class_name: Sequence[str],
        log_metric: LogMetric | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Score each completion.

        Args:
            prompts: Prompt of each description, plain or as chat messages.
            completions: Descriptions, plain or as chat messages.
            class_name: Class of each description.
            log_metric: TRL's logger; without it no signs are measured.
            **columns: Other columns, passed to the wrapped reward.

        Returns:
            The wrapped reward's scores.

        Raises:
            UserError: If a score is infinite or NaN. `None` is allowed: it means that there is no score.
        """
        columns = {"prompts": prompts, "class_name": class_name, **columns}
        scores: list[float | None] = self.reward(completions=completions, log_metric=log_metric, **columns)
        texts, asked = texts_of(completions), texts_of(prompts)
        batch = self._batch(columns)
        wrong = [score for score in scores if score is not None and not math.isfinite(score)]
        if wrong:
            stop_not_finite(
                f"{len(wrong)} of {len(scores)} scores of reward '{self.__name__}'",
                wrong[0],
                checkpoints=self.checkpoints,
                batch=batch,
                rows=_rows(asked, texts, scores),
                remedy="Look at the reward: what cannot be scored gets None.",
            )
        if log_metric is not None:
            for text, prompt, name in zip(texts, asked, class_name, strict=True):
                for sign, value in text_signs(text, prompt, name).items():
                    log_metric(sign, value)
            for logprobs in columns.get("reference_logprobs", ()):
                surprise = mean_surprise(logprobs)
                if surprise is not None:
                    log_metric("sign_surprise", surprise)
            if self.without_name_every and batch % self.without_name_every == 1 % self.without_name_every:
                self._without_name(texts, completions, scores, columns, log_metric)
        return scores

    def _without_name(
        self,
        texts: Sequence[str],
        completions: Sequence[Completion],
        scores: Sequence[float | None],
        columns: dict[str, Any],
        log_metric: LogMetric,
    ) -> None:
        """Log the scores that some descriptions get without their class name; each of them is encoded once more."""
        some = slice(0, self.without_name_sample)  # the batch is in random order
        stripped = [
            without_name(text, name) for text, name in zip(texts[some], columns["class_name"][some], strict=True)
        ]
        shorter = {key: value[some] if isinstance(value, list | tuple) else value for key, value in columns.items()}
        bare = self.reward(completions=with_texts(completions[some], stripped), log_metric=None, **shorter)
        for score, without in zip(scores[some], bare, strict=True):
            if score is not None and without is not None:
                log_metric("sign_reward_without_name", without)
                log_metric("sign_name_gain", score - without)

    def _batch(self, columns: dict[str, Any]) -> int:
        """Return the number of the batch that is being scored, counted from 1."""
        state = columns.get("trainer_state")
        return 1 if state is None else int(state.global_step // self.updates_per_batch) + 1


def _rows(prompts: Sequence[str], texts: Sequence[str], scores: Sequence[float | None]) -> list[dict[str, Any]]:
    return [
        {"prompt": prompt, "text": text, "score": score}
        for prompt, text, score in zip(prompts, texts, scores, strict=True)
    ]
