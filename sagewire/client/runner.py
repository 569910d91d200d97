"""The runner of calls: one call is prepared, sent and read, whole or as a stream, and sent again if it must be.

`CallRun` decides and never waits; `run` and `run_async` are the same few lines around whatever waits.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from sagewire.client.base import ClientBase
from sagewire.client.finding import Finding
from sagewire.client.misplaced import check_endpoint_kwargs
from sagewire.client.prepared_call import PreparedCall, ResponseReader
from sagewire.content_handlers.base import ContentHandler, Request
from sagewire.content_handlers.embeddings import EmbeddingHandler
from sagewire.content_handlers.rerank import RerankHandler
from sagewire.errors import EndpointError, ModelError, SagewireError, UsageError, WireError, concise
from sagewire.http.abandonable import in_thread
from sagewire.streaming.accumulate import unfold
from sagewire.transports.base import AsyncTransport, Body, Transport
from sagewire.transports.sagemaker.botocore_errors import add_kind_of_cause
from sagewire.types import Delta, Invocation, Reply, ResponseInfo

__all__ = ["CallRun", "answer_async", "explain", "refuses_usage", "run", "run_async"]

logger = logging.getLogger("sagewire")

# Servers that check requests strictly name the field they do not know.
_USAGE_REFUSED = re.compile(r"stream_options|include_usage")
# Seconds for which it is not worth writing down how long a call took to prepare.
_SHORT = 0.01
_DEFAULTS = (ContentHandler.read_error, EmbeddingHandler.read_error, RerankHandler.read_error)


class CallRun:
    """The state of one call.

    It is apart from the stream that users hold, so that a running generator does not refer to the object that holds
    it: dropping a half-read stream ends it at once, rather than when the garbage collector comes by.

    Args:
        client: The client whose call it is.
        request: The request.
        endpoint_kwargs: InvokeEndpoint parameters of this call.
        yields: Yield the deltas, also those of an answer that comes as a whole.
        keep_reply: Keep what arrives, for `reply`.
    """

    def __init__(
        self,
        client: ClientBase,
        request: Request,
        endpoint_kwargs: Mapping[str, Any] | None,
        *,
        yields: bool = False,
        keep_reply: bool = True,
    ) -> None:
        check_endpoint_kwargs(endpoint_kwargs)
        self.client = client
        self._request = request
        self._endpoint_kwargs = endpoint_kwargs
        self._yields = yields
        self._keeps = keep_reply
        self._reading: ResponseReader | None = None
        self._whole: Reply | None = None
        self._redetected = False
        self._spent = 0.0
        self._body: Any = None
        self.stopped = False
        self._finding: Finding | None = None

    @property
    def known(self) -> bool:
        """Whether `prepare` will not wait."""
        return self.client._resolver.known(self._endpoint_kwargs)

    @property
    def so_far(self) -> Reply:
        """The answer as far as it was read, or its known properties."""
        if self._whole is not None:
            return self._whole
        return self._reading.reply if self._reading is not None else Reply()

    @property
    def reply(self) -> Reply:
        """The answer as far as it was read.

        Raises:
            UsageError: It is not kept.
        """
        if not self._keeps:
            raise UsageError("this stream does not keep its reply (keep_reply=False); read its deltas instead")
        return self._whole or self.so_far

    def prepare(self) -> PreparedCall:
        """Return the call to send; may wait for the control plane."""
        began = time.monotonic()
        request = replace(self._request, include_usage=False) if self.client._usage_refused else self._request
        try:
            self._finding = self.client._resolver.finding(self._endpoint_kwargs)
            self._spent += time.monotonic() - began
            prepared = self.client._prepare(request, self._endpoint_kwargs, self._finding)
        except SagewireError as error:
            concise(error)
            raise
        if self._spent > _SHORT:
            return replace(prepared, invocation=replace(prepared.invocation, spent=self._spent))
        return prepared

    async def prepare_async(self) -> PreparedCall:
        """`prepare`, without blocking the event loop."""
        if self.known:
            return self.prepare()
        began = time.monotonic()
        try:
            await self.client._resolver.look_up(self._endpoint_kwargs)
        except SagewireError as error:
            concise(error)
            raise
        finally:
            self._spent += time.monotonic() - began
        return self.prepare() if self.known else await in_thread(self.prepare)

    def read_whole(self, prepared: PreparedCall, body: Body) -> Iterable[Delta]:
        """Read an answer that came as a whole, and return its deltas if they are wanted."""
        self._whole = prepared.read_whole(body.data, body.info)
        return unfold(self._whole) if self._yields else ()

    def stream_request(self, prepared: PreparedCall) -> Invocation:
        """Return the request to send for a stream. An answer that is not kept may be of any length."""
        return prepared.invocation if self._keeps else replace(prepared.invocation, bounded=False)

    def stop(self) -> None:
        """Let the reader of the stream find its connection closed."""
        self.stopped = True
        interrupt = getattr(self._body, "interrupt", None) or getattr(self._body, "close", None)
        if interrupt is not None:
            interrupt()

    def begin(self, prepared: PreparedCall, info: ResponseInfo, body: Any = None) -> ResponseReader:
        """Return the reader of an answer that comes as a stream."""
        self._body = body
        self._reading = prepared.reading(info, keep_reply=self._keeps)
        return self._reading

    def suspects(self, error: SagewireError) -> bool:
        """Return whether an error looks as if the container had changed; once, and only before the first delta."""
        begun = self._whole is not None or (self._reading is not None and self._reading.begun)
        return not (self._redetected or begun) and self.client._resolver.suspects(error)

    def redetect(self, error: SagewireError) -> bool:
        """Return whether the container turns out to have changed, so that the call should be made again; may wait."""
        self._redetected = True
        assert self._finding is not None
        return self.client._resolver.found_other(error, self._endpoint_kwargs, self._finding)

    async def redetect_async(self, error: SagewireError) -> bool:
        """`redetect`, without blocking the event loop."""
        self._redetected = True
        assert self._finding is not None
        return await self.client._resolver.found_other_async(error, self._endpoint_kwargs, self._finding)

    def drops_usage(self, error: SagewireError) -> bool:
        """Return whether a stream was refused only because it asks for token counts; then no stream does any more."""
        if not self._request.include_usage or self.client._usage_refused or not refuses_usage(error):
            return False
        self.client._usage_refused = True
        return True


def refuses_usage(error: SagewireError) -> bool:
    """Return whether a server refused to report the token counts of a stream."""
    if not isinstance(error, EndpointError):
        return False
    status, words = error.status, error.message
    # SageMaker wraps a container's refusal, a plain HTTP server gives its own.
    if isinstance(error, ModelError):
        status, words = error.original_status, error.original_message or error.message
    if status not in (400, 422) or not _USAGE_REFUSED.search(words):
        return False
    logger.info("the server does not report token counts of streams, and is not asked for them any more")
    return True


class _Connecting:
    """Keeps the transport that a call was made with, for the secrets to mask in its errors."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self.transport: Any = None

    def __call__(self) -> Any:
        self.transport = self._connect()
        return self.transport

    def redact(self, error: Exception) -> None:
        _redact(error, self.transport)


