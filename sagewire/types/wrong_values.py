"""Values that are not messages, parts or tools: what was given, and how to write it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_args

from sagewire.errors import UsageError, close_names
from sagewire.types.conversation import ImagePart, Message, Role, Tool

__all__ = [
    "A_MESSAGE",
    "A_TOOL",
    "check_image",
    "check_tool",
    "not_messages",
    "shown_message",
    "shown_tool",
    "unknown_role",
    "wrong_content",
]

A_MESSAGE = "{'role': 'user', 'content': 'Hi'}"
A_TOOL = "{'type': 'function', 'function': {'name': ..., 'description': ..., 'parameters': {...}}}"
_ROLES = get_args(Role)
_ROLES_OF_OTHERS = {
    "human": "user",
    "ai": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
}
_HOMES = {
    "langchain_core": "its messages go to sagewire.integrations.langchain.ChatSagemakerEndpoint",
    "llama_index": "its messages go to sagewire.integrations.llama_index.SageMakerLLM",
    "openai": "give message.model_dump(exclude_none=True)",
}


def not_messages(value: object) -> bool:
    """Return whether an iterable object is something else than a collection of messages."""
    return isinstance(value, type) or hasattr(value, "choices") or _home(value) != ""


def _home(value: object) -> str:
    package = type(value).__module__.partition(".")[0]
    return _HOMES.get(package, "")


def shown_message(value: object) -> str:
    """Return what was given instead of a message, and what to write."""
    kind = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"a string: write [{{'role': 'user', 'content': {value!r:.60}}}], or give the text alone"
    if isinstance(value, bytes):
        return "bytes: decode them, data.decode()"
    if isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(part, str) for part in value):
        role, text = value
        role = _ROLES_OF_OTHERS.get(role, role)
        return f"a {kind}: write {{'role': {role!r:.20}, 'content': {text!r:.60}}}"
    if isinstance(value, type):
        return f"the class {value.__name__}: make an object of it, or write {A_MESSAGE}"
    if hasattr(value, "choices") and hasattr(value, "finish_reason"):
        return f"a {kind}: reply.message is the answer as a message"
    home = _home(value)
    return f"{kind}: {home}" if home else f"{kind}: {value!r:.60}"


def unknown_role(role: object, message: Mapping[str, Any] | Message) -> UsageError:
    """Return the error for a role that does not exist."""
    if role is None:
        return UsageError(f"a message needs a role and a content: {A_MESSAGE}, got {message!r:.100}")
    name = str(role).strip().lower()
    meant = _ROLES_OF_OTHERS.get(name) or next(iter(close_names(name, _ROLES, 1)), "")
    if not meant and isinstance(message, Message) and not message.content:
        return UsageError(f"Message({role!r:.60}) has no role; write Message('user', {role!r:.60})")
    hint = f"; did you mean {meant!r}?" if meant else f". Known: {', '.join((*_ROLES, 'developer', 'function'))}"
    return UsageError(f"unknown role {role!r:.60}{hint}")


def wrong_content(content: object) -> UsageError:
    """Return the error for the content of a message that is neither text nor parts."""
    return UsageError(f"message content must be text or a list of parts, not {type(content).__name__}: {content!r:.60}")


def check_image(image: ImagePart) -> None:
    """Raise `UsageError` if an image is a path, empty, or text where bytes belong."""
    if not isinstance(image.url, str) or not isinstance(image.data, bytes | bytearray | memoryview):
        wrong = image.data if isinstance(image.url, str) else image.url
        raise UsageError(f"ImagePart takes a URL as a string, or data= as bytes, not {type(wrong).__name__}")
    if not image.url and not image.data:
        raise UsageError("ImagePart is empty: give a URL, or data= with the bytes of the file")
    if image.url and ":" not in image.url:
        raise UsageError(
            f"ImagePart({image.url!r:.60}) is not a URL; for a file write "
            f"ImagePart(data=pathlib.Path({image.url!r:.60}).read_bytes(), media_type='image/png')"
        )


def shown_tool(value: object) -> str:
    """Return what was given instead of a tool or of a list of tools, and what to write."""
    if isinstance(value, Tool):
        return "a Tool: put it into a list, tools=[tool]"
    if isinstance(value, Mapping):
        return "a mapping: put it into a list, tools=[{...}]"
    if isinstance(value, type):
        name = value.__name__
        if value is Tool:
            return "the class Tool: make an object of it, Tool('name', 'description', {...})"
        schema = f"{name}.model_json_schema()" if hasattr(value, "model_json_schema") else "{...}"
        return f"a class: describe it, tools=[Tool({name!r}, {(inspect.getdoc(value) or '')[:40]!r}, {schema})]"
    if callable(value):
        name = getattr(value, "__name__", type(value).__name__)
        text = (inspect.getdoc(value) or "").partition("\n")[0][:40]
        return (
            f"a function: describe it, tools=[Tool({name!r}, {text!r}, {{...}})] with the JSON schema of its "
            "arguments, and call it yourself for each of reply.tool_calls"
        )
    return f"{type(value).__name__}: {value!r:.60}"


def check_tool(tool: Tool) -> None:
    """Raise `UsageError` if a field of a tool has the wrong type."""
    if not (isinstance(tool.name, str) and tool.name):
        raise UsageError(f"a tool needs a name, not {tool.name!r:.60}: Tool('name', 'description', {{...}})")
    if not isinstance(tool.description, str) or not isinstance(tool.parameters, Mapping):
        raise UsageError(
            f"Tool({tool.name!r}, ...) takes a description and a JSON schema, Tool('name', 'text', {{...}}), not "
            f"{type(tool.description).__name__} and {type(tool.parameters).__name__}"
        )
