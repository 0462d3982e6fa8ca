"""The paper's recipes are what the generator writes, and say what the paper's tables say."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from paths import ROOT

from ex2.recipe import KL, PPO, RL
from ex2.recipe_io import read_recipe

PAPER = ROOT / "recipes/paper"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_paper", ROOT / "recipes/make_paper.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_paper"] = module
    spec.loader.exec_module(module)
    return module


def test_committed_files_are_byte_for_byte_what_the_script_writes(generator: ModuleType) -> None:
    written = generator.files()
    assert len(written) == 49 + 14 + 1
    for path, text in written.items():
        assert path.read_bytes() == text.encode(), f"{path}: run `make paper-recipes`"
    assert {path for path in written if path.suffix == ".yaml"} == set(PAPER.rglob("*.yaml"))


def test_check_finds_a_changed_file_and_writing_mends_it(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipes/paper").mkdir(parents=True)
    (tmp_path / "recipes/paper/paper_accuracy.json").write_bytes((PAPER / "paper_accuracy.json").read_bytes())
    (tmp_path / "recipes/README.md").write_bytes((ROOT / "recipes/README.md").read_bytes())
    monkeypatch.setattr(generator, "ROOT", tmp_path)
    monkeypatch.setattr(generator, "NUMBERS", tmp_path / "recipes/paper/paper_accuracy.json")
    monkeypatch.setattr(generator, "README", tmp_path / "recipes/README.md")
    monkeypatch.setattr(sys, "argv", ["make_paper.py"])
    assert generator.main() == 0
    assert (tmp_path / "recipes/paper/dfn/dtd.yaml").read_bytes() == (PAPER / "dfn/dtd.yaml").read_bytes()
    changed = tmp_path / "recipes/paper/clip/cub.yaml"
    changed.write_text(changed.read_text().replace("1.41e-5", "1e-4"))
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["make_paper.py", "--check"])
    assert generator.main() == 1
    assert capsys.readouterr().out == "differs: recipes/paper/clip/cub.yaml\n"


def test_the_grid_is_complete_and_every_setting_is_the_papers() -> None:
    vlms = ("clip", "align", "eva", "siglip", "metaclip", "clipa", "dfn")
    datasets = ("flowers", "pets", "cub", "stanford_dogs", "fgvc_aircraft", "stanford_cars", "dtd")
    papers = PPO(
        score_centering="none",
        loss_mean="responses",
        value_trunk="shared",
        value_init="default",
        value_clip_unit="reward",
        value_learning_rate="policy",
    )
    names = set()
    for vlm, (dataset, target) in itertools.product(
        vlms, [*((name, 10) for name in datasets), ("flowers", 20), ("cub", 20)]
    ):
        suffix = "" if target == 10 else "-kl20"
        recipe = read_recipe(PAPER / vlm / f"{dataset}{suffix}.yaml")
        names.add(recipe.name)
        assert recipe.name == f"{vlm}-{dataset}{suffix}"
        assert recipe.dataset.name == dataset
        assert recipe.dataset.reward_split != recipe.dataset.test_split == "test"
        assert recipe.ppo == papers
        assert recipe.rl == RL(kl=KL(target=target))
        assert (recipe.policy.model, recipe.policy.quantization) == ("mistralai/Mistral-7B-v0.1", "8bit")
        assert recipe.vlm.settings["dtype"] == ("float32" if vlm == "align" else "float16")
        assert recipe.judge.settings == {"model": "gpt-3.5-turbo-1106", "rubric": "paper"}
        assert recipe.seeds == [0]
        assert recipe.resources.gpus == 1
    assert len(names) == 63


def test_a_kl20_recipe_differs_from_its_twin_in_name_and_target_only() -> None:
    for path in PAPER.rglob("*-kl20.yaml"):
        ours = yaml.safe_load(path.read_text())
        twin = yaml.safe_load(path.with_name(path.name.replace("-kl20", "")).read_text())
        twin["name"] += "-kl20"
        twin["rl"]["kl"]["target"] = 20
        assert ours == twin


@pytest.mark.parametrize(
    ("path", "said"),  # read off Tables 1 and 9 of arXiv 2403.16442
    [
        ("clip/pets.yaml", "paper, top-1: 84.68 (templates) → 88.34 (EX2) (Table 1)"),
        ("eva/cub.yaml", "paper, top-1: 74.63 (templates) → 73.52 (EX2) (Table 1)"),
        ("dfn/stanford_cars.yaml", "paper, top-1: 96.14 (templates) → 95.78 (EX2) (Table 1)"),
        ("clip/flowers-kl20.yaml", "63.31 (templates) → 68.92 (EX2, KL 20); 73.65 at KL 10 (Tables 1 and 9)"),
        ("siglip/dtd.yaml", "the paper reports no accuracy on this dataset"),
        ("clipa/pets.yaml", "those of DataComp-1B stand in"),
    ],
)
def test_headers_say_what_the_paper_says(path: str, said: str) -> None:
    header = [line for line in (PAPER / path).read_text().splitlines() if line.startswith("#")]
    assert header[0].endswith(f"-m ex2.train recipes/paper/{path}")
    assert said in "\n".join(header)


def test_paper_numbers_are_complete() -> None:
    numbers = json.loads((PAPER / "paper_accuracy.json").read_text())
    assert "arXiv 2403.16442" in numbers["source"]
    table1 = numbers["table1_accuracy"]
    assert sum(len(row) for row in table1.values()) == 42
    cells = [cell for row in table1.values() for cell in row.values()]
    assert all(10 < cell["templates"] < 100 and 10 < cell["ex2"] < 100 for cell in cells)
    assert {len(row) for row in numbers["table9_accuracy_at_kl_20"].values()} == {2}


def test_precisions_of_one_pair_differ_in_the_policy_only() -> None:
    paper = yaml.safe_load((PAPER / "clip/pets.yaml").read_text())
    others = sorted((ROOT / "recipes/policies").glob("*.yaml"))
    assert [path.name for path in others] == ["clip_pets_4bit.yaml", "clip_pets_bf16.yaml"]
    for path in others:
        other = yaml.safe_load(path.read_text())
        assert {key for key in paper if paper[key] != other[key]} == {"name", "policy"}
        assert paper.keys() == other.keys()
