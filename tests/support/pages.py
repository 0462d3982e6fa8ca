"""Results of seeds and the pages made of them, for tests of reports."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from analysis.accuracy.record import Accuracy, Arm, Comparison, Hits, RewardGain
from analysis.judge.base import Unparsed, Verdict
from analysis.report.page import render
from analysis.results.load import SeedResult
from analysis.results.seeds import pool_seeds
from analysis.statistics.intervals import PairedMean
from analysis.statistics.paired import PairedAccuracy
from analysis.verdicts.breakdown import breakdown
from analysis.verdicts.record import Breakdown, JudgeIdentity
from analysis.verdicts.verdicts import Verdicts
from ex2.recipe import Recipe
from ex2.run.descriptions import Description, append_descriptions
from ex2.run.directory import SeedDirectory
from reward.files import write_json

CLASSES = ("pug", "oak")


def recipe(tmp_path: Path, seeds: list[int]) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny",
            "output_dir": str(tmp_path),
            "seeds": seeds,
            "policy": {"model": "package:<b>tiny</b>"},
            "vlm": {"name": "toy"},
            "dataset": {"name": "shapes", "reward_split": "train", "test_split": "test"},
            "judge": {"name": "scripted"},
        }
    )


def arm(correct: int, n: int = 200, fallback: tuple[str, ...] = ()) -> Arm:
    share = correct / n
    return Arm(Hits(share, share - 0.05, share + 0.05, n, correct), texts=10, unique_texts=9, fallback_classes=fallback)


def against(name: str, other: str, difference: float, p: float) -> Comparison:
    return Comparison(name, other, PairedAccuracy(difference, difference - 0.04, difference + 0.04, p, 1, 1, 200))


def seed_result(seed: int, visual: int = 30, *, aligned: int = 160, p: float = 0.01, exact: bool = True) -> SeedResult:
    """40 aligned descriptions, `visual` of them visual, 1 unparsed, the others spurious; of 40 base ones 10 visual."""
    verdicts, rows = Verdicts(), []
    for policy, count in (("base", 10), ("aligned", visual)):
        for index in range(40):
            name, text = CLASSES[index % 2], f"{policy} {seed} {index}"
            kind = "visual" if index < count else "spurious"
            if policy == "aligned" and index == 39:
                kind, text = "unparsed", HOSTILE
            informative = (
                Unparsed("?") if kind == "unparsed" else Verdict(kind == "visual", '{"explanation": "<i>so</i>"}')
            )
            verdicts.add("informative", name, text, informative)
            verdicts.add("visual", name, text, Verdict(True, "yes"))
            reward = None if index == 38 else 20.0 + index / 10
            asked, label = "Describe a {}.", index % 2
            rows.append(
                Description(policy=policy, class_name=name, label=label, question=asked, text=text, reward=reward)
            )
    accuracy = Accuracy(
        vlm="toy-visual",
        dataset="shapes",
        split="test",
        images=200,
        classes=2,
        confidence=0.95,
        arms={
            "templates": arm(140),
            "base": arm(141),
            "aligned": arm(aligned),
            "spurious": arm(100, fallback=("oak",)),
            "informative": arm(165),
            "visual": arm(165),
            "non_visual": None,
        },
        differences=(
            against("base", "templates", 0.005, 1.0),
            against("aligned", "templates", aligned / 200 - 0.7, p),
            against("aligned", "base", aligned / 200 - 0.705, 0.02),
            against("spurious", "templates", -0.2, 1e-6),
            against("informative", "templates", 0.125, 1e-4),
            against("visual", "templates", 0.125, 1e-4),
        ),
        covered_by_both=(),
        reward_gain=RewardGain(22.0, 21.0, PairedMean(1.0, 0.5, 1.5, 0.5, 1.5, 39), 0),
    )
    shares = Breakdown(
        judge=JudgeIdentity("grammar & co", exact, "paper-1", "d"),
        denominator="parsed",
        confidence=0.95,
        policies=breakdown(rows, verdicts, "parsed"),
    )
    train = [{"batch": b, "reward_mean": 20 + b / 10, "kl": b / 2, "kl_target": 10.0} for b in range(1, 21)]
    return SeedResult(seed, accuracy, shares, rows, verdicts, train)


class Page(HTMLParser):
    """Elements and texts of a page; checks that tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not (self.open and self.open[-1] == "style"):
            self.text += data


def page(tmp_path: Path, *results: SeedResult, provenance: dict[str, Any] | None = None) -> tuple[Page, str]:
    html = render(
        recipe(tmp_path, [0]), results, pool_seeds("tiny", results), missing_seeds=[], provenance=provenance or {}
    )
    return Page(html), html


def write_seed(where: SeedDirectory, result: SeedResult) -> None:
    write_json(where.accuracy, result.accuracy.to_json())
    write_json(where.breakdown, result.breakdown.to_json())
    append_descriptions(where, result.descriptions)


def with_signs(seed: int, slope: float = 0.1) -> Any:
    rows = [
        {
            "batch": batch,
            "reward_mean": 20.0,
            "kl": 1.0,
            "kl_target": 10.0,
            "sign_name_repetitions": slope * batch,
            "sign_repetition": 0.5 if batch > 10 else 0.0,
            "share_cut_by_vlm": 0.25,
            **({"sign_name_gain": 3.0} if batch % 10 == 1 else {}),
        }
        for batch in range(1, 41)
    ]
    return replace(seed_result(seed), train=rows)


HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)> & <!-- \u2028 \"quoted\""
