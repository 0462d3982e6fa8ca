"""Texts drawn for a reward: what a text states decides what its picture is worth to its class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import pytest
import tiny
import torch
from drawn_sets import drawn
from PIL import Image
from text_generators import Noting

from ex2.checks.drawing import drawing_lines, drawing_problems
from ex2.checks.form import form_problems
from ex2.cli import main
from ex2.data.demo.shapes import Shapes
from ex2.data.demo.world import CONCEPTS, Concept
from ex2.recipe_io import read_recipe
from ex2.sets.requests import image_seed
from ex2.sets.texts import Drawers, TextDrawer
from ex2.training.rewards import build_reward
from reward.drawn import picture_seed
from reward.errors import UserError
from reward.image_bank import ClassMeans, mean_by_class
from reward.presets import load_vlm

DEMO = Path(__file__).parents[3] / "recipes/demo/visual.yaml"
NAMES = [concept.name for concept in CONCEPTS]


def states(name: str, looks: Concept) -> str:
    return f"A {name} is a {looks.colour} {looks.shape} with {looks.pattern}."


def test_a_text_is_worth_what_it_draws() -> None:
    """All facets right, none stated, all of another class: in this order, by the mean over classes."""
    vlm = load_vlm("demo-visual", {})
    images = Shapes(10).images("reward")
    labels = torch.tensor([image.label for image in images])
    means, counts = mean_by_class([vlm.encode_images([image.open() for image in images])], labels, len(NAMES))
    bank = ClassMeans(tuple(NAMES), means, counts)
    reward = build_reward("drawn_cler", {"generator": {"name": "toy"}}, vlm, bank)
    texts = {
        "right": [states(concept.name, concept) for concept in CONCEPTS],
        "nothing": [f"The {name} lives here." for name in NAMES],
        "wrong": [states(concept.name, CONCEPTS[label - 5]) for label, concept in enumerate(CONCEPTS)],
    }
    scores = {what: reward(lines, NAMES) for what, lines in texts.items()}
    assert mean(scores["right"]) > mean(scores["nothing"]) > mean(scores["wrong"])
    assert mean(scores["right"]) > 0 > mean(scores["wrong"])
    assert reward(texts["right"][:1], NAMES[:1]) == pytest.approx(scores["right"][:1], abs=1e-4)
    other = build_reward("drawn_cler", {"generator": {"name": "toy"}}, vlm, bank, run_seed=1)
    assert other(texts["right"], NAMES) != pytest.approx(scores["right"], abs=1e-3)


class Colors:
    """A VLM that sees how red and green a picture is."""

    name, dim, scale, bias, context_length = "colors", 2, 10.0, 0.0, 77

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        rows = [[float(value) for value in image.getpixel((0, 0))[:2]] for image in images]  # type: ignore[index]
        return torch.nn.functional.normalize(torch.tensor(rows), dim=1)


def test_a_score_by_hand_from_a_recipes_settings() -> None:
    """(0.8, 0.6) stands in each center; toward the class e is (0.8, -0.6), of length 1.

    With (1, 0) the center is (1.8, 0.6) / √3.6 and its margin 1.08 / √3.6, where it was 0.28; with (0, 1) it is
    (0.8, 1.6) / √3.2 and -0.32 / √3.2. What is not drawn could turn the center to (-0.6, 0.8): margin -0.96.
    """
    bank = ClassMeans(("e", "n"), torch.tensor([[0.8, 0.0], [0.0, 0.6]]), torch.tensor([2, 2]))
    given = read_recipe(
        DEMO, ["reward={name: drawn_cler, beside: 1, generator: {name: text_generators.Paints}}"]
    ).reward
    reward = build_reward(given.name, given.settings, Colors(), bank)  # type: ignore[arg-type]
    scores = reward(["east", "north", "round", ""], ["e"] * 4)
    assert scores[:2] == pytest.approx([10.8 / 3.6**0.5 - 2.8, -3.2 / 3.2**0.5 - 2.8])
    assert scores[2:] == [pytest.approx(-12.4), None]


def test_pictures_are_those_of_text_and_seed() -> None:
    draw = TextDrawer({"name": "toy", "size": 16})
    texts = [f"A wug is red. {number}" for number in range(9)]
    pictures = draw(texts, range(9))
    assert [picture and picture.tobytes() for picture in pictures[3:4]] == [
        picture and picture.tobytes() for picture in draw(texts[3:4], [3])
    ]
    assert {picture and picture.size for picture in pictures} == {(16, 16)}
    assert len({picture and picture.tobytes() for picture in pictures}) == 9


def test_a_text_is_drawn_once_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are kept too; beyond the room those go that were not asked for the longest."""
    monkeypatch.setattr(Noting, "asked", [])
    a, b, c = ("A wug is red.", 2), ("A wug is blue.", 4), ("A wug is blue.", 5)
    draw = TextDrawer({"name": "text_generators.Noting", "fails": 5}, most_bytes=2 * (1024 + 3 * 32 * 32))

    def ask(*keys: tuple[str, int]) -> list[bytes | None]:
        found = draw([text for text, _ in keys], [seed for _, seed in keys])
        return [None if picture is None else picture.tobytes() for picture in found]

    first = ask(a, b, a)
    assert first[0] == first[2] != first[1]
    assert ask(b, a) == [first[1], first[0]]
    assert Noting.asked == [a, b]
    assert ask(c, c) == [None, None]  # takes room for its text, and b, asked for before a, goes
    assert ask(c, a) == [None, first[0]]
    assert Noting.asked == [a, b, c]
    assert ask(b) == first[1:2]
    assert Noting.asked == [a, b, c, b]
    assert 0 < draw.kept_bytes <= draw.most_bytes


