"""The report's panel of signs, the rules that fired, and the summary over seeds."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from pages import page, recipe, seed_result, with_signs
from rich.console import Console

from analysis.report.index import kl_words
from analysis.report.page import render
from analysis.report.signs import fired_rules, sign_panel
from analysis.results.endings import end_of_training
from analysis.results.kl import kl_of
from analysis.results.seeds import pool_seeds
from analysis.results.summary import print_seed, print_summary, summarize, summary_lines
from analysis.results.wording import batches
from analysis.tables.rules import kl_note
from ex2.monitoring.progress import signs_in_short
from ex2.run.directory import RunDirectory
from reward.files import append_jsonl, write_json


def test_panel_of_signs() -> None:
    panel = {sign.name: sign for sign in sign_panel([with_signs(0), with_signs(1, 0.2)])}
    assert list(panel) == [
        "Class name, times per description",
        "Repeated share of word pairs",
        "Reward that the class name brings",
        "Share cut at the VLM's context",
    ]
    # first tenth: batches 1 to 4, mean 2.5; last: 37 to 40, mean 38.5; slopes 0.1 and 0.2, mean 0.15
    name = panel["Class name, times per description"]
    assert (name.first, name.last) == ("0.375", "5.78")
    assert (panel["Reward that the class name brings"].first, panel["Share cut at the VLM's context"].last) == (
        "3",
        "0.25",
    )
    assert name.n.replace("\u00a0", " ") == "8 of 80 batches, 2 seeds"
    assert name.course.count("<polyline") == 2
    assert "between 0.1 and 8." in name.course


def test_rules_that_fired_are_on_the_page_with_their_batch(tmp_path: Path) -> None:
    results = [with_signs(0), with_signs(1)]
    made = recipe(tmp_path, [0, 1])
    found = fired_rules(made.watch.as_rules(), results)
    # repetition is above 0.3 from batch 11 on: ten batches end with the 20th; names are above 3 from batch 31 on
    assert [(item.seed, item.firing.rule.metric, item.firing.batch) for item in found] == [
        (seed, metric, batch)
        for seed in (0, 1)
        for metric, batch in (("sign_repetition", 20), ("sign_name_repetitions", 40))
    ]
    html = render(made, results, pool_seeds("tiny", results), missing_seeds=[], provenance={})
    assert "Does the policy game its reward?" in html
    assert "<li>Seed 1, batch 20: Repeated share of word pairs is 0.5, above 0.3 since batch 11 (rule: " in html
    assert "None of the" not in html


def test_without_signs_the_section_is_as_it_was(tmp_path: Path) -> None:
    parsed, html = page(tmp_path, seed_result(0))
    assert "Does the policy game its reward?" not in html
    assert "None of the 7 rules that watched the training fired." in parsed.text
    assert "reward at the end" in parsed.text
    # the last ten of 20 batches, from 21.1 to 22
    assert parsed.text.split("reward at the end")[1].strip().startswith("21.55")


def test_signs_in_the_progress_line() -> None:
    row = {"sign_name_repetitions": 1.25, "sign_repetition": 0.031, "sign_copied": None, "sign_perplexity": 123.4}
    assert signs_in_short(row) == ", name 1.2×, repeated 3%, perplexity 123"
    assert signs_in_short({}) == ""


def test_the_end_of_a_short_training_is_one_number_wherever_it_stands(tmp_path: Path) -> None:
    """8 batches have no last ten that are an end: the later half counts, in the terminal as in the report."""
    made, run = recipe(tmp_path, [0]), RunDirectory(tmp_path / "tiny")
    log = [{"batch": batch, "reward_mean": float(batch**2), "kl": float(batch)} for batch in range(1, 9)]
    append_jsonl(run.seed(0).train_log, log)
    reward, kl = summarize(made, [0])
    assert (reward.values, kl.values) == ({0: (25 + 36 + 49 + 64) / 4}, {0: 6.5})
    result = replace(seed_result(0), train=log)
    told, reached = end_of_training([result], "reward_mean"), kl_of([result])
    assert told is not None
    assert reached is not None
    assert (told.value, reached.mean.value) == (43.5, 6.5)
    assert (told.low, reached.mean.low) == (None, None), "four values are too few for t"
    assert batches(told) == "n\u00a0=\u00a04\u00a0batches, fewer than\u00a010"
    assert (reward.short, kl.short) == ({0: batches(told)}, {0: batches(told)})
    lines = summary_lines([reward, kl], 0.95)
    assert lines[3:5] == ["reward, seed 0: n = 4 batches, fewer than 10", "KL, seed 0: n = 4 batches, fewer than 10"]
    assert reached.summary().startswith("KL\u00a06.50\u00a0nats (n\u00a0=\u00a04\u00a0batches, fewer than\u00a010)")
    experiment = pool_seeds("tiny", [result])
    console = Console(file=io.StringIO(), width=200)
    print_seed(experiment, console)
    assert isinstance(console.file, io.StringIO)
    assert "KL 6.50 nats (n = 4 batches, fewer than 10)" in console.file.getvalue()
    assert kl_note([experiment]) == [
        "KL reached, nats per description: toy-visual, shapes: 6.5 (no target; n\u00a0=\u00a04\u00a0batches, fewer "
        "than\u00a010)."
    ]
    assert kl_words(experiment) == "KL 6.5, no target, n\u00a0=\u00a04\u00a0batches, fewer than\u00a010"
    long = [row | {"batch": batch} for batch, row in enumerate(log * 3, 1)]
    assert "fewer" not in kl_words(pool_seeds("tiny", [replace(seed_result(0), train=long)])), "24 batches end with 10"


def test_summary_over_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, run = recipe(tmp_path, [0, 1, 2]), RunDirectory(tmp_path / "tiny")
    for seed in (0, 1, 2):
        # the end of 20 batches: the 11th to the 20th; of 19 with a KL, 9
        log = [
            {"batch": b, "reward_mean": 20.0 + seed + (b == 20), "kl": None if b == 20 else 5.0} for b in range(1, 21)
        ]
        append_jsonl(run.seed(seed).train_log, log)
    write_json(run.seed(1).accuracy, seed_result(1, aligned=161).accuracy.to_json())
    reward, kl, accuracy = summarize(made, [0, 1, 2])
    assert reward.values == {0: 20.1, 1: 21.1, 2: 22.1}
    # standard deviation 1, t(0.975, 2) = 4.302653
    half = 4.302653 / 3**0.5
    assert reward.over_seeds == pytest.approx((21.1, 21.1 - half, 21.1 + half, 3))
    assert kl.values == {0: 5.0, 1: 5.0, 2: 5.0}
    assert accuracy.values == {1: 0.805}
    print_summary(made, [0, 1, 2])
    assert capsys.readouterr().out.splitlines() == [
        "at the end of training    seed 0    seed 1    seed 2   mean over seeds",
        "reward                     20.10     21.10     22.10   21.10 [18.62, 23.58] (n = 3)",
        "KL, nats                    5.00      5.00      5.00   5.00 no interval: all are equal (n = 3)",
        "accuracy, %                    –     80.50         –   80.50 no interval (n = 1)",
        "KL, " + "; ".join(f"seed {seed}: n = 9 batches, fewer than 10" for seed in (0, 1, 2)),
        "brackets: 95 % t-intervals over seeds",
    ]
    cut = made.model_copy(update={"generation": made.generation.model_copy(update={"top_p": 0.9})})
    print_summary(cut, [0, 1, 2])
    assert capsys.readouterr().out.splitlines()[-1] == f"KL: {cut.generation.kl_note()}"
    print_summary(made, [1])
    assert capsys.readouterr().out == ""
    assert summary_lines([], 0.95) == []
