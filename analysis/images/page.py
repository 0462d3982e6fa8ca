"""The page of a measurement of image sets: `report.html`, which needs no network and no other file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from analysis.images.headline import plain_words, set_headline
from analysis.images.questions.record import QuestionStudy
from analysis.images.questions.section import question_sections, shown_examples
from analysis.images.questions.stored import stored_study
from analysis.images.recognition.record import Recognition
from analysis.images.recognition.section import recognition_sections
from analysis.images.recognition.sheets import failure_sheets
from analysis.images.recognition.stored import stored_recognition
from analysis.images.record import Measures
from analysis.images.section import image_sections
from analysis.images.sheets import contact_sheet
from analysis.images.wording import confidence_of, forms, metric_name, warnings_of
from analysis.tables.pages.templating import page_environment, page_script
from reward.files import write_text
from reward.plain_text import plain

PAGE = "report.html"
LONGEST_SHOWN = 300
"""Most characters of a fingerprint on a page."""


def write_page(measures: Measures, directory: Path) -> Path:
    """Write the page of a run, with what recognizers see if that is stored there.

    Args:
        measures: The measurement.
        directory: The run's folder.

    Returns:
        Path of the page.

    Raises:
        EnvironmentFault: If it cannot be written.
    """
    path = directory / PAGE
    write_text(path, render_page(measures, stored_recognition(directory, measures), stored_study(directory, measures)))
    return path


def brief(fingerprint: str) -> str:
    """Return a fingerprint; of a long one, which may name a thousand classes, the beginning and a hash of all."""
    if len(fingerprint) <= LONGEST_SHOWN:
        return fingerprint
    digest = hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
    return f"{fingerprint[: LONGEST_SHOWN - 60]} … ({len(fingerprint):,} characters, SHA-256 begins {digest})"


def render_page(
    measures: Measures, recognition: Recognition | None = None, questions: QuestionStudy | None = None
) -> str:
    """Return the page as HTML, with style, script, drawings and images inside.

    Images of the sets are read from their folders; without them the page says that they are not at hand.

    Args:
        measures: The measurement.
        recognition: What recognizers see on its sets; None if they were not asked.
        questions: How questions about images were answered in the same run; None if none were asked.
    """
    answered = question_sections(questions) if questions else []
    script, script_source = page_script(("print.js",))
    sheet = contact_sheet(measures)
    return (
        page_environment()
        .get_template("images.html")
        .render(
            name=measures.name,
            headline=set_headline(measures),
            facts=_facts(measures),
            warnings=warnings_of(measures),
            findings=plain_words(measures),
            sheet=sheet,
            sections=[
                *image_sections(measures, warnings=False),
                *(recognition_sections(recognition) if recognition else ()),
                *answered,
            ],
            failures=failure_sheets(recognition, measures) if recognition else [],
            examples=shown_examples(questions) if questions else [],
            forms=forms(measures),
            confidence=f"{100 * confidence_of(measures):g}",
            permutations=measures.settings.get("permutations"),
            seeds=[(one.name, seed) for one in measures.sets for seed in one.seeds],
            settings=_settings(measures),
            fingerprint=brief(measures.fingerprint),
            script=script,
            script_source=script_source,
        )
    )


def _facts(measures: Measures) -> list[tuple[str, str]]:
    made = sum(one.made for one in measures.sets)
    return [
        ("VLM", measures.vlm),
        ("Dataset", f"{measures.dataset}, {measures.split} split: {len(measures.classes):,} classes"),
        ("Test images", f"{measures.images:,}"),
        ("Metric", metric_name(measures)),
        ("Sets", f"{len(measures.sets)}, {made:,} images"),
        ("Compared with", measures.against or "no other set"),
    ]


def _settings(measures: Measures) -> list[tuple[str, str]]:
    return [(str(key), plain(_said(value))) for key, value in measures.settings.items()]


def _said(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        return "; ".join(" ".join(map(str, part.values())) for part in value)
    return ", ".join(map(str, value)) if isinstance(value, list) else "–" if value is None else str(value)
