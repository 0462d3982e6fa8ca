"""A judge's conversations with a server: they ask a rubric's questions, and the rubric reads the replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analysis.judge.base import Answer, JudgeRequest, OnAnswer, Question, Unparsed, Usage
from analysis.judge.rubric import Rubric
from analysis.judge.server.cache import cache_key
from analysis.judge.server.chat import ChatServer
from analysis.judge.server.replies import Chat, Reply


class Conversation:
    """Asks a server a rubric's questions.

    Args:
        rubric: Builds the questions and reads the answers.
        server: The server that is asked.
    """

    def __init__(self, rubric: Rubric, server: ChatServer) -> None:
        self.rubric = rubric
        self.server = server

    def ask(self, chats: Sequence[Chat], on_answer: OnAnswer) -> None:
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
            self.server.ask_all(chats, on_reply, self.example(chats[0].about.question))

    def read(self, request: JudgeRequest, reply: Reply) -> Answer:
        """Read a reply by the rubric."""
        if reply.refused:
            return Unparsed(reply.text, reply.spent)
        return replace(self.rubric.parse(request, reply.text, cut=reply.cut), spent=reply.spent)

    def chat(self, request: JudgeRequest, *, again: bool = False, spent: Usage | None = None) -> Chat:
        """Return the conversation that asks a question.

        Args:
            request: The question.
            again: Whether an earlier answer could not be read, so that the sampling is freer.
            spent: What the question has taken so far; None for nothing.
        """
        return Chat(
            self.rubric.messages(request),
            request.question,
            self.rubric.schema(request.question),
            about=request,
            again=again,
            sampling=self.server.second_sampling() if again else {},
            spent=spent or Usage(),
        )

    def example(self, question: Question) -> Chat:
        """Return a conversation about the rubric's worked example, which no server has reason to refuse."""
        return self.chat(self.rubric.example(question))

    def key(self, request: JudgeRequest) -> str:
        """Return the hash of all that determines the answer to a question."""
        sampling = {**self.server.sampling, "extra": self.server.extra_body}
        return cache_key(
            self.server.base_url, self.server.model, self.rubric.messages(request), sampling, self.rubric.version
        )
