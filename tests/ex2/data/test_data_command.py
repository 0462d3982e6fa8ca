"""`ex2 data`: what it shows, what it refuses, and the contact sheet."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import miniatures
import pytest
import tiny
from PIL import Image
from tars import md5, tar_of

from ex2.cli import main
from ex2.data.contact_sheet import GAP, MARGIN, THUMBNAIL, TITLE, classes_shown, contact_sheet
from ex2.data.datasets.archives import Archive
from ex2.data.datasets.folder_layouts import CUB


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)


def table(text: str, title: str) -> dict[str, list[str]]:
    """Return the rows of a printed table by their second column's text, or the first's."""
    rows = {}
    for line in text.partition(title)[2].partition("└")[0].splitlines():
        if line.startswith("│"):
            cells = [cell.strip() for cell in line.strip("│").split("│")]
            rows[cells[1] if title.startswith("Images") else cells[0]] = cells
    return rows


def test_shapes_are_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "shapes", "images_per_class=3", "--sheet", "sheets/s.png"]) == 0
    shown = capsys.readouterr()
    classes = table(shown.out, "Images per class and split")
    assert classes["wug"] == ["0", "wug", "3", "3", "3"]
    assert classes["total"] == ["", "total", "48", "48", "48"]
    # split, images, official, unreadable, least, median and greatest number per class, empty classes
    assert table(shown.out, "Splits")["test"] == ["test", "48", "–", "0", "3", "3", "3", "0"]
    assert "contact sheet: sheets/s.png (all classes)" in shown.out
    with Image.open(tmp_path / "sheets/s.png") as sheet:
        assert sheet.format == "PNG"


def test_a_broken_folder_shows_everything_then_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tiny.save_image_folder(tmp_path / "photos", classes=3, reward=25, test=2)
    shutil.copy(root / "reward/class_0/3.png", root / "test/class_0/other.png")
    (root / "reward/class_1/7.png").write_bytes(b"no image")
    (root / "reward/class_1/8.png").write_bytes((root / "reward/class_1/8.png").read_bytes()[:300])
    for number in range(1, 25):
        (root / f"reward/class_2/{number}.png").unlink()
    (root / "test/class_2/0.png").unlink()
    (root / "test/class_2/1.png").unlink()
    shutil.copy(root / "reward/class_0/0.png", root / "reward/class_1/copy.png")
    assert main(["data", "folder", "--root", str(root)]) == 2
    shown = capsys.readouterr()
    assert table(shown.out, "Images per class and split")["class 1"] == ["1", "class 1", "24", "2"]
    assert table(shown.out, "Splits")["reward"] == ["reward", "50", "–", "2", "1", "24", "25", "0"]
    assert "note: reward: nearly empty classes: class 2 (1)" in shown.out
    assert "note: 1 images repeat an earlier image of their split" in shown.out
    assert (tmp_path / "folder.png").exists()
    lines = shown.err.splitlines()
    start = next(index for index, line in enumerate(lines) if line.endswith("2 unreadable files:"))
    assert lines[start].endswith("ex2: folder: reward: 2 unreadable files:")
    assert f"{root}/reward/class_1/7.png: not a readable image" in lines[start + 1]
    assert f"{root}/reward/class_1/8.png: not a readable image" in lines[start + 2]
    assert "ex2: folder: test: 1 classes without images: class 2" in lines
    assert "ex2: folder: 1 images are in both 'reward' and 'test':" in lines
    assert f"ex2: folder:   {root}/reward/class_0/3.png = {root}/test/class_0/other.png" in lines
    assert "ex2: folder: 1 equal images have different labels:" in lines
    assert f"ex2: folder:   {root}/reward/class_0/0.png = {root}/reward/class_1/copy.png" in lines


def saved(shown: str) -> str:
    """Return the whole of a message that was too long to be shown."""
    found = re.search(r"The whole message: (\S+)$", shown, re.MULTILINE)
    assert found is not None
    return Path(found[1]).read_text()


def test_many_unreadable_files_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tiny.save_image_folder(tmp_path / "photos", classes=1, reward=30)
    for number in range(23):
        (root / f"reward/class_0/{number}.png").write_bytes(b"")
    assert main(["data", "folder", "--root", str(root)]) == 2
    shown = capsys.readouterr().err
    whole = saved(shown)
    assert whole.count("not a readable image") == 20
    assert "and 3 more" in whole
    assert shown.endswith("ex2: folder: and 3 more\n")


def test_a_partial_unpack_is_seen_by_its_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    miniatures.fgvc_aircraft(tmp_path)
    (tmp_path / "fgvc-aircraft-2013b/data/images/0000002.jpg").unlink()
    assert main(["data", "fgvc_aircraft", "--root", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert table(shown.out, "Splits")["val"][1:4] == ["0", "3333", "1"]
    whole = saved(shown.err)
    assert "fgvc_aircraft: test: 2 readable images, officially 3333; unpack the official archives again." in whole
    assert "0000002.jpg: missing; unpack the dataset again" in whole
    assert "val: 100 classes without images: Boeing 707-320 aircraft, Boeing 727-200 aircraft" in whole
    assert "and 80 more" in whole
    assert "are in both" not in shown.err  # trainval is train and val by definition


def test_official_counts_are_fine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dataset with as many images as it should have, no more and no fewer, passes; here a miniature of two birds."""
    names = tmp_path / "names"
    names.mkdir()
    (names / "cub.json").write_text('{"source": "test", "names": ["Rook", "Crow"]}')
    monkeypatch.setattr("ex2.data.datasets.class_lists.FOLDER", names)
    base = tmp_path / "CUB_200_2011"
    miniatures.lines(base / "classes.txt", ["1 001.Rook", "2 002.Crow"])
    files = ["001.Rook/a.png", "002.Crow/b.png", "001.Rook/c.png", "002.Crow/d.png"]
    for file in files:
        miniatures.picture(base / "images" / file)
    miniatures.lines(base / "images.txt", [f"{n} {file}" for n, file in enumerate(files, start=1)])
    miniatures.lines(base / "image_class_labels.txt", ["1 1", "2 2", "3 1", "4 2"])
    miniatures.lines(base / "train_test_split.txt", ["1 1", "2 1", "3 0", "4 0"])
    monkeypatch.setattr(CUB, "official_sizes", {"train": 2, "test": 2})
    assert main(["data", "cub", "--root", str(tmp_path)]) == 0
    assert "official" in capsys.readouterr().out


