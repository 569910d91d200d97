"""Content handlers that users write themselves, in the shape langchain-community and langchain-aws gave them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Generic, TypeVar

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

from sagewire.content_handlers import Capabilities, LangChainHandler
from sagewire.content_handlers.openai.messages import openai_messages, openai_tool_choice, openai_tools
from sagewire.integrations.langchain._messages import to_messages
from sagewire.integrations.langchain._replies import OWN_MESSAGE
from sagewire.types import (
    ChatRequest,
    Delta,
    FinishDelta,
    Message,
    MetadataDelta,
    Options,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageDelta,
)

__all__ = ["ChatModelContentHandler", "ContentHandlerBase", "LLMContentHandler", "adapted"]

In = TypeVar("In")
Out = TypeVar("Out")


class ContentHandlerBase(ABC, Generic[In, Out]):
    """How one container wants its requests, and how it answers.

    Attributes:
        content_type: The media type of request bodies.
        accepts: The media type asked for.
    """

    content_type: str | None = "text/plain"
    accepts: str | None = "text/plain"

    @abstractmethod
    def transform_input(self, prompt: In, model_kwargs: dict[str, Any]) -> bytes:
        """Return the request body."""

    @abstractmethod
    def transform_output(self, output: Any) -> Out:
        """Return the parsed response body; `output` is bytes that can also be `.read()`.

        In a stream it is called once per line.
        """


class LLMContentHandler(ContentHandlerBase[str, str]):
    """A content handler for `SagemakerEndpoint`: text in, text out.

    Example:
        >>> import json
        >>> class ContentHandler(LLMContentHandler):
        ...     content_type = "application/json"
        ...     accepts = "application/json"
        ...
        ...     def transform_input(self, prompt, model_kwargs):
        ...         return json.dumps({"inputs": prompt, "parameters": model_kwargs}).encode()
        ...
        ...     def transform_output(self, output):
        ...         return json.loads(output.read().decode("utf-8"))[0]["generated_text"]
    """


class ChatModelContentHandler(ContentHandlerBase[Any, Any]):
    """A content handler for `ChatSagemakerEndpoint`.

    `transform_input` is given OpenAI style messages; `transform_output` returns a LangChain message, or text.
    """


def adapted(handler: Any) -> Any:
    """Return what `Client` takes for a handler of any kind; only chat handlers need more than it does by itself."""
    ancestry = handler.__mro__ if isinstance(handler, type) else type(handler).__mro__
    if any(cls.__name__ == "ChatModelContentHandler" for cls in ancestry):
        return _MessageHandler(handler() if isinstance(handler, type) else handler)
    return handler


class _MessageHandler(LangChainHandler):
    """A chat handler whose answers are LangChain messages, which are handed on as they are.

    As langchain-aws does, it is given runs of messages by one speaker as one message, the system message first, and
    everything a call asks for in `model_kwargs`: `tools`, `tool_choice` and `response_format` too.
    """

    can = Capabilities(
        tools=True,
        tool_choice=True,
        parallel_tool_calls=True,
        images=True,
        usage=True,
        logprobs=True,
        n=True,
        response_format=True,
    )
    option_names: Mapping[str, str] = {
        name: name for name in (option.name for option in fields(Options)) if name not in ("stop", "extra")
    }

    def __init__(self, handler: Any) -> None:
        super().__init__(handler)
        self.can = type(self).can

    def transform_input(self, request: Any, /) -> bytes:
        """Return what the user's handler makes of the conversation."""
        options = request.options
        return super().transform_input(replace(request, options=replace(options, extra=_tool_settings(request))))

    def _prompt(self, request: Any) -> Any:
        return openai_messages(_merged(request.messages))

    def deltas_of(self, answer: Any) -> list[Delta]:
        """Return the message itself, and its text, reasoning, tool calls, usage and metadata."""
        if not isinstance(answer, BaseMessage):
            return super().deltas_of(answer)
        if not isinstance(answer, AIMessage):
            answer = AIMessage(content=answer.content)
        return [MetadataDelta(extra={OWN_MESSAGE: answer}), *_content(answer), *_about(answer)]


def _tool_settings(request: ChatRequest) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if request.tools:
        settings["tools"] = openai_tools(request.tools)
    if request.tool_choice is not None:
        settings["tool_choice"] = openai_tool_choice(request.tool_choice)
    if request.tools and request.parallel_tool_calls is not None:
        settings["parallel_tool_calls"] = request.parallel_tool_calls
    return {**settings, **request.options.extra}


def _merged(messages: Sequence[Message]) -> list[Message]:
    """Return runs of messages by one speaker as one message each, and the system message first."""
    merged: list[Message] = []
    for message in sorted(messages, key=lambda message: message.role != "system"):
        before = merged[-1] if merged else None
        alone = message.role == "tool" or message.tool_calls or (before is not None and before.tool_calls)
        if before is None or alone or (before.role, before.name) != (message.role, message.name):
            merged.append(message)
        elif isinstance(before.content, str) and isinstance(message.content, str):
            merged[-1] = replace(before, content=f"{before.content}\n{message.content}")
        else:
            merged[-1] = replace(before, content=(*_parts(before), *_parts(message)))
    return merged


def _parts(message: Message) -> tuple[Any, ...]:
    return (TextPart(message.content),) if isinstance(message.content, str) else message.content


def _content(answer: AIMessage) -> list[Delta]:
    pieces = answer.tool_call_chunks if isinstance(answer, AIMessageChunk) else []
    bare = answer.model_copy(update={"tool_calls": [], "invalid_tool_calls": []}) if pieces else answer
    message = to_messages([bare])[0]
    found: list[Delta] = []
    if message.thinking:
        found.append(ThinkingDelta(message.thinking))
    if message.text:
        found.append(TextDelta(message.text))
    if pieces:
        for number, piece in enumerate(pieces):
            index = number if piece["index"] is None else piece["index"]
            found.append(ToolCallDelta(index, piece["id"], piece["name"], piece["args"] or ""))
    else:
        found += [
            ToolCallDelta(number, call.id, call.name, call.arguments) for number, call in enumerate(message.tool_calls)
        ]
    return found


def _about(answer: AIMessage) -> list[Delta]:
    found: list[Delta] = []
    known = answer.response_metadata
    if known.get("model_name") or known.get("id"):
        found.append(MetadataDelta(id=known.get("id"), model=known.get("model_name")))
    if answer.usage_metadata is not None:
        usage = answer.usage_metadata
        cached = usage.get("input_token_details", {}).get("cache_read")
        reasoning = usage.get("output_token_details", {}).get("reasoning")
        found.append(UsageDelta(Usage(usage["input_tokens"], usage["output_tokens"], cached, reasoning)))
    if known.get("finish_reason") in ("stop", "length", "tool_calls", "content_filter"):
        found.append(FinishDelta(known["finish_reason"]))
    return found
