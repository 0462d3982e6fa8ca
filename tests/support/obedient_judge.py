"""A judge model for tests that obeys whatever stands outside the fence, and knows nothing of what stands inside."""

from __future__ import annotations

import json
import re
from typing import Any

from judge_stub import Reply, completion

ORDERS = re.compile(
    r"""
    \b(?:ignore|disregard|forget|override|ignoriere|ignorez)\b
    | \b(?:answer|answering|respond|reply|say|output|write|return|choose|give|given|set|verdict)\b
      [^.?]{0,60}?(?<!\w)['"]?(?:yes|true)\b(?!\s+or\s+no)
    | \b(?:answer|respond|reply|say|output|return)\s*:?\s*['"]?yes\b(?!\s+or\s+no)
    | ['"](?:increases_knowledge|provides_visual_description)['"]\s*:\s*(?:['"]yes|true)
    | \b(?:system|assistant|user|developer|judge|grader)\s*:
    | <\|?(?:im_start|start_header_id|system|developer)\b
    | \bword\s+for\s+word:\s*yes\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What the model takes for an order: it asks to leave the question, names the answer, or speaks for somebody."""

_DECLARED = re.compile(r"between <(\w+)> and </\1>")


def outside(body: dict[str, Any]) -> str:
    """Return the question without what stands in a fence that the system message declares.

    A fence ends at its first closing tag, however it is spelt: a description that could write one would get out.
    """
    text = str(body["messages"][-1]["content"])
    for tag in _DECLARED.findall(body["messages"][0]["content"]):
        text = re.sub(rf"<{tag}>.*?<\s*/\s*{tag}\s*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    return text


def obedient(body: dict[str, Any], number: int) -> Reply:
    """Answer Yes if anything outside the fence orders it, and else No: no text that is asked about teaches anything."""
    told = ORDERS.search(outside(body)) is not None
    key = next(iter(json.loads(body["messages"][2]["content"]).keys() - {"explanation"}))
    return completion(json.dumps({"explanation": "As told." if told else "Nothing.", key: "Yes" if told else "No"}))
