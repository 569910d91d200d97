"""Adaptors that let handlers written for LangChain or LlamaIndex work wherever a native one does.

They are recognised by their methods, so neither framework needs to be installed.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, cast

import orjson

from sagewire.content_handlers.base import Capabilities, ContentHandler, Request
from sagewire.content_handlers.openai.messages import openai_messages
from sagewire.content_handlers.readable_bytes import ReadableBytes, WholeBody
from sagewire.content_handlers.stream_pieces import LineDecoder, WholeEventDecoder
from sagewire.errors import SagewireError, UsageError, WireError, combined, excerpt
from sagewire.streaming.accumulate import fold
from sagewire.streaming.base import BaseDecoder, Decoder
from sagewire.types import Delta, Options, Reply, TextDelta

__all__ = ["LangChainHandler", "LlamaIndexHandler"]


class _AdaptedHandler(ContentHandler):
    """What both adaptors share: settings in, text out, nothing known of usage or of why an answer ended.

    A handler of the user's own receives `model_kwargs`: the settings that were given, under sagewire's names
    (`max_tokens`, `temperature`, ...), and everything in `extra` under the names it was given. Stop strings are not
    among them, as in langchain-aws: sagewire enforces them.
    """

    # A handler that returns text cannot return the other results.
    option_names: Mapping[str, str] = {
        option.name: option.name
        for option in fields(Options)
        if option.name not in ("stop", "n", "logprobs", "top_logprobs", "response_format", "extra")
    }
    takes_extra = True
    translates_settings = False

    def __init__(self, handler: Any, accept: Any) -> None:
        self.handler = handler
        self.content_type = _media_type(getattr(handler, "content_type", None), self.content_type)
        self.accept = _media_type(accept, self.accept)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.handler).__name__}())"

    def transform_input(self, request: Request, /) -> bytes:
        """Return the request of the user's handler for the prompt."""
        body = self._serialize(self._prompt(request), self._model_kwargs(request.options))
        if isinstance(body, str):
            return body.encode()
        if isinstance(body, bytes | bytearray | memoryview):
            return bytes(body)
        raise UsageError(f"{type(self.handler).__name__} must return the request as bytes, not {type(body).__name__}")

    def transform_output(self, body: bytes, /) -> Reply:
        """Return the text that the user's handler reads in a whole answer."""
        return fold(self._read(self._deserialize, WholeBody(body)))

    def _read(self, read: Callable[[Any], Any], data: ReadableBytes) -> list[Delta]:
        """Return the text that a method of the user's handler reads in some bytes."""
        try:
            answer = self._call(read, data)
        except SagewireError:
            raise
        except (LookupError, TypeError, ValueError) as error:
            raise unreadable(self.handler, error, data) from error
        return self.deltas_of(answer)

    def deltas_of(self, answer: Any) -> list[Delta]:
        """Return an answer of the user's handler as deltas; the hook for answers that are more than text."""
        text = self.text_of(answer)
        return [TextDelta(text)] if text else []

    def _call(self, read: Callable[[Any], Any], data: ReadableBytes) -> Any:
        try:
            return read(data)
        except orjson.JSONDecodeError as error:
            # The one parser that refuses subclasses of bytes, before it has read any.
            if not str(error).startswith("Input must be bytes"):
                raise
            return read(bytes(data))

    def text_of(self, answer: Any) -> str:
        """Return an answer of the user's handler as text; LangChain messages have it in `content`."""
        content = getattr(answer, "content", answer)
        if isinstance(content, str):
            return content
        if isinstance(content, bytes | bytearray):
            # pydantic, which took it for LangChain, reads bytes as text.
            return content.decode()
        raise UsageError(f"{type(self.handler).__name__} must return the answer as str, not {type(answer).__name__}")

    def _prompt(self, request: Any) -> Any:
        return request.prompt

    def _model_kwargs(self, options: Options) -> dict[str, Any]:
        # A fresh dict for each call: changes by a user's handler must not reach the next call.
        return {**options.given(), **options.extra}

    @abstractmethod
    def _serialize(self, prompt: Any, model_kwargs: dict[str, Any]) -> Any: ...

    @abstractmethod
    def _deserialize(self, body: ReadableBytes) -> Any: ...


