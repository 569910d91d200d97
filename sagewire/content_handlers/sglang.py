"""SGLang's OpenAI chat wire; its `/invocations` takes nothing else (sglang srt/entrypoints/http_server.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.content_handlers.openai_chat import OpenAiChatHandler

__all__ = ["SglangHandler"]

# srt/entrypoints/openai/protocol.py, DEFAULT_MODEL_NAME
_DEFAULT_MODEL = "default"


class SglangHandler(OpenAiChatHandler):
    """SGLang: OpenAI chat, where an adapter is selected as `model:adapter`."""

    name = "sglang"

    def adapter_fields(self, model: str | None, adapter: str) -> Mapping[str, Any]:
        """Return `model` with the adapter behind a colon."""
        return {"model": f"{model or _DEFAULT_MODEL}:{adapter}"}
