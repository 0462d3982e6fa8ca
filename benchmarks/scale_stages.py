"""What `scale.py` measures: each stage writes files of made-up classes, images and descriptions, and reads them.

No image is made and no model loaded. `prepare` writes what `work` reads.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUESTIONS = 25
IMAGES_PER_CLASS = 200
"""Of each class."""
WORDS = (
    "fur",
    "wing",
    "bark",
    "leaf",
    "stripe",
    "spotted",
    "round",
    "tall",
    "river",
    "winter",
    "often",
    "found",
    "the",
)
FIRST = ("amber", "bold", "coral", "dusky", "early", "fawn", "grey", "hazel", "ivory", "jade")


def class_name(label: int) -> str:
    """Return a name of two or three words, some of which many classes share: "dusky ridge 017 finch"."""
    return f"{FIRST[label % 10]} kind{label // 10:04} {('finch', 'moth', 'rose')[label % 3]}"


def rows_of_images(classes: int) -> Iterator[tuple[str, str, str]]:
    """Yield path, class name and split of each image."""
    for index in range(IMAGES_PER_CLASS):
        for label in range(classes):
            yield f"images/{label:05}/{index:04}.jpg", class_name(label), "test" if index % 4 == 0 else "train"


def descriptions_of(classes: int, policies: Sequence[str]) -> Iterator[Any]:
    """Yield the 25 descriptions of each class: for every question, by each policy in turn."""
    from ex2.run.descriptions import Description

    draw = random.Random(0)
    for number in range(QUESTIONS):
        for label in range(classes):
            name = class_name(label)
            yield Description(
                policy=policies[number % len(policies)],
                class_name=name,
                label=label,
                text=f"The {name} is {' '.join(draw.choices(WORDS, k=20))} {number}.",
                question_id=number // len(policies),
                question=f"What does a {name} look like, asked in the manner {number}?",
                sample=0,
                seed=0,
                tokens=24,
                reward=draw.gauss(25, 2),
                vlm_cut=False,
            )


class Classes:
    """A dataset with names and without images."""

    splits = ("reward", "test")

    def __init__(self, classes: int) -> None:
        self.class_names = tuple(class_name(label) for label in range(classes))

    def images(self, split: str) -> list[Any]:
        return []


def recipe(folder: Path, classes: int, policies: Sequence[str] = ("base", "aligned")) -> Any:
    """Return a recipe whose dataset has names only."""
    from ex2.recipe import Recipe

    return Recipe.model_validate(
        {
            "name": "scale",
            "output_dir": str(folder / "runs"),
            "policy": {"model": "package:none"},
            "vlm": {"name": "demo-visual"},
            "dataset": {
                "name": "scale_stages.Classes",
                "classes": classes,
                "reward_split": "reward",
                "test_split": "test",
            },
            "describe": {"policies": list(policies)},
            "judge": {"name": "scale_stages.RuleJudge"},
        }
    )


class RuleJudge:
    """Says yes to two questions of three."""

    name, exact = "rule", False

    def answer(self, requests: Sequence[Any], on_answer: Callable[[Any, Any], None]) -> None:
        from analysis.judge.base import Verdict

        for number, request in enumerate(requests):
            on_answer(request, Verdict(number % 3 > 0, '{"explanation": "by rule"}'))


def write_manifest(folder: Path, classes: int) -> None:
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        writer.writerows(rows_of_images(classes))


def write_parquet(folder: Path, classes: int) -> None:
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet

    columns = zip(*rows_of_images(classes), strict=True)
    table = pyarrow.table(dict(zip(("path", "label", "split"), map(list, columns), strict=True)))
    parquet.write_table(table, folder / "manifest.parquet")


def open_manifest(folder: Path, classes: int) -> None:
    from ex2.data.selection import counts_by_class, load_dataset, reward_images
    from ex2.data.source import DatasetSource

    path = next(folder.glob("manifest.*"))
    source = DatasetSource("manifest", "train", "test", {"path": str(path)}, images_per_class=16, selection="random")
    dataset = load_dataset(source)
    assert len(dataset.class_names) == classes
    assert len(reward_images(source, dataset)) == 16 * classes
    test = dataset.images("test")
    assert len(test) == IMAGES_PER_CLASS // 4 * classes
    assert len(counts_by_class(test, dataset.class_names)) == classes


def nothing(folder: Path, classes: int) -> None:
    """Prepare nothing."""


def find_names(folder: Path, classes: int) -> None:
    from ex2.data.datasets.naming import class_name_problems
    from ex2.data.names_in_texts import ClassNames, describing_names
    from ex2.data.prompts import make_prompts

    names = [class_name(label) for label in range(classes)]
    assert not class_name_problems(names, "scale")
    assert len(make_prompts(names, "all")) == QUESTIONS * classes
    known = ClassNames(names)
    texts = [(one.label, one.text) for one in descriptions_of(classes, ("base", "aligned"))]
    assert all(known.named(text, label) for label, text in texts)
    describing_names(known, texts)
    assert all(class_name(1) in known.put(text, label, class_name(1)) for label, text in texts)


def write_finished(folder: Path, classes: int) -> None:
    _write_descriptions(folder, classes, ("base",))


def describe_again(folder: Path, classes: int) -> None:
    from ex2.describe import describe

    describe(recipe(folder, classes, ("base",)), 0)


def _write_descriptions(folder: Path, classes: int, policies: Sequence[str]) -> None:
    from ex2.run.directory import RunDirectory
    from reward.files import write_jsonl

    where = RunDirectory.of(recipe(folder, classes)).seed(0)
    write_jsonl(where.descriptions, (one.to_json() for one in descriptions_of(classes, policies)))


def write_described(folder: Path, classes: int) -> None:
    _write_descriptions(folder, classes, ("base", "aligned"))


def judge_all(folder: Path, classes: int) -> None:
    """Judge every description, and store the breakdown."""
    from analysis.judge.base import Judge
    from analysis.verdicts.asking import judge_descriptions
    from analysis.verdicts.breakdown import breakdown
    from analysis.verdicts.record import Breakdown, JudgeIdentity
    from analysis.verdicts.verdicts import judge_digest
    from ex2.run.descriptions import read_descriptions
    from ex2.run.directory import RunDirectory
    from reward.files import write_json

    made = recipe(folder, classes)
    where = RunDirectory.of(made).seed(0)
    descriptions = read_descriptions(where)
    assert len(descriptions) == QUESTIONS * classes
    digest, judge = judge_digest(made.judge.name, {}), RuleJudge()
    stub: Judge = judge
    verdicts = judge_descriptions(stub, [one.of_class for one in descriptions], where.verdicts, digest=digest)
    shares = Breakdown(
        judge=JudgeIdentity(judge.name, judge.exact, "paper-1", digest),
        usage=None,
        panel=None,
        denominator="parsed",
        confidence=0.95,
        policies=breakdown(descriptions, verdicts, "parsed", 0.95),
    )
    write_json(where.breakdown, shares.to_json())


def write_analyzed(folder: Path, classes: int) -> None:
    """Judge all, and write accuracies without arms: pages read them, and embeddings are not what is measured."""
    from analysis.accuracy.record import Accuracy
    from ex2.recipe_io import to_yaml
    from ex2.run.directory import RunDirectory
    from reward.files import write_json, write_text

    write_described(folder, classes)
    judge_all(folder, classes)
    made = recipe(folder, classes)
    run = RunDirectory.of(made)
    stored = Accuracy(
        vlm="demo-visual",
        dataset="scale",
        split="test",
        images=classes,
        classes=classes,
        confidence=0.95,
        arms={},
        differences=(),
        covered_by_both=(),
    )
    write_json(run.seed(0).accuracy, stored.to_json())
    write_text(run.recipe, to_yaml(made))


def report(folder: Path, classes: int) -> None:
    from analysis.report.page import write_report

    write_report(recipe(folder, classes))


def index_page(folder: Path, classes: int) -> None:
    from analysis.report.index import render_index
    from analysis.results.runs import read_run
    from analysis.tables.rules import Rules

    render_index([read_run(folder / "runs/scale")], Rules(), where=folder, problems=[])


def tables(folder: Path, classes: int) -> None:
    from analysis.paper.claims import claims
    from analysis.paper.command import all_tables, read_material
    from analysis.tables.rules import Rules

    material = read_material([folder / "runs/scale"], None)
    all_tables(material, Rules(), claims(material.experiments, Rules()))


def draw_labels(folder: Path, classes: int) -> None:
    from analysis.labeling.sample import frame_digest, read_frame

    frame = read_frame(folder / "runs/scale")
    frame_digest(frame)


def texts_of_arms(folder: Path, classes: int) -> None:
    """Make the texts of every arm that analyze measures, without encoding them."""
    from analysis.accuracy.control_arms import build_controls
    from ex2.data.names_in_texts import ClassNames
    from ex2.run.descriptions import read_descriptions
    from ex2.run.directory import RunDirectory

    descriptions = read_descriptions(RunDirectory.of(recipe(folder, classes)).seed(0))
    names = ClassNames([class_name(label) for label in range(classes)])
    build_controls(["class_name", "waffle", "shuffled"], descriptions, names, 0)


def read_file(folder: Path, classes: int) -> None:
    from analysis.accuracy.description_files import read_arm

    names = [class_name(label) for label in range(classes)]
    assert len(read_arm(folder / "arm.json", "cupl", names, partial=False).texts) == QUESTIONS * classes


def write_file(folder: Path, classes: int) -> None:
    content: dict[str, list[str]] = {}
    for one in descriptions_of(classes, ("base",)):
        content.setdefault(one.class_name, []).append(one.text)
    (folder / "arm.json").write_text(json.dumps(content), encoding="utf-8")


def refuse_names(folder: Path, classes: int) -> None:
    """Open a manifest with names of which none fits: the message is what takes long."""
    from ex2.data.datasets.manifests import Manifest
    from reward.errors import UserError

    try:
        Manifest(str(folder / "manifest.csv"), class_names=[f"other {label}" for label in range(classes)])
    except UserError as error:
        assert "unknown" in str(error)  # noqa: PT017 - no test
        return
    raise AssertionError("was not refused")


def write_few_images(folder: Path, classes: int) -> None:
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        writer.writerows([f"{label}.jpg", class_name(label), split] for label in range(classes) for split in ("a", "b"))


def refuse_file(folder: Path, classes: int) -> None:
    """Read a description file of other classes."""
    from analysis.accuracy.description_files import read_arm
    from reward.errors import UserError

    try:
        read_arm(folder / "arm.json", "cupl", [f"other {label}" for label in range(classes)], partial=False)
    except UserError as error:
        assert "missing" in str(error)  # noqa: PT017 - no test
        return
    raise AssertionError("was not refused")


@dataclass(frozen=True)
class Stage:
    """What is measured.

    Attributes:
        title: Words of the table.
        prepare: Writes into a folder what the work reads, for a number of classes.
        work: What is timed.
        unit: What there is one of for each class and how many of it: such as "25 descriptions".
        part: Share of the classes that it is measured with, where all would take hours.
    """

    title: str
    prepare: Callable[[Path, int], None]
    work: Callable[[Path, int], None]
    unit: str
    part: float = 1.0


STAGES = {
    "csv": Stage("open a manifest (CSV), choose reward images", write_manifest, open_manifest, "200 images"),
    "parquet": Stage("the same, parquet", write_parquet, open_manifest, "200 images"),
    "names": Stage("prompts; find and put class names in all descriptions", nothing, find_names, "25 descriptions"),
    "describe": Stage("describe, when all is described", write_finished, describe_again, "25 descriptions"),
    "judge": Stage("judge by a rule, store verdicts and breakdown", write_described, judge_all, "25 descriptions"),
    "again": Stage("the same, when all is judged", write_analyzed, judge_all, "25 descriptions"),
    "arms": Stage("texts of the control arms", write_described, texts_of_arms, "25 descriptions"),
    "report": Stage("report", write_analyzed, report, "25 descriptions"),
    "index": Stage("index of one run", write_analyzed, index_page, "25 descriptions"),
    "tables": Stage("tables of one run", write_analyzed, tables, "25 descriptions"),
    "label": Stage("what can be labelled", write_described, draw_labels, "25 descriptions"),
    "file": Stage("a description file as an arm", write_file, read_file, "25 descriptions"),
    "wrong names": Stage("refuse a manifest of other classes", write_few_images, refuse_names, "2 images", 0.02),
    "wrong file": Stage("refuse a description file of other classes", write_file, refuse_file, "25 descriptions", 0.02),
}
