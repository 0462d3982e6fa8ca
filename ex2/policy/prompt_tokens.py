"""What the policy reads of a prompt; apart from the generators, whose import takes seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from ex2.data.prompts import Prompt, Style


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], style: Style) -> list[list[int]]:
    """Return the token ids that the policy reads for each prompt, unpadded; chats end with the generation prompt."""
    rendered: Any = [prompt.render(style) for prompt in prompts]
    encoded: Any = (
        tokenizer.apply_chat_template(
            rendered, add_generation_prompt=True, tokenize=True, return_dict=True, padding=False
        )
        if style == "chat"
        else tokenizer(rendered)
    )
    return [list(ids) for ids in encoded["input_ids"]]
