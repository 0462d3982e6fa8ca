"""How fast image sets are measured, and in how much memory.

    python benchmarks/image_set_speed.py [--only cler loop scale] [--out FILE.md]

* `cler`: CLER from cached embeddings, 1,000 test images of 20 classes. Must take less than a millisecond.
* `loop`: from files to CLER, beside the loop of GenBench's published code (one image opened, preprocessed and encoded
  at a time, then class means and the nearest of them), alternated in this run: with the demo's VLM, where it must be
  ten times as fast, and with open_clip's ViT-B/32, whose weights are random here. Once with an empty cache, and once
  more, as when another metric or set is measured: the published loop keeps nothing.
* `scale`: a set of 10,000 and of 100,000 drawn images, each in a process of its own: drawn, measured (bank, CLER,
  probe) and measured again from the bank. Anonymous memory must not grow with the number of images by more than
  `MOST_GROWN` bytes an image, which is what one row of a set's log takes; and the probe alone at 512 dimensions.

Ends with status 1 unless all of it holds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple

import open_clip
import torch
from common import processor
from PIL import Image

from analysis.images.given import GivenSet
from analysis.images.measure import Measuring, measure_sets
from analysis.images.probe import choose_l2, fit
from analysis.images.resampling import SetImages, TestImages, measured
from ex2.data.datasets.base import ImageFile, open_dataset
from ex2.recipe import Component
from ex2.set_recipe import Measure
from ex2.sets.draw import SetPlan, draw_set, requests_for
from ex2.sets.generators.base import Generator, build_generator
from reward import image_bank
from reward.embedding import Loading
from reward.files import write_text
from reward.image_sets.centers import class_centers, predict
from reward.presets import load_vlm
from reward.vlm import VLM, PixelVLM

MOST_SECONDS = 1e-3
LEAST_TIMES = 10.0
MOST_GROWN = 4096
"""Bytes of anonymous memory for each further image."""
SIZES = (10_000, 100_000)
PER_CLASS = 20


class Finding(NamedTuple):
    """A row of the result: what, what was measured, what must hold, and whether it does (None: nothing must)."""

    what: str
    found: str
    bound: str
    holds: bool | None


def unit(rows: int, dim: int, seed: int) -> torch.Tensor:
    """Return random unit embeddings."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, dim, generator=generator), dim=1)


def cler() -> Iterator[Finding]:
    """Time CLER from cached embeddings."""
    classes = tuple(map(str, range(20)))
    test = TestImages(unit(1000, 512, 0), torch.arange(1000) % 20, classes)
    images = SetImages(unit(20 * PER_CLASS, 512, 1), torch.arange(20).repeat_interleave(PER_CLASS))
    times = []
    for _ in range(220):
        start = time.perf_counter()
        measured(images, test)
        times.append(time.perf_counter() - start)
    taken = median(times[20:])
    yield Finding(
        "CLER from cache, 1,000 test images × 20 classes, 20 images a class, 512 dimensions",
        f"median {taken * 1e3:.2f} ms, fastest {min(times) * 1e3:.2f} ms of 200",
        f"< {MOST_SECONDS * 1e3:g} ms",
        taken < MOST_SECONDS,
    )


def set_plan(name: str, generator: Generator, names: Sequence[str], per_class: int) -> SetPlan:
    """Return what a set of the demo's classes is to be."""
    requests = requests_for(names, per_class, 0)
    return SetPlan(name=name, generator=generator, class_names=tuple(names), requests=requests, seed=0)


def files_of(folder: Path, names: Sequence[str], per_class: int, test: int) -> tuple[list[Path], list[int], list[Path]]:
    """Draw a set and write test images as files; return the set's paths and labels, and the test images' paths."""
    generator = build_generator("toy", {"knows": list(names)})
    found = draw_set(set_plan("speed", generator, names, per_class), folder, progress=False)
    paths = []
    for number, image in enumerate(list(open_dataset("shapes", {}).images("test"))[:test]):
        path = folder / f"test-{number:04d}.png"
        image.open().save(path)
        paths.append(path)
    return [found.folder / row.file_name for row in found.rows], [row.label for row in found.rows], paths


