"""A reply is the fold of its deltas: `fold` and `unfold`, and the `Accumulator` both rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sagewire.errors import WireError
from sagewire.types import (
    Choice,
    Delta,
    FinishDelta,
    LogprobsDelta,
    MetadataDelta,
    Reply,
    ResponseInfo,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageDelta,
)
from sagewire.types.replies import NO_INFO

__all__ = ["Accumulator", "fold", "unfold"]

# A server that numbers its answers or calls beyond this is broken, and filling the gaps would take the memory.
MAX_INDEX = 4096


class _ToolCallParts:
    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class _ChoiceParts:
    __slots__ = ("finish", "logprobs", "text", "thinking", "tool_calls")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.thinking: list[str] = []
        self.tool_calls: dict[int, _ToolCallParts] = {}
        self.logprobs: list[TokenLogprob] = []
        self.finish: FinishDelta | None = None


class Accumulator:
    """Collects deltas and makes the reply of those seen so far, at any time; linear in the answer's length.

    Answers are sorted by their `choice` number and missing ones filled in empty; tool calls are sorted by `index`. A
    later `UsageDelta` or `FinishDelta` replaces an earlier one; `MetadataDelta` values are merged, the later winning.
    Empty thinking counts as none. A call that was cancelled is dropped; thinking that takes the text moves it.

    A tool call to which the server gave no id gets `call_<index>` (`call_<choice>_<index>` in further answers), with
    underscores appended where the server used that very id for another call: unique in the reply, and the same each
    time the same deltas are folded.
    """

    def __init__(self) -> None:
        self._choices: dict[int, _ChoiceParts] = {}
        self._usage: Usage | None = None
        self._id: str | None = None
        self._model: str | None = None
        self._extra: dict[str, Any] = {}

    @property
    def usage(self) -> Usage | None:
        """The token counts, if the server has sent them."""
        return self._usage

    def add(self, delta: Delta) -> None:
        """Take one more delta.

        Raises:
            WireError: An index is out of bounds, or two tool calls share one.
            TypeError: `delta` is not a delta.
        """
        # Nearly every delta is more text of a known answer.
        if type(delta) is TextDelta and (parts := self._choices.get(delta.choice)) is not None:
            parts.text.append(delta.text)
            return
        try:
            add = _ADD[type(delta)]
        except KeyError:
            raise TypeError(f"expected a delta, got {type(delta).__name__}") from None
        add(self, delta)

    def add_facts(self, delta: Delta) -> None:
        """Take one more delta if it tells of the answer rather than being a part of it: usage and metadata."""
        if isinstance(delta, UsageDelta | MetadataDelta):
            self.add(delta)

    def reply(self, info: ResponseInfo = NO_INFO) -> Reply:
        """Return the reply as far as it is known.

        Args:
            info: The service's facts about the response.
        """
        numbers = range(max(self._choices) + 1) if self._choices else (0,)
        return Reply(
            choices=(*map(self._choice, numbers),),
            usage=self._usage,
            id=self._id,
            model=self._model,
            extra=dict(self._extra),
            info=info,
        )

    def _choice(self, number: int) -> Choice:
        parts = self._choices.get(number)
        if parts is None:
            return Choice()
        finish = parts.finish
        return Choice(
            text="".join(parts.text),
            thinking="".join(parts.thinking) or None,
            tool_calls=self._tool_calls(number, parts.tool_calls) if parts.tool_calls else (),
            finish_reason=finish.reason if finish else None,
            stop=finish.stop if finish else None,
            logprobs=tuple(parts.logprobs),
        )

    def _tool_calls(self, number: int, calls: Mapping[int, _ToolCallParts]) -> tuple[ToolCall, ...]:
        used = {call.id for parts in self._choices.values() for call in parts.tool_calls.values() if call.id}
        return tuple(
            ToolCall(call.id or _new_id(number, index, used), call.name, "".join(call.arguments))
            for index, call in sorted(calls.items())
        )

    def _parts(self, choice: int) -> _ChoiceParts:
        parts = self._choices.get(choice)
        if parts is None:
            _check_index(choice, "answer")
            parts = self._choices[choice] = _ChoiceParts()
        return parts

    def _add_text(self, delta: TextDelta) -> None:
        self._parts(delta.choice).text.append(delta.text)

    def _add_thinking(self, delta: ThinkingDelta) -> None:
        parts = self._parts(delta.choice)
        if delta.takes_text:
            parts.thinking += parts.text
            parts.text.clear()
        parts.thinking.append(delta.text)

    def _add_tool_call(self, delta: ToolCallDelta) -> None:
        calls = self._parts(delta.choice).tool_calls
        if delta.cancelled:
            calls.pop(delta.index, None)
            return
        call = calls.get(delta.index)
        if call is None:
            _check_index(delta.index, "tool call")
            call = calls[delta.index] = _ToolCallParts()
        # The first id counts: vLLM releases of 2024 sent a new random one with each piece of the same call.
        call.id = call.id or delta.id or ""
        if delta.name and delta.name != call.name:
            if call.name:
                raise WireError(f"the tool calls '{call.name}' and '{delta.name}' share the index {delta.index}")
            call.name = delta.name
        if delta.arguments:
            call.arguments.append(delta.arguments)

    def _add_logprobs(self, delta: LogprobsDelta) -> None:
        self._parts(delta.choice).logprobs += delta.tokens

    def _add_finish(self, delta: FinishDelta) -> None:
        self._parts(delta.choice).finish = delta

    def _add_usage(self, delta: UsageDelta) -> None:
        self._usage = delta.usage

    def _add_metadata(self, delta: MetadataDelta) -> None:
        self._id = delta.id if delta.id is not None else self._id
        self._model = delta.model if delta.model is not None else self._model
        self._extra.update(delta.extra)


_ADD: Mapping[type, Callable[[Accumulator, Any], None]] = {
    TextDelta: Accumulator._add_text,
    ThinkingDelta: Accumulator._add_thinking,
    ToolCallDelta: Accumulator._add_tool_call,
    LogprobsDelta: Accumulator._add_logprobs,
    FinishDelta: Accumulator._add_finish,
    UsageDelta: Accumulator._add_usage,
    MetadataDelta: Accumulator._add_metadata,
}


def fold(deltas: Iterable[Delta], info: ResponseInfo = NO_INFO) -> Reply:
    """Return the reply that these deltas make up; see `Accumulator` for the rules.

    Args:
        deltas: In the order they arrived.
        info: The service's facts about the response.

    Raises:
        WireError: An index is out of bounds, or two tool calls share one.

    Example:
        >>> fold([TextDelta("Hello "), TextDelta("you"), FinishDelta("stop")]).text
        'Hello you'
    """
    accumulator = Accumulator()
    for delta in deltas:
        accumulator.add(delta)
    return accumulator.reply(info)


def unfold(reply: Reply) -> list[Delta]:
    """Return deltas that fold into `reply`, so that a whole answer can be treated as a stream of one piece.

    `fold(unfold(reply), reply.info) == reply` for every reply that `fold` can return.

    Example:
        >>> unfold(Reply((Choice("Hello", finish_reason="stop"),)))
        [TextDelta(text='Hello', choice=0), FinishDelta(reason='stop', stop=None, choice=0)]
    """
    deltas: list[Delta] = []
    if reply.id is not None or reply.model is not None or reply.extra:
        deltas.append(MetadataDelta(reply.id, reply.model, reply.extra))
    for number, choice in enumerate(reply.choices):
        deltas += _unfold_choice(number, choice)
    last = len(reply.choices) - 1
    if last > 0 and reply.choices[last] == Choice():
        deltas.append(TextDelta("", choice=last))
    if reply.usage is not None:
        deltas.append(UsageDelta(reply.usage))
    return deltas


def _unfold_choice(number: int, choice: Choice) -> Iterable[Delta]:
    if choice.thinking:
        yield ThinkingDelta(choice.thinking, choice=number)
    if choice.text:
        yield TextDelta(choice.text, choice=number)
    for index, call in enumerate(choice.tool_calls):
        yield ToolCallDelta(index, call.id, call.name, call.arguments, choice=number)
    if choice.logprobs:
        yield LogprobsDelta(choice.logprobs, choice=number)
    if choice.finish_reason is not None:
        yield FinishDelta(choice.finish_reason, choice.stop, choice=number)


def made_up_id(choice: int, index: int) -> str:
    """Return the id of a call to which the server gave none."""
    return f"call_{choice}_{index}" if choice else f"call_{index}"


def _new_id(choice: int, index: int, used: set[str]) -> str:
    new = made_up_id(choice, index)
    while new in used:
        new += "_"
    used.add(new)
    return new


def _check_index(index: int, what: str) -> None:
    if not 0 <= index < MAX_INDEX:
        raise WireError(f"the server numbered a {what} {index}; 0 to {MAX_INDEX - 1} is what can be")
