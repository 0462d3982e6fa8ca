"""`ex2 measure`: what it refuses and how it says so, what it keeps, and what it would do."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from small_sets import NAMES, class_folders, measuring, toy_set

from analysis.images import command
from analysis.images.given import common_number, given_folders, read_sets, seal_of
from analysis.images.measure import measure_sets
from analysis.images.record import Measures
from analysis.images.stored import changes, stored_measures
from ex2.cli.options import parse
from ex2.data.datasets.image_sets import ImageSet, read_set_record
from ex2.data.demo.shapes import Shapes
from reward.errors import UserError
from reward.files import write_json

VLM = ["demo-visual"]
DATASET = ["shapes", "images_per_class=3"]
QUICK = ["measure.metrics=[cler]", "measure.bootstrap_samples=100", "measure.permutations=99"]
ALL_CLASSES = ", ".join(NAMES[:8])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return toy_set(tmp_path_factory.mktemp("sets"), "good")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two splits, two images a class."""
    root = tmp_path_factory.mktemp("photos")
    for seed, split in enumerate(("train", "test"), start=7):
        class_folders(toy_set(root / "sets", split, seed=seed, per_class=2), root / "photos" / split)
    return root / "photos"


@pytest.fixture(autouse=True)
def _here(drawn: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EX2_CACHE", str(drawn.folder.parents[1] / "cache"))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the modules that print and draw are given, which are looked for at one place."""
    told: list[Any] = []
    monkeypatch.setattr(command, "show", lambda measures, directory: told.append((measures, directory)))
    return told


def given(*words: object, **changed: Any) -> argparse.Namespace:
    options = {"vlm": VLM, "dataset": DATASET, "split": "test", "overrides": [*QUICK], "quiet": True}
    return argparse.Namespace(sets=[str(word) for word in words], **{**options, **changed})


def refused(options: argparse.Namespace) -> list[str]:
    with pytest.raises(UserError) as error:
        command.main(options)
    assert error.value.exit_code == 2
    assert not list(Path().glob("runs/*/measures.json"))
    return str(error.value).splitlines()


def copied(drawn: ImageSet, tmp_path: Path) -> Path:
    return class_folders(drawn, tmp_path / "plain")


def images(folder: Path, name: str) -> list[Path]:
    return sorted((folder / name).iterdir())


def test_a_plain_folder_is_measured_and_kept(
    drawn: ImageSet, tmp_path: Path, shown: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(drawn, tmp_path)
    assert command.main(given(drawn.folder.parent, folder)) == 0
    (measures, directory) = shown[0]
    assert directory == Path("runs") / drawn.folder.parent.name
    assert capsys.readouterr().out == f"measures: {directory}/measures.json\n"
    assert [(one.name, one.generator, one.asked) for one in measures.sets] == [
        ("good", "toy", 48),
        ("plain", "folder", 48),
    ]
    assert measures.sets[0].seeds[0].values == measures.sets[1].seeds[0].values  # the same images
    assert stored_measures(directory) == measures
    assert json.loads((directory / "provenance.json").read_text())["packages"]["ex2"]
    assert not (directory / "recipe.yaml").exists()


def test_what_was_measured_is_printed_and_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(command, "print_all", lambda measures, directory: told.append(measures))
    monkeypatch.setattr(command, "write_page", lambda measures, directory: directory / "report.html")
    measures: Any = object()
    command.show(measures, Path("runs/x"))
    assert told == [measures]
    assert capsys.readouterr().out == "page: runs/x/report.html\n"


def test_words_without_a_recipe_need_all_three(drawn: ImageSet) -> None:
    assert refused(given(drawn.folder, vlm=None, split=None)) == [
        f"{drawn.folder}: no recipe, so --vlm, --split is missing; such as: ex2 measure {drawn.folder} --vlm "
        "clip-vit-b32 --dataset folder root=photos --split test"
    ]
    assert refused(given(drawn.folder, overrides=["measure.shots=[0]", "measure.centres=raw"])) == [
        "command line: measure.shots.0: given 0; input should be greater than 0.",
        "command line: measure: unknown 'centres'. Did you mean 'centers'? Available: against, answerers, "
        "bootstrap_samples, centers, confidence, ensemble, metrics, missing, overlap, permutations, probe_init, "
        "questions, recognizers, shots, synsets, text_similarity.",
    ]
    assert refused(given(drawn.folder, split="tset")) == [
        "dataset.test_split: unknown 'tset'. Did you mean 'test'? Available: reward, test, train."
    ]


def test_folders_that_are_no_sets(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refused(given("nowhere", "empty")) == [
        "nowhere: no such folder; give a recipe of image sets, a set's folder, or one folder a class.",
        "empty: no image set: it has no set.json, no seed-0/set.json and no CLASS/image.png.",
    ]


def test_a_class_without_images(drawn: ImageSet, tmp_path: Path) -> None:
    folder = copied(drawn, tmp_path)
    for name in NAMES[2:4]:
        shutil.rmtree(folder / name)
    assert refused(given("plain")) == [
        "plain: no images of class 'toma', 'zorp' (2 of 16 classes); draw some, or give measure.missing=text, which "
        "takes a class's texts instead."
    ]
    assert refused(given("plain", overrides=[*QUICK, "measure.missing=text", "measure.centers=raw"])) == [
        "plain: measure.missing=text with measure.centers=raw: a text's length is not comparable with theirs; give "
        "centers unit, or draw what is missing."
    ]


def test_a_class_that_the_dataset_does_not_have(drawn: ImageSet, tmp_path: Path) -> None:
    folder = copied(drawn, tmp_path)
    (folder / "toma").rename(folder / "tomato")
    assert refused(given("plain")) == [
        "plain: class: unknown 'tomato'. Did you mean 'toma'? Available: "
        "blicket, fep, gazzer, koba, toma, tulver, wug, zorp, and 8 more."
    ]


def test_unequal_numbers_of_images(drawn: ImageSet, tmp_path: Path, shown: list[Any]) -> None:
    folder = copied(drawn, tmp_path)
    images(folder, "fep")[0].unlink()
    assert refused(given("plain")) == [
        "images of a class: 2 in 'plain', seed 0, class 'fep', and 3 in 'plain', seed 0, class 'wug'; equal numbers "
        "are needed: give measure.shots=[2], which measures the first 2 of every class, or draw what is missing."
    ]
    assert refused(given("plain", overrides=[*QUICK, "measure.shots=[3]"])) == [
        "measure.shots: 3 of 2 images in 'plain', seed 0, class 'fep'; ask for fewer."
    ]
    assert common_number(read_sets(given_folders(["plain"]), NAMES, None), NAMES, [1]) == 1  # as asked, not 2
    command.main(given("plain", overrides=[*QUICK, "measure.shots=[2,1]"]))
    (measures, _) = shown[0]
    assert measures.per_class == 2
    assert [one.shots for one in measures.sets[0].shots] == [1]
    assert measures.sets[0].shots[0].numbers["cler"].low is None  # an interval needs two images of a class


def test_the_probe_needs_two_images(drawn: ImageSet) -> None:
    assert refused(given(drawn.folder, overrides=["measure.shots=[1]", "measure.against=best"])) == [
        "measure.against: 'best' is none of the sets (good).",
        "measure.shots: 1 image of a class leaves the probe none to choose its penalty on; give 2 or more, or leave "
        "probe out of measure.metrics.",
    ]


@pytest.mark.parametrize("by", ["file", "pixels"])
def test_a_test_image_in_the_set(drawn: ImageSet, tmp_path: Path, photos: Path, shown: list[Any], by: str) -> None:
    folder = copied(drawn, tmp_path)
    taken, into = images(photos / "test", "wug")[0], images(folder, "wug")[2]
    if by == "file":
        shutil.copyfile(taken, into)
    else:
        Image.open(taken).save(into, compress_level=1)
    dataset = ["folder", f"root={photos}"]
    assert refused(given("plain", dataset=dataset)) == [
        f"plain: 1 of 48 images are test images, such as {into.relative_to(tmp_path)} = {taken} ({by}); a number "
        "measured on them would say nothing. Draw the set from other images, or take them out of it with overlap: drop."
    ]
    if by == "file":
        command.main(given("plain", dataset=dataset, overrides=[*QUICK, "measure.overlap=drop", "measure.shots=[2]"]))
        assert shown[0][0].sets[0].dropped == 1
        assert shown[0][0].per_class == 2


def test_files_that_are_no_images(drawn: ImageSet, tmp_path: Path) -> None:
    folder = copied(drawn, tmp_path)
    for path in images(folder, "fep")[:2]:
        path.write_bytes(b"no image")
    lines = refused(given("plain"))
    assert [line.split(":")[0] for line in lines] == [
        str(path.relative_to(tmp_path)) for path in images(folder, "fep")[:2]
    ]


def test_a_changed_set(drawn: ImageSet, tmp_path: Path) -> None:
    root = tmp_path / "copy" / drawn.folder.parent.name
    shutil.copytree(drawn.folder.parent, root)
    path = root / "seed-0" / drawn.rows[0].file_name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert refused(given(root)) == [
        f"{path}: its content is not what was written; put it back as it was, or move {root}/seed-0 away and draw the "
        "set again."
    ]


def test_fewer_than_two_classes(drawn: ImageSet, tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "one" / split / "wug").mkdir(parents=True)
        shutil.copyfile(drawn.folder / drawn.rows[0].file_name, tmp_path / "one" / split / "wug" / "a.png")
    assert refused(given(drawn.folder, dataset=["folder", "root=one"])) == [
        "dataset folder: one class, 'wug'; accuracy would be 100 % whatever the texts say. Give two at least."
    ]


def test_embeddings_that_are_not_finite(drawn: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EX2_CACHE", str(tmp_path / "cache"))
    from reward.presets import load_vlm

    vlm: Any = load_vlm("demo-visual", {})
    encode = vlm.encode_pixels
    asked: list[int] = []

    def broken(pixels: torch.Tensor) -> torch.Tensor:
        asked.append(len(pixels))
        found: torch.Tensor = encode(pixels).clone()
        if len(asked) == 2:  # the set's images come after the test images
            found[1] = float("nan")
        return found

    monkeypatch.setattr(vlm, "encode_pixels", broken)
    with pytest.raises(UserError) as error:
        measure_sets(measuring(given_folders([str(drawn.folder)]), metrics=["cler"]), vlm=vlm, progress=False)
    assert str(error.value) == (
        f"set 'good', seed 0: the embeddings of 1 of 48 images are not finite, such as "
        f"{drawn.folder / drawn.rows[1].file_name}; look at these images, and at the precision of the VLM."
    )


RECIPE = """
name: few
vlm: {name: demo-visual}
dataset: {name: folder, root: photos, reward_split: train, test_split: test}
images:
  seeds: [0]
  per_class: 2
  sets:
    known: {generator: {name: toy, knows: [wug]}}
measure: {metrics: [cler], bootstrap_samples: 100, permutations: 99}
"""


def test_a_recipe(tmp_path: Path, photos: Path, shown: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    from ex2.recipe_io import read_set_recipe
    from ex2.sets.draw import draw_set
    from ex2.sets.plans import plans_of

    path = tmp_path / "few.yaml"
    path.write_text(RECIPE)
    (tmp_path / "photos").symlink_to(photos)
    options = argparse.Namespace(sets=[str(path)], overrides=[], quiet=True)
    (plan,) = plans_of(read_set_recipe(path))
    assert refused(options) == [
        f"sets/{plan.record().folder_name}/seed-0: set 'known' is not drawn yet; run: ex2 draw RECIPE"
    ]
    drawn = draw_set(plan, "sets", progress=False)
    _without_record(options, drawn.folder)
    options.dry_run = True
    assert command.main(options) == 0
    unknown = "to be embedded, unless the bank has them"
    assert capsys.readouterr().out.splitlines() == [
        f"test images of folder, split 'test': 32 images, {unknown}",
        f"set 'known', seed 0: 32 images, {unknown}",
        "64 images to embed at most; nothing was measured.",
    ]
    assert not Path("runs").exists()
    options.dry_run = False
    assert command.main(options) == 0
    directory = Path("runs/few")
    assert read_set_recipe(directory / "recipe.yaml") == read_set_recipe(path)
    options.dry_run = True
    capsys.readouterr()
    command.main(options)
    assert capsys.readouterr().out.splitlines() == [
        "test images of folder, split 'test': 32 images, from the bank",
        "set 'known', seed 0: 32 images, from the bank",
        "0 images to embed at most; nothing was measured.",
    ]
    options.dry_run, options.overrides = False, ["vlm.name=demo-spurious"]
    with pytest.raises(
        UserError, match=r"^runs/few: holds measures with another vlm; give another name, such as: name="
    ):
        command.main(options)
    found = stored_measures(directory)
    assert found == shown[0][0]
    assert found is not None
    assert found.recipe["images"]["per_class"] == 2
    _changed_sets(found, drawn)


def _without_record(options: argparse.Namespace, folder: Path) -> None:
    """A seed whose record is gone is no plain folder of images, and is not passed over."""
    (folder / "set.json").rename(folder / "away")
    told = (
        f"{folder}/set.json: not found, and metadata.jsonl and images are there; put it back as it was, or move "
        f"{folder} away and draw the set again."
    )
    assert refused(options) == [told]
    assert refused(given(folder)) == [told]
    assert refused(given(folder.parent)) == [told]
    with pytest.raises(UserError) as error:
        seal_of(folder)
    assert str(error.value) == told
    (folder / "away").rename(folder / "set.json")


def _changed_sets(measures: Measures, drawn: ImageSet) -> None:
    folder, again = drawn.folder, "run `ex2 measure` again."
    assert changes(measures, ["known"], {"known": [folder]}) == []
    assert changes(measures, ["other"]) == [
        f"the set 'known' is not in the recipe; {again}",
        f"the recipe's set 'other' is not measured yet; {again}",
    ]
    assert changes(measures, ["known"], {"known": [folder / "else"]}) == [
        f"{folder} is not what the recipe's set 'known' is now; {again}"
    ]
    folder.rename(folder.with_name("away"))
    assert changes(measures) == [f"{folder} is not there any more; its numbers can be shown, and not made again."]
    other = toy_set(Path("others"), "known", per_class=2)
    shutil.copytree(other.folder, folder)
    assert changes(measures)[0].startswith(
        f"{folder}/set.json: was written for {other.folder.parent.name}, and this is "
    )
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("away"), folder)
    record = replace(read_set_record(folder), license="CC0").sealed()
    write_json(folder / "set.json", record.to_json())
    assert changes(measures) == [f"{folder} has changed since it was measured; {again}"]


def test_stored_measures_that_were_changed(
    drawn: ImageSet, shown: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    command.main(given(drawn.folder.parent, overrides=[*QUICK, "name=kept"]))
    path = Path("runs/kept/measures.json")
    text = path.read_text()
    path.write_text(text.replace('"near"', '"nearly"'))
    with pytest.raises(UserError, match=r"^runs/kept/measures.json: line \d+: .*near.*; run `ex2 measure` again\.$"):
        stored_measures(path.parent)
    path.write_text(text.replace('"dropped": 0', '"dropped": 1'))
    with pytest.raises(UserError, match=r"^runs/kept/measures.json: .*run `ex2 measure` again"):
        stored_measures(path.parent)
    assert stored_measures(Path("nowhere")) is None
    assert Shapes.class_names == shown[0][0].classes


def test_the_words_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[argparse.Namespace] = []
    monkeypatch.setattr(command, "main", told.append)
    words = "measure a b --vlm demo-visual --dataset shapes seed=1 --split test --dry-run measure.shots=[2] name=x"
    options = parse(words.split())
    options.run(options)
    assert (told[0].sets, told[0].overrides) == (["a", "b"], ["measure.shots=[2]", "name=x"])
    assert (told[0].vlm, told[0].dataset, told[0].split) == (["demo-visual"], ["shapes", "seed=1"], "test")
    assert told[0].dry_run is True
