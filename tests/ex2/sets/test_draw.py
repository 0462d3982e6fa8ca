"""A set is drawn once; whatever comes between, the next attempt ends with the same bytes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import killed_draws
import pytest
from drawn_sets import Blocks, content, drawn, plan
from PIL import Image

from ex2.run.lock import writing_stage
from ex2.sets import store as store_module
from ex2.sets.draw import draw_set, requests_for, set_folder
from ex2.sets.requests import Drawn, image_seed
from reward.errors import EnvironmentFault, UserError

FAILING = [(0, 1)]


def refused(root: Path, *given: Any, **changes: Any) -> str:
    with pytest.raises(UserError) as error:
        drawn(root, *given, **changes)
    return str(error.value)


def test_a_seed_depends_on_set_class_and_index_alone() -> None:
    assert image_seed(0, "cat", 3) == int(hashlib.sha256(b"0\0cat\x003").hexdigest()[:16], 16) // 2
    asked = requests_for(("dog", "cat"), 4, 0)
    assert [request.seed for request in asked if request.class_name == "cat"][3] == image_seed(0, "cat", 3)
    assert len({image_seed(s, c, i) for s in range(3) for c in ("a", "b", "a1") for i in range(12)}) == 3 * 3 * 12
    assert image_seed(1, "1", 1) != image_seed(11, "", 1)


def test_what_a_set_holds(tmp_path: Path) -> None:
    found = drawn(tmp_path, Blocks(FAILING), usd_per_hour=1.5, license="CC0")
    assert found.folder == set_folder(plan(), tmp_path)
    assert found.folder.parent.name == f"blocks-{found.record.digest[:8]}"
    assert sorted(content(found.folder)) == [
        "failures.jsonl",
        "images/cat/00000.png",
        "images/sea_lion/00000.png",
        "images/sea_lion/00001.png",
        "metadata.jsonl",
        "set.json",
    ]
    rows = [json.loads(line) for line in (found.folder / "metadata.jsonl").read_text().splitlines()]
    assert next(iter(rows[0])) == "file_name"
    file = (found.folder / "images/sea_lion/00001.png").read_bytes()
    seed = image_seed(0, "sea lion", 1)
    pixels = bytes.fromhex(f"{seed & 0xFFFFFF:06x}") * 64
    assert rows[2] == {
        "file_name": "images/sea_lion/00001.png",
        "class": "sea lion",
        "label": 1,
        "index": 1,
        "prompt": "sea lion no. 1",
        "negative_prompt": "blur",
        "strategy": "numbered",
        "generator": "blocks",
        "seed": seed,
        "parent": None,
        "round": 0,
        "feedback": "",
        "code": "",
        "source": "",
        "sha256": hashlib.sha256(file).hexdigest(),
        "pixels": hashlib.sha256(pixels).hexdigest(),
        "width": 8,
        "height": 8,
        "bytes": len(file),
        "seconds": 0.5,
        "truncated": False,
    }
    (failure,) = found.failures
    assert (failure.class_name, failure.index, failure.status, failure.message) == (
        "cat",
        1,
        "timeout",
        "took too long",
    )
    record = found.record
    assert (record.asked, record.made, record.failed, record.seconds) == (4, 3, {"timeout": 1}, 3.5)
    assert record.bytes == sum(row["bytes"] for row in rows)
    assert (record.usd_per_hour, record.license, record.complete) == (1.5, "CC0", True)


def test_a_finished_set_is_never_drawn_again(tmp_path: Path) -> None:
    generator = Blocks(FAILING)
    first = drawn(tmp_path, generator)
    assert generator.calls == [[(0, 0), (0, 1)], [(1, 0), (1, 1)]]
    before = content(tmp_path)
    assert drawn(tmp_path, generator, usd_per_hour=9.0) == first
    assert len(generator.calls) == 2
    drawn(tmp_path, generator, seed=1)
    assert len(generator.calls) == 4
    assert {path.name for path in first.folder.parent.iterdir()} == {"seed-0", "seed-1"}
    assert before.items() <= content(tmp_path).items()


def test_a_finished_set_is_only_there_if_its_images_are_what_was_drawn(tmp_path: Path) -> None:
    found = drawn(tmp_path)
    path = found.folder / found.rows[0].file_name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    assert refused(tmp_path) == (
        f"{path}: its content is not what was written; put it back as it was, or move {found.folder} away and draw the "
        "set again."
    )
    path.write_bytes(whole)
    assert drawn(tmp_path) == found


def test_what_decides_a_sets_folder(tmp_path: Path) -> None:
    class Other(Blocks):
        settings: ClassVar = {"side": 9}

    class Newer(Blocks):
        def fingerprint(self) -> str:
            return "blocks 2"

    changed = [
        plan(),
        plan(per_class=3),
        plan(class_names=("cat", "dog")),
        plan(Other()),
        plan(Newer()),
        plan(strategy="x"),
        plan(strategy_settings={"k": 1}),
    ]
    assert len({set_folder(one, tmp_path) for one in changed}) == len(changed)
    same = [plan(), plan(Blocks(batch_size=1)), plan(usd_per_hour=2.0, license="x")]
    assert len({set_folder(one, tmp_path) for one in same}) == 1


def test_batches_change_nothing(tmp_path: Path) -> None:
    one, three = (drawn(tmp_path / str(size), Blocks(FAILING, size)) for size in (1, 3))
    assert content(one.folder) == content(three.folder)


def test_killed_before_any_change_a_set_ends_with_the_same_bytes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, killed_draws.__file__, tmp_path], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stdout + done.stderr
    kills, gone_on, otherwise = json.loads(done.stdout)
    assert kills > 40
    assert gone_on > 20
    assert not otherwise


def test_a_torn_line_is_drawn_again(tmp_path: Path) -> None:
    generator = Blocks(FAILING, batch_size=1)
    folder = drawn(tmp_path, generator).folder
    whole = content(folder)
    unfinished = set_json_of_an_unfinished_set(tmp_path / "other")
    rows = whole["metadata.jsonl"]
    last = len(rows.splitlines(keepends=True)[-1])
    for cut in (1, 2, last // 2, last - 1, last):
        (folder / "set.json").write_bytes(unfinished)
        (folder / "metadata.jsonl").write_bytes(rows[:-cut])
        generator.calls.clear()
        drawn(tmp_path, generator)
        assert generator.calls == [[(1, 1)]]
        assert content(folder) == whole


def set_json_of_an_unfinished_set(root: Path) -> bytes:
    """What `set.json` says before anything is drawn."""

    class Ends(Blocks):
        def draw(self, requests: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drawn(root, Ends())
    (path,) = root.glob("*/*/set.json")
    return path.read_bytes()


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content(drawn(tmp_path / "whole", Blocks(FAILING)).folder)
    root, replacing, free = tmp_path / "full", store_module.replacing, 2

    def full(path: Path, **given: Any) -> Any:
        nonlocal free
        free -= 1
        if free < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return replacing(path, **given)

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "replacing", full)
        with pytest.raises(EnvironmentFault) as error:
            drawn(root, Blocks(FAILING))
    folder = set_folder(plan(), root)
    assert str(error.value) == (
        f"{folder}/images/sea_lion/00001.png: cannot be written: the disk is full: free some space, then run the same "
        "command again. Earlier results are untouched."
    )
    generator = Blocks(FAILING)
    drawn(root, generator)
    assert generator.calls == [[(1, 0), (1, 1)]]
    assert content(folder) == whole


def test_one_writer(tmp_path: Path) -> None:
    folder = set_folder(plan(), tmp_path)
    with writing_stage(folder, "draw"), pytest.raises(EnvironmentFault, match=r"another process \(process \d+ on .*\)"):
        drawn(tmp_path)
    assert not (folder / "set.json").exists()
    drawn(tmp_path)
    with writing_stage(folder, "draw"):
        drawn(tmp_path)  # a finished set is only read


def test_two_sets_of_one_folder(tmp_path: Path) -> None:
    folder = drawn(tmp_path).folder
    asked = plan().requests
    other = replace(plan(), requests=(replace(asked[0], prompt="a dog"), *asked[1:]))
    with pytest.raises(UserError) as error:
        draw_set(other, tmp_path)
    assert str(error.value) == (
        f"{folder}/set.json: the set was drawn from other prompts than are asked for now; give this one another name, "
        f"or move {folder} away."
    )


def test_all_problems_of_a_plan_at_once(tmp_path: Path) -> None:
    asked = plan().requests
    bad = replace(
        plan(strategy_settings={"x": float("nan")}),
        name="../x",
        class_names=("cat", "7"),
        requests=(asked[0], asked[0], asked[2]),
    )
    with pytest.raises(UserError) as error:
        draw_set(bad, tmp_path)
    assert str(error.value).splitlines() == [
        "set '../x': class names '7' are numbers or truth values, which say nothing in a prompt; give names that a "
        "caption could hold.",
        "sets: given '../x'; a set's name has at most 100 letters, digits, underscores, dots and hyphens, the first no "
        "dot or hyphen.",
        "set '../x': settings of its strategy: Out of range float values are not JSON compliant; they are stored as "
        "JSON.",
        "set '../x': an image is asked for twice; every class and index is asked once.",
        "set '../x': class 'sea lion', label 1 is none of its classes; ask for those it has.",
    ]
    assert "no images are asked for" in refused(tmp_path, per_class=0)
    assert not [*tmp_path.iterdir()]


def test_answers_of_a_users_generator_are_checked(tmp_path: Path) -> None:
    class Answers(Blocks):
        def __init__(self, answers: Any) -> None:
            super().__init__()
            self.answers = answers

        def draw(self, requests: Any) -> Any:
            return self.answers

    image = Image.new("L", (3, 2), 9)
    told = "generator 'blocks': "
    assert refused(tmp_path, Answers([])) == f"{told}0 answers to 2 requests; give one each."
    assert refused(tmp_path, Answers([image, 3])).startswith(f"{told}answered <PIL.Image.Image image mode=L")
    assert refused(tmp_path, Answers([Drawn("x", 0.1), 3])) == f"{told}drew 'x'; an image of PIL's is drawn."  # type: ignore[arg-type]
    image.info["icc_profile"] = b"a profile"
    found = drawn(tmp_path, Answers([Drawn(image, 0.1), Drawn(image, 0.1)]))
    with Image.open(found.folder / found.rows[0].file_name) as stored:
        assert (stored.mode, stored.size, stored.getpixel((0, 0)), stored.info) == ("RGB", (3, 2), (9, 9, 9), {})


def test_progress_tells_the_time_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_set(plan(Blocks(FAILING)), tmp_path)
    shown = capsys.readouterr().err
    assert "draw blocks, seed 0: 100%" in shown
    assert "4/4 [00:00<00:00" in shown
    assert "1 failed" in shown
