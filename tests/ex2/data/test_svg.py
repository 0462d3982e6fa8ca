"""SVG files of others: what is refused, and what the others look like."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import resvg_py
from debs import picture_bytes
from PIL import Image

from ex2.data.debian import svg
from ex2.data.debian.svg import render
from reward.errors import UserError

START = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
RED = '<rect x="10" y="10" width="20" height="10" fill="#f00"/>'


def page(inside: str, size: str = 'width="100" height="50"') -> bytes:
    return f"{START}{size}>{inside}</svg>".encode()


def problem(content: bytes) -> str:
    with pytest.raises(UserError) as raised:
        render(content, "x.svg", 100)
    message = str(raised.value)
    assert message.startswith("x.svg: ")
    assert message.endswith("; take it off the list of drawings.")
    return message.removeprefix("x.svg: ").removesuffix("; take it off the list of drawings.")


def uses(levels: int, times: int) -> str:
    """Elements, the first a rectangle, each of which draws the one before some times."""
    groups = [f'<g id="g{n}">' + f'<use xlink:href="#g{n - 1}"/>' * times + "</g>" for n in range(1, levels + 1)]
    return '<g id="g0"><rect width="9" height="9"/></g>' + "".join(groups)


@pytest.mark.parametrize(
    ("inside", "why"),
    [
        ('<image href="/etc/passwd"/>', "has <image>, which may read files or run code"),
        ('<x:image xmlns:x="http://www.w3.org/2000/svg" href="#a"/>', "has <image>, which may read files or run code"),
        ("<foreignObject/>", "has <foreignObject>, which may read files or run code"),
        ("<script>1</script>", "has <script>, which may read files or run code"),
        ('<filter id="f"><feImage href="#a"/></filter>', "has <feImage>, which may read files or run code"),
        ('<use xlink:href="/a.svg#b"/>', "refers to '/a.svg#b', and only #ids of its own are allowed"),
        ('<use href=" http://a/b.svg#c"/>', "refers to 'http://a/b.svg#c', and only #ids of its own are allowed"),
        ('<rect fill="url(a.svg#b)"/>', "refers to 'a.svg#b', and only #ids of its own are allowed"),
        (
            "<rect style=\"fill: URL( 'file:///a#b' )\"/>",
            "refers to 'file:///a#b', and only #ids of its own are allowed",
        ),
        (
            "<style>rect { fill: url(a.svg#b) }</style>",
            "refers to 'a.svg#b', and only #ids of its own are allowed",
        ),
        ('<style>@import "a.css";</style>', "has a style sheet with an @-rule, which may name another file"),
        (
            '<rect style="fill: u\\72l(a.svg#b)"/>',
            "has style='fill: u\\\\72l(a.svg#b)', which may hide a reference to another file",
        ),
        (
            '<g xml:base="http://a/"><use href="#b"/></g>',
            "has base='http://a/', which may hide a reference to another file",
        ),
        ('<?xml-stylesheet href="a.css"?>', "names a style sheet elsewhere"),
        ('<g id="a"><use href="#a"/></g>', "has an element that refers to itself"),
        ("<g>" * 100 + "</g>" * 100, "has more than 20,000 elements or 100 levels of them"),
        ("<g/>" * 20_000, "has more than 20,000 elements or 100 levels of them"),
        ("<rect>", "is no XML (mismatched tag: line 1, column 115)"),
        ("", "shows nothing on white"),
        ('<rect width="100" height="50" fill="#fff"/>', "shows nothing on white"),
        ('<text x="10" y="20">words</text>', "shows nothing on white"),
    ],
)
def test_what_may_not_be_drawn(inside: str, why: str) -> None:
    assert problem(page(inside)) == why


def test_more_that_may_not_be_drawn() -> None:
    assert problem(b"<html/>") == "is no SVG but 'html'"
    assert problem("<svg/>".encode("utf-16")) == "is not UTF-8"
    assert problem(page(RED, "")) == "has neither width and height nor a viewBox"
    assert problem(page(RED, 'width="100%" height="0"')) == "has neither width and height nor a viewBox"
    assert problem(page(RED, 'width="3000" height="1mm"')) == (
        "has a page of 3000 × 3.77953 pixels, and 20 to 1 is the narrowest allowed"
    )
    declared = b'<!DOCTYPE svg [<!ENTITY a "x">]>' + page(RED + "&a;")
    assert problem(declared) == "defines entities in its <!DOCTYPE>, which may grow without end"
    assert problem(page(" " * 2_000_000)) == "has 2,000,113 characters, and 2,000,000 are allowed"


def test_references_that_multiply_are_counted_and_not_drawn() -> None:
    # g0 has 2 elements, and g(n) has 1 + 10 (1 + g(n-1)); the page is one more, and has them all.
    total = 1 + 2 + 31 + 321 + 3_221 + 32_221 + 322_221
    assert problem(page(uses(5, 10))) == (f"draws {total:,} elements through its references, and 100,000 are allowed")
    assert render(page(uses(3, 10)), "x.svg", 100).size == (93, 93)


def test_what_is_inherited_counts_for_all_that_inherit_it() -> None:
    pattern = '<pattern id="p" width="9" height="9">' + "<rect/>" * 399 + "</pattern>"  # 400 elements
    group = "<g fill='url(#p)'>" + "<rect/>" * 299 + "</g>"  # 300 elements: 300 × 401 with theirs of the pattern
    assert problem(page(pattern + group)) == (
        f"draws {1 + 400 + 300 * 401:,} elements through its references, and 100,000 are allowed"
    )
    style = "<style>rect { fill: url(#p) }</style>"  # 2 + 400 + 300 elements, the page and the style sheet among them
    assert problem(page(style + pattern + "<g>" + "<rect/>" * 299 + "</g>")) == (
        f"draws {(1 + 1 + 1 + 400 + 300) * 401 - 1:,} elements through its references, and 100,000 are allowed"
    )


def test_all_elements_of_one_id_count() -> None:
    many = "<g>" + "<rect/>" * 999 + "</g>"
    inside = f'<g id="a"/><g id="a">{many}</g>' + '<use href="#a"/>' * 100
    assert problem(page(inside)) == (
        f"draws {1 + 1 + 1001 + 100 * (1 + 1 + 1001):,} elements through its references, and 100,000 are allowed"
    )


def test_references_chained_deeper_than_python_recurses() -> None:
    chain = "".join(f'<linearGradient id="g{n}" xlink:href="#g{n + 1}"/>' for n in range(400))
    assert render(page(chain + RED), "x.svg", 100).size == render(page(RED), "x.svg", 100).size


def test_the_renderer_reads_files_which_is_why_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture_bytes(1))
    hostile = page(f'<image href="{tmp_path}/a.png" width="50" height="50"/>')
    drawn = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=hostile.decode(), background="#ffffff"))))
    assert len(drawn.convert("RGB").getcolors(10_000) or ()) > 9
    assert problem(hostile) == "has <image>, which may read files or run code"


def test_drawn_on_white_and_trimmed() -> None:
    # The page of 100 × 50 is drawn 1,024 wide: the square of 20 × 20 at (10, 10) is from 102.4 to 307.2.
    squares = '<rect x="10" y="10" width="10" height="10"/><rect x="20" y="20" width="10" height="10" fill="#00f"/>'
    picture = render(page(squares), "x.svg", 1000)
    assert picture.mode == "RGB"
    assert all(side in (205, 206) for side in picture.size)
    assert [picture.getpixel(at) for at in ((50, 50), (150, 50), (50, 150), (150, 150))] == [
        (0, 0, 0),
        (255, 255, 255),
        (255, 255, 255),
        (0, 0, 255),
    ]
    assert render(page(squares), "x.svg", 100).size == (100, 100)
    assert render(page(squares + "<text x='60' y='20'>words</text>"), "x.svg", 1000).tobytes() == picture.tobytes()


@pytest.mark.parametrize(
    "size",
    [
        'viewBox="0 0 100 50"',
        'width="200mm" height="10cm" viewBox="0 0 100 50"',
        'width="2in" height="72pt" viewBox="0,0 100,50"',
        'width="100%" height="100%" viewBox="0 0 100 50"',
        'width="1e2" height=".5e2px"',
    ],
)
def test_pages_are_drawn_equally_large_whatever_their_unit(size: str) -> None:
    picture, known = render(page(RED, size), "x.svg", 100), render(page(RED), "x.svg", 100)
    assert (picture.size, picture.tobytes()) == (known.size, known.tobytes())


def test_the_longer_side_of_a_page_decides_how_large_it_is_drawn() -> None:
    tall = page('<rect width="10" height="25"/>', 'width="50" height="100"')  # 102.4 × 256 of 512 × 1,024 pixels
    assert render(tall, "x.svg", 1000).size == (103, 256)


def test_a_document_type_elsewhere_is_not_read() -> None:
    known = b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.0//EN" "http://localhost:1/svg10.dtd">' + page(RED)
    assert render(known, "x.svg", 100).tobytes() == render(page(RED), "x.svg", 100).tobytes()


def test_a_panic_of_the_renderer_is_told_and_it_is_given_no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    class PanicError(BaseException):
        pass

    def panics(**settings: object) -> bytes:
        asked.append(settings["skip_system_fonts"])
        raise PanicError("index out of\nbounds")

    monkeypatch.setattr(svg.resvg_py, "svg_to_bytes", panics)
    assert problem(page(RED)) == "cannot be drawn (index out of bounds)"
    assert asked == [True]
