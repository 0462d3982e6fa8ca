"""The judges that name the attributes in a description: the demo world's parser, or a chat model behind a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from analysis.judge.base import Unparsed
from analysis.judge.reading import read_reply_text
from analysis.judge.rubric import one_line
from analysis.judge.scripted import ScriptedJudge
from analysis.judge.server.client import OpenAIJudge
from analysis.judge.server.replies import Chat, Reply
from analysis.judge.table import build_judge
from ex2.data.demo.world import BY_NAME, Facet, true_facts
from ex2.run.descriptions import DescribedClass
from reward.errors import UserError, unknown_name
from reward.files import read_json
from reward.records import JSON, Record


@dataclass(frozen=True)
class AttributeWords(Record):
    """An attribute that the question offers.

    Attributes:
        means: What the attribute is, in words for the judge.
        also: Other spellings of it that judges use.
    """

    means: str
    also: tuple[str, ...]


@dataclass(frozen=True)
class Prompt(Record):
    """Content of `prompt.json`.

    Attributes:
        version: Version of the wording.
        system: The first message.
        user: The question, with {attributes}, {class_name} and {description}.
        one_shot_class: Class of the worked example.
        one_shot_description: Description in the worked example.
        one_shot_answer: Answer to the worked example.
        attributes: The attributes by name, in the order in which tables list them.
    """

    version: str
    system: str
    user: str
    one_shot_class: str
    one_shot_description: str
    one_shot_answer: JSON
    attributes: Mapping[str, AttributeWords]


_PROMPT = Prompt.from_json(read_json(Path(__file__).with_name("prompt.json")))

VERSION = _PROMPT.version
"""Version of the question's wording, stored with every answer. Whoever changes the wording must change it too; all
descriptions are then asked about again."""

ATTRIBUTES: tuple[str, ...] = tuple(_PROMPT.attributes)
"""Names of the attributes, in the order in which tables list them; `others` stands for all other names that a judge
gives."""

OTHERS = "others"

_CANONICAL = {spelling: name for name, words in _PROMPT.attributes.items() for spelling in (name, *words.also)}

FACETS: dict[Facet, str] = {
    "colour": "colour",
    "shape": "shape",
    "pattern": "texture",
    "habitat": "habitat",
    "diet": "diet",
}
"""The attribute that each facet of the demo world counts as."""


EXAMPLE = DescribedClass(_PROMPT.one_shot_class, _PROMPT.one_shot_description)
"""The worked example of the prompt, whose answer is known."""


@dataclass(frozen=True)
class NamedAttributes:
    """A parsed answer.

    Attributes:
        attributes: Names from `ATTRIBUTES`, each once and in that order; may be empty.
        own: Names that the judge gave and that are not among `ATTRIBUTES`, in lower case; they count as `others`.
        raw: What the judge said.
    """

    attributes: tuple[str, ...]
    own: tuple[str, ...]
    raw: str


AttributeAnswer = NamedAttributes | Unparsed
"""Answers that are no list of names are `Unparsed`: they are never guessed at, and every table counts them."""

OnNamed = Callable[[DescribedClass, AttributeAnswer], None]


class AttributeJudge(Protocol):
    """Anything that names attributes.

    Attributes:
        name: Shown in the result and stored with every answer.
        exact: True if the answers are true by construction.
    """

    name: str
    exact: bool

    def name_attributes(self, described: Sequence[DescribedClass], on_named: OnNamed) -> None:
        """Ask about every description, calling `on_named` once for each as soon as its answer is known.

        Raises:
            EnvironmentFault: If the judge cannot be reached; answers given so far have been passed on.
        """
        ...


def attribute_judge(name: str, settings: Mapping[str, Any]) -> AttributeJudge:
    """Build the attribute judge that belongs to a recipe's judge.

    Args:
        name: Name of the judge in the recipe. A judge class of the user's own can name attributes if it has a method
            `name_attributes`.
        settings: The judge's settings in the recipe.

    Raises:
        UserError: For an unknown name or setting, or a judge that can only say yes or no.
    """
    judge = build_judge(name, settings, "judge")
    if isinstance(judge, ScriptedJudge):
        return ScriptedAttributes()
    if isinstance(judge, OpenAIJudge):
        return ChatAttributes(judge)
    if hasattr(judge, "name_attributes"):
        own: AttributeJudge = judge  # type: ignore[assignment]
        return own
    raise UserError(
        f"judge '{name}': says yes or no only, and cannot name attributes; analyse with judge openai (any "
        "OpenAI-compatible server) or scripted, or give your judge a method name_attributes."
    )


class ScriptedAttributes:
    """Names the facets of the demo world that a text states truly, by the world's own parser."""

    name = "scripted"
    exact = True

    def name_attributes(self, described: Sequence[DescribedClass], on_named: OnNamed) -> None:
        """Name the attributes of every description at once.

        Raises:
            UserError: If a class is not a concept of the demo world; no description is answered then.
        """
        for request in described:
            if request.class_name not in BY_NAME:
                hint = "The scripted judge knows the demo world only; choose another judge for this dataset."
                raise UserError(unknown_name("judge scripted: class", request.class_name, BY_NAME, hint=hint))
        for request in described:
            facts = true_facts(request.text, request.class_name)
            names = sorted((FACETS[fact] for fact in facts), key=ATTRIBUTES.index)
            on_named(request, NamedAttributes(tuple(names), (), ", ".join(names)))


