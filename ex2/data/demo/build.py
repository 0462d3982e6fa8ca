"""Rebuild the demo world's weights from a seed: `python -m ex2.data.demo.build [--check]`.

One language model and three VLMs, on the CPU with one thread, in a few minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from ex2.data.demo.pretrain_policy import make_tokenizer, prompts, train_policy
from ex2.data.demo.pretrain_vlm import train_vlm
from ex2.data.demo.shapes import Shapes
from ex2.data.demo.world import CAPTION_KINDS, CONCEPTS, sentences
from reward.backends.toy import SHIPPED as VLMS
from reward.backends.toy import ToyDualEncoder, config_metadata
from reward.exits import guarded

POLICY = Path(__file__).parent.parent / "demo_policy"
TOLERANCE = 1e-3
"""Greatest difference of a logit between shipped and rebuilt weights."""


def build(policy: Path, vlms: Path) -> None:
    """Train all models and write their weights.

    Args:
        policy: Folder of the language model and its tokenizer.
        vlms: Folder of the VLMs' weights.
    """
    tokenizer = make_tokenizer()
    model = train_policy(tokenizer)
    model.save_pretrained(policy)
    tokenizer.save_pretrained(policy)
    vlms.mkdir(parents=True, exist_ok=True)
    for kind in CAPTION_KINDS:
        vlm = train_vlm(kind)
        save_file(vlm.state_dict(), vlms / f"{kind}.safetensors", metadata=config_metadata(vlm.config))
    for file in (*policy.glob("*.safetensors"), *vlms.glob("*.safetensors")):
        file.chmod(0o644)  # safetensors writes files that only their owner can read


@torch.inference_mode()
def policy_logits(folder: Path) -> torch.Tensor:
    """Return the language model's logits on a prompt and a sentence for every concept, shape (N, V)."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    parts = []
    for number, concept in enumerate(CONCEPTS):
        prompt = prompts()[number].format(concept.name)
        text = prompt + sentences(concept, CAPTION_KINDS[number % 3])[number % 14]
        parts.append(model(**tokenizer(text, return_tensors="pt")).logits[0].float())
    return torch.cat(parts)


def vlm_logits(weights: Path) -> torch.Tensor:
    """Return a VLM's logits, shape (images, texts), of two images and all sentences of every concept."""
    vlm = ToyDualEncoder(str(weights))
    images = [image.open() for image in Shapes(2).images("test")]
    texts = [sentence for concept in CONCEPTS for kind in CAPTION_KINDS for sentence in sentences(concept, kind)]
    return vlm.scale * vlm.encode_images(images) @ vlm.encode_texts(texts).embeddings.T


def differences(policy: Path, vlms: Path) -> dict[str, float]:
    """Return the greatest absolute difference between shipped and rebuilt logits, by model; inf if shapes differ."""
    pairs = {"policy": (policy_logits(POLICY), policy_logits(policy))}
    for kind in CAPTION_KINDS:
        name = f"{kind}.safetensors"
        pairs[f"VLM {kind}"] = (vlm_logits(VLMS / name), vlm_logits(vlms / name))
    return {
        name: (old - new).abs().max().item() if old.shape == new.shape else float("inf")
        for name, (old, new) in pairs.items()
    }


def main(arguments: list[str] | None = None) -> int:
    """Entry point.

    Args:
        arguments: Words of the command line; default: those of the process.

    Returns:
        Exit status: 1 if `--check` finds a difference above `TOLERANCE`, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ex2.data.demo.build",
        description="Rebuild the demo world's language model and VLMs from a seed.",
        epilog="Example: python -m ex2.data.demo.build --check",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help=f"rebuild elsewhere and compare logits with the shipped ones, to {TOLERANCE}",
    )
    check: bool = parser.parse_args(arguments).check
    return guarded(lambda: _make(check))


def _make(check: bool) -> int:
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(1)
    started = time.monotonic()
    if not check:
        build(POLICY, VLMS)
        print(f"Written to {POLICY} and {VLMS} in {time.monotonic() - started:.0f} s.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder) / "policy", Path(folder) / "vlms")
        found = differences(Path(folder) / "policy", Path(folder) / "vlms")
    for name, difference in found.items():
        verdict = "ok" if difference <= TOLERANCE else f"more than {TOLERANCE}"
        print(f"{name:16} greatest difference of a logit: {difference:.2e}  {verdict}")
    print(f"Rebuilt in {time.monotonic() - started:.0f} s.")
    return int(any(not difference <= TOLERANCE for difference in found.values()))


if __name__ == "__main__":
    sys.exit(main())
