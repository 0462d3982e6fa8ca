"""Which language model, whose descriptions, and how they are sampled: what the builders of this folder take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PolicyName = Literal["base", "aligned"]
POLICIES: tuple[PolicyName, ...] = ("base", "aligned")
"""Who describes, in the order of time; pages and figures begin with the aligned policy."""

Dtype = Literal["float32", "bfloat16", "float16"]
Quantization = Literal["none", "8bit", "4bit"]


@dataclass(frozen=True)
class ModelSource:
    """Where a language model comes from, and in which form it is loaded.

    Attributes:
        model: Hub id, local folder, or `package:NAME[/SUBFOLDER]` for a folder of an installed package.
        revision: Commit of the hub repository; None takes the newest.
        gguf_file: A GGUF file in the folder `model`, converted once and cached; None for a folder of transformers.
        dtype: Precision of the weights that are not quantized, and of the computation.
        quantization: Of the linear layers, by bitsandbytes.
        attn_implementation: A name that transformers knows; None leaves the choice to it.
        trust_remote_code: Run code from the model's repository.
        named_in: The recipe's section that names the model: error messages begin with it.
    """

    model: str
    revision: str | None = None
    gguf_file: str | None = None
    dtype: Dtype = "float32"
    quantization: Quantization = "none"
    attn_implementation: str | None = None
    trust_remote_code: bool = False
    named_in: str = "policy"


@dataclass(frozen=True)
class Sampling:
    """How descriptions are sampled, in training and in describing.

    Attributes:
        max_new_tokens: Most tokens of a description.
        temperature: Divides the logits; above 0.
        top_p: Probability that the most likely tokens must have together; 1.0 turns it off.
        top_k: How many of the most likely tokens may be drawn; 0 turns it off.
    """

    max_new_tokens: int = 32
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
