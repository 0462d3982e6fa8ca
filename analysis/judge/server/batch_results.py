"""Lines of a batch's result files. Only those keys are read that are the same on all servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reward.records import Record
from reward.strict_json import decode

_ENDED = ("batch_expired", "batch_cancelled")


@dataclass(frozen=True)
class Response(Record):
    """What the server answered to one question.

    Attributes:
        status_code: HTTP status.
        body: A chat completion if all went well.
    """

    status_code: Any = None
    body: Any = None


@dataclass(frozen=True)
class ResultLine(Record):
    """What became of one question of a batch.

    Attributes:
        custom_id: The question's key.
        response: None if the question was not asked.
        error: Why the question was not asked, in any form.
        written: The line as it stands in the file.
    """

    custom_id: str
    response: Response | None = None
    error: Any = None
    written: str = ""

    @property
    def ended_early(self) -> bool:
        """Whether the batch ended before it came to the question."""
        return isinstance(self.error, dict) and self.error.get("code") in _ENDED

    @property
    def reason(self) -> str:
        """What the line says instead of an answer."""
        said = self.error or (self.response and self.response.body)
        return json.dumps(said, ensure_ascii=False) if said else self.written


def read_lines(text: str) -> Iterator[ResultLine]:
    """Read a result file. Lines of another form are skipped: their questions stay open and are handed in again."""
    for line in text.split("\n"):  # splitlines would cut at U+2028 within a string
        try:
            content = decode(line)
            yield ResultLine.from_json(content | {"written": line} if isinstance(content, dict) else content)
        except ValueError:
            continue
