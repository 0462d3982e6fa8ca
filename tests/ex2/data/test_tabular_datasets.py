"""Manifests and Hugging Face datasets: columns, labels, faulty rows, and no network unless asked."""

from __future__ import annotations

import csv
from pathlib import Path

import datasets as hf
import miniatures
import pytest
from PIL import Image

from ex2.data.datasets.base import ImageDataset, ImageFile
from ex2.data.datasets.hub_datasets import HuggingFace
from ex2.data.datasets.manifests import Manifest
from reward.errors import EnvironmentFault, UserError

# Manifests.


def write_csv(path: Path, rows: list[list[str]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def pairs(dataset: ImageDataset, split: str) -> list[tuple[str, str]]:
    return [(dataset.class_names[image.label], Path(image.name).name) for image in dataset.images(split)]


ROWS = [
    ["b.png", "sea_gull", "train"],
    ["a.png", "sea_gull", "train"],
    ["c.png", "crow", "train"],
    ["d.png", "crow", "test"],
]


def test_manifest_of_names(tmp_path: Path) -> None:
    for row in ROWS:
        miniatures.picture(tmp_path / row[0])
    dataset = Manifest(write_csv(tmp_path / "m.csv", [["path", "label", "split"], *ROWS]))
    assert dataset.splits == ("test", "train")
    assert dataset.class_names == ("crow", "sea gull")
    assert pairs(dataset, "train") == [("crow", "c.png"), ("sea gull", "a.png"), ("sea gull", "b.png")]
    assert dataset.images("test")[0].open().size == (6, 5)


def test_manifest_of_indices_in_parquet(tmp_path: Path) -> None:
    from pyarrow import Table, parquet

    (tmp_path / "photos").mkdir()
    columns = {"file": ["x.png", "y.png"], "class": [1, 0], "part": ["r", "t"], "more": [0.5, None]}
    parquet.write_table(Table.from_pydict(columns), tmp_path / "m.parquet")
    names = {"path_column": "file", "label_column": "class", "split_column": "part"}
    dataset = Manifest(
        str(tmp_path / "m.parquet"), root=str(tmp_path / "photos"), class_names=["rook", "crow"], **names
    )
    assert pairs(dataset, "r") == [("crow", "x.png")]
    assert dataset.images("t")[0].name == str(tmp_path / "photos" / "y.png")
    with pytest.raises(UserError, match=r"column 'class': label '0' is a number; give class_names in label order"):
        Manifest(str(tmp_path / "m.parquet"), **names)
    with pytest.raises(UserError, match=r"column: unknown 'path'.*\n.*unknown 'label'.*\n.*unknown 'split'"):
        Manifest(str(tmp_path / "m.parquet"))


def test_manifest_names_every_faulty_row(tmp_path: Path) -> None:
    header = ["path", "label", "split"]
    rows = [["a.png", "crow", "t"], ["", "crow", "t"], ["b.png", "crown", "t"], ["a.png", "rook", "t"]]
    with pytest.raises(UserError) as raised:
        Manifest(write_csv(tmp_path / "m.csv", [header, *rows]), class_names=["crow", "rook"])
    assert str(raised.value).splitlines() == [
        f"{tmp_path}/m.csv: row 2: empty path",
        f"{tmp_path}/m.csv: 'a.png' stands more than once in split 't'",
        f"{tmp_path}/m.csv: row 3: label: unknown 'crown'. Did you mean 'crow'? "
        "Allowed: 0 to 1, or a name: crow, rook.",
    ]
    with pytest.raises(UserError, match=r"row 1 has another number of fields than the header's 3"):
        Manifest(write_csv(tmp_path / "n.csv", [header, ["a.png", "crow"]]))
    with pytest.raises(UserError, match=r"a manifest is a .csv or .parquet file"):
        Manifest(str(tmp_path / "m.txt"))
    (tmp_path / "p.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match=r"p.parquet: cannot be read"):
        Manifest(str(tmp_path / "p.parquet"))


# Hugging Face datasets.


def saved(folder: Path, files: dict[str, list[str]], features: hf.Features, labels: dict[str, list[object]]) -> str:
    rows = {
        split: hf.Dataset.from_dict({"photo": paths, "kind": labels[split]}, features=features)
        for split, paths in files.items()
    }
    hf.DatasetDict(rows).save_to_disk(str(folder))
    return str(folder)


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    for name in "abc":
        miniatures.picture(tmp_path / f"{name}.png")
    return [str(tmp_path / f"{name}.png") for name in "abc"]


def test_hugging_face_from_disk(tmp_path: Path, photos: list[str]) -> None:
    features = hf.Features({"photo": hf.Image(), "kind": hf.ClassLabel(names=["rook", "hooded_crow"])})
    folder = saved(
        tmp_path / "set", {"train": photos[:2], "test": photos[2:]}, features, {"train": [1, 0], "test": [1]}
    )
    dataset = HuggingFace(path=folder)
    assert dataset.splits == ("train", "test")
    assert dataset.class_names == ("rook", "hooded crow")
    train = dataset.images("train")
    assert [(i.label, i.name) for i in train] == [(0, f"{folder}: train row 1"), (1, f"{folder}: train row 0")]
    # the stored bytes are the files': the digests agree with those of ImageFile, whatever the container
    assert [i.digest() for i in train] == [ImageFile(Path(photos[n]), 0).digest() for n in (1, 0)]
    assert train[0].open().convert("RGB").tobytes() == Image.open(photos[1]).convert("RGB").tobytes()
    assert len({i.digest() for split in dataset.splits for i in dataset.images(split)}) == 3


def test_hugging_face_columns(tmp_path: Path, photos: list[str]) -> None:
    text = hf.Features({"photo": hf.Image(), "kind": hf.Value("string")})
    folder = saved(tmp_path / "text", {"train": photos}, text, {"train": ["rook", "crow", "rook"]})
    with pytest.raises(UserError, match=r"label_column: no ClassLabel column. Name one of: photo, kind."):
        HuggingFace(path=folder)
    dataset = HuggingFace(path=folder, label_column="kind")
    assert dataset.class_names == ("crow", "rook")
    assert [i.label for i in dataset.images("train")] == [0, 1, 1]
    with pytest.raises(UserError, match=r"image_column: unknown 'foto'. Did you mean 'photo'\?"):
        HuggingFace(path=folder, image_column="foto", label_column="kind")
    bare = hf.Features({"photo": hf.Image(), "kind": hf.Value("int64")})
    folder = saved(tmp_path / "bare", {"train": photos}, bare, {"train": [0, 1, -1]})
    with pytest.raises(UserError, match="labels are numbers without names; give class_names"):
        HuggingFace(path=folder, label_column="kind")
    with pytest.raises(UserError, match=r"kind: train row 2: label -1 has no class name; there are 2 names"):
        HuggingFace(path=folder, label_column="kind", class_names=["crow", "rook"])


def test_hugging_face_rows_without_a_readable_image(tmp_path: Path, photos: list[str]) -> None:
    Path(photos[1]).write_bytes(b"no image")
    features = hf.Features({"photo": hf.Image(), "kind": hf.ClassLabel(names=["rook"])})
    files = {"train": [photos[0], photos[1], None]}
    dataset = HuggingFace(path=saved(tmp_path / "set", files, features, {"train": [0, 0, 0]}))  # type: ignore[arg-type]
    images = dataset.images("train")
    with pytest.raises(UserError, match="set: train row 1: not a readable image"):
        images[1].open()
    with pytest.raises(UserError, match="set: train row 2: the row has no image"):
        images[2].digest()


def test_hugging_face_by_name_stays_off_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    asked: list[bool] = []
    load = hf.load_dataset

    def watched(*arguments: object, **settings: object) -> object:
        asked.append(hf.config.HF_HUB_OFFLINE and huggingface_hub.constants.HF_HUB_OFFLINE)
        return load(*arguments, **settings)

    monkeypatch.setattr(hf, "load_dataset", watched)
    monkeypatch.setattr(hf.config, "HF_HUB_OFFLINE", False)
    with pytest.raises(EnvironmentFault, match=r"'some/birds' is not in the local cache .* set download: true"):
        HuggingFace(repo="some/birds")
    assert asked == [True]
    assert hf.config.HF_HUB_OFFLINE is False
    monkeypatch.setattr(hf.config, "HF_HUB_OFFLINE", True)  # asked to, but offline
    with pytest.raises(EnvironmentFault, match="check the network"):
        HuggingFace(repo="some/birds", download=True)
    with pytest.raises(UserError, match="give either path"):
        HuggingFace()
    with pytest.raises(UserError, match="is no folder written by save_to_disk"):
        HuggingFace(path=str(tmp_path / "nowhere"))
