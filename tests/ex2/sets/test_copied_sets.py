"""Sets of copies: of a dataset's split, of class folders, and of other layouts; test images in them are found."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_sets import Blocks, content, drawn
from PIL import Image

from ex2.data.datasets.base import ImageFile, open_dataset
from ex2.data.datasets.image_sets import ImageSet
from ex2.sets.draw import SetPlan, draw_set, requests_for, set_folder
from ex2.sets.exports import export_class_folders, export_genbench, export_geneval
from ex2.sets.generators.base import GENERATORS, Generator, build_generator
from ex2.sets.generators.copies import Copies, by_class
from ex2.sets.generators.folder import Folder
from ex2.sets.layouts import import_set, read_class_folders, read_genbench, read_geneval
from ex2.sets.overlap import Near, Overlap, find_overlap, hashed, near_duplicates, rows_for_test
from reward.errors import UserError

CLASSES = ("cat", "dog")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits of two classes, five photographs each, all different."""
    root = tmp_path_factory.mktemp("photos")
    pixels = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for number in range(5):
                image = Image.fromarray(pixels.integers(0, 256, (6, 7, 3), dtype=np.uint8))
                image.save(root / split / name / f"{number}.jpg")
    return root


def copied(root: Path, generator: Generator, per_class: int = 3, seed: int = 0) -> ImageSet:
    requests = requests_for(CLASSES, per_class, seed)
    plan = SetPlan(name="copies", generator=generator, class_names=CLASSES, requests=requests, seed=seed)
    return draw_set(plan, root, progress=False)


def original(photos: Path, **settings: object) -> Generator:
    given = {"dataset": {"name": "folder", "root": str(photos)}, "split": "train", **settings}
    return build_generator("original", given)


def sources(found: ImageSet) -> list[str]:
    return [row.source for row in found.rows]


