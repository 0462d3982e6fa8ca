"""What every neural backend does the same way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(device: str) -> torch.device:
    """Return the named device; `auto` is this process's GPU, or the CPU where there is none."""
    if device != "auto":
        return torch.device(device)
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def unit_norm(vectors: torch.Tensor) -> torch.Tensor:
    """Scale rows to length 1 in float32 and move them to the CPU; shape (N, D) in and out."""
    return torch.nn.functional.normalize(vectors.detach().float(), dim=-1).cpu()


def weights_digest(module: torch.nn.Module) -> str:
    """Return a hash of every parameter and buffer, names and dtypes included."""
    state = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        state.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return state.hexdigest()[:32]


def fingerprint(backend: str, module: torch.nn.Module, settings: Mapping[str, Any]) -> str:
    """Return what pins a backend's embeddings: the code path, the weights and the preprocessing."""
    return json.dumps({"backend": backend, "weights": weights_digest(module), **settings}, sort_keys=True, default=str)
