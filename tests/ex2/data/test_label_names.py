"""Labels of tables and of the hub's datasets that are numbers, truth values or missing, and their names by label."""

from __future__ import annotations

from pathlib import Path

import datasets as hf
import pytest
from named_classes import hub, refusal, table
from pyarrow import Table, parquet

from ex2.data.datasets import manifests
from ex2.data.datasets.base import open_dataset
from ex2.data.datasets.manifests import Manifest
from ex2.data.datasets.naming import plain_label

# Tables.


@pytest.mark.parametrize("labels", [["0.0", "1.0", "0.0"], ["0", "1", "0"], ["0.", "1", "0.000"]])
def test_manifest_labels_that_are_integers_with_a_gap(tmp_path: Path, labels: list[str]) -> None:
    """Pandas writes a column of integers with a missing value as 0.0, 1.0."""
    path = table(tmp_path / "m.csv", labels)
    assert refusal("manifest", path=path) == [
        f"{path}: column 'label': label '{labels[0]}' is a number; give class_names in label order, or by label: "
        "class_names: {'0': name, …}"
    ]
    for given in (["cat", "dog"], {0: "cat", 1: "dog"}, {"1.0": "dog", "0": "cat"}):
        dataset = Manifest(path, class_names=given)
        images = dataset.images("train")
        assert [(dataset.class_names[i.label], Path(i.name).name) for i in images] == [
            ("cat", "0.png"),
            ("cat", "2.png"),
            ("dog", "1.png"),
        ]


@pytest.mark.parametrize("labels", [["True", "False"], ["true", "FALSE"]])
def test_manifest_labels_that_are_truth_values(tmp_path: Path, labels: list[str]) -> None:
    path = table(tmp_path / "m.csv", labels)
    by_label = "class_names: {'False': name, …}"
    assert refusal("manifest", path=path) == [
        f"{path}: column 'label': label '{labels[1]}' is no name; give class_names by label: {by_label}"
    ]
    assert refusal("manifest", path=path, class_names=["ill", "well"]) == [
        f"{path}: row 1: label: unknown '{labels[0]}'. Allowed: 0 to 1, or a name: ill, well. Or give class_names by "
        f"label: {{'{labels[0]}': name, …}}.",
        f"{path}: row 2: label: unknown '{labels[1]}'.",
    ]
    dataset = Manifest(path, class_names={True: "well", False: "ill"})
    assert [dataset.class_names[i.label] for i in sorted(dataset.images("train"), key=lambda i: i.name)] == [
        "well",
        "ill",
    ]


def test_parquet_labels_that_are_no_names(tmp_path: Path) -> None:
    def stored(labels: list[object]) -> str:
        path = tmp_path / "m.parquet"
        columns = {"path": [f"{n}.png" for n in range(len(labels))], "label": labels, "split": ["t"] * len(labels)}
        parquet.write_table(Table.from_pydict(columns), path)
        return str(path)

    assert "label '0.0' is a number; give class_names in label order" in refusal("manifest", path=stored([0.0, 1.0]))[0]
    assert "label 'False' is no name; give class_names by label" in refusal("manifest", path=stored([True, False]))[0]
    for missing in (None, float("nan")):
        assert refusal("manifest", path=stored([0.0, missing, 1.0]), class_names=["a", "b"]) == [
            f"{tmp_path}/m.parquet: row 2: empty label"
        ]
    assert refusal("manifest", path=stored([[0], [1]]))[0].endswith("row 1: label: a list is no text and no number")
    assert refusal("manifest", path=stored([b"a", b"b"]))[0].endswith("row 1: label: a bytes is no text and no number")
    named = Manifest(stored([True, False, True]), class_names={"True": "well", "False": "ill"})
    assert [named.class_names[i.label] for i in named.images("t")] == ["ill", "well", "well"]


