"""A stand-in for `vllm` with the signatures of its documentation (0.22): an argument it does not know is a TypeError.

It samples with transformers on the CPU, so that what comes out depends on the model, adapter, prompt and seed given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig

LLMS: list[LLM] = []


@dataclass
class SamplingParams:
    """Signature of vllm.SamplingParams, as far as sampling of text goes."""

    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    include_stop_str_in_output: bool = False


@dataclass(frozen=True)
class LoRARequest:
    """Signature of vllm.lora.request.LoRARequest."""

    lora_name: str
    lora_int_id: int
    lora_path: str = ""
    base_model_name: str | None = None

    def __post_init__(self) -> None:
        assert self.lora_int_id >= 1
        assert self.lora_path


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: Sequence[int]
    finish_reason: str | None


@dataclass
class RequestOutput:
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput] = field(default_factory=list)


class LLM:
    """Signature of vllm.LLM, with the engine arguments that vLLM documents for LoRA and sizes."""

    def __init__(
        self,
        model: str,
        *,
        tokenizer: str | None = None,
        tokenizer_mode: str = "auto",
        skip_tokenizer_init: bool = False,
        trust_remote_code: bool = False,
        tensor_parallel_size: int = 1,
        dtype: str = "auto",
        quantization: str | None = None,
        revision: str | None = None,
        tokenizer_revision: str | None = None,
        seed: int = 0,
        gpu_memory_utilization: float = 0.9,
        enforce_eager: bool = False,
        max_model_len: int | None = None,
        enable_lora: bool = False,
        max_loras: int = 1,
        max_lora_rank: int = 16,
        generation_config: str = "auto",
    ) -> None:
        self.settings = {key: value for key, value in locals().items() if key != "self"}
        assert dtype in ("auto", "float32", "bfloat16", "float16")
        assert max_lora_rank in (1, 8, 16, 32, 64, 128, 256, 320, 512)
        self._model = AutoModelForCausalLM.from_pretrained(model, revision=revision, dtype=torch.float32).eval()
        if generation_config == "vllm":  # else what the model's file says holds where a request says nothing
            self._model.generation_config = GenerationConfig()
        self.prompts: list[list[int]] = []
        self.parameters: list[SamplingParams] = []
        LLMS.append(self)

    def generate(
        self,
        prompts: Sequence[dict[str, list[int]]],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        use_tqdm: bool = True,
        lora_request: LoRARequest | list[LoRARequest] | None = None,
        priority: list[int] | None = None,
    ) -> list[RequestOutput]:
        assert isinstance(sampling_params, list)
        assert len(sampling_params) == len(prompts)
        model: Any = self._model
        if lora_request is not None:
            assert isinstance(lora_request, LoRARequest)
            assert self.settings["enable_lora"]
            model = PeftModel.from_pretrained(model, lora_request.lora_path).eval()
        results = [
            self._one(model, row["prompt_token_ids"], p) for row, p in zip(prompts, sampling_params, strict=True)
        ]
        if lora_request is not None:
            model.unload()
        return results

    def _one(self, model: Any, ids: list[int], parameters: SamplingParams) -> RequestOutput:
        assert parameters.max_tokens is not None
        assert parameters.stop_token_ids
        assert parameters.seed is not None
        assert len(ids) + parameters.max_tokens <= self.settings["max_model_len"]
        self.prompts.append(ids)
        self.parameters.append(parameters)
        torch.manual_seed(parameters.seed)
        with torch.inference_mode():
            output = model.generate(
                torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                max_new_tokens=parameters.max_tokens,
                do_sample=True,
                temperature=parameters.temperature,
                top_p=parameters.top_p,
                top_k=parameters.top_k,
                eos_token_id=parameters.stop_token_ids,
                pad_token_id=0,
            )[0, len(ids) :].tolist()
        ended = output[-1] in parameters.stop_token_ids
        return RequestOutput(ids, [CompletionOutput(0, "", tuple(output), "stop" if ended else "length")])


def modules() -> dict[str, ModuleType]:
    """Return what stands in `sys.modules` for vllm."""
    vllm, lora, request = (ModuleType(name) for name in ("vllm", "vllm.lora", "vllm.lora.request"))
    vllm.LLM, vllm.SamplingParams = LLM, SamplingParams  # type: ignore[attr-defined]
    request.LoRARequest = LoRARequest  # type: ignore[attr-defined]
    LLMS.clear()
    return {"vllm": vllm, "vllm.lora": lora, "vllm.lora.request": request}
