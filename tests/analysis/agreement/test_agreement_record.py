"""`agreement.json` as a record: written as it was read, files of earlier versions, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agreed_runs import agreement_of, edit, make, said
from messages import without_line
from paths import DATA

from analysis.agreement.record import Agreement, read_agreement
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import JSON, read_json, write_json

STORED = DATA / "stored_run" / "runs" / "stored" / "agreement.json"


def same(written: JSON, stored: JSON) -> bool:
    """Whether keys and values are the same, 1 being another than 1.0."""
    return json.dumps(written, sort_keys=True) == json.dumps(stored, sort_keys=True)


def test_a_stored_file_is_written_again(tmp_path: Path) -> None:
    found = read_agreement(STORED)
    write_json(tmp_path / "agreement.json", found.to_json())
    assert same(read_json(tmp_path / "agreement.json"), read_json(STORED))
    assert read_agreement(tmp_path / "agreement.json") == found
    assert found.used is found.own
    first = found.own.questions["informative"]
    assert (first.n, first.confusion.only_judge, first.agreement and first.agreement.value) == (20, 7, 0.5)
    assert found.policies["base"].shares["visual"].reason.startswith("among the labelled, the judge tells visual")


def test_what_is_unknown_is_written_as_null() -> None:
    stored: Any = read_json(STORED)
    own = stored["own"]
    own["kind_kappa"] = own["questions"]["visual"]["alpha"] = None
    stored["policies"]["base"]["shares"]["spurious"]["judged"] = None
    stored["own"]["kind_agreement"] |= {"low": None, "high": None}
    stored |= {"pooled": own | {"runs": ["stored", "another"]}, "corrected_with": "pooled"}
    found = Agreement.from_json(stored)
    assert same(found.to_json(), stored)
    assert found.used.runs == ("stored", "another")


def older(content: JSON) -> None:
    """Take away what the first version did not write."""
    content["sample"].pop("frame")
    content.pop("seeds")
    content["own"].pop("verdicts")
    content["own"]["table"] = [row[:3] for row in content["own"]["table"]]
    for part in content["policies"].values():
        part.pop("kinds")
        for share in part["shares"].values():
            share.pop("reason")


def test_a_file_of_the_first_version_is_read_as_stale(tmp_path: Path) -> None:
    run = make(tmp_path)
    edit(run / "agreement.json", older)
    found = agreement_of(run)
    assert found.stale == "it does not tell which descriptions it was made for; run `ex2 agreement` again"
    assert found.content.own.verdicts == found.content.own.kinds == ("spurious", "non_visual", "visual")
    assert (found.content.seeds, found.content.policies["aligned"].kinds) == (None, None)
    edit(RunDirectory(run).seed(0).breakdown, lambda content: content["judge"].update(settings="other"))
    assert agreement_of(run).stale == "it was made for grammar & co with rubric paper-1; run `ex2 agreement` again"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{",
            "not JSON (Expecting property name enclosed in double quotes); delete it and run its stage again.",
        ),
        (
            "{}",
            "'run' is missing; 'confidence' is missing; 'judge' is missing; 'rubrics' is missing; 'truth' is missing; "
            "'sample' is missing; 'raters' is missing; 'own' is missing; 'pooled' is missing; 'policies' is missing; "
            "'disagreements' is missing; delete it and run its stage again.",
        ),
        (
            "[]",
            "it holds []: input should be a dictionary or an instance of Agreement; delete it and run its stage again.",
        ),
        (
            "null",
            "it holds None: input should be a dictionary or an instance of Agreement; "
            "delete it and run its stage again.",
        ),
    ],
)
def test_a_faulty_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    run = make(tmp_path)
    path = run / "agreement.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        agreement_of(run)
    assert str(caught.value) == f"{path}: line 1: {message}"


@pytest.mark.parametrize(
    ("place", "key"),
    [((), "truth"), (("judge",), "rubric"), (("own",), "table"), (("own", "questions", "visual"), "only_judge")],
)
def test_a_missing_key_is_named(tmp_path: Path, place: tuple[str, ...], key: str) -> None:
    content: Any = read_json(STORED)
    part = content
    for name in place:
        part = part[name]
    part.pop(key)
    write_json(tmp_path / "agreement.json", content)
    with pytest.raises(UserError) as caught:
        read_agreement(tmp_path / "agreement.json")
    named = f"'{'.'.join((*place, key))}' is missing; delete it and run its stage again."
    assert without_line(caught.value) == f"{tmp_path / 'agreement.json'}: {named}"


def test_an_older_file_that_lacks_the_kinds_is_said_to_lack_those_alone(tmp_path: Path) -> None:
    content: Any = read_json(STORED)
    content["own"].pop("verdicts")
    content["own"].pop("kinds")
    write_json(tmp_path / "agreement.json", content)
    with pytest.raises(
        UserError, match=r"json: line \d+: 'own\.kinds' is missing; delete it and run its stage again\.$"
    ):
        read_agreement(tmp_path / "agreement.json")


def test_without_aligned_descriptions_no_share_is_told(tmp_path: Path) -> None:
    run = make(tmp_path)
    edit(run / "agreement.json", lambda content: content["policies"].pop("aligned"))
    assert "Corrected for its errors" not in said(run)["The judge against people"]