def test_manifest_columns_that_stand_twice(tmp_path: Path) -> None:
    csv_file, parquet_file = tmp_path / "m.csv", tmp_path / "m.parquet"
    csv_file.write_text("label,path,split,label\ncat,a.png,t,dog\ncat,a.png,t,dog\n")
    from pyarrow import array

    columns = [array(["a.png"]), array(["a.png"]), array(["cat"]), array(["t"])]
    parquet.write_table(Table.from_arrays(columns, names=["path", "path", "label", "split"]), parquet_file)
    told = "stands 2 times in the header; which one is meant cannot be told: rename or remove the others."
    assert refusal("manifest", path=str(csv_file)) == [f"{csv_file}: column 'label' {told}"]
    assert refusal("manifest", path=str(parquet_file)) == [f"{parquet_file}: column 'path' {told}"]
    assert refusal("manifest", path=str(csv_file), label_column="path") == [
        "dataset: path_column, label_column and split_column are path, path, split; give three different ones."
    ]


def test_manifest_cells_that_cannot_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("path,label,split\na\0.png,cat,t\nb.png,dog,te\u202est\nc.png,owl,t\n")
    assert refusal("manifest", path=str(path)) == [
        f"{path}: row 1: path: 'a\\x00.png' holds characters that cannot be seen",
        f"{path}: row 2: split: 'te\\u202est' holds characters that cannot be seen",
    ]
    assert r"class names 'c\nat' hold line breaks" in refusal("manifest", path=table(path, ["c\nat", "dog"]))[0]


def test_manifest_encodings(tmp_path: Path) -> None:
    text = "path,label,split\na.png,cat,t\nb.png,dog,t\n"
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "m.CSV").write_text(text, encoding=encoding)
        assert Manifest(str(tmp_path / "m.CSV")).class_names == ("cat", "dog")
    (tmp_path / "m.csv").write_text(text, encoding="utf-16")
    assert refusal("manifest", path=str(tmp_path / "m.csv")) == [
        f"{tmp_path}/m.csv: cannot be read: byte 0 is not UTF-8; save the table as UTF-8."
    ]


def test_manifest_of_many_faults_is_quickly_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path / "m.csv", [f"u{number}" for number in range(3000)])
    asked: list[str] = []
    near = manifests.difflib.get_close_matches
    monkeypatch.setattr(manifests.difflib, "get_close_matches", lambda *a, **k: (asked.append(a[0]), near(*a, **k))[1])
    lines = refusal("manifest", path=path, class_names=[f"class {number}" for number in range(3000)])
    assert lines[0].startswith(f"{path}: row 1: label: unknown 'u0'. Allowed: 0 to 2999, or a name: class 0, class 1, ")
    assert lines[1:] == [f"{path}: row {n}: label: unknown 'u{n - 1}'." for n in range(2, 11)] + [
        f"{path}: and 2990 more"
    ]
    assert len(asked) == 10  # each compares a label with all 3,000 names


def test_plain_labels() -> None:
    values = ["0.0", 1.0, "-2.", 3, True, "FALSE", " cat ", None, "0.5", "1e3", "01"]
    assert [plain_label(value) for value in values] == [
        "0", "1", "-2", "3", "True", "False", "cat", "", "0.5", "1e3", "01",
    ]  # fmt: skip


# Datasets of the hub's library.


def test_hub_labels_that_are_digits(tmp_path: Path) -> None:
    """As MNIST's and SVHN's. Their order is the numbers' own, so that a list cannot go to other labels."""
    path = hub(tmp_path, hf.ClassLabel(names=["0", "1", "2"]), [2, 0, 1])
    where = f"dataset: labels of {path}: kind: '0', '1', '2' are numbers or truth values"
    remedy = "Give each its name: dataset.class_names: {'0': name, '1': name, …}."
    assert refusal("huggingface", path=path) == [f"{where}: a prompt would ask about 'a photo of a 2'. {remedy}"]
    for given in (["zero", "one", "two"], {0: "zero", 1: "one", 2: "two"}):
        dataset = open_dataset("huggingface", {"path": path, "class_names": given})
        assert dataset.class_names == ("zero", "one", "two")
        assert [i.name[-1] for i in dataset.images("train")] == ["1", "2", "0"]


