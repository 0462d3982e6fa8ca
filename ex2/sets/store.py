"""Writing a set: images are renamed into place, rows appended, and whatever comes between, drawing goes on from there.

An image stands in its place before its row is appended, and `set.json` is finished last. A kill therefore leaves at
most images without a row, which are removed, and a torn line, which is dropped: their requests are asked again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path

from PIL import Image

from ex2.data.datasets.image_sets import is_set, raise_first, read_set, read_set_record, remedy_of
from ex2.data.datasets.set_records import (
    CODE,
    FAILURES,
    IMAGES,
    ROWS,
    SET,
    FailureRow,
    ImageRow,
    SetRecord,
    file_name,
    folder_names,
)
from ex2.sets.requests import Drawn, DrawRequest, Failure, Program
from reward.errors import UserError, shortened, shown
from reward.file_digests import FileDigest
from reward.files import append_jsonl, replacing, write_bytes, write_json, writing
from reward.preprocess import to_rgb

SYNCED_FROM = 0.05
"""Seconds of drawing from which an image is waited for until it is on the disk, which takes some milliseconds. One that
is drawn faster is lost to a power cut at less cost: it is found to be damaged, and drawn again."""

LONGEST_MESSAGE = 500
"""Most characters of a failure's message."""


class SetStore:
    """A set that is being drawn; whoever writes holds the folder's lock.

    Args:
        folder: The folder of the set's seed.
        record: What the set is to be, before anything is drawn.
        requests: All requests, in the order in which they are asked.
    """

    def __init__(self, folder: Path, record: SetRecord, requests: Sequence[DrawRequest]) -> None:
        self._folder, self._requests = folder, tuple(requests)
        self._record = replace(record, requests=requests_digest(requests), asked=len(requests))
        self._folders = folder_names(record.class_names)

    def finished(self) -> bool:
        """Say whether all has been drawn.

        Raises:
            UserError: If the set in the folder is another one than is to be drawn, or `set.json` was changed.
        """
        if not is_set(self._folder):
            return False
        there = read_set_record(self._folder)
        self._check_same(there)
        return there.complete

    def begin(self) -> list[DrawRequest]:
        """Make the folder ready, and return the requests that are not answered yet.

        Raises:
            UserError: If what lies there is damaged, or of another set.
            EnvironmentFault: If the folder cannot be written.
        """
        if not is_set(self._folder):
            left = [name for name in (ROWS, FAILURES, IMAGES, CODE) if (self._folder / name).exists()]
            if left:
                raise UserError(f"{self._folder / left[0]}: there is no {SET} beside it; {remedy_of(self._folder)}.")
            write_json(self._folder / SET, self._record.sealed().to_json())
        there = read_set(self._folder, unfinished=True)
        self._check_same(there.record)
        self._record = there.record
        rows: list[ImageRow | FailureRow] = [*there.rows, *there.failures]
        self._check_rows(rows)
        there.check_content()
        self._remove_others({row.file_name for row in there.rows}, {row.code for row in rows})
        answered = {(row.label, row.index) for row in rows}
        return [request for request in self._requests if (request.label, request.index) not in answered]

    def add(self, requests: Sequence[DrawRequest], answers: Sequence[Drawn | Failure]) -> None:
        """Store the answers to some requests.

        Raises:
            UserError: If they are no answers.
            EnvironmentFault: If they cannot be written; what was stored before is untouched.
        """
        self._check_answers(requests, answers)
        rows, failures = [], []
        for request, answer in zip(requests, answers, strict=True):
            self._write_code(answer.code)
            if isinstance(answer, Failure):
                failures.append(self._failure_row(request, answer))
            else:
                rows.append(self._write_image(request, answer))
        if rows:
            append_jsonl(self._folder / ROWS, (row.to_json() for row in rows))
        if failures:
            append_jsonl(self._folder / FAILURES, (row.to_json() for row in failures))

    def finish(self) -> SetRecord:
        """Write into `set.json` what was made, which seals the set, and return it.

        Raises:
            UserError: If the set was damaged meanwhile.
            EnvironmentFault: If it cannot be written.
        """
        for name in (ROWS, FAILURES):
            append_jsonl(self._folder / name, ())  # both logs are there, with whole lines
        there = read_set(self._folder, unfinished=True)
        rows: list[ImageRow | FailureRow] = [*there.rows, *there.failures]
        made = replace(
            there.record,
            made=len(there.rows),
            failed=dict(sorted(Counter(row.status for row in there.failures).items())),
            seconds=sum(row.seconds for row in rows),
            bytes=sum(row.bytes for row in there.rows),
            complete=True,
            files={name: FileDigest.of(self._folder / name) for name in (ROWS, FAILURES)},
        ).sealed()
        write_json(self._folder / SET, made.to_json())
        return made

    def _check_same(self, there: SetRecord) -> None:
        """Refuse a set that is another one: with other prompts, or with a digest that only begins as this one's."""
        path = self._folder / SET
        if there.digest != self._record.digest:
            raise UserError(f"{path}: is of another set of the same name; give this one another name.")
        if there.requests != self._record.requests:
            raise UserError(
                f"{path}: the set was drawn from other prompts than are asked for now; give this one another name, or "
                f"move {self._folder} away."
            )

    def _check_rows(self, rows: Iterable[ImageRow | FailureRow]) -> None:
        asked = {(request.label, request.index): request for request in self._requests}
        problems = []
        for row in rows:
            request, log = asked.get((row.label, row.index)), ROWS if isinstance(row, ImageRow) else FAILURES
            if request is None or not _answers(row, request):
                problems.append(
                    f"{self._folder / log}: the row of class '{row.class_name}', index {row.index}, answers another "
                    f"request than this set's (prompt {shown(row.prompt)}, seed {row.seed}); {remedy_of(self._folder)}."
                )
        raise_first(problems)

    def _remove_others(self, wanted: set[str], codes: set[str]) -> None:
        """Remove what a kill left: images and code without a row, and files that were to replace others."""
        images = self._folder / IMAGES
        with writing(images):
            for path in sorted(images.rglob("*")):
                if not path.is_dir() and path.relative_to(self._folder).as_posix() not in wanted:
                    path.unlink()
            for path in (self._folder / CODE).glob("*"):
                if path.stem not in codes:
                    path.unlink()
            for path in self._folder.glob(f".{SET}.*"):
                path.unlink()

    def _check_answers(self, requests: Sequence[DrawRequest], answers: Sequence[Drawn | Failure]) -> None:
        name = self._record.generator
        if len(answers) != len(requests):
            raise UserError(f"generator '{name}': {len(answers)} answers to {len(requests)} requests; give one each.")
        for answer in answers:
            if not isinstance(answer, Drawn | Failure):
                raise UserError(f"generator '{name}': answered {shown(answer)}; a Drawn or a Failure is an answer.")
            if isinstance(answer, Drawn) and not isinstance(answer.image, Image.Image):
                raise UserError(f"generator '{name}': drew {shown(answer.image)}; an image of PIL's is drawn.")

    def _write_code(self, code: Program | None) -> None:
        """Keep code under its hash; equal code has one file."""
        if code is None:
            return
        path = self._folder / CODE / f"{code.sha256}.{code.extension}"
        if not path.is_file():
            write_bytes(path, code.content)

    def _write_image(self, request: DrawRequest, drawn: Drawn) -> ImageRow:
        image = _bare(drawn.image)
        content = png(image)
        name = file_name(self._folders[request.label], request.index)
        path = self._folder / name
        with writing(path), replacing(path, sync=drawn.seconds >= SYNCED_FROM) as temporary:
            temporary.write_bytes(content)
        return ImageRow(
            file_name=name,
            class_name=request.class_name,
            label=request.label,
            index=request.index,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            strategy=self._record.strategy,
            generator=self._record.generator,
            seed=request.seed,
            parent=request.parent,
            feedback=request.feedback,
            code="" if drawn.code is None else drawn.code.sha256,
            source=drawn.source,
            sha256=hashlib.sha256(content).hexdigest(),
            pixels=pixels_digest(image),
            width=image.width,
            height=image.height,
            bytes=len(content),
            seconds=drawn.seconds,
            truncated=drawn.truncated,
        )

    def _failure_row(self, request: DrawRequest, failure: Failure) -> FailureRow:
        return FailureRow(
            class_name=request.class_name,
            label=request.label,
            index=request.index,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            strategy=self._record.strategy,
            generator=self._record.generator,
            seed=request.seed,
            parent=request.parent,
            feedback=request.feedback,
            code="" if failure.code is None else failure.code.sha256,
            status=failure.status,
            message=shortened(" ".join(failure.message.split()), LONGEST_MESSAGE),
            seconds=failure.seconds,
        )


