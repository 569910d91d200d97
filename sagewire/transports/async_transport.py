"""What the async transports share: `SyncTransport`, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from sagewire.aws.credential_cache import CredentialSource
from sagewire.aws.credentials import Credentials
from sagewire.errors import AccessDenied, CredentialsExpired, SagewireError
from sagewire.http.deadlines import Deadlines, Timeouts
from sagewire.transports.base import Body, Retries
from sagewire.transports.carrier import Carrier, name_clock
from sagewire.transports.target import Target
from sagewire.types import Invocation, ResponseInfo, Timings

if TYPE_CHECKING:
    from sagewire.http.async_engine import AsyncEngine, AsyncResponse

__all__ = ["AsyncStream", "AsyncTransport"]

T = TypeVar("T")


class AsyncTransport(Carrier):
    """Carries invocations to a target over an async engine; the arguments are those of `SyncTransport`."""

    def __init__(
        self,
        target: Target,
        engine: AsyncEngine,
        timeouts: Timeouts,
        retries: Retries,
        source: CredentialSource | None = None,
        max_response_bytes: int | None = None,
    ) -> None:
        super().__init__(target, timeouts, retries, source, max_response_bytes)
        self._engine = engine

    def _proxy_headers(self) -> Mapping[str, str]:
        return self._engine.proxy_headers

    async def invoke(self, call: Invocation) -> Body:
        """Send and return the whole answer; raise `EndpointError`."""
        self._target.check(call, stream=False)
        deadlines = self._deadlines(call)
        response, attempts = await self._open(call, deadlines, stream=False)
        first_byte = deadlines.elapsed()
        data = await response.read(self._limit)
        timings = Timings(first_byte, deadlines.elapsed(), attempts)
        return Body(data, self._info(response.headers, timings, stream=False))

    def stream(self, call: Invocation) -> AsyncStream:
        """Send and return the answer as it arrives; leaving the block early closes the connection."""
        self._target.check(call, stream=True)
        return AsyncStream(self, call)

    async def close(self) -> None:
        """Give back pooled connections of the running event loop. The transport may be used again."""
        await self._engine.close()

    async def start(self, call: Invocation, deadlines: Deadlines) -> tuple[AsyncResponse, ResponseInfo]:
        """Send a streaming call and return the answer once its headers are there."""
        response, attempts = await self._open(call, deadlines, stream=True)
        timings = Timings(deadlines.elapsed(), None, attempts)
        return response, self._info(response.headers, timings, stream=True)

    def _open(self, call: Invocation, deadlines: Deadlines, *, stream: bool) -> Awaitable[tuple[AsyncResponse, int]]:
        return self._policy.run_async(partial(self._attempt, call, deadlines, stream), deadlines, call)

    async def _attempt(self, call: Invocation, deadlines: Deadlines, stream: bool) -> AsyncResponse:
        # Nearly always they are there already.
        credentials = self._source.known() if self._source is not None else None
        if credentials is None and self._source is not None:
            credentials = await self._credentials(deadlines)
        try:
            return await self._send(call, deadlines, stream, credentials)
        except AccessDenied as error:
            if not (self._set_clock(error) or await self._renew(error, credentials, deadlines)):
                raise
            skew = error.clock_skew
        try:
            return await self._send(call, deadlines, stream, await self._credentials(deadlines))
        except AccessDenied as error:
            name_clock(error, skew)
            raise

    async def _credentials(self, deadlines: Deadlines) -> Credentials | None:
        if self._source is None:
            return None
        return await _within(deadlines, self._source.get_async())

    async def _renew(self, error: AccessDenied, used: Credentials | None, deadlines: Deadlines) -> bool:
        if self._source is None or used is None or not isinstance(error, CredentialsExpired):
            return False
        renewed = await _within(deadlines, self._source.invalidate_async(used))
        if renewed:
            self._note_renewal()
        return renewed

    async def _send(
        self, call: Invocation, deadlines: Deadlines, stream: bool, credentials: Credentials | None
    ) -> AsyncResponse:
        request = self._target.request(call, credentials, stream=stream)
        self._sent.note(request)
        try:
            response = await self._engine.send(request, deadlines, resend=self._may_resend(call))
        except SagewireError as error:
            # A head that is not HTTP is quoted in it.
            self._redactor(request).error(error)
            raise
        self._note(request, response.status, response.headers, deadlines)
        if 200 <= response.status < 300:
            return response
        raise self._failure(request, response.status, response.headers, await response.read_error())


class AsyncStream:
    """An answer being read; an async context manager that sends on entry."""

    def __init__(self, transport: AsyncTransport, call: Invocation) -> None:
        self._transport = transport
        self._call = call
        self._response: AsyncResponse | None = None
        self._info = ResponseInfo()
        # Seconds until the body was read.
        self._total: float | None = None

    @property
    def info(self) -> ResponseInfo:
        """What the service said ahead of the body; complete timings once the body was read."""
        if self._total is not None:
            timings = self._info.timings
            self._info = replace(self._info, timings=Timings(timings.first_byte, self._total, timings.attempts))
            self._total = None
        return self._info

    async def __aenter__(self) -> Self:
        self._deadlines = self._transport._deadlines(self._call)
        self._response, self._info = await self._transport.start(self._call, self._deadlines)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._response is None:
            raise RuntimeError("a stream is read inside its `async with` block")
        limit = self._transport._limit if self._call.bounded else None
        return self._response.chunks(limit, self._note_end)

    def _note_end(self) -> None:
        self._total = self._deadlines.elapsed()

    def interrupt(self) -> None:
        """End a read that another task is waiting in."""
        if self._response is not None:
            self._response.interrupt()

    def close(self) -> None:
        """Close the connection, unless the answer was read to its end."""
        if self._response is not None:
            self._response.close()


async def _within(deadlines: Deadlines, work: Awaitable[T]) -> T:
    # Sync callers, who import this file too, do not wait until asyncio is loaded.
    import asyncio

    try:
        async with asyncio.timeout(deadlines.left()):
            return await work
    except TimeoutError:
        raise deadlines.expired("total") from None
