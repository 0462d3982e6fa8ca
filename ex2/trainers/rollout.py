"""The rollout: the results of its forward passes, and which of its rows each process takes in each forward pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ex2.trainers.value_head import PolicyOutput


class Pass(NamedTuple):
    """What one pass over the rollout gave for its response tokens; all tensors have shape (B, T).

    Values and sizes are 0 if the model has no value head, as a separate reference model has none.

    Attributes:
        logprobs: Log-probabilities.
        values: Values of the states before the tokens.
        state_sizes: As in `PolicyOutput`.
    """

    logprobs: torch.Tensor
    values: torch.Tensor
    state_sizes: torch.Tensor


class WithValues:
    """Stands in for the model in TRL's log-probability pass, and keeps the values that TRL drops.

    It also passes positions counted from each row's first token, as generation does. Without them, padding on the left
    would be counted too, and the probabilities of models with absolute positions would depend on its width.

    Args:
        model: The model.
        takes_positions: Whether its forward has a parameter `position_ids`.

    Attributes:
        values: Values from each call, shape (rows, T).
        state_sizes: Sizes of the hidden states from each call, shape (rows, T).
    """

    def __init__(self, model: Any, *, takes_positions: bool) -> None:
        self.model, self.takes_positions = model, takes_positions
        self.values: list[torch.Tensor] = []
        self.state_sizes: list[torch.Tensor] = []

    def __call__(self, **inputs: Any) -> Any:
        if self.takes_positions:
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        output = self.model(**inputs)
        for name in ("values", "state_sizes"):
            found = getattr(output, name) if isinstance(output, PolicyOutput) else None
            getattr(self, name).append(torch.zeros_like(output.log_probs) if found is None else found)
        return output


class MinibatchSizes(NamedTuple):
    """How a minibatch is divided among processes and forward passes.

    Attributes:
        forward: Number of rows in one forward pass.
        forwards: Number of forward passes of one process.
        processes: Number of processes.
    """

    forward: int
    forwards: int
    processes: int

    @property
    def minibatch(self) -> int:
        """Number of rows in a minibatch, over all processes."""
        return self.forward * self.forwards * self.processes


def minibatch_rows(order: torch.Tensor, place: int, sizes: MinibatchSizes) -> torch.Tensor:
    """Return the rows of the minibatch to which the forward pass `place` belongs, over all processes.

    Args:
        order: Permutation of the rows of the global rollout.
        place: Number of the forward pass in its process, from 0 at the start of the epoch.
        sizes: Sizes of a minibatch.
    """
    start = place // sizes.forwards * sizes.minibatch
    return order[start : start + sizes.minibatch]


def local_rows(
    order: torch.Tensor, place: int, sizes: MinibatchSizes, *, process: int, forwards: int = 1
) -> torch.Tensor:
    """Return the rows that one process takes in one or several forward passes.

    Args:
        order: Permutation of the rows of the global rollout.
        place: Number of the first of these passes in the process, from 0 at the start of the epoch.
        sizes: Sizes of a minibatch.
        process: Number of the process, from 0.
        forwards: Number of forward passes, which end with the minibatch at the latest.
    """
    start = (process * sizes.forwards + place % sizes.forwards) * sizes.forward
    return minibatch_rows(order, place, sizes)[start : start + forwards * sizes.forward]


def gather_rollout(output: dict[str, Any], accelerator: Any, pad_token: int) -> dict[str, torch.Tensor]:
    """Join the rollouts of all processes, in the order of the global batch, on every process.

    Args:
        output: This process's rollout. Only tensors are used, which have one row per response. Two-dimensional ones may
            have another width on each process; `prompt_*` are padded on the left, others on the right.
        accelerator: The trainer's `accelerate.Accelerator`.
        pad_token: Id of the token that pads `*_ids`; all else is padded with 0.

    Returns:
        The same keys, with the rows of all processes.
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
