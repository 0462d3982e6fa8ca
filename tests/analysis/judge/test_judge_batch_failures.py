"""The Batch API when single questions fail: none is paid for without bound, none is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from batch_stub import ROWS, BatchServer, Given, answer, run, starting_batches
from judge_stub import YES, completion, described

from analysis.judge.base import NotYet, Unparsed, Usage, Verdict
from analysis.judge.server import batch
from analysis.judge.server.batch_results import read_lines
from analysis.verdicts.verdicts import Verdicts
from reward.errors import EnvironmentFault, UserError
from reward.files import read_json

server = pytest.fixture(starting_batches)


def number_of(body: dict[str, Any]) -> str:
    return described(body).rpartition(" ")[2]


def informative(verdicts: Verdicts) -> dict[str, Any]:
    return {request.description: given for request, given in verdicts.items() if request.question == "informative"}


def to_the_end(server: BatchServer, folder: Path) -> Verdicts:
    """The command again and again, each batch finished in between; ten calls are far more than any test needs."""
    for _ in range(10):
        try:
            return run(server, folder)
        except NotYet:
            for name, found in server.batches.items():
                if found["status"] == "in_progress":
                    server.finish(name)
    raise AssertionError("the command never ends")


def respond_to(server: BatchServer, special: dict[str, Given]) -> None:
    server.respond = lambda body: special.get(number_of(body), answer(body))


WRONG = {"choices": [{"message": {"content": {"a": 1}}}]}


@pytest.mark.parametrize(
    ("given", "raw"),
    [
        (500, 'failed 2 times: {"error": {"message": "failed with 500"}}'),
        (WRONG, f"failed 2 times: {json.dumps(WRONG)}"),
    ],
)
def test_a_question_that_fails_twice_is_unparsed(server: BatchServer, tmp_path: Path, given: Given, raw: str) -> None:
    respond_to(server, {"4": given})
    verdicts = to_the_end(server, tmp_path)
    assert informative(verdicts)["text 4"] == Unparsed(raw)
    # Handed in twice; between them the rubric's example showed that the server works, for 100 and 7 tokens.
    assert informative(verdicts)["text 4"].spent == Usage(3, 100, 7)
    handed = [number_of(line["body"]) for name in server.batches for line in server.lines(name)]
    assert handed.count("4") == 2
    assert sum("a tench" in described(body) for body in server.direct) == 1
    assert read_json(tmp_path / batch.BATCH_FILE) == {"batches": [], "tries": {}}


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_question_is_handed_in_once_more_and_counted(
    server: BatchServer, tmp_path: Path, status: int
) -> None:
    special: dict[str, Given] = {"4": status, "5": status}
    respond_to(server, special)
    answers = informative(to_the_end(server, tmp_path))
    for text in ("text 4", "text 5"):
        assert isinstance(answers[text], Unparsed)
        assert answers[text].raw.startswith(f"{status}: ")
        assert answers[text].spent.requests <= 3, "two tries, and the example where it was asked alone"
    handed = [number_of(line["body"]) for name in server.batches for line in server.lines(name)]
    assert handed.count("5") <= 2


def test_an_empty_reply_is_asked_for_once_more_with_more_room(server: BatchServer, tmp_path: Path) -> None:
    empty = json.loads(completion(None)[2])

    def respond(body: dict[str, Any]) -> Given:
        if number_of(body) not in ("3", "4"):
            return answer(body)
        return YES if number_of(body) == "3" and body["max_tokens"] == 256 else empty

    server.respond = respond
    answers = informative(to_the_end(server, tmp_path))
    assert answers["text 3"] == Verdict(True, YES)
    assert answers["text 4"] == Unparsed("")
    # One of the two second tries goes directly: what the first one took is not forgotten.
    assert (answers["text 3"].spent, answers["text 4"].spent) == (Usage(2, 200, 14), Usage(2, 200, 14))


def test_a_first_text_that_is_refused_holds_up_nothing(server: BatchServer, tmp_path: Path) -> None:
    respond_to(server, {"0": 400})
    answers = informative(to_the_end(server, tmp_path))
    assert answers["text 0"] == Unparsed("400: failed with 400")
    assert len(answers) == len(ROWS)


@pytest.mark.parametrize("status", [401, 429])
def test_failures_that_say_nothing_about_the_question_are_not_counted(
    server: BatchServer, tmp_path: Path, status: int
) -> None:
    respond_to(server, {"4": status})
    with pytest.raises(NotYet):
        run(server, tmp_path)
    server.finish("batch_0")
    respond_to(server, {})
    assert informative(to_the_end(server, tmp_path))["text 4"].spent == Usage(1, 100, 7)


def test_a_server_that_answers_nothing_makes_nothing_unparsed(server: BatchServer, tmp_path: Path) -> None:
    for call in range(3):  # each asks one new question directly and hands in the others
        server.respond = answer
        with pytest.raises(NotYet, match=f"{8 - call} questions were handed in"):
            run(server, tmp_path)
        server.respond = lambda body: 500
        server.finish(f"batch_{call}")
        with pytest.raises(EnvironmentFault, match=r"completed without one answer \(.*failed with 500"):
            run(server, tmp_path)
    server.respond = answer
    verdicts = to_the_end(server, tmp_path)
    assert all(isinstance(given, Verdict) for _, given in verdicts.items())


def test_lines_that_are_lost_count_as_failures(server: BatchServer, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(NotYet):
            run(server, tmp_path)
        name = f"batch_{len(server.batches) - 1}"
        server.finish(name)
        kept = [line for line in server.files[f"{name}-output_file_id"].splitlines() if b"text 4" not in line]
        lost = next(line["custom_id"] for line in server.lines(name) if number_of(line["body"]) == "4")
        server.files[f"{name}-output_file_id"] = b"\n".join(line for line in kept if lost.encode() not in line)
    assert informative(to_the_end(server, tmp_path))["text 4"] == Unparsed("failed 2 times: no line in the results")


def test_state_of_an_earlier_version_is_read(server: BatchServer, tmp_path: Path) -> None:
    with pytest.raises(NotYet):
        run(server, tmp_path)
    path = tmp_path / batch.BATCH_FILE
    state = read_json(path)
    key = next(line["custom_id"] for line in server.lines("batch_0") if number_of(line["body"]) == "4")
    path.write_text(json.dumps({"batches": state["batches"], "unreadable": {key: [1, 100, 7]}}))
    respond_to(server, {"4": "perhaps"})
    server.finish("batch_0")
    answers = informative(to_the_end(server, tmp_path))
    assert answers["text 4"] == Unparsed("perhaps")
    assert answers["text 4"].spent == Usage(2, 200, 14)


def test_state_of_another_form_is_told(server: BatchServer, tmp_path: Path) -> None:
    path = tmp_path / batch.BATCH_FILE
    path.write_text(json.dumps({"batches": [{"batch": None, "keys": ["a"]}], "tries": {"a": {"spent": [1, "x", 0]}}}))
    with pytest.raises(UserError) as caught:
        run(server, tmp_path)
    told = (
        "'batches.0.input_file' is missing; 'tries.a.spent.1' is 'x': input should be a valid integer, unable to parse "
        "string as an integer"
    )
    assert str(caught.value) == f"{path}: line 1: {told}; delete it and run its stage again."


def test_lines_of_results_say_why_there_is_no_answer() -> None:
    lines = [
        {"custom_id": "a", "response": {"status_code": 500, "body": {"x": 1}}, "error": None},
        {"custom_id": "b", "error": {"code": "batch_expired"}},
        {"custom_id": "c", "oops": 1},
        {"response": None},
        [],
    ]
    read = list(read_lines("\n".join([*map(json.dumps, lines), "{", ""])))
    assert [(line.custom_id, line.ended_early, line.reason) for line in read] == [
        ("a", False, '{"x": 1}'),
        ("b", True, '{"code": "batch_expired"}'),
        ("c", False, '{"custom_id": "c", "oops": 1}'),
    ]


def test_an_answer_with_a_line_separator_is_one_line(server: BatchServer, tmp_path: Path) -> None:
    said = YES.replace('": "', '": "one\u2028two\u0085three ', 1)
    server.respond = lambda body: said if answer(body) == YES else answer(body)
    answers = informative(to_the_end(server, tmp_path))
    assert {text: given.raw for text, given in answers.items() if int(text.rpartition(" ")[2]) % 2} == {
        f"text {number}": said for number in (1, 3, 5, 7)
    }
    assert all(isinstance(given, Verdict) for given in answers.values())
    assert len(server.batches) == 2, "one for each question: none was lost and handed in again"
