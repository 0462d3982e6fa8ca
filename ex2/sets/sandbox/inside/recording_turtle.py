"""A turtle without a window: it notes lines, areas, dots and texts, which Pillow paints.

It has what Python's `turtle` has for drawing, under the same names and in the same units: the origin in the middle,
degrees counterclockwise from the east. What waits, listens or animates does nothing.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image, ImageColor, ImageDraw, ImageFont

Point = tuple[float, float]

WINDOW = 600.0
"""Width and height that are seen, in units, unless the program sets them or draws beyond."""
_FINER = 2
"""Each pixel is painted so many times finer, both ways, and averaged."""
_FARTHEST = 1e7
_WAITING = frozenset(
    word
    for line in (
        "done mainloop exitonclick bye update tracer delay listen onkey onkeypress onkeyrelease onclick onscreenclick ",
        "ontimer onrelease ondrag title speed hideturtle ht showturtle st shape shapesize turtlesize resizemode mode ",
        "register_shape addshape bgpic screensize undo setundobuffer tilt settiltangle getcanvas",
    )
    for word in line.split()
)


class TurtleGraphicsError(Exception):
    """What `turtle` raises for a color that it does not know."""


class Recording:
    """What turtles have drawn, in the order of painting.

    Attributes:
        marks: Each paints itself, given a drawing and what turns units into pixels.
        background: Color of the window.
        width: Of the window, in units.
        height: Of the window, in units.
        most: Greatest value of a color given by numbers: 1.0 or 255.
        reach: Greatest distance from the origin, along either axis, at which something is drawn.
    """

    def __init__(self) -> None:
        self.marks: list[Callable[[Any, float, Point], None]] = []
        self.background, self.most = "#ffffff", 1.0
        self.width = self.height = WINDOW
        self.reach: Point = (0.0, 0.0)

    def line(self, points: Sequence[Point], color: str, width: float) -> None:
        """Draw a line."""
        kept, thick = self._seen(points, width / 2), max(1.0, float(width))

        def paint(drawing: Any, scale: float, middle: Point) -> None:
            pixels = _pixels(kept, scale, middle)
            drawing.line(pixels, fill=color, width=max(1, round(thick * scale)), joint="curve")
            for x, y in pixels if thick * scale > 2 else ():
                radius = thick * scale / 2
                drawing.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)

        self.marks.append(paint)

    def area(self, points: Sequence[Point], color: str, place: int) -> None:
        """Fill an area, below all that was drawn since there were `place` marks."""
        kept = self._seen(points, 0.0)

        def paint(drawing: Any, scale: float, middle: Point) -> None:
            drawing.polygon(_pixels(kept, scale, middle), fill=color)

        self.marks.insert(place, paint)

    def dot(self, center: Point, diameter: float, color: str) -> None:
        """Draw a disk."""
        kept = self._seen([center], diameter / 2)

        def paint(drawing: Any, scale: float, middle: Point) -> None:
            ((x, y),), radius = _pixels(kept, scale, middle), diameter * scale / 2
            drawing.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)

        self.marks.append(paint)

    def text(self, start: Point, text: str, align: str, height: float, color: str) -> None:
        """Write a text whose lower edge is at the start."""
        kept = self._seen([start], 0.0)
        anchor = {"left": "lb", "center": "mb", "right": "rb"}.get(align, "lb")

        def paint(drawing: Any, scale: float, middle: Point) -> None:
            font = ImageFont.load_default(min(2000.0, max(1.0, 1.33 * height * scale)))
            drawing.text(_pixels(kept, scale, middle)[0], text[:1000], fill=color, font=font, anchor=anchor)

        self.marks.append(paint)

    def image(self, size: int) -> Image.Image:
        """Return what was drawn: the window, made larger where something is beyond it; its longer side in pixels."""
        width, height = (max(own, 2.1 * far) for own, far in zip((self.width, self.height), self.reach, strict=True))
        scale = _FINER * size / max(width, height)
        box = (max(1, round(width * scale)), max(1, round(height * scale)))
        painted = Image.new("RGB", box, self.background)
        drawing = ImageDraw.Draw(painted)
        for paint in self.marks:
            paint(drawing, scale, (box[0] / 2, box[1] / 2))
        return painted.resize((max(1, box[0] // _FINER), max(1, box[1] // _FINER)), Image.Resampling.BOX)

    def _seen(self, points: Sequence[Point], margin: float) -> list[Point]:
        kept = [(_finite(x), _finite(y)) for x, y in points]
        across, up = (max(abs(point[axis]) for point in kept) + margin for axis in (0, 1))
        self.reach = (max(self.reach[0], across), max(self.reach[1], up))
        return kept

    def color(self, value: Any, *more: Any) -> str:
        """Return a color as Pillow reads it.

        Raises:
            TurtleGraphicsError: If it is none.
        """
        given = (value, *more) if more else value
        if isinstance(given, str):
            shade = re.fullmatch(r"gr[ae]y(\d+)", given.lower())
            plain = f"hsl(0, 0%, {min(100, int(shade[1]))}%)" if shade else given.replace(" ", "")
            for name in (plain, plain.rstrip("1234")):  # Tk's red1 to red4 are shades of one color
                try:
                    return "#{:02x}{:02x}{:02x}".format(*ImageColor.getrgb(name)[:3])
                except ValueError:
                    continue
        elif isinstance(given, Sequence) and len(given) == 3:
            parts = [round(255 * float(part) / self.most) for part in given]
            if all(0 <= part <= 255 for part in parts):
                return "#{:02x}{:02x}{:02x}".format(*parts)
        raise TurtleGraphicsError(f"bad color: {given!r}"[:200])


class Turtle:
    """A turtle that draws into a recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._place: Point = (0.0, 0.0)
        self._angle, self._down, self._width = 0.0, True, 1.0
        self._pen, self._paint, self._full = "#000000", "#000000", 360.0
        self._area: list[Point] | None = None
        self._area_from = 0

    def __getattr__(self, name: str) -> Any:
        if name in _WAITING:
            return _nothing
        raise AttributeError(f"'Turtle' object has no attribute '{name}'"[:200])

    def _go(self, place: Point) -> None:
        place = (_finite(place[0]), _finite(place[1]))
        if self._down and place != self._place:
            self._recording.line((self._place, place), self._pen, self._width)
        self._place = place
        if self._area is not None:
            self._area.append(place)

    def forward(self, distance: float) -> None:
        angle = math.radians(self._angle)
        self._go((self._place[0] + distance * math.cos(angle), self._place[1] + distance * math.sin(angle)))

    def backward(self, distance: float) -> None:
        self.forward(-distance)

    def left(self, angle: float) -> None:
        self._angle = math.fmod(self._angle + float(angle) * 360 / self._full, 360)

    def right(self, angle: float) -> None:
        self.left(-angle)

    def goto(self, x: Any, y: float | None = None) -> None:
        self._go((float(x[0]), float(x[1])) if y is None else (float(x), float(y)))

    def teleport(self, x: float | None = None, y: float | None = None, *, fill_gap: bool = False) -> None:
        down, self._down = self._down, False
        self._go((self._place[0] if x is None else x, self._place[1] if y is None else y))
        self._down = down

    def setx(self, x: float) -> None:
        self._go((float(x), self._place[1]))

    def sety(self, y: float) -> None:
        self._go((self._place[0], float(y)))

    def setheading(self, angle: float) -> None:
        self._angle = math.fmod(float(angle) * 360 / self._full, 360)

    def home(self) -> None:
        self._go((0.0, 0.0))
        self._angle = 0.0

    def circle(self, radius: float, extent: float | None = None, steps: int | None = None) -> None:
        turn = 360.0 if extent is None else float(extent) * 360 / self._full
        count = steps or min(360, int(12 + min(abs(radius), _FARTHEST) / 6) * max(1, math.ceil(abs(turn) / 360)))
        corner = turn / count
        length = 2 * radius * math.sin(math.radians(corner) / 2)
        if radius < 0:
            corner, length = -corner, -length
        self._angle += corner / 2
        for _ in range(count):
            self.forward(length)
            self._angle += corner
        self._angle -= corner / 2

    def dot(self, size: Any = None, *color: Any) -> None:
        if isinstance(size, str | tuple):
            size, color = None, (size, *color)
        diameter = max(self._width + 4, 2 * self._width) if size is None else float(size)
        self._recording.dot(self._place, diameter, self._recording.color(*color) if color else self._pen)

    def stamp(self) -> int:
        angle = math.radians(self._angle)
        corners = [
            (self._place[0] + 9 * math.cos(angle + turn), self._place[1] + 9 * math.sin(angle + turn))
            for turn in (0.0, 2.6, -2.6)
        ]
        self._recording.area(corners, self._paint, len(self._recording.marks))
        return len(self._recording.marks)

    def write(self, arg: object, move: bool = False, align: str = "left", font: Any = ("Arial", 8, "normal")) -> None:
        self._recording.text(self._place, str(arg), align, float(font[1]) if len(font) > 1 else 8.0, self._pen)

    def begin_fill(self) -> None:
        self._area, self._area_from = [self._place], len(self._recording.marks)

    def end_fill(self) -> None:
        if self._area is not None and len(self._area) > 2:
            self._recording.area(self._area, self._paint, self._area_from)
        self._area = None

    def filling(self) -> bool:
        return self._area is not None

    def penup(self) -> None:
        self._down = False

    def pendown(self) -> None:
        self._down = True

    def isdown(self) -> bool:
        return self._down

    def isvisible(self) -> bool:
        return False

    def pensize(self, width: float | None = None) -> float:
        self._width = self._width if width is None else min(_FARTHEST, max(0.0, float(width)))
        return self._width

    def pencolor(self, *color: Any) -> str:
        self._pen = self._recording.color(*color) if color else self._pen
        return self._pen

    def fillcolor(self, *color: Any) -> str:
        self._paint = self._recording.color(*color) if color else self._paint
        return self._paint

    def color(self, *colors: Any) -> tuple[str, str]:
        if len(colors) == 2:
            self._pen, self._paint = (self._recording.color(one) for one in colors)
        elif colors:
            self._pen = self._paint = self._recording.color(*colors)
        return self._pen, self._paint

    def position(self) -> Point:
        return self._place

    def xcor(self) -> float:
        return self._place[0]

    def ycor(self) -> float:
        return self._place[1]

    def heading(self) -> float:
        return self._angle % 360 * self._full / 360

    def distance(self, x: Any, y: float = 0.0) -> float:
        return math.dist(self._place, _place_of(x, y))

    def towards(self, x: Any, y: float = 0.0) -> float:
        other = _place_of(x, y)
        angle = math.degrees(math.atan2(other[1] - self._place[1], other[0] - self._place[0]))
        return angle % 360 * self._full / 360

    def degrees(self, fullcircle: float = 360.0) -> None:
        self._full = float(fullcircle)

    def radians(self) -> None:
        self._full = 2 * math.pi

    def clear(self) -> None:
        self._recording.marks.clear()

    def reset(self) -> None:
        self.clear()
        Turtle.__init__(self, self._recording)

    def getscreen(self) -> Screen:
        return Screen(self._recording)

    fd, bk, back, lt, rt = forward, backward, backward, left, right
    setpos = setposition = goto
    seth, pu, up, pd, down = setheading, penup, penup, pendown, pendown
    width, pos = pensize, position


