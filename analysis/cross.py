"""`ex2 cross`: how well each VLM classifies with descriptions that were aligned to another (the paper's Table 6).

The accuracies are kept beside the descriptions, in `seed-<n>/cross.json`, so that a second call loads no VLM.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.accuracy.cross_record import AgainstOwn, Cross, CrossRow
from analysis.accuracy.measure import accuracy
from analysis.accuracy.record import Accuracy, Arm, Hits
from analysis.accuracy.zero_shot import unpack_correct
from analysis.paper.comparisons import cross_tables
from analysis.results.load import SeedResult, settings_of
from analysis.results.runs import (
    CROSS,
    Run,
    aligned_texts,
    experiment_of,
    gather_runs,
    stored_cross,
)
from analysis.statistics.intervals import IntervalSettings
from analysis.statistics.paired import paired_accuracy
from analysis.tables.rules import Rules
from analysis.tables.terminal import print_left_out, print_table
from ex2.banks import test_embeddings
from ex2.run.descriptions import LabeledText, digest_of
from ex2.run.lock import writing_into
from ex2.run.made import TEST_IMAGES
from ex2.run.manifest import read_manifest
from ex2.run.sealed import write_sealed
from reward.errors import UserError
from reward.image_bank import ImageEmbeddings
from reward.presets import load_vlm
from reward.terminal import PlainConsole


@dataclass(frozen=True)
class Classifier:
    """A VLM on a dataset's test images, as some run measured it.

    Attributes:
        run: The run whose recipe loads it.
        runs: All runs on the same dataset that were measured with it; their descriptions are its own.
    """

    run: Run
    runs: tuple[Run, ...]

    @property
    def accuracy(self) -> Accuracy:
        """The accuracies that the analysis recorded with the VLM."""
        return self.run.results[0].accuracy

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the VLM's weights."""
        return _fingerprint(self.run)

    @property
    def images(self) -> str:
        """Hash of which test images the templates get right with the VLM; it changes if the images do."""
        templates = self.accuracy.arm("templates")
        assert templates is not None, "templates are there without any description"
        return digest_of([(templates.top1.n, templates.top1.correct_bits)])