class ChatAttributes:
    """Asks a chat model with the judge's own server, limits and sampling, and once more after an unreadable answer."""

    exact = False

    def __init__(self, judge: OpenAIJudge) -> None:
        self._judge = judge
        self.name = judge.name

    def name_attributes(self, described: Sequence[DescribedClass], on_named: OnNamed) -> None:
        """Ask about every description, several at a time.

        Raises:
            UserError: If the API key is missing, or if the server refuses the key, the model or the first request.
            EnvironmentFault: If the server cannot be reached or keeps failing. Answers received so far have been passed
                on.
        """

        def on_reply(chat: Chat, reply: Reply) -> Chat | None:
            answer = _read(chat.about, reply)
            if isinstance(answer, Unparsed) and not chat.again:
                return replace(chat, again=True, sampling=self._judge.server.second_sampling(), spent=reply.spent)
            on_named(chat.about, answer)
            return None

        chats = [Chat(attribute_messages(one), "attributes", SCHEMA, about=one) for one in described]
        example = Chat(attribute_messages(EXAMPLE), "attributes", SCHEMA)
        self._judge.server.ask_all(chats, on_reply, example)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"attributes": {"type": "array", "items": {"type": "string"}}},
    "required": ["attributes"],
    "additionalProperties": False,
}


def attribute_messages(described: DescribedClass) -> list[dict[str, str]]:
    """Build the prompt: system, an example question with its answer, the question.

    The description is put in as a JSON string, so that it can neither end its own quotation nor add lines.
    """
    return [
        {"role": "system", "content": _PROMPT.system},
        {"role": "user", "content": _question(EXAMPLE)},
        {"role": "assistant", "content": json.dumps(_PROMPT.one_shot_answer)},
        {"role": "user", "content": _question(described)},
    ]


def parse_attributes(raw: str, given: Sequence[str] = (), *, cut: bool = False) -> AttributeAnswer:
    """Read an answer: a JSON object with a list of texts under `attributes` and nothing else in that list.

    Thinking blocks, copies of what was asked about, and several objects are treated as in a yes or no.

    Args:
        raw: What the judge said, with or without text around the JSON.
        given: Class name and description that were asked about.
        cut: Whether the reply ended at its greatest length.

    Returns:
        The names: known spellings as in `ATTRIBUTES`, all other names as `others`. `Unparsed` if there is no such list,
        if objects disagree, or if an `attributes` key holds anything but a list of texts that are not blank.
    """
    read = {_names(value) for value in read_reply_text(raw, "attributes", given, cut=cut).values} or {None}
    names = read.pop()
    return Unparsed(raw) if names is None or read else NamedAttributes(*names, raw)


def _names(value: Any) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return the attributes that a list names, and its own names for others; None if it is no list of names."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
        return None
    given = [" ".join(name.lower().replace("_", " ").split()) for name in value]
    own = tuple(dict.fromkeys(name for name in given if name not in _CANONICAL))
    known = {_CANONICAL.get(name, OTHERS) for name in given}
    return tuple(name for name in ATTRIBUTES if name in known), own


def _read(described: DescribedClass, reply: Reply) -> AttributeAnswer:
    if reply.refused:
        return Unparsed(reply.text)
    return parse_attributes(reply.text, (described.class_name, described.text, one_line(described.text)), cut=reply.cut)


def standard_name(name: str) -> str:
    """Return the name in `ATTRIBUTES` that a name or another spelling stands for; `others` if there is none."""
    return str(_CANONICAL.get(" ".join(name.lower().replace("_", " ").split()), OTHERS))


def _question(described: DescribedClass) -> str:
    listed = "\n".join(f"- {name}: {words.means}" for name, words in _PROMPT.attributes.items())
    text = _PROMPT.user
    for slot, value in (
        ("{attributes}", listed),
        ("{class_name}", described.class_name),
        ("{description}", json.dumps(one_line(described.text), ensure_ascii=False)),  # last: it may hold any braces
    ):
        text = text.replace(slot, value)
    return text
