"""Keys of a recipe of image sets that are changed between two stages, and what each stage must do then."""

from __future__ import annotations

from typing import NamedTuple


class SetKey(NamedTuple):
    """A key with another value than the run's.

    Attributes:
        name: Such as `images.per_class`.
        value: As on the command line.
        draw: Promise of `ex2 draw`, whether some sets are there or none.
        first: Of `ex2 measure` on sets that were drawn with the other value.
        again: Of `ex2 measure` where numbers of the other value are too.
        report: Of `ex2 report`.
        names: What is said otherwise than the key's name.
    """

    name: str
    value: str
    draw: str
    first: str
    again: str
    report: str
    names: tuple[str, ...] = ()


_A, _R, _F = "accepts", "refuses", "finishes"
_DRAWN = "sets.drawn.generator"
NOT_DRAWN = ("not drawn yet",)
SET_KEYS = (
    SetKey("images.root", "elsewhere", _A, _R, _R, _F, NOT_DRAWN),
    SetKey("images.seeds", "[0]", _F, _A, _A, _R),
    SetKey("images.seeds", "[0, 1, 2]", _A, _R, _R, _R, NOT_DRAWN),
    SetKey("images.seeds", "[0, 0]", _R, _R, _R, _R),
    SetKey("images.seeds", "[-1]", _R, _R, _R, _R),
    SetKey("images.per_class", "2", _A, _R, _R, _R, NOT_DRAWN),
    SetKey("images.per_class", "4", _R, _R, _R, _R, ("3 images", "per_class")),
    SetKey("images.per_class", "1", _R, _R, _R, _R, ("measure.shots",)),
    SetKey("images.sets.drawn.per_class", "2", _A, _R, _R, _R, NOT_DRAWN),
    SetKey("images.sets.drawn.generator.error", "{pattern: 0.5}", _A, _R, _R, _R, NOT_DRAWN),
    SetKey("images.sets.drawn.generator.error", "{pattern: 2}", _R, _R, _R, _R, ("generator.error",)),
    SetKey("images.sets.drawn.generator.knows", "[fep]", _A, _R, _R, _R, NOT_DRAWN),
    SetKey("images.sets.drawn.generator.obey", "0.5", _A, _R, _R, _R, NOT_DRAWN),
    SetKey("images.sets.drawn.generator.name", "toy", _A, _R, _R, _R, NOT_DRAWN),
    SetKey("images.sets.drawn.generator.name", "nobody", _R, _R, _R, _R, ("nobody",)),
    SetKey("images.sets.drawn.strategy.name", "simple", _A, _R, _R, _R, NOT_DRAWN),
    SetKey("images.sets.drawn.strategy.name", "nobody", _R, _R, _R, _R, ("nobody",)),
    SetKey("images.sets.copies.generator.selection", "random", _A, _R, _R, _R, NOT_DRAWN),
    SetKey("images.sets.copies.generator.split", "test", _R, _R, _R, _R, ("generator.split",)),
    SetKey("images.sets.copies.generator.split", "test2", _A, _R, _R, _R, NOT_DRAWN),
    SetKey("images.sets.another", "{generator: {name: toy}}", _A, _R, _R, _R, NOT_DRAWN),
    SetKey("images.sets.drawn.usd_per_hour", "1.5", _F, _A, _A, _R),
    SetKey("images.sets.drawn.usd_per_image", "0.5", _F, _A, _A, _R),
    SetKey("images.sets.drawn.licence", "CC0", _F, _A, _A, _R),
    SetKey("vlm.name", "demo-spurious", _F, _A, _R, _R, ("vlm",)),
    SetKey("dataset.test_split", "test2", _F, _A, _R, _R, ("dataset",)),
    SetKey("dataset.reward_split", "test2", _A, _R, _R, _R, (*NOT_DRAWN, "dataset")),
    SetKey("dataset.class_names", "[blicket, fep, toma, tove]", _R, _R, _R, _R, ("generator.knows", "wug")),
    SetKey("dataset.root", "elsewhere", _R, _R, _R, _R, ("dataset",)),
    SetKey("measure.against", "drawn", _F, _A, _A, _R),
    SetKey("measure.against", "nobody", _R, _R, _R, _R),
    SetKey("measure.metrics", "[cler]", _F, _A, _A, _R),
    SetKey("measure.metrics", "[frechet, kid, retrieval, clip_score]", _F, _A, _A, _R),
    SetKey("measure.metrics", "[cler, cler]", _R, _R, _R, _R),
    SetKey("measure.shots", "[]", _F, _R, _R, _R),
    SetKey("measure.shots", "[3]", _F, _R, _R, _R),
    SetKey("measure.shots", "[1, 2]", _F, _R, _R, _R),
    SetKey("measure.shots", "[9]", _R, _R, _R, _R),
    SetKey("measure.centers", "raw", _F, _A, _A, _R),
    SetKey("measure.centers", "mean", _F, _A, _A, _R),
    SetKey("measure.ensemble", "logits", _F, _A, _A, _R),
    SetKey("measure.probe_init", "text", _F, _A, _A, _R),
    SetKey("measure.missing", "text", _F, _A, _A, _R),
    SetKey("measure.overlap", "drop", _F, _A, _A, _R),
    SetKey("measure.confidence", "0.9", _F, _A, _A, _R),
    SetKey("measure.confidence", "2", _R, _R, _R, _R),
    SetKey("measure.bootstrap_samples", "200", _F, _A, _A, _R),
    SetKey("measure.permutations", "199", _F, _A, _A, _R),
    SetKey("threads", "2", _F, _A, _A, _F),
)
SET_READ_KEYS = (
    ("vlm.name", "demo-spurious"),
    ("dataset.test_split", "test2"),
    ("images.per_class", "2"),
    ("images.seeds", "[0]"),
    ("measure.centers", "raw"),
    ("measure.confidence", "0.9"),
)
"""Keys that another hand changes in the run's own `recipe.yaml`."""
