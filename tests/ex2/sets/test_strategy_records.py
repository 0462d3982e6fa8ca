"""What is stored of each strategy, what it says, and how strategies stand on each other."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from ex2.run.arm_texts import write_arm_texts
from ex2.run.descriptions import LabeledText
from ex2.run.directory import SeedDirectory
from ex2.sets.strategies.base import Classes, Prompt, build_inner, build_strategy, generator_problems, seeded
from ex2.sets.strategies.phrases import paper_phrases
from reward.errors import UserError

TWO = Classes(("cat", "sea lion"), set_seed=3, templates=("x {}", "y {}"))
PHRASES = ["sharp focus", "highly detailed", "hires"]
DEFINED = {"name": "defined", "templates": ["x {}", "y {}"]}


def test_what_is_stored_of_strategies_without_settings() -> None:
    assert (build_strategy("name", {}, TWO).name, build_strategy("name", {}, TWO).settings) == ("name", {})
    simple = build_strategy("simple", {}, TWO)
    assert (simple.name, simple.settings, simple.notes) == ("simple", {"template": "a photo of a {}"}, ())
    defined = build_strategy("defined", {"templates": ["one {}", "two {}", "three {}"]}, TWO)
    assert (defined.name, defined.settings) == ("defined", {"templates": ["one {}", "two {}", "three {}"]})
    assert defined.notes == ("3 templates, each class's images taking them in turn in a seeded order",)
    assert {defined(1, index) for index in range(3)} == {
        Prompt("one sea lion"),
        Prompt("two sea lion"),
        Prompt("three sea lion"),
    }


def test_templates_of_the_dataset_take_its_own_names_and_those_of_the_recipe_do_not() -> None:
    own = Classes(("n02", "n03"), templates=("a {}",), in_templates=("tench", "shark"))
    assert build_strategy("defined", {}, own)(1, 0).text == "a shark"
    assert build_strategy("defined", {"templates": ["a {}"]}, own)(1, 0).text == "a n03"
    assert build_strategy("name", {}, own)(1, 0).text == "n03"


def test_what_is_stored_of_restrictive() -> None:
    made = build_strategy("restrictive", {"weighting": "strip"}, TWO)
    assert made.name == "restrictive"
    assert made.settings == {"weighting": "strip", "phrases": PHRASES, "emphasize_class": False, "over": DEFINED}
    assert not made.needs_weights
    assert sorted(made(0, index).text for index in range(2)) == [
        f"{letter} cat, sharp focus, highly detailed, hires" for letter in "xy"
    ]


def test_a_class_is_emphasized_wherever_it_is_named() -> None:
    emphasized = {"weighting": "literal", "emphasize_class": True, "phrases": [], "over": {"name": "simple"}}
    made = build_strategy("restrictive", emphasized, TWO)
    assert made(1, 0).text == "a photo of a ((sea lion))"
    assert made.settings["over"] == {"name": "simple", "template": "a photo of a {}"}
    plain = build_strategy("restrictive", {**emphasized, "phrases": ["big"], "emphasize_class": False}, TWO)
    assert plain(1, 0).text == "a photo of a sea lion, ((big))"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"phrases": []}, "strategy.phrases: given none; give at least one, or emphasize_class: true."),
        ({"phrases": ["big", " "]}, "strategy.phrases: an empty one is given; leave it out."),
        (
            {"emphasize_class": True, "phrases": [""]},
            "strategy.phrases: an empty one is given; leave it out.\n"
            "strategy.emphasize_class: true has no effect with weighting: strip; give literal or embedding.",
        ),
        (
            {"over": {"name": "defined", "templates": ["no place"]}},
            "strategy.templates: given 'no place'; a template has one {} for the class name.",
        ),
        (
            {"over": {"name": "defined", "templates": []}},
            "strategy.templates: given none; give at least one template with a {} for the class name.",
        ),
        ({"over": {}}, "strategy.over: given {}; give a strategy's name, or a mapping with its name."),
    ],
)
def test_restrictive_settings_that_do_not_fit(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        build_strategy("restrictive", {"weighting": "strip", **settings}, TWO)
    assert str(caught.value) == said


def test_weights_that_no_generator_would_read_are_refused_through_another_strategy_too() -> None:
    inside = build_strategy("negative", {"over": {"name": "restrictive", "weighting": "embedding"}}, TWO)
    assert inside.needs_weights
    reads, does_not = SimpleNamespace(name="one", reads_weights=True), SimpleNamespace(name="two", reads_weights=False)
    assert generator_problems(inside, reads, "strategy") == []
    (problem,) = generator_problems(inside, does_not, "images.sets.a.strategy")
    assert problem == (
        "images.sets.a.strategy.weighting: 'embedding' is for a generator that weights its text embeddings by "
        "parentheses, which 'two' does not (it has no reads_weights); give literal or strip."
    )
    assert "which 'SimpleNamespace' does not" in generator_problems(inside, SimpleNamespace(), "s")[0]
    outside = build_strategy("restrictive", {"weighting": "literal", "over": {"name": "negative"}}, TWO)
    assert generator_problems(outside, does_not, "strategy") == []


def test_what_is_stored_of_negative() -> None:
    made = build_strategy("negative", {"others": 1, "over": "name"}, TWO)
    assert made.name == "negative"
    assert made.settings == {"others": 1, "quality": [], "context": None, "over": {"name": "name"}}
    assert made(0, 0) == ("cat", "sea lion")
    assert made.notes == ("negative prompts name 1 other classes, drawn anew for each image",)
    counted = Classes(TWO.names, count_tokens=lambda text: len(text.split()), context=9)
    own = build_strategy("negative", {"quality": ["a blur"], "over": "name"}, counted)
    assert own.settings == {"others": 5, "quality": ["a blur"], "context": 9, "over": {"name": "name"}}
    assert own(1, 0) == ("sea lion", "a blur, cat")
    assert own.notes == ("negative prompts name 1 other classes, drawn anew for each image",)  # of five there is one
    paper = build_strategy("negative", {"quality": "paper", "others": 0, "over": "name"}, TWO)
    assert paper(0, 0).negative == ", ".join(paper_phrases().negative)
    assert paper.notes == ("negative prompts name 0 other classes, drawn anew for each image",)


def test_words_for_quality_that_do_not_fit_are_refused_at_the_word_that_is_too_many() -> None:
    counted = Classes(TWO.names, count_tokens=lambda text: len(text.split()), context=3)
    assert build_strategy("negative", {"quality": ["a b c"], "over": "name"}, counted)(0, 0).negative == "a b c"
    with pytest.raises(UserError) as caught:
        build_strategy("negative", {"quality": ["a b c", "d"]}, counted)
    assert str(caught.value) == (
        "strategy.quality: 2 words or phrases take more than the 3 tokens that the generator reads; give fewer."
    )


def test_the_context_is_that_of_clip_unless_the_generator_says_otherwise() -> None:
    assert (TWO.context, Classes(("a", "b")).set_seed, TWO.count_tokens) == (77, 0, None)


def test_what_is_stored_of_sentences() -> None:
    asked: list[tuple[str, int]] = []

    def write(text: str, seed: int) -> str:
        asked.append((text, seed))
        return "  a cat \n on a mat "

    made = build_strategy("sentence", {"ask": "Say: {}"}, Classes(("cat", "dog"), write=write))
    assert made.settings == {"ask": "Say: {}", "reject": True, "tries": 10}
    assert made.notes == ("sentences that name another class were written again",)
    assert made(0, 0) == ("a cat on a mat", "")
    assert made(0, 0) == ("a cat on a mat", "")
    assert [text for text, _ in asked] == ["Say: cat"]  # a prompt is written once
    made(0, 1)
    assert asked[0][1] != asked[1][1]
    free = build_strategy("sentence", {"reject": False}, Classes(("cat", "dog"), write=write))
    assert free.notes == ()
    assert free(1, 0).text == "a cat on a mat"  # names another class, which is allowed
    assert [text for text, _ in asked][-1] == "dog"


def test_a_sentence_names_its_own_class_by_a_part_of_another() -> None:
    parts = Classes(("lion", "sea lion"), write=lambda text, seed: "a lion by the sea")
    assert build_strategy("sentence", {}, parts)(1, 0).text == "a lion by the sea"


@pytest.mark.parametrize(
    ("settings", "writes", "said"),
    [
        ({"tries": 0}, True, "strategy.tries: given 0; give from 1 to 100."),
        ({"tries": 101}, True, "strategy.tries: given 101; give from 1 to 100."),
        ({"ask": "no place"}, True, "strategy.ask: given 'no place'; a template has one {} for the class name."),
        ({}, False, "strategy: 'sentence' needs a language model that writes, and none is given."),
    ],
)
def test_sentence_settings_that_do_not_fit(settings: dict[str, object], writes: bool, said: str) -> None:
    classes = Classes(TWO.names, write=(lambda text, seed: text) if writes else None)
    with pytest.raises(UserError) as caught:
        build_strategy("sentence", settings, classes)
    assert str(caught.value) == said


def test_each_try_of_a_sentence_is_counted_and_the_last_is_shown() -> None:
    said: list[str] = []

    def write(text: str, seed: int) -> str:
        said.append(text)
        return ""

    with pytest.raises(UserError) as caught:
        build_strategy("sentence", {"tries": 1}, Classes(TWO.names, write=write))(1, 2)
    assert len(said) == 1
    assert str(caught.value) == (
        "strategy: 'sentence': none of 1 sentences for image 2 of 'sea lion' will do; the last is empty: ''. "
        "Give more tries, another ask, or reject: false."
    )
    hundred = build_strategy("sentence", {"tries": 100}, Classes(TWO.names, write=write))
    with pytest.raises(UserError, match="none of 100 sentences"):
        hundred(0, 0)
    assert len(said) == 101


def test_what_is_stored_of_descriptions(tmp_path: Path) -> None:
    run = tmp_path / "of-cats"
    texts = [LabeledText(0, "a"), LabeledText(0, "  "), LabeledText(0, "b\n c"), LabeledText(0, "a")]
    for seed in (4, 11):
        write_arm_texts(SeedDirectory(run / f"seed-{seed}"), {"base": texts, "aligned": []}, ["cat"])
    (run / "seed-eleven").mkdir()
    given = {"run": str(run), "run_seed": 11, "arm": "base", "missing": "simple"}
    made = build_strategy("descriptions", given, Classes(("cat", "dog")))
    file = run / "seed-11" / "arm_texts.jsonl"
    assert made.settings == {
        "run": "of-cats",
        "run_seed": "seed-11",
        "arm": "base",
        "missing": "simple",
        "texts": sha256(file.read_bytes()).hexdigest()[:16],
    }
    assert sorted(made(0, index).text for index in range(3)) == ["a", "a", "b c"]  # a blank text is none
    assert made(1, 0).text == "a photo of a dog"
    assert made.notes == (
        "base of of-cats, seed-11: from 2 to 2 distinct texts a class, repeated where a class has more images",
        "1 of 2 classes have no text and are drawn from “a photo of a {}”",
    )


def test_runs_without_what_is_asked_for(tmp_path: Path) -> None:
    def said(**settings: object) -> str:
        with pytest.raises(UserError) as caught:
            build_strategy("descriptions", settings, Classes(tuple("abcdefg")))
        return str(caught.value)

    assert said(run=str(tmp_path / "no")) == (
        f"strategy.run: no folder '{tmp_path / 'no'}'; give a run's folder, such as runs/NAME."
    )
    assert said(run=str(tmp_path)).endswith(f"not given; give one seed of '{tmp_path}': it has no seeds.")
    for seed in (4, 11):
        write_arm_texts(SeedDirectory(tmp_path / f"seed-{seed}"), {"base": [LabeledText(0, "t")]}, ["h"])
    assert said(run=str(tmp_path)).endswith(f"not given; give one seed of '{tmp_path}': its seeds are 4, 11.")
    assert said(run=str(tmp_path), run_seed=5).startswith("strategy.run_seed: given 5; give one seed of ")
    lacking = said(run=str(tmp_path), run_seed=4, arm="base")
    assert "no text for 7 of 7 classes: 'a', 'b', 'c', 'd', 'e', …. Draw the classes of that run" in lacking
    (tmp_path / "seed-4" / "arm_texts.jsonl").unlink()
    assert said(run=str(tmp_path), run_seed=4).endswith("not found; run `ex2 analyze RECIPE` again, which writes it.")


def test_a_strategy_of_the_users_own() -> None:
    own = build_strategy("test_strategy_records.shouted", {"mark": "?"}, TWO)
    assert (own.name, own.settings) == ("test_strategy_records.shouted", {"mark": "?"})
    assert own(1, 4) == Prompt("SEA LION 4?", "")


def shouted(classes: Classes, mark: str = "!"):  # type: ignore[no-untyped-def]
    return lambda label, index: (f"{classes.names[label].upper()} {index}{mark}",)


def test_an_inner_strategy_by_name_or_with_settings() -> None:
    assert build_inner("simple", TWO, "here")(0, 0).text == "a photo of a cat"
    inner = build_inner({"name": "defined", "templates": ["only {}"]}, TWO, "here")
    assert inner(0, 0).text == "only cat"


def test_seeded_numbers_depend_on_each_key_and_on_where_keys_part() -> None:
    assert seeded("a", 1) == sha256(b"a\x001").digest()
    assert len({seeded("a", "b"), seeded("ab"), seeded("a", "c"), seeded("a\ud800")}) == 4


def test_things_are_taken_in_turn_in_the_order_of_their_hashes() -> None:
    expected = sorted(range(5), key=lambda at: sha256(f"3\0k\0{at}".encode()).digest())
    assert TWO.order(5, "k") == expected
    assert [TWO.turn(5, index, "k") for index in range(5)] == TWO.order(5, "k", 0)
    assert [TWO.turn(5, index, "k") for index in range(5, 10)] == TWO.order(5, "k", 1)
