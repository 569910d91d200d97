"""HTTP/1.1 on aiohttp: one session for each event loop, time limits that hold, pieces handed on as they arrive."""

from __future__ import annotations

import asyncio
import io
import ssl
import threading
from collections.abc import AsyncGenerator, Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from weakref import finalize, ref

from sagewire._forks import reset_in_child
from sagewire.errors import UsageError
from sagewire.http.async_connector import Progress, connector_class, current_progress
from sagewire.http.async_exchange import Answer, exchange
from sagewire.http.async_response import AsyncResponse, hang_up
from sagewire.http.deadlines import Deadlines
from sagewire.http.errors import (
    UNRESOLVED,
    connection_error,
    connection_lost,
    protocol_error,
    proxy_refusal,
    tls_error,
    unanswered,
)
from sagewire.http.origin import Origin, host_header
from sagewire.http.proxy_tls import client_context
from sagewire.http.request import Request
from sagewire.http.timer_pool import TimerPool

if TYPE_CHECKING:
    import aiohttp
    from aiohttp import ClientResponse, ClientSession

__all__ = ["AsyncEngine", "AsyncResponse"]

# aiohttp warns about larger bodies given as bytes, because writing them holds up the loop.
_LARGE_BODY = 1 << 20
_KEEP_ALIVE_SECONDS = 50.0
# Longer than a loop takes to end.
_KEPT_SECONDS = 3600.0
# aiohttp adds those that a request lacks. Where none is lacking it is not told to leave them out, which takes it longer
# than to send all headers.
_AUTO_HEADERS = frozenset({"Accept", "Accept-Encoding", "Content-Type", "User-Agent"})


