"""`/v1/responses`: OpenAI's newer API for conversations, with text and function tools."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.types import Send

from sagewire.gateway.config import ServerConfig
from sagewire.gateway.gateway import Gateway
from sagewire.gateway.generation import Generation, Opened
from sagewire.gateway.request_log import RequestLog
from sagewire.gateway.routes.base import ModelRoute
from sagewire.gateway.routes.chat import stream_chat, whole_chat
from sagewire.gateway.server.http_exchange import respond_json
from sagewire.gateway.stored_responses import fresh_id
from sagewire.gateway.turn import Turn
from sagewire.openai_shapes import ResponseEvents, response_arguments, response_object, wants_stream
from sagewire.openai_shapes.fields import Fields
from sagewire.types import Delta

__all__ = ["Responses"]

JSON = dict[str, Any]


class Responses(ModelRoute):
    """Conversations, in the shape of the Responses API."""

    name = "responses"

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.expand = self._expanded

    async def _expanded(self, log: RequestLog, body: JSON) -> tuple[JSON, int, ServerConfig | None]:
        # Whether responses are stored is decided here, once for the request: a reload may change it meanwhile.
        gateway, server = self.gateway, self.gateway.config.server
        if server.store_responses is None:
            return body, 0, None
        return *(await gateway.responses.expanded(log, body, server, gateway.body_room)), server

    async def answer(self, turn: Turn, generation: Generation, send: Send) -> None:
        """Answer whole, or as a stream of events."""
        answer = _Answer(self.gateway, turn)
        skip = any(one.config.drop_unsupported for one in turn.model.deployments)
        arguments = response_arguments(answer.readable, generation.skipped if skip else None)
        if wants_stream(turn.body):
            await self._stream(answer, generation, arguments)
            return

        reply = await whole_chat(turn, generation, lambda: arguments)
        response = response_object(reply, turn.body, model=turn.name, id=answer.id, stored=answer.is_stored)
        await answer.keep(response)
        await respond_json(send, 200, response)

    async def _stream(self, answer: _Answer, generation: Generation, arguments: JSON) -> None:
        turn = answer.turn
        written: list[_NamedEvents] = []

        def events(opened: Opened | None) -> _NamedEvents:
            final = opened is None or opened.calls_are_final
            encoder = ResponseEvents(
                turn.body, model=turn.name, id=answer.id, calls_are_final=final, stored=answer.is_stored
            )
            written.append(_NamedEvents(encoder))
            return written[-1]

        async def keep() -> None:
            await answer.keep(written[-1].finish())

        await stream_chat(generation, lambda: arguments, events, keep if answer.is_stored else None)


class _Answer:
    """An answer on its way to the caller, and to the database if it is stored.

    Attributes:
        turn: The request.
        id: The response's id; one that is stored has one that no caller can choose.
        is_stored: Later requests can refer to it.
        readable: The body without what has been put in its place.
    """

    def __init__(self, gateway: Gateway, turn: Turn) -> None:
        self._gateway = gateway
        self.turn = turn
        self.readable = turn.body
        self.is_stored = False
        if turn.storing is not None:
            self.is_stored = Fields(turn.body).flag("store") is not False
            self.readable = {name: value for name, value in turn.body.items() if name != "previous_response_id"}
        self.id = fresh_id("resp") if self.is_stored else f"resp_{turn.log.request_id}"

    async def keep(self, response: JSON) -> None:
        """Store the answer before its caller has it; if that does not work, it says that it is not stored."""
        turn = self.turn
        if self.is_stored and turn.storing is not None:
            response["store"] = await self._gateway.responses.keep(
                turn.key, turn.body, turn.earlier, response, turn.storing
            )


class _NamedEvents:
    """Events whose names are their types; there is no `[DONE]` behind them."""

    def __init__(self, events: ResponseEvents) -> None:
        self._events = events
        self._last: list[JSON] | None = None

    def feed(self, delta: Delta) -> bytes:
        return _named(self._events.encode(delta))

    def finish(self) -> JSON:
        """Return the whole response, as the last event has it."""
        self._last = self._events.close()
        response: JSON = self._last[-1]["response"]
        return response

    def end(self) -> bytes:
        return _named(self._events.close() if self._last is None else self._last)

    def error(self, body: JSON) -> bytes:
        return _named(self._events.fail(body["error"]))


def _named(events: list[JSON]) -> bytes:
    return b"".join([b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event)) for event in events])