def test_download_then_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    miniatures.cub(tmp_path / "made")
    base = tmp_path / "made/CUB_200_2011"
    content = {f"CUB_200_2011/{p.relative_to(base)}": p.read_bytes() for p in base.rglob("*") if p.is_file()}
    archive = tar_of(tmp_path / "CUB_200_2011.tgz", content)
    monkeypatch.setattr(CUB, "archives", (Archive(f"file://{archive}", "CUB_200_2011", md5(archive)),))
    root = tmp_path / "new"
    assert main(["data", "cub", "--root", str(root)]) == 2  # nothing is fetched unasked
    assert "ex2 data cub --root" in capsys.readouterr().err
    assert not root.exists()
    assert main(["data", "cub", "--root", str(root), "--download"]) == 2  # four images are not the official 11,788
    shown = capsys.readouterr()
    assert "(md5 as published)" in shown.out
    assert "train: 2 readable images, officially 5994" in shown.err
    assert "100 of 200 classes" in shown.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cub", "--download"], "--download: where to? Give the folder with --root."),
        (
            ["stanford_cars", "--root", "R", "--download"],
            "cannot be downloaded: its official page is gone. Get",
        ),
        (["shapes", "--download"], "--download: 'shapes' has no official archives"),
        (["shapes", "--sheet", "x.jpg"], "--sheet: given 'x.jpg'; the contact sheet is a .png file."),
        (["shapes", "seed"], "command line: 'seed' is no setting; write key=value"),
        (["shapes", "seed=["], "command line: seed: line 1: not valid YAML: expected the node"),
        (["shapes", "--root", "x"], "data: unknown 'root'. Available: images_per_class, seed, size."),
        (["folder", "root=a", "--root", "b"], "command line: give either --root or root=…, not both."),
        (["pet", "--root", "x"], "data: unknown 'pet'. Did you mean 'pets'?"),
        (["pets"], "data: 'root' is missing; 'OxfordPets' cannot do without it."),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_names_with_brackets_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tiny.save_image_folder(tmp_path / "photos", classes=2)
    assert main(["data", "folder", "class_names=['a [red] crow', rook]", "--root", str(root)]) == 0
    assert "a [red] crow" in capsys.readouterr().out


def test_contact_sheet_places_and_shortens() -> None:
    """Three classes: one column of blocks (√(3·124/616·4/3) rounds to 1), each a title and a row."""
    red, wide = Image.new("RGB", (THUMBNAIL, THUMBNAIL), "red"), Image.new("RGB", (THUMBNAIL, 10), "blue")
    sheet = contact_sheet(["crow", "x" * 300, "rook"], {0: [red, wide], 1: [], 2: [wide]})
    height = TITLE + THUMBNAIL + 2 * GAP
    assert sheet.size == (2 * MARGIN + 6 * (THUMBNAIL + GAP), 2 * MARGIN + 3 * height)
    center = TITLE + THUMBNAIL // 2
    assert sheet.getpixel((MARGIN + 1, MARGIN + center)) == (255, 0, 0)
    second = MARGIN + THUMBNAIL + GAP
    assert sheet.getpixel((second + 1, MARGIN + center)) == (0, 0, 255)  # centred: ten pixels high
    assert sheet.getpixel((second + 1, MARGIN + center - 6)) == (255, 255, 255)
    assert sheet.getpixel((MARGIN + 1, MARGIN + height + center)) == (232, 232, 232)  # an empty class
    assert sheet.getpixel((MARGIN + 1, MARGIN + 2 * height + center)) == (0, 0, 255)
    margin = sheet.crop((sheet.width - MARGIN, 0, sheet.width, sheet.height))
    assert margin.getcolors() == [(MARGIN * sheet.height, (255, 255, 255))]  # the long name ends before it
    title = sheet.crop((MARGIN, MARGIN, MARGIN + 200, MARGIN + TITLE))
    assert len(title.getcolors(maxcolors=300) or []) > 5  # letters


def test_a_sheet_of_many_classes_spreads_over_all() -> None:
    assert classes_shown(3) == [0, 1, 2]
    assert classes_shown(200) == list(range(0, 200, 2))
    assert len(set(classes_shown(196))) == 100
