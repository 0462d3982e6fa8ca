"""Training whose result is the same on every machine, up to differences of 1e-3 in a logit.

Initial weights and data order come from NumPy's frozen generator, and everything is computed in float64, in which
another CPU or library, because it sums in another order, differs by about 1e-16. Some training is chaotic: within a few
hundred steps such differences grow until even float32 shows them. `RoundedAdamW` keeps them out of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

SEED = 0


def generator(*key: int) -> np.random.RandomState:
    """Return a generator for `key`. RandomState, because NumPy promises that its numbers never change."""
    return np.random.RandomState([SEED, *key])


def initialize(model: nn.Module, rng: np.random.RandomState, spread: Mapping[str, float]) -> None:
    """Draw a model's initial weights and make the model float64.

    Args:
        model: Changed in place. Norms and scalars keep the values they have.
        rng: Source of the numbers.
        spread: Standard deviation of the embeddings, by parameter name. Other matrices and kernels are uniform
            within ±1/sqrt(fan in), biases 0.
    """
    for name, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        if name in spread:
            drawn = rng.normal(0, spread[name], shape)
        elif len(shape) >= 2:
            bound = 1 / math.sqrt(parameter[0].numel())
            drawn = rng.uniform(-bound, bound, shape)
        elif name.endswith("bias"):
            drawn = np.zeros(shape)
        else:
            drawn = parameter.detach().double().numpy()
        parameter.data = torch.from_numpy(drawn)


class RoundedAdamW(torch.optim.Optimizer):
    """AdamW on gradients rounded to multiples of `grid`, from operations that IEEE 754 defines to the last bit.

    The gradients of two machines differ by far less than the grid's width. Therefore almost surely all of them are
    rounded to the same values, and the weights are equal bit by bit. torch's own AdamW is not used, since it may fuse
    operations on one CPU and not on another.

    Args:
        parameters: The model's parameters, in float64.
        lr: Learning rate.
        weight_decay: Decoupled, as in arXiv 1711.05101.
        betas: Decays of the gradient's running mean and mean square.
        grid: The width to whose multiples gradients are rounded, a power of two.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        betas: tuple[float, float],
        grid: float = 2.0**-20,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "betas": betas, "grid": grid})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state |= {"step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
                state["step"] += 1
                gradient = torch.round(parameter.grad / group["grid"]) * group["grid"]
                state["mean"] = state["mean"] * first + gradient * (1 - first)
                state["square"] = state["square"] * second + gradient * gradient * (1 - second)
                mean = state["mean"] / (1 - first ** state["step"])
                square = state["square"] / (1 - second ** state["step"])
                decayed = parameter * (1 - group["lr"] * group["weight_decay"])
                parameter.copy_(decayed - mean / (square.sqrt() + 1e-8) * group["lr"])


def train(title: str, total: int, optimizer: torch.optim.Optimizer) -> Iterator[tuple[int, tqdm[int]]]:
    """Count optimizer steps with a progress bar and set the learning rates.

    The rates rise over 50 steps, then fall along a cosine to 0.

    Args:
        title: Label of the bar.
        total: Number of steps.
        optimizer: Its rates are scaled in place before each step.

    Yields:
        The step, from 0, and the bar.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    with tqdm(range(total), desc=title, unit="step") as bar:
        for step in bar:
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * min(1, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * step / total))
            yield step, bar
