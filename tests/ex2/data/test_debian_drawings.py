"""The list of drawings, and the folder that is made of it, on packages made here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from debs import make_deb, need_dpkg
from PIL import Image

from ex2.data.debian import drawings
from ex2.data.debian.drawings import PREFIX, DrawingList, framed, main, read_list
from ex2.data.debian.nouns import clean_caption
from reward.files import write_json


def square(color: str, x: int = 0) -> bytes:
    start = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">'
    return f'{start}<rect x="{x}" y="5" width="20" height="10" fill="{color}"/></svg>'.encode()


def test_the_shipped_list_holds_distinct_files_of_each_noun() -> None:
    listed, _ = read_list()
    files = [file for each in listed.drawings.values() for file in each]
    assert len(files) == len(set(files)) == len(listed.nouns()) == 97
    assert len(listed.drawings) == 20
    assert [*listed.drawings] == sorted(listed.drawings)
    assert all(noun == clean_caption(noun) for noun in listed.drawings)
    assert all(3 <= len(each) <= 8 and each == sorted(each) for each in listed.drawings.values())
    assert all(file.endswith(".svg") and not file.startswith(("/", ".")) for file in files)


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DrawingList:
    found = DrawingList(
        "", "openclipart-svg", "1.0", "public domain", {"polar bear": ["a/1.svg", "b/1.svg"], "cup": ["c.svg"]}
    )
    write_json(tmp_path / "list.json", found.to_json())
    monkeypatch.setattr(drawings, "read_list", lambda: read_list(tmp_path / "list.json"))
    return found


def package(folder: Path, files: dict[str, bytes], version: str = "1.0") -> Path:
    need_dpkg()
    folder.mkdir(exist_ok=True)
    make_deb(folder, "openclipart-svg", {PREFIX + path: content for path, content in files.items()}, version)
    return folder


GOOD = {"a/1.svg": square("#f00"), "b/1.svg": square("#0f0"), "c.svg": square("#00f"), "d.svg": b"not listed"}


@pytest.mark.usefixtures("listed")
def test_from_the_package_to_a_folder_and_a_second_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    debs, out = package(tmp_path / "debs", GOOD), tmp_path / "out"
    command = ["--debs", str(debs), "--out", str(out)]
    assert main(command) == 0
    assert main(command) == 0
    line = f"{out}: 2 classes, 3 drawings"
    assert capsys.readouterr().out == f"{line}\n{line} (unchanged)\n"
    manifest = json.loads((out / "manifest.json").read_text())
    deb = next(debs.glob("*.deb"))
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    assert manifest["inputs"]["packages"] == [{"name": "openclipart-svg", "version": "1.0", "sha256": digest}]
    assert manifest["inputs"]["license"] == "public domain"
    assert {(row["noun"], row["source"], row["file"]) for row in manifest["pictures"]} == {
        ("polar bear", "openclipart:a/1.svg", "polar_bear/openclipart-a-1.png"),
        ("polar bear", "openclipart:b/1.svg", "polar_bear/openclipart-b-1.png"),
        ("cup", "openclipart:c.svg", "cup/openclipart-c.png"),
    }
    for row in manifest["pictures"]:
        assert hashlib.sha256((out / row["file"]).read_bytes()).hexdigest() == row["sha256"]
    with Image.open(out / "cup/openclipart-c.png") as image:
        assert (image.size, image.getcolors()) == ((512, 256), [(512 * 256, (0, 0, 255))])
    assert main([*command, "--margin", "0.25"]) == 0, "another margin makes the folder anew"
    with Image.open(out / "cup/openclipart-c.png") as image:
        assert image.size == (768, 768)
    package(debs, GOOD, "2.0")
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out == f"{line}; openclipart-svg 2.0, 1.0 was looked at\n"


@pytest.mark.usefixtures("listed")
def test_all_that_is_wrong_is_told_at_once_and_nothing_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="/a.png"/></svg>'
    debs, out = package(tmp_path / "debs", {"b/1.svg": hostile, "c.svg": square("#00f")}), tmp_path / "out"
    assert main(["--debs", str(debs), "--out", str(out)]) == 2
    assert capsys.readouterr().err == (
        "ex2: openclipart:a/1.svg: not in the package; take it off the list of drawings.\n"
        "ex2: openclipart:b/1.svg: has <image>, which may read files or run code; take it off the list of drawings.\n"
    )
    assert not out.exists()
    package(debs, {**GOOD, "b/1.svg": square("#f00", x=10)}, "2.0")
    assert main(["--debs", str(debs), "--out", str(out)]) == 2
    assert capsys.readouterr().err == (
        "ex2: openclipart:b/1.svg: shows the same as openclipart:a/1.svg; take one off the list of drawings.\n"
    )
    assert main(["--debs", str(debs), "--out", str(out), "--margin", "nan"]) == 2
    assert capsys.readouterr().err == "ex2: --margin nan: give a share of the longer side, from 0 to 1.\n"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert main(["--debs", str(package(debs, GOOD, "3.0")), "--out", str(out)]) == 2
    assert (out / "thesis.txt").read_text() == "mine"


def test_a_frame_is_a_white_square_with_the_picture_in_its_middle() -> None:
    picture = Image.new("RGB", (20, 10), "#f00")
    assert framed(picture, 0) is picture
    square = framed(picture, 0.15)  # 20 × 1.3
    assert square.size == (26, 26)
    assert sorted(square.getcolors() or []) == [(200, (255, 0, 0)), (26 * 26 - 200, (255, 255, 255))]
    assert [square.getpixel(at) for at in ((3, 8), (22, 17))] == [(255, 0, 0)] * 2
    assert [square.getpixel(at) for at in ((2, 8), (23, 17), (3, 7), (22, 18))] == [(255, 255, 255)] * 4
