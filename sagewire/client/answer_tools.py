"""Tools and a schema for the answer in one request.

A server that is given both holds the whole answer to the schema (vLLM), so no tool can be called, or refuses the pair
(TGI, llama.cpp). So the schema becomes its own tool, one of the tools has to be called, and a call of that one is
handed on as the text of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sagewire.content_handlers.base import ContentHandler
from sagewire.streaming.base import BaseDecoder
from sagewire.types import ChatRequest, Delta, FinishDelta, TextDelta, Tool, ToolCallDelta
from sagewire.types.openai_shape import function_name

__all__ = ["AnswerFromCall", "with_answer_tool"]

_TOLD = "Give the final answer. Call this when no other function is needed any more."


def with_answer_tool(chat: ChatRequest, handler: ContentHandler) -> tuple[ChatRequest, str]:
    """Return a request in which the schema of the answer is a tool, and that tool's name.

    Returns:
        The request as it is and an empty name, unless tools and a schema are both asked for and the model is free to
        choose.
    """
    wanted = chat.options.response_format
    free = chat.tools and chat.tool_choice in (None, "auto")
    # If the container takes text, a call is forced through its schema option.
    forces = handler.can.response_format and (handler.can.tool_choice or handler.speaks == "prompt")
    if not (wanted and free and forces):
        return chat, ""
    tool = _answer_tool(wanted, {tool.name for tool in chat.tools})
    if tool is None:
        return chat, ""
    options = replace(chat.options, response_format=None)
    return replace(chat, tools=(*chat.tools, tool), tool_choice="required", options=options), tool.name


def _answer_tool(response_format: Mapping[str, Any], taken: set[str]) -> Tool | None:
    described: Mapping[str, Any] = {}
    if response_format.get("type") == "json_schema":
        described = response_format.get("json_schema") or {}
    elif response_format.get("type") != "json_object":
        return None
    schema = described.get("schema") or {"type": "object"}
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object":
        # Arguments are an object; anything else cannot be the answer by way of them.
        return None
    name = function_name(str(described.get("name") or "answer"))
    while name in taken:
        name += "_answer"
    return Tool(name, " ".join(filter(None, (_TOLD, described.get("description")))), schema)


class AnswerFromCall(BaseDecoder[Delta, Delta]):
    """A stage that hands on the arguments of a call of the answer's tool as the answer's text.

    Args:
        name: The tool's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._answers: set[tuple[int, int]] = set()
        self._calls: set[int] = set()

    def _decode(self, delta: Delta, out: list[Delta]) -> None:
        if isinstance(delta, ToolCallDelta):
            key = (delta.choice, delta.index)
            if delta.name == self._name:
                self._answers.add(key)
            if key in self._answers:
                if delta.arguments:
                    out.append(TextDelta(delta.arguments, delta.choice))
                return
            self._calls.add(delta.choice)
        elif isinstance(delta, FinishDelta) and delta.reason == "tool_calls" and delta.choice not in self._calls:
            delta = replace(delta, reason="stop")
        out.append(delta)
