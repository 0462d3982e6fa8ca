"""What a gain over the templates is made of: the style of the texts, or what is said of the class.

Accuracies with the same texts in other places tell. In all of them the class's own name stands where another's stood,
so only texts that name their class take part.

| quantity | is | asks |
|---|---|---|
| style | `everyone` − templates | what do texts bring that say nothing of the class but its name? |
| unevenness | `exchanged` − `everyone` | what does it cost that classes have few and different texts? |
| content | own − `everyone` and own − `exchanged` | what does it bring that the texts are of this class? |
| seen content | `masked` − the same texts shuffled | does what is said tell the class without its name? |
| misleading power | `other_class` − `exchanged` | what does it cost to say what is true of another class? |
| word order | own − `shuffled` | is it said in sentences, or in words? |

Content exists if the accuracy with the texts' own classes lies outside those of `Assign.exchanged` and of
`Assign.whole`. Neither alone is enough. A policy may tell each class the same thing throughout, true or not: then texts
exchanged one by one are mixed where the class's own are all alike, which alone makes a difference, but classes are as
good with the texts of one other class.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from analysis.accuracy.control_arms import ControlArm
from analysis.accuracy.reassigned import (
    BLOCK,
    Answer,
    Assignment,
    answers_of,
    assignments,
    count_names,
    draw_evenly,
    exchanged,
    renamed,
    shuffled_labels,
    whole,
)
from analysis.accuracy.record import NamesInTexts
from analysis.statistics.permutation import permutations_for
from ex2.data.names_in_texts import ClassNames
from ex2.run.descriptions import Description, LabeledText

MOST_POOL = 400
"""Most texts that every class is given in the arm `everyone`."""

MASK = "thing"
"""What stands in the place of the class's name in the arm `masked`; in the plural, "things"."""

MOST_ENCODINGS = 1_000_000
"""Most texts with names put in that are encoded for one seed; beyond that, texts are left out."""


class Rearranged(NamedTuple):
    """The texts of all arms that say what a gain is made of.

    Attributes:
        names: Which names the descriptions hold.
        left_out: Texts that name their class but were left out.
        pool: Number of texts in the pool of `everyone`.
        most_pool: The most that it may have.
        own: The texts that take part, as they are.
        everyone: Every text of the pool with the name of every class.
        exchanged: Permuted over classes within each question, once for each permutation.
        whole: All texts of a class given to one class.
        masked: The texts without the name.
        masked_shuffled: Those, permuted over classes.
        masked_whole: Those, with all texts of a class given to one class.
    """

    names: NamesInTexts
    left_out: int
    pool: int
    most_pool: int
    own: list[LabeledText]
    everyone: list[LabeledText]
    exchanged: list[list[LabeledText]]
    whole: list[list[LabeledText]]
    masked: list[LabeledText]
    masked_shuffled: list[list[LabeledText]]
    masked_whole: list[list[LabeledText]]

    @property
    def averaged(self) -> dict[str, list[list[LabeledText]]]:
        """Sets of assignments by name, for the accuracies over each."""
        return {
            "exchanged": self.exchanged,
            "whole": self.whole,
            "masked_shuffled": self.masked_shuffled,
            "masked_whole": self.masked_whole,
        }

    def controls(self) -> dict[str, ControlArm]:
        """Return the arms that are shown beside the control arms."""
        everyone = (
            f"{self.pool} of all classes' descriptions (at most {self.most_pool}), the same for every class, its own "
            "name put in"
        )
        exchanged = (
            f"EX2's, exchanged between classes within each question ({len(self.exchanged)} times), own name put in"
        )
        return {
            "everyone": ControlArm("EX2 of all classes", everyone, self.everyone),
            "exchanged": ControlArm("EX2, exchanged", exchanged, self.exchanged[0], tuple(self.exchanged[1:])),
            "masked": ControlArm("EX2, names masked", f"EX2's, “{MASK}” in the place of the name", self.masked),
        }


def rearrange(
    descriptions: Sequence[Description],
    names: ClassNames,
    *,
    seed: int,
    confidence: float = 0.95,
    most_pool: int = MOST_POOL,
    most_encodings: int = MOST_ENCODINGS,
) -> Rearranged | None:
    """Rearrange a seed's aligned descriptions.

    Args:
        descriptions: Descriptions of both policies.
        names: The names of all classes.
        seed: Seed of the draws.
        confidence: Its complement is the level of the tests, which tells how many permutations they need.
        most_pool: Most texts that every class is given in the arm `everyone`.
        most_encodings: Most texts with names put in that are encoded; beyond that, texts are left out evenly over
            classes and questions, and the pool is smaller.

    Returns:
        The texts of all arms; `None` if fewer than two classes have texts that name them.
    """
    answers = answers_of(descriptions)
    naming = [one for one in answers if names.named(one.text, one.label)]
    classes = len({one.label for one in naming})
    if classes < 2:
        return None
    number, draw = permutations_for(confidence), random.Random(f"attribution {seed}")
    # Each text is encoded once for every class that it is ever given to.
    each = min(classes, BLOCK)
    used = draw_evenly(naming, max(classes, most_encodings // 2 // each), draw)
    most = min(most_pool, max(1, most_encodings // 2 // len(names.names)))
    pool = draw_evenly(used, most, draw)
    masked = [one._replace(text=names.put(one.text, one.label, MASK)) for one in used]

    def given(ways: Sequence[Assignment]) -> list[list[LabeledText]]:
        return [renamed(used, way, names) for way in ways]

    exchanges, wholes = (assignments(way, used, number, seed) for way in (exchanged, whole))
    return Rearranged(
        names=count_names(answers, names),
        left_out=len(naming) - len(used),
        pool=len(pool),
        most_pool=most,
        own=_as_given(used, tuple(one.label for one in used)),
        everyone=[
            LabeledText(label, names.put(one.text, one.label, name))
            for label, name in enumerate(names.names)
            for one in pool
        ],
        exchanged=given(exchanges),
        whole=given(wholes),
        masked=_as_given(masked, tuple(one.label for one in masked)),
        masked_shuffled=[_as_given(masked, way) for way in assignments(shuffled_labels, masked, number, seed)],
        masked_whole=[_as_given(masked, way) for way in wholes],
    )


def _as_given(answers: Sequence[Answer], given: Assignment) -> list[LabeledText]:
    return [LabeledText(label, one.text) for one, label in zip(answers, given, strict=True)]
