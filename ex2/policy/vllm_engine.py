"""Descriptions sampled by vLLM, where it is installed. Written against vLLM's documented API (0.22 and later) and
tested with a stand-in of the same signatures; it has not been run on a GPU yet.

vLLM loads the base model in `policy.dtype` and not quantised, even if the recipe trains on a quantised one, because
vLLM can use 8-bit weights only of models that are stored in 8 bits. The aligned policy is either the base model with
the adapter applied by vLLM (`lora`), or a merged copy that exists beside the adapter while descriptions are sampled
(`merged`).
"""

from __future__ import annotations

import gc
import importlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftConfig
from transformers import GenerationConfig

from ex2.data.prompts import Prompt, Style
from ex2.policy.generation import Generated, as_generated, derived_seed, end_tokens, prompt_ids
from ex2.policy.generation_defaults import check_stored_settings, generation_defaults, tell_dropped
from ex2.policy.loading import load_tokenizer, model_path
from ex2.policy.merging import merge_adapter
from ex2.policy.source import ModelSource, PolicyName, Sampling
from reward.errors import UserError
from reward.files import new_folder

INSTALL = "pip install 'ex2[vllm]'"
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM accepts for `max_lora_rank`."""


class VLLMGenerator:
    """Samples descriptions with `vllm.LLM`; one engine exists at a time.

    Args:
        base: The base model; its `quantization` is not used.
        adapter: Folder of the aligned adapter; None if only the base model describes.
        style: `plain` or `chat`, the form of a prompt.
        sampling: How each description is sampled.
        longest_prompt: Tokens of the longest prompt; the engine reserves no more context than prompts and descriptions
            need.
        attach: `lora` applies the adapter to the base model, `merged` merges it into a copy of the base model.
        memory: Share of the GPU's memory that vLLM may take; the VLM needs the rest.

    Raises:
        UserError: If vLLM is not installed, or the adapter's rank is larger than vLLM allows.
    """

    def __init__(
        self,
        base: ModelSource,
        *,
        adapter: Path | None,
        style: Style,
        sampling: Sampling,
        longest_prompt: int,
        attach: Literal["lora", "merged"],
        memory: float,
    ) -> None:
        self._vllm = import_vllm()
        self._base, self._adapter, self._style, self._sampling = base, adapter, style, sampling
        self._attach, self._memory = attach, memory
        self._context = longest_prompt + sampling.max_new_tokens
        self._tokenizer = load_tokenizer(base)
        self._path = model_path(base)
        check_stored_settings(self._path, base)
        stored = _generation_config(self._path, base.revision)
        tell_dropped(base, generation_defaults(stored))
        self._ends = end_tokens(stored, self._tokenizer)
        self._lora_rank = None if adapter is None or attach == "merged" else lora_rank(adapter)
        self._engine: Any = None
        self._loaded: PolicyName | None = None
        self._merged: Path | None = None

    def generate(self, prompts: Sequence[Prompt], policy: PolicyName, seed: int) -> list[Generated]:
        """Sample a description for each prompt, each from its own seed, so that vLLM's batching does not matter."""
        engine = self._engine_for(policy)
        sampling = self._sampling
        parameters = [
            self._vllm.SamplingParams(
                n=1,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                max_tokens=sampling.max_new_tokens,
                seed=derived_seed(seed, index),
                stop_token_ids=self._ends,
                detokenize=False,
            )
            for index in range(len(prompts))
        ]
        outputs = engine.generate(
            [{"prompt_token_ids": ids} for ids in prompt_ids(self._tokenizer, prompts, self._style)],
            sampling_params=parameters,
            use_tqdm=False,
            lora_request=self._lora_request() if policy == "aligned" and self._lora_rank is not None else None,
        )
        return [as_generated(list(output.outputs[0].token_ids), self._ends, self._tokenizer) for output in outputs]

    def reference_logprobs(self, prompts: Sequence[Prompt], generated: Sequence[Generated]) -> list[list[float]]:
        """Raise an error, since log-probabilities of prompts have not been tested with vLLM."""
        raise UserError(
            "describe.engine: vllm gives no log-probabilities of the reference model, which this reward asks for; use "
            "describe.engine=transformers."
        )

    def close(self) -> None:
        """Stop the engine and remove the merged copy."""
        self._stop_engine()
        if self._merged is not None:
            shutil.rmtree(self._merged, ignore_errors=True)
            self._merged = None

    def _engine_for(self, policy: PolicyName) -> Any:
        wanted: PolicyName = policy if self._attach == "merged" else "base"
        if self._engine is not None and self._loaded == wanted:
            return self._engine
        self._stop_engine()
        merged = wanted == "aligned"
        settings: dict[str, Any] = {
            "model": str(self._merge()) if merged else self._path,
            "tokenizer": self._path,
            "dtype": self._base.dtype,
            "revision": None if merged else self._base.revision,
            "tokenizer_revision": self._base.revision,
            "trust_remote_code": self._base.trust_remote_code,
            "gpu_memory_utilization": self._memory,
            "max_model_len": self._context,
            "seed": 0,
            "generation_config": "vllm",  # not the model's own, whose sampling settings vLLM would else start from
        }
        if self._lora_rank is not None:
            settings |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": self._lora_rank}
        self._engine, self._loaded = self._vllm.LLM(**settings), wanted
        return self._engine

    def _lora_request(self) -> Any:
        request = importlib.import_module("vllm.lora.request").LoRARequest
        return request(lora_name="aligned", lora_int_id=1, lora_path=str(self._adapter))

    def _merge(self) -> Path:
        """Merge the adapter into the base model, on the CPU and not quantised; return the folder of the result."""
        if self._adapter is None:
            raise UserError("describe.policies: 'aligned' needs a trained adapter.")
        if self._merged is None:
            folder = self._adapter.with_name("merged.temporary")
            with new_folder(folder) as fresh:
                merge_adapter(self._base, self._adapter, fresh)
            self._merged = folder
        return self._merged

    def _stop_engine(self) -> None:
        self._engine = self._loaded = None
        free_device()


def import_vllm() -> Any:
    """Return the `vllm` module.

    Raises:
        UserError: If it is not installed.
    """
    try:
        return importlib.import_module("vllm")
    except ModuleNotFoundError as error:
        if error.name != "vllm":
            raise
        raise UserError(
            f"describe.engine: vllm is not installed. Install it on a machine with a GPU ({INSTALL}), or use "
            "describe.engine=transformers."
        ) from error


def lora_rank(adapter: Path) -> int:
    """Return the smallest `max_lora_rank` of vLLM that an adapter fits into.

    Raises:
        UserError: If the adapter's rank is larger than vLLM allows.
    """
    rank = int(getattr(PeftConfig.from_pretrained(str(adapter)), "r", 0))
    fitting = [allowed for allowed in LORA_RANKS if allowed >= rank]
    if not fitting:
        raise UserError(f"lora.r: {rank} is above vLLM's limit of {LORA_RANKS[-1]}; use describe.vllm_adapter=merged.")
    return fitting[0]


def free_device() -> None:
    """Give memory that earlier stages left in torch's CUDA allocator back to the GPU; vLLM would count it as taken."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _generation_config(path: str, revision: str | None) -> GenerationConfig:
    try:
        return GenerationConfig.from_pretrained(path, revision=revision or "main")
    except OSError:  # a model without generation_config.json declares no end tokens of its own
        return GenerationConfig()  # type: ignore[no-untyped-call]
