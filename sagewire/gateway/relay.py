"""Plain conversations with OpenAI-shaped servers: passed on without becoming objects on the way.

Most requests are text turns and a few numbers, and most chunks of an answer differ from the one before in nothing but
their text. Parts that must be read go through the same decoders as everything else; the rest is copied.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import orjson

from sagewire.client import AsyncClient
from sagewire.client.verbatim import Verbatim
from sagewire.content_handlers import OpenAiChatHandler
from sagewire.content_handlers.openai.plain_replies import plain_text
from sagewire.errors import EndpointError, SagewireError, WireError
from sagewire.gateway.event_template import EventTemplate
from sagewire.gateway.plain_answers import PlainAnswer
from sagewire.gateway.stream_events import Events
from sagewire.streaming.accumulate import Accumulator
from sagewire.streaming.base import Decoder, finish, owed
from sagewire.streaming.eventstream import EventStreamDecoder
from sagewire.streaming.jsonlines import parse_json
from sagewire.types import Delta, Options, Reply, ResponseInfo, TextDelta, Usage

__all__ = ["ChatRelay", "EventRelay", "Notes", "RelayedStream"]

# Half an event is held back up to this size; beyond it the decoder decides.
MAX_HELD = 1 << 16
# Options of a deployment that only add a field to the request.
_FIELDS = frozenset({
    "model", "max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "frequency_penalty", "presence_penalty",
    "repetition_penalty",
})  # fmt: skip
_END = b"\n\n"


class Notes(Protocol):
    """The account of an answer."""

    def delta(self, delta: Delta) -> None:
        """Note a delta."""
        ...

    def text(self, text: str) -> None:
        """Note text that was copied."""
        ...


class ChatRelay:
    """One plain conversation on its way to a deployment's server.

    Args:
        verbatim: The call.
        fields: The body's fields.
    """

    def __init__(self, verbatim: Verbatim, fields: Mapping[str, Any]) -> None:
        self._verbatim = verbatim
        self._fields = fields

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
        own = _own_fields(client, verbatim.options)
        if own is None:
            return None
        return cls(verbatim, {"messages": fields["messages"], **own, **fields})

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
        return RelayedStream(self._verbatim, orjson.dumps(fields), encoder, notes, anew)


def _own_fields(client: AsyncClient, options: Options) -> Mapping[str, Any] | None:
    """Return the fields that a deployment adds to each request, `None` if it changes more than that."""
    known = _OWN_FIELDS.get(client)
    if known is None:
        own = options.given()
        fits = not options.extra and own.keys() <= _FIELDS
        known = _OWN_FIELDS[client] = (own if fits else None,)
    return known[0]


_OWN_FIELDS: WeakKeyDictionary[AsyncClient, tuple[Mapping[str, Any] | None]] = WeakKeyDictionary()


class RelayedStream:
    """A stream of events, as bytes; of deltas if the call had to be made anew.

    Args:
        verbatim: The call.
        body: The request's body.
        encoder: Writes what is not copied.
        notes: Told of what is in the answer.
        anew: Starts the call anew, in full.
    """

    def __init__(
        self,
        verbatim: Verbatim,
        body: bytes,
        encoder: Events,
        notes: Notes,
        anew: Callable[[], Any],
    ) -> None:
        self.encoder = encoder
        self._verbatim = verbatim
        self._notes = notes
        self._anew = anew
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


class EventRelay:
    r"""The events of an answer under another id and model: copied if only the text is new, else read and written anew.

    The decoder and the encoder do all the work at first. An event that they turn into more text of the first choice
    and nothing else becomes a template: its bytes up to the text, and behind it. The next event that fits the template
    would leave both as they are, so it passes them by. Bytes are never passed by in the middle of an event.

    Args:
        decoder: Reads the server's bytes.
        encoder: Writes the deltas.
        notes: Told of what is in the answer.
        framed: The bytes lie in frames of `application/vnd.amazon.eventstream`.

    Attributes:
        begun: A delta was read.
    """

    def __init__(self, decoder: Decoder[bytes, Delta], encoder: Events, notes: Notes, *, framed: bool = False) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._notes = notes
        self._frames = EventStreamDecoder() if framed else None
        self._template: EventTemplate | None = None
        self._held = b""
        # The end of what the decoder has, while that is half an event.
        self._torn = b""
        self._read_so_far = Accumulator()
        self._handed_on = False
        self.begun = False

    @property
    def usage(self) -> Usage | None:
        """The token counts, if the server has sent them."""
        return self._read_so_far.reply().usage

    def feed(self, piece: bytes) -> Iterable[bytes]:
        """Return the events in more of the server's bytes; the first at once, the others together."""
        if self._frames is None:
            if self._template is not None and not self._held and (copied := self._template.fill_all(piece)) is not None:
                # Whole events that fit, which is how a model at work sends them.
                texts, written = copied
                for text in texts:
                    self._notes.text(text.decode("ascii"))
                return (written,)
            return self._together(self._events(piece))
        return self._together(self._unframed(self._frames, piece))

    def close(self) -> Iterator[bytes]:
        """Yield the last events; raise `StreamTruncated` after them if the answer was not finished."""
        return self._together(self._last())

    def _together(self, events: Iterator[bytes]) -> Iterator[bytes]:
        out: list[bytes] = []
        try:
            for event in events:
                if self._handed_on:
                    out.append(event)
                else:
                    self._handed_on = bool(event)
                    yield event
        except SagewireError:
            if out:
                yield b"".join(out)
            raise
        if out:
            yield b"".join(out)

    def _unframed(self, frames: EventStreamDecoder, piece: bytes) -> Iterator[bytes]:
        try:
            payloads, error = frames.feed(piece), owed(frames)
        except SagewireError as raised:
            payloads, error = [], raised
        for data in payloads:
            yield from self._events(data)
        if error is not None:
            yield from self._finish()
            raise error

    def _events(self, data: bytes) -> Iterator[bytes]:
        if self._torn:
            end = _end_of_torn(self._torn, data)
            if end < 0:
                self._torn = data[-1:] or self._torn
                yield from self._read(data)
                return
            self._torn = b""
            yield from self._read(data[:end])
            data = data[end:]
        data = self._held + data
        self._held = b""
        at = 0
        while (end := data.find(_END, at)) >= 0:
            template = self._template
            if template is None:
                event, at = data[at : end + 2], end + 2
                yield from self._read(event, whole=True)
            elif (copied := template.fill(data[at : end + 2])) is not None:
                at = end + 2
                yield from self._copy(*copied)
            else:
                # Most likely the end of the answer: all that is there at once.
                events, at = data[at : (end := data.rfind(_END) + 2)], end
                yield from self._read(events)
        rest = data[at:]
        if self._template is not None and len(rest) < MAX_HELD and self._template.begins(rest):
            self._held = rest
        elif rest:
            self._torn, self._template = rest[-1:], None
            yield from self._read(rest)

    def _copy(self, text: str, written: bytes) -> tuple[bytes, ...]:
        if not text:
            return ()
        self._notes.text(text)
        return (written,)

    def _read(self, data: bytes, *, whole: bool = False) -> Iterator[bytes]:
        deltas = self._decoder.feed(data)
        yield from self._write(deltas)
        if error := owed(self._decoder):
            raise error
        if deltas:
            only = deltas[0] if whole and len(deltas) == 1 else None
            plain = isinstance(only, TextDelta) and only.choice == 0 and only.text
            self._template = EventTemplate.of(data, plain, self._encoder) if plain else None

    def _write(self, deltas: list[Delta]) -> Iterator[bytes]:
        for delta in deltas:
            # Refuses what cannot be part of an answer.
            self._read_so_far.add(delta)
            self._notes.delta(delta)
            self.begun = True
            yield self._encoder.feed(delta)

    def _last(self) -> Iterator[bytes]:
        if self._frames is not None:
            held_back, error = finish(self._frames)
            for data in held_back:
                yield from self._events(data)
            if error is not None:
                yield from self._finish()
                raise error
        yield from self._finish(raises=True)

    def _finish(self, *, raises: bool = False) -> Iterator[bytes]:
        if self._held:
            held, self._held = self._held, b""
            yield from self._read(held)
        held_back, error = finish(self._decoder)
        yield from self._write(held_back)
        if raises and error is not None:
            raise error


def _end_of_torn(last: bytes, data: bytes) -> int:
    """Return where the event ends whose beginning the decoder has, -1 if it does not end in these bytes."""
    if last == b"\n" and data[:1] == b"\n":
        return 1
    end = data.find(_END)
    return end + 2 if end >= 0 else -1
