"""The author `local`: a causal language model of transformers on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ex2.policy.source import Dtype, ModelSource
from ex2.sets.authors.base import Question, Reply
from reward.errors import UserError, shown

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MOST_NEW_TOKENS = 8192
_FENCE = "```"


class Local:
    """Samples an answer for each image, from its own seed.

    A chat model reads worked examples as earlier turns. Any other model reads one text, which ends with the beginning
    of a fenced block; its answer is that block.

    Args:
        model: Hub id, local folder, or `package:NAME[/SUBFOLDER]`.
        gguf_file: A GGUF file in that folder.
        revision: Commit of the hub repository.
        dtype: Precision of the weights.
        chat: Whether the model is asked by its chat template.
        max_new_tokens: Most tokens of an answer.
        temperature: Divides the logits; 0 takes the likeliest token each time.
        top_p: Probability that the likeliest tokens must have together.

    Raises:
        UserError: If a setting is out of range; every problem at once.
    """

    def __init__(
        self,
        model: str,
        gguf_file: str | None = None,
        revision: str | None = None,
        dtype: Dtype = "float32",
        chat: bool = True,
        max_new_tokens: int = 512,
        temperature: float = 1.0,
        top_p: float = 1.0,
    ) -> None:
        problems = []
        if not 1 <= max_new_tokens <= MOST_NEW_TOKENS:
            problems.append(
                f"generator.author.max_new_tokens: given {shown(max_new_tokens)}; give from 1 to {MOST_NEW_TOKENS}."
            )
        if not 0 <= temperature <= 100:
            problems.append(f"generator.author.temperature: given {shown(temperature)}; give from 0 to 100.")
        if not 0 < top_p <= 1:
            problems.append(f"generator.author.top_p: given {shown(top_p)}; give a share above 0 and up to 1.")
        if problems:
            raise UserError("\n".join(problems))
        self._source = ModelSource(model, revision, gguf_file, dtype, named_in="generator.author")
        self._chat, self._max_new_tokens = chat, max_new_tokens
        self._temperature, self._top_p = float(temperature), float(top_p)
        self._loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """All settings but where the model lies, which the fingerprint tells."""
        return {
            "dtype": self._source.dtype,
            "chat": self._chat,
            "max_new_tokens": self._max_new_tokens,
            "temperature": self._temperature,
            "top_p": self._top_p,
        }

    def fingerprint(self) -> str:
        """Return what tells the model apart: its commit, or a hash of its files."""
        from ex2.policy.identity import policy_identity

        return policy_identity(self._source)

    def write(self, questions: Sequence[Question]) -> list[Reply]:
        """Answer one question after the other, so that no answer depends on what is asked beside it.

        Raises:
            UserError: If there is no such model, it cannot be read, or a question is beyond its context.
            EnvironmentFault: If the hub cannot be reached.
        """
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Reply:
        import torch

        from ex2.policy.generation import as_generated, end_tokens

        model, tokenizer = self._load()
        begun = time.perf_counter()
        ids = self._ids(tokenizer, question).to(model.device)
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        if context is not None and ids.shape[1] + self._max_new_tokens > context:
            raise UserError(
                f"generator.author: a question of {ids.shape[1]} tokens and an answer of {self._max_new_tokens} are "
                f"beyond the model's context of {context}; give fewer shots or max_new_tokens."
            )
        sampling: dict[str, Any] = {"do_sample": False}
        if self._temperature > 0:
            sampling = {"do_sample": True, "temperature": self._temperature, "top_p": self._top_p, "top_k": 0}
        if not self._chat:
            sampling |= {"stop_strings": [_FENCE], "tokenizer": tokenizer}
        ends = end_tokens(model.generation_config, tokenizer)
        # seeds of images have 63 bits; devices are left alone, since fork_rng would copy the state of each of them
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(question.request.seed)
            output: Any = model.generate(  # type: ignore[operator]
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=self._max_new_tokens,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=ends,
                **sampling,
            )
        made = as_generated(output[0, ids.shape[1] :].tolist(), ends, tokenizer)
        text = made.text
        if not self._chat:
            text = f"{question.opening}{text}"
        cut = made.cut and len(made.ids) >= self._max_new_tokens
        return Reply(text, time.perf_counter() - begun, cut)

    def _ids(self, tokenizer: PreTrainedTokenizerBase, question: Question) -> Any:
        if self._chat:
            turns = []
            for asked, answer in question.examples:
                turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
            turns.append({"role": "user", "content": question.text})
            if not tokenizer.chat_template:
                raise UserError("generator.author.chat: the model has no chat template; give chat: false.")
            encoded: Any = tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
        else:
            parts = [f"{asked}\n\n{answer}\n\n" for asked, answer in question.examples]
            text = f"{''.join(parts)}{question.text}\n\n{question.opening}"
            encoded = tokenizer(text, return_tensors="pt")
        return encoded["input_ids"]

    def _load(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        if self._loaded is None:
            from ex2.policy.loading import load_model, load_tokenizer
            from reward.backends.common import pick_device

            tokenizer = load_tokenizer(self._source)
            self._loaded = (load_model(self._source, pick_device("auto")), tokenizer)
        return self._loaded
