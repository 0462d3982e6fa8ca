"""The judge's client against a bare loop over the `openai` client, on a server that answers after 50 ms.

python benchmarks/judge_throughput.py [--out benchmarks/results/judge_throughput.md]

Ends with status 1 if the judge reaches less than 80 % of the bare client's rate.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import multiprocessing
import platform
import statistics
import sys
import tempfile
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import openai
from common import processor

from analysis.judge.base import JudgeRequest
from analysis.judge.server.client import OpenAIJudge
from analysis.verdicts.asking import judge_descriptions
from ex2.run.descriptions import DescribedClass

DELAY, CONCURRENCY, REQUESTS, REPEATS = 0.05, 64, 2000, 5
WANTED = 0.8
"""Of the bare client's rate."""
BARE, JUDGE, LOGGED = "bare openai client", "judge", "judge with its log of verdicts"
ANSWER = json.dumps({"explanation": "It names the colour of the bird.", "increases_knowledge": "No"})
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ANSWER}}
USAGE = {"prompt_tokens": 200, "completion_tokens": 20, "total_tokens": 220}
BODY = json.dumps({"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [CHOICE]}).encode()
BODY = BODY[:-1] + b', "usage": ' + json.dumps(USAGE).encode() + b"}"
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request of one connection after the delay."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            await asyncio.sleep(DELAY)
            writer.write(REPLY)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def serve(port: Connection) -> None:
    """Run the server; tells its port."""

    async def run() -> None:
        server = await asyncio.start_server(_connection, "127.0.0.1", 0, backlog=256)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def bare_loop(url: str, chats: list[list[dict[str, str]]]) -> None:
    """What one would write without this project: a semaphore around the client."""
    limit = asyncio.Semaphore(CONCURRENCY)
    async with openai.AsyncOpenAI(api_key="none", base_url=url) as client:

        async def one(messages: list[dict[str, str]]) -> str:
            async with limit:
                done = await client.chat.completions.create(
                    model="m",
                    messages=messages,
                    temperature=0.1,
                    top_p=0.1,
                    max_tokens=128,
                    response_format={"type": "json_object"},
                )
                return done.choices[0].message.content

        await asyncio.gather(*(one(messages) for messages in chats))


def measure() -> dict[str, list[float]]:
    """Return requests per second: of the bare client, the judge, and the judge with its log, in alternation."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    rows = [DescribedClass("oak", f"a tree with number {index}") for index in range(REQUESTS)]
    requests = [JudgeRequest("informative", *row) for row in rows]
    rates: dict[str, list[float]] = {BARE: [], JUDGE: [], LOGGED: []}
    judge = OpenAIJudge("m", url, cache=":memory:")
    chats = [judge.chat(request).messages for request in requests]
    for turn in range(REPEATS + 1):
        with tempfile.TemporaryDirectory() as folder:
            asked = [OpenAIJudge("m", url, cache=f"{folder}/{n}.sqlite", concurrency=CONCURRENCY) for n in range(2)]
            log = Path(folder) / "verdicts.jsonl"
            runs = (
                partial(asyncio.run, bare_loop(url, chats)),
                partial(asked[0].answer, requests, lambda request, answer: None),
                partial(judge_descriptions, asked[1], rows, log, digest="d"),
            )
            for name, run in zip(rates, runs, strict=True):
                start = time.perf_counter()
                run()
                if turn:  # the first one warms up
                    rates[name].append(REQUESTS / (time.perf_counter() - start))
    server.terminate()
    return rates


def page(rates: dict[str, list[float]]) -> str:
    """Lay the rates out as a Markdown page with what they were measured on."""
    bare = statistics.median(rates[BARE])
    table = [
        f"| {name} | {statistics.median(found):.0f} | {min(found):.0f} to {max(found):.0f} | "
        f"{statistics.median(found) / bare:.0%} |"
        for name, found in rates.items()
    ]
    return "\n".join(
        [
            f"# The judge's throughput, {datetime.date.today().isoformat()}",
            "",
            f"`python benchmarks/judge_throughput.py`: {REQUESTS:,} requests, {CONCURRENCY} at once, to a server that",
            f"answers after {1000 * DELAY:.0f} ms; {REPEATS} rounds in alternation, after one to warm up. At least "
            f"{WANTED:.0%} of the bare client's rate is wanted.",
            f"{processor()}; one thread, the server in another process; Python {platform.python_version()}, openai "
            f"{openai.__version__}.",
            "",
            "| client | requests per second, median | from, to | of the bare client |",
            "|---|---|---|---|",
            *table,
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="also write a page, such as benchmarks/results/judge_throughput.md")
    options = parser.parse_args()
    rates = measure()
    bare = statistics.median(rates[BARE])
    shares = {name: statistics.median(found) / bare for name, found in rates.items()}
    for name, found in rates.items():
        print(
            f"{name} | {REQUESTS} requests, {CONCURRENCY} at once, {1000 * DELAY:.0f} ms each | one thread | "
            f"median {statistics.median(found):.0f} per second | {min(found):.0f} to {max(found):.0f} over {REPEATS} | "
            f"{shares[name]:.0%} of the bare client",
            flush=True,
        )
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(page(rates), encoding="utf-8")
    slow = [name for name, share in shares.items() if share < WANTED]
    for name in slow:
        print(f"{name}: below {WANTED:.0%} of the bare client", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
