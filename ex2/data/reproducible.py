"""Training whose result does not depend on the machine, as far as 1e-3 can show.

Weights and data order come from NumPy's frozen generator and all is computed in float64: another CPU or
library sums in another order, and in float64 that stays far below what float32 can show.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

SEED = 0


def generator(*key: int) -> np.random.RandomState:
    """Return a generator for `key`. RandomState, because NumPy promises that its numbers never change."""
    return np.random.RandomState([SEED, *key])


def initialise(model: nn.Module, rng: np.random.RandomState, spread: Mapping[str, float]) -> None:
    """Draw a model's initial weights in float64.

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


def train(title: str, total: int, optimizer: torch.optim.Optimizer) -> Iterator[tuple[int, tqdm[int]]]:
    """Count optimizer steps with a progress bar; rates rise over 50 steps, then fall along a cosine to 0.

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
