"""Replies as objects of OpenAI's Responses API."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sagewire.openai_shapes.answers import chat_logprobs, new_id
from sagewire.types import Choice, Reply, Usage

__all__ = ["ended", "message_item", "reasoning_item", "response_object", "tool_call_item"]

JSON = dict[str, Any]


def response_object(
    reply: Reply,
    body: Mapping[str, Any],
    *,
    model: str,
    id: str | None = None,
    created: int | None = None,
    stored: bool = False,
) -> JSON:
    """Return a reply as a `response` object.

    Args:
        reply: The answer; the API has one choice only.
        body: The request, whose settings the object repeats.
        model: The name under which it was asked for.
        id: The object's id; else a fresh one.
        created: Seconds since the epoch; else now.
        stored: Later requests can refer to it.
    """
    choice = reply.choices[0]
    response = begun(body, model=model, id=id or _id("resp"), created=created, stored=stored)
    return response | ended(choice, _output(choice), reply.usage)


def begun(body: Mapping[str, Any], *, model: str, id: str, created: int | None = None, stored: bool = False) -> JSON:
    """Return the `response` object of an answer that has not begun."""
    text = body.get("text")
    return {
        "id": id,
        "object": "response",
        "created_at": int(time.time()) if created is None else created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True) is not False,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
        "store": stored,
        "temperature": body.get("temperature"),
        "text": text if isinstance(text, Mapping) and text.get("format") else {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p"),
        "truncation": "disabled",
        "usage": None,
    }


def ended(choice: Choice, output: list[JSON], usage: Usage | None) -> JSON:
    """Return the fields that are known at an answer's end."""
    reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
    reason = reasons.get(choice.finish_reason or "")
    return {
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": None if usage is None else _usage(usage),
    }


def _output(choice: Choice) -> list[JSON]:
    output: list[JSON] = []
    if choice.thinking:
        output.append(reasoning_item(_id("rs"), choice.thinking))
    if choice.text or not choice.tool_calls:
        item = message_item(_id("msg"), choice.text)
        if choice.logprobs:
            item["content"][0]["logprobs"] = chat_logprobs(choice.logprobs)["content"]
        output.append(item)
    output += [tool_call_item(_id("fc"), call.id, call.name, call.arguments) for call in choice.tool_calls]
    return output


def reasoning_item(id: str, text: str, status: str = "completed") -> JSON:
    """Return reasoning as an output item."""
    content = [{"type": "reasoning_text", "text": text}] if text else []
    return {"id": id, "type": "reasoning", "summary": [], "content": content, "status": status}


def message_item(id: str, text: str, status: str = "completed") -> JSON:
    """Return answer text as an output item; without content while it is only beginning."""
    content = [text_part(text)] if status == "completed" else []
    return {"id": id, "type": "message", "role": "assistant", "status": status, "content": content}


def text_part(text: str) -> JSON:
    """Return text as a part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def tool_call_item(id: str, call_id: str, name: str, arguments: str, status: str = "completed") -> JSON:
    """Return a tool call as an output item."""
    return {
        "id": id, "type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, "status": status,
    }  # fmt: skip


def _usage(usage: Usage) -> JSON:
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens or 0, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": prompt + completion,
    }


def _id(prefix: str) -> str:
    return new_id(prefix).replace("-", "_")
