"""The Batch API: questions are handed in as a file, and the same command collects the answers later.

What is under way stands in a file of the seed's folder. The file is written before a batch is created, so that a kill
in between neither loses a batch nor pays for it twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import openai

from analysis.judge.base import JudgeRequest, NotYet, OnAnswer, Spent, Unparsed
from analysis.judge.replies import Reply, read_reply, short
from ex2.run_dir import JSON, read_json, write_json
from reward.errors import EnvironmentFault, UserError

if TYPE_CHECKING:
    from analysis.judge.client import OpenAIJudge

BATCH_FILE = "judge_batches.json"
ENDPOINT: Final = "/v1/chat/completions"
MAX_REQUESTS, MAX_BYTES = 50_000, 100 << 20
"""Of one batch; OpenAI allows 50,000 requests and 200 MB."""

_UNDER_WAY = ("validating", "in_progress", "finalizing", "cancelling")


def collect_or_submit(judge: OpenAIJudge, requests: Sequence[JudgeRequest], on_answer: OnAnswer, path: Path) -> None:
    """Pass on what finished batches answered; hand in the rest.

    Before a batch is handed in, its first question is asked directly: that learns the answer format, and shows a wrong
    key or model at once instead of after a day. Requests that failed or expired are handed in anew; an unreadable
    answer is asked for once more.

    Args:
        judge: Builds and reads the conversations.
        requests: Questions without an answer.
        on_answer: As of `Judge.answer`.
        path: The state file.

    Raises:
        NotYet: As long as a batch is under way.
        UserError: If the server has no Batch API, or refuses a batch, the key or the model.
        EnvironmentFault: If it cannot be reached, or every request of a batch failed.
    """
    if not requests:
        return
    server = judge.server
    try:
        with openai.OpenAI(
            api_key=server.api_key, base_url=server.base_url, timeout=server.timeout, max_retries=server.max_retries
        ) as client:
            missing = {judge.key(request): request for request in requests}
            state = _State(path)
            waiting = _collect(client, judge, missing, on_answer, state)
            if not waiting and missing:
                waiting = _submit(client, judge, missing, on_answer, state)
    except openai.APIError as error:
        raise server.fault(error) from error
    if waiting:
        raise NotYet(f"judge {server.shown_url}: {'; '.join(waiting)}. Run the same command later to go on.")


class _State:
    """Batches under way (`input_file`, `batch`, `keys`), and what was spent on answers that could not be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        content = read_json(path) if path.exists() else {}
        self.batches: list[JSON] = content.get("batches", [])
        self.unreadable: dict[str, list[int]] = content.get("unreadable", {})

    def save(self) -> None:
        write_json(self._path, {"batches": self.batches, "unreadable": self.unreadable})


def _collect(
    client: openai.OpenAI, judge: OpenAIJudge, missing: dict[str, JudgeRequest], on_answer: OnAnswer, state: _State
) -> list[str]:
    """Take answered questions out of `missing`; return what is still under way, in words."""
    waiting: list[str] = []
    for batch in [batch for batch in state.batches if missing.keys() & set(batch["keys"])]:
        if batch["batch"] is None:
            batch["batch"] = _created(client, batch["input_file"])
            state.save()
        try:
            found = client.batches.retrieve(batch["batch"])
        except openai.NotFoundError:  # deleted on the server: its questions are handed in again
            state.batches.remove(batch)
            state.save()
            continue
        if found.status in _UNDER_WAY:
            done = found.request_counts
            waiting.append(
                f"batch {found.id} is {found.status}" + (f", {done.completed} of {done.total} done" if done else "")
            )
            continue
        if found.status == "failed":
            state.batches.remove(batch)
            state.save()
            errors = [str(error.message) for error in (found.errors.data or [] if found.errors else [])]
            reasons = short("; ".join(errors)) or "no reason given"
            raise UserError(
                f"judge {judge.server.shown_url}: batch {found.id} was refused ({reasons}); correct the judge's "
                "settings, or use mode: direct; the same command hands it in anew."
            )
        before, failures = len(missing), []
        for line in _lines(client, (found.output_file_id, found.error_file_id)):
            failure = _take(judge, line, missing, on_answer, state)
            failures += [failure] if failure else []
        state.batches.remove(batch)
        state.save()
        if len(missing) == before and not state.unreadable.keys() & set(batch["keys"]):
            raise EnvironmentFault(
                f"judge {judge.server.shown_url}: batch {found.id} is {found.status} without one answer "
                f"({short(failures[0]) if failures else 'no lines'}); the same command hands it in anew."
            )
    return waiting


