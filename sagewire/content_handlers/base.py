"""Content handlers: each translates between sagewire's values and the bytes of one serving container.

A handler is pure and keeps no state between calls: one object serves every request, thread and event loop.
To write one, subclass `JsonHandler` (nearly every container takes JSON) and fill in four methods; see
`sagewire.testing.check_handler` for the checks every handler must pass.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from sagewire.content_handlers.error_bodies import ErrorBody, find_fault
from sagewire.errors import SagewireError, StreamTruncated, UnsupportedFeature, UsageError, WireError, excerpt
from sagewire.streaming.accumulate import fold
from sagewire.streaming.base import BaseDecoder, Decoder, Pipeline, decode
from sagewire.streaming.events import JsonEventDecoder
from sagewire.streaming.jsonlines import parse_json as read_json
from sagewire.streaming.sse import KEEP_ALIVES, NamedEvent
from sagewire.types import ChatRequest, Delta, Options, PromptRequest, Reply

__all__ = [
    "Capabilities",
    "ContentHandler",
    "EventReader",
    "JsonHandler",
    "Request",
    "WholeReader",
    "asks_for_nothing",
    "map_options",
    "unsupported_option",
]

Request = ChatRequest | PromptRequest

# Exceptions of reading JSON of an unexpected shape; the base class turns them into `WireError`.
_SHAPE_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The features a wire can carry. Asking for more is an `UnsupportedFeature`, raised before the handler is called.

    Args:
        streaming: The container can stream its answer.
        tools: It takes tool definitions, and the calls and results of earlier turns, and returns tool calls.
        tool_choice: It takes a tool choice (`required`, a tool's name, `none`).
        parallel_tool_calls: It can be held to one tool call per answer; if not, sagewire keeps the first one.
        images: It takes images in messages.
        media: It takes audio, video and files in messages, in OpenAI's shape.
        usage: It reports token counts.
        logprobs: It reports log probabilities.
        n: It can generate several answers at once.
        response_format: It can be held to a JSON schema.
        max_stops: The most stop strings it takes, `None` for no limit; sagewire enforces the others.
    """

    streaming: bool = True
    tools: bool = False
    tool_choice: bool = False
    parallel_tool_calls: bool = False
    images: bool = False
    media: bool = False
    usage: bool = False
    logprobs: bool = False
    n: bool = False
    response_format: bool = False
    max_stops: int | None = None


class ContentHandler(ABC):
    """One container's wire format.

    A handler declares what its wire can express; a request that asks for more is refused before the handler sees it.

    Attributes:
        name: The handler's key in `HANDLERS`.
        content_type: The media type of request bodies.
        accept: The media type of the `Accept` header.
        speaks: `messages` if the container applies the chat template itself, `prompt` if it takes text.
        can: The features the wire can carry.
        option_names: Neutral option name to wire name, for every option the wire can express. Stop strings that are not
            among them are enforced by sagewire, which then closes the connection.
        translates_settings: A setting in `Options.extra` under another server's name for it (`max_new_tokens`) is sent
            under this wire's own.
        ignores: Names of other servers' settings that this one takes without reading them, to a sentence with the
            alternative. They are refused, or left out if they ask for what happens anyway.
        passes_message_fields: Further fields of messages (`Message.extra`) are sent; elsewhere they are left out.
        takes_extra: Settings in `Options.extra` are passed to the server under their own names.
        cures: Option name (or `tools`, `images`) to a sentence with the alternative, for the error's message.
        path: The path of this wire on a plain HTTP server (`/v1/chat/completions`).
        stream_path: The path for streams, if it is another.
        echoes_prompt: The answer may begin with the prompt itself, which is then removed.
        adds_bos: The container's tokenizer puts the beginning-of-text token before every prompt, so a conversation
            that a prompt format wrote is sent without the format's own.
    """

    name: str = "custom"
    content_type: str = "application/json"
    accept: str = "application/json"
    speaks: Literal["messages", "prompt"] = "messages"
    can: Capabilities = Capabilities()
    option_names: Mapping[str, str] = {}
    takes_extra: bool = False
    translates_settings: bool = True
    ignores: Mapping[str, str] = {}
    passes_message_fields: bool = False
    cures: Mapping[str, str] = {}
    path: str = ""
    stream_path: str = ""
    echoes_prompt: bool = False
    adds_bos: bool = False

    @abstractmethod
    def transform_input(self, request: Any, /) -> bytes:
        """Return the request body.

        Args:
            request: A `PromptRequest` if `speaks` is `prompt`, else a `ChatRequest`. It asks only for what the
                handler declares.
        """

    @abstractmethod
    def transform_output(self, body: bytes, /) -> Reply:
        """Return the reply in a whole response body; raise `WireError` if it is not one."""

    @abstractmethod
    def stream_decoder(self, content_type: str, /) -> Decoder[bytes, Delta]:
        """Return a fresh decoder for one streamed response body of this content type."""

    def read_error(self, payload: Any, /) -> ErrorBody | None:
        """Return the container's error if `payload` is one of its error bodies, else `None`.

        It is called for whole bodies and events that come with status 200, and for the body of an answer with an
        error status. The default reads the error bodies of all supported containers; override it for others.

        Args:
            payload: The parsed JSON, or text that is not JSON.
        """
        return find_fault(payload)

    def parameters(self, request: Request, /) -> Mapping[str, str]:
        """Return InvokeEndpoint parameters this wire needs (`CustomAttributes`, ...); empty by default."""
        return {}

    def with_special_tokens(self, markers: Sequence[str] = ()) -> ContentHandler:
        """Return the handler that asks for control tokens in answers, and hands them on; by default this one.

        Args:
            markers: The prompt format's control tokens, for servers that take a list.
        """
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class EventReader(ABC):
    """Reads the JSON events of one stream into deltas; a fresh one is made for each stream.

    Subclasses override `read`. `finished` must become true once the wire's own end marker was seen; if it is still
    false when the stream ends, and no `[DONE]` came, the answer was cut off.

    `read` may index into the event as if it were well formed: an event that is not becomes a `ModelStreamError` when
    it is one of the error objects containers send (`ContentHandler.read_error`), else a `WireError`.

    Attributes:
        finished: The wire's end marker was seen.
        event_name: The name of the event being read (the `event` field of server-sent events), `None` without one.
    """

    finished: bool = False
    event_name: str | None = None

    @abstractmethod
    def read(self, event: Any) -> Iterable[Delta]:
        """Return the deltas in one event; raise `ModelStreamError` or `WireError`."""


