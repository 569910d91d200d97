"""SGLang (`srt/entrypoints/{http_server.py,openai}`): chat on `/invocations`, and its own `/generate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from sagewire.emulator.dialects.base import Container, Route, begin, json_body, sse, streamed
from sagewire.emulator.dialects.openai_request import Settings
from sagewire.emulator.dialects.openai_response import Style
from sagewire.emulator.dialects.vllm import DONE, Vllm
from sagewire.emulator.engines.base import EngineFailure, Turn, sampling_of
from sagewire.emulator.generation import Generation, Token
from sagewire.emulator.http_values import Request, Response, json_response

__all__ = ["Sglang"]

JSON = dict[str, Any]


class Sglang(Vllm):
    """SGLang: like vLLM, but flat errors, `matched_stop`, and adapters as `model:adapter`."""

    image = "763104351884.dkr.ecr.{region}.amazonaws.com/sglang:0.5.5-gpu-py312-cu129-ubuntu22.04-sagemaker"
    environment: ClassVar[Mapping[str, str]] = {
        "SM_SGLANG_MODEL_PATH": "{model_id}",
        "SM_SGLANG_TOOL_CALL_PARSER": "qwen25",
        "SM_SGLANG_REASONING_PARSER": "qwen3",
        "SM_SGLANG_CONTEXT_LENGTH": "32768",
    }
    model_id = "Qwen/Qwen3-8B"
    window_name = "SM_SGLANG_CONTEXT_LENGTH"

    def routes(self, container: Container) -> Mapping[tuple[str, str], Route]:
        """Return the server's routes."""
        routes = dict(super().routes(container))
        routes[("POST", "/generate")] = self.generate
        routes[("GET", "/get_model_info")] = lambda request, box: json_response(200, {"model_path": box.model_id})
        return routes

    def invoke(self, request: Request, container: Container) -> Response:
        """Answer `/invocations`: chat completions only, so the real validation error is seen."""
        return self.chat(request, container)

    def error(self, status: int, message: str, param: str | None = None, kind: str | None = None) -> Response:
        """Return SGLang's flat error."""
        name = kind or ("BadRequestError" if status == 400 else "InternalServerError")
        document = {"object": "error", "message": message, "type": name, "param": param, "code": status}
        return json_response(status, document)

    def stream_error(self, failure: EngineFailure) -> JSON:
        """Return the event of a failure inside a stream: nested, unlike the plain one."""
        body = {"message": failure.message, "type": "InternalServerError", "param": None, "code": failure.status}
        return {"error": body}

    def served_name(self, container: Container) -> str:
        """Return the model name the server goes by."""
        return container.environment.get("SM_SGLANG_SERVED_MODEL_NAME") or container.model_id

    def knows_model(self, model: str, container: Container) -> bool:
        """Return whether a name is served: SGLang takes any, and looks up what follows the colon."""
        _, mark, adapter = model.rpartition(":")
        return not mark or adapter in container.adapters

    def auto_tools(self, container: Container) -> bool:
        """Return whether the server reads tool calls."""
        return bool(container.environment.get("SM_SGLANG_TOOL_CALL_PARSER"))

    def reasoning_fields(self, container: Container) -> tuple[str, ...]:
        """Return the name of the reasoning field."""
        return ("reasoning_content",) if container.environment.get("SM_SGLANG_REASONING_PARSER") else ()

    def style(self, container: Container, settings: Settings) -> Style:
        """Return how this server writes its answers."""
        return replace(
            super().style(container, settings),
            stop_field="matched_stop",
            message_extra={"reasoning_content": None},
            delta_extra={"reasoning_content": None},
            usage_extra=lambda reasoning: {"prompt_tokens_details": None, "reasoning_tokens": reasoning},
        )

    def generate(self, request: Request, container: Container) -> Response:
        """Answer the native `/generate`: whole texts even while streaming."""
        body = json_body(request, self._bad_json)
        if not isinstance(body, dict) or not isinstance(body.get("text"), str):
            return json_response(
                400, {"error": {"message": "Either text, input_ids or input_embeds should be provided."}}
            )
        given = body.get("sampling_params") or {}
        stops = given.get("stop") or ()
        turn = Turn(
            prompt=body["text"],
            max_tokens=given.get("max_new_tokens") or 128,
            stop=(stops,) if isinstance(stops, str) else tuple(stops),
            temperature=given.get("temperature"),
            top_p=given.get("top_p"),
            sampling=sampling_of(given),
        )
        run = container.generation(turn, special="keep" if given.get("skip_special_tokens") is False else "drop")
        if body.get("stream"):
            return streamed("text/event-stream", self._cumulative(run))
        answer = run.collect()
        return json_response(200, {"text": answer.text, "meta_info": _meta(run, finished=True)})

    def _cumulative(self, run: Generation) -> Iterator[bytes]:
        said: list[str] = []
        try:
            for event in begin(run):
                if isinstance(event, Token):
                    said.append(event.text)
                    yield sse({"text": "".join(said), "meta_info": _meta(run, finished=False)})
            yield sse({"text": "".join(said), "meta_info": _meta(run, finished=True)})
        except EngineFailure as failure:
            body = {"message": failure.message, "type": "InternalServerError", "code": 500, "retryable": False}
            yield sse({"error": body})
        yield DONE


def _meta(run: Generation, *, finished: bool) -> JSON:
    reason: JSON = {"type": "length"} if run.finish == "length" else {"type": "stop", "matched": run.stop}
    return {
        "finish_reason": reason if finished else None,
        "prompt_tokens": run.prompt_tokens,
        "completion_tokens": run.completion_tokens,
    }
