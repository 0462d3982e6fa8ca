"""Judges descriptions in forked children, so that a test may kill them without paying for imports each time.

Reads lines `URL FOLDER COUNT`; prints the child's process id, then its exit status (minus the signal that ended it).
"""

import os
import sys
import traceback
from pathlib import Path

from analysis.judge.client import OpenAIJudge
from analysis.judging import judge_descriptions


def work(url: str, folder: Path, count: int) -> None:
    judge = OpenAIJudge("m", url, cache=str(folder / "c.sqlite"), folder=folder, concurrency=8)
    rows = [{"class": "oak", "text": f"text {number}"} for number in range(count)]
    judge_descriptions(judge, rows, folder / "verdicts.jsonl", digest="d")


for line in sys.stdin:
    url, folder, count = line.split()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work(url, Path(folder), int(count))
            status = 0
        finally:
            if status:
                traceback.print_exc()
                sys.stderr.flush()
            os._exit(status)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
