"""Cohere's models from AWS Marketplace: the chat wire, version 1, and the older generate wire.

Source: cohere-python manually_maintained/cohere_aws/client.py. Streams are JSON objects, one per line or bare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from sagewire.content_handlers.base import Capabilities, EventReader, JsonHandler
from sagewire.content_handlers.error_bodies import ErrorBody
from sagewire.content_handlers.outcome import finish_reason, token_count
from sagewire.content_handlers.sampling import write_no_top_k
from sagewire.content_handlers.value_checks import as_text
from sagewire.errors import UnsupportedFeature
from sagewire.types import (
    ChatRequest,
    Delta,
    FinishDelta,
    MetadataDelta,
    PromptRequest,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageDelta,
)

__all__ = ["CohereGenerateHandler", "CohereHandler"]

_ROLES = {"user": "USER", "assistant": "CHATBOT", "system": "SYSTEM"}
_EXTRA_FIELDS = ("citations", "documents", "search_queries", "search_results")


class CohereHandler(JsonHandler):
    """Cohere chat: the last user turn is `message`, earlier turns `chat_history`, a first system turn `preamble`.

    `top_p=1` is sent as 0.99, the most the API takes. Citations and documents of the answer are in the reply's
    `extra`. Cohere's own ways of grounding (`documents`, `search_queries_only`, ...) and of describing tools go through
    `extra`.
    """

    name = "cohere"
    speaks = "messages"
    path = "/v1/chat"
    can = Capabilities(usage=True)
    option_names: Mapping[str, str] = {
        "max_tokens": "max_tokens",
        "temperature": "temperature",
        "top_p": "p",
        "top_k": "k",
        "stop": "stop_sequences",
        "seed": "seed",
        "frequency_penalty": "frequency_penalty",
        "presence_penalty": "presence_penalty",
    }
    takes_extra = True
    cures: Mapping[str, str] = {"tools": "Describe them in Cohere's own way in `extra`."}

    def payload(self, request: ChatRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        payload = _conversation(request, self.name)
        if request.stream:
            payload["stream"] = True
        payload.update(_repaired(self.named_options(request.options)))
        return payload

    def read_reply(self, payload: Any, /) -> Iterator[Delta]:
        """Return the deltas of a whole response."""
        text = as_text(payload["text"])
        yield from _read_metadata(payload)
        if text:
            yield TextDelta(text)
        yield from _read_end(payload)

    def event_reader(self) -> EventReader:
        """Return a fresh reader for one stream's events."""
        return _ChatReader(self)


