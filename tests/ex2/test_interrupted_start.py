"""Ctrl-C before a command has begun is met as it is later."""

from __future__ import annotations

import sys

import pytest

from ex2.cli import main


def test_ctrl_c_while_words_are_read_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["ex2.cli.main"], "parse", interrupted)
    assert main(["report", "r.yaml"]) == 130
    assert capsys.readouterr().err.strip() == "ex2: interrupted; the same command continues: ex2 report r.yaml"
