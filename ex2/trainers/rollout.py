"""The rollout: what its passes compute, and how its rows are dealt to processes and forwards."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ex2.trainers.value_head import PolicyOutput


class Pass(NamedTuple):
    """One pass over the rollout: log-probabilities and values of response tokens, each (B, T).

    A reference model of its own has no value head: its values are 0.
    """

    logprobs: torch.Tensor
    values: torch.Tensor


class WithValues:
    """Stands in for the model in TRL's log-probability pass, and keeps the values that TRL drops.

    It also counts positions from each row's first token, as generation does: TRL counts padding too, which shifts the
    probabilities of models with absolute positions by the width of the batch.
    """

    def __init__(self, model: Any, *, takes_positions: bool) -> None:
        self.model, self.takes_positions = model, takes_positions
        self.values: list[torch.Tensor] = []

    def __call__(self, **inputs: Any) -> Any:
        if self.takes_positions:
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        output = self.model(**inputs)
        has_head = isinstance(output, PolicyOutput) and output.values is not None
        self.values.append(output.values if has_head else torch.zeros_like(output.log_probs))
        return output


class MinibatchSizes(NamedTuple):
    """How one minibatch is dealt out.

    Attributes:
        forward: Rows of one forward.
        forwards: Forwards of one process.
        processes: Processes.
    """

    forward: int
    forwards: int
    processes: int

    @property
    def minibatch(self) -> int:
        """Rows of a minibatch over all processes."""
        return self.forward * self.forwards * self.processes


def minibatch_rows(order: torch.Tensor, place: int, sizes: MinibatchSizes) -> torch.Tensor:
    """Rows of the whole minibatch that a process's forward number `place` belongs to."""
    start = place // sizes.forwards * sizes.minibatch
    return order[start : start + sizes.minibatch]


def local_rows(
    order: torch.Tensor, place: int, sizes: MinibatchSizes, *, process: int, forwards: int = 1
) -> torch.Tensor:
    """Rows that one process takes.

    Args:
        order: Permutation of the global rollout.
        place: First of its forwards, counted from the start of the epoch.
        sizes: Of a minibatch.
        process: Number of the process.
        forwards: How many forwards, at most to the end of the minibatch.
    """
    start = (process * sizes.forwards + place % sizes.forwards) * sizes.forward
    return minibatch_rows(order, place, sizes)[start : start + forwards * sizes.forward]


def gather_rollout(output: dict[str, Any], accelerator: Any, pad_token: int) -> dict[str, torch.Tensor]:
    """Join the rollouts of all processes, in the order of the global batch, on every process.

    Args:
        output: Tensors with one row per response; anything else is left out. Those of two dimensions may differ in
            width between processes: `prompt_*` are padded on the left, the others on the right.
        accelerator: Accelerate's.
        pad_token: Fills `*_ids`; everything else is filled with 0.
    """
    rollout = {key: value for key, value in output.items() if isinstance(value, torch.Tensor) and value.dim()}
    if accelerator.num_processes == 1:
        return rollout
    joined = {}
    for key, value in rollout.items():
        plain = value.int() if value.dtype == torch.bool else value
        if value.dim() > 1:
            padding = pad_token if key.endswith("_ids") else 0
            plain = accelerator.pad_across_processes(plain, 1, pad_index=padding, pad_first=key.startswith("prompt_"))
        joined[key] = accelerator.gather(plain.contiguous()).to(value.dtype)
    return joined
