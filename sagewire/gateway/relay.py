"""Plain conversations with OpenAI-shaped servers: passed on without becoming objects on the way.

Most requests are text turns and a few numbers, and most chunks of an answer differ from the one before in nothing but
their text. Parts that must be read go through the same decoders as everything else; the rest is copied.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import orjson

from sagewire.client import AsyncClient
from sagewire.client.verbatim import Verbatim
from sagewire.content_handlers import OpenAiChatHandler
from sagewire.content_handlers.openai.plain_replies import plain_text
from sagewire.errors import EndpointError, WireError
from sagewire.gateway.event_relay import EventRelay, Notes
from sagewire.gateway.plain_answers import PlainAnswer
from sagewire.gateway.stream_events import Events
from sagewire.gateway.stream_opening import OpeningMemory
from sagewire.streaming.jsonlines import parse_json
from sagewire.types import Delta, Options, Reply, ResponseInfo

__all__ = ["ChatRelay", "RelayedStream"]

# Options of a deployment that only add a field to the request.
_FIELDS = frozenset({
    "model", "max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "frequency_penalty", "presence_penalty",
    "repetition_penalty",
})  # fmt: skip


class ChatRelay:
    """One plain conversation on its way to a deployment's server.

    Args:
        verbatim: The call.
        fields: The body's fields.
        openings: How the server's streams begin.
    """

    def __init__(self, verbatim: Verbatim, fields: Mapping[str, Any], openings: OpeningMemory) -> None:
        self._verbatim = verbatim
        self._fields = fields
        self._openings = openings

    @classmethod
    def of(cls, client: AsyncClient, fields: Mapping[str, Any], parameters: Mapping[str, str]) -> ChatRelay | None:
        """Return the relay for a plain request, `None` if the deployment or its server is not plain.

        Args:
            client: The deployment's client.
            fields: The request; see `plain_chat`.
            parameters: InvokeEndpoint parameters of the call.
        """
        if not Verbatim.fits(client, parameters):
            return None
        verbatim = Verbatim(client, parameters)
        handler = verbatim.handler
        if type(handler) is not OpenAiChatHandler or handler.route is not None:
            return None
        known = _known(client, verbatim.options)
        if known.fields is None:
            return None
        return cls(verbatim, {"messages": fields["messages"], **known.fields, **fields}, known.openings)

    async def whole(self) -> PlainAnswer | Reply | None:
        """Return the whole answer, as a reply if it is more than text.

        It is `None` if the call should be made anew, because more is known now.

        Raises:
            EndpointError: The service returned an error.
            WireError: The answer cannot be understood.
        """
        try:
            body = await self._verbatim.invoke(orjson.dumps(self._fields))
            payload = self._parsed(body.data)
            found = plain_text(payload)
            if found is not None:
                return PlainAnswer(found, payload.get("system_fingerprint"), body.info)
            handler = self._verbatim.handler
            assert isinstance(handler, OpenAiChatHandler), "nothing else is relayed"
            reply = handler.transform_output(body.data) if payload is None else handler.reply_of(payload, body.data)
        except (EndpointError, WireError) as error:
            if await self._verbatim.is_out_of_date(error):
                return None
            raise
        return Reply(reply.choices, reply.usage, reply.id, reply.model, reply.extra, body.info)

    @staticmethod
    def _parsed(data: bytes) -> Any:
        try:
            return parse_json(data)
        except ValueError:
            # Perhaps events of a server that always streams, else the handler says what is wrong with it.
            return None

    def stream(self, encoder: Events, notes: Notes, anew: Callable[[], Any]) -> RelayedStream:
        """Return the answer as a stream of bytes, which are events already.

        Args:
            encoder: Writes what is not copied.
            notes: Told of what is in the answer.
            anew: Starts the call anew, in full, if it turns out that it should be.
        """
        fields = {**self._fields, "stream": True}
        if self._verbatim.counts_usage:
            fields["stream_options"] = {"include_usage": True}
        return RelayedStream(self._verbatim, orjson.dumps(fields), encoder, notes, anew, self._openings)


class _Known:
    """What all calls of one client share."""

    __slots__ = ("fields", "openings")

    def __init__(self, options: Options) -> None:
        own = options.given()
        fits = not options.extra and own.keys() <= _FIELDS
        # Those that the client adds to a request, `None` if it changes more than that.
        self.fields: Mapping[str, Any] | None = own if fits else None
        self.openings = OpeningMemory()


def _known(client: AsyncClient, options: Options) -> _Known:
    known = _KNOWN.get(client)
    if known is None:
        known = _KNOWN[client] = _Known(options)
    return known


_KNOWN: WeakKeyDictionary[AsyncClient, _Known] = WeakKeyDictionary()


class RelayedStream:
    """A stream of events, as bytes; of deltas if the call had to be made anew.

    Args:
        verbatim: The call.
        body: The request's body.
        encoder: Writes what is not copied.
        notes: Told of what is in the answer.
        anew: Starts the call anew, in full.
        openings: How the server's streams begin.
    """

    def __init__(
        self,
        verbatim: Verbatim,
        body: bytes,
        encoder: Events,
        notes: Notes,
        anew: Callable[[], Any],
        openings: OpeningMemory,
    ) -> None:
        self.encoder = encoder
        self._verbatim = verbatim
        self._notes = notes
        self._anew = anew
        self._openings = openings
        self._info = ResponseInfo()
        self._relay: EventRelay | None = None
        self._full: Any = None
        self._pieces: AsyncGenerator[bytes | Delta, None] = self._run(body)

    def __aiter__(self) -> AsyncIterator[bytes | Delta]:
        return self._pieces

    @property
    def reply(self) -> Reply:
        """The token counts, and what the service said about the response."""
        if self._full is not None:
            found: Reply = self._full.reply
            return found
        return Reply(usage=self._relay.usage if self._relay is not None else None, info=self._info)

    async def close(self) -> None:
        """Stop reading."""
        await self._pieces.aclose()
        if self._full is not None:
            await self._full.close()

    async def _run(self, body: bytes) -> AsyncGenerator[bytes | Delta, None]:
        try:
            async with self._verbatim.stream(body) as answer:
                self._info = answer.info
                handler = self._verbatim.handler
                self._relay = relay = EventRelay(
                    handler.stream_decoder(self._info.content_type),
                    self.encoder,
                    self._notes,
                    framed=self._info.event_stream,
                    openings=self._openings,
                )
                async for piece in answer:
                    for events in relay.feed(piece):
                        yield events
                for events in relay.close():
                    yield events
            return
        except (EndpointError, WireError) as error:
            begun = self._relay is not None and self._relay.begun
            if begun or not await self._verbatim.is_out_of_date(error):
                raise
        self._full = self._anew()
        async for delta in self._full:
            yield delta
