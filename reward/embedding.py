"""Embed any number of images in bounded memory: decoding in worker processes, results in parts on disk.

A part holds the embeddings of `PART_SIZE` consecutive images. Its name is a hash of the VLM's fingerprint and of these
images' content. Therefore a build that was killed goes on with the first missing part, and a replaced image costs one
part. Processes that build the same parts independently write equal files; processes that belong together divide the
parts among them (`Share`).

The memory needed does not depend on the number of images: it is one part of embeddings (4 · D · 1,024 bytes) and three
batches of pixels per worker.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from reward.errors import EnvironmentFault, UserError, one_line, shortened
from reward.files import bank_file
from reward.images import IMAGE_ERRORS, LabeledImage
from reward.sealed import UNSEALED, read_sealed
from reward.vlm import VLM, PixelVLM

PART_SIZE = 1024
"""Images in one part. No batch crosses from one part into the next, so that a resumed build repeats the same forward
passes bit for bit."""

FEW_IMAGES = 256
"""With fewer images than this, starting workers takes longer than they save."""
TRIED = 8
"""Images that are decoded to see whether workers are worth their start."""
START = 0.5
"""Seconds of decoding for which no worker is started: starting some and ending them takes a few tenths of one."""

NAMED_PROBLEMS = 10
"""Most unreadable images that one message names."""


class Share(NamedTuple):
    """One process's share of a build that several processes do together.

    Attributes:
        rank: Number of this process, from 0.
        world_size: Number of processes.
        gather: Called by every process with its own lines, returns the lines of all; it is a barrier too.
    """

    rank: int = 0
    world_size: int = 1
    gather: Callable[[list[str]], list[str]] = list


class Loading(NamedTuple):
    """How images are fed to the VLM; none of it changes an embedding.

    Attributes:
        workers: Number of decoding processes; `None` chooses it by the number of cores and of images.
        batch_size: Images per forward pass.
    """

    workers: int | None = None
    batch_size: int = 64


def content_digests(images: Sequence[LabeledImage], *, title: str = "images") -> list[str]:
    """Return every image's content hash, in order, with a progress bar.

    Raises:
        UserError: If a file cannot be read.
    """
    if len(images) < FEW_IMAGES:
        return [image.digest() for image in images]
    digests: list[str] = []
    threads = min(8, usable_cores())
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(total=len(images), desc=f"{title}: fingerprint", unit="img", leave=False, dynamic_ncols=True) as bar,
    ):
        for start in range(0, len(images), PART_SIZE):  # a pool keeps what it was given until it is done with all
            digests += pool.map(lambda image: image.digest(), images[start : start + PART_SIZE])
            bar.update(len(digests) - start)
    return digests


def embed_in_parts(
    vlm: VLM,
    images: Sequence[LabeledImage],
    digests: Sequence[str],
    folder: Path,
    *,
    title: str,
    loading: Loading = Loading(),  # noqa: B008 - immutable
    share: Share = Share(),  # noqa: B008 - immutable
) -> list[Path]:
    """Embed images in order; parts that exist already are not computed again.

    Args:
        vlm: The encoder. A `PixelVLM` preprocesses images in the workers, any other VLM in this process.
        images: The N images to embed.
        digests: Content hash of each image.
        folder: Folder of the parts.
        title: Label of the progress bar.
        loading: Workers and batch size.
        share: This process's share of the work; no process returns before the last part is written.

    Returns:
        The parts' files in the order of the images; `load_part` reads one.

    Raises:
        UserError: If images cannot be read. Every image is tried before; the message names the first unreadable ones,
            and complete parts stay.
        EnvironmentFault: If a part cannot be written, or a worker was killed.
    """
    parts = part_files(vlm, digests, folder)
    own = [number for number in range(share.rank, len(parts), share.world_size) if load_part(parts[number]) is None]
    problems: list[str] = []
    if own:
        problems = _embed(vlm, images, {number: parts[number] for number in own}, title, loading, len(parts))
    everybodys = share.gather(problems)
    if everybodys:
        rest = len(everybodys) - NAMED_PROBLEMS
        more = [f"… and {rest} more unreadable images."] if rest > 0 else []
        raise UserError("\n".join([*everybodys[:NAMED_PROBLEMS], *more]))
    return parts


def part_files(vlm: VLM, digests: Sequence[str], folder: Path) -> list[Path]:
    """Return the paths of all parts, in order, whether the files exist or not."""
    fingerprint = vlm.fingerprint()
    files = []
    for start in range(0, len(digests), PART_SIZE):
        words = json.dumps([fingerprint, *digests[start : start + PART_SIZE]])
        files.append(folder / f"{hashlib.sha256(words.encode()).hexdigest()[:32]}.safetensors")
    return files


def load_part(path: Path) -> torch.Tensor | None:
    """Return a part's embeddings, unit-norm float32, shape (at most `PART_SIZE`, D); `None` if missing or damaged.

    A damaged one is set aside, with a line on stderr.
    """
    stored = read_sealed(path, ("embeddings",))
    return None if stored is None else stored["embeddings"]


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers(image_count: int) -> int:
    """Return the number of decoding processes for a build; one core is left to the VLM's forward pass."""
    if image_count < FEW_IMAGES or "fork" not in multiprocessing.get_all_start_methods():
        return 0
    return min(8, usable_cores() - 1)


