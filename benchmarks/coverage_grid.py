"""The grid of EX2's typical outcomes: every number that it shows, and of what."""

from __future__ import annotations

from typing import NamedTuple

from coverage_cells import (
    Simulation,
    alpha,
    described_twice,
    few_images_of_seeds,
    kappa,
    kinds_together,
    mean_over_classes,
    one_seeds_images,
    one_share,
    repeated_texts,
    rewards,
    several_seeds,
    share_changes,
    share_of_informative,
    share_over_seeds,
)
from coverage_texts import content, kinds_over_classes

from analysis.statistics.intervals import FEWEST

RARE, COMMON = (0.005, 0.03), (0.1, 0.9)
KINDS, RARE_KIND = (0.3, 0.3, 0.4), (0.02, 0.38, 0.6)


class Cell(NamedTuple):
    """A number of the tool in a typical situation.

    Attributes:
        what: What is shown.
        situation: Of what.
        simulate: Its runs.
        effect: The effect whose finding is asked for, in shares; 0 where nothing is tested.
        stated: The effect in words.
        values: Seeds, pairs or classes that Student's t is over, where they are few; 0 elsewhere.
        known: What the cell does not hold and why, where that is known and said by the tool.
    """

    what: str
    situation: str
    simulate: Simulation
    effect: float = 0.0
    stated: str = ""
    values: int = 0
    known: str = ""


def grid() -> list[Cell]:
    """List the cells."""
    cells = [
        *(Cell("share", f"rare (0.5–3 %), {n:,} texts", one_share(n, RARE)) for n in (40, 200, 400, 2500)),
        Cell("share", "rare (0.5–3 %), 20 texts", one_share(20, RARE), known=NONE_OF_FEW),
        *(Cell("share", f"10–90 %, {n} texts", one_share(n, COMMON)) for n in (5, 10, 40, 400)),
        Cell("share", "97–99.5 %, 400 texts", one_share(400, (0.97, 0.995))),
        Cell("share", "rare, 400 texts, 27 % repeated", repeated_texts(0.27, RARE)),
        Cell("share", "10–90 %, 400 texts, 27 % repeated", repeated_texts(0.27, COMMON)),
        Cell("share", "10–90 %, 400 texts, 60 % repeated", repeated_texts(0.6, COMMON), known=REPEATED),
        Cell("share", "the same, of other classes", repeated_texts(0.27, COMMON, other_classes=True), known=CLASSES),
        *(
            Cell("visual of informative", f"30 % of {n} texts informative", share_of_informative(n, 0.3, COMMON))
            for n in (20, 100, 400)
        ),
    ]
    for seeds in (1, 2, 3, 5):
        for drift in (0.0, 0.02, 0.08):
            words = f"{seeds} seed{'s' * (seeds > 1)}, drift {100 * drift:.0f}, 400 texts"
            of = seeds if seeds > 1 else 0
            cells.append(Cell("share over seeds", words, share_over_seeds(seeds, drift, 400, (0.2, 0.8)), values=of))
    cells += [
        Cell(
            "share over seeds",
            f"rare, {seeds} seeds, no drift, 400 texts",
            share_over_seeds(seeds, 0.0, 400, RARE),
            values=seeds,
        )
        for seeds in (2, 3, 5)
    ]
    for n, ends, effect in ((40, COMMON_CHANGE, 0.35), (400, COMMON_CHANGE, 0.12), (400, RARE, 0.06), (40, RARE, 0.3)):
        words = f"{'rare' if ends is RARE else '20–45 %'}, {n} texts each"
        cells.append(Cell("change of a share", words, share_changes(1, 0.0, n, ends), effect, points(effect)))
    for (seeds, drift), effect in SEED_EFFECTS.items():
        words = f"{seeds} seeds, drift {100 * drift:.0f}, 400 texts"
        simulate = share_changes(seeds, drift, 400, COMMON_CHANGE)
        known = TWO if (seeds, drift) == (2, 0.08) else ""
        cells.append(Cell("change of a share", words, simulate, effect, points(effect), seeds, known))
    for (seeds, drift), effect in TOGETHER_EFFECTS.items():
        words = f"{seeds} seeds, drift {100 * drift:.0f}, 400 texts, Holm"
        cells.append(
            Cell("changes of all kinds", words, kinds_together(seeds, drift, 400, KINDS), effect, points(effect), seeds)
        )
    cells += [
        Cell(
            "changes of all kinds",
            "one rare, 3 seeds, drift 2, Holm",
            kinds_together(3, 0.02, 400, RARE_KIND),
            0.25,
            points(0.25),
            3,
        ),
        Cell(
            "accuracy, difference", "200 images, 8–15 % differ", one_seeds_images(200, (0.08, 0.15)), 0.07, points(0.07)
        ),
        Cell(
            "accuracy, difference",
            "1,000 images, 5–20 % differ",
            one_seeds_images(1000, (0.06, 0.2)),
            0.04,
            points(0.04),
        ),
        Cell(
            "accuracy, difference",
            "5,000 images, 1–3 % differ",
            one_seeds_images(5000, (0.01, 0.03)),
            0.008,
            points(0.008),
        ),
    ]
    for (seeds, drift), effect in IMAGE_EFFECTS.items():
        words = f"{seeds} seeds, drift {100 * drift:.0f}, 200 images"
        simulate = several_seeds(seeds, drift, 200)
        known = TWO if seeds == 2 else ""
        cells.append(Cell("accuracy, difference over seeds", words, simulate, effect, points(effect), seeds, known))
    cells += [
        Cell(
            "accuracy, difference of these seeds over images",
            "3 seeds, drift 2, 200 images",
            several_seeds(3, 0.02, 200, over_images=True),
        ),
        *(
            Cell(
                "accuracy, difference of these seeds over images",
                f"{seeds} seeds, {100 * ends[0]:g}–{100 * ends[1]:g} % of {n:,} images differ",
                few_images_of_seeds(seeds, n, ends),
                1.0,
                "4 of 5 images that differ on one side",
                known=known,
            )
            for seeds, n, ends, known in (
                (3, 200, (0.01, 0.05), FEW_IMAGES),
                (3, 200, (0.1, 0.3), ""),
                (5, 200, (0.1, 0.3), ""),
                (3, 1000, (0.02, 0.08), ""),
            )
        ),
        *(
            Cell(
                "accuracy, difference of two describings",
                f"{draws} draw{'s' * (draws > 1)}, {n} images, {classes} classes",
                described_twice(draws, classes=classes, n=n),
                0.7,
                "texts 70 % nearer",
                known=known,
            )
            for draws, classes, n, known in (
                (1, 16, 320, ONE_DRAW),
                (2, 8, 240, TWO_DRAWS),
                (2, 16, 320, ""),
                (3, 8, 240, ""),
                (4, 8, 240, ""),
            )
        ),
        *(
            Cell(
                "content beside exchanged texts",
                f"{seeds} seed{'s' * (seeds > 1)}, {images} images, assignments apart by {100 * spread:g} points",
                content(seeds, images, spread, drift),
                effect,
                f"{points(effect)} an image, less where that ends at 1",
                seeds if seeds > 1 else 0,
            )
            for seeds, images, spread, drift, effect in (
                (1, 300, 0.0, 0.0, 0.12),
                (1, 300, 0.03, 0.0, 0.18),
                (1, 1000, 0.03, 0.0, 0.15),
                (3, 300, 0.03, 0.01, 0.18),
            )
        ),
        *(
            Cell(
                "changes of all kinds over classes",
                f"{classes} classes, {texts} texts each, classes apart by {100 * spread:g} points",
                kinds_over_classes(classes, texts, spread, KINDS),
                effect,
                points(effect),
                classes,
            )
            for classes, texts, spread, effect in (
                (5, 25, 0.15, 0.55),
                (16, 3, 0.15, 0.4),
                (16, 25, 0.2, 0.3),
                (100, 10, 0.3, 0.15),
            )
        ),
        *(
            Cell(
                "reward gained",
                f"{pairs} pairs{', skewed' * skewed}",
                rewards(pairs, skewed),
                effect,
                f"{effect:g} standard deviations",
                pairs if pairs <= FEWEST else 0,
                SKEWED if skewed and pairs == 40 else "",
            )
            for pairs, skewed, effect in ((5, False, 2.0), (40, False, 0.5), (40, True, 0.5), (400, True, 0.15))
        ),
        *(
            Cell(
                "accuracy, mean per class",
                f"{classes} classes, {images} images each",
                mean_over_classes(classes, images),
            )
            for classes, images in ((8, 3), (8, 30), (16, 10), (100, 2), (100, 10))
        ),
        *(
            Cell("Cohen's κ", f"{n} labels", kappa(n), effect, f"κ {effect:g}")
            for n, effect in ((20, 0.7), (50, 0.5), (200, 0.25))
        ),
        *(
            Cell("Krippendorff's α", f"{n} texts, 3 raters", alpha(n), effect, f"α {effect:g}")
            for n, effect in ((20, 0.5), (50, 0.3), (200, 0.15))
        ),
    ]
    return cells


