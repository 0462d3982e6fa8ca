"""The order of labels is that of the rows in the log, whatever the clock said."""

from __future__ import annotations

from pathlib import Path

import pytest
from labeled_runs import give, make_run, session_of

import analysis.labeling.session
from analysis.labeling.log import Asked, Given, Label, append_label, label_path, merged, read_labels, standing

FIRST, SECOND = Asked("visual", "pug", "one"), Asked("visual", "pug", "two")


def label(asked: Asked, answer: Given | None, hour: int) -> Label:
    return Label(asked, answer, "paper-1", f"2026-11-28T{hour:02}:00:00.000000+00:00")


def test_an_undone_label_does_not_count_after_the_clock_was_set_back() -> None:
    given = standing([label(FIRST, "yes", 12), label(SECOND, "no", 13), label(FIRST, None, 9)])
    assert list(given) == [SECOND]
    again = standing([label(FIRST, "yes", 12), label(FIRST, "no", 9)])
    assert again[FIRST].answer == "no"


def test_the_latest_answer_is_the_last_row() -> None:
    given = standing([label(FIRST, "yes", 12), label(SECOND, "no", 9)])
    assert list(given) == [FIRST, SECOND], "the one to undo comes last"


def test_logs_of_several_runs_keep_their_own_order() -> None:
    one = [label(FIRST, "yes", 12), label(FIRST, None, 9)]
    other = [label(SECOND, "no", 11), label(SECOND, "yes", 13)]
    assert merged([one, other]) == [other[0], *one, other[1]]
    assert merged([other, one]) == [other[0], *one, other[1]]


def test_a_row_that_a_kill_kept_from_the_second_log_counts() -> None:
    shared = label(FIRST, "yes", 12)
    assert standing(merged([[shared, label(FIRST, None, 9)], [shared]])) == {}


def test_the_same_row_twice_in_one_log_stays() -> None:
    rows = [label(FIRST, "yes", 12), label(FIRST, None, 12), label(FIRST, "yes", 12)]
    assert merged([rows]) == rows


def test_a_session_undoes_though_the_clock_goes_backwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run")
    hours = iter(range(20, 0, -1))
    monkeypatch.setattr(analysis.labeling.session, "now", lambda: f"2026-11-28T{next(hours):02}:00:00.000000+00:00")
    session = session_of(run)
    give(session, "no", "no")
    assert session.progress().done == 2
    session.undo()
    assert session.progress().done == 1
    session.undo()
    assert session.progress().done == 0
    path = label_path(run, "anna")
    assert [one.answer for one in read_labels(path)] == ["no", "no", None, None]
    asked = read_labels(path)[0].asked
    append_label(path, "anna", label(asked, "yes", 0))
    assert session_of(run).progress().done == 0, "a yes leads to the second question"