def hashes(*paths: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def refused(action: object, *given: object, **named: object) -> str:
    with pytest.raises(UserError) as error:
        action(*given, **named)  # type: ignore[operator]
    return str(error.value)


def test_the_table_of_generators() -> None:
    assert set(GENERATORS) == {"code", "diffusers", "folder", "original", "retrieval", "toy"}
    assert isinstance(build_generator("drawn_sets.Blocks", {"batch_size": 5}), Blocks)
    assert refused(build_generator, "originl", {}).startswith("generator: unknown 'originl'. Did you mean 'original'?")


def test_original_takes_the_first_images_and_knows_their_files(photos: Path, tmp_path: Path) -> None:
    found = copied(tmp_path, original(photos))
    files = [photos / "train" / name / f"{number}.jpg" for name in CLASSES for number in range(3)]
    assert sources(found) == hashes(*files)
    for row, path in zip(found.rows, files, strict=True):
        with Image.open(path) as was, Image.open(found.folder / row.file_name) as copy:
            assert np.array_equal(np.asarray(was), np.asarray(copy))
        assert (row.prompt, row.strategy, row.generator, row.seconds) == ("", "", "original", 0.0)
        assert row.sha256 != row.source


def test_images_taken_at_random_are_other_ones_by_seed_and_by_class(photos: Path, tmp_path: Path) -> None:
    """Were all classes given one order, few images a class would make few different sets: seeds would repeat."""
    drawn_by_seed = []
    for seed in range(3):
        found = copied(tmp_path, original(photos, selection="random"), seed=seed)
        more = copied(tmp_path, original(photos, selection="random"), per_class=4, seed=seed)
        assert [row.source for row in more.rows if row.index < 3] == sources(found)
        drawn_by_seed.append(sources(found))
    assert len({*map(tuple, drawn_by_seed)}) == 3
    train = open_dataset("folder", {"root": str(photos)}).images("train")
    place = {image.digest(): number % 5 for number, image in enumerate(train)}
    first = {name: Counter[int]() for name in CLASSES}
    alike = 0
    copies = Copies(by_class(train, CLASSES), "random", "x")
    for seed in range(300):
        drawn_places = [place[copies.draw([request])[0].source] for request in requests_for(CLASSES, 1, seed)]
        for name, at in zip(CLASSES, drawn_places, strict=True):
            first[name][at] += 1
        alike += drawn_places[0] == drawn_places[1]
    assert all(35 < count < 90 for counts in first.values() for count in counts.values()), "60 each are expected"
    assert 35 < alike < 90, "in 60 of 300 by chance, not in all"
    pooled = copied(tmp_path, original(photos, selection="random", pool=3), seed=1)
    assert sorted(sources(pooled)) == sorted(sources(copied(tmp_path, original(photos))))


def test_a_replaced_photograph_makes_another_set(photos: Path, tmp_path: Path) -> None:
    for name in CLASSES:
        (tmp_path / "all" / name).mkdir(parents=True)
        Image.new("RGB", (5, 5), "red" if name == "cat" else "blue").save(tmp_path / "all" / name / "1.png")
    first = copied(tmp_path, Folder(str(tmp_path / "all")), 1)
    assert copied(tmp_path, Folder(str(tmp_path / "all"), selection="first"), 1) == first
    Image.new("RGB", (5, 5), "green").save(tmp_path / "all/dog/1.png")
    assert copied(tmp_path, Folder(str(tmp_path / "all")), 1).folder.parent != first.folder.parent
    (tmp_path / "all").rename(tmp_path / "moved")
    moved = SetPlan(
        name="copies",
        generator=Folder(str(tmp_path / "moved")),
        class_names=CLASSES,
        requests=requests_for(CLASSES, 1, 0),
        seed=0,
    )
    assert (set_folder(moved, tmp_path) / "set.json").is_file()


def test_what_cannot_be_copied_is_said_before_anything_is(photos: Path, tmp_path: Path) -> None:
    where = "dataset folder, split 'train'"
    assert refused(copied, tmp_path, original(photos), 6).splitlines() == [
        f"{where}: class '{name}' has 5 images, and 6 are asked for; ask for fewer of every class, or leave the class "
        "out."
        for name in CLASSES
    ]
    other = build_generator("folder", {"root": str(photos / "train"), "class_names": {"cat": "cat", "dog": "wolf"}})
    assert refused(copied, tmp_path, other) == (f"folder '{photos}/train': class: unknown 'dog'. Available: cat, wolf.")
    assert refused(original, photos, split="trian") == (
        "generator.split: unknown 'trian'. Did you mean 'train'? Available: test, train."
    )
    assert refused(build_generator, "original", {"dataset": {"root": "x"}, "split": "train"}) == (
        "generator.dataset: 'name' is missing; give the name of a dataset and its settings."
    )
    assert not [*tmp_path.iterdir()]
    for name in CLASSES:
        (tmp_path / "bad" / name).mkdir(parents=True)
        (tmp_path / "bad" / name / "1.png").write_bytes(b"no image")
    assert refused(copied, tmp_path, Folder(str(tmp_path / "bad")), 1).startswith(f"{tmp_path}/bad/cat/1.png: not a ")


def test_test_images_in_a_set_are_found(photos: Path, tmp_path: Path) -> None:
    test = open_dataset("folder", {"root": str(photos)}).images("test")
    assert find_overlap(copied(tmp_path, original(photos)), test) == []
    leaked = copied(tmp_path, original(photos, split="test"), 2)
    assert find_overlap(leaked, test) == [Overlap(row, where, "file") for row, where in enumerate((0, 1, 5, 6))]

    again = tmp_path / "again"  # the same pixels in other files, and one of the same pixels in another shape
    for name in CLASSES:
        (again / name).mkdir(parents=True)
    with Image.open(photos / "test/dog/4.jpg") as image:
        image.save(again / "cat/1.png")
        Image.frombytes("RGB", (6, 7), image.tobytes()).save(again / "dog/1.png")
    mixed = copied(tmp_path, Folder(str(again)), 1)
    assert find_overlap(mixed, test) == [Overlap(0, 9, "pixels")]
    assert refused(rows_for_test, mixed, test) == (
        f"{mixed.folder}: 1 of 2 images are test images, such as {mixed.folder}/images/cat/00000.png = "
        f"{photos}/test/dog/4.jpg (pixels); a number measured on them would say nothing. Draw the set from other "
        "images, or take them out of it with overlap: drop."
    )
    assert [row.class_name for row in rows_for_test(mixed, test, "drop")] == ["dog"]

    drawn_file = leaked.folder / leaked.rows[1].file_name  # the set's own file as a test image
    assert find_overlap(leaked, [ImageFile(drawn_file, 0)]) == [Overlap(1, 0, "file")]


def test_pixels_of_test_images_are_hashed_once(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding a large test split takes minutes: only what was never seen, or whose hashes are damaged, is decoded."""
    test, cache = open_dataset("folder", {"root": str(photos)}).images("test"), tmp_path / "cache"
    opened: list[str] = []
    decode = ImageFile.open
    monkeypatch.setattr(ImageFile, "open", lambda image: opened.append(image.name) or decode(image))
    first = hashed(test, cache=cache)
    assert len(opened) == len(test) == 10
    assert hashed(test, cache=cache) == first == hashed(test)
    assert len(opened) == 20, "the second one without a cache"
    (kept,) = cache.iterdir()
    whole = kept.read_text()
    digest = first.by_pixels and next(iter(first.by_pixels))[0]
    for damaged in ("", "[]", "{}", whole[:200], whole.replace(str(digest), "0" * 64), whole.replace(" 7", " 8")):
        kept.write_text(damaged)
        assert hashed(test, cache=cache) == first
        assert len(opened) == 30
        assert kept.read_text() == whole
        del opened[20:]
    assert hashed(test[:9], cache=cache) == hashed(test[:9])


def test_near_duplicates_by_brute_force() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.nn.functional.normalize(torch.randn(1500, 3, generator=generator), dim=1)
    test = torch.nn.functional.normalize(torch.randn(40, 3, generator=generator), dim=1)
    nearest = [max((float(a @ b), i, j) for j, b in enumerate(test.numpy())) for i, a in enumerate(images.numpy())]
    brute = [one for one in nearest if one[0] > 0.98]
    pairs, count = near_duplicates(images, test, most=25)
    assert 300 < len(brute) == count < 1500
    best = sorted(brute, key=lambda one: -one[0])[:25]
    assert [(pair.row, pair.test) for pair in pairs] == [(i, j) for _, i, j in best]
    assert any(pair.row >= 1024 for pair in pairs)
    assert [pair.cosine for pair in pairs] == pytest.approx([cosine for cosine, _, _ in best])
    unit = torch.eye(3)
    assert near_duplicates(unit, unit[1:2], above=0.5) == ([Near(1, 0, 1.0)], 1)
    assert near_duplicates(unit, unit[1:2], above=1.0) == ([], 0)


def pictures(found: ImageSet) -> list[tuple[str, int, str, str]]:
    """What a layout keeps of a set."""
    return [(row.class_name, row.index, row.prompt, row.pixels) for row in found.rows]


HOSTILE = ("sea lion", "a/b", "..", "Test tube")


def test_class_folders_there_and_back(tmp_path: Path) -> None:
    found = drawn(tmp_path, class_names=HOSTILE)
    export_class_folders(found, tmp_path / "out")
    back = import_set(read_class_folders(tmp_path / "out"), "back", tmp_path, license="CC0")
    assert sorted(pictures(back)) == sorted((c, i, "", p) for c, i, _, p in pictures(found))
    assert sorted(sources(back)) == sorted(row.sha256 for row in found.rows)
    assert (back.record.license, back.record.generator) == ("CC0", "import")
    assert refused(export_class_folders, found, tmp_path / "out") == (
        f"{tmp_path}/out: is there already; give a new folder."
    )


def test_a_class_without_images_and_an_image_of_two_classes_are_not_imported(tmp_path: Path) -> None:
    for number, name in enumerate(("cat", "dog", "fox")):
        (tmp_path / "in" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / "in" / name / "0.png")
    shutil.copyfile(tmp_path / "in/cat/0.png", tmp_path / "in/cat/1.png")  # twice in one class is one class's matter
    shutil.copyfile(tmp_path / "in/cat/0.png", tmp_path / "in/dog/1.png")
    (tmp_path / "in/fox/0.png").unlink()
    assert refused(import_set, read_class_folders(tmp_path / "in"), "in", tmp_path).splitlines() == [
        "class 'fox': no images in the layout class_folders; put some there, or take the class away.",
        f"{tmp_path}/in/dog/1.png: of class 'dog', is the same file as {tmp_path}/in/cat/0.png, of class 'cat'; take "
        "one of them away.",
    ]
    assert not [*tmp_path.glob("in-*")]
    (tmp_path / "in/dog/1.png").unlink()
    (tmp_path / "in/fox").rmdir()
    assert len(import_set(read_class_folders(tmp_path / "in"), "in", tmp_path).rows) == 3


def test_geneval_there_and_back(tmp_path: Path) -> None:
    found = drawn(tmp_path, class_names=HOSTILE)
    export_geneval(found, tmp_path / "out")
    assert sorted(content(tmp_path / "out"))[:2] == ["00000/metadata.jsonl", "00000/samples/0000.png"]
    assert json.loads((tmp_path / "out/00003/metadata.jsonl").read_text()) == {
        "tag": "single_object",
        "include": [{"class": "a/b", "count": 1}],
        "prompt": "a/b no. 1",
    }
    back = import_set(read_geneval(tmp_path / "out"), "back", tmp_path)
    assert back.record.class_names == tuple(sorted(HOSTILE))
    assert sorted(pictures(back)) == sorted(pictures(found))


def test_geneval_of_its_own_program(tmp_path: Path) -> None:
    """Four samples a prompt, a grid beside them, metadata without a line break; two objects are no class."""
    for number, classes in enumerate((["bench"], ["cow"], ["bench"])):
        folder = tmp_path / "in" / f"{number:05d}"
        (folder / "samples").mkdir(parents=True)
        include = [{"class": name, "count": 1} for name in classes]
        stored = {"tag": "single_object", "include": include, "prompt": f"a photo of a {classes[0]}"}
        (folder / "metadata.jsonl").write_text(json.dumps(stored))
        Image.new("RGB", (4, 4)).save(folder / "grid.png")
        for sample in range(4):
            Image.new("RGB", (4, 4), (number, sample, 9)).save(folder / "samples" / f"{sample:05d}.png")
    found = import_set(read_geneval(tmp_path / "in"), "geneval", tmp_path)
    assert [(row.class_name, row.index) for row in found.rows] == [("bench", i) for i in range(8)] + [
        ("cow", i) for i in range(4)
    ]
    wanted = hashlib.sha256(bytes((2, 1, 9)) * 16).hexdigest()
    assert [row.pixels for row in found.rows].index(wanted) == 5
    assert found.rows[8].prompt == "a photo of a cow"
    path = tmp_path / "in/00001/metadata.jsonl"
    path.write_text('{"prompt": "x", "include": [{"class": "a"}, {"class": "b"}]}')
    (tmp_path / "in/00002/metadata.jsonl").write_text('{"prompt": "x"}')
    assert refused(read_geneval, tmp_path / "in").splitlines() == [
        f"{path}: is about 2 objects (a, b); an image of a set is of one class.",
        f"{tmp_path}/in/00002/metadata.jsonl: no metadata of GenEval's (KeyError('include')); it has a prompt, and "
        "classes in include.",
    ]
    path.write_text("[" * 100_000)
    assert refused(read_geneval, tmp_path / "in").startswith(f"{path}: no metadata of GenEval's (RecursionError(")
    path.unlink()
    (tmp_path / "in/00002/metadata.jsonl").unlink()
    lost = tmp_path / "in/00000/samples/lost.png"
    lost.symlink_to("lost.png")
    assert refused(import_set, read_geneval(tmp_path / "in"), "lost", tmp_path).startswith(f"{lost}: ")
    assert refused(read_geneval, tmp_path / "none") == (
        f"{tmp_path}/none: no such folder; give the one that holds the images."
    )


def test_genbench_there_and_back(tmp_path: Path) -> None:
    found = drawn(tmp_path, Blocks([(1, 0)]), class_names=HOSTILE)
    export_genbench(found, tmp_path / "out")
    listed = tmp_path / "out/blocks_train.txt"
    lines = listed.read_text().splitlines()
    assert lines[0] == "blocks_train.zip@sea_lion/00000.png 0"
    assert [line.rpartition(" ")[2] for line in lines] == ["0", "0", "1", "2", "2", "3", "3"]
    with zipfile.ZipFile(tmp_path / "out/blocks_train.zip") as archive:
        assert [f"blocks_train.zip@{name}" for name in archive.namelist()] == [line.split(" ")[0] for line in lines]
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}  # equal sets have equal files
    back = import_set(read_genbench(listed, HOSTILE), "back", tmp_path)
    kept = [(row.class_name, row.pixels) for row in found.rows]
    assert [(row.class_name, row.pixels) for row in back.rows] == kept
    export_genbench(found, tmp_path / "again")
    assert content(tmp_path / "again") == content(tmp_path / "out")


def test_genbench_lists(tmp_path: Path) -> None:
    for name in ("sea lion", "cat"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4), "red" if name == "cat" else "blue").save(tmp_path / name / "1.png")
    listed = tmp_path / "list.txt"
    listed.write_text("sea lion/1.png 1\ncat/1.png 0\n")
    found = read_genbench(listed)
    assert found.class_names == ("cat", "sea lion")
    folders = [(one.class_name, Path(one.image.name).parent.name) for one in found.images]
    assert folders == [("sea lion", "sea lion"), ("cat", "cat")]
    listed.write_text("cat/1.png\ncat/1.png x\n")
    assert refused(read_genbench, listed).splitlines() == [
        f"{listed}: line 1: 'cat/1.png'; a path and a label are allowed, as a/b.png 3.",
        f"{listed}: line 2: 'cat/1.png x'; a path and a label are allowed, as a/b.png 3.",
    ]
    listed.write_text("cat/2.png 0\nno.zip@cat/1.png 1\n")
    assert refused(read_genbench, listed, ["cat", "dog"]).splitlines() == [
        f"{tmp_path}/cat/2.png: not found, but {listed} lists it.",
        f"{tmp_path}/no.zip@cat/1.png: not found, but {listed} lists it.",
    ]
    listed.write_text("cat/1.png 0\nsea lion/1.png 0\n")
    assert refused(read_genbench, listed) == (
        f"{listed}: label 0 has images in 'cat' and 'sea lion'; give class_names."
    )
    listed.write_text("cat/1.png 0\nsea lion/1.png 2\n")
    assert refused(read_genbench, listed) == f"{listed}: labels 0 to 2 with gaps; give class_names, labels from 0."
    assert refused(read_genbench, listed, ["cat", "dog"]) == (
        f"{listed}: label 2, and there are 2 class names; labels are from 0."
    )