class AsyncEngine:
    """Connections to one origin from any number of event loops, one after the other or at once in several threads.

    Each loop gets its own session. An async generator owns it: event loops close the generators that were started
    in them before they end, so the session is closed with its loop.
    """

    def __init__(self, origin: Origin) -> None:
        # 0.2 s the first time: better here than inside the event loop.
        import aiohttp
        from aiohttp.http import HttpProcessingError

        self._framing_errors = (aiohttp.ClientResponseError, HttpProcessingError)
        self._connection_errors = (aiohttp.ClientConnectionError, OSError)
        self._origin = origin
        # Each is taken out when its loop ends: a session refers to its loop, so weak references would be no help.
        self._owners: dict[asyncio.AbstractEventLoop, _Owner] = {}
        self._tls: Any = None
        self._secure = origin.secure
        self._base_url = origin.base
        self._host = host_header(origin.url)
        self.reset_after_fork()
        reset_in_child(self)

    @property
    def proxy_headers(self) -> dict[str, str]:
        """The headers that tell a proxy who asks."""
        return self._origin.proxy_headers

    def reset_after_fork(self) -> None:
        """Forget the lock; another thread of the parent may have held it."""
        self._lock = threading.Lock()

    async def close(self) -> None:
        """Close the running loop's connections."""
        owner = self._owners.pop(asyncio.get_running_loop(), None)
        if owner is not None:
            await owner.close()

    async def send(self, request: Request, deadlines: Deadlines, *, resend: bool = True) -> AsyncResponse:
        """Send a request and return the answer as soon as its headers are there.

        A connection that turns out to have been closed while it lay idle is replaced.

        Args:
            request: The request to send.
            deadlines: The call's clock.
            resend: Replace it also if the whole request was sent on it, so that the server may have acted on it.
        """
        while True:
            owner = self._owners.get(asyncio.get_running_loop())
            if owner is None or owner.session.closed:
                owner = await self._open()
            progress = Progress(deadlines, owner.alarms)
            try:
                return await self._send(owner, request, deadlines, progress)
            except _Lost as lost:
                sent = _was_sent(lost, progress)
                error = connection_lost(_why(lost), deadlines.where, sent=sent)
                if not progress.reused:
                    raise error from lost
                if sent and not resend:
                    raise unanswered(error) from lost

    async def _send(self, owner: _Owner, request: Request, deadlines: Deadlines, progress: Progress) -> AsyncResponse:
        current = current_progress.set(progress)
        try:
            with progress:
                response: Answer | ClientResponse
                if self._origin.proxy is None and len(request.body) < _LARGE_BODY:
                    head = request.head(self._host)
                    connection = await owner.connector.connect(owner.template, [], owner.timeout)
                    response = await exchange(connection, head, request.body, has_body=request.method != "HEAD")
                else:
                    response = await self._request(owner.session, request, progress)
        except TimeoutError:
            raise deadlines.expired(progress.phase) from None
        except self._framing_errors as error:
            import aiohttp

            if isinstance(error, aiohttp.ClientHttpProxyError):
                raise proxy_refusal(error.status, error.message, self._origin.route(deadlines.where)) from error
            raise protocol_error(error.message, deadlines.where) from None
        except self._connection_errors as error:
            raise self._translated(error, deadlines) from error
        except ValueError as error:
            raise UsageError(f"a header's value cannot be sent: {error}") from None
        finally:
            current_progress.reset(current)
        if response.status < 200:
            # aiohttp reads past the other interim answers by itself.
            hang_up(response)
            raise protocol_error("it switched to another protocol", deadlines.where)
        encoding = response.headers.get("transfer-encoding")
        if encoding is not None and encoding.lower() != "chunked":
            hang_up(response)
            raise protocol_error("its Transfer-Encoding is not 'chunked'", deadlines.where)
        return AsyncResponse(response, deadlines, owner.alarms)

    def _translated(self, error: aiohttp.ClientConnectionError | OSError, deadlines: Deadlines) -> Exception:
        import aiohttp

        route = self._origin.route(deadlines.where)
        match error:
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
                return tls_error(error, deadlines.where)
            case aiohttp.ClientConnectorDNSError():
                return connection_error(f"{error.host!r} cannot be found: {UNRESOLVED}", route)
            case aiohttp.ClientConnectorError():
                return connection_error(error, route)
        # Under TLS 1.3 a server's objections to the handshake arrive with its first bytes.
        if isinstance(error.__cause__, ssl.SSLError):
            return tls_error(error.__cause__, deadlines.where)
        return _Lost()

    async def _request(self, session: ClientSession, request: Request, progress: Progress) -> ClientResponse:
        """Send a request that goes through a proxy, or that is large, with all that aiohttp does for these."""
        headers, tunnel_headers = self._headers(request)
        if not request.names_host:
            # aiohttp would write the zone of an IPv6 address into it.
            headers = {"Host": self._host, **headers}
        body: Any = request.body if len(request.body) < _LARGE_BODY else _LargeBody(request.body, progress)
        return await session.request(
            request.method,
            _url(self._base_url + request.path),
            data=body,
            headers=headers,
            skip_auto_headers=None if headers.keys() >= _AUTO_HEADERS else _AUTO_HEADERS,
            allow_redirects=False,
            proxy=self._origin.proxy,
            proxy_headers=tunnel_headers,
        )

    def _headers(self, request: Request) -> tuple[dict[str, str], dict[str, str] | None]:
        """Return the headers of the request, and those that open a tunnel through a proxy."""
        if self._origin.login is None:
            return request.headers, None
        # A proxy that forwards reads the request's own headers, one that opens a tunnel those of CONNECT.
        login = self._origin.proxy_headers
        return (request.headers, login) if self._secure else ({**request.headers, **login}, None)

    async def _open(self) -> _Owner:
        loop = asyncio.get_running_loop()
        closing = asyncio.Lock()
        generator = _own(self._context(), self._origin, partial(_forget, ref(self), loop), closing)
        owner = _Owner(generator, await anext(generator), self._base_url, TimerPool(loop), closing)
        # Kept alive by this and not by the engine alone, so that a dropped engine leaves a session that can still be
        # closed.
        owner.finalizer = finalize(self, _release, loop, owner)
        owner.finalizer.atexit = False
        with self._lock:
            self._owners[loop] = owner
        return owner

    def _context(self) -> Any:
        origin = self._origin
        if not origin.secure and not (origin.proxy or "").startswith("https:"):
            return True
        if self._tls is None:
            with self._lock:
                if self._tls is None:
                    self._tls = client_context(origin)
        return self._tls


