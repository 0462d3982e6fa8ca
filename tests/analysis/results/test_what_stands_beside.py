"""What a sentence leaves open stands beside it: the change where no kind rose, and whose texts accuracies are of."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from pages import seed_result
from record_samples import measured
from rich.console import Console

from analysis.accuracy.draws import Draws
from analysis.results.experiment import Experiment
from analysis.results.headline import headline
from analysis.results.pooling import Difference
from analysis.results.seeds import pool_seeds
from analysis.results.summary import print_seed
from analysis.results.wording import points
from analysis.verdicts.breakdown import LEAVES


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize("visual", [[11], [12], [13], [11, 13], [13, 9]])
def test_no_kind_rose_is_said_with_the_change_that_is_possible(visual: list[int]) -> None:
    """Of 39 descriptions 11 are visual, 10 of 40 before: 3.2 points more, and much more is possible."""
    made = pool_seeds("tiny", [seed_result(seed, count) for seed, count in enumerate(visual)])
    said = headline(made)
    assert said.answer.endswith("no kind of wording rose for certain in this run")
    most = max(made.share_changes[leaf].value for leaf in LEAVES)
    (change,) = (made.share_changes[leaf] for leaf in LEAVES if made.share_changes[leaf].value == most)
    assert said.evidence.endswith(f"Change: {points(change)}.")
    assert change.low is not None
    assert change.high is not None
    assert change.low < 0 < change.high
    assert f"[{100 * change.low:+.1f}, {100 * change.high:+.1f}]".replace("-", "−") in plain(said.evidence)


@pytest.mark.parametrize("visual", [[30], [30, 32]])
def test_where_a_kind_rose_in_few_seeds_the_shares_say_enough(visual: list[int]) -> None:
    made = pool_seeds("tiny", [seed_result(seed, count) for seed, count in enumerate(visual)])
    rose = replace(made, share_changes={"visual": Difference(0.5, 0.4, 0.6, True, None, 40, len(visual))})
    said = headline(rose)
    assert said.answer.endswith("visual wording became more frequent in this run")
    assert "Change" not in said.evidence


def test_a_change_without_an_interval_is_said_to_be_untested() -> None:
    values = dict(zip(LEAVES, (0.0, 0.1, -0.1), strict=True))
    changes = {leaf: Difference(value, None, None, None, None, 4, 1) for leaf, value in values.items()}
    made = replace(pool_seeds("tiny", [seed_result(0)]), share_changes=changes)
    said = headline(made)
    assert said.kind is None
    assert plain(said.evidence).endswith("Change: +10.0 points, cannot be tested.")


def terminal(made: Experiment) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    print_seed(made, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("draws", "words"),
    [(None, "for these texts"), (2, "over 2 draws of the texts"), (25, "over 25 draws of the texts")],
)
def test_the_terminal_says_whose_texts_accuracies_are_of(draws: int | None, words: str) -> None:
    result = seed_result(0)
    if draws:
        known = Draws(draws, 1e-6, draws - 1.0)
        differences = tuple(replace(part, draws=known) for part in result.accuracy.differences)
        result = measured(result, differences=differences)
    lines = terminal(pool_seeds("tiny", [result]))
    said = [line for line in lines if "texts" in line and "accuracies" in line]
    assert said == [f"intervals and p of EX2's accuracies are {words}"]
    assert lines.index(said[0]) < next(at for at, line in enumerate(lines) if line.startswith("reward,"))


def test_without_a_difference_the_terminal_says_nothing_of_texts() -> None:
    made = replace(pool_seeds("tiny", [seed_result(0)]), differences={})
    assert not [line for line in terminal(made) if "EX2's accuracies" in line]
