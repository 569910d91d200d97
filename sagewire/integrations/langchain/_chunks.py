"""Sagewire's deltas as LangChain's chunks.

Rules that come from how LangChain adds chunks up (`langchain_core/utils/_merge.py`): strings in `response_metadata` are
concatenated and numbers summed, so everything that is said once rides on the last chunk; only `model_provider`, which
chooses the block translator, is on each. Names and ids of tool calls are concatenated too, and pieces with different
ids are taken for different calls, so both are on a call's first piece only. Nothing can be taken back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from sagewire.integrations._chunk_template import ChunkTemplate
from sagewire.integrations.langchain._messages import REASONING
from sagewire.integrations.langchain._replies import (
    OWN_MESSAGE,
    PROVIDER,
    generation_info_of,
    metadata_of,
    usage_metadata_of,
)
from sagewire.types import Delta, MetadataDelta, Reply, TextDelta, ThinkingDelta, ToolCallDelta, parse_arguments

__all__ = ["ChunkWriter", "last_chunk"]


class ChunkWriter:
    """Turns the deltas of one stream into chunks.

    Args:
        may_cancel: Whether a tool call may turn out to be none (it is read out of the text); then its pieces are held
            back until it is known to be one. Asked when the first tool call arrives.
        stops: Stop strings are enforced, so text is what is left of it, also that of messages which a content handler
            of the user's own made.
    """

    def __init__(self, may_cancel: Callable[[], bool], *, stops: bool = False) -> None:
        self._may_cancel = may_cancel
        self._stops = stops
        self._own: dict[str, Any] | None = None
        self._begun: set[int] = set()
        self._held: list[ToolCallDelta] = []

    def write(self, delta: Delta) -> list[ChatGenerationChunk]:
        """Return the chunks that can be sent now; what rides on the last chunk makes none."""
        if getattr(delta, "choice", 0):
            return []
        if isinstance(delta, MetadataDelta) and isinstance(own := delta.extra.get(OWN_MESSAGE), AIMessage):
            return [self._own_chunk(own)]
        if self._own is not None and not (self._stops and isinstance(delta, TextDelta)):
            return []
        if isinstance(delta, ToolCallDelta):
            return self._write_call(delta)
        chunks = self.flush()
        if isinstance(delta, TextDelta) and delta.text:
            message = _MESSAGES.cast(content=delta.text)
            chunks.append(_CHUNKS.cast(text=delta.text, message=message))
        elif isinstance(delta, ThinkingDelta) and delta.text:
            chunks.append(_chunk(content="", additional_kwargs={REASONING: delta.text}))
        return chunks

    def _own_chunk(self, own: AIMessage) -> ChatGenerationChunk:
        self._own = {**(self._own or {}), **own.response_metadata}
        content = "" if self._stops else own.content
        if isinstance(own, AIMessageChunk):
            return ChatGenerationChunk(message=own.model_copy(update={"content": content}))
        calls = [
            tool_call_chunk(name=call["name"], args=json.dumps(call["args"], ensure_ascii=False), id=call["id"])
            for call in own.tool_calls
        ]
        broken = [
            tool_call_chunk(name=call["name"], args=call["args"], id=call["id"]) for call in own.invalid_tool_calls
        ]
        message = AIMessageChunk(
            content=content,
            additional_kwargs=own.additional_kwargs,
            response_metadata=own.response_metadata,
            usage_metadata=own.usage_metadata,
            id=own.id,
            name=own.name,
            tool_call_chunks=[*calls, *broken],
        )
        return ChatGenerationChunk(message=message)

    def last(self, reply: Reply, model_name: str) -> ChatGenerationChunk:
        """Return the chunk that ends the stream; see `last_chunk`."""
        chunk = last_chunk(reply, model_name, self._own)
        if self._own is None and isinstance(chunk.message, AIMessageChunk):
            cut = reply.finish_reason == "length"
            chunk.message.tool_call_chunks = [
                tool_call_chunk(name=None, args=ending, id=None, index=index)
                for index, call in zip(sorted(self._begun), reply.tool_calls, strict=False)
                if (ending := _broken_ending(call.arguments, cut=cut))
            ]
        return chunk

    def flush(self) -> list[ChatGenerationChunk]:
        """Return what was held back."""
        held, self._held = self._held, []
        return [self._piece(delta) for delta in held]

    def _write_call(self, delta: ToolCallDelta) -> list[ChatGenerationChunk]:
        if delta.cancelled:
            self._held = [held for held in self._held if held.index != delta.index]
            return []
        if not self._may_cancel():
            return [self._piece(delta)]
        chunks = self.flush() if self._held and self._held[-1].index != delta.index else []
        self._held.append(delta)
        return chunks

    def _piece(self, delta: ToolCallDelta) -> ChatGenerationChunk:
        call_id = name = None
        if delta.index not in self._begun:
            self._begun.add(delta.index)
            # The id that sagewire's whole replies give a call to which the server gave none.
            call_id, name = delta.id or f"call_{delta.index}", delta.name
        piece = tool_call_chunk(name=name, args=delta.arguments, id=call_id, index=delta.index)
        return _chunk(content="", tool_call_chunks=[piece])


def _broken_ending(arguments: str, *, cut: bool) -> str:
    """Return what makes broken arguments of a call plain to see, empty if they are whole.

    LangChain completes half a JSON object, and its agents would run a tool with it. A bracket that closes nothing makes
    such arguments an invalid call (`langchain_core/utils/json.py`), as they are in a whole answer.
    """
    try:
        parse_arguments(arguments)
    except ValueError:
        why = "cut off: the answer reached max_tokens" if cut else "not a JSON object"
        open_brackets, in_string = _left_open(arguments)
        return f"{chr(34) if in_string else ''}{']' if open_brackets[-1:] == '{' else '}'} ({why})"
    return ""


def _left_open(text: str) -> tuple[str, bool]:
    brackets, in_string, escaped = "", False, False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "{[":
            brackets += character
        elif character in "}]":
            brackets = brackets[:-1]
    return brackets, in_string


def last_chunk(reply: Reply, model_name: str, said: Mapping[str, Any] | None = None) -> ChatGenerationChunk:
    """Return the chunk that ends a stream: usage, metadata, why it ended.

    Args:
        reply: The whole answer of the stream.
        model_name: The model's name if the server did not report one.
        said: The metadata that messages of the user's own handler, which know the usage too, have said already.
    """
    choice = reply.choices[0]
    metadata = metadata_of(reply, choice, model_name)
    message = AIMessageChunk(
        content="",
        response_metadata={name: value for name, value in metadata.items() if name not in (said or ())},
        usage_metadata=usage_metadata_of(reply.usage) if said is None else None,
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message, generation_info=generation_info_of(choice) if said is None else None)


def _chunk(**fields: Any) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(response_metadata={"model_provider": PROVIDER}, **fields))


# Nearly all chunks are text and nothing else.
_CHUNKS = ChunkTemplate(_chunk(content=""))
_MESSAGES = ChunkTemplate(AIMessageChunk(content="", response_metadata={"model_provider": PROVIDER}))
