"""An answer of the sync engine, and its body."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

from sagewire.errors import EndpointError, SagewireError
from sagewire.http.chunked_bodies import ChunkedBody
from sagewire.http.content_encoding import BodyDecoder, EncodingError
from sagewire.http.deadlines import Deadlines
from sagewire.http.errors import truncated, unreadable
from sagewire.http.limits import ERROR_BODY_BYTES, ERROR_BODY_SECONDS, checked, response_too_large

__all__ = ["READ_SIZE", "SyncResponse"]

READ_SIZE = 65_536
# A body of known length below this is read at once. Above it the server has to send what it promised, piece by piece.
_SMALL_BODY = 1 << 20


class _Connection(Protocol):
    """What an answer needs to know of the connection it comes from."""

    read_by: float | None

    def done(self) -> None: ...
    def close(self) -> None: ...
    def interrupt(self) -> None: ...


class SyncResponse:
    """An answer whose headers have arrived.

    Attributes:
        status: The HTTP status.
        headers: The headers, under lower-case names.
    """

    def __init__(
        self, connection: _Connection, response: http.client.HTTPResponse, deadlines: Deadlines, *, reusable: bool
    ) -> None:
        self.status = response.status
        # The standard library's own lookup walks all headers each time.
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._connection: _Connection | None = connection
        self._response = response
        self._deadlines = deadlines
        self._reusable = reusable and not response.will_close

    def read(self, limit: int | None = None) -> bytes:
        """Return the rest of the body and give the connection back.

        Args:
            limit: Bytes after which to give up.

        Raises:
            ResponseTooLarge: The body is longer than `limit`.
            StreamTruncated: It broke off.
        """
        length = self._response.length
        if length is None or length > min(_SMALL_BODY, limit or _SMALL_BODY) or "content-encoding" in self.headers:
            return b"".join(self.chunks(limit))
        try:
            data = self._response.read()
        except BaseException as error:
            self._fail(error)
            raise
        self._finish()
        return data

    def read_error(self) -> bytes:
        """Return the body of an error, as far as it can be had: the status is what counts."""
        pieces: list[bytes] = []
        if self._connection is not None:
            self._connection.read_by = time.monotonic() + ERROR_BODY_SECONDS
        with suppress(SagewireError):
            for piece in self.chunks(ERROR_BODY_BYTES):
                pieces.append(piece)  # noqa: PERF402 - pieces before an error are kept
        return b"".join(pieces)

    def chunks(self, limit: int | None = None) -> Iterator[bytes]:
        """Yield the body in pieces as they arrive, then give the connection back; see `read`."""
        try:
            decoder = BodyDecoder.of(self.headers.get("content-encoding"))
            if decoder is None and limit is not None and (self._response.length or 0) > limit:
                raise response_too_large(limit, self._deadlines.where)
            pieces = self._pieces() if decoder is None else self._unpacked(decoder)
            yield from pieces if limit is None else checked(pieces, limit, self._deadlines.where)
        except BaseException as error:
            self._fail(error)
            raise
        self._finish()

    def _unpacked(self, decoder: BodyDecoder) -> Iterator[bytes]:
        for piece in self._pieces():
            yield from decoder.feed(piece)
        decoder.close()

    def _pieces(self) -> Iterator[bytes]:
        """Yield all that has arrived, each time; raise if the body breaks off."""
        response = self._response
        if response.chunked:
            body = ChunkedBody()
            while not (body.ended or body.broken) and (data := response.fp.read1(READ_SIZE)):
                if piece := body.feed(data):
                    yield piece
            body.close()
            # A server that gives a length besides is not sure where its answers end.
            clear = body.ended and not body.surplus and "content-length" not in self.headers
            self._reusable = self._reusable and clear
            return
        while data := response.read1(READ_SIZE):
            yield data
        # For a body of known length the standard library takes an early end for the end.
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)

    def close(self) -> None:
        """Close the connection, unless the body was read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._response.close()
            connection.close()

    def interrupt(self) -> None:
        """End a read that another thread is waiting in: that thread finds the connection closed, and closes it."""
        connection = self._connection
        if connection is not None:
            connection.interrupt()

    def _finish(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._response.close()
        if self._reusable:
            connection.done()
        else:
            connection.close()

    def _fail(self, error: BaseException) -> None:
        self.close()
        # A time limit that ran out is an OSError too, but it is already the error it should be.
        if isinstance(error, EncodingError):
            raise unreadable(error, self._deadlines.where) from error
        broken = http.client.HTTPException | OSError
        if isinstance(error, broken) and not isinstance(error, EndpointError):
            raise truncated(error, self._deadlines.where) from error

    def __del__(self) -> None:
        self.close()
