"""What the sync transports share: attempts, credentials, statuses, timings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from sagewire.aws.credential_cache import CredentialSource
from sagewire.aws.credentials import Credentials
from sagewire.errors import AccessDenied, CredentialsExpired, SagewireError
from sagewire.http.abandonable import call_within
from sagewire.http.deadlines import Deadlines, Timeouts
from sagewire.http.sync_engine import SyncEngine, SyncResponse
from sagewire.transports.base import Body, Retries
from sagewire.transports.carrier import Carrier, name_clock
from sagewire.transports.target import Target
from sagewire.types import Invocation, ResponseInfo, Timings

__all__ = ["SyncStream", "SyncTransport"]


class SyncTransport(Carrier):
    """Carries invocations to a target over an engine; the arguments are those of `Carrier`.

    Args:
        engine: The connections.
    """

    def __init__(
        self,
        target: Target,
        engine: SyncEngine,
        timeouts: Timeouts,
        retries: Retries,
        source: CredentialSource | None = None,
        max_response_bytes: int | None = None,
    ) -> None:
        super().__init__(target, timeouts, retries, source, max_response_bytes)
        self._engine = engine

    def _proxy_headers(self) -> Mapping[str, str]:
        return self._engine.proxy_headers

    def invoke(self, call: Invocation) -> Body:
        """Send and return the whole answer; raise `EndpointError`."""
        self._target.check(call, stream=False)
        deadlines = self._deadlines(call)
        response, attempts = self._open(call, deadlines, stream=False)
        first_byte = deadlines.elapsed()
        data = response.read(self._limit)
        timings = Timings(first_byte, deadlines.elapsed(), attempts)
        return Body(data, self._info(response.headers, timings, stream=False))

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
        return response, self._info(response.headers, timings, stream=True)

    def _open(self, call: Invocation, deadlines: Deadlines, *, stream: bool) -> tuple[SyncResponse, int]:
        return self._policy.run(partial(self._attempt, call, deadlines, stream), deadlines, call)

    def _attempt(self, call: Invocation, deadlines: Deadlines, stream: bool) -> SyncResponse:
        credentials = self._credentials(deadlines)
        try:
            return self._send(call, deadlines, stream, credentials)
        except AccessDenied as error:
            if not (self._set_clock(error) or self._renew(error, credentials, deadlines)):
                raise
            skew = error.clock_skew
        try:
            return self._send(call, deadlines, stream, self._credentials(deadlines))
        except AccessDenied as error:
            name_clock(error, skew)
            raise

    def _credentials(self, deadlines: Deadlines) -> Credentials | None:
        if self._source is None:
            return None
        try:
            return self._source.get(deadlines.left())
        except TimeoutError:
            raise deadlines.expired("total") from None

    def _renew(self, error: AccessDenied, used: Credentials | None, deadlines: Deadlines) -> bool:
        if self._source is None or used is None or not isinstance(error, CredentialsExpired):
            return False
        try:
            renewed = call_within(deadlines.left(), partial(self._source.invalidate, used))
        except TimeoutError:
            raise deadlines.expired("total") from None
        if renewed:
            self._note_renewal()
        return renewed

    def _send(
        self, call: Invocation, deadlines: Deadlines, stream: bool, credentials: Credentials | None
    ) -> SyncResponse:
        request = self._target.request(call, credentials, stream=stream)
        self._sent.note(request)
        try:
            response = self._engine.send(request, deadlines, resend=self._may_resend(call))
        except SagewireError as error:
            # A head that is not HTTP is quoted in it.
            self._redactor(request).error(error)
            raise
        self._note(request, response.status, response.headers, deadlines)
        if 200 <= response.status < 300:
            return response
        raise self._failure(request, response.status, response.headers, response.read_error())


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
        self._deadlines = self._transport._deadlines(self._call)
        self._response, self._info = self._transport.start(self._call, self._deadlines)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        if self._response is None:
            raise RuntimeError("a stream is read inside its `with` block")
        yield from self._response.chunks(self._transport._limit if self._call.bounded else None)
        timings = self._info.timings
        self._info = replace(self._info, timings=replace(timings, total=self._deadlines.elapsed()))

    def close(self) -> None:
        """Close the connection, unless the answer was read to its end."""
        if self._response is not None:
            self._response.close()

    def interrupt(self) -> None:
        """End a read that another thread is waiting in; that thread closes the connection."""
        if self._response is not None:
            self._response.interrupt()