def requests_digest(requests: Sequence[DrawRequest]) -> str:
    """Return the SHA-256 of requests, in their order."""
    state = hashlib.sha256()
    for request in requests:
        state.update(json.dumps(asdict(request), sort_keys=True).encode() + b"\n")
    return state.hexdigest()


def pixels_digest(image: Image.Image) -> str:
    """Return the SHA-256 of an image's pixels in RGB as viewers show it, row by row, three bytes each."""
    return hashlib.sha256(to_rgb(image).tobytes()).hexdigest()


def png(image: Image.Image) -> bytes:
    """Return an image as a PNG file without metadata."""
    buffer = BytesIO()
    _bare(image).save(buffer, "PNG")
    return buffer.getvalue()


def _bare(image: Image.Image) -> Image.Image:
    """Return an image in RGB with nothing but its pixels: no profile, comment or resolution."""
    rgb = to_rgb(image)
    return Image.frombytes("RGB", rgb.size, rgb.tobytes())


def _answers(row: ImageRow | FailureRow, request: DrawRequest) -> bool:
    told = (row.class_name, row.prompt, row.negative_prompt, row.seed, row.parent, row.feedback)
    return told == (
        request.class_name,
        request.prompt,
        request.negative_prompt,
        request.seed,
        request.parent,
        request.feedback,
    )
