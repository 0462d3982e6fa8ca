"""Where words and lines of a drawing are, and which lie on each other."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from analysis.figures import measure

XML = "{http://www.w3.org/2000/svg}"


def boxes(root: ET.Element) -> list[tuple[float, float, float, float, str]]:
    """Left, top, right and bottom of each line of text, as wide as it is in the drawings' font, and the text."""
    found = []
    for element in root.iter(f"{XML}text"):
        said, css = "".join(element.itertext()), element.attrib.get("class", "")
        wide, size = measure.width(said, css) / measure.MARGIN, measure.SIZES[css.split()[0] if css else ""]
        x, y = float(element.attrib["x"]), float(element.attrib["y"])
        left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[element.attrib["text-anchor"]]
        found.append((left, y - 0.72 * size, left + wide, y + 0.1 * size, said))
    return found


def upright_lines(root: ET.Element) -> list[tuple[float, float, float]]:
    """Place, upper and lower end of each upright line, such as that of zero, but not of the dotted one."""
    return [
        (float(line.attrib["x1"]), float(line.attrib["y1"]), float(line.attrib["y2"]))
        for line in root.iter(f"{XML}line")
        if line.attrib["x1"] == line.attrib["x2"] and "mark" not in line.attrib["class"]
    ]


def overlaps(root: ET.Element) -> list[tuple[str, str]]:
    """Words that a line crosses or other words lie on, or that stick out of the drawing, with what does it."""
    found, lines, words = [], upright_lines(root), boxes(root)
    wide, high = (float(end) for end in root.attrib["viewBox"].split()[2:])
    for place, (left, top, right, bottom, said) in enumerate(words):
        found += [
            (said, f"line at {x:.0f}") for x, start, end in lines if left < x < right and top < end and bottom > start
        ]
        if left < -0.5 or right > wide + 0.5 or top < -0.5 or bottom > high + 0.5:
            found.append((said, "edge"))
        for other in words[place + 1 :]:
            apart = right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
            if not apart:
                found.append((said, other[4]))
    return found
