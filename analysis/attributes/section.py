"""The report's section on attributes: which ones a run's informative descriptions name."""

from __future__ import annotations

from dataclasses import replace

from analysis.attributes.figure import (
    NARROW,
    PAGE,
    PAGE_WIDTH,
    PHONE_WIDTH,
    attributes_figure,
    counts_words,
    drawn_attributes,
)
from analysis.attributes.judges import OTHERS
from analysis.attributes.record import Group
from analysis.attributes.stored import stored_attributes
from analysis.attributes.wording import comparison_words
from analysis.results.kl import kl_summary
from analysis.results.wording import count, percent
from analysis.tables.view import ReportSection
from ex2.run.directory import RunDirectory

TITLE = "What the informative descriptions speak of"
OWN_NAMES = 8


def attribute_section(run_directory: RunDirectory) -> ReportSection | None:
    """Build the section from `attributes.json`, which `ex2 attributes` stored in the run's folder.

    Args:
        run_directory: The run's directory.

    Returns:
        The section, with a row for each attribute that is mentioned: its name, its share of all mentions with interval
        and n, and the same for the random sample. Notes below give the counts, how many answers could not be read,
        missing seeds, the KL reached, and comparisons with other VLMs. `None` if nothing is stored; a section with only
        a note if the stored result is from other descriptions than the run has now.

    Raises:
        UserError: If the file is not JSON, or lacks what every version of its format holds.
    """
    result, problem = stored_attributes(run_directory)
    if result is None:
        return ReportSection(TITLE, "", (), (), (problem,)) if problem else None
    (group,) = result.groups
    alone = replace(result, groups=(replace(group, label=group.vlm),), comparisons=())
    names = drawn_attributes([group])
    rows = []
    for name in names:
        cells = []
        for part in (group.all, group.sample):
            share = part.attributes[name].of_mentions
            cells += [percent(share), count(share, "mentions")] if share else ["–", ""]
        rows.append((name, *cells))
    return ReportSection(
        TITLE,
        f"Attributes that the judge ({group.judge}) names in informative descriptions, as shares of all mentions: "
        f"a description may mention several. Over all descriptions, and over a random {result.sample} of each seed.",
        ("attribute", "share of mentions", "n", f"of a random {result.sample}", "n"),
        tuple(rows),
        (*_notes(group), *(f"{comparison_words(row)}." for row in result.comparisons)),
        attributes_figure(alone, unit=PAGE, least=PAGE_WIDTH) if names else None,
        attributes_figure(alone, unit=NARROW, least=PHONE_WIDTH, key="attributes-narrow") if names else None,
    )


def _notes(group: Group) -> list[str]:
    notes = [
        f"{counts_words(group)}; {group.all.without_attribute} without an attribute.",
        f"{kl_summary(group.kl)}.",
    ]
    if group.own_names:
        listed = ", ".join(list(group.own_names)[:OWN_NAMES])
        notes.append(f"Attributes outside the list, counted as {OTHERS}: {listed}.")
    return notes
