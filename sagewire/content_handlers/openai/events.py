"""Answers on the OpenAI chat wire, whole and streamed, with the differences between servers evened out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sagewire.content_handlers.base import EventReader
from sagewire.content_handlers.openai.logprobs import read_logprobs
from sagewire.content_handlers.openai.tool_calls import ToolCallNormaliser
from sagewire.content_handlers.outcome import finish_reason, openai_usage
from sagewire.content_handlers.value_checks import as_text
from sagewire.types import Delta, FinishDelta, LogprobsDelta, MetadataDelta, TextDelta, ThinkingDelta, UsageDelta

__all__ = [
    "ChatEventReader",
    "choice_number",
    "read_chat_reply",
    "read_choices",
    "read_end",
    "read_metadata",
    "read_usage",
]

# Small and useful facts about an answer: OpenAI's fields, llama.cpp's timings.
_EXTRA_FIELDS = ("system_fingerprint", "service_tier", "timings")


def read_chat_reply(payload: Any) -> list[Delta]:
    """Return the deltas of a whole `chat.completion` object."""
    choices = payload["choices"]
    if not choices:
        raise ValueError("the answer has no choices")
    deltas: list[Delta] = [*read_metadata(payload)]
    for position, choice in enumerate(choices):
        index, message = choice_number(choice, position), choice["message"]
        calls = None
        if message.get("tool_calls") or message.get("function_call"):
            calls = ToolCallNormaliser(index, payload.get("created"), whole=True)
        _read_message(message, index, calls, deltas)
        if calls is not None:
            deltas += calls.close()
        deltas += read_end(choice, index, called_tools=calls is not None and calls.any)
    deltas += read_usage(payload)
    return deltas


class ChatEventReader(EventReader):
    """Reads `chat.completion.chunk` events, and a whole `chat.completion` from servers that ignore `stream`."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._calls: dict[int, ToolCallNormaliser] = {}
        self._metadata: list[MetadataDelta] = []

    def read(self, event: Any) -> Iterable[Delta]:
        """Return the deltas in one event; the usual one, a piece of text, takes the short way."""
        choices = read_choices(event)
        if len(choices) == 1:
            choice = choices[0]
            delta = choice.get("delta")
            index = choice.get("index", 0)
            # The choice is known (and so are id and model), and nothing but text is in it.
            if delta and index in self._open and not choice.get("finish_reason"):
                get = delta.get
                text = get("content")
                if (
                    type(text) is str
                    and not get("tool_calls")
                    and not get("function_call")
                    and not get("reasoning_content")
                    and not get("reasoning")
                    and not choice.get("logprobs")
                    and not event.get("usage")
                ):
                    return (TextDelta(text, index),) if text else ()
        return self._read(event, choices)

    def _read(self, event: Any, choices: Any) -> Iterable[Delta]:
        deltas: list[Delta] = []
        try:
            self._collect(event, choices, deltas)
        except Exception as error:
            # Deltas before an unreadable one count.
            return _before(error, deltas)
        return deltas

    def _collect(self, event: Any, choices: Any, deltas: list[Delta]) -> None:
        if event.get("error"):
            # Beside empty choices; the base class reads it.
            raise KeyError("error")
        if choices and "delta" not in choices[0] and "message" in choices[0]:
            self.finished = True
            deltas += read_chat_reply(event)
            return
        metadata = read_metadata(event)
        if metadata != self._metadata:
            self._metadata = metadata
            deltas += metadata
        # TGI 1.4.0 to 1.4.3 put token numbers into the choice's index, and have one choice (router/src/server.rs).
        numbers_tokens = event.get("object") == "text_completion"
        for position, choice in enumerate(choices):
            index = 0 if numbers_tokens else choice_number(choice, position)
            self._read_choice(choice, index, event.get("created"), deltas)
        deltas += read_usage(event)

    def _read_choice(self, choice: Any, index: int, created: Any, deltas: list[Delta]) -> None:
        calls = self._calls.get(index)
        if calls is None:
            calls = self._calls[index] = ToolCallNormaliser(index, created)
            self._open.add(index)
            self.finished = False
        _read_message(choice.get("delta") or {}, index, calls, deltas)
        if choice.get("finish_reason"):
            deltas += calls.close()
            self._open.discard(index)
            self.finished = not self._open
        deltas += read_end(choice, index, called_tools=calls.any)


