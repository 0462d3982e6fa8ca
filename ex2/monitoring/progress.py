"""What a person sees of training: a progress bar with the time left, a log with a row per batch, and descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ex2.trainers.finished_batch import BatchCallback, FinishedBatch
from reward.completions import texts_of
from reward.files import append_jsonl
from reward.numerals import compact, decimal
from reward.plain_text import plain


class TrainingProgress(BatchCallback):
    """Shows a progress bar and sample descriptions, and writes `train.jsonl`.

    Args:
        total: Number of batches in the run.
        log: Path of `train.jsonl`.
        samples_every: Number of batches from one showing of descriptions to the next.
        enabled: True on the main process only; elsewhere nothing is shown or written.
    """

    def __init__(self, *, total: int, log: Path, samples_every: int, enabled: bool) -> None:
        self.total, self.log, self.samples_every, self.enabled = total, log, samples_every, enabled
        self._bar: tqdm[Any] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar at the batch where training starts."""
        if self.enabled:
            initial = int(state.global_step // args.updates_per_batch)
            self._bar = tqdm(total=self.total, initial=initial, desc="align", unit="batch", dynamic_ncols=True)

    def on_batch(self, batch: FinishedBatch, args: Any, control: Any) -> None:
        """Write the batch's row, move the bar and, at times, show two descriptions."""
        if self._bar is None:
            return
        row = batch.row
        append_jsonl(self.log, [{key: _finite(value) for key, value in row.items()}])
        self._bar.set_postfix_str(
            f"reward {decimal(row['reward_mean'], 2)}, KL {decimal(row['kl'], 2)}, β {compact(row['kl_coef'], 3)}, "
            f"length {decimal(row['response_length'], 1)}{signs_in_short(row)}",
            refresh=False,
        )
        self._bar.update(row["batch"] - self._bar.n)
        if row["batch"] == 1 or row["batch"] % self.samples_every == 0:
            _show_samples(batch)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


def signs_in_short(row: Mapping[str, Any]) -> str:
    """Return the signs of reward hacking in a batch's row as the progress bar shows them; empty if it has none."""
    shown = (
        ("sign_name_repetitions", "name {:.1f}×"),
        ("sign_repetition", "repeated {:.0%}"),
        ("sign_copied", "copied {:.0%}"),
        ("sign_perplexity", "perplexity {:.3g}"),
    )
    return "".join(f", {form.format(row[key])}" for key, form in shown if row.get(key) is not None)


def _show_samples(batch: FinishedBatch) -> None:
    for completion, score in list(zip(texts_of(batch.completions), batch.scores, strict=True))[:2]:
        shown = " ".join(plain(completion).split()) or "(empty)"
        tqdm.write(f"  batch {batch.row['batch']:>4}  {decimal(score, 2):>7}  {shown[:100]}")


def _finite(value: Any) -> Any:
    """Return None for NaN and infinity, which JSON does not have, and any other value unchanged."""
    return None if isinstance(value, float) and value - value != 0 else value
