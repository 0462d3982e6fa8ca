"""The report shows the images that were analysed, or says that they are others now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny
from PIL import Image

from analysis.report.images import class_images
from analysis.results.shown_images import shown_digest
from ex2.data.source import DatasetSource
from reward.errors import UserError


def test_images_that_were_not_analyzed_are_refused(tmp_path: Path) -> None:
    root = tiny.save_image_folder(tmp_path / "photos")
    source = DatasetSource("folder", "reward", "test", settings={"root": str(root)})
    seeds = tmp_path / "seed-0", tmp_path / "seed-1"
    analyzed = dict.fromkeys(seeds, shown_digest(source))
    usual = class_images(source, analyzed)
    assert usual == class_images(source)
    assert {len(images) for images in usual.values()} == {2}
    shutil.copytree(root / "reward", root / "another")
    assert class_images(source, analyzed) == usual  # another split
    path = next((root / "test").rglob("*.png"))
    Image.new("RGB", (32, 32), "white").save(path)
    with pytest.raises(UserError) as error:
        class_images(source, analyzed)
    assert str(error.value) == (
        f"{seeds[0]}: the test images are not those that were analysed.\n"
        f"{seeds[1]}: the test images are not those that were analysed.\n"
        "Run `ex2 analyze RECIPE` again, then `ex2 report`."
    )
    assert class_images(source)  # of runs whose analysis did not note them
    shutil.rmtree(root)
    assert class_images(source, analyzed) == {}
