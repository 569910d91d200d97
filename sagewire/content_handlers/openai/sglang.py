"""SGLang's OpenAI chat wire; its `/invocations` takes nothing else (sglang srt/entrypoints/http_server.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.content_handlers.openai.chat import OpenAiChatHandler
from sagewire.content_handlers.sampling import write_no_top_k
from sagewire.types import ChatRequest

__all__ = ["SglangHandler"]

# srt/entrypoints/openai/protocol.py, DEFAULT_MODEL_NAME
_DEFAULT_MODEL = "default"


class SglangHandler(OpenAiChatHandler):
    """SGLang: OpenAI chat that selects an adapter as `model:adapter`."""

    name = "sglang"

    def settings(self, request: ChatRequest) -> dict[str, Any]:
        """Return the options as SGLang takes them."""
        settings = super().settings(request)
        # srt/sampling/sampling_params.py refuses 0: "top_k must be -1 (disable) or at least 1".
        write_no_top_k(settings, -1)
        return settings

    def adapter_fields(self, model: str | None, adapter: str) -> Mapping[str, Any]:
        """Return `model` with the adapter behind a colon."""
        return {"model": f"{model or _DEFAULT_MODEL}:{adapter}"}
