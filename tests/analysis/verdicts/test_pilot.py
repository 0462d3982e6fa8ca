"""The pilot: a judge whose answers cannot be read is found out after about 20 questions, and nothing is lost by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from batch_stub import BatchServer, starting_batches
from judge_stub import NO, YES, Reply, Server, completion, described, starting
from run_samples import write_run

from analysis.judge.base import Answer, JudgeRequest, NotYet, Unparsed, Verdict
from analysis.judge.server import chat
from analysis.judge.server.client import OpenAIJudge
from analysis.verdicts.asking import judge_descriptions
from analysis.verdicts.pilot import PILOT, check_pilot, mostly_unread, pilot_questions
from analysis.verdicts.verdicts import Verdicts, read_verdicts
from ex2.checks.validate import Findings
from ex2.cli import main
from ex2.recipe_io import read_stored_recipe, to_yaml
from ex2.run.descriptions import DescribedClass
from ex2.run.directory import RunDirectory
from reward.errors import EnvironmentFault
from reward.files import read_jsonl

serve = pytest.fixture(starting)
batches = pytest.fixture(starting_batches)

VISUAL = '{"explanation": "x", "provides_visual_description": "No"}'
THOUGHT = f"<think>The answer has the form\n{YES}"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_DELAY", 0.002)


def rows(count: int) -> list[DescribedClass]:
    return [DescribedClass(f"class {number // 10}", f"text {number}") for number in range(count)]


def text_of(body: dict[str, Any]) -> str:
    return described(body)


def is_visual(body: dict[str, Any]) -> bool:
    return "provides_visual_description" in body["messages"][2]["content"]


def judge_all(server: Server, folder: Path, count: int, **settings: Any) -> Verdicts:
    judge = OpenAIJudge("m", server.url, cache=str(folder / "c.sqlite"), folder=folder, **settings)
    return judge_descriptions(judge, rows(count), folder / "verdicts.jsonl", digest="d")


def texts_asked(server: Server) -> list[str]:
    return [text_of(body) for body in server.asked if not is_visual(body)]


def known(count: int, unread: set[int]) -> Verdicts:
    verdicts = Verdicts()
    for number in range(count):
        answer: Answer = Unparsed("?") if number in unread else Verdict(True, "yes")
        verdicts.add("informative", "oak", f"known {number}", answer)
        verdicts.add("visual", "oak", f"known {number}", Unparsed("?"))
    return verdicts


def waiting(count: int) -> list[JudgeRequest]:
    return [JudgeRequest("informative", "oak", f"open {number}") for number in range(count)]


# ---------------------------------------------------------------- which questions


@pytest.mark.parametrize(
    ("answered", "unread", "left", "asked"),
    [
        (0, 0, 39, 0),  # too few questions
        (7, 7, 32, 0),
        (7, 7, 33, 13),  # 40 in all, of which a kill left some
        (20, 20, 30, 20),  # a pilot has stopped it, and 30 are fewer than 40
        (40, 40, 10, 10),
        (20, 10, 30, 0),
        (0, 0, 40, 20),
        (0, 0, 4000, 20),
        (7, 7, 100, 13),  # goes on where it was stopped
        (20, 10, 100, 0),  # half could be read
        (20, 11, 100, 20),  # a judge that was mended gets a new one
        (27, 27, 100, 13),
        (500, 0, 100, 0),
    ],
)
def test_how_many_questions_are_asked_first(answered: int, unread: int, left: int, asked: int) -> None:
    assert len(pilot_questions(waiting(left), known(answered, set(range(unread))))) == asked


def test_once_over_it_is_over_whatever_comes_later() -> None:
    assert pilot_questions(waiting(100), known(200, set(range(20, 200)))) == []


def test_the_questions_are_spread_and_the_same_at_each_call() -> None:
    asked = pilot_questions(waiting(1000), Verdicts())
    numbers = [int(request.description.split()[1]) for request in asked]
    assert min(numbers) < 200
    assert max(numbers) > 800
    begun = Verdicts()
    for request in asked[:3]:
        begun.add("informative", request.class_name, request.description, Verdict(True, "yes"))
    rest = [request for request in waiting(1000) if request not in asked[:3]]
    assert pilot_questions(rest, begun) == asked[3:], "also when some are answered"


@pytest.mark.parametrize(("count", "stops"), [(0, False), (10, False), (11, True), (20, True)])
def test_most_means_more_than_half(count: int, stops: bool, tmp_path: Path) -> None:
    verdicts = known(PILOT, set(range(count)))

    class Named:
        name, exact = "named", False

        def answer(self, requests: Any, on_answer: Any) -> None: ...

    assert mostly_unread([answer for request, answer in verdicts.items() if request.question == "informative"]) is stops
    if stops:
        with pytest.raises(EnvironmentFault, match=rf"judge named: {count} of the pilot's 20 answers cannot be read"):
            check_pilot(Named(), verdicts, tmp_path, left=5)
    else:
        check_pilot(Named(), verdicts, tmp_path, left=5)


# ---------------------------------------------------------------- asking


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (completion(THOUGHT), 'for example: \'<think>The answer has the form {"explanation": "It names'),
        (completion(None, reasoning_content=YES), "for example: an empty text. Correct"),
        (completion("x" * 500), f"for example: '{'x' * 200}…'. Correct"),
    ],
)
def test_a_judge_that_cannot_be_read_stops_after_the_pilot(
    serve: Callable[..., Server], tmp_path: Path, given: Reply, shown: str
) -> None:
    server = serve(lambda body, number: given)
    with pytest.raises(EnvironmentFault) as caught:
        judge_all(server, tmp_path, 100)
    assert caught.value.exit_code == 1
    assert "20 of the pilot's 20 answers cannot be read, so that the other 80 questions were not asked" in str(
        caught.value
    )
    assert shown in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == 2 * PILOT, "each in two tries"
    assert len(read_jsonl(tmp_path / "verdicts.jsonl")) == PILOT


def test_a_mended_judge_goes_on_and_pays_nothing_twice(serve: Callable[..., Server], tmp_path: Path) -> None:
    broken = True

    def handler(body: dict[str, Any], number: int) -> Reply:
        return completion("hm" if broken else VISUAL if is_visual(body) else NO)

    server = serve(handler)
    with pytest.raises(EnvironmentFault):
        judge_all(server, tmp_path, 100)
    broken, before = False, len(server.asked)
    verdicts = judge_all(server, tmp_path, 100)
    after = texts_asked(server)[before:]
    assert len(after) == len(set(after)) == 80
    assert Counter(verdicts.kind(*row) for row in rows(100)) == {"unparsed": 20, "spurious": 80}
    judge_all(server, tmp_path, 100)
    assert len(server.asked) == before + 80


@pytest.mark.parametrize(("count", "first"), [(39, 39), (40, 20), (60, 20)])
def test_a_judge_that_can_be_read_is_asked_everything_once(
    serve: Callable[..., Server], tmp_path: Path, count: int, first: int
) -> None:
    server = serve(lambda body, number: completion(VISUAL if is_visual(body) else YES))
    verdicts = judge_all(server, tmp_path, count, concurrency=1)
    assert Counter(texts_asked(server)) == Counter({row.text: 1 for row in rows(count)})
    assert len(server.asked) == 2 * count
    assert Counter(verdicts.kind(*row) for row in rows(count)) == {"non_visual": count}
    wanted = (
        [f"text {number}" for number in range(count)]
        if first == count
        else [
            request.description
            for request in pilot_questions([JudgeRequest("informative", *row) for row in rows(count)], Verdicts())
        ]
    )
    assert texts_asked(server)[:first] == wanted


def test_few_questions_are_asked_without_a_pilot(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(lambda body, number: completion("hm"))
    verdicts = judge_all(server, tmp_path, 39)
    assert Counter(verdicts.kind(*row) for row in rows(39)) == {"unparsed": 39}


def asking(server: Server, folder: Path, count: int) -> tuple[int, str]:
    """Judge once; how many texts were asked about, and how it ended."""
    before = len(set(texts_asked(server)))
    try:
        judge_all(server, folder, count)
        ended = "done"
    except EnvironmentFault as error:
        ended = str(error).partition("so that ")[2].partition(" were")[0]
    return len(set(texts_asked(server))) - before, ended


@pytest.mark.parametrize(
    ("count", "calls"),
    [
        (40, [(20, "the other 20 questions"), (20, "done")]),
        (50, [(20, "the other 30 questions"), (20, "the other 10 questions"), (10, "done")]),
        (
            75,
            [
                (20, "the other 55 questions"),
                (20, "the other 35 questions"),
                (20, "the other 15 questions"),
                (15, "done"),
            ],
        ),
    ],
)
def test_each_call_of_a_judge_that_stays_unreadable_pays_one_pilot_and_the_last_one_ends(
    serve: Callable[..., Server], tmp_path: Path, count: int, calls: list[tuple[int, str]]
) -> None:
    """Fewer than 40 open questions are no small run if some were answered before."""
    server = serve(lambda body, number: completion("hm"))
    assert [asking(server, tmp_path, count) for _ in calls] == calls
    assert asking(server, tmp_path, count) == (0, "done"), "all is known, and the page says that it has no shares"
    assert set(Counter(texts_asked(server)).values()) == {2}, "the second try, and nothing twice"


def test_a_judge_mended_when_few_questions_are_left_pays_the_rest_once(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    broken = True
    server = serve(lambda body, number: completion("hm" if broken else VISUAL if is_visual(body) else NO))
    assert asking(server, tmp_path, 50) == (20, "the other 30 questions")
    broken, before = False, len(server.asked)
    assert asking(server, tmp_path, 50) == (30, "done")
    assert len(server.asked) == before + 30


# ---------------------------------------------------------------- batches


def batch_run(server: BatchServer, folder: Path, count: int) -> Verdicts:
    judge = OpenAIJudge("m", server.url, mode="batch", cache=str(folder / "c.sqlite"), folder=folder, max_retries=0)
    return judge_descriptions(judge, rows(count), folder / "verdicts.jsonl", digest="d")


def handed_in(server: BatchServer) -> list[list[str]]:
    return [[text_of(line["body"]) for line in server.lines(name)] for name in server.batches]


def test_the_first_batch_is_the_pilot(batches: BatchServer, tmp_path: Path) -> None:
    batches.respond = lambda body: VISUAL if is_visual(body) else YES
    with pytest.raises(NotYet, match="19 questions were handed in as batch batch_0"):
        batch_run(batches, tmp_path, 100)
    with pytest.raises(NotYet, match="batch_0 is in_progress"):
        batch_run(batches, tmp_path, 100)
    batches.finish("batch_0")
    with pytest.raises(NotYet, match="79 questions were handed in as batch batch_1"):
        batch_run(batches, tmp_path, 100)
    with pytest.raises(NotYet, match="batch_1 is in_progress"):
        batch_run(batches, tmp_path, 100)
    batches.finish("batch_1")
    with pytest.raises(NotYet, match="99 questions were handed in as batch batch_2"):  # the second question
        batch_run(batches, tmp_path, 100)
    first = [*handed_in(batches)[0], *handed_in(batches)[1], *(text_of(b) for b in batches.direct if not is_visual(b))]
    assert Counter(first) == Counter({row.text: 1 for row in rows(100)}), "each is paid once"


def test_a_batch_that_cannot_be_read_stops_the_run(batches: BatchServer, tmp_path: Path) -> None:
    batches.respond = lambda body: THOUGHT
    for name in ("batch_0", "batch_1"):
        with pytest.raises(NotYet):
            batch_run(batches, tmp_path, 100)
        batches.finish(name)
    with pytest.raises(EnvironmentFault, match=r"20 of the pilot's 20 answers cannot be read, so that the other 80"):
        batch_run(batches, tmp_path, 100)
    assert [len(texts) for texts in handed_in(batches)] == [19, 18], "the first tries and the second ones"
    assert len(read_jsonl(tmp_path / "verdicts.jsonl")) == PILOT


def test_answers_of_a_batch_that_nobody_asked_for_yet_are_kept(batches: BatchServer, tmp_path: Path) -> None:
    """A batch that an earlier version handed in holds more than the pilot."""
    batches.respond = lambda body: VISUAL if is_visual(body) else NO
    judge = OpenAIJudge(
        "m", batches.url, mode="batch", cache=str(tmp_path / "c.sqlite"), folder=tmp_path, max_retries=0
    )
    with pytest.raises(NotYet, match="99 questions were handed in"):
        judge.answer([JudgeRequest("informative", *row) for row in rows(100)], lambda request, answer: None)
    batches.finish("batch_0")
    verdicts = batch_run(batches, tmp_path, 100)
    assert len(verdicts) == 100
    assert (len(batches.batches), len(batches.direct)) == (1, 1)


# ---------------------------------------------------------------- the command


def test_the_command_ends_with_1_and_overwrites_nothing(
    serve: Callable[..., Server], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(lambda body, number: completion("I would rather not say."))
    run = RunDirectory(write_run(tmp_path, "run"))
    where = run.seed(0)
    settings = {"name": "openai", "model": "m", "base_url": server.url, "cache": str(tmp_path / "c.sqlite")}
    recipe = read_stored_recipe(run.recipe)
    recipe = type(recipe).model_validate({**recipe.model_dump(), "judge": settings})
    (tmp_path / "r.yaml").write_text(to_yaml(recipe))
    monkeypatch.setattr("ex2.checks.validate.examine", lambda *given, **named: Findings())
    before = {path: path.read_bytes() for path in (where.accuracy, where.breakdown)}
    log = where.verdicts.read_text()
    assert main(["analyze", str(tmp_path / "r.yaml")]) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert "20 of the pilot's 20 answers cannot be read" in told
    assert "for example: 'I would rather not say.'" in told
    assert {path: path.read_bytes() for path in before} == before
    assert where.verdicts.read_text().startswith(log)
    assert len(read_verdicts(where.verdicts, digest="d")) > 0
