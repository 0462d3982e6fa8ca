"""The record of a description, and the file that holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from analysis.judge.base import Unparsed, Verdict
from analysis.results.load import SeedResult
from analysis.results.runs import examples_of
from analysis.verdicts.verdicts import Verdicts
from ex2.run.descriptions import (
    DescribedClass,
    Description,
    LabeledText,
    append_descriptions,
    read_descriptions,
    stored_descriptions,
)
from ex2.run.directory import SeedDirectory
from reward.errors import UserError

WHOLE = Description(
    policy="aligned",
    class_name="jalapeño",
    label=3,
    question_id=2,
    question="What is a jalapeño?",
    sample=1,
    seed=7,
    text='It is "hot".\nIt\'s green.',
    tokens=12,
    cut=True,
    reward=None,
    vlm_cut=False,
)
LINE = (
    '{"class": "jalapeño", "label": 3, "question_id": 2, "question": "What is a jalapeño?", "policy": "aligned", '
    '"seed": 7, "sample": 1, "text": "It is \\"hot\\".\\nIt\'s green.", "tokens": 12, "cut": true, "reward": null, '
    '"vlm_cut": false}\n'
)
OLD = '{"class": "pug", "label": 0, "policy": "base", "text": " \\n"}\n'


@pytest.fixture
def where(tmp_path: Path) -> SeedDirectory:
    return SeedDirectory(tmp_path / "seed-0")


def write(where: SeedDirectory, content: str) -> None:
    where.root.mkdir(exist_ok=True)
    where.descriptions.write_text(content, encoding="utf-8")


def test_a_row_keeps_its_keys_and_their_order(where: SeedDirectory) -> None:
    other = replace(WHOLE, sample=2)
    append_descriptions(where, [WHOLE])
    append_descriptions(where, [other])
    assert where.descriptions.read_text(encoding="utf-8") == LINE + LINE.replace('"sample": 1', '"sample": 2')
    assert read_descriptions(where) == stored_descriptions(where) == [WHOLE, other]
    assert len(WHOLE.to_json()) == len(fields(Description)), "every field is kept"


def test_rows_of_earlier_versions(where: SeedDirectory) -> None:
    write(where, OLD)
    (old,) = stored_descriptions(where)
    assert old == Description(policy="base", class_name="pug", label=0, text=" \n")
    assert (old.question_id, old.question, old.sample, old.seed, old.tokens) == (None, "", None, None, None)
    assert (old.cut, old.reward, old.vlm_cut) == (False, None, None)
    assert Description.from_json(old.to_json()) == old
    assert Description.from_json(WHOLE.to_json() | {"of a later version": 1}) == WHOLE
    with pytest.raises(UserError, match=r"descriptions\.jsonl: line 1: lacks question_id, sample, reward; delete the"):
        read_descriptions(where)


def test_what_a_description_is_taken_for() -> None:
    assert WHOLE.key == ("aligned", 3, "jalapeño", 2, 1)
    assert WHOLE.of_class == DescribedClass("jalapeño", WHOLE.text)
    assert WHOLE.of_label == LabeledText(3, WHOLE.text)
    blank = Description(policy="base", class_name="pug", label=0, text=" \n")
    assert (WHOLE.is_empty, blank.is_empty, blank.of_class.is_empty) == (False, True, True)


def test_a_torn_last_line_is_dropped_and_mended(where: SeedDirectory) -> None:
    write(where, LINE + LINE[:40])
    assert read_descriptions(where) == stored_descriptions(where) == [WHOLE]
    append_descriptions(where, [WHOLE])
    assert where.descriptions.read_bytes() == 2 * LINE.encode()


def test_without_descriptions(where: SeedDirectory) -> None:
    assert stored_descriptions(where) == []
    with pytest.raises(UserError, match=r"descriptions\.jsonl: no descriptions; run `ex2 describe RECIPE` first"):
        read_descriptions(where)


@pytest.mark.parametrize("read", [read_descriptions, stored_descriptions])
@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (LINE[:40] + "\n", "line 2: not JSON (Unterminated string starting at); delete the file and describe again."),
        ("[1]\n", "line 2: it holds '[1]': an object is allowed; delete the file and describe again."),
        ("3\n", "line 2: it holds '3': an object is allowed; delete the file and describe again."),
        (LINE, "line 2: the same description as on line 1, as after two processes wrote at once; delete one of"),
        (LINE.replace(": 3,", ": -1,"), "line 2: no description ('label' is -1: input should be greater than or equal"),
        (
            LINE.replace('": null', '": true'),
            "line 2: no description ('reward' is True: input should be a valid num",
        ),
        (LINE.replace('": null', '": 1e308'), "line 2: 1e308 is too large a number; delete the file and describe"),
        (LINE.replace('{"cl', '{"tokens": 1, "cl'), 'line 2: the key "tokens" occurs twice in an object; delete the'),
        (LINE.replace('"text"', '"txt"'), "line 2: lacks text; delete the file and describe again."),
    ],
)
def test_a_wrong_row_is_told(
    where: SeedDirectory, read: Callable[[SeedDirectory], list[Description]], wrong: str, problem: str
) -> None:
    write(where, LINE + wrong + LINE)
    with pytest.raises(UserError) as caught:
        read(where)
    assert f"{where.descriptions}: {problem}" in str(caught.value)


def test_another_policy_is_told_by_the_analysis_alone(where: SeedDirectory) -> None:
    write(where, LINE.replace('"aligned"', '"tuned"'))
    assert [one.policy for one in stored_descriptions(where)] == ["tuned"]
    with pytest.raises(UserError, match="line 1: policy is 'tuned', not base or aligned; delete the file and describe"):
        read_descriptions(where)


def test_a_description_without_verdict_is_told_wherever_it_is_looked_up() -> None:
    result = SeedResult(7, {}, {}, [WHOLE], Verdicts(), [])
    wanted = (
        "seed 7: a description of 'jalapeño' has no verdict: descriptions or verdicts changed since the analysis; run "
        "`ex2 analyze RECIPE` again."
    )
    for look_up in (lambda: result.kind(WHOLE), lambda: examples_of(result)):
        with pytest.raises(UserError) as caught:
            look_up()
        assert str(caught.value) == wanted
    result.verdicts.add("informative", *WHOLE.of_class, Verdict(True, "yes"))
    result.verdicts.add("visual", *WHOLE.of_class, Unparsed("?"))
    assert result.kind(WHOLE) == "informative_unparsed"
    (example,) = examples_of(result)
    assert (example.kind, example.text) == ("informative_unparsed", WHOLE.text)


def test_examples_of_rows_without_the_number_of_a_question() -> None:
    """Each stands for itself then, as if no two had the same question."""
    rows = [
        Description(policy=policy, class_name="pug", label=0, text=text)
        for policy, text in (("base", "z"), ("aligned", "a"), ("aligned", " "), ("aligned", "b"))
    ]
    verdicts = Verdicts()
    for text in ("a", "b"):
        verdicts.add("informative", "pug", text, Verdict(False, "no"))
    assert [one.text for one in examples_of(SeedResult(0, {}, {}, rows, verdicts, []))] == ["a", "b"]
