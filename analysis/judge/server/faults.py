"""Error messages about a failing server: one line each, which says what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import openai

from analysis.judge.server.replies import server_words, short
from reward.errors import EnvironmentFault, EX2Error, UserError
from reward.secrets import redacted

REFUSALS = (400, 413, 422)
"""HTTP statuses of a request that the server understood and declines, for its model, settings, format or text."""

_ABOUT_FORMAT = re.compile("response_format|json_schema", re.IGNORECASE)


def refuses(error: openai.APIStatusError) -> bool:
    """Say whether the server declines the request, rather than fails to serve it.

    Some servers (llama-cpp-python's, for example) answer 500 to a `response_format` that they do not know: such a
    failure counts as a refusal if it names the format.
    """
    return error.status_code in REFUSALS or (
        error.status_code >= 500 and _ABOUT_FORMAT.search(server_words(error)) is not None
    )


@dataclass(frozen=True)
class Wording:
    """Makes the error messages about one server.

    Attributes:
        url: Address of the server without its query.
        model: Name of the model as the server knows it.
        timeout: Seconds per try.
        tries: Number of tries of one request.
        named_in: The recipe's section that names the model.
    """

    url: str
    model: str
    timeout: float
    tries: int
    named_in: str = "judge"

    def refused(self, status: int, message: str) -> UserError:
        """Return the error for a refusal of the request itself."""
        return UserError(
            f"{self.named_in} {self.url}: refused the request for model '{self.model}' ({status}: {short(message)}); "
            f"check {self.named_in}.model and the sampling settings."
        )

    def no_completion(self, body: str) -> EnvironmentFault:
        """Return the error for a reply that is not a chat completion."""
        return EnvironmentFault(
            f"{self.named_in} {self.url}: the reply is no chat completion, after {self.tries} tries: '{short(body)}'; "
            f"check {self.named_in}.base_url, then run the same command again: answers so far are kept."
        )

    def fault(self, error: openai.APIError | TimeoutError, hide: Callable[[str], str]) -> EX2Error:
        """Return an error of the client as one line that says what to do; `hide` takes the API key out of texts."""
        where = f"{self.named_in} {self.url}"
        again = "then run the same command again: answers so far are kept."
        if isinstance(error, openai.APITimeoutError | TimeoutError):
            return EnvironmentFault(
                f"{where}: no answer within {self.timeout:g} s, {self.tries} tries; raise {self.named_in}.timeout or "
                f"lower {self.named_in}.concurrency, {again}"
            )
        if isinstance(error, openai.APIConnectionError):
            cause = short(hide(str(error.__cause__ or error.message)))
            return EnvironmentFault(
                f"{where}: cannot be reached ({cause}), {self.tries} tries; start the server or correct "
                f"{self.named_in}.base_url, {again}"
            )
        if isinstance(error, openai.APIStatusError) and 300 <= error.status_code < 400:
            place = redacted(hide(error.response.headers.get("location", "")))
            return UserError(
                f"{where}: sends the request on to {short(place) or 'no place'}, which is not followed; give "
                f"{self.named_in}.base_url the address that is meant."
            )
        words = short(hide(server_words(error)))
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return UserError(f"{where}: the API key was refused ({words}); check {self.named_in}.api_key_env.")
        if isinstance(error, openai.NotFoundError):
            return UserError(
                f"{where}: not found: model '{self.model}' or the path ({words}); check {self.named_in}.model, and "
                f"that {self.named_in}.base_url ends in /v1."
            )
        if error.code == "insufficient_quota":
            return EnvironmentFault(f"{where}: the quota is used up ({words}); top it up, {again}")
        return EnvironmentFault(
            f"{where}: keeps failing ({words}), up to {self.tries} tries; wait or lower {self.named_in}.concurrency, "
            f"{again}"
        )
