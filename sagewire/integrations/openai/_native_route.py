"""SageMaker's own OpenAI route: requests of OpenAI's client, sent as they are with a bearer token.

They go over sagewire's engines and not over httpx's: with the certificates and proxies of the AWS configuration, and so
that a program may leave an async stream and end. httpx's async transport is made of generators within generators, which
an event loop that ends closes all at once, so that they get into each other's way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sagewire.errors import EndpointError, SagewireError, UsageError
from sagewire.http.deadlines import Deadlines, Timeouts
from sagewire.http.origin import Origin
from sagewire.http.request import Request
from sagewire.http.sync_engine import SyncEngine
from sagewire.integrations.openai._in_process_server import Answer, Unreachable
from sagewire.integrations.openai._sent_request import SentRequest, hide_headers

if TYPE_CHECKING:
    from sagewire.http.async_engine import AsyncEngine

__all__ = ["AsyncNativeRoute", "NativeRoute"]

# The engines write these themselves, and unpack what is packed.
_OF_THE_ENGINE = frozenset(("host", "content-length", "connection", "transfer-encoding", "accept-encoding"))
_OF_THE_BODY = frozenset(("connection", "content-encoding", "content-length", "transfer-encoding"))


class NativeRoute:
    """The route over the sync engine.

    Args:
        origin: The address of SageMaker Runtime.
    """

    def __init__(self, origin: Origin) -> None:
        self._engine = SyncEngine(origin)
        self._origin = origin

    def send(self, request: Any, body: bytes, timeouts: Timeouts) -> Answer:
        """Send a request and return the answer as it arrives.

        Args:
            request: The request of httpx.
            body: The bytes to send in it.
            timeouts: The time limits.

        Raises:
            Unreachable: No answer came.
            UsageError: The request is for another server, which must not be sent the token.
        """
        sent = _request(self._origin, request, body)
        told = SentRequest(sent, self._engine.proxy_headers)
        hide_headers(request.headers)
        try:
            # OpenAI's client tries again by itself, as often as it was told to.
            response = self._engine.send(sent, Deadlines(timeouts, self._origin.host), resend=False)
        except SagewireError as error:
            told.redactor.error(error)
            if isinstance(error, EndpointError):
                raise Unreachable(error) from error
            raise
        headers = told.headers(response.status, _headers(response.headers))
        if response.status >= 400:
            return Answer(response.status, headers, told.body(response.read_error()))
        return Answer(response.status, headers, pieces=told.pieces(response.chunks()), hang_up=response.close)

    def close(self) -> None:
        """Close the idle connections."""
        self._engine.close()


class AsyncNativeRoute:
    """The route over the async engine.

    Args:
        origin: The address of SageMaker Runtime.
    """

    def __init__(self, origin: Origin) -> None:
        # Loads asyncio and aiohttp, which sync callers do not wait for.
        from sagewire.http.async_engine import AsyncEngine

        self._engine: AsyncEngine = AsyncEngine(origin)
        self._origin = origin

    async def send(self, request: Any, body: bytes, timeouts: Timeouts) -> Answer:
        """Send a request and return the answer as it arrives; see `NativeRoute.send`."""
        sent = _request(self._origin, request, body)
        told = SentRequest(sent, self._engine.proxy_headers)
        hide_headers(request.headers)
        try:
            response = await self._engine.send(sent, Deadlines(timeouts, self._origin.host), resend=False)
        except SagewireError as error:
            told.redactor.error(error)
            if isinstance(error, EndpointError):
                raise Unreachable(error) from error
            raise
        headers = told.headers(response.status, _headers(response.headers))
        if response.status >= 400:
            return Answer(response.status, headers, told.body(await response.read_error()))
        pieces = told.async_pieces(response.chunks())
        return Answer(response.status, headers, async_pieces=pieces, hang_up=response.close)

    async def close(self) -> None:
        """Close the running loop's idle connections."""
        await self._engine.close()


def _request(origin: Origin, request: Any, body: bytes) -> Request:
    port = request.url.port or {"http": 80, "https": 443}.get(request.url.scheme)
    if (request.url.host, port) != (origin.host, origin.port):
        asked = request.url.netloc.decode("ascii")
        raise UsageError(f"this client sends to {origin.host}:{origin.port} only, not to {asked}: leave base_url out")
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_THE_ENGINE}
    headers["accept-encoding"] = "identity"
    return Request(request.url.raw_path.decode("ascii"), headers, body, request.method)


def _headers(arrived: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in arrived.items() if name.lower() not in _OF_THE_BODY}
