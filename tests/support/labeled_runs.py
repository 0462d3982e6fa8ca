"""Runs that have been described, for tests of labelling."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from analysis.labeling.sample import Sample, draw, open_sample, read_frame, sample_path
from analysis.labeling.server import open_session
from analysis.labeling.session import Session
from ex2.run.directory import RunDirectory
from reward.files import append_jsonl, write_json


def make_run(folder: Path, texts: dict[int, list[str]] | None = None) -> Path:
    """A run that has been described; by default 30 descriptions of each policy, one of them empty, in two seeds."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text("name: fabricated\n")
    by_seed = texts or {seed: [f"text {seed} {i}" for i in range(29)] + [" \n"] for seed in (0, 3)}
    for seed, found in by_seed.items():
        rows = [
            {"class": "pug", "label": 0, "policy": policy, "text": text, "reward": 31.4159}
            for policy in ("aligned", "base")
            for text in found
        ]
        append_jsonl(RunDirectory(folder).seed(seed).descriptions, rows)
    return folder


def simple_sample(run: Path, n: int, seed: int | None = None) -> Sample:
    """The run's sample as versions drew it that knew no strata, which `open_sample` keeps and extends."""
    if not sample_path(run).exists():
        write_json(sample_path(run), draw(read_frame(run), n, seed or 0).to_json())
    return open_sample(run, n, seed)


def options(*runs: Path, **more: Any) -> Namespace:
    given = {"runs": list(runs), "n": 5, "seed": None, "rater": "anna", "rubric": "paper"}
    return Namespace(**given | {"host": "127.0.0.1", "port": 0, "open": False} | more)


def session_of(*runs: Path, n: int = 5, rater: str = "anna") -> Session:
    return open_session(options(*runs, n=n, rater=rater))


def give(session: Session, *answers: Any) -> None:
    for answer in answers:
        ask = session.state()["ask"]
        session.answer(ask["key"], ask["question"], answer)
