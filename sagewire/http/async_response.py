"""An answer of the async engine, and its body."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from sagewire.errors import EndpointError, SagewireError
from sagewire.http.content_encoding import BodyDecoder, EncodingError
from sagewire.http.deadlines import Deadlines
from sagewire.http.errors import truncated, unreadable
from sagewire.http.limits import ERROR_BODY_BYTES, ERROR_BODY_SECONDS, response_too_large
from sagewire.http.timer_pool import Alarm, TimerPool

if TYPE_CHECKING:
    from aiohttp import ClientResponse

    from sagewire.http.async_exchange import Answer

__all__ = ["AsyncResponse", "hang_up"]

_NO_LIMIT = 1 << 62


class _TooLate(Exception):
    """The next piece did not come in time."""


class AsyncResponse:
    """An answer whose headers have arrived.

    Attributes:
        status: The HTTP status.
        headers: The headers; looked up case-insensitively.
    """

    def __init__(self, response: Answer | ClientResponse, deadlines: Deadlines, alarms: TimerPool) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._deadlines = deadlines
        self._alarms = alarms
        self._open = True
        self._ended = False
        # When reading ends at the latest, on the loop's clock.
        self._read_by: float | None = None
        self._alarm: Alarm | None = None
        self._next_by = 0.0
        self._bytes_before = 0
        self._bytes_taken = 0

    async def read(self, limit: int | None = None) -> bytes:
        """Return the rest of the body and give the connection back.

        Args:
            limit: Bytes after which to give up.

        Raises:
            ResponseTooLarge: The body is longer than `limit`.
            StreamTruncated: It broke off.
        """
        if self._packed or (self._response.content_length or 0) > (limit or _NO_LIMIT):
            return b"".join([piece async for piece in self.chunks(limit)])
        left = limit or _NO_LIMIT
        pieces: list[bytes] = []
        while not self._ended:
            pieces.append(piece := await self._next())
            left -= len(piece)
            if left < 0:
                raise self._too_large(limit)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read_error(self) -> bytes:
        """Return the body of an error, as far as it can be had: the status is what counts."""
        pieces: list[bytes] = []
        self._read_by = self._alarms.loop.time() + ERROR_BODY_SECONDS
        with suppress(SagewireError):
            async for piece in self.chunks(ERROR_BODY_BYTES):
                pieces.append(piece)  # noqa: PERF401 - pieces before an error are kept
        return b"".join(pieces)

    async def chunks(
        self, limit: int | None = None, at_end: Callable[[], None] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the body in pieces as they arrive, then give the connection back; see `read`.

        Args:
            limit: Bytes after which to give up.
            at_end: Called when all of it was read.
        """
        left = limit or _NO_LIMIT
        try:
            if not self._packed and (self._response.content_length or 0) > left:
                raise self._too_large(limit)
            decoder = BodyDecoder.of(self.headers.get("content-encoding"))
            while not self._ended:
                arrived = await self._next()
                for piece in (arrived,) if decoder is None else decoder.feed(arrived):
                    left -= len(piece)
                    if left < 0:
                        raise self._too_large(limit)
                    if piece:
                        yield piece
            if decoder is not None:
                decoder.close()
            if at_end is not None:
                at_end()
        except EncodingError as error:
            raise unreadable(error, self._deadlines.where) from error
        finally:
            # The caller stopped reading early; else there is nothing left to close.
            self.close()

    @property
    def _packed(self) -> bool:
        return "content-encoding" in self.headers

    def _too_large(self, limit: int | None) -> SagewireError:
        self.close()
        return response_too_large(limit or _NO_LIMIT, self._deadlines.where)

    async def _next(self) -> bytes:
        """Return the next piece, with the last of which the connection is given back; perhaps an empty one."""
        content = self._response.content
        try:
            if content.total_bytes > self._bytes_taken or content.at_eof():
                # What is there already needs no timer.
                piece = content.read_nowait()
            else:
                alarm = self._set_alarm()
                try:
                    piece = await content.readany()
                finally:
                    if alarm is not None:
                        alarm.watch = None
        except _TooLate:
            self.close()
            raise self._deadlines.expired("idle") from None
        except BaseException as error:
            self.close()
            if _broke_off(error):
                raise truncated(error, self._deadlines.where) from error
            raise
        self._bytes_taken += len(piece)
        if content.at_eof():
            self._give_back()
        return piece

    def _set_alarm(self) -> Alarm | None:
        """Let `alarmed` end the wait for the next piece, unless it may take as long as it likes."""
        seconds = self._patience()
        if seconds is None:
            return None
        alarm = self._alarm
        if alarm is None:
            alarm = self._alarm = self._alarms.take()
        self._next_by, self._bytes_before = self._alarms.loop.time() + seconds, self._response.content.total_bytes
        # Only now: a timer that runs on refers to nothing that could be dropped meanwhile.
        alarm.watch = self
        alarm.fire_by(self._next_by)
        return alarm

    def alarmed(self) -> None:
        """End the wait for the next piece, if it is time."""
        content = self._response.content
        if content.total_bytes != self._bytes_before or content.is_eof():
            return  # the reader is about to find it
        if self._alarm is not None and self._alarms.loop.time() < self._next_by:
            self._alarm.fire_by(self._next_by)
            return
        content.set_exception(_TooLate())

    def _patience(self) -> float | None:
        seconds = self._deadlines.wait("idle")
        if self._read_by is None:
            return seconds
        left = max(self._read_by - self._alarms.loop.time(), 0.0)
        return left if seconds is None else min(seconds, left)

    def _give_back(self) -> None:
        if self._response.connection is not None:
            # Given back already, had the request been sent to its end. The server answered early and reads no more.
            self.close()
        self._open, self._ended = False, True
        self._response.release()
        self._let_alarm_go()

    def close(self) -> None:
        """Close the connection, unless the body was read to its end."""
        if self._open:
            self._open = False
            hang_up(self._response)
            self._let_alarm_go()

    def _let_alarm_go(self) -> None:
        if self._alarm is not None:
            self._alarms.give_back(self._alarm)
            self._alarm = None

    def interrupt(self) -> None:
        """End a read that another task is waiting in: it finds the connection closed."""
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()

    def __del__(self) -> None:
        if self._open and not self._alarms.loop.is_closed():
            # The garbage collector may run in any thread.
            with suppress(RuntimeError):
                self._alarms.loop.call_soon_threadsafe(hang_up, self._response)


def hang_up(response: Answer | ClientResponse) -> None:
    """Close an answer's connection at once."""
    # Closing alone would wait until the rest of the request is sent, which may be never.
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


def _broke_off(error: BaseException) -> bool:
    import aiohttp

    return isinstance(error, aiohttp.ClientError | OSError) and not isinstance(error, EndpointError)
