"""The value head, which is evaluated inside the policy's own forward.

Sharded training (FSDP, ZeRO-3) gathers parameters only inside a module's forward, so the head is a submodule of the
language model, and the model's forward returns the values beside TRL's fused log-probabilities.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

ValueTrunk = Literal["shared", "detached"]
ValueInit = Literal["default", "zero"]


class ValueHead(torch.nn.Module):
    """A linear layer from hidden states to values, with bias, in float32.

    TRL 0.7.11 has a dropout before this layer, which is never active in a PPO pass; it is left out here.

    Args:
        hidden_size: Width of a hidden state.
        trunk: `shared` lets the value loss reach the model below, `detached` does not.
        init: `default` draws the first weights as torch does, `zero` sets them to 0.
    """

    def __init__(self, hidden_size: int, trunk: ValueTrunk = "shared", init: ValueInit = "default") -> None:
        super().__init__()
        self.summary = torch.nn.Linear(hidden_size, 1, dtype=torch.float32)
        self._detached = trunk == "detached"
        if init == "zero":
            for parameter in self.summary.parameters():
                torch.nn.init.zeros_(parameter)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Return values, shape (B, T), of hidden states, shape (B, T, hidden); float32 even under autocast."""
        if self._detached:
            hidden_states = hidden_states.detach()
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
        state_sizes: Sum of the absolute entries of the hidden state that each value was made from.
    """

    values: torch.Tensor | None = None
    state_sizes: torch.Tensor | None = None


def step_learning_rate(step: float, state_sizes: torch.Tensor, mask: torch.Tensor) -> float:
    """Return the learning rate at which one step of Adam moves the value of an ordinary state by `step` at most.

    Adam changes a weight by about the learning rate, whatever the gradient is in size. So a value w·h + b changes by at
    most the learning rate times 1 + Σ|h|: with one learning rate for all models, wider ones would take larger steps.

    Args:
        step: Largest change of a value, in the values' unit.
        state_sizes: Sum of the absolute entries of each hidden state, shape (B, T).
        mask: True on tokens that count, shape (B, T).
    """
    weight = mask.to(state_sizes.dtype)
    mean = float((state_sizes * weight).sum() / weight.sum().clamp(min=1))
    return step / (1 + mean)


def rescale(head: ValueHead, optimizer: Any, factor: float, *, gathering: Any) -> None:
    """Multiply a head's values by a factor, and what the optimizer remembers of its gradients likewise.

    Args:
        head: The head.
        optimizer: Adam; None before there is one.
        factor: Of the values: the former unit divided by the new one.
        gathering: TRL's `DistributedBackend`, which knows about ZeRO-3.
    """
    parameters = list(head.parameters())
    with torch.no_grad(), gathering.gather_params(parameters):
        for parameter in parameters:
            parameter.mul_(factor)
            state = {} if optimizer is None else optimizer.state.get(parameter, {})
            # a loss in squares of values has gradients by the weights that shrink as the values do
            for moment, power in (("exp_avg", 1), ("exp_avg_sq", 2)):
                if moment in state:
                    state[moment].mul_(factor**power)


def add_value_head(model: PreTrainedModel, trunk: ValueTrunk = "shared", init: ValueInit = "default") -> ValueHead:
    """Add a value head on the last hidden state to a language model that has TRL's fused LM head.

    Args:
        model: Causal language model after `trl.trainer.utils.add_fused_lm_head`.
        trunk: As in `ValueHead`.
        init: As in `ValueHead`.

    Returns:
        The head, which is trainable and is set as `model.value_head`.
    """
    head = ValueHead(model.config.get_text_config().hidden_size, trunk, init).to(model.device)
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
        states = hidden[-1][:, :-1]
        return PolicyOutput(**output, values=head(states), state_sizes=states.detach().float().abs().sum(-1))

    model.forward = forward
    return head
