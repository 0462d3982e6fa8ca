"""Print how many times slower than the reference machine this one is now, at least 1.00: budgets are stretched by it.

Both cores count, each with the same plain Python. Reference: two cores of an AMD EPYC, quiet, 28 November 2026.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

REFERENCE_SECONDS = 0.60
WORK = "x = 0\nfor n in range(6_000_000):\n    x = (x * 31 + n) & 0xFFFF\n"


def seconds() -> float:
    """Time two interpreters side by side."""
    start = time.perf_counter()
    processes = [subprocess.Popen([sys.executable, "-c", WORK]) for _ in range(2)]
    for process in processes:
        process.wait()
    return time.perf_counter() - start


if __name__ == "__main__":
    print(f"{max(1.0, statistics.median(seconds() for _ in range(5)) / REFERENCE_SECONDS):.2f}")
