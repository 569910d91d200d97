"""Answers: deltas, and the reply they fold into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from sagewire._names import NamesHelp, refuse
from sagewire._short_repr import ShortRepr
from sagewire.types.conversation import Message, ToolCall

_OF_TEXT = "only some deltas are text; for the text alone: `for text in client.stream(...).text`"
_FIELDS_OF_OTHERS = dict.fromkeys(("text", "content", "delta", "choices", "message", "token"), _OF_TEXT)


class _Delta(NamesHelp):
    """The base class of the pieces of a streamed answer."""

    __slots__ = ()
    _instead: ClassVar[Mapping[str, str]] = _FIELDS_OF_OTHERS


FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "error", "other"]


@dataclass(frozen=True, slots=True, repr=False)
class Usage(NamesHelp, ShortRepr):
    """Token counts as the server reported them; sagewire never invents any.

    Args:
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written.
        cached_tokens: How many of those read came out of a cache.
        reasoning_tokens: How many of those written were reasoning.
    """

    _instead: ClassVar[Mapping[str, str]] = {
        "input_tokens": "use prompt_tokens",
        "output_tokens": "use completion_tokens",
        "generated_tokens": "use completion_tokens",
    }

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
class TextDelta(_Delta):
    """More answer text.

    Args:
        text: The piece.
        choice: The number of the answer it belongs to.
    """

    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ThinkingDelta(_Delta):
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
class ToolCallDelta(_Delta):
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
class LogprobsDelta(_Delta):
    """Log probabilities of tokens just generated.

    Args:
        tokens: The tokens.
        choice: The number of the answer they belong to.
    """

    tokens: tuple[TokenLogprob, ...]
    choice: int = 0


@dataclass(frozen=True, slots=True)
class FinishDelta(_Delta):
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
class UsageDelta(_Delta):
    """Token counts; a later one replaces an earlier one.

    Args:
        usage: The counts.
    """

    usage: Usage


@dataclass(frozen=True, slots=True)
class MetadataDelta(_Delta):
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


@dataclass(frozen=True, slots=True, repr=False)
class ResponseInfo(ShortRepr):
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


@dataclass(frozen=True, slots=True, repr=False)
class Choice(NamesHelp, ShortRepr):
    """One of the answers in a `Reply`.

    Args:
        text: The answer's text.
        thinking: The model's reasoning, `None` without any.
        tool_calls: The functions the model asked for.
        finish_reason: The reason why the answer ended, `None` if the server did not report one.
        stop: The stop string that ended it, if it is known.
        logprobs: Log probabilities of its tokens, if they were requested.
    """

    _instead: ClassVar[Mapping[str, str]] = {
        "message": "a choice has text, thinking and tool_calls itself; of the first one, reply.text",
        "content": "use .text",
        "delta": "use .text",
        "reasoning_content": "use .thinking",
    }

    text: str = ""
    thinking: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason | None = None
    stop: str | None = None
    logprobs: tuple[TokenLogprob, ...] = ()


# Characters of an answer that a `repr` shows.
_SHOWN = 60


@dataclass(frozen=True, slots=True, repr=False)
class Reply(NamesHelp):
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

    _instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("content", "answer", "completion", "response", "generated_text", "output", "body"), "use .text"
        ),
        **dict.fromkeys(("split", "strip", "lower", "upper", "replace", "startswith", "encode"), "use .text.{name}"),
        **dict.fromkeys(("json", "to_dict", "model_dump", "dict"), "use dataclasses.asdict(reply)"),
        **dict.fromkeys(("reasoning", "reasoning_content"), "use .thinking"),
        **dict.fromkeys(("tokens", "total_tokens"), "use .usage.total_tokens, if the server counts"),
        **dict.fromkeys(("prompt_tokens", "completion_tokens"), "use .usage.{name}, if the server counts"),
        **dict.fromkeys(("request_id", "headers", "status", "status_code"), "the service's facts are in .info"),
        "role": "use .message, the answer as a turn of the conversation",
        "logprobs": "use .choices[0].logprobs",
        "stop_reason": "use .finish_reason",
        "parsed": "the answer is text: json.loads(reply.text)",
    }

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

    if not TYPE_CHECKING:
        __getitem__ = refuse("it is not a dictionary or a list: use reply.text, reply.tool_calls, reply.choices")

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
            Message(role='assistant', content='Four.')
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


def _refuse_changes(self: Reply, name: str, value: object) -> None:
    raise FrozenInstanceError(f"a Reply does not change, {name} neither; keep your own text in a variable")


# What `dataclass` makes fails in an obscure way for the properties of a slotted class.
setattr(Reply, "__setattr__", _refuse_changes)  # noqa: B010