class CohereGenerateHandler(JsonHandler):
    """Cohere generate, for the older Command models."""

    name = "cohere_generate"
    speaks = "prompt"
    path = "/v1/generate"
    can = Capabilities(n=True)
    option_names: Mapping[str, str] = {
        "max_tokens": "max_tokens",
        "temperature": "temperature",
        "top_p": "p",
        "top_k": "k",
        "stop": "stop_sequences",
        "n": "num_generations",
    }
    takes_extra = True

    def payload(self, request: PromptRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        payload: dict[str, Any] = {"prompt": request.prompt, **_repaired(self.named_options(request.options))}
        if request.stream:
            payload["stream"] = True
        return payload

    def read_reply(self, payload: Any, /) -> Iterator[Delta]:
        """Return the deltas of a whole response."""
        generations = payload["generations"]
        if payload.get("id"):
            yield MetadataDelta(id=payload["id"])
        for number, generation in enumerate(generations):
            yield TextDelta(as_text(generation["text"]), number)
            if generation.get("finish_reason"):
                yield FinishDelta(finish_reason(generation["finish_reason"]), choice=number)
        yield from _read_usage(payload.get("meta") or {})

    def event_reader(self) -> EventReader:
        """Return a fresh reader for one stream's events."""
        return _GenerateReader(self)


class _ChatReader(EventReader):
    def __init__(self, handler: CohereHandler) -> None:
        self._handler = handler

    def read(self, event: Any) -> Iterable[Delta]:
        kind = event.get("event_type")
        if kind == "text-generation":
            return (TextDelta(as_text(event["text"])),)
        if kind == "stream-start":
            return (MetadataDelta(id=event.get("generation_id")),)
        if kind == "stream-end":
            self.finished = True
            return self._read_end(event)
        if kind is None:
            # The whole answer: the container was not asked to stream, or did not.
            deltas = list(self._handler.read_reply(event))
            self.finished = True
            return deltas
        # Searches and citations come again, complete, with the end; other kinds are tolerated.
        return ()

    def _read_end(self, event: Any) -> Iterator[Delta]:
        response = {"finish_reason": event.get("finish_reason"), **(event.get("response") or {})}
        if (response["finish_reason"] or "").startswith("ERROR") and response["finish_reason"] != "ERROR_TOXIC":
            raise ErrorBody(str(event.get("error") or "generation failed"), response["finish_reason"]).as_stream_error()
        yield from _read_metadata(response)
        yield from _read_end(response)


class _GenerateReader(EventReader):
    def __init__(self, handler: CohereGenerateHandler) -> None:
        self._handler = handler

    def read(self, event: Any) -> Iterable[Delta]:
        if "is_finished" not in event:
            deltas = list(self._handler.read_reply(event))
            self.finished = True
            return deltas
        choice = event.get("index") or 0
        if not event["is_finished"]:
            text = as_text(event["text"])
            return (TextDelta(text, choice),) if text else ()
        self.finished = True
        return self._read_end(event, choice)

    def _read_end(self, event: Any, choice: int) -> Iterator[Delta]:
        response = event.get("response") or {}
        if response.get("id"):
            yield MetadataDelta(id=response["id"])
        generations = response.get("generations") or []
        reasons = [generation.get("finish_reason") for generation in generations] or [event.get("finish_reason")]
        for number, word in enumerate(reasons):
            word = word or event.get("finish_reason")
            if word:
                yield FinishDelta(finish_reason(word), choice=number if generations else choice)
        yield from _read_usage(response.get("meta") or {})


def _repaired(settings: dict[str, Any]) -> dict[str, Any]:
    # Cohere's API takes p from 0.01 to 0.99 (and 0.75 by default), and 0 for "all tokens".
    p = settings.get("p")
    if isinstance(p, int | float) and p >= 1:
        settings["p"] = 0.99
    write_no_top_k(settings, 0, "k")
    return settings


def _conversation(chat: ChatRequest, handler: str) -> dict[str, Any]:
    messages = list(chat.messages)
    if not messages or messages[-1].role != "user":
        raise UnsupportedFeature("a conversation that does not end with a user message", f"handler '{handler}'")
    payload: dict[str, Any] = {"message": messages.pop().text}
    if messages and messages[0].role == "system":
        payload["preamble"] = messages.pop(0).text
    if messages:
        payload["chat_history"] = [{"role": _ROLES[turn.role], "message": turn.text} for turn in messages]
    return payload


def _read_metadata(response: Mapping[str, Any]) -> Iterator[Delta]:
    extra = {name: response[name] for name in _EXTRA_FIELDS if response.get(name)}
    if response.get("generation_id") or extra:
        yield MetadataDelta(response.get("generation_id") or None, None, extra)


def _read_end(response: Mapping[str, Any]) -> Iterator[Delta]:
    calls = response.get("tool_calls") or ()
    for index, call in enumerate(calls):
        arguments = orjson.dumps(call.get("parameters") or {}).decode()
        yield ToolCallDelta(index, None, as_text(call["name"]), arguments)
    if response.get("finish_reason"):
        yield FinishDelta(finish_reason(response["finish_reason"], called_tools=bool(calls)))
    yield from _read_usage(response.get("meta") or {})


def _read_usage(meta: Mapping[str, Any]) -> Iterator[Delta]:
    # `tokens` counts all that the model read; `billed_units` leaves out Cohere's own additions to the prompt.
    counts = meta.get("tokens") or meta.get("billed_units") or {}
    prompt, completion = token_count(counts.get("input_tokens")), token_count(counts.get("output_tokens"))
    if prompt is not None or completion is not None:
        yield UsageDelta(Usage(prompt, completion))
