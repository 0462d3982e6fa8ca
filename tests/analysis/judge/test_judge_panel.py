"""Several judges at once: majority, every vote kept, the list of disagreements; and what judging would cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from judge_stub import NO, YES, completion, requests_for, starting

from analysis.analyze import usage
from analysis.judge import panel
from analysis.judge.base import Answer, JudgeRequest, OnAnswer, Unparsed, Usage, Verdict
from analysis.judge.panel import PanelJudge, majority, panel_summary, read_votes, write_disagreements
from analysis.judge.server.client import OpenAIJudge
from analysis.judge.server.cost import cost, estimate_tokens
from analysis.judge.table import JUDGES, build_judge
from analysis.verdicts.asking import judge_descriptions, open_questions
from analysis.verdicts.plan import plan
from analysis.verdicts.verdicts import Verdicts, judge_digest, read_verdicts
from ex2.recipe import Recipe
from ex2.run.descriptions import DescribedClass, Description, append_descriptions
from ex2.run.directory import RunDirectory
from reward.components import check_component
from reward.errors import EnvironmentFault, UserError
from reward.files import read_jsonl

serve = pytest.fixture(starting)


class Opinion:
    """Says yes if the text holds `word`, nothing readable at 'hm', and goes down at 'crash'."""

    exact = True
    asked: list[tuple[str, str]] = []  # noqa: RUF012 (shared on purpose: panels build their judges themselves)

    def __init__(self, word: str) -> None:
        self.word, self.name = word, "opinion"

    def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
        for request in requests:
            if "crash" in request.description and self.word == "b":
                raise EnvironmentFault("down")
            Opinion.asked.append((self.word, request.description))
            if "hm" in request.description and self.word == "a":
                on_answer(request, Unparsed("hm", Usage(1, 10, 1)))
            else:
                on_answer(request, Verdict(self.word in request.description, f"saw {self.word}", Usage(1, 10, 2)))


def opinions(*words: str) -> dict[str, Any]:
    return {"judges": [{"name": f"{__name__}.Opinion", "word": word} for word in words]}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    Opinion.asked.clear()


yes, no, unparsed = Verdict(True, "y"), Verdict(False, "n"), Unparsed("?")


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([yes, yes], True),
        ([yes, no], None),  # a tie
        ([yes, yes, no], True),
        ([no, unparsed, no], False),
        ([yes, unparsed, unparsed], None),  # one of three is no majority
        ([yes, no, unparsed], None),
        ([yes, yes, no, no], None),
        ([yes, yes, unparsed, no], None),
        ([unparsed, unparsed], None),
    ],
)
def test_majority_is_more_than_half_of_all(votes: list[Answer], expected: bool | None) -> None:
    combined = majority([f"j{place}" for place in range(len(votes))], votes)
    assert (combined.answer if isinstance(combined, Verdict) else None) is expected
    kept = read_votes(combined.raw)
    assert kept is not None
    assert [vote.raw for vote in kept] == [vote.raw for vote in votes]
    assert [vote.judge for vote in kept] == [f"j{place}" for place in range(len(votes))]


def test_panel_through_the_log(tmp_path: Path) -> None:
    judge = build_judge("panel", opinions("a", "b", "c"), "judge")
    assert judge.name == "majority of opinion (1), opinion (2), opinion (3)"
    assert judge.exact
    rows = [DescribedClass("oak", text) for text in ("a b c", "a b", "c", "hm b", "")]
    log = tmp_path / "verdicts.jsonl"
    verdicts = judge_descriptions(judge, rows, log, digest="d")
    # hm b: unparsed, yes, no. The visual question is asked of the two informative ones only.
    assert [verdicts.kind("oak", row.text) for row in rows] == [
        "visual",
        "visual",
        "spurious",
        "unparsed",
        "spurious",
    ]
    assert len(Opinion.asked) == 3 * (4 + 2)
    assert verdicts.spent == Usage(18, 180, 35)
    write_disagreements(verdicts.items(), tmp_path)
    listed = read_jsonl(tmp_path / panel.DISAGREEMENTS)
    told = [
        (row["question"], row["description"], row["verdict"], [v["verdict"] for v in row["votes"]]) for row in listed
    ]
    assert told == [
        ("informative", "a b", "yes", ["yes", "yes", "no"]),
        ("informative", "c", "no", ["no", "no", "yes"]),
        ("informative", "hm b", "unparsed", ["unparsed", "yes", "no"]),
        ("visual", "a b", "yes", ["yes", "yes", "no"]),
    ]
    summary = panel_summary(read_verdicts(log, digest="d").items())
    assert summary is not None
    first = summary["informative"]
    assert (first.asked, first.unanimous, first.undecided) == (4, 1, 1)
    assert first.judges["opinion (1)"] == {"yes": 2, "no": 1, "unparsed": 1}
    assert first.judges["opinion (3)"] == {"yes": 2, "no": 2, "unparsed": 0}
    write_disagreements([], tmp_path)
    assert not (tmp_path / panel.DISAGREEMENTS).exists()


def test_other_judges_have_no_votes() -> None:
    vote = {"judge": "a", "verdict": "yes", "raw": "x"}
    others = [[vote], [vote, {**vote, "score": 1}], [vote, {**vote, "verdict": "maybe"}], {"explanation": "x"}, [1, 2]]
    assert [read_votes(raw) for raw in ["[", *map(json.dumps, others)]] == [None] * 6
    assert panel_summary([(requests_for(1)[0], yes)]) is None


def test_a_kill_costs_one_chunk_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel, "CHUNK", 2)
    rows = [DescribedClass("oak", text) for text in ("a 1", "a 2", "a 3", "crash", "a 4")]
    log = tmp_path / "verdicts.jsonl"
    with pytest.raises(EnvironmentFault, match="down"):
        judge_descriptions(PanelJudge(**opinions("a", "b")), rows, log, digest="d")
    assert [row["description"] for row in read_jsonl(log)] == ["a 1", "a 2"]


def test_what_is_wrong_with_a_panel_is_told_at_once() -> None:
    settings = {
        "judges": [
            {"name": "openai", "modl": "m"},
            {"name": "opnai"},
            {"model": "m"},
            {"name": "panel", "judges": []},
            {"name": "openai", "model": "m", "mode": "batch"},
            {"name": "openai", "model": "m", "concurrency": 0},
        ]
    }
    problems = check_component("panel", settings, JUDGES, "x.yaml: judge", ("name",))
    assert [problem.split(";")[0].split(". Did")[0] for problem in problems] == [
        "x.yaml: judge.judges[0]: unknown 'modl'",
        "x.yaml: judge.judges[0]: 'model' is missing",
        "x.yaml: judge.judges[1].name: unknown 'opnai'",
        "x.yaml: judge.judges[2]: 'name' is missing",
        "x.yaml: judge.judges[3]: a panel takes no panel and no mode: batch",
        "x.yaml: judge.judges[4]: a panel takes no panel and no mode: batch",
        "x.yaml: judge.judges[5].concurrency: given 0",
    ]
    with pytest.raises(UserError, match=r"judge.judges: given 1; a panel needs at least 2"):
        PanelJudge([{"name": "scripted"}])


# ---------------------------------------------------------------- cost


def test_tokens_and_cost_by_hand() -> None:
    # 9 bytes → 3 tokens, 1 byte → 1, "ü" has two bytes → 1; four more for each message
    chat = [{"content": "a b c d e"}, {"content": "x"}, {"content": "ü"}]
    assert estimate_tokens(chat) == 3 + 1 + 1 + 12
    assert cost(Usage(5, 2_000_000, 500_000), {"input": 0.5, "output": 1.5}) == 1.75
    assert cost(Usage(5, 2_000_000, 500_000), None) is None


ROWS = [
    Description(policy="aligned", class_name="pug", label=0, question_id=0, sample=sample, text=text, reward=1.0)
    for sample, text in enumerate(("it barks", "click here", "it barks", "", "it has a tail"))
]
TEXTS = [one.of_class for one in ROWS]


@pytest.fixture
def recipe(tmp_path: Path) -> Any:
    def make(**judge: Any) -> Recipe:
        made = Recipe.model_validate(
            {
                "name": "tiny",
                "output_dir": str(tmp_path),
                "policy": {"model": "package:tiny"},
                "vlm": {"name": "toy"},
                "dataset": {"name": "shapes", "reward_split": "train", "test_split": "test"},
                "judge": judge,
            }
        )
        where = RunDirectory.of(made).seed(0)
        if not where.descriptions.exists():
            append_descriptions(where, ROWS)
        return made

    return make


def test_dry_run_counts_questions_tokens_and_cost(recipe: Any, tmp_path: Path, serve: Any) -> None:
    server = serve(lambda body, number: completion(NO))
    settings = {"model": "m", "base_url": server.url, "cache": str(tmp_path / "c.sqlite"), "max_tokens": 100}
    prices = {"input": 10.0, "output": 20.0}
    made = recipe(name="openai", **settings, price_per_million=prices)
    judge = OpenAIJudge(**settings)
    chats = [
        [
            judge.conversation.chat(JudgeRequest(question, "pug", text)).messages
            for text in ("it barks", "click here", "it has a tail")
        ]
        for question in ("informative", "visual")
    ]
    tokens = [sum(estimate_tokens(chat) for chat in asked) for asked in chats]
    told = plan(made, [0]).splitlines()
    assert told[0].endswith("rubric fenced-2: 5 descriptions, 0 verdicts in the log")
    for line, words, count in zip(told[1:], ("to ask", "then, if all are informative, at most"), tokens, strict=True):
        price = (10 * count + 20 * 300) / 1e6
        twice = (10 * 2 * count + 20 * (300 + 600)) / 1e6  # the second try may be twice as long
        assert line == (
            f"  {words}: 3 questions, 0 of them in the cache; 3 requests, about {count:,} input and at most 300 output "
            f"tokens, about {price:,.4f} by the given prices; if every answer needs its second try 6 requests, about "
            f"{2 * count:,} input and at most 900 output tokens, about {twice:,.4f} by the given prices"
        )
    assert server.asked == [], "nothing is sent"
    judge.answer([JudgeRequest("informative", "pug", "it barks")], lambda request, answer: None)
    told = plan(made, [0]).splitlines()
    assert told[1].startswith("  to ask: 3 questions, 1 of them in the cache; 2 requests, about ")
    log = RunDirectory.of(made).seed(0).verdicts
    digest = judge_digest("openai", settings)
    judge_descriptions(judge, TEXTS, log, digest=digest)
    told = plan(made, [0]).splitlines()
    assert told[0].endswith("3 verdicts in the log")
    assert told[1:] == [
        "  to ask: 0 questions, 0 of them in the cache; 0 requests, about 0 input and at most 0 output tokens, "
        "about 0.0000 by the given prices"
    ]
    # Of the three, one came from the cache and took nothing: 100 and 7 tokens for each of the others.
    verdicts = read_verdicts(log, digest=digest)
    assert verdicts.spent == Usage(2, 200, 14)
    priced = build_judge("openai", {**settings, "price_per_million": prices}, "judge")
    assert usage(priced, verdicts).to_json() == {
        "requests": 2,
        "input_tokens": 200,
        "output_tokens": 14,
        "cost": 0.00228,
    }
    assert usage(judge, verdicts).to_json() == {"requests": 2, "input_tokens": 200, "output_tokens": 14, "cost": None}
    assert usage(judge, Verdicts()) is None


def test_dry_run_of_judges_that_cost_nothing_and_of_panels(recipe: Any, tmp_path: Path) -> None:
    free = plan(recipe(name="scripted"), [0])
    assert free.splitlines()[1] == "  to ask: 3 questions; this judge counts no tokens"
    member = {"name": "openai", "model": "m", "base_url": "http://localhost:1/v1", "cache": str(tmp_path / "c.sqlite")}
    prices = {"input": 1.0, "output": 1.0}
    both = [{**member, "price_per_million": prices}, {**member, "model": "n", "price_per_million": prices}]
    line = plan(recipe(name="panel", judges=[*both, {"name": "scripted"}]), [0]).splitlines()[1]
    assert "3 questions, 0 of them in the cache; 6 requests" in line
    assert "by the given prices" in line
    line = plan(recipe(name="panel", judges=[both[0], member]), [0]).splitlines()[1]
    assert line.endswith("; no price_per_million given")


def test_dry_run_without_a_limit_on_the_answers_says_so(recipe: Any, tmp_path: Path) -> None:
    settings = {"model": "m", "base_url": "http://localhost:1/v1", "cache": str(tmp_path / "c.sqlite")}
    prices = {"input": 1.0, "output": 1.0}
    line = plan(recipe(name="openai", **settings, max_tokens=None, price_per_million=prices), [0]).splitlines()[1]
    assert "input and any number of output tokens, about 0.0" in line
    assert line.count("by the given prices for the input alone") == 2
    own = {"max_completion_tokens": 50}
    line = plan(recipe(name="openai", **settings, max_tokens=None, extra_body=own), [0]).splitlines()[1]
    assert "at most 150 output tokens" in line
    assert "at most 450 output tokens" in line, "3 of 50, and 3 of 100"


def test_dry_run_adds_up_seeds(recipe: Any, tmp_path: Path) -> None:
    settings = {"model": "m", "base_url": "http://localhost:1/v1", "cache": str(tmp_path / "c.sqlite")}
    made = recipe(name="openai", **settings, price_per_million={"input": 0.0, "output": 1e6})
    append_descriptions(RunDirectory.of(made).seed(1), ROWS[:1])
    told = plan(made, [0, 1]).splitlines()
    assert [line.split(":")[0] for line in told] == [
        "tiny, seed 0, judge m at localhost",
        "  to ask",
        "  then, if all are informative, at most",
        "tiny, seed 1, judge m at localhost",
        "  to ask",
        "  then, if all are informative, at most",
        "tiny, all 2 seeds; a text that seeds share is asked once, and counted twice",
        "  to ask",
        "  then, if all are informative, at most",
    ]
    for total in told[7:]:
        assert "4 questions, 0 of them in the cache; 4 requests" in total
        assert "at most 512 output tokens, about 512.0000 by" in total  # 3 + 1 questions of 128 tokens
        assert "second try 8 requests" in total
        assert "about 1,536.0000 by the given prices" in total
    free = plan(recipe(name="scripted"), [0, 1]).splitlines()
    assert free[-1] == "  then, if all are informative, at most: 4 questions; this judge counts no tokens"


# ---------------------------------------------------------------- what each judge of a panel took


def priced_panel(url: str, folder: Path, *prices: dict[str, float] | None) -> PanelJudge:
    judges = [
        {
            "name": "openai",
            "model": f"m{place}",
            "base_url": url,
            "cache": str(folder / "c.sqlite"),
            "price_per_million": price,
        }
        for place, price in enumerate(prices)
    ]
    return PanelJudge([*judges, {"name": "scripted"}])


def test_each_judge_of_a_panel_has_its_own_price(serve: Any, tmp_path: Path) -> None:
    # The second judge's answer is unreadable at first, so that it takes two requests.
    server = serve(lambda body, number: completion(NO if body["model"] == "m0" or body["max_tokens"] > 128 else "?"))
    cheap, dear = {"input": 1.0, "output": 10.0}, {"input": 100.0, "output": 1000.0}
    panel_judge = priced_panel(server.url, tmp_path, cheap, dear)
    log = tmp_path / "verdicts.jsonl"
    judge_descriptions(panel_judge, [DescribedClass("wug", "it barks")], log, digest="d")
    verdicts = read_verdicts(log, digest="d")
    assert verdicts.spent == Usage(3, 300, 21)
    # (100 · 1 + 7 · 10) / 1e6 and (200 · 100 + 14 · 1000) / 1e6
    told = usage(panel_judge, verdicts)
    assert told is not None
    assert told.to_json() == {
        "requests": 3,
        "input_tokens": 300,
        "output_tokens": 21,
        "cost": pytest.approx(0.00017 + 0.034),
        "judges": [
            {"name": panel_judge.names[0], **Usage(1, 100, 7)._asdict(), "cost": pytest.approx(0.00017)},
            {"name": panel_judge.names[1], **Usage(2, 200, 14)._asdict(), "cost": pytest.approx(0.034)},
            {"name": "scripted", **Usage()._asdict(), "cost": 0.0},
        ],
    }
    unpriced = usage(priced_panel(server.url, tmp_path, cheap, None), verdicts)
    assert unpriced is not None
    assert unpriced.cost is None
    assert [row.cost for row in unpriced.judges or ()] == [pytest.approx(0.00017), None, 0.0]


def test_logs_that_do_not_tell_judges_apart_have_a_cost_if_prices_are_equal(tmp_path: Path) -> None:
    verdicts = Verdicts()
    verdicts.add("informative", "pug", "old", Verdict(False, "x", Usage(2, 200, 14)))
    verdicts.add(
        "informative", "pug", "new", Verdict(False, "x", Usage(1, 100, 7), (Usage(1, 100, 7), Usage(), Usage()))
    )
    one, other = {"input": 1.0, "output": 1.0}, {"input": 2.0, "output": 2.0}
    same = usage(priced_panel("http://localhost:1/v1", tmp_path, one, one), verdicts)
    assert same is not None
    assert same.cost == pytest.approx(321e-6)
    assert [(row.name, row.spent.requests) for row in same.judges or ()][-1] == ("not told apart", 2)
    mixed = usage(priced_panel("http://localhost:1/v1", tmp_path, one, other), verdicts)
    assert mixed is not None
    assert mixed.cost is None


def test_open_questions() -> None:
    verdicts = Verdicts()
    first, second = open_questions(TEXTS, verdicts)
    assert [(r.question, r.description) for r in first] == [
        ("informative", "it barks"),
        ("informative", "click here"),
        ("informative", "it has a tail"),
    ]
    assert [r.question for r in second] == ["visual"] * 3
    verdicts.add("informative", "pug", "it barks", Verdict(True, YES))
    verdicts.add("informative", "pug", "click here", Verdict(False, NO))
    first, second = open_questions(TEXTS, verdicts)
    assert [r.description for r in first] == ["it has a tail"]
    assert [r.description for r in second] == ["it barks", "it has a tail"], "known to be informative, or may be"
    verdicts.add("informative", "pug", "it has a tail", Unparsed("?"))
    first, second = open_questions(TEXTS, verdicts)
    assert [(r.question, r.description) for r in first] == [("visual", "it barks")]
    assert second == []


def test_dry_run_from_the_command_line(recipe: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import ex2.cli

    made = recipe(name="scripted")
    monkeypatch.setattr(ex2.cli.stages, "checked", lambda options, **_: made)
    assert ex2.cli.main(["analyze", "x.yaml", "--dry-run"]) == 0
    assert "to ask: 3 questions; this judge counts no tokens" in capsys.readouterr().out
    assert json.dumps(sorted(path.name for path in RunDirectory.of(made).seed(0).root.iterdir())) == (
        '["descriptions.jsonl"]'
    )
