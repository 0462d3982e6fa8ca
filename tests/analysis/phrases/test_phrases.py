"""Probes: which phrases are mined, by hand and by recount; which templates they make; and how these are tested."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from vlms import CueVLM, cue_bank

import analysis.phrases.templates
from analysis.phrases.mining import Mining, Phrase, different, log_odds, mine, words_of
from analysis.phrases.templates import PLAIN, fill, from_phrase, read_templates
from analysis.phrases.testing import measure, restrict, split_classes
from analysis.statistics.holm import holm, holm_tests
from analysis.statistics.intervals import IntervalSettings
from ex2.run.descriptions import DescribedClass
from reward.errors import UserError

PAPER = Path(analysis.phrases.templates.__file__).with_name("paper_templates.json")

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
    aligned = [
        DescribedClass(f"n{i % 4}", " ".join(draw.choice(words, 3, p=[0.2, 0.4, 0.2, 0.1, 0.1]))) for i in range(80)
    ]
    base = [DescribedClass(f"n{i % 4}", " ".join(draw.choice(words, 3))) for i in range(70)]
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
    base = [DescribedClass(name, f"the {name} is nice number {n}") for name in names for n in range(10)]
    aligned = [
        DescribedClass(name, f"Click to enlarge this {name} number {n}. Click") for name in names for n in range(10)
    ]
    aligned += [DescribedClass("wug0", "secret word")] * 20  # of one class alone
    found = mine(aligned, base)
    assert found[0] == Phrase("click to enlarge this {} number", 60, 0, 6, found[0].log_odds, found[0].z)
    assert not any("secret" in phrase.text for phrase in found)
    texts = [phrase.text for phrase in different(found, 10)]
    assert texts == ["click to enlarge this {} number"]
    assert not any(phrase.text == "this {}" for phrase in mine(aligned, base)), "nothing but function words"


def test_nothing_is_mined_from_equal_texts() -> None:
    texts = [DescribedClass(f"n{index % 3}", f"a photo of n{index % 3} on grass") for index in range(60)]
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


def test_corrected_tests_are_compared_with_the_level() -> None:
    """0.06, 0.04, 0.06 and 0.045 against 0.05 and against 0.04, which is not below itself."""
    p_values = [0.03, 0.01, 0.04, 0.015]
    assert [test.significant for test in holm_tests(p_values, 0.05)] == [False, True, False, True]
    assert not any(test.significant for test in holm_tests(p_values, 0.04))
    assert [test.p for test in holm_tests(p_values, 0.05)] == pytest.approx([0.06, 0.04, 0.06, 0.045])


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


def test_restrict_renumbers() -> None:
    kept = restrict(cue_bank(2), (1, 4, 5))
    assert kept.class_names == ("oak", "owl", "bee")
    assert kept.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert kept.embeddings.argmax(1).tolist() == [1, 4, 5, 1, 4, 5]


def test_measure_by_hand() -> None:
    """With "blur" the text of owl points to fox, nearer than fox's own: 10 owls and 10 foxes are lost, none won."""
    plain, (same, worse) = measure(
        CueVLM(), cue_bank(), PLAIN, ["My {}.", "A blur of {}."], IntervalSettings(samples=100)
    )
    assert (plain.value, plain.n) == (1.0, 60)
    assert (same.paired.difference, same.paired.p) == (0.0, 1.0)
    assert (worse.accuracy.value, worse.paired.only_first, worse.paired.only_second) == (40 / 60, 0, 20)
    assert worse.paired.p == pytest.approx(1 / 2**20)
