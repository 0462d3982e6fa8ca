"""What the process does that test_judge_killed.py kills."""

from pathlib import Path

from analysis.judge.server.client import OpenAIJudge
from analysis.verdicts.asking import judge_descriptions
from ex2.run.descriptions import DescribedClass


def work(url: str, folder: Path, count: int) -> None:
    """Judge `count` descriptions."""
    judge = OpenAIJudge("m", url, cache=str(folder / "c.sqlite"), folder=folder, concurrency=8)
    rows = [DescribedClass("oak", f"text {number}") for number in range(count)]
    judge_descriptions(judge, rows, folder / "verdicts.jsonl", digest="d")