def main(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: `runs`.

    Returns:
        0.

    Raises:
        UserError: If no two runs share a dataset and differ in the VLM, or a VLM or dataset changed since its
            analysis.
    """
    runs, left_out = gather_runs(options.runs)
    groups = [group for group in by_dataset(runs) if len({_fingerprint(run) for run in group}) > 1]
    if not groups:
        given = "; ".join(f"{run.recipe.name}: {_described(run)}" for run in runs)
        problem = (
            f"ex2 cross: needs two runs of different VLMs on the same dataset and split, given {given}. Analyse "
            "another VLM on one of these datasets."
        )
        raise UserError("\n".join([problem, *(f"ex2 cross: left out: {line}" for line in left_out)]))
    seeds = [run.directory.seed(result.seed).root for run in runs for result in run.results]
    with writing_into(seeds, "cross"):
        for group in groups:
            for classifier in classifiers_of(group):
                fill(classifier, group)
    console = PlainConsole(highlight=False)
    print_left_out("cross", runs, left_out, console)
    experiments = [experiment_of(run) for group in groups for run in group]
    for table in cross_tables(experiments, Rules()):
        print_table(table, console)
    return 0


def by_dataset(runs: Sequence[Run]) -> list[list[Run]]:
    """Group runs whose accuracies are of the same dataset, split and number of classes and images."""
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        first = run.results[0].accuracy
        groups.setdefault((first.dataset, first.split, first.classes, first.images), []).append(run)
    return list(groups.values())


def classifiers_of(group: Sequence[Run]) -> list[Classifier]:
    """Return a classifier for each distinct VLM of a group of runs."""
    found: dict[str, list[Run]] = {}
    for run in group:
        found.setdefault(_fingerprint(run), []).append(run)
    return [Classifier(runs[0], tuple(runs)) for runs in found.values()]


def fill(classifier: Classifier, group: Sequence[Run]) -> None:
    """Write a classifier's accuracy with the descriptions of every run and seed, computing only what is missing.

    Args:
        classifier: One VLM.
        group: All runs on its dataset, the classifier's own included.

    Raises:
        UserError: If the VLM or the test images are not those of the analysis, or if a description's class is not in
            the dataset.
    """
    images: ImageEmbeddings | None = None
    settings = settings_of(classifier.run.results)
    vlm = None
    current = {_fingerprint(run) for run in group}
    for run in group:
        for result in run.results:
            texts = aligned_texts(result)
            if not texts:
                continue
            path = run.directory.seed(result.seed).root / CROSS
            row = own_row(classifier, result) if run in classifier.runs else stored_row(path, classifier, texts)
            if row is None:
                if vlm is None or images is None:
                    recipe = classifier.run.recipe
                    vlm = load_vlm(recipe.vlm.name, recipe.vlm.settings)
                    measured_on = test_embeddings(recipe.dataset.source(), vlm)
                    images = _images(classifier, vlm.fingerprint(), measured_on)
                _check_classes(result, run, images.class_names, classifier)
                measured = accuracy(vlm, images, {"aligned": texts}, settings).arms["aligned"]
                assert measured is not None, "there are texts"
                row = _row(classifier, measured)
            against = _against_own(classifier, run, result, row.hits, settings)
            _store(path, texts, replace(row, vlm=classifier.accuracy.vlm, against_own=against), current)


def own_row(classifier: Classifier, result: SeedResult) -> CrossRow | None:
    """Return the accuracy that the analysis measured if the descriptions were aligned to this VLM, else `None`."""
    measured = result.accuracy.arm("aligned")
    is_own = result.accuracy.vlm_fingerprint == classifier.fingerprint
    return _row(classifier, measured) if measured and is_own else None


def _row(classifier: Classifier, measured: Arm) -> CrossRow:
    """Return the row of a measured arm, without the comparison with the VLM's own descriptions."""
    return CrossRow(
        vlm=classifier.accuracy.vlm,
        fingerprint=classifier.fingerprint,
        images=classifier.images,
        hits=measured.top1,
        fallback_classes=measured.fallback_classes,
        against_own=None,
    )


def stored_row(path: Path, classifier: Classifier, texts: Sequence[LabeledText]) -> CrossRow | None:
    """Return the stored row for these descriptions, VLM and test images, or `None`."""
    wanted = (classifier.fingerprint, classifier.images)
    return next((row for row in stored_cross(path, texts) if (row.fingerprint, row.images) == wanted), None)


def _store(path: Path, texts: Sequence[LabeledText], row: CrossRow, current: Collection[str]) -> None:
    """Store a row beside other VLMs' rows; rows of the same name whose fingerprint no run has any more are removed."""
    others = [
        kept
        for kept in stored_cross(path, texts)
        if kept.fingerprint != row.fingerprint and (kept.vlm != row.vlm or kept.fingerprint in current)
    ]
    write_sealed(path, Cross(digest_of(texts), (*others, row)).to_json())


def _against_own(
    classifier: Classifier, run: Run, result: SeedResult, hits: Hits, settings: IntervalSettings
) -> AgainstOwn | None:
    """Compare with the classifier's own descriptions of the same seed, on the same images.

    Return `None` if the descriptions are the classifier's own, or if there are none of its own with this seed.
    """
    if run in classifier.runs:
        return None
    target = run.recipe.rl.kl.target
    ordered = sorted(classifier.runs, key=lambda own: own.recipe.rl.kl.target != target)  # an equal target first
    for own in ordered:
        for other in own.results:
            arm = other.accuracy.arm("aligned")
            kept = arm and arm.top1
            if other.seed == result.seed and kept and kept.n == hits.n:
                first, second = (unpack_correct(bits, kept.n) for bits in (hits.correct_bits, kept.correct_bits))
                paired = paired_accuracy(first, second, confidence=settings.confidence)
                return AgainstOwn(own.recipe.name, other.seed, paired, kept.correct_bits)
    return None


def _images(classifier: Classifier, fingerprint: str, images: ImageEmbeddings) -> ImageEmbeddings:
    where, seed = classifier.run.directory.root, classifier.run.results[0].seed
    problems = []
    if fingerprint != classifier.fingerprint:
        problems.append(f"{where}: VLM '{classifier.accuracy.vlm}' is not the one that was analysed.")
    analyzed = read_manifest(classifier.run.directory.seed(seed).root, "analyze")
    if analyzed is not None and analyzed.inputs.get(TEST_IMAGES) != images.images:
        problems.append(f"{where}: the test images are not those that were analysed.")
    elif len(images.labels) != classifier.accuracy.images:
        problems.append(
            f"{where}: the test split has {len(images.labels)} images, {classifier.accuracy.images} were analysed."
        )
    if problems:
        raise UserError("\n".join([*problems, "Run `ex2 analyze RECIPE` again, then ex2 cross."]))
    return images


def _check_classes(result: SeedResult, run: Run, names: Sequence[str], classifier: Classifier) -> None:
    for one in result.descriptions:
        if not 0 <= one.label < len(names) or names[one.label] != one.class_name:
            raise UserError(
                f"{run.directory.root}: seed {result.seed}: class '{one.class_name}' with label {one.label} is not in "
                f"the dataset of {classifier.run.directory.root}, whose classes are {', '.join(names[:5])}, …; give "
                "runs on the same dataset."
            )


def _fingerprint(run: Run) -> str:
    fingerprint = run.results[0].accuracy.vlm_fingerprint
    if fingerprint is None:
        raise UserError(
            f"{run.directory.root}: accuracy.json does not tell the VLM's weights; run `ex2 analyze RECIPE` again."
        )
    return fingerprint


def _described(run: Run) -> str:
    first = run.results[0].accuracy
    return f"{first.vlm} on {first.dataset}, split {first.split}, {first.images} images"