class LangChainHandler(_AdaptedHandler):
    """A handler in the style of LangChain's `LLMContentHandler` or `ChatModelContentHandler`.

    In a stream `transform_output` is called once per line, without its line break, as langchain-aws does; blank lines,
    comments and `[DONE]` are kept from it.

    Args:
        handler: Has `transform_input(prompt, model_kwargs)` and `transform_output(body)`, and may have `content_type`
            and `accepts`. With `ChatModelContentHandler` in its ancestry it is given OpenAI style messages.
    """

    name = "langchain"

    def __init__(self, handler: Any) -> None:
        super().__init__(handler, getattr(handler, "accepts", None) or getattr(handler, "accept", None))
        if any(cls.__name__ == "ChatModelContentHandler" for cls in type(handler).__mro__):
            self.speaks = "messages"
            self.can = Capabilities(images=True)
        else:
            self.speaks = "prompt"

    def stream_decoder(self, content_type: str, /) -> Decoder[bytes, Delta]:
        """Return a decoder that gives the user's handler one line at a time."""
        return _LineStage(self)

    def _prompt(self, request: Any) -> Any:
        return request.prompt if self.speaks == "prompt" else openai_messages(request.messages)

    def _serialize(self, prompt: Any, model_kwargs: dict[str, Any]) -> Any:
        return self.handler.transform_input(prompt, model_kwargs)

    def _deserialize(self, body: ReadableBytes) -> Any:
        return self.handler.transform_output(body)

    def line_deltas(self, line: bytes) -> list[Delta]:
        """Return the deltas in one line of a stream."""
        return self._read(self._deserialize, ReadableBytes(line))


class LlamaIndexHandler(_AdaptedHandler):
    """A handler in the style of LlamaIndex's `BaseIOHandler`.

    In a stream `deserialize_streaming_output` is called once per event: a whole server-sent event with its ending, or
    a whole line. LlamaIndex's own class passes bytes as they arrive.

    An echoed prompt is removed only if the answer begins with it (`echoes_prompt`). LlamaIndex's `remove_prefix` cuts
    as many characters as the prompt has, echoed or not.

    Args:
        handler: Has `serialize_input(request, model_kwargs)`, `deserialize_output(response)` and
            `deserialize_streaming_output(response)`, and may have `content_type` and `accept`.
    """

    name = "llama_index"
    speaks = "prompt"
    echoes_prompt = True

    def __init__(self, handler: Any) -> None:
        super().__init__(handler, getattr(handler, "accept", None) or getattr(handler, "accepts", None))
        if not hasattr(handler, "deserialize_streaming_output"):
            self.can = Capabilities(streaming=False)

    def stream_decoder(self, content_type: str, /) -> Decoder[bytes, Delta]:
        """Return a decoder that gives the user's handler one event at a time."""
        return _EventStage(self)

    def remove_prefix(self, text: str, prompt: str) -> str:
        """Return a whole answer after the user's own `remove_prefix`."""
        remove = getattr(self.handler, "remove_prefix", None)
        return text if remove is None else self.text_of(remove(text, prompt))

    def _serialize(self, prompt: Any, model_kwargs: dict[str, Any]) -> Any:
        return self.handler.serialize_input(prompt, model_kwargs)

    def _deserialize(self, body: ReadableBytes) -> Any:
        return self.handler.deserialize_output(body)

    def event_deltas(self, event: bytes) -> list[Delta]:
        """Return the deltas in one event of a stream."""
        return self._read(self.handler.deserialize_streaming_output, ReadableBytes(event))


class _LineStage(BaseDecoder[bytes, Delta]):
    def __init__(self, handler: LangChainHandler) -> None:
        self._handler = handler
        self._lines = LineDecoder()

    def _decode(self, data: bytes, out: list[Delta]) -> None:
        self._read(self._lines.feed(data), out)

    def _finish(self, out: list[Delta]) -> None:
        self._read(self._lines.close(), out)

    def _read(self, lines: list[bytes], out: list[Delta]) -> None:
        for line in lines:
            bare = line.strip()
            if not bare or bare.startswith(b":") or bare.removeprefix(b"data:").strip() == b"[DONE]":
                continue
            out += self._handler.line_deltas(line)


class _EventStage(BaseDecoder[bytes, Delta]):
    def __init__(self, handler: LlamaIndexHandler) -> None:
        self._handler = handler
        self._events = WholeEventDecoder()

    def _decode(self, data: bytes, out: list[Delta]) -> None:
        self._read(self._events.feed(data), out)

    def _finish(self, out: list[Delta]) -> None:
        self._read(self._events.close(), out)

    def _read(self, events: list[bytes], out: list[Delta]) -> None:
        for event in events:
            bare = event.strip()
            if bare.startswith(b":") or bare.removeprefix(b"data:").strip() == b"[DONE]":
                continue
            out += self._handler.event_deltas(event)


def unreadable(handler: Any, error: Exception, data: bytes) -> WireError:
    """Return the error that a handler raises when it is written for one shape of answer and gets another.

    It is also of the class the handler raised, which programs written for the handler catch.
    """
    kind = next(kind for kind in _TOLD if isinstance(error, kind))
    made = combined(WireError, kind)
    told = made.__new__(made)
    told.__dict__.update(getattr(error, "__dict__", {}))
    told.args = (f"{type(handler).__name__} raised {type(error).__name__}: {error}, given: {excerpt(data)}",)
    return cast("WireError", told)


# The more special first; those that are told of their arguments by C fields stand for themselves by their bases.
_TOLD = (json.JSONDecodeError, KeyError, IndexError, LookupError, TypeError, ValueError)


def _media_type(given: Any, default: str) -> str:
    return given if isinstance(given, str) and given else default