def _before(error: Exception, deltas: list[Delta]) -> Iterator[Delta]:
    yield from deltas
    raise error


def read_metadata(payload: Mapping[str, Any]) -> list[MetadataDelta]:
    """Return the server's facts about the answer, as zero or one delta; TGI's empty id counts as missing."""
    extra: dict[str, Any] = {}
    for name in _EXTRA_FIELDS:
        if payload.get(name) is not None:
            extra[name] = payload[name]
    id, model = payload.get("id") or None, payload.get("model") or None
    return [MetadataDelta(id, model, extra)] if id or model or extra else []


def read_usage(payload: Mapping[str, Any]) -> Iterable[UsageDelta]:
    """Return the token counts, if there are any."""
    usage = payload.get("usage")
    return (UsageDelta(openai_usage(usage)),) if usage else ()


def read_choices(event: Mapping[str, Any]) -> Any:
    """Return an event's choices; empty if they are null, or missing next to token counts.

    Raises:
        KeyError: The event has neither.
    """
    choices = event.get("choices")
    if choices is None:
        if not (event.get("usage") or "choices" in event):
            raise KeyError("choices")
        return ()
    return choices


def choice_number(choice: Mapping[str, Any], position: int) -> int:
    """Return the number of a choice: its index, or its position if a server leaves that out or null."""
    index = choice.get("index")
    return position if index is None else int(index)


def _read_message(message: Mapping[str, Any], index: int, calls: ToolCallNormaliser | None, out: list[Delta]) -> None:
    """Append the deltas in a message, whole or a piece; without tool calls no reader is needed."""
    get = message.get
    # vLLM: `reasoning_content` up to 0.11, then both names with the same text, then `reasoning` only.
    thinking = get("reasoning_content") or get("reasoning")
    if thinking:
        out.append(ThinkingDelta(as_text(thinking), index))
    content = get("content")
    if isinstance(content, list):
        out += _read_parts(content, index)
    elif content:
        out.append(TextDelta(as_text(content), index))
    if get("refusal"):
        out.append(TextDelta(as_text(message["refusal"]), index))
    if calls is not None:
        if get("tool_calls"):
            out += calls.read(message["tool_calls"])
        elif get("function_call"):
            out += calls.read_function_call(message["function_call"])


def _read_parts(parts: Iterable[Any], index: int) -> Iterator[Delta]:
    # Mistral's reasoning models answer with parts: {"type": "thinking", "thinking": [...]}, {"type": "text", ...}.
    for part in parts:
        if part["type"] == "thinking":
            thinking = part["thinking"]
            pieces = [thinking] if isinstance(thinking, str) else [piece["text"] for piece in thinking]
            yield ThinkingDelta("".join(pieces), index)
        elif part.get("text"):
            yield TextDelta(as_text(part["text"]), index)


def read_end(choice: Mapping[str, Any], index: int, *, called_tools: bool = False) -> list[Delta]:
    """Return a choice's log probabilities and its finish reason, if present."""
    deltas: list[Delta] = []
    if choice.get("logprobs"):
        deltas.append(LogprobsDelta(read_logprobs(choice["logprobs"]), index))
    word = choice.get("finish_reason")
    if word:
        # vLLM writes `stop_reason`, SGLang `matched_stop`; both put a token id there when a token ended the answer.
        stop = choice.get("stop_reason") or choice.get("matched_stop")
        reason = finish_reason(word, called_tools=called_tools)
        deltas.append(FinishDelta(reason, stop if isinstance(stop, str) else None, index))
    return deltas
