"""Deltas as the chunks of OpenAI's streams."""

from __future__ import annotations

import time
from typing import Any

from sagewire.errors import WireError
from sagewire.openai_shapes.answers import chat_logprobs, finish_word, new_id, text_logprobs, usage_of
from sagewire.types import (
    Delta,
    FinishDelta,
    LogprobsDelta,
    MetadataDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageDelta,
)

__all__ = ["ChatChunks", "TextChunks"]

JSON = dict[str, Any]


class ChatChunks:
    """Turns the deltas of one answer into `chat.completion.chunk` objects.

    OpenAI's stream cannot take anything back. If a tool call may still be withdrawn (`ToolCallDelta.cancelled`:
    calls that are read out of a model's text), its pieces are therefore kept until something else follows, and sent
    as one. Text that turns out to be reasoning afterwards (`ThinkingDelta.takes_text`) has been sent as text.

    Args:
        model: The name under which the answer was asked for.
        id: The id of all chunks; else a fresh one.
        created: Seconds since the epoch; else now.
        include_usage: End with a chunk that has token counts and no choices, if the server gives counts.
        calls_are_final: Tool calls come in their own fields and are never taken back: send their pieces at once.

    Example:
        >>> chunks = ChatChunks("m", id="chatcmpl-1", created=0)
        >>> [chunk["choices"][0]["delta"] for chunk in chunks.encode(TextDelta("Hi"))]
        [{'role': 'assistant', 'content': ''}, {'content': 'Hi'}]
        >>> chunks.close()[-1]["choices"][0]["finish_reason"]
        'stop'
    """

    def __init__(
        self,
        model: str,
        *,
        id: str | None = None,
        created: int | None = None,
        include_usage: bool = False,
        calls_are_final: bool = False,
    ) -> None:
        self._frame: JSON = {
            "id": id or new_id("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": int(time.time()) if created is None else created,
            "model": model,
        }
        self._include_usage = include_usage
        self._calls_are_final = calls_are_final
        self._choices: dict[int, _ChoiceState] = {}
        self._usage: Usage | None = None

    @property
    def usage(self) -> Usage | None:
        """The token counts seen so far."""
        return self._usage

    def encode(self, delta: Delta) -> list[JSON]:
        """Return the chunks for one more delta: usually one, sometimes none.

        Raises:
            WireError: A call was taken back although `calls_are_final`.
        """
        if isinstance(delta, UsageDelta):
            self._usage = delta.usage
            return []
        if isinstance(delta, MetadataDelta):
            if fingerprint := delta.extra.get("system_fingerprint"):
                self._frame["system_fingerprint"] = fingerprint
            return []
        number = delta.choice
        state = self._choices.get(number)
        out: list[JSON] = []
        if state is None:
            # OpenAI's Python client fails on a stream that begins with any answer but the first.
            for missing in range(len(self._choices), number + 1):
                self._choices[missing] = _ChoiceState()
                out.append(self._chunk(missing, {"role": "assistant", "content": ""}))
            state = self._choices[number]
        if isinstance(delta, ToolCallDelta):
            self._call(number, state, delta, out)
            return out
        if state.held is not None and not isinstance(delta, LogprobsDelta):
            self._release(number, state, out)
        self._content(number, state, delta, out)
        return out

    def close(self) -> list[JSON]:
        """Return the last chunks: of answers that have not ended, and token counts."""
        out: list[JSON] = []
        if not self._choices:
            out += self.encode(TextDelta(""))
        for number, state in sorted(self._choices.items()):
            self._release(number, state, out)
            if not state.finished:
                self._finish(number, state, FinishDelta("other"), out)
        if self._include_usage and self._usage is not None:
            out.append({**self._frame, "choices": [], "usage": usage_of(self._usage)})
        return out

    def _content(self, number: int, state: _ChoiceState, delta: Delta, out: list[JSON]) -> None:
        if isinstance(delta, TextDelta):
            if delta.text:
                out.append(self._chunk(number, {"content": delta.text}))
        elif isinstance(delta, ThinkingDelta):
            if delta.text:
                out.append(self._chunk(number, {"reasoning_content": delta.text}))
        elif isinstance(delta, LogprobsDelta):
            out.append(self._chunk(number, {}, logprobs=chat_logprobs(delta.tokens)))
        elif isinstance(delta, FinishDelta):
            self._finish(number, state, delta, out)

    def _chunk(self, number: int, delta: JSON, *, logprobs: JSON | None = None, finish: str | None = None) -> JSON:
        choice = {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return {**self._frame, "choices": [choice]}

    def _finish(self, number: int, state: _ChoiceState, delta: FinishDelta, out: list[JSON]) -> None:
        state.finished = True
        word = finish_word(delta.reason, called_tools=bool(state.indexes))
        chunk = self._chunk(number, {}, finish=word)
        if delta.stop is not None:
            chunk["choices"][0]["stop_reason"] = delta.stop
        out.append(chunk)

    def _call(self, number: int, state: _ChoiceState, delta: ToolCallDelta, out: list[JSON]) -> None:
        held = state.held
        if delta.cancelled:
            if delta.index in state.indexes:
                raise WireError("a tool call was taken back after it had been sent")
            state.held = None
        elif self._calls_are_final:
            out.append(self._chunk(number, {"tool_calls": [state.piece(delta)]}))
        elif held is not None and held.index == delta.index:
            held.add(delta)
        else:
            self._release(number, state, out)
            state.held = _HeldCall(delta)

    def _release(self, number: int, state: _ChoiceState, out: list[JSON]) -> None:
        if state.held is not None:
            out.append(self._chunk(number, {"tool_calls": [state.piece(state.held.delta())]}))
            state.held = None


class _HeldCall:
    """A call whose end has not been seen."""

    __slots__ = ("_arguments", "_id", "_name", "index")

    def __init__(self, delta: ToolCallDelta) -> None:
        self.index = delta.index
        self._id = delta.id
        self._name = delta.name
        self._arguments = [delta.arguments]

    def add(self, delta: ToolCallDelta) -> None:
        self._id = self._id or delta.id
        self._name = self._name or delta.name
        self._arguments.append(delta.arguments)

    def delta(self) -> ToolCallDelta:
        return ToolCallDelta(self.index, self._id, self._name, "".join(self._arguments))


class _ChoiceState:
    """How far one answer is."""

    __slots__ = ("finished", "held", "indexes")

    def __init__(self) -> None:
        self.finished = False
        self.held: _HeldCall | None = None
        # Index of a call as it came -> as it is sent. Calls that were taken back leave gaps, which clients that keep
        # a list of calls stumble over.
        self.indexes: dict[int, int] = {}

    def piece(self, delta: ToolCallDelta) -> JSON:
        """Return a piece of a call; the first one has everything a client needs to start one."""
        index = self.indexes.get(delta.index)
        if index is not None:
            return {"index": index, "function": {"arguments": delta.arguments}}
        index = self.indexes[delta.index] = len(self.indexes)
        return {
            "index": index,
            "id": delta.id or new_id("call").replace("-", "_"),
            "type": "function",
            "function": {"name": delta.name or "", "arguments": delta.arguments},
        }


class TextChunks:
    """Turns the deltas of one or several prompts' answers into the chunks of a `text_completion` stream.

    Args:
        model: The name under which the answers were asked for.
        id: The id of all chunks; else a fresh one.
        created: Seconds since the epoch; else now.
        n: How many answers each prompt gets.
        include_usage: End with a chunk of token counts, if the server gave them for all prompts.
    """

    def __init__(
        self,
        model: str,
        *,
        id: str | None = None,
        created: int | None = None,
        n: int = 1,
        include_usage: bool = False,
    ) -> None:
        self._frame: JSON = {
            "id": id or new_id("cmpl"),
            "object": "text_completion",
            "created": int(time.time()) if created is None else created,
            "model": model,
        }
        self._n = n
        self._include_usage = include_usage
        self._offsets: dict[int, int] = {}
        self._finished: set[int] = set()

    def echo(self, text: str, prompt: int = 0) -> list[JSON]:
        """Return the chunks that repeat a prompt ahead of each of its answers."""
        numbers = range(prompt * self._n, (prompt + 1) * self._n)
        self._offsets.update(dict.fromkeys(numbers, len(text)))
        return [self._chunk(number, text) for number in numbers]

    def encode(self, delta: Delta, prompt: int = 0) -> list[JSON]:
        """Return the chunks for one more delta of a prompt's answer."""
        if isinstance(delta, UsageDelta | MetadataDelta | ToolCallDelta):
            return []
        number = prompt * self._n + delta.choice
        if isinstance(delta, TextDelta):
            return [self._chunk(number, delta.text)] if delta.text else []
        if isinstance(delta, ThinkingDelta):
            return [self._chunk(number, "", reasoning_content=delta.text)] if delta.text else []
        if isinstance(delta, LogprobsDelta):
            offset = self._offsets.get(number, 0)
            self._offsets[number] = offset + sum(len(token.token) for token in delta.tokens)
            return [self._chunk(number, "", logprobs=text_logprobs(delta.tokens, offset))]
        self._finished.add(number)
        stop = {} if delta.stop is None else {"stop_reason": delta.stop}
        return [self._chunk(number, "", finish_reason=finish_word(delta.reason, called_tools=False), **stop)]

    def close(self, usage: Usage | None = None, prompts: int = 1) -> list[JSON]:
        """Return the last chunks: of answers that have not ended, and token counts."""
        out = [
            self._chunk(number, "", finish_reason="stop")
            for number in range(prompts * self._n)
            if number not in self._finished
        ]
        if self._include_usage and usage is not None:
            out.append({**self._frame, "choices": [], "usage": usage_of(usage)})
        return out

    def _chunk(self, number: int, text: str, **more: Any) -> JSON:
        choice = {"index": number, "text": text, "logprobs": None, "finish_reason": None, **more}
        return {**self._frame, "choices": [choice]}
