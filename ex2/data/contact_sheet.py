"""A picture of a dataset: a few images of each class beside its name, to see wrong labels at a glance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from reward.files import replacing, writing
from reward.preprocess import to_rgb

CLASSES = 100
"""Largest number of classes on a sheet."""
PER_CLASS = 6
"""Largest number of images of one class on a sheet."""
THUMBNAIL = 96
"""Side in pixels of the square that an image is fitted into without cropping."""

GAP = 4
TITLE = 20
MARGIN = 16
INK, PAPER, EMPTY = "#1a1a1a", "#ffffff", "#e8e8e8"


def classes_shown(count: int) -> list[int]:
    """Return the labels on the sheet: all, or `CLASSES` of them evenly spread."""
    if count <= CLASSES:
        return list(range(count))
    return [index * count // CLASSES for index in range(CLASSES)]


def thumbnail(image: Image.Image) -> Image.Image:
    """Return the image upright and in RGB, scaled to fit into the square of a thumbnail."""
    return ImageOps.contain(to_rgb(image), (THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)


def contact_sheet(class_names: Sequence[str], thumbnails: Mapping[int, Sequence[Image.Image]]) -> Image.Image:
    """Draw the sheet: for each class a title and a row of thumbnails, in label order down each column.

    Args:
        class_names: All class names of the dataset, in label order.
        thumbnails: Label → at most `PER_CLASS` thumbnails; a label without thumbnails gets an empty row.

    Returns:
        An RGB picture, wider than high by about a third if there are enough classes.
    """
    labels = classes_shown(len(class_names))
    block_width = PER_CLASS * (THUMBNAIL + GAP) + MARGIN
    block_height = TITLE + THUMBNAIL + 2 * GAP
    columns = max(1, round(math.sqrt(len(labels) * block_height / block_width * 4 / 3)))
    rows = math.ceil(len(labels) / columns)
    sheet = Image.new("RGB", (MARGIN + columns * block_width, 2 * MARGIN + rows * block_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for place, label in enumerate(labels):
        left, top = MARGIN + place // rows * block_width, MARGIN + place % rows * block_height
        draw.text((left, top), _fitted(f"{label}  {class_names[label]}", font, block_width - MARGIN), INK, font)
        shown = thumbnails.get(label, ())
        for index, image in enumerate(shown[:PER_CLASS]):
            x = left + index * (THUMBNAIL + GAP)
            sheet.paste(image, (x + (THUMBNAIL - image.width) // 2, top + TITLE + (THUMBNAIL - image.height) // 2))
        if not shown:
            draw.rectangle((left, top + TITLE, left + THUMBNAIL, top + TITLE + THUMBNAIL), EMPTY)
    return sheet


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Replace `path` by the sheet as PNG, or leave it as it was.

    Raises:
        EnvironmentFault: If the disk is full or the folder is not writable.
    """
    with writing(path), replacing(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)


def _fitted(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """Return the text, cut with an ellipsis if it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
