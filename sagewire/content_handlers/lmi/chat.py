"""The chat wire of AWS's Large Model Inference containers: OpenAI's, streamed as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.content_handlers.openai.chat import OpenAiChatHandler

__all__ = ["LmiChatHandler"]


class LmiChatHandler(OpenAiChatHandler):
    """LMI's `messages` wire, rolling batch and async.

    Rolling batch (up to LMI 16) sends no token counts in streams and supports neither tools nor several answers; the
    container reports this itself. An adapter goes into `adapters`.
    """

    name = "lmi_chat"

    def adapter_fields(self, model: str | None, adapter: str) -> Mapping[str, Any]:
        """Return the field in which DJL serving looks for the adapter."""
        return {"adapters": adapter}
