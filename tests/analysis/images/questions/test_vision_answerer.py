"""A server is sent the very pixels, asked once, and what it says is kept; no key is stored."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asked_questions import given_by, row, write_rows
from batch_stub import BatchServer, starting_batches
from judge_stub import Handler, Reply, Server, completion, failure, starting
from PIL import Image

from analysis.images.questions.answerers.prompts import image_tokens, scaled
from analysis.images.questions.answerers.server import OpenAIAnswerer
from analysis.images.questions.files import QuestionFile, read_question_files
from analysis.judge.base import Answer, NotYet, Unparsed, Verdict
from reward.errors import EnvironmentFault, UserError

SECRET = "sk-a-secret-key-of-many-characters"
start = pytest.fixture(starting)
batches = pytest.fixture(starting_batches)


def noise(path: Path, seed: int, size: tuple[int, int] = (13, 7)) -> np.ndarray[Any, Any]:
    pixels = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def asked(tmp_path: Path) -> QuestionFile:
    for seed in range(3):
        noise(tmp_path / f"{seed}.png", seed)
    rows = [row(f"{seed}.png", f"Is it {word}?") for seed in range(3) for word in ("red", "blue")]
    (read,) = read_question_files({"q": write_rows(tmp_path / "q.jsonl", rows)})
    return read


def parts(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The text and the image of a request of OpenAI's documented form."""
    (message,) = body["messages"]
    text, image = message["content"]
    assert message["role"] == "user"
    assert text["type"] == "text"
    assert image["type"] == "image_url"
    return text["text"], image["image_url"]


def pixels_of(url: str) -> np.ndarray[Any, Any]:
    kind, _, content = url.partition(",")
    assert kind == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
    assert image.info == {}, "no metadata"
    return np.asarray(image)


def red_is_yes(body: dict[str, Any], number: int) -> Reply:
    return completion(json.dumps({"answer": "Yes" if "red" in parts(body)[0] else "No"}))


def test_the_server_gets_the_very_pixels(
    start: Callable[[Handler], Server], asked: QuestionFile, tmp_path: Path
) -> None:
    server = start(red_is_yes)
    answers = given_by(OpenAIAnswerer("vision", server.url, detail="low", concurrency=1), asked.asked)
    assert [isinstance(one, Verdict) and one.answer for one in answers] == [True, False] * 3
    seen = {}
    for body in server.asked:
        text, image = parts(body)
        assert image["detail"] == "low"
        seen[text.splitlines()[-1], pixels_of(image["url"]).tobytes()] = True
    expected = {
        (f"Is it {word}?", noise(tmp_path / "again.png", seed).tobytes())
        for seed in range(3)
        for word in ("red", "blue")
    }
    assert set(seen) == expected
    assert (answers[0].spent or answers[0]) == answers[0].spent
    assert answers[0].spent is not None
    assert answers[0].spent.requests == 1


