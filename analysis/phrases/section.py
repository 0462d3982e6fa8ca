"""The report's section on hypotheses: phrases that alignment made frequent, tested as templates on other classes."""

from __future__ import annotations

from analysis.phrases.figure import narrow_phrases_figure, phrases_figure
from analysis.phrases.stored import stored_phrases
from analysis.phrases.trials import trials
from analysis.results.kl import kl_summary
from analysis.results.wording import count, p_value, percent, points
from analysis.tables.view import ReportSection
from ex2.run.directory import RunDirectory

TITLE = "Hypotheses: do frequent phrases help?"


def phrases_section(run_directory: RunDirectory) -> ReportSection | None:
    """Build the section from `phrases.json`, which `ex2 phrases` stored in the run's folder.

    Args:
        run_directory: The run's directory.

    Returns:
        The section, with a row for each template and VLM, the plain template first: template, VLM, accuracy with
        interval, n, difference to the plain template with interval, corrected p, verdict, and where the template comes
        from. Notes below say how it was tested, which seeds are missing, and the KL of each run that phrases were mined
        from. `None` if nothing is stored; a section with only a note if the stored result is from other descriptions
        than the run has now.

    Raises:
        UserError: If the file is not JSON, or lacks what every version of its format holds.
    """
    result, problem = stored_phrases(run_directory)
    if result is None:
        return ReportSection(TITLE, "", (), (), (problem,)) if problem else None
    measured = trials(result.datasets)
    rows = [
        (
            row.template,
            row.vlm,
            percent(row.accuracy),
            count(row.accuracy, "images"),
            points(row.change) if row.change else "–",
            p_value(row.p) if row.p is not None else "–",
            row.verdict or "–",
            row.origin,
        )
        for row in measured
    ]
    (part,) = result.datasets
    notes = [
        "Differences are on the same images; p by McNemar's test, corrected by Holm's method over "
        f"{result.tests} tests.",
        *(
            f"{run.run}: {kl_summary(run.kl)}"
            + (f"; no descriptions of seed {', '.join(map(str, run.missing_seeds))}" if run.missing_seeds else "")
            + "."
            for run in part.runs
            if run.texts is not None
        ),
    ]
    if not part.templates:
        notes.insert(0, "No phrase stands clearly more often in the aligned descriptions than in the base model's.")
    mined = (
        f"Phrases that stand more often in the aligned descriptions of {len(part.mined_classes)} classes than in "
        f"the base model's, as templates on the other {len(part.tested_classes)} classes"
        if part.mined_classes
        else f"Given templates on all {len(part.tested_classes)} classes"
    )
    return ReportSection(
        TITLE,
        f"{mined}, against the plain template “{part.plain_template}”.",
        ("template", "VLM", "accuracy", "n", "minus plain", "p, corrected", "verdict", "from"),
        tuple(rows),
        tuple(notes),
        phrases_figure(measured, result.confidence),
        narrow_phrases_figure(measured, result.confidence),
    )
