"""Prompts from a run's stored texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ex2.run.arm_texts import write_arm_texts
from ex2.run.descriptions import LabeledText
from ex2.run.directory import SeedDirectory
from ex2.sets.strategies.base import Classes, build_strategy
from reward.errors import UserError


def test_the_texts_of_an_arm_are_taken_in_turn(tmp_path: Path) -> None:
    texts = [LabeledText(0, "a"), LabeledText(0, "b"), LabeledText(0, "b"), LabeledText(1, "c")]
    where = SeedDirectory(tmp_path / "seed-0")
    write_arm_texts(where, {"base": [LabeledText(0, "no")], "aligned": texts}, ["cat", "dog"])
    made = build_strategy("descriptions", {"run": str(tmp_path)}, Classes(("dog", "cat")))
    assert [made(0, index).text for index in range(3)] == ["c"] * 3
    assert sorted(made(1, index).text for index in range(3)) == ["a", "b", "b"]
    assert "from 1 to 2 distinct texts a class" in made.notes[0]
    with pytest.raises(UserError, match="arm 'base' has no text for 1 of 2 classes: 'dog'"):
        build_strategy("descriptions", {"run": str(tmp_path), "arm": "base"}, Classes(("dog", "cat")))
    with pytest.raises(UserError, match=r"strategy\.arm: unknown 'alligned'. Did you mean 'aligned'"):
        build_strategy("descriptions", {"run": str(tmp_path), "arm": "alligned"}, Classes(("dog", "cat")))
