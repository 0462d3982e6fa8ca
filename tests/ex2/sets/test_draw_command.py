"""`ex2 draw` as it is typed, and what `validate`, `run` and `report` do with a recipe of sets."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from drawn_sets import Blocks, content, drawn, plan
from paths import ROOT
from PIL import Image

from ex2.cli import main
from ex2.cli.options import SET_LAYOUTS
from ex2.data.datasets.image_sets import read_set
from ex2.sets.command import answered, draw_all, duration, print_plan, size, standings
from ex2.sets.cost import Cost
from ex2.sets.exports import EXPORTS, export_genbench, export_geneval
from ex2.sets.generators.toy import Toy
from ex2.sets.requests import DrawRequest
from reward.errors import UserError


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `sets.yaml`: one set of one image of each of the demo world's 16 classes, seeds 0 and 1."""
    monkeypatch.chdir(tmp_path)
    images = {"seeds": [0, 1], "per_class": 1, "sets": {"toy": {"generator": {"name": "toy"}, "usd_per_image": 0.5}}}
    tree = {
        "name": "x",
        "vlm": {"name": "demo-visual"},
        "dataset": {"name": "shapes", "reward_split": "reward", "test_split": "test"},
        "images": images,
    }
    Path("sets.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return tmp_path


class Count:
    """Counts what the toy generator is asked, and sends a signal in the middle of the batch that is to get it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, signal_in: int = 0) -> None:
        self.images = self.batches = 0
        self.signal_in = signal_in
        draw = Toy.draw

        def counted(toy: Toy, requests: list[DrawRequest]) -> Any:
            self.images += len(requests)
            self.batches += 1
            if self.batches == self.signal_in:
                os.kill(os.getpid(), signal.SIGINT)
            return draw(toy, requests)

        monkeypatch.setattr(Toy, "draw", counted)


def ended(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(words)
    told = capsys.readouterr()
    return status, told.out, told.err


def test_another_vlm_draws_nothing(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count = Count(monkeypatch)
    status, out, _ = ended(capsys, "draw", "sets.yaml", "--seeds", "1")
    assert (status, count.images) == (0, 16)
    (folder,) = Path("sets").glob("toy-*")
    assert out == f"toy, seed 1: 16 of 16 images: {folder}/seed-1\n"
    assert main(["draw", "sets.yaml"]) == 0
    assert count.images == 32
    before = content(Path("sets"))
    assert main(["draw", "sets.yaml", "vlm.name=demo-spurious", "measure.centers=raw", "name=y"]) == 0
    assert count.images == 32
    assert content(Path("sets")) == before
    assert main(["draw", "sets.yaml", "images.sets.toy.generator.obey=0.5"]) == 0
    assert count.images == 64


def test_ctrl_c_keeps_the_batch_under_way(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["draw", "sets.yaml", "images.root=whole"]) == 0
    monkeypatch.setattr(Toy, "batch_size", 8)
    count = Count(monkeypatch, signal_in=3)
    capsys.readouterr()
    status, out, err = ended(capsys, "draw", "sets.yaml")
    assert (status, out, count.images) == (130, "", 24)
    assert err.splitlines()[-1] == (
        "ex2: interrupted after image 8 of 16 of set 'toy', seed 1, which is kept; the same command continues: ex2 "
        "draw sets.yaml"
    )
    (second,) = Path("sets").glob("toy-*/seed-1")
    assert answered(second) == 8
    status, _, err = ended(capsys, "draw", str(second))
    assert (status, err) == (
        2,
        f"ex2: {second}: unfinished: 8 of 16 images have been drawn. A set's folder does not tell where its prompts "
        "are from; go on with the recipe that has the set 'toy', such as: ex2 draw RECIPE --sets toy --seeds 1\n",
    )
    status, out, _ = ended(capsys, "draw", "sets.yaml", "--dry-run")
    assert (status, out.splitlines()[4].split()[:4]) == (0, [second.parent.name, "2", "24", "8"])
    count.signal_in = 4
    status, _, err = ended(capsys, "draw", "sets.yaml")
    assert status == 130
    assert "interrupted after image 16 of 16 of set 'toy', seed 1" in err
    assert main(["draw", "sets.yaml"]) == 0
    assert count.images == 32, "what was kept is not drawn again"
    timed = {name: text for name, text in content(Path("sets")).items() if name.endswith(".png")}
    assert len(timed) == 32
    assert timed == {name: text for name, text in content(Path("whole")).items() if name.endswith(".png")}
    capsys.readouterr()
    assert ended(capsys, "draw", str(second))[0] == 0
    image = min(second.glob("images/*/*.png"))
    image.write_bytes(image.read_bytes()[:-1] + b"x")
    status, _, err = ended(capsys, "draw", str(second))
    assert status == 2
    assert err.startswith(f"ex2: {image}: its content is not what was written; put it back as it was, or move {second}")


def test_a_dry_run_writes_nothing(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count = Count(monkeypatch)
    status, out, err = ended(capsys, "draw", "sets.yaml", "--dry-run")
    assert (status, err, count.images) == (0, "", 0)
    lines = out.splitlines()
    assert lines[0] == "sets in sets"
    assert lines[-4].split() == ["all", "0", "32", "?", "16.00", "?"]
    assert lines[-2].startswith("?: not known, and not in the sum (time, size).")
    assert lines[-1] == "Nothing was drawn."
    assert [path.name for path in work.iterdir()] == ["sets.yaml"]


def test_costs_are_those_of_earlier_sets_of_the_generator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = drawn(tmp_path, Blocks([(0, 1)])).record
    plans = [plan(per_class=5, usd_per_hour=36.0), plan(usd_per_hour=36.0, name="other")]
    first, second = standings(plans, tmp_path, {"other": 0.25})
    # One of four requests failed after 2 s, each of the three images took 0.5 s: 3.5 s for three images.
    assert (first.left, first.cost.seconds) == (10, pytest.approx(10 * 3.5 / 3))
    assert first.cost.usd == pytest.approx(10 * 3.5 / 3 / 100)
    assert first.cost.bytes == round(10 * before.bytes / 3)
    assert second.cost.usd == pytest.approx(4 * 3.5 / 3 / 100 + 4 * 0.25)
    (there,) = standings([plan()], tmp_path, {})
    assert (there.left, there.cost) == (0, Cost(0, 0.0, None, 0))
    unlike = Blocks([(0, 0), (1, 0), (1, 1)])
    unlike.settings = {"side": 16}  # type: ignore[misc]
    (near,) = standings([plan(unlike)], tmp_path, {})
    assert near.cost.seconds == pytest.approx(4 * 3.5 / 3), "where no set had these settings, others tell"
    drawn(tmp_path, unlike)
    assert standings([plan(unlike, seed=1)], tmp_path, {})[0].cost.seconds == pytest.approx(4 * 6.5)
    assert standings(plans[:1], tmp_path, {})[0].cost.seconds == first.cost.seconds
    unlike.name = "cubes"
    (unknown,) = standings([plan(unlike, usd_per_hour=36.0)], tmp_path, {})
    assert unknown.cost == Cost(4, None, None, None)
    print_plan([first, second, unknown], tmp_path)
    kib = (round(10 * before.bytes / 3) + round(4 * before.bytes / 3)) / 1024
    told = capsys.readouterr().out.splitlines()[-4].split()
    assert told == ["all", "0", "18", "16.3", "s", "1.16", f"{kib:.1f}", "KiB"]


def test_one_bar_over_all_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn(tmp_path)
    plans = [plan(), plan(seed=1), plan(name="other")]
    sets = draw_all(standings(plans, tmp_path, {}), tmp_path)
    assert [(one.record.name, one.record.seed, one.record.made) for one in sets] == [
        ("blocks", 0, 4),
        ("blocks", 1, 4),
        ("other", 0, 4),
    ]
    shown = capsys.readouterr().err.split("\r")[-1]
    assert "draw other, seed 0 (3 of 3): 100%" in shown
    assert "8/8" in shown, "what is there is no part of what is left"


def test_a_folder_becomes_a_set(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in ("cat/1.png", "cat/2.png", "sea_lion/1.png"):
        Path("my photos", place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), f"#{len(place):02x}{len(place):02x}0{place[-5]}").save(Path("my photos", place))
    status, out, _ = ended(capsys, "draw", "my photos", "--dry-run")
    assert (status, out) == (0, "my photos: 3 images of 2 classes, in the layout class_folders\nNothing was drawn.\n")
    assert not Path("sets").exists()
    status, out, _ = ended(capsys, "draw", "my photos", "--root", "elsewhere")
    (folder,) = Path("elsewhere").glob("my-photos-*/seed-0")
    assert (status, out) == (0, f"my-photos, seed 0: 3 of 3 images: {folder}\n")
    found = read_set(folder)
    assert [(row.class_name, row.index) for row in found.rows] == [("cat", 0), ("cat", 1), ("sea lion", 0)]
    assert ended(capsys, "draw", str(folder.parent))[1] == out, "a set is read and checked"
    status, _, err = ended(capsys, "draw", "my photos", "--seeds", "0", "images.per_class=2")
    assert (status, err) == (
        2,
        "ex2: ex2 draw: --seeds, images.per_class=2: goes with a recipe, and my photos is none; leave it out.\n",
    )
    (folder / "images/cat/00000.png").write_bytes(b"")
    assert main(["draw", str(folder)]) == 2


def test_geneval_and_genbench_are_told_by_what_lies_there(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = drawn(work / "sets")
    export_geneval(made, work / "geneval")
    export_genbench(made, work / "genbench/blocks")
    (listed,) = Path("genbench").glob("**/*.txt")
    for given, layout in (("geneval", "geneval"), (str(listed), "genbench")):
        status, out, _ = ended(capsys, "draw", given, "--dry-run")
        assert (status, out.splitlines()[0]) == (0, f"{given}: 4 images of 2 classes, in the layout {layout}")


def test_a_set_is_handed_on_in_other_layouts(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = drawn(work / "sets")
    drawn(work / "sets", seed=1)
    place = str(first.folder.parent)
    for layout in SET_LAYOUTS:
        status, out, _ = ended(capsys, "export", place, "--layout", layout, "--out", layout)
        assert (status, out) == (0, f"exported: {layout}/seed-0\nexported: {layout}/seed-1\n")
    assert ended(capsys, "export", str(first.folder), "--out", "one")[0] == 0
    assert content(Path("one")) == content(Path("class_folders/seed-0")), "the first layout is the default"
    assert sorted(content(Path("one"))) == [
        *(f"cat/0000{number}.png" for number in (0, 1)), "class_names.json",
        *(f"sea_lion/0000{number}.png" for number in (0, 1)),
    ]  # fmt: skip
    (listed,) = Path("genbench/seed-1").glob("*.txt")
    for given in ("geneval/seed-1", str(listed)):
        assert ended(capsys, "draw", given, "--dry-run")[1].startswith(f"{given}: 4 images of 2 classes")
    assert tuple(EXPORTS) == SET_LAYOUTS


def test_what_cannot_be_handed_on(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = drawn(work / "sets")
    drawn(work / "sets", seed=1)
    (work / "taken/seed-1").mkdir(parents=True)
    place = str(first.folder.parent)
    for words, told in (
        ((place, "--out", "taken"), "taken/seed-1: is there already; give a new folder."),
        (("sets", "--out", "x"), "sets: no image set: it has no set.json and no seed-0/set.json; give a set's folder, "
         "or a recipe."),
        ((place, "a.b=1", "--merge", "--seeds", "0", "--out", "x"),
         f"ex2 export: --merge, --seeds, a.b=1: goes with a recipe, and {place} is none; leave it out."),
        (("sets.yaml", "--layout", "geneval", "--out", "x"),
         "--layout: goes with the folder of an image set, and sets.yaml is a recipe; leave it out."),
        (("sets/gone", "--layout", "geneval", "--out", "x"),
         "sets/gone: no such folder; --layout goes with the folder of an image set; give one."),
    ):  # fmt: skip
        assert ended(capsys, "export", *words) == (2, "", f"ex2: {told}\n")
    (first.folder / first.rows[0].file_name).write_bytes(b"other")
    status, _, err = ended(capsys, "export", str(first.folder), "--out", "x")
    assert (status, first.rows[0].file_name in err) == (2, True)
    assert not Path("x").exists()
    assert not Path("taken/seed-0").exists()


def test_all_problems_before_anything_is_drawn(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["vlm.name=demo-vizual", "dataset.nam=x", "images.sets.toy.strategy.name=simpel"]
    for verb in ("validate", "draw", "run"):
        status, _, err = ended(capsys, verb, "sets.yaml", *words, "images.sets.toy.generator.obai=1")
        starts = [line.split(". ")[0] for line in err.splitlines()]
        assert (status, starts) == (
            2,
            [
                "ex2: sets.yaml: vlm.name: unknown 'demo-vizual'",
                "ex2: sets.yaml: dataset: unknown 'nam'",
                "ex2: sets.yaml: images.sets.toy.generator: unknown 'obai'",
                "ex2: sets.yaml: images.sets.toy.strategy.name: unknown 'simpel'",
            ],
        ), verb
    assert ended(capsys, "validate", "--recipe-only", "sets.yaml", *words)[0] == 2
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    status, _, err = ended(capsys, "draw", "sets.yaml")
    assert (status, err) == (
        1,
        f"ex2: sets.yaml: images.root: the disk of {work} has 1000 bytes free, and 32 images take about 96.0 KiB; make "
        "room, or give another images.root.\n",
    )
    assert not Path("sets").exists()


def test_a_recipe_of_sets_keeps_out_of_an_alignments_run(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/x").mkdir(parents=True)
    shutil.copy(ROOT / "recipes/demo/visual.yaml", "runs/x/recipe.yaml")
    status, _, err = ended(capsys, "validate", "sets.yaml")
    assert (status, err) == (
        2,
        "ex2: sets.yaml: name: runs/x holds the run of an alignment; give this recipe another name or output_dir.\n",
    )


def test_validate_tells_what_was_looked_at(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = ended(capsys, "validate", "sets.yaml")
    assert status == 0
    assert yaml.safe_load(out)["images"]["sets"]["toy"]["strategy"] == {"name": "name"}
    assert out.splitlines()[-2:] == [
        "# sets.yaml: valid",
        "# checked: keys, types and ranges; names; settings of every component; 960 test images; 32 images of 2 sets, "
        "32 to draw; room on the disk",
    ]
    status, out, _ = ended(capsys, "validate", "sets.yaml", "--recipe-only")
    assert (status, out.splitlines()[-3]) == (0, "# sets.yaml: valid (recipe only)")


class Later:
    """What comes after drawing: notes in which order it is called, and what is there by then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[Any] = []
        self.measures: Any = None
        for room, functions in (("command", ["main"]), ("stored", ["stored_measures"]), ("page", ["write_page"])):
            module: Any = ModuleType(room)
            for function in functions:
                setattr(module, function, getattr(self, function))
            monkeypatch.setitem(sys.modules, f"analysis.images.{room}", module)

    def main(self, options: Namespace) -> int:
        self.calls.append((options.sets, options.overrides, len([*Path("sets").glob("*/*/set.json")])))
        self.measures = "measures"
        return 0

    def stored_measures(self, directory: Path, *_: Any) -> Any:
        return self.measures

    def write_page(self, measures: str, directory: Path) -> Path:
        self.calls.append((measures, directory))
        return directory / "report.html"


def test_run_draws_then_measures_then_writes_the_page(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    later = Later(monkeypatch)
    assert ended(capsys, "report", "sets.yaml") == (
        2,
        "",
        "ex2: runs/x: nothing has been measured yet; run: ex2 measure sets.yaml\n",
    )
    status, out, _ = ended(capsys, "run", "sets.yaml", "images.seeds=[0]")
    assert (status, out.splitlines()[-1]) == (0, "report: runs/x/report.html")
    assert later.calls == [(["sets.yaml"], ["images.seeds=[0]"], 1), ("measures", Path("runs/x"))]
    assert main(["run", "sets.yaml", "--no-report"]) == 0
    assert len(later.calls) == 3
    capsys.readouterr()
    status, _, err = ended(capsys, "run", "sets.yaml", "--seeds", "0")
    assert (status, err.split(";")[0]) == (
        2,
        "ex2: --seeds: a recipe of image sets is drawn by one process and measured with all of its seeds",
    )


def test_measure_tells_settings_from_files(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = Later(monkeypatch)
    Path("a=b").mkdir()
    assert main(["measure", "sets.yaml", "a=b", "vlm.name=x"]) == 0
    assert later.calls == [(["sets.yaml", "a=b"], ["vlm.name=x"], 0)]


def test_an_alignments_verbs_send_a_recipe_of_sets_on(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = ended(capsys, "train", "sets.yaml")
    assert status == 2
    assert err.endswith("it goes with draw, measure, run, report and validate, such as: ex2 draw sets.yaml\n")
    status, _, err = ended(capsys, "draw", str(ROOT / "recipes/demo/visual.yaml"))
    assert status == 2
    assert "has no section `images`" in err


def test_times_and_sizes_in_words() -> None:
    assert [duration(s) for s in (0, 59.94, 60, 3599, 3600, 86_400 * 2.5)] == [
        "0.0 s",
        "59.9 s",
        "1.0 min",
        "60.0 min",
        "1.0 h",
        "2.5 d",
    ]
    assert [size(n) for n in (0, 1023, 1024, 1.5 * 2**20, 2**30, 2**40)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "1.5 MiB",
        "1.0 GiB",
        "1.0 TiB",
    ]


def test_a_damaged_earlier_set_tells_nothing(tmp_path: Path) -> None:
    found = drawn(tmp_path)
    (found.folder / "set.json").write_text("{}")
    (one,) = standings([plan(name="other")], tmp_path, {})
    assert one.cost.seconds is None
    with pytest.raises(UserError):
        answered(found.folder)
