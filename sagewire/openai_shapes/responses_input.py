"""Bodies of OpenAI's Responses API as the arguments of `Client.chat`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sagewire.openai_shapes.arguments import chat_arguments, served_tools
from sagewire.openai_shapes.fields import BadRequest, Fields
from sagewire.types.content.left_out import say_left_out
from sagewire.types.openai_shape import is_function, not_a_function

__all__ = ["response_arguments"]

JSON = dict[str, Any]
# What needs a store of earlier answers, or tools that run on OpenAI's side.
_IMPOSSIBLE = {
    "previous_response_id": "answers are not stored here: send the whole conversation in 'input', and 'store': false",
    "conversation": "conversations are not kept here: send the whole conversation in 'input'",
    "prompt": "prompts are not kept here: send the text in 'instructions' and 'input'",
    "background": "background answers do not exist here: leave it out and stream",
}
# No part of an answer depends on these: nothing is stored, cut or encrypted here.
_BOOKKEEPING = ("store", "truncation", "max_tool_calls", "stream_options")
# Items of earlier answers of OpenAI's own platform: the text that follows them tells what came of them.
_RUN_BY_OPENAI = frozenset(
    {
        *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "computer_call"),
        *("computer_call_output", "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output"),
        *("apply_patch_call", "apply_patch_call_output", "mcp_list_tools", "mcp_call", "mcp_approval_request"),
        *("mcp_approval_response", "tool_search_call", "tool_search_output", "compaction"),
    }
)
_INCLUDABLE = ("message.output_text.logprobs", "reasoning.encrypted_content")


def response_arguments(body: Mapping[str, Any], skipped: list[str] | None = None) -> JSON:
    """Return the keyword arguments of `Client.chat` for a body of `/v1/responses`; `model` is left to the caller.

    Args:
        body: The body.
        skipped: Gets the types of tools that are not functions, which are then left out; without it they are an error.

    Raises:
        BadRequest: A field has the wrong type, or asks for what only OpenAI's platform has.

    Example:
        >>> response_arguments({"model": "m", "input": "Hi", "instructions": "Be kind.", "max_output_tokens": 5})
        {'messages': (Message(role='system', content='Be kind.'), Message(role='user', content='Hi')), 'max_tokens': 5}
    """
    fields = Fields(body)
    for name, cure in _IMPOSSIBLE.items():
        if fields.take(name):
            raise BadRequest(f"{name!r} is not supported; {cure}", name)
    for name in _BOOKKEEPING:
        fields.take(name)
    instructions = fields.text("instructions")
    tools, choice = served_tools(fields.items("tools") or [], fields.take("tool_choice"), skipped)
    chat: JSON = {
        "messages": [
            *([{"role": "system", "content": instructions}] if instructions else []),
            *_messages(fields.take("input")),
        ],
        "max_tokens": fields.take("max_output_tokens"),
        "tools": [_tool(tool) for tool in tools],
        "tool_choice": choice,
        "response_format": _response_format(fields.object("text")),
        "reasoning_effort": (fields.object("reasoning") or {}).get("effort"),
        "logprobs": _wants_logprobs(fields),
    }
    return chat_arguments({**fields.rest(), **{name: value for name, value in chat.items() if value is not None}})


def _messages(value: Any) -> list[JSON]:
    if isinstance(value, str) and value:
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise BadRequest("'input' must be a text, or an array of messages and tool results", "input")
    messages: list[JSON] = []
    for item in value:
        _add(messages, item)
    if len(messages) == 1 and messages[0].get("role") == "assistant" and not messages[0].get("content"):
        raise BadRequest("'input' holds nothing to answer", "input")
    return messages


def _add(messages: list[JSON], item: Any) -> None:
    kind = item.get("type", "message") if isinstance(item, Mapping) else None
    if kind == "message" and isinstance(item.get("role"), str):
        content = _content(item.get("content"))
        if item["role"] == "assistant":
            _assistant(messages, fresh="content")["content"] = content
        else:
            messages.append({"role": item["role"], "content": content})
    elif kind in ("function_call", "custom_tool_call"):
        arguments = item.get("arguments") or "{}"
        if kind == "custom_tool_call":
            # A tool of free text: the text is the one argument.
            arguments = json.dumps({"input": item.get("input")}, ensure_ascii=False)
        function = {"name": item.get("name"), "arguments": arguments}
        calls = _assistant(messages).setdefault("tool_calls", [])
        calls.append({"id": item.get("call_id"), "type": "function", "function": function})
    elif kind in ("function_call_output", "custom_tool_call_output"):
        output = _content(item.get("output"))
        messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": output})
    elif kind == "reasoning":
        thinking = _reasoning(item)
        if thinking:
            _assistant(messages, fresh="reasoning_content")["reasoning_content"] = thinking
    elif kind == "item_reference":
        raise BadRequest(
            "'input' refers to an earlier answer, and answers are not stored here: send the items themselves "
            "(Vercel's AI SDK: providerOptions: {openai: {store: false}})",
            "input",
        )
    elif isinstance(kind, str) and kind in _RUN_BY_OPENAI:
        say_left_out("items of a response that OpenAI's platform made", [kind])
    else:
        known = "message, function_call, function_call_output, reasoning"
        raise BadRequest(f"'input' holds an item of the unknown type {kind!r}; known: {known}", "input")


def _assistant(messages: list[JSON], fresh: str = "") -> JSON:
    """Return the assistant's turn that is being put together; its parts are separate items here.

    Args:
        messages: The conversation so far.
        fresh: What the turn must not have yet; a second text begins a second turn.
    """
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant" or (fresh and (last.get(fresh) or last.get("tool_calls"))):
        messages.append({"role": "assistant", "content": ""})
    return messages[-1]


def _reasoning(item: Mapping[str, Any]) -> str:
    parts = item.get("content") or item.get("summary") or []
    return "".join(part.get("text", "") for part in parts if isinstance(part, Mapping))


def _content(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, list):
        raise BadRequest("'content' must be a text or an array of parts", "input")
    parts = [_part(part) for part in value]
    # One run of text is what nearly every wire wants.
    return "".join(part["text"] for part in parts) if all(part["type"] == "text" for part in parts) else parts


def _part(part: Any) -> JSON:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in ("input_text", "output_text", "text") and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return {"type": "text", "text": part["refusal"]}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        image = {"url": part["image_url"]} | ({"detail": part["detail"]} if part.get("detail") else {})
        return {"type": "image_url", "image_url": image}
    if kind in ("input_file", "input_audio"):
        return dict(part)
    raise BadRequest(
        f"unknown part {kind!r}; known: input_text, output_text, input_image with image_url, input_file, input_audio",
        "input",
    )


def _tool(tool: Any) -> JSON:
    if not isinstance(tool, Mapping):
        raise BadRequest("a tool must be an object", "tools")
    if not is_function(tool):
        raise BadRequest(not_a_function(tool), "tools")
    if not isinstance(tool.get("name"), str):
        raise BadRequest("a tool of type 'function' needs a 'name' (beside 'type', not in 'function')", "tools")
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def _response_format(text: Mapping[str, Any] | None) -> JSON | None:
    wanted = (text or {}).get("format") or {}
    if not isinstance(wanted, Mapping):
        raise BadRequest("'text.format' must be an object", "text")
    if wanted.get("type") == "json_schema":
        return {"type": "json_schema", "json_schema": {key: item for key, item in wanted.items() if key != "type"}}
    return dict(wanted) or None


def _wants_logprobs(fields: Fields) -> bool | None:
    wanted: Iterable[Any] = fields.items("include") or ()
    for one in wanted:
        if one not in _INCLUDABLE:
            raise BadRequest(f"'include' knows {', '.join(_INCLUDABLE)} here, not {one!r}", "include")
    return True if "message.output_text.logprobs" in wanted or fields.rest().get("top_logprobs") else None
