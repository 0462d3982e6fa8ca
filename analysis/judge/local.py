"""A language model on this machine as judge, by its log-probabilities of yes and no.

The model writes nothing: one forward pass per question gives the probability that the next word is "Yes" rather than
"No". Its answers have not been checked against people's ("uncalibrated" in the report).

There are two wordings. `paper` asks the paper's question, but for one word instead of JSON; it needs a model with some
billion parameters. `short` asks in one sentence after eight worked examples. SmolLM2-135M, for example, gives lower
P(yes) to better descriptions with `paper` (AUC about 0.05), and orders them well with `short` (AUC 0.8 to 0.9), but its
P(yes) always stays below one half. This is why `threshold: examples` exists.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from analysis.judge.base import Answer, JudgeRequest, OnAnswer, Question, Unparsed, Verdict, contents
from analysis.judge.rubric import PAPER, one_line
from ex2.policy.loading import load_model, load_tokenizer
from ex2.policy.source import Dtype, ModelSource
from reward.backends.common import pick_device
from reward.errors import UserError, unknown_name
from reward.files import read_json
from reward.records import Record

Wording = Literal["paper", "short"]
Chat = list[dict[str, str]]


class LabeledSentence(NamedTuple):
    """A sentence about a class, with the right answers.

    Attributes:
        class_name: The class that the sentence is about.
        text: The sentence.
        informative: The answer to the first question.
        visual: The answer to the second question.
    """

    class_name: str
    text: str
    informative: bool
    visual: bool

    def asked(self, question: Question) -> JudgeRequest:
        """Return a question about the sentence."""
        return JudgeRequest(question, self.class_name, self.text)

    def label(self, question: Question) -> bool:
        """Return the right answer to a question."""
        return self.informative if question == "informative" else self.visual


@dataclass(frozen=True)
class ShortWording(Record):
    """Content of `local_examples.json`: the wording `short`, and sentences to set a threshold by.

    Attributes:
        version: Version of the wording.
        questions: Wording of each question, with {class_name}.
        shots: Sentences that are shown, with their answers, before every question.
        fitting: Sentences to which the threshold is fitted; they are about other classes and are never shown.
    """

    version: str
    questions: Mapping[Question, str]
    shots: tuple[LabeledSentence, ...]
    fitting: tuple[LabeledSentence, ...]


SHORT = ShortWording.from_json(read_json(Path(__file__).with_name("local_examples.json")))
_WORDS = {True: ("Yes", "yes", "YES"), False: ("No", "no", "NO")}
_MIN_PREFIX = 16
"""Number of tokens from which the prompts' common beginning is worth a cache."""


class Scored(NamedTuple):
    """The model's probabilities of yes and no to one question.

    Attributes:
        margin: log P(yes) - log P(no), where P is summed over the spellings of the word.
        mass: P(yes) + P(no) among all next tokens.
    """

    margin: float
    mass: float


class _Ranged(NamedTuple):
    """Settings that have invalid values; the default stands for a setting that is not given, and is valid."""

    wording: Any = "paper"
    threshold: Any = "examples"
    min_mass: Any = 0.0
    batch_size: Any = 1


