"""Qt archives, captions, the split and the whole script, on packages made here."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path

import pytest
from debs import make_deb, need_dpkg, picture_bytes
from PIL import Image, ImageOps

from ex2.data.debian.made_folder import read_pictures
from ex2.data.debian.nouns import CURATION, Curation, Picture, clean_caption
from ex2.data.debian.packages import download, find_package, read_files
from ex2.data.debian.photos import build, main, make_folder, split
from ex2.data.debian.qt_rcc import RccError, entries
from reward.errors import EnvironmentFault, UserError


@pytest.fixture
def dpkg() -> None:
    need_dpkg()


SETTINGS = {"seed": 0, "min_pictures": 2, "max_pictures": 8}


def make_rcc(
    files: dict[str, bytes], *, folders: tuple[str, ...] = ("f",), version: int = 3, packed: bool = True
) -> bytes:
    """Write an archive with all files in the innermost of `folders`."""
    names, name_offsets = b"", {}
    for name in [*folders, *files]:
        name_offsets[name] = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    tail = b"\0" * 8 if version >= 2 else b""
    tree, data = b"", b""
    for depth, name in enumerate(["", *folders]):
        children = len(files) if depth == len(folders) else 1
        tree += struct.pack(">IHII", name_offsets.get(name, 0), 2, children, depth + 1) + tail
    for name, content in files.items():
        tree += struct.pack(">IHHHI", name_offsets[name], int(packed), 0, 0, len(data)) + tail
        stored = struct.pack(">I", len(content)) + zlib.compress(content) if packed else content
        data += struct.pack(">I", len(stored)) + stored
    start = 24 if version >= 3 else 20
    header = b"qres" + struct.pack(">IIII", version, start, start + len(tree), start + len(tree) + len(data))
    return header + (struct.pack(">I", 0) if version >= 3 else b"") + tree + data + names


def curation(**nouns: list[str]) -> Curation:
    table = {caption: noun for noun, captions in nouns.items() for caption in captions}
    return Curation(("t:*",), table, {"t:*cartoon*": "a drawing"}, "digest")


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("packed", [True, False])
def test_reads_qt_archives(version: int, packed: bool) -> None:
    files = {"owl.webp": b"an owl", "empty": b"", "größe.txt": "é".encode() * 1000}
    archive = make_rcc(files, version=version, packed=packed)
    assert {entry.path: entry.read() for entry in entries(archive)} == {f"f/{k}": v for k, v in files.items()}


def test_every_truncation_of_an_archive_is_an_error_and_no_crash() -> None:
    archive = make_rcc({"owl.webp": b"an owl" * 9})
    for length in range(len(archive)):
        with pytest.raises(RccError):
            [entry.read() for entry in entries(archive[:length])]


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a\0b"])
def test_archive_names_cannot_leave_their_folder(name: str) -> None:
    with pytest.raises(RccError, match="no file name"):
        list(entries(make_rcc({name: b"x"})))


def test_archive_with_a_loop() -> None:
    archive = bytearray(make_rcc({"a": b"x"}))
    struct.pack_into(">I", archive, 24 + 22 + 10, 0)  # the folder's first child becomes the root
    with pytest.raises(RccError, match="loop"):
        list(entries(bytes(archive)))


def test_archive_that_unpacks_to_more_than_it_says() -> None:
    honest = make_rcc({"a": b"x" * 1000})
    lie = honest.replace(struct.pack(">I", 1000), struct.pack(">I", 10))
    with pytest.raises(RccError, match="announces 10 bytes"):
        [entry.read() for entry in entries(lie)]
    bomb = honest.replace(struct.pack(">I", 1000), struct.pack(">I", 2**31))
    with pytest.raises(RccError, match="more than"):
        [entry.read() for entry in entries(bomb)]


def test_foreign_and_newer_archives() -> None:
    with pytest.raises(RccError, match="does not start with 'qres'"):
        list(entries(b"PK\3\4" + bytes(99)))
    with pytest.raises(RccError, match="version 9"):
        list(entries(b"qres" + struct.pack(">IIII", 9, 0, 0, 0)))


@pytest.mark.parametrize(
    ("caption", "noun"),
    [
        ("An owl.", "owl"),
        ("A “Granny Smith” apple.", "apple"),
        ("A pair of closed scissors.", "closed scissors"),
        ("A peacock (a male peafowl).", "peacock"),
        ("Two flowers.", "flowers"),
        ("A plumber’s wrench.", "plumber's wrench"),
        ("polar_bear", "polar bear"),
        ("measuringTape4", "measuring tape"),
        ("Another tombstone.", "tombstone"),
        ("", ""),
    ],
)
def test_captions_are_cleaned(caption: str, noun: str) -> None:
    assert clean_caption(caption) == noun


def test_nouns_come_from_captions_unless_the_list_says_otherwise() -> None:
    rules = curation(sheep=["ram"], cooker=["t:solar[12].png"], gnu=["the baby of a very young gnu"])

    def noun(caption: str, path: str = "x.png") -> str | None:
        return rules.noun(Picture(f"t:{path}", caption, b""))

    assert noun("A ram.") == "sheep"
    assert noun("A sheep.") == "sheep"
    assert noun("solar", "solar2.png") == "cooker"
    assert noun("solar", "solar3.png") == "solar"
    assert noun("An owl.", "cartoon/owl.png") is None
    assert noun("This is a whole sentence.") is None
    assert rules.noun(Picture("elsewhere:x.png", "An owl.", b"")) is None


@pytest.mark.parametrize("count", range(2, 9))
def test_split_deals_every_picture_out_evenly(count: int) -> None:
    items = [str(number) for number in range(count)]
    sizes = []
    for seed in range(20):
        dealt = split(items, seed, "owl")
        assert dealt == split(items, seed, "owl")
        assert set(dealt) == set(items)
        sizes.append(list(dealt.values()).count("reward"))
    # An odd picture goes to either side, by the seed.
    assert set(sizes) == {count // 2, (count + 1) // 2}


def test_build_drops_copies_and_keeps_the_splits_apart(tmp_path: Path) -> None:
    mirrored = io.BytesIO()
    ImageOps.mirror(Image.open(io.BytesIO(picture_bytes(1)))).save(mirrored, "PNG")
    pictures = [
        Picture("t:1.png", "An owl.", picture_bytes(1)),
        Picture("t:1_mirror.png", "An owl.", mirrored.getvalue()),
        Picture("t:1_again.png", "An owl.", picture_bytes(1, kind="WEBP")),
        Picture("t:2.png", "An owl.", picture_bytes(2)),
        Picture("t:3.png", "Some polar bear.", picture_bytes(3)),
        Picture("t:4.png", "A polar bear.", picture_bytes(4)),
        Picture("t:5.png", "A polar bear.", picture_bytes(5)),
        Picture("t:6.png", "A bus.", picture_bytes(6)),
    ]
    rows = build(pictures, curation(), tmp_path, SETTINGS)
    assert {(row["noun"], row["source"]) for row in rows} == {
        ("owl", "t:1.png"),
        ("owl", "t:2.png"),
        ("polar bear", "t:3.png"),
        ("polar bear", "t:4.png"),
        ("polar bear", "t:5.png"),
    }
    files = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.rglob("*.png")}
    assert {str(path.relative_to(tmp_path)): digest for path, digest in files.items()} == {
        row["file"]: row["sha256"] for row in rows
    }
    assert len(set(files.values())) == 5
    assert {path.parent.relative_to(tmp_path).as_posix() for path in files} == {
        f"{part}/{noun}" for part in ("reward", "test") for noun in ("owl", "polar_bear")
    }


def test_build_flattens_on_white_and_shrinks(tmp_path: Path) -> None:
    pictures = []
    for number in (1, 2):
        stream = io.BytesIO()
        image = Image.new("RGBA", (1024, 512), (0, 0, 0, 0))
        image.paste((200, 0, 0, 255), (0, 0, 512 * number, 256))
        image.save(stream, "PNG")
        pictures.append(Picture(f"t:{number}.png", "A flag.", stream.getvalue()))
    build(pictures, curation(), tmp_path, SETTINGS)
    (path,) = tmp_path.rglob("t-1.png")
    with Image.open(path) as image:
        assert (image.mode, image.size) == ("RGB", (512, 256))
        assert image.getpixel((500, 10)) == image.getpixel((10, 250)) == (255, 255, 255)
        assert image.getpixel((10, 10)) == (200, 0, 0)


def test_build_limits_large_classes_and_refuses_damaged_or_too_few_pictures(tmp_path: Path) -> None:
    many = [Picture(f"t:{number}.png", "An owl.", picture_bytes(number)) for number in range(9)]
    assert len(build(many, curation(), tmp_path / "a", {**SETTINGS, "max_pictures": 4})) == 4
    with pytest.raises(UserError, match="no class has 2 pictures"):
        build(many[:1], curation(), tmp_path / "b", SETTINGS)
    with pytest.raises(UserError, match=r"t:x\.png: not a readable image"):
        build([Picture("t:x.png", "An owl.", b"no picture")], curation(), tmp_path / "c", SETTINGS)


def test_shipped_list_is_consistent() -> None:
    data = json.loads(CURATION.read_text(encoding="utf-8"))
    captions = [caption for listed in data["nouns"].values() for caption in listed]
    assert len(captions) == len(set(captions)), "a caption belongs to two nouns"
    assert all(row["reason"] and row["patterns"] for row in data["excluded"])
    assert all(noun == clean_caption(noun) and len(noun.split()) <= 3 for noun in data["nouns"])
    assert all(":" in caption or caption == clean_caption(caption) for caption in captions)
    assert not set(captions) & set(data["nouns"]), "a caption that is itself a noun would move its pictures away"


@pytest.fixture
def debs(tmp_path: Path) -> Path:
    folder = tmp_path / "debs"
    folder.mkdir()
    stamps = "usr/share/tuxpaint/stamps/animals/"
    make_deb(
        folder,
        "tuxpaint-stamps-default",
        {
            f"{stamps}birds/owl.png": picture_bytes(1),
            f"{stamps}birds/owl.txt": b"An owl.\nde.utf8=Eine Eule.\n",
            f"{stamps}birds/cartoon/owl2.png": picture_bytes(2),
            f"{stamps}birds/cartoon/owl2.txt": b"An owl.\n",
            f"{stamps}mammals/yak.png": picture_bytes(3),
            f"{stamps}mammals/yak.txt": b"A yak.\n",
            f"{stamps}mammals/nameless.png": picture_bytes(4),
        },
    )
    pictures = {"owl.webp": picture_bytes(5, kind="WEBP"), "owl.svg": b"<svg/>"}
    archive = make_rcc(pictures, folders=("gcompris", "resource", "animals"))
    make_deb(folder, "gcompris-qt-data", {"usr/share/gcompris-qt/rcc/explore_farm_animals.rcc": archive})
    return folder


@pytest.mark.usefixtures("dpkg")
def test_from_packages_to_folder_and_a_second_call(
    tmp_path: Path, debs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data" / "photos"
    command = ["--debs", str(debs), "--out", str(out)]
    assert main(command) == 0
    assert capsys.readouterr().out == f"{out}: 1 classes, 1 reward pictures, 1 test pictures\n"
    manifest = json.loads((out / "manifest.json").read_text())
    assert {row["source"] for row in manifest["pictures"]} == {
        "tuxpaint:animals/birds/owl.png",
        "gcompris:explore_farm_animals/animals/owl.webp",
    }
    assert [package["version"] for package in manifest["inputs"]["packages"]] == ["1.0", "1.0"]
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert main(command) == 0
    assert capsys.readouterr().out.endswith("(unchanged)\n")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times
    next(out.rglob("*.png")).unlink()  # damaged: made anew
    assert main(command) == 0
    assert len(list(out.rglob("*.png"))) == 2
    assert [path.name for path in out.parent.iterdir()] == ["photos"], "temporary files are left"


@pytest.mark.usefixtures("dpkg")
def test_damaged_packages_and_foreign_folders_are_one_line(tmp_path: Path, debs: Path) -> None:
    out = tmp_path / "photos"
    with pytest.raises(UserError, match=r"no class has 3 pictures"):
        make_folder(debs, out, min_pictures=3)
    assert not out.exists()
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="was not made by this script"):
        make_folder(debs, out)
    assert (out / "thesis.txt").read_text() == "mine"
    deb = next(debs.glob("tuxpaint*"))
    whole = deb.read_bytes()
    deb.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"tuxpaint.*: (damaged|not a Debian package)"):
        list(read_files(find_package(debs, "tuxpaint-stamps-default"), "usr/", (".png",)))
    deb.write_bytes(b"not a package")
    with pytest.raises(UserError, match="not a Debian package"):
        find_package(debs, "tuxpaint-stamps-default")
    deb.unlink()
    with pytest.raises(UserError, match=r"no tuxpaint-stamps-default_\*\.deb; add --download"):
        make_folder(debs, out)


@pytest.mark.usefixtures("dpkg")
def test_only_nouns_that_another_folder_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files: dict[str, bytes] = {}
    for number, noun in enumerate(("yak", "barn owl")):
        for each in range(5):
            path = f"usr/share/tuxpaint/stamps/animals/{noun}/{each}"
            files |= {f"{path}.png": picture_bytes(10 * number + each), f"{path}.txt": f"A {noun}.".encode()}
    debs = tmp_path / "debs"
    debs.mkdir()
    make_deb(debs, "tuxpaint-stamps-default", files)
    make_deb(debs, "gcompris-qt-data", {})
    like = tmp_path / "drawings"
    (like / "barn_owl").mkdir(parents=True)
    command = ["--debs", str(debs), "--out", str(tmp_path / "all")]
    assert main(command) == 0
    everything = read_pictures(tmp_path / "all")
    assert main([*command[:3], str(tmp_path / "some"), "--like", str(like)]) == 0
    owls = [row for row in everything if row["noun"] == "barn owl"]
    assert (len(everything), len(owls)) == (10, 5)
    assert read_pictures(tmp_path / "some") == owls
    (like / "bat").mkdir()
    capsys.readouterr()
    assert main([*command[:3], str(tmp_path / "none"), "--like", str(like)]) == 2
    assert capsys.readouterr().err == (
        "ex2: bat: not 2 photographs of each; lower --min-pictures, or remove their folders from that of --like.\n"
    )
    assert not (tmp_path / "none").exists()
    assert main([*command, "--like", str(tmp_path / "absent")]) == 2
    assert "--like" in capsys.readouterr().err


@pytest.mark.usefixtures("dpkg")
def test_members_outside_the_prefix_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "debs"
    folder.mkdir()
    make_deb(folder, "p", {"usr/share/x/a.png": b"1", "usr/share/y/b.png": b"2", "usr/share/x/c.txt": b"3"})
    assert dict(read_files(find_package(folder, "p"), "usr/share/x/", (".png",))) == {"usr/share/x/a.png": b"1"}


def test_settings_that_leave_a_split_empty(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 <= min <= max"):
        make_folder(tmp_path, tmp_path / "out", min_pictures=1)


def fake_apt(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "bin" / "apt-get"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_download_fetches_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apt(tmp_path, 'shift 2; for name in "$@"; do echo package > "${name}_1_all.deb"; done', monkeypatch)
    folder = tmp_path / "debs"
    folder.mkdir()
    (folder / "a_1_all.deb").write_text("there")
    assert download(folder, ["a", "b"]) == ["b"]
    assert {path.name: path.read_text().strip() for path in folder.iterdir()} == {
        "a_1_all.deb": "there",
        "b_1_all.deb": "package",
    }
    assert download(folder, ["a", "b"]) == []


def test_download_failure_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apt(tmp_path, "touch part_1_all.deb; echo 'W: slow' >&2; echo 'E: Unable to fetch' >&2; exit 100", monkeypatch)
    with pytest.raises(EnvironmentFault, match=r"apt-get download a: E: Unable to fetch.*apt-get update"):
        download(tmp_path / "debs", ["a"])
    assert list((tmp_path / "debs").iterdir()) == []


def test_without_debian_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_1_all.deb").write_text("x")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvironmentFault, match=r"dpkg-deb: not found; run this on Debian"):
        find_package(tmp_path, "a")
    with pytest.raises(EnvironmentFault, match="apt-get: not found"):
        download(tmp_path, ["b"])
