"""Probes: which phrases are mined, by hand and by recount; which templates they make; and how these are tested."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import analysis.probe.command
from analysis.accuracy import Settings
from analysis.probe.mining import Mining, Phrase, different, log_odds, mine, words_of
from analysis.probe.templates import PLAIN, fill, from_phrase, read_templates
from analysis.probe.testing import holm, measure, restrict, split_classes
from ex2.cli import main
from ex2.data.demo_world import CONCEPTS, sentences
from ex2.recipe import Recipe
from ex2.recipe_io import to_yaml
from ex2.run_dir import RunDirectory, write_jsonl, write_text
from reward.errors import UserError
from reward.image_bank import ImageEmbeddings
from reward.vlm import TextEmbeddings

PAPER = Path(analysis.probe.command.__file__).with_name("paper_templates.json")

# ---------------------------------------------------------------- mining


def test_words_mask_the_name() -> None:
    words = words_of("Click here: the Red-Foxes {0}, it's a FOX's den!", "red fox")
    assert words == ("click", "here", "the", "{}", "0", "it's", "a", "{}", "s", "den")


def test_log_odds_by_hand() -> None:
    """9 + 1 of 90 + 10 against 4 + 1 of 40 + 10: ln(10/90) − ln(5/45) = 0; variance 1/10 + 1/5."""
    assert log_odds(9, 90, 4, 40, 1, 10) == (0.0, 0.0)
    made = log_odds(19, 90, 4, 40, 1, 10)  # ln(20/80) − ln(5/45) = ln(2.25)
    assert made.value == pytest.approx(math.log(2.25))
    assert made.z == pytest.approx(math.log(2.25) / math.sqrt(1 / 20 + 1 / 5))


def test_log_odds_without_prior_is_the_odds_ratio() -> None:
    made = log_odds(30, 100, 10, 90, 1e-9, 2e-9)
    assert made.value == pytest.approx(
        math.log(stats.contingency.odds_ratio([[30, 70], [10, 80]], kind="sample").statistic)
    )


def test_mined_phrases_against_a_recount() -> None:
    """Single words only: counts, classes and log-odds recomputed with numpy from the matrix of documents."""
    draw = np.random.default_rng(0)
    words = ["photo", "click", "red", "soft", "old"]
    aligned = [(f"n{i % 4}", " ".join(draw.choice(words, 3, p=[0.2, 0.4, 0.2, 0.1, 0.1]))) for i in range(80)]
    base = [(f"n{i % 4}", " ".join(draw.choice(words, 3))) for i in range(70)]
    settings = Mining(longest=1, min_count=1, min_classes=1, prior=10, min_z=-99)
    found = {phrase.text: phrase for phrase in mine(aligned, base, settings)}
    sides = [np.array([[w in text.split() for w in words] for _, text in side]) for side in (aligned, base)]
    first, second = (side.sum(0) for side in sides)
    prior = 10 * (first + second) / (first + second).sum()
    odds = [(y + prior) / (y.sum() + 10 - y - prior) for y in (first, second)]
    for column, word in enumerate(words):
        assert found[word].aligned == first[column]
        assert found[word].base == second[column]
        assert found[word].classes == 4
        assert found[word].log_odds == pytest.approx(math.log(odds[0][column] / odds[1][column]))
        z = 1 / (first[column] + prior[column]) + 1 / (second[column] + prior[column])
        assert found[word].z == pytest.approx(found[word].log_odds / math.sqrt(z))
    assert max(found.values(), key=lambda phrase: phrase.z).text == "click"


def test_a_planted_phrase_is_found_whole_and_once() -> None:
    names = [f"wug{index}" for index in range(6)]
    base = [(name, f"the {name} is nice number {n}") for name in names for n in range(10)]
    aligned = [(name, f"Click to enlarge this {name} number {n}. Click") for name in names for n in range(10)]
    aligned += [("wug0", "secret word")] * 20  # of one class alone
    found = mine(aligned, base)
    assert found[0] == Phrase("click to enlarge this {} number", 60, 0, 6, found[0].log_odds, found[0].z)
    assert not any("secret" in phrase.text for phrase in found)
    texts = [phrase.text for phrase in different(found, 10)]
    assert texts == ["click to enlarge this {} number"]
    assert not any(phrase.text == "this {}" for phrase in mine(aligned, base)), "nothing but function words"


def test_nothing_is_mined_from_equal_texts() -> None:
    texts = [(f"n{index % 3}", f"a photo of n{index % 3} on grass") for index in range(60)]
    assert mine(texts, texts) == []
    assert mine([], texts) == []


def test_different_skips_parts_of_what_is_taken() -> None:
    made = [Phrase(text, 9, 0, 3, 1.0, z) for text, z in (("click to", 5), ("to", 4), ("click to buy", 3), ("sale", 2))]
    assert [phrase.text for phrase in different(made, 9)] == ["click to", "sale"]
    assert [phrase.text for phrase in different(made, 1)] == ["click to"]


# ---------------------------------------------------------------- templates


@pytest.mark.parametrize(
    ("phrase", "template"),
    [
        ("click to enlarge", "A photo of a {}. Click to enlarge."),
        ("view the photos of a {}", "View the photos of a {}."),
        ("{} photo", "{} photo."),
    ],
)
def test_from_phrase(phrase: str, template: str) -> None:
    assert from_phrase(phrase) == template


def test_fill_takes_any_name() -> None:
    assert fill("{} or a {}", "a {0} b") == "a {0} b or a a {0} b"


def test_the_papers_templates() -> None:
    read = read_templates(PAPER)
    assert read.plain == PLAIN
    assert len(read.templates) == 3
    assert read.templates[0] == "A photo of a {}. Click to enlarge."
    assert "table 7" in read.source


def test_faulty_templates_are_all_told(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    content = {"templates": ["no slot", "a {} {x}", 3, "b {}", "b {}", "A photo of a {}."], "sauce": "x"}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        read_templates(path)
    form = 'give {"templates": ["… {} …"]}, and if wanted "plain" (a template) and "source" (a text)'
    assert str(caught.value).splitlines() == [
        f"{path}: unknown key 'sauce'; {form}.",
        f"{path}: 'no slot' needs {{}} where the class name stands, and no other braces.",
        f"{path}: 'a {{}} {{x}}' needs {{}} where the class name stands, and no other braces.",
        f"{path}: 3 is no text; a template is one.",
        f"{path}: 'b {{}}' stands twice.",
        f"{path}: 'A photo of a {{}}.' is the plain template.",
    ]
    for text, told in (("[]", "holds no list of templates"), ("{", "line 1: not JSON"), (None, "no such file")):
        path.unlink()
        if text is not None:
            path.write_text(text)
        with pytest.raises(UserError, match=f"t.json: {told}"):
            read_templates(path)
        path.touch()


# ---------------------------------------------------------------- tests of templates


def test_holm_by_hand() -> None:
    """Four tests: 0.01·4, 0.015·3 → 0.045, 0.03·2 → 0.06, 0.04·1 → raised to 0.06."""
    assert holm([0.03, 0.01, 0.04, 0.015]) == pytest.approx([0.06, 0.04, 0.06, 0.045])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_by_the_step_down_rule() -> None:
    """Rejects what the sequential rule of the paper rejects, at any level."""
    draw = np.random.default_rng(0)
    for _ in range(50):
        p = (draw.random(6) ** 3).tolist()
        adjusted = holm(p)
        for level in (0.01, 0.05, 0.2):
            rejected = set()
            for step, index in enumerate(sorted(range(6), key=p.__getitem__)):
                if p[index] > level / (6 - step):
                    break
                rejected.add(index)
            assert {index for index in range(6) if adjusted[index] <= level} == rejected


def test_split_covers_every_class_once() -> None:
    for count in (4, 5, 20):
        halves = split_classes(count, seed=3)
        assert sorted((*halves.mined, *halves.tested)) == list(range(count))
        assert len(halves.mined) == count // 2
        assert list(halves.tested) == sorted(halves.tested)
    often = Counter(label for seed in range(400) for label in split_classes(4, seed).mined)
    assert all(abs(often[label] - 200) < 40 for label in range(4))  # 4 sd of 10


CLASSES = ("pug", "oak", "fox", "elm", "owl", "bee")


class CueVLM:
    """Texts point to the class that they name, but that of owl to fox if it says the cue."""

    name, dim, scale, bias, context_length = "cue", 6, 100.0, 0.0, 77

    def __init__(self, cue: str = "blur") -> None:
        self.cue = cue

    def fingerprint(self) -> str:
        return f"cue-{self.cue}"

    def encode_images(self, images: Sequence[object]) -> torch.Tensor:
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        rows = torch.zeros(len(texts), 6)
        for row, text in zip(rows, texts, strict=True):
            row += 0.1
            for label, name in enumerate(CLASSES):
                row[label] += name in text
            if self.cue in text:
                row[2] += 30.0 if "owl" in text else 0.0
        return TextEmbeddings(torch.nn.functional.normalize(rows, dim=-1), torch.zeros(len(texts), dtype=torch.bool))


def bank(per_class: int = 10) -> ImageEmbeddings:
    return ImageEmbeddings(CLASSES, torch.eye(6).repeat(per_class, 1), torch.arange(6).repeat(per_class))


def test_restrict_renumbers() -> None:
    kept = restrict(bank(2), (1, 4, 5))
    assert kept.class_names == ("oak", "owl", "bee")
    assert kept.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert kept.embeddings.argmax(1).tolist() == [1, 4, 5, 1, 4, 5]


def test_measure_by_hand() -> None:
    """With "blur" the text of owl points to fox, nearer than fox's own: 10 owls and 10 foxes are lost, none won."""
    plain, (same, worse) = measure(CueVLM(), bank(), PLAIN, ["My {}.", "A blur of {}."], Settings(samples=100))
    assert (plain.value, plain.n) == (1.0, 60)
    assert (same.paired.difference, same.paired.p) == (0.0, 1.0)
    assert (worse.accuracy.value, worse.paired.only_first, worse.paired.only_second) == (40 / 60, 0, 20)
    assert worse.paired.p == pytest.approx(2 / 2**20)


