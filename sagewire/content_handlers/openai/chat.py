"""The OpenAI chat wire: vLLM, LMI, TGI from 2.4, SGLang, llama.cpp and many more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sagewire.content_handlers.base import Capabilities, ContentHandler, EventReader, JsonHandler, Request
from sagewire.content_handlers.openai.events import ChatEventReader, read_chat_reply
from sagewire.content_handlers.openai.messages import (
    openai_messages,
    openai_tool_choice,
    openai_tools,
)
from sagewire.content_handlers.openai.plain_replies import plain_reply
from sagewire.content_handlers.sampling import GENERATE_SETTINGS
from sagewire.types import ChatRequest, Delta, Reply

__all__ = ["CHAT_NAMES", "OpenAiChatHandler", "route_parameters"]

CHAT_NAMES = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "n",
    "logprobs",
    "top_logprobs",
    "response_format",
    "reasoning_effort",
    "model",
    "adapter",
)


class OpenAiChatHandler(JsonHandler):
    """OpenAI chat completions with the extensions vLLM made common (`top_k`, `min_p`, `repetition_penalty`).

    `model` is left out unless an option names one: a SageMaker endpoint serves one model, vLLM takes an absent name
    as the base model, and answers 404 to an unknown one. An adapter goes into `model`, as vLLM expects it.

    Args:
        thinking_field: Send an assistant's earlier reasoning back under this name (`reasoning_content`, or `reasoning`
            for vLLM from 0.12). `None` leaves it out.
        route: For containers that take `route=/v1/...` as a custom attribute (vLLM images): the route.

    Example:
        >>> from sagewire.types import ChatRequest, Message
        >>> OpenAiChatHandler().transform_input(ChatRequest((Message("user", "Hi"),)))
        b'{"messages":[{"role":"user","content":"Hi"}]}'
    """

    name = "openai_chat"
    speaks = "messages"
    path = "/v1/chat/completions"
    can = Capabilities(
        tools=True,
        tool_choice=True,
        parallel_tool_calls=True,
        images=True,
        media=True,
        usage=True,
        logprobs=True,
        n=True,
        response_format=True,
    )
    option_names: Mapping[str, str] = {name: name for name in CHAT_NAMES}
    takes_extra = True
    ignores = GENERATE_SETTINGS
    passes_message_fields = True

    def __init__(self, *, thinking_field: str | None = None, route: str | None = None) -> None:
        self.thinking_field = thinking_field
        self.route = route

    def payload(self, request: ChatRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        payload: dict[str, Any] = {"messages": self.messages(request)}
        if request.tools:
            payload["tools"] = openai_tools(request.tools)
            if request.parallel_tool_calls is not None:
                payload["parallel_tool_calls"] = request.parallel_tool_calls
            if request.tool_choice is not None:
                payload["tool_choice"] = openai_tool_choice(request.tool_choice)
        if request.stream:
            payload["stream"] = True
            if request.include_usage:
                payload["stream_options"] = {"include_usage": True}
        payload.update(self.settings(request))
        return payload

    def messages(self, request: ChatRequest) -> list[dict[str, Any]]:
        """Return the conversation as this wire writes it."""
        return openai_messages(request.messages, thinking_field=self.thinking_field)

    def settings(self, request: ChatRequest) -> dict[str, Any]:
        """Return the options as this wire names them."""
        options = request.options
        if options.adapter is None:
            settings = self.named_options(options)
        else:
            settings = self.named_options(replace(options, adapter=None))
            settings.update(self.adapter_fields(options.model, options.adapter))
        if settings.get("top_logprobs") is not None and "logprobs" not in settings:
            # OpenAI and vLLM refuse alternatives without `logprobs`.
            settings["logprobs"] = True
        return settings

    def adapter_fields(self, model: str | None, adapter: str) -> Mapping[str, Any]:
        """Return the fields that select a LoRA adapter."""
        return {"model": adapter}

    def parameters(self, request: Request, /) -> Mapping[str, str]:
        """Return the `route=` custom attribute if a route is set."""
        return route_parameters(self.route) if self.route else {}

    def read_reply(self, payload: Any, /) -> Iterable[Delta]:
        """Return the deltas of a whole response."""
        return read_chat_reply(payload)

    def plain_reply(self, payload: Any, /) -> Reply | None:
        """Return the reply if it is one text, unless a subclass reads answers in its own way."""
        own = type(self)
        if own.read_reply is OpenAiChatHandler.read_reply and own.read_error is ContentHandler.read_error:
            return plain_reply(payload)
        return None

    def event_reader(self) -> EventReader:
        """Return a fresh reader for one stream's events."""
        return ChatEventReader()


def route_parameters(route: str | None) -> Mapping[str, str]:
    """Return the InvokeEndpoint parameters that make AWS's vLLM images serve another path than their default."""
    return {"CustomAttributes": f"route={route}"} if route else {}
