"""Questions about pictures of the demo world, with the right answers: what was drawn is known.

    python -m ex2.sets.toy_questions SEED_FOLDER --out FILE

writes six questions about each image of a set that the generator `toy` drew: for each of color, shape and pattern one
whose right answer is yes and one whose answer is no.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ex2.data.datasets.image_sets import is_set, read_set
from ex2.data.datasets.set_records import ImageRow
from ex2.data.demo.world import WORDS, Concept, Facet
from ex2.sets.generators.toy import LOOKS, Toy
from ex2.sets.requests import DrawRequest
from reward.errors import UserError
from reward.exits import guarded
from reward.files import write_jsonl
from reward.records import JSON

NAMES: Mapping[Facet, str] = {"colour": "color", "shape": "shape", "pattern": "pattern"}
"""Facet → how a question's category is written."""

_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")
_VALUE_OF = {word: (facet, value) for facet in LOOKS for value, words in WORDS[facet].items() for word in words}
_ASKED: Mapping[Facet, str] = {
    "colour": "Is the thing in the picture {}?",
    "shape": "Is the thing in the picture {}?",
    "pattern": "Does the thing in the picture have {}?",
}


def true_answer(question: str, concept: Concept) -> bool | None:
    """Return the right answer to a question about a picture of a concept.

    Args:
        question: Any text; only words for values of color, shape and pattern are read.
        concept: What was drawn.

    Returns:
        Whether all values that the question names were drawn; None if it names none, or negates.
    """
    words = _WORD.findall(question.lower())
    named = [_VALUE_OF[word] for word in words if word in _VALUE_OF]
    if not named or {"not", "no", "without"} & set(words) or "n't" in question:
        return None
    return all(concept.value(facet) == value for facet, value in named)


def drawn_looks(folder: Path) -> dict[str, Concept] | None:
    """Return what each image of a set shows: path from the set's folder → a concept of which only the looks matter.

    Returns:
        None if the folder holds no set that the generator `toy` drew.

    Raises:
        UserError: If the set is damaged.
    """
    if not is_set(folder):
        return None
    found = read_set(folder)
    if found.record.generator != "toy":
        return None
    toy = Toy(**found.record.generator_settings)

    def drawn(row: ImageRow) -> Concept:
        asked = DrawRequest(
            class_name=row.class_name,
            label=row.label,
            index=row.index,
            prompt=row.prompt,
            negative_prompt=row.negative_prompt,
            seed=row.seed,
            feedback=row.feedback,
        )
        return toy.concept(asked)

    return {row.file_name: drawn(row) for row in found.rows}


def questions_about(folder: Path, beside: Path) -> Iterator[JSON]:
    """Yield rows of a file of questions about a set of toy images.

    Args:
        folder: The folder of a seed.
        beside: Folder of the file, from which images are named; the set lies in it.

    Yields:
        For each image and facet a row whose answer is yes, and one whose answer is no: the value that comes after the
        drawn one, or for every other image the one after that.

    Raises:
        UserError: If it is no such set, or does not lie there.
    """
    looks = drawn_looks(folder)
    if looks is None:
        raise UserError(f"{folder}: is no set that the generator 'toy' drew; give the folder of a seed.")
    if not folder.resolve().is_relative_to(beside.resolve()):
        raise UserError(f"{folder}: does not lie in {beside}; questions name images from their own file's folder.")
    start = os.path.relpath(folder.resolve(), beside.resolve())
    for number, (name, concept) in enumerate(looks.items()):
        image = Path(start, name).as_posix()
        for facet in LOOKS:
            values = list(WORDS[facet])
            drawn = values.index(concept.value(facet))
            other = values[(drawn + 1 + number % 2) % len(values)]
            for value, answer in ((values[drawn], "yes"), (other, "no")):
                word = WORDS[facet][value][0] if facet != "pattern" else value
                row = {"image": image, "question": _ASKED[facet].format(word), "answer": answer}
                yield row | {"about": NAMES[facet]}


def main(words: Sequence[str] | None = None) -> int:
    """Write a file of questions.

    Args:
        words: Of the command line; default: those of the process.

    Raises:
        UserError: As `questions_about`.
        EnvironmentFault: If the file cannot be written.
    """
    parser = argparse.ArgumentParser(description="Write questions about a set of toy images.")
    parser.add_argument("sets", metavar="SEED_FOLDER", nargs="+", type=Path, help="such as sets/toy-1a2b3c4d/seed-0")
    parser.add_argument("--out", metavar="FILE", required=True, type=Path, help="in a folder that holds the sets")
    options = parser.parse_args(words)
    rows = [row for folder in options.sets for row in questions_about(folder, options.out.parent)]
    write_jsonl(options.out, rows)
    print(f"{len(rows):,} questions: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