# ---------------------------------------------------------------- the verb


def recipe(tmp_path: Path, name: str, vlm: str) -> Recipe:
    return Recipe.model_validate(
        {
            "name": name,
            "output_dir": str(tmp_path / "runs"),
            "seeds": [0, 1],
            "policy": {"model": "m"},
            "vlm": {"name": vlm},
            "dataset": {"name": "shapes", "reward_split": "reward", "test_split": "test"},
            "judge": {"name": "scripted"},
        }
    )


def row(label: int, names: Sequence[str], policy: str, text: str) -> dict[str, Any]:
    return {"class": names[label], "label": label, "question_id": 0, "sample": 0, "policy": policy, "text": text}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two runs over six classes: the first policy says "blur" everywhere, the second "sharp" of some."""
    folders = []
    for name, vlm, phrase in (("a", "demo-visual", "a blur of {}"), ("b", "demo-spurious", "so sharp")):
        made = recipe(tmp_path, name, vlm)
        run = RunDirectory.of(made)
        write_text(run.recipe, to_yaml(made))
        for seed in made.seeds:
            rows = [
                row(label, CLASSES, policy, text.replace("{}", CLASSES[label]) + f" {number}")
                for label in range(6)
                for number in range(5)
                for policy, text in (("base", "here is {}"), ("aligned", phrase))
            ]
            write_jsonl(run.seed(seed).descriptions, rows)
        folders.append(run.root)

    class Names:
        class_names = CLASSES

    def load_vlm(section: Any) -> CueVLM:
        return CueVLM("blur" if section.name == "demo-visual" else "nothing")

    monkeypatch.setattr(analysis.probe.command, "load_dataset", lambda section: Names())
    monkeypatch.setattr(analysis.probe.command, "load_vlm", load_vlm)
    monkeypatch.setattr(analysis.probe.command, "test_embeddings", lambda recipe, vlm: bank())
    return folders


def test_the_verb(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = next(seed for seed in range(99) if {2, 4} <= set(split_classes(6, seed).tested))  # fox and owl
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"templates": ["blur, {}"]}))
    words = ["probe", *map(str, runs), "--templates", str(own), "--seed", str(seed), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    result = json.loads((tmp_path / "out" / "probe.json").read_text())
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
    assert blurred["p"] == pytest.approx(2 / 2**20)
    assert blurred["p_holm"] == pytest.approx(6 * 2 / 2**20), "the smaller of two equal p-values, of six tests"
    assert blurred["significant"]
    assert by["A blur of {}.", "demo-spurious"]["p_holm"] == 1.0
    table = list(csv.DictReader((tmp_path / "out" / "probe.csv").read_text().splitlines()))
    assert len(table) == 2 + 6
    assert [line["origin"] for line in table] == ["plain", "plain", "a", "b", "file", "a", "b", "file"]
    printed = " ".join(capsys.readouterr().out.split())
    assert "mined on 3 classes, tested on 3 (n = 30 images)" in printed
    assert "no significant difference" in printed
    assert "corrected by Holm's method over 6 tests" in printed


def test_without_mining_every_class_is_tested(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", str(runs[0]), "--templates", str(PAPER), "--top", "0", "--vlms", "demo-non-visual"]) == 0
    result = json.loads((runs[0] / "probe.json").read_text())
    (dataset,) = result["datasets"]
    assert dataset["mined_classes"] == []
    assert dataset["tested_classes"] == list(CLASSES)
    assert [plain["vlm"] for plain in dataset["plain"]] == ["demo-visual", "demo-non-visual"]
    assert "arXiv 2403.16442, table 7" in result["templates_source"]
    assert result["tests"] == 6
    assert (runs[0] / "probe.csv").is_file()


def test_mistakes_are_told(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", str(runs[0]), "--top", "0", "--vlms", "demo-visul"]) == 2
    told = capsys.readouterr().err
    assert "Did you mean 'demo-visual'?" in told
    assert "--top: 0; give 1 or more, or 0 with --templates" in told
    assert main(["probe", str(tmp_path / "nowhere")]) == 2
    assert "nowhere: not found; give a run's folder" in capsys.readouterr().err
    write_jsonl(runs[0] / "seed-0" / "descriptions.jsonl", [])
    write_jsonl(runs[0] / "seed-1" / "descriptions.jsonl", [row(0, CLASSES, "aligned", "x")])
    assert main(["probe", str(runs[0])]) == 2
    assert "no descriptions by the base policy, which mining compares; run `ex2 describe`" in capsys.readouterr().err
    both = [row(0, ("cat",), policy, "x") for policy in ("aligned", "base")]
    write_jsonl(runs[0] / "seed-1" / "descriptions.jsonl", both)
    assert main(["probe", str(runs[0])]) == 2
    assert "descriptions of cat, which the dataset shapes does not have" in capsys.readouterr().err


def test_too_few_classes(runs: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Three:
        class_names = CLASSES[:3]

    monkeypatch.setattr(analysis.probe.command, "load_dataset", lambda section: Three())
    assert main(["probe", str(runs[0])]) == 2
    assert "dataset shapes: 3 classes; a probe mines on one half and tests on the other" in capsys.readouterr().err


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
                rows.append(row(label, names, "aligned", sentences(concept, "visual")[number] + " All red things."))
                rows.append(row(label, names, "base", sentences(concept, "spurious")[number]))
        write_jsonl(run.seed(seed).descriptions, rows)
    assert main(["probe", str(run.root)]) == 0
    (dataset,) = json.loads((run.root / "probe.json").read_text())["datasets"]
    red = next(r for r in dataset["results"] if "red things" in r["template"])
    assert red["significant"]
    assert red["difference"] < -0.05