def test_an_image_that_is_too_long_is_scaled_and_metadata_stay_here(
    start: Callable[[Handler], Server], tmp_path: Path
) -> None:
    image = Image.fromarray(np.random.RandomState(0).randint(0, 256, (60, 200, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    image.save(tmp_path / "long.jpg", exif=exif)
    (read,) = read_question_files({"q": write_rows(tmp_path / "q.jsonl", [row("long.jpg")])})
    server = start(red_is_yes)
    given_by(OpenAIAnswerer("vision", server.url, longest=50), read.asked)
    _, sent = parts(server.asked[0])
    assert pixels_of(sent["url"]).shape == (15, 50, 3)
    assert b"taken at home" not in base64.b64decode(sent["url"].partition(",")[2])


def test_answers_are_kept_and_a_changed_image_is_another_question(
    start: Callable[[Handler], Server], asked: QuestionFile, tmp_path: Path
) -> None:
    server = start(red_is_yes)
    first = given_by(OpenAIAnswerer("vision", server.url), asked.asked)
    assert len(server.asked) == 6
    again = given_by(OpenAIAnswerer("vision", server.url), asked.asked)
    assert len(server.asked) == 6, "nothing is asked again"
    assert [one.raw for one in again] == [one.raw for one in first]
    assert all(one.spent is None for one in again), "and nothing is paid"
    noise(tmp_path / "0.png", 7)
    (changed,) = read_question_files({"q": asked.path})
    given_by(OpenAIAnswerer("vision", server.url), changed.asked)
    assert len(server.asked) == 8, "two questions about the changed image"
    given_by(OpenAIAnswerer("vision", server.url, longest=32), changed.asked[2:3])
    assert len(server.asked) == 9, "an image that may be scaled otherwise is another question"


def test_an_image_that_changes_while_it_is_asked_about_is_refused(
    start: Callable[[Handler], Server], asked: QuestionFile, tmp_path: Path
) -> None:
    noise(tmp_path / "1.png", 99)
    with pytest.raises(UserError, match=r"1\.png: has changed since the questions were read"):
        given_by(OpenAIAnswerer("vision", start(red_is_yes).url), asked.asked)


def test_no_key_is_stored(
    start: Callable[[Handler], Server], asked: QuestionFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)
    server = start(lambda body, number: completion(f"Yes, and your key is {SECRET}."))
    answers = given_by(OpenAIAnswerer("vision", server.url, "MY_KEY", folder=tmp_path / "run"), asked.asked)
    assert not any(SECRET in one.raw for one in answers)
    stored = [path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert stored
    assert not any(SECRET.encode() in content for content in stored)


def test_a_sentence_counts_and_maybe_is_asked_twice_and_not_guessed(
    start: Callable[[Handler], Server], asked: QuestionFile
) -> None:
    server = start(lambda body, number: completion("maybe" if "blue" in parts(body)[0] else "Yes, there is."))
    answers = given_by(OpenAIAnswerer("vision", server.url), asked.asked)
    assert [type(one) for one in answers] == [Verdict, Unparsed] * 3
    assert len(server.asked) == 3 + 2 * 3, "what cannot be read is asked once more"
    again = [one for one in answers if isinstance(one, Unparsed)]
    assert all(one.spent is not None and one.spent.requests == 2 for one in again)


def test_what_is_wrong_with_server_or_settings_is_told_by_the_answerers_section(
    start: Callable[[Handler], Server], asked: QuestionFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = "measure.answerers[1]"
    server = start(lambda body, number: failure(404, "model 'blind' does not exist"))
    with pytest.raises(
        UserError, match=r"^measure\.answerers\[1\] http.*: not found: model 'blind' or the path .*check"
    ):
        given_by(OpenAIAnswerer("blind", server.url, named_in=here), asked.asked)
    refused = start(lambda body, number: failure(400, "this model takes no images"))
    with pytest.raises(UserError, match=r"refused the request for model 'blind' \(400: this model takes no images\)"):
        given_by(OpenAIAnswerer("blind", refused.url, named_in=here), asked.asked)
    with pytest.raises(EnvironmentFault, match=r"cannot be reached .*measure\.answerers\[1\]\.base_url"):
        given_by(OpenAIAnswerer("m", "http://127.0.0.1:9/v1", max_retries=0, named_in=here), asked.asked)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(
        UserError, match=r"^measure\.answerers\[1\]: the environment variable OPENAI_API_KEY is not set"
    ):
        given_by(OpenAIAnswerer("gpt-4o-mini", named_in=here), asked.asked)
    with pytest.raises(UserError) as raised:
        OpenAIAnswerer(
            "m", "ftp://x", longest=5, tokens_per_image=-1, temperature=3, extra_body={"messages": []}, named_in=here
        )
    assert str(raised.value).splitlines() == [
        f"{here}.temperature: given 3; allowed is 0 to 2.",
        f"{here}.extra_body: 'messages' is what is asked of whom; leave it out.",
        f"{here}.base_url: 'ftp://x' is no http(s) URL; give one such as http://localhost:8000/v1.",
        f"{here}.longest: given 5; allowed are 32 to 4,096 pixels.",
        f"{here}.tokens_per_image: given -1; allowed is at least 0.",
    ]


def test_an_estimate_counts_images_and_sends_nothing(start: Callable[[Handler], Server], asked: QuestionFile) -> None:
    server = start(red_is_yes)
    prices = {"input": 1.0, "output": 10.0}
    answerer = OpenAIAnswerer("vision", server.url, price_per_million=prices, max_tokens=4)
    questions = [one.question for one in asked.asked]
    found = answerer.estimate(questions)
    assert server.asked == []
    text = "Look at the image and answer the question with one word, yes or no.\nIs it red?"
    words = [-(-len(text.replace("red", word)) // 4) + 4 for word in ("red", "blue")]
    # 13 × 7 pixels are one tile: 85 + 170 tokens.
    assert found.spent == (6, 6 * 255 + 3 * sum(words), 6 * 4)
    assert found.cost == pytest.approx((found.spent.input_tokens + 10 * 24) / 1e6)
    given_by(answerer, asked.asked)
    assert answerer.estimate(questions).cached == 6


def test_tokens_of_an_image_are_counted_as_documented() -> None:
    # OpenAI's worked examples: 1,024² → 768², four tiles; 2,048 × 4,096 → 768 × 1,536, six tiles; low: 85.
    assert image_tokens(1024, 1024) == 85 + 4 * 170 == 765
    assert image_tokens(2048, 4096) == 85 + 6 * 170 == 1105
    assert image_tokens(4096, 8192, "low") == 85
    assert scaled(4000, 1000, 2048) == (2048, 512)
    assert scaled(20, 10, 2048) == (20, 10), "a small one keeps its size"


def test_questions_wait_in_a_batch_and_are_collected(batches: BatchServer, asked: QuestionFile, tmp_path: Path) -> None:
    batches.respond = lambda body: json.dumps({"answer": "Yes" if "red" in parts(body)[0] else "No"})
    folder = tmp_path / "run"
    found: dict[str, Answer] = {}

    def call() -> None:
        answerer = OpenAIAnswerer("vision", batches.url, mode="batch", folder=folder, named_in="answerers[0]")
        left = [one.question for one in asked.asked if one.question.image + one.question.question not in found]
        answerer.answer(left, lambda one, answer: found.__setitem__(one.image + one.question, answer))

    with pytest.raises(NotYet, match=r"^answerers\[0\] http.*: 5 questions were handed in as batch batch_0"):
        call()
    assert len(batches.direct) == 1, "one is asked directly, which shows a wrong model at once"
    seen = {pixels_of(parts(line["body"])[1]["url"]).tobytes() for line in batches.lines("batch_0")}
    assert seen == {noise(tmp_path / "again.png", seed).tobytes() for seed in range(3)}, "images are in the batch"
    batches.finish("batch_0")
    call()
    assert len(found) == 6
    assert all(isinstance(one, Verdict) for one in found.values())
    assert [one.answer for one in found.values() if isinstance(one, Verdict)].count(True) == 3
    assert len(batches.direct) == 1
