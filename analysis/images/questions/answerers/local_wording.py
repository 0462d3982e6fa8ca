"""In which words a model on this machine is asked, and when its probability of "Yes" is VQAScore."""

from __future__ import annotations

import re

INSTRUCTION = "Please answer yes or no."
"""Follows every question, as in VQAScore."""

_SHOWS = re.compile(r'Does this figure show ".+"\?', re.DOTALL)


def is_vqascore(question: str) -> bool:
    """Say whether the probability of "Yes" is VQAScore: whether the question has its words.

    Source: Lin, Pathak, Li, Li, Xia, Neubig, Zhang and Ramanan (2024), arXiv 2404.01291: P("Yes" | image, `Does this
    figure show "{text}"? Please answer yes or no.`).
    """
    return _SHOWS.fullmatch(question) is not None
