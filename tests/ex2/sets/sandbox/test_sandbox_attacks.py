"""Hostile programs inside the sandbox, none of which is looked at before it runs; and the same eyes on real escapes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from canary import SANDBOX_PROCESSES, Canary, canary, processes_below, sleepers, wait_until
from hostile_programs import ATTACKS, GUARD, HARMLESS, Attack
from paths import ROOT
from sandboxes import needs_sandbox, needs_tikz

from ex2.sets.sandbox.inside.jobs import Job
from ex2.sets.sandbox.languages.base import language_named
from ex2.sets.sandbox.outcomes import Outcome
from ex2.sets.sandbox.worker import Worker

MEMORY = 1 << 30
LATE = 15.0
"""Seconds beyond its limit in which a job's end is seen on a machine that does much else."""
LANGUAGES = ("svg", "turtle", "matplotlib", "tikz")


@pytest.fixture(scope="module", params=LANGUAGES)
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    needs_sandbox()
    if request.param == "tikz":
        needs_tikz()
    with Worker(language_named(request.param)) as made:
        yield made


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[Canary]:
    with canary(tmp_path / "bait") as made:
        yield made


def job(code: str, seconds: float = 20.0) -> Job:
    return Job(code, size=64, seed=7, seconds=seconds, memory=MEMORY)


def left_and_right(outcome: Outcome) -> tuple[tuple[int, ...], tuple[int, ...]]:
    assert outcome.status == "drawn", outcome
    assert outcome.image is not None
    assert outcome.image.size == (64, 64)
    pixels = [outcome.image.getpixel((x, 32)) for x in (12, 52)]
    return tuple(pixels[0]), tuple(pixels[1])  # type: ignore[arg-type]


def check_harmless(worker: Worker) -> None:
    left, right = left_and_right(worker.run(job(HARMLESS[worker.language.name])))
    assert left == (255, 0, 0)
    assert right == ((0, 0, 255) if worker.language.name == "tikz" else (255, 255, 255))


def attack_problems(worker: Worker, attack: Attack, bait: Canary) -> list[str]:
    assert worker.kind == "bubblewrap", "attacks are run in the sandbox only"
    begun = time.monotonic()
    outcome = worker.run(job(bait.filled(attack.code), attack.seconds))
    took = time.monotonic() - begun
    problems = [f"{attack.name}: {what}: {outcome.message}" for what in bait.escapes(outcome)]
    if outcome.status not in attack.statuses:
        problems.append(f"{attack.name}: {outcome.status}, not {attack.statuses}: {outcome.message}")
    if took > attack.seconds + LATE:
        problems.append(f"{attack.name}: took {took:.1f} of {attack.seconds} s")
    if sleepers(bait.nap):
        problems.append(f"{attack.name}: left a process that sleeps")
    if not wait_until(lambda: len(processes_below(worker.pid)) <= SANDBOX_PROCESSES, LATE):
        problems.append(f"{attack.name}: left {processes_below(worker.pid)}")
    return problems


def test_no_attack_gets_out_and_harmless_programs_are_drawn(worker: Worker, bait: Canary) -> None:
    check_harmless(worker)
    problems = []
    for attack in ATTACKS:
        if attack.language == worker.language.name:
            problems += attack_problems(worker, attack, bait)
    assert problems == []
    check_harmless(worker)


def test_there_are_attacks_of_each_language() -> None:
    assert len(ATTACKS) >= 60
    assert {attack.language for attack in ATTACKS} == set(LANGUAGES)
    assert len({(attack.language, attack.name) for attack in ATTACKS}) == len(ATTACKS)
    counts = [sum(attack.language == name for attack in ATTACKS) for name in ("turtle", "matplotlib", "svg", "tikz")]
    told = "runs the {} programs of `tests/support/hostile_programs.py`: {} in Python with turtle, {} with matplotlib, "
    told += "{} in SVG, {} in TikZ."
    assert told.format(len(ATTACKS), *counts) in " ".join((ROOT / "docs/sandbox.md").read_text().split())


@pytest.mark.parametrize("attack", ATTACKS, ids=[f"{attack.language}: {attack.name}" for attack in ATTACKS])
def test_what_the_policy_says(attack: Attack) -> None:
    """What it refuses is never run; what it lets through ran above, like all the rest."""
    reasons = language_named(attack.language).policy(attack.code)
    assert (attack.verdict == "refused") == bool(reasons), reasons


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_policy_lets_harmless_programs_through(language: str) -> None:
    assert language_named(language).policy(HARMLESS[language]) == []


# --- the same checks see what gets out where there is no sandbox: harmless programs, run with this user's rights ---

TWINS = {
    "open": ["read the file"],
    "open by os": ["read the file"],
    "io of a class's globals": ["read the file"],
    "import by parts": ["read the folder"],
    "glob": ["read the folder"],
    "environment of the parent": ["read the environment"],
    "pickle": ["read the file"],
    "write": ["wrote"],
    "append": ["wrote"],
    "touch by a shell": ["wrote"],
    "connection": ["says so", "connected"],
    "address": ["connected"],
    "absolute path": ["read the image"],
    "path upward": ["read the image"],
    "numpy.fromfile": ["read the file"],
    "imread": ["read the image"],
}


@pytest.fixture(scope="module", params=["turtle", "svg", "matplotlib"])
def bare_worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with Worker(language_named(request.param), "none") as made:
        yield made


def test_twin_without_a_sandbox_the_checks_see_what_gets_out(bare_worker: Worker, tmp_path: Path) -> None:
    seen, expected = {}, {}
    for number, attack in enumerate(ATTACKS):
        if attack.name in TWINS and attack.language == bare_worker.language.name:
            assert not attack.code.startswith(GUARD)
            with canary(tmp_path / str(number)) as bait:
                found = bait.escapes(bare_worker.run(job(bait.filled(attack.code), 3.0)))
            seen[attack.name], expected[attack.name] = found, TWINS[attack.name]
    assert seen == expected
    assert len(seen) >= 2


def test_twin_a_process_that_stays_is_seen(tmp_path: Path) -> None:
    quiet = "stdout=-3, stderr=-3, start_new_session=True"
    code = f"import subprocess\nsubprocess.Popen(['sleep', '{{nap}}'], {quiet})\nimport turtle\nturtle.dot(9)\n"
    with Worker(language_named("turtle"), "none") as bare, canary(tmp_path / "bait") as bait:
        try:
            assert bare.run(job(bait.filled(code))).status == "drawn"
            assert len(sleepers(bait.nap)) == 1
        finally:
            for process in sleepers(bait.nap):
                process.kill()


def test_twin_a_guarded_attack_ends_at_once_outside() -> None:
    with Worker(language_named("turtle"), "none") as bare:
        outcome = bare.run(job(f"{GUARD}raise RuntimeError('ran')"))
    assert outcome.status == "error"
    assert "status 99" in outcome.message
