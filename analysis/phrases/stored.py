"""What `ex2 phrases` keeps, and how tables, figures and pages read it: a row for each template and VLM."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.results.pooling import Difference, Pooled
from analysis.statistics.holm import correct
from ex2.run.descriptions import stored_descriptions
from ex2.run.directory import RunDirectory
from reward.files import JSON, read_json

RESULT = "phrases.json"
"""In a run's folder: the part of the last `ex2 phrases` that it took part in."""

FORMAT = 2

PLAIN_ORIGIN, FILE_ORIGIN = "the plain template", "given in a file"

EARLIER = "probe.json"
"""The same of a version whose verb was `ex2 probe`."""

AGAIN = "run `ex2 phrases` again"


@dataclass(frozen=True)
class Trial:
    """One template with one VLM.

    Attributes:
        dataset: As shown.
        template: With `{}` for the class name.
        vlm: As shown.
        accuracy: On the tested classes.
        change: Against the plain template on the same images, `p` before correction, `significant` after; `None` of
            the plain template itself.
        p: Corrected for the number of tests; `None` where nothing was tested.
        origin: Runs that it was mined from, or what else it is.
        kl: Of the run that it was mined from, from `stored_kl`; of several the one furthest off its target.
    """

    dataset: str
    template: str
    vlm: str
    accuracy: Pooled
    change: Difference | None
    p: float | None
    origin: str
    kl: JSON | None = None

    @property
    def source(self) -> str:
        """Where the template comes from, in words."""
        return self.origin if self.origin in (PLAIN_ORIGIN, FILE_ORIGIN) else f"mined from {self.origin}"

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `no significant difference`, `not tested`, or "" of the plain template."""
        if self.change is None:
            return ""
        if self.change.significant is None:
            return "not tested"
        if not self.change.significant:
            return "no significant difference"
        return "better" if self.change.value > 0 else "worse"


def descriptions_digest(directory: RunDirectory, seeds: Sequence[int]) -> str:
    """Return a hash of the descriptions of some seeds: what was mined from others is not taken for theirs."""
    content = [
        [seed, [[one.policy, *one.of_class] for one in stored_descriptions(directory.seed(seed))]] for seed in seeds
    ]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


def part_of(result: JSON, run: str) -> JSON:
    """Return what concerns one run: its dataset's part, under the run's name.

    Args:
        result: Content of `phrases.json`.
        run: Its name there.
    """
    datasets = [part for part in result["datasets"] if run in [one["run"] for one in part["runs"]]]
    return {**result, "own": run, "datasets": datasets}


def stored_phrases(directory: RunDirectory) -> tuple[JSON | None, str]:
    """Read what `ex2 phrases` left in a run's folder.

    Args:
        directory: Of the run.

    Returns:
        The content, or `None`; and why it cannot be used, "" if nothing is stored or nothing is wrong.
    """
    path = next((path for name in (RESULT, EARLIER) if (path := directory.root / name).exists()), None)
    if path is None:
        return None, ""
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT or "own" not in content:
        return None, f"{path}: not of this version; {AGAIN}."
    own = next(run for part in content["datasets"] for run in part["runs"] if run["run"] == content["own"])
    if own["texts"] is not None and own["texts"] != descriptions_digest(directory, own["seeds"]):
        return None, f"{path}: the descriptions changed since; {AGAIN}."
    return content, ""


def trials(datasets: Sequence[JSON]) -> list[Trial]:
    """Read the rows of some datasets' parts: by dataset, the plain template first, then by template and VLM.

    Args:
        datasets: Parts of `phrases.json`, p-values as stored.
    """
    rows = []
    for part in datasets:
        kls = {run["run"]: run["kl"] for run in part["runs"]}
        order = [part["plain_template"], *(row["template"] for row in part["templates"])]
        mined = {row["template"]: row["runs"] for row in part["templates"]}
        measured = [{**row, "template": part["plain_template"]} for row in part["plain"]] + part["results"]
        for row in sorted(measured, key=lambda row: order.index(row["template"])):
            change = None
            if "difference" in row:
                ends = row["difference_low"], row["difference_high"]
                n = row["n"]
                change = Difference(row["difference"], *ends, row.get("significant"), row["p"], n, 1, shared=True)
            runs = mined.get(row["template"], [])
            origin = "; ".join(runs) or (FILE_ORIGIN if change else PLAIN_ORIGIN)
            accuracy = Pooled(row["accuracy"], row["low"], row["high"], row["n"], 1, shared=True)
            kl = _furthest_off([kls[run] for run in runs])
            rows.append(
                Trial(part["dataset"], row["template"], row["vlm"], accuracy, change, row.get("p_holm"), origin, kl)
            )
    return rows


def corrected(rows: Sequence[Trial], level: float) -> list[Trial]:
    """Correct all p-values together by Holm's method: what was tested apart is shown together.

    Args:
        rows: From `trials`, of one or more files.
        level: Of the tests.
    """
    compared = [row.change for row in rows if row.change is not None and row.change.p is not None]
    tests = iter(correct([change.p for change in compared if change.p is not None], level))
    made = []
    for row in rows:
        if row.change is None or row.change.p is None:
            made.append(row)
            continue
        test = next(tests)
        made.append(replace(row, p=test.p, change=replace(row.change, significant=test.significant)))
    return made


def _furthest_off(kls: Sequence[JSON | None]) -> JSON | None:
    def distance(kl: JSON) -> float:
        return abs(kl["reached"]["value"] / kl["target"] - 1) if kl["target"] else -1.0

    return max((kl for kl in kls if kl and kl["reached"]), key=distance, default=None)
