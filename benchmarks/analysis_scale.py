"""Analysis and report of a run as large as the paper's largest: 1,000 classes × 25 questions, aligned and base model.

python benchmarks/analysis_scale.py [--folder FOLDER] [--threads 2] [--out benchmarks/results/analysis_scale.md]

The descriptions are made up, the VLM's embeddings are noise around each class's direction, and the judge answers by
rule: what is measured does not depend on them, as verdicts and embeddings are in the caches by then. Each measurement
is a process of its own, start and imports included. The cached analysis must ask judge and VLM nothing at all. Ends
with status 1 if a limit is broken.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
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
from common import processor
from PIL import Image

from analysis.judge.base import JudgeRequest, OnAnswer, Verdict
from ex2.recipe import Recipe
from ex2.run.directory import RunDirectory
from reward.files import write_jsonl, write_text
from reward.vlm import TextEmbeddings

CLASSES, QUESTIONS, TEST_IMAGES, DIM = 1000, 25, 10, 512
WORDS = (
    *("fur", "wing", "bark", "leaf", "stripe", "spotted", "round", "tall", "river", "winter", "often", "found"),
    *("known", "kept", "for", "its", "with", "and", "the", "of"),
)
MOST_SECONDS, MOST_GB, MOST_SECONDS_PAGE = 60.0, 2.0, 3.0
"""Of the cached analysis and of the report; of the page in a browser."""

ASKED = {"judge": 0, "images": 0, "texts": 0}
"""Questions answered, images and texts embedded in this process."""


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
        ASKED["images"] += len(images)
        keys = [image.getpixel((0, 0)) for image in images]
        return self._around([256 * key[0] + key[1] for key in keys], [str(key) for key in keys], 3.0)

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        ASKED["texts"] += len(texts)
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
        ASKED["judge"] += len(requests)
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


class Measured(NamedTuple):
    """What a stage took.

    Attributes:
        seconds: Of its process.
        gigabytes: Most resident memory of that process.
        asked: See `ASKED`.
    """

    seconds: float
    gigabytes: float
    asked: dict[str, int]


def stage(name: str, folder: Path, threads: int) -> None:
    """Run one stage, and print what this process took."""
    import analysis_scale  # as the recipe names it: another module than this one, which runs as a script

    torch.set_num_threads(threads)
    if name == "analyze":
        from analysis.analyze import analyze

        analyze(recipe(folder), 0)
    else:
        from analysis.report.page import write_report

        write_report(recipe(folder))
    taken = {"gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "asked": analysis_scale.ASKED}
    print(f"\ntaken {json.dumps(taken)}")


def measured(name: str, folder: Path, threads: int) -> Measured:
    """Run a stage in a process of its own."""
    command = [sys.executable, __file__, "--stage", name, "--folder", str(folder), "--threads", str(threads)]
    environment = os.environ | {"EX2_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    return Measured(seconds, **json.loads(done.stdout.rpartition("taken ")[2]))


def broken(cached: Measured, report: Measured, times: Sequence[float] | None) -> list[str]:
    """Name every limit that was broken."""
    found = []
    for name, taken in (("analyze, cached", cached), ("report", report)):
        if taken.seconds > MOST_SECONDS:
            found.append(f"{name}: {taken.seconds:.1f} s, limit {MOST_SECONDS:g} s")
        if taken.gigabytes > MOST_GB:
            found.append(f"{name}: {taken.gigabytes:.2f} GB, limit {MOST_GB:g} GB")
        found += [f"{name}: {count:,} {what} asked, limit 0" for what, count in taken.asked.items() if count]
    if times is not None and max(times) > MOST_SECONDS_PAGE:
        found.append(f"page: {max(times):.2f} s, limit {MOST_SECONDS_PAGE:g} s")
    return found


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
            page.wait_for_selector("#rows tr:nth-child(50)")
            times.append(time.perf_counter() - start)
            browser.close()
    return times


def versions() -> str:
    """Hardware, versions and date."""
    return (
        f"{processor()}; Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}; "
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    )


def summary(what: str, rows: Sequence[Sequence[str]], threads: int, faults: Sequence[str]) -> str:
    """Return the result file, in Markdown."""
    table = ["| what | seconds | GB | asked anew | limit |", "|---|---|---|---|---|"]
    table += [f"| {' | '.join(row)} |" for row in rows]
    verdict = "No limit is broken." if not faults else "Broken: " + "; ".join(faults) + "."
    return "\n".join(
        [
            "# Analysis and report at scale: `python benchmarks/analysis_scale.py`",
            "",
            f"{what}; {threads} threads. {versions()}.",
            "",
            *table,
            "",
            f"{verdict} Each stage is a process of its own, start and imports included.",
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the made-up run goes; default: a temporary one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="Markdown file for the results")
    parser.add_argument("--stage", choices=("analyze", "report"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        stage(options.stage, options.folder, options.threads)
        return 0
    limit = f"{MOST_SECONDS:g} s, {MOST_GB:g} GB, nothing asked"
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        rows = descriptions()
        write_jsonl(RunDirectory.of(recipe(folder)).seed(0).descriptions, rows)
        what = (
            f"{CLASSES:,} classes × {QUESTIONS} questions, {len(rows):,} descriptions (half of them aligned), "
            f"{CLASSES * TEST_IMAGES:,} images, D {DIM}"
        )
        taken, lines = [], []
        for title, name in (("analyze, caches empty", "analyze"), ("analyze, cached", "analyze"), ("report", "report")):
            one = measured(name, folder, options.threads)
            taken.append(one)
            asked = ", ".join(f"{count:,} {kind}" for kind, count in one.asked.items() if count) or "nothing"
            bound = limit if taken[1:] else "none"
            lines.append((title, f"{one.seconds:.1f}", f"{one.gigabytes:.2f}", asked, bound))
            print(f"{what} | {options.threads} threads | " + " | ".join(lines[-1]), flush=True)
        page = RunDirectory.of(recipe(folder)).report
        times = open_page(page)
        size = f"{page.stat().st_size / 2**20:.1f} MB"
    if times is None:
        print("page: no Chromium on this machine")
    else:
        spread = f"{min(times):.2f} to {max(times):.2f} ({len(times)} fresh browsers)"
        lines.append(
            (f"page of {size} in Chromium, its first 50 rows shown", spread, "–", "–", f"{MOST_SECONDS_PAGE:g} s")
        )
        print(" | ".join(lines[-1]))
    faults = broken(taken[1], taken[2], times)
    for fault in faults:
        print(f"broken: {fault}", file=sys.stderr)
    if options.out:
        write_text(options.out, summary(what, lines, options.threads, faults))
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main())
