"""A text is worth what its picture adds to its class: by how much the class's margin grows when the picture enters.

The center and its margin are those of CLER; see `reward.image_sets.centers`.
"""

from __future__ import annotations

import hashlib
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


def picture_seed(seed: int, *key: object) -> int:
    """Return the seed of a picture, in [0, 2^63), which depends on nothing but the arguments."""
    content = "\0".join(map(str, (seed, *key))).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 1


class DrawnCler:
    """TRL reward function: the rise of the margin of a description's class when its picture enters the class's center.

    The picture is drawn from the description alone, and equal descriptions are drawn equally. It joins pictures of the
    class that are drawn from its name. An empty description, and one that the generator draws nothing from, gets
    `None`. The reward logs the shares of both.

    Args:
        vlm: Encodes the pictures.
        class_means: Mean image embedding of each class under that VLM.
        draw: Generator's name and settings → what draws texts.
        generator: The generator: a mapping with `name` and its settings.
        beside: Pictures of each class that a description's own joins. With none, the score is the margin of the
            picture alone.
        centers: Kind of the centers.
        seed: Another one gives other pictures of the same descriptions.

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
        seed: int = 0,
    ) -> None:
        problems = self.setting_problems({"generator": generator, "beside": beside}, "reward", ())
        if len(class_means.class_names) < 2:
            problems.append("reward drawn_cler: there is no other class to compare with; use the reward cosine.")
        if problems:
            raise UserError("\n".join(problems))
        self.vlm, self.class_means = vlm, class_means
        self.draw = draw(generator)
        self.count, self.centers, self.seed = beside, centers, seed
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
            Rises of the margin in units of the VLM's logits, `None` without a picture.

        Raises:
            UserError: If a class is not in the image bank.
        """
        of_class = class_rows(self.__name__, self.class_means, class_name)
        texts = texts_of(completions)
        distinct = [text for text in dict.fromkeys(texts) if text.strip()]
        pictures = self.draw(distinct, [picture_seed(self.seed, "text", text) for text in distinct])
        drawn = {text: picture for text, picture in zip(distinct, pictures, strict=True) if picture is not None}
        positions = [index for index, text in enumerate(texts) if text in drawn]
        scores: list[float | None] = [None] * len(texts)
        if positions:
            place = {text: index for index, text in enumerate(drawn)}
            embedded = self.vlm.encode_images([*drawn.values()])[[place[texts[index]] for index in positions]]
            rises = entering_margins(
                embedded, of_class[positions], self._beside(), self.class_means.means, self.centers
            )
            for index, rise in zip(positions, (self.vlm.scale * rises).tolist(), strict=True):
                scores[index] = rise
        if log_metric is not None:
            empty = sum(not text.strip() for text in texts)
            log_metric("share_empty", empty / len(texts))
            log_metric("share_not_drawn", (len(texts) - empty - len(positions)) / len(texts))
        return scores

    def _beside(self) -> torch.Tensor:
        """Return the embeddings of the pictures that stand in each center, shape (C, K, D), drawn on first use."""
        if self.beside is None:
            names, size = self.class_means.class_names, self.class_means.means.shape[1]
            found = torch.zeros(len(names), self.count, size)
            if self.count:
                keys = [(name, index) for name in names for index in range(self.count)]
                pictures = self.draw(
                    [SIMPLE.replace("{}", name) for name, _ in keys],
                    [picture_seed(self.seed, "beside", *key) for key in keys],
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
