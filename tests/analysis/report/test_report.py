"""The report page: self-contained, escaped, and true to the numbers."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from pages import CLASSES, HOSTILE, Page, page, recipe, seed_result, write_seed
from record_samples import judged, measured

from analysis.judge.base import Usage
from analysis.report.descriptions import descriptions_table
from analysis.report.findings import findings
from analysis.report.overview import seed_table
from analysis.report.page import example_table, render, write_report
from analysis.results.headline import headline
from analysis.results.pooling import accuracy_difference, accuracy_of, share_change, share_of
from analysis.results.seeds import pool_seeds
from analysis.tables.view import ReportSection
from analysis.verdicts.record import JudgingCost
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import append_jsonl


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    parsed, html = page(tmp_path, seed_result(0), provenance={"command": HOSTILE, "git": {"commit": "0123abc"}})
    assert HOSTILE in parsed.text, "the provenance shows it"
    assert [tag for tag, _ in parsed.elements].count("script") == 2
    assert "img" not in {tag for tag, _ in parsed.elements}
    data = json.loads("".join(parsed.scripts[:-1]))
    assert [row[4] for row in data["rows"] if row[5] == 4] == [HOSTILE]
    assert "<i>so</i>" in data["notes"]
    assert "<i>so" not in html
    assert "package:<b>tiny</b>" in parsed.text
    assert "grammar & co (exact)" in parsed.text


def test_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    parsed, html = page(tmp_path, seed_result(0))
    links = [value for _, attrs in parsed.elements for key, value in attrs.items() if key in ("src", "href", "action")]
    assert {link for link in links if not link.startswith("#")} == {"data:,"}
    assert set(re.findall(r"https?://[^\"'\s<]+", html)) == {"http://www.w3.org/2000/svg"}
    script = html.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(str(attrs["content"]) for _, attrs in parsed.elements if "http-equiv" in attrs)
    assert f"script-src 'sha256-{digest}';" in policy, "this script and no other"
    assert "default-src 'none'" in policy
    assert "url(" not in html
    assert "@import" not in html


def test_drawings_are_labeled_and_ids_unique(tmp_path: Path) -> None:
    parsed, _ = page(tmp_path, seed_result(0))
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    drawings = [attrs for tag, attrs in parsed.elements if tag == "svg"]
    assert len(drawings) == 10  # three figures and two curves, each wide and narrow
    for attrs in drawings:
        assert attrs["role"] == "img"
        assert set(str(attrs["aria-labelledby"]).split()) <= set(ids)
    assert "Of 40 descriptions: informative 30, visual 30, non-visual 0, spurious 9, unparsed 1." in parsed.text


def test_numbers_carry_n_and_interval(tmp_path: Path) -> None:
    parsed, _ = page(tmp_path, seed_result(0))
    text = parsed.text.replace("\u00a0", " ")
    # 30 of 39 parsed; Wilson: 61.66 to 87.35.
    assert "77 % [62–87] of aligned descriptions are visual (n = 39); before, of the base model's, 25 % [14–40]" in text
    assert "toy-visual: visual wording became more frequent in this run." in text
    assert "80.0 % [75.0–85.0], +10.0 points [+6.0, +14.0] (n = 200 images, for these texts)" in text
    assert "score +1.00 [+0.50, +1.50] against the base model's, in units of the VLM's logits (n = 39 pairs)" in text
    assert "no significant difference, p = 1.000" in text
    assert "1 class by template" in text
    assert "target 10" in text


def test_reading_says_no_significant_difference() -> None:
    said = {
        finding.topic: finding.text for finding in findings(pool_seeds("tiny", [seed_result(0, aligned=142, p=0.6)]))
    }
    assert said["Accuracy"].startswith(
        "EX2's descriptions and the 80 generic templates show no significant difference in accuracy"
    )
    assert "One seed" in said
    assert "The judge is uncalibrated" not in said
    assert said["Unparsed answers"].startswith("1 of the judge's answers on 80 descriptions")
    uncalibrated = {
        finding.topic: finding.text for finding in findings(pool_seeds("tiny", [seed_result(0, exact=False)]))
    }
    assert uncalibrated["The judge is uncalibrated"].startswith("grammar & co sorted the descriptions")


def test_headline_without_a_clear_rise() -> None:
    found = headline(pool_seeds("tiny", [seed_result(0, visual=11)]))
    assert found.answer == "toy-visual: no kind of wording rose for certain in this run"
    assert found.kind is None
    spurious = headline(pool_seeds("tiny", [seed_result(0, visual=0)]))
    assert spurious.answer == "toy-visual: spurious wording became more frequent in this run"


def test_without_a_base_model(tmp_path: Path) -> None:
    result = seed_result(0)
    result = judged(result, policies={"aligned": result.breakdown.policies["aligned"]})
    kept = tuple(part for part in result.accuracy.differences if "base" not in (part.arm, part.against))
    arms = {**result.accuracy.arms, "base": None}
    result = measured(result, arms=arms, differences=kept, reward_gain=None)
    result.train.clear()
    parsed, _ = page(tmp_path, result)
    assert "toy-visual: most aligned descriptions are of visual wording." in parsed.text
    assert "How it was learnt" not in parsed.text


def test_seeds_are_pooled_by_t() -> None:
    results = [seed_result(0, 28), seed_result(1, 30), seed_result(2, 32, aligned=166)]
    share = share_of(results, "aligned", "visual")
    assert share is not None
    # Of 39 each: mean 30/39, standard deviation 2/39, t(0.975, 2) = 4.302653.
    half = 4.302653 * 2 / 39 / 3**0.5
    assert (share.value, share.low, share.high) == pytest.approx((30 / 39, 30 / 39 - half, 30 / 39 + half))
    assert (share.n, share.count, share.seeds) == (117, 90, 3)
    accuracy = accuracy_of(results, "aligned")
    assert accuracy is not None
    assert accuracy.value == pytest.approx((0.8 + 0.8 + 0.83) / 3)
    assert (accuracy.n, accuracy.seeds) == (200, 3)
    templates = accuracy_of(results, "templates")
    assert templates is not None
    assert templates.low == pytest.approx(0.65), "no seed changes the templates"
    change = accuracy_difference(results, "aligned", "templates")
    assert change is not None
    # 10, 10 and 13 points: 11 ± 4.302653 · √3/√3 points.
    assert (change.value, change.low) == pytest.approx((0.11, 0.11 - 0.04302653))
    assert change.p is None
    assert change.significant
    rise = share_change(results, "visual")
    assert rise is not None
    assert rise.value == pytest.approx(30 / 39 - 0.25)


def test_sections_stand_in_the_papers_order(tmp_path: Path) -> None:
    result = judged(seed_result(0, exact=False), usage=JudgingCost(Usage(1, 2, 3), None))
    made = recipe(tmp_path, [0])
    more = [
        ReportSection("Attributes", "Said.", ("attribute", "share"), (("<b>colour</b>", "12 %"),), ("A note.",)),
        ReportSection("Hypotheses", "", ("template",), ()),
    ]
    experiment = pool_seeds("tiny", [result])
    examples = example_table(RunDirectory.of(made), experiment, result)
    html = render(made, [result], experiment, missing_seeds=[], provenance={}, sections=more, examples=examples)
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", html) == [
        "In plain words",
        "What the aligned descriptions are made of",
        "What each kind is worth",
        "Attributes",
        "Hypotheses",
        "Examples per question",
        "How far the judge can be trusted",
        "How it was learnt",
        "The descriptions",
        "The seed",
        "How to read the numbers",
        "Where this comes from",
    ]
    assert "&lt;b&gt;colour&lt;/b&gt;" in html
    assert '<a class="skip" href="#descriptions">' in html
    examples_shown = Page(html).text.partition("Examples per question")[2].partition("How far the judge")[0]
    assert re.search(r"pug\s*aligned 0 0\s*visual\s*20\.0", examples_shown)
    assert re.search(r'<details class="card">\s*<summary>\d+ questions?', html), "examples are folded"
    bar = html.partition('<nav class="contents"')[2].partition("</nav>")[0]
    targets = re.findall(r'href="#([^"]+)"', bar)
    heads = re.findall(r'<h2 id="([^"]+)"', html)
    assert targets == heads, "every section is in the contents, in order"


def test_a_kl_far_from_its_target_is_flagged(tmp_path: Path) -> None:
    close = seed_result(0)
    close.train[:] = [row | {"kl": 9.75} for row in close.train]
    near, _ = page(tmp_path, close)
    assert "tile-off" not in {css for _, attrs in near.elements for css in str(attrs.get("class")).split()}
    far = seed_result(0)
    far.train[:] = [row | {"kl": 13.0} for row in far.train]
    off, _ = page(tmp_path, far)
    assert "tile tile-off" in {attrs.get("class") for _, attrs in off.elements}
    assert "† KL 13.0, more than 20 % above its target 10" in off.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [({}, ""), ({"top_p": 0.9}, "top_p 0.9"), ({"top_k": 5}, "top_k 5"), ({"top_p": 0.5, "top_k": 5}, "and top_k 5")],
)
def test_a_kl_that_is_not_of_what_is_sampled_says_so_where_it_is_shown(
    changes: dict[str, float], words: str, tmp_path: Path
) -> None:
    made, result = recipe(tmp_path, [0]), seed_result(0)
    made = made.model_copy(update={"generation": made.generation.model_copy(update=changes)})
    shown = Page(render(made, [result], pool_seeds("tiny", [result]), missing_seeds=[], provenance={})).text
    said = "before this cut: it is not the KL of what is sampled."
    tiles, _, rest = shown.partition("What the aligned descriptions are made of")
    training = rest.partition("How it was learnt")[2]
    assert [part.count(said) for part in (tiles, training)] == ([1, 1] if words else [0, 0])
    assert words in tiles


def test_a_question_is_one_whatever_class_it_names() -> None:
    result = seed_result(0)
    for index, one in enumerate(result.descriptions):
        place = index // 2 % 2
        question = f"{('Say', 'Tell')[place]} what the {one.class_name} is."
        result.descriptions[index] = replace(one, question_id=7 - place, question=question)
    table = descriptions_table([result], {})
    assert len(table["questions"]) == 4
    assert table["templates"] == ["Tell what the {} is.", "Say what the {} is."], "by number"
    for row in table["rows"]:
        assert table["templates"][table["asked"][row[1]]].split()[0] == table["questions"][row[1]].split()[0]


def test_unparsed_answers_are_in_the_table_of_seeds() -> None:
    results = [seed_result(0), seed_result(1)]
    rows = dict(seed_table([pool_seeds("tiny", seeds) for seeds in (results[:1], results[1:], results)]))
    assert rows["unparsed answers, aligned"] == ["1 of 40: informative 1, visual 0"] * 2 + [
        "2 of 80: informative 2, visual 0"
    ]
    assert rows["unparsed answers, base"] == ["none of 40", "none of 40", "none of 80"]


def test_the_method_tells_what_each_interval_is(tmp_path: Path) -> None:
    one, _ = page(tmp_path, seed_result(0))
    assert "batches that follow one another resemble each other" in one.text
    assert "Its interval is Student's t over pairs." in one.text
    three, _ = page(tmp_path, *(seed_result(seed, 28 + seed) for seed in range(3)))
    assert (
        "The templates and other texts that no seed changes keep one seed's interval over the test images."
        in three.text
    )
    assert "Its interval is Student's t over the seeds' means." in three.text
    assert "Mean over classes, n = 2 classes" in one.text.replace("\u00a0", " ")


def test_missing_seeds_are_named(tmp_path: Path) -> None:
    made = recipe(tmp_path, [0, 7])
    with pytest.raises(UserError, match=r"tiny: no seed has been analysed; run `ex2 analyze RECIPE` first"):
        write_report(made)
    result = seed_result(0)
    where = RunDirectory(tmp_path / "tiny").seed(0)
    write_seed(where, result)
    with pytest.raises(
        UserError, match=r"seed 0: a description of 'pug' has no verdict: descriptions or verdicts changed"
    ):
        write_report(made)
    rows = [
        {"question": question, "class": name, "description": text, "raw": "yes", "judge": "j"}
        | {"verdict": "no" if text.startswith("base") else "yes", "rubric": "paper-1", "settings": "d"}
        for question in ("informative", "visual")
        for name in CLASSES
        for text in {one.text for one in result.descriptions}
    ]
    append_jsonl(where.verdicts, rows)
    append_jsonl(where.train_log, [{"batch": b, "reward_mean": r} for b, r in ((1, 5), (2, 6), (3, 7))])
    path = write_report(made)
    assert "seed 0: from 5 to 7." in path.read_text(encoding="utf-8")
    assert path == tmp_path / "tiny" / "report.html"
    assert "Not analysed yet, and left out of every number: seed 7." in path.read_text(encoding="utf-8")
