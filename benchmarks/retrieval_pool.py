"""How long retrieval from a pool of captions takes, in how much memory, and whether it is exact.

    python benchmarks/retrieval_pool.py [--captions 100000] [--encoder FOLDER|package:…] [--out FILE.md]

A pool of made captions (all different) is embedded by MiniLM, once, and a thousand class prompts are ranked in it. The
top 10 of each must be those of a full sort of all similarities, in float64 by NumPy. Memory is measured in ranking: it
must not grow with the pool by more than `MOST_GROWN` bytes a caption over a tenth of it.

Ends with status 1 unless all of it holds.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import torch
from common import processor

from ex2.sets.ranking import DECIMALS, mean_text_similarity, nearest
from ex2.sets.text_encoders import MINILM, find_encoder, text_bank
from reward.files import write_text

QUERIES = 1000
TOP = 10
CHECKED = 100
"""Queries whose ranking is compared with the full sort."""
MOST_GROWN = 64
"""Bytes of anonymous memory for each further caption: in 32-bit floats one of MiniLM's embeddings takes 1,536."""

SUBJECTS = "dog cat horse bird car boat train house tree flower bridge clock guitar lamp chair table shoe hat kite ball"
COLORS = "red blue green yellow black white brown gray orange purple"
PLACES = "a park|a street|a kitchen|a beach|a forest|a field|a room|a garden|a city|the snow"
MANNERS = "old|new|small|large|broken|shiny|wooden|painted|tiny|famous"
ENDINGS = "at night|in the morning|in summer|in the rain|seen from above|close up|in soft light|for sale|indoors|alone"


def captions(count: int) -> list[str]:
    """Return so many different captions, in a seeded order."""
    parts = (MANNERS.split("|"), COLORS.split(), SUBJECTS.split(), PLACES.split("|"), ENDINGS.split("|"))
    made = [
        f"a {manner} {color} {subject} in {place} {ending}"
        for manner, color, subject, place, ending in itertools.product(*parts)
    ]
    random.Random(0).shuffle(made)
    if count > len(made):
        sys.exit(f"at most {len(made):,} captions are made")
    return made[:count]


def main() -> int:
    """Measure, print a line for each, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=int, default=100_000)
    parser.add_argument("--encoder", default=MINILM)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines, held = [], True
    texts = captions(options.captions)
    encoder = find_encoder(options.encoder, "--encoder")
    process = psutil.Process(os.getpid())

    def anonymous() -> int:
        return sum(one.private_dirty for one in process.memory_maps())

    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        text_bank(encoder, texts, Path(folder), title="captions")
        lines.append(f"{len(texts):,} captions embedded once: {time.perf_counter() - begun:.1f} s")
        begun = time.perf_counter()
        parts = text_bank(encoder, texts, Path(folder), title="captions")
        lines.append(f"read back from the bank, checked by its hashes: {time.perf_counter() - begun:.2f} s")
        queries = encoder.encode_texts([f"a photo of a {text}" for text in texts[:QUERIES]]).embeddings
        begun = time.perf_counter()
        found = nearest(queries, parts, TOP)
        lines.append(f"{len(queries):,} prompts ranked at once, top {TOP}: {time.perf_counter() - begun:.2f} s")
        times = []
        for query in queries[:50]:
            begun = time.perf_counter()
            nearest(query[None], parts, TOP)
            times.append(time.perf_counter() - begun)
        lines.append(f"one prompt: median {1000 * median(times):.1f} ms over {len(times)}")
        before = anonymous()
        nearest(queries[:1], parts[: max(1, len(parts) // 10)], TOP)
        tenth = anonymous()
        nearest(queries[:1], parts, TOP)
        grown = (anonymous() - tenth) / len(texts)
        lines.append(
            f"memory of ranking one prompt: {(tenth - before) / 2**20:.1f} MiB over a tenth of the pool, and "
            f"{grown:.1f} bytes more for each caption of the whole"
        )
        held &= grown <= MOST_GROWN
        everything = torch.cat([part.clone() for part in parts]).double().numpy()
        similarities = (queries[:CHECKED].double().numpy() @ everything.T).round(DECIMALS)
        sorted_all = np.argsort(-similarities, axis=1, kind="stable")[:, :TOP]
        same = int((sorted_all == found.rows[:CHECKED]).all(axis=1).sum())
        near = np.abs(np.take_along_axis(similarities, found.rows[:CHECKED], 1) - found.similarities[:CHECKED]).max()
        ties = CHECKED - same
        lines.append(
            f"equal to a full sort in float64: {same} of {CHECKED} rankings; in the other {ties} only captions change "
            f"places that are within {near:.0e} of each other"
        )
        wanted = np.take_along_axis(similarities, sorted_all, 1)
        held &= bool(np.abs(wanted - found.similarities[:CHECKED]).max() <= 2 * 10**-DECIMALS)
        value = mean_text_similarity(found.similarities).value
        lines.append(f"mean text similarity of the prompts, which name captions of the pool: {value:.4f}")
    said = "\n".join(f"- {line}" for line in lines)
    libraries = f"torch {version('torch')}, transformers {version('transformers')}, {torch.get_num_threads()} threads"
    text = f"# Retrieval from a pool of captions\n\n{processor()}; {libraries}.\n\n{said}\n"
    print(text)
    if options.out:
        write_text(options.out, text)
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
