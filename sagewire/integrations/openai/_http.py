"""HTTP clients for OpenAI's client, which wants one of httpx's classes: of `httpx2` from version 3, else of `httpx`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from importlib import import_module
from typing import Any, cast

from sagewire._extras import require
from sagewire.errors import EndpointTimeout, SagewireError
from sagewire.http.abandonable import in_thread
from sagewire.http.deadlines import Timeouts
from sagewire.http.origin import Origin
from sagewire.integrations.openai._in_process_server import Answer, InProcessServer, Unreachable
from sagewire.integrations.openai._native_route import AsyncNativeRoute, NativeRoute

__all__ = ["make_async_http_client", "make_http_client"]


def _library(default_client: type) -> Any:
    """Return the library that a version of OpenAI's client uses: where its own HTTP client comes from."""
    bases = (base.__module__.partition(".")[0] for base in default_client.__mro__)
    return import_module(next(name for name in bases if name.startswith("httpx")))


def _timeouts(request: Any) -> Timeouts:
    limits = request.extensions.get("timeout") or {}
    return Timeouts(connect=limits.get("connect"), first_byte=limits.get("read"), idle=limits.get("read"))


def _unreachable(library: Any, error: Unreachable, request: Any) -> Exception:
    kind = library.ReadTimeout if error.timed_out else library.ConnectError
    return kind(str(error), request=request)  # type: ignore[no-any-return]


def _broken_off(library: Any, error: SagewireError) -> Exception:
    kind = library.ReadTimeout if isinstance(error, EndpointTimeout) else library.RemoteProtocolError
    return kind(str(error))  # type: ignore[no-any-return]


def _response(library: Any, answer: Answer, stream: Any) -> Any:
    if stream is not None:
        return library.Response(answer.status, headers=answer.headers, stream=stream)
    return library.Response(answer.status, headers=answer.headers, content=answer.body)


async def _goes_native(door: InProcessServer, path: str, timeouts: Timeouts) -> bool:
    if door.decided(path, timeouts):
        return door.goes_native(path, timeouts)
    return await in_thread(door.goes_native, path, timeouts)


def make_http_client(door: InProcessServer, origin: Origin | None) -> Any:
    """Return an HTTP client that sends to SageMaker's own route what it has, and answers everything else itself.

    Args:
        door: What answers everything else.
        origin: Where SageMaker's own route is; `None` if nothing is sent there.
    """
    default = require("openai", "openai").DefaultHttpxClient
    library = _library(default)
    native = None if origin is None else NativeRoute(origin)

    class Pieces(library.SyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, answer: Answer) -> None:
            self._pieces = cast("Generator[bytes]", answer.pieces)
            self._hang_up = answer.hang_up

        def __iter__(self) -> Generator[bytes]:
            try:
                yield from self._pieces
            except SagewireError as error:
                raise _broken_off(library, error) from error

        def close(self) -> None:
            self._pieces.close()
            self._hang_up()

    class EndpointTransport(library.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            path, body, timeouts = request.url.path, request.read(), _timeouts(request)
            try:
                if native is not None and door.goes_native(path, timeouts):
                    answer = native.send(request, door.native_body(body), timeouts)
                else:
                    answer = door.answer(request.method, path, body, timeouts)
            except Unreachable as error:
                raise _unreachable(library, error, request) from error
            return _response(library, answer, answer.pieces and Pieces(answer))

        def close(self) -> None:
            if native is not None:
                native.close()

    # Another server that an answer names would be sent the token.
    return default(transport=EndpointTransport(), follow_redirects=False)


def make_async_http_client(door: InProcessServer, origin: Origin | None) -> Any:
    """Return `make_http_client`'s async twin."""
    default = require("openai", "openai").DefaultAsyncHttpxClient
    library = _library(default)
    native = None if origin is None else AsyncNativeRoute(origin)

    class Pieces(library.AsyncByteStream):  # type: ignore[misc, name-defined]
        """No generator: an event loop that ends closes all generators at once, however they depend on each other."""

        def __init__(self, answer: Answer) -> None:
            self._pieces = cast("AsyncGenerator[bytes]", answer.async_pieces)
            self._hang_up = answer.hang_up

        def __aiter__(self) -> Pieces:
            return self

        async def __anext__(self) -> bytes:
            try:
                return await anext(self._pieces)
            except SagewireError as error:
                raise _broken_off(library, error) from error

        async def aclose(self) -> None:
            if not self._pieces.ag_running:  # type: ignore[attr-defined]
                await self._pieces.aclose()
            self._hang_up()

    class EndpointTransport(library.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            path, body, timeouts = request.url.path, await request.aread(), _timeouts(request)
            try:
                if native is not None and await _goes_native(door, path, timeouts):
                    answer = await native.send(request, door.native_body(body), timeouts)
                else:
                    answer = await door.answer_async(request.method, path, body, timeouts)
            except Unreachable as error:
                raise _unreachable(library, error, request) from error
            return _response(library, answer, answer.async_pieces and Pieces(answer))

        async def aclose(self) -> None:
            if native is not None:
                await native.close()

    return default(transport=EndpointTransport(), follow_redirects=False)
