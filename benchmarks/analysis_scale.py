"""Analysis and report of a run as large as the paper's largest: 1,000 classes × 25 questions, aligned and base model.

python benchmarks/analysis_scale.py [--folder FOLDER] [--threads 2]

The descriptions are made up, the VLM's embeddings are noise around each class's direction, and the judge answers by
rule: what is measured does not depend on them, as verdicts and embeddings are in the caches by then. Each measurement
is a process of its own, start and imports included.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from analysis.judge.base import JudgeRequest, OnAnswer, Verdict
from ex2.recipe import Recipe
from ex2.run_dir import RunDirectory, write_jsonl
from reward.vlm import TextEmbeddings

CLASSES, QUESTIONS, TEST_IMAGES, DIM = 1000, 25, 10, 512
WORDS = (
    *("fur", "wing", "bark", "leaf", "stripe", "spotted", "round", "tall", "river", "winter", "often", "found"),
    *("known", "kept", "for", "its", "with", "and", "the", "of"),
)
MOST_SECONDS, MOST_GB, MOST_SECONDS_PAGE = 60.0, 2.0, 3.0


def class_name(label: int) -> str:
    return f"animal {label:04}"


class Drawn(NamedTuple):
    """An image of one colour that tells its class to `NoiseVLM`."""

    label: int
    split: str
    index: int

    @property
    def name(self) -> str:
        return f"{self.split}/{self.label}/{self.index}"

    def open(self) -> Image.Image:
        noise = np.random.default_rng([self.label, self.index]).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        noise[0, 0] = (self.label // 256, self.label % 256, self.index)
        return Image.fromarray(noise)

    def digest(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()


class ManyClasses:
    """A dataset of `CLASSES` classes, each image drawn when it is opened."""

    splits = ("reward", "test")
    class_names = tuple(class_name(label) for label in range(CLASSES))

    def images(self, split: str) -> Sequence[Drawn]:
        per_class = TEST_IMAGES if split == "test" else 1
        return [Drawn(label, split, index) for label in range(CLASSES) for index in range(per_class)]


@cache
def direction(label: int) -> torch.Tensor:
    return torch.randn(DIM, generator=torch.Generator().manual_seed(label))


class NoiseVLM:
    """Texts and images lie around the direction of the class they name."""

    name, dim, scale, bias, context_length = "noise", DIM, 100.0, 0.0, 77

    def fingerprint(self) -> str:
        return f"noise {DIM}"

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        keys = [image.getpixel((0, 0)) for image in images]
        return self._around([256 * key[0] + key[1] for key in keys], [str(key) for key in keys], 3.0)

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        labels = [int(found) if (found := text.partition("animal ")[2][:4]).isdigit() else 0 for text in texts]
        return TextEmbeddings(self._around(labels, texts, 2.0), torch.zeros(len(texts), dtype=torch.bool))

    def _around(self, labels: Sequence[int], keys: Sequence[str], noise: float) -> torch.Tensor:
        seeds = [int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) for key in keys]
        rows = [np.random.default_rng(seed).standard_normal(DIM, dtype=np.float32) for seed in seeds]
        made = torch.stack([direction(label) for label in labels]) + noise * torch.from_numpy(np.stack(rows))
        return torch.nn.functional.normalize(made, dim=-1)


class RuleJudge:
    """Answers by a hash of question and description, with an explanation as long as a real judge's."""

    name, exact = "rule", False

    def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
        for request in requests:
            yes = hashlib.sha256(f"{request.question} {request.description}".encode()).digest()[0] % 2 == 0
            said = f'{{"explanation": "{request.description[:60]}: {"so it is" if yes else "says nothing"}."}}'
            on_answer(request, Verdict(yes, said))


def recipe(folder: Path) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "scale",
            "output_dir": str(folder / "runs"),
            "policy": {"model": "package:none"},
            "vlm": {"name": "analysis_scale.NoiseVLM"},
            "dataset": {"name": "analysis_scale.ManyClasses", "reward_split": "reward", "test_split": "test"},
            "judge": {"name": "analysis_scale.RuleJudge"},
        }
    )


def descriptions() -> list[dict[str, Any]]:
    draw = random.Random(0)
    return [
        {
            "class": class_name(label),
            "label": label,
            "question": f"Question {question} about a {{}}, which asks for what is typical of it?",
            "question_id": question,
            "sample": 0,
            "policy": policy,
            "text": f"The {class_name(label)} is {' '.join(draw.choices(WORDS, k=22))}.",
            "reward": draw.gauss(25, 2),
            "cut": False,
        }
        for policy in ("base", "aligned")
        for label in range(CLASSES)
        for question in range(QUESTIONS)
    ]


def stage(name: str, folder: Path, threads: int) -> None:
    """Run one stage, and print the most memory that this process took."""
    torch.set_num_threads(threads)
    if name == "analyze":
        from analysis.analyze import analyze

        analyze(recipe(folder), 0)
    else:
        from analysis.report import write_report

        write_report(recipe(folder))
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f}")


def measured(name: str, folder: Path, threads: int) -> tuple[float, float]:
    """Run a stage in a process of its own; return seconds and GB."""
    command = [sys.executable, __file__, "--stage", name, "--folder", str(folder), "--threads", str(threads)]
    environment = os.environ | {"EX2_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, float(done.stdout.rpartition("peak ")[2])


def open_page(path: Path, repeats: int = 3) -> list[float] | None:
    """Return seconds until the page is loaded and its table filled, each time in a fresh browser; None without one."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        return None
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as play:
        for _ in range(repeats):
            browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
            page = browser.new_page()
            start = time.perf_counter()
            page.goto(path.as_uri())
            page.wait_for_selector("#rows li:nth-child(50)")
            times.append(time.perf_counter() - start)
            browser.close()
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the made-up run goes; default: a temporary one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stage", choices=("analyze", "report"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        stage(options.stage, options.folder, options.threads)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        rows = descriptions()
        write_jsonl(RunDirectory.of(recipe(folder)).seed(0).descriptions, rows)
        what = (
            f"{CLASSES:,} classes × {QUESTIONS} questions, {len(rows):,} descriptions, {CLASSES * TEST_IMAGES:,} images"
        )
        cached = (0.0, 0.0)
        for title, name in (("analyze, caches empty", "analyze"), ("analyze, cached", "analyze"), ("report", "report")):
            seconds, memory = measured(name, folder, options.threads)
            print(
                f"{title} | {what}, D {DIM} | {options.threads} threads | {seconds:.1f} s, {memory:.2f} GB", flush=True
            )
            if "cached" in title:
                cached = (seconds, memory)
        page = RunDirectory.of(recipe(folder)).report
        times = open_page(page)
        megabytes = page.stat().st_size / 2**20
        if times is None:
            print("page: no Chromium on this machine")
        else:
            print(f"page in Chromium | {megabytes:.1f} MB | {min(times):.2f} to {max(times):.2f} s over {len(times)}")
        slow = cached[0] > MOST_SECONDS or cached[1] > MOST_GB
        return int(slow or (times is not None and max(times) > MOST_SECONDS_PAGE))


if __name__ == "__main__":
    raise SystemExit(main())
