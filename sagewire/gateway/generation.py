"""Whole answers and streams from whichever deployment serves them, with everything that must be counted on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import orjson
from starlette.types import Receive, Send

from sagewire.client import AsyncClient
from sagewire.content_handlers import JsonHandler
from sagewire.errors import SagewireError
from sagewire.gateway.errors import envelope_of
from sagewire.gateway.gateway import Gateway, Turn
from sagewire.gateway.routing.affinity import conversation_id, prefix_id
from sagewire.gateway.routing.deployments import Deployment
from sagewire.gateway.routing.router import Served
from sagewire.gateway.routing.sticky_sessions import session_is_gone
from sagewire.gateway.server.http_exchange import EventStream, while_connected
from sagewire.types import Delta, OptionArguments, Reply, TextDelta, ThinkingDelta, ToolCallDelta, UsageDelta

__all__ = ["ChunkEvents", "Events", "Generation", "Opened"]

T = TypeVar("T")
_OPTIONS = frozenset(OptionArguments.__annotations__) - {"model", "extra", "stop"}


class Stream(Protocol):
    """What `AsyncClient.stream` and `stream_complete` return."""

    def __aiter__(self) -> AsyncIterator[Delta]: ...

    @property
    def reply(self) -> Reply: ...

    async def close(self) -> None: ...


class Events(Protocol):
    """Turns deltas into the bytes of server-sent events."""

    def feed(self, delta: Delta) -> bytes:
        """Return the events for one more delta."""
        ...

    def end(self) -> bytes:
        """Return the last events."""
        ...

    def error(self, body: dict[str, Any]) -> bytes:
        """Return the event for an error in the middle of an answer."""
        ...


class _Chunks(Protocol):
    def encode(self, delta: Delta, /) -> list[dict[str, Any]]: ...

    def close(self) -> list[dict[str, Any]]: ...


class ChunkEvents:
    """OpenAI's older streams: unnamed events with a chunk each, then `[DONE]`."""

    def __init__(self, chunks: _Chunks) -> None:
        self._chunks = chunks

    def feed(self, delta: Delta) -> bytes:
        """Return the events for one more delta."""
        return b"".join([b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in self._chunks.encode(delta)])

    def end(self) -> bytes:
        """Return the last events."""
        return (
            b"".join([b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in self._chunks.close()])
            + b"data: [DONE]\n\n"
        )

    def error(self, body: dict[str, Any]) -> bytes:
        """Return the event for an error; OpenAI's clients raise on an `error` field whatever the event's name."""
        return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"


@dataclass(slots=True)
class Opened:
    """A stream whose first piece is there: from here on nothing is retried."""

    stream: Stream
    deltas: AsyncIterator[Delta]
    first: Delta | None
    client: AsyncClient

    @property
    def calls_are_final(self) -> bool:
        """Whether tool calls come in fields of their own, rather than being read out of the model's text."""
        return self.client.handler.speaks == "messages"


