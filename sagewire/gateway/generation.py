"""Whole answers and streams from the deployment that serves them, with everything that is counted on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.types import Receive, Send

from sagewire.client import AsyncClient
from sagewire.content_handlers import JsonHandler
from sagewire.errors import EndpointTimeout, SagewireError, excerpt
from sagewire.gateway.config import DeploymentConfig
from sagewire.gateway.errors import GatewayError, envelope_of, is_time_limit
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.request_log import RequestLog
from sagewire.gateway.routing.affinity import conversation_id, prefix_id
from sagewire.gateway.routing.deployments import Deployment
from sagewire.gateway.routing.model import Model, Served, Wanted
from sagewire.gateway.routing.sticky_sessions import session_is_gone
from sagewire.gateway.server.http_exchange import EventStream, KeepAlive, while_connected
from sagewire.gateway.stream_events import Events, Stream
from sagewire.gateway.turn import Turn
from sagewire.openai_shapes.answers import add_usage
from sagewire.types import Delta, OptionArguments, Reply, TextDelta, ThinkingDelta, ToolCallDelta, UsageDelta

__all__ = ["PROMPTS_IN_FLIGHT", "Callee", "Generation", "Opened"]

T = TypeVar("T")
# Prompts of one request that are answered at once.
PROMPTS_IN_FLIGHT = 8
_OPTIONS = frozenset(OptionArguments.__annotations__) - {"model", "extra", "stop"}


@dataclass(slots=True)
class Opened:
    """A stream whose first piece is there: from here on nothing is retried."""

    stream: Stream
    deltas: AsyncIterator[Delta | bytes]
    first: Delta | bytes | None
    client: AsyncClient

    @property
    def calls_are_final(self) -> bool:
        """Whether tool calls come in fields of their own, not in the model's text."""
        return self.client.handler.speaks == "messages"


@dataclass(slots=True)
class Callee:
    """A deployment that is about to be called.

    Attributes:
        parameters: InvokeEndpoint parameters of the call.
    """

    client: AsyncClient
    config: DeploymentConfig
    parameters: dict[str, str]


