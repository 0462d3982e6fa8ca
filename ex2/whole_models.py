"""Describing with a policy whose every weight was trained: base and aligned are two models, one in memory at a time."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from ex2.data.prompts import Prompt, Style
from ex2.generation import Generated, PolicyName, TransformersGenerator
from ex2.policy import load_model
from ex2.recipe import Generation, Policy


class WholeModelGenerator:
    """A `Generator` that loads the model it is asked for.

    Args:
        policy: The recipe's section: names the base model.
        tokenizer: Padding on the left.
        aligned: Folder of the trained model.
        device: Where models go.
        style: How a question is put.
        sampling: The recipe's section.
    """

    def __init__(
        self,
        policy: Policy,
        tokenizer: PreTrainedTokenizerBase,
        *,
        aligned: Path,
        device: torch.device,
        style: Style,
        sampling: Generation,
    ) -> None:
        self._policy, self._tokenizer, self._aligned, self._device = policy, tokenizer, aligned, device
        self._style, self._sampling = style, sampling
        self._loaded: tuple[PolicyName, TransformersGenerator] | None = None

    def generate(self, prompts: Sequence[Prompt], policy: PolicyName, seed: int) -> list[Generated]:
        """Sample from the random state that `seed` sets."""
        return self._generator(policy).generate(prompts, "base", seed)  # of a model without an adapter

    def reference_logprobs(self, prompts: Sequence[Prompt], generated: Sequence[Generated]) -> list[list[float]]:
        """One forward of the base model over prompts and descriptions."""
        return self._generator("base").reference_logprobs(prompts, generated)

    def close(self) -> None:
        """Drop the model."""
        self._loaded = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _generator(self, policy: PolicyName) -> TransformersGenerator:
        if self._loaded is None or self._loaded[0] != policy:
            self.close()
            trained = {"model": str(self._aligned.absolute()), "revision": None, "gguf_file": None}
            section = self._policy if policy == "base" else self._policy.model_copy(update=trained)
            model = load_model(section, self._device)
            made = TransformersGenerator(
                model, self._tokenizer, adapter=None, style=self._style, sampling=self._sampling
            )
            self._loaded = (policy, made)
        return self._loaded[1]
