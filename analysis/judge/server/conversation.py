"""Conversations with a server: they ask questions of one kind in the words of its prompts, which read the replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic

from analysis.judge.base import Answer, Prompts, Q, Unparsed, Usage
from analysis.judge.server.cache import cache_key
from analysis.judge.server.chat import ChatServer
from analysis.judge.server.replies import Chat, Reply


class Conversation(Generic[Q]):
    """Asks a server questions of one kind.

    Args:
        prompts: Builds what is sent and reads the answers, such as a judge's rubric.
        server: The server that is asked.
    """

    def __init__(self, prompts: Prompts[Q], server: ChatServer) -> None:
        self.prompts = prompts
        self.server = server

    def ask(self, chats: Sequence[Chat], on_answer: Callable[[Q, Answer], None]) -> None:
        """Ask the server directly, without the cache.

        Args:
            chats: Any number of conversations from `chat`.
            on_answer: Called once for each conversation with its question and answer.

        Raises:
            UserError: As `OpenAIJudge.answer`.
            EnvironmentFault: As `OpenAIJudge.answer`.
        """

        def on_reply(chat: Chat, reply: Reply) -> Chat | None:
            answer = self.read(chat.about, reply)
            if isinstance(answer, Unparsed) and not chat.again:
                return self.chat(chat.about, again=True, spent=reply.spent)
            on_answer(chat.about, answer)
            return None

        if chats:
            self.server.ask_all(chats, on_reply, self.example(chats[0].about))

    def read(self, request: Q, reply: Reply) -> Answer:
        """Read a reply."""
        if reply.refused:
            return Unparsed(reply.text, reply.spent)
        return replace(self.prompts.parse(request, reply.text, cut=reply.cut), spent=reply.spent)

    def chat(self, request: Q, *, again: bool = False, spent: Usage | None = None) -> Chat:
        """Return the conversation that asks a question.

        Args:
            request: The question.
            again: Whether an earlier answer could not be read, so that the sampling is freer.
            spent: What the question has taken so far; None for nothing.
        """
        prompt = self.prompts.prompt(request)
        return Chat(
            prompt.messages,
            prompt.schema_name,
            prompt.schema,
            about=request,
            again=again,
            sampling=self.server.second_sampling() if again else {},
            spent=spent or Usage(),
            attach=prompt.attach,
            attached_tokens=prompt.attached_tokens,
        )

    def example(self, request: Q) -> Chat:
        """Return a conversation of the same kind as a question, which no server has reason to refuse."""
        return self.chat(self.prompts.example_of(request))

    def key(self, request: Q) -> str:
        """Return the hash of all that determines the answer to a question."""
        sampling = {**self.server.sampling, "extra": self.server.extra_body}
        messages = self.prompts.prompt(request).messages
        return cache_key(self.server.base_url, self.server.model, messages, sampling, self.prompts.version)
