"""Textual inversion: an embedding is learned for a class, from a few images, with a pipeline that stays as it is.

Source: Gal et al., An Image is Worth One Word (arXiv 2208.01618); its use for classes is section 3.3 of Li et al.
(GenBench, arXiv 2307.13697).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ex2.sets.pixels import centered
from reward.errors import UserError

NEEDED = ("tokenizer", "text_encoder", "unet", "vae", "scheduler")
"""Components of a pipeline that an embedding can be learned with; one with two text encoders is none."""


@dataclass(frozen=True)
class Training:
    """How an embedding is learned.

    Attributes:
        steps: Steps of AdamW (GenBench: 1,000).
        batch: Images of a step, drawn with replacement.
        rate: Learning rate.
        templates: Texts with a `{}` for the token, one drawn for each image of a step.
        side: Width and height at which images are seen, in pixels.
        seed: Of noise, steps of the noise, images and templates.
    """

    steps: int
    batch: int
    rate: float
    templates: tuple[str, ...]
    side: int
    seed: int


@dataclass(frozen=True)
class Learned:
    """A learned embedding.

    Attributes:
        embedding: Shape (D,), float32, on the CPU.
        losses: Of each step, shape (steps,).
    """

    embedding: torch.Tensor
    losses: NDArray[np.float64]


def missing_components(pipeline: Any) -> list[str]:
    """Return what a pipeline lacks that learning an embedding takes; a second text encoder counts as lacking one."""
    found = [name for name in NEEDED if getattr(pipeline, name, None) is None]
    return [*found, "a single text encoder"] if getattr(pipeline, "text_encoder_2", None) is not None else found


def initial_embedding(pipeline: Any, words: Sequence[str]) -> tuple[str, torch.Tensor]:
    """Return the first of some words that is one token, with its embedding, shape (D,), float32, on the CPU.

    Raises:
        UserError: If none of them is one token.
    """
    table = pipeline.text_encoder.get_input_embeddings().weight
    for word in words:
        ids = pipeline.tokenizer(word, add_special_tokens=False)["input_ids"]
        if len(ids) == 1 and ids[0] != pipeline.tokenizer.unk_token_id:
            return word, table[ids[0]].detach().float().cpu().clone()
    raise UserError(
        f"generator.inversion.initial: none of {', '.join(map(repr, words))} is one token of the pipeline's tokenizer; "
        "give a common word that is."
    )


def learn_embedding(
    pipeline: Any,
    images: Sequence[Image.Image],
    initial: torch.Tensor,
    training: Training,
    each_step: Callable[[float], None] = lambda loss: None,
) -> Learned:
    """Learn the embedding of one token.

    The token is put into templates, and images are noised to a random step of the pipeline's own schedule; the mean
    squared error of what the denoiser predicts (the noise, its velocity or the image, as the schedule says) moves the
    embedding, and nothing else: no other parameter of the pipeline takes part in the optimization.

    Args:
        pipeline: A pipeline of tokenizer, text encoder, UNet, VAE and scheduler, on its device; it is the same
            afterwards.
        images: The class's images.
        initial: Embedding that learning begins with, shape (D,).
        training: How to learn.
        each_step: Is told the loss of each step.

    Raises:
        UserError: If there are no images, or the loss is not finite.
    """
    if not images:
        raise UserError("generator.inversion: an embedding is learned from at least one image, and there is none.")
    random = torch.Generator("cpu").manual_seed(training.seed)
    row = torch.nn.Parameter(initial.detach().float().clone().to(pipeline.unet.device))
    pixels = torch.stack([_pixels(image, training.side) for image in images])
    optimizer = torch.optim.AdamW([row], lr=training.rate)
    losses = []
    with _learning(pipeline, row) as encode, torch.enable_grad():
        for _ in range(training.steps):
            chosen = torch.randint(len(pixels), (training.batch,), generator=random)
            picks = torch.randint(len(training.templates), (training.batch,), generator=random).tolist()
            loss = denoising_loss(
                pipeline, pixels[chosen], encode([training.templates[pick] for pick in picks]), random
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(float(loss.detach()))
            if not np.isfinite(losses[-1]):
                raise UserError(
                    f"generator.inversion: the loss is {losses[-1]} at step {len(losses)}; give a smaller rate, or "
                    "dtype: float32."
                )
            each_step(losses[-1])
    return Learned(row.detach().cpu(), np.array(losses))


def denoising_loss(pipeline: Any, pixels: torch.Tensor, states: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Return the mean squared error of what the denoiser predicts of noised images.

    Args:
        pipeline: The pipeline.
        pixels: Images in [-1, 1], shape (B, 3, H, W).
        states: The text encoder's last hidden states, shape (B, T, D).
        random: Draws the latents of the images, noise and its steps, on the CPU.
    """
    from diffusers import DDPMScheduler

    schedule = DDPMScheduler.from_config(pipeline.scheduler.config)
    device, dtype = pipeline.unet.device, pipeline.unet.dtype
    with torch.no_grad():
        found = pipeline.vae.encode(pixels.to(device, pipeline.vae.dtype)).latent_dist
        drawn = torch.randn(found.mean.shape, generator=random).to(found.mean)
        latents = ((found.mean + found.std * drawn) * pipeline.vae.config.scaling_factor).to(dtype)
    noise = torch.randn(latents.shape, generator=random).to(latents)
    steps = torch.randint(schedule.config.num_train_timesteps, (len(latents),), generator=random).to(device)
    predicted = pipeline.unet(schedule.add_noise(latents, noise, steps), steps, states.to(dtype), return_dict=False)[0]
    kind = schedule.config.prediction_type
    wanted = {"epsilon": noise, "sample": latents}.get(kind)
    if wanted is None:
        wanted = schedule.get_velocity(latents, noise, steps)
    return torch.nn.functional.mse_loss(predicted.float(), wanted.float())