class _Owner:
    """A loop's session and timers, and the generator that closes the session with the loop.

    Attributes:
        connector: The session's connections.
        template: Says where they lead.
        timeout: aiohttp's own time limits: none.
    """

    __slots__ = ("_closing", "_generator", "alarms", "connector", "finalizer", "session", "template", "timeout")

    def __init__(
        self,
        generator: AsyncGenerator[ClientSession, None],
        session: ClientSession,
        url: str,
        alarms: TimerPool,
        closing: asyncio.Lock,
    ) -> None:
        import aiohttp

        self._generator = generator
        self.session = session
        self.connector: Any = session.connector
        self.template = aiohttp.ClientRequest("POST", _url(url), loop=alarms.loop)
        self.timeout = session.timeout
        self.alarms = alarms
        self._closing = closing
        self.finalizer: finalize[..., AsyncEngine] | None = None

    async def close(self) -> None:
        """Close the session, whoever else is at it.

        The loop may end meanwhile and close the generator, and a generator that is closed twice at once is an error.
        So the session is closed first, under the lock that the generator takes as well, and the generator when there is
        nothing left for it to wait for.
        """
        async with self._closing:
            await self.session.close()
        if not self._generator.ag_running:  # type: ignore[attr-defined]
            await self._generator.aclose()


async def _own(
    context: Any, origin: Origin, forget: Callable[[], None], closing: asyncio.Lock
) -> AsyncGenerator[ClientSession, None]:
    import aiohttp

    connector = connector_class()(origin, limit=0, ssl=context, keepalive_timeout=_KEEP_ALIVE_SECONDS, ttl_dns_cache=60)
    session = aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Both engines unpack in the same way, and notice a body that broke off.
        auto_decompress=False,
    )
    try:
        yield session
    finally:
        forget()
        connector.hang_up()
        async with closing:
            await session.close()


def _forget(engine_ref: ref[AsyncEngine], loop: asyncio.AbstractEventLoop) -> None:
    """Drop a loop that ends."""
    engine = engine_ref()
    owner = engine._owners.pop(loop, None) if engine is not None else None
    if owner is not None and owner.finalizer is not None:
        owner.finalizer.detach()


def _release(loop: asyncio.AbstractEventLoop, owner: _Owner) -> None:
    """Close the session of an engine that was dropped while its loop goes on."""

    def close() -> None:
        # A loop that ends has closed it, and may run no task to its end any more.
        if owner.session.closed:
            return
        # Or it cancels the task before its first step. The timer keeps the generator for the loop to close: one that is
        # dropped then is closed by a task that nobody waits for.
        kept = loop.call_later(_KEPT_SECONDS, bool, owner)
        loop.create_task(owner.close()).add_done_callback(lambda task: None if task.cancelled() else kept.cancel())

    if not loop.is_closed():
        loop.call_soon_threadsafe(close)


class _Lost(Exception):
    """The connection broke before the answer."""


def _why(lost: _Lost) -> BaseException | str:
    import aiohttp

    # aiohttp's words for this are its own object with the headers read so far.
    if isinstance(lost.__cause__, aiohttp.ServerDisconnectedError):
        return "the server closed it without an answer"
    return lost.__cause__ or lost


def _was_sent(lost: _Lost, progress: Progress) -> bool:
    # Writing to a connection that is being closed is refused before anything is sent.
    return progress.phase == "first_byte" and "closing transport" not in str(lost.__cause__)


class _LargeBody(io.BytesIO):
    """A body that is sent in pieces, each of which proves that the server still listens."""

    def __init__(self, data: bytes, progress: Progress) -> None:
        super().__init__(data)
        self._progress = progress
        self._loop = asyncio.get_running_loop()

    def read(self, size: int | None = -1) -> bytes:
        # The piece before was written. Some releases of aiohttp read in its own thread.
        self._loop.call_soon_threadsafe(self._progress.sent)
        return super().read(size)


@lru_cache(maxsize=256)
def _url(url: str) -> Any:
    from yarl import URL

    # Already encoded, and signed just so.
    return URL(url, encoded=True)
