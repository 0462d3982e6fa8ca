"""The results of `ex2 phrases` as tables, figures and pages show them: a row for each template and VLM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.phrases.record import DatasetPhrases
from analysis.results.kl import KLReached
from analysis.results.pooling import Difference, Pooled
from analysis.results.wording import verdict_words
from analysis.statistics.holm import holm_tests
from analysis.statistics.intervals import Estimate

PLAIN_ORIGIN, FILE_ORIGIN = "the plain template", "given in a file"


@dataclass(frozen=True)
class Trial:
    """A row: one template with one VLM.

    Attributes:
        dataset: Shown name of the dataset.
        template: The template, with `{}` for the class name.
        vlm: Shown name of the VLM.
        accuracy: Accuracy on the tested classes.
        change: Accuracy minus the plain template's on the same images, with `p` before and `significant` after
            correction; `None` for the plain template itself.
        p: p-value corrected for the number of tests; `None` where nothing was tested.
        origin: Runs that the template was mined from, or where else it is from.
        kl: KL of the run that the template was mined from; with several runs, the KL furthest off its target. `None` if
            it is not known.
    """

    dataset: str
    template: str
    vlm: str
    accuracy: Pooled
    change: Difference | None
    p: float | None
    origin: str
    kl: KLReached | None = None

    @property
    def source(self) -> str:
        """Where the template comes from, in words."""
        return self.origin if self.origin in (PLAIN_ORIGIN, FILE_ORIGIN) else f"mined from {self.origin}"

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `not tested` or `verdict_words` of the change; "" for the plain template."""
        if self.change is None:
            return ""
        if self.change.significant is None:
            return "not tested"
        if not self.change.significant:
            return verdict_words(self.change)
        return "better" if self.change.value > 0 else "worse"


def trials(datasets: Sequence[DatasetPhrases]) -> list[Trial]:
    """Return the rows of some datasets, ordered by dataset, template and VLM; the plain template is first.

    Args:
        datasets: Datasets of `phrases.json`; p-values stay as they were corrected there.
    """
    return [row for part in datasets for row in _trials(part)]


def _trials(part: DatasetPhrases) -> list[Trial]:
    kls = {run.run: run.kl for run in part.runs}
    order = [template.template for template in part.templates]
    mined = {template.template: template.runs for template in part.templates}
    rows = [
        Trial(part.dataset, part.plain_template, plain.vlm, _pooled(plain.accuracy), None, None, PLAIN_ORIGIN)
        for plain in part.plain
    ]
    for test in sorted(part.results, key=lambda test: order.index(test.template)):
        paired, runs = test.paired, mined[test.template]
        change = Difference(
            paired.difference, paired.low, paired.high, test.significant, paired.p, paired.n, 1, shared=True
        )
        origin, kl = "; ".join(runs) or FILE_ORIGIN, _furthest_off([kls[run] for run in runs])
        rows.append(
            Trial(part.dataset, test.template, test.vlm, _pooled(test.accuracy), change, test.p_holm, origin, kl)
        )
    return rows


def _pooled(accuracy: Estimate) -> Pooled:
    return Pooled(accuracy.value, accuracy.low, accuracy.high, accuracy.n, 1, shared=True)


def corrected(rows: Sequence[Trial], alpha: float) -> list[Trial]:
    """Correct all p-values together by Holm's method, because tests from several calls are shown together.

    Args:
        rows: Rows from `trials`, of one or more files.
        alpha: Level of the tests, in (0, 1).
    """
    compared = [row.change for row in rows if row.change is not None and row.change.p is not None]
    tests = iter(holm_tests([change.p for change in compared if change.p is not None], alpha))
    made = []
    for row in rows:
        if row.change is None or row.change.p is None:
            made.append(row)
            continue
        test = next(tests)
        made.append(replace(row, p=test.p, change=replace(row.change, significant=test.significant)))
    return made


def _furthest_off(kls: Sequence[KLReached | None]) -> KLReached | None:
    def distance(kl: KLReached) -> float:
        return abs(kl.mean.value / kl.target - 1) if kl.target else -1.0

    return max((kl for kl in kls if kl), key=distance, default=None)
