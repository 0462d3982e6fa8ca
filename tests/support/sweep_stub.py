"""What a sweep's tests run in place of `ex2 run`: counts its starts and ends, and leaves the last result.

    python sweep_stub.py COUNTS RESULT MODE SECONDS

MODE is `ok`, `fail-once` or `sleep`; lines go to COUNTS/starts and COUNTS/ends, one per attempt.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")


def main() -> int:
    counts, result, mode, seconds = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])
    label = f"{result.parent.parent.name}/{result.parent.name}"
    append(counts / "starts", f"{label} {os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '-')}")
    if mode == "fail-once" and (counts / "starts").read_text().count(label) == 1:
        print("working")
        print("ex2: the judge does not answer", file=sys.stderr)
        return 1
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.02)
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text("{}")
    append(counts / "ends", label)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
