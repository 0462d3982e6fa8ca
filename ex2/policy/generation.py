"""Sampling descriptions: the protocol that every engine implements, and the engine that uses transformers."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from ex2.data.prompts import Prompt, Style
from ex2.policy.loading import load_model
from ex2.policy.prompt_tokens import prompt_ids as prompt_ids
from ex2.policy.source import ModelSource, PolicyName, Sampling


class Generated(NamedTuple):
    """One sampled description.

    Attributes:
        text: The description without special tokens.
        ids: Ids of the description's tokens, the end token included.
        cut: True if the token limit was reached without an end token.
    """

    text: str
    ids: tuple[int, ...]
    cut: bool


class Generator(Protocol):
    """Samples descriptions; the same prompts, policy and seed give the same descriptions."""

    def generate(self, prompts: Sequence[Prompt], policy: PolicyName, seed: int) -> list[Generated]:
        """Return one description per prompt, in order."""
        ...

    def reference_logprobs(self, prompts: Sequence[Prompt], generated: Sequence[Generated]) -> list[list[float]]:
        """Return the base model's log-probability of each token of each description, at the sampling temperature.

        Raises:
            UserError: If the engine cannot do it.
        """
        ...

    def close(self) -> None:
        """Free the device's memory and delete files that were written only for generating."""
        ...


class TransformersGenerator:
    """A `Generator` that uses `model.generate` of transformers, in batches of prompts.

    Args:
        model: The base language model, on its device.
        tokenizer: Its tokenizer, padding on the left.
        adapter: Folder of the aligned adapter; None if only the base model describes.
        style: Style in which prompts put the question.
        sampling: Settings by which every description is sampled.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        adapter: Path | None,
        style: Style,
        sampling: Sampling,
    ) -> None:
        self._model: Any = model if adapter is None else PeftModel.from_pretrained(model, str(adapter))
        self._model.eval()
        self._tokenizer, self._style, self._sampling = tokenizer, style, sampling
        self._ends = end_tokens(self._model.generation_config, tokenizer)

    def generate(self, prompts: Sequence[Prompt], policy: PolicyName, seed: int) -> list[Generated]:
        """Return one description per prompt, in order, sampled from the random state that `seed` sets."""
        encoded = self._tokenizer.pad({"input_ids": self._prompt_ids(prompts)}, padding=True, return_tensors="pt")
        torch.manual_seed(seed)
        sampling = self._sampling
        with self._base() if policy == "base" else nullcontext(), torch.inference_mode():
            output = self._model.generate(
                **{key: encoded[key].to(self._model.device) for key in ("input_ids", "attention_mask")},
                max_new_tokens=sampling.max_new_tokens,
                do_sample=True,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                pad_token_id=self._tokenizer.pad_token_id,
                eos_token_id=self._ends,
            )
        responses = output[:, encoded["input_ids"].shape[1] :].tolist()
        return [as_generated(ids, self._ends, self._tokenizer) for ids in responses]

    def reference_logprobs(self, prompts: Sequence[Prompt], generated: Sequence[Generated]) -> list[list[float]]:
        """Return log-probabilities from one forward pass of the base model, as the trainer's reference pass does."""
        responses = [made.ids for made in generated]
        rows = [[*ids, *made] for ids, made in zip(self._prompt_ids(prompts), responses, strict=True)]
        batch = self._tokenizer.pad({"input_ids": rows}, padding=True, return_tensors="pt").to(self._model.device)
        longest = max(map(len, responses))
        with self._base(), torch.inference_mode():
            logits = self._model(**batch, logits_to_keep=longest + 1).logits[:, :-1].float()
        logprobs = (logits / self._sampling.temperature).log_softmax(-1)
        own = logprobs.gather(-1, batch["input_ids"][:, -longest:].unsqueeze(-1)).squeeze(-1).tolist()
        # padding is on the left: a description's tokens are the last of its row
        return [row[longest - len(ids) :] for row, ids in zip(own, responses, strict=True)]

    def close(self) -> None:
        """Drop the model."""
        self._model = None

    def _base(self) -> Any:
        return self._model.disable_adapter() if isinstance(self._model, PeftModel) else nullcontext()

    def _prompt_ids(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        return prompt_ids(self._tokenizer, prompts, self._style)


def as_generated(ids: Sequence[int], ends: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> Generated:
    """Cut a response after its first end token and decode it.

    Args:
        ids: Ids of the sampled tokens; what follows an end token is padding.
        ends: Ids of the tokens that end a description.
        tokenizer: The policy's tokenizer.
    """
    end = next((index for index, token in enumerate(ids) if token in ends), None)
    kept = list(ids if end is None else ids[: end + 1])
    return Generated(str(tokenizer.decode(kept, skip_special_tokens=True)), tuple(kept), end is None)


def end_tokens(generation_config: Any, tokenizer: Any) -> list[int]:
    """Return the ids of all tokens that end a description: the tokenizer's end token, and those the model declares."""
    declared = generation_config.eos_token_id
    declared = [] if declared is None else [declared] if isinstance(declared, int) else list(declared)
    return list(dict.fromkeys([tokenizer.eos_token_id, *declared]))


def derived_seed(*parts: object) -> int:
    """Return a sampling seed below 2**48 as a function of `parts`, the same on every machine."""
    digest = hashlib.sha256(":".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:6], "big")


class WholeModelGenerator:
    """A `Generator` for policies without adapter: it loads the base or the trained model when it is asked for.

    Args:
        base: Source of the base model.
        tokenizer: The models' tokenizer, padding on the left.
        aligned: Folder of the trained model.
        device: Device that models are loaded onto.
        style: Style in which prompts put the question.
        sampling: Settings by which every description is sampled.
    """

    def __init__(
        self,
        base: ModelSource,
        tokenizer: PreTrainedTokenizerBase,
        *,
        aligned: Path,
        device: torch.device,
        style: Style,
        sampling: Sampling,
    ) -> None:
        trained = replace(base, model=str(aligned.absolute()), revision=None, gguf_file=None)
        self._sources: dict[PolicyName, ModelSource] = {"base": base, "aligned": trained}
        self._tokenizer, self._device = tokenizer, device
        self._style, self._sampling = style, sampling
        self._loaded: tuple[PolicyName, TransformersGenerator] | None = None

    def generate(self, prompts: Sequence[Prompt], policy: PolicyName, seed: int) -> list[Generated]:
        """Return one description per prompt, in order, sampled from the random state that `seed` sets."""
        return self._generator(policy).generate(prompts, "base", seed)  # of a model without an adapter

    def reference_logprobs(self, prompts: Sequence[Prompt], generated: Sequence[Generated]) -> list[list[float]]:
        """Return log-probabilities from one forward pass of the base model over prompts and descriptions."""
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
            model = load_model(self._sources[policy], self._device)
            made = TransformersGenerator(
                model, self._tokenizer, adapter=None, style=self._style, sampling=self._sampling
            )
            self._loaded = (policy, made)
        return self._loaded[1]
