"""Customised Amazon Nova models and AI21's Jamba: OpenAI's chat wire with shorter lists of settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import orjson

from sagewire.emulator.dialects.base import Container
from sagewire.emulator.dialects.openai_request import BadRequest, Settings
from sagewire.emulator.dialects.openai_response import Style
from sagewire.emulator.dialects.vllm import Vllm
from sagewire.emulator.http_values import Request, Response

__all__ = ["Jamba", "Nova"]


class Nova(Vllm):
    """Nova: vLLM's parameter names, no tools (nova2-userguide, nova-sagemaker-inference-api-reference)."""

    image = "708977205387.dkr.ecr.{region}.amazonaws.com/nova-inference-repo:SM-Inference-latest"
    environment: ClassVar[Mapping[str, str]] = {
        "CONTEXT_LENGTH": "8192",
        "MAX_CONCURRENCY": "8",
        "DEFAULT_TEMPERATURE": "0.7",
        "DEFAULT_MAX_NEW_TOKENS": "1024",
    }
    model_id = "amazon/nova-lite-custom"
    window_name = "CONTEXT_LENGTH"

    def _chat(self, body: Any, container: Container) -> Response:
        if isinstance(body, dict) and body.get("tools"):
            raise BadRequest("tools are not supported", "tools", shape=False)
        return super()._chat(body, container)

    def knows_model(self, model: str, container: Container) -> bool:
        """Return whether a model name is served: there is one, and its name is not looked at."""
        return True

    def reasoning_fields(self, container: Container) -> tuple[str, ...]:
        """Return the names of the reasoning field."""
        return ("reasoning_content",)


class Jamba(Vllm):
    """Jamba 1.5: it streams on the streaming API whatever the body says (the vendor's notebook never asks)."""

    model_package = "jamba-1-5-mini-v20241104"
    image = ""
    environment: ClassVar[Mapping[str, str]] = {}
    model_id = "jamba-1.5-mini"
    window_name = "MAX_CONTEXT"

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer `/invocations`: chat completions, without a content type, too."""
        if request.headers.get("x-amzn-sagemaker-forwarded-api") == "InvokeEndpointWithResponseStream":
            try:
                document = orjson.loads(request.body)
                request = replace(request, body=orjson.dumps({"stream": True} | document))
            except (orjson.JSONDecodeError, TypeError):
                pass
        return self.chat(request, container)

    def knows_model(self, model: str, container: Container) -> bool:
        """Return whether a model name is served: it is not looked at."""
        return True

    def auto_tools(self, container: Container) -> bool:
        """Return whether the server reads tool calls."""
        return True

    def style(self, container: Container, settings: Settings) -> Style:
        """Return how this server writes its answers."""
        return replace(super().style(container, settings), stop_field="", message_extra={})