class LocalJudge:
    """Judges with a causal language model of transformers.

    Args:
        model: Hub id, local folder, or `package:NAME` for a model that a package ships.
        gguf_file: A GGUF file in `model`, converted once and cached.
        revision: Commit of the hub repository.
        wording: `paper` or `short`, see the module's description.
        threshold: Least P(yes) / (P(yes) + P(no)) of a yes. `examples` fits it for each question to the labelled
            sentences in `local_examples.json`.
        min_mass: Least P(yes) + P(no) of an answer. Below it the model would have said something else, and the answer
            is unparsed.
        batch_size: Questions per forward pass.
        dtype: Precision of the model.
        device: `auto` or a torch device.
        trust_remote_code: Run code from the model's repository.

    Raises:
        UserError: If a setting is out of range, if the model does not exist, or if it has no single token for yes or
            for no.
        EnvironmentFault: If the hub cannot be reached.
    """

    exact = False
    immaterial: ClassVar[frozenset[str]] = frozenset({"batch_size", "device"})
    """Settings that do not change any answer."""

    def __init__(
        self,
        model: str,
        gguf_file: str | None = None,
        revision: str | None = None,
        wording: Wording = "paper",
        threshold: float | Literal["examples"] = 0.5,
        min_mass: float = 0.05,
        batch_size: int = 16,
        dtype: Dtype = "float32",
        device: str = "auto",
        trust_remote_code: bool = False,
    ) -> None:
        checked = {"wording": wording, "threshold": threshold, "min_mass": min_mass, "batch_size": batch_size}
        problems = self.setting_problems(checked, "judge")
        if problems:
            raise UserError("\n".join(problems))
        source = ModelSource(model, revision, gguf_file, dtype, trust_remote_code=trust_remote_code, named_in="judge")
        self._tokenizer = load_tokenizer(source)
        self._model = load_model(source, pick_device(device)).train(False)
        self._answers = answer_tokens(self._tokenizer)
        self._wording, self._min_mass, self._batch_size = wording, min_mass, batch_size
        self._threshold = threshold
        self._margins: dict[Question, float] = {}
        self.rubric_version = PAPER.version if wording == "paper" else SHORT.version
        fitted = f", threshold from {len(SHORT.fitting)} examples" if threshold == "examples" else ""
        self.name = f"local {gguf_file or model}, {wording} wording{fitted}"

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: Iterable[str] = ()) -> list[str]:
        """List settings that are out of range; the arguments are those of `reward.components.settings_problems`."""
        given = _Ranged(**{key: settings[key] for key in _Ranged._fields if key in settings})
        problems = []
        if given.wording not in WORDINGS:
            problems.append(unknown_name(f"{where}.wording", given.wording, WORDINGS))
        if given.threshold != "examples" and not (isinstance(given.threshold, int | float) and 0 < given.threshold < 1):
            problems.append(
                f"{where}.threshold: given {given.threshold!r}; allowed is above 0 and below 1, or 'examples', which "
                "fits it."
            )
        if not 0 <= given.min_mass <= 1:
            problems.append(f"{where}.min_mass: given {given.min_mass!r}; allowed is 0 to 1, a probability.")
        if given.batch_size < 1:
            problems.append(f"{where}.batch_size: given {given.batch_size!r}; allowed is at least 1.")
        return problems

    def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
        """Answer every request, calling `on_answer` once for each, first for one question and then for the other."""
        for question in dict.fromkeys(request.question for request in requests):
            batch = [request for request in requests if request.question == question]
            smallest = self._smallest_margin(question)
            for index, scored in self._scores(batch):
                on_answer(batch[index], self._verdict(scored, smallest))

    def _verdict(self, scored: Scored, smallest: float) -> Answer:
        raw = f"P(yes)={_probability(scored.margin):.3f}, P(yes or no)={scored.mass:.3f}"
        if scored.mass < self._min_mass:
            return Unparsed(raw)
        return Verdict(scored.margin >= smallest, f"{raw}, yes from {_probability(smallest):.3f}")

    def _smallest_margin(self, question: Question) -> float:
        """Return the margin from which the answer to this question is yes."""
        if self._threshold != "examples":
            return float(torch.logit(torch.tensor(self._threshold, dtype=torch.float64)))
        if question not in self._margins:
            rows = SHORT.fitting
            scored = dict(self._scores([row.asked(question) for row in rows]))
            labels = [row.label(question) for row in rows]
            self._margins[question] = best_threshold([scored[index].margin for index in range(len(rows))], labels)
        return self._margins[question]

    @torch.inference_mode()
    def _scores(self, requests: Sequence[JudgeRequest]) -> Iterator[tuple[int, Scored]]:
        """Yield index and score of every request, the shortest first."""
        prompts = [self._tokens(request) for request in requests]
        shared = common_prefix(prompts)
        cache = self._run([prompts[0][:shared]], None).past_key_values if shared >= _MIN_PREFIX else None
        if cache is None:  # too short, or a model without a key-value cache
            shared = 0
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        for start in range(0, len(order), self._batch_size):
            chosen = order[start : start + self._batch_size]
            rests = [prompts[index][shared:] for index in chosen]
            logprobs = self._run(rests, cache).logits.float().log_softmax(dim=-1)
            places = sorted({len(rest) - 1 for rest in rests})
            for row, (index, rest) in enumerate(zip(chosen, rests, strict=True)):
                last = logprobs[row, places.index(len(rest) - 1)]
                yes, no = (torch.logsumexp(last[self._answers[word]], dim=0) for word in (True, False))
                yield index, Scored(float(yes - no), float(yes.exp() + no.exp()))

    def _run(self, rows: list[list[int]], cache: Any) -> Any:
        """Run the model on rows of tokens that follow a cached beginning; logits only where a row ends."""
        longest = max(map(len, rows))
        done = cache.get_seq_length() if cache is not None else 0
        # Padding on the right: no earlier token sees it, so that every row can follow the same cache.
        tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * (done + len(row)) + [0] * (longest - len(row)) for row in rows])
        places = torch.tensor(sorted({len(row) - 1 for row in rows}))
        if cache is not None:
            cache = copy.deepcopy(cache)  # a forward writes into it
            cache.batch_repeat_interleave(len(rows))
        device = self._model.device
        return self._model(
            input_ids=tokens.to(device),
            attention_mask=mask.to(device),
            position_ids=(done + torch.arange(longest)).expand(len(rows), -1).to(device),
            past_key_values=cache,
            logits_to_keep=places.to(device),
            use_cache=True,
        )

    def _tokens(self, request: JudgeRequest) -> list[int]:
        chat = WORDINGS[self._wording](
            JudgeRequest(request.question, request.class_name, without_special(request.description, self._tokenizer))
        )
        if self._tokenizer.chat_template is None:
            text = "\n\n".join(contents(chat)) + "\nAnswer:"
            return list(self._tokenizer(text).input_ids)
        text = str(self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
        return list(self._tokenizer(text, add_special_tokens=False).input_ids)


def paper_wording(request: JudgeRequest) -> Chat:
    """Ask the paper's question, but for a one-word answer: the paper's JSON would begin with an explanation."""
    return [
        {"role": "system", "content": "You are a knowledgeable teacher."},
        {"role": "user", "content": f"{PAPER.question(request)}\n\nAnswer with one word, Yes or No."},
    ]


def short_wording(request: JudgeRequest) -> Chat:
    """Ask in one sentence, after eight worked examples."""
    question = SHORT.questions[request.question]

    def ask(asked: JudgeRequest) -> dict[str, str]:
        words = question.format(class_name=asked.class_name)
        return {"role": "user", "content": f"Text: {one_line(asked.description)}\n{words}"}

    chat = []
    for shot in SHORT.shots:
        answer = "Yes" if shot.label(request.question) else "No"
        chat += [ask(shot.asked(request.question)), {"role": "assistant", "content": answer}]
    return [*chat, ask(request)]


WORDINGS: dict[Wording, Callable[[JudgeRequest], Chat]] = {"paper": paper_wording, "short": short_wording}


def answer_tokens(tokenizer: PreTrainedTokenizerBase, named_in: str = "judge") -> dict[bool, torch.Tensor]:
    """Return the tokens that spell a whole yes (True) or no (False), in any case, with or without a space.

    Args:
        tokenizer: The model's tokenizer.
        named_in: The recipe's section that names the model, for messages.

    Raises:
        UserError: If no spelling of one of them is a single token.
    """
    found = {}
    for meaning, words in _WORDS.items():
        spellings = [tokenizer.encode(space + word, add_special_tokens=False) for word in words for space in ("", " ")]
        tokens = sorted({ids[0] for ids in spellings if len(ids) == 1 and ids[0] != tokenizer.unk_token_id})
        if not tokens:
            raise UserError(f"{named_in}.model: its tokenizer has no single token for '{words[0]}'; use another model.")
        found[meaning] = torch.tensor(tokens)
    return found


def without_special(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a description without the tokenizer's control tokens, with which it could end its own quotation."""
    for token in sorted({*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}, key=len, reverse=True):
        text = text.replace(token, " ") if token.strip() else text
    return text


def common_prefix(prompts: Sequence[list[int]]) -> int:
    """Return the length of the prompts' common beginning in tokens, at most one less than the shortest prompt."""
    first, last = min(prompts), max(prompts)  # of sorted sequences, the extremes differ first
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    return min(shared, min(map(len, prompts)) - 1)


def best_threshold(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Return the score from which "yes" agrees best with the labels.

    Args:
        scores: One per example.
        labels: True for yes; both kinds occur.

    Returns:
        The middle of the gap between two neighbouring scores at which the mean of the accuracies on yes and on no is
        highest; of equally good gaps, the widest.
    """
    ordered = sorted(set(scores))
    positives, negatives = sum(labels), len(labels) - sum(labels)

    def quality(gap: tuple[float, float]) -> tuple[float, float]:
        hits = sum(label for score, label in zip(scores, labels, strict=True) if score >= gap[1])
        rejections = sum(not label for score, label in zip(scores, labels, strict=True) if score <= gap[0])
        return hits / positives + rejections / negatives, gap[1] - gap[0]

    gaps = list(itertools.pairwise(ordered)) or [(ordered[0], ordered[0])]
    below, above = max(gaps, key=quality)
    return (below + above) / 2


def _probability(margin: float) -> float:
    return float(torch.sigmoid(torch.tensor(margin)))