class WholeReader(EventReader):
    """Reads the one whole answer that a container without streaming sends on the streaming route, too.

    Args:
        read_reply: The handler's `read_reply`.
    """

    def __init__(self, read_reply: Callable[[Any], Iterable[Delta]]) -> None:
        self._read_reply = read_reply

    def read(self, event: Any) -> Iterable[Delta]:
        """Return the deltas of the whole answer."""
        deltas = list(self._read_reply(event))
        self.finished = True
        return deltas


class JsonHandler(ContentHandler):
    """A handler whose container takes a JSON object and answers with JSON, whole or as SSE / JSON lines.

    `read_reply` and the event reader may index into their argument as if it were well formed. If it is not,
    the error object of a container (HTTP status 200 notwithstanding) becomes a `ModelError`, in a stream a
    `ModelStreamError`, and anything else a `WireError` with an excerpt.
    """

    @abstractmethod
    def payload(self, request: Any, /) -> Mapping[str, Any]:
        """Return the request as a JSON object; see `transform_input`."""

    @abstractmethod
    def read_reply(self, payload: Any, /) -> Iterable[Delta]:
        """Return the deltas of a whole response."""

    def plain_reply(self, payload: Any, /) -> Reply | None:
        """Return the reply in a body that holds no surprises; by default none does, and `read_reply` reads it."""
        return None

    def event_reader(self) -> EventReader:
        """Return a fresh reader for one stream's events; the default is for containers that cannot stream."""
        return WholeReader(self.read_reply)

    def named_options(self, options: Options) -> dict[str, Any]:
        """Return the options under the wire's names, and `extra`; see `map_options`."""
        return map_options(options, self.option_names, self.name)

    def transform_input(self, request: Any, /) -> bytes:
        """Return `payload(request)` as JSON.

        Raises:
            UsageError: A message holds half of a surrogate pair, which is not text.
            UnsupportedFeature: It holds a value that JSON cannot express.
        """
        payload = self.payload(request)
        try:
            # Numbers read from a numpy array are common in options; orjson does not load numpy for this.
            return orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY)
        except orjson.JSONEncodeError as error:
            _check_texts(request)
            reason = str(error)
        try:
            # Integers beyond 64 bits.
            return json.dumps(payload, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            raise UnsupportedFeature(f"this request as JSON ({reason})", f"handler '{self.name}'") from None

    def transform_output(self, body: bytes, /) -> Reply:
        """Fold `read_reply` of the parsed body."""
        if body[:6].lstrip().startswith(b"data:"):
            # Triton deployed for generate_stream always streams (triton src/sagemaker_server.cc).
            return fold(decode(self.stream_decoder(""), [body]))
        return self.reply_of(parse_json(body, self.name), body)

    def reply_of(self, payload: Any, body: bytes, /) -> Reply:
        """Return the reply in a parsed body.

        Args:
            payload: The parsed body.
            body: Its bytes, which an error quotes.

        Raises:
            ModelError: It is an error.
            WireError: It cannot be understood.
        """
        plain = self.plain_reply(payload)
        if plain is not None:
            return plain
        error_body = self.read_error(payload)
        if error_body is not None:
            raise error_body.as_model_error()
        try:
            return fold(self.read_reply(payload))
        except SagewireError:
            raise
        except _SHAPE_ERRORS as error:
            raise not_understood(body, self.name) from error

    def stream_decoder(self, content_type: str, /) -> Decoder[bytes, Delta]:
        """Chain the framing (detected from content type and first bytes) with a fresh `event_reader`."""
        events = JsonEventDecoder(names=True)
        return Pipeline(events, _EventStage(self, self.event_reader(), events))


class _EventStage(BaseDecoder[Any, Delta]):
    """Turns events into deltas, and a missing end into `StreamTruncated`."""

    def __init__(self, handler: JsonHandler, reader: EventReader, events: JsonEventDecoder) -> None:
        self._handler = handler
        self._reader = reader
        # The default error shapes are looked for only in events that the reader does not understand.
        self._own_errors = type(handler).read_error is not ContentHandler.read_error
        self._events = events

    def _decode(self, data: Any, out: list[Delta]) -> None:
        reader = self._reader
        if type(data) is NamedEvent:
            reader.event_name, data = data.name, data.data
        elif reader.event_name is not None:
            reader.event_name = None
        if _keeps_alive(data):
            return
        try:
            if self._own_errors:
                self._raise_own_error(data)
            # Values yielded before the error are kept.
            out += reader.read(data)
        except SagewireError:
            raise
        except _SHAPE_ERRORS as error:
            error_body = self._handler.read_error(data)
            if error_body is not None:
                raise error_body.as_stream_error() from None
            raise not_understood(data, self._handler.name) from error

    def _raise_own_error(self, data: Any) -> None:
        error_body = None
        if self._reader.event_name == "error" and isinstance(data, dict):
            # The decoder put the content of an event of this name under `error`.
            error_body = self._handler.read_error(data.get("error"))
        error_body = error_body or self._handler.read_error(data)
        if error_body is not None:
            raise error_body.as_stream_error()

    def _finish(self, out: list[Delta]) -> None:
        if not (self._reader.finished or self._events.done):
            raise StreamTruncated(f"the stream ended before the answer did (handler '{self._handler.name}')")


def _check_texts(request: Request) -> None:
    if isinstance(request, PromptRequest):
        texts = {"the prompt": request.prompt}
    else:
        texts = {f"message {number} ({turn.role})": turn.text for number, turn in enumerate(request.messages)}
    for where, text in texts.items():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            code = ord(text[error.start])
            raise UsageError(
                f"{where} holds U+{code:04X} at character {error.start}: half of a surrogate pair, which is not text; "
                "repair it with text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
            ) from None


def _keeps_alive(event: Any) -> bool:
    """Whether an event only keeps the connection alive: it is empty, or a ping of Anthropic's shape."""
    if not event:
        return event is None or event == {}
    return isinstance(event, dict) and len(event) == 1 and str(event.get("type")).encode() in KEEP_ALIVES


def parse_json(body: bytes, handler: str) -> Any:
    """Return the parsed body; raise `WireError` with an excerpt if it is not JSON."""
    try:
        return read_json(body)
    except ValueError as error:
        what = "an empty body" if not body.strip() else f"invalid JSON ({error}): {excerpt(body)}"
    # Out of the clause, for the parser's error holds the whole body as text, and would live as long as this one.
    raise WireError(f"handler '{handler}' expected JSON and got {what}")


def not_understood(answer: Any, handler: str) -> WireError:
    """Return the error for JSON, as bytes or parsed, that does not fit this handler's response format."""
    try:
        shown = excerpt(answer if isinstance(answer, bytes) else orjson.dumps(answer))
    except orjson.JSONEncodeError:
        # Nested deeper than orjson writes (254), yet not deeper than it reads (1024).
        shown = f"deeply nested JSON ({type(answer).__name__})"
    return WireError(f"handler '{handler}' does not understand this answer: {shown}")


def unsupported_option(name: str, handler: str, cure: str | None = None) -> UnsupportedFeature:
    """Return the error for an option that a handler does not declare."""
    cure = cure or "Leave it out, or pass it under the server's own name in `extra`."
    return UnsupportedFeature(f"the option '{name}'", f"handler '{handler}'", cure)


# Values that ask for nothing; OpenAI's clients send them unasked.
_OFF: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "response_format": ({"type": "text"},),
}


def asks_for_nothing(name: str, value: Any) -> bool:
    """Return whether an option can be left out because the server does the same without it.

    So can `model`: an endpoint that serves one model does not need its name.
    """
    return name == "model" or value in _OFF.get(name, ())


def map_options(options: Options, names: Mapping[str, str], handler: str) -> dict[str, Any]:
    """Return the options that were given under the wire's names, then `extra` unchanged.

    Args:
        options: The request's options.
        names: Neutral option name to wire name, for every option the wire can express.
        handler: The handler's name, for the error message.

    Raises:
        UnsupportedFeature: An option was given that `names` does not have.

    Example:
        >>> map_options(Options(max_tokens=5), {"max_tokens": "max_new_tokens"}, "tgi")
        {'max_new_tokens': 5}
    """
    mapped: dict[str, Any] = {}
    given = options.given()
    for name, value in given.items():
        if name not in names:
            raise unsupported_option(name, handler)
        mapped[names[name]] = list(value) if isinstance(value, tuple) else value
    mapped.update(options.extra)
    return mapped
