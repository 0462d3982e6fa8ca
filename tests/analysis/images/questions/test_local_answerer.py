"""A model on this machine answers by its probabilities, which are those of a softmax written out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from asked_questions import row, write_rows
from PIL import Image
from tiny_llava import save_llava
from transformers import AutoModelForImageTextToText, AutoProcessor

from analysis.images.questions.answerers.local import LocalAnswerer, yes_tokens
from analysis.images.questions.answerers.local_wording import is_vqascore
from analysis.images.questions.answerers.table import build_answerer
from analysis.images.questions.files import ImageQuestion, read_question_files
from analysis.judge.base import Unparsed, Verdict
from reward.errors import UserError

QUESTIONS = ("Is the thing red?", "Is the thing in the picture round or square?", "Does the thing have dots?")


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture
def questions(tmp_path: Path) -> list[ImageQuestion]:
    drawn = np.random.RandomState(0).randint(0, 256, (3, 24, 20, 3), dtype=np.uint8)
    for number, pixels in enumerate(drawn):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    rows = [row(f"{number}.png", question) for number, question in enumerate(QUESTIONS)]
    (read,) = read_question_files({"q": write_rows(tmp_path / "q.jsonl", rows)})
    return [one.question for one in read.asked]


def written_out(llava: Path, question: ImageQuestion) -> dict[str, float]:
    """Probabilities of the next token, by the real classes and a softmax in Python's own numbers."""
    processor = AutoProcessor.from_pretrained(llava)
    model = AutoModelForImageTextToText.from_pretrained(llava).eval()
    assert question.path is not None
    text = f"<image> {question.question} Please answer yes or no. answer :"
    with torch.no_grad():
        inputs = processor(text=text, images=Image.open(question.path).convert("RGB"), return_tensors="pt")
        logits = [float(value) for value in model(**inputs).logits[0, -1].double()]
    most = max(logits)
    total = sum(math.exp(value - most) for value in logits)
    vocabulary = processor.tokenizer.get_vocab()
    return {word: math.exp(logits[vocabulary[word]] - most) / total for word in ("Yes", "No", "yes", "no", "red")}


def test_the_probability_of_yes_is_a_softmax_of_the_logits(llava: Path, questions: list[ImageQuestion]) -> None:
    answerer = LocalAnswerer(str(llava), device="cpu")
    for question, scored in zip(questions, answerer.scores(questions), strict=True):
        by_hand = written_out(llava, question)
        assert scored.p_yes == pytest.approx(by_hand["Yes"], abs=1e-5)
        assert scored.yes == pytest.approx(by_hand["Yes"] + by_hand["yes"], abs=1e-5), "in any spelling"
        assert scored.no == pytest.approx(by_hand["No"] + by_hand["no"], abs=1e-5)
        assert scored.p_yes != pytest.approx(by_hand["red"], abs=1e-5), "not that of another word"


def test_a_question_has_the_same_answer_in_any_batch(llava: Path, questions: list[ImageQuestion]) -> None:
    together = LocalAnswerer(str(llava), device="cpu").scores(questions)
    lengths = {len(question.question.split()) for question in questions}
    assert len(lengths) > 1, "so that rows are padded"
    for question, in_batch in zip(questions, together, strict=True):
        (alone,) = LocalAnswerer(str(llava), batch_size=1, device="cpu").scores([question])
        assert alone == pytest.approx(in_batch, abs=1e-5)
    assert len({round(one.p_yes, 4) for one in together}) == 3, "another question or image has another answer"


def test_it_looks_at_the_image(llava: Path, questions: list[ImageQuestion]) -> None:
    other = questions[1]._replace(question=questions[0].question)
    first, second = LocalAnswerer(str(llava), device="cpu").scores([questions[0], other])
    assert abs(first.p_yes - second.p_yes) > 1e-4


def test_answers_follow_the_greater_probability_and_little_mass_is_unparsed(
    llava: Path, questions: list[ImageQuestion]
) -> None:
    answers = {}
    answerer = LocalAnswerer(str(llava), min_mass=0.0, device="cpu")
    answerer.answer(questions, answers.__setitem__)
    for question, scored in zip(questions, answerer.scores(questions), strict=True):
        given = answers[question]
        assert isinstance(given, Verdict)
        assert given.answer is (scored.yes > scored.no)
        assert given.p_yes == pytest.approx(scored.p_yes)
    strict: dict[ImageQuestion, object] = {}
    LocalAnswerer(str(llava), min_mass=0.999, device="cpu").answer(questions, strict.__setitem__)
    assert all(isinstance(given, Unparsed) for given in strict.values())


def test_a_model_without_a_chat_template_is_asked_plainly(tmp_path: Path) -> None:
    answerer = LocalAnswerer(str(save_llava(tmp_path / "plain", template=None)), device="cpu")
    assert answerer.text("Is it red?") == "<image>\nIs it red? Please answer yes or no.\nAnswer:"
    assert answerer.text("Is <image> red?").count("<image>") == 1, "a question cannot show an image of its own"


def test_vqascore_has_its_own_words_only() -> None:
    assert is_vqascore('Does this figure show "a cat"?')
    for other in ('Does this image show "a cat"?', "Is it a cat?", 'Does this figure show "a cat"? Really?', ""):
        assert not is_vqascore(other)


def test_tokens_of_yes_are_that_spelling_alone(llava: Path) -> None:
    tokenizer = AutoProcessor.from_pretrained(llava).tokenizer
    assert yes_tokens(tokenizer).tolist() == [tokenizer.get_vocab()["Yes"]]


def test_what_cannot_be_loaded_is_told_in_a_line(tmp_path: Path, mistral: Path) -> None:
    with pytest.raises(UserError, match=r"^answerers\[0\]\.model: no folder '\./nowhere'; give a hub id"):
        build_answerer("local", {"model": "./nowhere"}, "answerers[0]")
    with pytest.raises(UserError, match=r"^answerers\[0\]\.model: no model of images and text with its processor in "):
        build_answerer("local", {"model": str(mistral)}, "answerers[0]")
    with pytest.raises(UserError) as raised:
        build_answerer("local", {"model": "x", "min_mass": 2, "batch_size": 0}, "answerers[0]")
    assert str(raised.value).splitlines() == [
        "answerers[0].min_mass: given 2; allowed is 0 to 1, a probability.",
        "answerers[0].batch_size: given 0; allowed is at least 1.",
    ]
