"""Mistral models behind an OpenAI chat server: the ids of tool calls must be nine letters and digits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from sagewire.content_handlers.openai.chat import OpenAiChatHandler
from sagewire.types import ChatRequest

__all__ = ["MistralHandler"]

_GOOD_ID = re.compile(r"[A-Za-z0-9]{9}")


class MistralHandler(OpenAiChatHandler):
    """OpenAI chat for Mistral and Pixtral models.

    Their chat templates refuse a tool call whose id is not exactly nine letters and digits. Ids of another form, from
    another model earlier in the conversation, are replaced in the call and in its result alike.
    """

    name = "mistral"

    def messages(self, request: ChatRequest) -> list[dict[str, Any]]:
        """Return the conversation with ids the template takes."""
        messages = super().messages(request)
        for message in messages:
            if "tool_call_id" in message:
                message["tool_call_id"] = _nine(message["tool_call_id"])
            calls: list[Mapping[str, Any]] = message.get("tool_calls", [])
            if calls:
                message["tool_calls"] = [{**call, "id": _nine(call["id"])} for call in calls]
        return messages


def _nine(call_id: str) -> str:
    if _GOOD_ID.fullmatch(call_id):
        return call_id
    return hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:9]
