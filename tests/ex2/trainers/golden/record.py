"""The golden fixture, read and packed from TRL's layout into ours: right-padded responses, shape (B, T)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn.utils.rnn import pad_sequence

HERE = Path(__file__).parent
RECORD = json.loads((HERE / "trl_0_7_11.json").read_text())
TENSORS = load_file(HERE / "trl_0_7_11.safetensors")
PPO = RECORD["ppo"]
BATCHES = [("whole", 0), ("whole", 1), ("accumulated", 0)]


def recorded(case: str, number: int, name: str) -> torch.Tensor:
    """A tensor of a batch in TRL's layout."""
    return TENSORS[f"{case}.{number}.{name}"]


def pack(columns: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """The columns under TRL's mask as responses, 0 beyond each one's end."""
    rows = [row[mask.bool()] for row, mask in zip(columns, masks, strict=True)]
    return pad_sequence(rows, batch_first=True)


def packed(case: str, number: int, name: str) -> torch.Tensor:
    return pack(recorded(case, number, name), recorded(case, number, "masks"))


def response_mask(case: str, number: int) -> torch.Tensor:
    return packed(case, number, "masks").bool()


def facts(case: str, number: int) -> dict[str, object]:
    return RECORD["facts"][case][number]


def distance(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference, in units of max(1, |theirs|)."""
    return float(((ours - theirs).abs() / theirs.abs().clamp(min=1)).max())


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Norm of the difference, in units of theirs."""
    return float((ours - theirs).norm() / theirs.norm())


def plain(name: str) -> str:
    """A trainable parameter's name in the fixture, which has no wrappers' prefixes."""
    return name[name.index("layers." if "layers." in name else "summary.") :].replace(".default", "")


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {plain(name): p for name, p in model.named_parameters() if p.requires_grad}
