"""The world of the stages on image sets: photographs, a recipe of two sets with two seeds, what it drew and measured.

    sets.yaml  photos/{reward,test,test2}/CLASS/*.png  cache/  sets/{copies,drawn}-*/seed-*/…  plain/CLASS/*.png
    geneval/…  genbench/drawn_train.{txt,zip}
    runs/{main,other}/…

One set copies photographs, the other is drawn by a generator that fails on one image. `runs/other` is of another VLM
and one seed. The folder `plain` is what has no recipe; `geneval` and `genbench` have the drawn set in others' layouts.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from tests.reliability.child import Mischance
from tests.reliability.set_stages import LAYOUTS

RECIPE = """\
name: main
threads: 1
vlm: {name: demo-visual}
dataset: {name: folder, root: photos, reward_split: reward, test_split: test}
images:
  seeds: [0, 1]
  per_class: 3
  sets:
    copies: {generator: {name: original, split: reward}}
    drawn:
      generator:
        name: tests.reliability.generators.Sometimes
        knows: [blicket, fep, toma, wug]
        error: {pattern: 0.25}
        obey: 0.9
measure: {shots: [2], bootstrap_samples: 100, permutations: 99}
"""
MOMENTS = ("sets-fresh", "sets-drawing", "sets-drawn", "sets-measured")
"""What there is: nothing, a set that was killed in the middle of it, all sets, all numbers."""


def make_sets(
    folder: Path,
    make_images: Callable[[Path], None],
    done: Callable[..., object],
    killed: Callable[..., int],
    keep: Callable[[Path, str], None],
) -> None:
    """Make the world in a new folder, which is `sets-measured`.

    Args:
        folder: The folder.
        make_images: Draws the photographs below a folder.
        done: Runs a command in a folder, which must succeed.
        killed: Runs one with a mischance, and gives its exit status.
        keep: Keeps a copy of a moment.
    """
    folder.mkdir(parents=True)
    make_images(folder / "photos")
    shutil.copytree(folder / "photos" / "test2", folder / "plain")
    (folder / "sets.yaml").write_text(RECIPE, encoding="utf-8")
    keep(folder, "sets-fresh")
    mischance = Mischance(signal=signal.SIGKILL, when="sets/drawn-*/seed-1/failures.jsonl", lines=1)
    status = killed(folder, ["draw", "sets.yaml"], mischance)
    assert status == -signal.SIGKILL, f"draw was not killed: {status}"
    keep(folder, "sets-drawing")
    done(folder, "draw", "sets.yaml")
    for layout in LAYOUTS:
        done(folder, "export", "sets/drawn-*/seed-0", "--layout", layout, "--out", layout)
    keep(folder, "sets-drawn")
    done(folder, "measure", "sets.yaml")
    done(folder, "measure", "sets.yaml", "name=other", "vlm.name=demo-spurious", "images.seeds=[0]")
