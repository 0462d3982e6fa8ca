"""Sets of real generators from a recipe to its page: drawn, interrupted, resumed, measured, and refused in words."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_diffusion
import yaml
from drawn_sets import content
from PIL import Image

from analysis.images.stored import stored_measures
from ex2.cli import main
from ex2.data.datasets.image_sets import read_set
from ex2.data.demo.world import CONCEPTS
from ex2.sets.generators.pipeline import Diffusers
from ex2.sets.generators.retrieval import Retrieval
from ex2.sets.text_encoders import find_encoder

NAMES = [concept.name for concept in CONCEPTS]
COUNT = 2 * len(NAMES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline, a sentence encoder that knows the classes' words, and a pool of two images a class."""
    folder = tmp_path_factory.mktemp("generated")
    tiny_diffusion.save_stable_diffusion(folder / "sd")
    words = tuple(dict.fromkeys(word for name in NAMES for word in name.split()))
    tiny_diffusion.save_sentence_encoder(folder / "encoder", (*words, "a", "photo", "of"))
    rows = []
    for label, name in enumerate(NAMES):
        for number in range(2):
            file = f"{label}-{number}.png"
            Image.new("RGB", (32, 32), (label * 15, number * 100, 50)).save(folder / file)
            rows.append({"caption": f"a photo of a {name}", "file": file})
    tiny_diffusion.write_pool(folder, rows)
    return folder


@pytest.fixture
def work(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A recipe, `sets.yaml`, of two sets of two images of each of 16 classes."""
    monkeypatch.chdir(tmp_path)
    model, encoder = str(made / "sd"), str(made / "encoder")
    tree = {
        "name": "x",
        "vlm": {"name": "demo-visual"},
        "dataset": {"name": "shapes", "reward_split": "reward", "test_split": "test"},
        "images": {
            "seeds": [0],
            "per_class": 2,
            "sets": {
                "drawn": {
                    "generator": {"name": "diffusers", "model": model, "steps": 2, "batch_size": 8, "overlong": "cut"},
                    "strategy": {"name": "negative", "others": 1, "over": "name"},
                    "usd_per_hour": 1.47,
                },
                "found": {
                    "generator": {"name": "retrieval", "pool": str(made / "pool.jsonl"), "encoder": encoder},
                    "strategy": {"name": "simple"},
                },
            },
        },
        "measure": {
            "metrics": ["cler"],
            "bootstrap_samples": 100,
            "permutations": 99,
            "text_similarity": {"pool": str(made / "pool.jsonl"), "encoder": encoder, "top": 3},
        },
    }
    written(tree)
    return tree


def written(tree: dict[str, Any]) -> None:
    Path("sets.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))


def ended(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main(words)
    told = capsys.readouterr()
    return status, told.out, told.err


class Count:
    """Counts what a generator is asked, and sends a signal in the middle of a batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, generator: type, signal_in: int = 0) -> None:
        self.images = self.batches = 0
        self.signal_in = signal_in
        draw = generator.draw  # type: ignore[attr-defined]

        def counted(own: Any, requests: Any) -> Any:
            self.images += len(requests)
            self.batches += 1
            if self.batches == self.signal_in:
                os.kill(os.getpid(), signal.SIGINT)
            return draw(own, requests)

        monkeypatch.setattr(generator, "draw", counted)