def test_a_picture_has_the_seed_of_an_image_of_a_set() -> None:
    assert picture_seed(3, "sea lion", 2) == image_seed(3, "sea lion", 2)


def test_terms_of_a_sum_share_a_generator_and_each_other_one_has_its_key() -> None:
    toy, blind = {"name": "toy"}, {"name": "toy", "obey": 0.0}
    terms = [{"name": "cosine"}, *({"name": "drawn_cler", "generator": one} for one in (toy, blind, dict(toy)))]
    drawers = Drawers({"terms": terms})
    made = [drawers(term["generator"]) for term in terms[1:]]  # type: ignore[arg-type]
    assert made[0] is made[2] is not made[1]
    found = drawers.identities()
    assert [*found] == ["the generator of reward.terms[1].generator", "the generator of reward.terms[2].generator"]
    assert len(set(found.values())) == 2
    assert [*found.values()] == [TextDrawer(toy).identity(), TextDrawer({**blind, "knows": []}).identity()]


def test_settings_and_code_of_a_generator_are_of_its_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its fingerprint tells neither."""
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "my_pictures.py"
    module.write_text("from text_generators import Paints as Mine\n")
    two, default, three = (
        TextDrawer({"name": "my_pictures.Mine", **given}) for given in ({"side": 2}, {}, {"side": 3})
    )
    before = two.identity()
    assert before == default.identity() != three.identity()
    module.write_text("from text_generators import Paints as Mine  # another way\n")
    assert two.identity() != before


def test_a_generator_that_reads_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wug").mkdir()
    (tmp_path / "wug" / "0.png").touch()
    with pytest.raises(UserError) as caught:
        TextDrawer({"name": "folder", "root": str(tmp_path)})
    assert str(caught.value) == (
        "reward.generator: 'folder' copies images and reads no text, so that all texts of a class would score the "
        "same; name a generator that draws, such as toy."
    )


def test_a_generator_that_asks_a_server_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        TextDrawer({"name": "text_generators.Served"}, "reward.terms[1].generator")
    assert str(caught.value) == (
        "reward.terms[1].generator: 'text_generators.Served' asks a server, which need not draw a text again as it "
        "did, so that a run that is continued would not end as one that was not; name a generator that draws on this "
        "machine."
    )


def test_a_recipes_generator_is_checked_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings out of range, copies, and classes that the generator does not draw: by every check, at once."""
    terms = "{name: drawn_cler, generator: {name: toy, obey: 3}}, {name: drawn_cler, generator: {name: toy}}"
    photos = tiny.save_image_folder(tmp_path / "photos")
    data = f"dataset={{name: folder, root: '{photos}', reward_split: reward, test_split: test}}"
    given = [f"reward={{name: sum, terms: [{terms}]}}", data, "rl.batch_size=8", "rl.minibatch_size=8"]
    assert main(["validate", str(DEMO), f"output_dir={tmp_path}", *given]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if ": reward" in line]
    assert lines == [
        f"ex2: {DEMO}: reward.terms[0].generator.obey: given 3; give a probability, from 0 to 1.",
        f"ex2: {DEMO}: reward.terms[1].generator: 'toy' draws 16 classes only, and 4 of the dataset's 4 classes are "
        "not of them, such as 'class 0'; choose another generator for this dataset.",
    ]
    recipe = read_recipe(DEMO, ["reward={name: drawn_cler, generator: {name: toy, knows: [wug]}}"])
    assert drawing_problems(recipe, None) == drawing_problems(recipe, NAMES) == []
    assert drawing_problems(recipe, [name for name in NAMES if name != "wug"])[0].startswith(
        "reward.generator.knows: unknown 'wug'."
    )


def test_how_many_pictures_a_run_asks_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second an image, as two finished sets of the same generator have it, of another one none."""
    monkeypatch.chdir(tmp_path)
    reward = "reward={name: drawn_cler, generator: {name: drawn_sets.Blocks}}"
    recipe = read_recipe(DEMO, [reward, "rl.batches=90"])
    start = "reward.generator: at most 5,760 pictures a seed in training (90 batches of 64), and those of class names; "
    unknown = "how long is not known: no finished set below sets/ was drawn by "
    assert drawing_lines(recipe) == [f"{start}{unknown}'drawn_sets.Blocks'"]
    for seed in (0, 1):
        drawn(tmp_path / "sets", seed=seed)
    assert drawing_lines(recipe) == [f"{start}48.0 min at 500 ms each, as in 2 finished sets"]
    (line,) = drawing_lines(read_recipe(DEMO, ["reward={name: drawn_cler, generator: {name: toy}}", "rl.batches=90"]))
    assert line == f"{start}{unknown}'toy'"


def test_a_recipes_generator_is_checked_by_its_form() -> None:
    def problems(reward: str) -> list[str]:
        return form_problems(read_recipe(DEMO, [f"reward={reward}"]), {"scripted": "analysis.judge.scripted:Judge"})

    assert problems("{name: drawn_cler, generator: {name: toy, obey: 0.9}}") == []
    unknown = "generator.name: unknown 'toi'. Did you mean 'toy'?"
    (line,) = problems("{name: drawn_cler, generator: {name: toi}}")
    assert line.startswith(f"reward.{unknown}")
    (line,) = problems("{name: sum, terms: [{name: cosine}, {name: drawn_cler, generator: {name: toi}}]}")
    assert line.startswith(f"reward.terms[1].{unknown}")
    (line,) = problems("{name: drawn_cler, generator: {name: toy, obeys: 1}}")
    assert line.startswith("reward.generator: unknown 'obeys'. Did you mean 'obey'?")
    (line,) = problems("{name: drawn_cler}")
    assert line.startswith("reward: 'generator' is missing; 'DrawnCler' cannot do without it.")