def run(call: CallRun, connect: Callable[[], Transport]) -> Generator[Delta, None, None]:
    """Run a call and yield its deltas."""
    connecting = _Connecting(connect)
    while True:
        prepared = call.prepare()
        try:
            with call.client._watch(prepared, lambda: call.so_far, connecting.redact):
                transport = connecting()
                if not prepared.request.stream:
                    yield from call.read_whole(prepared, transport.invoke(prepared.invocation))
                    return
                with transport.stream(call.stream_request(prepared)) as body:
                    reading = call.begin(prepared, body.info, body)
                    with reading.attaching_partial():
                        for chunk in body:
                            yield from reading.feed(chunk)
                            if reading.stopped:
                                break
                        # The last values of the service (timings) are known only now.
                        reading.info = body.info
                        yield from reading.close()
            return
        except (WireError, EndpointError) as error:
            if call.stopped:
                return
            if not (call.drops_usage(error) or (call.suspects(error) and call.redetect(error))):
                explain(error, prepared.handler, connecting.transport)
                raise


async def answer_async(call: CallRun, connect: Callable[[], AsyncTransport]) -> Reply:
    """Run a call that is not to be streamed and return its answer; what `run_async` does, without a generator."""
    connecting = _Connecting(connect)
    while True:
        prepared = call.prepare() if call.known else await call.prepare_async()
        try:
            with call.client._watch(prepared, lambda: call.so_far, connecting.redact):
                call.read_whole(prepared, await connecting().invoke(prepared.invocation))
            return call.reply
        except (WireError, EndpointError) as error:
            if not await _is_worth_another(call, error):
                explain(error, prepared.handler, connecting.transport)
                raise


async def _is_worth_another(call: CallRun, error: SagewireError) -> bool:
    return call.drops_usage(error) or (call.suspects(error) and await call.redetect_async(error))


async def run_async(call: CallRun, connect: Callable[[], AsyncTransport]) -> AsyncGenerator[Delta, None]:
    """Run a call and yield its deltas; requests to the control plane wait in a thread."""
    connecting = _Connecting(connect)
    while True:
        prepared = call.prepare() if call.known else await call.prepare_async()
        try:
            with call.client._watch(prepared, lambda: call.so_far, connecting.redact):
                transport = connecting()
                if not prepared.request.stream:
                    for delta in call.read_whole(prepared, await transport.invoke(prepared.invocation)):
                        yield delta
                    return
                async with transport.stream(call.stream_request(prepared)) as body:
                    reading = call.begin(prepared, body.info, body)
                    with reading.attaching_partial():
                        async for chunk in body:
                            for delta in reading.feed(chunk):
                                yield delta
                            if reading.stopped:
                                break
                        # The last values of the service (timings) are known only now.
                        reading.info = body.info
                        for delta in reading.close():
                            yield delta
            return
        except (WireError, EndpointError) as error:
            if call.stopped:
                return
            if not await _is_worth_another(call, error):
                explain(error, prepared.handler, connecting.transport)
                raise


def explain(
    error: SagewireError,
    handler: ContentHandler | EmbeddingHandler | RerankHandler,
    transport: Transport | AsyncTransport,
) -> None:
    """Make an error ready to be seen.

    It is one of botocore's if that was its cause, has the message that a third-party handler reads, and nothing of the
    request's secrets, which an answer may repeat that began well.
    """
    _redact(error, transport)
    add_kind_of_cause(error)
    if not isinstance(error, EndpointError):
        return
    concise(error)
    if not error.body or type(handler).read_error in _DEFAULTS:
        # The transport has read the known shapes already.
        return
    try:
        payload = orjson.loads(error.body)
    except orjson.JSONDecodeError:
        payload = error.body
    found = handler.read_error(payload)
    if found is None:
        return
    status = error.original_status if isinstance(error, ModelError) else error.status
    error.message = f"the container answered {status}: {found.message}"
    error.args = (error.message,)
    error.code = found.code or error.code
    if isinstance(error, ModelError):
        error.original_message = found.message


def _redact(error: Exception, transport: Transport | AsyncTransport) -> None:
    redact = getattr(transport, "redact", None)
    if redact is not None and isinstance(error, SagewireError):
        redact(error)