def _take(
    judge: OpenAIJudge, line: Mapping[str, Any], missing: dict[str, JudgeRequest], on_answer: OnAnswer, state: _State
) -> str | None:
    """Take one line of a result file; return why there is no answer, if there is none."""
    key = line.get("custom_id")
    request = missing.get(str(key))
    if request is None:
        return None  # answered before a kill
    response = line.get("response") or {}
    reply = read_reply(response.get("body") or {})
    if response.get("status_code") == 400:
        reply = Reply(f"400: {json.dumps(response.get('body'))}", refused=True, spent=Spent())
    if reply is None:
        return json.dumps(line.get("error") or response.get("body") or line)
    earlier = state.unreadable.get(str(key))
    spent = Spent(*(earlier or ())).plus(reply.spent).plus(Spent(requests=1))
    answer = judge.read(request, reply._replace(spent=spent))
    if isinstance(answer, Unparsed) and earlier is None:
        state.unreadable[str(key)] = list(spent)
        return None
    state.unreadable.pop(str(key), None)
    del missing[str(key)]
    on_answer(request, answer)
    return None


def _submit(
    client: openai.OpenAI, judge: OpenAIJudge, missing: dict[str, JudgeRequest], on_answer: OnAnswer, state: _State
) -> list[str]:
    """Ask the first question, hand in the others; return what is under way, in words."""
    first, *rest = missing
    judge.ask([missing.pop(first)], on_answer)
    if state.unreadable.pop(first, None) is not None:
        state.save()
    waiting = []
    for keys, lines in _parts(rest, lambda key: _line(judge, key, missing[key], again=key in state.unreadable)):
        try:
            uploaded = client.files.create(file=("questions.jsonl", b"".join(lines)), purpose="batch")
        except openai.NotFoundError as error:
            raise UserError(
                f"judge {judge.server.shown_url}: has no Batch API (404 on /files); use mode: direct."
            ) from error
        entry: JSON = {"input_file": uploaded.id, "batch": None, "keys": keys}
        state.batches.append(entry)
        state.save()
        entry["batch"] = _create(client, uploaded.id)
        state.save()
        waiting.append(f"{len(keys)} questions were handed in as batch {entry['batch']}")
    return waiting


def _create(client: openai.OpenAI, input_file: str) -> str:
    return client.batches.create(input_file_id=input_file, endpoint=ENDPOINT, completion_window="24h").id


def _created(client: openai.OpenAI, input_file: str) -> str:
    """Return the batch of an uploaded file: created just before a kill, or now."""
    for batch in client.batches.list(limit=100):
        if batch.input_file_id == input_file:
            return batch.id
    return _create(client, input_file)


def _line(judge: OpenAIJudge, key: str, request: JudgeRequest, *, again: bool) -> bytes:
    body = judge.server.body(judge.chat(request, again=again))
    line = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _parts(keys: Sequence[str], line: Callable[[str], bytes]) -> Iterator[tuple[list[str], list[bytes]]]:
    """Cut into parts of at most `MAX_REQUESTS` lines and `MAX_BYTES` bytes."""
    part: list[str] = []
    lines: list[bytes] = []
    size = 0
    for key in keys:
        made = line(key)
        if part and (len(part) >= MAX_REQUESTS or size + len(made) > MAX_BYTES):
            yield part, lines
            part, lines, size = [], [], 0
        part.append(key)
        lines.append(made)
        size += len(made)
    if part:
        yield part, lines


def _lines(client: openai.OpenAI, files: Sequence[str | None]) -> Iterator[Mapping[str, Any]]:
    for file in files:
        if file:
            for line in client.files.content(file).text.splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # its question stays open and is handed in again
                if isinstance(row, dict):
                    yield row
