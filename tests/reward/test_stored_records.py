"""Records read themselves from JSON, say what is wrong with it, and write themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pytest
from pydantic import Field, ValidationError

from reward.errors import UserError
from reward.files import read_record, write_json
from reward.records import JSON, Always, Flat, Keyed, Omitted, Record, Whole, problems


class Interval(NamedTuple):
    value: float
    low: float


@dataclass(frozen=True)
class Hits(Record):
    right: int
    bits: Annotated[str, Omitted()] = ""


@dataclass(frozen=True)
class Arm(Record):
    class_name: Annotated[str, Field(alias="class")]
    hits: Annotated[Hits, Flat()]
    share: Annotated[Interval, Keyed(value="share")] | None = None
    words: tuple[str, ...] = ()
    others: Mapping[str, Hits] = field(default_factory=dict)
    first: Annotated[Hits | None, Omitted()] = None


ARM = Arm("cat", Hits(3, "0a"), Interval(0.5, 0.25), ("a", "b"), {"dog": Hits(1), "owl": Hits(2, "ff")}, Hits(0))
STORED = {
    "class": "cat",
    "right": 3,
    "bits": "0a",
    "share": {"share": 0.5, "low": 0.25},
    "words": ["a", "b"],
    "others": {"dog": {"right": 1}, "owl": {"right": 2, "bits": "ff"}},
    "first": {"right": 0},
}


def test_a_record_is_written_as_its_keys_say_wherever_it_stands_and_read_back() -> None:
    assert ARM.to_json() == STORED
    assert Arm.from_json(STORED) == ARM


def test_what_later_versions_add_is_passed_over_and_what_earlier_ones_lack_has_its_default() -> None:
    assert Arm.from_json({"class": "cat", "right": 3, "colour": "red"}) == Arm("cat", Hits(3))
    assert Arm("cat", Hits(3)).to_json() == {"class": "cat", "right": 3, "share": None, "words": [], "others": {}}


def test_every_fault_is_said_with_its_key(tmp_path: Path) -> None:
    broken = {"right": "many", "share": {"share": 1}, "words": 3, "others": {"dog": {}}}
    with pytest.raises(ValidationError) as caught:
        Arm.from_json(broken)
    assert problems(caught.value) == [
        "'class' is missing",
        "'right' is 'many': input should be a valid integer, unable to parse string as an integer",
        "'share.low' is missing",
        "'words' is 3: input should be a valid tuple",
        "'others.dog.right' is missing",
    ]
    path = tmp_path / "arm.json"
    write_json(path, {"class": "cat"})
    with pytest.raises(UserError) as told:
        read_record(path, Arm.from_json)
    assert str(told.value) == f"{path}: line 1: 'right' is missing; delete it and run its stage again."


@pytest.mark.parametrize("content", [[], "text", 3, None])
def test_what_is_no_object_is_said_to_be_none(content: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Arm.from_json(content)
    assert problems(caught.value) == [f"it holds {content!r}: input should be a dictionary or an instance of Arm"]


def test_a_named_tuple_is_not_read_from_a_list() -> None:
    with pytest.raises(ValidationError) as caught:
        Arm.from_json({"class": "cat", "right": 3, "share": [0.5, 0.25]})
    assert problems(caught.value) == ["'share' is [0.5, 0.25]: value error, an object is allowed"]


@dataclass(frozen=True)
class Mean:
    value: float
    seeds: int
    shared: bool = False


@dataclass(frozen=True)
class Pool(Record):
    mean: Annotated[Mean, Keyed(value="share", shared=None)]
    votes: Annotated[Mapping[Literal["yes", "no"], int], Whole()]
    seed: Annotated[int | None, Omitted()] = None
    left_out: Annotated[tuple[str, ...] | None, Omitted()] = None
    corrected: Annotated[float | None, Always()] = None

    def as_written(self, stored: JSON) -> JSON:
        return {"n": self.votes["yes"] + self.votes["no"], **stored}


POOLED = {"mean": {"share": 0.5, "seeds": 2}, "votes": {"yes": 3, "no": 0}, "corrected": None}


def test_only_the_default_is_left_out() -> None:
    """Another value is written although it is empty or 0."""
    pool = Pool(Mean(0.5, 2, shared=True), {"yes": 3, "no": 0}, seed=0, left_out=())
    assert pool.to_json() == {"n": 3, **POOLED, "seed": 0, "left_out": []}
    assert Pool(Mean(0.5, 2), {"yes": 3, "no": 0}).to_json() == {"n": 3, **POOLED}
    assert Pool.from_json(pool.to_json()) == Pool(Mean(0.5, 2), {"yes": 3, "no": 0}, 0, ())


def test_what_every_file_has_is_missed_in_one_although_code_has_a_default() -> None:
    with pytest.raises(ValidationError) as caught:
        Pool.from_json({"mean": POOLED["mean"], "votes": POOLED["votes"]})
    assert problems(caught.value) == ["'corrected' is missing"]


def test_a_whole_mapping_has_its_keys_and_no_others() -> None:
    more = POOLED | {"votes": {"yes": 3, "maybe": 1, "no": 0}}
    assert Pool.from_json(more).votes == {"yes": 3, "no": 0}
    with pytest.raises(ValidationError) as caught:
        Pool.from_json(POOLED | {"votes": {"yes": 3, "maybe": 1}})
    assert problems(caught.value) == ["'votes.no' is missing"]