class Generation:
    """One turn being answered.

    Args:
        gateway: What is shared.
        turn: What is asked.
        receive: ASGI's.
        send: ASGI's.
    """

    def __init__(self, gateway: Gateway, turn: Turn, receive: Receive, send: Send) -> None:
        self._gateway = gateway
        self._turn = turn
        self._receive = receive
        self._send = send
        self._affinity = self._affinity_of(turn)

    async def whole(self, call: Callable[[Deployment, dict[str, str]], Awaitable[T]]) -> T:
        """Return a whole answer.

        Args:
            call: Makes the call, given a deployment and InvokeEndpoint parameters.

        Raises:
            SagewireError: Nobody could answer.
            ClientGone: The caller hung up; the call upstream was given up, too.
        """
        async with while_connected(self._receive, self._turn.log):
            served = await self._serve(lambda deployment: self._call(deployment, call))
        served.lease.succeeded()
        return served.result

    async def stream(
        self, call: Callable[[Deployment, dict[str, str]], Awaitable[Stream]], events: Callable[[Opened], Events]
    ) -> None:
        """Answer with a stream of events.

        Args:
            call: Starts the stream, given a deployment and InvokeEndpoint parameters.
            events: Makes the encoder, once the stream is open.

        Raises:
            SagewireError: Nobody could answer, and nothing has been sent.
            ClientGone: The caller hung up; the stream upstream was closed, too.
        """
        self._turn.log.stream = True
        async with while_connected(self._receive, self._turn.log):
            served = await self._serve(lambda deployment: self._open(deployment, call))
            try:
                await self._pump(served.result, events(served.result), served)
            except BaseException:
                served.lease.given_up()
                raise
            finally:
                await served.result.stream.close()

    async def _open(
        self, deployment: Deployment, call: Callable[[Deployment, dict[str, str]], Awaitable[Stream]]
    ) -> Opened:
        async def begin(deployment: Deployment, endpoint_kwargs: dict[str, str]) -> Opened:
            stream = await call(deployment, endpoint_kwargs)
            deltas = aiter(stream)
            return Opened(stream, deltas, await anext(deltas, None), deployment.chat)

        return await self._call(deployment, begin)

    async def _pump(self, opened: Opened, events: Events, served: Served[Any]) -> None:
        log = self._turn.log
        out = EventStream(self._send)
        log.piece()
        await out.begin()
        try:
            if opened.first is not None:
                self._note(opened.first)
                await out.write(events.feed(opened.first))
                async for delta in opened.deltas:
                    self._note(delta)
                    data = events.feed(delta)
                    if data:
                        await out.write(data)
            last = events.end()
        except SagewireError as error:
            served.lease.failed(error)
            self._gateway.attempt_failed(served.model, served.lease.deployment, error)
            _, body, _ = envelope_of(error)
            log.error = body["error"]["code"] or type(error).__name__
            last = events.error(body)
        served.lease.succeeded()
        reply = opened.stream.reply
        log.usage = reply.usage or log.usage
        log.upstream_id = reply.info.request_id if reply.info else None
        await out.end(last)

    def _note(self, delta: Delta) -> None:
        if isinstance(delta, TextDelta | ThinkingDelta):
            self._turn.log.characters += len(delta.text)
        elif isinstance(delta, ToolCallDelta):
            self._turn.log.characters += len(delta.arguments)
        elif isinstance(delta, UsageDelta):
            self._turn.log.usage = delta.usage

    async def _serve(self, work: Callable[[Deployment], Awaitable[T]]) -> Served[T]:
        gateway, turn, log = self._gateway, self._turn, self._turn.log

        def failed(deployment: Deployment, error: SagewireError) -> None:
            log.attempts += 1
            log.deployment = deployment.label
            gateway.attempt_failed(turn.model, deployment, error)

        served = await turn.router.serve(
            turn.model,
            work,
            affinity=self._affinity,
            stream=log.stream,
            allowed=lambda name: gateway.allows(turn.key, name),
            failed=failed,
        )
        log.attempts += 1
        log.lease = served.lease
        log.deployment = served.lease.deployment.label
        log.served_by = served.model.name
        if served.model is not turn.model:
            log.headers["x-sagewire-model"] = served.model.name
        return served

    async def _call(self, deployment: Deployment, call: Callable[[Deployment, dict[str, str]], Awaitable[T]]) -> T:
        """Make a call, in the conversation's session where there is one."""
        kwargs = deployment.endpoint_kwargs(self._turn.log.request_id, self._affinity)
        if self._conversation is None or deployment.config.endpoint is None:
            return await call(deployment, kwargs)
        session = await deployment.sessions.use(self._conversation)
        if session is None:
            return await call(deployment, kwargs)
        try:
            return await call(deployment, {**kwargs, "SessionId": session})
        except SagewireError as error:
            if not session_is_gone(error):
                raise
        deployment.sessions.forget(self._conversation, session)
        session = await deployment.sessions.use(self._conversation)
        return await call(deployment, kwargs if session is None else {**kwargs, "SessionId": session})

    @property
    def _conversation(self) -> str | None:
        return self._affinity if self._turn.model.config.affinity == "session" else None

    def _affinity_of(self, turn: Turn) -> str | None:
        model = turn.model
        if model.config.affinity == "session":
            return conversation_id(turn.body, turn.key.name, turn.log.conversation)
        wanted = model.config.affinity != "none" or any(one.config.prefix_aware for one in model.deployments)
        return prefix_id(turn.body, turn.key.name) if wanted else None

    async def fitting(self, deployment: Deployment, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments without the options this deployment's wire cannot express, where so configured.

        What was left out is said in the response's `x-sagewire-dropped` header.
        """
        if not deployment.config.drop_unsupported:
            return arguments
        client = deployment.chat
        handler = client.handler if client.known else await asyncio.to_thread(lambda: client.handler)
        if not isinstance(handler, JsonHandler):
            return arguments
        dropped = [name for name in arguments if name in _OPTIONS and name not in handler.option_names]
        if not dropped:
            return arguments
        self._turn.log.headers["x-sagewire-dropped"] = ", ".join(dropped)
        return {name: value for name, value in arguments.items() if name not in dropped}


def sum_characters(replies: Sequence[Reply]) -> int:
    """Return how many characters were answered, for servers that do not count tokens."""
    return sum(len(choice.text) + len(choice.thinking or "") for reply in replies for choice in reply.choices)
