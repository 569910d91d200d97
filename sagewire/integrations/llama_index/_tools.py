"""Tools on their way out, and tool calls on their way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool
from pydantic_core import from_json

from sagewire.errors import WireError, excerpt
from sagewire.integrations.llama_index._blocks import tool_calls_in
from sagewire.types import ToolCall, parse_arguments

__all__ = ["conversation", "finish_reason", "openai_tools", "partial_object", "tool_selections"]


def openai_tools(tools: Iterable[BaseTool], strict: bool | None = None) -> list[dict[str, Any]]:
    """Return the tools' definitions in OpenAI's shape."""
    definitions = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
    if strict is None:
        return definitions
    return [{**each, "function": {**each["function"], "strict": strict}} for each in definitions]


def conversation(user_msg: str | ChatMessage | None, chat_history: Sequence[ChatMessage] | None) -> list[ChatMessage]:
    """Return history and new message as a new list: the caller's own history does not grow."""
    messages = list(chat_history or ())
    if isinstance(user_msg, str):
        user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
    return messages if user_msg is None else [*messages, user_msg]


def tool_selections(response: ChatResponse) -> list[ToolSelection]:
    """Return the calls in a response, whole or still being streamed.

    Raises:
        WireError: The answer was cut off inside a call's arguments: running the tool with half of them would be worse.
    """
    finish = finish_reason(response.raw)
    return [_selection(call, finish) for call in tool_calls_in(response.message)]


def partial_object(text: str) -> dict[str, Any]:
    """Return as much of a JSON object as its beginning tells, an unfinished string included.

    Example:
        >>> partial_object('{"city": "Par')
        {'city': 'Par'}
    """
    try:
        value = from_json(text, allow_partial="trailing-strings")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _selection(call: ToolCall, finish: str | None) -> ToolSelection:
    given = partial_object(call.arguments) if finish is None else _whole_object(call, finish)
    return ToolSelection(tool_id=call.id, tool_name=call.name, tool_kwargs=given)


def _whole_object(call: ToolCall, finish: str) -> dict[str, Any]:
    try:
        return parse_arguments(call.arguments)
    except ValueError as error:
        if finish != "length":
            # No tool takes this: it answers with an error, which the model reads and an agent goes on from.
            return {"invalid_json": call.arguments}
        raise WireError(
            f"the call of tool '{call.name}' was cut off at the answer's length limit ({error}); allow more with "
            f"max_tokens. It begins: {excerpt(call.arguments)}"
        ) from None


def finish_reason(raw: Any) -> str | None:
    """Return the finish reason of a complete answer of ours; `None` for a piece of a stream or a foreign response."""
    choices = raw.get("choices") if isinstance(raw, Mapping) else None
    return choices[0].get("finish_reason") if choices else None
