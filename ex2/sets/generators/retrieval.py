"""The generator `retrieval`: images of a local pool whose captions are nearest to a class's prompt.

Retrieval is of texts by a text: no image is looked at. What is found is copied.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ex2.data.datasets.base import ImageFile
from ex2.sets.pool import read_pool
from ex2.sets.requests import Drawn, DrawRequest, Failure
from ex2.sets.strategies.base import template_problems
from ex2.sets.text_encoders import MINILM, TextEncoder, encoder_settings, find_encoder, text_bank
from reward.errors import UserError, shown
from reward.preprocess import to_rgb
from reward.user_paths import expanded

if TYPE_CHECKING:
    import torch

    from ex2.sets.ranking import Nearest

VERSION = 2
"""Of how images are chosen: to be raised with every change of it."""
FIRST_DEPTH = 64
"""Captions that are ranked at first; more are where files repeat or cannot be read."""

Unreadable = Literal["next", "failure"]


class Retrieval:
    """Copies the images whose captions are nearest to a prompt, the nearest first, each file once for a prompt.

    Image number i of a class is the i-th of the ranking of its prompt, so that all images of a class have one prompt:
    the strategies `name` and `simple` give one. Of equally near captions the earlier row of the pool comes first, and
    another seed of the set gives the same images. A file that is nearer to the prompt of another class of the set is
    that one's alone (of equally near ones the first), since an image of two classes would say nothing of either.

    Args:
        pool: A `.jsonl` or `.parquet` file with a caption and a file (from its folder) in each row.
        caption_column: Column of the captions.
        file_column: Column of the files.
        encoder: A sentence encoder, `package:NAME/FOLDER` or a folder; or a VLM, by name or with its settings.
        templates: Texts with a `{}` for the prompt, all of which are asked; a caption is as near as to the nearest of
            them. Default: the prompt alone.
        unreadable: What becomes of an image that cannot be read: `next` takes the next of the ranking in its place,
            `failure` leaves its number without an image.

    Raises:
        UserError: If the pool or the encoder is not there, or rows are without a caption or a file; every problem at
            once.
    """

    name = "retrieval"

    def __init__(
        self,
        pool: str,
        caption_column: str = "caption",
        file_column: str = "file",
        encoder: str | dict[str, Any] = MINILM,
        templates: list[str] | None = None,
        unreadable: Unreadable = "next",
    ) -> None:
        self.templates, self.unreadable = tuple(templates or ("{}",)), unreadable
        self.caption_column, self.file_column = caption_column, file_column
        problems = template_problems(self.templates, "generator.templates")
        try:
            self.encoder: TextEncoder = find_encoder(encoder, "generator.encoder")
        except UserError as error:
            problems += str(error).splitlines()
        try:
            self.pool = read_pool(expanded(pool), caption=caption_column, file=file_column)
        except UserError as error:
            problems += str(error).splitlines()
        if problems:
            raise UserError("\n".join(problems))
        self.settings: Mapping[str, Any] = {
            "pool": self.pool.path.name,
            "captions": len(self.pool.captions),
            "encoder": encoder_settings(encoder),
            "templates": list(self.templates),
            "unreadable": unreadable,
        }
        self._queries: tuple[str, ...] = ()
        self._owners: dict[str, str] = {}
        self._kept: tuple[tuple[str, ...], torch.Tensor] | None = None
        self._depths: dict[str, int] = {}
        self._ranked: dict[str, list[Path]] = {}
        self._tried: dict[Path, ImageFile | str | None] = {}

    def fingerprint(self) -> str:
        """Return a hash of the pool's list, of the sizes of its files, which are not read, and of the encoder."""
        found = [f"version {VERSION}", self.pool.digest(), self.encoder.fingerprint()]
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()

    def request_problems(self, requests: Sequence[DrawRequest]) -> list[str]:
        """Return a line for a class with several prompts, and for one that asks for more images than there are."""
        prompts: dict[str, dict[str, None]] = {}
        for request in requests:
            prompts.setdefault(request.class_name, {})[request.prompt] = None
        queries = tuple(dict.fromkeys(request.prompt for request in requests))
        if queries != self._queries:
            self._queries, self._owners, self._depths = queries, {}, {}
        several = [name for name, texts in prompts.items() if len(texts) > 1]
        problems = []
        if several:
            first = [*prompts[several[0]]]
            problems.append(
                f"strategy: {len(several)} of {len(prompts)} classes have several prompts, such as '{several[0]}' with "
                f"{shown(first[0])} and {shown(first[1])}, and 'retrieval' ranks its pool once for each class; choose "
                "name or simple, and give other queries as generator.templates."
            )
        if any(request.negative_prompt for request in requests):
            problems.append("strategy: 'retrieval' reads no negative prompts; choose a strategy without them.")
        most = max((request.index + 1 for request in requests), default=0)
        there = len(set(self.pool.files))
        if most > there:
            problems.append(
                f"generator.pool: {self.pool.path.name} has {there} files, and {most} images of a class are asked for; "
                "ask for fewer, or give a larger pool."
            )
        return problems

    def draw(self, requests: Sequence[DrawRequest]) -> list[Drawn | Failure]:
        """Return the image of each request; a failure where it cannot be read, or the pool has no more."""
        answers: list[Drawn | Failure] = []
        for request in requests:
            begun = time.perf_counter()
            chosen = self.taken(request.prompt, request.index + 1)
            if request.index >= len(chosen):
                status = f"the pool has {len(chosen)} images that can be read for {shown(request.prompt)}"
                answers.append(Failure("no_image", status, time.perf_counter() - begun))
                continue
            image = chosen[request.index]
            if isinstance(image, str):
                answers.append(Failure("no_image", image, time.perf_counter() - begun))
                continue
            picture = to_rgb(image.open())
            answers.append(Drawn(picture, time.perf_counter() - begun, source=image.digest()))
        return answers

    def ranking(self, query: str, k: int) -> Nearest:
        """Return the k nearest captions to a query, by the templates' nearest; its rows are those of the pool."""
        from ex2.sets.ranking import Nearest, nearest

        texts = [template.replace("{}", query) for template in self.templates]
        found = nearest(self.encoder.encode_texts(texts).embeddings, self._bank, k)
        best: dict[int, float] = {}
        for similarity, row in zip(found.similarities.ravel().tolist(), found.rows.ravel().tolist(), strict=True):
            best[row] = max(similarity, best.get(row, -2.0))
        order = sorted(best, key=lambda row: (-best[row], row))[:k]
        import numpy as np

        return Nearest(np.array([[best[row] for row in order]]), np.array([order], dtype=np.int64))

    def taken(self, query: str, count: int) -> list[ImageFile | str]:
        """Return the images of a query's ranking, as many as asked for if there are, or why one cannot be read."""
        depth = max(FIRST_DEPTH, 2 * count, self._depths.get(query, 0))
        while True:
            if depth > self._depths.get(query, 0):
                files = dict.fromkeys(self.pool.files[row] for row in self.ranking(query, depth).rows[0].tolist())
                own = [file for file in files if query not in self._queries or self._owner(file) == query]
                self._ranked[query] = [self.pool.path.parent / file for file in own]
                self._depths[query] = depth
            taken: list[ImageFile | str] = []
            for path in self._ranked[query]:
                opened = self._opened(path)
                taken += [] if opened is None else [opened]
                if len(taken) == count:
                    return taken
            if depth >= len(self.pool.files):
                return taken
            depth *= 4

    def _owner(self, file: str) -> str:
        """Return the prompt of the set that a file is nearest to, by the nearest of its captions."""
        from ex2.sets.ranking import DECIMALS
        from ex2.sets.text_encoders import PART

        if file not in self._owners:
            import torch

            captions = torch.stack([self._bank[row // PART][row % PART] for row in self._rows_of[file]])
            near = (captions @ self._embedded(self._queries).T).double().amax(0).reshape(len(self._queries), -1).amax(1)
            self._owners[file] = self._queries[int(near.numpy().round(DECIMALS).argmax())]
        return self._owners[file]

    def _embedded(self, queries: Sequence[str]) -> torch.Tensor:
        """Embed prompts in all templates, once: shape (queries · templates, D)."""
        if self._kept is None or self._kept[0] != tuple(queries):
            texts = [template.replace("{}", query) for query in queries for template in self.templates]
            self._kept = tuple(queries), self.encoder.encode_texts(texts).embeddings
        return self._kept[1]

    @cached_property
    def _rows_of(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for row, file in enumerate(self.pool.files):
            rows.setdefault(file, []).append(row)
        return rows

    def _opened(self, path: Path) -> ImageFile | str | None:
        """Return an image that can be read; of another one why not, or None if the next is to be taken."""
        if path not in self._tried:
            image = ImageFile(path, 0)
            try:
                image.open()
                self._tried[path] = image
            except UserError as error:
                self._tried[path] = None if self.unreadable == "next" else str(error)
        return self._tried[path]

    @cached_property
    def _bank(self) -> list[torch.Tensor]:
        from ex2.banks import bank_cache

        return text_bank(self.encoder, self.pool.captions, bank_cache(), title=f"captions of {self.pool.path.name}")
