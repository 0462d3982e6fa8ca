"""What a dataset's folders hold beside its images, links that lead nowhere, and images that have two labels."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import miniatures
import numpy as np
import pytest
import tiny
from noise_images import NAMES, NOISE, Projection
from PIL import Image
from vlms import Axes

from ex2 import banks
from ex2.cli import main
from ex2.data.datasets.base import ImageFile
from ex2.data.datasets.image_folders import ImageFolder
from ex2.data.datasets.manifests import FileList
from ex2.data.selection import check_overlap, reward_images, select
from ex2.data.source import DatasetSource
from ex2.runtime import tell_once
from reward import image_bank
from reward.errors import UserError

RECIPE = """
name: r
policy: {{model: {model}}}
vlm: {{name: demo-visual}}
dataset: {{name: folder, root: {root}, reward_split: reward, test_split: test}}
judge: {{name: scripted}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tiny.save_image_folder(tmp_path / "photos", classes=2)


@pytest.fixture
def littered(root: Path) -> Path:
    """Fourteen files and folders that are no images of a class, three of them in the test split."""
    cat = root / "reward/class_0"
    for name in (".DS_Store", "._0.png"):
        (cat / name).write_bytes(b"x")
    for name in ("a.avif", "b.txt", "c"):
        (cat / name).write_bytes(b"x")
    for name in ("more/1.png", "more/deep/2.png", "more/deep/3.png"):
        miniatures.picture(cat / name)
    (cat / "loop").symlink_to(root)
    os.mkfifo(root / "reward/class_1/pipe.png")
    (root / ".cache").mkdir()
    (root / "test/.hidden").mkdir()
    miniatures.picture(root / "test/loose.png")
    (root / "test/class_1/notes.TXT").write_bytes(b"x")
    return root


def test_what_is_passed_over_is_counted_in_one_line(littered: Path) -> None:
    dataset = ImageFolder(str(littered))
    assert dataset.passed_over(["reward", "test"]) == (
        f"dataset.root: '{littered}': 14 files and folders passed over: "
        "4 hidden, such as .cache; "
        "4 of other kinds, such as reward/class_0/a.avif; "
        "4 in folders within a class's folder, such as reward/class_0/loop; "
        "1 neither file nor folder, such as reward/class_1/pipe.png; "
        "1 outside a class's folder, such as test/loose.png."
    )
    assert ImageFolder(str(littered)).passed_over(["test"]) == (
        f"dataset.root: '{littered}': 4 files and folders passed over: 2 hidden, such as .cache; "
        "1 outside a class's folder, such as test/loose.png; 1 of other kinds, such as test/class_1/notes.TXT."
    )
    assert [Path(image.name).name for image in dataset.images("reward")] == ["0.png", "1.png", "2.png"] * 2


def test_nothing_passed_over_says_nothing(root: Path) -> None:
    assert ImageFolder(str(root)).passed_over(["reward", "test"]) == ""


def test_the_line_is_shown(littered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mistral: Path) -> None:
    assert main(["data", "folder", "--root", str(littered), "--sheet", str(tmp_path / "s.png")]) == 0
    assert f"note: dataset.root: '{littered}': 14 files and folders passed over: 4 hidden" in capsys.readouterr().out
    recipe = tiny.write_recipe(tmp_path / "r.yaml", RECIPE.format(model=mistral, root=littered))
    tell_once.cache_clear()
    main(["validate", str(recipe)])
    assert capsys.readouterr().err.count("note: dataset.root: ") == 1
    tell_once.cache_clear()
    source = DatasetSource("folder", "reward", "test", {"root": str(littered)})
    banks.class_means(source, Axes())
    banks.test_embeddings(source, Axes())
    assert capsys.readouterr().err.count("14 files and folders passed over") == 1


@pytest.mark.parametrize("suffix", [".jfif", ".JFIF", ".jpe", ".pgm", ".PBM"])
def test_further_endings_are_read(root: Path, suffix: str) -> None:
    path = root / f"test/class_1/z{suffix}"
    with Image.new("L", (6, 5), 7) as image:
        image.convert("1" if suffix == ".PBM" else "L").save(path, "JPEG" if suffix.lower()[1] == "j" else "PPM")
    (read,) = [image for image in ImageFolder(str(root)).images("test") if image.name == str(path)]
    assert (read.label, read.open().size) == (1, (6, 5))


def test_links_that_lead_nowhere_and_to_themselves(root: Path) -> None:
    (root / "test/class_0/gone.png").symlink_to("nowhere.png")  # an image that is missing is told when it is read
    assert [Path(i.name).name for i in ImageFolder(str(root)).images("test")[:3]] == ["0.png", "1.png", "gone.png"]
    (root / "reward/owl").symlink_to("/nowhere")
    (root / "test/ant").symlink_to("ant")
    (root / "val").symlink_to("val")
    with pytest.raises(UserError) as raised:
        ImageFolder(str(root))
    assert str(raised.value) == f"{root}/val: a link that leads nowhere; mend or remove it."
    (root / "val").unlink()
    with pytest.raises(UserError, match=rf"^{root}/reward/owl: a link that leads nowhere; mend or remove it.$"):
        ImageFolder(str(root))


def test_links_to_folders_are_classes(root: Path, tmp_path: Path) -> None:
    for split in ("reward", "test"):
        shutil.move(root / split / "class_1", tmp_path / split)
        (root / split / "class_1").symlink_to(tmp_path / split)
    assert [image.label for image in ImageFolder(str(root)).images("test")] == [0, 0, 1, 1]


@pytest.mark.parametrize("folder", ["", "test", "test/class_1"])
def test_folders_that_cannot_be_listed(root: Path, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def refusing(path: Path) -> object:
        if Path(path) == root / folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)  # root may list all folders, whatever their mode
    with pytest.raises(UserError, match=rf"^{root / folder}: cannot be listed \(Permission denied\); change its"):
        ImageFolder(str(root)).images("test")


# Equal images with different labels.


def told(split: str, *pairs: tuple[Path, Path]) -> str:
    listed = "; ".join(f"{one} = {other}" for one, other in pairs)
    return (
        f"dataset, split '{split}': {len(pairs)} equal images have different labels, such as {listed}; remove them, "
        "or join the classes that have the same images."
    )


def test_equal_images_with_different_labels(root: Path, tmp_path: Path) -> None:
    source = DatasetSource("folder", "reward", "test", {"root": str(root)})
    shutil.copy(root / "reward/class_0/0.png", root / "reward/class_0/again.png")  # twice in one class is allowed
    dataset = ImageFolder(str(root))
    check_overlap(reward_images(source, dataset), dataset.images("test"), source)
    shutil.copy(root / "reward/class_0/0.png", root / "reward/class_1/other.png")
    shutil.copy(root / "test/class_1/1.png", root / "test/class_0/first.png")
    dataset = ImageFolder(str(root))
    with pytest.raises(UserError) as raised:
        check_overlap(reward_images(source, dataset), dataset.images("test"), source)
    assert str(raised.value).splitlines() == [
        told("reward", (root / "reward/class_0/0.png", root / "reward/class_1/other.png")),
        told("test", (root / "test/class_0/first.png", root / "test/class_1/1.png")),
    ]
    with pytest.raises(UserError, match=r"^dataset folder, split 'reward': 1 equal images have different labels, such"):
        banks.class_means(source, Axes())


def test_validate_names_equal_images_with_different_labels(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mistral: Path
) -> None:
    shutil.copytree(root / "test/class_0", root / "test/class_2")
    miniatures.picture(root / "reward/class_2/a.png")
    recipe = tiny.write_recipe(tmp_path / "r.yaml", RECIPE.format(model=mistral, root=root))
    assert main(["validate", str(recipe)]) == 2
    pairs = [(root / f"test/class_0/{n}.png", root / f"test/class_2/{n}.png") for n in range(2)]
    expected = told("test", *pairs)
    assert f"ex2: {recipe}: {expected}\n" in capsys.readouterr().err


@pytest.mark.parametrize("build", [image_bank.class_means, image_bank.image_embeddings])
def test_the_bank_refuses_them_too(build: object, tmp_path: Path) -> None:
    images = [*NOISE, type(NOISE[0])(**{**vars(NOISE[0]), "label": 1})]
    with pytest.raises(UserError, match=r"^noise: 1 equal images have different labels, such as .* = .*; remove them"):
        build(Projection(), images, NAMES, cache=tmp_path, where="noise")  # type: ignore[operator]
    assert not [*tmp_path.iterdir()]


# Size.


def test_a_list_of_files_is_ordered_and_made_on_demand() -> None:
    random = np.random.default_rng(0)
    rows = {f"d{n % 7}/{n // 3}.png": f"l{n % 3}" for n in map(int, random.permutation(300))}
    label_of = {"l0": 2, "l1": 0, "l2": 1}
    files = FileList("/base", rows, label_of)
    by_hand = sorted(
        (label_of[label], Path(path).name, f"/base/{path}") for path, label in rows.items()
    )  # by label, then by file name, then by path
    assert [(i.label, Path(i.name).name, i.name) for i in files] == by_hand
    assert len(files) == 300
    assert files[-1] == ImageFile(Path(by_hand[-1][2]), 2)
    assert files[3:5] == [files[3], files[4]]
    chosen = select(files, 2, "first", 0)
    assert [image.label for image in chosen] == [0, 0, 1, 1, 2, 2]
    with pytest.raises(IndexError):
        files[300]
