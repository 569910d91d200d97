"""What the sync transports share: attempts, credentials, statuses, timings."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from sagewire.aws.credential_cache import CredentialSource
from sagewire.aws.credentials import Credentials
from sagewire.errors import CredentialsExpired
from sagewire.http.deadlines import Deadlines, Timeouts
from sagewire.http.sync_engine import SyncEngine, SyncResponse
from sagewire.transports.base import Body, Retries
from sagewire.transports.retrying import RetryPolicy
from sagewire.transports.target import Target
from sagewire.types import Invocation, ResponseInfo, Timings

__all__ = ["SyncStream", "SyncTransport"]

_log = logging.getLogger("sagewire.transports")


class SyncTransport:
    """Carries invocations to a target over an engine.

    Args:
        target: How the server is asked and read.
        engine: The connections.
        timeouts: The deadlines of each call.
        retries: How often to try.
        source: Where credentials come from, for targets that sign.
    """

    def __init__(
        self,
        target: Target,
        engine: SyncEngine,
        timeouts: Timeouts,
        retries: Retries,
        source: CredentialSource | None = None,
    ) -> None:
        self._target = target
        self._engine = engine
        self._timeouts = timeouts
        self._policy = RetryPolicy(retries)
        self._source = source

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._target.name})"

    def invoke(self, call: Invocation) -> Body:
        """Send and return the whole answer; raise `EndpointError`."""
        self._target.check(call, stream=False)
        deadlines = Deadlines(self._timeouts, self._target.name)
        response, attempts = self._open(call, deadlines, stream=False)
        first_byte = deadlines.elapsed()
        data = response.read()
        timings = Timings(first_byte, deadlines.elapsed(), attempts)
        return Body(data, self._target.info(response.headers, timings, stream=False))

    def stream(self, call: Invocation) -> SyncStream:
        """Send and return the answer as it arrives; leaving the block early closes the connection."""
        self._target.check(call, stream=True)
        return SyncStream(self, call)

    def close(self) -> None:
        """Give back pooled connections. The transport may be used again."""
        self._engine.close()

    def start(self, call: Invocation, deadlines: Deadlines) -> tuple[SyncResponse, ResponseInfo]:
        """Send a streaming call and return the answer once its headers are there."""
        response, attempts = self._open(call, deadlines, stream=True)
        timings = Timings(deadlines.elapsed(), None, attempts)
        return response, self._target.info(response.headers, timings, stream=True)

    def _open(self, call: Invocation, deadlines: Deadlines, *, stream: bool) -> tuple[SyncResponse, int]:
        return self._policy.run(partial(self._attempt, call, deadlines, stream), deadlines, call.idempotent)

    def _attempt(self, call: Invocation, deadlines: Deadlines, stream: bool, number: int) -> tuple[SyncResponse, int]:
        if self._source is None:
            return self._send(call, deadlines, stream), number
        credentials = self._source.get()
        try:
            return self._send(call, deadlines, stream, credentials), number
        except CredentialsExpired:
            if not self._source.invalidate(credentials):
                raise
        _log.info("%s: the credentials had expired; trying once more with new ones", deadlines.where)
        return self._send(call, deadlines, stream, self._source.get()), number

    def _send(
        self, call: Invocation, deadlines: Deadlines, stream: bool, credentials: Credentials | None = None
    ) -> SyncResponse:
        request = self._target.request(call, credentials, stream=stream)
        response = self._engine.send(request, deadlines, replay=call.idempotent)
        if _log.isEnabledFor(logging.DEBUG):
            request_id = response.headers.get("x-amzn-requestid") or response.headers.get("x-request-id")
            _log.debug(
                "%s: %d after %.3f s, request id %s", deadlines.where, response.status, deadlines.elapsed(), request_id
            )
        if 200 <= response.status < 300:
            return response
        raise self._target.error(response.status, response.headers, response.read())


class SyncStream:
    """An answer being read; a context manager that sends on entry."""

    def __init__(self, transport: SyncTransport, call: Invocation) -> None:
        self._transport = transport
        self._call = call
        self._response: SyncResponse | None = None
        self._info = ResponseInfo()

    @property
    def info(self) -> ResponseInfo:
        """What the service said ahead of the body; complete timings once the body was read."""
        return self._info

    def __enter__(self) -> Self:
        self._deadlines = Deadlines(self._transport._timeouts, self._transport._target.name)
        self._response, self._info = self._transport.start(self._call, self._deadlines)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        if self._response is None:
            raise RuntimeError("a stream is read inside its `with` block")
        yield from self._response.chunks()
        timings = self._info.timings or Timings()
        self._info = replace(self._info, timings=replace(timings, total=self._deadlines.elapsed()))

    def close(self) -> None:
        """Close the connection, unless the answer was read to its end."""
        if self._response is not None:
            self._response.close()
