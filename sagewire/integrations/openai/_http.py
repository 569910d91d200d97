"""HTTP clients for OpenAI's client, which wants one of httpx's classes: of `httpx2` from version 3, else of `httpx`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from typing import Any

from sagewire._extras import require
from sagewire.http.abandonable import in_thread
from sagewire.http.deadlines import Timeouts
from sagewire.integrations.openai._in_process_server import Answer, InProcessServer, Unreachable

__all__ = ["make_async_http_client", "make_http_client"]


def _library(default_client: type) -> Any:
    """Return the library that a version of OpenAI's client uses: where its own HTTP client comes from."""
    bases = (base.__module__.partition(".")[0] for base in default_client.__mro__)
    return import_module(next(name for name in bases if name.startswith("httpx")))


def _timeouts(request: Any) -> Timeouts:
    limits = request.extensions.get("timeout") or {}
    return Timeouts(connect=limits.get("connect"), first_byte=limits.get("read"), idle=limits.get("read"))


def _as_native(library: Any, door: InProcessServer, request: Any, body: bytes) -> Any:
    """Return the request in the form in which SageMaker's own route takes it."""
    instead = door.native_body(body)
    if instead is None:
        return request
    headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() != "content-length"]
    return library.Request(request.method, request.url, headers=headers, content=instead, extensions=request.extensions)


def _error(library: Any, error: Unreachable, request: Any) -> Exception:
    kind = library.ReadTimeout if error.timed_out else library.ConnectError
    return kind(str(error), request=request)  # type: ignore[no-any-return]


def make_http_client(door: InProcessServer) -> Any:
    """Return an HTTP client that sends to SageMaker's own route what it has, and answers everything else itself."""
    default = require("openai", "openai").DefaultHttpxClient
    library = _library(default)

    class Pieces(library.SyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, pieces: Iterator[bytes]) -> None:
            self._pieces = pieces

        def __iter__(self) -> Iterator[bytes]:
            return self._pieces

        def close(self) -> None:
            self._pieces.close()  # type: ignore[attr-defined]

    class InProcess(library.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            try:
                answer = door.answer(request.method, request.url.path, request.read(), _timeouts(request))
            except Unreachable as error:
                raise _error(library, error, request) from error
            return _response(library, answer, answer.pieces and Pieces(answer.pieces))

    class EndpointHttpClient(default):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self._inside = library.Client(transport=InProcess())

        def send(self, request: Any, **options: Any) -> Any:
            if door.goes_native(request.url.path, _timeouts(request)):
                return super().send(_as_native(library, door, request, request.read()), **options)
            return self._inside.send(request, **options)

        def close(self) -> None:
            self._inside.close()
            super().close()

    return EndpointHttpClient()


def make_async_http_client(door: InProcessServer) -> Any:
    """Return `make_http_client`'s async twin."""
    default = require("openai", "openai").DefaultAsyncHttpxClient
    library = _library(default)

    class Pieces(library.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, pieces: AsyncIterator[bytes]) -> None:
            self._pieces = pieces

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._pieces

        async def aclose(self) -> None:
            await self._pieces.aclose()  # type: ignore[attr-defined]

    class InProcess(library.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            body = await request.aread()
            try:
                answer = await door.answer_async(request.method, request.url.path, body, _timeouts(request))
            except Unreachable as error:
                raise _error(library, error, request) from error
            return _response(library, answer, answer.async_pieces and Pieces(answer.async_pieces))

    class EndpointHttpClient(default):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self._inside = library.AsyncClient(transport=InProcess())

        async def send(self, request: Any, **options: Any) -> Any:
            path, timeouts = request.url.path, _timeouts(request)
            if door.decided(path, timeouts):
                native = door.goes_native(path, timeouts)
            else:
                native = await in_thread(door.goes_native, path, timeouts)
            if native:
                return await super().send(_as_native(library, door, request, await request.aread()), **options)
            return await self._inside.send(request, **options)

        async def aclose(self) -> None:
            await self._inside.aclose()
            await super().aclose()

    return EndpointHttpClient()


def _response(library: Any, answer: Answer, stream: Any) -> Any:
    if stream is not None:
        return library.Response(answer.status, headers=answer.headers, stream=stream)
    return library.Response(answer.status, headers=answer.headers, content=answer.body)
