"""The stored result of `ex2 phrases`, read back from a run's folder."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.phrases.record import FORMAT, PhraseRun, Phrases
from ex2.run.descriptions import digest_of, stored_descriptions
from ex2.run.directory import RunDirectory
from ex2.run.sealed import check_sealed
from reward.files import read_record

RESULT = "phrases.json"
"""Name of the file in a run's folder that holds the run's part of the last `ex2 phrases` it took part in."""

EARLIER = "probe.json"
"""Name of the same file in an earlier version, whose command was `ex2 probe`."""

AGAIN = "run `ex2 phrases` again"


def descriptions_digest(directory: RunDirectory, seeds: Sequence[int]) -> str:
    """Return a hash of both policies' descriptions of some seeds."""
    content = [
        [seed, [[one.policy, *one.of_class] for one in stored_descriptions(directory.seed(seed))]] for seed in seeds
    ]
    return digest_of(content)


def stored_phrases(directory: RunDirectory) -> tuple[Phrases | None, str]:
    """Read the result that `ex2 phrases` stored in a run's folder.

    Args:
        directory: The run's directory.

    Returns:
        The run's part of `phrases.json`, or None if it cannot be used; and the reason in words, "" if nothing is stored
        or nothing is wrong.

    Raises:
        UserError: If the file is not JSON, or lacks what every version of its format holds.
    """
    path = next((path for name in (RESULT, EARLIER) if (path := directory.root / name).exists()), None)
    if path is None:
        return None, ""
    found = read_record(path, _of_this_version)
    check_sealed(path, AGAIN)
    if found is None:
        return None, f"{path}: not of this version; {AGAIN}."
    content, own = found
    if own.texts is not None and own.texts != descriptions_digest(directory, own.seeds):
        return None, f"{path}: the descriptions changed since; {AGAIN}."
    return content, ""


def _of_this_version(stored: object) -> tuple[Phrases, PhraseRun] | None:
    """Read one run's part, and the run in it; None if the file has another format or is not one run's part."""
    if not isinstance(stored, dict):
        raise TypeError("no object")
    if stored.get("format") != FORMAT or "own" not in stored:
        return None
    content = Phrases.from_json(stored)
    runs = [run for part in content.datasets for run in part.runs if run.run == content.own]
    if not runs:
        raise ValueError(f"no run {content.own}")
    return content, runs[0]