def loop_of_one(vlm: PixelVLM, paths: Sequence[Path], labels: Sequence[int], test: Sequence[Path]) -> torch.Tensor:
    """Predict as GenBench's code does: one image at a time."""
    with torch.no_grad():

        def encoded(path: Path) -> torch.Tensor:
            with Image.open(path) as image:
                pixels = vlm.pixels(image.convert("RGB"))
            return vlm.encode_pixels(pixels.unsqueeze(0))

        images, wanted = torch.cat([encoded(path) for path in paths]), torch.tensor(labels)
        means = torch.stack([images[wanted == label].mean(0) for label in sorted(set(labels))])
        centers = torch.nn.functional.normalize(means, dim=1)
        return torch.cat([encoded(path) @ centers.T for path in test]).argmax(1)


def ours(
    vlm: VLM, paths: Sequence[Path], labels: Sequence[int], test: Sequence[Path], names: Sequence[str], cache: Path
) -> torch.Tensor:
    """Predict by EX2's own functions."""

    def bank(of: Sequence[Path], given: Sequence[int], classes: Sequence[str]) -> torch.Tensor:
        images = [ImageFile(path, label) for path, label in zip(of, given, strict=True)]
        return image_bank.image_embeddings(
            vlm, images, classes, cache=cache, where="speed", loading=Loading()
        ).embeddings.clone()

    embeddings = bank(paths, labels, names)
    tested = bank(test, [0] * len(test), ["any"])
    return predict(tested, class_centers(embeddings, torch.tensor(labels), names))


def opened(vlm: PixelVLM, paths: Sequence[Path]) -> None:
    """Read, decode and preprocess alone, which no way from files to a number can do without."""
    for path in paths:
        with Image.open(path) as image:
            vlm.pixels(image.convert("RGB"))


