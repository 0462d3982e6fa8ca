"""`ex2 phrases`: mined on one half of the classes, tested on the other, kept, laid out and shown."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from described_runs import recipe, row, write_described
from vlms import CUE_CLASSES as CLASSES

import analysis.phrases.command
from analysis.phrases.stored import stored_phrases
from analysis.phrases.testing import split_classes
from ex2.cli import main
from ex2.data.demo.world import CONCEPTS, sentences
from ex2.recipe_io import read_recipe, to_yaml
from ex2.run.directory import RunDirectory
from reward.files import write_jsonl, write_text

PAPER = Path(analysis.phrases.command.__file__).with_name("paper_templates.json")

# ---------------------------------------------------------------- the verb


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    return write_described(tmp_path, monkeypatch)


def test_the_verb(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = next(seed for seed in range(99) if {2, 4} <= set(split_classes(6, seed).tested))  # fox and owl
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"templates": ["blur, {}"]}))
    words = ["phrases", *map(str, runs), "--templates", str(own), "--seed", str(seed), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    result = json.loads((tmp_path / "out" / "phrases.json").read_text())
    (dataset,) = result["datasets"]
    mined, tested = dataset["mined_classes"], dataset["tested_classes"]
    assert sorted([*mined, *tested]) == sorted(CLASSES)
    assert {"fox", "owl"} <= set(tested)
    assert dataset["phrases"]["a"][0]["text"] == "a blur of {}"
    assert dataset["phrases"]["a"][0]["aligned"] == 30, "three classes, five texts, two seeds"
    templates = [(t["template"], t["runs"], t["from_file"]) for t in dataset["templates"]]
    assert templates == [
        ("A blur of {}.", ["a"], False),
        ("A photo of a {}. So sharp.", ["b"], False),
        ("blur, {}", [], True),
    ]
    assert (result["tests"], [plain["accuracy"] for plain in dataset["plain"]]) == (6, [1.0, 1.0])
    by = {(r["template"], r["vlm"]): r for r in dataset["results"]}
    blurred = by["A blur of {}.", "demo-visual"]
    assert (blurred["n"], blurred["only_second"], blurred["accuracy"]) == (30, 20, 10 / 30)
    assert blurred["p"] == pytest.approx(1 / 2**20)
    assert blurred["p_holm"] == pytest.approx(6 / 2**20), "the smaller of two equal p-values, of six tests"
    assert blurred["significant"]
    assert by["A blur of {}.", "demo-spurious"]["p_holm"] == 1.0
    table = csv.DictReader((tmp_path / "out" / "table-07-hypotheses.csv").read_text().splitlines())
    origins = [line["text"] for line in table if line["column"] == "from"]
    assert origins == ["the plain template"] * 2 + ["a", "a", "b", "b", "given in a file", "given in a file"]
    printed = " ".join(capsys.readouterr().out.split())
    assert "mined on 3 classes, tested on 3 (n = 30 images)" in printed
    assert "no significant difference" in printed
    assert "corrected by Holm's method over 6 tests" in printed


def test_without_mining_every_class_is_tested(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", str(runs[0]), "--templates", str(PAPER), "--top", "0", "--vlms", "demo-non-visual"]) == 0
    result = json.loads((runs[0] / "phrases.json").read_text())
    (dataset,) = result["datasets"]
    assert dataset["mined_classes"] == []
    assert dataset["tested_classes"] == list(CLASSES)
    assert [plain["vlm"] for plain in dataset["plain"]] == ["demo-visual", "demo-non-visual"]
    assert "arXiv 2403.16442, table 7" in result["templates_source"]
    assert result["tests"] == 6
    stems = {path.suffix for path in runs[0].glob("table-07-hypotheses.*")}
    assert stems == {".csv", ".json", ".tex", ".svg", ".png"}


def test_runs_that_differ_are_tested_at_the_stricter(runs: list[Path], tmp_path: Path) -> None:
    for folder, asked in zip(runs, ({"bootstrap_samples": 300}, {"confidence": 0.99}), strict=True):
        made = read_recipe(folder / "recipe.yaml")
        own = made.analysis.model_copy(update={"bootstrap_samples": 200, "confidence": 0.9, **asked})
        write_text(folder / "recipe.yaml", to_yaml(made.model_copy(update={"analysis": own})))
    out = tmp_path / "out"
    for order in (runs, runs[::-1]):
        assert main(["phrases", *map(str, order), "--out", str(out)]) == 0
        result = json.loads((out / "phrases.json").read_text())
        assert (result["confidence"], result["bootstrap_samples"]) == (0.99, 300)


@pytest.mark.parametrize("several", [False, True])
def test_out_may_spell_a_run_s_folder_as_it_likes(
    runs: list[Path], several: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored there stays the run's own part, which is read again."""
    monkeypatch.chdir(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(runs[0])
    named = [str(folder.relative_to(tmp_path)) for folder in runs[: 1 + several]]
    for out in (str(runs[0]), f"runs/../{named[0]}", str(link)):
        assert main(["phrases", *named, "--out", out]) == 0
        content, problem = stored_phrases(RunDirectory(runs[0]))
        assert problem == ""
        assert content is not None
        assert content.own == "a"


def test_mistakes_are_told(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phrases", str(runs[0]), "--top", "0", "--vlms", "demo-visul"]) == 2
    told = capsys.readouterr().err
    assert "Did you mean 'demo-visual'?" in told
    assert "--top: 0; give 1 or more, or 0 with --templates" in told
    assert main(["phrases", str(tmp_path / "nowhere")]) == 2
    assert "nowhere: not found; give a run's folder" in capsys.readouterr().err
    write_jsonl(runs[0] / "seed-0" / "descriptions.jsonl", [])
    write_jsonl(runs[0] / "seed-1" / "descriptions.jsonl", [row(0, CLASSES, "aligned", "x")])
    assert main(["phrases", str(runs[0])]) == 2
    assert "no descriptions by the base policy, which mining compares; run `ex2 describe`" in capsys.readouterr().err
    both = [row(0, ("cat",), policy, "x") for policy in ("aligned", "base")]
    write_jsonl(runs[0] / "seed-1" / "descriptions.jsonl", both)
    assert main(["phrases", str(runs[0])]) == 2
    assert "descriptions of cat, which the dataset shapes does not have" in capsys.readouterr().err


def test_too_few_classes(runs: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Three:
        class_names = CLASSES[:3]

    monkeypatch.setattr(analysis.phrases.command, "load_dataset", lambda source: Three())
    assert main(["phrases", str(runs[0])]) == 2
    assert "dataset shapes: 3 classes; this verb mines on one half and tests on the other" in capsys.readouterr().err


@pytest.mark.slow
def test_on_the_demo_world(tmp_path: Path) -> None:
    """Real demo VLM and images: a mined value of one facet pulls every class toward it, and costs accuracy."""
    made = recipe(tmp_path, "demo", "demo-visual")
    run = RunDirectory.of(made)
    write_text(run.recipe, to_yaml(made))
    names = [concept.name for concept in CONCEPTS]
    for seed in made.seeds:
        rows = []
        for label, concept in enumerate(CONCEPTS):
            for number in range(14):
                rows.append(
                    row(label, names, "aligned", sentences(concept, "visual")[number] + " All red things.", number)
                )
                rows.append(row(label, names, "base", sentences(concept, "spurious")[number], number))
        write_jsonl(run.seed(seed).descriptions, rows)
    assert main(["phrases", str(run.root)]) == 0
    (dataset,) = json.loads((run.root / "phrases.json").read_text())["datasets"]
    red = next(r for r in dataset["results"] if "red things" in r["template"])
    assert red["significant"]
    assert red["difference"] < -0.05
