"""Class names that say nothing, are alike or would go to other classes: refused in every kind of dataset, and the way
out, which is to name each folder or label."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import datasets as hf
import miniatures
import pytest
from pyarrow import Table, parquet

from ex2.cli import main
from ex2.data.datasets import manifests
from ex2.data.datasets.base import open_dataset
from ex2.data.datasets.image_folders import ImageFolder
from ex2.data.datasets.manifests import Manifest
from ex2.data.datasets.naming import is_number, likeness, plain_label
from ex2.data.selection import load_dataset
from ex2.data.source import DatasetSource
from reward.errors import UserError

NUMBERS = [str(number) for number in range(1, 13)]
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
ALIKE = "differ only in case, in blanks, hyphens and underscores, or in how accents are stored; join what is one class"


def folders(root: Path, names: Iterable[str], splits: Sequence[str] = ("reward", "test")) -> str:
    for split in splits:
        for number, name in enumerate(names):
            miniatures.picture(root / split / name / f"{split}{number}.png")
    return str(root)


def table(path: Path, labels: Sequence[str]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [[f"{number}.png", label, "train"] for number, label in enumerate(labels)]
        csv.writer(file).writerows([["path", "label", "split"], *rows])
    return str(path)


def hub(root: Path, feature: object, labels: Sequence[object]) -> str:
    for number in range(len(labels)):
        miniatures.picture(root / f"{number}.png")
    paths = [str(root / f"{number}.png") for number in range(len(labels))]
    features = hf.Features({"photo": hf.Image(), "kind": feature})
    rows = hf.Dataset.from_dict({"photo": paths, "kind": list(labels)}, features=features)
    hf.DatasetDict({"train": rows}).save_to_disk(str(root / "saved"))
    return str(root / "saved")


def refusal(name: str, **settings: object) -> list[str]:
    with pytest.raises(UserError) as raised:
        open_dataset(name, settings)
    assert len(str(raised.value)) < 2000
    return str(raised.value).splitlines()


def test_folders_that_are_numbers_are_named_by_folder(tmp_path: Path) -> None:
    root = folders(tmp_path / "photos", NUMBERS)
    where = f"dataset: class folders in '{root}': '1', '10', '11', '12', '2' (12 in all) are numbers or truth values"
    remedy = "Give each its name: dataset.class_names: {'1': name, '10': name, …}."
    assert refusal("folder", root=root) == [f"{where}: a prompt would ask about 'a photo of a 9'. {remedy}"]
    assert refusal("folder", root=root, class_names=WORDS) == [
        f"{where}: a list cannot tell which of them a name is for. {remedy}"
    ]
    for keys in (NUMBERS, map(int, NUMBERS)):  # YAML reads a bare 2 as an integer
        dataset = open_dataset("folder", {"root": root, "class_names": dict(zip(keys, WORDS, strict=True))})
        named = {Path(i.name).parent.name: dataset.class_names[i.label] for i in dataset.images("reward")}
        assert named == dict(zip(NUMBERS, WORDS, strict=True))


def test_a_recipe_gives_names_by_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folders(tmp_path / "photos", ["2", "10"])
    given = "class_names={2: two, 10: ten}"
    assert main(["data", "folder", given, "--root", root, "--sheet", str(tmp_path / "s.png")]) == 0
    shown = capsys.readouterr().out
    assert shown.index("│ ten ") < shown.index("│ two ")
    assert main(["data", "folder", "class_names={2: two, 10: 10}", "--root", root]) == 2
    assert capsys.readouterr().err == (
        "ex2: dataset.class_names: 10: 10: a name is a text; put it into quotation marks.\n"
    )


@pytest.mark.parametrize(
    ("names", "first", "second"),
    [
        (["True", "False"], "'False', 'True'", "True"),
        (["0.0", "1.0"], "'0.0', '1.0'", "1.0"),
        (["-1", "1"], "'-1', '1'", "1"),
        (["cat", "2024"], "'2024'", "2024"),
    ],
)
def test_folders_that_are_other_numbers(tmp_path: Path, names: list[str], first: str, second: str) -> None:
    (line,) = refusal("folder", root=folders(tmp_path, names))
    assert f": {first} are numbers or truth values: a prompt would ask about 'a photo of a {second}'." in line


def test_what_is_a_number() -> None:
    numbers = ("10", "-1", "+2", "0.0", "1.", ".5", "1e3", "1,000", "1_000", " 7 ", "٣", "nan", "TRUE", "no")
    names = ("cat", "10 pence", "A4", "7-Eleven", "747-8", "n01440764", "none", "001.Rook", "²", "")
    assert [label for label in (*numbers, *names) if is_number(label)] == list(numbers)


def test_lists_that_would_go_to_other_folders(tmp_path: Path) -> None:
    numbered = folders(tmp_path / "numbered", [f"class_{number}" for number in NUMBERS])
    cased = folders(tmp_path / "cased", ["Zebra", "ant"])
    plain = folders(tmp_path / "plain", ["cat", "dog"])
    assert refusal("folder", root=numbered, class_names=WORDS) == [
        "dataset.class_names: a list follows the order 'class_1', 'class_10', 'class_11', 'class_12', 'class_2' (12 in "
        f"all) of the class folders in '{numbered}', which is not the one that people or file managers sort them in. "
        "Give each its name: dataset.class_names: {'class_1': name, 'class_10': name, …}."
    ]
    assert "a list follows the order 'Zebra', 'ant' of" in refusal("folder", root=cased, class_names=["z", "a"])[0]
    assert refusal("folder", root=plain, class_names=["Dog", "a cat"]) == [
        f"dataset.class_names: not in the order of the class folders in '{plain}': 'Dog' would be 'cat'. "
        "Give each its name: dataset.class_names: {'cat': name, 'dog': name}."
    ]
    assert ImageFolder(plain, ["a cat", "a dog"]).class_names == ("a cat", "a dog")
    by_folder = ImageFolder(numbered, dict(zip([f"class_{n}" for n in NUMBERS], WORDS, strict=True)))
    assert by_folder.class_names[:3] == ("one", "ten", "eleven")


def test_names_by_folder_are_for_every_folder_and_no_other(tmp_path: Path) -> None:
    root = folders(tmp_path, ["cat", "dog"])
    assert refusal("folder", root=root, class_names={"cat": "a", "dogg": "b", "owl": "c"}) == [
        "dataset.class_names: unknown 'dogg'. Did you mean 'dog'? Available: dog. It names the class folders in "
        f"'{root}'.",
        f"dataset.class_names: unknown 'owl'. Available: dog. It names the class folders in '{root}'.",
        f"dataset.class_names: no name for 'dog' of the class folders in '{root}'. "
        "Give each its name: dataset.class_names: {'dog': name}.",
    ]


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("caf\u00e9", "cafe\u0301", r"'cafe\u0301' and 'café'"),
        ("Cat", "cat", "'Cat' and 'cat'"),
        ("sea lion", "sea_lion", "'sea lion' and 'sea_lion'"),
        ("owl", "owl ", "'owl' and 'owl '"),
        ("stra\u00dfe", "STRASSE", "'STRASSE' and 'straße'"),
    ],
)
def test_classes_that_are_alike(tmp_path: Path, one: str, other: str, shown: str) -> None:
    root = folders(tmp_path / "photos", [one, other])
    assert refusal("folder", root=root) == [
        f"dataset: class folders in '{root}': {shown} {ALIKE}, and rename what is not (or name both in "
        "dataset.class_names: {folder: name})."
    ]
    named = ImageFolder(root, {one: "the first", other: "the second"})
    assert set(named.class_names) == {"the first", "the second"}
    (tmp_path / "c").mkdir()
    (line,) = refusal("huggingface", path=hub(tmp_path / "c", hf.ClassLabel(names=[one, other]), [0, 1]))
    assert ALIKE in line
    if one.strip() != other.strip():  # a table's cells lose the blanks at their ends
        assert ALIKE in refusal("manifest", path=table(tmp_path / "m.csv", [one, other]))[0]


def test_splits_whose_folders_are_stored_in_two_ways(tmp_path: Path) -> None:
    """As after copying one split from a Mac: without the check there are two classes, one without test images."""
    folders(tmp_path, ["caf\u00e9", "bar"], ["reward"])
    root = folders(tmp_path, ["cafe\u0301", "bar"], ["test"])
    assert r"'cafe\u0301' and 'café' differ only in case" in refusal("folder", root=root)[0]


def test_names_are_composed_and_trimmed(tmp_path: Path) -> None:
    assert ImageFolder(folders(tmp_path, ["cafe\u0301_bar", "sea__lion "])).class_names == ("caf\u00e9 bar", "sea lion")
    assert likeness("\u200cmi\u200dx") == "mix"
    assert likeness("Sea-Lion") == likeness("sea  lion") == "sea lion"
    assert likeness("blackbird") != likeness("black bird")


@pytest.mark.parametrize(
    "name", ["do\ng", "ca\tt", "cat\u202egod", "c\u200bat", "caf\udce9", "li\u2028ne", "a\x1b[31m"]
)
def test_names_that_cannot_be_seen(tmp_path: Path, name: str) -> None:
    hidden = (
        f"dataset folder: class names {name!a} hold line breaks, tabs, characters that cannot be seen, or blanks "
        "at an end; rename them or give class_names."
    )
    root = folders(tmp_path, [name, "rook"])
    assert refusal("folder", root=root) == [hidden]
    assert refusal("folder", root=root, class_names={name: name, "rook": "rook"}) == [hidden]


def test_names_that_are_empty_long_or_no_text(tmp_path: Path) -> None:
    root = folders(tmp_path, ["a", "b", "c", "d"])
    assert refusal("folder", root=root, class_names=["", " x", "y" * 201, "17"]) == [
        "dataset folder: empty class name for label 0; every class needs a name.",
        "dataset folder: class names '17' are numbers or truth values, which say nothing in a prompt; give names that "
        "a caption could hold.",
        "dataset folder: class names ' x' hold line breaks, tabs, characters that cannot be seen, or blanks at an end; "
        "rename them or give class_names.",
        f"dataset folder: class names of more than 200 characters: '{'y' * 60}…'; a VLM would not read them to the "
        "end: give shorter ones.",
    ]
    assert refusal("test_class_names.OwnDataset", class_names=["rook", 7]) == [
        "dataset test_class_names.OwnDataset: class names: 7 is no text; every class needs a name."
    ]
    assert refusal("test_class_names.OwnDataset", class_names=[]) == [
        "dataset test_class_names.OwnDataset: class names: there are none; every class needs a name."
    ]


class OwnDataset:
    """A dataset that a recipe names by its dotted path."""

    splits = ("train", "test")

    def __init__(self, class_names: list[object]) -> None:
        self.class_names = class_names

    def images(self, split: str) -> list[object]:
        return []


def test_one_class_and_one_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = folders(tmp_path / "one", ["cat"])
    with pytest.raises(UserError) as raised:
        load_dataset(DatasetSource("folder", "test", "test", {"root": one}))
    told = "one class, 'cat'; accuracy would be 100 % whatever the texts say. Give two at least."
    assert str(raised.value).splitlines() == [
        "dataset.test_split: 'test' feeds the reward too; accuracy on it would say nothing: give another split. "
        "Available: reward, test.",
        f"dataset folder: {told}",
    ]
    assert main(["data", "folder", "--root", one, "--sheet", str(tmp_path / "s.png")]) == 2
    assert f"ex2: folder: classes: {told}" in capsys.readouterr().err
    Manifest(table(tmp_path / "m.csv", ["cat"]))  # to open it is no experiment yet
    with pytest.raises(UserError, match="dataset manifest: one class, 'cat'; accuracy would be 100 %"):
        load_dataset(DatasetSource("manifest", "train", "test", {"path": str(tmp_path / "m.csv")}))


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
