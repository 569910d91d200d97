"""One request and its answer on a connection of aiohttp: head and body in one write, and the parsed answer kept bare.

aiohttp opens and keeps the connections, and parses what arrives. Its layers above that (a request, a task that writes
the body, a response) cost as much as all the rest of a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.connector import Connection

__all__ = ["Answer", "exchange"]


class Answer:
    """The answer to a request, with the part of aiohttp's `ClientResponse` that is needed here.

    Attributes:
        status: The HTTP status.
        headers: The headers; looked up case-insensitively.
        content: The body.
        connection: The connection, until it is given back.
    """

    __slots__ = ("connection", "content", "headers", "status")

    def __init__(self, connection: Connection, message: Any, content: StreamReader) -> None:
        self.status: int = message.code
        self.headers: Mapping[str, str] = message.headers
        self.content = content
        self.connection: Connection | None = connection
        content.on_eof(self.release)

    @property
    def content_length(self) -> int | None:
        """The body's announced size."""
        length = self.headers.get("content-length")
        return None if length is None else int(length)

    def release(self) -> None:
        """Give the connection back; close it if the request was not sent whole, because the server reads no more."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        transport = connection.transport
        if transport is not None and transport.get_write_buffer_size():
            connection.close()
        else:
            connection.release()

    def close(self) -> None:
        """Close the connection; whoever waits for the body gets an error."""
        from aiohttp import ClientConnectionError

        if self.content.exception() is None:
            self.content.set_exception(ClientConnectionError("Connection closed"))
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


async def exchange(connection: Connection, head: bytes, body: bytes, *, has_body: bool = True) -> Answer:
    """Send a request and return the answer, once its headers are there; interim answers are read past.

    Args:
        connection: A connection without an answer on it.
        head: The request's head.
        body: The request's body.
        has_body: The answer may have a body; to `HEAD` it has none.

    Raises:
        aiohttp.ClientError: The connection broke.
        aiohttp.http.HttpProcessingError: The answer is not HTTP.
    """
    protocol: Any = connection.protocol
    try:
        transport = protocol.transport
        if transport is None or transport.is_closing():
            from aiohttp import ClientConnectionResetError

            raise ClientConnectionResetError("Cannot write to closing transport")
        protocol.set_response_params(skip_payload=not has_body, read_until_eof=True, auto_decompress=False)
        transport.write(head + body)
        while True:
            message, content = await protocol.read()
            if message.code >= 200 or message.code == 101:
                return Answer(connection, message, content)
    except BaseException:
        connection.close()
        raise