class _Decoded(NamedTuple):
    """A batch of preprocessed pixels (of images, for a VLM without `pixels`), and messages on unreadable images."""

    pixels: NDArray[np.float32] | list[Image.Image]
    problems: list[str]


class _Decoder(Dataset[Any]):
    """Opens and preprocesses one image; runs in a worker."""

    def __init__(self, images: Sequence[LabeledImage], vlm: VLM) -> None:
        self.images = images
        self.pixels = vlm.pixels if isinstance(vlm, PixelVLM) else None

    def __getitem__(self, index: int) -> Any:
        try:
            image = self.images[index].open()
            return image if self.pixels is None else self.pixels(image).numpy()
        except UserError as error:
            return str(error)
        except (*IMAGE_ERRORS, TypeError, ArithmeticError) as error:
            reason = shortened(one_line(error), 300)
            return f"{self.images[index].name}: no input for the VLM ({reason}); remove it from the dataset."


def _worth_their_start(decoder: _Decoder, total: int) -> int:
    """Return how many workers to start; none where all images, as the first few tell, are decoded as soon here."""
    workers = default_workers(total)
    if workers:
        begun = time.perf_counter()
        for index in range(min(TRIED, len(decoder.images))):
            decoder[index]
        if (time.perf_counter() - begun) / TRIED * total < START:
            return 0
    return workers


class _Batches(Sampler[list[int]]):
    """Yields batches of consecutive images, none of which reaches from one part into the next."""

    def __init__(self, numbers: Sequence[int], image_count: int, batch_size: int) -> None:
        self.numbers, self.image_count, self.batch_size = numbers, image_count, batch_size

    def __iter__(self) -> Iterator[list[int]]:
        for number in self.numbers:
            end = min((number + 1) * PART_SIZE, self.image_count)
            for start in range(number * PART_SIZE, end, self.batch_size):
                yield list(range(start, min(start + self.batch_size, end)))


def _collate(items: list[Any]) -> _Decoded:
    problems = [item for item in items if isinstance(item, str)]
    good = [item for item in items if not isinstance(item, str)]
    if good and isinstance(good[0], np.ndarray):
        return _Decoded(np.stack(good), problems)  # through a pipe: /dev/shm is 64 MB in many containers
    return _Decoded(good, problems)


def _start_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to answer


def _embed(
    vlm: VLM, images: Sequence[LabeledImage], missing: dict[int, Path], title: str, loading: Loading, part_count: int
) -> list[str]:
    """Embed the missing parts and save each when it is complete; return one message per unreadable image."""
    sizes = {number: min(PART_SIZE, len(images) - number * PART_SIZE) for number in missing}
    total = sum(sizes.values())
    decoder = _Decoder(images, vlm)
    workers = _worth_their_start(decoder, total) if loading.workers is None else loading.workers
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the workers are forked
    loader = DataLoader(
        decoder,
        batch_sampler=_Batches(list(missing), len(images), loading.batch_size),
        num_workers=workers,
        collate_fn=_collate,
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=_start_worker,
    )
    problems: list[str] = []
    waiting = iter(missing.items())
    number, path = next(waiting)
    rows: list[torch.Tensor] = []
    seen, broken = 0, False
    done = len(images) - total if len(missing) < part_count else 0
    with tqdm(total=total + done, initial=done, desc=title, unit="img", leave=False, dynamic_ncols=True) as bar:
        try:
            for batch in loader:
                count = len(batch.pixels) + len(batch.problems)
                problems += batch.problems
                broken = broken or bool(batch.problems)
                if len(batch.pixels) and not broken:
                    rows.append(_encode(vlm, batch.pixels))
                seen += count
                bar.update(count)
                if seen == sizes[number]:
                    if not broken:
                        _save(path, torch.cat(rows))
                    rows, seen, broken = [], 0, False
                    number, path = next(waiting, (number, path))
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise EnvironmentFault(
                f"{title}: a decoding process was killed, mostly for lack of memory ({str(error).splitlines()[0]}); "
                "run again to go on, with fewer dataset.workers."
            ) from error
    return problems


def _encode(vlm: VLM, batch: NDArray[np.float32] | list[Image.Image]) -> torch.Tensor:
    if isinstance(vlm, PixelVLM) and isinstance(batch, np.ndarray):
        return vlm.encode_pixels(torch.from_numpy(batch))
    assert isinstance(batch, list)
    return vlm.encode_images(batch)


def _save(path: Path, embeddings: torch.Tensor) -> None:
    with bank_file(path) as temporary:
        save_file({"embeddings": embeddings.contiguous()}, temporary, UNSEALED)
