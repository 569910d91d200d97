"""The OpenAI wires of llama.cpp's server; AWS's llama.cpp image puts the chat wire behind `/invocations`.

Source: llama.cpp tools/server/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sagewire.content_handlers.base import Capabilities
from sagewire.content_handlers.grammar import json_schema_of
from sagewire.content_handlers.openai.chat import OpenAiChatHandler
from sagewire.content_handlers.openai.completions import OpenAiCompletionsHandler
from sagewire.types import ChatRequest, PromptRequest

__all__ = ["LlamaCppCompletionsHandler", "LlamaCppHandler"]

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


_NO_TOOLS = (
    "The model's chat template does not write them (see /props): start the server with a template that has "
    "(--chat-template-file), or name a prompt format that writes them, for example format='hermes_3'."
)


class LlamaCppHandler(OpenAiChatHandler):
    """llama.cpp's server: OpenAI chat with its own samplers, one answer per request.

    The reply's `extra` holds the server's `timings`.

    Args:
        tools: The model's chat template writes tools. If it does not, the server leaves them out silently.
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

    def __init__(self, *, tools: bool = True) -> None:
        super().__init__()
        if not tools:
            self.can = replace(self.can, tools=False, tool_choice=False, parallel_tool_calls=False)
            self.cures = {**self.cures, "tools": _NO_TOOLS}

    def settings(self, request: ChatRequest) -> dict[str, Any]:
        """Return the options as llama.cpp names them; it hands the reasoning effort to the chat template."""
        settings = super().settings(request)
        effort = settings.pop("reasoning_effort", None)
        if effort is not None:
            template = settings.get("chat_template_kwargs") or {}
            settings["chat_template_kwargs"] = {"reasoning_effort": effort, **template}
        return settings


class LlamaCppCompletionsHandler(OpenAiCompletionsHandler):
    """llama.cpp's completions route, which has its own field for JSON schemas and ignores `response_format`.

    Args:
        adds_bos: Whether the tokenizer adds the beginning-of-text token. The model's file says so (`add_bos_token`);
            discovery asks the server.
    """

    name = "llamacpp_completions"
    can = Capabilities(usage=True, logprobs=True, response_format=True)
    option_names: Mapping[str, str] = {
        **{name: name for name in _NAMES if name != "response_format"},
        "repetition_penalty": "repeat_penalty",
        "response_format": "json_schema",
    }

    def __init__(self, *, adds_bos: bool = True) -> None:
        super().__init__()
        self.adds_bos = adds_bos

    def payload(self, request: PromptRequest, /) -> Mapping[str, Any]:
        """Return the request as a JSON object."""
        payload = dict(super().payload(request))
        wanted = request.options.response_format
        if wanted is not None and payload.get("json_schema") == wanted:
            schema = json_schema_of(wanted, self.name)
            payload.pop("json_schema")
            payload |= {} if schema is None else {"json_schema": schema}
        payload.pop("skip_special_tokens", None)
        if self.markers:
            # Control tokens that are not listed are left out of the answer.
            payload["preserved_tokens"] = list(self.markers)
        return payload
