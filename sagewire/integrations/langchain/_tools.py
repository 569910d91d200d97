"""Tools, and what the model may or must do with them, as LangChain's many callers say it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

from sagewire.content_handlers.openai.messages import openai_tools
from sagewire.errors import UsageError, unknown_name
from sagewire.integrations.langchain._schemas import function_of
from sagewire.types import as_tool

__all__ = ["describe_tools", "tool_choice_name", "tool_name"]

_ANY = frozenset({"any", "required"})


def describe_tools(tools: Sequence[Any], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Return tools in OpenAI's form.

    Args:
        tools: Functions, LangChain tools, pydantic classes, TypedDicts, JSON schemas, or OpenAI's own form.
        strict: OpenAI's flag: the arguments must match the schema exactly.

    Raises:
        UsageError: A tool runs at some provider ("web_search"): your own container cannot run it.
    """
    return [_described(tool, strict) for tool in tools]


def _described(tool: Any, strict: bool | None) -> dict[str, Any]:
    if isinstance(tool, Mapping):
        if tool.get("type") not in (None, "function", "object", "custom"):
            raise UsageError(
                f"a tool of type {tool['type']!r} runs at a provider; a self-hosted model has function tools only"
            )
        if tool.get("type") == "custom" or {"inputSchema", "input_schema"} & tool.keys():
            # Of MCP and Anthropic; LangChain's conversion loses the schema of the one.
            return {"type": "function", "function": _with_strict(openai_tools([as_tool(tool)])[0]["function"], strict)}
    is_class = isinstance(tool, type) and issubclass(tool, BaseModel)
    if is_class or isinstance(tool, BaseTool) or inspect.isroutine(tool):
        return {"type": "function", "function": function_of(tool, strict)}
    found = convert_to_openai_tool(tool, strict=strict)
    if found.get("type") != "function":
        raise UsageError(
            f"a tool of type {found.get('type')!r} runs at a provider; a self-hosted model has function tools only"
        )
    return found


def _with_strict(function: Mapping[str, Any], strict: bool | None) -> dict[str, Any]:
    return dict(function) if strict is None else {**function, "strict": strict}


def tool_name(tool: Mapping[str, Any]) -> str:
    """Return the name of a tool in OpenAI's form."""
    return str(tool["function"]["name"])


def tool_choice_name(choice: Any, tools: Sequence[Mapping[str, Any]]) -> str | None:
    """Return `auto`, `none`, `required`, a tool's name, or `None` if nothing is set.

    Args:
        choice: A word (`any` is LangChain's for `required`), a tool's name, OpenAI's or Anthropic's mapping, or a
            boolean; `True` means that some tool must be called.
        tools: The tools on offer.

    Raises:
        UsageError: It names a tool that the request lacks, or asks for one without any tools.
    """
    if choice is None or choice is False:
        return None
    if isinstance(choice, Mapping):
        choice = _named(choice)
    if choice is True or choice in _ANY:
        if not tools:
            raise UsageError("tool_choice asks for a tool call, but the request has no tools")
        return "required"
    names = [tool_name(tool) for tool in tools]
    if choice in names or choice in ("auto", "none"):
        return str(choice)
    raise UsageError(unknown_name(str(choice), [*names, "any", "auto", "none", "required"], "tool choice"))


def _named(choice: Mapping[str, Any]) -> Any:
    function = choice.get("function")
    name = function.get("name") if isinstance(function, Mapping) else choice.get("name")
    # Without a name it is Anthropic's {"type": "any"} or {"type": "auto"}.
    return name if name else choice.get("type")
