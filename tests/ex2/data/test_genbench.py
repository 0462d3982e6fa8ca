"""The 22 rows of GenBench's Table 4: totals, the paper's errors, agreement with the readers, the page made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from paths import ROOT

from ex2.data.datasets.base import DATASETS
from ex2.data.datasets.class_lists import FOLDER, read_class_list
from ex2.data.datasets.genbench import GROUPS, benchmark_of, markdown, read_benchmark, totals
from ex2.data.datasets.naming import class_name_problems
from reward.components import resolve

ROWS = read_benchmark()


def test_totals_are_the_papers() -> None:
    """Table 4's own lines "Total", its claim of 2,548, and what its rows sum to."""
    found = {group: totals(row for row in ROWS if row.group == group) for group in GROUPS}
    printed = {group: (one.datasets, one.printed_classes, one.printed_test) for group, one in found.items()}
    assert printed == {"common": (7, 1638, 110887), "fine-grained": (6, 747, 67542), "rare": (9, 157, 84084)}
    assert totals(ROWS).printed_classes == 2542
    assert totals(ROWS).classes == 2548


def test_what_the_paper_prints_wrong_is_noted() -> None:
    classes = {row.dataset: (row.printed_classes, row.classes) for row in ROWS if row.printed_classes != row.classes}
    assert classes == {"caltech101": (101, 102), "fer2013": (2, 7)}
    sizes = {row.dataset: (row.printed_test, row.test) for row in ROWS if row.printed_test != row.test}
    assert sizes == {"fer2013": (3574, 3589)}
    assert all(row.note for row in ROWS if row.dataset in {*classes, *sizes})


@pytest.mark.parametrize("change", [{"classes": 101}, {"printed_test": 6084}, {"group": "rare"}])
def test_an_altered_row_changes_the_totals(change: dict[str, Any]) -> None:
    altered = [replace(row, **change) if row.dataset == "caltech101" else row for row in ROWS]
    common = totals(row for row in altered if row.group == "common")
    assert common != totals(row for row in ROWS if row.group == "common")


def test_metrics_are_the_papers() -> None:
    by_metric = {row.metric: {one.dataset for one in ROWS if one.metric == row.metric} for row in ROWS}
    assert by_metric["mean per class"] == {"caltech101", "pets", "flowers", "fgvc_aircraft"}
    assert by_metric["11-point mAP"] == {"voc2007"}
    assert by_metric["ROC AUC"] == {"hateful_memes"}
    assert len(by_metric["accuracy"]) == 16


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.dataset)
def test_rows_agree_with_the_readers(row: Any) -> None:
    reader = resolve(row.dataset, DATASETS, "dataset")
    assert reader.official_sizes[row.train_split] == row.train
    assert reader.official_sizes[row.test_split] == row.test
    assert (row.train_split in reader.splits, row.test_split in reader.splits) == (True, True)
    if (FOLDER / f"{row.dataset}.json").exists():
        classes = read_class_list(row.dataset)
        assert len(classes.names) == len(classes.bare) == len(classes.label_of()) == row.classes
        assert not class_name_problems(classes.names, row.dataset)
    else:  # the class list is the dataset's own
        assert row.dataset in {"cifar10", "cifar100", "food101", "sun397"}
    assert row.terms
    assert row.source
    assert bool(reader.archives) != hasattr(reader, "download_help")  # it can be fetched, or the user is told how
    assert hasattr(reader, "labels_of") == (row.metric == "11-point mAP")


def test_bare_names_are_those_of_templates() -> None:
    assert read_class_list("mnist").bare[3] == "3"
    assert read_class_list("mnist").names[3] == "number 3"
    assert read_class_list("gtsrb").bare[14] == "stop"
    assert read_class_list("fer2013").bare == ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")


def test_a_dataset_is_found_by_its_name() -> None:
    found = benchmark_of("fer2013")
    assert found is not None
    assert (found.title, found.group, found.classes) == ("FER 2013", "rare", 7)
    assert benchmark_of("cub") is None


def test_the_page_is_made_of_the_rows() -> None:
    assert markdown(ROWS) in (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
