"""AWS's llama.cpp image: nginx puts `/invocations` on llama-server's chat completions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from sagewire.emulator.dialects.base import Container, Route
from sagewire.emulator.dialects.openai_request import Settings
from sagewire.emulator.dialects.openai_response import Style
from sagewire.emulator.dialects.vllm import Vllm
from sagewire.emulator.engines.base import EngineFailure
from sagewire.emulator.http_values import Request, Response, json_response

__all__ = ["LlamaCpp"]

_KINDS = {400: "invalid_request_error", 404: "not_found_error", 500: "server_error", 503: "unavailable_error"}


class LlamaCpp(Vllm):
    """llama.cpp: chat only on `/invocations`, errors with the code first, one answer per request."""

    image = "763104351884.dkr.ecr.{region}.amazonaws.com/huggingface-llamacpp:b6999-gpu-py312-cu129-ubuntu22.04"
    environment: ClassVar[Mapping[str, str]] = {"HF_MODEL_ID": "{model_id}", "SM_LLAMA_CPP_CTX_SIZE": "8192"}
    model_id = "unsloth/Qwen3-4B-GGUF"
    window_name = "SM_LLAMA_CPP_CTX_SIZE"

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the server's routes."""
        routes = dict(super().routes(container))
        routes[("GET", "/health")] = lambda request, box: json_response(200, {"status": "ok"})
        routes[("GET", "/props")] = lambda request, box: json_response(
            200, {"model_path": box.model_id, "total_slots": 4}
        )
        return routes

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer `/invocations`: chat completions."""
        return self.chat(request, container)

    def error(self, status: int, message: str, param: str | None = None, kind: str | None = None) -> Response:
        """Return llama-server's error."""
        body = {"code": status, "message": message, "type": _KINDS.get(status, "invalid_request_error")}
        return json_response(status, {"error": body})

    def stream_error(self, failure: EngineFailure) -> dict[str, Any]:
        """Return the event of a failure inside a stream."""
        return {"error": {"code": failure.status, "message": failure.message, "type": "server_error"}}

    def knows_model(self, model: str, container: Container) -> bool:
        """Return whether a model name is served: the server ignores it."""
        return True

    def auto_tools(self, container: Container) -> bool:
        """Return whether the server reads tool calls: with its own templates it always does."""
        return True

    def reasoning_fields(self, container: Container) -> tuple[str, ...]:
        """Return the name of the reasoning field."""
        return ("reasoning_content",)

    def style(self, container: Container, settings: Settings) -> Style:
        """Return how this server writes its answers."""
        return replace(
            super().style(container, settings),
            model=self.served_name(container),
            stop_field="",
            message_extra={},
            extra={},
        )

    def stream(self, chunks: Iterator[dict[str, Any]]) -> Response:
        """Return a streamed answer; its last chunk has the timings."""
        return super().stream(_with_timings(chunks))


def _with_timings(chunks: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for chunk in chunks:
        finished = any(choice.get("finish_reason") for choice in chunk["choices"])
        yield chunk | {"timings": {"prompt_n": 0, "predicted_n": 0}} if finished else chunk
