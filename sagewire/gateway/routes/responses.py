"""`/v1/responses`: OpenAI's newer API for conversations, with text and function tools; nothing is stored."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.types import Send

from sagewire.gateway.gateway import Turn
from sagewire.gateway.generation import Generation, Opened
from sagewire.gateway.routes.base import ModelRoute
from sagewire.gateway.routes.chat import stream_chat, whole_chat
from sagewire.gateway.server.http_exchange import respond_json
from sagewire.openai_shapes import ResponseEvents, response_arguments, response_object, wants_stream
from sagewire.types import Delta

__all__ = ["Responses"]


class Responses(ModelRoute):
    """Conversations, in the shape of the Responses API."""

    name = "responses"

    async def answer(self, turn: Turn, generation: Generation, send: Send) -> None:
        """Answer whole, or as a stream of events."""
        skip = any(one.config.drop_unsupported for one in turn.model.deployments)
        arguments = response_arguments(turn.body, generation.skipped if skip else None)
        if wants_stream(turn.body):
            await self._stream(turn, generation, arguments)
            return

        reply = await whole_chat(turn, generation, lambda: arguments)
        await respond_json(send, 200, response_object(reply, turn.body, model=turn.name, id=_id_of(turn)))

    async def _stream(self, turn: Turn, generation: Generation, arguments: dict[str, Any]) -> None:
        def events(opened: Opened | None) -> _NamedEvents:
            final = opened is None or opened.calls_are_final
            return _NamedEvents(ResponseEvents(turn.body, model=turn.name, id=_id_of(turn), calls_are_final=final))

        await stream_chat(generation, lambda: arguments, events)


def _id_of(turn: Turn) -> str:
    return f"resp_{turn.log.request_id}"


class _NamedEvents:
    """Events whose names are their types; there is no `[DONE]` behind them."""

    def __init__(self, events: ResponseEvents) -> None:
        self._events = events

    def feed(self, delta: Delta) -> bytes:
        return _named(self._events.encode(delta))

    def end(self) -> bytes:
        return _named(self._events.close())

    def error(self, body: dict[str, Any]) -> bytes:
        return _named(self._events.fail(body["error"]))


def _named(events: list[dict[str, Any]]) -> bytes:
    return b"".join([b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event)) for event in events])
