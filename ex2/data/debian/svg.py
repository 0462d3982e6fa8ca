"""SVG files of others, drawn as pictures: what could read a file, fetch anything or never end is refused first.

The renderer opens the files that an `<image>` names by an absolute path, and draws a `<use>` as often as the `<use>`s
around it multiply to. A document type may name a definition elsewhere, which nothing here loads, but not define any
entity. Text is left out, since it would look as the fonts of the machine do.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn
from xml.parsers import expat

import resvg_py
from PIL import Image, ImageChops

from reward.errors import UserError, one_line, shortened, shown
from reward.images import decode
from reward.preprocess import to_rgb

GROUND = "#ffffff"
"""What shows where nothing is drawn: white, as behind the photographs that are cut out."""
DPI = 96.0
"""Pixels of an inch, as CSS has it: how long units such as `mm` and `pt` are."""
DRAWN_SIDE = 1024
"""Longer side of the page that is drawn, in pixels. Many drawings fill a small part of an A4 page."""
MOST_BYTES = 2_000_000
MOST_ELEMENTS = 20_000
MOST_DRAWN = 100_000
"""Most elements that are drawn, those that are referred to counted as often as they are."""
MOST_LEVELS = 100
NARROWEST = 20
"""Most times that one side of a page may be as long as the other."""

REFUSED = frozenset(
    {"image", "foreignObject", "script", "feImage", "iframe", "audio", "video", "embed", "object", "include"}
    | {"animate", "animateMotion", "animateTransform", "set", "handler", "listener"}
)
"""Elements that read files, run code or move."""

LINKS = ("href", "src")
"""Attributes whose whole value is a reference."""

_PIXELS = {"": 1.0, "px": 1.0, "in": DPI, "cm": DPI / 2.54, "mm": DPI / 25.4, "pt": DPI / 72, "pc": DPI / 6}
_LENGTH = re.compile(r"\s*\+?(\d+(?:\.\d*)?|\.\d+)(?:e([+-]?\d{1,2}))?\s*(px|in|cm|mm|pt|pc)?\s*")
_URL = re.compile(r"url\s*\(\s*[\"']?\s*([^\"')]*)", re.IGNORECASE)
_INK = 8
"""Least difference of a channel from white, of 255, that counts as drawn."""


@dataclass
class _Element:
    """An element.

    Attributes:
        inside: What it holds.
        uses: Ids that stand in an `href`: drawn once.
        paints: Ids that stand in a `url()`: drawn for all that inherits it.
        drawn: How many elements are drawn for it, itself among them.
    """

    inside: list[_Element] = field(default_factory=list)
    uses: list[str] = field(default_factory=list)
    paints: list[str] = field(default_factory=list)
    drawn: int | None = None


class _Refused(Exception):
    """Why a file is not drawn."""


def render(content: bytes, name: str, side: int) -> Image.Image:
    """Draw an SVG file on white, trimmed to what is drawn, at most `side` pixels wide and high.

    Args:
        content: The file.
        name: Of the file, for messages.
        side: Largest side of the picture, in pixels.

    Raises:
        UserError: If the file may not be drawn, is damaged, or shows nothing.
    """
    try:
        text = content.decode("utf-8")
        width, height = _page(text)
    except UnicodeDecodeError:
        _refuse(name, "is not UTF-8")
    except _Refused as error:
        _refuse(name, str(error))
    wide = width >= height
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=text,
            background=GROUND,
            dpi=DPI,
            skip_system_fonts=True,
            width=DRAWN_SIDE if wide else None,
            height=None if wide else DRAWN_SIDE,
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of the renderer is no Exception
        _refuse(name, f"cannot be drawn ({shortened(one_line(error), 200)})")
    page = to_rgb(decode(io.BytesIO(bytes(png)), name))
    channels = ImageChops.difference(page, Image.new("RGB", page.size, GROUND)).split()
    largest = ImageChops.lighter(ImageChops.lighter(channels[0], channels[1]), channels[2])
    box = largest.point([255 * (value >= _INK) for value in range(256)]).getbbox()
    if box is None:
        _refuse(name, "shows nothing on white")
    picture = page.crop(box)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def _refuse(name: str, why: str) -> NoReturn:
    raise UserError(f"{name}: {why}; take it off the list of drawings.")


def _page(text: str) -> tuple[float, float]:
    """Check a file and return the width and height of its page, in pixels.

    Raises:
        _Refused: If it may not be drawn.
    """
    if len(text) > MOST_BYTES:
        raise _Refused(f"has {len(text):,} characters, and {MOST_BYTES:,} are allowed")
    reader = _Reader()
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    parser.StartDoctypeDeclHandler = reader.document_type
    parser.ProcessingInstructionHandler = reader.instruction
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise _Refused(f"is no XML ({error})") from error
    reader.check_style()
    drawn = _drawn(reader.root, reader.by_id)
    if drawn > MOST_DRAWN:
        raise _Refused(f"draws {drawn:,} elements through its references, and {MOST_DRAWN:,} are allowed")
    return _size(reader.page)


class _Reader:
    """Collects what a file holds while it is parsed, and refuses what it may not hold."""

    def __init__(self) -> None:
        self.root = _Element()
        self.by_id: dict[str, list[_Element]] = {}
        self.page: Mapping[str, str] = {}
        self._open = [self.root]
        self._elements = 0
        self._styles: list[str] = []
        self._in_style = False

    def document_type(self, _name: str, _system: str | None, _public: str | None, defines: bool | int) -> None:
        """Refuse a document type that defines anything."""
        if defines:
            raise _Refused("defines entities in its <!DOCTYPE>, which may grow without end")

    def instruction(self, target: str, _data: str) -> None:
        """Refuse a style sheet elsewhere."""
        if target.lower() == "xml-stylesheet":
            raise _Refused("names a style sheet elsewhere")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Check an element and its attributes."""
        local = name.rpartition(" ")[2]
        if not self._elements:
            if local != "svg":
                raise _Refused(f"is no SVG but {shown(local)}")
            self.page = attributes
        self._elements += 1
        if local in REFUSED:
            raise _Refused(f"has <{local}>, which may read files or run code")
        if self._elements > MOST_ELEMENTS or len(self._open) > MOST_LEVELS:
            raise _Refused(f"has more than {MOST_ELEMENTS:,} elements or {MOST_LEVELS} levels of them")
        element = _Element()
        for key, value in attributes.items():
            local_key = key.rpartition(" ")[2]
            found = _references(local_key, value)
            (element.uses if local_key in LINKS else element.paints).extend(found)
        if "id" in attributes:
            self.by_id.setdefault(attributes["id"], []).append(element)
        self._open[-1].inside.append(element)
        self._open.append(element)
        self._in_style = local == "style"

    def end(self, _name: str) -> None:
        """Close an element."""
        self._open.pop()
        self._in_style = False

    def characters(self, data: str) -> None:
        """Keep the text of style sheets."""
        if self._in_style:
            self._styles.append(data)

    def check_style(self) -> None:
        """Refuse rules that name something elsewhere; what they refer to counts as referred to by the page."""
        style = "".join(self._styles)
        if "@" in style:
            raise _Refused("has a style sheet with an @-rule, which may name another file")
        self.root.paints += _references("style", style)


