"""A vision-language model on this machine as answerer, by its log-probabilities of yes and no.

The model writes nothing: one forward pass a question gives the probability that its next word is "Yes" rather than
"No". Asked whether a figure shows a text, in the words `Does this figure show "…"?`, the probability of "Yes" among all
next tokens is VQAScore (Lin et al. 2024, arXiv 2404.01291); of other questions it is P(yes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from analysis.images.questions.answerers.base import OnAnswer
from analysis.images.questions.answerers.local_wording import INSTRUCTION
from analysis.images.questions.files import ImageQuestion
from analysis.judge.base import Answer, Unparsed, Verdict
from analysis.judge.local import answer_tokens, without_special
from ex2.policy.loading import DTYPES, resolve_model
from ex2.policy.source import Dtype
from reward.backends.common import pick_device
from reward.errors import EnvironmentFault, EX2Error, UserError, shortened
from reward.numerals import decimal


class Scored(NamedTuple):
    """The model's probabilities of its next token.

    Attributes:
        p_yes: Probability of the token "Yes", with or without a blank before it.
        yes: Probability of yes in any spelling.
        no: Probability of no in any spelling.
    """

    p_yes: float
    yes: float
    no: float


class _Ranged(NamedTuple):
    """Settings that have invalid values; the default stands for a setting that is not given, and is valid."""

    min_mass: float = 0.0
    batch_size: int = 1


class LocalAnswerer:
    """Answers with an image-text-to-text model of transformers.

    Args:
        model: Hub id, local folder, or `package:NAME` for a model that a package ships.
        revision: Commit of the hub repository.
        min_mass: Least P(yes) + P(no) of an answer. Below it the model would have said something else, and the answer
            is unparsed.
        batch_size: Questions per forward pass.
        dtype: Precision of the model.
        device: `auto` or a torch device.
        named_in: The section that names the answerer, for messages; set by the program.

    Raises:
        UserError: If a setting is out of range, if the model does not exist or is of another kind, or if it has no
            single token for yes or for no.
        EnvironmentFault: If the hub cannot be reached.
    """

    exact = False
    immaterial: ClassVar[frozenset[str]] = frozenset({"batch_size", "device"})
    """Settings that do not change any answer."""
    answers_version = f"P(yes) 1, {INSTRUCTION}"

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        min_mass: float = 0.05,
        batch_size: int = 8,
        dtype: Dtype = "float32",
        device: str = "auto",
        named_in: str = "answerer",
    ) -> None:
        problems = self.setting_problems({"min_mass": min_mass, "batch_size": batch_size}, named_in)
        if problems:
            raise UserError("\n".join(problems))
        path = resolve_model(model, named_in)
        try:
            self._processor: Any = AutoProcessor.from_pretrained(path, revision=revision)  # type: ignore[no-untyped-call]
            model_class: Any = AutoModelForImageTextToText
            loaded = model_class.from_pretrained(path, revision=revision, dtype=DTYPES[dtype], use_safetensors=True)
        except Exception as error:  # the loaders raise whatever a file's content leads to
            raise _not_loadable(model, path, named_in, error) from error
        self._model: Any = loaded.to(pick_device(device)).train(False)
        self._tokenizer: Any = getattr(self._processor, "tokenizer", None)
        if self._tokenizer is None:
            raise UserError(f"{named_in}.model: '{model}' has no processor with a tokenizer; give another model.")
        self._tokenizer.padding_side = "left"  # so that every row ends with its last token
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._answers = answer_tokens(self._tokenizer, named_in)
        self._yes = yes_tokens(self._tokenizer)
        self._min_mass, self._batch_size, self._named_in = min_mass, batch_size, named_in
        self.name = f"local {model}"

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: Iterable[str] = ()) -> list[str]:
        """List settings that are out of range; the arguments are those of `reward.components.settings_problems`."""
        given = _Ranged(**{key: settings[key] for key in _Ranged._fields if key in settings})
        found = []
        if not 0 <= given.min_mass <= 1:
            found.append(f"{where}.min_mass: given {given.min_mass!r}; allowed is 0 to 1, a probability.")
        if given.batch_size < 1:
            found.append(f"{where}.batch_size: given {given.batch_size!r}; allowed is at least 1.")
        return found

    def answer(self, questions: Sequence[ImageQuestion], on_answer: OnAnswer) -> None:
        """Answer every question; the questions of a batch are passed on together."""
        for start in range(0, len(questions), self._batch_size):
            batch = questions[start : start + self._batch_size]
            for question, scored in zip(batch, self.scores(batch), strict=True):
                on_answer(question, self._verdict(scored))

    @torch.inference_mode()
    def scores(self, questions: Sequence[ImageQuestion]) -> list[Scored]:
        """Return the model's probabilities, one forward pass for all questions given."""
        inputs = self._processor(
            text=[self.text(question.question) for question in questions],
            images=[[question.open()] for question in questions],
            padding=True,
            return_tensors="pt",
        ).to(self._model.device)
        for name, value in inputs.items():
            if torch.is_tensor(value) and value.is_floating_point():
                inputs[name] = value.to(self._model.dtype)
        probabilities = self._model(**inputs).logits[:, -1].float().softmax(dim=-1).cpu()
        return [
            Scored(*(float(row[tokens].sum()) for tokens in (self._yes, self._answers[True], self._answers[False])))
            for row in probabilities
        ]

    def text(self, question: str) -> str:
        """Return what the model reads: the image's place, the question and how to answer, as its chats are laid out.

        Raises:
            UserError: If the model has no chat template and no token for an image.
        """
        asked = f"{without_special(question, self._tokenizer)} {INSTRUCTION}"
        if getattr(self._processor, "chat_template", None):
            chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": asked}]}]
            return str(self._processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))
        place = getattr(self._processor, "image_token", None)
        if place is None:
            raise UserError(
                f"{self._named_in}.model: its processor has neither a chat template nor a token for an image; give a "
                "model that has one."
            )
        return f"{place}\n{asked}\nAnswer:"

    def _verdict(self, scored: Scored) -> Answer:
        raw = f"P(yes)={decimal(scored.p_yes, 4)}, P(yes or no)={decimal(scored.yes + scored.no, 4)}"
        if scored.yes + scored.no < self._min_mass or scored.yes == scored.no:
            return Unparsed(raw, p_yes=scored.p_yes)
        return Verdict(scored.yes > scored.no, raw, p_yes=scored.p_yes)


def yes_tokens(tokenizer: Any) -> torch.Tensor:
    """Return the tokens that are "Yes" as a whole, with or without a blank before it; none if there is none."""
    spellings = [tokenizer.encode(space + "Yes", add_special_tokens=False) for space in ("", " ")]
    whole = {ids[0] for ids in spellings if len(ids) == 1 and ids[0] != tokenizer.unk_token_id}
    return torch.tensor(sorted(whole), dtype=torch.long)


def _not_loadable(model: str, path: str, named_in: str, error: Exception) -> Exception:
    if isinstance(error, (EX2Error, MemoryError, torch.OutOfMemoryError)):
        return error
    reason = shortened((str(error).strip() or type(error).__name__).splitlines()[0], 400)
    if isinstance(error, ImportError):
        return EnvironmentFault(f"{named_in}.model: '{model}' needs what is not installed ({reason}).")
    if Path(path).is_dir():
        return UserError(f"{named_in}.model: no model of images and text with its processor in '{model}' ({reason}).")
    return EnvironmentFault(
        f"{named_in}.model: '{model}' is neither in the local cache nor could it be downloaded ({reason}); check the "
        "name and the network, or give a folder."
    )
