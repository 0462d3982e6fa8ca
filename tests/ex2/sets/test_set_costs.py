"""What sets cost: by hand, and as arXiv:2307.13697 prints it in Table 5 and section 3.1."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_sets import Blocks, drawn

from ex2.sets.cost import (
    NOTHING,
    ORIGINAL_USD,
    Cost,
    images_for_shots,
    measured,
    planned,
    total,
    usd_an_image,
    usd_for_time,
)

PRINTED = {"generative": 2.54e-4, "retrieval": 3.93e-5}
"""USD an image, Table 5."""


def test_two_printed_costs_do_not_follow_from_price_and_hours() -> None:
    generative = usd_an_image(1.47, 1.74)
    retrieval = usd_an_image(0.21, 0.60)
    assert generative == pytest.approx(0.0025578, abs=1e-9)
    assert retrieval == pytest.approx(0.000126, abs=1e-9)
    assert generative / PRINTED["generative"] == pytest.approx(10.07, abs=0.005)
    assert retrieval / PRINTED["retrieval"] == pytest.approx(3.206, abs=0.0005)


def test_500_shots_of_the_common_classes() -> None:
    images = images_for_shots(1000 + 10 + 100 + 101 + 20 + 10 + 397, 500)
    assert images == 819_000
    generative = planned(images, usd_an_image=PRINTED["generative"]).usd
    original = planned(images, usd_an_image=ORIGINAL_USD).usd
    assert generative == pytest.approx(208.026)
    assert original == pytest.approx(9828.0)
    assert original is not None
    assert generative is not None
    assert original - generative == pytest.approx(9619.974)  # printed as "around 9,800"
    by_price = planned(images, seconds_an_image=1.74 * 3600 / 1000, usd_per_hour=1.47).usd
    assert by_price == pytest.approx(819_000 * 0.0025578)


def test_planned_costs_by_hand() -> None:
    assert planned(10) == Cost(10, None, None, None)
    assert planned(10, seconds_an_image=9.0, usd_per_hour=2.0, bytes_an_image=1.5) == Cost(10, 90.0, 0.05, 15)
    assert planned(10, seconds_an_image=9.0, usd_per_hour=2.0, usd_an_image=0.5) == Cost(10, 90.0, 5.05, None)
    assert planned(10, seconds_an_image=9.0) == Cost(10, 90.0, None, None)
    assert planned(0, usd_an_image=ORIGINAL_USD).usd == 0.0
    assert usd_for_time(5400, 2.0) == 3.0


def test_sums_of_costs() -> None:
    assert total([]) == NOTHING == Cost(0, 0.0, 0.0, 0)
    first, second = Cost(2, 3.0, 0.5, 10), Cost(5, 4.0, 1.0, 7)
    assert total([first, second]) == Cost(7, 7.0, 1.5, 17)
    assert total([first, Cost(1, None, 1.0, None)]) == Cost(3, None, 1.5, None)


def test_measured_costs_of_a_set(tmp_path: Path) -> None:
    record = drawn(tmp_path, Blocks([(0, 1)]), usd_per_hour=7.2).record  # 3 images of 0.5 s, a failure of 2 s
    assert measured(record) == Cost(3, 3.5, pytest.approx(0.007), record.bytes)  # type: ignore[arg-type]
    assert measured(record, usd_an_image=1.0).usd == pytest.approx(3.007)
    nothing = drawn(tmp_path / "none", Blocks([(0, 0), (1, 0)]), per_class=1).record
    assert measured(nothing) == Cost(0, 4.0, None, 0)