def _references(key: str, value: str) -> list[str]:
    """Return the ids that an attribute or style sheet refers to.

    Raises:
        _Refused: If it refers to anything else.
    """
    found = [value.strip()] if key in LINKS else []
    if key == "base" or (key == "style" and "\\" in value):
        raise _Refused(f"has {key}={shown(value)}, which may hide a reference to another file")
    found += [target.strip() for target in _URL.findall(value)]
    outside = next((target for target in found if not target.startswith("#")), None)
    if outside is not None:
        raise _Refused(f"refers to {shown(outside)}, and only #ids of its own are allowed")
    return [target[1:] for target in found]


def _drawn(root: _Element, by_id: Mapping[str, Sequence[_Element]]) -> int:
    """Return how many elements are drawn, those that others refer to counted each time.

    Raises:
        _Refused: If an element refers to itself.
    """

    def named(ids: Sequence[str]) -> list[_Element]:
        return [element for each in ids for element in by_id.get(each, ())]

    def total(elements: Sequence[_Element]) -> int:
        return sum(element.drawn or 0 for element in elements)

    under_way: set[int] = set()
    stack = [(root, False)]
    while stack:  # no recursion: references may be chained as deep as there are elements
        element, counted = stack.pop()
        own, paints = element.inside + named(element.uses), named(element.paints)
        if counted:
            under_way.discard(id(element))
            element.drawn = (1 + total(own)) * (1 + total(paints))
        elif element.drawn is None:
            if id(element) in under_way:
                raise _Refused("has an element that refers to itself")
            under_way.add(id(element))
            stack.append((element, True))
            stack += [(part, False) for part in own + paints if part.drawn is None]
    assert root.drawn is not None  # it was the first on the stack
    return root.drawn - 1


def _size(attributes: Mapping[str, Any]) -> tuple[float, float]:
    """Return width and height of a page in pixels, from its own or from its `viewBox`.

    Raises:
        _Refused: If it has none, or one side is many times the other.
    """
    box = re.split(r"[\s,]+", attributes.get("viewBox", "").strip())
    sides = []
    for key, place in (("width", 2), ("height", 3)):
        side = _length(attributes.get(key, ""))
        sides.append(_length(box[place]) if side is None and len(box) == 4 else side)
    width, height = sides
    if not width or not height:
        raise _Refused("has neither width and height nor a viewBox")
    if max(width, height) > NARROWEST * min(width, height):
        raise _Refused(f"has a page of {width:g} × {height:g} pixels, and {NARROWEST} to 1 is the narrowest allowed")
    return width, height


def _length(text: str) -> float | None:
    found = _LENGTH.fullmatch(text)
    if found is None:
        return None
    return float(f"{found[1]}e{found[2] or 0}") * _PIXELS[found[3] or ""]
