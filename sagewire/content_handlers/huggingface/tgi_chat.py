"""TGI's chat wire: OpenAI's, with the differences of text-generation-inference router/src/{chat,lib}.rs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sagewire.content_handlers.base import Capabilities
from sagewire.content_handlers.grammar import json_grammar
from sagewire.content_handlers.openai.chat import OpenAiChatHandler
from sagewire.content_handlers.openai.messages import openai_messages
from sagewire.errors import UnsupportedFeature
from sagewire.types import ChatRequest, Message, TextPart

__all__ = ["TgiChatHandler"]

_NAMES = (
    "max_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "response_format",
    "adapter",
)


class TgiChatHandler(OpenAiChatHandler):
    """TGI's `messages` wire (1.4 to 2.3 with `MESSAGES_API_ENABLED=true`, always from 2.4).

    `model` is always `tgi`: releases before 2 require the field, later ones take any other name for an adapter's.
    TGI refuses `top_p=1`, which is left out, and cannot combine `response_format` with tools.
    """

    name = "tgi_chat"
    can = Capabilities(
        tools=True, tool_choice=True, images=True, usage=True, logprobs=True, response_format=True, max_stops=4
    )
    option_names: Mapping[str, str] = {name: name for name in _NAMES}

    def settings(self, request: ChatRequest) -> dict[str, Any]:
        """Return the options as TGI names them."""
        response_format = request.options.response_format
        if response_format is not None and request.tools:
            raise UnsupportedFeature("tools together with response_format", f"handler '{self.name}'")
        settings = {"model": "tgi", **super().settings(request)}
        if response_format is not None and settings.get("response_format") == response_format:
            # OpenAI's {"json_schema": {"schema": ...}} is unknown here; the schema goes into `value`.
            grammar = json_grammar(response_format, self.name)
            settings.pop("response_format")
            settings.update({"response_format": grammar} if grammar else {})
        top_p = settings.get("top_p")
        if isinstance(top_p, int | float) and top_p >= 1:
            del settings["top_p"]
        stops = settings.get("stop")
        if stops:
            # A single string is a 422 here; more than four are too, and sagewire enforces the others.
            settings["stop"] = [stops] if isinstance(stops, str) else stops[: self.can.max_stops]
        return settings

    def messages(self, request: ChatRequest) -> list[dict[str, Any]]:
        """Return the conversation; a turn with both text and tool calls becomes two.

        TGI reads a message either as text or as tool calls, and drops the calls of one that has both.
        """
        turns: list[Message] = []
        for message in request.messages:
            if message.tool_calls and message.content:
                turns.append(replace(message, tool_calls=()))
                message = replace(message, content="")
            if not isinstance(message.content, str) and all(isinstance(part, TextPart) for part in message.content):
                # Releases before 2.2 take text only; later ones put the parts together like this.
                message = replace(message, content=message.text)
            turns.append(message)
        return openai_messages(turns, thinking_field=self.thinking_field)
