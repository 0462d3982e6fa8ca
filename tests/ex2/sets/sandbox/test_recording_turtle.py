"""The turtle without a window goes where Python's goes, and paints what it would."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from ex2.sets.sandbox.inside.recording_turtle import Recording, TurtleGraphicsError, module

WHITE, RED, BLUE = (255, 255, 255), (255, 0, 0), (0, 0, 255)


def drawn(program: Callable[[Any], object], size: int = 60) -> Image.Image:
    recording = Recording()
    program(module(recording))
    return recording.image(size)


def test_a_pixel_is_ten_units_from_the_middle_upward() -> None:
    def program(turtle: Any) -> None:
        turtle.penup()
        turtle.fillcolor("red")
        turtle.goto(100, 100)
        turtle.begin_fill()
        for _ in range(4):
            turtle.forward(100)
            turtle.left(90)
        turtle.end_fill()

    image = drawn(program)
    assert image.size == (60, 60)
    assert [image.getpixel(place) for place in ((41, 18), (48, 11))] == [RED, RED]
    assert [image.getpixel(place) for place in ((38, 18), (41, 22), (52, 18), (41, 8), (18, 41))] == [WHITE] * 5


@pytest.mark.parametrize(
    ("steps", "x", "y", "heading"),
    [
        ([("forward", 100), ("left", 90), ("forward", 50)], 100, 50, 90),
        ([("right", 90), ("fd", 10), ("bk", 4)], 0, -6, 270),
        ([("setheading", 60), ("forward", 10)], 5, 5 * math.sqrt(3), 60),
        ([("goto", (3, 4)), ("setx", 7), ("sety", 1)], 7, 1, 0),
        ([("circle", 50, 180)], 0, 100, 180),
        ([("circle", 50, 90)], 50, 50, 90),
        ([("circle", -50, 180)], 0, -100, 180),
        ([("circle", 50)], 0, 0, 0),
        ([("circle", 100, 360, 4)], 0, 0, 0),
        ([("goto", (9, 9)), ("home",)], 0, 0, 0),
        ([("radians",), ("left", math.pi / 2), ("forward", 3)], 0, 3, math.pi / 2),
    ],
)
def test_where_it_goes(steps: list[tuple[Any, ...]], x: float, y: float, heading: float) -> None:
    turtle: Any = module(Recording()).Turtle()
    for name, *words in steps:
        getattr(turtle, name)(*words)
    assert turtle.position() == pytest.approx((x, y), abs=1e-6)
    assert math.cos(turtle.heading() - heading) == pytest.approx(1, abs=1e-6)


def test_it_agrees_with_pythons_own() -> None:
    own: Any = pytest.importorskip("turtle")
    theirs, ours = own.TNavigator(), module(Recording()).Turtle()
    theirs.speed = lambda s=0: 0
    for turtle in (theirs, ours):
        for number in range(1, 40):
            turtle.forward(7 * number)
            turtle.left(13 * number)
            turtle.circle(3 * number, 5 * number)
            turtle.right(number)
            turtle.backward(2)
    assert ours.position() == pytest.approx(tuple(theirs.position()), abs=1e-6)
    assert ours.heading() == pytest.approx(theirs.heading(), abs=1e-6)
    assert ours.towards(5, 6) == pytest.approx(theirs.towards(5, 6), abs=1e-6)
    assert ours.distance(5, 6) == pytest.approx(theirs.distance(5, 6), abs=1e-6)


def test_an_area_is_below_its_own_outline_and_above_what_was_there() -> None:
    def program(turtle: Any) -> None:
        turtle.dot(400, "blue")
        turtle.pensize(40)
        turtle.color("black", "red")
        turtle.begin_fill()
        for corner in ((100, 0), (100, 100), (0, 100), (0, 0)):
            turtle.goto(corner)
        turtle.end_fill()

    image = drawn(program)
    assert [image.getpixel(place) for place in ((20, 40), (35, 25), (30, 25))] == [BLUE, RED, (0, 0, 0)]


@pytest.mark.parametrize(
    ("given", "color"),
    [
        (("red",), "#ff0000"),
        (("#0000ff",), "#0000ff"),
        ((0.0, 0.5, 1.0), "#0080ff"),
        (((1, 0, 0),), "#ff0000"),
        (("red4",), "#ff0000"),
        (("light blue",), "#add8e6"),
        (("gray50",), "#808080"),
    ],
)
def test_colors(given: tuple[Any, ...], color: str) -> None:
    turtle = module(Recording()).Turtle()
    turtle.pencolor(*given)
    assert turtle.pencolor() == color


def test_colors_up_to_255_and_colors_that_are_none() -> None:
    recording = Recording()
    made: Any = module(recording)
    made.colormode(255)
    made.color(255, 0, 0)
    assert made.pencolor() == "#ff0000"
    for wrong in ("no color", (256, 0, 0), (1, 2)):
        with pytest.raises(TurtleGraphicsError, match="bad color"):
            made.color(wrong)


def test_the_window_grows_with_what_is_drawn_and_not_with_what_is_skipped() -> None:
    recording = Recording()
    turtle: Any = module(recording)
    turtle.penup()
    turtle.goto(5000, 0)
    turtle.goto(0, 0)
    turtle.dot(20)
    assert recording.reach == (10, 10)
    turtle.pendown()
    turtle.goto(1000, 0)
    assert recording.reach[0] == pytest.approx(1000.5)
    assert recording.image(60).size == (60, 17)


def test_what_waits_and_what_is_no_number() -> None:
    made: Any = module(Recording())
    made.speed(0)
    made.tracer(0, 0)
    made.Screen().exitonclick()
    made.done()
    with pytest.raises(TurtleGraphicsError, match="no number"):
        made.forward(float("nan"))
    with pytest.raises(AttributeError):
        made.Turtle().fly()
    assert "turtle" not in sys.modules or sys.modules["turtle"] is not made