def test_hub_labels_that_are_numbers_in_another_order(tmp_path: Path) -> None:
    """As `datasets` reads folders 1, 2 and 10."""
    path = hub(tmp_path, hf.ClassLabel(names=["1", "10", "2"]), [0, 1, 2])
    (line,) = refusal("huggingface", path=path, class_names=["one", "two", "ten"])
    assert "'1', '10', '2' are numbers or truth values: a list cannot tell which of them a name is for." in line
    dataset = open_dataset("huggingface", {"path": path, "class_names": {1: "one", 2: "two", 10: "ten"}})
    assert dataset.class_names == ("one", "ten", "two")


@pytest.mark.parametrize(
    ("kind", "labels", "given", "names"),
    [
        ("int64", [3, -7], {3: "rook", -7: "crow"}, ["rook", "crow"]),
        ("float64", [0.0, 1.0], {0: "rook", "1.0": "crow"}, ["rook", "crow"]),
        ("float32", [0.0, 1.0], ["rook", "crow"], ["rook", "crow"]),
        ("bool", [True, False], {True: "rook", False: "crow"}, ["rook", "crow"]),
        ("string", ["1", "0"], {0: "rook", 1: "crow"}, ["crow", "rook"]),
        ("string", ["a", "b"], {"a": "rook", "b": "crow"}, ["rook", "crow"]),
    ],
)
def test_hub_values_by_label(tmp_path: Path, kind: str, labels: list[object], given: object, names: list[str]) -> None:
    path = hub(tmp_path, hf.Value(kind), labels)
    dataset = open_dataset("huggingface", {"path": path, "label_column": "kind", "class_names": given})
    by_row = sorted(dataset.images("train"), key=lambda image: image.name)
    assert [dataset.class_names[image.label] for image in by_row] == names


@pytest.mark.parametrize(
    ("kind", "labels", "given", "told"),
    [
        (
            "bool",
            [True, False],
            ["a", "b"],
            "kind: labels are truth values, which are no names and have no order; give",
        ),
        (
            "bool",
            [True, False],
            None,
            "kind: labels are truth values, which are no names and have no order; give class",
        ),
        ("float64", [0.0, 1.0], None, "labels are numbers without names; give class_names in label order, or by label"),
        ("float64", [0.0, None], ["a", "b"], "train row 1: label None has no class name; there are 2 names. Leave"),
        ("float64", [0.5, 1.0], ["a", "b"], "train row 0: label 0.5 has no class name; there are 2 names."),
        (
            "string",
            ["0", "1"],
            None,
            "'0', '1' are numbers or truth values: a prompt would ask about 'a photo of a 1'.",
        ),
        (
            "string",
            ["0", "1"],
            ["a", "b"],
            "label '0' has no class name (2 rows in all); there are 2 names. Give them by",
        ),
        ("string", ["a", None], None, "kind: train row 1: label None has no class name; there are 1 names. Leave"),
        ("int64", [1, 2], {1: "a", 3: "b"}, "dataset.class_names: unknown '3'. Available: 2. It names the labels of "),
    ],
)
def test_hub_values_that_are_no_names(
    tmp_path: Path, kind: str, labels: list[object], given: object, told: str
) -> None:
    path = hub(tmp_path, hf.Value(kind), labels)
    assert told in refusal("huggingface", path=path, label_column="kind", class_names=given)[0]


def test_hub_columns_of_other_types(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    nested = hub(tmp_path / "a", hf.Sequence(hf.Value("int64")), [[0], [1]])
    assert refusal("huggingface", path=nested, label_column="kind") == [
        f"{nested}: label_column: 'kind' is of type List(Value('int64')); labels are names or numbers."
    ]
    labels = hub(tmp_path / "b", hf.ClassLabel(names=["a", "b"]), [0, 1])
    assert refusal("huggingface", path=labels, image_column="kind") == [
        f"{labels}: image_column and label_column are both 'kind'; give two columns.",
        f"{labels}: image_column: 'kind' is of type ClassLabel(names=['a', 'b']); it holds no images.",
    ]
    hf.DatasetDict({"train": hf.Dataset.from_dict({"photo": [], "kind": []})}).save_to_disk(str(tmp_path / "empty"))
    (line,) = refusal("huggingface", path=str(tmp_path / "empty"))
    assert line.startswith(f"dataset.path: '{tmp_path}/empty' is no folder written by save_to_disk (")