class Screen:
    """The window of a recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __getattr__(self, name: str) -> Any:
        if name in _WAITING:
            return _nothing
        raise AttributeError(f"'Screen' object has no attribute '{name}'"[:200])

    def setup(self, width: float = WINDOW, height: float = WINDOW, startx: Any = None, starty: Any = None) -> None:
        self._recording.width, self._recording.height = (
            min(_FARTHEST, max(1.0, float(side))) if side > 1 else WINDOW for side in (width, height)
        )

    def setworldcoordinates(self, llx: float, lly: float, urx: float, ury: float) -> None:
        self.setup(2 * max(abs(llx), abs(urx)), 2 * max(abs(lly), abs(ury)))

    def bgcolor(self, *color: Any) -> str:
        self._recording.background = self._recording.color(*color) if color else self._recording.background
        return self._recording.background

    def colormode(self, most: float | None = None) -> float:
        self._recording.most = 255.0 if most == 255 else 1.0 if most is not None else self._recording.most
        return self._recording.most

    def window_width(self) -> float:
        return self._recording.width

    def window_height(self) -> float:
        return self._recording.height

    def clearscreen(self) -> None:
        self._recording.marks.clear()

    def turtles(self) -> list[Turtle]:
        return []


def module(recording: Recording) -> types.ModuleType:
    """Return a module `turtle` whose turtles draw into a recording."""
    made: Any = types.ModuleType("turtle")
    own, screen = Turtle(recording), Screen(recording)
    for one in (screen, own):
        for name in dir(one):
            if not name.startswith("_"):
                setattr(made, name, getattr(one, name))
    for name in _WAITING:
        setattr(made, name, _nothing)
    made.Turtle = made.Pen = made.RawTurtle = made.RawPen = lambda *words, **settings: Turtle(recording)
    made.Screen = lambda: Screen(recording)
    made.Vec2D = lambda x, y: (x, y)
    made.TurtleGraphicsError = made.Terminator = TurtleGraphicsError
    found: types.ModuleType = made
    return found


def _nothing(*words: Any, **settings: Any) -> None:
    """Do nothing: there is no window."""


def _place_of(x: Any, y: float) -> Point:
    if isinstance(x, Turtle):
        return x.position()
    return (float(x[0]), float(x[1])) if isinstance(x, Sequence) else (float(x), float(y))


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise TurtleGraphicsError("a place that is no number")
    return min(_FARTHEST, max(-_FARTHEST, float(value)))


def _pixels(points: Sequence[Point], scale: float, middle: Point) -> list[Point]:
    return [(middle[0] + x * scale, middle[1] - y * scale) for x, y in points]
