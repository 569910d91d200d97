"""SageMaker Asynchronous Inference behind the same methods: the answer is an object in S3, fetched when it is there."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Literal, Unpack

from sagewire.aws.settings import origin_of
from sagewire.errors import EndpointError, PayloadTooLarge, SagewireError, UsageError
from sagewire.http.abandonable import call_within, in_background, in_thread
from sagewire.http.async_engine import AsyncEngine
from sagewire.http.deadlines import Deadlines, Timeouts
from sagewire.http.limits import ERROR_BODY_BYTES
from sagewire.http.sync_engine import SyncEngine
from sagewire.transports.async_inference.polling import (
    MAX_INLINE_BYTES,
    DeferredTarget,
    Ticket,
    failure_error,
    poll_delays,
    ticket_of,
)
from sagewire.transports.async_inference.s3_objects import ObjectStore, split_uri
from sagewire.transports.async_inference.tickets import TicketFile
from sagewire.transports.async_inference.waiting import Looking
from sagewire.transports.async_transport import AsyncTransport
from sagewire.transports.base import AsyncByteStream, Body, ByteStream
from sagewire.transports.sagemaker.endpoint import EndpointArguments, SageMakerEndpoint
from sagewire.transports.secrets import Redactor
from sagewire.transports.sync_transport import SyncTransport
from sagewire.types import Invocation, ResponseInfo

__all__ = ["AsyncDeferredTransport", "DeferredTransport", "Ticket"]

_log = logging.getLogger("sagewire.transports")

# SageMaker's own deadlines, unless the call sets others: six hours in the queue, then 15 minutes for the container.
_LONGEST_WAIT = {"RequestTTLSeconds": 21_600.0, "InvocationTimeoutSeconds": 900.0}
# How much later than that an object may appear.
_MARGIN = 30.0
# Seconds to wait for the keys that an error must not show; nearly always they are known.
_KEYS_WITHIN = 5.0
Cleanup = Literal["uploads", "all", "none"]


class _Counter:
    """The S3 side of both transports; blocking."""

    def __init__(
        self,
        endpoint: SageMakerEndpoint,
        upload_to: str | None,
        cleanup: Cleanup,
        poll: tuple[float, float],
        tickets: str | os.PathLike[str] | None,
    ) -> None:
        if upload_to is not None:
            split_uri(upload_to.rstrip("/") + "/")
        if cleanup not in ("uploads", "all", "none"):
            raise UsageError(f"cleanup={cleanup!r} must be 'uploads', 'all' or 'none'")
        next(poll_delays(*poll))
        self._source = endpoint.settings.source
        self.store = ObjectStore(endpoint.session, endpoint.settings.region, endpoint.config)
        self.poll = poll
        self._upload_to = upload_to
        self._cleanup = cleanup
        self._limit = endpoint.max_response_bytes
        self._parameters = endpoint.parameters
        self.tickets = None if tickets is None else TicketFile(tickets)

    def whole_wait(self, timeouts: Timeouts, where: str, call: Invocation | None = None) -> Deadlines:
        """Return the deadlines of a wait: those of the caller, or as long as SageMaker may take."""
        spent = 0.0 if call is None else call.spent
        return Deadlines(replace(timeouts, total=timeouts.total or self._longest_wait(call)), where, spent)

    def _longest_wait(self, call: Invocation | None) -> float:
        told = {**self._parameters, **(call.parameters if call is not None else {})}
        return sum(float(told.get(name, seconds)) for name, seconds in _LONGEST_WAIT.items()) + _MARGIN

    def earlier(self, call: Invocation) -> tuple[Ticket, bool] | None:
        """Return the ticket that a run before this one got for a request, and whether its answer may still come."""
        found = None if self.tickets is None else self.tickets.take(call)
        return None if found is None else (found[0], found[1] < self._longest_wait(call))

    def keep(self, call: Invocation, ticket: Ticket) -> None:
        """Remember a ticket for the next run."""
        if self.tickets is not None:
            self.tickets.keep(call, ticket)

    def must_upload(self, call: Invocation) -> bool:
        """Return whether a body is too large to go along; raise if there is no location to put it."""
        if len(call.body) <= MAX_INLINE_BYTES:
            return False
        if self._upload_to is None:
            raise PayloadTooLarge(
                f"the request has {len(call.body):,} bytes; more than {MAX_INLINE_BYTES:,} go by way of S3: "
                "give upload_to='s3://bucket/folder'",
                code="PayloadTooLarge",
                fault="client",
            )
        return True

    def upload(self, call: Invocation) -> tuple[Invocation, str]:
        """Write a body to S3; return the call that refers to it, and its location."""
        uri = f"{(self._upload_to or '').rstrip('/')}/{uuid.uuid4()}.in"
        self.store.put(uri, call.body, call.content_type)
        return replace(call, body=b"", parameters={**call.parameters, "InputLocation": uri}), uri

    def look(self, ticket: Ticket) -> Body | None:
        """Return the answer if it is there; raise `ModelError` if the error is."""
        try:
            return self._look(ticket)
        except SagewireError as error:
            self._redactor().error(error)
            raise

    def _redactor(self) -> Redactor:
        """Return what masks the keys that S3 is asked with."""
        keys = None
        with suppress(Exception):
            keys = self._source.known() or self._source.get(_KEYS_WITHIN)
        found = [keys.secret_key, keys.token or ""] if keys is not None else []
        return Redactor(sorted(found, key=len, reverse=True))

    def _look(self, ticket: Ticket) -> Body | None:
        found = self.store.get(ticket.output, self._limit)
        if found is not None:
            self._close(ticket, ticket.output)
            data, content_type = found
            return Body(data, ResponseInfo(content_type=content_type, request_id=ticket.inference_id or None))
        failed = self.store.get(ticket.failure, ERROR_BODY_BYTES) if ticket.failure else None
        if failed is not None:
            self._close(ticket, ticket.failure)
            raise failure_error(ticket, failed[0])
        return None

    def _close(self, ticket: Ticket, result: str) -> None:
        if self.tickets is not None:
            self.tickets.close(ticket)
        self.clean(ticket, result)

    def discard(self, uploaded: str) -> None:
        """Delete what was uploaded for a call that was not made."""
        self.clean(Ticket("", "", "", uploaded))

    def clean(self, ticket: Ticket, result: str = "") -> None:
        """Delete what is not needed any more; an object that cannot be deleted is logged, not reported."""
        wanted = {"none": (), "uploads": (ticket.input,), "all": (ticket.input, result)}[self._cleanup]
        for uri in filter(None, wanted):
            try:
                self.store.delete(uri)
            except SagewireError as error:
                _log.warning("%s is left behind: %s", uri, error)


def _target(endpoint: SageMakerEndpoint) -> DeferredTarget:
    return DeferredTarget(endpoint.name, endpoint.settings, endpoint.parameters)


class DeferredTransport(SyncTransport):
    """Carries invocations to an endpoint with Asynchronous Inference; waits for the answer in S3.

    The caller needs `sagemaker:InvokeEndpointAsync`, and `s3:GetObject` for the output location; without
    `s3:ListBucket` an answer that is not there yet cannot be told from one that may not be read.

    Args:
        endpoint_name: The endpoint.
        session: Credentials to call with, as for `SageMakerTransport`.
        region_name: The region.
        endpoint_url: Another base URL of SageMaker Runtime.
        timeouts: The deadlines of each call; `total` is for the whole wait, else what SageMaker allows: 6 h 15 min, or
            what `RequestTTLSeconds` and `InvocationTimeoutSeconds` set.
        retries: How often to try to hand the request in.
        config: A `botocore.config.Config`.
        parameters: InvokeEndpointAsync parameters for every call, under boto3's names: `RequestTTLSeconds`,
            `InvocationTimeoutSeconds`, `S3OutputPathExtension` and so on, as strings.
        upload_to: An S3 folder for bodies of more than 128,000 bytes.
        cleanup: The objects to delete once the answer was read: `uploads` (those that this transport wrote), `all`
            (also the answer or failure object) or `none`.
        poll: The first and the longest wait between two looks, in seconds.
        tickets: A file for the tickets of `invoke` and `stream`. If the program is killed while it waits, the next run
            collects what it asked for already instead of asking again. One process at a time uses it.
        max_response_bytes: The longest answer that is read; `None` for the default of 256 MB.

    Example:
        >>> transport = DeferredTransport("my-batch-llm", upload_to="s3://my-bucket/in")  # doctest: +SKIP
        >>> ticket = transport.submit(Invocation(b'{"inputs": "..."}'))  # doctest: +SKIP
        >>> transport.collect(ticket).data  # doctest: +SKIP
        b'[{"generated_text": "..."}]'
    """

    def __init__(
        self,
        endpoint_name: str,
        *,
        upload_to: str | None = None,
        cleanup: Cleanup = "uploads",
        poll: tuple[float, float] = (0.5, 15.0),
        tickets: str | os.PathLike[str] | None = None,
        **arguments: Unpack[EndpointArguments],
    ) -> None:
        endpoint = SageMakerEndpoint.resolve(endpoint_name, **arguments)
        self._counter = _Counter(endpoint, upload_to, cleanup, poll, tickets)
        engine = SyncEngine(origin_of(endpoint.settings))
        super().__init__(_target(endpoint), engine, **endpoint.for_carrier)

    def submit(self, call: Invocation) -> Ticket:
        """Hand in a request and return at once; `collect` fetches the answer."""
        return self._submit(call, self._deadlines(call))

    def _submit(self, call: Invocation, deadlines: Deadlines) -> Ticket:
        self._target.check(call, stream=False)
        uploaded = ""
        if self._counter.must_upload(call):
            call, uploaded = self._upload(call, deadlines)
        try:
            response, _ = self._open(call, deadlines, stream=False)
            return ticket_of(response.headers, response.read(ERROR_BODY_BYTES), uploaded)
        except BaseException:
            self._counter.discard(uploaded)
            raise

    def _upload(self, call: Invocation, deadlines: Deadlines) -> tuple[Invocation, str]:
        try:
            upload = partial(self._counter.upload, call)
            return call_within(deadlines.left(), upload, discard=lambda late: self._counter.discard(late[1]))
        except TimeoutError:
            raise deadlines.expired("total") from None

    def collect(self, ticket: Ticket) -> Body:
        """Wait for the answer to a request that was handed in, by this process or another.

        Raises:
            ModelError: The container failed.
            EndpointTimeout: No answer arrived in time; it may still come.
        """
        return self._collect(ticket, self._counter.whole_wait(self._timeouts, self._target.name))

    def _collect(self, ticket: Ticket, deadlines: Deadlines) -> Body:
        looking = Looking(ticket, deadlines, self._counter.poll)
        while True:
            try:
                body = call_within(looking.left(), partial(self._counter.look, ticket))
            except EndpointError as error:
                looking.failed(error)
            except TimeoutError:
                raise looking.expired() from None
            else:
                if body is not None:
                    return looking.found(body)
                looking.absent()
            time.sleep(looking.delay())

    def invoke(self, call: Invocation) -> Body:
        """Hand in a request and wait for its answer."""
        deadlines = self._counter.whole_wait(self._timeouts, self._target.name, call)
        earlier = self._counter.earlier(call)
        if earlier is not None:
            ticket, may_come = earlier
            body = self._collect(ticket, deadlines) if may_come else self._counter.look(ticket)
            if body is not None:
                return body
        ticket = self._submit(call, deadlines)
        self._counter.keep(call, ticket)
        return self._collect(ticket, deadlines)

    @contextmanager
    def stream(self, call: Invocation) -> Iterator[ByteStream]:  # type: ignore[override]
        """Hand in a request, wait, and return its answer in one piece: nothing can be seen of it before it is whole."""
        yield _WholeStream(self.invoke(call))

    def close(self) -> None:
        """Give back pooled connections. The transport may be used again."""
        super().close()
        self._counter.store.close()


class AsyncDeferredTransport(AsyncTransport):
    """`DeferredTransport`, awaited; S3 is asked in worker threads. The arguments are the same."""

    def __init__(
        self,
        endpoint_name: str,
        *,
        upload_to: str | None = None,
        cleanup: Cleanup = "uploads",
        poll: tuple[float, float] = (0.5, 15.0),
        tickets: str | os.PathLike[str] | None = None,
        **arguments: Unpack[EndpointArguments],
    ) -> None:
        endpoint = SageMakerEndpoint.resolve(endpoint_name, **arguments)
        self._counter = _Counter(endpoint, upload_to, cleanup, poll, tickets)
        engine = AsyncEngine(origin_of(endpoint.settings))
        super().__init__(_target(endpoint), engine, **endpoint.for_carrier)

    async def submit(self, call: Invocation) -> Ticket:
        """Hand in a request and return at once; `collect` fetches the answer."""
        return await self._submit(call, self._deadlines(call))

    async def _submit(self, call: Invocation, deadlines: Deadlines) -> Ticket:
        self._target.check(call, stream=False)
        uploaded = ""
        if self._counter.must_upload(call):
            call, uploaded = await self._upload(call, deadlines)
        try:
            response, _ = await self._open(call, deadlines, stream=False)
            return ticket_of(response.headers, await response.read(ERROR_BODY_BYTES), uploaded)
        except BaseException:
            if uploaded:
                in_background(self._counter.discard, uploaded)
            raise

    async def _upload(self, call: Invocation, deadlines: Deadlines) -> tuple[Invocation, str]:
        try:
            async with asyncio.timeout(deadlines.left()):
                return await in_thread(self._counter.upload, call, discard=lambda late: self._counter.discard(late[1]))
        except TimeoutError:
            raise deadlines.expired("total") from None

    async def collect(self, ticket: Ticket) -> Body:
        """Wait for the answer to a request that was handed in, by this process or another."""
        return await self._collect(ticket, self._counter.whole_wait(self._timeouts, self._target.name))

    async def _collect(self, ticket: Ticket, deadlines: Deadlines) -> Body:
        looking = Looking(ticket, deadlines, self._counter.poll)
        while True:
            try:
                async with asyncio.timeout(looking.left()):
                    body = await in_thread(self._counter.look, ticket)
            except EndpointError as error:
                looking.failed(error)
            except TimeoutError:
                raise looking.expired() from None
            else:
                if body is not None:
                    return looking.found(body)
                looking.absent()
            await asyncio.sleep(looking.delay())

    async def invoke(self, call: Invocation) -> Body:
        """Hand in a request and wait for its answer."""
        deadlines = self._counter.whole_wait(self._timeouts, self._target.name, call)
        earlier = self._counter.earlier(call)
        if earlier is not None:
            ticket, may_come = earlier
            looked = self._collect(ticket, deadlines) if may_come else in_thread(self._counter.look, ticket)
            if (body := await looked) is not None:
                return body
        ticket = await self._submit(call, deadlines)
        self._counter.keep(call, ticket)
        return await self._collect(ticket, deadlines)

    @asynccontextmanager
    async def stream(self, call: Invocation) -> AsyncIterator[AsyncByteStream]:  # type: ignore[override]
        """Hand in a request, wait, and return its answer in one piece."""
        yield _WholeStream(await self.invoke(call))

    async def close(self) -> None:
        """Give back pooled connections of the running event loop. The transport may be used again."""
        await super().close()
        self._counter.store.close()


class _WholeStream:
    """An answer that is there already, as a stream of sync or async."""

    def __init__(self, body: Body) -> None:
        self._body = body

    @property
    def info(self) -> ResponseInfo:
        return self._body.info

    def __iter__(self) -> Iterator[bytes]:
        yield self._body.data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body.data
