"""Answers: deltas, and the reply they fold into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from sagewire.types.conversation import Message, ToolCall

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "error", "other"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the server reported them; sagewire never invents any.

    Args:
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written.
        cached_tokens: How many of those read came out of a cache.
        reasoning_tokens: How many of those written were reasoning.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    @property
    def total_tokens(self) -> int | None:
        """The sum of both counts, or `None` if one of them is unknown."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One generated token with its log probability, and the alternatives if they were requested.

    Args:
        token: The token as text.
        logprob: The natural logarithm of its probability.
        top: The most likely tokens at its position, with their logarithms.
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More answer text.

    Args:
        text: The piece.
        choice: The number of the answer it belongs to.
    """

    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """More reasoning text.

    Args:
        text: The piece.
        choice: The number of the answer it belongs to.
        takes_text: The answer text so far turned out to be reasoning, and comes before this piece. Only readers that
            do not know whether the prompt opened the reasoning set it.
    """

    text: str
    choice: int = 0
    takes_text: bool = False


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call: the first of an `index` carries `name` and mostly `id`, each may carry argument text.

    Args:
        index: The number of the call it belongs to, counted from 0.
        id: The call's id.
        name: The function's name.
        arguments: More of the arguments' JSON text.
        choice: The number of the answer it belongs to.
        cancelled: The pieces delivered under this `index` were not a call after all; their text follows as written.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    choice: int = 0
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class LogprobsDelta:
    """Log probabilities of tokens just generated.

    Args:
        tokens: The tokens.
        choice: The number of the answer they belong to.
    """

    tokens: tuple[TokenLogprob, ...]
    choice: int = 0


@dataclass(frozen=True, slots=True)
class FinishDelta:
    """The end of an answer.

    Args:
        reason: The reason.
        stop: The stop string that ended it, if it is known.
        choice: The number of the answer.
    """

    reason: FinishReason
    stop: str | None = None
    choice: int = 0


@dataclass(frozen=True, slots=True)
class UsageDelta:
    """Token counts; a later one replaces an earlier one.

    Args:
        usage: The counts.
    """

    usage: Usage


@dataclass(frozen=True, slots=True)
class MetadataDelta:
    """The server's facts about the answer as a whole.

    Args:
        id: The server's id of the answer.
        model: The model's name.
        extra: Further fields.
    """

    id: str | None = None
    model: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


Delta: TypeAlias = TextDelta | ThinkingDelta | ToolCallDelta | LogprobsDelta | FinishDelta | UsageDelta | MetadataDelta


@dataclass(frozen=True, slots=True)
class Timings:
    """How long a call took, in seconds from its start on a monotonic clock.

    Args:
        first_byte: Until the first byte of the answer.
        total: Until its end.
        attempts: Calls in all, retries included.
    """

    first_byte: float | None = None
    total: float | None = None
    attempts: int = 1


_NO_TIMES = Timings()


@dataclass(frozen=True, slots=True)
class ResponseInfo:
    """The service's facts about a response, apart from its body.

    Args:
        content_type: The container's content type.
        event_stream: The body is framed as `application/vnd.amazon.eventstream`.
        request_id: AWS's or the server's id of this request; quote it in support cases.
        production_variant: The SageMaker variant that answered.
        custom_attributes: The container's answer to CustomAttributes.
        new_session_id: A sticky session that was just opened.
        closed_session_id: A sticky session that was just closed.
        timings: How long it took; filled in when the call ends.
    """

    content_type: str = ""
    event_stream: bool = False
    request_id: str | None = None
    production_variant: str | None = None
    custom_attributes: str | None = None
    new_session_id: str | None = None
    closed_session_id: str | None = None
    timings: Timings = _NO_TIMES


# Of replies that were not returned by a call.
NO_INFO = ResponseInfo()


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers in a `Reply`.

    Args:
        text: The answer's text.
        thinking: The model's reasoning, `None` without any.
        tool_calls: The functions the model asked for.
        finish_reason: The reason why the answer ended, `None` if the server did not report one.
        stop: The stop string that ended it, if it is known.
        logprobs: Log probabilities of its tokens, if they were requested.
    """

    text: str = ""
    thinking: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason | None = None
    stop: str | None = None
    logprobs: tuple[TokenLogprob, ...] = ()


# Characters of an answer that a `repr` shows.
_SHOWN = 60


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """A whole answer. The properties are those of the first choice, which nearly always is the only one.

    `str(reply)` is its text, so `print(reply)` prints the answer; Jupyter shows it as Markdown.

    Args:
        choices: At least one answer.
        usage: Token counts if the server reports them, else `None`.
        id: The server's id of the answer.
        model: The model name the server reported.
        extra: Further fields that the server sent.
        info: The service's facts about the response; without any in a reply that was not returned by a call.
    """

    choices: tuple[Choice, ...] = (Choice(),)
    usage: Usage | None = None
    id: str | None = None
    model: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    info: ResponseInfo = NO_INFO

    def __str__(self) -> str:
        """The text; if the model only called tools, the calls, one per line."""
        return self.text or "\n".join(f"{call.name}({call.arguments})" for call in self.tool_calls)

    def __repr__(self) -> str:
        shown = self.text if len(self.text) <= _SHOWN else self.text[:_SHOWN] + "..."
        parts = [repr(shown)]
        if len(self.choices) > 1:
            parts.append(f"{len(self.choices)} choices")
        if self.tool_calls:
            parts.append(f"tool_calls={[call.name for call in self.tool_calls]}")
        parts.append(f"finish_reason={self.finish_reason!r}")
        if self.usage is not None:
            parts.append(f"tokens={self.usage.prompt_tokens}+{self.usage.completion_tokens}")
        return f"Reply({', '.join(parts)})"

    def _repr_markdown_(self) -> str:
        """The form that Jupyter shows."""
        return str(self)

    @property
    def text(self) -> str:
        """The answer's text."""
        return self.choices[0].text

    @property
    def thinking(self) -> str | None:
        """The model's reasoning, `None` without any."""
        return self.choices[0].thinking

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The functions the model asked for."""
        return self.choices[0].tool_calls

    @property
    def message(self) -> Message:
        """The answer as a turn of the conversation, to be sent back: its text, tool calls and reasoning.

        Reasoning is sent on only if the request format or the prompt format has a field for it.

        Example:
            >>> Reply((Choice("Four."),)).message
            Message(role='assistant', content='Four.', tool_calls=(), tool_call_id=None, name=None, thinking=None)
        """
        return Message("assistant", self.text, tool_calls=self.tool_calls, thinking=self.thinking)

    @property
    def finish_reason(self) -> FinishReason | None:
        """The reason why the answer ended, `None` if the server did not report one."""
        return self.choices[0].finish_reason

    @property
    def timings(self) -> Timings:
        """How long the call took; without times in a reply that was not returned by a call."""
        return self.info.timings
