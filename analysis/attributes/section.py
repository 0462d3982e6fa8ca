"""The report's section on attributes: what a run's informative descriptions speak of."""

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
    """Read what `ex2 attributes` left of a run, as `attributes.json` in its folder.

    Args:
        run_directory: Of the run.

    Returns:
        A row for each attribute that is mentioned: its name, its share of all mentions with interval and n, and the
        same of the random sample; below them the counts, what could not be read, missing seeds, the KL reached, and
        how other VLMs compare. `None` if nothing is stored; a section with a note alone if what is stored is of other
        descriptions than the run's present ones.

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
