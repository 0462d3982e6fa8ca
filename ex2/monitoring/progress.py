"""What a person sees of training: a bar with time left, a row per batch in the log, and what the policy writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from reward.completions import texts_of
from reward.files import append_jsonl


class TrainingProgress(TrainerCallback):
    """Progress bar, `train.jsonl` and sample descriptions.

    Args:
        total: Batches in the run.
        log: `train.jsonl`.
        samples_every: Batches between shown descriptions.
        enabled: False on all processes but the main one.
    """

    def __init__(self, *, total: int, log: Path, samples_every: int, enabled: bool) -> None:
        self.total, self.log, self.samples_every, self.enabled = total, log, samples_every, enabled
        self.trainer: Any = None  # set after the trainer is made: it takes its callbacks first
        self._bar: tqdm[Any] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar at the batch where training starts."""
        if self.enabled:
            initial = self.trainer.batch_number
            self._bar = tqdm(total=self.total, initial=initial, desc="align", unit="batch", dynamic_ncols=True)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the finished batch's row."""
        row = self.trainer.batch_log
        if self._bar is None or "batch" not in row or row["batch"] <= self._bar.n:
            return
        append_jsonl(self.log, [{key: _finite(value) for key, value in row.items()}])
        self._bar.set_postfix_str(
            f"reward {row['reward_mean']:.2f}, KL {row['kl']:.2f}, β {row['kl_coef']:.3g}, "
            f"length {row['response_length']:.1f}{signs_in_short(row)}",
            refresh=False,
        )
        self._bar.update(row["batch"] - self._bar.n)
        if row["batch"] == 1 or row["batch"] % self.samples_every == 0:
            self._show_samples(row["batch"])

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    def _show_samples(self, batch: int) -> None:
        logs = self.trainer._logs
        scores = next(iter(logs["rewards"].values()))
        for completion, score in list(zip(texts_of(logs["completion"]), scores, strict=True))[:2]:
            shown = " ".join(completion.split()) or "(empty)"
            tqdm.write(f"  batch {batch:>4}  {score:7.2f}  {shown[:100]}")


def signs_in_short(row: Mapping[str, Any]) -> str:
    """Return the signs of reward hacking in a batch's row as the progress bar shows them, or nothing."""
    shown = (
        ("sign_name_repetitions", "name {:.1f}×"),
        ("sign_repetition", "repeated {:.0%}"),
        ("sign_copied", "copied {:.0%}"),
        ("sign_perplexity", "perplexity {:.3g}"),
    )
    return "".join(f", {form.format(row[key])}" for key, form in shown if row.get(key) is not None)


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: what is not a number is unknown."""
    return None if isinstance(value, float) and value - value != 0 else value
