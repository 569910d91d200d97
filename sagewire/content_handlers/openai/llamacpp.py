"""The OpenAI chat wire of llama.cpp's server, which AWS's llama.cpp image puts behind `/invocations`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.content_handlers.base import Capabilities
from sagewire.content_handlers.openai.chat import OpenAiChatHandler
from sagewire.types import ChatRequest

__all__ = ["LlamaCppHandler"]

_NAMES = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "response_format",
    "model",
)


class LlamaCppHandler(OpenAiChatHandler):
    """llama.cpp's server: OpenAI chat with its own samplers, one answer per request.

    The reply's `extra` holds the server's `timings`.
    """

    name = "llamacpp"
    can = Capabilities(
        tools=True,
        tool_choice=True,
        parallel_tool_calls=True,
        images=True,
        media=True,
        usage=True,
        logprobs=True,
        response_format=True,
    )
    option_names: Mapping[str, str] = {
        **{name: name for name in _NAMES},
        "repetition_penalty": "repeat_penalty",
        "reasoning_effort": "reasoning_effort",
    }
    cures: Mapping[str, str] = {
        "adapter": 'Adapters have numbers here: pass extra={"lora": [{"id": 0, "scale": 1.0}]}.'
    }

    def settings(self, request: ChatRequest) -> dict[str, Any]:
        """Return the options as llama.cpp names them; it hands the reasoning effort to the chat template."""
        settings = super().settings(request)
        effort = settings.pop("reasoning_effort", None)
        if effort is not None:
            template = settings.get("chat_template_kwargs") or {}
            settings["chat_template_kwargs"] = {"reasoning_effort": effort, **template}
        return settings
