"""A text is worth what its picture adds to its class: by how much the class's margin grows when the picture enters.

The center and its margin are those of CLER; see `reward.image_sets.centers`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from reward.completions import Completion, texts_of
from reward.errors import UserError, shown
from reward.image_bank import ClassMeans
from reward.image_sets.centers import CenterKind, margins_left_one_out
from reward.scoring import LogMetric, class_rows
from reward.vlm import VLM

DrawTexts = Callable[[Sequence[str], Sequence[int]], list[Image.Image | None]]
"""Texts and a seed for each → pictures, `None` where there is none; equal text and seed give an equal picture."""

SIMPLE = "a photo of a {}"
"""What the pictures are drawn from that stand beside a text's own."""


def entering_margins(
    pictures: torch.Tensor,
    labels: torch.Tensor,
    beside: torch.Tensor,
    class_means: torch.Tensor,
    kind: CenterKind = "unit",
) -> torch.Tensor:
    """Return by how much each picture raises its class's margin when it alone joins the pictures that stand there.

    Args:
        pictures: Unit embeddings, shape (S, D).
        labels: Each picture's class, shape (S,).
        beside: Unit embeddings of K pictures of each class, shape (C, K, D); K may be 0.
        class_means: Mean unit embedding of the reference images of each class, shape (C, D).
        kind: Kind of the centers.

    Returns:
        Shape (S,), float64.
    """
    classes, count = beside.shape[:2]
    standing = torch.arange(classes).repeat_interleave(count)
    found = torch.zeros(len(labels), dtype=torch.float64)
    left = [*range(len(labels))]
    while left:  # a picture of each class at once, so that none stands beside another text's
        taken: dict[int, int] = {}
        for place in left:
            taken.setdefault(int(labels[place]), place)
        rows = torch.tensor(sorted(taken.values()))
        rises = margins_left_one_out(
            torch.cat([beside.flatten(0, 1), pictures[rows]]), torch.cat([standing, labels[rows]]), class_means, kind
        )
        found[rows] = rises[len(standing) :]
        left = [place for place in left if place not in taken.values()]
    return found


def lowest_entering_margins(beside: torch.Tensor, class_means: torch.Tensor, kind: CenterKind = "unit") -> torch.Tensor:
    """Return the least that `entering_margins` can be for each class, over all pictures that there could be.

    Args:
        beside: Unit embeddings of K pictures of each class, shape (C, K, D), D at least 2.
        class_means: Mean unit embedding of the reference images of each class, shape (C, D).
        kind: Kind of the centers.

    Returns:
        Shape (C,), float64.
    """
    reference, count = class_means.double(), beside.shape[1]
    toward = reference - (reference.sum(0, keepdim=True) - reference) / (len(reference) - 1)
    sums, steepness = beside.double().sum(1), toward.norm(dim=1)
    standing = (sums * toward).sum(1)  # of the sum, not yet of the center
    if kind != "unit":
        fall: torch.Tensor = (standing - steepness) / (count + 1) - standing / max(1, count)
        return fall
    lengths = sums.norm(dim=1)
    angle = torch.acos((standing / (lengths * steepness).clamp(min=1e-30)).clamp(-1, 1))
    # A unit vector turns a sum of length s by the angle asin(1/s) at most, and one shorter than itself by any; a single
    # picture is of length 1 but for rounding.
    turn = torch.where(lengths < 1, math.pi, torch.asin(1 / lengths.clamp(min=1)))
    turn = torch.where((lengths - 1).abs() < 1e-4, math.pi / 2, turn)
    farthest = (angle + turn).clamp(max=math.pi)
    before = torch.where(lengths > 0, steepness * torch.cos(angle), 0.0)
    found: torch.Tensor = steepness * torch.cos(farthest) - before
    return found


def picture_seed(run_seed: int, class_name: str, key: object) -> int:
    """Return the seed of a class's picture, in [0, 2^63), which depends on nothing but the arguments.

    With a number for the key it is the seed of that image of the class in a set of images.
    """
    content = f"{run_seed}\0{class_name}\0{key}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 1