def test_the_whole_path_interrupted_and_resumed(
    work: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline, pool = Count(monkeypatch, Diffusers, signal_in=2), Count(monkeypatch, Retrieval)
    status, _, err = ended(capsys, "draw", "sets.yaml")
    assert status == 130
    assert f"interrupted after image 16 of {COUNT} of set 'drawn', seed 0, which is kept" in err
    assert (pipeline.images, pool.images) == (16, 0)
    (half,) = Path("sets").glob("drawn-*/seed-0")
    before = content(half)
    pipeline.signal_in = 0
    assert main(["run", "sets.yaml"]) == 0
    assert (pipeline.images, pool.images) == (COUNT, COUNT), "nothing is drawn twice"
    after = content(half)
    assert all(after[name] == held for name, held in before.items() if name.endswith(".png"))
    drawn, found = (read_set(next(Path("sets").glob(f"{name}-*/seed-0"))) for name in ("drawn", "found"))
    assert (drawn.record.made, found.record.made) == (COUNT, COUNT)
    assert drawn.record.generator_settings["model"] == "sd"
    assert {"ex2", "pillow", "diffusers", "torch", "transformers"} == {*drawn.record.versions}
    assert drawn.record.usd_per_hour == 1.47
    assert all(row.negative_prompt and row.negative_prompt != row.class_name for row in drawn.rows)
    for row in found.rows:
        assert Image.open(found.folder / row.file_name).getpixel((0, 0))[0] == row.label * 15  # type: ignore[index]
    assert (drawn.rows[0].source, len(found.rows[0].source)) == ("", 64)
    assert any("mean text similarity" in path.read_text() for path in Path("runs/x").glob("*.html"))
    measures = stored_measures(Path("runs/x"))
    assert measures is not None
    assert measures.similarity is not None
    encoder = find_encoder(work["measure"]["text_similarity"]["encoder"], "x")
    names = encoder.encode_texts(NAMES).embeddings.double()
    captions = encoder.encode_texts([f"a photo of a {name}" for name in NAMES for _ in range(2)]).embeddings.double()
    expected = [sorted((captions @ name).tolist())[-3:] for name in names]
    by_class = [sum(nearest) / 3 for nearest in expected]
    assert measures.similarity.by_class == pytest.approx(by_class, abs=1e-5)
    assert measures.similarity.value == pytest.approx(sum(by_class) / 16, abs=1e-5)
    assert (measures.similarity.k, measures.similarity.captions, measures.similarity.pool) == (3, 32, "pool.jsonl")
    status, out, _ = ended(capsys, "draw", "sets.yaml", "--dry-run")
    assert (status, out.splitlines()[-1]) == (0, "Nothing was drawn.")
    assert ended(capsys, "draw", "sets.yaml")[0] == 0
    assert (pipeline.images, pool.images) == (COUNT, COUNT)


def test_images_of_the_recipes_dataset_are_started_from(
    work: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a dataset of their own they are the recipe's; the split that is tested on is refused."""
    generator = work["images"]["sets"]["drawn"]["generator"]
    generator |= {"start": {"split": "reward", "per_class": 2}, "strength": 0.5}
    written(work)
    assert ended(capsys, "draw", "sets.yaml", "--sets", "drawn")[0] == 0
    (folder,) = Path("sets").glob("drawn-*/seed-0")
    start = read_set(folder).record.generator_settings["start"]
    assert start == {"from": "shapes", "split": "reward", "per_class": 2, "selection": "first", "strength": 0.5}
    sources = [row.source for row in read_set(folder).rows]
    assert len(set(sources)) == COUNT, "each start image is taken once"
    generator["start"]["split"] = "test"
    written(work)
    status, _, err = ended(capsys, "validate", "sets.yaml")
    assert status == 2
    assert "images.sets.drawn.generator.start.split: 'test' is what the sets are tested on" in err
    generator["start"] = {"split": "reward"}
    generator["inversion"] = {"images": {"split": "test"}}
    written(work)
    assert "images.sets.drawn.generator.inversion.images.split: 'test'" in ended(capsys, "validate", "sets.yaml")[2]


def test_all_that_is_missing_is_told_before_any_work(
    made: Path, work: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = work["images"]["sets"]
    shutil.copy(made / "pool.jsonl", tmp_path)
    sets["found"]["generator"]["pool"] = "pool.jsonl"
    sets["drawn"]["generator"]["model"] = "gone/sd/v1"
    sets["long"] = {
        "generator": {"name": "diffusers", "model": str(made / "sd"), "inversion": "gone"},
        "strategy": {"name": "restrictive", "weighting": "strip"},
    }
    written(work)
    for verb in ("validate", "draw", "run"):
        status, out, err = ended(capsys, verb, "sets.yaml")
        assert (status, out) == (2, "")
        assert [line.partition("images.sets.")[2].partition(";")[0] for line in err.splitlines()] == [
            "drawn.generator.model: no folder 'gone/sd/v1'",
            "found.generator.pool: pool.jsonl: rows 1, 2, 3 and 29 more: names a file that is not there",
            "long.generator.inversion: no folder 'gone'",
        ]
    work["measure"]["text_similarity"] |= {"pool": "gone.jsonl"}
    written(work)
    assert "measure.text_similarity.pool: no file 'gone.jsonl'" in ended(capsys, "validate", "sets.yaml")[2]
    work["measure"]["text_similarity"] |= {"pool": str(made / "pool.jsonl")}
    del sets["long"]["generator"]["inversion"]
    sets["drawn"]["generator"]["model"] = sets["long"]["generator"]["model"]
    del sets["found"]
    written(work)
    status, _, err = ended(capsys, "validate", "sets.yaml")
    assert status == 2
    assert "images.sets.long.generator.overlong: 32 of 32 prompts have more than the 16 tokens" in err
    assert not Path("sets").exists()
    status, _, err = ended(capsys, "validate", "sets.yaml", "images.sets.long.generator.stepz=3", "--recipe-only")
    assert status == 2
    assert "images.sets.long.generator: unknown 'stepz'. Did you mean 'steps'?" in err


def test_without_diffusers_the_command_that_installs_it_is_told(
    work: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "diffusers" else find_spec(name, *rest)
    )
    status, _, err = ended(capsys, "validate", "sets.yaml")
    assert status == 2
    assert "images.sets.drawn.generator: 'diffusers' needs the package diffusers; run: pip install 'ex2[images]'" in err


def test_help_loads_neither_torch_nor_diffusers() -> None:
    code = (
        "import sys; from ex2.cli import main\n"
        "try: main(['draw', '--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
