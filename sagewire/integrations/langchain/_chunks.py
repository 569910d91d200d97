"""Sagewire's deltas as LangChain's chunks.

Rules that come from how LangChain adds chunks up (`langchain_core/utils/_merge.py`): strings in `response_metadata` are
concatenated and numbers summed, so everything that is said once rides on the last chunk; only `model_provider`, which
chooses the block translator, is on each. Names and ids of tool calls are concatenated too, and pieces with different
ids are taken for different calls, so both are on a call's first piece only. Nothing can be taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from sagewire.integrations._chunk_template import ChunkTemplate
from sagewire.integrations.langchain._messages import REASONING
from sagewire.integrations.langchain._replies import PROVIDER, generation_info_of, metadata_of, usage_metadata_of
from sagewire.types import Delta, Reply, TextDelta, ThinkingDelta, ToolCallDelta

__all__ = ["ChunkWriter", "last_chunk"]


class ChunkWriter:
    """Turns the deltas of one stream into chunks.

    Args:
        may_cancel: Whether a tool call may turn out to be none (it is read out of the text); then its pieces are held
            back until it is known to be one. Asked when the first tool call arrives.
    """

    def __init__(self, may_cancel: Callable[[], bool]) -> None:
        self._may_cancel = may_cancel
        self._begun: set[int] = set()
        self._held: list[ToolCallDelta] = []

    def write(self, delta: Delta) -> list[ChatGenerationChunk]:
        """Return the chunks that can be sent now; what rides on the last chunk makes none."""
        if getattr(delta, "choice", 0):
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


def last_chunk(reply: Reply, model_name: str) -> ChatGenerationChunk:
    """Return the chunk that ends a stream: usage, metadata, why it ended.

    Args:
        reply: What the stream added up to.
        model_name: What to call the model where the server did not say.
    """
    choice = reply.choices[0]
    message = AIMessageChunk(
        content="",
        response_metadata=metadata_of(reply, choice, model_name),
        usage_metadata=usage_metadata_of(reply.usage),
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message, generation_info=generation_info_of(choice))


def _chunk(**fields: Any) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(response_metadata={"model_provider": PROVIDER}, **fields))


# Nearly all chunks are text and nothing else.
_CHUNKS = ChunkTemplate(_chunk(content=""))
_MESSAGES = ChunkTemplate(AIMessageChunk(content="", response_metadata={"model_provider": PROVIDER}))