def points(effect: float) -> str:
    """Return `12 points`."""
    return f"{100 * effect:g} points"


COMMON_CHANGE = (0.2, 0.45)
SEED_EFFECTS = {
    (2, 0.0): 0.45,
    (2, 0.02): 0.52,
    (2, 0.08): 0.5,
    (3, 0.0): 0.13,
    (3, 0.02): 0.15,
    (3, 0.08): 0.31,
    (5, 0.0): 0.07,
    (5, 0.02): 0.08,
    (5, 0.08): 0.16,
}
TOGETHER_EFFECTS = {
    (3, 0.0): 0.22,
    (3, 0.02): 0.26,
    (3, 0.08): 0.55,
    (5, 0.0): 0.09,
    (5, 0.02): 0.1,
    (5, 0.08): 0.22,
}
IMAGE_EFFECTS = {
    (2, 0.0): 0.25,
    (2, 0.02): 0.25,
    (2, 0.08): 0.25,
    (3, 0.0): 0.16,
    (3, 0.02): 0.17,
    (3, 0.08): 0.32,
    (5, 0.0): 0.13,
    (5, 0.02): 0.14,
    (5, 0.08): 0.19,
}
NONE_OF_FEW = (
    "width: none of 20 leaves room up to 17 %, which no interval that holds rare shares and common ones can deny"
)
SKEWED = "type I: of forty pairs most of which do not change, few tell; corrections for skewness do worse"
FEW_IMAGES = "power: two to ten images that differ hardly tell anything"
ONE_DRAW = "type I: interval and test are for these texts, as the report says"
TWO_DRAWS = "type I: two draws of few classes hardly tell how much draws vary"
REPEATED = "width: it is made as if all texts were different"
TWO = "power: two seeds that differ tell nothing, as the report says"
CLASSES = "coverage: the interval is of these classes and questions, as the report says"
