"""Engines: the model behind a container, independent of the container's request format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from sagewire.types import Message, TextPart, Tool

__all__ = [
    "SAMPLING",
    "Call",
    "Counts",
    "Engine",
    "EngineFailure",
    "Piece",
    "Raw",
    "Stop",
    "Text",
    "Thinking",
    "Turn",
    "VectorEngine",
    "sampling_of",
    "text_of",
]


@dataclass(frozen=True, slots=True)
class Turn:
    """A request to a model, independent of its wire.

    Args:
        messages: The conversation; a plain prompt arrives as `prompt` and is empty here.
        prompt: The text to continue, if the container takes prompts.
        tools: Functions on offer.
        tool_choice: `auto`, `none`, `required`, or the name of the one tool to call.
        parallel_tool_calls: Whether several calls in one answer are allowed.
        json_schema: The answer has to be JSON that fits this schema.
        schema_fields: What else the request says of the schema: `name`, `description`, `strict`.
        choices: The answer has to be one of these texts.
        pattern: The answer has to match this regular expression.
        reasoning: The answer starts with thinking.
        max_tokens: Maximum tokens to generate.
        stop: Strings that end the answer.
        choice: Which of several answers this one is.
        seed: The caller's seed.
        temperature: The caller's sampling temperature; only engines that sample look at it.
        top_p: The caller's nucleus sampling mass.
        model: The model name asked for.
        sampling: Further settings, by the names of `SAMPLING` and under their own names; only engines that sample look
            at them.
        logprobs: Log probabilities were asked for.
    """

    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    json_schema: Mapping[str, Any] | None = None
    schema_fields: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    reasoning: bool = False
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    choice: int = 0
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    model: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    logprobs: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """More answer text.

    Args:
        text: The piece.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """More reasoning text.

    Args:
        text: The piece.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call.

    Args:
        name: The function's name.
        arguments: JSON text, sent as it is even if it is not JSON.
        id: The call's id; made up if it is missing.
    """

    name: str
    arguments: str = "{}"
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Token counts that replace the emulator's own.

    Args:
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written.
    """

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The reason why the model stopped, if it differs from the emulator's.

    Args:
        reason: OpenAI's word: `stop`, `length`, `tool_calls`, `content_filter`.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that the container sends instead of its own answer.

    Args:
        data: The bytes.
        content_type: Their media type; else that of the container.
        status: The HTTP status.
    """

    data: bytes
    content_type: str | None = None
    status: int = 200


Piece: TypeAlias = Text | Thinking | Call | Counts | Stop | Raw


class EngineFailure(Exception):
    """A failure of the model behind a container, which the container reports in its own way.

    Args:
        message: What happened.
        status: The HTTP status a container answers with.
    """

    def __init__(self, message: str, status: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class Engine(Protocol):
    """A model.

    Attributes:
        blocking: `generate` may wait (for a network, for instance): the server runs it in a thread.
    """

    blocking: bool

    def generate(self, turn: Turn, /) -> Iterator[Piece]:
        """Yield the answer to `turn`, piece by piece.

        Raises:
            EngineFailure: The model could not answer.
        """
        ...


@runtime_checkable
class VectorEngine(Protocol):
    """A model that also makes vectors and scores; the others leave that to the emulator's hashed words."""

    def embed(self, texts: Sequence[str], size: int | None, /) -> list[list[float]]:
        """Return a vector per text, of `size` numbers if given."""
        ...

    def relevance(self, query: str, texts: Sequence[str], /) -> list[float]:
        """Return how well each text fits the query."""
        ...


SAMPLING = ("top_k", "min_p", "typical_p", "repetition_penalty", "frequency_penalty", "presence_penalty")
_OTHER_NAMES = {
    "repeat_penalty": "repetition_penalty",
    "k": "top_k",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
}


def sampling_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling settings of a request that `Turn` has no field for."""
    named = {
        # AI21's penalties are objects.
        _OTHER_NAMES.get(name, name): value.get("scale") if isinstance(value, Mapping) else value
        for name, value in parameters.items()
        if value is not None
    }
    return {name: named[name] for name in SAMPLING if name in named}


def text_of(message: Message) -> str:
    """Return the text of a message; images and other parts are left out."""
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if isinstance(part, TextPart))