class DrawnCler:
    """TRL reward function: the rise of the margin of a description's class when its picture enters the class's center.

    The picture is drawn from the description alone, with a seed of run, class and description. It joins pictures of the
    class that are drawn from its name. An empty description gets `None`, as in other rewards. One that the generator
    draws nothing from gets the least that any picture could: left out of the loss, or with a score above that of a
    wrong picture, it would be what a policy turns to whose pictures are bad. The reward logs the shares of both.

    Args:
        vlm: Encodes the pictures.
        class_means: Mean image embedding of each class under that VLM.
        draw: Generator's name and settings → what draws texts.
        generator: The generator: a mapping with `name` and its settings.
        beside: Pictures of each class that a description's own joins: the first of an image set with the strategy
            `simple` and the run's seed. With none, the score is the margin of the picture alone.
        centers: Kind of the centers.
        run_seed: Another one gives other pictures of the same descriptions.

    Raises:
        UserError: For fewer than two classes, or settings that do not fit.
    """

    __name__ = "drawn_cler"

    def __init__(
        self,
        vlm: VLM,
        class_means: ClassMeans,
        draw: Callable[[Mapping[str, Any]], DrawTexts],
        generator: dict[str, Any],
        beside: int = 4,
        centers: CenterKind = "unit",
        run_seed: int = 0,
    ) -> None:
        problems = self.setting_problems({"generator": generator, "beside": beside}, "reward", ())
        if len(class_means.class_names) < 2:
            problems.append("reward drawn_cler: there is no other class to compare with; use the reward cosine.")
        if problems:
            raise UserError("\n".join(problems))
        self.vlm, self.class_means = vlm, class_means
        self.draw = draw(generator)
        self.count, self.centers, self.run_seed = beside, centers, run_seed
        self.beside: torch.Tensor | None = None

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: Iterable[str]) -> list[str]:
        """List what is wrong with the settings, one message per problem; the generator's own are not looked at."""
        problems = []
        generator, beside = settings.get("generator"), settings.get("beside", 0)
        if not isinstance(generator, Mapping) or not isinstance(generator.get("name"), str):
            problems.append(
                f"{where}.generator: given {shown(generator)}; give a mapping with the generator's name, such as "
                "{name: toy}."
            )
        if beside < 0:
            problems.append(f"{where}.beside: given {shown(beside)}; give a number of pictures, from 0.")
        return problems

    def __call__(
        self,
        completions: Sequence[Completion],
        class_name: Sequence[str],
        log_metric: LogMetric | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Score each completion.

        Args:
            completions: Descriptions, plain or as chat messages.
            class_name: Class of each description.
            log_metric: TRL's logger, if called by a trainer.
            **columns: Unused.

        Returns:
            Rises of the margin in units of the VLM's logits, `None` for an empty description.

        Raises:
            UserError: If a class is not in the image bank.
        """
        row = dict(zip(class_name, class_rows(self.__name__, self.class_means, class_name).tolist(), strict=True))
        texts = texts_of(completions)
        positions = [index for index, text in enumerate(texts) if text.strip()]
        scores: list[float | None] = [None] * len(texts)
        keys = [(class_name[index], texts[index]) for index in positions]
        distinct = [*dict.fromkeys(keys)]
        pictures = self.draw([text for _, text in distinct], [picture_seed(self.run_seed, *key) for key in distinct])
        rises = self._rises(torch.tensor([row[name] for name, _ in distinct], dtype=torch.long), pictures)
        found = dict(zip(distinct, rises, strict=True))
        for index, key in zip(positions, keys, strict=True):
            scores[index] = found[key]
        if log_metric is not None:
            missing = {key for key, picture in zip(distinct, pictures, strict=True) if picture is None}
            log_metric("share_empty", 1 - len(positions) / len(texts))
            log_metric("share_not_drawn", sum(key in missing for key in keys) / len(texts))
        return scores

    def _rises(self, of_class: torch.Tensor, pictures: Sequence[Image.Image | None]) -> list[float]:
        """Return the score of each picture, given its class's row; where there is none, the least that can be."""
        if not pictures:
            return []
        rises = lowest_entering_margins(self._beside(), self.class_means.means, self.centers)[of_class]
        drawn = [place for place, picture in enumerate(pictures) if picture is not None]
        if drawn:
            embedded = self.vlm.encode_images([picture for picture in pictures if picture is not None])
            rises[drawn] = entering_margins(
                embedded, of_class[drawn], self._beside(), self.class_means.means, self.centers
            )
        return [float(rise) for rise in self.vlm.scale * rises]

    def _beside(self) -> torch.Tensor:
        """Return the embeddings of the pictures that stand in each center, shape (C, K, D), drawn on first use."""
        if self.beside is None:
            names, size = self.class_means.class_names, self.class_means.means.shape[1]
            found = torch.zeros(len(names), self.count, size)
            if self.count:
                keys = [(name, index) for name in names for index in range(self.count)]
                pictures = self.draw(
                    [SIMPLE.replace("{}", name) for name, _ in keys],
                    [picture_seed(self.run_seed, *key) for key in keys],
                )
                missing = sorted({name for (name, _), picture in zip(keys, pictures, strict=True) if picture is None})
                if missing:
                    raise UserError(
                        f"reward {self.__name__}: the generator draws nothing from the name of {len(missing)} classes, "
                        f"such as {shown(missing[0])}; set beside: 0."
                    )
                embedded = self.vlm.encode_images([picture for picture in pictures if picture is not None])
                found = embedded.view(len(names), self.count, size)
            self.beside = found
        return self.beside
