"""The Batch API: questions are handed in as a file, and the same command collects the answers later.

The batches under way are listed in a file in the seed's folder. The file is written before a batch is created, so that
a kill in between neither loses a batch nor pays for it twice. A question is given up, as unparsed, after
`MOST_FAILURES` batches without a reply to it or after two replies that cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import openai

from analysis.judge.base import Answer, NotYet, Q, Unparsed, Usage
from analysis.judge.server.batch_results import Response, ResultLine, read_lines
from analysis.judge.server.batch_state import BatchState, HandedIn
from analysis.judge.server.conversation import Conversation
from analysis.judge.server.faults import REFUSALS
from analysis.judge.server.replies import Reply, read_reply, short
from reward.errors import EnvironmentFault, UserError

BATCH_FILE = "judge_batches.json"
ENDPOINT: Final = "/v1/chat/completions"
MAX_REQUESTS, MAX_BYTES = 50_000, 100 << 20
"""Most requests and most bytes of one batch; OpenAI allows 50,000 requests and 200 MB."""

MOST_FAILURES = 2
"""Number of failures after which a question is unparsed. A failure counts if other questions of its batch were
answered."""

_NOT_ITS_FAULT = (401, 403, 408, 429)
"""HTTP statuses of failures that are not due to the question."""

_UNDER_WAY = ("validating", "in_progress", "finalizing", "cancelling")


def collect_or_submit(
    conversation: Conversation[Q], requests: Sequence[Q], on_answer: Callable[[Q, Answer], None], path: Path
) -> None:
    """Pass on the answers of finished batches, and hand in the questions that are still open.

    Before a batch is handed in, one question is asked directly: this finds the answer format that the server takes, and
    shows a wrong key or model at once instead of after a day. Questions that expired are handed in again. Questions
    that failed, or whose answer cannot be read, are handed in once more.

    Args:
        conversation: Builds the questions and reads the answers.
        requests: Questions without an answer.
        on_answer: Called once for each answer, as by `Judge.answer`.
        path: Path of the file that lists the batches under way.

    Raises:
        NotYet: If a batch is under way.
        UserError: If the server has no Batch API, or if it refuses a batch, the key or the model.
        EnvironmentFault: If the server cannot be reached, or if every request of a batch failed.
    """
    if not requests:
        return
    server = conversation.server
    try:
        with server.address.client(openai.OpenAI, server.timeout, server.max_retries) as client:
            missing = {conversation.key(request): request for request in requests}
            state = BatchState(path)
            waiting = _collect(client, conversation, missing, on_answer, state)
            if not waiting and missing:
                waiting = _submit(client, conversation, missing, on_answer, state)
    except openai.APIError as error:
        raise server.fault(error) from error
    if waiting:
        raise NotYet(f"{server.where}: {'; '.join(waiting)}. Run the same command later to go on.")


class _Failure(NamedTuple):
    """Why a line of a result file holds no answer, and whether the question may be the cause (`counts`)."""

    reason: str
    counts: bool


def _collect(
    client: openai.OpenAI,
    conversation: Conversation[Q],
    missing: dict[str, Q],
    on_answer: Callable[[Q, Answer], None],
    state: BatchState,
) -> list[str]:
    """Pass answers on and remove their questions from `missing`; return which batches are under way, in words."""
    waiting: list[str] = []
    asked = set(missing)  # a batch keeps answers to others: a later call may ask for them
    for batch in [batch for batch in state.batches if missing.keys() & set(batch.keys)]:
        if batch.batch_id is None:
            batch.batch_id = _created(client, batch.input_file)
            state.save()
        try:
            found = client.batches.retrieve(batch.batch_id)
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
            reasons = short(conversation.server.address.hide("; ".join(errors))) or "no reason given"
            raise UserError(
                f"{conversation.server.where}: batch {found.id} was refused ({reasons}); correct the judge's "
                "settings, or use mode: direct; the same command hands it in anew."
            )
        failures = {key: _Failure("no line in the results", counts=found.status == "completed") for key in batch.keys}
        for line in _lines(client, conversation, (found.output_file_id, found.error_file_id)):
            failure = _take(conversation, line, missing, on_answer, state)
            if failure is None:
                failures.pop(line.custom_id, None)
            elif line.custom_id in failures:
                failures[line.custom_id] = failure
        works = len(failures) < len(batch.keys)
        ended = _count_failures(failures, missing, on_answer, state, works=works)
        batch.keys = [key for key in batch.keys if key not in asked]
        if not batch.keys:
            state.batches.remove(batch)
        state.save()
        if not works and not ended:
            reasons = short(next(iter(failures.values())).reason)
            raise EnvironmentFault(
                f"{conversation.server.where}: batch {found.id} is {found.status} without one answer "
                f"({reasons}); the same command hands it in anew."
            )
    return waiting


def _take(
    conversation: Conversation[Q],
    line: ResultLine,
    missing: dict[str, Q],
    on_answer: Callable[[Q, Answer], None],
    state: BatchState,
) -> _Failure | None:
    """Use one line of a result file; return why it holds no reply, or None."""
    key = line.custom_id
    request = missing.get(key)
    if request is None:
        return None  # answered before a kill
    response = line.response or Response()
    reply = read_reply(response.body or {})
    if response.status_code in REFUSALS:
        reply = Reply(f"{response.status_code}: {json.dumps(response.body)}", refused=True, spent=Usage())
    if reply is None:
        return _Failure(line.reason, counts=not line.ended_early and response.status_code not in _NOT_ITS_FAULT)
    tries = state.tries(key)
    tries.spent = tries.spent.plus(reply.spent).plus(Usage(requests=1))
    answer = conversation.read(request, reply._replace(spent=tries.spent))
    if isinstance(answer, Unparsed) and not tries.unreadable:
        tries.unreadable = True
        state.note(key, tries)
        return None
    state.done(key)
    del missing[key]
    on_answer(request, answer)
    return None


def _count_failures(
    failures: Mapping[str, _Failure],
    missing: dict[str, Q],
    on_answer: Callable[[Q, Answer], None],
    state: BatchState,
    *,
    works: bool,
) -> int:
    """Note the failures of a batch; return how many questions end here, as unparsed.

    If nothing in the batch was answered (not `works`), the server is at fault, and failures count only for questions
    that had failed before.
    """
    ended = 0
    for key, failure in failures.items():
        tries = state.tries(key)
        if key not in missing or not failure.counts or not (works or tries.failed):
            continue
        tries.failed, tries.spent = tries.failed + 1, tries.spent.plus(Usage(requests=1))
        state.note(key, tries)
        if tries.failed >= MOST_FAILURES:
            state.done(key)
            on_answer(missing.pop(key), Unparsed(f"failed {tries.failed} times: {failure.reason}", tries.spent))
            ended += 1
    return ended


def _submit(
    client: openai.OpenAI,
    conversation: Conversation[Q],
    missing: dict[str, Q],
    on_answer: Callable[[Q, Answer], None],
    state: BatchState,
) -> list[str]:
    """Ask one question directly and hand in the others; return which batches are under way, in words."""
    _ask_one(conversation, missing, on_answer, state)
    waiting = []
    for keys, lines in _parts(list(missing), lambda key: _line(conversation, key, missing[key], state)):
        try:
            uploaded = client.files.create(file=("questions.jsonl", b"".join(lines)), purpose="batch")
        except openai.NotFoundError as error:
            raise UserError(
                f"{conversation.server.where}: has no Batch API (404 on /files); use mode: direct."
            ) from error
        batch = HandedIn(uploaded.id, None, keys)
        state.batches.append(batch)
        state.save()
        batch.batch_id = _create(client, uploaded.id)
        state.save()
        waiting.append(f"{len(keys)} questions were handed in as batch {batch.batch_id}")
    return waiting


def _ask_one(
    conversation: Conversation[Q], missing: dict[str, Q], on_answer: Callable[[Q, Answer], None], state: BatchState
) -> None:
    """Ask one question directly, before a batch: one never asked, or else one whose reply could not be read.

    If all questions left have failed before, the rubric's example is asked instead to show whether the server works,
    because they might fail again.
    """
    chosen = min(missing, key=lambda key: (state.tries(key).failed, state.tries(key).unreadable))
    tries = state.tries(chosen)
    if not tries.failed:
        conversation.ask([conversation.chat(missing.pop(chosen), again=tries.unreadable, spent=tries.spent)], on_answer)
        state.done(chosen)
    else:
        replies: list[Answer] = []
        conversation.ask([conversation.example(missing[chosen])], lambda request, answer: replies.append(answer))
        for reply in replies:
            tries.spent = tries.spent.plus(reply.spent or Usage())
        state.note(chosen, tries)
    state.save()


def _create(client: openai.OpenAI, input_file: str) -> str:
    return client.batches.create(input_file_id=input_file, endpoint=ENDPOINT, completion_window="24h").id


def _created(client: openai.OpenAI, input_file: str) -> str:
    """Return the id of an uploaded file's batch: one that was created just before a kill, or else a new one."""
    for batch in client.batches.list(limit=100):
        if batch.input_file_id == input_file:
            return batch.id
    return _create(client, input_file)


def _line(conversation: Conversation[Q], key: str, request: Q, state: BatchState) -> bytes:
    body = conversation.server.body(conversation.chat(request, again=state.tries(key).unreadable))
    line = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _parts(keys: Sequence[str], line: Callable[[str], bytes]) -> Iterator[tuple[list[str], list[bytes]]]:
    """Yield keys and lines of the questions in parts of at most `MAX_REQUESTS` lines and `MAX_BYTES` bytes."""
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


def _lines(client: openai.OpenAI, conversation: Conversation[Q], files: Sequence[str | None]) -> Iterator[ResultLine]:
    for file in files:
        if file:
            yield from read_lines(conversation.server.address.hide(client.files.content(file).text))
