"""Prompts as a pipeline's first text encoder reads them: how many tokens they have, and whether embeddings fit them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from reward.errors import UserError, one_line, shortened, shown

NO_LIMIT = 10**6
"""Tokens from which a tokenizer's limit is none: transformers writes 10^30 for it."""


class PromptTokens:
    """A pipeline's tokenizer, to which the tokens of embeddings are added.

    Args:
        folder: Of the tokenizer; None for a pipeline without one.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._counts: dict[str, int] = {}

    @cached_property
    def _saved(self) -> Any:
        """The tokenizer as the pipeline has it, to which nothing is added."""
        if self._folder is None:
            return None
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self._folder)
        except Exception as error:
            reason = shortened(one_line(error), 300)
            raise UserError(f"generator.model: its tokenizer cannot be loaded ({reason}).") from error

    @cached_property
    def _grown(self) -> Any:
        return copy.deepcopy(self._saved)

    @property
    def context(self) -> int | None:
        """Most tokens of a prompt, those at start and end included; None if the tokenizer tells no limit."""
        most = None if self._saved is None else int(self._saved.model_max_length)
        return most if most is not None and most < NO_LIMIT else None

    @property
    def count(self) -> Callable[[str], int] | None:
        """Text → number of its tokens, those at start and end included; None if they are not limited."""
        if self.context is None:
            return None
        tokenizer = self._grown
        return lambda text: len(tokenizer(text, verbose=False)["input_ids"])

    def most(self, texts: Sequence[str], token: str = "") -> int:
        """Return how many tokens the longest of some texts has; 0 if they are not limited.

        Args:
            texts: Prompts.
            token: Of an embedding in them, if any.
        """
        count = self.count
        if count is None:
            return 0
        if token:
            self._grown.add_tokens([token])
        for text in texts:
            if text not in self._counts:  # images of a class share prompts, and most have no negative one
                self._counts[text] = count(text)
        return max(self._counts[text] for text in texts)

    def embedding_problems(
        self, tokens: Mapping[str, str], prompts: Sequence[tuple[str, str, int]], where: str
    ) -> list[str]:
        """Return a line for each token with which prompts would be read otherwise than with an embedding in one place.

        Args:
            tokens: Class → token of its embedding.
            prompts: Class, text, and how often the class's token is meant to stand in it, of each text.
            where: Key for messages.
        """
        if self._saved is None:
            return []
        vocabulary = self._saved.get_vocab()
        taken = {name: token for name, token in tokens.items() if self._is_known(token, vocabulary)}
        problems = [
            f"{where}: the token {shown(token)} of class '{name}' is one that the pipeline's tokenizer has already, so "
            "that the embedding would replace it; give the embedding another token, such as <my-class>."
            for name, token in taken.items()
        ]
        several = [name for name, token in tokens.items() if f"{token}_1" in {*tokens.values(), *vocabulary}]
        problems += [
            f"{where}: the token {shown(tokens[name])} of class '{name}' would be read together with "
            f"{shown(tokens[name] + '_1')} as one embedding of several vectors; give one of them another token."
            for name in several
        ]
        return problems or self._misread(tokens, prompts, where)

    def _is_known(self, token: str, vocabulary: Mapping[str, int]) -> bool:
        """Tell a token of the vocabulary, and a word that is one token of it, such as `photo`."""
        ids = self._saved(token, add_special_tokens=False, verbose=False)["input_ids"]
        return token in vocabulary or (len(ids) == 1 and ids[0] != self._saved.unk_token_id)

    def _misread(self, tokens: Mapping[str, str], prompts: Sequence[tuple[str, str, int]], where: str) -> list[str]:
        grown = copy.deepcopy(self._saved)
        grown.add_tokens([*tokens.values()])
        ids = {name: grown.convert_tokens_to_ids(token) for name, token in tokens.items()}
        names = {number: name for name, number in ids.items()}
        problems: dict[str, str] = {}
        for name, token in tokens.items():  # one that ignores case reads one of two, and not always the same
            found = [number for number in grown(token, verbose=False)["input_ids"] if number in names]
            if len(found) == 1 and found[0] != ids[name]:
                one, other = sorted((name, names[found[0]]))
                problems[f"{one} {other}"] = (
                    f"{where}: the tokens {shown(tokens[one])} of class '{one}' and {shown(tokens[other])} of class "
                    f"'{other}' are one to the pipeline's tokenizer; give each its own."
                )
        if problems:
            return [*problems.values()]
        for name, text, times in dict.fromkeys(prompts):
            found = [number for number in grown(text, verbose=False)["input_ids"] if number in names]
            if found == [ids[name]] * times if name in ids else not found:
                continue
            culprit = next((names[number] for number in found if number != ids.get(name)), name)
            problems.setdefault(
                culprit,
                f"{where}: the token {shown(tokens.get(culprit, ''))} of class '{culprit}' is read in other words of a "
                f"prompt, or not where it stands, as in {shown(text)}; give the embedding a token that no prompt "
                "has otherwise, such as <my-class>.",
            )
        return [*problems.values()]