def random_vit() -> PixelVLM:
    """Return open_clip's ViT-B/32 with random weights."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/weights.pt"
        torch.save(open_clip.create_model("ViT-B-32", pretrained=None).state_dict(), path)
        return load_vlm(
            "open_clip",
            {"model": "ViT-B-32", "pretrained": path, "device": "cpu", "context_length": 77, "image_size": 224},
        )


def loop() -> Iterator[Finding]:
    """Time both ways from files to predictions, in turn."""
    names = open_dataset("shapes", {}).class_names
    for title, vlm, per_class, test, repeats, bound in (
        ("demo-visual", load_vlm("demo-visual", {}), PER_CLASS, 960, 5, LEAST_TIMES),
        ("open_clip ViT-B/32, random weights", random_vit(), 2, 64, 3, None),
    ):
        with tempfile.TemporaryDirectory() as folder:
            paths, labels, tested = files_of(Path(folder), names, per_class, test)
            times: dict[str, list[float]] = {}
            found: dict[str, torch.Tensor] = {}
            for _ in range(repeats):
                with tempfile.TemporaryDirectory() as cache:
                    own = partial(ours, vlm, paths, labels, tested, names, Path(cache))
                    for way, run in (
                        ("loop", partial(loop_of_one, vlm, paths, labels, tested)),
                        ("first", own),
                        ("again", own),
                        ("opened", partial(opened, vlm, [*paths, *tested])),
                    ):
                        start = time.perf_counter()
                        found[way] = run()
                        times.setdefault(way, []).append(time.perf_counter() - start)
        slow, first, again, least = (median(times[way]) for way in ("loop", "first", "again", "opened"))
        alike = [float((found["loop"] == found[way]).double().mean()) for way in ("first", "again")]
        number = len(paths) + len(tested)
        for way, taken in (("that were never seen", first), ("whose embeddings are in the bank", again)):
            yield Finding(
                f"from {number:,} files {way} to CLER, {title}",
                f"one at a time {slow:.2f} s, EX2 {taken:.3f} s: {slow / taken:.1f} times as fast; opening and "
                f"preprocessing alone take {least:.2f} s on one core; {min(alike):.1%} of predictions alike; "
                f"medians of {repeats}",
                "–" if bound is None else f"≥ {bound:g} times, the same predictions",
                None if bound is None else slow / taken >= bound and min(alike) > 0.995,
            )


@contextmanager
def most_memory() -> Iterator[Callable[[], float]]:
    """Yield what tells the most anonymous memory of this process since the block began, in bytes above the start."""
    ended, most = threading.Event(), [0.0]

    def anonymous() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    def watch() -> None:
        while not ended.wait(0.02):
            most[0] = max(most[0], anonymous())

    before = anonymous()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: max(most[0], anonymous()) - before
    finally:
        ended.set()
        watcher.join()


def at_size(number: int, folder: Path) -> dict[str, tuple[float, float]]:
    """Draw a set of so many images and measure it twice; return seconds and bytes of each step."""
    names = open_dataset("shapes", {}).class_names
    found: dict[str, tuple[float, float]] = {}

    def step(what: str, run: Callable[[], object]) -> None:
        with most_memory() as bytes_:
            start = time.perf_counter()
            run()
            found[what] = time.perf_counter() - start, bytes_()

    generator = build_generator("toy", {"knows": list(names), "error": {"pattern": 0.5}})

    def draw(per_class: int, name: str) -> Path:
        return draw_set(set_plan(name, generator, names, per_class), folder, progress=False).folder

    def measure(place: Path) -> None:
        settings = Measure(metrics=("cler", "probe"), bootstrap_samples=200, permutations=99)
        dataset = Component(name="shapes")
        measure_sets(
            Measuring(
                "speed", Component(name="demo-visual"), dataset, "test", (GivenSet("speed", (place,)),), settings
            ),
            progress=False,
        )

    measure(draw(4, "first"))  # pays for imports, and for the bank of the test images
    places: list[Path] = []
    step("draw", lambda: places.append(draw(number // len(names), "speed")))
    step("measure from files", lambda: measure(places[0]))
    step("measure from the bank", lambda: measure(places[0]))
    return found | probe_at(number)


def probe_at(number: int, dim: int = 512, classes: int = 100) -> dict[str, tuple[float, float]]:
    """Fit the probe on so many embeddings that lie in a file."""
    labels = torch.arange(number) % classes
    with tempfile.TemporaryDirectory() as folder:
        path, middles = str(Path(folder, "rows")), unit(classes, dim, 0)
        rows = torch.from_file(path, shared=True, size=number * dim).view(number, dim)
        for start in range(0, number, 5000):
            of_part = labels[start : start + 5000]
            noisy = middles[of_part] + 1.5 * unit(len(of_part), dim, 1 + start)
            rows[start : start + 5000] = torch.nn.functional.normalize(noisy, dim=1)
        fit(rows[:1000], labels[:1000], classes, 1.0)
        with most_memory() as bytes_:
            start_time = time.perf_counter()
            fit(rows, labels, classes, choose_l2(rows, labels, classes).l2)
            return {f"probe alone, {dim} dimensions, {classes} classes": (time.perf_counter() - start_time, bytes_())}


def scale() -> Iterator[Finding]:
    """Measure sets of two sizes, each in a process of its own."""
    found = []
    for number in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--at", str(number), "--folder", folder]
            environment = os.environ | {"EX2_CACHE": f"{folder}/cache"}
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    small, large = found
    for what, (seconds, most) in large.items():
        few_seconds, few_most = small[what]
        grown = (most - few_most) / (SIZES[1] - SIZES[0])
        yield Finding(
            f"{what}: {SIZES[0]:,} and {SIZES[1]:,} images",
            f"{few_seconds:.1f} s and {seconds:.1f} s; {few_most / 2**20:.0f} MB and {most / 2**20:.0f} MB above the "
            f"start: {grown:,.0f} bytes a further image",
            f"≤ {MOST_GROWN:,} bytes a further image",
            grown <= MOST_GROWN,
        )


PARTS = {"cler": cler, "loop": loop, "scale": scale}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts")
    parser.add_argument("--out", type=Path, help="also write the result here, as Markdown")
    parser.add_argument("--at", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.at:
        print(f"\n{json.dumps(at_size(options.at, options.folder))}")
        return 0
    findings = []
    for name in options.only:
        for one in PARTS[name]():
            print(f"{one.what} | {one.found} | {one.bound} | {one.holds}", flush=True)
            findings.append(one)
    words = {True: "yes", False: "**no**", None: "–"}
    rows = [f"| {one.what} | {one.found} | {one.bound} | {words[one.holds]} |" for one in findings]
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "open_clip_torch", "numpy", "pillow"))
    text = "\n".join(
        [
            "# Image sets: time and memory",
            "",
            f"{processor()}; {torch.get_num_threads()} threads; Python {platform.python_version()}, {versions}; "
            f"`benchmarks/image_set_speed.py --only {' '.join(options.only)}`.",
            "",
            "| what | measured | must hold | holds |",
            "|---|---|---|---|",
            *rows,
        ]
    )
    if options.out:
        write_text(options.out, text + "\n")
    return 0 if all(one.holds is not False for one in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
