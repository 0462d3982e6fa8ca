"""The value head, which is evaluated inside the policy's own forward.

Sharded training (FSDP, ZeRO-3) gathers parameters only inside a module's forward, so the head is a submodule of the
language model, and the model's forward returns the values beside TRL's fused log-probabilities.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput


class ValueHead(torch.nn.Module):
    """A linear layer from hidden states to values, with bias and torch's default initialisation, in float32.

    TRL 0.7.11 has a dropout before this layer, which is never active in a PPO pass; it is left out here.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.summary = torch.nn.Linear(hidden_size, 1, dtype=torch.float32)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Return values, shape (B, T), of hidden states, shape (B, T, hidden); float32 even under autocast."""
        with torch.autocast(hidden_states.device.type, enabled=False):
            # sharded training may lend the head its weights in 16 bit for the time of a forward
            values: torch.Tensor = self.summary(hidden_states.to(self.summary.weight.dtype)).squeeze(-1)
        return values.float()


@dataclass
class PolicyOutput(FusedCausalLMOutput):  # type: ignore[misc]  # trl is untyped
    """TRL's output of a fused LM head, with values added.

    Attributes:
        values: Value of the state before each token, aligned with `log_probs`. Both begin at the first position at
            which any row has a label.
    """

    values: torch.Tensor | None = None


def add_value_head(model: PreTrainedModel) -> ValueHead:
    """Add a value head on the last hidden state to a language model that has TRL's fused LM head.

    Args:
        model: Causal language model after `trl.trainer.utils.add_fused_lm_head`.

    Returns:
        The head, which is trainable and is set as `model.value_head`.
    """
    head = ValueHead(model.config.get_text_config().hidden_size).to(model.device)
    model.value_head = head
    fused_forward = model.forward

    @functools.wraps(fused_forward)  # keeps the signature: `generate` validates its arguments against it
    def forward(*args: Any, fused_lm_head: bool = False, labels: torch.Tensor | None = None, **kwargs: Any) -> Any:
        if not fused_lm_head or labels is None:
            return fused_forward(*args, **({} if labels is None else {"labels": labels}), **kwargs)
        # Without Triton the fused head scores every position; only those from the first label on are wanted.
        start = int((labels != -100).any(0).int().argmax()) - 1
        hidden: list[torch.Tensor] = []

        def keep_responses(_module: Any, _inputs: Any, output: Any) -> Any:
            # the fused head does not return hidden states: take them where the backbone hands them over
            output.last_hidden_state = output.last_hidden_state[:, max(start, 0) :]
            hidden.append(output.last_hidden_state)
            return output

        hook = model.base_model.register_forward_hook(keep_responses)
        try:
            output = fused_forward(*args, fused_lm_head=True, labels=labels[:, max(start, 0) :], **kwargs)
        finally:
            hook.remove()
        return PolicyOutput(**output, values=head(hidden[-1][:, :-1]))

    model.forward = forward
    return head