class _WithRow(torch.nn.Module):
    """A table of embeddings with one more row, which alone is learned."""

    def __init__(self, table: torch.nn.Module, token: int, row: torch.nn.Parameter) -> None:
        super().__init__()
        self.table, self.token, self.row = table, token, row

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of tokens, shape (…, D)."""
        own = ids == self.token
        found = self.table(ids.masked_fill(own, 0))
        return torch.where(own[..., None], self.row.to(found.dtype), found)


@contextlib.contextmanager
def _learning(pipeline: Any, row: torch.nn.Parameter) -> Iterator[Callable[[Sequence[str]], torch.Tensor]]:
    """Yield what encodes templates with the row in the place of `{}`; then leave the pipeline as it was."""
    encoder, tokenizer = pipeline.text_encoder, pipeline.tokenizer
    table = encoder.get_input_embeddings()
    parts = [part for part in (encoder, pipeline.unet, pipeline.vae) if part is not None]
    before = [[parameter.requires_grad for parameter in part.parameters()] for part in parts]
    training = [part.training for part in parts]
    token = len(tokenizer)  # the id that load_textual_inversion gives the first token that it adds
    for part in parts:
        part.requires_grad_(False).eval()
    encoder.set_input_embeddings(_WithRow(table, token, row))

    def encode(templates: Sequence[str]) -> torch.Tensor:
        ids = [_ids(tokenizer, template, token) for template in templates]
        states: torch.Tensor = encoder(torch.tensor(ids).to(encoder.device))[0]
        return states

    try:
        yield encode
    finally:
        encoder.set_input_embeddings(table)
        for part, flags, was in zip(parts, before, training, strict=True):
            part.train(was)
            for parameter, flag in zip(part.parameters(), flags, strict=True):
                parameter.requires_grad_(flag)


def _ids(tokenizer: Any, template: str, token: int) -> list[int]:
    """Return a template's tokens at the context's length, the given one in the place of `{}`."""
    before, after = (
        tokenizer(part, add_special_tokens=False)["input_ids"] for part in template.split("{}", maxsplit=1)
    )
    inner = [*before, token, *after]
    whole = [tokenizer.bos_token_id, *inner[: tokenizer.model_max_length - 2], tokenizer.eos_token_id]
    return whole + [tokenizer.pad_token_id] * (tokenizer.model_max_length - len(whole))


def _pixels(image: Image.Image, side: int) -> torch.Tensor:
    """Return an image's middle as the VAE takes it: in [-1, 1], shape (3, side, side)."""
    found = np.asarray(centered(image, side, side), dtype=np.float32)
    return torch.from_numpy(found / 127.5 - 1).permute(2, 0, 1).contiguous()
