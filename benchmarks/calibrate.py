"""Does EX2 find what was planted, and nothing where nothing was? Worlds with a known truth, and rules fixed beforehand.

    python benchmarks/calibrate.py [--full] [--only dose null …] [--out FOLDER]

Each question is a module of `benchmarks/calibration`, which says its rules and what must break them. Without `--full`
what fits into 45 minutes on two cores is run; with it, more runs, in about two and a half hours. A run that is done is
not done again, so that a call that was stopped is continued by the same one. Exits with 1 unless every rule holds and
each one's twin breaks it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from calibration import attribution, base_mix, dose, draws, judge_errors, null, stability
from calibration.answers import Answer
from calibration.runs import Job, run_all
from calibration.samples import base_texts
from calibration.worlds import World, weights
from common import processor

from reward.files import write_text


class Question(NamedTuple):
    """A question and what it takes; functions are given whether this is the full calibration.

    Attributes:
        jobs: Returns the runs that it needs, the most important first.
        answer: Answers from the runs that are done.
        worlds: Returns the worlds whose VLMs it needs.
    """

    jobs: Callable[[bool], Sequence[Job]]
    answer: Callable[[bool], Answer]
    worlds: Callable[[], Sequence[World]]


def _dose(full: bool) -> Answer:
    return dose.answer([(world, job) for world, job in dose.jobs(full) if job.is_done])


def _null(full: bool) -> Answer:
    return null.answer([each for each in null.jobs(full) if each[-1].is_done])


def _attribution(full: bool) -> Answer:
    done = [each for each in attribution.jobs(full) if each[-1].is_done]
    return attribution.answer(attribution.simulated(), attribution.trained(done), attribution.unmoved(done))


def _stability(full: bool) -> Answer:
    return stability.answer(
        [job for job in stability.jobs(full) if job.is_done], [job for job in stability.earlier() if job.is_done]
    )


def _visual() -> list[World]:
    return [dose.dose_world(1.0)]


QUESTIONS = {
    "null": Question(lambda full: [job for *_, job in null.jobs(full)], _null, _visual),
    "attribution": Question(lambda full: [job for *_, job in attribution.jobs(full)], _attribution, attribution.worlds),
    "dose": Question(lambda full: [job for _, job in dose.jobs(full)], _dose, dose.worlds),
    "draws": Question(lambda full: [], lambda full: draws.answer(), _visual),
    "base-mix": Question(lambda full: [], lambda full: base_mix.answer(), _visual),
    "judge-errors": Question(lambda full: [], lambda full: judge_errors.answer(judge_errors.simulated()), _visual),
    "stability": Question(lambda full: [*stability.earlier(), *stability.jobs(full)], _stability, lambda: []),
}
"""By name, for `--only`."""


def answer_one(name: str, full: bool) -> Answer:
    """Answer a question, in a process of its own."""
    torch.set_num_threads(1)
    return QUESTIONS[name].answer(full)


def made_on(minutes: float, earlier: int, runs: int) -> str:
    """Say on what machine, with what versions and how long."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl", "numpy"))
    kept = f", {earlier} of {runs} runs from an earlier call" if earlier else ""
    return f"{processor()}; {torch.backends.cpu.get_cpu_capability()}; {versions}; {minutes:.0f} minutes{kept}."


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="more runs, about two and a half hours")
    parser.add_argument("--only", nargs="+", choices=list(QUESTIONS), help="questions")
    parser.add_argument("--processes", type=int, default=2, help="runs at once")
    parser.add_argument("--out", type=Path, help="also write each answer into this folder, as Markdown")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    start, asked = time.monotonic(), options.only or list(QUESTIONS)
    plantings = dict.fromkeys(world.planting for name in asked for world in QUESTIONS[name].worlds())
    # New processes and no forks: torch has threads by now.
    with ProcessPoolExecutor(options.processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        list(pool.map(weights, plantings))
        pool.submit(base_texts).result()
    jobs = [job for name in asked for job in QUESTIONS[name].jobs(options.full)]
    earlier = sum(job.is_done for job in jobs)
    run_all(jobs, options.processes)
    shown = []
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        answers = pool.map(answer_one, asked, [options.full] * len(asked))
        for name, answer in zip(asked, answers, strict=True):  # each as it comes: a later one may fail
            head = made_on((time.monotonic() - start) / 60, earlier, len(jobs))
            text = (
                f"{answer.to_markdown()}\n\n`benchmarks/calibrate.py --only {name}{' --full' * options.full}`; {head}\n"
            )
            print(text, flush=True)
            if options.out:
                write_text(options.out / f"{name}.md", text)
            shown.append(answer.shown)
    return 0 if all(shown) else 1


if __name__ == "__main__":
    sys.exit(main())
