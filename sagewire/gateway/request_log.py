"""The facts of one request: for the access log, the metrics, the accounts and the page."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sagewire.errors import SagewireError
from sagewire.gateway.accounting.costs import Prices, dollars
from sagewire.gateway.errors import is_callers_fault, is_time_limit
from sagewire.gateway.keys import Key
from sagewire.gateway.quota import (
    estimated_inputs,
    estimated_prompt,
    estimated_prompts,
    estimated_tokens,
    number_of_prompts,
)
from sagewire.types import Usage

if TYPE_CHECKING:
    from sagewire.gateway.accounting.budgets import BudgetReservation
    from sagewire.gateway.rate_limits import Reservation
    from sagewire.gateway.routing.deployments import Lease

__all__ = ["RequestLog", "request_id_of", "shown_path", "used_tokens"]

# The characters that SageMaker allows in InferenceId; safe in logs, too.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def request_id_of(headers: Mapping[str, str]) -> str:
    """Return the caller's own id of a request if it is well-formed, else a fresh one."""
    given = headers.get("x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    # It tells requests apart and keeps nothing secret; random bits of the system take a call of it.
    return f"req-{random.getrandbits(96):024x}"


def shown_path(path: str) -> str:
    """Return a request's path as logs and traces may show it: without the key in it.

    Example:
        >>> shown_path("/key/sk-secret/reset_spend")
        '/key/{key}/reset_spend'
    """
    if not path.startswith("/key/") or (path.count("/") == 2 and not path.startswith("/key/sk-")):
        return path
    action = path.rpartition("/")[2]
    return f"/key/{{key}}/{action}" if action in ("regenerate", "reset_spend") else "/key/{key}"


class RequestLog:
    """One request from its first byte to its last. It holds nothing of prompts and answers.

    Most facts of most requests stay as they are in the class, which costs a request nothing.

    Args:
        request_id: Its id, also upstream.
        method: The HTTP method.
        path: The path, as `shown_path` returns it.
        client: The caller's address.

    Attributes:
        started: When it began, by `time.perf_counter`.
        arrived: When it began, by the clock.
        headers: Further headers of the response.
        route: The route's name; what did not match any has none.
        model: The model that was asked for.
        served_by: The model that answered, which a fallback makes another one.
        lease: The place at the deployment that answered it.
        reservation: The tokens of the key's quota that are set aside for it.
        model_reservations: Those of the key's quotas for single models.
        parallel: As how many of the key's requests at a time it counts.
        budget: The part of the key's budget that is set aside for it.
        called: A deployment has been called for it.
        prices: Those of the deployment that was called last.
        cost: In nanodollars.
        body: The request's body; only to estimate tokens, never logged.
        body_room: The bytes of memory that are set aside for it.
        conversation: The caller's name for the conversation it belongs to.
        characters: Of the streamed answer so far.
        answer_tokens: Tokens of the answer so far, as estimated from its text.
        counted_tokens: Those of them that `usage` has, which may be of the first of several prompts only.
        gone: The caller has hung up.
        timed_out: A time limit is over, of the request itself or of a deployment that was answering it.
        begun_tokens: Of a request with many texts that failed: those of texts that were answered or on their way.
        begun_prompts: Of a stream for several prompts, one after the other: how many were sent; 0 for all of a request.
        counted_prompts: Those of them whose tokens `usage` has.
    """

    route: str = ""
    key: Key | None = None
    model: str = ""
    served_by: str = ""
    deployment: str = ""
    lease: Lease | None = None
    reservation: Reservation | None = None
    model_reservations: tuple[Reservation, ...] = ()
    parallel: int = 0
    budget: BudgetReservation | None = None
    called: bool = False
    prices: Prices | None = None
    cost: int = 0
    body: Mapping[str, Any] = MappingProxyType({})
    body_room: int = 0
    conversation: str = ""
    upstream_id: str | None = None
    attempts: int = 0
    stream: bool = False
    status: int = 0
    error: str | None = None
    first_piece: float | None = None
    usage: Usage | None = None
    characters: int = 0
    answer_tokens: int = 0
    counted_tokens: int = 0
    gone: bool = False
    timed_out: bool = False
    begun_tokens: int = 0
    begun_prompts: int = 0
    counted_prompts: int = 0

    def __init__(self, request_id: str, method: str, path: str, client: str = "") -> None:
        self.request_id = request_id
        self.method = method
        self.path = path
        self.client = client
        self.started = time.perf_counter()
        self.arrived = datetime.now(UTC)
        self.headers: dict[str, str] = {}

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self.started

    @property
    def is_cut_short(self) -> bool:
        """Whether the caller did not wait for a whole answer, of which nothing is known then: what was set aside."""
        return (self.gone or self.timed_out) and not self.stream and self.lease is None

    @property
    def is_charged(self) -> bool:
        """Whether it costs its key something.

        A failure does not, unless the caller left, a time limit ended the work, or it came behind a part of the answer.
        """
        begun = self.first_piece is not None or self.answer_tokens > 0 or self.usage is not None
        return self.called and (self.error is None or self.gone or self.timed_out or begun or self.begun_tokens > 0)

    def piece(self) -> None:
        """Note that a piece of the answer is there."""
        if self.first_piece is None:
            self.first_piece = self.seconds

    def counted(self, usage: Usage) -> None:
        """Note the token counts of all of the answer so far."""
        self.usage = usage
        self.counted_tokens = self.answer_tokens

    def note_failure(self, error: SagewireError) -> None:
        """Note what a failed call of a deployment had done until then."""
        self.timed_out = self.timed_out or is_time_limit(error)
        begun = error.texts_answered
        if begun or is_callers_fault(error):
            # What is refused at once must not make the rest free that was sent beside it.
            begun += error.texts_in_flight
        if begun:
            self.begun_tokens = max(self.begun_tokens, estimated_inputs(self.body, begun))

    def begin_anew(self) -> None:
        """Forget an answer that another call replaces."""
        self.usage, self.answer_tokens, self.counted_tokens, self.characters = None, 0, 0, 0

    def answered(self, text: str) -> None:
        """Note more text of the answer."""
        size = len(text)
        self.characters += size
        # As `estimated_tokens` does; each chunk of a stream comes here.
        self.answer_tokens += (size + 3) // 4 if text.isascii() else estimated_tokens(text)

    def as_log(self) -> dict[str, Any]:
        """Return the access log's line, without unknown values."""
        line: dict[str, Any] = {
            "time": self.arrived.isoformat(timespec="milliseconds"),
            "request_id": self.request_id,
            "client": self.client,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "milliseconds": round(self.seconds * 1000, 1),
        }
        if not self.client:
            del line["client"]
        if self.first_piece is not None:
            line["first_piece_milliseconds"] = round(self.first_piece * 1000, 1)
        if self.key is not None:
            line["key"] = self.key.name
        if self.model:
            self._add_service(line)
        if self.cost:
            line["cost"] = dollars(self.cost)
        if self.error:
            line["error"] = self.error
        return line

    def _add_service(self, line: dict[str, Any]) -> None:
        """Add which model was asked for, who has answered, and what that took."""
        line["model"] = self.model
        if self.served_by and self.served_by != self.model:
            line["served_by"] = self.served_by
        if self.deployment:
            line["deployment"] = self.deployment
        if self.upstream_id:
            line["upstream_request_id"] = self.upstream_id
        if self.attempts > 1:
            line["attempts"] = self.attempts
        if self.stream:
            line["stream"] = True
        usage = self.usage
        if usage is not None and usage.prompt_tokens is not None:
            line["prompt_tokens"] = usage.prompt_tokens
        if usage is not None and usage.completion_tokens is not None:
            line["completion_tokens"] = usage.completion_tokens


def used_tokens(log: RequestLog) -> tuple[int, int]:
    """Return the tokens of prompt and answer: as the server counted, else as estimated from their texts.

    Who hangs up before the counts arrive has used them all the same. A server that says 0 of both does not count.
    """
    usage = log.usage
    if usage is not None and not usage.prompt_tokens and not usage.completion_tokens:
        usage = None
    counted = None if usage is None else usage.prompt_tokens
    if counted is not None:
        prompt = max(0, counted)
    elif log.begun_tokens and log.error is not None and not (log.gone or log.timed_out):
        prompt = log.begun_tokens
    elif log.begun_prompts:
        prompt = estimated_prompts(log.body, 0, log.begun_prompts)
    else:
        prompt = estimated_prompt(log.body)
    if usage is None or usage.completion_tokens is None:
        return prompt, log.answer_tokens
    completion = max(0, usage.completion_tokens)
    more = log.answer_tokens - log.counted_tokens if log.error is not None else 0
    if counted is not None and log.error is not None and (more > 0 or log.gone or log.timed_out):
        # Of a further prompt, whose counts have not come.
        prompts = number_of_prompts(log.body)
        if log.begun_prompts:
            prompt += estimated_prompts(log.body, log.counted_prompts, log.begun_prompts)
        elif more > 0 and prompts > 1:
            prompt += estimated_prompt(log.body) // prompts
    return prompt, completion + max(0, more)