class Generation:
    """One turn being answered.

    Args:
        gateway: The shared state.
        turn: The request.
        receive: ASGI's.
        send: ASGI's.
    """

    def __init__(self, gateway: Gateway, turn: Turn, receive: Receive, send: Send) -> None:
        self._gateway = gateway
        self._turn = turn
        self._receive = receive
        self._send = send
        self._affinity = self._affinity_of(turn)
        # Notes text of the answer.
        self.text = turn.log.answered
        # Of the request itself, whichever deployment answers.
        self.skipped: list[str] = []
        # The sessions that calls of this turn use.
        self._sessions: list[tuple[Deployment, str, str]] = []

    async def whole(self, call: Callable[[Callee], Awaitable[T]]) -> T:
        """Return a whole answer.

        Args:
            call: Makes the call of a deployment.

        Raises:
            SagewireError: No deployment could answer.
            ClientGone: The caller hung up; the call upstream was given up, too.
        """
        try:
            with self.connected():
                served = await self._serve(lambda deployment: self._call(deployment, call))
        finally:
            self._leave_sessions()
        served.lease.succeeded()
        return served.result

    def connected(self) -> while_connected:
        """Return the context of work that ends with `ClientGone` when the caller hangs up."""
        return while_connected(self._receive, self._turn.log, self._gateway.short_alarms)

    async def stream(
        self,
        call: Callable[[Callee], Stream],
        events: Callable[[Opened | None], Events],
        before_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Answer with a stream of events.

        Args:
            call: Starts the stream of a deployment.
            events: Makes the encoder, once the stream is open or has failed.
            before_end: Awaited when all deltas are there, before the encoder ends.

        Raises:
            SagewireError: No deployment could answer, and nothing has been sent.
            ClientGone: The caller hung up; the stream upstream was closed, too.
        """
        self._turn.log.stream = True
        out = EventStream(self._send, self._gateway.alarms)
        keep_alive = KeepAlive(out, self._turn.model.config.keepalive_seconds, self._gateway.alarms)
        try:
            with self.connected():
                await self._stream(call, events, out, keep_alive, before_end)
        finally:
            await keep_alive.stop()
            out.close()
            self._leave_sessions()

    async def _stream(
        self,
        call: Callable[[Callee], Stream],
        events: Callable[[Opened | None], Events],
        out: EventStream,
        keep_alive: KeepAlive,
        before_end: Callable[[], Awaitable[None]] | None,
    ) -> None:
        try:
            served = await self._serve(lambda deployment: self._open(deployment, call))
        except SagewireError as error:
            await keep_alive.stop()
            if not out.begun:
                raise
            # Too late for a status.
            await out.end(events(None).error(self._failed(error)))
            return
        try:
            await self._pump(served.result, events(served.result), served, out, keep_alive, before_end)
        except BaseException:
            served.lease.given_up()
            raise
        finally:
            await served.result.stream.close()

    def _failed(self, error: SagewireError) -> dict[str, Any]:
        _, body, _ = envelope_of(error)
        self._turn.log.timed_out = self._turn.log.timed_out or is_time_limit(error)
        self._turn.log.error = body["error"]["code"] or type(error).__name__
        return body

    async def _open(self, deployment: Deployment, call: Callable[[Callee], Stream]) -> Opened:
        async def begin(callee: Callee) -> Opened:
            stream = call(callee)
            deltas = aiter(stream)
            limit = callee.config.timeouts.stream_first_byte
            if limit is None:
                return Opened(stream, deltas, await anext(deltas, None), callee.client)
            try:
                async with asyncio.timeout(limit):
                    first = await anext(deltas, None)
            except TimeoutError as error:
                await stream.close()
                if isinstance(error, SagewireError):
                    raise
                message = f"no first piece of the stream within {limit:g} s; the limit is `timeouts.stream_first_byte`"
                raise EndpointTimeout(message, code="first_byte", retry_safe=True) from None
            return Opened(stream, deltas, first, callee.client)

        return await self._call(deployment, begin)

    async def _pump(
        self,
        opened: Opened,
        events: Events,
        served: Served[Any],
        out: EventStream,
        keep_alive: KeepAlive,
        before_end: Callable[[], Awaitable[None]] | None,
    ) -> None:
        log = self._turn.log
        log.piece()
        if not out.begun:
            await keep_alive.stop()
            if not out.begun:
                await out.begin()
            keep_alive.resume()
        try:
            if opened.first is not None:
                await out.write(self._encoded(opened.first, events))
                async for delta in opened.deltas:
                    data = delta if type(delta) is bytes else self._encoded(delta, events)
                    if data:
                        await out.write(data)
            if before_end is not None:
                await before_end()
            last = events.end()
        except SagewireError as error:
            served.lease.deployment.redaction.error(error)
            served.lease.failed(error)
            self._gateway.attempt_failed(served.model, served.lease.deployment, error)
            last = events.error(self._failed(error))
        served.lease.succeeded()
        reply = opened.stream.reply
        if reply.usage is not None:
            log.counted(reply.usage)
        log.upstream_id = reply.info.request_id
        await keep_alive.stop()
        await out.end(last)

    def _encoded(self, piece: Delta | bytes, events: Events) -> bytes:
        if isinstance(piece, bytes):
            return piece
        self.delta(piece)
        return events.feed(piece)

    def delta(self, delta: Delta) -> None:
        """Note a delta of the answer."""
        if isinstance(delta, TextDelta | ThinkingDelta):
            self._turn.log.answered(delta.text)
        elif isinstance(delta, ToolCallDelta):
            self._turn.log.answered(delta.arguments)
        elif isinstance(delta, UsageDelta):
            self._turn.log.counted(delta.usage)

    async def _serve(self, work: Callable[[Deployment], Awaitable[T]]) -> Served[T]:
        gateway, turn, log = self._gateway, self._turn, self._turn.log

        def failed(model: Model, deployment: Deployment, error: SagewireError) -> None:
            log.attempts += 1
            log.deployment = deployment.label
            log.note_failure(error)
            gateway.attempt_failed(model, deployment, error)

        settings = turn.settings
        wanted = Wanted(
            turn.task,
            turn.key.account,
            self._affinity,
            log.stream,
            1 if log.stream else self.calls_at_once,
            settings.attempts,
            settings.fallbacks,
            lambda: sum(turn.expected()),
            turn.calls,
        )
        serving = turn.router.serve(
            turn.model, work, wanted=wanted, allowed=lambda name: gateway.allows(turn.key, name), failed=failed
        )
        served = await (serving if settings.seconds is None else _within(settings.seconds, serving, log))
        log.attempts += 1
        log.lease = served.lease
        log.deployment = served.lease.deployment.label
        log.served_by = served.model.name
        if served.model is not turn.model:
            log.headers["x-sagewire-model"] = served.model.name
        return served

    @property
    def calls_at_once(self) -> int:
        """How many prompts of the request are answered at the same time."""
        return min(self._turn.calls, PROMPTS_IN_FLIGHT)

    async def _call(self, deployment: Deployment, call: Callable[[Callee], Awaitable[T]]) -> T:
        """Make a call, in the conversation's session if there is one."""
        client = await deployment.client(self._turn.task)
        self._say_dropped([])
        self._turn.log.called = True
        self._turn.log.prices = deployment.prices
        callee = Callee(
            client, deployment.config, deployment.endpoint_kwargs(self._turn.log.request_id, self._affinity)
        )
        if self._conversation is None or deployment.config.endpoint is None:
            return await call(callee)
        plain = callee.parameters
        session = await self._session_of(deployment)
        try:
            callee.parameters = plain if session is None else {**plain, "SessionId": session}
            return await call(callee)
        except SagewireError as error:
            if session is None or not session_is_gone(error):
                raise
        deployment.sessions.forget(self._conversation, session)
        session = await self._session_of(deployment)
        callee.parameters = plain if session is None else {**plain, "SessionId": session}
        return await call(callee)

    async def _session_of(self, deployment: Deployment) -> str | None:
        conversation = self._conversation
        assert conversation is not None, "asked for a conversation only"
        session = await deployment.sessions.use(conversation)
        if session is not None:
            self._sessions.append((deployment, conversation, session))
        return session

    def _leave_sessions(self) -> None:
        for deployment, conversation, session in self._sessions:
            deployment.sessions.done(conversation, session)
        self._sessions.clear()

    @property
    def _conversation(self) -> str | None:
        return self._affinity if self._turn.model.config.affinity == "session" else None

    def _affinity_of(self, turn: Turn) -> str | None:
        model = turn.model
        if model.config.affinity == "session":
            return conversation_id(turn.body, turn.key.account, turn.log.conversation)
        wanted = model.config.affinity != "none" or any(one.config.prefix_aware for one in model.deployments)
        return prefix_id(turn.body, turn.key.account) if wanted else None

    def fitting(self, callee: Callee, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments without the options this deployment's wire cannot express, if so configured.

        The response's `x-sagewire-dropped` header says what was left out.
        """
        if not callee.config.drop_unsupported:
            return arguments
        handler = callee.client.handler
        if not isinstance(handler, JsonHandler):
            return arguments
        dropped = [name for name in arguments if name in _OPTIONS and name not in handler.option_names]
        if not dropped:
            return arguments
        self._say_dropped(dropped)
        return {name: value for name, value in arguments.items() if name not in dropped}

    def _say_dropped(self, options: list[str]) -> None:
        """Say in a header what was left out of this call: options that the deployment lacks, and skipped tools."""
        headers = self._turn.log.headers
        headers.pop("x-sagewire-dropped", None)
        if options or self.skipped:
            # Types of tools are words of the caller's, which may be of any length and hold line ends.
            headers["x-sagewire-dropped"] = excerpt(", ".join([*options, *self.skipped]))

    def note_replies(self, replies: list[Reply]) -> None:
        """Note the texts of whole answers, for servers that do not count tokens, and what those count that do."""
        log = self._turn.log
        for reply in replies:
            before = log.answer_tokens
            for choice in reply.choices:
                log.answered(choice.text + (choice.thinking or ""))
            if reply.usage is not None:
                log.usage = reply.usage if log.usage is None else add_usage([log.usage, reply.usage])
                log.counted_tokens += log.answer_tokens - before


async def _within(seconds: float, serving: Coroutine[Any, Any, Served[T]], log: RequestLog) -> Served[T]:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await serving
    except TimeoutError:
        if not limit.expired():
            raise
        # The caller's own doing, like hanging up.
        log.timed_out = True
        says = f"no answer within the {seconds:g} s of 'timeout' in the request"
        raise GatewayError(504, "request_timeout", says, param="timeout") from None
