"""Descriptions from a user's own files, as further arms: the formats are those of CuPL and DCLIP."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from analysis.accuracy.control_arms import ControlArm
from ex2.data.names_in_texts import plain_name
from ex2.run.descriptions import LabeledText
from reward.errors import UserError, unknown_name
from reward.strict_json import JSONFault, decode

Format = Literal["cupl", "dclip"]

SHOWN = 10
"""Most classes of one kind that a message or note names; the others are only counted."""


def read_arms(files: Mapping[str, Format], class_names: Sequence[str], *, partial: bool) -> dict[str, ControlArm]:
    """Read every file as an arm.

    Args:
        files: Path of each file → its format.
        class_names: C names in label order.
        partial: Whether a file may lack classes of the dataset, or have classes that the dataset lacks.

    Returns:
        `file:PATH` → arm.

    Raises:
        UserError: If a file cannot be used, see `read_arm`; the message lists every problem of every file.
    """
    arms, problems = {}, []
    for path, layout in files.items():
        try:
            arms[f"file:{path}"] = read_arm(Path(path), layout, class_names, partial=partial)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return arms


def read_arm(path: Path, layout: Format, class_names: Sequence[str], *, partial: bool) -> ControlArm:
    """Read one file as an arm.

    Args:
        path: JSON of class → list of texts; class names may differ in case, blanks, hyphens and underscores.
        layout: Format of the file's texts.
        class_names: C names in label order.
        partial: Whether the file may lack classes of the dataset, or have classes that the dataset lacks.

    Returns:
        The arm. Its note names the classes that the file lacks and those that the dataset does not have.

    Raises:
        UserError: If the file cannot be read or has another form, or, without `partial`, if its classes are not those
            of the dataset. The message lists unknown and missing names.
    """
    where = f"analysis.description_files: {path}"
    by_class = _read(path, where)
    label_of = {_compared(name): label for label, name in enumerate(class_names)}
    found = {label_of[_compared(name)]: name for name in by_class if _compared(name) in label_of}
    unknown = [name for name in by_class if _compared(name) not in label_of]
    missing = [name for label, name in enumerate(class_names) if label not in found]
    if not found or ((unknown or missing) and not partial):
        raise UserError("\n".join(_mismatch(where, by_class, class_names, unknown, missing)))
    word = WORDINGS[layout]
    texts = [
        LabeledText(label, word(class_names[label], text)) for label in sorted(found) for text in by_class[found[label]]
    ]
    note = f"{layout} file with texts for {len(found)} of {len(class_names)} classes"
    note += f"; without: {_listed(missing)}" if missing else ""
    note += f"; not in the dataset: {_listed(unknown)}" if unknown else ""
    return ControlArm(f"file {path.name}", note, texts)


def cupl_text(class_name: str, text: str) -> str:
    """Return a CuPL sentence as it is: it names the class already (arXiv 2209.03320)."""
    return text


def dclip_text(class_name: str, text: str) -> str:
    """Word a DCLIP descriptor as a description of its class (arXiv 2210.07183): "hen, which has two legs".

    "which is" is put before descriptors that begin with an article or "used", "which" before those that begin with a
    verb or adverb, and "which has" before all others.
    """
    first = re.split(r"\W", text.lower(), maxsplit=1)[0]
    if first in ("a", "an", "used"):
        return f"{class_name}, which is {text}"
    if first in ("is", "are", "has", "often", "typically", "may", "can"):
        return f"{class_name}, which {text}"
    return f"{class_name}, which has {text}"


WORDINGS: dict[Format, Callable[[str, str], str]] = {"cupl": cupl_text, "dclip": dclip_text}


def _read(path: Path, where: str) -> dict[str, list[str]]:
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{where}: no file; give a JSON file of class → list of texts.")
        data = decode(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{where}: no such file; give a JSON file of class → list of texts.") from error
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror}).") from error
    except JSONFault as error:
        raise UserError(f"{where}: line {error.line}: {error.reason}.") from error
    if not isinstance(data, Mapping) or not data:
        what = f"a {type(data).__name__}" if data or not isinstance(data, Mapping) else "an empty object"
        raise UserError(f"{where}: {what}; give an object of class → list of texts.")
    problems, names = [], dict[str, str]()
    for name, texts in data.items():
        if not _is_texts(texts):
            problems.append(f"{where}: class '{name}': its value is no list of texts, one at least.")
        if _compared(name) in names:
            problems.append(f"{where}: '{name}' and '{names[_compared(name)]}' are the same class.")
        names[_compared(name)] = name
    if problems:
        more = [f"{where}: {len(problems) - SHOWN} more problems."] * (len(problems) > SHOWN)
        raise UserError("\n".join(problems[:SHOWN] + more))
    return {name: list(texts) for name, texts in data.items()}


def _compared(name: str) -> str:
    """Return a class name as it is compared, however its accents are stored."""
    return plain_name(unicodedata.normalize("NFC", name))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f", and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) and text.strip() for text in value)


def _mismatch(
    where: str, given: Mapping[str, Any], class_names: Sequence[str], unknown: Sequence[str], missing: Sequence[str]
) -> list[str]:
    lines = [f"{where}: its {len(given)} classes are not the dataset's {len(class_names)}."]
    for name in unknown[:SHOWN]:
        hint = unknown_name("", name, class_names).partition("Did you mean ")[2].partition("?")[0]
        lines.append(f"  unknown: '{name}'" + (f"; did you mean {hint}?" if hint else ""))
    lines += [f"  and {len(unknown) - SHOWN} more unknown"] * (len(unknown) > SHOWN)
    lines += [f"  missing: '{name}'" for name in missing[:SHOWN]]
    lines += [f"  and {len(missing) - SHOWN} more missing"] * (len(missing) > SHOWN)
    remedy = "Rename them in the file" if set(unknown) != set(given) else "None fits: rename them in the file"
    if set(unknown) != set(given):
        remedy += ", or set analysis.partial_files: classes without texts then take the plain template"
    return [*lines, f"{remedy}."]
