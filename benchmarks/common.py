"""One line per measurement: what, size, device, median, spread; and what it was measured on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch


def measure(what: str, size: str, run: Callable[[], object], *, repeats: int = 20, warm_up: int = 3) -> float:
    """Time `run`, print one line, and return the median in seconds."""
    for _ in range(warm_up):
        run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    median = statistics.median(times)
    low, high = min(times), max(times)
    print(
        f"{what} | {size} | {device()} | median {_unit(median)} | {_unit(low)} to {_unit(high)} over {repeats}",
        flush=True,
    )
    return median


def device() -> str:
    """Hardware, threads and library version."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU {platform.machine()}"
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def processor(info: Path = Path("/proc/cpuinfo")) -> str:
    """Name the machine's cores and processor, as Linux does in `info`; elsewhere by its architecture."""
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {names[0] if names else platform.processor() or platform.machine()}"


def _unit(seconds: float) -> str:
    return (
        f"{seconds * 1e6:.1f} µs"
        if seconds < 1e-3
        else f"{seconds * 1e3:.2f} ms"
        if seconds < 1
        else f"{seconds:.2f} s"
    )
