"""Class names that say nothing, are alike or would go to other classes: refused in every kind of dataset, and the way
out, which is to name each folder or label."""

from __future__ import annotations

from pathlib import Path

import datasets as hf
import pytest
from named_classes import folders, hub, refusal, table

from ex2.cli import main
from ex2.data.datasets.base import open_dataset
from ex2.data.datasets.image_folders import ImageFolder
from ex2.data.datasets.manifests import Manifest
from ex2.data.datasets.naming import is_number, likeness
from ex2.data.selection import load_dataset
from ex2.data.source import DatasetSource
from reward.errors import UserError

NUMBERS = [str(number) for number in range(1, 13)]
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
ALIKE = "differ only in case, in blanks, hyphens and underscores, or in how accents are stored; join what is one class"


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
        "ex2: dataset.class_names: '10': 10: a name is a text; put it into quotation marks.\n"
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
    assert refusal("test_class_naming.OwnDataset", class_names=["rook", 7]) == [
        "dataset test_class_naming.OwnDataset: class names: 7 is no text; every class needs a name."
    ]
    assert refusal("test_class_naming.OwnDataset", class_names=[]) == [
        "dataset test_class_naming.OwnDataset: class names: there are none; every class needs a name."
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
