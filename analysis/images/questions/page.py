"""The page of `ex2 ask`: how questions about images were answered, in one file that needs no network."""

from __future__ import annotations

from pathlib import Path

from analysis.images.questions.record import QuestionCounts, QuestionStudy
from analysis.images.questions.section import question_sections, shown_examples
from analysis.images.questions.wording import RULES, all_cautions
from analysis.tables.pages.templating import page_environment, page_script
from reward.files import write_text

PAGE = "questions.html"


def write_page(study: QuestionStudy, folder: Path) -> Path:
    """Write the page of a study into a run's folder, and return its path.

    Raises:
        EnvironmentFault: If it cannot be written.
    """
    path = folder / PAGE
    write_text(path, render_page(study))
    return path


def render_page(study: QuestionStudy) -> str:
    """Return the page as HTML, with style, script and images inside."""
    script, script_source = page_script(("print.js",))
    return (
        page_environment()
        .get_template("questions.html")
        .render(
            name=study.name,
            facts=_facts(study),
            cautions=all_cautions(study),
            sections=question_sections(study),
            examples=shown_examples(study),
            rules=RULES,
            confidence=f"{100 * study.confidence:g}",
            files=study.files,
            answerers=study.answerers,
            script=script,
            script_source=script_source,
        )
    )


def _facts(study: QuestionStudy) -> list[tuple[str, str]]:
    facts = [(f"Questions, {one.name}", _asked(one.counts)) for one in study.files]
    return [*facts, ("Answerers", ", ".join(one.name for one in study.answerers))]


def _asked(counts: QuestionCounts) -> str:
    return f"{counts.questions:,}, about {counts.images:,} images"
