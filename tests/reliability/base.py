"""The world in which every cell happens: a folder with images, a cache, recipes and two runs that went through it all.

    r.yaml  other.yaml  photos/{reward,test,test2}/CLASS/*.png  cache/  runs/main/…  runs/other/…  tables/

It is the smallest that is real: PPO on the demo's policy for three batches of four descriptions, an image folder of
four of the demo world's classes, the demo's VLM and its exact judge. `runs/other` has another VLM and one seed. Paths
are relative, so that a copy is as good.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT, ROOT / "tests" / "support"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from processes import Ended, Process  # noqa: E402 - the path is set for `python -m tests.reliability` too

from tests.reliability.child import NOTHING, Mischance, work  # noqa: E402
from tests.reliability.damage import SPLITS  # noqa: E402
from tests.reliability.set_world import MOMENTS as SET_MOMENTS  # noqa: E402
from tests.reliability.set_world import make_sets  # noqa: E402

CLASSES = ("blicket", "fep", "toma", "wug")
RECIPE = """\
name: {name}
seeds: {seeds}
threads: 1
policy: {{model: "package:ex2/data/demo_policy"}}
lora: {{r: 2, alpha: 4, dropout: 0.05, target_modules: [q_proj, v_proj]}}
vlm: {{name: {vlm}}}
dataset: {{name: folder, root: photos, reward_split: reward, test_split: test, images_per_class: 3, workers: 0}}
prompts: {{questions: [0, 1]}}
rl:
  batches: 3
  batch_size: 4
  minibatch_size: 2
  epochs: 1
  learning_rate: 1.0e-3
  kl: {{controller: log, init_coef: 0.2, target: 3, horizon: 20, horizon_unit: batches}}
generation: {{max_new_tokens: 8}}
training: {{save_every: 1, save_total_limit: 3, show_samples_every: 1}}
watch: {{without_name_every: 0}}
describe: {{batch_size: 4}}
judge: {{name: scripted}}
analysis: {{bootstrap_samples: 50, controls: [class_name, shuffled], attribution: {{pool: 20, encodings: 1000}}}}
"""
MOMENTS = ("fresh", "training", "trained", "describing", "described", "analyzing", "analyzed", "done")
ALL_MOMENTS = (*MOMENTS, *SET_MOMENTS)
"""What of seed 0 there is; a word with -ing: the stage was killed in the middle. Seed 1 is analyzed from the start."""


def environment() -> dict[str, str]:
    """Return a cell's environment: no network, one thread, a cache in its folder."""
    own = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "EX2_CACHE": "cache", "NO_COLOR": "1", "COLUMNS": "200"}
    return {**os.environ, **own, "PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"}


def start(folder: Path, words: Sequence[str], mischance: Mischance = NOTHING) -> Process:
    """Start `ex2 WORD…` in a folder; a word with a star is the path that it stands for, as in a shell."""
    found = {word: sorted(folder.glob(word)) for word in words if "*" in word}
    words = [str(found[word][0].relative_to(folder)) if found.get(word) else word for word in words]
    return Process(work, tuple(words), mischance, folder=folder, environment=environment())


def done(folder: Path, *words: str) -> Ended:
    """Run what must succeed.

    Raises:
        AssertionError: If it does not; with what it printed.
    """
    ended = start(folder, words).wait()
    assert ended.returncode == 0, f"{' '.join(words)}: {ended.stdout[-2000:]}\n{ended.stderr[-3000:]}"
    return ended


def make_images(folder: Path) -> None:
    """Draw three images of each class for each split."""
    from ex2.data.demo.shapes import draw
    from ex2.data.demo.world import BY_NAME

    for label, name in enumerate(CLASSES):
        for number in range(9):
            split = SPLITS[number // 3]
            path = folder / split / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw(BY_NAME[name], np.random.RandomState(100 * label + number), 32)).save(path)


def make(folder: Path, say: Callable[[str], None] = lambda _: None) -> Path:
    """Make the world in a new folder, and beside it copies of the moments on the way, each a folder of that name.

    Args:
        folder: Holds a folder for each of `ALL_MOMENTS` afterwards.
        say: Told of each.
    """
    world = folder / "done"
    world.mkdir(parents=True)
    make_images(world / "photos")
    (world / "r.yaml").write_text(RECIPE.format(name="main", seeds="[0, 1]", vlm="demo-visual"), encoding="utf-8")
    (world / "other.yaml").write_text(RECIPE.format(name="other", seeds="[0]", vlm="demo-spurious"), encoding="utf-8")

    def keep(moment: str) -> None:
        copied(world, folder / moment)
        say(moment)

    done(world, "run", "other.yaml", "--no-report")
    done(world, "run", "r.yaml", "--seeds", "1", "--no-report")
    done(world, "attributes", "runs/other")
    done(world, "phrases", "runs/other", "--top", "2")
    done(world, "label", "runs/other", "--n", "3")
    give_labels(world, "runs/other")
    done(world, "agreement", "runs/other")
    keep("fresh")
    seed = "runs/main/seed-0"
    for verb, moment, until, lines, after in (
        ("train", "training", f"{seed}/checkpoints/checkpoint-4/complete.json", 0, "trained"),
        ("describe", "describing", f"{seed}/descriptions.jsonl", 8, "described"),
        ("analyze", "analyzing", f"{seed}/verdicts.jsonl", 5, "analyzed"),
    ):
        mischance = Mischance(signal=signal.SIGKILL, when=until, lines=lines)
        ended = start(world, [verb, "r.yaml", "--seeds", "0"], mischance).wait()
        assert ended.returncode == -signal.SIGKILL, f"{verb} was not killed: {ended}"
        keep(moment)
        done(world, verb, "r.yaml", "--seeds", "0")
        keep(after)
    done(world, "cross", "runs/main", "runs/other")
    done(world, "attributes", "runs/main")
    done(world, "phrases", "runs/main", "--top", "2")
    done(world, "label", "runs/main", "--n", "3")
    give_labels(world, "runs/main")
    done(world, "agreement", "runs/main")
    done(world, "report", "r.yaml")
    done(world, "tables", "runs", "--out", "tables", "--format", "csv,json,latex")
    done(world, "index", "runs")
    say("done")
    make_world_of_sets(folder, say)
    return folder


def make_world_of_sets(folder: Path, say: Callable[[str], None] = lambda _: None) -> None:
    """Make the moments of image sets; see `set_world`."""

    def killed(world: Path, words: Sequence[str], mischance: Mischance) -> int:
        return start(world, words, mischance).wait().returncode

    def keep(world: Path, moment: str) -> None:
        copied(world, folder / moment)
        say(moment)

    make_sets(folder / "sets-measured", make_images, done, killed, keep)
    say("sets-measured")


def give_labels(folder: Path, run: str) -> None:
    """Answer for two raters, by the length of what is asked, which is no matter."""
    from labeled_runs import session_of

    here = Path.cwd()
    os.chdir(folder)
    try:
        for rater, modulus in (("rater-1", 2), ("rater-2", 3)):
            session = session_of(Path(run), n=3, rater=rater)
            while ask := session.state()["ask"]:
                session.answer(ask["key"], ask["question"], "yes" if len(ask["description"]) % modulus else "no")
    finally:
        os.chdir(here)


def copied(world: Path, folder: Path) -> Path:
    """Return a copy of a world, times of files included."""
    shutil.copytree(world, folder, symlinks=True)
    return folder
