"""The interface of a transport, the only part of sagewire that waits.

A transport takes an `Invocation` and returns bytes. It knows hosts, credentials, time limits and retries; it knows
nothing of JSON, models or prompts.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from sagewire._names import explains_arguments
from sagewire.errors import EndpointError, UsageError
from sagewire.http.deadlines import Timeouts
from sagewire.types import Invocation, ResponseInfo

__all__ = [
    "AsyncByteStream",
    "AsyncTransport",
    "Body",
    "ByteStream",
    "Retries",
    "Timeouts",
    "Transport",
]


@explains_arguments(
    max_attempts="use attempts=, which counts the first call, too",
    total_max_attempts="use attempts=, which counts the first call, too",
    **dict.fromkeys(("max_retries", "num_retries", "retries", "total"), "use attempts=, one more than the retries"),
    **dict.fromkeys(("backoff", "backoff_factor", "delay"), "use base_delay=, which is doubled each time"),
    **dict.fromkeys(("max_backoff", "backoff_max", "max_wait"), "use max_delay="),
    mode="leave it out: delays are doubled each time, with jitter",
)
@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how patiently to try again before the first byte; nothing is retried after it.

    Args:
        attempts: Calls in all, the first included.
        base_delay: Seconds before the first retry; doubled each time, with full jitter.
        max_delay: The longest wait in seconds, `Retry-After` included.
        wait_for_ready: Seconds to wait, however many attempts that takes, for an endpoint that is loading its model
            or was scaled to zero.
        on_retry: Told before each further attempt: the number of the one that failed, its error, and the seconds
            until the next.
        resend: Send a request again that was sent whole on a connection which had been used before, and which then
            closed without an answer. Mostly such a connection had been closed while it lay idle; but the server may
            have begun to generate, and then does so twice. Without it the call fails. Embeddings and rankings are
            always sent again.
    """

    attempts: int = 3
    base_delay: float = 0.2
    max_delay: float = 20.0
    wait_for_ready: float = 0.0
    on_retry: Callable[[int, EndpointError, float], None] | None = field(default=None, repr=False, compare=False)
    resend: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 1:
            raise UsageError(f"attempts={self.attempts!r} must be a number of at least 1: the first call counts")
        for name in ("base_delay", "max_delay", "wait_for_ready"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise UsageError(f"{name}={value!r} must be a number of seconds")

    @classmethod
    def of(cls, retries: Retries | int | None) -> Retries | None:
        """Return `retries` as it is, or the defaults with this number of attempts."""
        if retries is None or isinstance(retries, Retries):
            return retries
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 1:
            raise UsageError(f"retries={retries!r:.60} must be at least 1 (the first call counts), or Retries")
        return cls(attempts=retries)


@dataclass(frozen=True, slots=True)
class Body:
    """A whole response.

    Args:
        data: The bytes.
        info: The service's facts about them.
    """

    data: bytes
    info: ResponseInfo


class ByteStream(Protocol):
    """A response being read: what is known of it, and its pieces as they arrive."""

    @property
    def info(self) -> ResponseInfo:
        """What the service said ahead of the body."""
        ...

    def __iter__(self) -> Iterator[bytes]: ...


class AsyncByteStream(Protocol):
    """`ByteStream` for `async for`."""

    @property
    def info(self) -> ResponseInfo:
        """What the service said ahead of the body."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Transport(Protocol):
    """Carries invocations to one endpoint."""

    def invoke(self, call: Invocation) -> Body:
        """Send and return the whole answer; raise `EndpointError`."""
        ...

    def stream(self, call: Invocation) -> AbstractContextManager[ByteStream]:
        """Send and return the answer as it arrives; leaving the block early closes the connection."""
        ...

    def close(self) -> None:
        """Give back pooled connections. The transport may be used again."""
        ...


class AsyncTransport(Protocol):
    """`Transport`, awaited."""

    async def invoke(self, call: Invocation) -> Body:
        """Send and return the whole answer; raise `EndpointError`."""
        ...

    def stream(self, call: Invocation) -> AbstractAsyncContextManager[AsyncByteStream]:
        """Send and return the answer as it arrives; leaving the block early closes the connection."""
        ...

    async def close(self) -> None:
        """Give back pooled connections of the running event loop. The transport may be used again."""
        ...
